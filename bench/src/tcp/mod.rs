//! Runs on real processes: the TCP world, and the command that is one of its nodes.
//!
//! The same scenario, played by the same timeline and judged by the same checks as in the simulator; here time is real.
//! What makes the log of killed processes as good as a simulated one: every process writes its events into the
//! driver's pipe before anything that follows from them leaves it (see [`pipe`]), all stamp them with one clock, and
//! the driver sorts them by that stamp when all are in.

mod board;
mod child;
mod node;
mod pipe;
mod wire;
mod world;

pub use node::{begin_node, node};

use crate::execution::{Execution, Progress, cluster, nodes, outcome, start_all, times};
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::store::StorePlace;
use crate::wall::Stopwatch;
use dstream_cluster::Engine;
use dstream_host::World;
use dstream_host::real::monotonic_ns;
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::timeline::{Times, play};
use dstream_scenarios::workload::Workloads;
use dstream_trace::{Moment, NodeName};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use wire::StoreOrder;
use world::{TcpConfig, TcpWorld};

/// The world's name.
pub const TCP: &str = "tcp";

/// How long nodes that listen have to meet before interval 0 begins, and how much longer for each of them: every pair
/// of them says hello twice.
const MEETING: Duration = Duration::from_millis(500);
const MEETING_PER_NODE: Duration = Duration::from_millis(50);

/// How long after its load a run that has nothing left to drain goes on: real time is not given away, and with starting
/// and stopping no run takes more than a quarter of a minute beyond its load.
const SETTLE: Duration = Duration::from_secs(10);

/// Runs the plan with one of its engines, in a process per node on this machine. `progress` is called as time passes
/// and may stop it.
pub fn run_on_tcp(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    workloads: &Workloads,
    progress: Progress<'_>,
) -> Result<Execution, Failure> {
    run_watched(plan, engine_plan, engine, workloads, &mut |_, _, now| progress(now))
}

/// Called as time passes, with the nodes' processes and when the parts of the run begin; it may stop the run.
pub type Watcher<'a> = &'a mut dyn FnMut(&[(NodeName, u32)], &Times, Moment) -> ControlFlow<()>;

/// The same, watched by somebody who knows which process is which node.
pub fn run_watched(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    workloads: &Workloads,
    watcher: Watcher<'_>,
) -> Result<Execution, Failure> {
    let watch = Stopwatch::start();
    let plan = &plan.of(engine_plan);
    let scratch = Scratch::new("tcp")?;
    let laid_out = nodes(&**engine, &cluster(plan, workloads, Moment::ZERO)?, &engine_plan.options)?;
    let names = laid_out.into_iter().map(|node| node.name).filter(|node| !plan.joins_later(node));
    let names: Vec<NodeName> = names.collect();
    let broken = |error| Failure::broken(format!("{}: {error}", plan.title));
    let place = store_place(plan, &scratch)?;
    let mut world = TcpWorld::open(&names, config(plan, place.clone())).map_err(broken)?;
    let meeting = MEETING + MEETING_PER_NODE * u32::try_from(names.len()).expect("a cluster has far fewer nodes");
    let cluster = cluster(plan, workloads, world.now() + meeting)?;
    let nodes = nodes(&**engine, &cluster, &engine_plan.options)?;
    let times = Times { settle: Some(SETTLE), ..times(plan, &cluster, workloads)? };
    let started = start_all(&mut world, plan, &nodes);
    let processes = world.processes();
    let progress = &mut |now: Moment| watcher(&processes, &times, now);
    let played = started.and_then(|()| play(&mut world, plan, &times, progress));
    let (played, failed) = outcome(played, world.now());
    let trace = world.finish(played.end);
    place.clear();
    let wall_s = watch.seconds();
    Ok(Execution { cluster, nodes, times, trace, played, failed, tick: None, world: TCP, wall_s })
}

/// Where the store of this run is: nobody finds there what another run left.
fn store_place(plan: &Plan, scratch: &Scratch) -> Result<StorePlace, Failure> {
    let Some(address) = &plan.cluster.store_address else {
        return Ok(StorePlace::Folder(scratch.path().join("store")));
    };
    let life = format!("run-{:016x}-{}-{:x}", plan.seed, std::process::id(), monotonic_ns());
    let place = StorePlace::S3(address.join(&life));
    place
        .prepare()
        .map_err(|why| Failure::usage(format!("{}: the store {address} cannot be used: {why}", plan.title)))?;
    Ok(place)
}

fn config(plan: &Plan, place: StorePlace) -> TcpConfig {
    let machines = &plan.cluster;
    let store = StoreOrder { place, latency: machines.store.latency, bits_per_second: machines.store.bits_per_second };
    let bits_per_second = machines.link.bits_per_second;
    TcpConfig { seed: plan.seed, bits_per_second, compute: machines.compute, store }
}
