//! Copies made again: every block that is still needed has as many holders as promised, or a copy on its way.
//!
//! Part of the ledger. Invariant: at most one ordered copy of a block is on its way; an order that is not fulfilled in time
//! is given again, to others.

use crate::master::ledger::{Block, LedgerAction};
use crate::options::Placement;
use dstream_trace::{BlockName, Event, Moment};
use std::collections::BTreeMap;
use std::time::Duration;

/// Of these workers the one with the least load; of equal ones the next in turn.
pub fn in_turn<L: Ord>(workers: &[u32], turn: usize, load: impl Fn(u32) -> L) -> Option<u32> {
    let count = workers.len();
    let place = |index: usize| (index + count - turn % count) % count;
    let least = workers.iter().enumerate().min_by_key(|(index, worker)| (load(**worker), place(*index)));
    least.map(|(_, worker)| *worker)
}

#[derive(Debug)]
struct Order {
    from: u32,
    to: u32,
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
    /// How many blocks lacked copies when it was last said.
    said_below: u64,
    turn: usize,
    placement: Placement,
}

impl Copies {
    pub(super) fn new(promised: u32, patience: Duration, placement: Placement) -> Copies {
        Copies { promised, patience, orders: BTreeMap::new(), said_below: 0, turn: 0, placement }
    }

    /// Orders that name the worker will not be fulfilled.
    pub(super) fn lost(&mut self, worker: u32) {
        self.orders.retain(|_, order| order.from != worker && order.to != worker);
    }

    pub(super) fn held(&mut self, block: &BlockName) {
        self.orders.remove(block);
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

    /// Orders what lacks, and says how much lacks when that changed or the members did.
    pub(super) fn repair(
        &mut self,
        now: Moment,
        known: &Known<'_>,
        membership_changed: bool,
        actions: &mut Vec<LedgerAction>,
    ) {
        self.orders.retain(|_, order| order.until > now);
        let Known { takers, leaving, blocks } = known;
        let needed = (self.promised as usize).min(takers.len());
        let lacking = blocks.iter().filter(|(_, block)| block.stays_at(leaving) < needed);
        let mut below = 0;
        let mut held: Option<BTreeMap<u32, usize>> = None;
        for (name, block) in lacking {
            below += 1;
            if block.holders.is_empty() || self.orders.contains_key(name) {
                continue;
            }
            let holders: Vec<u32> = block.holders.iter().copied().collect();
            let from = holders[self.turn % holders.len()];
            let free: Vec<u32> = takers.keys().copied().filter(|worker| !block.holders.contains(worker)).collect();
            let held = held.get_or_insert_with(|| self.loads(blocks));
            let Some(to) = in_turn(&free, self.turn, |worker| held.get(&worker).copied()) else { continue };
            *held.entry(to).or_default() += 1;
            self.turn = self.turn.wrapping_add(1);
            self.orders.insert(*name, Order { from, to, until: now + self.patience });
            actions.push(LedgerAction::OrderCopy { block: *name, from, to });
        }
        if membership_changed || below != self.said_below {
            self.said_below = below;
            actions.push(LedgerAction::Record(Event::CopiesBelow { blocks: below }));
        }
    }
}
