//! The worker's shell: what peers, store and cores say goes to the core; what it decides goes out.

use crate::compute::{Computation, Failed, Panes};
use crate::history::{Entry, key};
use crate::message::{ToMaster, ToWorker};
use crate::runner::{Runner, RunnerAction, RunnerEvent};
use bytes::Bytes;
use dstream::engine::message::{FromClient, ToClient, open, seal};
use dstream::engine::peer::{Lane, PeerEvent, Peers, SendError};
use dstream::engine::{Core, CoreTime, Event, Host, Moment, NodeError, NodeName, Purpose, RecordRange, StoreError};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers of store and cores that wait to be read: each is asked for, at most some dozens at a time.
const MOST_WAITING_ANSWERS: usize = 1024;

/// What the shell must know.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The master.
    pub master: NodeName,
    /// All clients.
    pub clients: Vec<NodeName>,
    /// How often to beat.
    pub heartbeat: Duration,
    /// How long the store may take before it is asked again.
    pub deadline: Duration,
    /// What it costs to handle a message.
    pub message: CoreTime,
}

/// What store and cores answer.
enum Answer {
    Event(RunnerEvent),
    /// How the computation of an interval ended, for this term; its panes are for the next one.
    Computed {
        term: u64,
        interval: u64,
        ended: Result<Panes, Failed>,
    },
    /// The log cannot be read.
    Broken(String),
}

/// The worker's life.
pub async fn run(
    computation: Computation,
    mut events: mpsc::Receiver<PeerEvent>,
    config: WorkerConfig,
    core: Runner,
) -> Result<(), NodeError> {
    let (answer, mut answers) = mpsc::channel(MOST_WAITING_ANSWERS);
    let (host, peers, next_beat) = (computation.host.clone(), computation.peers.clone(), computation.host.clock.now());
    let (epoch, term, panes, handled) = (None, 0, Panes::default(), Duration::ZERO);
    let mut shell = Shell { host, peers, computation, config, core, answer, epoch, term, panes, handled, next_beat };
    loop {
        let wake = shell.core.deadline().unwrap_or(Moment::NEVER).min(shell.next_beat);
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => shell.peer(event).await,
                None => return Ok(()),
            },
            Some(answer) = answers.recv() => shell.answer(answer)?,
            () = shell.host.clock.sleep_until(wake) => {
                shell.beat_when_due();
                shell.step(RunnerEvent::Tick);
            }
        }
    }
}

struct Shell {
    host: Host,
    peers: Peers,
    computation: Computation,
    config: WorkerConfig,
    core: Runner,
    answer: mpsc::Sender<Answer>,
    epoch: Option<u64>,
    /// The last one that began here.
    term: u64,
    /// What the intervals of this term that are computed leave to the next ones; empty while one is being computed.
    panes: Panes,
    /// Core time that is not in the trace yet.
    handled: Duration,
    next_beat: Moment,
}

impl Shell {
    async fn peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Up { peer, .. } if peer == self.config.master => self.join(),
            PeerEvent::Up { peer, .. } if self.config.clients.contains(&peer) => {
                self.step(RunnerEvent::ClientUp(peer));
            }
            PeerEvent::Message { peer, payload, .. } if peer == self.config.master => {
                if let Ok((word, _)) = open::<ToWorker>(&payload) {
                    self.order(word);
                }
            }
            PeerEvent::Message { payload, .. } => {
                let Ok((FromClient::Records(batch), lines)) = open::<FromClient>(&payload) else { return };
                self.handled += self.config.message.0;
                self.host.cpu.handle(self.config.message).await;
                self.step(RunnerEvent::Batch(batch, lines));
            }
            PeerEvent::Up { .. } | PeerEvent::Down { .. } | PeerEvent::Request { .. } => {}
        }
    }

    fn join(&self) {
        let (incarnation, epoch) = (self.host.incarnation, self.epoch);
        let word = seal(Vec::new(), &ToMaster::Join { incarnation, epoch });
        self.send(&self.config.master, word);
    }

    fn order(&mut self, word: ToWorker) {
        match word {
            ToWorker::Welcome { epoch } => {
                if self.epoch.is_some_and(|old| old != epoch) {
                    self.step(RunnerEvent::Over);
                }
                self.epoch = Some(epoch);
            }
            ToWorker::Run { epoch, term, sealed_below } if self.epoch == Some(epoch) => {
                self.step(RunnerEvent::Named { term, epoch, sealed_below });
            }
            ToWorker::Sealed { below } => self.step(RunnerEvent::Sealed(below)),
            ToWorker::Over { epoch } if self.epoch == Some(epoch) => {
                self.epoch = None;
                self.step(RunnerEvent::Over);
                self.join();
            }
            ToWorker::Run { .. } | ToWorker::Over { .. } => {} // of an epoch that is over
        }
    }

    fn beat_when_due(&mut self) {
        let now = self.host.clock.now();
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + self.config.heartbeat;
        if let Some(epoch) = self.epoch {
            self.send(&self.config.master, seal(Vec::new(), &ToMaster::Heartbeat { epoch }));
        }
        let cpu_ns = u64::try_from(std::mem::take(&mut self.handled).as_nanos()).unwrap_or(u64::MAX);
        if cpu_ns > 0 {
            self.host.trace.record(Event::CpuUsed { cpu_ns });
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<(), NodeError> {
        match answer {
            Answer::Event(event) => self.step(event),
            Answer::Computed { term, .. } if term != self.term => {}
            Answer::Computed { term, interval, ended: Ok(panes) } => {
                self.panes = panes;
                self.step(RunnerEvent::Computed { term, interval });
            }
            Answer::Computed { ended: Err(Failed::Refused), .. } => self.step(RunnerEvent::Over),
            Answer::Computed { ended: Err(Failed::Broken(why)), .. } | Answer::Broken(why) => {
                return Err(NodeError(why));
            }
        }
        Ok(())
    }

    fn step(&mut self, event: RunnerEvent) {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: RunnerAction) {
        match action {
            RunnerAction::Begin { term } => {
                self.term = term;
                self.panes = Panes::default();
                self.config.clients.iter().for_each(|client| self.peers.redial(client));
            }
            RunnerAction::Read { term, number } => self.read(term, number),
            RunnerAction::Write { term, number, entry, body } => self.write(term, number, entry.to_bytes(&body)),
            RunnerAction::Seal { interval, ranges, blocks } => {
                let word = ToMaster::Closed { interval, ranges, blocks };
                self.send(&self.config.master, seal(Vec::new(), &word));
            }
            RunnerAction::Compute { term, epoch, input, again } => {
                let (computation, answer) = (self.computation.clone(), self.answer.clone());
                let panes = std::mem::take(&mut self.panes);
                tokio::spawn(async move {
                    let interval = input.interval;
                    let ended = computation.interval(epoch, input, panes, again).await;
                    let _ = answer.send(Answer::Computed { term, interval, ended }).await;
                });
            }
            RunnerAction::Acknowledge(ranges) => self.acknowledge(ranges),
            RunnerAction::Known(client, ranges) => self.send(&client, seal(Vec::new(), &ToClient::Known(ranges))),
            RunnerAction::Redial(client) => self.peers.redial(&client),
            RunnerAction::Record(event) => self.host.trace.record(event),
        }
    }

    /// Reads a place of the log, again and again until the store answers.
    fn read(&self, term: u64, number: u64) {
        let (host, answer, deadline) = (self.host.clone(), self.answer.clone(), self.config.deadline);
        tokio::spawn(async move {
            let answered = loop {
                match host.store.get(&key(number), 1).await {
                    Ok(stored) => match Entry::read(&stored) {
                        Some(entry) => break Answer::Event(RunnerEvent::Read { term, number, entry: Some(entry) }),
                        None => break Answer::Broken(format!("`{}` is no entry of a log", key(number))),
                    },
                    Err(StoreError::Missing(_)) => {
                        break Answer::Event(RunnerEvent::Read { term, number, entry: None });
                    }
                    Err(StoreError::Exists(_) | StoreError::Failed(_)) => host.sleep(deadline).await,
                }
            };
            let _ = answer.send(answered).await;
        });
    }

    /// Creates an entry, again and again until the store says whether it took it.
    fn write(&self, term: u64, number: u64, stored: Bytes) {
        let (host, answer, deadline) = (self.host.clone(), self.answer.clone(), self.config.deadline);
        tokio::spawn(async move {
            let event = loop {
                match host.store.create(&key(number), stored.clone()).await {
                    Ok(()) => break RunnerEvent::Written { term },
                    Err(StoreError::Exists(_)) => break RunnerEvent::Taken { term },
                    Err(StoreError::Missing(_) | StoreError::Failed(_)) => host.sleep(deadline).await,
                }
            };
            let _ = answer.send(Answer::Event(event)).await;
        });
    }

    fn acknowledge(&self, ranges: Vec<RecordRange>) {
        let mut by_client: BTreeMap<u32, Vec<RecordRange>> = BTreeMap::new();
        for range in ranges {
            by_client.entry(range.client).or_default().push(range);
        }
        for (client, ranges) in by_client {
            self.send(&NodeName::client(client), seal(Vec::new(), &ToClient::Held(ranges)));
        }
    }

    /// Sends; a peer that does not keep up loses its connection, and is told what it must know when it is back.
    fn send(&self, to: &NodeName, payload: Bytes) {
        let declared = payload.len() as u64;
        if self.peers.send(to, Lane::Control, Purpose::Control, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }
}
