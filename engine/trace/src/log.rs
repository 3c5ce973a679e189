//! The log of a run: events stamped with time, a running number and the node.
//!
//! Invariant: line `n` of the log has sequence number `n`, and times never decrease from line to line in the simulator, or
//! once a log of several processes is settled.

use crate::event::Event;
use crate::moment::Moment;
use crate::name::NodeName;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One event with its stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceLine {
    /// When, on the world's clock.
    pub at: Moment,
    /// Position in the log, from 0.
    pub sequence: u64,
    /// Where; faults are recorded by the node `driver`.
    pub node: NodeName,
    /// What.
    pub event: Event,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {:?}", self.at.0, self.sequence, self.node, self.event)
    }
}

/// All events of a run, in order.
#[derive(Debug, Default)]
pub struct TraceLog {
    /// How many lines were taken out; the first of `lines` has this sequence number.
    taken: u64,
    lines: Vec<TraceLine>,
}

impl TraceLog {
    /// Appends an event.
    pub fn push(&mut self, at: Moment, node: NodeName, event: Event) {
        let sequence = self.taken + self.lines.len() as u64;
        self.lines.push(TraceLine { at, sequence, node, event });
    }

    /// All lines so far.
    pub fn lines(&self) -> &[TraceLine] {
        &self.lines
    }

    /// Takes all lines out and leaves the log empty; their numbering goes on. For runs that are too long to be kept.
    pub fn take_lines(&mut self) -> Vec<TraceLine> {
        self.taken += self.lines.len() as u64;
        std::mem::take(&mut self.lines)
    }

    /// Puts lines that came from several processes in the order of their times and numbers them anew; drops those
    /// after `end`. Lines of the same moment keep their order.
    pub fn settle(&mut self, end: Moment) {
        self.lines.retain(|line| line.at <= end);
        self.lines.sort_by_key(|line| line.at);
        for (sequence, line) in (self.taken..).zip(&mut self.lines) {
            line.sequence = sequence;
        }
    }

    /// A digest of the log's text, as 32 hexadecimal digits: equal digests mean equal runs.
    pub fn hash(&self) -> String {
        use fmt::Write as _;
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        let mut text = String::new();
        for line in &self.lines {
            text.clear();
            writeln!(text, "{line}").expect("writing to a string does not fail");
            hasher.update(text.as_bytes());
        }
        format!("{:032x}", hasher.digest128())
    }
}

/// The log that all nodes of a world write into.
#[derive(Clone, Debug, Default)]
pub struct SharedTrace(Arc<Mutex<TraceLog>>);

impl SharedTrace {
    /// An empty log.
    pub fn new() -> SharedTrace {
        SharedTrace::default()
    }

    /// Appends an event.
    pub fn push(&self, at: Moment, node: NodeName, event: Event) {
        self.lock().push(at, node, event);
    }

    /// The log, locked for reading. A node that panicked while writing leaves whole lines only, so its poison is ignored.
    pub fn lock(&self) -> MutexGuard<'_, TraceLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
