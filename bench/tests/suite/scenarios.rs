//! Every scenario runs, and its verdict is valid: the promise of the README's table. Determinism is a law: the trace of each
//! smoke scenario is the same in another process.

use crate::common::{Folder, root, scenario_files};
use dstream_reports::format::seconds;
use std::fs;
use std::path::Path;

/// Bugs that once were, and the scenarios that planted defects are hunted with.
#[test]
fn every_trophy_and_hunting_scenario_is_valid() {
    let folder = Folder::new();
    let smoke = root().join("scenarios/smoke");
    let others: Vec<_> = scenario_files().into_iter().filter(|path| !path.starts_with(&smoke)).collect();
    assert!(others.len() >= 8, "{others:?}");
    let mut words = vec!["run"];
    words.extend(others.iter().map(|path| path.to_str().unwrap()));
    folder.dstream(&words).expect(0, &[]);
}

#[test]
fn every_smoke_scenario_is_valid() {
    let folder = Folder::new();
    let smoke: Vec<_> =
        scenario_files().into_iter().filter(|path| path.starts_with(root().join("scenarios/smoke"))).collect();
    assert!(smoke.len() >= 10, "{smoke:?}");
    let mut words = vec!["run", "--format", "json"];
    words.extend(smoke.iter().map(|path| path.to_str().unwrap()));
    let said = folder.dstream(&words);
    assert_eq!(said.code, 0, "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let runs = json.as_array().unwrap();
    assert_eq!(runs.len(), smoke.len());
    replay_all(&folder, smoke.len());
    let stale: Vec<String> = smoke.iter().zip(runs).filter_map(|(path, result)| untold(path, result)).collect();
    assert!(stale.is_empty(), "README.md, renew:\n{}", stale.join("\n"));
    for result in runs {
        let name = &result["scenario"];
        assert_eq!(result["verdict"], "valid", "{name}");
        let [sent, acked, unacked] = ["sent", "acked", "unacked"].map(|count| result["records"][count].as_u64());
        // Only a client that dies for good leaves something behind.
        let leaves = name.as_str().unwrap().contains("client");
        assert_eq!((sent.unwrap(), leaves), (acked.unwrap() + unacked.unwrap(), unacked > Some(0)), "{name}");
        assert_eq!(result["records"]["duplicated"], 0, "{name}");
        assert_eq!(result["records"]["wrong_intervals"], 0, "{name}");
        for fault in result["faults"].as_array().unwrap() {
            assert_eq!(fault["fired"], true, "{name}: {fault}");
            assert!(fault["restore_s"].is_number() && fault["catch_up_s"].is_number(), "{name}: {fault}");
        }
    }
}

/// Runs again whatever was run here, each in a process of its own: the trace is the same.
fn replay_all(folder: &Folder, least: usize) {
    let children = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let scenarios = children(&folder.0.join("runs"));
    let runs = scenarios.iter().filter(|path| path.is_dir()).flat_map(|path| children(path));
    let runs: Vec<_> = runs.filter(|path| path.join("trace.log").exists()).collect();
    assert!(runs.len() >= least, "{runs:?}");
    for run in runs {
        folder.dstream(&["replay", run.to_str().unwrap()]).expect(0, &["identical"]);
    }
}

/// What the README's table does not say of a scenario, as it must: when results were on time again.
fn untold(path: &Path, result: &serde_json::Value) -> Option<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let times = result["faults"].as_array().unwrap().iter().map(|fault| seconds(fault["catch_up_s"].as_f64()));
    let times = times.collect::<Vec<_>>().join(", ");
    let told = readme
        .lines()
        .any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")) && line.contains(&times));
    (!told).then(|| format!("`{name}`: {times}"))
}
