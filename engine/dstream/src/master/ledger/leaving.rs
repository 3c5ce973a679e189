//! Members that are to leave: their copies do not count as promised ones, and when none is needed they may go.
//!
//! Part of the ledger. Invariant: whoever goes takes no copy along that a block is short of.

use super::{Ledger, LedgerAction};
use crate::options::Input;
use crate::replay::UNTOLD_CLIENTS;
use dstream_trace::Moment;
use std::collections::BTreeMap;

impl Ledger {
    /// From now on the member gets nothing; what has come to it for the interval that is open it has yet to report.
    pub(super) fn leaving(&mut self, now: Moment, worker: u32) {
        let length = self.limits.interval.as_nanos().max(1);
        let open = now.since(self.limits.origin + self.limits.slack).as_nanos() / length;
        let closes = u64::try_from(open).unwrap_or(u64::MAX).saturating_add(1);
        self.leaving.entry(worker).or_insert(closes);
    }

    /// Says so if nothing here depends on the member.
    pub(super) fn may_leave(&self, worker: u32, actions: &mut Vec<LedgerAction>) {
        let Some(closes) = self.leaving.get(&worker) else { return };
        let has_closed = self.closed_below.get(&worker).is_some_and(|below| below >= closes);
        // What is in the log needs no copies, but it has to be there.
        let needed = match self.limits.input {
            Input::Log => 1,
            Input::Memory | Input::Replay => (self.limits.copies as usize).min(self.takers().len()),
        };
        let mut held_here = self.blocks.values().filter(|block| block.holders.contains(&worker));
        if has_closed && !self.is_recovering && held_here.all(|block| block.stays_at(&self.leaving) >= needed) {
            actions.push(LedgerAction::LetsGo(worker));
        }
    }

    /// Members that may be asked to hold copies.
    pub(super) fn takers(&self) -> BTreeMap<u32, u64> {
        let stays = self.members.iter().filter(|(worker, _)| !self.leaving.contains_key(worker));
        stays.map(|(worker, epoch)| (*worker, *epoch)).collect()
    }
}

impl super::Block {
    /// How many holders it has without those that are to leave, and without clients that may let it go at any moment.
    pub(in crate::master) fn stays_at(&self, leaving: &BTreeMap<u32, u64>) -> usize {
        let lasting = self.holders.iter().filter(|holder| **holder != UNTOLD_CLIENTS);
        lasting.filter(|holder| !leaving.contains_key(holder)).count()
    }
}
