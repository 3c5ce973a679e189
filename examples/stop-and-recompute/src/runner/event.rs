//! What happens to a runner, and what it does.

use crate::history::{Entry, Input};
use bytes::Bytes;
use dstream::engine::message::Batch;
use dstream::engine::{BlockName, Event, Moment, NodeName, RecordRange};
use std::time::Duration;

/// What a runner must know.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Its number.
    pub worker: u32,
    /// Partitions of keyed stages.
    pub partitions: u32,
    /// How long an entry of the log gathers records.
    pub block: Duration,
    /// Interval 0 begins here.
    pub origin: Moment,
    /// Length of an interval.
    pub interval: Duration,
    /// All clients, by number.
    pub clients: Vec<NodeName>,
}

/// What happens to a worker. Answers of store and cores carry the term for which they were asked.
#[derive(Clone, Debug)]
pub enum RunnerEvent {
    /// The master names it the runner; said again whenever the connection to the master is new.
    Named {
        /// Counts the runners.
        term: u64,
        /// Its own epoch.
        epoch: u64,
        /// The master knows what is in the intervals below this one.
        sealed_below: u64,
    },
    /// The master knows what is in the intervals below this one.
    Sealed(u64),
    /// Its epoch is over: the master or the sink says so.
    Over,
    /// A client's connection is open.
    ClientUp(NodeName),
    /// A client sends records.
    Batch(Batch, Bytes),
    /// The store has this at a place of the log; nothing: the log is shorter.
    Read {
        /// For which term it was read.
        term: u64,
        /// The place.
        number: u64,
        /// Entry and body.
        entry: Option<(Entry, Bytes)>,
    },
    /// The entry is in the log.
    Written {
        /// For which term.
        term: u64,
    },
    /// The place in the log is taken: somebody else has written there.
    Taken {
        /// For which term.
        term: u64,
    },
    /// All results of the interval are visible.
    Computed {
        /// For which term.
        term: u64,
        /// Which.
        interval: u64,
    },
    /// Time passed.
    Tick,
}

/// What a worker does.
#[derive(Clone, Debug)]
pub enum RunnerAction {
    /// Begin with nothing: no state of earlier intervals, and new connections to all clients, over which they send again
    /// whatever is not acknowledged.
    Begin {
        /// What was asked for an earlier term does not count.
        term: u64,
    },
    /// Read a place of the log.
    Read {
        /// For this term.
        term: u64,
        /// The place.
        number: u64,
    },
    /// Create an entry of the log, unless the place is taken.
    Write {
        /// For this term.
        term: u64,
        /// The place.
        number: u64,
        /// The entry.
        entry: Entry,
        /// The lines of its batches.
        body: Vec<Bytes>,
    },
    /// Tell the master what is in an interval.
    Seal {
        /// The interval.
        interval: u64,
        /// Its records.
        ranges: Vec<RecordRange>,
        /// The entries that they are in.
        blocks: Vec<BlockName>,
    },
    /// Compute an interval and hand its results in.
    Compute {
        /// For this term.
        term: u64,
        /// Under this epoch.
        epoch: u64,
        /// What is in it.
        input: Input,
        /// An earlier runner may have computed it: it was sealed when this one was named.
        again: bool,
    },
    /// These records are in the log.
    Acknowledge(Vec<RecordRange>),
    /// Tell a client which of its records are in the log.
    Known(NodeName, Vec<RecordRange>),
    /// Have a client send again what is not acknowledged.
    Redial(NodeName),
    /// Record an event.
    Record(Event),
}
