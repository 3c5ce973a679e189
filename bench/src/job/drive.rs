//! Runs the job's nodes in the real world until everything that was read is in a result.
//!
//! Invariants: where results find no room, nothing is read, and nothing of what was read is lost while the process
//! lives; the log never holds more than what came since the last look, so memory does not grow with the job.

use crate::cluster::Remote;
use crate::console;
use crate::execution::starter;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::job::Results;
use crate::job::tap::Valve;
use crate::job::write::Written;
use dstream_cluster::{ClusterSpec, Engine, Registry};
use dstream_host::real::{Began, MemoryStore, RealWorld};
use dstream_host::{World, WorldError};
use dstream_trace::{Event, Moment, SharedTrace, TraceLine, TraceLog};
use std::sync::Arc;
use std::time::Duration;

/// The log is emptied at the latest when it has so many lines.
const LINES_MAX: usize = 4096;

/// Nothing happens for at most this long: then the world is asked again, and whether the user asked for the end.
const LOOK: Duration = Duration::from_secs(1);

/// After the user asked for the end, a job on a cluster waits so long for its next interval, or for three of them: where it
/// does not come, it rests. That takes as long as a process needs to be lost and its work to be done elsewhere.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How often a full disk is tried again: soon for people, rare for the disk.
const ROOM_LOOK: Duration = Duration::from_secs(1);

/// Intervals that may wait for room. Nothing is read meanwhile, so nearly all of them are empty and small.
const WAITING_MAX: usize = 100_000;

/// What a full disk pulls.
pub struct Reins {
    /// Whether the user asked for the end.
    pub stop: Interrupt,
    /// Closed while results find no room: nothing is read then.
    pub valve: Valve,
    /// How long the end waits for the next interval: for ever where what was read is in this process alone.
    pub end_limit: Option<Duration>,
}

/// How long the end waits for the next interval of this length on a cluster.
pub fn end_limit(interval: Duration) -> Duration {
    END_LIMIT.max(interval * 3)
}

/// Where the job runs, as this process sees it.
pub trait Site {
    /// Time since the run began.
    fn now(&self) -> Moment;

    /// What happened since the last look; waits until `limit` for something that completes an interval, if it must. And
    /// whether the run goes on.
    fn look(&mut self, limit: Moment) -> (Vec<TraceLine>, Result<(), Failure>);
}

/// Writes whole intervals as they appear, until everything that was read is in a result.
pub fn drive(site: &mut dyn Site, results: &mut Results, reins: &Reins) -> Result<(), Failure> {
    let mut room = Room::Enough;
    // Since when no interval has come out after the user asked for the end, and how many had by then.
    let mut ending: Option<(Moment, u64)> = None;
    while !results.is_finished() {
        let (lines, goes_on) = site.look((site.now() + LOOK).min(room.look_at()));
        for line in lines {
            take(line, results)?;
        }
        room = room.write(site.now(), results, reins)?;
        goes_on?;
        if let Some(limit) = reins.end_limit.filter(|_| reins.stop.is_raised()) {
            let (now, out) = (site.now(), results.watch.intervals());
            let (since, _) = *ending.take_if(|(_, before)| *before == out).get_or_insert((now, out));
            ending = Some((since, out));
            if now.since(since) >= limit {
                return Err(Failure { ending: Ending::Undecided, message: no_end(out, limit) });
            }
        }
    }
    Ok(())
}

fn no_end(out: u64, limit: Duration) -> String {
    format!(
        "the end does not come: the result of interval {out} was waited for for {limit:?}; it and later ones are not \
         written. The lines above say what is in the way; the job rests in the master's store, and the same command \
         goes on with it"
    )
}

/// All nodes in this process.
pub struct Here {
    world: RealWorld,
    trace: SharedTrace,
}

impl Here {
    /// Starts the nodes.
    pub fn start(
        engine: &Arc<dyn Engine>,
        cluster: &ClusterSpec,
        registry: Arc<dyn Registry>,
    ) -> Result<Here, Failure> {
        let options = crate::cluster::options_here(cluster);
        let nodes = engine.nodes(cluster, &options).map_err(|error| Failure::usage(error.to_string()))?;
        let trace = SharedTrace::new();
        let store = Arc::new(MemoryStore::default());
        let mut world = RealWorld::new(starter(engine, registry), cluster.seed, trace.clone(), store);
        for node in nodes {
            world.start(node).map_err(broken)?;
        }
        Ok(Here { world, trace })
    }
}

impl Site for Here {
    fn now(&self) -> Moment {
        self.world.now()
    }

    fn look(&mut self, limit: Moment) -> (Vec<TraceLine>, Result<(), Failure>) {
        let mut looked_at = 0;
        let waited = self.world.run_while(limit, |log| !is_news(log, &mut looked_at));
        (self.trace.lock().take_lines(), waited.map(drop).map_err(broken))
    }
}

/// On a cluster.
pub struct Elsewhere {
    /// The way to it.
    pub remote: Remote,
    /// When the run began.
    pub began: Began,
}

impl Site for Elsewhere {
    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn look(&mut self, limit: Moment) -> (Vec<TraceLine>, Result<(), Failure>) {
        self.remote.look(self.began.until(limit))
    }
}

fn take(line: TraceLine, results: &mut Results) -> Result<(), Failure> {
    match &line.event {
        Event::ResultsDiffer { output, interval, partition, .. } => {
            let what = format!("output `{output}`, interval {interval}, partition {partition}");
            return Err(Failure::broken(format!("two attempts at one result differ: {what}")));
        }
        Event::WorkerLost { worker, .. } => console::log(&format!("the master gave {worker} up")),
        Event::CopiesBelow { blocks } => {
            match (results.copies_lack, *blocks) {
                (false, 1) => console::log("one block of records has fewer copies than promised"),
                (false, 2..) => console::log(&format!("{blocks} blocks of records have fewer copies than promised")),
                (true, 0) => console::log("all blocks of records have their copies again"),
                _ => {}
            }
            results.copies_lack = *blocks > 0;
        }
        _ => {}
    }
    let before = results.watch.lost();
    results.watch.take(line);
    let lost = results.watch.lost() - before;
    if lost > 0 {
        console::log(&format!("{lost} lines are lost: every worker that held them is gone"));
    }
    Ok(())
}

/// Whether results find room.
///
/// ```text
/// enough --no room--> none: nothing is read --every second: room?--> enough
///                        +--after Ctrl-C, or too much waits--> the job fails
/// ```
#[derive(Clone, Copy)]
enum Room {
    Enough,
    None { look_at: Moment },
}

impl Room {
    fn look_at(self) -> Moment {
        match self {
            Room::Enough => Moment::NEVER,
            Room::None { look_at } => look_at,
        }
    }

    /// Writes what is whole, or waits for its time to try again.
    fn write(self, now: Moment, results: &mut Results, reins: &Reins) -> Result<Room, Failure> {
        let was_full = matches!(self, Room::None { .. });
        if was_full && now < self.look_at() {
            return Ok(self);
        }
        match results.write_whole()? {
            Written::Whole => {
                if was_full {
                    console::log("there is room again: the results that waited are written");
                    reins.valve.set_closed(false);
                }
                Ok(Room::Enough)
            }
            Written::NoRoom(why) if reins.stop.is_raised() || results.watch.waiting() > WAITING_MAX => {
                let from = results.watch.intervals() - 1;
                Err(Failure::usage(format!("{why}; the results from interval {from} on are not written")))
            }
            Written::NoRoom(why) => {
                if !was_full {
                    console::log(&format!("{why}; nothing more is read until there is room; trying every second"));
                    reins.valve.set_closed(true);
                }
                Ok(Room::None { look_at: now + ROOM_LOOK })
            }
        }
    }
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

/// A client fails when its source does: that is the user's to mend. Any other node that fails is a defect.
fn broken(error: WorldError) -> Failure {
    match error {
        WorldError::NodeFailed { node, why, .. } if node.as_str().starts_with("client-") => Failure::usage(why),
        other => Failure::from(other),
    }
}
