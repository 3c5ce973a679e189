//! Blocks that are put into an interval when only some of the promised members hold them: no client was told that they are
//! held, and may be asked for them once more.
//!
//! Part of the ledger. Invariant: where records are in such a block, nobody hears that they are held, in whichever block,
//! before that one has its copies.

use super::{Block, Ledger, LedgerAction};
use crate::options::Input;
use crate::replay::UNTOLD_CLIENTS;
use dstream_trace::{BlockName, Moment, RangeSet};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Untold {
    /// What was put into an interval so, and may have its copies by now.
    pub(super) blocks: BTreeSet<BlockName>,
    /// Who announced blocks with some of the same records, and has yet to hear that the master knows of them.
    unheard: BTreeMap<BlockName, u32>,
}

impl Ledger {
    /// What blocks have that came for later intervals.
    pub(super) fn came_later(&self, interval: u64) -> RangeSet {
        let later = self.blocks.values().filter(|block| block.interval > interval);
        later.flat_map(|block| block.ranges.iter().copied()).collect()
    }

    /// Whether the interval does without the block, which lacks copies: its clients have sent some of it to others, who have
    /// it for a later interval and may have told them so.
    pub(super) fn is_left_to(&self, came_later: &RangeSet, block: &Block) -> bool {
        let is_in_both = |range| !came_later.overlap(range).is_empty();
        self.limits.input == Input::Memory
            && !self.is_held(block)
            && block.ranges.iter().any(|range| is_in_both(*range))
    }

    /// Whether an interval is not to have the block yet, which would be gone with the next loss of the worker that has just
    /// brought it: its clients may be away themselves, to be asked for it. Not for ever: copies may be refused.
    pub(super) fn waits_for_copies(&self, now: Moment, block: &Block) -> bool {
        let until = block.brought.map(|at| at + self.limits.patience.max(self.limits.interval));
        self.limits.input == Input::Memory && !self.is_held(block) && until.is_some_and(|until| now < until)
    }

    fn is_untold(&self, block: &BlockName) -> bool {
        let block = self.blocks.get(block);
        block.is_some_and(|block| block.holders.contains(&UNTOLD_CLIENTS) && !self.is_held(block))
    }

    /// Records of which nobody is to hear yet that they are held.
    pub(super) fn untold(&self) -> RangeSet {
        let untold = self.untold.blocks.iter().filter(|name| self.is_untold(name));
        untold.flat_map(|name| self.blocks[name].ranges.iter().copied()).collect()
    }

    /// A member hears of blocks that it has announced; but not of those whose records are in others that lack copies. Of
    /// these it hears when that is over or, if all their records are in others, when it may forget them.
    pub(super) fn heard(&mut self, by: u32, mut blocks: Vec<BlockName>, actions: &mut Vec<LedgerAction>) {
        blocks.retain(|block| !self.masked.contains_key(block));
        if !self.untold.blocks.is_empty() {
            let untold = self.untold();
            let later: Vec<BlockName> = blocks.extract_if(.., |name| self.has_of(name, &untold)).collect();
            self.untold.unheard.extend(later.into_iter().map(|block| (block, by)));
        }
        if !blocks.is_empty() {
            self.tell(by, blocks, actions);
        }
    }

    fn has_of(&self, block: &BlockName, records: &RangeSet) -> bool {
        let has = |block: &Block| block.ranges.iter().any(|range| !records.overlap(*range).is_empty());
        self.blocks.get(block).is_some_and(has)
    }

    /// Who waited for it hears of its blocks, when those that lacked copies have them or are over. What has come to be in
    /// others altogether meanwhile it may forget in time.
    pub(super) fn hear_at_last(&mut self, actions: &mut Vec<LedgerAction>) {
        if self.untold.blocks.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.untold.blocks);
        let (still, told): (BTreeSet<BlockName>, _) = all.into_iter().partition(|name| self.is_untold(name));
        self.untold.blocks = still;
        told.iter().for_each(|name| self.is_told(name, actions));
        let untold = self.untold();
        let mut unheard = std::mem::take(&mut self.untold.unheard);
        unheard.retain(|name, _| !self.masked.contains_key(name));
        let (still, now): (BTreeMap<_, _>, BTreeMap<_, _>) =
            unheard.into_iter().partition(|(name, _)| self.has_of(name, &untold));
        self.untold.unheard = still;
        let mut by_member: BTreeMap<u32, Vec<BlockName>> = BTreeMap::new();
        now.into_iter().for_each(|(block, by)| by_member.entry(by).or_default().push(block));
        by_member.into_iter().for_each(|(by, blocks)| self.tell(by, blocks, actions));
    }

    fn tell(&mut self, by: u32, blocks: Vec<BlockName>, actions: &mut Vec<LedgerAction>) {
        for name in &blocks {
            self.blocks.get_mut(name).into_iter().for_each(|block| block.is_told = true);
        }
        actions.push(LedgerAction::Heard { by, blocks });
    }

    /// The block has its copies: from now on its clients may let it go.
    fn is_told(&mut self, name: &BlockName, actions: &mut Vec<LedgerAction>) {
        if let Some(block) = self.blocks.get_mut(name)
            && block.holders.remove(&UNTOLD_CLIENTS)
        {
            let holders = block.holders.iter().copied().collect();
            actions.push(LedgerAction::Holders { block: *name, holders });
        }
    }
}
