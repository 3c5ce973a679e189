//! Behind which interval every partition has saved its state: at regular borders, and at one out of turn where a node's
//! buffers fill.
//!
//! A partition says how far it has saved, not at which borders. At regular ones all save that pass them; one out of turn
//! counts only if each has said that it saved there. Invariant: behind what is called safe every partition has a save.

use crate::continuous::master::core::{Master, MasterAction};
use crate::continuous::master::plan::Border;
use crate::continuous::message::{FromMaster, NodeNumber, Progress};
use std::collections::BTreeSet;

/// How many intervals ahead of what is known to be sealed the first border out of turn lies: most nodes hear of it in time.
/// Each time that one does not, it is twice as many.
const FIRST_AHEAD: u64 = 2;

/// A border out of turn.
#[derive(Clone, Debug)]
pub(super) struct OutOfTurn {
    /// Behind this interval.
    pub border: u64,
    ahead: u64,
    /// (partition, node, since)
    saved_by: BTreeSet<(u32, NodeNumber, u64)>,
}

impl Master {
    /// A node's buffers fill, or it has missed the border that was named.
    pub(super) fn filling(&mut self, missed: Option<u64>, actions: &mut Vec<MasterAction>) {
        let ahead = match (&self.out_of_turn, missed) {
            (None, None) => FIRST_AHEAD,
            (Some(named), Some(missed)) if named.border == missed => named.ahead.saturating_mul(2),
            _ => return, // it is under way, or over
        };
        let last = self.sealed.values().copied().max();
        let border = last.unwrap_or(0).saturating_add(ahead);
        self.out_of_turn = Some(OutOfTurn { border, ahead, saved_by: BTreeSet::new() });
        let word = FromMaster::SaveAt { border };
        actions.extend(self.members.keys().map(|node| MasterAction::Tell(*node, word.clone())));
    }

    pub(super) fn note_saved(&mut self, node: NodeNumber, progress: &Progress) {
        if let Some(named) = self.out_of_turn.as_mut().filter(|named| progress.saved == Some(named.border)) {
            named.saved_by.insert((progress.partition, node, progress.since));
        }
    }

    /// The last border that all have, if none has saved less than through `least`.
    pub(super) fn saved_by_all(&self, least: Option<u64>) -> Option<u64> {
        let Border::Saved { every } = self.limits.redundancy.border else { return least };
        if self.limits.reach == Some(0) {
            return least; // there is nothing to save
        }
        let regular = least.and_then(|least| ((least + 1) / every * every).checked_sub(1));
        let named = self.out_of_turn.as_ref().filter(|named| Some(named.border) <= least);
        let all = self.assignment.iter().flat_map(|assignment| assignment.iter());
        let mut seats = all.flat_map(|(partition, place)| place.hosts.iter().map(move |seat| (partition, seat)));
        let is_saved =
            |named: &&OutOfTurn| seats.all(|(of, seat)| named.saved_by.contains(&(of, seat.node, seat.since)));
        regular.max(named.filter(is_saved).map(|named| named.border))
    }
}
