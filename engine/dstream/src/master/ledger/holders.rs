//! Who holds blocks, as workers come, go and say so.
//!
//! Part of the ledger. Invariant: whoever might know a copy of a lost worker's block is asked before anything of it counts
//! as gone: all members, and the log if there is one.

use super::{Block, Ledger, LedgerAction};
use crate::log::LOG;
use crate::message::{BlockReport, Member};
use crate::options::Input;
use dstream_trace::{BlockName, Moment, RecordRange};
use std::collections::BTreeSet;

impl Ledger {
    /// Takes note of blocks that `by` holds: also one that is to leave, which does not count itself among those who promise
    /// them, holds them until it goes. What was given up `by` may forget. `brought`: it has just joined.
    pub(super) fn learn(
        &mut self,
        by: u32,
        reports: Vec<BlockReport>,
        brought: Option<Moment>,
        actions: &mut Vec<LedgerAction>,
    ) {
        let mut over = Vec::new();
        for report in reports {
            let promised = report.holders.iter().filter(|holder| self.is_member(holder)).map(|holder| holder.worker);
            let itself = Some(by).filter(|by| self.members.contains_key(by));
            let holders: BTreeSet<u32> = promised.chain(itself).collect();
            if let Some(block) = self.blocks.get_mut(&report.name) {
                let before = block.holders.len();
                block.holders.extend(holders);
                if block.holders.len() != before && block.allotted.is_some() {
                    let holders = block.holders.iter().copied().collect();
                    actions.push(LedgerAction::Holders { block: report.name, holders });
                }
            } else if self.given_up.contains(&report.name) {
                over.push(report.name);
            } else if self.is_covered(&report.ranges) {
                self.masked.insert(report.name, report.ranges);
            } else if !holders.is_empty() {
                let BlockReport { name, interval, ranges, .. } = report;
                self.blocks.insert(name, Block { ranges, interval, holders, allotted: None, brought, is_told: false });
            }
        }
        if !over.is_empty() {
            actions.push(LedgerAction::Forget { by: Some(by), blocks: over });
        }
    }

    /// Whether an interval may have the block. Where there is a log, one that it does not hold is acknowledged to nobody
    /// yet: a worker named it to a new master that counts on all that earlier ones may have sealed.
    pub(super) fn is_to_stay(&self, block: &Block) -> bool {
        match self.limits.input {
            Input::Log => block.holders.contains(&LOG),
            Input::Memory | Input::Replay => !block.holders.is_empty(),
        }
    }

    /// Whether all these records are allotted.
    fn is_covered(&self, ranges: &[RecordRange]) -> bool {
        ranges.iter().all(|range| {
            let known: u64 = self.allotted.overlap(*range).iter().map(RecordRange::count).sum();
            known == range.count()
        })
    }

    pub(super) fn lost(&mut self, lost: Member, actions: &mut Vec<LedgerAction>) {
        self.members.remove(&lost.worker);
        self.closed_below.remove(&lost.worker);
        self.leaving.remove(&lost.worker);
        for waiting in self.orphans.values_mut() {
            waiting.remove(&lost.worker);
        }
        let log = (self.limits.input == Input::Log).then_some(LOG);
        if log.is_some() {
            actions.push(LedgerAction::AskLog { origin: lost, known: self.blocks.keys().copied().collect() });
        }
        self.ask_orphans(lost, log, actions);
        self.copies.lost(lost.worker);
        let mut origins = BTreeSet::new();
        for (name, block) in &mut self.blocks {
            let had_it = block.holders.remove(&lost.worker);
            if had_it && block.allotted.is_some() {
                let holders = block.holders.iter().copied().collect();
                actions.push(LedgerAction::Holders { block: *name, holders });
            }
            if had_it && block.holders.is_empty() {
                origins.insert(Member { worker: name.origin, epoch: name.epoch });
            }
        }
        // An origin that was lost before, though it lives, may have sent copies to members that came after its loss.
        origins.retain(|origin| *origin != lost && !self.is_member(origin));
        origins.into_iter().for_each(|origin| self.ask_orphans(origin, None, actions));
    }

    /// Until all members, and the log if it is one to ask, have said what they hold of this origin's, nothing is gone.
    fn ask_orphans(&mut self, origin: Member, log: Option<u32>, actions: &mut Vec<LedgerAction>) {
        let of: Vec<u32> = self.members.keys().copied().collect();
        self.orphans.entry(origin).or_default().extend(of.iter().copied().chain(log));
        actions.push(LedgerAction::AskOrphans { origin, of });
    }

    /// Strikes out lost workers of which all have said what they hold.
    pub(super) fn hear_of_orphans(&mut self, actions: &mut Vec<LedgerAction>) {
        let had_some = !self.orphans.is_empty();
        self.orphans.retain(|_, waiting| !waiting.is_empty());
        if had_some && self.orphans.is_empty() {
            actions.push(LedgerAction::OrphansKnown);
        }
    }

    /// A copy that was asked for is there. If the block is over meanwhile, `by` has not heard that it may forget it, or
    /// heard it too early.
    pub(super) fn copy_held(&mut self, now: Moment, (by, block): (Member, BlockName), actions: &mut Vec<LedgerAction>) {
        self.copies.held(now, &block);
        if !self.is_member(&by) {
            return;
        }
        let Some(known) = self.blocks.get_mut(&block) else {
            actions.push(LedgerAction::Forget { by: Some(by.worker), blocks: vec![block] });
            return;
        };
        if known.holders.insert(by.worker) && known.allotted.is_some() {
            let holders = known.holders.iter().copied().collect();
            actions.push(LedgerAction::Holders { block, holders });
        }
    }

    pub(super) fn not_held(&mut self, at: u32, block: BlockName, actions: &mut Vec<LedgerAction>) {
        if let Some(known) = self.blocks.get_mut(&block)
            && known.holders.remove(&at)
            && known.allotted.is_some()
        {
            let holders = known.holders.iter().copied().collect();
            actions.push(LedgerAction::Holders { block, holders });
        }
    }

    pub(super) fn reconnected(&mut self, worker: u32, actions: &mut Vec<LedgerAction>) {
        for (origin, waiting) in &self.orphans {
            if waiting.contains(&worker) {
                actions.push(LedgerAction::AskOrphans { origin: *origin, of: vec![worker] });
            }
        }
        self.copies.lost(worker);
    }
}
