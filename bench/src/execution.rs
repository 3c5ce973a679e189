//! What every run of a plan needs, whatever the world: the cluster that a plan describes, and the log that comes of it.
//!
//! Knows no world. Invariant: with the same plan and origin it gives the same cluster.

use crate::failure::Failure;
use dstream_cluster::{ClusterSpec, Engine, JobError, LineSource, Options, Pace, Registry};
use dstream_host::{NodeSpec, NodeStart, World, WorldError};
use dstream_scenarios::plan::{Plan, SourcePlan};
use dstream_scenarios::timeline::{Played, Times};
use dstream_scenarios::workload::Workloads;
use dstream_trace::{Moment, NodeName, SharedTrace};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// The most that a source without a rate gives, an interval, all clients together. The contract's number.
const BYTES_PER_INTERVAL: u64 = 64 << 20;

/// So many of a source's first records say how long one is.
const SAMPLED_RECORDS: u64 = 1000;

/// A run that has ended, well or not.
pub struct Execution {
    /// What was laid out.
    pub cluster: ClusterSpec,
    /// Its nodes.
    pub nodes: Vec<NodeSpec>,
    /// When its parts began and ended.
    pub times: Times,
    /// Everything that happened.
    pub trace: SharedTrace,
    /// How it ended.
    pub played: Played,
    /// Why it ended early, if a node or the world failed.
    pub failed: Option<WorldError>,
    /// Length of the network's step; `None` where time is real.
    pub tick: Option<Duration>,
    /// The world's name in results and run directories.
    pub world: &'static str,
    /// How long it took on the wall, in seconds.
    pub wall_s: f64,
}

impl Execution {
    /// Nodes of the harness: no engine's cost.
    pub fn harness(&self) -> Vec<NodeName> {
        self.nodes.iter().filter(|node| is_harness(node)).map(|node| node.name.clone()).collect()
    }

    /// Nodes without those of the harness.
    pub fn engine_nodes(&self) -> u32 {
        let count = self.nodes.iter().filter(|node| !is_harness(node)).count();
        u32::try_from(count).expect("a cluster has far fewer nodes")
    }
}

fn is_harness(node: &NodeSpec) -> bool {
    node.harness || node.name.as_str().starts_with("client-")
}

/// Starts all nodes; one that joins later is only made known.
pub fn start_all(world: &mut dyn World, plan: &Plan, nodes: &[NodeSpec]) -> Result<(), WorldError> {
    nodes.iter().try_for_each(|node| match plan.joins_later(&node.name) {
        true => world.enrol(node.clone()),
        false => world.start(node.clone()),
    })
}

/// When the parts of a run of this cluster begin and end.
pub fn times(plan: &Plan, cluster: &ClusterSpec, workloads: &Workloads) -> Result<Times, Failure> {
    let query = workloads.query(&plan.job).map_err(mendable)?;
    Ok(Times {
        origin: cluster.origin,
        warmup_end: cluster.origin + plan.warmup,
        load_end: cluster.load_end,
        settle: None,
        outputs: query.outputs.iter().map(|output| (output.name.clone(), output.every)).collect(),
    })
}

/// How a run ended, and why it ended early if the world failed at `end`.
pub fn outcome(played: Result<Played, WorldError>, end: Moment) -> (Played, Option<WorldError>) {
    match played {
        Ok(played) => (played, None),
        Err(failed) => (Played { end, drained: false, interrupted: true }, Some(failed)),
    }
}

/// The nodes that the engine lays out.
pub fn nodes(engine: &dyn Engine, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, Failure> {
    engine.nodes(cluster, options).map_err(|error| Failure::usage(error.to_string()))
}

/// Called as a run's time passes; may stop it.
pub type Progress<'a> = &'a mut dyn FnMut(Moment) -> ControlFlow<()>;

/// The function that a world starts nodes with.
pub fn starter(engine: &Arc<dyn Engine>, registry: Arc<dyn Registry>) -> NodeStart {
    let engine = engine.clone();
    Arc::new(move |node, host| engine.start(node, host, registry.clone()))
}

/// The cluster that the plan describes, with interval 0 at `origin`.
pub fn cluster(plan: &Plan, workloads: &Workloads, origin: Moment) -> Result<ClusterSpec, Failure> {
    let machines = &plan.cluster;
    let source = workloads.source_spec(&plan.job, &plan.source, plan.seed, machines.clients).map_err(mendable)?;
    Ok(ClusterSpec {
        workers: machines.workers,
        cores: machines.cores,
        clients: machines.clients,
        partitions: machines.partitions,
        heartbeat: machines.heartbeat,
        failure_timeout: machines.failure_timeout,
        costs: machines.costs.clone(),
        scale: plan.scale,
        seed: plan.seed,
        job: plan.job.clone(),
        source: source.to_bytes(),
        pace: pace(plan),
        interval: plan.interval,
        origin,
        load_end: origin + plan.warmup + plan.duration,
    })
}

/// Represented records a second, all clients together, if the source has a rate.
pub fn rate_per_s(plan: &Plan) -> Option<f64> {
    match &plan.source {
        SourcePlan::Generate { rate_per_s, .. } => Some(*rate_per_s),
        SourcePlan::File { rate_per_s, .. } => *rate_per_s,
        SourcePlan::Pool { rate_per_s, .. } => Some(*rate_per_s),
    }
}

fn pace(plan: &Plan) -> Pace {
    let clients = plan.cluster.clients;
    match rate_per_s(plan) {
        Some(rate) => Pace::Rate { per_second: rate / plan.scale as f64 / f64::from(clients) },
        None => Pace::Max { bytes_per_interval: BYTES_PER_INTERVAL / u64::from(clients) },
    }
}

/// Mean length of the source's first records, in bytes; zero for an empty source.
pub fn record_bytes(cluster: &ClusterSpec, workloads: &Workloads) -> Result<f64, Failure> {
    let mut lines = Vec::new();
    let mut source: Box<dyn LineSource> = workloads.source(&cluster.source, 1).map_err(mendable)?;
    let read = source.fill(SAMPLED_RECORDS, usize::MAX, &mut lines).map_err(mendable)?;
    Ok(if read == 0 { 0.0 } else { lines.len() as f64 / read as f64 })
}

/// What jobs and sources refuse is in the scenario or in its files.
pub fn mendable(error: JobError) -> Failure {
    Failure::usage(error.to_string())
}
