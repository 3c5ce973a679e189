//! Verdicts: what each kind of failure makes of a run that is right everywhere else, and what its folder then holds.

use super::history::{History, closed};
use super::{Outcome, RunFacts, outcome, rows};
use crate::oracle::Replay;
use crate::plan::{ClusterPlan, EnginePlan, Expectation, FaultKind, FaultPlan, Link, Plan, SourcePlan};
use crate::run_directory::{RunDirectory, RunFiles};
use crate::workload::{Params, WordCount, Workload};
use dstream_cluster::{Costs, JobSpec, Promise};
use dstream_host::real::Compute;
use dstream_trace::measure::Effect;
use dstream_trace::result::Verdict;
use dstream_trace::{Event, Moment, NodeName, TraceLog};
use std::time::Duration;

fn plan(history: &History, expect: Vec<Expectation>) -> Plan {
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 1_000_000_000 };
    let costs = Costs {
        map_ns_per_byte: 1.0,
        single_record_factor: 1.0,
        merge_ns_per_row: 1.0,
        codec_ns_per_byte: 1.0,
        task_ns: 1.0,
        master_task_ns: 1.0,
        message_ns: 1.0,
        checkpoint_ns_per_byte: 1.0,
    };
    let fault = |fault: &dstream_trace::measure::FaultFacts| FaultPlan {
        number: fault.number,
        kind: FaultKind::Crash { node: fault.nodes[0].clone() },
        at: fault.due.since(Moment::from_millis(2000)),
        lasts: None,
    };
    Plan {
        title: "a run".into(),
        about: String::new(),
        seed: 7,
        duration: Duration::from_secs(9),
        warmup: Duration::from_secs(1),
        slo: None,
        compare: "equal-workers".into(),
        interval: Duration::from_secs(1),
        scale: 1,
        cluster: ClusterPlan {
            workers: 3,
            heirs: Vec::new(),
            cores: 1,
            clients: 1,
            partitions: 2,
            link,
            store: link,
            store_address: None,
            heartbeat: Duration::from_millis(100),
            failure_timeout: Duration::from_millis(500),
            costs,
            compute: Compute::Real,
        },
        job: JobSpec { name: "word-count".into(), params: Params::new(), interval: Duration::from_secs(1) },
        source: SourcePlan::Generate { rate_per_s: 10.0, record_bytes: 100, keys: 10, skew: 1.0, needle: 0.0 },
        engines: Vec::new(),
        faults: history.faults.iter().map(fault).collect(),
        expect,
    }
}

pub(super) fn run(history: &History, expect: Vec<Expectation>, drained: bool, interrupted: bool) -> Outcome {
    let plan = plan(history, expect);
    let query = WordCount.query(&Params::new(), Duration::from_secs(1)).unwrap();
    let facts = RunFacts {
        plan: &plan,
        engine: &EnginePlan {
            engine: "dstream".into(),
            label: "dstream".into(),
            options: Default::default(),
            workers: 3,
            heirs: Vec::new(),
            recovers_master: true,
            moves: true,
        },
        promise: &Promise {
            words: "exact".into(),
            losses_at_once: 1,
            copies: 2,
            logs: false,
            replays: history.replays,
            limits: false,
        },
        query: &query,
        world: "sim",
        trace_hash: Some("00".into()),
        tick: Some(Duration::from_millis(1)),
        origin: Moment::from_millis(1000),
        warmup_end: Moment::from_millis(2000),
        load_end: Moment::from_millis(closed(10)),
        end: Moment::from_millis(closed(11)),
        wall_s: 0.0,
        nodes: 4 + history.heirs,
        harness: vec![NodeName::new("sink")],
        rate_per_s: 10.0,
        own_capacity_fraction: 0.0,
        bytes_per_record: 100.0,
        drained,
        interrupted,
    };
    let replay = Replay {
        oracle: &|| WordCount.oracle(&Params::new(), Duration::from_secs(1)),
        open: &|_client| Ok(super::history::source()),
    };
    outcome(&history.lines(), &facts, &replay).unwrap()
}

/// The verdict and the names of the checks that failed.
fn check(outcome: &Outcome, verdict: Verdict, failed: &[&str]) {
    let checks = &outcome.result.checks;
    let seen: Vec<&str> = checks.iter().filter(|check| !check.holds).map(|check| check.check.as_str()).collect();
    assert_eq!((outcome.result.verdict, seen.as_slice()), (verdict, failed), "{checks:#?}");
}

#[test]
fn a_run_is_valid_if_every_check_holds_and_every_fault_fired() {
    let exact = || vec![Expectation::OutputExact];
    check(&run(&History::calm(10), exact(), true, false), Verdict::Valid, &[]);
    check(&run(&History::calm(10), exact(), false, false), Verdict::Invalid, &["drained"]);
    check(&run(&History::calm(10), exact(), false, true), Verdict::Unknown, &[]);
    let mut crashed = History::calm(10);
    crashed.crash(0, 5100, 3);
    check(&run(&crashed, exact(), true, false), Verdict::Valid, &[]);
    let mut silent = History::calm(10);
    silent.fault(0, 5100, "crash", 3, Effect::ProcessEnded);
    check(&run(&silent, exact(), true, false), Verdict::Unknown, &["every fault fired"]);
    silent.remove(|event| matches!(event, Event::ResultVisible { interval: 4, partition: 1, .. }));
    let failed = ["output: exact", "damage follows from the faults", "every fault fired"];
    check(&run(&silent, exact(), true, false), Verdict::Invalid, &failed);
}

#[test]
fn the_oracle_looks_at_every_run_whatever_the_scenario_expects() {
    let mut wrong = History::calm(10);
    wrong.remove(|event| matches!(event, Event::ResultVisible { interval: 4, partition: 1, .. }));
    check(&run(&wrong, Vec::new(), true, false), Verdict::Invalid, &["damage follows from the faults"]);
    check(&run(&wrong, vec![Expectation::OutputDeclared], true, false), Verdict::Invalid, &["output: declared"]);
}

#[test]
fn bounds_of_catching_up_and_of_latency_are_checked() {
    let mut history = History::calm(10);
    history.crash(0, 4500, 3);
    // The interval open at 4.5 s ends at 5 s; latency is 1200 ms at most, and 100 records are too few for p999.
    let bounds = |catch_up, p99| {
        let latency = [("p99", p99), ("max", 1200)].map(|(name, ms)| (name.to_owned(), Duration::from_millis(ms)));
        vec![Expectation::CatchUp(Duration::from_millis(catch_up)), Expectation::Latency(latency.to_vec())]
    };
    check(&run(&history, bounds(500, 1200), true, false), Verdict::Valid, &[]);
    let failed = ["catch_up: 499ms", "latency: p99 1.1s"];
    check(&run(&history, bounds(499, 1100), true, false), Verdict::Invalid, &failed);
    let p999 = vec![Expectation::Latency(vec![("p999".into(), Duration::from_secs(9))])];
    check(&run(&history, p999, true, false), Verdict::Invalid, &["latency: p999 9s"]);
}

#[test]
fn a_bound_of_memory_holds_for_the_node_that_held_most_and_needs_one_that_used_its_disk() {
    let bound = |bytes| vec![Expectation::Memory(bytes)];
    let mut history = History::calm(10);
    check(&run(&history, bound(1 << 20), true, false), Verdict::Invalid, &["memory: 1MiB"]);
    history.add(3000, "worker-1", Event::Spilled { bytes: 10, most_held: 1000 });
    history.add(4000, "worker-2", Event::Loaded { bytes: 10, most_held: 2048 });
    check(&run(&history, bound(2048), true, false), Verdict::Valid, &[]);
    check(&run(&history, bound(2047), true, false), Verdict::Invalid, &["memory: 2047B"]);
}

#[test]
fn the_run_directory_holds_every_file_of_the_contract() {
    let history = History::calm(10);
    let outcome = run(&history, Vec::new(), true, false);
    let mut log = TraceLog::default();
    history.lines().into_iter().for_each(|line| log.push(line.at, line.node, line.event));
    let query = WordCount.query(&Params::new(), Duration::from_secs(1)).unwrap();
    let outputs = rows(&outcome.facts, &query.outputs);
    let out = std::env::temp_dir().join(format!("dstream-outcome-{}", std::process::id()));
    let files = RunFiles {
        scenario_yaml: "title: a run\n",
        result: &outcome.result,
        measured: &outcome.measured,
        run: &outcome.run,
        facts: &outcome.facts,
        log: &log,
        more: &[],
        outputs: Some(&outputs),
    };
    let path = RunDirectory::reserve(&out, "a run", "dstream", "sim", 7).unwrap().fill(&files).unwrap();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let result: dstream_trace::result::RunResult = serde_json::from_str(&read("result.json")).unwrap();
    assert_eq!(result, outcome.result);
    assert_eq!(read("intervals.csv").lines().count(), 11);
    assert_eq!(read("trace.log").lines().count(), log.lines().len());
    assert_eq!(read("scenario.yaml"), "title: a run\n");
    let first = read("outputs.jsonl");
    let first = first.lines().next().unwrap();
    assert_eq!(first, r#"{"output":"counts","interval":0,"key":"all","value":"10"}"#);
    for name in ["latency.csv", "tasks.csv", "faults.csv", "flow.csv", "nodes.csv", "moments.csv", "run.csv"] {
        assert!(read(name).lines().next().is_some_and(|header| header.contains(',')), "{name}");
    }
    std::fs::remove_dir_all(out).unwrap();
}
