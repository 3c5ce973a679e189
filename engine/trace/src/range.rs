//! Ranges of records: `(client, first, last)`, the coin in which input is counted, acknowledged and allotted.
//!
//! Invariant of [`RangeSet`]: the ranges of a client are disjoint, not adjacent, and in order.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Records `first..=last` of one client's numbered stream. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRange {
    /// Number of the client; clients count from 1.
    pub client: u32,
    /// Sequence number of the first record; a client's records count from 0.
    pub first: u64,
    /// Sequence number of the last record, itself included.
    pub last: u64,
}

impl RecordRange {
    /// How many records the range holds; at least one.
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Debug for RecordRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.client, self.first, self.last)
    }
}

/// A set of records, kept as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet {
    /// client -> first -> last
    clients: BTreeMap<u32, BTreeMap<u64, u64>>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> RangeSet {
        RangeSet::default()
    }

    /// Adds `range` and returns the parts of it that were already in the set, in order.
    pub fn insert(&mut self, range: RecordRange) -> Vec<RecordRange> {
        let overlap = self.overlap(range);
        let ranges = self.clients.entry(range.client).or_default();
        let (mut first, mut last) = (range.first, range.last);
        // Swallow every range that overlaps or touches the new one.
        let touching: Vec<u64> = ranges
            .range(..=last.saturating_add(1))
            .rev()
            .take_while(|(_, end)| end.saturating_add(1) >= first)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            let end = ranges.remove(&start).expect("the key was just read from this map");
            first = first.min(start);
            last = last.max(end);
        }
        ranges.insert(first, last);
        overlap
    }

    /// The parts of `range` that are in the set, in order.
    pub fn overlap(&self, range: RecordRange) -> Vec<RecordRange> {
        let Some(ranges) = self.clients.get(&range.client) else { return Vec::new() };
        let mut found: Vec<RecordRange> = ranges
            .range(..=range.last)
            .rev()
            .take_while(|(_, end)| **end >= range.first)
            .map(|(start, end)| RecordRange {
                client: range.client,
                first: (*start).max(range.first),
                last: (*end).min(range.last),
            })
            .collect();
        found.reverse();
        found
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn gaps(&self, range: RecordRange) -> Vec<RecordRange> {
        let mut gaps = Vec::new();
        let mut next = range.first;
        for part in self.overlap(range) {
            if next < part.first {
                gaps.push(RecordRange { client: range.client, first: next, last: part.first - 1 });
            }
            next = part.last.saturating_add(1);
        }
        if next <= range.last {
            gaps.push(RecordRange { client: range.client, first: next, last: range.last });
        }
        gaps
    }

    /// Removes `range` from the set.
    pub fn remove(&mut self, range: RecordRange) {
        for part in self.overlap(range) {
            let ranges = self.clients.get_mut(&range.client).expect("a part of it was just found");
            let (start, end) = ranges
                .range(..=part.first)
                .next_back()
                .map(|(start, end)| (*start, *end))
                .expect("the part lies in a range that starts at or before it");
            ranges.remove(&start);
            if start < part.first {
                ranges.insert(start, part.first - 1);
            }
            if part.last < end {
                ranges.insert(part.last + 1, end);
            }
        }
    }

    /// Whether the record is in the set.
    pub fn contains(&self, client: u32, sequence: u64) -> bool {
        !self.overlap(RecordRange { client, first: sequence, last: sequence }).is_empty()
    }

    /// All ranges, by client, in order.
    pub fn iter(&self) -> impl Iterator<Item = RecordRange> + '_ {
        self.clients.iter().flat_map(|(client, ranges)| {
            ranges.iter().map(|(first, last)| RecordRange { client: *client, first: *first, last: *last })
        })
    }

    /// How many records the set holds.
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.count()).sum()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.clients.values().all(BTreeMap::is_empty)
    }
}

impl FromIterator<RecordRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = RecordRange>>(ranges: I) -> RangeSet {
        let mut set = RangeSet::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}
