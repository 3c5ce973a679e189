//! Where a real world's events go: into the log of this process, or to whoever keeps the log of several.
//!
//! A journal is written ahead: what a node has recorded is kept before anything that follows from it leaves the node,
//! so that a process that is killed has told all that others can know of it. Invariant: once
//! [`Journal::poll_kept`] was ready, everything that was written before outlives the process that wrote it.

use dstream_trace::{Event, Moment, NodeName, SharedTrace};
use std::task::{Context, Poll};

/// Keeps events.
pub trait Journal: Send + Sync {
    /// Takes an event. Never waits.
    fn write(&self, at: Moment, node: &NodeName, event: Event);

    /// Ready when everything that was written is kept; otherwise the task is woken when it is.
    fn poll_kept(&self, context: &mut Context<'_>) -> Poll<()>;
}

/// The log of this process lasts as long as its nodes.
impl Journal for SharedTrace {
    fn write(&self, at: Moment, node: &NodeName, event: Event) {
        self.push(at, node.clone(), event);
    }

    fn poll_kept(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
