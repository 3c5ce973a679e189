//! The log: what an entry says, and what all entries in their order mean.
//!
//! Knows neither store nor time. Invariants: two histories that took the same entries are equal, whoever wrote them and
//! however often the same records are in them; each record is in exactly one interval; intervals close in order.

use bytes::Bytes;
use dstream::engine::message::{Batch, open, seal};
use dstream::engine::query::LineBlock;
use dstream::engine::{BlockName, RangeSet, RecordRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An entry of the log: batches, and which intervals are over after them. Its body holds the lines of all batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The term of the runner that wrote it.
    pub term: u64,
    /// That runner.
    pub worker: u32,
    /// Its epoch.
    pub epoch: u64,
    /// Batches, each with its length in the body.
    pub batches: Vec<(Batch, usize)>,
    /// All intervals below this one are over.
    pub closes_below: u64,
}

/// The store's key of an entry. Entries are created, never overwritten: that decides who wrote number `number`.
pub fn key(number: u64) -> String {
    format!("log/{number:020}")
}

impl Entry {
    /// The entry as the store keeps it.
    pub fn to_bytes(&self, body: &[Bytes]) -> Bytes {
        seal(body.concat(), self)
    }

    /// An entry as the store kept it, with its body; nothing if it is none.
    pub fn read(stored: &Bytes) -> Option<(Entry, Bytes)> {
        let (entry, body) = open::<Entry>(stored).ok()?;
        let bytes: usize = entry.batches.iter().map(|(_, bytes)| bytes).sum();
        (bytes == body.len()).then_some((entry, body))
    }

    /// The records that are in it.
    pub fn ranges(&self) -> Vec<RecordRange> {
        self.batches.iter().map(|(batch, _)| batch.range).collect()
    }

    /// What the log of the run calls it.
    pub fn name(&self, number: u64) -> BlockName {
        BlockName { origin: self.worker, epoch: self.epoch, number }
    }
}

/// The input of an interval that is over.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The interval.
    pub interval: u64,
    /// Its lines, in the order of the log.
    pub blocks: Vec<LineBlock>,
    /// Its records.
    pub ranges: Vec<RecordRange>,
    /// The entries that they are in.
    pub names: Vec<BlockName>,
}

impl Input {
    /// How much memory its lines take.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.lines.len()).sum()
    }
}

/// What the entries so far mean.
#[derive(Debug, Default)]
pub struct History {
    known: RangeSet,
    open: BTreeMap<u64, Input>,
    closed_below: u64,
}

impl History {
    /// Takes the next entry; returns the intervals that it closes.
    pub fn take(&mut self, number: u64, entry: &Entry, body: &Bytes) -> Vec<Input> {
        let mut at = 0;
        for (batch, bytes) in &entry.batches {
            self.add(entry.name(number), batch, body.slice(at..at + bytes));
            at += bytes;
        }
        let over = self.closed_below..entry.closes_below;
        self.closed_below = self.closed_below.max(entry.closes_below);
        over.map(|interval| self.open.remove(&interval).unwrap_or(Input { interval, ..Input::default() })).collect()
    }

    /// A batch belongs to the interval in which its records were due, or to the first one that is not over.
    fn add(&mut self, name: BlockName, batch: &Batch, lines: Bytes) {
        let Batch { range, interval } = batch;
        let interval = self.closed_below.max(*interval);
        let fresh = self.known.gaps(*range);
        let twice = self.known.insert(*range);
        if fresh.is_empty() {
            return;
        }
        let lines_of = |part: RecordRange| part.first - range.first..part.last - range.first + 1;
        let skip = twice.into_iter().map(lines_of).collect();
        let input = self.open.entry(interval).or_insert(Input { interval, ..Input::default() });
        input.blocks.push(LineBlock { lines, records: range.count(), skip });
        input.ranges.extend(fresh);
        if input.names.last() != Some(&name) {
            input.names.push(name);
        }
    }

    /// Whether all of these records are in the log.
    pub fn has(&self, range: RecordRange) -> bool {
        self.known.gaps(range).is_empty()
    }

    /// The records of a client that are in the log.
    pub fn of_client(&self, client: u32) -> Vec<RecordRange> {
        self.known.iter().filter(|range| range.client == client).collect()
    }

    /// All intervals below this one are over.
    pub fn closed_below(&self) -> u64 {
        self.closed_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u64, last: u64) -> RecordRange {
        RecordRange { client: 1, first, last }
    }

    /// An entry with batches (first, last, interval of each).
    fn entry(batches: &[(u64, u64, u64)], closes_below: u64) -> (Entry, Bytes) {
        let batch =
            |(first, last, interval): &(u64, u64, u64)| Batch { range: range(*first, *last), interval: *interval };
        let lines =
            |batch: &Batch| (batch.range.first..=batch.range.last).map(|n| format!("{n}\n")).collect::<String>();
        let batches: Vec<Batch> = batches.iter().map(batch).collect();
        let body: Vec<Bytes> = batches.iter().map(|batch| Bytes::from(lines(batch))).collect();
        let batches = batches.into_iter().zip(&body).map(|(batch, lines)| (batch, lines.len())).collect();
        let entry = Entry { term: 1, worker: 1, epoch: 1, batches, closes_below };
        Entry::read(&entry.to_bytes(&body)).expect("what was written is read")
    }

    /// (interval, its records) of all that the entries close.
    fn closed(entries: &[(Entry, Bytes)]) -> Vec<(u64, Vec<RecordRange>)> {
        let mut history = History::default();
        let numbered = (0..).zip(entries);
        let taken = numbered.flat_map(|(number, (entry, body))| history.take(number, entry, body)).collect::<Vec<_>>();
        for input in &taken {
            let read: u64 = input.blocks.iter().map(LineBlock::records_read).sum();
            assert_eq!(read, input.ranges.iter().map(RecordRange::count).sum::<u64>(), "{input:?}");
        }
        taken.into_iter().map(|input| (input.interval, input.ranges)).collect()
    }

    #[test]
    fn a_record_counts_where_it_stands_first() {
        let check = |entries: &[(Entry, Bytes)], expected: &[(u64, &[RecordRange])]| {
            let expected: Vec<_> = expected.iter().map(|(interval, ranges)| (*interval, ranges.to_vec())).collect();
            assert_eq!(closed(entries), expected);
        };
        check(&[entry(&[(0, 4, 0)], 0), entry(&[(3, 7, 0)], 1)], &[(0, &[range(0, 4), range(5, 7)])]);
        // Late records are in the first interval that is not over; early ones wait for theirs.
        check(
            &[entry(&[], 1), entry(&[(0, 4, 0), (5, 5, 2)], 3)],
            &[(0, &[]), (1, &[range(0, 4)]), (2, &[range(5, 5)])],
        );
        // What is over stays as it is, whoever closes it again.
        check(&[entry(&[(0, 0, 0)], 1), entry(&[(0, 0, 0), (1, 1, 0)], 1)], &[(0, &[range(0, 0)])]);
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused() {
        let (short, _) = entry(&[(0, 4, 0)], 0);
        for stored in [Bytes::new(), Bytes::from_static(b"abc"), short.to_bytes(&[])] {
            assert_eq!(Entry::read(&stored), None);
        }
    }

    proptest! {
        #[test]
        fn every_record_is_in_one_interval_and_intervals_close_in_order(
            drawn in prop::collection::vec((prop::collection::vec((0u64..40, 0u64..6, 0u64..8), 0..4), 0u64..8), 0..12)
        ) {
            let batches = |batches: &[(u64, u64, u64)]| -> Vec<(u64, u64, u64)> {
                batches.iter().map(|(first, more, interval)| (*first, first + more, *interval)).collect()
            };
            let mut entries: Vec<_> = drawn.iter().map(|(own, closes)| entry(&batches(own), *closes)).collect();
            entries.push(entry(&[], 9));
            let intervals = closed(&entries);
            let mut seen = RangeSet::new();
            for (expected, (interval, ranges)) in (0..).zip(&intervals) {
                prop_assert_eq!(*interval, expected);
                for range in ranges {
                    prop_assert_eq!(seen.insert(*range), vec![]);
                }
            }
            let sent: RangeSet = entries.iter().flat_map(|(entry, _)| entry.ranges()).collect();
            prop_assert_eq!(seen, sent);
        }
    }
}
