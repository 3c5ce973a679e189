//! The resolved scenario: defaults filled in, units read, random targets drawn. What a run needs to know, no more.
//!
//! Invariant: a plan that exists can be run; every refusal happened before it was made.

use crate::address::StoreAddress;
use dstream_cluster::{Costs, JobSpec, Options};
use dstream_host::real::Compute;
use dstream_trace::NodeName;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A resolved scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Names the run directory.
    pub title: String,
    /// One sentence.
    pub about: String,
    /// Draws everything that is drawn.
    pub seed: u64,
    /// How long it is measured, from the end of the warm-up.
    pub duration: Duration,
    /// Nothing is measured before this.
    pub warmup: Duration,
    /// A result is on time if it is visible within this after its interval's end; `None` is taken from the run itself.
    pub slo: Option<Duration>,
    /// How clusters of different engines are made comparable: `equal-workers`, `equal-nodes`, `equal-cost`. What it comes
    /// to is each engine's number of workers.
    pub compare: String,
    /// Length of an interval, the same for all engines.
    pub interval: Duration,
    /// How many records each record moved stands for.
    pub scale: u64,
    /// The machines.
    pub cluster: ClusterPlan,
    /// What is computed.
    pub job: JobSpec,
    /// On what.
    pub source: SourcePlan,
    /// By which engines.
    pub engines: Vec<EnginePlan>,
    /// What goes wrong, by time.
    pub faults: Vec<FaultPlan>,
    /// What must hold.
    pub expect: Vec<Expectation>,
}

/// The machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the scenario file's own names")]
pub struct ClusterPlan {
    pub workers: u32,
    /// Nodes beside master, workers and clients. A scenario has none: they are an engine's own, see [`Plan::of`].
    pub heirs: Vec<NodeName>,
    pub cores: u32,
    pub clients: u32,
    pub partitions: u32,
    pub link: Link,
    pub store: Link,
    /// Where the store is, if it is not a folder of the run's own; real nodes only.
    pub store_address: Option<StoreAddress>,
    pub heartbeat: Duration,
    pub failure_timeout: Duration,
    pub costs: Costs,
    /// What cores do in the real world; the simulator models them always.
    pub compute: Compute,
}

/// A connection to somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// One way.
    pub latency: Duration,
    /// Of a host, each direction.
    pub bits_per_second: u64,
}

/// Where the records come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SourcePlan {
    /// Words drawn from a vocabulary.
    Generate {
        /// Represented records a second, all clients together.
        rate_per_s: f64,
        /// Bytes of a record, its line end included.
        record_bytes: u64,
        /// Words in the vocabulary.
        keys: u64,
        /// Exponent of the Zipf distribution.
        skew: f64,
        /// Share of records with grep's pattern, 0 to 1.
        needle: f64,
    },
    /// Lines of files.
    File {
        /// The files, in order.
        paths: Vec<PathBuf>,
        /// Represented records a second; `None`: as fast as it is processed.
        rate_per_s: Option<f64>,
    },
    /// The lines of a file again and again, from memory.
    Pool {
        /// The file.
        path: PathBuf,
        /// Represented records a second, all clients together.
        rate_per_s: f64,
    },
}

/// One engine of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnginePlan {
    /// The engine's name.
    pub engine: String,
    /// The variant's name: `as`, else the engine's name.
    pub label: String,
    /// Its options, resolved.
    pub options: Options,
    /// Its workers: those of the cluster, or as many as make it comparable with the others.
    pub workers: u32,
    /// Its standbys and replicas.
    pub heirs: Vec<NodeName>,
    /// Whether the engine recovers from the death of its master.
    pub recovers_master: bool,
    /// Whether workers may join a running job and leave it.
    pub moves: bool,
}

/// One fault, with its target drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// Its place in the plan, by time, from 0.
    pub number: u32,
    /// What happens.
    pub kind: FaultKind,
    /// When, from the end of the warm-up.
    pub at: Duration,
    /// When it ends after that (`for`, `restart_after`); `None`: never.
    pub lasts: Option<Duration>,
}

/// What happens to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the scenario file's own names")]
pub enum FaultKind {
    Crash { node: NodeName },
    PowerLoss { node: NodeName },
    Pause { node: NodeName },
    Partition { between: Vec<NodeName>, and: Vec<NodeName>, one_way: bool },
    Outage { between: Vec<NodeName>, and: Vec<NodeName> },
    Delay { between: Vec<NodeName>, and: Vec<NodeName>, by: Duration },
    SlowCpu { node: NodeName, factor: f64 },
    SlowNic { node: NodeName, factor: f64 },
    DiskFull { node: NodeName },
    DiskError { node: NodeName },
    Join { node: NodeName },
    Drain { node: NodeName },
}

impl FaultKind {
    /// The node whose process the fault ends.
    pub fn ends(&self) -> Option<&NodeName> {
        match self {
            FaultKind::Crash { node } | FaultKind::PowerLoss { node } => Some(node),
            _ => None,
        }
    }

    /// The node of a fault that hits one node.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            FaultKind::Crash { node }
            | FaultKind::PowerLoss { node }
            | FaultKind::Pause { node }
            | FaultKind::SlowCpu { node, .. }
            | FaultKind::SlowNic { node, .. }
            | FaultKind::DiskFull { node }
            | FaultKind::DiskError { node }
            | FaultKind::Join { node }
            | FaultKind::Drain { node } => Some(node),
            FaultKind::Partition { .. } | FaultKind::Outage { .. } | FaultKind::Delay { .. } => None,
        }
    }

    /// The two sides of a fault that stands between nodes.
    pub fn sides(&self) -> Option<(&[NodeName], &[NodeName])> {
        match self {
            FaultKind::Partition { between, and, .. }
            | FaultKind::Outage { between, and }
            | FaultKind::Delay { between, and, .. } => Some((between, and)),
            _ => None,
        }
    }

    /// The pairs of nodes between which the fault stands.
    pub fn pairs(&self) -> impl Iterator<Item = (&NodeName, &NodeName)> {
        let (between, and) = self.sides().unwrap_or_default();
        between.iter().flat_map(move |one| and.iter().map(move |other| (one, other)))
    }

    /// The nodes that it is about.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        let (between, and) = self.sides().unwrap_or_default();
        self.node().into_iter().chain(between).chain(and)
    }

    /// The fault's node, or the first of those between which it stands.
    pub fn first_node(&self) -> &NodeName {
        let first = || self.sides().and_then(|(between, _)| between.first());
        self.node().or_else(first).expect("a plan's faults have nodes on both sides")
    }

    /// Its name in a scenario file.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Crash { .. } => "crash",
            FaultKind::PowerLoss { .. } => "power-loss",
            FaultKind::Pause { .. } => "pause",
            FaultKind::Partition { .. } => "partition",
            FaultKind::Outage { .. } => "outage",
            FaultKind::Delay { .. } => "delay",
            FaultKind::SlowCpu { .. } => "slow-cpu",
            FaultKind::SlowNic { .. } => "slow-nic",
            FaultKind::DiskFull { .. } => "disk-full",
            FaultKind::DiskError { .. } => "disk-error",
            FaultKind::Join { .. } => "join",
            FaultKind::Drain { .. } => "drain",
        }
    }
}

impl Plan {
    /// Whether the node does not run from the beginning: it joins.
    pub fn joins_later(&self, node: &NodeName) -> bool {
        self.faults.iter().any(|fault| matches!(&fault.kind, FaultKind::Join { node: late } if late == node))
    }

    /// The plan as one of its engines runs it: with that engine's nodes, and with faults that stand between one node and all
    /// others standing between it and all of those.
    pub fn of(&self, engine: &EnginePlan) -> Plan {
        let machines = ClusterPlan { workers: engine.workers, heirs: engine.heirs.clone(), ..self.cluster.clone() };
        let mut plan = Plan { engines: vec![engine.clone()], ..self.clone() };
        for fault in &mut plan.faults {
            if let FaultKind::Outage { between, and } | FaultKind::Delay { between, and, .. } = &mut fault.kind
                && let Some(node) = self.cluster.alone(between, and).cloned()
            {
                *and = machines.nodes().filter(|other| *other != node).collect();
            }
        }
        plan.cluster = machines;
        plan
    }
}

impl ClusterPlan {
    /// The nodes that a fault may stand between: workers, standbys and replicas, master, clients.
    pub fn nodes(&self) -> impl Iterator<Item = NodeName> + use<> {
        let workers = (1..=self.workers).map(NodeName::worker);
        let clients = (1..=self.clients).map(|number| NodeName::new(format!("client-{number}")));
        workers.chain(self.heirs.clone()).chain([NodeName::new("master")]).chain(clients)
    }

    /// The node that a fault between these two sides cuts off from all others, if that is what it does.
    pub fn alone<'n>(&self, between: &'n [NodeName], and: &[NodeName]) -> Option<&'n NodeName> {
        let [node] = between else { return None };
        self.nodes().filter(|other| other != node).eq(and.iter().cloned()).then_some(node)
    }
}

/// What must hold of every run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expectation {
    /// Every interval equals the oracle.
    OutputExact,
    /// Damage is exactly what follows from the faults, and the run says so.
    OutputDeclared,
    /// After every fault, results are on time again within this.
    CatchUp(Duration),
    /// This long after the last fault nothing waits that was due before, and results are on time.
    Calm(Duration),
    /// No node holds more bytes in memory of what it may put on its disk, and some are put there.
    Memory(u64),
    /// Bounds of latency percentiles, by name (`p50`, `p90`, `p99`, `p999`, `max`).
    Latency(Vec<(String, Duration)>),
}
