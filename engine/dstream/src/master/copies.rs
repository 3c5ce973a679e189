//! Copies made again: every block that is still needed has as many holders as promised, or a copy on its way.
//!
//! Part of the ledger. Invariants: at most one ordered copy of a block is on its way; an order that is not fulfilled in time
//! is given again, to others; a worker has no more orders at once than it fulfils in time. Why: what it is told twice it
//! sends twice, and what it is told at once lies in one queue with copies of what has just come and with what tasks read.
//! Told of all that a dead worker had, again after each failure timeout, it would send nothing else any more.

use crate::master::ledger::{Block, LedgerAction};
use crate::options::Placement;
use crate::replay::is_beyond_workers;
use dstream_trace::{BlockName, Event, Moment};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Of these workers the one with the least load; of equal ones the next in turn.
pub fn in_turn<L: Ord>(workers: &[u32], turn: usize, load: impl Fn(u32) -> L) -> Option<u32> {
    let count = workers.len();
    let place = |index: usize| (index + count - turn % count) % count;
    let least = workers.iter().enumerate().min_by_key(|(index, worker)| (load(**worker), place(*index)));
    least.map(|(_, worker)| *worker)
}

/// Copies that a worker is to send at once, at first: nobody knows yet how long its link takes for one.
const FIRST_AT_ONCE: usize = 4;
/// At most: as many small ones as keep a link busy until the next order comes.
const MOST_AT_ONCE: usize = 16;
/// And, unless one was late, no fewer: one is on its way, the next one ready behind it.
const LEAST_AT_ONCE: usize = 2;
/// A copy that takes this part of the patience longer than the quickest one of the same worker has stood in a queue, and so
/// has what tasks read over that link.
const QUEUED: u32 = 8;
/// How many times the patience an order has at most.
const MOST_PATIENCES: u32 = 8;

/// What a worker that sends copies can do, as its orders tell: half of it, and with twice the time, where one is late;
/// a little more where one is fulfilled at once, a little less where one was queued.
#[derive(Clone, Copy, Debug)]
struct Pace {
    at_once: usize,
    patiences: u32,
    /// What the quickest copy took: links that are long are not queues.
    least: Duration,
}

impl Pace {
    const FIRST: Pace = Pace { at_once: FIRST_AT_ONCE, patiences: 1, least: Duration::MAX };

    fn late(&mut self) {
        self.at_once = (self.at_once / 2).max(1);
        self.patiences = (self.patiences * 2).min(MOST_PATIENCES);
    }

    fn fulfilled(&mut self, took: Duration, patience: Duration) {
        self.least = took.min(self.least);
        let was_queued = took - self.least > patience / QUEUED;
        self.at_once = match was_queued {
            true => (self.at_once - 1).max(LEAST_AT_ONCE.min(self.at_once)),
            false => (self.at_once + 1).min(MOST_AT_ONCE),
        };
        self.patiences = (self.patiences - 1).max(1);
    }
}

#[derive(Debug)]
struct Order {
    from: u32,
    to: u32,
    given: Moment,
    until: Moment,
}

/// What the ledger knows.
pub(super) struct Known<'a> {
    /// Members that may be asked to hold copies, with their epochs.
    pub(super) takers: BTreeMap<u32, u64>,
    /// Members whose copies do not count: they are to leave.
    pub(super) leaving: &'a BTreeMap<u32, u64>,
    pub(super) blocks: &'a BTreeMap<BlockName, Block>,
}

/// What is on its way.
#[derive(Debug)]
pub(super) struct Copies {
    promised: u32,
    patience: Duration,
    orders: BTreeMap<BlockName, Order>,
    /// Of workers that had orders.
    paces: BTreeMap<u32, Pace>,
    /// The block that was ordered last: those behind it are next, so that none that never comes is in the way of others.
    last: Option<BlockName>,
    /// How many blocks lacked copies when it was last said.
    said_below: u64,
    turn: usize,
    placement: Placement,
}

impl Copies {
    pub(super) fn new(promised: u32, patience: Duration, placement: Placement) -> Copies {
        Copies {
            promised,
            patience,
            orders: BTreeMap::new(),
            paces: BTreeMap::new(),
            last: None,
            said_below: 0,
            turn: 0,
            placement,
        }
    }

    /// Orders that name the worker will not be fulfilled.
    pub(super) fn lost(&mut self, worker: u32) {
        self.orders.retain(|_, order| order.from != worker && order.to != worker);
        self.paces.remove(&worker);
    }

    pub(super) fn held(&mut self, now: Moment, block: &BlockName) {
        let Some(Order { from, given, .. }) = self.orders.remove(block) else { return };
        if let Some(pace) = self.paces.get_mut(&from) {
            pace.fulfilled(now.since(given), self.patience);
        }
    }

    pub(super) fn forget(&mut self, block: &BlockName) {
        self.orders.remove(block);
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.orders.values().map(|order| order.until).min()
    }

    /// How many blocks each worker holds or is to hold, if that counts.
    fn loads(&self, blocks: &BTreeMap<BlockName, Block>) -> BTreeMap<u32, usize> {
        let mut held = BTreeMap::new();
        if self.placement == Placement::Load {
            let holders = blocks.values().flat_map(|block| block.holders.iter().copied());
            let coming = self.orders.values().map(|order| order.to);
            holders.chain(coming).for_each(|worker| *held.entry(worker).or_default() += 1);
        }
        held
    }

    /// Orders that are late are no more.
    fn expire(&mut self, now: Moment) {
        let late: BTreeSet<u32> =
            self.orders.values().filter(|order| order.until <= now).map(|order| order.from).collect();
        self.orders.retain(|_, order| order.until > now);
        self.paces.iter_mut().filter(|(from, _)| late.contains(from)).for_each(|(_, pace)| pace.late());
    }

    /// How many orders more each worker can have.
    fn room(&self) -> BTreeMap<u32, usize> {
        let mut room: BTreeMap<u32, usize> = self.paces.iter().map(|(worker, pace)| (*worker, pace.at_once)).collect();
        for order in self.orders.values() {
            if let Some(room) = room.get_mut(&order.from) {
                *room = room.saturating_sub(1);
            }
        }
        room
    }

    /// Orders what lacks, and says how much lacks when that changed or the members did.
    pub(super) fn repair(
        &mut self,
        now: Moment,
        known: &Known<'_>,
        membership_changed: bool,
        actions: &mut Vec<LedgerAction>,
    ) {
        self.expire(now);
        let mut room = self.room();
        let Known { takers, leaving, blocks } = known;
        let needed = (self.promised as usize).min(takers.len());
        let lacking: Vec<_> = blocks.iter().filter(|(_, block)| block.stays_at(leaving) < needed).collect();
        let mut held: Option<BTreeMap<u32, usize>> = None;
        let (before, behind) = lacking.split_at(lacking.partition_point(|(name, _)| Some(**name) <= self.last));
        for (name, block) in behind.iter().chain(before) {
            if self.orders.contains_key(name) {
                continue;
            }
            let has_room = |worker: &u32| room.get(worker).is_none_or(|room| *room > 0);
            let workers = block.holders.iter().copied().filter(|holder| !is_beyond_workers(*holder));
            let holders: Vec<u32> = workers.filter(has_room).collect();
            if holders.is_empty() {
                continue;
            }
            let from = holders[self.turn % holders.len()];
            let free: Vec<u32> = takers.keys().copied().filter(|worker| !block.holders.contains(worker)).collect();
            let held = held.get_or_insert_with(|| self.loads(blocks));
            let Some(to) = in_turn(&free, self.turn, |worker| held.get(&worker).copied()) else { continue };
            *held.entry(to).or_default() += 1;
            self.turn = self.turn.wrapping_add(1);
            let pace = self.paces.entry(from).or_insert(Pace::FIRST);
            let room = room.entry(from).or_insert(pace.at_once);
            *room = room.saturating_sub(1);
            self.last = Some(**name);
            self.orders.insert(**name, Order { from, to, given: now, until: now + self.patience * pace.patiences });
            actions.push(LedgerAction::OrderCopy { block: **name, from, to });
        }
        let below = lacking.len() as u64;
        if membership_changed || below != self.said_below {
            self.said_below = below;
            actions.push(LedgerAction::Record(Event::CopiesBelow { blocks: below }));
        }
    }
}
