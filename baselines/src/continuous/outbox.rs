//! The backup buffer of one operator: what it made, until every reader is safe from having to ask for it again.
//!
//! Upstream backup in one word: the reader says where it is, the writer sends from there, and keeps everything that a
//! heir of the reader would ask for (Hwang et al., ICDE'05). Invariants: a reader gets the entries in their order, each once
//! in a subscription, from the first that its position lacks; no interval's end is left out, so a reader is never told of an
//! end without what came before it.
//!
//! ```text
//! push --> [ trimmed | kept ............................ ]
//!                      ^ cursor of a reader    ^ another
//! ```

use crate::continuous::message::{NodeNumber, Position, Reader};
use bytes::Bytes;
use dstream_trace::RecordRange;
use std::collections::{BTreeMap, VecDeque};

/// One step of an operator's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its interval.
    pub interval: u64,
    /// The records that it comes from; `None`: the interval is closed.
    pub records: Option<RecordRange>,
    /// reader's partition -> its rows; one without rows is not in here
    pub parts: BTreeMap<u32, Bytes>,
    /// Names the given-up input that a closed interval lacks; 0: none.
    pub lacks: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.parts.values().map(Bytes::len).sum()
    }
}

/// What a reader has not got yet.
#[derive(Clone, Debug)]
struct Cursor {
    token: u64,
    /// The assignment that the reader knew.
    version: u64,
    /// Place of the next entry.
    next: u64,
    /// Number of the next element of this subscription.
    number: u64,
    /// Entries before this place had been made when the reader came: they are sent once more.
    again_below: u64,
}

/// An entry on its way to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where the reader is.
    pub node: NodeNumber,
    /// The entry's place: equal for all parts of one entry.
    pub place: u64,
    /// The reader.
    pub reader: Reader,
    /// Its subscription.
    pub token: u64,
    /// The element's number in it.
    pub number: u64,
    /// The interval.
    pub interval: u64,
    /// The records.
    pub records: Option<RecordRange>,
    /// The rows.
    pub rows: Bytes,
    /// [`Entry::lacks`].
    pub lacks: u64,
    /// Whether it had been sent to an earlier reader or in an earlier subscription.
    pub is_again: bool,
}

/// How many bytes may be under way to a node.
pub trait Budget {
    /// Whether the node may get another entry.
    fn has_room(&self, node: NodeNumber) -> bool;
    /// It gets so many bytes.
    fn spend(&mut self, node: NodeNumber, bytes: usize);
}

/// What cannot be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld;

/// The backup buffer.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Place of the first entry that is kept.
    base: u64,
    entries: VecDeque<Entry>,
    trimmed: Option<u64>,
    /// The interval whose end came last.
    ended: Option<u64>,
    bytes: usize,
    cursors: BTreeMap<(Reader, NodeNumber), Cursor>,
}

impl Outbox {
    /// A buffer of an operator that begins behind an interval: nothing of it or before it will come.
    pub fn behind(through: Option<u64>) -> Outbox {
        Outbox { trimmed: through, ended: through, ..Outbox::default() }
    }

    /// Appends what the operator made.
    ///
    /// # Panics
    ///
    /// The entry ends an interval, and the one before that has not ended.
    pub fn push(&mut self, entry: Entry) {
        if entry.records.is_none() {
            let (interval, next) = (entry.interval, self.ended.map_or(0, |ended| ended + 1));
            assert!(interval <= next, "interval {interval} ends, and {next} has not: readers would lack it unseen");
            self.ended = self.ended.max(Some(interval));
        }
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    /// Through which interval nobody asks any more.
    pub fn trimmed(&self) -> Option<u64> {
        self.trimmed
    }

    /// What is kept of the intervals through this one, in order.
    pub fn kept_through(&self, through: Option<u64>) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| Some(entry.interval) <= through)
    }

    /// Bytes of rows that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A reader's subscription; it replaces an earlier one of the same reader at the same node.
    pub fn subscribe(
        &mut self,
        reader: Reader,
        node: NodeNumber,
        (token, version): (u64, u64),
        position: &Position,
    ) -> Result<(), TooOld> {
        if self.trimmed > position.closed {
            return Err(TooOld);
        }
        let lacks = |entry: &Entry| match entry.records {
            _ if position.closed >= Some(entry.interval) => false,
            None => true,
            Some(range) => position.records.get(&range.client).is_none_or(|last| range.last > *last),
        };
        let skipped = self.entries.iter().take_while(|entry| !lacks(entry)).count();
        let cursor = Cursor { token, version, next: self.base + skipped as u64, number: 0, again_below: self.end() };
        self.cursors.insert((reader, node), cursor);
        Ok(())
    }

    /// Ends all subscriptions of a node.
    pub fn forget_node(&mut self, node: NodeNumber) {
        self.cursors.retain(|(_, reader), _| *reader != node);
    }

    /// Ends the subscriptions of readers at nodes that do not run them any more, as of an assignment.
    pub fn keep_readers(&mut self, version: u64, runs: impl Fn(Reader, NodeNumber) -> bool) {
        self.cursors.retain(|(reader, node), cursor| cursor.version > version || runs(*reader, *node));
    }

    /// Takes what readers have not got, in order, as long as `budget` says that their node may get more bytes: it is asked
    /// before each entry and told afterwards.
    pub fn take(&mut self, budget: &mut dyn Budget, out: &mut Vec<Outgoing>) {
        let end = self.end();
        for ((reader, node), cursor) in &mut self.cursors {
            // What was trimmed the reader has: of another replica, before this one got so far.
            cursor.next = cursor.next.max(self.base);
            while cursor.next < end && budget.has_room(*node) {
                let place = cursor.next;
                let entry = &self.entries[(place - self.base) as usize];
                cursor.next = place + 1;
                let rows = entry.parts.get(&reader.partition);
                if rows.is_none() && entry.records.is_some() {
                    continue; // nothing for this reader
                }
                let rows = rows.cloned().unwrap_or_default();
                budget.spend(*node, rows.len() + ELEMENT_BYTES);
                let (number, is_again) = (cursor.number, place < cursor.again_below);
                cursor.number += 1;
                let Entry { interval, records, lacks, .. } = *entry;
                let token = cursor.token;
                let (reader, node) = (*reader, *node);
                out.push(Outgoing { node, place, reader, token, number, interval, records, rows, lacks, is_again });
            }
        }
    }

    /// Whether any reader has not got everything.
    pub fn has_more(&self) -> bool {
        self.cursors.values().any(|cursor| cursor.next < self.end())
    }

    /// Lets go of everything through this interval.
    pub fn trim(&mut self, through: u64) {
        if self.trimmed >= Some(through) {
            return;
        }
        self.trimmed = Some(through);
        // Entries of later intervals may stand between: they stay, and what is before them with them.
        while self.entries.front().is_some_and(|entry| entry.interval <= through) {
            let gone = self.entries.pop_front().expect("there is a front");
            self.bytes -= gone.bytes();
            self.base += 1;
        }
    }

    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }
}

/// What an element counts beside its rows: about its header on the wire, so that empty ones are bounded, too.
pub const ELEMENT_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends of these intervals come in a buffer of an operator that begins behind one.
    fn ends(through: Option<u64>, intervals: &[u64]) -> Outbox {
        let mut outbox = Outbox::behind(through);
        let end = |interval: &u64| Entry { interval: *interval, records: None, parts: BTreeMap::new(), lacks: 0 };
        intervals.iter().map(end).for_each(|entry| outbox.push(entry));
        outbox
    }

    #[test]
    fn intervals_end_one_after_the_other_from_the_border_on() {
        for (through, intervals) in [(None, &[0, 1][..]), (Some(4), &[5, 6]), (Some(4), &[3, 4, 5])] {
            assert_eq!(ends(through, intervals).ended, intervals.last().copied());
        }
    }

    #[test]
    #[should_panic(expected = "interval 7 ends, and 6 has not")]
    fn an_end_that_is_left_out_is_no_result_without_it() {
        ends(Some(4), &[5, 7]);
    }
}
