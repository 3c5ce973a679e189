//! Hot replication goes on with the other replica: what a lost node owned is in results within two intervals of the moment
//! at which its loss was noticed, whenever in an interval it struck.

use crate::common::Folder;
use serde_json::Value;

/// Half a second, in which punctuation closes intervals.
const INTERVAL_S: f64 = 0.5;

const SCENARIO: &str = "
title: a replica is lost
duration: 8s
warmup: 4s
cluster: { workers: 3, cores: 1, clients: 2, partitions: 6, costs: paper }
workload:
  job: word-count
  params: { window: 2s }
  source: { generate: { rate: 40%, record: 100B, keys: 200 } }
  scale: 1000
engines:
  - hot-replication: { interval: 500ms, order: sync, as: sync }
  - hot-replication: { order: first-wins, as: first-wins }
faults:
  - crash: { node: worker-2, at: 2s..3s }
expect:
  - output: exact
";

#[test]
fn results_of_a_lost_replica_are_out_within_two_intervals_of_its_detection() {
    let folder = Folder::new();
    folder.write("lost.yaml", SCENARIO);
    for seed in 0..4 {
        let said = folder.dstream(&["run", "lost.yaml", "--seed", &seed.to_string(), "--format", "json"]);
        said.expect(0, &[]);
        let runs: Value = serde_json::from_str(&said.out).unwrap();
        for run in runs.as_array().unwrap() {
            let fault = &run["faults"][0];
            let time = |name: &str| fault[name].as_f64().unwrap_or_else(|| panic!("seed {seed}: no {name} in {run:#}"));
            // The failure strikes work that is under way: there is something to restore.
            assert!(time("restore_s") > 0.0, "seed {seed}: {run:#}");
            let after = time("restore_s") - time("detect_s");
            assert!(after <= 2.0 * INTERVAL_S, "{} with seed {seed}: {after} s after detection", run["engine"]);
        }
    }
}
