//! Late results are shown at their bound on what input there is, and the results themselves follow and are exact.

use crate::common::Folder;
use std::fs;

const SCENARIO: &str = "
title: late
seed: 1
duration: 5s
warmup: 1s
cluster: { workers: 2, cores: 2, clients: 1, partitions: 4 }
workload:
  job: word-count
  params: { window: 2s }
  source: { generate: { rate: 40%, record: 100B, keys: 100 } }
  scale: 1000
engines:
  - hot-replication: { interval: 1s, order: sync, tentative: 300ms, as: sync }
  - hot-replication: { interval: 1s, order: first-wins, tentative: 300ms, as: first-wins }
faults:
  - slow-cpu: { node: worker-2, factor: 6, at: 1s, for: 1500ms }
  - slow-cpu: { node: replica-2, factor: 6, at: 1s, for: 1500ms }
expect:
  - output: exact
";

/// What is late waits for the turn that is under way, on nodes that are six times slower.
const A_TURN_MS: u64 = 300;

/// The first interval begins so long after the log.
const START_UP_MS: u64 = 1000;

/// Nanoseconds since the log's beginning, and the interval, of the lines with this event.
fn events(log: &str, name: &str) -> Vec<(u64, u64)> {
    let read = |line: &str| {
        let at = line.split(' ').next()?.parse().ok()?;
        let interval = line.split("interval: ").nth(1)?.split(',').next()?.parse().ok()?;
        Some((at, interval))
    };
    log.lines().filter(|line| line.contains(name)).filter_map(read).collect()
}

#[test]
fn late_results_are_shown_at_their_bound_and_followed_by_exact_ones() {
    let folder = Folder::new();
    folder.write("late.yaml", SCENARIO);
    folder.dstream(&["run", "late.yaml"]).expect(0, &["every check holds"]);
    for engine in ["sync", "first-wins"] {
        let log = fs::read_to_string(folder.0.join(format!("runs/late/{engine}-sim-1/trace.log"))).unwrap();
        let (shown, visible) = (events(&log, " ResultTentative "), events(&log, " ResultVisible "));
        assert!(!shown.is_empty(), "{engine} showed nothing");
        for (at, interval) in shown {
            let bound_ms = START_UP_MS + (interval + 1) * 1000 + 300;
            let late_ms = (at / 1_000_000).saturating_sub(bound_ms);
            assert!(late_ms < A_TURN_MS, "{engine}: interval {interval} was shown {late_ms} ms after its bound");
            let follows = visible.iter().any(|(later, of)| *of == interval && *later > at);
            assert!(follows, "{engine}: the result of interval {interval} did not follow");
        }
    }
}
