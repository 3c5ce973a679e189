//! What of a client's records is held already: when it goes on where an earlier life ended, and as more is said to be held.
//!
//! Part of the client's node. Knows no connection. Invariant: what is known to be held is read and not sent.

use super::Shell;
use crate::client::ClientEvent;
use dstream_trace::{NodeName, RangeSet, RecordRange};

impl Shell {
    /// Goes on where an earlier life ended. Lines that come once and for all are not read again: what comes is new.
    pub(super) fn resume(&mut self, ranges: Vec<RecordRange>) {
        if self.source.is_live() {
            let own = ranges.iter().filter(|range| range.client == self.config.client);
            self.next_sequence = own.map(|range| range.last + 1).max().unwrap_or(0);
        }
        self.known = Some(ranges.iter().copied().collect());
        self.next_batch = self.config.origin;
        self.step(ClientEvent::Known(ranges));
    }

    /// More of its records are held, or some of them that it knew of: what was sent is acknowledged, and what is yet to be
    /// read, since an earlier life sent it, will not be sent.
    pub(super) fn learns(&mut self, by: NodeName, ranges: Vec<RecordRange>) {
        let Some(known) = &mut self.known else { return };
        let next = self.next_sequence;
        let own = |range: &RecordRange| range.client == self.config.client && range.last >= next;
        let ahead = ranges
            .iter()
            .filter(|range| own(range))
            .map(|range| RecordRange { first: range.first.max(next), ..*range });
        let new: RangeSet = ahead.flat_map(|range| known.gaps(range)).collect();
        new.iter().for_each(|range| drop(known.insert(range)));
        self.step(ClientEvent::Held { by, ranges });
        if !new.is_empty() {
            self.step(ClientEvent::Known(new.iter().collect()));
        }
    }

    /// How many of the next `records` records are known, or else how many are not before the next that is.
    pub(super) fn next_known(&self, records: u64) -> (u64, bool) {
        let first = self.next_sequence;
        let last = first.saturating_add(records.max(1) - 1);
        let range = RecordRange { client: self.config.client, first, last };
        let known = self.known.as_ref().map(|known| known.overlap(range)).unwrap_or_default();
        match known.first() {
            Some(part) if part.first == first => (part.count(), true),
            Some(part) => (part.first - first, false),
            None => (range.count(), false),
        }
    }
}
