//! What long-lived operators were doing: closing an interval, waiting for a node, catching up, saving state.
//!
//! Invariant: a run whose partitions are given to tasks alone leaves all of it empty.

use dstream_trace::{Event, NodeName, TraceLine};
use std::collections::{BTreeMap, BTreeSet};

/// Operators and what goes on around them.
#[derive(Default)]
pub(super) struct Operators {
    owners: BTreeMap<u32, BTreeSet<NodeName>>,
    /// Partitions that lost a node which nobody has replaced.
    pub orphans: BTreeSet<u32>,
    /// Heirs that have shown no result of the partition yet.
    pub catching_up: BTreeSet<(u32, NodeName)>,
    /// Intervals that some source has sealed, with the results of them that are visible.
    pub closing: BTreeMap<u64, u32>,
    /// Whether some of a checkpoint is in the store and not all of it.
    pub saves: bool,
}

impl Operators {
    pub(super) fn step(&mut self, line: &TraceLine) {
        match &line.event {
            Event::PartitionTaken { partition, node, .. } => {
                let is_new = self.owners.entry(*partition).or_default().insert(node.clone());
                if self.orphans.remove(partition) && is_new {
                    self.catching_up.insert((*partition, node.clone()));
                }
            }
            Event::PartitionLeft { partition, node } => {
                self.owners.entry(*partition).or_default().remove(node);
                self.catching_up.remove(&(*partition, node.clone()));
            }
            Event::SourceSealed { interval, .. } => drop(self.closing.entry(*interval).or_default()),
            Event::ResultVisible { interval, partition, of, from, .. } => {
                self.catching_up.remove(&(*partition, from.clone()));
                if let Some(visible) = self.closing.get_mut(interval) {
                    *visible += 1;
                    // Intervals before it that have no result of their own are over, too.
                    if *visible >= *of {
                        self.closing.retain(|other, _| other > interval);
                    }
                }
            }
            Event::StateSaved { .. } => self.saves = !self.owners.is_empty(),
            Event::CheckpointComplete { .. } => self.saves = false,
            _ => {}
        }
    }

    /// The node runs nothing any more.
    pub(super) fn leave(&mut self, node: &NodeName) {
        for (partition, owners) in &mut self.owners {
            if owners.remove(node) {
                self.orphans.insert(*partition);
            }
        }
        self.catching_up.retain(|(_, heir)| heir != node);
    }
}
