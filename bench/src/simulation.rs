//! One engine runs one plan in the simulator; what comes out is the log and how the run ended.
//!
//! Knows no check and writes nothing. Invariant: with the same plan and engine it gives the same log.

use crate::failure::Failure;
use crate::wall::Stopwatch;
use dstream_cluster::{ClusterSpec, Engine, JobError, LineSource, Pace, Registry};
use dstream_host::{NodeSpec, NodeStart, World, WorldError};
use dstream_scenarios::plan::{EnginePlan, Plan, SourcePlan};
use dstream_scenarios::timeline::{Played, Times, play};
use dstream_scenarios::workload::Workloads;
use dstream_sim::{SimConfig, SimWorld};
use dstream_trace::{Moment, NodeName, SharedTrace};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Interval 0 and the load begin so long after the nodes start: all of them have met by then.
const START_UP: Duration = Duration::from_secs(1);

/// The most that a source without a rate gives, an interval, all clients together. The contract's number.
const BYTES_PER_INTERVAL: u64 = 64 << 20;

/// So many of a source's first records say how long one is.
const SAMPLED_RECORDS: u64 = 1000;

/// A run that has ended, well or not.
pub struct Simulation {
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
    /// Length of the network's step.
    pub tick: Duration,
    /// How long it took on the wall, in seconds.
    pub wall_s: f64,
}

impl Simulation {
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

/// Runs the plan with one of its engines, in the simulator. `progress` is called as virtual time passes and may stop
/// it.
pub fn simulate(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    workloads: Arc<Workloads>,
    progress: &mut dyn FnMut(Moment) -> ControlFlow<()>,
) -> Result<Simulation, Failure> {
    let watch = Stopwatch::start();
    let cluster = cluster(plan, &workloads)?;
    let nodes = engine.nodes(&cluster, &engine_plan.options).map_err(|error| Failure::usage(error.to_string()))?;
    let query = workloads.query(&plan.job).map_err(mendable)?;
    let times = Times {
        origin: cluster.origin,
        warmup_end: cluster.origin + plan.warmup,
        load_end: cluster.load_end,
        outputs: query.outputs.iter().map(|output| output.name.clone()).collect(),
    };
    let config = config(plan);
    let tick = config.tick;
    let world = SimWorld::new(config, starter(engine, workloads));
    let mut world = world.map_err(|error| Failure::usage(format!("{}: {error}", plan.title)))?;
    let failed = nodes.iter().try_for_each(|node| world.start(node.clone())).err();
    let played = match failed {
        Some(failed) => Err(failed),
        None => play(&mut world, plan, &times, progress),
    };
    let (trace, end) = (world.trace(), world.now());
    let (played, failed) = match played {
        Ok(played) => (played, None),
        Err(failed) => (Played { end, drained: false, interrupted: true }, Some(failed)),
    };
    Ok(Simulation { cluster, nodes, times, trace, played, failed, tick, wall_s: watch.seconds() })
}

fn config(plan: &Plan) -> SimConfig {
    let machines = &plan.cluster;
    SimConfig {
        seed: plan.seed,
        latency: machines.link.latency,
        bits_per_second: machines.link.bits_per_second,
        store_latency: machines.store.latency,
        store_bits_per_second: machines.store.bits_per_second,
        ..SimConfig::default()
    }
}

/// The function that a world starts nodes with.
pub fn starter(engine: &Arc<dyn Engine>, registry: Arc<dyn Registry>) -> NodeStart {
    let engine = engine.clone();
    Arc::new(move |node, host| engine.start(node, host, registry.clone()))
}

fn cluster(plan: &Plan, workloads: &Workloads) -> Result<ClusterSpec, Failure> {
    let machines = &plan.cluster;
    let origin = Moment::ZERO + START_UP;
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
