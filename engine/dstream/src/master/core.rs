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
//! ```

use crate::cores::CoreFactory;
use crate::master::ledger::{LedgerAction, LedgerEvent, LedgerLimits};
use crate::master::run::map_inputs;
use crate::master::tracker::{TrackerAction, TrackerEvent, TrackerLimits};
use crate::message::{Member, NotFetched, TaskFailure, ToMaster, ToWorker};
use dstream_cluster::core::{BoxCore, Core};
use dstream_cluster::detector::{DetectorAction, DetectorEvent};
use dstream_cluster::layout::Role;
use dstream_cluster::message::{ToClient, VisibleResult};
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
    /// The interval's input is written down.
    Journalled {
        /// The interval.
        interval: u64,
    },
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
    /// Say something to all clients.
    TellClients(ToClient),
    /// Say something to one client.
    TellClient(NodeName, ToClient),
    /// Write down the interval's input, then report [`MasterEvent::Journalled`].
    Journal {
        /// The interval.
        interval: u64,
        /// Its records.
        ranges: Vec<RecordRange>,
    },
    /// Have the sink refuse the worker's results, then report [`MasterEvent::Fenced`] with those visible `since`.
    Fence {
        /// The worker.
        member: Member,
        /// All intervals below this one are done.
        since: u64,
    },
    /// Remove the checkpoint that goes through this interval from the store.
    DropCheckpoint(u64),
    /// Nobody reads the journal of this interval any more.
    DropJournal(u64),
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// The master's core.
pub struct Master {
    detector: BoxCore<DetectorEvent, DetectorAction>,
    ledger: BoxCore<LedgerEvent, LedgerAction>,
    tracker: BoxCore<TrackerEvent, TrackerAction>,
    members: BTreeMap<u32, u64>,
    /// Workers that are lost and not yet fenced; those that joined again meanwhile wait with `true`.
    fencing: BTreeMap<u32, (u64, bool)>,
    /// Intervals below this one are sealed.
    sealed_below: u64,
    /// What the log says of sealed intervals once they are journalled.
    unjournalled: BTreeMap<u64, [Event; 2]>,
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
            unjournalled: BTreeMap::new(),
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
        let members = self.member_list();
        actions.push(MasterAction::Tell { worker: member.worker, word: ToWorker::Members { members } });
        self.account(now, LedgerEvent::Reconnected { worker: member.worker }, actions);
        self.track(now, TrackerEvent::Reconnected(member.worker), actions);
    }

    fn welcome(&self, member: Member, actions: &mut Vec<MasterAction>) {
        let word = ToWorker::Welcome { epoch: member.epoch, sealed_below: self.sealed_below };
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

    fn tell_members(&self, actions: &mut Vec<MasterAction>) {
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
                    let names: Vec<BlockName> = blocks.iter().map(|block| block.order.name).collect();
                    let inputs = map_inputs(&names);
                    let sealed = Event::IntervalSealed { interval, ranges: ranges.clone(), blocks: names };
                    self.unjournalled.insert(interval, [sealed, Event::MapsCut { interval, inputs }]);
                    actions.push(MasterAction::Journal { interval, ranges });
                    self.track(now, TrackerEvent::Sealed { interval, blocks }, actions);
                }
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
                TrackerAction::Forget { below, panes_below } => {
                    self.lineage_forgotten(now, below, panes_below, actions);
                }
                TrackerAction::Cancel { worker, task } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Cancel(task) });
                }
                TrackerAction::DropCheckpoint(through) => actions.push(MasterAction::DropCheckpoint(through)),
                TrackerAction::GiveUp(block) => self.account(now, LedgerEvent::GivenUp(block), actions),
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
        }
    }

    /// Nothing of the interval will be computed again.
    fn over(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        self.account(now, LedgerEvent::Done { interval }, actions);
        actions.push(MasterAction::DropJournal(interval));
    }

    /// A checkpoint goes through all intervals below `below`.
    fn lineage_forgotten(&mut self, now: Moment, below: u64, panes_below: u64, actions: &mut Vec<MasterAction>) {
        let over = self.forgotten_below..below;
        (self.forgotten_below, self.panes_below) = (below, panes_below);
        self.tell_all(&self.forget(None, Vec::new()), actions);
        for interval in over {
            self.over(now, interval, actions);
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
            ToMaster::Join { epoch, blocks, .. } => {
                self.detect(now, DetectorEvent::Join { worker, incarnation, epoch }, actions);
                // Under its new epoch: the worker holds these blocks whatever it was called when it got them.
                let Some(epoch) = self.members.get(&worker).copied() else { return };
                let holder = Member { worker, epoch };
                let blocks = blocks.into_iter().map(|report| held_by(report, holder)).collect();
                self.account(now, LedgerEvent::Announced { by: worker, blocks, closed_below: None }, actions);
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

    fn journalled(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        if let Some(events) = self.unjournalled.remove(&interval) {
            actions.extend(events.map(MasterAction::Record));
            self.track(now, TrackerEvent::Journalled { interval }, actions);
        }
    }
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
                if let Some(Role::Client(client)) = Role::of(&client) {
                    self.account(now, LedgerEvent::Asked { client }, actions);
                }
            }
            MasterEvent::Journalled { interval } => self.journalled(now, interval, actions),
            MasterEvent::Fenced { member, visible } => self.fenced(now, member, visible, actions),
            MasterEvent::Tick => {
                self.detect(now, DetectorEvent::Tick, actions);
                self.account(now, LedgerEvent::Tick, actions);
                self.track(now, TrackerEvent::Tick, actions);
            }
        }
    }

    fn deadline(&self) -> Option<Moment> {
        [self.detector.deadline(), self.ledger.deadline(), self.tracker.deadline()].into_iter().flatten().min()
    }
}
