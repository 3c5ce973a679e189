//! What the outside of a real world waits for: the next event of any node, or the failure of one.
//!
//! Invariant: whoever waits wakes for every event that is recorded after it last looked, and for the first failure.

use super::clock::Began;
use super::journal::Journal;
use crate::facade::Trace;
use crate::world::WorldError;
use dstream_trace::{Event, Moment, NodeName};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    failure: Option<WorldError>,
    /// Nodes that were done and ended by themselves.
    done: BTreeSet<NodeName>,
    changes: u64,
    waiting: bool,
}

/// The log of a world, and who waits for it.
pub struct Monitor {
    /// When the world started.
    pub began: Began,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Monitor {
    /// Watches over `journal`.
    pub fn new(began: Began, journal: Arc<dyn Journal>) -> Monitor {
        Monitor { began, journal, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event.
    pub fn record(&self, node: &NodeName, event: Event) {
        self.journal.write(self.began.elapsed(), node, event);
        let mut state = self.state();
        state.changes += 1;
        if state.waiting {
            self.changed.notify_all();
        }
    }

    /// A node failed. Only the first failure of a world is kept: others may follow from it.
    pub fn fail(&self, node: &NodeName, why: String) {
        let mut state = self.state();
        let failure = WorldError::NodeFailed { node: node.clone(), at: self.began.elapsed(), why };
        state.failure.get_or_insert(failure);
        self.changed.notify_all();
    }

    /// A node was done, and ended by itself.
    pub fn done(&self, node: &NodeName) {
        self.record(node, Event::NodeEnded);
        self.state().done.insert(node.clone());
        self.changed.notify_all();
    }

    /// Blocks until the node is done; an error where one fails first.
    pub fn await_done(&self, node: &NodeName) -> Result<(), WorldError> {
        let mut state = self.state();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.done.contains(node) {
                return Ok(());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many events were recorded. Look at the log after, and wait with this number.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Blocks until `until`, or until there are more changes than `seen`. `false` when `until` passed first.
    pub fn wait(&self, until: Moment, seen: Option<u64>) -> Result<bool, WorldError> {
        let mut state = self.state();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if seen.is_some_and(|seen| state.changes > seen) {
                return Ok(true);
            }
            let left = self.began.until(until);
            if left.is_zero() {
                return Ok(false);
            }
            // Who waits for time alone is not woken by events.
            state.waiting = seen.is_some();
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting = false;
        }
    }
}

/// The trace of one life of a node; a life that is over records nothing.
pub struct NodeTrace {
    /// The world's monitor.
    pub monitor: Arc<Monitor>,
    /// The node.
    pub node: NodeName,
    /// Whether this life goes on.
    pub alive: Arc<AtomicBool>,
}

impl Trace for NodeTrace {
    fn record(&self, event: Event) {
        if self.alive.load(Ordering::Acquire) {
            self.monitor.record(&self.node, event);
        }
    }
}
