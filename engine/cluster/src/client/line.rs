//! Lines: what was sent to a worker stands behind what was sent to it before, first here, then there.
//!
//! Knows no batch and no patience. Invariant: only what a worker has yet to come to stands in its line; what it has passed
//! over does not.
//!
//! ```text
//! join --> queued here --left--> under way, or there --its worker acknowledges something sent later--> passed over
//! ```

use dstream_trace::{Moment, NodeName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a batch was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// To whom.
    pub(super) to: NodeName,
    /// When.
    pub(super) at: Moment,
    /// When it takes too long.
    pub(super) ends: Moment,
    /// Its number among all sends: a connection keeps them in order.
    number: u64,
}

/// How far a worker came with what it was sent.
#[derive(Debug)]
struct Progress {
    /// When it acknowledged something last.
    at: Moment,
    /// The last of the sends to it of which it has acknowledged something.
    number: u64,
}

/// The lines at all workers.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How often anything was sent.
    sends: u64,
    progress: BTreeMap<NodeName, Progress>,
    /// What was sent to these workers since then has not left yet.
    queued_since: BTreeMap<NodeName, Moment>,
}

impl Lines {
    /// Something is sent that should take no longer than this.
    pub(super) fn join(&mut self, now: Moment, to: NodeName, patience: Duration) -> Sent {
        self.sends += 1;
        Sent { to, at: now, ends: now + patience, number: self.sends }
    }

    /// The worker acknowledges something.
    pub(super) fn moved(&mut self, now: Moment, worker: &NodeName) {
        let number = self.progress.get(worker).map_or(0, |before| before.number);
        self.progress.insert(worker.clone(), Progress { at: now, number });
    }

    /// It acknowledges some of this.
    pub(super) fn came_to(&mut self, sent: &Sent) {
        if let Some(progress) = self.progress.get_mut(&sent.to) {
            progress.number = progress.number.max(sent.number);
        }
    }

    /// What was sent to the worker since then has not left yet.
    pub(super) fn queued(&mut self, to: NodeName, since: Moment) {
        self.queued_since.insert(to, since);
    }

    /// What is queued is not known any more.
    pub(super) fn forget_queues(&mut self) {
        self.queued_since.clear();
    }

    /// When it was last heard that this stands in a line: just now if it has yet to leave, or when its worker acknowledged
    /// what stood before it. Nothing if that is not known, or if the worker has passed it over.
    pub(super) fn since(&self, now: Moment, sent: &Sent) -> Option<Moment> {
        if self.queued_since.get(&sent.to).is_some_and(|since| *since <= sent.at) {
            return Some(now);
        }
        self.progress.get(&sent.to).filter(|progress| progress.number < sent.number).map(|progress| progress.at)
    }
}
