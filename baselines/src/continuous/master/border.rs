//! From where a heir would begin: what lies before that all nodes let go of.
//!
//! Invariant: nothing is let go of that a host may need, nor that a present holder has not had.

use crate::continuous::assignment::{Seat, Start};
use crate::continuous::master::core::{Master, MasterAction};
use crate::continuous::master::plan::Border;
use crate::continuous::message::{FromMaster, Progress};
use dstream_cluster::message::ToClient;
use dstream_trace::Event;

impl Master {
    /// Moves the borders: what nobody needs any more, and what is visible.
    pub(super) fn advance(&mut self, actions: &mut Vec<MasterAction>) {
        let Some(assignment) = &self.assignment else { return };
        let (mut safe, mut visible) = (Some(u64::MAX), Some(u64::MAX));
        for (partition, place) in assignment.iter() {
            let of = |seat: &Seat| {
                let known = self.progress.get(&(partition, seat.node));
                known.filter(|progress| progress.since == seat.since).copied()
            };
            safe = safe.min(place.hosts.iter().map(|seat| self.border(seat, of(seat))).min().flatten());
            visible = visible.min(place.hosts.iter().filter_map(of).map(|progress| progress.passed_on).max().flatten());
        }
        // The store has the states of few borders: what holders lack puts off the next of these.
        let safe = safe.and_then(|through| self.held_by_all(through));
        let safe = self.saved_by_all(safe);
        if safe <= self.safe && visible <= self.visible {
            return;
        }
        if let Some(through) = safe.filter(|_| safe > self.safe) {
            self.safe = safe;
            self.out_of_turn.take_if(|extra| extra.border <= through);
            self.clients.trim(through);
            // What only replicas hold is in no store.
            if self.limits.redundancy.border != Border::Closed {
                actions.push(MasterAction::Record(Event::CheckpointComplete { through }));
            }
        }
        if let Some(last) = visible.filter(|_| visible > self.visible) {
            let first = self.visible.map_or(0, |before| before + 1);
            self.visible = visible;
            actions.extend((first..=last).map(|interval| MasterAction::Record(Event::IntervalDone { interval })));
            actions.push(MasterAction::TellClients(ToClient::Done { interval: last }));
        }
        let trim = FromMaster::Trim { safe: self.safe, visible: self.visible };
        actions.extend(self.members.keys().map(|node| MasterAction::Tell(*node, trim.clone())));
    }

    /// The last interval through `through` whose input every holder has had: one that gets it later would find it let go,
    /// and its client would count a record as held twice that only one ever had.
    fn held_by_all(&mut self, through: u64) -> Option<u64> {
        let held = |source, client| self.holdings.held_by_all(source, client);
        let first = self.safe.map_or(0, |safe| safe + 1);
        let whole = self.clients.held_through(first..=through, held).or(self.safe);
        self.waits_for_holders = whole < Some(through);
        whole
    }

    /// Behind which interval a heir of this host could begin.
    fn border(&self, seat: &Seat, progress: Option<Progress>) -> Option<u64> {
        let Some(progress) = progress.filter(|progress| progress.is_running) else {
            return match seat.start {
                Start::Empty => None,
                Start::Restored { .. } | Start::Copied { .. } => self.safe,
            };
        };
        match self.limits.redundancy.border {
            Border::Saved { .. } => progress.saved,
            Border::Replayed { reach } => progress.passed_on?.checked_sub(reach?),
            // What is closed and not out yet an heir has to make again, where nobody else can hand it in.
            Border::Closed => progress.closed.min(progress.passed_on),
        }
    }
}
