//! The master's shell: words of nodes into the core, its decisions to nodes, clients and sink.

use crate::continuous::master::{MasterAction, MasterEvent};
use crate::continuous::message::{NodeNumber, ToMaster};
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::core::BoxCore;
use dstream_cluster::layout::Role;
use dstream_cluster::message::{open, seal};
use dstream_cluster::sink::fence;
use dstream_host::peer::{Lane, PeerEvent, Peers, SendError};
use dstream_host::{Host, NodeError};
use dstream_trace::{Event, Moment, NodeName, Purpose};
use std::time::Duration;
use tokio::sync::mpsc;

/// Core time of messages is put into the trace this often.
const ACCOUNT_PERIOD: Duration = Duration::from_secs(1);

/// What the shell must know.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// The sink.
    pub sink: NodeName,
    /// All nodes, by number from 1.
    pub names: Vec<NodeName>,
    /// All clients.
    pub clients: Vec<NodeName>,
    /// How long an answer may take before it is asked for again.
    pub deadline: Duration,
    /// What work costs.
    pub costs: Costs,
}

/// The master's life.
pub async fn run(
    host: Host,
    peers: Peers,
    mut events: mpsc::Receiver<PeerEvent>,
    config: MasterConfig,
    core: BoxCore<MasterEvent, MasterAction>,
) -> Result<(), NodeError> {
    let account_at = host.clock.now() + ACCOUNT_PERIOD;
    let mut master = Shell { host, peers, config, core, handled: Duration::ZERO, account_at };
    loop {
        let wake = master.core.deadline().unwrap_or(Moment::NEVER).min(master.account_at);
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => master.peer(event).await,
                None => return Ok(()),
            },
            () = master.host.clock.sleep_until(wake) => {
                master.account();
                master.step(MasterEvent::Tick);
            }
        }
    }
}

struct Shell {
    host: Host,
    peers: Peers,
    config: MasterConfig,
    core: BoxCore<MasterEvent, MasterAction>,
    /// Core time that is not yet in the trace.
    handled: Duration,
    account_at: Moment,
}

impl Shell {
    async fn peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Message { peer, incarnation, payload, .. } => {
                let (Some(node), Ok((word, _))) = (self.number(&peer), open::<ToMaster>(&payload)) else { return };
                if !matches!(word, ToMaster::Heartbeat { .. }) {
                    let cost = Costs::time(self.config.costs.message_ns);
                    self.handled += cost.0;
                    self.host.cpu.handle(cost).await;
                }
                self.step(MasterEvent::Word { node, incarnation, word });
            }
            PeerEvent::Down { peer, .. } => match (self.number(&peer), Role::of(&peer)) {
                (Some(node), _) => self.step(MasterEvent::Broken(node)),
                (None, Some(Role::Client(client))) => self.step(MasterEvent::ClientDown(client)),
                _ => {}
            },
            PeerEvent::Up { peer, incarnation } if self.config.clients.contains(&peer) => {
                if let Some(Role::Client(client)) = Role::of(&peer) {
                    self.step(MasterEvent::ClientUp { client, incarnation });
                }
            }
            PeerEvent::Up { .. } | PeerEvent::Request { .. } => {}
        }
    }

    fn number(&self, name: &NodeName) -> Option<NodeNumber> {
        let place = self.config.names.iter().position(|other| other == name)?;
        NodeNumber::try_from(place + 1).ok()
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

    fn step(&mut self, event: MasterEvent) {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        actions.into_iter().for_each(|action| self.perform(action));
    }

    fn perform(&self, action: MasterAction) {
        match action {
            MasterAction::Tell(node, word) => {
                self.send(&self.config.names[node as usize - 1], seal(Vec::new(), &word));
            }
            MasterAction::TellClients(word) => {
                let payload = seal(Vec::new(), &word);
                self.config.clients.iter().for_each(|client| self.send(client, payload.clone()));
            }
            MasterAction::TellClient(client, word) => self.send(&client, seal(Vec::new(), &word)),
            MasterAction::Fence { node, epoch } => {
                let name = self.config.names[node as usize - 1].clone();
                let (host, peers, config) = (self.host.clone(), self.peers.clone(), self.config.clone());
                tokio::spawn(async move {
                    // Nobody computes anew what is visible, so nobody asks what is.
                    fence(&host, &peers, &config.sink, (name, epoch), u64::MAX, config.deadline).await;
                });
            }
            MasterAction::Record(event) => self.host.trace.record(event),
        }
    }

    /// Sends; a peer that does not keep up loses its connection and is told everything again when it is back.
    fn send(&self, to: &NodeName, payload: Bytes) {
        let declared = payload.len() as u64;
        if self.peers.send(to, Lane::Control, Purpose::Control, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }
}
