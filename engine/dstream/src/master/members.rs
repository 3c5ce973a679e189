//! Who is a member, and who hears of it.
//!
//! Part of the master's core. Invariants: a worker that joins again while its last life is being fenced gets tasks only
//! after the sink refuses that life; nothing is said of members while some are awaited.

use crate::master::core::{Master, MasterAction};
use crate::master::journal::Entry;
use crate::master::ledger::LedgerEvent;
use crate::master::spares::Spares;
use crate::master::tracker::TrackerEvent;
use crate::message::{Member, ToWorker};
use dstream_cluster::detector::DetectorEvent;
use dstream_cluster::message::{ToClient, VisibleResult};
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

impl Master {
    pub(super) fn joined(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        self.members.insert(worker, epoch);
        actions.push(MasterAction::Record(Event::WorkerJoined { worker: NodeName::worker(worker), epoch }));
        let takers = self.takers().count();
        self.spares.iter_mut().for_each(|spares| spares.joined(now, takers));
        self.welcome(member, actions);
        self.tell_members(actions);
        self.account(now, LedgerEvent::Joined(member), actions);
        match self.fencing.get_mut(&worker) {
            Some((_, joined_again)) => *joined_again = true,
            None => self.track(now, TrackerEvent::Joined(worker), actions),
        }
    }

    pub(super) fn rejoined(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        self.welcome(member, actions);
        if self.resume_at.is_none() {
            let members = self.member_list();
            actions.push(MasterAction::Tell { worker: member.worker, word: ToWorker::Members { members } });
        }
        self.account(now, LedgerEvent::Reconnected { worker: member.worker }, actions);
        self.track(now, TrackerEvent::Reconnected(member.worker), actions);
    }

    fn welcome(&self, member: Member, actions: &mut Vec<MasterAction>) {
        let word = ToWorker::Welcome { epoch: member.epoch, sealed_below: self.sealed_below, keeps: self.keeps };
        actions.push(MasterAction::Tell { worker: member.worker, word });
    }

    pub(super) fn lost(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        actions.push(MasterAction::Record(Event::WorkerLost { worker: NodeName::worker(worker), epoch }));
        actions.push(MasterAction::Tell { worker, word: ToWorker::Fenced { epoch } });
        if self.joining != Some(worker) {
            self.note_lost(worker, actions);
        }
        self.gone(now, member, actions);
        self.spares.iter_mut().for_each(Spares::begin);
        self.call_if_short(actions);
    }

    /// No later master waits for the worker until it is back.
    pub(super) fn note_lost(&mut self, worker: u32, actions: &mut Vec<MasterAction>) {
        if self.book.lost.insert(worker) {
            self.write(None, Entry::Lost(worker), actions);
        }
    }

    /// The worker is no member any more, lost or let go.
    pub(super) fn gone(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        self.members.remove(&worker);
        self.leaving.remove(&worker);
        self.spares.iter_mut().for_each(|spares| spares.left(now, worker));
        self.keep_enough(now, actions);
        self.fencing.insert(worker, (epoch, false));
        actions.push(MasterAction::Fence { member, since: self.done_below });
        self.tell_members(actions);
        self.track(now, TrackerEvent::Fencing(worker), actions);
        self.account(now, LedgerEvent::Lost(member), actions);
    }

    pub(super) fn fenced(
        &mut self,
        now: Moment,
        member: Member,
        visible: Vec<VisibleResult>,
        actions: &mut Vec<MasterAction>,
    ) {
        let Some((epoch, joined_again)) = self.fencing.get(&member.worker).copied() else { return };
        if epoch != member.epoch {
            return; // an older fence; the newest one decides
        }
        self.fencing.remove(&member.worker);
        self.track(now, TrackerEvent::Lost { worker: member.worker, visible }, actions);
        if joined_again && self.members.contains_key(&member.worker) {
            if self.leaving.contains(&member.worker) {
                self.track(now, TrackerEvent::Leaving(member.worker), actions); // it asked meanwhile
            }
            self.track(now, TrackerEvent::Joined(member.worker), actions);
        }
    }

    /// A worker says that it lives, and whom it does not reach.
    pub(super) fn beats(
        &mut self,
        now: Moment,
        (member, sent_ns): (Member, u64),
        unreachable: BTreeSet<u32>,
        actions: &mut Vec<MasterAction>,
    ) {
        let Member { worker, epoch } = member;
        self.detect(now, DetectorEvent::Heartbeat { worker, epoch }, actions);
        if self.is_member(worker, epoch) {
            self.heard.insert(worker, now);
            self.unreached.insert(worker, unreachable.clone());
            actions.push(MasterAction::Tell { worker, word: ToWorker::Lease { epoch, sent_ns } });
            self.track(now, TrackerEvent::Links { worker, unreachable }, actions);
            self.account(now, LedgerEvent::Tick, actions);
            self.resume(now, actions);
            self.spare_on(now, member, actions);
        }
    }

    fn member_list(&self) -> Vec<Member> {
        self.takers().collect()
    }

    /// What a client may send, if that is limited: all get the same share.
    pub(super) fn quota(&self) -> Option<ToClient> {
        let (flow, clients) = self.flow.as_ref()?;
        Some(ToClient::Quota { in_1000_s: (flow.per_second() * 1000.0 / f64::from(*clients)) as u64 })
    }

    pub(super) fn client_members(&self) -> ToClient {
        ToClient::Members(self.takers().map(|member| NodeName::worker(member.worker)).collect())
    }

    /// Nothing is said of members while some are awaited: with too few, too few copies would be enough.
    pub(super) fn tell_members(&self, actions: &mut Vec<MasterAction>) {
        if self.resume_at.is_some() {
            return;
        }
        let members = self.member_list();
        for worker in self.members.keys() {
            let word = ToWorker::Members { members: members.clone() };
            actions.push(MasterAction::Tell { worker: *worker, word });
        }
        actions.push(MasterAction::TellClients(self.client_members()));
    }
}

/// How many records these would be if each of so many clients had as many of them as the one that has most. All are let the
/// same, so one that sends alone is held down when it has that share.
pub(super) fn if_alike(ranges: &[RecordRange], clients: u32) -> u64 {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    ranges.iter().for_each(|range| *counts.entry(range.client).or_default() += range.count());
    counts.into_values().max().unwrap_or(0).saturating_mul(u64::from(clients))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_most_says_how_many_records_there_would_be_if_all_sent_as_many() {
        let range = |client, first, last| RecordRange { client, first, last };
        assert_eq!(if_alike(&[], 3), 0);
        assert_eq!(if_alike(&[range(1, 0, 9), range(2, 0, 9)], 2), 20);
        assert_eq!(if_alike(&[range(1, 0, 9), range(2, 0, 3), range(1, 20, 24)], 3), 45);
    }
}
