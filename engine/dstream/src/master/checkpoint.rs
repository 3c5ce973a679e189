//! The checkpoint under way: which partitions are in the store, and who is writing the others.
//!
//! Part of the stage tracker. Knows no bytes. Invariants: at most one checkpoint is under way; it is complete only when
//! every partition of every stage that keeps panes is in the store.
//!
//! ```text
//! idle --an interval that ends a checkpoint is done, and all before it--> WRITING
//! partition: waiting --panes are at workers--> ordered --saved--> in the store
//!               ^--worker lost, panes not had-----'         |
//!               ^--panes made anew of less input------------'
//! WRITING --all in the store--> complete --lineage below is forgotten--> idle
//! ```

use crate::master::panes::Place;
use std::collections::BTreeMap;

/// A checkpoint that is being written.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// It goes through this interval.
    pub(super) through: u64,
    parts: BTreeMap<Place, Part>,
}

/// One partition of it.
#[derive(Debug, Default)]
struct Part {
    /// The worker that was told to save it last; nobody while it waits.
    told: Option<u32>,
    /// How often somebody was told.
    attempts: u32,
    /// The attempt whose object counts.
    saved: Option<u32>,
}

impl Checkpoint {
    /// A checkpoint of these partitions; none is in the store. Attempts are counted from `first`: those below it were other
    /// masters'.
    pub(super) fn new(through: u64, places: impl Iterator<Item = Place>, first: u32) -> Checkpoint {
        let part = || Part { attempts: first, ..Part::default() };
        Checkpoint { through, parts: places.map(|place| (place, part())).collect() }
    }

    fn unsaved(&self) -> impl Iterator<Item = (&Place, &Part)> {
        self.parts.iter().filter(|(_, part)| part.saved.is_none())
    }

    /// Whether the partition is not in the store.
    pub(super) fn lacks(&self, place: Place) -> bool {
        self.parts.get(&place).is_some_and(|part| part.saved.is_none())
    }

    /// Partitions that nobody has been told to save.
    pub(super) fn waiting(&self) -> Vec<Place> {
        self.unsaved().filter(|(_, part)| part.told.is_none()).map(|(place, _)| *place).collect()
    }

    /// Partitions that the worker has been told to save, with the attempt.
    pub(super) fn ordered_from(&self, worker: u32) -> Vec<(Place, u32)> {
        let from_it = self.unsaved().filter(|(_, part)| part.told == Some(worker));
        from_it.map(|(place, part)| (*place, part.attempts - 1)).collect()
    }

    /// The attempt that the next order to save the partition begins.
    pub(super) fn next_attempt(&self, place: Place) -> u32 {
        self.parts.get(&place).map_or(0, |part| part.attempts)
    }

    pub(super) fn ordered(&mut self, place: Place, worker: u32) {
        if let Some(part) = self.parts.get_mut(&place) {
            part.told = Some(worker);
            part.attempts += 1;
        }
    }

    /// This attempt at the partition is in the store. Only the last one counts.
    pub(super) fn saved(&mut self, place: Place, attempt: u32) {
        if let Some(part) = self.parts.get_mut(&place)
            && part.told.is_some()
            && attempt + 1 == part.attempts
        {
            part.saved = Some(attempt);
        }
    }

    /// Panes of the partition have been made anew: what was saved of it does not count.
    pub(super) fn outdated(&mut self, place: Place) {
        if let Some(part) = self.parts.get_mut(&place) {
            (part.told, part.saved) = (None, None);
        }
    }

    /// The worker could not save the partition, if it was told to.
    pub(super) fn failed(&mut self, place: Place, worker: u32) {
        if let Some(part) = self.parts.get_mut(&place)
            && part.told == Some(worker)
        {
            part.told = None;
        }
    }

    pub(super) fn lost(&mut self, worker: u32) {
        self.parts.values_mut().filter(|part| part.told == Some(worker)).for_each(|part| part.told = None);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.unsaved().next().is_none()
    }

    /// For each partition the attempt whose object counts.
    pub(super) fn into_attempts(self) -> BTreeMap<Place, u32> {
        self.parts.into_iter().filter_map(|(place, part)| Some((place, part.saved?))).collect()
    }
}
