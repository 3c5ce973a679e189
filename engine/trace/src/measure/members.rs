//! How many workers were members, and when: with fewer of them than copies, no block can have all its copies.
//!
//! Invariant: a worker counts once, from its first joining until it is declared lost or another master leads.

use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;
use std::collections::BTreeSet;

/// One change of the membership.
struct Change {
    at: Moment,
    /// Its line in the log.
    sequence: u64,
    /// Members from then on.
    count: usize,
}

/// The changes, in the log's order.
pub(super) struct Members(Vec<Change>);

impl Members {
    /// Reads the whole log.
    pub(super) fn read(lines: &[TraceLine]) -> Members {
        let mut members = BTreeSet::new();
        let mut changes = Vec::new();
        for line in lines {
            match &line.event {
                Event::WorkerJoined { worker, .. } => members.insert(worker),
                Event::WorkerLost { worker, .. } | Event::WorkerLeft { worker, .. } => members.remove(worker),
                // Another master knows nobody yet: who lives joins it anew.
                Event::MasterElected { .. } => {
                    members.clear();
                    true
                }
                _ => continue,
            };
            changes.push(Change { at: line.at, sequence: line.sequence, count: members.len() });
        }
        Members(changes)
    }

    /// How many there were at a line of the log.
    pub(super) fn at(&self, sequence: u64) -> usize {
        let after = self.0.partition_point(|change| change.sequence <= sequence);
        after.checked_sub(1).map_or(0, |last| self.0[last].count)
    }

    /// How many it takes after a fault at `t0` for its damage to be made good: one for each copy; where there never
    /// were that many, as many as there were.
    pub(super) fn enough(&self, t0: Moment, copies: usize) -> usize {
        let before = &self.0[..self.0.partition_point(|change| change.at <= t0)];
        let most = before.iter().map(|change| change.count).max().unwrap_or(0);
        if most >= copies { copies } else { before.last().map_or(0, |change| change.count) }
    }
}
