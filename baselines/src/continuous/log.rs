//! The input of one source, at a node that holds it: batches as clients cut them, until nobody can ask for them again.
//!
//! Knows not who runs the source. Invariant: a batch is here once, and what was trimmed does not come back.

use bytes::Bytes;
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
}

impl InputLog {
    /// Takes a batch in; false if it is here, or was trimmed.
    pub fn admit(&mut self, batch: Batch) -> bool {
        let key = (batch.range.client, batch.range.first);
        if self.trimmed >= Some(batch.interval) || self.batches.contains_key(&key) {
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
        let gone = gone.iter().filter_map(|key| self.batches.remove(key));
        gone.inspect(|batch| self.bytes -= batch.lines.len()).map(|batch| batch.name()).collect()
    }
}
