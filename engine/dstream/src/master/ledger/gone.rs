//! Records that are gone, and what a new master's ledger begins with.
//!
//! Invariants: a block is given up only when nobody is left who might know another copy; what was said to be gone stays so,
//! whoever brings it back.

use super::{Allotment, Block, Ledger, LedgerAction};
use crate::master::journal::{GivenUp, Snapshot};
use crate::options::Input;
use crate::replay::is_beyond_workers;
use dstream_trace::{BlockName, RangeSet, RecordRange};

impl Ledger {
    /// The block is gone for good, and so are those of its records that are in no other block.
    pub(super) fn give_up(&mut self, name: BlockName, ranges: &[RecordRange], actions: &mut Vec<LedgerAction>) {
        self.given_up.insert(name);
        let others = self.blocks.values().flat_map(|other| other.ranges.iter().copied());
        let elsewhere: RangeSet = others.chain(self.allotted.iter()).collect();
        let ranges: Vec<RecordRange> = ranges.iter().flat_map(|range| elsewhere.gaps(*range)).collect();
        if !ranges.is_empty() {
            actions.push(LedgerAction::GiveUp(GivenUp { block: name, ranges, interval: None }));
        }
    }

    /// Gives up blocks without holders that are in no interval yet, once nobody is left who might know another copy.
    pub(super) fn give_up_unallotted(&mut self, actions: &mut Vec<LedgerAction>) {
        if self.orphans.values().any(|waiting| !waiting.is_empty()) {
            return;
        }
        let gone: Vec<BlockName> = self
            .blocks
            .iter()
            .filter(|(_, block)| block.holders.is_empty() && block.allotted.is_none())
            .map(|(name, _)| *name)
            .collect();
        for name in gone {
            let block = self.blocks.remove(&name).expect("its key was just read");
            // What the log never held, or the journal never named, its clients send again.
            if self.limits.input == Input::Memory {
                self.give_up(name, &block.ranges, actions);
            }
        }
    }

    /// Begins with what an earlier master's journal says.
    pub(super) fn recovered(&mut self, found: Snapshot) {
        self.is_recovering = true;
        self.next = found.next;
        self.allotted = found.allotted.into_iter().collect();
        self.given_up = found.given_up.into_iter().map(|(block, _)| block).collect();
        for sealed in found.open {
            for Allotment { order, ranges } in sealed.blocks {
                if !self.given_up.contains(&order.name) {
                    let allotted = Some(sealed.interval);
                    let holders = order.holders.into_iter().filter(|holder| is_beyond_workers(*holder)).collect();
                    let block =
                        Block { ranges, interval: sealed.interval, holders, allotted, brought: None, is_told: false };
                    // Which of them lack copies is looked at when it matters.
                    self.untold.blocks.insert(order.name);
                    self.blocks.insert(order.name, block);
                }
            }
        }
    }

    /// Of what an earlier master had acknowledged, names what nobody holds. Only that one knew where it was.
    pub(super) fn acknowledged(&mut self, ranges: &[RecordRange], actions: &mut Vec<LedgerAction>) {
        let held = self.blocks.values().filter(|block| !block.holders.is_empty()).flat_map(|block| &block.ranges);
        let known: RangeSet = held.copied().chain(self.allotted.iter()).collect();
        let gone: Vec<RecordRange> = ranges.iter().flat_map(|range| known.gaps(*range)).collect();
        if !gone.is_empty() {
            gone.iter().for_each(|range| drop(self.allotted.insert(*range)));
            actions.push(LedgerAction::Gone(gone));
        }
    }
}
