//! The master's shell: takes the lease, reads the journal, then leads words of workers into the core and its decisions out.
//!
//! Knows no protocol. Invariants: nothing is done under a lease that has run out before the store has said that nobody
//! else took the next one; entries of the journal are written in their order, one slot at a time.
//!
//! ```text
//! candidate --the lease is free--> preparing: begins its term in the journal, fences what was before
//!    ^                                  |
//!    |                                  v
//!    '-- another term in lease or journal -- leading --the lease ran out--> asks the store, then goes on
//! ```

use crate::log;
use crate::master::journal::{Entry, Slot, Snapshot};
use crate::master::program::{Program, Verdict, as_over};
use crate::master::scribe::{self, Deposed, Read};
use crate::master::term::{begin, fence_all, may_go_on};
use crate::master::{MasterAction, MasterEvent, first_epoch};
use crate::message::{BlockReport, Member, ToMaster, ToWorker, checkpoint_prefix};
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::core::BoxCore;
use dstream_cluster::layout::worker_number;
use dstream_cluster::lease::{Candidate, Lease};
use dstream_cluster::message::{FromClient, ToClient, VisibleResult, open, seal};
use dstream_cluster::sink::fence;
use dstream_host::peer::{Lane, PeerEvent, Peers, SendError};
use dstream_host::{Host, NodeError};
use dstream_trace::{BlockName, Event, Moment, NodeName, Purpose};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers of sink and store that wait to be read: a fence for each worker, a slot of the journal and a renewal.
const MOST_WAITING_ANSWERS: usize = 4096;

/// Core time of messages is put into the trace this often.
const ACCOUNT_PERIOD: Duration = Duration::from_secs(1);

/// What the shell must know.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// The sink.
    pub sink: NodeName,
    /// How many workers there are.
    pub workers: u32,
    /// All clients.
    pub clients: Vec<NodeName>,
    /// How long an answer may take before it is asked for again.
    pub deadline: Duration,
    /// What work costs.
    pub costs: Costs,
    /// Whether input is held by the log.
    pub logs: bool,
    /// What all nodes run.
    pub program: Program,
}

/// Makes a core that knows nothing yet.
pub type NewCore = Box<dyn Fn() -> BoxCore<MasterEvent, MasterAction> + Send + Sync>;

/// The life of a master, or of one that waits to be one.
pub async fn run(
    host: Host,
    peers: Peers,
    mut events: mpsc::Receiver<PeerEvent>,
    config: MasterConfig,
    mut candidate: Candidate,
    new_core: NewCore,
) -> Result<(), NodeError> {
    // Before anything is taken or written: who may not go on leaves the store as it is.
    let journal = scribe::read(&host, config.deadline).await?;
    may_go_on(&host, &peers, &config, &journal).await?;
    let mut connected = BTreeSet::new();
    loop {
        let Some(lease) = take_lease(&host, &mut events, &mut candidate, &mut connected).await else { return Ok(()) };
        let (answered, mut answers) = mpsc::channel(MOST_WAITING_ANSWERS);
        let account_at = host.clock.now() + ACCOUNT_PERIOD;
        let mut shell = Shell {
            host: host.clone(),
            peers: peers.clone(),
            config: config.clone(),
            core: new_core(),
            is_elected: false,
            connected,
            lease,
            renew_at: Moment::NEVER,
            unwritten: Vec::new(),
            slot: None,
            begins: BTreeSet::new(),
            answered,
            handled: Duration::ZERO,
            account_at,
        };
        shell.renew_at = shell.lease.renew_at();
        shell.prepare();
        if shell.lead(&mut events, &mut answers).await?.is_ok() {
            return Ok(());
        }
        connected = shell.connected;
    }
}

/// Watches the lease until it is this node's; nothing if the node is to end.
async fn take_lease(
    host: &Host,
    events: &mut mpsc::Receiver<PeerEvent>,
    candidate: &mut Candidate,
    connected: &mut BTreeSet<NodeName>,
) -> Option<Lease> {
    let mut look_at = host.clock.now();
    loop {
        tokio::select! {
            biased;
            event = events.recv() => note(connected, &event?),
            () = host.clock.sleep_until(look_at) => match Lease::try_take(host, candidate).await {
                Ok(lease) => return Some(lease),
                Err(again) => look_at = again,
            },
        }
    }
}

/// Notes who is connected.
fn note(connected: &mut BTreeSet<NodeName>, event: &PeerEvent) {
    match event {
        PeerEvent::Up { peer, .. } => _ = connected.insert(peer.clone()),
        PeerEvent::Down { peer, .. } => _ = connected.remove(peer),
        PeerEvent::Message { .. } | PeerEvent::Request { .. } => {}
    }
}

/// What a master begins with.
struct Prepared {
    found: Snapshot,
    /// The journal's slot that is next.
    next: u64,
    /// Those in which terms began.
    begins: BTreeSet<u64>,
    logged: Vec<BlockReport>,
    visible: Vec<VisibleResult>,
}

/// What comes back from store and sink.
enum Answer {
    /// The term has begun in the journal and at the sink; the slot is next.
    Prepared(Box<Result<Prepared, Deposed>>),
    /// The journal cannot be read.
    Unreadable(NodeError),
    /// This slot is written.
    Written(u64, Result<Vec<Entry>, Deposed>),
    /// The lease as the store has it now; nothing if it did not answer.
    Renewed(Option<Lease>),
    /// For the core.
    Event(MasterEvent),
}

struct Shell {
    host: Host,
    peers: Peers,
    config: MasterConfig,
    core: BoxCore<MasterEvent, MasterAction>,
    /// The core has been told that it leads; before it is told nothing.
    is_elected: bool,
    connected: BTreeSet<NodeName>,
    lease: Lease,
    renew_at: Moment,
    /// Entries for the next slot.
    unwritten: Vec<Entry>,
    /// The slot that is next; nothing while one is being written, or the term has not begun.
    slot: Option<u64>,
    /// The slots in which terms began, which stay.
    begins: BTreeSet<u64>,
    answered: mpsc::Sender<Answer>,
    /// Core time that is not yet in the trace.
    handled: Duration,
    account_at: Moment,
}

impl Shell {
    /// Leads until the node is to end, or another master does.
    async fn lead(
        &mut self,
        events: &mut mpsc::Receiver<PeerEvent>,
        answers: &mut mpsc::Receiver<Answer>,
    ) -> Result<Result<(), Deposed>, NodeError> {
        loop {
            let deadline = if self.is_elected { self.core.deadline() } else { None };
            let wake = deadline.unwrap_or(Moment::NEVER).min(self.account_at).min(self.renew_at);
            tokio::select! {
                biased;
                event = events.recv() => {
                    let Some(event) = event else { return Ok(Ok(())) };
                    note(&mut self.connected, &event);
                    if self.is_deposed().await {
                        return Ok(Err(Deposed));
                    }
                    if self.is_elected {
                        self.peer(event).await?;
                    }
                }
                Some(answer) = answers.recv() => {
                    if self.is_deposed().await || self.answer(answer).await?.is_err() {
                        return Ok(Err(Deposed));
                    }
                }
                () = self.host.clock.sleep_until(wake) => {
                    if self.is_deposed().await {
                        return Ok(Err(Deposed));
                    }
                    self.account();
                    self.renew();
                    if self.is_elected {
                        self.step(MasterEvent::Tick).await?;
                    }
                }
            }
        }
    }

    /// Where the lease has run out, asks the store whether another master leads; waits for as long as it does not answer.
    async fn is_deposed(&mut self) -> bool {
        while self.host.clock.now() >= self.lease.until {
            match self.lease.is_newest(&self.host).await {
                Ok(false) => return true,
                Ok(true) if self.lease.renew(&self.host).await.is_ok() => self.renew_at = self.lease.renew_at(),
                Ok(true) | Err(_) => self.host.sleep(self.config.deadline).await,
            }
        }
        false
    }

    fn renew(&mut self) {
        if self.host.clock.now() < self.renew_at {
            return;
        }
        self.renew_at = Moment::NEVER; // until the answer is there
        let (host, mut lease, answered) = (self.host.clone(), self.lease.clone(), self.answered.clone());
        tokio::spawn(async move {
            let renewed = lease.renew(&host).await.is_ok().then_some(lease);
            let _ = answered.send(Answer::Renewed(renewed)).await;
        });
    }

    /// Begins the term: in the journal, so that an older master writes nothing more, then at the sink, so that nothing is
    /// taken from workers that still hear it.
    fn prepare(&self) {
        let (host, peers, answered) = (self.host.clone(), self.peers.clone(), self.answered.clone());
        let (config, term) = (self.config.clone(), self.lease.term);
        tokio::spawn(async move {
            let begun = match begin(&host, &peers, &config, term).await {
                Err(error) => return drop(answered.send(Answer::Unreadable(error)).await),
                Ok(begun) => begun,
            };
            let (Read { found, next, begins, .. }, verdict) = match begun {
                Err(deposed) => return drop(answered.send(Answer::Prepared(Box::new(Err(deposed)))).await),
                Ok(begun) => begun,
            };
            let MasterConfig { deadline, logs, .. } = config;
            let sealed = found.open.iter().flat_map(|sealed| &sealed.blocks).map(|block| block.order.name);
            let known = sealed.chain(found.given_up.iter().map(|(block, _)| *block)).collect();
            let logged = async { if logs { read_log(&host, None, &known, deadline).await } else { Vec::new() } };
            let visible = async {
                match term {
                    // There was nobody before.
                    1 => Vec::new(),
                    _ => fence_all(&host, &peers, &config, (first_epoch(term), found.below)).await,
                }
            };
            let (logged, visible) = tokio::join!(logged, visible);
            let found = if verdict == Verdict::Agrees { as_over(found) } else { found };
            let prepared = Prepared { found, next, begins, logged, visible };
            let _ = answered.send(Answer::Prepared(Box::new(Ok(prepared)))).await;
        });
    }

    async fn answer(&mut self, answer: Answer) -> Result<Result<(), Deposed>, NodeError> {
        match answer {
            Answer::Written(_, Err(deposed)) => return Ok(Err(deposed)),
            Answer::Unreadable(error) => return Err(error),
            Answer::Prepared(prepared) => {
                let Prepared { found, next, begins, logged, visible } = match *prepared {
                    Err(deposed) => return Ok(Err(deposed)),
                    Ok(prepared) => prepared,
                };
                (self.slot, self.begins, self.is_elected) = (Some(next), begins, true);
                self.step(MasterEvent::Elected { term: self.lease.term, found, logged, visible }).await?;
                let clients = self.config.clients.iter().filter(|client| self.connected.contains(*client));
                for client in clients.cloned().collect::<Vec<_>>() {
                    self.step(MasterEvent::ClientUp(client)).await?;
                }
            }
            Answer::Written(number, Ok(entries)) => {
                self.slot = Some(number + 1);
                self.step(MasterEvent::Written(entries)).await?;
            }
            Answer::Renewed(renewed) => {
                if let Some(lease) = renewed {
                    self.lease = lease;
                }
                self.renew_at = self.lease.renew_at().max(self.host.clock.now() + self.config.deadline / 4);
            }
            Answer::Event(event) => self.step(event).await?,
        }
        Ok(Ok(()))
    }

    async fn peer(&mut self, event: PeerEvent) -> Result<(), NodeError> {
        match event {
            PeerEvent::Message { peer, incarnation, payload, .. } => {
                if self.config.clients.contains(&peer) {
                    let event = match open::<FromClient>(&payload) {
                        Ok((FromClient::Acknowledged(ranges), _)) => MasterEvent::Acknowledged(ranges),
                        Ok((FromClient::Written { below }, _)) => MasterEvent::ResultsWritten { below },
                        _ => return Ok(()),
                    };
                    self.pay(self.config.costs.message_ns).await;
                    return self.step(event).await;
                }
                let (Some(worker), Ok((word, _))) = (worker_number(&peer), open::<ToMaster>(&payload)) else {
                    return Ok(());
                };
                if !matches!(word, ToMaster::Heartbeat { .. }) {
                    self.pay(self.config.costs.message_ns).await;
                }
                self.step(MasterEvent::Word { worker, incarnation, word }).await
            }
            PeerEvent::Down { peer, .. } if self.config.clients.contains(&peer) => {
                self.step(MasterEvent::ClientDown(peer)).await
            }
            PeerEvent::Down { peer, .. } => match worker_number(&peer) {
                Some(worker) => self.step(MasterEvent::WorkerBroken(worker)).await,
                None => Ok(()),
            },
            PeerEvent::Up { peer, .. } if self.config.clients.contains(&peer) => {
                self.send(&peer, seal(Vec::new(), &ToClient::Lead { term: self.lease.term }));
                self.step(MasterEvent::ClientUp(peer)).await
            }
            PeerEvent::Up { peer, .. } => {
                if worker_number(&peer).is_some() {
                    self.send(&peer, seal(Vec::new(), &ToWorker::Lead { term: self.lease.term }));
                }
                Ok(())
            }
            PeerEvent::Request { .. } => Ok(()),
        }
    }

    async fn pay(&mut self, nanos: f64) {
        let cost = Costs::time(nanos);
        self.handled += cost.0;
        self.host.cpu.handle(cost).await;
    }

    fn account(&mut self) {
        let now = self.host.clock.now();
        if now >= self.account_at {
            self.account_at = now + ACCOUNT_PERIOD;
            let cpu_ns = u64::try_from(std::mem::take(&mut self.handled).as_nanos()).unwrap_or(u64::MAX);
            if cpu_ns > 0 {
                self.host.trace.record(Event::CpuUsed { cpu_ns });
            }
        }
    }

    async fn step(&mut self, event: MasterEvent) -> Result<(), NodeError> {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        for action in actions {
            self.perform(action).await?;
        }
        self.write();
        Ok(())
    }

    async fn perform(&mut self, action: MasterAction) -> Result<(), NodeError> {
        match action {
            MasterAction::Tell { worker, word } => {
                if let ToWorker::Launch(launch) = &word {
                    self.pay(self.config.costs.master_task_ns * launch.tasks.len() as f64).await;
                }
                self.send(&NodeName::worker(worker), seal(Vec::new(), &word));
            }
            MasterAction::TellWorkers(word) => {
                for worker in 1..=self.config.workers {
                    self.send(&NodeName::worker(worker), seal(Vec::new(), &word));
                }
            }
            MasterAction::TellClients(word) => {
                for client in &self.config.clients {
                    self.send(client, seal(Vec::new(), &word));
                }
            }
            MasterAction::TellClient(client, word) => self.send(&client, seal(Vec::new(), &word)),
            MasterAction::Journal(entry) => self.unwritten.push(entry),
            MasterAction::Fence { member, since } => self.fence(member, since),
            MasterAction::DropCheckpoint(through) => self.drop_all(checkpoint_prefix(through)),
            MasterAction::ReadLog { origin, known } => self.read_log(origin, known),
            MasterAction::DropLogged(blocks) => self.drop_logged(blocks),
            MasterAction::Fatal(why) => return Err(NodeError(why)),
            MasterAction::Record(event) => self.host.trace.record(event),
        }
        Ok(())
    }

    /// Sends; a peer that does not keep up loses its connection and is told everything again when it is back. One that is
    /// not connected is told when it joins.
    fn send(&self, to: &NodeName, payload: Bytes) {
        let declared = payload.len() as u64;
        if self.peers.send(to, Lane::Control, Purpose::Control, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }

    /// Writes all entries that wait into the next slot, if none is being written.
    fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let Some(number) = self.slot.take() else { return };
        let (host, answered, pause) = (self.host.clone(), self.answered.clone(), self.config.deadline);
        let slot = Slot { term: self.lease.term, begins: None, entries: std::mem::take(&mut self.unwritten) };
        let begins = self.begins.clone();
        tokio::spawn(async move {
            let written = scribe::write(&host, number, &slot, pause).await.map(|()| slot.entries);
            if written.as_ref().is_ok_and(|entries| scribe::has_snapshot(entries)) {
                tokio::spawn(scribe::trim(host, number, begins));
            }
            let _ = answered.send(Answer::Written(number, written)).await;
        });
    }

    /// Removes what nobody reads any more. What cannot be removed now stays: it costs room and nothing else.
    fn drop_all(&self, prefix: String) {
        let host = self.host.clone();
        tokio::spawn(async move {
            let Ok(keys) = host.store.list(&prefix).await else { return };
            for key in keys {
                let _ = host.store.delete(&key).await;
            }
        });
    }

    fn read_log(&self, origin: Member, known: BTreeSet<BlockName>) {
        let (host, answered, pause) = (self.host.clone(), self.answered.clone(), self.config.deadline);
        tokio::spawn(async move {
            let blocks = read_log(&host, Some(origin), &known, pause).await;
            let _ = answered.send(Answer::Event(MasterEvent::Logged { origin, blocks })).await;
        });
    }

    /// Removes blocks that nobody reads any more from the log. What cannot be removed now stays until a master takes over.
    fn drop_logged(&self, blocks: Vec<BlockName>) {
        let host = self.host.clone();
        tokio::spawn(async move { log::remove(&host, &blocks).await });
    }

    /// Has the sink refuse a worker's results, again and again until the sink says so.
    fn fence(&self, member: Member, since: u64) {
        let (host, peers, answered) = (self.host.clone(), self.peers.clone(), self.answered.clone());
        let (sink, deadline) = (self.config.sink.clone(), self.config.deadline);
        tokio::spawn(async move {
            let worker = (NodeName::worker(member.worker), member.epoch);
            let visible = fence(&host, &peers, &sink, worker, since, deadline).await;
            let _ = answered.send(Answer::Event(MasterEvent::Fenced { member, visible })).await;
        });
    }
}

/// What the log has, of one worker or of all, but for blocks that are known; asked again until the store answers.
async fn read_log(
    host: &Host,
    origin: Option<Member>,
    known: &BTreeSet<BlockName>,
    pause: Duration,
) -> Vec<BlockReport> {
    loop {
        match log::reports(host, origin, |name| known.contains(name)).await {
            Ok(blocks) => {
                // Whoever wrote it may not have lived to say so.
                let said = blocks.iter().map(|BlockReport { name: block, ranges, bytes, .. }| Event::BlockLogged {
                    block: *block,
                    ranges: ranges.clone(),
                    bytes: *bytes,
                });
                said.for_each(|event| host.trace.record(event));
                return blocks;
            }
            Err(_) => host.sleep(pause).await,
        }
    }
}
