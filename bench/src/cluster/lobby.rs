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

use super::keep::{Found, Kept};
use super::options::Given;
use super::word::{Ended, FromMaster, JobOrder};
use crate::store::StorePlace;
use dstream_cluster::ClusterSpec;
use dstream_cluster::layout::Role;
use dstream_host::world::is_refusal;
use dstream_trace::{Moment, NodeName};
use leaving::Stay;
use run::{Run, Seat};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Names a process at the door.
pub type Peer = u64;

/// The master's own process.
pub const HERE: Peer = 0;

/// So many binary digits of an incarnation count processes within one life of the cluster: far more than workers can die.
const LIFE_BITS: u32 = 20;

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
    /// What is said of its options.
    pub given: Given,
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
        /// The job that rests in the store; or why that cannot be known.
        found: Result<Option<Box<Found>>, String>,
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
    /// Note the job down before anything else is done.
    Keep(Box<Kept>),
    /// Forget the job that was noted down, and what its run left.
    Forget,
    /// The master may end.
    End,
}

struct Worker {
    cores: u32,
    place: String,
    stay: Stay,
}

/// A job that waits for workers.
struct Waiting {
    job: Peer,
    order: Box<JobOrder>,
    /// Where it goes on, if it does not begin.
    found: Option<Box<Found>>,
}

/// The lobby.
pub struct Lobby {
    config: LobbyConfig,
    workers: BTreeMap<Peer, Worker>,
    waiting: Option<Waiting>,
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
                let plural = if cores == 1 { "" } else { "s" };
                actions.push(LobbyAction::Log(format!("worker {place} joined, {cores} core{plural}")));
                self.workers.insert(peer, Worker { cores, place, stay: Stay::Staying });
                self.fill_seats(actions);
                self.begin_waiting(actions);
            }
            LobbyEvent::Job { peer, order, found } => self.order(peer, (order, found), actions),
            LobbyEvent::Ready { peer, round, listening } => self.ready(now, peer, round, listening, actions),
            LobbyEvent::Failed { peer, round, why } => {
                if self.run.as_ref().is_some_and(|run| run.round == round) {
                    self.end_run(Ended::Failed(format!("{} failed: {why}", self.place(peer))), actions);
                }
            }
            LobbyEvent::Note { peer, note } => {
                let note = format!("{}: {note}", self.place(peer));
                actions.push(LobbyAction::Log(note.clone()));
                actions.extend(self.job().map(|job| LobbyAction::Tell(job, FromMaster::Note(note))));
            }
            LobbyEvent::Finished { peer } => {
                if self.run.as_ref().is_some_and(|run| run.job == peer) {
                    actions.push(LobbyAction::Forget);
                    self.end_run(Ended::WellDone, actions);
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

    /// The run that is under way, or was last.
    pub fn round(&self) -> u64 {
        self.rounds
    }

    /// Whether no job runs or waits.
    pub fn is_idle(&self) -> bool {
        self.run.is_none() && self.waiting.is_none()
    }

    fn order(
        &mut self,
        peer: Peer,
        (order, found): (Box<JobOrder>, Result<Option<Box<Found>>, String>),
        actions: &mut Vec<LobbyAction>,
    ) {
        let name = order.job.name.clone();
        match self.may_begin(&order, found) {
            Err(why) => return actions.push(LobbyAction::Refuse(peer, why)),
            Ok(found) => {
                let from = found.as_ref().map_or("it begins".to_string(), |found| {
                    format!("it goes on from interval {}, in life {}", found.next(), found.kept.lives + 2)
                });
                let note = format!("job `{name}` asked for; {from}");
                actions.push(LobbyAction::Log(note));
                self.waiting = Some(Waiting { job: peer, order, found });
            }
        }
        self.begin_waiting(actions);
    }

    /// Where the job goes on, if it does not begin; or why it may do neither.
    fn may_begin(
        &self,
        order: &JobOrder,
        found: Result<Option<Box<Found>>, String>,
    ) -> Result<Option<Box<Found>>, String> {
        let running = self.run.as_ref().map(|run| &run.cluster.job.name);
        let busy = running.or(self.waiting.as_ref().map(|waiting| &waiting.order.job.name));
        if self.draining {
            return Err("the master is about to end".to_string());
        }
        if let Some(name) = busy {
            return Err(format!("the cluster runs the job `{name}`; it runs one job at a time"));
        }
        if order.fresh {
            return Ok(None);
        }
        let Some(found) = found? else { return Ok(None) };
        let before = &found.kept.order;
        match order.differs(before) {
            None => Ok(Some(found)),
            Some(what) => Err(format!(
                "the store {} has the job `{}`, which goes on from interval {}, and {what} was another one; ask for it \
                 in the same words, or give it up with `--fresh`",
                self.config.store,
                before.job.name,
                found.next()
            )),
        }
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
        let begins = self.run.is_none() && free.len() >= self.config.workers;
        let Some(Waiting { job, order, found }) = self.waiting.take_if(|_| begins) else {
            if let Some(Waiting { job, .. }) = &self.waiting {
                let note = format!("waiting for workers: {} of {}", free.len(), self.config.workers);
                actions.push(LobbyAction::Tell(*job, FromMaster::Note(note)));
            }
            return;
        };
        self.rounds += 1;
        let cores = free.iter().map(|peer| self.workers[peer].cores).min().unwrap_or(1);
        let workers = u32::try_from(free.len()).expect("a door has far fewer guests");
        let run = found.as_ref().map_or(self.config.seed.wrapping_add(self.rounds), |found| found.kept.run);
        let laid_out = (self.config.lay_out)(&order, workers, cores, run);
        let partitions = found.as_ref().map_or(laid_out.partitions, |found| found.kept.partitions);
        let cluster = self.config.given.cluster(ClusterSpec { partitions, ..laid_out });
        let lives = found.as_ref().map_or(0, |found| found.kept.lives + 1);
        let order = JobOrder { fresh: false, ..*order };
        let kept = Kept { run, order, partitions, lives };
        let (before, progress) = found.map_or((None, None), |found| (Some(found.kept.order), found.progress));
        let before = before.filter(|before| *before != kept.order);
        actions.push(LobbyAction::Keep(Box::new(kept.clone())));
        let numbered = (1..=workers).map(Role::Worker).zip(free);
        let places = [(Role::Master, HERE), (Role::Sink, job), (Role::Client(1), job)].into_iter().chain(numbered);
        // Who takes up a place within this life comes between this life's first and the next one's.
        let incarnation = 1 + (lives << LIFE_BITS);
        let seat = |peer| Seat { peer: Some(peer), incarnation, address: None, begun: false };
        let seats: BTreeMap<NodeName, Seat> = places.map(|(role, peer)| (role.name(), seat(peer))).collect();
        let round = self.rounds;
        let options = self.config.given.options(&cluster);
        let (began, copies_lack) = (None, false);
        self.run = Some(Run { round, job, cluster, kept, progress, before, options, seats, began, copies_lack });
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
        if self.waiting.take_if(|waiting| waiting.job == peer).is_some() {
            actions.push(LobbyAction::Log("the job that waited is gone".to_string()));
        }
        let Some(run) = &self.run else { return };
        if run.job == peer {
            self.end_run(Ended::Failed("the job's process is gone; asked for again, it goes on".to_string()), actions);
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
        actions.extend(run.peers().filter(|peer| *peer != run.job).map(|peer| run.stop(peer, Ended::WellDone)));
        let Run { job, kept, progress, .. } = run;
        let order = Box::new(kept.order.clone());
        self.waiting = Some(Waiting { job, order, found: Some(Box::new(Found { kept, progress })) });
        self.begin_waiting(actions);
    }

    fn end_run(&mut self, ended: Ended, actions: &mut Vec<LobbyAction>) {
        let Some(run) = self.run.take() else { return };
        let how = match &ended {
            Ended::WellDone => "ended".to_string(),
            Ended::Rests => "rests in the store: started again there and asked for again, it goes on".to_string(),
            Ended::Failed(why) => format!("was stopped: {why}"),
        };
        actions.push(LobbyAction::Log(format!("job `{}` {how}", run.cluster.job.name)));
        actions.extend(run.peers().map(|peer| run.stop(peer, ended.clone())));
        if let (Ended::Failed(why), Some(before)) = (&ended, run.before)
            && is_refusal(why)
        {
            // What was refused has changed nothing in the store: what rests there is what rested there.
            actions.push(LobbyAction::Keep(Box::new(Kept { order: before, ..run.kept })));
        }
        self.let_go(actions);
        if self.draining {
            actions.push(LobbyAction::End);
        }
    }

    /// The master is to end: the job that runs goes on when it is started again.
    fn drain(&mut self, actions: &mut Vec<LobbyAction>) {
        self.draining = true;
        if let Some(Waiting { job, .. }) = self.waiting.take() {
            actions.push(LobbyAction::Refuse(job, "the master is about to end".to_string()));
        }
        match &self.run {
            Some(_) => self.end_run(Ended::Rests, actions),
            None => actions.push(LobbyAction::End),
        }
    }
}

mod leaving;
mod run;

#[cfg(test)]
mod tests;
