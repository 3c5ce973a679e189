//! What clients are told to be held and, where they keep what they sent, whether they can be asked for it.
//!
//! Part of the ledger. Invariant: from its seal on a block counts as held by its clients, but for the time in which one of
//! them has been away for longer than it takes to start it again.

use super::{Block, Ledger, LedgerAction};
use crate::log::LOG;
use crate::options::Input;
use crate::replay::{CLIENTS, is_beyond_workers};
use dstream_trace::{BlockName, Moment, RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A client that is away holds up what only it has for so many failure timeouts: its host finds out that it has died and
/// starts it again within some of them, and reading its source again takes it a few more. What would be given up
/// earlier would be lost for nothing; for as long as this lasts, there are no results.
const TIMEOUTS_TO_COME_BACK: u32 = 20;

/// How long a client may stay away before what only it has is given up.
pub fn patience_with_clients(failure_timeout: Duration) -> Duration {
    failure_timeout * TIMEOUTS_TO_COME_BACK
}

/// Which clients are there.
#[derive(Debug)]
pub(super) struct Clients {
    patience: Duration,
    there: BTreeSet<u32>,
    /// Since when they are away.
    away: BTreeMap<u32, Moment>,
    /// Those who stayed away.
    gone: BTreeSet<u32>,
    /// One of those came back.
    is_back: bool,
}

impl Clients {
    pub(super) fn new(failure_timeout: Duration) -> Clients {
        let patience = patience_with_clients(failure_timeout);
        Clients { patience, there: BTreeSet::new(), away: BTreeMap::new(), gone: BTreeSet::new(), is_back: false }
    }

    pub(super) fn seen(&mut self, now: Moment, client: u32, is_there: bool) {
        if is_there {
            self.there.insert(client);
            self.away.remove(&client);
            self.is_back |= self.gone.remove(&client);
        } else if self.there.remove(&client) {
            self.away.insert(client, now);
        }
    }

    /// The master stood still: who came meanwhile is heard only now.
    pub(super) fn stalled(&mut self, now: Moment) {
        self.away.values_mut().for_each(|since| *since = now);
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.away.values().min().map(|since| *since + self.patience)
    }

    /// Takes note of those who stayed away; whether anything is to be looked at.
    fn has_changed(&mut self, now: Moment) -> bool {
        let patience = self.patience;
        let gone = self.away.extract_if(.., |_, since| *since + patience <= now).map(|(client, _)| client);
        self.gone.extend(gone);
        std::mem::take(&mut self.is_back) || !self.gone.is_empty()
    }

    fn have(&self, block: &Block) -> bool {
        !block.ranges.iter().any(|range| self.gone.contains(&range.client))
    }
}

impl Ledger {
    /// Says what has its copies by now, to all who wait for that.
    pub(super) fn say_what_is_held(&mut self, actions: &mut Vec<LedgerAction>) {
        self.forget_masked(actions);
        self.hear_at_last(actions);
        self.answer_what_is_owed(actions);
    }

    /// Answers a client that asks. What its blocks lack copies of it hears of when they have them: whoever acknowledges that
    /// may be gone, and it would send it all again.
    pub(super) fn answer(&mut self, client: u32, actions: &mut Vec<LedgerAction>) {
        let (known, lacking) = self.known_of(client);
        actions.push(LedgerAction::Answer { client, ranges: known.iter().collect() });
        self.owed.insert(client, lacking);
    }

    /// Tells clients that asked what is held meanwhile.
    fn answer_what_is_owed(&mut self, actions: &mut Vec<LedgerAction>) {
        for (client, owed) in std::mem::take(&mut self.owed) {
            let (known, lacking) = self.known_of(client);
            let both = |set: &RangeSet| -> RangeSet { owed.iter().flat_map(|range| set.overlap(range)).collect() };
            let ranges: Vec<RecordRange> = both(&known).iter().collect();
            if !ranges.is_empty() {
                actions.push(LedgerAction::Answer { client, ranges });
            }
            let still_owed = both(&lacking);
            if !still_owed.is_empty() {
                self.owed.insert(client, still_owed);
            }
        }
    }

    /// Which records of a client are held by as many members as can be asked for, or in an interval that is done; where
    /// clients keep what they sent, those that are in an interval. Then those that are in blocks and not held so.
    fn known_of(&self, client: u32) -> (RangeSet, RangeSet) {
        let (held, lacking): (Vec<&Block>, Vec<&Block>) = self.blocks.values().partition(|block| self.is_held(block));
        let of = |blocks: &[&Block]| -> RangeSet {
            let ranges = blocks.iter().flat_map(|block| &block.ranges);
            ranges.filter(|range| range.client == client).copied().collect()
        };
        let (untold, held, lacking) = (self.untold(), of(&held), of(&lacking));
        let in_intervals = self.allotted.iter().filter(|range| range.client == client);
        let settled = in_intervals.flat_map(|range| match self.limits.input {
            Input::Memory | Input::Log => lacking.gaps(range),
            Input::Replay => vec![range],
        });
        let held = held.iter().flat_map(|range| untold.gaps(range));
        let known: RangeSet = settled.chain(held).collect();
        let lacking = lacking.iter().flat_map(|range| known.gaps(range)).collect();
        (known, lacking)
    }

    pub(super) fn is_held(&self, block: &Block) -> bool {
        match self.limits.input {
            Input::Memory => {
                let workers = block.holders.iter().filter(|holder| !is_beyond_workers(**holder));
                workers.count() >= (self.limits.copies as usize).min(self.members.len())
            }
            Input::Log => block.holders.contains(&LOG),
            Input::Replay => block.allotted.is_some(),
        }
    }

    /// Lets go of blocks whose records are all in others that are held: whoever forgets a block acknowledges it.
    fn forget_masked(&mut self, actions: &mut Vec<LedgerAction>) {
        if self.masked.is_empty() {
            return;
        }
        let (held, lacking): (Vec<&Block>, Vec<&Block>) = self.blocks.values().partition(|block| self.is_held(block));
        let of =
            |blocks: Vec<&Block>| -> RangeSet { blocks.into_iter().flat_map(|block| block.ranges.clone()).collect() };
        let (held, lacking) = (of(held), of(lacking));
        let lacks = |range: &RecordRange| lacking.overlap(*range).iter().any(|part| !held.gaps(*part).is_empty());
        let over = self.masked.extract_if(.., |_, ranges| !ranges.iter().any(lacks)).map(|(name, _)| name);
        let blocks: Vec<BlockName> = over.collect();
        if !blocks.is_empty() {
            actions.push(LedgerAction::Forget { by: None, blocks });
        }
    }

    /// Whoever sent what is in the blocks that an earlier master left, and is not there, is away from now on.
    pub(super) fn await_clients(&mut self, now: Moment) {
        let senders = self.blocks.values().flat_map(|block| &block.ranges).map(|range| range.client);
        let away: BTreeSet<u32> = senders.filter(|client| !self.clients.there.contains(client)).collect();
        away.into_iter().for_each(|client| _ = self.clients.away.entry(client).or_insert(now));
    }

    /// What a client that stayed away had sent nobody can be asked for, until it is back.
    pub(super) fn do_without_clients(&mut self, now: Moment, actions: &mut Vec<LedgerAction>) {
        // Asked first whatever the input: a deadline that nobody takes note of would be due for ever.
        let has_changed = self.clients.has_changed(now);
        if self.limits.input != Input::Replay || !has_changed {
            return;
        }
        for (name, block) in self.blocks.iter_mut().filter(|(_, block)| block.allotted.is_some()) {
            let changed = match self.clients.have(block) {
                true => block.holders.insert(CLIENTS),
                false => block.holders.remove(&CLIENTS),
            };
            if changed {
                let holders = block.holders.iter().copied().collect();
                actions.push(LedgerAction::Holders { block: *name, holders });
            }
        }
    }
}
