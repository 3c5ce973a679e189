//! The master's core: one `match` that leads events to the parts and their decisions to each other and to the workers.
//!
//! Parts: failure detector, block ledger, stage tracker. Knows no socket. Invariants: a word of an epoch that is over
//! changes nothing; a lost worker's work is handed out again only after the sink refuses that worker's results; an
//! interval's tasks run only after its input is journalled.
//!
//! ```text
//! worker's word --> detector --Joined, Lost--> ledger --Seal--> journal --> tracker --Launch--> workers
//!                                  |              ^------------IntervalDone----'
//!                                  '--Lost--> fence at the sink --> tracker
//! elected --the journal of earlier terms--> waits for all workers, then goes on
//! ```

use crate::cores::CoreFactory;
use crate::master::book::Book;
use crate::master::journal::{Entry, GivenUp, SealedInterval, Snapshot};
use crate::master::ledger::{LedgerAction, LedgerEvent, LedgerLimits};
use crate::master::run::map_inputs;
use crate::master::tracker::{Checkpointed, TrackerAction, TrackerEvent, TrackerLimits};
use crate::message::{Member, NotFetched, TaskFailure, ToMaster, ToWorker};
use dstream_cluster::core::{BoxCore, Core};
use dstream_cluster::detector::{DetectorAction, DetectorEvent};
use dstream_cluster::layout::Role;
use dstream_cluster::message::{ToClient, VisibleResult};
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A new master waits for workers so many failure timeouts: who lives finds out that its connection is dead, and dials, within
/// two. Who has not come by then is lost.
const TIMEOUTS_TO_COME: u32 = 3;

/// What the master must know.
#[derive(Clone, Debug)]
pub struct MasterLimits {
    /// The ledger's limits.
    pub ledger: LedgerLimits,
    /// How often workers beat.
    pub heartbeat: Duration,
    /// How long a worker may be silent.
    pub failure_timeout: Duration,
    /// The tracker's limits.
    pub tracker: TrackerLimits,
    /// How many workers there are.
    pub workers: u32,
}

/// What happens to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterEvent {
    /// A worker's word.
    Word {
        /// The worker.
        worker: u32,
        /// Its incarnation.
        incarnation: u64,
        /// The word.
        word: ToMaster,
    },
    /// The connection with a worker broke.
    WorkerBroken(u32),
    /// A client's connection is open.
    ClientUp(NodeName),
    /// A client says what an earlier master had acknowledged to it.
    Acknowledged(Vec<RecordRange>),
    /// This master leads, and no earlier one's words count any more. Said first.
    Elected {
        /// Counts the masters, from 1.
        term: u64,
        /// What the journal says.
        found: Snapshot,
        /// Results that are at the sink, which refuses workers under epochs of earlier terms.
        visible: Vec<VisibleResult>,
    },
    /// These are written down, in the order in which they were to be.
    Written(Vec<Entry>),
    /// The sink refuses the worker's results from now on.
    Fenced {
        /// The worker.
        member: Member,
        /// Its results that are visible.
        visible: Vec<VisibleResult>,
    },
    /// Time passed.
    Tick,
}

/// What the master does.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterAction {
    /// Say something to a worker.
    Tell {
        /// The worker.
        worker: u32,
        /// What.
        word: ToWorker,
    },
    /// Say something to all workers, members or not.
    TellWorkers(ToWorker),
    /// Say something to all clients.
    TellClients(ToClient),
    /// Say something to one client.
    TellClient(NodeName, ToClient),
    /// Write this down after all before it, then report it in [`MasterEvent::Written`].
    Journal(Entry),
    /// Have the sink refuse the worker's results, then report [`MasterEvent::Fenced`] with those visible `since`.
    Fence {
        /// The worker.
        member: Member,
        /// All intervals below this one are done.
        since: u64,
    },
    /// Remove the checkpoint that goes through this interval from the store.
    DropCheckpoint(u64),
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// The master's core.
pub struct Master {
    workers: u32,
    failure_timeout: Duration,
    detector: BoxCore<DetectorEvent, DetectorAction>,
    ledger: BoxCore<LedgerEvent, LedgerAction>,
    tracker: BoxCore<TrackerEvent, TrackerAction>,
    members: BTreeMap<u32, u64>,
    /// Workers that are lost and not yet fenced; those that joined again meanwhile wait with `true`.
    fencing: BTreeMap<u32, (u64, bool)>,
    /// Intervals below this one are sealed.
    sealed_below: u64,
    book: Book,
    /// interval -> how many entries its tasks wait for
    unwritten: BTreeMap<u64, u32>,
    /// Checkpoints whose snapshots are being written: what follows from them waits.
    unsaid: BTreeMap<u64, Checkpointed>,
    term: u64,
    /// The worker that is joining has what it made for an earlier master.
    keeps: bool,
    /// Workers that have not said what they hold, since this master took over.
    awaited: BTreeSet<u32>,
    /// When they are not waited for any longer; nothing where nobody is.
    resume_at: Option<Moment>,
    /// Clients that asked meanwhile.
    asked: BTreeSet<u32>,
    /// What clients said meanwhile that was acknowledged.
    acknowledged: Vec<RecordRange>,
    /// How often records were found to be gone.
    times_gone: u64,
    done: BTreeSet<u64>,
    /// All intervals below this one are done.
    done_below: u64,
    /// The lineage of an interval outlives it, until a checkpoint goes through it.
    keeps_state: bool,
    /// Intervals below this one are done and their lineage is forgotten.
    forgotten_below: u64,
    panes_below: u64,
}

impl Master {
    /// A master without members.
    pub fn new(limits: MasterLimits, query: &Query, cores: &dyn CoreFactory) -> Master {
        Master {
            detector: cores.detector(limits.heartbeat, limits.failure_timeout),
            ledger: cores.ledger(limits.ledger),
            tracker: cores.tracker(query, limits.tracker),
            keeps_state: query.stages.iter().any(|stage| !stage.kept.is_empty()),
            members: BTreeMap::new(),
            fencing: BTreeMap::new(),
            sealed_below: 0,
            book: Book::default(),
            unwritten: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            term: 1,
            keeps: false,
            awaited: BTreeSet::new(),
            resume_at: None,
            asked: BTreeSet::new(),
            acknowledged: Vec::new(),
            times_gone: 0,
            workers: limits.workers,
            failure_timeout: limits.failure_timeout,
            done: BTreeSet::new(),
            done_below: 0,
            forgotten_below: 0,
            panes_below: 0,
        }
    }

    fn detect(&mut self, now: Moment, event: DetectorEvent, actions: &mut Vec<MasterAction>) {
        let mut decided = Vec::new();
        self.detector.step(now, event, &mut decided);
        for action in decided {
            match action {
                DetectorAction::Joined { worker, epoch } => self.joined(now, Member { worker, epoch }, actions),
                DetectorAction::Rejoined { worker, epoch } => self.rejoined(now, Member { worker, epoch }, actions),
                DetectorAction::Lost { worker, epoch } => self.lost(now, Member { worker, epoch }, actions),
                DetectorAction::Renew { .. } => {} // the lease goes out with the heartbeat's own time
                DetectorAction::Refuse { worker, epoch } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Fenced { epoch } });
                }
            }
        }
    }

    fn joined(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        self.members.insert(worker, epoch);
        actions.push(MasterAction::Record(Event::WorkerJoined { worker: NodeName::worker(worker), epoch }));
        self.welcome(member, actions);
        self.tell_members(actions);
        self.account(now, LedgerEvent::Joined(member), actions);
        match self.fencing.get_mut(&worker) {
            Some((_, joined_again)) => *joined_again = true,
            None => self.track(now, TrackerEvent::Joined(worker), actions),
        }
    }

    fn rejoined(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
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

    fn lost(&mut self, now: Moment, member: Member, actions: &mut Vec<MasterAction>) {
        let Member { worker, epoch } = member;
        self.members.remove(&worker);
        actions.push(MasterAction::Record(Event::WorkerLost { worker: NodeName::worker(worker), epoch }));
        actions.push(MasterAction::Tell { worker, word: ToWorker::Fenced { epoch } });
        self.fencing.insert(worker, (epoch, false));
        actions.push(MasterAction::Fence { member, since: self.done_below });
        self.tell_members(actions);
        self.track(now, TrackerEvent::Fencing(worker), actions);
        self.account(now, LedgerEvent::Lost(member), actions);
    }

    fn fenced(&mut self, now: Moment, member: Member, visible: Vec<VisibleResult>, actions: &mut Vec<MasterAction>) {
        let Some((epoch, joined_again)) = self.fencing.get(&member.worker).copied() else { return };
        if epoch != member.epoch {
            return; // an older fence; the newest one decides
        }
        self.fencing.remove(&member.worker);
        self.track(now, TrackerEvent::Lost { worker: member.worker, visible }, actions);
        if joined_again && self.members.contains_key(&member.worker) {
            self.track(now, TrackerEvent::Joined(member.worker), actions);
        }
    }

    fn member_list(&self) -> Vec<Member> {
        self.members.iter().map(|(worker, epoch)| Member { worker: *worker, epoch: *epoch }).collect()
    }

    fn client_members(&self) -> ToClient {
        ToClient::Members(self.members.keys().map(|worker| NodeName::worker(*worker)).collect())
    }

    /// Nothing is said of members while some are awaited: with too few, too few copies would be enough.
    fn tell_members(&self, actions: &mut Vec<MasterAction>) {
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

    fn account(&mut self, now: Moment, event: LedgerEvent, actions: &mut Vec<MasterAction>) {
        let mut decided = Vec::new();
        self.ledger.step(now, event, &mut decided);
        for action in decided {
            match action {
                LedgerAction::Seal { interval, ranges, blocks } => {
                    self.sealed_below = self.sealed_below.max(interval + 1);
                    let sealed = SealedInterval { interval, ranges, blocks: blocks.clone() };
                    self.book.sealed(sealed.clone());
                    self.write(Some(interval), Entry::Sealed(sealed), actions);
                    self.track(now, TrackerEvent::Sealed { interval, blocks }, actions);
                }
                LedgerAction::Gone(ranges) => {
                    self.book.gone(&ranges);
                    self.write(None, Entry::Gone(ranges), actions);
                }
                LedgerAction::GiveUp(given_up) => self.give_up(given_up, actions),
                LedgerAction::Holders { block, holders } => {
                    self.track(now, TrackerEvent::Holders { block, holders }, actions);
                }
                LedgerAction::AskOrphans { origin, of } => {
                    for worker in of {
                        let word = ToWorker::ReportOrphans { origin: origin.worker, epoch: origin.epoch };
                        actions.push(MasterAction::Tell { worker, word });
                    }
                }
                LedgerAction::OrderCopy { block, from, to } => {
                    actions.push(MasterAction::Tell { worker: from, word: ToWorker::Copy { block, to } });
                }
                LedgerAction::Forget { by, blocks } => {
                    let word = self.forget(None, blocks);
                    let all = self.members.keys().copied().filter(|worker| by.is_none_or(|by| by == *worker));
                    actions.extend(all.map(|worker| MasterAction::Tell { worker, word: word.clone() }));
                }
                LedgerAction::Answer { client, ranges } => {
                    let client = Role::Client(client).name();
                    actions.push(MasterAction::TellClient(client, ToClient::Known(ranges)));
                }
                LedgerAction::Record(event) => actions.push(MasterAction::Record(event)),
            }
        }
    }

    fn track(&mut self, now: Moment, event: TrackerEvent, actions: &mut Vec<MasterAction>) {
        let mut decided = Vec::new();
        self.tracker.step(now, event, &mut decided);
        for action in decided {
            match action {
                TrackerAction::Launch { worker, launch } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Launch(launch) });
                }
                TrackerAction::IntervalDone(interval) => self.interval_done(now, interval, actions),
                TrackerAction::Save { worker, save } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Save(save) });
                }
                TrackerAction::Checkpointed(checkpointed) => self.checkpointed(checkpointed, actions),
                TrackerAction::Cancel { worker, task } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Cancel(task) });
                }
                TrackerAction::GiveUp(given_up) => {
                    self.account(now, LedgerEvent::GivenUp(given_up.block), actions);
                    self.give_up(given_up, actions);
                }
                TrackerAction::Fatal(why) => actions.push(MasterAction::Fatal(why)),
                TrackerAction::Record(event) => actions.push(MasterAction::Record(event)),
            }
        }
    }

    fn interval_done(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        self.done.insert(interval);
        while self.done.remove(&self.done_below) {
            self.done_below += 1;
        }
        if self.done_below > 0 {
            actions.push(MasterAction::TellClients(ToClient::Done { interval: self.done_below - 1 }));
        }
        if !self.keeps_state {
            self.forgotten_below = self.done_below;
            self.tell_all(&self.forget(Some(interval), Vec::new()), actions);
            self.over(now, interval, actions);
            if let Some(snapshot) = self.book.due_snapshot(self.done_below) {
                self.write(None, Entry::Snapshot(snapshot), actions);
            }
        }
    }

    /// Nothing of the interval will be computed again.
    fn over(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        self.account(now, LedgerEvent::Done { interval }, actions);
        self.book.over(interval);
    }

    /// Has an entry written. Tasks of the interval wait for it.
    fn write(&mut self, interval: Option<u64>, entry: Entry, actions: &mut Vec<MasterAction>) {
        if let Some(interval) = interval {
            *self.unwritten.entry(interval).or_default() += 1;
        }
        actions.push(MasterAction::Journal(entry));
    }

    fn give_up(&mut self, given_up: GivenUp, actions: &mut Vec<MasterAction>) {
        self.book.given_up(given_up.block, given_up.interval);
        self.write(given_up.interval, Entry::GivenUp(given_up), actions);
    }

    /// A checkpoint is complete: when that is written down, no master will ask for what it stands for.
    fn checkpointed(&mut self, checkpointed: Checkpointed, actions: &mut Vec<MasterAction>) {
        let Checkpointed { through, below, panes_below, checkpoints, .. } = &checkpointed;
        let snapshot = self.book.snapshot((*below, *panes_below), checkpoints.clone());
        self.unsaid.insert(*through, checkpointed);
        self.write(None, Entry::Snapshot(snapshot), actions);
    }

    fn written(&mut self, now: Moment, entries: Vec<Entry>, actions: &mut Vec<MasterAction>) {
        for entry in entries {
            let interval = match entry {
                Entry::Sealed(sealed) => {
                    say_sealed(&sealed, actions);
                    Some(sealed.interval)
                }
                Entry::GivenUp(GivenUp { block, ranges, interval }) => {
                    actions.push(MasterAction::Record(Event::BlockLost { block, ranges, interval }));
                    interval
                }
                Entry::Gone(ranges) => {
                    self.times_gone += 1;
                    // No worker has the number 0: nobody knows the block's name.
                    let block = BlockName { origin: 0, epoch: self.term, number: self.times_gone };
                    actions.push(MasterAction::Record(Event::BlockLost { block, ranges, interval: None }));
                    None
                }
                Entry::Snapshot(snapshot) => {
                    self.checkpoint_written(now, &snapshot, actions);
                    None
                }
            };
            let Some(waiting) = interval.and_then(|interval| self.unwritten.get_mut(&interval)) else { continue };
            *waiting -= 1;
            if let Some(interval) = interval.filter(|_| *waiting == 0) {
                self.unwritten.remove(&interval);
                self.track(now, TrackerEvent::Journalled { interval }, actions);
            }
        }
    }

    /// What came before the snapshot is forgotten.
    fn checkpoint_written(&mut self, now: Moment, snapshot: &Snapshot, actions: &mut Vec<MasterAction>) {
        let through = snapshot.checkpoints.last().map(|(through, _)| *through);
        let Some(checkpointed) = through.and_then(|through| self.unsaid.remove(&through)) else { return };
        let Checkpointed { through, below, panes_below, over, .. } = checkpointed;
        actions.push(MasterAction::Record(Event::CheckpointComplete { through }));
        let done = self.forgotten_below..below;
        (self.forgotten_below, self.panes_below) = (below, panes_below);
        self.tell_all(&self.forget(None, Vec::new()), actions);
        for interval in done {
            self.over(now, interval, actions);
        }
        actions.extend(over.into_iter().map(MasterAction::DropCheckpoint));
    }

    // -- taking over -----------------------------------------------------------------------------------------------

    /// Goes on where earlier masters ended, when all workers have said what they hold.
    fn elected(
        &mut self,
        now: Moment,
        (term, found, visible): (u64, Snapshot, Vec<VisibleResult>),
        actions: &mut Vec<MasterAction>,
    ) {
        self.term = term;
        actions.push(MasterAction::Record(Event::MasterElected { term }));
        actions.push(MasterAction::TellWorkers(ToWorker::Lead { term }));
        actions.push(MasterAction::TellClients(ToClient::Lead { term }));
        self.detect(now, DetectorEvent::After { epoch: first_epoch(term) }, actions);
        if term == 1 {
            return;
        }
        self.awaited = (1..=self.workers).collect();
        self.resume_at = Some(now + self.failure_timeout * TIMEOUTS_TO_COME);
        (self.sealed_below, self.done_below) = (found.next, found.below);
        (self.forgotten_below, self.panes_below) = (found.below, found.panes_below);
        found.open.iter().for_each(|sealed| say_sealed(sealed, actions));
        self.book = Book::of(&found);
        self.account(now, LedgerEvent::Recovered(found.clone()), actions);
        self.track(now, TrackerEvent::Recovered { term, found, visible }, actions);
    }

    /// Whether the epoch was given by an earlier master.
    fn is_of_before(&self, epoch: u64) -> bool {
        epoch <= first_epoch(self.term)
    }

    /// Goes on when nobody is waited for any longer. Who has not come is lost, whatever it was before.
    fn resume(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        if self.resume_at.is_none_or(|at| now < at && !self.awaited.is_empty()) {
            return;
        }
        self.resume_at = None;
        for worker in std::mem::take(&mut self.awaited) {
            let epoch = first_epoch(self.term);
            actions.push(MasterAction::Record(Event::WorkerLost { worker: NodeName::worker(worker), epoch }));
        }
        self.tell_members(actions);
        self.track(now, TrackerEvent::Resumed, actions);
        self.account(now, LedgerEvent::Resumed, actions);
        let acknowledged = std::mem::take(&mut self.acknowledged);
        self.account(now, LedgerEvent::Acknowledged(acknowledged), actions);
        for client in std::mem::take(&mut self.asked) {
            self.account(now, LedgerEvent::Asked { client }, actions);
        }
    }

    fn forget(&self, interval: Option<u64>, blocks: Vec<BlockName>) -> ToWorker {
        ToWorker::Forget { slices_below: self.forgotten_below, interval, blocks, panes_below: self.panes_below }
    }

    fn tell_all(&self, word: &ToWorker, actions: &mut Vec<MasterAction>) {
        let tell = |worker: &u32| MasterAction::Tell { worker: *worker, word: word.clone() };
        actions.extend(self.members.keys().map(tell));
    }

    fn word(&mut self, now: Moment, worker: u32, incarnation: u64, word: ToMaster, actions: &mut Vec<MasterAction>) {
        match word {
            ToMaster::Join { epoch, blocks, made, .. } => {
                self.keeps = epoch.is_some_and(|epoch| self.is_of_before(epoch));
                self.detect(now, DetectorEvent::Join { worker, incarnation, epoch }, actions);
                let keeps = std::mem::take(&mut self.keeps);
                // Under its new epoch: the worker holds these blocks whatever it was called when it got them.
                let Some(epoch) = self.members.get(&worker).copied() else { return };
                let holder = Member { worker, epoch };
                let blocks = blocks.into_iter().map(|report| held_by(report, holder)).collect();
                self.account(now, LedgerEvent::Announced { by: worker, blocks, closed_below: None }, actions);
                if keeps {
                    self.track(now, TrackerEvent::Held { worker, made }, actions);
                }
                self.awaited.remove(&worker);
                self.resume(now, actions);
            }
            ToMaster::Heartbeat { epoch, sent_ns, unreachable } => {
                self.detect(now, DetectorEvent::Heartbeat { worker, epoch }, actions);
                if self.is_member(worker, epoch) {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Lease { epoch, sent_ns } });
                    let unreachable = unreachable.into_iter().collect();
                    self.track(now, TrackerEvent::Links { worker, unreachable }, actions);
                    self.account(now, LedgerEvent::Tick, actions);
                }
            }
            ToMaster::Announce { epoch, blocks, closed_below } if self.is_member(worker, epoch) => {
                let (closed_below, heard) = (Some(closed_below), blocks.iter().map(|block| block.name).collect());
                self.account(now, LedgerEvent::Announced { by: worker, blocks, closed_below }, actions);
                actions.push(MasterAction::Tell { worker, word: ToWorker::Heard { epoch, blocks: heard } });
            }
            ToMaster::Orphans { epoch, origin, origin_epoch, blocks } if self.is_member(worker, epoch) => {
                let origin = Member { worker: origin, epoch: origin_epoch };
                self.account(now, LedgerEvent::Orphans { by: worker, origin, blocks }, actions);
            }
            ToMaster::CopyHeld { epoch, block } if self.is_member(worker, epoch) => {
                let by = Member { worker, epoch };
                self.account(now, LedgerEvent::CopyHeld { by, block }, actions);
            }
            ToMaster::TaskDone { epoch, task } if self.is_member(worker, epoch) => {
                self.track(now, TrackerEvent::Done { worker, task }, actions);
            }
            ToMaster::TaskFailed { epoch, task, why } if self.is_member(worker, epoch) => {
                if let TaskFailure::NotFetched(NotFetched { blocks_missing, .. }) = &why {
                    for (block, at) in blocks_missing {
                        self.account(now, LedgerEvent::NotHeld { at: *at, block: *block }, actions);
                    }
                }
                self.track(now, TrackerEvent::Failed { worker, task, why }, actions);
            }
            ToMaster::Saved { epoch, through, stage, partition, attempt, failed } if self.is_member(worker, epoch) => {
                let saved = TrackerEvent::Saved { worker, through, stage, partition, attempt, failed };
                self.track(now, saved, actions);
            }
            // Of an epoch that is over: the detector answers its next heartbeat with a refusal.
            _ => {}
        }
    }

    fn is_member(&self, worker: u32, epoch: u64) -> bool {
        self.members.get(&worker) == Some(&epoch)
    }
}

/// The last epoch that masters before this term could give.
pub fn first_epoch(term: u64) -> u64 {
    term.saturating_sub(1) << 32
}

/// The log hears of an interval when nobody can seal it otherwise any more.
fn say_sealed(sealed: &SealedInterval, actions: &mut Vec<MasterAction>) {
    let SealedInterval { interval, ranges, blocks } = sealed;
    let names: Vec<BlockName> = blocks.iter().map(|block| block.order.name).collect();
    let inputs = map_inputs(&names);
    let (interval, ranges) = (*interval, ranges.clone());
    actions.push(MasterAction::Record(Event::IntervalSealed { interval, ranges, blocks: names }));
    actions.push(MasterAction::Record(Event::MapsCut { interval, inputs }));
}

fn held_by(report: crate::message::BlockReport, holder: Member) -> crate::message::BlockReport {
    let mut holders = report.holders;
    holders.retain(|other| other.worker != holder.worker);
    holders.push(holder);
    crate::message::BlockReport { holders, ..report }
}

impl Core for Master {
    type Event = MasterEvent;
    type Action = MasterAction;

    fn step(&mut self, now: Moment, event: MasterEvent, actions: &mut Vec<MasterAction>) {
        match event {
            MasterEvent::Word { worker, incarnation, word } => self.word(now, worker, incarnation, word, actions),
            MasterEvent::WorkerBroken(worker) => self.detect(now, DetectorEvent::Broken { worker }, actions),
            MasterEvent::ClientUp(client) => {
                actions.push(MasterAction::TellClient(client.clone(), self.client_members()));
                match Role::of(&client) {
                    Some(Role::Client(client)) if self.resume_at.is_some() => _ = self.asked.insert(client),
                    Some(Role::Client(client)) => self.account(now, LedgerEvent::Asked { client }, actions),
                    _ => {}
                }
            }
            MasterEvent::Acknowledged(ranges) if self.resume_at.is_some() => self.acknowledged.extend(ranges),
            MasterEvent::Acknowledged(ranges) => self.account(now, LedgerEvent::Acknowledged(ranges), actions),
            MasterEvent::Elected { term, found, visible } => self.elected(now, (term, found, visible), actions),
            MasterEvent::Written(entries) => self.written(now, entries, actions),
            MasterEvent::Fenced { member, visible } => self.fenced(now, member, visible, actions),
            MasterEvent::Tick => {
                self.detect(now, DetectorEvent::Tick, actions);
                self.account(now, LedgerEvent::Tick, actions);
                self.track(now, TrackerEvent::Tick, actions);
                self.resume(now, actions);
            }
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let parts = [self.detector.deadline(), self.ledger.deadline(), self.tracker.deadline(), self.resume_at];
        parts.into_iter().flatten().min()
    }
}
