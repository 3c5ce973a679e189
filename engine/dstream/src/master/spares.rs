//! Workers that wait until they are called, and how they come to work and back.
//!
//! Part of the master's core. To the journal one that waits is one that has left: no later master waits for it, and it joins
//! as one that returns. Invariants: who waits is no member, holds nothing and is given nothing; who is to wait leaves as any
//! member does, with nothing to lose.
//!
//! ```text
//! WAITS --called--> written down: it is back --> MEMBER
//!   ^                                              |  spared
//!   |                                              v
//!   '-- joins anew, empty <-- released <-- LEAVING
//! ```

use crate::master::core::{Master, MasterAction};
use crate::master::journal::Entry;
use crate::master::scale::{Scale, Staff, Step};
use crate::message::{Member, ToMaster, ToWorker};
use dstream_trace::{Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};

/// Who waits, and who is on the way.
pub(super) struct Spares {
    pub(super) scale: Scale,
    /// With the incarnation and the word with which each wants to join.
    waiting: BTreeMap<u32, (u64, ToMaster)>,
    /// Members that are to wait.
    going: BTreeSet<u32>,
    /// As many have been here as work at the beginning, or one was lost, or all had the time to come to a new master:
    /// before, those who will work are yet to come.
    has_begun: bool,
}

impl Spares {
    pub(super) fn new(scale: Scale) -> Spares {
        Spares { scale, waiting: BTreeMap::new(), going: BTreeSet::new(), has_begun: false }
    }

    /// So many work now.
    pub(super) fn joined(&mut self, now: Moment, takers: usize) {
        self.has_begun |= !self.scale.is_short(takers);
        self.scale.changed(now);
    }

    /// Whoever worked and does not any more is missed.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// The connection with it is gone: it joins again on the next.
    pub(super) fn gone(&mut self, worker: u32) {
        self.waiting.remove(&worker);
    }

    /// Too few would be left without it.
    pub(super) fn stays(&mut self, worker: u32) {
        self.going.remove(&worker);
    }

    /// It is no member any more.
    pub(super) fn left(&mut self, now: Moment, worker: u32) {
        self.going.remove(&worker);
        self.scale.changed(now);
    }
}

impl Master {
    /// The first master decides who waits: those with the highest numbers.
    pub(super) fn begin_spares(&mut self, actions: &mut Vec<MasterAction>) {
        let Some(spares) = &self.spares else { return };
        for worker in spares.scale.first_spare()..=self.workers {
            self.book.left.insert(worker);
            self.write(None, Entry::Left(worker), actions);
        }
    }

    /// Whether a worker that joins waits until it is called.
    pub(super) fn waits(
        &mut self,
        now: Moment,
        worker: u32,
        word: (u64, ToMaster),
        actions: &mut Vec<MasterAction>,
    ) -> bool {
        if !self.book.left.contains(&worker) {
            return false;
        }
        let Some(spares) = &mut self.spares else { return false };
        spares.waiting.insert(worker, word);
        actions.push(MasterAction::Record(Event::WorkerWaits { worker: NodeName::worker(worker) }));
        actions.push(MasterAction::Tell { worker, word: ToWorker::Wait });
        self.call_if_short(actions);
        self.resume(now, actions);
        true
    }

    /// An interval is done: it may show that too many work, or too few.
    pub(super) fn scale(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        let takers: Vec<u32> = self.takers().map(|taker| taker.worker).collect();
        let is_changing = !self.leaving.is_empty() || !self.returning.is_empty() || !self.fencing.is_empty();
        let Some(spares) = &mut self.spares else { return };
        let staff = Staff { takers: &takers, waiting: spares.waiting.len(), is_changing };
        match spares.scale.done(now, interval, staff) {
            Some(Step::Up { busy_permille }) => _ = self.call(busy_permille, actions),
            Some(Step::Down { worker, busy_permille }) => self.spare(now, worker, busy_permille, actions),
            None => self.call_if_short(actions),
        }
    }

    /// Where fewer work than at the beginning, as many of those who wait are called.
    pub(super) fn call_if_short(&mut self, actions: &mut Vec<MasterAction>) {
        while self.is_short() && self.call(0, actions) {}
    }

    fn is_short(&self) -> bool {
        // The last life of one that joins just now is lost first.
        let joins_again = self.joining.is_some_and(|worker| !self.members.contains_key(&worker));
        let coming = self.returning.len() + self.awaited.len() + usize::from(joins_again);
        self.spares.as_ref().is_some_and(|spares| {
            spares.scale.is_short(self.takers().count() + coming) && (spares.has_begun || self.done_below > 0)
        })
    }

    /// The first of those who wait is to work; false if nobody waits.
    fn call(&mut self, busy_permille: u64, actions: &mut Vec<MasterAction>) -> bool {
        let first = self.spares.as_mut().and_then(|spares| spares.waiting.pop_first());
        let Some((worker, word)) = first else { return false };
        let called = Event::WorkerCalled { worker: NodeName::worker(worker), busy_permille };
        actions.push(MasterAction::Record(called));
        self.returns(worker, word, actions)
    }

    /// The worker is to hand on what it has, and to wait.
    fn spare(&mut self, now: Moment, worker: u32, busy_permille: u64, actions: &mut Vec<MasterAction>) {
        let Some(epoch) = self.members.get(&worker).copied() else { return };
        if self.takers().count() <= self.least_takers {
            return;
        }
        let spared = Event::WorkerSpared { worker: NodeName::worker(worker), busy_permille };
        actions.push(MasterAction::Record(spared));
        self.spares.iter_mut().for_each(|spares| _ = spares.going.insert(worker));
        self.begin_leaving(now, Member { worker, epoch }, actions);
    }

    /// With every beat of one that is to wait it is asked whether it may.
    pub(super) fn spare_on(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        if self.spares.as_ref().is_some_and(|spares| spares.going.contains(&member.worker)) {
            self.asks_to_leave(now, member, actions);
        }
    }
}
