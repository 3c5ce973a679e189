//! The swarm and its replay as a user runs them: what is printed, what is kept, and with which exit code they end.

use crate::common::{Folder, command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// What makes a run short; the rest is drawn.
const SHORT: &str = "\
duration: 3s
warmup: 1s
cluster: { workers: 3, cores: 1, clients: 1, partitions: 3 }
workload:
  job: word-count
  source: { generate: { rate: 400/s, record: 40B, keys: 20 } }
engines:
  - dstream: { interval: 500ms, copies: 2 }
faults:
  - pause: { node: worker-2, at: 1s, for: 200ms }
";

/// Short, and never as fast as it asks: every seed fails, without a defect.
fn hopeless() -> Folder {
    let folder = Folder::new();
    folder.write("hopeless.yaml", format!("{SHORT}expect:\n  - latency: {{ p99: 1ms }}\n"));
    folder
}

fn result(folder: &Folder, of: &str) -> Value {
    serde_json::from_str(&folder.read(&format!("{of}/result.json"))).unwrap()
}

#[test]
fn seeds_that_pass_leave_a_table_and_nothing_else() {
    let folder = Folder::new();
    folder.write("short.yaml", format!("{SHORT}expect:\n  - output: exact\n"));
    let words = ["swarm", "--seeds", "0..3", "--template", "short.yaml"];
    let said = folder.dstream(&words);
    let states = ["map running", "reduce running", "fencing", "checkpoint being written", "idle"];
    said.expect(0, &states);
    said.expect(0, &["pause", "seeds 0..3: 3 runs, 0 failed; 3 faults"]);
    assert!(!folder.0.join("runs").exists());
    let said = folder.dstream(&[&words[..], &["--jobs", "1", "--format", "json"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["runs"], &answer["faults"], &answer["seeds"]), (&3.into(), &3.into(), &[0, 3][..].into()));
    assert_eq!(answer["failed"], Value::Array(vec![]));
    let struck: u64 = answer["coverage"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert!(struck >= 3, "each fault strikes something: {answer}");
}

#[test]
fn what_the_swarm_draws_passes_without_a_template() {
    Folder::new().dstream(&["swarm", "--seeds", "0..1", "--format", "json"]).expect(0, &["\"runs\": 3"]);
}

#[test]
fn a_seed_that_fails_is_named_first_and_last_and_its_command_runs_it_again() {
    let folder = hopeless();
    let said = folder.dstream(&["swarm", "--seeds", "4..6", "--template", "hopeless.yaml", "--out", "kept"]);
    said.expect(1, &["seeds 4..6: 2 runs, 2 failed"]);
    let named = "seed 4 (dstream) failed: latency: p99 1ms";
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with(named), "{said:#?}");
    assert!(lines[lines.len() - 4].starts_with(named), "{said:#?}");
    assert_eq!(lines[..4], lines[lines.len() - 4..]);
    assert!(said.err.contains(named), "it is said when it happens: {said:#?}");
    let replay: Vec<&str> = lines[1].split_whitespace().collect();
    let kept = "kept/swarm-4/dstream-sim-4";
    assert_eq!(replay, ["dstream", "replay", kept]);
    folder.dstream(&replay[1..]).expect(0, &["identical"]);
    // The scenario that is kept is whole: it gives the same run elsewhere, too.
    let scenario = format!("{kept}/scenario.yaml");
    folder.dstream(&["run", &scenario, "--out", "again"]).expect(1, &["latency: p99 1ms"]);
    let (first, second) = (result(&folder, kept), result(&folder, "again/swarm-4/dstream-sim-4"));
    assert_eq!((&first["verdict"], &second["verdict"]), (&"invalid".into(), &"invalid".into()));
    assert!(first["trace_hash"].is_string());
    assert_eq!(first["trace_hash"], second["trace_hash"]);
}

#[test]
fn a_failing_seed_stands_in_the_answer_for_programs() {
    let folder = hopeless();
    let said =
        folder.dstream(&["swarm", "--seeds", "0..2", "--template", "hopeless.yaml", "--format", "json", "--jobs", "2"]);
    assert_eq!(said.code, 1, "{said:?}");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    let failed = answer["failed"].as_array().unwrap();
    assert_eq!(failed.iter().map(|one| one["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    assert!(failed[1]["checks"][0].as_str().unwrap().starts_with("latency: p99 1ms"));
    assert_eq!(failed[1]["replay"], "dstream replay runs/swarm-1/dstream-sim-1");
    assert!(folder.0.join("runs/swarm-1/dstream-sim-1/trace.log").exists());
}

#[test]
fn replay_says_where_a_trace_differs_and_what_is_no_run() {
    let folder = hopeless();
    folder.dstream(&["swarm", "--seeds", "0..1", "--template", "hopeless.yaml"]).expect(1, &[]);
    let run = "runs/swarm-0/dstream-sim-0";
    let trace = folder.read(&format!("{run}/trace.log"));
    let third = trace.lines().nth(2).unwrap();
    folder.write(&format!("{run}/trace.log"), trace.replacen(third, "nothing happened", 1));
    folder.dstream(&["replay", run]).expect(1, &["differs from line 3 on", "nothing happened", third]);
    let said = folder.dstream(&["replay", run, "--format", "json"]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &answer["identical"], &answer["line"]), (1, &false.into(), &3.into()));
    folder.dstream(&["replay", "runs"]).expect(64, &["no run is kept here"]);
    let result = folder.read(&format!("{run}/result.json"));
    folder.write(&format!("{run}/result.json"), result.replace("\"sim\"", "\"tcp\""));
    folder.dstream(&["replay", run]).expect(64, &["a run in the world `tcp` cannot be repeated"]);
}

#[test]
fn what_the_user_can_mend_is_refused_by_its_name() {
    let folder = hopeless();
    let check = |words: &[&str], expected: &str| folder.dstream(&[&["swarm"], words].concat()).expect(64, &[expected]);
    for seeds in ["7", "3..3", "4..3", "a..b", "-1..3"] {
        check(&[&format!("--seeds={seeds}")], &format!("`--seeds {seeds}`: valid is A..B"));
    }
    check(&["--seeds", "0..1", "--shrink"], "`--shrink` is not built yet");
    check(&["--seeds", "0..1", "--engine", "no-such"], "there is no engine `no-such`; built are: `dstream`");
    check(&["--seeds", "0..1", "--template", "absent.yaml"], "absent.yaml: no such file");
    folder.write("list.yaml", "- a list\n");
    check(&["--seeds", "0..1", "--template", "list.yaml"], "list.yaml: a template is a mapping");
    folder.write("wrong.yaml", "cluster: { workres: 3 }\n");
    check(&["--seeds", "0..1", "--template", "wrong.yaml"], "workers");
    folder.write("file", "no folder\n");
    check(&["--seeds", "0..1", "--template", "hopeless.yaml", "--out", "file"], "file");
}

#[test]
fn an_interrupted_swarm_tells_what_was_done() {
    let folder = hopeless();
    let words = ["swarm", "--seeds", "0..1000000", "--template", "hopeless.yaml", "--jobs", "1", "--format", "json"];
    let mut swarm = command(&folder.0, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(swarm.stderr.take().unwrap());
    let mut first = String::new();
    errors.read_line(&mut first).unwrap();
    assert!(first.starts_with("seed 0 (dstream) failed"), "{first}");
    kill_process(Pid::from_raw(swarm.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    let output = swarm.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "what failed counts more than the interruption: {rest}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = answer["runs"].as_u64().unwrap();
    assert!((1..1_000_000).contains(&runs));
    assert_eq!(answer["failed"].as_array().unwrap().len() as u64, runs);
}
