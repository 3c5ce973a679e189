//! A master that leads from now on: it goes on where earlier ones ended.
//!
//! Knows the journal's words and what workers say, not how either came. Invariant: nothing is sealed, run, copied or
//! acknowledged before all workers have said what they hold, or had the time to.

use crate::log::LOG;
use crate::master::book::Book;
use crate::master::core::{Master, MasterAction};
use crate::master::journal::{SealedInterval, Snapshot};
use crate::master::ledger::LedgerEvent;
use crate::master::spares::Spares;
use crate::master::tracker::TrackerEvent;
use crate::master::writing::{say_gone, say_sealed};
use crate::message::{BlockReport, ToWorker};
use dstream_cluster::detector::DetectorEvent;
use dstream_cluster::message::{ToClient, VisibleResult};
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use std::collections::BTreeSet;

/// A new master waits for workers so many failure timeouts: who lives finds out that its connection is dead, and dials,
/// within two. Who has not come by then is lost.
const TIMEOUTS_TO_COME: u32 = 3;

/// Whom none of those reach who have come is waited for no longer than anybody who falls silent.
const TIMEOUTS_OF_SILENCE: u32 = 1;

/// The last epoch that masters before this term could give.
pub fn first_epoch(term: u64) -> u64 {
    term.saturating_sub(1) << 32
}

/// The workers that may hold what nobody else does: neither those that left nor, as long as there are others, those that
/// earlier masters lost. What only such a one had counted as gone then.
fn whom_to_await(workers: u32, found: &Snapshot) -> BTreeSet<u32> {
    let stayed: BTreeSet<u32> = (1..=workers).filter(|worker| !found.left.contains(worker)).collect();
    if stayed.is_subset(&found.lost) { stayed } else { &stayed - &found.lost }
}

fn records_of(sealed: &SealedInterval) -> u64 {
    sealed.ranges.iter().map(RecordRange::count).sum()
}

impl Master {
    /// Goes on where earlier masters ended, when all workers have said what they hold.
    pub(super) fn elected(
        &mut self,
        now: Moment,
        (term, found, visible): (u64, Snapshot, Vec<VisibleResult>),
        logged: Vec<BlockReport>,
        actions: &mut Vec<MasterAction>,
    ) {
        self.term = term;
        actions.push(MasterAction::Record(Event::MasterElected { term }));
        actions.push(MasterAction::TellWorkers(ToWorker::Lead { term }));
        actions.push(MasterAction::TellClients(ToClient::Lead { term }));
        self.detect(now, DetectorEvent::After { epoch: first_epoch(term) }, actions);
        if term == 1 {
            self.begin_spares(actions);
            return;
        }
        self.awaited = whom_to_await(self.workers, &found);
        self.resume_at = Some(now + self.failure_timeout * TIMEOUTS_TO_COME);
        (self.sealed_below, self.done_below) = (found.next, found.below);
        self.replaying.sealed_below = found.next;
        (self.forgotten_below, self.panes_below) = (found.below, found.panes_below);
        found.open.iter().for_each(|sealed| say_sealed(sealed, actions));
        found.unsaid.iter().for_each(|given_up| say_gone(given_up.clone(), actions));
        if let Some((flow, _)) = &mut self.flow {
            flow.goes_on(found.let_in, found.open.iter().map(records_of));
        }
        self.book = Book::of(&found);
        self.account(now, LedgerEvent::Recovered(found.clone()), actions);
        self.account(now, LedgerEvent::Announced { by: LOG, blocks: logged, closed_below: None }, actions);
        self.track(now, TrackerEvent::Recovered { term, found, visible }, actions);
    }

    /// Whether the epoch was given by an earlier master.
    pub(super) fn is_of_before(&self, epoch: u64) -> bool {
        epoch <= first_epoch(self.term)
    }

    /// Whether most have come, none of these has a connection with anybody who has not, and it is as long as it takes to
    /// lose a worker: whoever lives has connections with others, if not with the master. Half of them are enough where what
    /// the others have is elsewhere as well: they may live, and be cut off.
    fn nobody_reaches_the_others(&self, now: Moment, resume_at: Moment) -> bool {
        let silence = self.failure_timeout * (TIMEOUTS_TO_COME - TIMEOUTS_OF_SILENCE);
        let lacks_all = |worker: &u32| self.unreached.get(worker).is_some_and(|lacks| self.awaited.is_subset(lacks));
        let are_most = self.members.len() > self.awaited.len();
        let are_half = self.members.len() == self.awaited.len() && self.has_input_elsewhere;
        now + silence >= resume_at && (are_most || are_half) && self.members.keys().all(lacks_all)
    }

    /// Goes on when nobody is waited for any longer. Who has not come is lost, whatever it was before.
    pub(super) fn resume(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        let Some(at) = self.resume_at else { return };
        if now < at && !self.awaited.is_empty() && !self.nobody_reaches_the_others(now, at) {
            return;
        }
        self.resume_at = None;
        for worker in std::mem::take(&mut self.awaited) {
            let epoch = first_epoch(self.term);
            actions.push(MasterAction::Record(Event::WorkerLost { worker: NodeName::worker(worker), epoch }));
            self.note_lost(worker, actions);
        }
        self.tell_members(actions);
        self.track(now, TrackerEvent::Resumed, actions);
        self.account(now, LedgerEvent::Resumed, actions);
        let acknowledged = std::mem::take(&mut self.acknowledged);
        self.account(now, LedgerEvent::Acknowledged(acknowledged), actions);
        for client in std::mem::take(&mut self.asked) {
            self.account(now, LedgerEvent::Asked { client }, actions);
        }
        self.spares.iter_mut().for_each(Spares::begin);
        self.call_if_short(actions);
    }
}
