//! The master's shell: words of workers into the core, its decisions to workers, clients, sink and store.

use crate::master::{MasterAction, MasterEvent};
use crate::message::{Member, ToMaster, ToWorker, checkpoint_prefix};
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::core::BoxCore;
use dstream_cluster::layout::worker_number;
use dstream_cluster::message::{open, seal};
use dstream_cluster::sink::fence;
use dstream_host::peer::{Lane, PeerEvent, Peers, SendError};
use dstream_host::{Host, NodeError};
use dstream_trace::{Event, Moment, NodeName, Purpose, RecordRange};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers of sink and store that wait to be read: a fence for each worker and a journal entry for each open interval.
const MOST_WAITING_ANSWERS: usize = 4096;

/// Core time of messages is put into the trace this often.
const ACCOUNT_PERIOD: Duration = Duration::from_secs(1);

/// What the shell must know.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// The sink.
    pub sink: NodeName,
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
    let (answered, mut answers) = mpsc::channel(MOST_WAITING_ANSWERS);
    let account_at = host.clock.now() + ACCOUNT_PERIOD;
    let mut master = Shell { host, peers, config, core, answered, handled: Duration::ZERO, account_at };
    loop {
        let wake = master.core.deadline().unwrap_or(Moment::NEVER).min(master.account_at);
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => master.peer(event).await?,
                None => return Ok(()),
            },
            Some(event) = answers.recv() => master.step(event).await?,
            () = master.host.clock.sleep_until(wake) => {
                master.account();
                master.step(MasterEvent::Tick).await?;
            }
        }
    }
}

/// Where an interval's input is written down.
fn journal_key(interval: u64) -> String {
    format!("journal/{interval:020}")
}

struct Shell {
    host: Host,
    peers: Peers,
    config: MasterConfig,
    core: BoxCore<MasterEvent, MasterAction>,
    answered: mpsc::Sender<MasterEvent>,
    /// Core time that is not yet in the trace.
    handled: Duration,
    account_at: Moment,
}

impl Shell {
    async fn peer(&mut self, event: PeerEvent) -> Result<(), NodeError> {
        match event {
            PeerEvent::Message { peer, incarnation, payload, .. } => {
                let (Some(worker), Ok((word, _))) = (worker_number(&peer), open::<ToMaster>(&payload)) else {
                    return Ok(());
                };
                if !matches!(word, ToMaster::Heartbeat { .. }) {
                    self.pay(self.config.costs.message_ns).await;
                }
                self.step(MasterEvent::Word { worker, incarnation, word }).await
            }
            PeerEvent::Down { peer, .. } => match worker_number(&peer) {
                Some(worker) => self.step(MasterEvent::WorkerBroken(worker)).await,
                None => Ok(()),
            },
            PeerEvent::Up { peer, .. } if self.config.clients.contains(&peer) => {
                self.step(MasterEvent::ClientUp(peer)).await
            }
            PeerEvent::Up { .. } | PeerEvent::Request { .. } => Ok(()),
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
            MasterAction::TellClients(word) => {
                for client in &self.config.clients {
                    self.send(client, seal(Vec::new(), &word));
                }
            }
            MasterAction::TellClient(client, word) => self.send(&client, seal(Vec::new(), &word)),
            MasterAction::Journal { interval, ranges } => self.journal(interval, ranges),
            MasterAction::Fence { member, since } => self.fence(member, since),
            MasterAction::DropCheckpoint(through) => self.drop_all(checkpoint_prefix(through)),
            MasterAction::DropJournal(interval) => self.drop_all(journal_key(interval)),
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

    /// Writes the interval's input down, again and again until the store takes it.
    fn journal(&self, interval: u64, ranges: Vec<RecordRange>) {
        let (host, answered, deadline) = (self.host.clone(), self.answered.clone(), self.config.deadline);
        let key = journal_key(interval);
        let entry = seal(Vec::new(), &ranges);
        tokio::spawn(async move {
            while host.store.put(&key, entry.clone()).await.is_err() {
                host.sleep(deadline).await;
            }
            let _ = answered.send(MasterEvent::Journalled { interval }).await;
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

    /// Has the sink refuse a worker's results, again and again until the sink says so.
    fn fence(&self, member: Member, since: u64) {
        let (host, peers, answered) = (self.host.clone(), self.peers.clone(), self.answered.clone());
        let (sink, deadline) = (self.config.sink.clone(), self.config.deadline);
        tokio::spawn(async move {
            let worker = (NodeName::worker(member.worker), member.epoch);
            let visible = fence(&host, &peers, &sink, worker, since, deadline).await;
            let _ = answered.send(MasterEvent::Fenced { member, visible }).await;
        });
    }
}
