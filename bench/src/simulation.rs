//! One engine runs one plan in the simulator; what comes out is the log and how the run ended.
//!
//! Knows no check and writes nothing. Invariant: with the same plan and engine it gives the same log.

use crate::execution::{Execution, Progress, cluster, nodes, outcome, start_all, starter, times};
use crate::failure::Failure;
use crate::wall::Stopwatch;
use dstream_cluster::Engine;
use dstream_host::{NodeSpec, World};
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::timeline::play;
use dstream_scenarios::workload::Workloads;
use dstream_sim::{SimConfig, SimWorld};
use dstream_trace::{Moment, NodeName};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The world's name.
pub const SIM: &str = "sim";

/// Interval 0 and the load begin so long after the nodes start: all of them have met by then.
const START_UP: Duration = Duration::from_secs(1);

/// Up to so many nodes each has a host of its own. turmoil's time for a step grows with the third power of the number of
/// hosts: with 80 it is most of what a run takes, with these nobody notices it.
const MOST_HOSTS: usize = 24;

/// Runs the plan with one of its engines, in the simulator. `progress` is called as virtual time passes and may stop
/// it.
pub fn simulate(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    workloads: Arc<Workloads>,
    progress: Progress<'_>,
) -> Result<Execution, Failure> {
    let watch = Stopwatch::start();
    let plan = &plan.of(engine_plan);
    if let Some(address) = &plan.cluster.store_address {
        let what = format!("{}: the simulator has a store of its own and knows no {address}", plan.title);
        return Err(Failure::usage(format!("{what}; leave `cluster.store.url` out, or run it with `--world tcp`")));
    }
    let cluster = cluster(plan, &workloads, Moment::ZERO + START_UP)?;
    let nodes = nodes(&**engine, &cluster, &engine_plan.options)?;
    let times = times(plan, &cluster, &workloads)?;
    let config = SimConfig { sharing: sharing(plan, &nodes), ..config(plan) };
    let tick = Some(config.tick);
    let world = SimWorld::new(config, starter(engine, workloads));
    let mut world = world.map_err(|error| Failure::usage(format!("{}: {error}", plan.title)))?;
    let failed = start_all(&mut world, plan, &nodes).err();
    let played = match failed {
        Some(failed) => Err(failed),
        None => play(&mut world, plan, &times, progress),
    };
    let (trace, end) = (world.trace(), world.now());
    let (played, failed) = outcome(played, end);
    let wall_s = watch.seconds();
    Ok(Execution { cluster, nodes, times, trace, played, failed, tick, world: SIM, wall_s })
}

/// The clients that no fault names, where there are so many nodes that a host for each would cost more than all they do.
fn sharing(plan: &Plan, nodes: &[NodeSpec]) -> BTreeSet<NodeName> {
    if nodes.len() <= MOST_HOSTS {
        return BTreeSet::new();
    }
    let is_hit = |name: &NodeName| plan.faults.iter().any(|fault| fault.kind.names().any(|hit| hit == name));
    let clients = nodes.iter().map(|node| &node.name).filter(|name| name.as_str().starts_with("client-"));
    clients.filter(|name| !is_hit(name)).cloned().collect()
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
