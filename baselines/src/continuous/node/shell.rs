//! The node's shell: what peers, operators and store say goes into the core; what it decides goes out.

use crate::continuous::message::{FromMaster, NodeNumber, ToPeer};
use crate::continuous::node::{NodeAction, NodeEvent, Work, WorkDone};
use crate::continuous::operators::{Operators, Program};
use crate::continuous::saves::{self, Save};
use crate::continuous::topology::Target;
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::core::BoxCore;
use dstream_cluster::layout::Role;
use dstream_cluster::message::{FromClient, FromSink, ResultName, ToSink, open, seal};
use dstream_host::peer::{Lane, PeerEvent, Peers, SendError};
use dstream_host::{CoreTime, Host, NodeError};
use dstream_trace::{Event, Moment, NodeName, Purpose, RecordRange};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Ends of turns, saves and results that wait to be read; far more than a node's partitions have under way.
const MOST_WAITING: usize = 4096;

/// Words of peers that are taken in before what follows from them is sent: they then share messages.
const MOST_AT_ONCE: usize = 256;

/// Core time of messages is put into the trace this often.
const ACCOUNT_PERIOD: Duration = Duration::from_secs(1);

/// What the shell must know.
#[derive(Clone)]
pub struct NodeConfig {
    /// All nodes, by number from 1.
    pub names: Vec<NodeName>,
    /// The master.
    pub master: NodeName,
    /// The sink.
    pub sink: NodeName,
    /// What operators run.
    pub program: Program,
    /// How long an answer may take before it is asked for again.
    pub deadline: Duration,
}

/// The node's life.
pub async fn run(
    host: Host,
    peers: Peers,
    mut events: mpsc::Receiver<PeerEvent>,
    config: NodeConfig,
    core: BoxCore<NodeEvent, NodeAction>,
) -> Result<(), NodeError> {
    let (ended, mut ends) = mpsc::channel(MOST_WAITING);
    let account_at = host.clock.now() + ACCOUNT_PERIOD;
    let operators = BTreeMap::new();
    let mut node = Shell { host, peers, config, core, operators, ended, handled: Duration::ZERO, account_at };
    loop {
        let wake = node.core.deadline().unwrap_or(Moment::NEVER).min(node.account_at);
        tokio::select! {
            biased;
            event = events.recv() => {
                let Some(event) = event else { return Ok(()) };
                node.peer(event).await?;
                for _ in 0..MOST_AT_ONCE {
                    let Ok(event) = events.try_recv() else { break };
                    node.peer(event).await?;
                }
            }
            Some(event) = ends.recv() => node.step(event)?,
            () = node.host.clock.sleep_until(wake) => {
                node.account();
                node.step(NodeEvent::Tick)?;
            }
        }
    }
}

type SharedOperators = Arc<Mutex<Operators>>;

struct Shell {
    host: Host,
    peers: Peers,
    config: NodeConfig,
    core: BoxCore<NodeEvent, NodeAction>,
    operators: BTreeMap<u32, SharedOperators>,
    ended: mpsc::Sender<NodeEvent>,
    /// Core time of messages that is not yet in the trace.
    handled: Duration,
    account_at: Moment,
}

impl Shell {
    async fn peer(&mut self, event: PeerEvent) -> Result<(), NodeError> {
        match event {
            PeerEvent::Up { peer, .. } if peer == self.config.master => self.step(NodeEvent::MasterUp),
            PeerEvent::Up { peer, .. } => match (self.number(&peer), Role::of(&peer)) {
                (Some(node), _) => self.step(NodeEvent::PeerUp(node)),
                (None, Some(Role::Client(client))) => self.step(NodeEvent::ClientUp(client)),
                _ => Ok(()),
            },
            PeerEvent::Down { peer, .. } => match (self.number(&peer), Role::of(&peer)) {
                (Some(node), _) => self.step(NodeEvent::PeerDown(node)),
                (None, Some(Role::Client(client))) => self.step(NodeEvent::ClientDown(client)),
                _ => Ok(()),
            },
            PeerEvent::Message { peer, payload, .. } => {
                let Some(event) = self.read(&peer, &payload) else { return Ok(()) };
                if !matches!(event, NodeEvent::Master(FromMaster::Lease { .. })) {
                    self.pay_for_message().await;
                }
                self.step(event)
            }
            PeerEvent::Request { .. } => Ok(()), // nodes are asked nothing that way
        }
    }

    /// A message as an event; nothing if it is no message of this build.
    fn read(&self, peer: &NodeName, payload: &Bytes) -> Option<NodeEvent> {
        if *peer == self.config.master {
            return open::<FromMaster>(payload).ok().map(|(word, _)| NodeEvent::Master(word));
        }
        match (self.number(peer), Role::of(peer)) {
            (Some(from), _) => open::<ToPeer>(payload).ok().map(|(word, body)| NodeEvent::Peer { from, word, body }),
            (None, Some(Role::Client(client))) => {
                open::<FromClient>(payload).ok().map(|(word, lines)| NodeEvent::Client { client, word, lines })
            }
            _ => None,
        }
    }

    fn number(&self, name: &NodeName) -> Option<NodeNumber> {
        let place = self.config.names.iter().position(|other| other == name)?;
        NodeNumber::try_from(place + 1).ok()
    }

    async fn pay_for_message(&mut self) {
        let cost = Costs::time(self.config.program.costs.message_ns);
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

    fn step(&mut self, event: NodeEvent) -> Result<(), NodeError> {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        actions.into_iter().try_for_each(|action| self.perform(action))
    }

    fn perform(&mut self, action: NodeAction) -> Result<(), NodeError> {
        match action {
            NodeAction::TellMaster(word) => {
                self.send(&self.config.master, Lane::Control, Purpose::Control, seal(Vec::new(), &word), 1);
            }
            NodeAction::TellClient(client, word) => {
                self.send(&NodeName::client(client), Lane::Control, Purpose::Control, seal(Vec::new(), &word), 1);
            }
            NodeAction::Redial(client) => self.peers.redial(&NodeName::client(client)),
            NodeAction::Tell { node, word, body, purpose, is_scaled } => {
                let scale = if is_scaled { self.config.program.scale } else { 1 };
                let to = self.config.names[node as usize - 1].clone();
                self.send(&to, Lane::Data, purpose, seal(body.concat(), &word), scale);
            }
            NodeAction::Open { partition, through, panes } => {
                let operators = Operators::open(self.config.program.clone(), partition, through, panes);
                let operators = operators.map_err(|error| NodeError(error.to_string()))?;
                self.operators.insert(partition, Arc::new(Mutex::new(operators)));
            }
            NodeAction::Drop { partition } => drop(self.operators.remove(&partition)),
            NodeAction::Run { partition, since, works } => self.run(partition, since, works),
            NodeAction::CopyState { partition, node, version, through } => {
                let panes = self.operators.get(&partition).map_or_else(Vec::new, |shared| lock(shared).panes());
                self.step(NodeEvent::Copied { partition, to: (node, version), through, panes })?;
            }
            NodeAction::HandIn { partition, since, stage, interval, rows, lacks, epoch } => {
                self.hand_in((partition, since), (stage, interval), rows, lacks, epoch);
            }
            NodeAction::Show { stage, partition, ranges, rows } => self.show(stage, partition, ranges, &rows),
            NodeAction::ShowTentative { stage, partition, interval, rows, epoch } => {
                self.show_tentative((stage, partition), interval, &rows, epoch);
            }
            NodeAction::Load { partition, since, through, oldest } => self.load(partition, since, (through, oldest)),
            NodeAction::Save { partition, since, through, previous, panes, punctuations } => {
                self.save(since, Save { partition, through, previous, panes, punctuations });
            }
            NodeAction::DropSaves { partition, before } => {
                let host = self.host.clone();
                tokio::spawn(async move { saves::drop_before(&host, partition, before).await });
            }
            NodeAction::Record(event) => self.host.trace.record(event),
            NodeAction::Fatal(why) => return Err(NodeError(why)),
        }
        Ok(())
    }

    /// Sends; what is refused because the peer does not keep up costs it its connection, and what it missed is asked for
    /// again when it is back.
    fn send(&self, to: &NodeName, lane: Lane, purpose: Purpose, payload: Bytes, scale: u64) {
        let declared = payload.len() as u64 * scale;
        if self.peers.send(to, lane, purpose, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }

    /// One turn of a partition's operators, on one core.
    fn run(&self, partition: u32, since: u64, works: Vec<Work>) {
        let Some(operators) = self.operators.get(&partition).cloned() else { return };
        let (cpu, ended) = (self.host.cpu.clone(), self.ended.clone());
        tokio::spawn(async move {
            let outcome: Arc<Mutex<Vec<WorkDone>>> = Arc::default();
            let place = outcome.clone();
            let turn = move || {
                let mut operators = lock(&operators);
                let done: Vec<WorkDone> = works.into_iter().map(|work| operators.work(work)).collect();
                let cost = done.iter().map(|work| work.cost_ns).sum::<u64>();
                *place.lock().unwrap_or_else(PoisonError::into_inner) = done;
                CoreTime(Duration::from_nanos(cost))
            };
            let used = cpu.run(Box::new(turn)).await;
            let done = std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner));
            let _ = ended.send(NodeEvent::Ran { partition, since, done, cpu: used.0 }).await;
        });
    }

    /// Hands a result in, again and again until the sink has it or refuses this node.
    fn hand_in(
        &self,
        (partition, since): (u32, u64),
        (stage, interval): (u32, u64),
        rows: Bytes,
        lacks: u64,
        epoch: u64,
    ) {
        let Some((output, of)) = self.output(stage) else { return };
        let name = ResultName { output, interval, partition, of, epoch, lacks };
        let payload = seal(rows.to_vec(), &ToSink::Result(name));
        let (host, peers, ended) = (self.host.clone(), self.peers.clone(), self.ended.clone());
        let (sink, deadline) = (self.config.sink.clone(), self.config.deadline);
        tokio::spawn(async move {
            loop {
                let declared = payload.len() as u64;
                let answer = peers.request(&sink, Purpose::Output, payload.clone(), declared, deadline).await;
                match answer.ok().and_then(|answer| open::<FromSink>(&answer).ok()) {
                    Some((FromSink::Done, _)) => break,
                    Some((FromSink::Refused, _)) => return, // this node is fenced, and will hear of it
                    _ => host.sleep(deadline).await,
                }
            }
            let _ = ended.send(NodeEvent::Visible { partition, since, stage, interval }).await;
        });
    }

    fn show(&self, stage: u32, partition: u32, ranges: Vec<RecordRange>, rows: &[Bytes]) {
        let Some((output, _)) = self.output(stage) else { return };
        let payload = seal(rows.concat(), &ToSink::Running { output, partition, ranges });
        let sink = self.config.sink.clone();
        self.send(&sink, Lane::Data, Purpose::Output, payload, 1);
    }

    fn show_tentative(&self, (stage, partition): (u32, u32), interval: u64, rows: &Bytes, epoch: u64) {
        let Some((output, of)) = self.output(stage) else { return };
        let name = ResultName { output, interval, partition, of, epoch, lacks: 0 };
        let payload = seal(rows.to_vec(), &ToSink::Tentative(name));
        let sink = self.config.sink.clone();
        self.send(&sink, Lane::Data, Purpose::Output, payload, 1);
    }

    /// A stage's output, and how many partitions make it whole.
    fn output(&self, stage: u32) -> Option<(String, u32)> {
        let program = &self.config.program;
        let keyed = program.topology.keyed.iter().find(|keyed| keyed.stage == stage)?;
        let Target::Output(output) = keyed.target else { return None };
        Some((program.query.outputs[output.0 as usize].name.clone(), keyed.width))
    }

    fn load(&self, partition: u32, since: u64, (through, oldest): (u64, u64)) {
        let (host, ended, pause) = (self.host.clone(), self.ended.clone(), self.config.deadline);
        let costs = self.config.program.costs.clone();
        tokio::spawn(async move {
            let event = match saves::load(&host, partition, (through, oldest), pause).await {
                Ok((panes, punctuations)) => {
                    let bytes = panes.iter().map(|(_, rows)| rows.len()).sum::<usize>();
                    pay(&host, bytes as f64 * costs.codec_ns_per_byte).await;
                    NodeEvent::Loaded { partition, since, panes, punctuations }
                }
                Err(why) => NodeEvent::Broken { partition, since, why },
            };
            let _ = ended.send(event).await;
        });
    }

    fn save(&self, since: u64, save: Save) {
        let (host, ended, pause) = (self.host.clone(), self.ended.clone(), self.config.deadline);
        let costs = self.config.program.costs.clone();
        tokio::spawn(async move {
            let (partition, through, bytes) = (save.partition, save.through, save.bytes());
            pay(&host, bytes as f64 * costs.checkpoint_ns_per_byte).await;
            save.write(&host, pause).await;
            // All stages of a partition are saved in one object.
            host.trace.record(Event::StateSaved { through, stage: 0, partition, bytes });
            let _ = ended.send(NodeEvent::Saved { partition, since, through }).await;
        });
    }
}

/// Pays for work on a core beside the operators' turns.
async fn pay(host: &Host, nanos: f64) {
    let cost = Costs::time(nanos);
    let used = host.cpu.run(Box::new(move || cost)).await;
    let cpu_ns = u64::try_from(used.0.as_nanos()).unwrap_or(u64::MAX);
    host.trace.record(Event::CpuUsed { cpu_ns });
}

fn lock(operators: &SharedOperators) -> std::sync::MutexGuard<'_, Operators> {
    // A panic of a user's function is caught inside, so what a poisoned lock guards is whole.
    operators.lock().unwrap_or_else(PoisonError::into_inner)
}
