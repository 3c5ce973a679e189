//! The checkpoint under way: which partitions are in the store, and who is writing the others.
//!
//! Part of the stage tracker. Knows no bytes. Invariants: at most one checkpoint is under way; it is complete only when
//! every partition of every stage that keeps panes is in the store.
//!
//! ```text
//! idle --an interval that ends a checkpoint is done, and all before it--> WRITING
//! partition: waiting --panes are at workers--> ordered --saved--> in the store
//!               ^--worker lost, panes not had-----'
//! WRITING --all in the store--> complete --lineage below is forgotten--> idle
//! ```

use crate::master::panes::Place;
use std::collections::BTreeMap;

/// A checkpoint that is being written.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// It goes through this interval.
    pub(super) through: u64,
    /// Partitions that are not in the store, with the worker that was told to save them.
    unsaved: BTreeMap<Place, Option<u32>>,
}

impl Checkpoint {
    /// A checkpoint of these partitions; none is in the store.
    pub(super) fn new(through: u64, places: impl Iterator<Item = Place>) -> Checkpoint {
        Checkpoint { through, unsaved: places.map(|place| (place, None)).collect() }
    }

    /// Partitions that nobody has been told to save.
    pub(super) fn waiting(&self) -> Vec<Place> {
        self.unsaved.iter().filter(|(_, worker)| worker.is_none()).map(|(place, _)| *place).collect()
    }

    /// Partitions that the worker has been told to save.
    pub(super) fn ordered_from(&self, worker: u32) -> Vec<Place> {
        self.unsaved.iter().filter(|(_, told)| **told == Some(worker)).map(|(place, _)| *place).collect()
    }

    pub(super) fn ordered(&mut self, place: Place, worker: u32) {
        self.unsaved.insert(place, Some(worker));
    }

    /// The worker has written the partition; whoever else was told to need not.
    pub(super) fn saved(&mut self, place: Place) {
        self.unsaved.remove(&place);
    }

    /// The worker could not save the partition, if it was told to.
    pub(super) fn failed(&mut self, place: Place, worker: u32) {
        if let Some(told) = self.unsaved.get_mut(&place)
            && *told == Some(worker)
        {
            *told = None;
        }
    }

    pub(super) fn lost(&mut self, worker: u32) {
        self.unsaved.values_mut().filter(|told| **told == Some(worker)).for_each(|told| *told = None);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.unsaved.is_empty()
    }
}
