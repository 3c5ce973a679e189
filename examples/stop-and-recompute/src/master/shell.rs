//! The master's shell: words of workers into the core, its decisions to workers, clients and sink.

use crate::master::{Master, MasterAction, MasterEvent};
use crate::message::ToMaster;
use bytes::Bytes;
use dstream::engine::detector::DetectorEvent;
use dstream::engine::layout::worker_number;
use dstream::engine::message::{open, seal};
use dstream::engine::peer::{Lane, PeerEvent, Peers, SendError};
use dstream::engine::sink::fence;
use dstream::engine::{Core, Host, Moment, NodeError, NodeName, Purpose};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers of the sink that wait to be read: a fence for each life of each worker, far fewer than this at once.
const MOST_WAITING_ANSWERS: usize = 1024;

/// What the shell must know.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// The sink.
    pub sink: NodeName,
    /// All clients.
    pub clients: Vec<NodeName>,
    /// How long an answer may take before it is asked for again.
    pub deadline: Duration,
}

/// The master's life.
pub async fn run(
    host: Host,
    peers: Peers,
    mut events: mpsc::Receiver<PeerEvent>,
    config: MasterConfig,
    core: Master,
) -> Result<(), NodeError> {
    let (fenced, mut answers) = mpsc::channel(MOST_WAITING_ANSWERS);
    let mut shell = Shell { host, peers, config, core, fenced };
    loop {
        let wake = shell.core.deadline().unwrap_or(Moment::NEVER);
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => shell.peer(event),
                None => return Ok(()),
            },
            Some(event) = answers.recv() => shell.step(event),
            () = shell.host.clock.sleep_until(wake) => shell.step(MasterEvent::Tick),
        }
    }
}

struct Shell {
    host: Host,
    peers: Peers,
    config: MasterConfig,
    core: Master,
    fenced: mpsc::Sender<MasterEvent>,
}

impl Shell {
    fn peer(&mut self, event: PeerEvent) {
        let event = match event {
            PeerEvent::Message { peer, payload, .. } => {
                let (Some(worker), Ok((word, _))) = (worker_number(&peer), open::<ToMaster>(&payload)) else { return };
                match word {
                    ToMaster::Join { incarnation, epoch } => {
                        MasterEvent::Member(DetectorEvent::Join { worker, incarnation, epoch })
                    }
                    ToMaster::Heartbeat { epoch } => MasterEvent::Member(DetectorEvent::Heartbeat { worker, epoch }),
                    ToMaster::Closed { interval, ranges, blocks } => {
                        MasterEvent::Closed { worker, interval, ranges, blocks }
                    }
                }
            }
            PeerEvent::Down { peer, .. } => match worker_number(&peer) {
                Some(worker) => MasterEvent::Member(DetectorEvent::Broken { worker }),
                None => return,
            },
            PeerEvent::Up { peer, .. } if self.config.clients.contains(&peer) => MasterEvent::ClientUp(peer),
            PeerEvent::Up { .. } | PeerEvent::Request { .. } => return,
        };
        self.step(event);
    }

    fn step(&mut self, event: MasterEvent) {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&self, action: MasterAction) {
        match action {
            MasterAction::Tell(worker, word) => self.send(&NodeName::worker(worker), seal(Vec::new(), &word)),
            MasterAction::TellClients(word) => {
                let payload = seal(Vec::new(), &word);
                self.config.clients.iter().for_each(|client| self.send(client, payload.clone()));
            }
            MasterAction::TellClient(client, word) => self.send(&client, seal(Vec::new(), &word)),
            MasterAction::Record(event) => self.host.trace.record(event),
            MasterAction::Fence(worker, epoch) => {
                let (host, peers, config) = (self.host.clone(), self.peers.clone(), self.config.clone());
                let fenced = self.fenced.clone();
                tokio::spawn(async move {
                    let member = (NodeName::worker(worker), epoch);
                    // What of it is visible does not matter here: everything is handed in again.
                    fence(&host, &peers, &config.sink, member, u64::MAX, config.deadline).await;
                    let _ = fenced.send(MasterEvent::Fenced(worker, epoch)).await;
                });
            }
        }
    }

    /// Sends; a peer that does not keep up loses its connection, and is told everything again when it is back.
    fn send(&self, to: &NodeName, payload: Bytes) {
        let declared = payload.len() as u64;
        if self.peers.send(to, Lane::Control, Purpose::Control, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }
}
