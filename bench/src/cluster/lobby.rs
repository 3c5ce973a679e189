//! The lobby at the master's door, as a pure core: who is there, which process is which node of the run, and what
//! happens when one comes or goes.
//!
//! The master's own process takes part like any other, as [`HERE`]. Knows no socket and no engine. Invariants: at most
//! one job runs; every node of a run has at most one process, and a later process of it has a higher incarnation; a
//! worker is let go only where the job does without it, and hands on first what only it has where others can take it.
//!
//! ```text
//!        order, enough workers          all listen
//! idle -------------------> preparing -------------> running
//!   ^   order, too few: waiting -^ |                    | a worker goes: its seat is free for the next one
//!   |                              | a process goes     |
//!   +------------------------------+--------------------+ finished, job gone, a node failed
//! ```

use super::word::{Beginning, FromMaster, JobOrder};
use crate::store::StorePlace;
use dstream_cluster::layout::Role;
use dstream_cluster::{ClusterSpec, OptionValue, Options};
use dstream_trace::{Moment, NodeName};
use leaving::Stay;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Names a process at the door.
pub type Peer = u64;

/// The master's own process.
pub const HERE: Peer = 0;

/// What the lobby is given.
#[derive(Clone, Debug)]
pub struct LobbyConfig {
    /// A job begins with at least so many workers.
    pub workers: usize,
    /// Where each run's durable store has its place.
    pub store: StorePlace,
    /// Tells the runs of this master from those of others.
    pub seed: u64,
    /// Lays out a cluster; its `workers` and `cores` are to be taken as they are.
    pub lay_out: fn(&JobOrder, workers: u32, cores: u32, seed: u64) -> ClusterSpec,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum LobbyEvent {
    /// A worker came.
    Worker {
        /// Its process.
        peer: Peer,
        /// Its cores.
        cores: u32,
        /// For people.
        place: String,
    },
    /// A job came with its order.
    Job {
        /// Its process.
        peer: Peer,
        /// What it wants.
        order: Box<JobOrder>,
    },
    /// A process listens for its nodes.
    Ready {
        /// Which.
        peer: Peer,
        /// In which run.
        round: u64,
        /// Where.
        listening: Vec<(NodeName, SocketAddr)>,
    },
    /// A process's node failed.
    Failed {
        /// Which.
        peer: Peer,
        /// In which run.
        round: u64,
        /// Why.
        why: String,
    },
    /// A process has something to say to people.
    Note {
        /// Which.
        peer: Peer,
        /// What.
        note: String,
    },
    /// The job has all its results.
    Finished {
        /// Its process.
        peer: Peer,
    },
    /// A worker wants to leave.
    Goodbye {
        /// Its process.
        peer: Peer,
    },
    /// A worker's node has handed on what others need of it, and has ended.
    Left {
        /// Its process.
        peer: Peer,
        /// In which run.
        round: u64,
    },
    /// A process is gone.
    Gone {
        /// Which.
        peer: Peer,
    },
    /// So many blocks of the running job have fewer copies than promised.
    CopiesBelow(u64),
    /// The master itself is to end.
    Drain,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum LobbyAction {
    /// Say this to a process.
    Tell(Peer, FromMaster),
    /// Refuse a process, and close its connection.
    Refuse(Peer, String),
    /// Say this to people.
    Log(String),
    /// The master may end.
    End,
}

struct Worker {
    cores: u32,
    place: String,
    stay: Stay,
}

/// A node of the run.
struct Seat {
    peer: Option<Peer>,
    incarnation: u64,
    address: Option<SocketAddr>,
    /// Whether its process was told to begin.
    begun: bool,
}

struct Run {
    round: u64,
    job: Peer,
    cluster: ClusterSpec,
    options: Options,
    seats: BTreeMap<NodeName, Seat>,
    began: Option<Moment>,
    /// No worker may leave: some copies are missing, or may be.
    copies_lack: bool,
}

/// The lobby.
pub struct Lobby {
    config: LobbyConfig,
    workers: BTreeMap<Peer, Worker>,
    /// A job that waits for workers.
    waiting: Option<(Peer, Box<JobOrder>)>,
    run: Option<Run>,
    rounds: u64,
    draining: bool,
}

impl Lobby {
    /// An empty one.
    pub fn new(config: LobbyConfig) -> Lobby {
        Lobby { config, workers: BTreeMap::new(), waiting: None, run: None, rounds: 0, draining: false }
    }

    /// Takes one event.
    pub fn step(&mut self, now: Moment, event: LobbyEvent, actions: &mut Vec<LobbyAction>) {
        match event {
            LobbyEvent::Worker { peer, cores, place } => {
                actions.push(LobbyAction::Log(format!("worker {place} joined, {cores} cores")));
                self.workers.insert(peer, Worker { cores, place, stay: Stay::Staying });
                self.fill_seats(actions);
                self.begin_waiting(actions);
            }
            LobbyEvent::Job { peer, order } => self.order(peer, order, actions),
            LobbyEvent::Ready { peer, round, listening } => self.ready(now, peer, round, listening, actions),
            LobbyEvent::Failed { peer, round, why } => {
                if self.run.as_ref().is_some_and(|run| run.round == round) {
                    self.end_run(Some(format!("{} failed: {why}", self.place(peer))), actions);
                }
            }
            LobbyEvent::Note { peer, note } => {
                let note = format!("{}: {note}", self.place(peer));
                actions.push(LobbyAction::Log(note.clone()));
                actions.extend(self.job().map(|job| LobbyAction::Tell(job, FromMaster::Note(note))));
            }
            LobbyEvent::Finished { peer } => {
                if self.run.as_ref().is_some_and(|run| run.job == peer) {
                    self.end_run(None, actions);
                }
            }
            LobbyEvent::Goodbye { peer } => {
                if let Some(worker) = self.workers.get_mut(&peer) {
                    worker.stay = Stay::Leaving;
                    actions.push(LobbyAction::Log(format!("worker {} wants to leave", worker.place)));
                    self.let_go(actions);
                }
            }
            LobbyEvent::Left { peer, round } => self.left(peer, round, actions),
            LobbyEvent::Gone { peer } => self.gone(peer, actions),
            LobbyEvent::CopiesBelow(blocks) => {
                if let Some(run) = &mut self.run {
                    run.copies_lack = blocks > 0;
                    self.let_go(actions);
                }
            }
            LobbyEvent::Drain => self.drain(actions),
        }
    }

    /// What people call a process.
    fn place(&self, peer: Peer) -> String {
        match self.workers.get(&peer) {
            Some(worker) => format!("worker {}", worker.place),
            None if peer == HERE => "the master".to_string(),
            None => "the job".to_string(),
        }
    }

    /// The process of the job that runs.
    pub fn job(&self) -> Option<Peer> {
        self.run.as_ref().map(|run| run.job)
    }

    fn order(&mut self, peer: Peer, order: Box<JobOrder>, actions: &mut Vec<LobbyAction>) {
        let running = self.run.as_ref().map(|run| &run.cluster.job.name);
        let busy = running.or(self.waiting.as_ref().map(|(_, order)| &order.job.name));
        let refusal = match busy {
            _ if self.draining => Some("the master is about to end".to_string()),
            Some(name) => Some(format!("the cluster runs the job `{name}`; it runs one job at a time")),
            None => None,
        };
        if let Some(why) = refusal {
            actions.push(LobbyAction::Refuse(peer, why));
            return;
        }
        actions.push(LobbyAction::Log(format!("job `{}` asked for", order.job.name)));
        self.waiting = Some((peer, order));
        self.begin_waiting(actions);
    }

    /// Workers that may be given a seat.
    fn free(&self) -> Vec<Peer> {
        let seated: BTreeSet<Peer> =
            self.run.iter().flat_map(|run| run.seats.values()).filter_map(|s| s.peer).collect();
        let free = self.workers.iter().filter(|(peer, worker)| worker.stay == Stay::Staying && !seated.contains(peer));
        free.map(|(peer, _)| *peer).collect()
    }

    /// Begins the job that waits, if there are workers enough.
    fn begin_waiting(&mut self, actions: &mut Vec<LobbyAction>) {
        let free = self.free();
        let Some((job, order)) = self.waiting.take_if(|_| self.run.is_none() && free.len() >= self.config.workers)
        else {
            if let Some((job, _)) = &self.waiting {
                let note = format!("waiting for workers: {} of {}", free.len(), self.config.workers);
                actions.push(LobbyAction::Tell(*job, FromMaster::Note(note)));
            }
            return;
        };
        self.rounds += 1;
        let cores = free.iter().map(|peer| self.workers[peer].cores).min().unwrap_or(1);
        let workers = u32::try_from(free.len()).expect("a door has far fewer guests");
        let cluster = (self.config.lay_out)(&order, workers, cores, self.config.seed.wrapping_add(self.rounds));
        let numbered = (1..=workers).map(Role::Worker).zip(free);
        let places = [(Role::Master, HERE), (Role::Sink, job), (Role::Client(1), job)].into_iter().chain(numbered);
        let seat = |peer| Seat { peer: Some(peer), incarnation: 1, address: None, begun: false };
        let seats: BTreeMap<NodeName, Seat> = places.map(|(role, peer)| (role.name(), seat(peer))).collect();
        let round = self.rounds;
        let options = options(&cluster);
        self.run = Some(Run { round, job, cluster, options, seats, began: None, copies_lack: false });
        let run = self.run.as_ref().expect("it was just made");
        for peer in run.peers() {
            let nodes = run.seats.iter().filter(|(_, seat)| seat.peer == Some(peer)).map(|(name, _)| name.clone());
            actions.push(LobbyAction::Tell(peer, FromMaster::Prepare { round, nodes: nodes.collect() }));
        }
    }

    fn ready(
        &mut self,
        now: Moment,
        peer: Peer,
        round: u64,
        listening: Vec<(NodeName, SocketAddr)>,
        actions: &mut Vec<LobbyAction>,
    ) {
        let store = self.config.store.clone();
        let Some(run) = self.run.as_mut().filter(|run| run.round == round) else { return };
        for (name, address) in listening {
            let Some(seat) = run.seats.get_mut(&name).filter(|seat| seat.peer == Some(peer)) else { continue };
            seat.address = Some(address);
            if run.began.is_some() {
                let others = run.peers().filter(|other| *other != peer);
                let word = FromMaster::Enter { node: name, address };
                actions.extend(others.map(|other| LobbyAction::Tell(other, word.clone())));
            }
        }
        if run.began.is_none() && run.seats.values().any(|seat| seat.address.is_none()) {
            return;
        }
        let first = run.began.is_none();
        let began = *run.began.get_or_insert(now);
        let ready: Vec<Peer> = run.peers().filter(|peer| run.is_ready(*peer)).collect();
        for peer in ready {
            let word = run.beginning(peer, now.since(began), &store);
            actions.push(LobbyAction::Tell(peer, FromMaster::Begin(Box::new(word))));
        }
        if first {
            let (name, workers) = (&run.cluster.job.name, run.cluster.workers);
            actions.push(LobbyAction::Log(format!("job `{name}` runs on {workers} workers")));
            self.let_go(actions);
        }
    }

    /// Gives free seats of the run to workers that have none.
    fn fill_seats(&mut self, actions: &mut Vec<LobbyAction>) {
        let free = self.free();
        let Some(run) = self.run.as_mut().filter(|run| run.began.is_some()) else { return };
        let vacant = run.seats.iter_mut().filter(|(_, seat)| seat.peer.is_none());
        for ((name, seat), peer) in vacant.zip(free) {
            (seat.peer, seat.address, seat.begun) = (Some(peer), None, false);
            seat.incarnation += 1;
            let note = format!("{name} is taken up again by worker {}", self.workers[&peer].place);
            actions.push(LobbyAction::Log(note.clone()));
            actions.push(LobbyAction::Tell(run.job, FromMaster::Note(note)));
            actions.push(LobbyAction::Tell(peer, FromMaster::Prepare { round: run.round, nodes: vec![name.clone()] }));
        }
    }

    fn gone(&mut self, peer: Peer, actions: &mut Vec<LobbyAction>) {
        let worker = self.workers.remove(&peer);
        if let Some(worker) = &worker {
            actions.push(LobbyAction::Log(format!("worker {} is gone", worker.place)));
        }
        if self.waiting.take_if(|(job, _)| *job == peer).is_some() {
            actions.push(LobbyAction::Log("the job that waited is gone".to_string()));
        }
        let Some(run) = &self.run else { return };
        if run.job == peer {
            self.end_run(Some("the job's process is gone".to_string()), actions);
        } else if worker.is_some() && run.seats.values().any(|seat| seat.peer == Some(peer)) {
            if let Some(run) = &mut self.run {
                run.copies_lack = true;
            }
            self.vacate(peer, actions);
        }
    }

    /// Puts the run's order back to those that wait, and tries again with the workers that are there.
    fn prepare_again(&mut self, actions: &mut Vec<LobbyAction>) {
        let Some(run) = self.run.take() else { return };
        actions.extend(run.peers().filter(|peer| *peer != run.job).map(|peer| run.stop(peer, None)));
        let ClusterSpec { job, source, pace, interval, origin, load_end, .. } = run.cluster;
        let lasts = (load_end != Moment::NEVER).then(|| load_end.since(origin));
        self.waiting = Some((run.job, Box::new(JobOrder { job, source, pace, interval, lasts })));
        self.begin_waiting(actions);
    }

    fn end_run(&mut self, failed: Option<String>, actions: &mut Vec<LobbyAction>) {
        let Some(run) = self.run.take() else { return };
        let how = failed.as_ref().map_or("ended".to_string(), |why| format!("was stopped: {why}"));
        actions.push(LobbyAction::Log(format!("job `{}` {how}", run.cluster.job.name)));
        actions.extend(run.peers().map(|peer| run.stop(peer, failed.clone())));
        self.let_go(actions);
        if self.draining {
            actions.push(LobbyAction::End);
        }
    }

    fn drain(&mut self, actions: &mut Vec<LobbyAction>) {
        self.draining = true;
        if let Some((job, _)) = self.waiting.take() {
            actions.push(LobbyAction::Refuse(job, "the master is about to end".to_string()));
        }
        match &self.run {
            Some(run) => actions.push(LobbyAction::Tell(run.job, FromMaster::Drain)),
            None => actions.push(LobbyAction::End),
        }
    }
}

impl Run {
    /// All processes that take part, each once.
    fn peers(&self) -> impl Iterator<Item = Peer> {
        self.seats.values().filter_map(|seat| seat.peer).collect::<BTreeSet<_>>().into_iter()
    }

    fn seated_workers(&self) -> usize {
        let is_worker = |name: &NodeName| matches!(Role::of(name), Some(Role::Worker(_)));
        self.seats.iter().filter(|(name, seat)| is_worker(name) && seat.peer.is_some()).count()
    }

    /// Whether all its nodes listen and it was not told to begin.
    fn is_ready(&self, peer: Peer) -> bool {
        self.seats.values().filter(|seat| seat.peer == Some(peer)).all(|seat| seat.address.is_some() && !seat.begun)
    }

    fn beginning(&mut self, peer: Peer, elapsed: Duration, store: &StorePlace) -> Beginning {
        let mut incarnation = 1;
        for seat in self.seats.values_mut().filter(|seat| seat.peer == Some(peer)) {
            (seat.begun, incarnation) = (true, seat.incarnation);
        }
        let address = |(name, seat): (&NodeName, &Seat)| seat.address.map(|address| (name.clone(), address));
        Beginning {
            round: self.round,
            cluster: self.cluster.clone(),
            options: self.options.clone(),
            incarnation,
            elapsed,
            addresses: self.seats.iter().filter_map(address).collect(),
            store: store.join(&format!("run-{}", self.round)),
        }
    }

    fn stop(&self, peer: Peer, failed: Option<String>) -> LobbyAction {
        LobbyAction::Tell(peer, FromMaster::Stop { round: self.round, failed })
    }
}

/// A block gathers at most this much time of input, and at most a fifth of an interval.
const BLOCK_MAX: Duration = Duration::from_millis(200);
/// And never less than this.
const BLOCK_MIN: Duration = Duration::from_millis(10);

/// How often state is saved, at least.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// Two copies; one where there is nobody to hold a second.
pub fn options(cluster: &ClusterSpec) -> Options {
    let block = (cluster.interval / 5).clamp(BLOCK_MIN, BLOCK_MAX);
    Options::from([
        ("interval".to_string(), OptionValue::Duration(cluster.interval)),
        ("block".to_string(), OptionValue::Duration(block)),
        ("checkpoint".to_string(), OptionValue::Duration(checkpoint(cluster.interval))),
        ("copies".to_string(), OptionValue::Count(u64::from(cluster.workers.min(2)))),
    ])
}

/// The fewest whole intervals that are not shorter than [`CHECKPOINT`].
fn checkpoint(interval: Duration) -> Duration {
    let intervals = CHECKPOINT.as_nanos().div_ceil(interval.as_nanos().max(1));
    interval * u32::try_from(intervals).unwrap_or(u32::MAX)
}

mod leaving;

#[cfg(test)]
mod tests;
