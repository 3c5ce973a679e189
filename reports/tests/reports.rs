//! Reports from written run directories: what is shown, what is escaped, what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_reports::{
    Slowed, StragglersFigure, StragglersShown, fault_table, json, read_run, read_runs, read_scenario_folder, run_page,
    stragglers_sentence, stragglers_sentences, verdict_sentence, verdict_table, write_comparison, write_index,
    write_report,
};
use dstream_trace::result::{
    BrokenPromise, CheckResult, FaultResult, Percentiles, RecordCounts, RunResult, Verdict, WaitedAtClients,
};
use std::fs;
use std::path::{Path, PathBuf};

fn result(engine: &str, verdict: Verdict) -> RunResult {
    let latency = Percentiles { p50: Some(700.0), p90: Some(1200.0), p99: Some(1340.0), p999: None, max: Some(1400.0) };
    RunResult {
        format: 1,
        scenario: "worker crash <&>".into(),
        engine: engine.into(),
        world: "sim".into(),
        seed: 7,
        scale: 100,
        verdict,
        trace_hash: Some("00ff".into()),
        tick_ms: Some(1),
        virtual_s: 120.0,
        wall_s: 2.0,
        nodes: 9,
        rate_per_s: 10_000.0,
        own_capacity_fraction: 0.1,
        records: RecordCounts {
            sent: 12_000,
            acked: 12_000,
            in_results: 12_000,
            intervals_checked: 120,
            ..Default::default()
        },
        latency_ms: latency,
        record_latency_ms: None,
        latency_before_faults_ms: latency,
        waited_at_clients: Some(WaitedAtClients { most_records: 700, most_bytes: 70_000, longest_s: 0.31 }),
        faults: vec![FaultResult {
            fault: "crash".into(),
            node: "worker-3".into(),
            at_s: 40.0,
            fired: true,
            detect_s: Some(0.512),
            restore_s: Some(0.94),
            catch_up_s: Some(2.0),
            drain_s: None,
            redundancy_s: Some(0.0),
            longest_gap_s: Some(1.5),
            excess_latency_s2: None,
        }],
        cost: Default::default(),
        load: Default::default(),
        memory: None,
        broken_promises: Vec::new(),
        checks: vec![CheckResult { check: "output: exact".into(), holds: true, detail: String::new() }],
    }
}

const RUN: &str = "quantity,value\ninterval_s,1.000000\nslo_s,0.900000\nend_s,60.000000\nset,\"a=1,<2>\"\n";
const INTERVALS: &str =
    "interval,closed_s,done_s,delay_s,processing_s,records\n0,1.0,1.5,0.5,0.4,10\n1,2.0,4.0,2.0,,9\n";

/// A folder with the runs, removed at the end of the test.
struct Runs(PathBuf);

impl Runs {
    fn new(test: &str, runs: &[(&str, RunResult)]) -> Runs {
        let folder = std::env::temp_dir().join(format!("dstream-reports-{test}-{}", std::process::id()));
        for (name, result) in runs {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("run.csv"), RUN).unwrap();
            fs::write(folder.join(name).join("intervals.csv"), INTERVALS).unwrap();
            fs::write(folder.join(name).join("result.json"), serde_json::to_string(result).unwrap()).unwrap();
        }
        Runs(folder)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn two_runs() -> [(&'static str, RunResult); 2] {
    [("dstream-sim-7", result("dstream", Verdict::Valid)), ("hot-sim-7", result("hot", Verdict::Invalid))]
}

#[test]
fn a_scenarios_runs_are_read_by_name_and_other_folders_are_not_runs() {
    let runs = Runs::new("read", &two_runs());
    fs::create_dir_all(runs.0.join(".dstream-sim-7-2.partial")).unwrap();
    fs::write(runs.0.join(".dstream-sim-7-2.partial/result.json"), "{").unwrap();
    fs::create_dir_all(runs.0.join("notes")).unwrap();
    let engines: Vec<String> =
        read_scenario_folder(&runs.0).unwrap().into_iter().map(|run| run.result.engine).collect();
    assert_eq!(engines, ["dstream", "hot"]);
}

#[test]
fn the_tables_show_verdicts_and_what_each_fault_did_on_eighty_columns() {
    let mut silent = result("hot-replication", Verdict::Unknown);
    silent.faults[0] = FaultResult { fired: false, detect_s: None, ..silent.faults[0].clone() };
    silent.cost.network_bytes = 123_400_000_000;
    silent.records.lost = 12_345;
    let runs = Runs::new("table", &[two_runs().as_slice(), &[("silent", silent)]].concat());
    let runs = read_scenario_folder(&runs.0).unwrap();
    let verdicts = verdict_table(&runs, Some(80));
    for part in ["dstream", "valid", "INVALID", "0/0/0", "12 345/0/0", "700 ms", "1.34 s", "123 GB"] {
        assert!(verdicts.contains(part), "no `{part}` in\n{verdicts}");
    }
    let faults = fault_table(&runs, Some(80));
    for part in ["crash worker-3", "40 s", "512 ms", "940 ms", "2 s", "–", "1.5 s", "hot (sim, seed 7)", "(no effect)"]
    {
        assert!(faults.contains(part), "no `{part}` in\n{faults}");
    }
    for line in verdicts.lines().chain(faults.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(fault_table(&[], None), "");
}

#[test]
fn what_is_in_no_result_at_all_is_told_from_what_some_results_lack() {
    let broken = BrokenPromise { promise: "p".into(), at_s: 41.0, why: "w".into(), records: 30, intervals: vec![71] };
    let mut run = RunResult { broken_promises: vec![broken], ..result("dstream", Verdict::Valid) };
    run.records.lost = 12;
    let said = verdict_sentence(&run);
    assert!(said.contains("30 are gone from some result, 12 of them from all, exactly"), "{said}");
}

#[test]
fn the_sentence_says_what_matters_for_each_verdict() {
    let failed = CheckResult { check: "output: exact".into(), holds: false, detail: "interval 4: key \"a\"".into() };
    let drained = CheckResult { check: "drained".into(), holds: false, detail: String::new() };
    let broken = BrokenPromise { promise: "p".into(), at_s: 41.0, why: "w".into(), records: 30, intervals: vec![71] };
    for (result, expected) in [
        (
            result("dstream", Verdict::Valid),
            "dstream: every check holds. 12 000 records, 120 intervals: nothing lost, doubled or wrong; \
             caught up 2 s after the fault; p99 latency 1.34 s.",
        ),
        (
            RunResult { broken_promises: vec![broken], faults: vec![], ..result("dstream", Verdict::Valid) },
            "dstream: every check holds. Of 12 000 records 30 are gone, exactly as the faults and its promise allow; \
             p99 latency 1.34 s.",
        ),
        (
            RunResult { checks: vec![failed.clone()], ..result("hot", Verdict::Invalid) },
            "hot: a check failed: output: exact (interval 4: key \"a\").",
        ),
        (
            RunResult { checks: vec![failed, drained.clone(), drained], ..result("hot", Verdict::Invalid) },
            "hot: 3 checks failed: output: exact (interval 4: key \"a\"); drained; drained.",
        ),
        (result("hot", Verdict::Unknown), "hot: undecided: the run was stopped before its end."),
    ] {
        assert_eq!(verdict_sentence(&result), expected);
    }
}

#[test]
fn json_keeps_every_name_of_the_record() {
    let runs = Runs::new("json", &two_runs());
    let runs = read_scenario_folder(&runs.0).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json(&runs)).unwrap();
    assert_eq!(value[0]["latency_ms"]["p99"], 1340.0);
    assert_eq!(value[0]["faults"][0]["drain_s"], serde_json::Value::Null);
    assert_eq!(value[1]["verdict"], "invalid");
    assert!(value[1]["run_directory"].as_str().unwrap().ends_with("hot-sim-7"));
}

#[test]
fn pages_are_one_file_with_the_verdict_first_and_escape_what_they_show() {
    let runs = Runs::new("page", &two_runs());
    let index = fs::read_to_string(write_index(&runs.0).unwrap()).unwrap();
    let one = &read_scenario_folder(&runs.0).unwrap()[1];
    let report = fs::read_to_string(write_report(one).unwrap()).unwrap();
    assert_eq!(report, run_page(one));
    let verdict = report.find("Invalid: a check failed: the run was stopped").unwrap();
    assert!(verdict < report.find("<svg role").unwrap(), "the verdict comes first");
    let parts = [
        "crash worker-3",
        "One interval&#39;s result was late, by 1.1\u{a0}s",
        "set: a=1,&lt;2&gt;",
        "F1: – for drain: records still waited",
    ];
    for part in parts {
        let part = part.replace("&#39;", "'");
        assert!(report.contains(&part), "no `{part}` on the page");
    }
    assert!(index.contains("href=\"hot-sim-7/report.html#latency\"") && index.contains("1 of 2 runs invalid."));
    for page in [index, report] {
        assert!(page.contains("<h1>worker crash &lt;&amp;&gt;</h1>") && page.contains("prefers-color-scheme: dark"));
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http://", "https://", "<script", "src="] {
            assert!(!page.contains(outside), "the page needs `{outside}`");
        }
    }
}

#[test]
fn where_results_come_every_few_intervals_the_others_are_neither_late_nor_missing() {
    let check = |due: &str, slide: &str, expected: &[&str]| {
        let runs = Runs::new("slides", &[("a", result("dstream", Verdict::Valid))]);
        let rows: String = (1..=40)
            .map(|end| match end % 4 {
                0 => format!("{end},{end}.0,{end}.5,0.5,0.4,10,true\n"),
                _ => format!("{end},{end}.0,,,,10,{due}\n"),
            })
            .collect();
        let intervals = format!("interval,closed_s,done_s,delay_s,processing_s,records,due\n{rows}");
        fs::write(runs.0.join("a/intervals.csv"), intervals).unwrap();
        fs::write(runs.0.join("a/run.csv"), format!("{RUN}slide_s,{slide}\n")).unwrap();
        let page = run_page(&read_run(&runs.0.join("a")).unwrap());
        let page = page.replace('\u{a0}', " ");
        for part in expected {
            assert!(page.contains(part), "no `{part}` on the page");
        }
    };
    let none = ["No result came later than 900 ms", "A result is due every 4 s.", "on time: 4.9 s, the time between"];
    check("false", "4.0", &none);
    let thirty =
        ["30 of the intervals had no result", "30 intervals have no complete result", "on time: 1.9 s, an interval"];
    check("true", "1.0", &thirty);
}

#[test]
fn runs_on_one_page_are_told_apart_by_what_differs() {
    let run = |seed, world: &str| RunResult { seed, world: world.into(), ..result("dstream", Verdict::Valid) };
    let runs = Runs::new("apart", &[("a-9", run(7, "sim")), ("a-10", run(8, "sim")), ("b", run(7, "tcp"))]);
    fs::write(runs.0.join("a-10/run.csv"), "quantity,value\nset,seed=8\nset,cluster.cores=4\n").unwrap();
    fs::create_dir_all(runs.0.join("elsewhere")).unwrap();
    let places = ["a-9", "a-9", "a-10", "b"].map(|name| runs.0.join(name));
    let page = write_comparison(&read_runs(&places).unwrap(), &runs.0.join("elsewhere/all.html")).unwrap();
    let page = fs::read_to_string(page).unwrap();
    for part in [
        "../a-9/report.html\">dstream, sim, seed 7, a=1,&lt;2&gt;<",
        ">dstream, sim, seed 7, a=1,&lt;2&gt; #2<",
        "../a-10/report.html\">dstream, sim, seed 8, cluster.cores=4<",
        ">dstream, tcp, seed 7, a=1,&lt;2&gt;<",
    ] {
        assert!(page.contains(part), "no `{part}` on the page");
    }
    let order: Vec<u64> = read_scenario_folder(&runs.0).unwrap().iter().map(|run| run.result.seed).collect();
    assert_eq!(order, [7, 8, 7], "9 comes before 10");
    assert_eq!(read_runs(std::slice::from_ref(&runs.0)).unwrap().len(), 3);
    let empty = read_runs(&[runs.0.join("elsewhere")]).unwrap_err().to_string();
    assert!(empty.contains("holds none"), "{empty}");
}

#[test]
fn operators_have_lanes_running_results_their_latency_and_faults_what_they_cost() {
    let mut operators = result("hot", Verdict::Valid);
    operators.record_latency_ms = Some(Percentiles { p50: Some(3.0), p99: Some(9.0), ..Percentiles::default() });
    operators.faults[0].excess_latency_s2 = Some(1.25);
    operators.cost.excess_cpu_s = Some(-0.5);
    let runs =
        Runs::new("operators", &[("dstream-sim-7", result("dstream", Verdict::Valid)), ("hot-sim-7", operators)]);
    let owners = "partition,node,epoch,from_s,until_s,heir\n0,worker-3,1,-1.0,40.0,false\n\
                  1,worker-3,1,-1.0,40.0,false\n0,replica-3,2,-1.0,,false\n1,standby-1,3,40.5,,true\n";
    fs::write(runs.0.join("hot-sim-7/owners.csv"), owners).unwrap();
    let page = run_page(&read_run(&runs.0.join("hot-sim-7")).unwrap()).replace('\u{a0}', " ");
    for part in [
        "In a running result, which comes before, it shows after p50 3 ms, p99 9 ms, at most –.",
        "A lane is a node with long-lived operators",
        "took partitions over",
        "standby-1",
        "1.25 s²",
        "none (500 ms less)",
        "href=\"owners.csv\"",
    ] {
        assert!(page.contains(part), "no `{part}` on the page");
    }
    let plain = run_page(&read_run(&runs.0.join("dstream-sim-7")).unwrap());
    assert!(!plain.contains("running result") && !plain.contains("owners.csv"));
    let index = fs::read_to_string(write_index(&runs.0).unwrap()).unwrap();
    assert!(index.contains("running result: p99"));
}

#[test]
fn what_is_no_run_directory_is_refused_in_one_line() {
    let runs = Runs::new("refused", &two_runs());
    fs::write(runs.0.join("hot-sim-7/result.json"), "{\"format\":1}").unwrap();
    for (path, part) in [
        (runs.0.join("nothing"), "is a run directory?"),
        (runs.0.join("hot-sim-7"), "is not the record of a run: missing field"),
    ] {
        let error = read_run(&path).unwrap_err().to_string();
        let part = part.replace("is a run", &format!("is {} a run", path.display()));
        assert!(error.contains(&part) && !error.contains('\n'), "{error}");
    }
    assert!(
        read_scenario_folder(Path::new("/nonexistent-dstream")).unwrap_err().to_string().contains("cannot be read")
    );
}

/// Two waves on two workers of one core, one of them eight times slower: predicted are 8 times without speculation, and 2
/// with it.
const STRAGGLERS: &str = "
id: stragglers
title: slow
about: x
scenario: x
engines: [without, with]
factor: 8
threshold: 1.4
within: 0.25
runs: [{ waves: 2, block: 1s, bounds: { without_at_least: 3, with_at_most: 2.6 } }]
published: { source: x, about: y, jobs: [{ name: word count, before_s: 0.5, without_s: 3, with_s: 1 }] }
differs: []
quick: { about: x, set: [] }
";

#[test]
fn of_stragglers_what_is_not_as_predicted_or_breaks_its_bound_is_named() {
    let named = [("off", result("without", Verdict::Valid)), ("on", result("with", Verdict::Valid))];
    let folder = Runs::new("stragglers", &named);
    // Four tasks; the interval that ends when the worker is slow takes so long.
    let write = |name: &str, struck_s: f64| {
        let write = |file: &str, text: String| fs::write(folder.0.join(name).join(file), text).unwrap();
        write("run.csv", "quantity,value\nworkers,2\ncores,1\n".into());
        let head = "interval,closed_s,done_s,delay_s,processing_s,records\n0,30.0,31.0,1.0,1.0,9\n";
        write("intervals.csv", format!("{head}1,41.0,{},{struck_s},{struck_s},9\n", 41.0 + struck_s));
        let tasks: String = (0..4).map(|partition| format!("1,0,{partition},0\n")).collect();
        write("tasks.csv", format!("interval,stage,partition,attempt\n{tasks}"));
    };
    let figure = StragglersFigure::read(STRAGGLERS).unwrap();
    let check = |struck_s: [f64; 2], is_near: bool, parts: &[&str]| {
        write("off", struck_s[0]);
        write("on", struck_s[1]);
        let runs = read_scenario_folder(&folder.0).unwrap();
        let slowed = runs.iter().map(|run| Slowed::read(&figure, &figure.runs[0], run).unwrap()).collect();
        let shown = StragglersShown { figure: &figure, runs: slowed, quick: false };
        let said = [vec![stragglers_sentence(&shown)], stragglers_sentences(&shown)].concat().join("\n");
        for part in parts {
            assert!(said.contains(part), "no `{part}` in {said}");
        }
        assert_eq!(shown.is_near(), is_near, "{said}");
        assert_eq!(shown.csv().lines().count(), 5);
    };
    let published = "word count 6.00 x without, 2.00 x with (y)";
    let near = ["2 of 2 slowdowns are within 25 %", "2 waves: 7.00 x (predicted 8.00 x) without speculation, 2.25 x"];
    check([7.0, 2.25], true, &[&near[..], &[published, "at most 2.60 x: 2.25 x, kept"]].concat());
    let far = "1 of 2 slowdowns are within 25 % of what the number of tasks and the factor predict. Not: 2 waves with \
               speculation, 1.40 times that.";
    check([7.0, 2.8], false, &[far, "at most 2.60 x: 2.80 x, not kept"]);
    check(
        [2.5, 2.0],
        false,
        &["Not: 2 waves without speculation, 0.31 times that.", "at least 3.00 x: 2.50 x, not kept"],
    );
}
