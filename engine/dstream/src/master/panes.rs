//! Where panes lie: at the worker that made them, in a checkpoint, or both.
//!
//! Part of the stage tracker; knows stages and partitions as numbers. Invariant: panes of intervals below `stored_below` are
//! all in a checkpoint, as far as any later interval reads them; of the others only workers have them.

use crate::message::{PaneSource, Stored};
use std::collections::BTreeMap;

/// A stage and one of its partitions.
pub type Place = (u32, u32);

/// No attempt has this number: what a worker may hold under another is not what is meant.
const NOBODYS: u32 = u32::MAX;

/// The panes of one interval and place.
#[derive(Clone, Copy, Debug)]
struct Made {
    /// The attempt whose panes count.
    attempt: u32,
    /// The worker that has them, if one does.
    worker: Option<u32>,
}

/// Where all panes lie.
#[derive(Debug, Default)]
pub(super) struct Panes {
    /// place -> interval -> who made its panes
    made: BTreeMap<Place, BTreeMap<u64, Made>>,
    /// Complete checkpoints, by the interval that they go through: for each place the attempt that counts.
    checkpoints: BTreeMap<u64, BTreeMap<Place, u32>>,
    stored_below: u64,
}

impl Panes {
    /// All panes of intervals below this one are in checkpoints, as far as they are needed.
    pub(super) fn stored_below(&self) -> u64 {
        self.stored_below
    }

    /// What a journal says of complete checkpoints.
    pub(super) fn restore(&mut self, checkpoints: &[(u64, Vec<(Place, u32)>)], stored_below: u64) {
        self.checkpoints = checkpoints.iter().map(|(through, of)| (*through, of.iter().copied().collect())).collect();
        self.stored_below = stored_below;
    }

    /// The complete checkpoints that are still read, each with the attempts that count.
    pub(super) fn checkpoints(&self) -> Vec<(u64, Vec<(Place, u32)>)> {
        let of = |(through, of): (&u64, &BTreeMap<Place, u32>)| (*through, of.iter().map(|(p, a)| (*p, *a)).collect());
        self.checkpoints.iter().map(of).collect()
    }

    pub(super) fn made(&mut self, place: Place, interval: u64, worker: u32, attempt: u32) {
        self.made.entry(place).or_default().insert(interval, Made { attempt, worker: Some(worker) });
    }

    /// The worker is lost, with all panes that it held.
    pub(super) fn lost(&mut self, worker: u32) {
        for made in self.made.values_mut().flat_map(BTreeMap::values_mut).filter(|made| made.worker == Some(worker)) {
            made.worker = None;
        }
    }

    /// The worker has not got these panes, or nobody reaches it.
    pub(super) fn missing(&mut self, place: Place, interval: u64, worker: u32) {
        let made = self.made.get_mut(&place).and_then(|made| made.get_mut(&interval));
        made.into_iter().filter(|made| made.worker == Some(worker)).for_each(|made| made.worker = None);
    }

    /// A checkpoint through this interval is complete. Returns those whose panes nobody reads any more, when intervals
    /// reach `reach` intervals back.
    pub(super) fn stored(&mut self, through: u64, attempts: BTreeMap<Place, u32>, reach: u64) -> Vec<u64> {
        self.checkpoints.insert(through, attempts);
        self.stored_below = self.stored_below.max(through + 1);
        let needed_from = self.needed_from(reach);
        for made in self.made.values_mut() {
            made.retain(|interval, _| *interval >= needed_from);
        }
        let over: Vec<u64> = self.checkpoints.range(..needed_from).map(|(through, _)| *through).collect();
        self.checkpoints = self.checkpoints.split_off(&needed_from);
        over
    }

    /// No interval that is still to be computed reads panes from before this one.
    pub(super) fn needed_from(&self, reach: u64) -> u64 {
        self.stored_below.saturating_sub(reach)
    }

    /// The worker that has the panes of this interval.
    pub(super) fn worker(&self, place: Place, interval: u64) -> Option<u32> {
        self.made.get(&place)?.get(&interval)?.worker
    }

    /// The newest interval of which only this worker has panes.
    pub(super) fn newest_only_at(&self, worker: u32) -> Option<u64> {
        let unstored = self.made.values().flat_map(|made| made.range(self.stored_below..));
        unstored.filter(|(_, made)| made.worker == Some(worker)).map(|(interval, _)| *interval).max()
    }

    /// The worker with the newest panes of this place: it has most of what the next task reads.
    pub(super) fn owner(&self, place: Place) -> Option<u32> {
        self.made.get(&place)?.values().rev().find_map(|made| made.worker)
    }

    /// Where the panes can be had from; nothing if nowhere.
    pub(super) fn source(&self, place: Place, interval: u64) -> Option<PaneSource> {
        let made = self.made.get(&place).and_then(|made| made.get(&interval));
        // An earlier master knew who made what is in its checkpoint.
        let Made { attempt, worker } = made.copied().unwrap_or(Made { attempt: NOBODYS, worker: None });
        let is_stored = interval < self.stored_below;
        let next = self.checkpoints.range(interval..).next().filter(|_| is_stored);
        let checkpoint =
            next.and_then(|(through, attempts)| Some(Stored { through: *through, attempt: *attempts.get(&place)? }));
        (worker.is_some() || checkpoint.is_some()).then_some(PaneSource { interval, attempt, worker, checkpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (1, 0);

    fn attempts(attempt: u32) -> BTreeMap<Place, u32> {
        [(PLACE, attempt)].into()
    }

    fn source(worker: Option<u32>, checkpoint: Option<(u64, u32)>) -> Option<PaneSource> {
        let checkpoint = checkpoint.map(|(through, attempt)| Stored { through, attempt });
        Some(PaneSource { interval: 4, attempt: 1, worker, checkpoint })
    }

    #[test]
    fn panes_in_an_earlier_masters_checkpoint_are_had_from_there() {
        let mut panes = Panes::default();
        panes.restore(&[(4, attempts(3).into_iter().collect())], 5);
        let stored = Some(Stored { through: 4, attempt: 3 });
        let expected = PaneSource { interval: 4, attempt: NOBODYS, worker: None, checkpoint: stored };
        assert_eq!(panes.source(PLACE, 4), Some(expected));
        assert_eq!(panes.source(PLACE, 5), None);
        panes.made(PLACE, 4, 2, 1);
        assert_eq!(panes.source(PLACE, 4), Some(PaneSource { attempt: 1, worker: Some(2), ..expected }));
    }

    #[test]
    fn panes_are_had_from_their_maker_or_from_the_first_checkpoint_after_them() {
        let mut panes = Panes::default();
        assert_eq!(panes.source(PLACE, 4), None);
        panes.made(PLACE, 4, 2, 1);
        assert_eq!(panes.source(PLACE, 4), source(Some(2), None));
        assert_eq!(panes.stored(5, attempts(2), 6), []);
        assert_eq!(panes.stored(8, attempts(0), 6), []);
        assert_eq!(panes.source(PLACE, 4), source(Some(2), Some((5, 2))));
        panes.lost(2);
        assert_eq!(panes.source(PLACE, 4), source(None, Some((5, 2))));
        assert_eq!(panes.source(PLACE, 9), None);
    }

    #[test]
    fn checkpoints_and_panes_out_of_reach_are_over() {
        let mut panes = Panes::default();
        (0..10).for_each(|interval| panes.made(PLACE, interval, 1, 0));
        assert_eq!(panes.stored(4, attempts(0), 3), []);
        assert_eq!(panes.stored(9, attempts(0), 3), [4]);
        assert_eq!((panes.worker(PLACE, 6), panes.worker(PLACE, 7), panes.owner(PLACE)), (None, Some(1), Some(1)));
    }
}
