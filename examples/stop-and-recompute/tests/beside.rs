//! The binary as a user types it: the engine beside D-Streams, in both worlds, with a page at the end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A new folder, removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs a scenario of this crate; returns the results by engine and world, and the page that compares them.
fn check(scenario: &str, title: &str, more: &[&str], expected: &[&str]) -> (Vec<Value>, String) {
    let out = std::env::temp_dir().join(format!("stop-and-recompute-{}-{title}", std::process::id()));
    let folder = Folder(out);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stop-and-recompute"));
    command.arg("run").arg(path).args(more).arg("--out").arg(&folder.0);
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let results = expected.iter().map(|run| {
        let text = std::fs::read_to_string(folder.0.join(title).join(run).join("result.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    });
    (results.collect(), std::fs::read_to_string(folder.0.join(title).join("index.html")).unwrap())
}

#[test]
fn a_recovery_takes_as_long_as_the_history_and_loses_nothing() {
    let runs = ["stop-and-recompute-sim-3", "dstream-sim-3"];
    let (results, page) = check("one-crash.yaml", "stop-or-rebuild", &[], &runs);
    let restore = |result: &Value| result["faults"][0]["restore_s"].as_f64().unwrap();
    for result in &results {
        assert_eq!(result["verdict"], "valid", "{result}");
        assert!(page.contains(result["engine"].as_str().unwrap()));
    }
    let repeated = results[0]["cost"]["recomputed_cpu_s"].as_f64().unwrap();
    assert!(repeated > 0.0 && restore(&results[0]) > 2.0 * restore(&results[1]), "{results:#?}");
}

#[test]
fn the_same_binary_is_every_node_of_a_real_cluster() {
    let runs = ["stop-and-recompute-sim-5", "stop-and-recompute-tcp-5"];
    let (results, _) = check("both-worlds.yaml", "stop-in-both-worlds", &["--world", "sim,tcp"], &runs);
    for result in &results {
        assert_eq!(result["verdict"], "valid", "{result}");
        assert_eq!(result["records"]["sent"], result["records"]["in_results"], "{result}");
    }
}
