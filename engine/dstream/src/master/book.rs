//! The master's book: what the journal's next snapshot would say.
//!
//! Plain data beside the ledger and the tracker, which decide. Invariant: a snapshot says what the entries before it say,
//! but for what is over.

use crate::master::journal::{GivenUp, SealedInterval, Snapshot};
use crate::master::panes::Place;
use dstream_trace::{BlockName, RangeSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// Without state there are no checkpoints: a snapshot is written after so many intervals, so that the journal stays short
/// and snapshots are rare.
const INTERVALS_OF_A_SNAPSHOT: u64 = 16;

/// What is written down and not over.
#[derive(Debug, Default)]
pub(super) struct Book {
    allotted: RangeSet,
    next: u64,
    given_up: Vec<(BlockName, Option<u64>)>,
    /// In the order in which they are written.
    unsaid: VecDeque<GivenUp>,
    open: BTreeMap<u64, SealedInterval>,
    pub(super) left: BTreeSet<u32>,
    pub(super) lost: BTreeSet<u32>,
    pub(super) let_in: u64,
    /// The last snapshot was written when intervals below this one were over.
    snapshot_below: u64,
}

impl Book {
    /// What an earlier master's journal says.
    pub(super) fn of(found: &Snapshot) -> Book {
        Book {
            allotted: found.allotted.iter().copied().collect(),
            next: found.next,
            given_up: found.given_up.clone(),
            unsaid: VecDeque::new(),
            open: found.open.iter().map(|sealed| (sealed.interval, sealed.clone())).collect(),
            left: found.left.clone(),
            lost: found.lost.clone(),
            let_in: found.let_in,
            snapshot_below: found.below,
        }
    }

    pub(super) fn sealed(&mut self, sealed: SealedInterval) {
        self.next = self.next.max(sealed.interval + 1);
        sealed.ranges.iter().for_each(|range| drop(self.allotted.insert(*range)));
        self.open.insert(sealed.interval, sealed);
    }

    /// A later master says it, too, as long as nobody has.
    pub(super) fn given_up(&mut self, given_up: &GivenUp) {
        self.given_up.push((given_up.block, given_up.interval));
        self.unsaid.push_back(given_up.clone());
    }

    /// Records that are in no interval and never will be.
    pub(super) fn gone(&mut self, gone: &GivenUp) {
        gone.ranges.iter().for_each(|range| drop(self.allotted.insert(*range)));
        self.unsaid.push_back(gone.clone());
    }

    /// The oldest of what was given up, or gone, has been said.
    pub(super) fn is_said(&mut self) {
        self.unsaid.pop_front();
    }

    /// A worker is to be a member again: from the next snapshot on it is none that is away, as when this was written alone.
    /// Whether it was.
    pub(super) fn back(&mut self, worker: u32) -> bool {
        let had_left = self.left.remove(&worker);
        let was_lost = self.lost.remove(&worker);
        had_left || was_lost
    }

    /// The blocks of these intervals.
    pub(super) fn blocks_of(&self, intervals: Range<u64>) -> BTreeSet<BlockName> {
        let open = self.open.range(intervals);
        open.flat_map(|(_, sealed)| &sealed.blocks).map(|block| block.order.name).collect()
    }

    /// The interval that has the block, if it is not over.
    pub(super) fn interval_of(&self, block: &BlockName) -> Option<u64> {
        let has = |sealed: &&SealedInterval| sealed.blocks.iter().any(|one| one.order.name == *block);
        self.open.values().rev().find(has).map(|sealed| sealed.interval)
    }

    /// client -> all its records before this number are in intervals that are over
    pub(super) fn released_below(&self) -> BTreeMap<u32, u64> {
        let mut below = BTreeMap::new();
        for range in self.allotted.iter() {
            let end = below.entry(range.client).or_insert(0);
            if range.first == *end {
                *end = range.last + 1;
            }
        }
        for range in self.open.values().flat_map(|sealed| &sealed.ranges) {
            below.entry(range.client).and_modify(|end| *end = range.first.min(*end));
        }
        below
    }

    pub(super) fn over(&mut self, interval: u64) {
        self.open.remove(&interval);
    }

    /// All of it; nothing below `below` is computed again, no panes below `panes_below` are read.
    pub(super) fn snapshot(
        &mut self,
        (below, panes_below): (u64, u64),
        checkpoints: Vec<(u64, Vec<(Place, u32)>)>,
    ) -> Snapshot {
        self.snapshot_below = below;
        Snapshot {
            allotted: self.allotted.iter().collect(),
            next: self.next,
            below,
            panes_below,
            checkpoints,
            given_up: self.given_up.clone(),
            unsaid: self.unsaid.iter().cloned().collect(),
            open: self.open.range(below..).map(|(_, sealed)| sealed.clone()).collect(),
            left: self.left.clone(),
            lost: self.lost.clone(),
            let_in: self.let_in,
        }
    }

    /// A snapshot without checkpoints, when intervals below `below` are over, if the last one is long ago.
    pub(super) fn due_snapshot(&mut self, below: u64) -> Option<Snapshot> {
        let is_due = below >= self.snapshot_below + INTERVALS_OF_A_SNAPSHOT;
        is_due.then(|| self.snapshot((below, below), Vec::new()))
    }
}
