//! The worker's shell: what peers say goes to the receiver's core, to tasks or to the holdings; what they decide goes out.
//!
//! Invariant: everything that was begun under an epoch ends with it: results, tasks and slices of an older one are dropped.

use crate::message::{Fetch, Launch, Save, TaskFailure, TaskId, ToMaster, ToWorker};
use crate::worker::arrived::Arrived;
use crate::worker::blocks::log_block;
use crate::worker::copies::WaitingCopies;
use crate::worker::disk::{self, begin};
use crate::worker::receiver::{ReceiverAction, ReceiverEvent};
use crate::worker::serve;
use crate::worker::state;
use crate::worker::store::HeldBlock;
use crate::worker::task::{TaskContext, TaskEnd, run_launch};
use bytes::Bytes;
use dstream_cluster::core::BoxCore;
use dstream_cluster::layout::{Role, worker_number};
use dstream_cluster::message::{Batch, FromClient, ToClient, open, seal};
use dstream_cluster::{Costs, detector::WorkerNumber};
use dstream_host::NodeError;
use dstream_host::peer::{Lane, PeerEvent, SendError};
use dstream_trace::{BlockName, Event, Moment, NodeName, Purpose, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Ends of tasks, or words for the master, that wait to be read. The master gives a worker two tasks a core at most; this
/// is far above.
pub const MOST_WAITING_ENDS: usize = 4096;

/// Parts of a checkpoint that are written at once: enough to keep a store of some milliseconds busy, few enough that their
/// copies in memory do not count.
pub const SAVES_AT_ONCE: usize = 4;

/// Blocks that are written into the log at once: enough that a store of some milliseconds keeps pace with a receiver that
/// cuts a block every ten, few enough that their copies in memory do not count.
const LOGGED_AT_ONCE: usize = 16;

/// What the shell must know beside its tasks.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Those that may lead.
    pub masters: Vec<NodeName>,
    /// How often to beat.
    pub heartbeat: Duration,
    /// All workers.
    pub workers: Vec<WorkerNumber>,
}

/// The worker's life.
pub async fn run(
    context: TaskContext,
    (mut events, mut words): (mpsc::Receiver<PeerEvent>, mpsc::Receiver<ToMaster>),
    config: WorkerConfig,
    receiver: BoxCore<ReceiverEvent, ReceiverAction>,
) -> Result<(), NodeError> {
    tokio::spawn(disk::run(context.holdings.clone(), context.host.clone()));
    let (ended, mut ends) = mpsc::channel(MOST_WAITING_ENDS);
    let (logged, mut log) = mpsc::channel(MOST_WAITING_ENDS);
    let mut worker = Worker::new(context, config, receiver, (ended, logged));
    let leave = worker.context.host.leave.clone();
    while !worker.is_released {
        let wake = worker.next_wake();
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => worker.peer(event).await,
                None => return Ok(()),
            },
            Some(end) = ends.recv() => worker.task_ended(end),
            Some(word) = words.recv() => worker.tell_master(&word),
            Some(block) = log.recv() => worker.receive(ReceiverEvent::Logged(block), Bytes::new()),
            () = leave.asked(), if !worker.is_leaving => worker.leave(),
            () = worker.context.host.clock.sleep_until(wake) => worker.tick(),
        }
    }
    Ok(())
}

pub(super) struct Worker {
    pub(super) context: TaskContext,
    pub(super) config: WorkerConfig,
    pub(super) receiver: BoxCore<ReceiverEvent, ReceiverAction>,
    pub(super) ended: mpsc::Sender<TaskEnd>,
    pub(super) save_turns: Arc<Semaphore>,
    /// Hears of blocks that are in the log.
    pub(super) logged: mpsc::Sender<BlockName>,
    pub(super) log_turns: Arc<Semaphore>,
    pub(super) epoch: Option<u64>,
    /// The newest term that a master named, and who.
    pub(super) leader: Option<(u64, NodeName)>,
    /// Batches in open blocks.
    pub(super) open: Arrived,
    /// Own blocks whose records are not acknowledged. They are not this worker's to speak of under another epoch.
    pub(super) unacknowledged: BTreeSet<BlockName>,
    /// worker -> epochs up to this one are over: its copies are refused
    pub(super) over: BTreeMap<u32, u64>,
    pub(super) running: BTreeSet<TaskId>,
    /// Ends of tasks, until their interval is forgotten: an order that comes twice is answered from here.
    pub(super) ends: BTreeMap<TaskId, TaskEnd>,
    pub(super) reachable: BTreeSet<u32>,
    /// Clients that are connected.
    pub(super) clients: BTreeSet<NodeName>,
    pub(super) next_beat: Moment,
    /// It was asked to leave.
    pub(super) is_leaving: bool,
    pub(super) waiting_copies: WaitingCopies,
    /// It may.
    pub(super) is_released: bool,
    /// There is nothing to do for it: it holds nothing, and nobody counts on it.
    pub(super) waits: bool,
    /// Core time of messages that is not yet in the trace.
    pub(super) handled: Duration,
}

impl Worker {
    fn new(
        context: TaskContext,
        config: WorkerConfig,
        receiver: BoxCore<ReceiverEvent, ReceiverAction>,
        (ended, logged): (mpsc::Sender<TaskEnd>, mpsc::Sender<BlockName>),
    ) -> Worker {
        let next_beat = context.host.clock.now();
        Worker {
            context,
            config,
            receiver,
            ended,
            save_turns: Arc::new(Semaphore::new(SAVES_AT_ONCE)),
            logged,
            log_turns: Arc::new(Semaphore::new(LOGGED_AT_ONCE)),
            epoch: None,
            leader: None,
            open: Arrived::default(),
            unacknowledged: BTreeSet::new(),
            over: BTreeMap::new(),
            running: BTreeSet::new(),
            ends: BTreeMap::new(),
            reachable: BTreeSet::new(),
            clients: BTreeSet::new(),
            next_beat,
            is_leaving: false,
            waiting_copies: WaitingCopies::default(),
            is_released: false,
            waits: false,
            handled: Duration::ZERO,
        }
    }

    fn next_wake(&self) -> Moment {
        self.receiver.deadline().map_or(self.next_beat, |deadline| deadline.min(self.next_beat))
    }

    fn tick(&mut self) {
        let now = self.context.host.clock.now();
        if now >= self.next_beat {
            self.next_beat = now + self.config.heartbeat;
            self.beat();
        }
        self.receive(ReceiverEvent::Tick, Bytes::new());
    }

    async fn peer(&mut self, event: PeerEvent) {
        match event {
            // It says itself if it leads.
            PeerEvent::Up { peer, .. } if self.config.masters.contains(&peer) => {}
            PeerEvent::Down { peer, .. } if self.config.masters.contains(&peer) => {
                if self.is_leader(&peer) {
                    self.receive(ReceiverEvent::MasterGone, Bytes::new());
                }
            }
            PeerEvent::Up { peer, .. } if is_client(&peer) => _ = self.clients.insert(peer),
            PeerEvent::Down { peer, .. } if is_client(&peer) => _ = self.clients.remove(&peer),
            PeerEvent::Up { peer, .. } => self.reach(&peer, true),
            PeerEvent::Down { peer, .. } => self.reach(&peer, false),
            PeerEvent::Message { peer, payload, .. } if self.config.masters.contains(&peer) => {
                if let Ok((word, _)) = open::<ToWorker>(&payload) {
                    if !matches!(word, ToWorker::Lease { .. }) {
                        self.pay_for_message().await;
                    }
                    match word {
                        ToWorker::Lead { term } => self.follow(term, peer),
                        word if self.is_leader(&peer) => self.order(word),
                        _ => {} // of a master that is none any more
                    }
                }
            }
            PeerEvent::Message { peer, payload, .. } => {
                self.pay_for_message().await;
                match worker_number(&peer) {
                    Some(worker) => self.peer_word(worker, &peer, &payload),
                    None => self.batch(&payload),
                }
            }
            PeerEvent::Request { peer, id, payload, .. } => {
                self.pay_for_message().await;
                let Ok((what, _)) = open::<Fetch>(&payload) else { return };
                let context = self.context.clone();
                begin(async move {
                    let (answer, declared) = serve::answer(&context.holdings, &what, context.scale).await;
                    // A peer that is gone by now asks again, or asks somebody else.
                    let _ = context.peers.reply(&peer, id, Purpose::Shuffle, answer, declared);
                });
            }
        }
    }

    async fn pay_for_message(&mut self) {
        let cost = Costs::time(self.context.costs.message_ns);
        self.handled += cost.0;
        self.context.host.cpu.handle(cost).await;
    }

    fn reach(&mut self, peer: &NodeName, is_up: bool) {
        let Some(worker) = worker_number(peer) else { return };
        let changed = if is_up { self.reachable.insert(worker) } else { self.reachable.remove(&worker) };
        if changed {
            self.receive(ReceiverEvent::Reachable(self.reachable.clone()), Bytes::new());
            self.beat(); // the master must not give out tasks on yesterday's connections
        }
        if is_up {
            self.send_ordered(worker);
        }
    }

    pub(super) fn tell_master(&self, word: &ToMaster) {
        if let Some((_, master)) = &self.leader {
            self.send(master, Lane::Control, Purpose::Control, seal(Vec::new(), word), 1);
        }
    }

    fn is_leader(&self, master: &NodeName) -> bool {
        self.leader.as_ref().is_some_and(|(_, leader)| leader == master)
    }

    /// A master says that it leads. Said again on every new connection.
    fn follow(&mut self, term: u64, master: NodeName) {
        if self.leader.as_ref().is_some_and(|(before, _)| *before > term) {
            return;
        }
        if !self.is_leader(&master) {
            self.receive(ReceiverEvent::MasterGone, Bytes::new());
        }
        self.leader = Some((term, master));
        self.join();
    }

    /// See [`send`].
    pub(super) fn send(&self, to: &NodeName, lane: Lane, purpose: Purpose, payload: Bytes, scale: u64) {
        send(&self.context, to, (lane, purpose), payload, scale);
    }

    fn order(&mut self, word: ToWorker) {
        match word {
            // Heard by whoever follows.
            ToWorker::Lead { .. } => {}
            ToWorker::Welcome { epoch, sealed_below, keeps } => {
                if self.epoch.is_some_and(|old| old != epoch) {
                    self.end_epoch(keeps);
                }
                self.epoch = Some(epoch);
                self.waits = false;
                self.context.holdings.lock().begin_epoch(self.epoch, keeps);
                self.receive(ReceiverEvent::Welcome { epoch, sealed_below, keeps }, Bytes::new());
                self.report_ends();
                self.take_copies();
                self.beat();
            }
            ToWorker::Members { members } => self.receive(ReceiverEvent::Members(members), Bytes::new()),
            ToWorker::Lease { epoch, sent_ns } => {
                if self.epoch == Some(epoch) {
                    self.receive(ReceiverEvent::Lease { sent: Moment(sent_ns) }, Bytes::new());
                }
            }
            ToWorker::Heard { epoch, blocks } => {
                if self.epoch == Some(epoch) {
                    self.receive(ReceiverEvent::Heard(blocks), Bytes::new());
                }
            }
            ToWorker::Wait => {
                self.waits = true;
                self.is_released |= self.is_leaving;
            }
            ToWorker::Released { epoch } if self.epoch == Some(epoch) && self.is_leaving => self.is_released = true,
            ToWorker::Released { epoch } if self.epoch == Some(epoch) => self.begins_anew(),
            ToWorker::Released { .. } => {}
            ToWorker::Fenced { epoch } => {
                if self.epoch == Some(epoch) {
                    self.end_epoch(false);
                    self.receive(ReceiverEvent::Fenced, Bytes::new());
                    self.join();
                }
            }
            ToWorker::ReportOrphans { origin, epoch } => self.report_orphans(origin, epoch),
            ToWorker::Copy { block, to } => self.order_copy(block, to),
            ToWorker::Launch(launch) => self.launch(launch),
            ToWorker::Cancel(task) => {
                if self.running.contains(&task) {
                    self.context.holdings.lock().cancel(task);
                }
            }
            ToWorker::Save(save) => self.save(save),
            ToWorker::Forget { slices_below, interval, blocks, panes_below } => {
                self.context.holdings.lock().forget_panes(panes_below);
                self.forget(slices_below, interval, &blocks);
            }
        }
    }

    /// What runs is forgotten; what tasks have made is as well, unless the master `keeps` it.
    pub(super) fn end_epoch(&mut self, keeps: bool) {
        // What it forgets now clients would wait for as long as they are connected: they send again on a new connection.
        if !keeps {
            self.clients.iter().for_each(|client| self.context.peers.redial(client));
        }
        self.epoch = None;
        self.waiting_copies.end_epoch();
        self.running.clear();
        self.ends.clear();
        self.context.holdings.lock().begin_epoch(None, keeps);
    }

    fn launch(&mut self, mut launch: Launch) {
        let Some(epoch) = self.epoch else { return };
        let (interval, stage) = (launch.interval, launch.stage);
        let id = |partition, attempt| TaskId { interval, stage, partition, attempt };
        let mut known = Vec::new();
        launch.tasks.retain(|order| {
            let task = id(order.partition, order.attempt);
            known.extend(self.ends.get(&task).cloned());
            !self.ends.contains_key(&task) && self.running.insert(task)
        });
        for end in known {
            self.report_end(&end);
        }
        if !launch.tasks.is_empty() {
            let steps = state::begin_steps(&self.context, epoch, &launch);
            tokio::spawn(run_launch(self.context.clone(), epoch, launch, steps, self.ended.clone()));
        }
    }

    /// Writes a part of a checkpoint, a few at a time; beside the tasks, so that no interval waits for the store.
    fn save(&self, order: Save) {
        let Some(epoch) = self.epoch else { return };
        let (context, turns) = (self.context.clone(), self.save_turns.clone());
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            let failed = state::save(&context, epoch, &order).await;
            let Save { through, stage, partition, attempt, .. } = order;
            let _ = context.words.send(ToMaster::Saved { epoch, through, stage, partition, attempt, failed }).await;
        });
    }

    fn task_ended(&mut self, end: TaskEnd) {
        if self.epoch != Some(end.epoch) {
            return; // begun under an epoch that is over
        }
        self.running.remove(&end.task);
        self.context.holdings.lock().ended(end.task);
        if let Err(why) = &end.end {
            self.context.host.trace.record(Event::TaskFailed { task: end.task.name(), why: word_for(why).into() });
        }
        self.report_end(&end);
        self.ends.insert(end.task, end);
    }

    fn report_end(&self, end: &TaskEnd) {
        let (epoch, task) = (end.epoch, end.task);
        self.tell_master(&match end.end.clone() {
            Ok(used) => {
                let core_ns = u64::try_from(used.0.as_nanos()).unwrap_or(u64::MAX);
                ToMaster::TaskDone { epoch, task, core_ns }
            }
            Err(why) => ToMaster::TaskFailed { epoch, task, why },
        });
    }

    /// Says again how tasks ended: the words may be lost with the old connection.
    fn report_ends(&self) {
        for end in self.ends.values() {
            self.report_end(end);
        }
    }

    fn forget(&mut self, slices_below: u64, interval: Option<u64>, blocks: &[BlockName]) {
        let mut holdings = self.context.holdings.lock();
        holdings.forget_slices(slices_below, interval);
        let held: Vec<BlockName> = blocks.iter().copied().filter(|block| holdings.forget_block(block)).collect();
        drop(holdings);
        for block in held {
            self.context.host.trace.record(Event::BlockForgotten { block });
            if self.unacknowledged.contains(&block) {
                self.receive(ReceiverEvent::Forgotten(block), Bytes::new());
            }
        }
        self.ends.retain(|task, _| task.interval >= slices_below && Some(task.interval) != interval);
    }

    // -- records and copies --------------------------------------------------------------------------------------

    fn batch(&mut self, payload: &Bytes) {
        let Ok((FromClient::Records(Batch { range, interval }), lines)) = open::<FromClient>(payload) else { return };
        let bytes = lines.len() as u64;
        self.receive(ReceiverEvent::Batch { range, interval, bytes }, lines);
    }

    /// Tells the receiver's core; `lines` are the batch's, if the event is one.
    pub(super) fn receive(&mut self, event: ReceiverEvent, lines: Bytes) {
        let mut actions = Vec::new();
        self.receiver.step(self.context.host.clock.now(), event, &mut actions);
        for action in actions {
            self.perform(action, &lines);
        }
    }

    fn perform(&mut self, action: ReceiverAction, lines: &Bytes) {
        match action {
            ReceiverAction::Keep { interval } => self.open.keep(interval, lines.clone()),
            ReceiverAction::Seal { interval, block } => {
                let segments = self.open.take(interval, block.ranges.len());
                self.unacknowledged.insert(block.name);
                self.context.holdings.lock().keep_block(HeldBlock { report: block, segments });
            }
            ReceiverAction::DropOpen => self.open.clear(),
            ReceiverAction::DropBlock(block) => {
                self.unacknowledged.remove(&block);
                self.context.holdings.lock().forget_block(&block);
                self.context.host.trace.record(Event::BlockForgotten { block });
            }
            ReceiverAction::HandOn(blocks) => {
                self.unacknowledged.retain(|block| !blocks.contains(block));
                let last_epoch = blocks.iter().map(|block| block.epoch).max().unwrap_or_default();
                self.report_orphans(self.context.worker, last_epoch);
            }
            ReceiverAction::SendCopy { block, to } => self.send_copy(block, to, false),
            ReceiverAction::Log(block) => self.log(block),
            ReceiverAction::Acknowledge { blocks, ranges } => {
                self.unacknowledged.retain(|block| !blocks.contains(block));
                self.acknowledge(ranges);
            }
            ReceiverAction::Announce { blocks, closed_below } => {
                let mut holdings = self.context.holdings.lock();
                for block in &blocks {
                    if let Some(report) = holdings.report_mut(&block.name) {
                        report.clone_from(block);
                    }
                }
                drop(holdings);
                if let Some(epoch) = self.epoch {
                    self.tell_master(&ToMaster::Announce { epoch, blocks, closed_below });
                }
            }
            ReceiverAction::Record(event) => self.context.host.trace.record(event),
        }
    }

    fn log(&self, block: BlockName) {
        let (context, logged, turns) = (self.context.clone(), self.logged.clone(), self.log_turns.clone());
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            log_block(&context, block).await;
            let _ = logged.send(block).await;
        });
    }

    fn acknowledge(&self, ranges: Vec<RecordRange>) {
        let mut by_client: BTreeMap<u32, Vec<RecordRange>> = BTreeMap::new();
        for range in ranges {
            by_client.entry(range.client).or_default().push(range);
        }
        for (client, ranges) in by_client {
            let payload = seal(Vec::new(), &ToClient::Held(ranges));
            self.send(&NodeName::client(client), Lane::Control, Purpose::Control, payload, 1);
        }
    }
}

/// Sends; what is refused because the peer does not keep up costs it its connection, and what it missed is said again
/// when it is back.
pub(super) fn send(context: &TaskContext, to: &NodeName, (lane, purpose): (Lane, Purpose), payload: Bytes, scale: u64) {
    let declared = payload.len() as u64 * scale;
    if context.peers.send(to, lane, purpose, payload, declared) == Err(SendError::QueueFull) {
        context.peers.redial(to);
    }
}

fn word_for(why: &TaskFailure) -> &'static str {
    match why {
        TaskFailure::NotFetched(_) => "input not fetched",
        TaskFailure::Broken(_) => "function failed",
        TaskFailure::Fenced => "fenced",
        TaskFailure::SinkSilent => "sink silent",
        TaskFailure::Cancelled => "cancelled",
    }
}

fn is_client(peer: &NodeName) -> bool {
    matches!(Role::of(peer), Some(Role::Client(_)))
}
