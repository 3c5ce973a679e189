//! A running source: takes its input batch by batch, in each client's order, and says when an interval is whole.
//!
//! It keeps no bytes. There is no order between clients that anyone could rely on, and none is needed: what a batch becomes
//! goes out under the batch's own name (client and records), and operators give the same result in any order within an
//! interval. So a heir that takes its input again makes the same elements by construction, without a log of arrivals.
//! Invariant: an interval is sealed once, after all its records, with ranges that follow from the clients' words alone.

use crate::continuous::log::{Batch, InputLog};
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

/// A source's place in its clients' streams.
#[derive(Clone, Debug)]
pub struct Source {
    number: u32,
    cut: Cut,
    /// client -> its next record
    next: BTreeMap<u32, u64>,
    sealed: Option<u64>,
    /// Records that were passed over because nobody has them, of intervals that are not sealed.
    lost: Vec<RecordRange>,
}

impl Source {
    /// A source behind the interval `through`, where `punctuations` say where each client then was.
    pub fn new(number: u32, cut: Cut, clients: u32, through: Option<u64>, punctuations: &Punctuations) -> Source {
        let end = |client: u32| Some(*punctuations.get(&client)?.get(&through?)?);
        let begin = |client: u32| cut.next_of(number, client, end(client).unwrap_or(0));
        let next = (1..=clients).map(|client| (client, begin(client))).collect();
        Source { number, cut, next, sealed: through, lost: Vec::new() }
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

    /// Passes over acknowledged records that are not in the log, whose interval is known and whose input is whole: no node
    /// has them. `acked_below` says from where on a client would send again.
    pub fn pass_over_lost(&mut self, log: &InputLog, punctuations: &Punctuations, acked_below: &BTreeMap<u32, u64>) {
        let interval = self.sealed.map_or(0, |sealed| sealed + 1);
        for (client, next) in &mut self.next {
            let Some(end) = punctuations.get(client).and_then(|ends| ends.get(&interval)) else { continue };
            let acked = acked_below.get(client).copied().unwrap_or(0);
            let held = log.next(*client, *next).map_or(u64::MAX, |batch| batch.range.first);
            let upto = (*end).min(acked).min(held);
            self.lost.extend(ranges_of(self.cut, self.number, *client, *next, upto));
            *next = (*next).max(self.cut.next_of(self.number, *client, upto));
        }
    }

    /// The next interval, if all clients have closed it and all its records were taken.
    pub fn seal(&mut self, log: &InputLog, punctuations: &Punctuations) -> Option<Seal> {
        let interval = self.sealed.map_or(0, |sealed| sealed + 1);
        let mut seal = Seal { interval, ranges: Vec::new(), blocks: Vec::new(), lost: Vec::new() };
        for (client, next) in &self.next {
            let ends = punctuations.get(client)?;
            let end = *ends.get(&interval)?;
            if *next < end {
                return None;
            }
            let begin = interval.checked_sub(1).and_then(|before| ends.get(&before)).copied().unwrap_or(0);
            for range in ranges_of(self.cut, self.number, *client, begin, end) {
                seal.blocks.extend(log.within(range).map(Batch::name));
                seal.ranges.push(range);
            }
        }
        // Records are passed over in the open interval only.
        seal.lost = std::mem::take(&mut self.lost);
        seal.blocks.extend(seal.lost.iter().map(block_of));
        self.sealed = Some(interval);
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
