//! Engines side by side: which runs are compared, what is said of them, and what never is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_reports::comparison::sheet::contest_table;
use dstream_reports::comparison::words::{dstream_sentences, verdict, winners};
use dstream_reports::comparison::{Contest, contests};
use dstream_reports::tables::Tables;
use dstream_reports::{RunReport, compare_page};
use dstream_trace::result::{BrokenPromise, FaultResult, Percentiles, RunResult, Verdict};
use std::path::{Path, PathBuf};

const SCENARIO: &str = "workload: { job: word-count }
engines:
  - dstream: { interval: 1s }
  - upstream-backup: { as: backup, interval: 1s }
  - hot-replication: { as: hot, interval: 1s, order: sync }
";

/// What differs between the runs of these tests.
struct Given {
    engine: &'static str,
    catch_up_s: Option<f64>,
    restore_s: f64,
    p99_ms: f64,
    record_p50_ms: Option<f64>,
    cpu_s: f64,
    nodes: u32,
}

const DSTREAM: Given = Given {
    engine: "dstream",
    catch_up_s: Some(1.3),
    restore_s: 1.1,
    p99_ms: 1500.0,
    record_p50_ms: None,
    cpu_s: 60.0,
    nodes: 5,
};
const BACKUP: Given = Given {
    engine: "backup",
    catch_up_s: Some(4.3),
    restore_s: 2.0,
    p99_ms: 2500.0,
    record_p50_ms: Some(50.0),
    cpu_s: 90.0,
    nodes: 6,
};
const HOT: Given = Given {
    engine: "hot",
    catch_up_s: Some(0.3),
    restore_s: 0.4,
    p99_ms: 1050.0,
    record_p50_ms: Some(52.0),
    cpu_s: 180.0,
    nodes: 10,
};

fn run(given: &Given) -> RunReport {
    let percentiles = |value: f64| Percentiles { p50: Some(value / 2.0), p99: Some(value), ..Percentiles::default() };
    let fault = FaultResult {
        fault: "crash".into(),
        node: "worker-3".into(),
        at_s: 10.7,
        fired: true,
        detect_s: Some(0.2),
        restore_s: Some(given.restore_s),
        catch_up_s: given.catch_up_s,
        drain_s: Some(0.0),
        redundancy_s: Some(5.0),
        longest_gap_s: Some(1.0),
        excess_latency_s2: None,
    };
    let mut result: RunResult = serde_json::from_str(RESULT).unwrap();
    result.engine = given.engine.to_owned();
    result.faults = vec![fault];
    result.latency_ms = percentiles(given.p99_ms);
    result.record_latency_ms = given.record_p50_ms.map(|p50| percentiles(p50 * 2.0));
    result.cost.cpu_s = given.cpu_s;
    result.nodes = given.nodes;
    RunReport { directory: PathBuf::from(format!("{}-sim-7", given.engine)), result }
}

fn tables() -> Tables {
    let about = [("interval_s", "1.0"), ("slo_s", "0.5"), ("load_end_s", "25.0")];
    let about = about.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into_iter().collect();
    // One result was late, so that being on time again means something.
    let late = dstream_reports::tables::Interval {
        number: 11,
        closed_s: 11.0,
        done_s: Some(12.0),
        delay_s: Some(1.0),
        processing_s: None,
        records: 10,
        is_due: true,
        latency_s: None,
        oldest_delay_s: None,
    };
    Tables { about, intervals: vec![late], scenario: SCENARIO.to_owned(), ..Tables::default() }
}

/// Shows the only contest of these runs to `look`.
fn with_contest(runs: &[RunReport], look: impl Fn(&Contest<'_>)) {
    let tables: Vec<Tables> = runs.iter().map(|_| tables()).collect();
    let contests = contests(runs, &tables);
    assert_eq!(contests.len(), 1, "{contests:#?}");
    look(&contests[0]);
}

fn check(runs: &[RunReport], expected: &[&str]) {
    with_contest(runs, |contest| assert_eq!(verdict(contest), expected));
}

#[test]
fn the_verdict_says_who_was_back_first_and_what_it_cost() {
    let runs = [HOT, BACKUP, DSTREAM].map(|given| run(&given));
    let then = "then dstream (1.3 s), then backup (4.3 s).";
    let first = format!("After the crash of worker-3 at 10.7 s, hot was on time again first, after 300 ms; {then}");
    check(
        &runs,
        &[&first, "hot cost 3 x the CPU of dstream, the cheapest (180 s on 10 nodes against 60 s on 5 nodes)."],
    );
    let both = [DSTREAM, BACKUP].map(|given| run(&given));
    check(
        &both,
        &[
            "After the crash of worker-3 at 10.7 s, dstream was on time again first, after 1.3 s; then backup (4.3 s).",
            "dstream was also the cheapest (60 s on 5 nodes); backup cost 1.5 x the CPU (90 s on 6 nodes).",
        ],
    );
    let never = [run(&DSTREAM), run(&Given { catch_up_s: None, ..BACKUP })];
    let first = "After the crash of worker-3 at 10.7 s, dstream was on time again first, after 1.3 s; backup did not \
                 catch up before the run ended.";
    with_contest(&never, |contest| assert_eq!(verdict(contest)[0], first));
}

#[test]
fn who_was_never_late_was_not_on_time_again_before_another() {
    let runs = [DSTREAM, BACKUP, HOT].map(|given| run(&given));
    let all = |late: [bool; 3]| {
        let mut all = [tables(), tables(), tables()];
        all.iter_mut()
            .zip(late)
            .for_each(|(tables, late)| tables.intervals[0].delay_s = Some(if late { 1.0 } else { 0.4 }));
        contests(&runs, &all).first().map(|contest| verdict(contest).remove(0)).unwrap()
    };
    let after = "After the crash of worker-3 at 10.7 s,";
    let restored = "hot had the lost node's results out first, after 400 ms; then dstream (1.1 s), then backup (2 s).";
    for (late, expected) in [
        ([false; 3], format!("{after} no engine had a late result (on time: 500 ms); {restored}")),
        (
            [true, true, false],
            format!(
                "{after} hot was never late; of the others dstream was on time again first, after 1.3 s; then backup \
                 (4.3 s)."
            ),
        ),
        (
            [true, false, false],
            format!("{after} backup and hot were never late; dstream was on time again after 1.3 s."),
        ),
    ] {
        assert_eq!(all(late), expected);
    }
}

#[test]
fn scenarios_of_one_title_are_told_apart_by_their_files() {
    let runs = [DSTREAM, BACKUP, DSTREAM, BACKUP].map(|given| run(&given));
    let named = |files: [&str; 2]| {
        let all: Vec<Tables> = (0..4)
            .map(|place| {
                let mut tables = tables();
                tables.about.insert("file".into(), vec![files[place / 2].into()]);
                tables.scenario = format!("{SCENARIO}duration: {}s\n", place / 2);
                tables
            })
            .collect();
        contests(&runs, &all).into_iter().map(|contest| contest.name).collect::<Vec<_>>()
    };
    assert_eq!(named(["a/fast.yaml", "b/slow.yaml"]), ["fast.yaml", "slow.yaml"]);
    assert_eq!(named(["a/same.yaml", "b/same.yaml"]), ["a/same.yaml", "b/same.yaml"]);
    assert_eq!(named(["same.yaml", "same.yaml"]), ["version 1 of the scenario", "version 2 of the scenario"]);
}

#[test]
fn whose_records_waited_at_clients_was_late_although_no_interval_was() {
    let mut runs = [DSTREAM, HOT].map(|given| run(&given));
    runs[1].result.faults[0].drain_s = Some(9.0);
    let mut all = [tables(), tables()];
    for tables in &mut all {
        tables.intervals[0].delay_s = Some(0.4);
        tables.intervals[0].latency_s = Some(1.4);
    }
    let contest =
        |all: &[Tables]| contests(&runs, all).into_iter().map(|contest| verdict(&contest)).collect::<Vec<_>>();
    assert!(contest(&all)[0][0].contains("no engine had a late result"), "{:?}", contest(&all));
    (all[1].intervals[0].latency_s, all[1].intervals[0].oldest_delay_s) = (Some(12.0), Some(10.0));
    let said = contest(&all).remove(0);
    assert!(said[0].contains("dstream was never late; hot was on time again after 9 s"), "{said:?}");
    let held =
        "Intervals were on time whose records were not, since they had waited at their clients: hot (up to 12 s).";
    assert_eq!(said[2], held);
    let page = compare_page(&runs, Path::new(""));
    assert!(page.contains("longest wait at clients"), "a column says how long");
}

#[test]
fn where_nobody_is_ahead_nobody_is_called_better() {
    let alike = [run(&DSTREAM), run(&Given { engine: "hot", catch_up_s: Some(1.6), restore_s: 1.12, ..DSTREAM })];
    check(
        &alike,
        &[
            "After the crash of worker-3 at 10.7 s, all were on time again together, after 1.3 s to 1.6 s, and the \
             lost results came at about the same time.",
            "All cost about the same CPU (60 s).",
        ],
    );
    with_contest(&alike, |contest| {
        assert_eq!(dstream_sentences(contest), ["dstream loses in nothing that was compared."]);
        assert!(winners(contest).iter().all(|(_, told)| told.is_none()));
        let table = contest_table(contest, Some(80));
        assert!(!table.lines().any(|line| line.contains("s*")), "{table}");
    });
    let calm = [DSTREAM, BACKUP].map(|given| {
        let mut run = run(&given);
        run.result.faults.clear();
        run
    });
    with_contest(&calm, |contest| {
        let first = "Without a fault, dstream had the lowest p99 latency, 1.5 s; then backup (2.5 s).";
        assert_eq!(verdict(contest)[0], first);
    });
}

#[test]
fn what_is_not_valid_is_named_and_never_ranked() {
    let mut broken = run(&HOT);
    broken.result.verdict = Verdict::Invalid;
    let runs = [run(&DSTREAM), run(&BACKUP), broken];
    with_contest(&runs, |contest| {
        let sentences = verdict(contest);
        assert!(sentences[0].contains("dstream was on time again first"), "{sentences:?}");
        assert!(sentences[2].starts_with("Not ranked: hot (a check failed"), "{sentences:?}");
        assert!(dstream_sentences(contest).iter().all(|sentence| !sentence.contains("hot")));
        let table = contest_table(contest, Some(80));
        assert!(table.contains("INVALID") && !table.contains("300 ms*"), "{table}");
    });
    let mut open = run(&BACKUP);
    open.result.verdict = Verdict::Unknown;
    let sentences = ["Only dstream can be ranked, so nothing is compared."];
    with_contest(&[run(&DSTREAM), open], |contest| assert_eq!(verdict(contest)[..1], sentences));
    let promise = BrokenPromise { promise: "p".into(), at_s: 1.0, why: "w".into(), records: 30, intervals: vec![1] };
    let mut lossy = run(&BACKUP);
    lossy.result.broken_promises = vec![promise];
    with_contest(&[run(&DSTREAM), lossy], |contest| {
        assert_eq!(verdict(contest)[2], "Records were lost, as the promises allow: 30 of backup are gone.");
    });
}

#[test]
fn where_discretized_streams_lose_is_said_from_the_numbers() {
    let runs = [DSTREAM, HOT].map(|given| run(&given));
    with_contest(&runs, |contest| {
        let said = dstream_sentences(contest);
        let loses = "dstream loses in being on time again (1.3 s; hot 300 ms), restoring the lost results (1.1 s; hot \
                     400 ms), p50 latency (750 ms; hot 525 ms) and p99 latency (1.5 s; hot 1.05 s).";
        let below = "dstream shows no record before its interval of 1 s is over; hot shows half of them within 52 ms.";
        let wins = "dstream is among the best in CPU (60 s) and nodes (5).";
        assert_eq!(said, [loses, below, wins]);
    });
    let others = [BACKUP, HOT].map(|given| run(&given));
    with_contest(&others, |contest| assert_eq!(dstream_sentences(contest), Vec::<String>::new()));
}

#[test]
fn only_runs_of_one_scenario_world_and_seed_are_compared_and_of_each_engine_the_newest() {
    let older = run(&Given { cpu_s: 1.0, ..DSTREAM });
    let mut elsewhere = run(&HOT);
    elsewhere.result.seed = 8;
    let runs = [older, run(&BACKUP), run(&DSTREAM), elsewhere];
    with_contest(&runs, |contest| {
        let found: Vec<(&str, f64)> =
            contest.contenders.iter().map(|one| (one.label(), one.result().cost.cpu_s)).collect();
        assert_eq!(found, [("dstream", 60.0), ("backup", 90.0)], "in the order of the scenario");
        assert_eq!(contest.contenders[1].engine, "upstream-backup");
    });
    let alone = [run(&DSTREAM)];
    assert!(contests(&alone, &[tables()]).is_empty());
}

#[test]
fn the_page_links_every_number_to_its_run_and_escapes_what_it_shows() {
    let mut runs = [DSTREAM, HOT].map(|given| run(&given));
    runs.iter_mut().for_each(|run| run.result.scenario = "a <b>".into());
    let page = compare_page(&runs, Path::new(""));
    for part in [
        "<h1>a &lt;b&gt;</h1>",
        "href=\"hot-sim-7/report.html#recovery\"><b class=\"best\">300 ms</b>",
        "href=\"dstream-sim-7/report.html#cost\"><b class=\"best\">60 s</b>",
        "Both runs are valid",
    ] {
        assert!(page.contains(part), "no `{part}` on the page");
    }
}

const RESULT: &str = r#"{"format":1,"scenario":"s","engine":"e","world":"sim","seed":7,"scale":1,"verdict":"valid",
    "trace_hash":null,"tick_ms":1,"virtual_s":1.0,"wall_s":1.0,"nodes":1,"rate_per_s":1,"own_capacity_fraction":0,
    "records":{"sent":10,"acked":10,"unacked":0,"in_results":10,"lost":0,"duplicated":0,"intervals_checked":1,
    "wrong_intervals":0},"latency_ms":{},"record_latency_ms":null,"latency_before_faults_ms":{},"faults":[],
    "cost":{"node_s":0,"cpu_s":0,"recomputed_cpu_s":0,"network_bytes":0,"replicated_bytes":0,"checkpoint_bytes":0,
    "recovery_bytes":0,"excess_cpu_s":null},"load":{"cpu":0,"network":0},"broken_promises":[],"checks":[]}"#;
