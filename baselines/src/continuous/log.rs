//! The input of one source, at a node that holds it: batches as clients cut them, until nobody can ask for them again.
//!
//! Knows not who runs the source. Invariant: a batch is here once, and what was trimmed does not come back.

use bytes::Bytes;
use dstream_cluster::client::Cut;
use dstream_trace::{BlockName, RecordRange};
use std::collections::BTreeMap;

/// A batch of one client's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which records.
    pub range: RecordRange,
    /// Their interval.
    pub interval: u64,
    /// Their lines.
    pub lines: Bytes,
}

impl Batch {
    /// The batch's name in the log of the run: the client is its origin.
    pub fn name(&self) -> BlockName {
        BlockName { origin: self.range.client, epoch: 0, number: self.range.first }
    }
}

/// What one node holds of a source's input.
#[derive(Clone, Debug, Default)]
pub struct InputLog {
    batches: BTreeMap<(u32, u64), Batch>,
    trimmed: Option<u64>,
    bytes: usize,
    /// client -> what comes before this record is here, was trimmed, or is nowhere
    floor: BTreeMap<u32, u64>,
    /// client -> its frontier when that was last looked for: from there on it is looked for again
    reached: BTreeMap<u32, u64>,
}

impl InputLog {
    /// Takes a batch in; false if it is here, or was trimmed.
    pub fn admit(&mut self, batch: Batch) -> bool {
        let key = (batch.range.client, batch.range.first);
        if self.trimmed >= Some(batch.interval) {
            // What comes before it is of no later interval.
            self.pass(batch.range.client, batch.range.last + 1);
            return false;
        }
        if self.batches.contains_key(&key) {
            return false;
        }
        self.bytes += batch.lines.len();
        self.batches.insert(key, batch);
        true
    }

    /// The client's batch that begins with this record.
    pub fn get(&self, client: u32, first: u64) -> Option<&Batch> {
        self.batches.get(&(client, first))
    }

    /// The client's first batch from this record on.
    pub fn next(&self, client: u32, from: u64) -> Option<&Batch> {
        self.batches.range((client, from)..=(client, u64::MAX)).next().map(|(_, batch)| batch)
    }

    /// The batches that begin within these records.
    pub fn within(&self, range: RecordRange) -> impl Iterator<Item = &Batch> {
        let keys = (range.client, range.first)..=(range.client, range.last);
        self.batches.range(keys).map(|(_, batch)| batch)
    }

    /// The client's first batch from this record on that is of a later interval.
    pub fn first_behind(&self, client: u32, from: u64, interval: u64) -> Option<&Batch> {
        let of_client = self.batches.range((client, from)..=(client, u64::MAX));
        of_client.map(|(_, batch)| batch).find(|batch| batch.interval > interval)
    }

    /// Nothing of the client before this record is missing, or else it is nowhere.
    pub fn pass(&mut self, client: u32, below: u64) {
        let floor = self.floor.entry(client).or_default();
        *floor = below.max(*floor);
    }

    /// What comes before this record of the client is here, was trimmed, or is nowhere, as far as is known.
    pub fn floor(&self, client: u32) -> u64 {
        self.floor.get(&client).copied().unwrap_or(0)
    }

    /// The client's first record that goes to this source and is missing.
    pub fn frontier(&self, cut: Cut, source: u32, client: u32) -> u64 {
        let reached = self.reached.get(&client).copied().unwrap_or(0);
        let mut next = cut.next_of(source, client, self.floor(client).max(reached));
        while let Some(batch) = self.get(client, next) {
            next = cut.next_of(source, client, batch.range.last + 1);
        }
        next
    }

    /// The same; the next time it is looked for from there on.
    pub fn reach(&mut self, cut: Cut, source: u32, client: u32) -> u64 {
        let frontier = self.frontier(cut, source, client);
        self.reached.insert(client, frontier);
        frontier
    }

    /// Lets go of the client's batches from this record on, which stand behind a gap; returns what went.
    pub fn drop_from(&mut self, client: u32, first: u64) -> Vec<BlockName> {
        let keys: Vec<(u32, u64)> =
            self.batches.range((client, first)..=(client, u64::MAX)).map(|(key, _)| *key).collect();
        if let Some(reached) = self.reached.get_mut(&client) {
            *reached = first.min(*reached);
        }
        let gone = keys.iter().filter_map(|key| self.batches.remove(key));
        gone.inspect(|batch| self.bytes -= batch.lines.len()).map(|batch| batch.name()).collect()
    }

    /// All batches, by client.
    pub fn iter(&self) -> impl Iterator<Item = &Batch> {
        self.batches.values()
    }

    /// Bytes of lines.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets go of everything through this interval; returns what went.
    pub fn trim(&mut self, through: u64) -> Vec<BlockName> {
        if self.trimmed >= Some(through) {
            return Vec::new();
        }
        self.trimmed = Some(through);
        let gone: Vec<(u32, u64)> =
            self.batches.iter().filter(|(_, batch)| batch.interval <= through).map(|(key, _)| *key).collect();
        let gone: Vec<Batch> = gone.iter().filter_map(|key| self.batches.remove(key)).collect();
        for batch in &gone {
            self.bytes -= batch.lines.len();
            self.pass(batch.range.client, batch.range.last + 1);
        }
        gone.iter().map(Batch::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn batch(first: u64, interval: u64) -> Batch {
        let range = RecordRange { client: 1, first, last: first };
        Batch { range, interval, lines: Bytes::from_static(b"line\n") }
    }

    #[test]
    fn what_is_here_without_a_gap_ends_earlier_when_a_life_does_and_later_with_what_was_let_go() {
        let cut = Cut::Runs { records: NonZeroU64::MIN, sources: 1, period: Duration::from_millis(10) };
        let mut log = InputLog::default();
        for first in [0, 1, 3] {
            log.admit(batch(first, 0));
        }
        assert_eq!(log.reach(cut, 0, 1), 2);
        log.admit(batch(2, 0));
        assert_eq!(log.reach(cut, 0, 1), 4);
        log.drop_from(1, 1);
        assert_eq!(log.reach(cut, 0, 1), 1);
        log.trim(0);
        // It comes late, of an interval that nobody asks for any more.
        assert!(!log.admit(batch(2, 0)));
        assert_eq!(log.reach(cut, 0, 1), 3);
    }
}
