//! Members that were asked to leave, until nothing depends on them.
//!
//! Part of the master's core. Knows neither who asked nor what they hold: ledger and tracker say when they can do without.
//! Invariants: whoever leaves gets no task, no record and no copy from the moment this begins; as many others stay
//! as there are to be copies; nobody is let go while a block would have too few of them without it.
//!
//! ```text
//! MEMBER --Leaving, and enough others stay--> LEAVING: clients and workers are told to do without it
//!    ^                                              |  asks again with every beat
//!    |                                              |  ledger: its last interval is closed, others have its blocks
//!    |                                              |  tracker: nothing runs there, slices read, panes stored,
//!    |                                              |           or it has waited long enough: then they are made again
//!    |                                              v
//!    '--its word was lost: joins anew--  LEFT: fenced at the sink, told that it may go; its process ends
//! LEAVING --silent--> lost, as any member
//! LEAVING --others are lost, and too few are left--> MEMBER, which asks again
//! ```

use crate::master::core::{Master, MasterAction};
use crate::master::journal::Entry;
use crate::master::ledger::LedgerEvent;
use crate::master::tracker::TrackerEvent;
use crate::message::{Member, ToMaster, ToWorker};
use dstream_cluster::detector::DetectorEvent;
use dstream_trace::{Event, Moment, NodeName};

/// Who has not been heard for so many beats may be lost, and what it took over with it.
const SILENT_BEATS: u32 = 2;

/// Whose consent a member needs to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Consent {
    Ledger,
    Tracker,
}

impl Master {
    /// A member says that it is to leave. It says so again with every beat.
    pub(super) fn asks_to_leave(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        if self.resume_at.is_some() {
            return;
        }
        if !self.leaving.contains(&member.worker) {
            let others = self.takers().filter(|taker| taker.worker != member.worker).count();
            if others < self.least_takers {
                return;
            }
            self.begin_leaving(now, member, actions);
        }
        self.consents.clear();
        self.account(now, LedgerEvent::MayLeave(member.worker), actions);
        self.track(now, TrackerEvent::MayLeave(member.worker), actions);
        if self.consents.len() == 2 && self.hears_all(now) {
            self.left(now, member, actions);
        }
    }

    /// It is woken every beat: where it was not, it stood still.
    pub(super) fn notice_stall(&mut self, now: Moment) {
        if now.since(self.last_step) > self.heartbeat * SILENT_BEATS {
            self.woke = Some(now);
        }
        self.last_step = now;
    }

    /// Whether all that stay were heard just now: what they took over may be nowhere else. What is heard within a beat after
    /// it stood still was said before.
    fn hears_all(&self, now: Moment) -> bool {
        let said_since = self.woke.map_or(Moment::ZERO, |woke| woke + self.heartbeat);
        let lately = said_since.max(now - self.heartbeat * SILENT_BEATS);
        self.takers().all(|taker| self.heard.get(&taker.worker).is_some_and(|at| *at >= lately))
    }

    pub(super) fn begin_leaving(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        self.leaving.insert(worker);
        actions.push(MasterAction::Record(Event::WorkerLeaving { worker: NodeName::worker(worker), epoch }));
        self.tell_members(actions);
        self.account(now, LedgerEvent::Leaving(worker), actions);
        self.track(now, TrackerEvent::Leaving(worker), actions);
    }

    /// Where too few others are left, who was to leave works on, and asks again.
    pub(super) fn keep_enough(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        if self.takers().count() >= self.least_takers {
            return;
        }
        for worker in std::mem::take(&mut self.leaving) {
            self.spares.iter_mut().for_each(|spares| spares.stays(worker));
            let Some(epoch) = self.members.get(&worker).copied() else { continue };
            actions.push(MasterAction::Record(Event::WorkerStays { worker: NodeName::worker(worker), epoch }));
            self.account(now, LedgerEvent::Stays(worker), actions);
            self.track(now, TrackerEvent::Stays(worker), actions);
        }
    }

    /// Nothing depends on the member. From here on it is as one that is lost, but that it had nothing to lose.
    fn left(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        actions.push(MasterAction::Record(Event::WorkerLeft { worker: NodeName::worker(worker), epoch }));
        actions.push(MasterAction::Tell { worker, word: ToWorker::Released { epoch } });
        self.detect(now, DetectorEvent::Left { worker }, actions);
        self.gone(now, member, actions);
        self.book.left.insert(worker);
        self.write(None, Entry::Left(worker), actions);
    }

    /// Whether a worker that joins has to wait: it had left or was lost, and a later master must know that it is back before
    /// anything is acknowledged that only it may hold.
    pub(super) fn returns(&mut self, worker: u32, word: (u64, ToMaster), actions: &mut Vec<MasterAction>) -> bool {
        if let Some(waiting) = self.returning.get_mut(&worker) {
            *waiting = word;
            return true;
        }
        let was_away = self.book.back(worker);
        if was_away {
            self.returning.insert(worker, word);
            self.write(None, Entry::Back(worker), actions);
        }
        was_away
    }

    /// That is written: the worker joins, unless it counts as lost again by now.
    pub(super) fn is_back(&mut self, now: Moment, worker: u32, actions: &mut Vec<MasterAction>) {
        if let Some((incarnation, word)) = self.returning.remove(&worker) {
            self.word(now, worker, incarnation, word, actions);
        }
    }

    /// The members that take records, copies and tasks.
    pub(super) fn takers(&self) -> impl Iterator<Item = Member> {
        let takes = self.members.iter().filter(|(worker, _)| !self.leaving.contains(worker));
        takes.map(|(worker, epoch)| Member { worker: *worker, epoch: *epoch })
    }
}
