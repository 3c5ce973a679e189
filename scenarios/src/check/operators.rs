//! What long-lived operators hold beside blocks: records that their sources let go, because they are in the state of the
//! operators now. Such a record is gone when all nodes are lost that had the state of one partition.
//!
//! A node that takes a partition while a loss is open, or from another that runs it, may still be catching up: it counts
//! when it has said that it has the state; only at the start, when there is none, it is enough that all copies are there.
//! Invariant: a run whose partitions are given to nobody but tasks has nothing in here.

use dstream_trace::{BlockName, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// Who has the state of a partition.
#[derive(Debug, Default)]
struct Holders {
    /// Surely.
    whole: BTreeSet<NodeName>,
    /// Not yet.
    catching_up: BTreeSet<NodeName>,
}

/// Operators and what is in their state.
#[derive(Debug, Default)]
pub(super) struct Operators {
    partitions: BTreeMap<u32, Holders>,
    /// Blocks that nobody holds any more, though their interval may still need what was in them.
    absorbed: BTreeMap<BlockName, Vec<RecordRange>>,
    /// All copies were there once.
    has_begun: bool,
}

impl Operators {
    /// Whether partitions have owners at all.
    pub fn exist(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// The node runs the partition from now on; `is_calm` if no loss is open.
    pub fn take(&mut self, partition: u32, node: &NodeName, is_calm: bool) {
        let holders = self.partitions.entry(partition).or_default();
        if is_calm && !self.has_begun {
            holders.whole.insert(node.clone());
        } else if !holders.whole.contains(node) {
            holders.catching_up.insert(node.clone());
        }
    }

    /// The node has the partition's state and input.
    pub fn restore(&mut self, partition: u32, node: &NodeName) {
        if let Some(holders) = self.partitions.get_mut(&partition)
            && holders.catching_up.remove(node)
        {
            holders.whole.insert(node.clone());
        }
    }

    /// The node runs the partition no more; another has its state.
    pub fn hand_on(&mut self, partition: u32, node: &NodeName) {
        if let Some(holders) = self.partitions.get_mut(&partition) {
            holders.whole.remove(node);
            holders.catching_up.remove(node);
        }
    }

    /// All copies are there, those of state among them.
    pub fn settle(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return; // later ones say themselves that they have it
        }
        for holders in self.partitions.values_mut() {
            holders.whole.append(&mut holders.catching_up);
        }
    }

    /// A source let its last copy of the block go.
    pub fn absorb(&mut self, block: BlockName, ranges: Vec<RecordRange>) {
        self.absorbed.insert(block, ranges);
    }

    /// The node's state is gone. Whether it was the last that had all of some partition.
    pub fn lose(&mut self, node: &NodeName) -> bool {
        let mut was_last = false;
        for holders in self.partitions.values_mut() {
            let had = holders.whole.remove(node) | holders.catching_up.remove(node);
            was_last |= had && holders.whole.is_empty();
        }
        was_last
    }

    /// What was in the state, when that is gone.
    pub fn take_absorbed(&mut self) -> BTreeMap<BlockName, Vec<RecordRange>> {
        std::mem::take(&mut self.absorbed)
    }
}
