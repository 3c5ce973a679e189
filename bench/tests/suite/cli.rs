//! The command line as a user meets it: what each command answers, and with which exit code it ends.

use crate::common::Folder;
use std::process::{Command, Stdio};

/// A scenario that takes next to no time.
const TINY: &str = "\
title: tiny
duration: 6s
warmup: 1s
cluster: { workers: 3, cores: 1, clients: 1, partitions: 3 }
workload:
  job: word-count
  source: { generate: { rate: 400/s, record: 40B, keys: 20 } }
engines:
  - dstream: { interval: 500ms }
expect:
  - output: exact
";

const COMMANDS: [&str; 12] =
    ["demo", "run", "report", "check", "schema", "explain", "meta", "swarm", "replay", "paper", "jobs", "job"];

#[test]
fn what_is_not_built_yet_is_refused_by_its_name() {
    let folder = Folder::new();
    let check = |words: &str, name: &str| {
        let said = folder.dstream(&words.split(' ').collect::<Vec<_>>());
        said.expect(64, &[&format!("`{name}` is not built yet")]);
        assert_eq!((said.out.as_str(), said.err.lines().count()), ("", 1), "{words}: {said:?}");
    };
    check("sweep x.yaml --vary a=1", "dstream sweep");
    check("swarm --seeds 1..2 --shrink", "--shrink");
    check("query --master localhost:1", "dstream query");
    check("cluster up --workers 3", "dstream cluster");
    check("bench throughput --job word-count --source pool:README.md", "--source pool:FILE");
    check("bench throughput --job word-count --source tcp:README.md --hosts hosts", "--hosts");
    check("calibrate", "dstream calibrate");
    check("run scenarios/smoke/worker-crash.yaml --hosts hosts", "--hosts");
    check("job word-count --source file:README.md --batch", "--batch");
}

#[test]
fn help_shows_an_example_for_every_command_and_nothing_that_is_not_built() {
    let folder = Folder::new();
    let said = folder.dstream(&["--help"]);
    said.expect(0, &COMMANDS);
    for absent in ["sweep", "write-trace"] {
        assert!(!said.out.contains(absent), "{absent}");
    }
    for command in COMMANDS {
        let said = folder.dstream(&[command, "--help"]);
        said.expect(0, &["Example:\n  dstream ", "--format"]);
        assert!(!said.out.contains("--hosts") && !said.out.contains("--batch"), "{}", said.out);
    }
}

#[test]
fn the_examples_of_the_help_run() {
    let folder = Folder::new();
    for command in COMMANDS {
        let help = folder.dstream(&[command, "--help"]).out;
        let example = help.split("Example:\n  dstream ").nth(1).expect("the help shows an example").trim();
        let said = folder.dstream(&example.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.code, 0, "{example}: {said:?}");
    }
}

#[test]
fn what_cannot_be_understood_is_the_users_to_mend() {
    let folder = Folder::new();
    let check = |words: &[&str], expected: &[&str]| folder.dstream(words).expect(64, expected);
    check(&[], &["Usage:"]);
    check(&["exlpain"], &["'explain'"]);
    check(&["run"], &["SCENARIO"]);
    check(&["run", "--no-such"], &["--no-such"]);
    check(&["run", "missing.yaml"], &["missing.yaml", "no such file"]);
    check(&["run", "scenarios/smoke/worker-crash.yaml", "--world", "moon"], &["`moon`", "sim"]);
    check(&["run", "scenarios/smoke/worker-crash.yaml", "--engine", "spark"], &["`--engine spark`", "`dstream`"]);
    check(&["run", "scenarios/smoke/worker-crash.yaml", "--set", "cluster.wrokers=3"], &["wrokers", "workers"]);
    check(&["run", "scenarios/smoke/worker-crash.yaml", "--out", "/dev/null/runs"], &["/dev/null/runs"]);
    check(&["job", "word-cuont", "--source", "file:README.md"], &["`word-cuont`", "word-count"]);
    check(&["job", "word-count", "--source", "file:none/*.txt"], &["none/*.txt"]);
    check(&["job", "word-count", "--source", "file:scenarios"], &["is a folder"]);
    check(&["job", "word-count", "--source", "README.md"], &["`file:GLOB`"]);
    check(&["job", "word-count", "--source", "file:README.md", "--output", "file:/dev/null/x"], &["/dev/null/x"]);
    check(&["job", "word-count", "--source", "file:README.md", "--master", "local[0]"], &["local[0]"]);
    check(&["job", "word-count", "--source", "file:README.md", "--interval", "0s"], &["--interval"]);
    check(&["job", "word-count", "--source", "file:README.md", "pattern=x"], &["`pattern`", "window"]);
    check(&["job", "word-count", "--source", "file:README.md", "window=1500ms"], &["`window`", "of `1s`", "`1500ms`"]);
    check(&["job", "word-count", "--source", "file:README.md", "slide=5s"], &["`slide`", "`window` is `off`"]);
    check(&["job", "top-k", "--source", "file:README.md", "k=0"], &["`k` must be a whole number from 1"]);
    check(&["job", "word-count", "--source", "file:README.md", "rate=50%"], &["rate=50%"]);
    check(&["job", "word-count", "--source", "file:README.md", "nonsense"], &["`nonsense`", "key=value"]);
}

#[test]
fn check_shows_where_a_scenario_is_wrong_and_passes_those_of_the_repository() {
    let folder = Folder::new();
    folder.dstream(&["check", "scenarios/smoke"]).expect(0, &["worker-crash.yaml"]);
    folder.write("bad/one.yaml", TINY.replace("workers:", "wrokers:"));
    folder.write("bad/two.yaml", TINY);
    let said = folder.dstream(&["check", "bad"]);
    said.expect(64, &["bad/one.yaml:4:12: ", "wrokers", "`workers`", "^"]);
    let said = folder.dstream(&["check", "bad", "--format", "json"]);
    assert_eq!(said.code, 64);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["files"][0]["errors"][0]["line"], 4, "{json:#}");
    assert_eq!(json["files"][1]["valid"], true, "{json:#}");
    folder.dstream(&["check", "no-such-folder"]).expect(64, &["no-such-folder"]);
}

#[test]
fn explain_fills_in_defaults_and_draws_times() {
    let folder = Folder::new();
    let drawn = TINY.replace("expect:", "faults:\n  - crash: { node: any-worker, at: 2s..3s }\nexpect:");
    folder.write("tiny.yaml", &drawn);
    let said = folder.dstream(&["explain", "tiny.yaml", "--set", "cluster.workers=5"]);
    said.expect(0, &["workers: 5", "heartbeat: 100ms", "worker-"]);
    assert!(!said.out.contains("any-worker"), "{}", said.out);
    assert_ne!(said.out, folder.dstream(&["explain", "tiny.yaml", "--seed", "5"]).out);
    let json = folder.dstream(&["explain", "tiny.yaml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let workers = &json["nodes"]["dstream"]["workers"];
    assert_eq!((workers, &json["nodes"]["dstream"]["heirs"]), (&json["cluster"]["workers"], &serde_json::json!([])));
}

#[test]
fn a_run_with_a_fault_is_paired_with_its_twin_wherever_that_comes_from() {
    let folder = Folder::new();
    let crash = "faults:\n  - crash: { node: worker-1, at: 1s, restart_after: 1s }\nexpect:";
    folder.write("tiny.yaml", TINY.replace("expect:", crash));
    let result = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.0.join("runs/tiny").join(name).join("result.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let pair = |name: &str| {
        let run = result(name);
        [run["faults"][0]["excess_latency_s2"].clone(), run["cost"]["excess_cpu_s"].clone()]
    };
    for _ in 0..2 {
        folder.dstream(&["run", "tiny.yaml"]);
    }
    let made = pair("dstream-sim-0");
    assert!(made.iter().all(serde_json::Value::is_f64), "{made:?}");
    assert_eq!(pair("dstream-sim-0-2"), made);
    let folders =
        std::fs::read_dir(folder.0.join("runs/tiny")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 2, "a twin leaves nothing here");
}

#[test]
fn run_writes_a_directory_per_run_and_counts_up_when_it_is_taken() {
    let folder = Folder::new();
    folder.write("tiny.yaml", TINY);
    let said = folder.dstream(&["run", "tiny.yaml", "--keep-outputs"]);
    said.expect(0, &["tiny", "dstream", "valid", "runs/tiny/dstream-sim-0"]);
    assert!(said.err.is_empty(), "{said:?}");
    for name in [
        "scenario.yaml",
        "result.json",
        "run.csv",
        "intervals.csv",
        "latency.csv",
        "flow.csv",
        "tasks.csv",
        "faults.csv",
        "nodes.csv",
        "moments.csv",
        "report.html",
        "trace.log",
    ] {
        assert!(!folder.read(&format!("runs/tiny/dstream-sim-0/{name}")).is_empty(), "{name}");
    }
    let rows = folder.read("runs/tiny/dstream-sim-0/outputs.jsonl");
    assert!(rows.starts_with(r#"{"output":"counts","interval":0,"key":""#), "{}", &rows[..100]);
    let result: serde_json::Value = serde_json::from_str(&folder.read("runs/tiny/dstream-sim-0/result.json")).unwrap();
    assert_eq!(result["records"]["sent"], 2800, "{result:#}");
    folder.dstream(&["run", "tiny.yaml"]).expect(0, &["runs/tiny/dstream-sim-0-2"]);
    assert!(!folder.0.join("runs/tiny/dstream-sim-0-2/outputs.jsonl").exists());
    let said = folder.dstream(&["run", "tiny.yaml", "--seed", "9", "--out", "elsewhere", "--format", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str::<serde_json::Value>(&said.out).unwrap();
    assert!(folder.0.join("elsewhere/tiny/dstream-sim-9/result.json").exists());
}

#[test]
fn report_renders_again_and_puts_runs_side_by_side() {
    let folder = Folder::new();
    folder.write("tiny.yaml", TINY);
    folder.dstream(&["run", "tiny.yaml"]).expect(0, &[]);
    folder.dstream(&["run", "tiny.yaml", "--seed", "9", "--set", "cluster.cores=2"]).expect(0, &[]);
    let first = folder.read("runs/tiny/dstream-sim-0/report.html");
    std::fs::remove_file(folder.0.join("runs/tiny/dstream-sim-0/report.html")).unwrap();
    folder.dstream(&["report", "runs/tiny/dstream-sim-0"]).expect(0, &["runs/tiny/dstream-sim-0/report.html"]);
    assert_eq!(folder.read("runs/tiny/dstream-sim-0/report.html"), first);
    let index = folder.read("runs/tiny/index.html");
    assert!(index.contains("dstream, seed 0<") && index.contains("dstream, seed 9, cluster.cores=2<"), "{index}");
    let both = ["report", "runs/tiny/dstream-sim-0", "runs/tiny/dstream-sim-9", "--out", "both.html"];
    folder.dstream(&both).expect(0, &["both.html", "valid"]);
    assert!(folder.read("both.html").contains("href=\"runs/tiny/dstream-sim-9/report.html"));
    folder.dstream(&["report", "scenarios"]).expect(64, &["scenarios", "result.json"]);
    folder.dstream(&["report", "nowhere"]).expect(64, &["nowhere/result.json"]);
}

#[test]
fn a_check_that_fails_and_a_fault_that_never_strikes_have_codes_of_their_own() {
    let folder = Folder::new();
    let check = |change: (&str, &str), code: i32, words: &[&str]| {
        folder.write("changed.yaml", TINY.replace(change.0, change.1));
        folder.dstream(&["run", "changed.yaml"]).expect(code, words);
    };
    check(("- output: exact", "- latency: { p99: 1ms }"), 1, &["INVALID"]);
    let idle = "faults:\n  - slow-cpu: { node: worker-1, factor: 2, at: 5900ms, for: 1ms }\nexpect:";
    check(("expect:", idle), 2, &["unknown"]);
}

#[test]
fn ctrl_c_leaves_what_was_measured_and_says_that_it_is_undecided() {
    let folder = Folder::new();
    folder.write("long.yaml", TINY.replace("duration: 6s", "duration: 50000s"));
    let mut run = crate::common::command(&folder.0, &["run", "long.yaml"]).stdout(Stdio::piped()).spawn().unwrap();
    // The place that the run reserves is the sign that it is under way.
    while !folder.0.join("runs/tiny/.dstream-sim-0.partial").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let result: serde_json::Value = serde_json::from_str(&folder.read("runs/tiny/dstream-sim-0/result.json")).unwrap();
    assert_eq!(result["verdict"], "unknown");
}

#[test]
fn meta_says_that_two_processes_wrote_the_same_trace() {
    let folder = Folder::new();
    folder.write("tiny.yaml", TINY);
    folder.dstream(&["meta", "tiny.yaml", "--seed", "3"]).expect(0, &["identical"]);
    let said = folder.dstream(&["meta", "tiny.yaml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["runs"][0]["identical"], true, "{json:#}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    let mut child = crate::common::command(&folder.0, &["explain", "scenarios/smoke/worker-crash.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
