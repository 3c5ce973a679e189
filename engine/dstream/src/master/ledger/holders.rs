//! Who holds blocks, as workers come, go and say so.
//!
//! Part of the ledger. Invariant: whoever might know a copy of a lost worker's block is asked before anything of it counts
//! as gone: all members, and the log if there is one.

use super::{Ledger, LedgerAction};
use crate::log::LOG;
use crate::message::Member;
use dstream_trace::BlockName;

impl Ledger {
    pub(super) fn lost(&mut self, lost: Member, actions: &mut Vec<LedgerAction>) {
        self.members.remove(&lost.worker);
        self.closed_below.remove(&lost.worker);
        self.leaving.remove(&lost.worker);
        for waiting in self.orphans.values_mut() {
            waiting.remove(&lost.worker);
        }
        let of: Vec<u32> = self.members.keys().copied().collect();
        let log = self.limits.logs.then_some(LOG);
        self.orphans.insert(lost, of.iter().copied().chain(log).collect());
        if log.is_some() {
            actions.push(LedgerAction::AskLog { origin: lost, known: self.blocks.keys().copied().collect() });
        }
        actions.push(LedgerAction::AskOrphans { origin: lost, of });
        self.copies.lost(lost.worker);
        for (name, block) in &mut self.blocks {
            if block.holders.remove(&lost.worker) && block.allotted.is_some() {
                let holders = block.holders.iter().copied().collect();
                actions.push(LedgerAction::Holders { block: *name, holders });
            }
        }
    }

    /// A copy that was asked for is there. If the block is over meanwhile, `by` has not heard that it may forget it, or
    /// heard it too early.
    pub(super) fn copy_held(&mut self, by: Member, block: BlockName, actions: &mut Vec<LedgerAction>) {
        self.copies.held(&block);
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

    pub(super) fn reconnected(&mut self, worker: u32, actions: &mut Vec<LedgerAction>) {
        for (origin, waiting) in &self.orphans {
            if waiting.contains(&worker) {
                actions.push(LedgerAction::AskOrphans { origin: *origin, of: vec![worker] });
            }
        }
        self.copies.lost(worker);
    }
}
