//! What the scenario `spill` says of itself: state is more than twice what a worker keeps in memory, and memory is bounded.

use crate::common::{Folder, root};
use std::collections::BTreeMap;
use std::fs;

/// What a worker keeps in memory there.
const LIMIT_BYTES: u64 = 128 << 10;

/// Intervals of the window: the panes of all of them are kept.
const WINDOW: u64 = 16;

/// The number behind a field of an event.
fn number(line: &str, field: &str) -> Option<u64> {
    let rest = line.split_once(&format!(" {field}: "))?.1;
    rest.split([',', ' ']).next()?.parse().ok()
}

#[test]
fn state_of_twice_the_limit_is_exact_and_memory_is_bounded() {
    let folder = Folder::new();
    let scenario = root().join("scenarios/smoke/spill.yaml");
    folder.dstream(&["run", scenario.to_str().unwrap()]).expect(0, &["every check holds"]);
    let run = folder.0.join("runs/spill/dstream-sim-7");
    let log = fs::read_to_string(run.join("trace.log")).unwrap();
    // Each checkpoint has the panes of the intervals since the one before it; before the crash, all are there.
    let before_crash = log.lines().take_while(|line| !line.contains(" FaultApplied "));
    let mut saved: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for line in before_crash.filter(|line| line.contains(" StateSaved ")) {
        let worker = line.split(' ').nth(2).unwrap().to_owned();
        *saved.entry((worker, number(line, "through").unwrap())).or_default() += number(line, "bytes").unwrap();
    }
    let last = saved.keys().map(|(_, through)| *through).max().unwrap();
    for worker in ["worker-1", "worker-2", "worker-3"] {
        let in_window = |(of, through): &(String, u64)| of == worker && through + WINDOW > last;
        let state: u64 = saved.iter().filter(|(place, _)| in_window(place)).map(|(_, bytes)| bytes).sum();
        assert!(state > 2 * LIMIT_BYTES, "{worker} has {state} bytes of state");
    }
    let result: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("result.json")).unwrap()).unwrap();
    let memory = &result["memory"];
    assert!(memory["spilled_bytes"].as_u64() > Some(2 * LIMIT_BYTES), "{memory}");
    assert!(memory["loaded_bytes"].as_u64() > Some(LIMIT_BYTES), "{memory}");
    assert!(memory["most_held_bytes"].as_u64() < Some(LIMIT_BYTES * 3 / 2), "{memory}");
}
