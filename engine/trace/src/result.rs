//! `result.json`: the record of one run. Field names and units are part of the project's contract.

use serde::{Deserialize, Serialize};

/// Whether the checks held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check holds.
    Valid,
    /// A check failed.
    Invalid,
    /// A fault never took effect, or the run ended before the verdict.
    Unknown,
}

/// The record of one run of one engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Version of this format.
    pub format: u32,
    /// The scenario's title.
    pub scenario: String,
    /// The engine's label.
    pub engine: String,
    /// `sim` or `tcp`.
    pub world: String,
    /// The seed of the run.
    pub seed: u64,
    /// How many records each record moved stands for.
    pub scale: u64,
    /// Whether the checks held.
    pub verdict: Verdict,
    /// Digest of the trace; null on TCP.
    pub trace_hash: Option<String>,
    /// Length of one step of the network, in milliseconds; null on TCP.
    pub tick_ms: Option<u64>,
    /// Length of the run on its own clock.
    pub virtual_s: f64,
    /// Length of the run on the wall.
    pub wall_s: f64,
    /// Nodes, without clients and store.
    pub nodes: u32,
    /// Records that the clients represent, a second, together.
    pub rate_per_s: f64,
    /// The rate as a share of this engine's own CPU-bound rate.
    pub own_capacity_fraction: f64,
    /// Counts of distinct records.
    pub records: RecordCounts,
    /// From scheduled send to visible result, weighted by records.
    pub latency_ms: Percentiles,
    /// The same for results emitted per record; null where there are none.
    pub record_latency_ms: Option<Percentiles>,
    /// The same, for results visible before the first fault.
    pub latency_before_faults_ms: Percentiles,
    /// What waited at the clients until it was acknowledged; null where a run does not say.
    #[serde(default)]
    pub waited_at_clients: Option<WaitedAtClients>,
    /// What each fault did.
    pub faults: Vec<FaultResult>,
    /// What the run cost.
    pub cost: Cost,
    /// Measured use of the resources that the engine had.
    pub load: Load,
    /// What went between memory and the nodes' own disks; null where nothing did.
    #[serde(default)]
    pub memory: Option<MemoryUse>,
    /// Where the engine's promise ended.
    pub broken_promises: Vec<BrokenPromise>,
    /// Each check with its outcome.
    pub checks: Vec<CheckResult>,
}

/// Counts of distinct records over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Sent at least once.
    pub sent: u64,
    /// Known to the client to be held.
    pub acked: u64,
    /// Sent and never acknowledged.
    pub unacked: u64,
    /// In the ranges of committed intervals, each once.
    pub in_results: u64,
    /// Acknowledged but in no range.
    pub lost: u64,
    /// In the ranges of two intervals, or twice in one.
    pub duplicated: u64,
    /// Intervals compared with the oracle.
    pub intervals_checked: u64,
    /// Intervals that differ from it.
    pub wrong_intervals: u64,
}

/// Percentiles of a distribution; null without samples, `p999` null below 10,000 samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// Records that were due and not yet acknowledged: nobody but their client had them for certain. Of records that were due
/// after the warm-up; a client that a fault holds to the end does not wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitedAtClients {
    /// The most at any moment, all clients together.
    pub most_records: u64,
    /// The bytes that these records stand for.
    pub most_bytes: u64,
    /// The longest that one waited; to the end of the run where it was never acknowledged.
    pub longest_s: f64,
}

/// What one fault did, in seconds from the moment it was applied; null was not reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultResult {
    /// The fault's kind, as in the scenario.
    pub fault: String,
    /// The node, or the first of those between which it was.
    pub node: String,
    /// When it was applied, from the end of the warm-up.
    pub at_s: f64,
    /// Whether it took effect.
    pub fired: bool,
    /// The node is declared dead, a replica is switched, or a twin is launched.
    pub detect_s: Option<f64>,
    /// Every result of the partitions it owned is committed, up to the interval open when it struck.
    pub restore_s: Option<f64>,
    /// The end of the first of five successive intervals that are on time.
    pub catch_up_s: Option<f64>,
    /// No record older than the bound waits.
    pub drain_s: Option<f64>,
    /// Every promised copy exists again.
    pub redundancy_s: Option<f64>,
    /// The longest time without a new result.
    pub longest_gap_s: Option<f64>,
    /// Area between this run's latency and its twin's; null until the twin is measured.
    pub excess_latency_s2: Option<f64>,
}

/// What a run cost, from the end of the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Node-seconds, without clients and store, and without workers while they wait to be called.
    pub node_s: f64,
    /// Core-seconds used.
    pub cpu_s: f64,
    /// Core-seconds spent on work that had been done before.
    pub recomputed_cpu_s: f64,
    /// Bytes handed to the network; of what clients send, second copies of input only.
    pub network_bytes: u64,
    /// Of these, copies of input.
    pub replicated_bytes: u64,
    /// Bytes written to checkpoints.
    pub checkpoint_bytes: u64,
    /// Bytes moved to make copies and partitions again.
    pub recovery_bytes: u64,
    /// CPU above the twin's; null until the twin is measured.
    pub excess_cpu_s: Option<f64>,
}

/// Measured use of a resource, as a share of what there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Of all cores.
    pub cpu: f64,
    /// Of the busiest direction of the busiest network card.
    pub network: f64,
    /// Of the cores of the busiest worker.
    #[serde(default)]
    pub busiest_cpu: f64,
    /// How many times the median worker's use of its cores that is; 0 where the median one used none.
    #[serde(default)]
    pub busiest_to_median: f64,
}

/// What went between memory and the nodes' own disks, over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The most that one node held in memory of what it may put on its disk.
    pub most_held_bytes: u64,
    /// Written to disks.
    pub spilled_bytes: u64,
    /// Read from them.
    pub loaded_bytes: u64,
}

/// An end of the engine's promise and the damage that follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenPromise {
    /// The promise.
    pub promise: String,
    /// When it ended, from the end of the warm-up.
    pub at_s: f64,
    /// What ended it.
    pub why: String,
    /// How many records are gone.
    pub records: u64,
    /// The intervals whose results lack them.
    pub intervals: Vec<u64>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// As in the scenario, or the name of a check that is always made.
    pub check: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen.
    pub detail: String,
}
