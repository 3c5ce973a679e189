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
use crate::log::LOG;
use crate::master::book::Book;
use crate::master::flow::Flow;
use crate::master::journal::{Entry, Snapshot};
use crate::master::leaving::Consent;
use crate::master::ledger::{LedgerAction, LedgerEvent, LedgerLimits};
use crate::master::replaying::Replaying;
use crate::master::results::Results;
use crate::master::scale::Scale;
use crate::master::spares::Spares;
use crate::master::tracker::{Checkpointed, TrackerAction, TrackerEvent, TrackerLimits};
use crate::master::trimming::Trimming;
use crate::message::{BlockReport, Member, ToMaster, ToWorker};
use crate::options::Input;
use dstream_cluster::core::{BoxCore, Core};
use dstream_cluster::detector::{DetectorAction, DetectorEvent};
use dstream_cluster::layout::Role;
use dstream_cluster::message::{ToClient, VisibleResult};
use dstream_kernel::{Query, StageInput};
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// How many workers there are.
    pub workers: u32,
    /// How many of them wait until they are called.
    pub spares: u32,
    /// How many clients there are, where they are told how much they may send.
    pub throttled_clients: Option<u32>,
    /// Nothing of an interval is forgotten before its results are where they outlive the sink.
    pub awaits_writing: bool,
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
    /// A client's connection broke.
    ClientDown(NodeName),
    /// A client says what an earlier master had acknowledged to it.
    Acknowledged(Vec<RecordRange>),
    /// This master leads, and no earlier one's words count any more. Said first.
    Elected {
        /// Counts the masters, from 1.
        term: u64,
        /// What the journal says.
        found: Snapshot,
        /// What the input log has beside the blocks of sealed intervals.
        logged: Vec<BlockReport>,
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
    /// What the input log has of a lost worker's that was not known.
    Logged {
        /// The lost worker.
        origin: Member,
        /// The blocks.
        blocks: Vec<BlockReport>,
    },
    /// Results of intervals below this number are where they outlive the sink.
    ResultsWritten {
        /// The number.
        below: u64,
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
    /// Read what the input log has of the lost worker, but for these blocks, then report [`MasterEvent::Logged`].
    ReadLog {
        /// The lost worker.
        origin: Member,
        /// What need not be read.
        known: BTreeSet<BlockName>,
    },
    /// Remove these blocks from the input log.
    DropLogged(Vec<BlockName>),
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// The master's core.
pub struct Master {
    pub(super) workers: u32,
    pub(super) failure_timeout: Duration,
    /// A log has the input as well, or clients keep it.
    pub(super) has_input_elsewhere: bool,
    pub(super) detector: BoxCore<DetectorEvent, DetectorAction>,
    pub(super) ledger: BoxCore<LedgerEvent, LedgerAction>,
    /// What the ledger is to hear when all is done that it has just decided.
    pub(super) unaccounted: Option<VecDeque<LedgerEvent>>,
    pub(super) tracker: BoxCore<TrackerEvent, TrackerAction>,
    pub(super) members: BTreeMap<u32, u64>,
    /// Members that are to leave.
    pub(super) leaving: BTreeSet<u32>,
    /// Workers that had left and join again, with their incarnations and words, until that is written down.
    pub(super) returning: BTreeMap<u32, (u64, ToMaster)>,
    /// When each was heard last, and how often they beat.
    pub(super) heard: BTreeMap<u32, Moment>,
    /// When it took its last step, and when it last went on after it had stood still.
    pub(super) last_step: Moment,
    pub(super) woke: Option<Moment>,
    /// Whom each said last that it has no connection with.
    pub(super) unreached: BTreeMap<u32, BTreeSet<u32>>,
    pub(super) heartbeat: Duration,
    /// How many have to go on taking work: fewer could not hold the promised copies.
    pub(super) least_takers: usize,
    /// Who can do without the one that asks just now.
    pub(super) consents: BTreeSet<Consent>,
    /// Workers that are lost and not yet fenced; those that joined again meanwhile wait with `true`.
    pub(super) fencing: BTreeMap<u32, (u64, bool)>,
    /// Intervals below this one are sealed.
    pub(super) sealed_below: u64,
    pub(super) book: Book,
    pub(super) trimming: Trimming,
    pub(super) replaying: Replaying,
    /// How much the cluster takes, with the number of clients; nothing where they send as much as they like.
    pub(super) flow: Option<(Flow, u32)>,
    /// Who works and who waits, where some do.
    pub(super) spares: Option<Spares>,
    /// The stages whose tasks wait for those of the interval before.
    pub(super) steps: BTreeSet<u32>,
    /// The stages whose tasks read blocks.
    pub(super) readers: BTreeSet<u32>,
    /// interval -> how many entries its tasks wait for
    pub(super) unwritten: BTreeMap<u64, u32>,
    /// Checkpoints whose snapshots are being written: what follows from them waits.
    pub(super) unsaid: BTreeMap<u64, Checkpointed>,
    pub(super) term: u64,
    /// The worker that is joining has what it made for an earlier master.
    pub(super) keeps: bool,
    /// Workers that have not said what they hold, since this master took over.
    pub(super) awaited: BTreeSet<u32>,
    /// Whose new life joins just now: the end of its last one is no loss that a later master need know of.
    pub(super) joining: Option<u32>,
    /// When they are not waited for any longer; nothing where nobody is.
    pub(super) resume_at: Option<Moment>,
    /// Clients that asked meanwhile.
    pub(super) asked: BTreeSet<u32>,
    /// What clients said meanwhile that was acknowledged.
    pub(super) acknowledged: Vec<RecordRange>,
    /// How often records were found to be gone.
    pub(super) times_gone: u64,
    pub(super) done: BTreeSet<u64>,
    /// All intervals below this one are done.
    pub(super) done_below: u64,
    pub(super) results: Results,
    /// The lineage of an interval outlives it, until a checkpoint goes through it.
    pub(super) keeps_state: bool,
    /// Intervals below this one are done and their lineage is forgotten.
    pub(super) forgotten_below: u64,
    pub(super) panes_below: u64,
}

impl MasterLimits {
    fn flow(&self) -> Option<(Flow, u32)> {
        let cores = u32::try_from(self.tracker.cores).unwrap_or(u32::MAX);
        let flow = |clients: u32| (Flow::new(self.ledger.interval, (self.workers, cores)), clients.max(1));
        self.throttled_clients.map(flow)
    }

    fn spares(&self) -> Option<Spares> {
        let least = self.workers.saturating_sub(self.spares).max(1);
        (self.spares > 0).then(|| Spares::new(Scale::new(self.ledger.interval, self.tracker.cores, least as usize)))
    }
}

impl Master {
    /// A master without members.
    pub fn new(limits: MasterLimits, query: &Query, cores: &dyn CoreFactory) -> Master {
        Master {
            detector: cores.detector(limits.heartbeat, limits.failure_timeout),
            unaccounted: None,
            ledger: cores.ledger(limits.ledger.clone()),
            tracker: cores.tracker(query, limits.tracker),
            keeps_state: query.stages.iter().any(|stage| !stage.kept.is_empty()),
            members: BTreeMap::new(),
            leaving: BTreeSet::new(),
            returning: BTreeMap::new(),
            heard: BTreeMap::new(),
            last_step: Moment::ZERO,
            woke: None,
            unreached: BTreeMap::new(),
            heartbeat: limits.heartbeat,
            least_takers: limits.ledger.least_takers(),
            consents: BTreeSet::new(),
            fencing: BTreeMap::new(),
            sealed_below: 0,
            book: Book::default(),
            trimming: Trimming::new(limits.ledger.input == Input::Log),
            replaying: Replaying::new(limits.ledger.input == Input::Replay),
            flow: limits.flow(),
            spares: limits.spares(),
            steps: steps_of(query),
            readers: readers_of(query),
            unwritten: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            term: 1,
            keeps: false,
            awaited: BTreeSet::new(),
            joining: None,
            resume_at: None,
            asked: BTreeSet::new(),
            acknowledged: Vec::new(),
            times_gone: 0,
            workers: limits.workers,
            failure_timeout: limits.failure_timeout,
            has_input_elsewhere: limits.ledger.input != Input::Memory,
            results: Results::new(limits.awaits_writing),
            done: BTreeSet::new(),
            done_below: 0,
            forgotten_below: 0,
            panes_below: 0,
        }
    }

    pub(super) fn detect(&mut self, now: Moment, event: DetectorEvent, actions: &mut Vec<MasterAction>) {
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

    pub(super) fn track(&mut self, now: Moment, event: TrackerEvent, actions: &mut Vec<MasterAction>) {
        let (mut decided, mut done) = (Vec::new(), Vec::new());
        self.tracker.step(now, event, &mut decided);
        for action in decided {
            match action {
                TrackerAction::Launch { worker, launch } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Launch(launch) });
                }
                TrackerAction::IntervalDone(interval) => {
                    self.interval_done(now, interval, actions);
                    done.push(interval);
                }
                TrackerAction::Save { worker, save } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Save(save) });
                }
                TrackerAction::Checkpointed(checkpointed) => {
                    self.results.checkpoints.push_back(checkpointed);
                    self.let_go_of_checkpointed(actions);
                }
                TrackerAction::Cancel { worker, task } => {
                    actions.push(MasterAction::Tell { worker, word: ToWorker::Cancel(task) });
                }
                TrackerAction::GiveUp(given_up) => {
                    self.account(now, LedgerEvent::GivenUp(given_up.block), actions);
                    self.give_up(given_up, actions);
                }
                TrackerAction::LetsGo(_) => _ = self.consents.insert(Consent::Tracker),
                TrackerAction::Fatal(why) => actions.push(MasterAction::Fatal(why)),
                TrackerAction::Record(event) => actions.push(MasterAction::Record(event)),
            }
        }
        // Not before: whoever is to leave now was given tasks while that was not known.
        done.into_iter().for_each(|interval| self.scale(now, interval, actions));
    }

    pub(super) fn interval_done(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        self.done.insert(interval);
        while self.done.remove(&self.done_below) {
            self.done_below += 1;
        }
        if self.done_below > 0 {
            actions.push(MasterAction::TellClients(ToClient::Done { interval: self.done_below - 1 }));
        }
        let takers = u32::try_from(self.takers().count()).unwrap_or(u32::MAX);
        if self.flow.as_mut().is_some_and(|(flow, _)| flow.done(now, interval, takers)) {
            actions.extend(self.quota().map(MasterAction::TellClients));
            self.write_let_in(actions);
        }
        if !self.keeps_state {
            self.results.done.insert(interval);
            self.let_go_of_written(now, actions);
        }
    }

    pub(super) fn forget(&self, interval: Option<u64>, blocks: Vec<BlockName>) -> ToWorker {
        ToWorker::Forget { slices_below: self.forgotten_below, interval, blocks, panes_below: self.panes_below }
    }

    pub(super) fn tell_all(&self, word: &ToWorker, actions: &mut Vec<MasterAction>) {
        let tell = |worker: &u32| MasterAction::Tell { worker: *worker, word: word.clone() };
        actions.extend(self.members.keys().map(tell));
    }

    pub(super) fn is_member(&self, worker: u32, epoch: u64) -> bool {
        self.members.get(&worker) == Some(&epoch)
    }
}

/// The stages that go on with what the interval before left.
fn steps_of(query: &Query) -> BTreeSet<u32> {
    let goes_on = query.stages.iter().filter(|stage| stage.kept.iter().any(|kept| kept.back.contains(&1)));
    goes_on.map(|stage| stage.id.0).collect()
}

/// The stages that read what comes.
fn readers_of(query: &Query) -> BTreeSet<u32> {
    query.stages.iter().filter(|stage| stage.input == StageInput::Lines).map(|stage| stage.id.0).collect()
}

impl Core for Master {
    type Event = MasterEvent;
    type Action = MasterAction;

    fn step(&mut self, now: Moment, event: MasterEvent, actions: &mut Vec<MasterAction>) {
        self.notice_stall(now);
        match event {
            MasterEvent::Word { worker, incarnation, word } => self.word(now, worker, incarnation, word, actions),
            MasterEvent::WorkerBroken(worker) => {
                self.spares.iter_mut().for_each(|spares| spares.gone(worker));
                self.detect(now, DetectorEvent::Broken { worker }, actions);
            }
            MasterEvent::ClientUp(client) => {
                // Before it hears who takes records: it has much to send.
                actions.extend(self.quota().map(|quota| MasterAction::TellClient(client.clone(), quota)));
                actions.push(MasterAction::TellClient(client.clone(), self.client_members()));
                self.client_seen(now, &client, true, actions);
                match Role::of(&client) {
                    Some(Role::Client(client)) if self.resume_at.is_some() => _ = self.asked.insert(client),
                    Some(Role::Client(client)) => self.account(now, LedgerEvent::Asked { client }, actions),
                    _ => {}
                }
            }
            MasterEvent::ClientDown(client) => self.client_seen(now, &client, false, actions),
            MasterEvent::Acknowledged(ranges) if self.resume_at.is_some() => self.acknowledged.extend(ranges),
            MasterEvent::Acknowledged(ranges) => self.account(now, LedgerEvent::Acknowledged(ranges), actions),
            MasterEvent::Elected { term, found, logged, visible } => {
                self.elected(now, (term, found, visible), logged, actions);
            }
            MasterEvent::Logged { origin, blocks } => {
                self.account(now, LedgerEvent::Orphans { by: LOG, origin, blocks }, actions);
            }
            MasterEvent::ResultsWritten { below } => self.results_written(now, below, actions),
            MasterEvent::Written(entries) => self.written(now, entries, actions),
            MasterEvent::Fenced { member, visible } => self.fenced(now, member, visible, actions),
            MasterEvent::Tick => {
                self.detect(now, DetectorEvent::Tick, actions);
                self.account(now, LedgerEvent::Tick, actions);
                self.track(now, TrackerEvent::Tick, actions);
                if self.flow.as_mut().is_some_and(|(flow, _)| flow.waited(now)) {
                    actions.extend(self.quota().map(MasterAction::TellClients));
                }
                self.resume(now, actions);
            }
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let parts = [self.detector.deadline(), self.ledger.deadline(), self.tracker.deadline(), self.resume_at];
        parts.into_iter().flatten().min()
    }
}
