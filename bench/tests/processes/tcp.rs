//! Runs on TCP: the same scenario in both worlds, and what becomes of the nodes' processes however a run ends.

use crate::common::Folder;
use crate::common::processes::{Run, pid, wait_until_gone, watch};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

/// A crash with a restart and a pause, each in the middle of things.
const SHORT: &str = "
title: short
seed: 3
duration: 5s
warmup: 1s
cluster: { workers: 3, cores: 1, clients: 1, partitions: 3 }
workload:
  job: word-count
  source: { generate: { rate: 2000/s, record: 100B, keys: 200 } }
engines:
  - dstream: { interval: 500ms, block: 100ms }
faults:
  - crash: { node: worker-2, at: 700ms, restart_after: 700ms }
  - pause: { node: worker-3, at: 2300ms, for: 200ms }
expect:
  - output: exact
";

/// One node is stopped for most of a run that is never waited for.
const LONG: &str = "
title: long
duration: 600s
warmup: 1s
cluster: { workers: 2, cores: 1, clients: 1, partitions: 2 }
workload:
  job: word-count
  source: { generate: { rate: 100/s, record: 100B, keys: 20 } }
engines:
  - dstream: { interval: 500ms, block: 100ms }
faults:
  - pause: { node: worker-2, at: 100ms }
";

/// The nodes of [`LONG`]: two workers, master, client, sink.
const LONG_NODES: usize = 5;

fn long_run(folder: &Folder) -> Run {
    folder.write("long.yaml", LONG);
    Run::start(folder, &["run", "long.yaml", "--world", "tcp"])
}

#[test]
fn a_scenario_passes_in_both_worlds_and_both_are_shown() {
    let folder = Folder::new();
    folder.write("short.yaml", SHORT);
    let said = folder.dstream(&["run", "short.yaml", "--world", "sim,tcp", "--format", "json"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let runs: Value = serde_json::from_str(&said.out).unwrap();
    let worlds: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["world"].as_str().unwrap()).collect();
    assert_eq!(worlds, ["sim", "tcp"]);
    for run in runs.as_array().unwrap() {
        let records = &run["records"];
        assert_eq!(run["verdict"], "valid", "{run:#}");
        assert_eq!((&records["sent"], &records["unacked"]), (&records["acked"], &Value::from(0)), "{run:#}");
        assert!(run["faults"].as_array().unwrap().iter().all(|fault| fault["fired"] == true), "{run:#}");
    }
    assert!(runs[0]["trace_hash"].is_string() && runs[0]["tick_ms"] == 1);
    assert!(runs[1]["trace_hash"].is_null() && runs[1]["tick_ms"].is_null());
    let index = folder.read("runs/short/index.html");
    assert!(index.contains("sim") && index.contains("tcp"));
    let log = folder.read("runs/short/dstream-tcp-3/trace.log");
    let times: Vec<u64> = log.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted() && times.len() > 1000);
    assert!(log.contains("worker-2 NodeStarted { incarnation: 2 }"));
}

#[test]
fn a_driver_that_is_killed_leaves_no_process_not_even_a_stopped_one() {
    let folder = Folder::new();
    let run = long_run(&folder);
    let nodes = run.wait_for(|nodes| nodes.len() == LONG_NODES && nodes["worker-2"].state == 'T');
    let watched = watch(nodes.values());
    run.signal(Signal::KILL);
    wait_until_gone(&watched);
}

#[test]
fn an_interrupted_run_leaves_what_was_measured_and_no_process() {
    let folder = Folder::new();
    let run = long_run(&folder);
    let nodes = run.wait_for(|nodes| nodes.len() == LONG_NODES && nodes["worker-2"].state == 'T');
    let watched = watch(nodes.values());
    run.signal(Signal::INT);
    let output = run.output();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wait_until_gone(&watched);
    let result: Value = serde_json::from_str(&folder.read("runs/long/dstream-tcp-0/result.json")).unwrap();
    assert_eq!(result["verdict"], "unknown");
    assert_eq!(result["faults"][0]["fired"], true);
}

#[test]
fn a_node_that_ends_by_itself_ends_the_run_and_is_named() {
    let folder = Folder::new();
    let run = long_run(&folder);
    let nodes = run.wait_for(|nodes| nodes.len() == LONG_NODES && nodes["worker-2"].state == 'T');
    let watched = watch(nodes.values());
    kill_process(pid(nodes["worker-1"].id), Signal::ABORT).unwrap();
    let output = run.output();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{errors}");
    assert!(errors.contains("node worker-1 failed") && errors.contains("SIGABRT"), "{errors}");
    wait_until_gone(&watched);
}

#[test]
fn a_process_that_is_told_nonsense_says_so() {
    let folder = Folder::new();
    let mut node = crate::common::command(&folder.0, &["node"]);
    node.stdin(std::fs::File::open(folder.0.join("README.md")).unwrap());
    let output = node.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{errors}");
    assert!(errors.contains("standard input holds no orders"), "{errors}");
}
