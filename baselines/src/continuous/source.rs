//! A running source: takes its input batch by batch, in each client's order, and says when an interval is whole.
//!
//! It keeps no bytes. There is no order between clients that anyone could rely on, and none is needed: what a batch becomes
//! goes out under the batch's own name (client and records), and operators give the same result in any order within an
//! interval. So a heir that takes its input again makes the same elements by construction, without a log of arrivals.
//! Invariant: an interval is sealed once, after all its records, with ranges that follow from the clients' words alone.

use crate::continuous::log::{Batch, InputLog};
use crate::continuous::message::Gate;
use dstream_cluster::client::Cut;
use dstream_trace::{BlockName, RecordRange};
use std::collections::BTreeMap;

/// client -> interval -> the number of the next interval's first record
pub type Punctuations = BTreeMap<u32, BTreeMap<u64, u64>>;

/// A whole interval of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The interval.
    pub interval: u64,
    /// Its records.
    pub ranges: Vec<RecordRange>,
    /// Its batches.
    pub blocks: Vec<BlockName>,
    /// Those of its records that no node has any more.
    pub lost: Vec<RecordRange>,
}

/// What is known of the clients' streams beside the source's own place in them.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The source's input.
    pub log: &'a InputLog,
    /// Where clients said that intervals end.
    pub punctuations: &'a Punctuations,
    /// Where clients' lives ended.
    pub gates: &'a BTreeMap<u32, Gate>,
    /// Intervals below this one lie in the past.
    pub over: u64,
}

impl Known<'_> {
    fn punctuation(&self, client: u32, interval: u64) -> Option<u64> {
        self.punctuations.get(&client)?.get(&interval).copied()
    }

    /// Where a client's part of an interval that begins with this record ends: where it said. If it cannot say any more:
    /// where it had said, so that an heir whose batches nobody has takes in none of a later interval; and if some of its
    /// records never came here, where the first batch of a later interval begins, or its life ended.
    fn end_of(&self, source: u32, client: u32, interval: u64, begin: u64) -> Option<u64> {
        if let Some(end) = self.punctuation(client, interval) {
            return Some(end);
        }
        let gate = self.gates.get(&client).filter(|gate| gate.closes(interval, self.over))?;
        if let Some(end) = gate.border(source, interval) {
            return Some(end);
        }
        let end = gate.end(source);
        Some(self.log.first_behind(client, begin, interval).map_or(end, |batch| batch.range.first.min(end)))
    }
}

/// A source's place in its clients' streams.
#[derive(Clone, Debug)]
pub struct Source {
    number: u32,
    cut: Cut,
    /// client -> its next record
    next: BTreeMap<u32, u64>,
    sealed: Option<u64>,
    /// client -> where the interval that is sealed last ended
    sealed_to: BTreeMap<u32, u64>,
    /// Records that were passed over because nobody has them, of intervals that are not sealed.
    lost: Vec<RecordRange>,
}

impl Source {
    /// A source behind the interval `through`, where each client's part of that ended.
    pub fn new(number: u32, cut: Cut, clients: u32, through: Option<u64>, known: &Known<'_>) -> Source {
        // Where nobody knows, the input itself is all there is to go by.
        let held = |client: u32| known.log.frontier(cut, number, client);
        let begin = |client: u32| match through {
            None => 0,
            Some(through) => known.end_of(number, client, through, 0).unwrap_or_else(|| held(client)),
        };
        let sealed_to: BTreeMap<u32, u64> = (1..=clients).map(|client| (client, begin(client))).collect();
        let next = sealed_to.iter().map(|(client, begin)| (*client, cut.next_of(number, *client, *begin))).collect();
        Source { number, cut, next, sealed: through, sealed_to, lost: Vec::new() }
    }

    /// The client and first record of each batch that could be next.
    pub fn wanted(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.next.iter().map(|(client, first)| (*client, *first))
    }

    /// The records were taken.
    pub fn took(&mut self, range: RecordRange) {
        self.next.insert(range.client, self.cut.next_of(self.number, range.client, range.last + 1));
    }

    /// The interval that is sealed last.
    pub fn sealed(&self) -> Option<u64> {
        self.sealed
    }

    /// Passes over records that are not in the log, whose input is whole, and that nobody will send again: of an interval
    /// whose end is known those that were acknowledged, as the client said or whoever handed the input on, and those of a
    /// client's ended life. No node has them.
    pub fn pass_over_lost(&mut self, known: &Known<'_>) {
        let interval = self.sealed.map_or(0, |sealed| sealed + 1);
        for (client, next) in &mut self.next {
            let begin = self.sealed_to.get(client).copied().unwrap_or(0);
            let Some(end) = known.end_of(self.number, *client, interval, begin) else { continue };
            let acked = known.log.floor(*client);
            let life = known.gates.get(client).map_or(0, |gate| gate.end(self.number));
            let held = known.log.next(*client, *next).map_or(u64::MAX, |batch| batch.range.first);
            let upto = end.min(acked.max(life)).min(held);
            self.lost.extend(ranges_of(self.cut, self.number, *client, *next, upto));
            *next = (*next).max(self.cut.next_of(self.number, *client, upto));
        }
    }

    /// The next interval, if all clients have closed it and all its records were taken.
    pub fn seal(&mut self, known: &Known<'_>) -> Option<Seal> {
        let interval = self.sealed.map_or(0, |sealed| sealed + 1);
        let mut ends = BTreeMap::new();
        for (client, next) in &self.next {
            let begin = self.sealed_to.get(client).copied().unwrap_or(0);
            let end = known.end_of(self.number, *client, interval, begin)?;
            if *next < end {
                return None;
            }
            ends.insert(*client, end);
        }
        let mut seal = Seal { interval, ranges: Vec::new(), blocks: Vec::new(), lost: Vec::new() };
        for (client, end) in &ends {
            let begin = self.sealed_to.get(client).copied().unwrap_or(0);
            for range in ranges_of(self.cut, self.number, *client, begin, *end) {
                seal.blocks.extend(known.log.within(range).map(Batch::name));
                seal.ranges.push(range);
            }
        }
        // Records are passed over in the open interval only.
        seal.lost = std::mem::take(&mut self.lost);
        seal.blocks.extend(seal.lost.iter().map(block_of));
        (self.sealed, self.sealed_to) = (Some(interval), ends);
        Some(seal)
    }
}

/// The name that the batch of these records had.
pub fn block_of(range: &RecordRange) -> BlockName {
    BlockName { origin: range.client, epoch: 0, number: range.first }
}

/// The records from `begin` to before `end` that go to the source, run by run.
fn ranges_of(cut: Cut, source: u32, client: u32, begin: u64, end: u64) -> Vec<RecordRange> {
    let mut ranges = Vec::new();
    let mut first = cut.next_of(source, client, begin);
    while first < end {
        let last = cut.border(first).min(end) - 1;
        ranges.push(RecordRange { client, first, last });
        first = cut.next_of(source, client, last + 1);
    }
    ranges
}
