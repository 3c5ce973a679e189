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

/// What has not left yet for a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// What was sent since then.
    pub(super) since: Moment,
    /// When something left last.
    pub(super) moved: Moment,
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
    /// What has not left yet.
    queues: BTreeMap<NodeName, Queue>,
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

    /// This has not left yet for the worker.
    pub(super) fn queued(&mut self, to: NodeName, queue: Queue) {
        self.queues.insert(to, queue);
    }

    /// What is queued is not known any more.
    pub(super) fn forget_queues(&mut self) {
        self.queues.clear();
    }

    /// When the line moved last in which this stands: what stood before it has left since, or its worker has acknowledged
    /// it. Nothing if neither is known, or if the worker has passed it over.
    pub(super) fn since(&self, sent: &Sent) -> Option<Moment> {
        if let Some(queue) = self.queues.get(&sent.to).filter(|queue| queue.since <= sent.at) {
            return Some(queue.moved);
        }
        self.progress.get(&sent.to).filter(|progress| progress.number < sent.number).map(|progress| progress.at)
    }
}
