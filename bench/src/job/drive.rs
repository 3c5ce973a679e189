//! Runs the job's nodes in the real world until everything that was read is in a result.
//!
//! Invariant: the log never holds more than what came since the last look, so memory does not grow with the job.

use crate::failure::Failure;
use crate::job::Results;
use crate::simulation::starter;
use dstream_cluster::{ClusterSpec, Engine, OptionValue, Options, Registry};
use dstream_host::real::{MemoryStore, RealWorld};
use dstream_host::{World, WorldError};
use dstream_trace::{Event, SharedTrace, TraceLine, TraceLog};
use std::sync::Arc;
use std::time::Duration;

/// The log is emptied at the latest when it has so many lines.
const LINES_MAX: usize = 4096;

/// Nothing happens for at most this long: then the world is asked again.
const LOOK: Duration = Duration::from_secs(60);

/// A block gathers at most this much time of input, and at most a fifth of an interval.
const BLOCK_MAX: Duration = Duration::from_millis(200);
/// And never less than this.
const BLOCK_MIN: Duration = Duration::from_millis(10);

/// Runs the job to its end; whole intervals are written as they appear.
pub fn drive(
    engine: &Arc<dyn Engine>,
    cluster: &ClusterSpec,
    registry: Arc<dyn Registry>,
    results: &mut Results,
) -> Result<(), Failure> {
    let nodes = engine.nodes(cluster, &options(cluster)).map_err(|error| Failure::usage(error.to_string()))?;
    let trace = SharedTrace::new();
    let store = Arc::new(MemoryStore::default());
    let mut world = RealWorld::new(starter(engine, registry), cluster.seed, trace.clone(), store);
    for node in nodes {
        world.start(node).map_err(broken)?;
    }
    while !results.watch.is_finished() {
        let limit = world.now() + LOOK;
        let mut looked_at = 0;
        let waited = world.run_while(limit, |log| !is_news(log, &mut looked_at));
        let lines = trace.lock().take_lines();
        for line in lines {
            if let Event::ResultsDiffer { output, interval, partition, .. } = &line.event {
                let what = format!("output `{output}`, interval {interval}, partition {partition}");
                return Err(Failure::broken(format!("two attempts at one result differ: {what}")));
            }
            results.watch.take(line);
        }
        results.write_whole()?;
        waited.map_err(broken)?;
    }
    Ok(())
}

/// Whether the log has something that may complete an interval or the job, beyond its first `looked_at` lines.
fn is_news(log: &TraceLog, looked_at: &mut usize) -> bool {
    let lines = log.lines();
    let completes = |line: &TraceLine| {
        matches!(
            line.event,
            Event::ResultVisible { .. }
                | Event::IntervalSealed { .. }
                | Event::ClientDone { .. }
                | Event::ResultsDiffer { .. }
        )
    };
    let news = lines[*looked_at..].iter().any(completes);
    *looked_at = lines.len();
    news || lines.len() >= LINES_MAX
}

/// One worker needs no second copy: there is nobody to hold it.
fn options(cluster: &ClusterSpec) -> Options {
    let block = (cluster.interval / 5).clamp(BLOCK_MIN, BLOCK_MAX);
    Options::from([
        ("interval".to_string(), OptionValue::Duration(cluster.interval)),
        ("block".to_string(), OptionValue::Duration(block)),
        ("copies".to_string(), OptionValue::Count(1)),
    ])
}

/// A client fails when its source does: that is the user's to mend. Any other node that fails is a defect.
fn broken(error: WorldError) -> Failure {
    match error {
        WorldError::NodeFailed { node, why, .. } if node.as_str().starts_with("client-") => Failure::usage(why),
        other => Failure::broken(other.to_string()),
    }
}
