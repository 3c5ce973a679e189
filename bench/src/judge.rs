//! The verdict on one run: measured quantities, checks, and the oracle's answer.
//!
//! Knows no command line and writes nothing. Invariant: the same log gives the same verdict.

use crate::execution::{Execution, mendable, rate_per_s, record_bytes};
use crate::failure::Failure;
use crate::setup::Setup;
use crate::simulation::SIM;
use dstream_cluster::{Engine, Registry};
use dstream_scenarios::check::{Outcome, RunFacts, outcome};
use dstream_scenarios::oracle::Replay;
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_trace::Event;
use std::sync::Arc;
use std::time::Duration;

/// Measures a run and checks it against the plan.
pub fn judge(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    setup: &Setup,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let plan = &plan.of(engine_plan);
    let query = setup.workloads.query(&plan.job).map_err(mendable)?;
    let cluster = &execution.cluster;
    let log = execution.trace.lock();
    let rate = rate_per_s(plan).unwrap_or_else(|| measured_rate(plan, log.lines()));
    let record_bytes = record_bytes(cluster, &setup.workloads)?;
    let ns_per_record = engine.map_ns_per_byte(cluster, &engine_plan.options) * record_bytes;
    let facts = RunFacts {
        plan,
        engine: engine_plan,
        promise: &engine.promise(cluster, &engine_plan.options),
        query: &query,
        world: execution.world,
        trace_hash: (execution.world == SIM).then(|| log.hash()),
        tick: execution.tick,
        origin: execution.times.origin,
        warmup_end: execution.times.warmup_end,
        load_end: execution.times.load_end,
        end: execution.played.end,
        wall_s: execution.wall_s,
        nodes: execution.engine_nodes(),
        harness: execution.harness(),
        rate_per_s: rate,
        own_capacity_fraction: rate * ns_per_record / 1e9 / f64::from(cluster.workers * cluster.cores),
        bytes_per_record: record_bytes * plan.scale as f64,
        drained: execution.played.drained,
        interrupted: execution.played.interrupted,
    };
    let replay = Replay {
        oracle: &|| setup.workloads.oracle(&plan.job),
        open: &|client| setup.workloads.source(&cluster.source, client),
    };
    outcome(log.lines(), &facts, &replay).map_err(mendable)
}

/// Represented records a second of a source without a rate, over the load's time.
fn measured_rate(plan: &Plan, lines: &[dstream_trace::TraceLine]) -> f64 {
    let sent: u64 = lines
        .iter()
        .filter_map(|line| match &line.event {
            Event::RecordsSent { range, .. } => Some(range.count()),
            _ => None,
        })
        .sum();
    sent as f64 * plan.scale as f64 / (plan.warmup + plan.duration).max(Duration::from_millis(1)).as_secs_f64()
}
