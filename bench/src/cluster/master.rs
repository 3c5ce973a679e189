//! `dstream master`: the door where workers and jobs meet, and the node that decides while a job runs.
//!
//! The shell around the [lobby](super::lobby). Invariants: at most [`GUESTS_MAX`] connections are open, and one that has
//! not said who it is has little room and little time; the door answers while a node starts or ends.

#![expect(clippy::disallowed_types, reason = "processes of a real cluster meet on real sockets")]

use super::door::{HELLO_WITHIN, SILENCE_MAX, WORDS_MAX, hear, pause, say};
use super::keep::{Found, Keeper};
use super::lobby::{HERE, Lobby, LobbyAction, LobbyConfig, LobbyEvent, Peer};
use super::nodes::{NodeNews, Nodes, Outlet};
use super::options::Given;
use super::tap::EventTap;
use super::word::{Ear, FromMaster, Guest, HELLO_BYTES_MAX, Heard, ToMaster, WORD_BYTES_MAX, refusal_frame, to_frame};
use super::{build, signalled};
use crate::command_line::MasterArgs;
use crate::console;
use crate::failure::{Ending, Failure};
use crate::job::lay_out_on_cluster;
use crate::setup::Setup;
use crate::store::StorePlace;
use bytes::Bytes;
use dstream_cluster::Engine;
use dstream_host::real::{Began, monotonic_ns};
use dstream_trace::{Event, TraceLine};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Connections at a time, whoever they are.
const GUESTS_MAX: usize = 256;

/// News that wait for the lobby.
const NEWS_MAX: usize = 1024;

/// How long the end waits for processes that have not heard it.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Runs the door until a signal ends it.
pub fn master(args: &MasterArgs, setup: &Setup) -> Result<Ending, Failure> {
    console::begin_role("master");
    let address = args.listen.as_str();
    let failed = |error: std::io::Error| Failure::usage(format!("`--listen {address}`: cannot listen there: {error}"));
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let build = build()?;
    // No two masters, one after the other or side by side, find what another one left.
    let life = [u64::from(std::process::id()), monotonic_ns(), build].map(u64::to_le_bytes).concat();
    let seed = xxhash_rust::xxh3::xxh3_64(&life);
    let keeper = Keeper::open(place(args)?)?;
    let config = LobbyConfig {
        workers: args.workers,
        store: keeper.place().clone(),
        seed,
        lay_out: lay_out_on_cluster,
        given: Given::read(&args.set, &setup.job_engine()?.options())?,
    };
    let signal = signalled("the master ends; a job that runs rests in the store until it is started again");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::broken(format!("the system has no room for a master: {error}")))?;
    let engine = setup.job_engine()?;
    console::log(&format!("master of the cluster `{}` on {bound}", args.cluster));
    runtime.block_on(async {
        if args.fresh {
            keeper.forget().await.map_err(Failure::usage)?;
        }
        say_what_rests(&keeper, keeper.find(&*engine).await.map_err(Failure::usage)?);
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let (tap, events) = EventTap::new();
        let (nodes, outlet) = Nodes::new(engine.clone(), setup.workloads.clone(), tap.clone());
        let door =
            Door { build, cluster: args.cluster.clone(), ip: bound.ip(), sender, next: HERE, open: 0, closed: 0 };
        let host = HostShell {
            lobby: Lobby::new(config),
            keeper,
            engine,
            guests: BTreeMap::new(),
            nodes,
            tap,
            events,
            ip: bound.ip(),
            began: Began::now(),
            pending: VecDeque::new(),
        };
        serve(listener, door, host, Inlets { news, outlet, signal }).await
    })
}

/// Where this cluster has its store: the same for each life of its master, and for all its processes.
fn place(args: &MasterArgs) -> Result<StorePlace, Failure> {
    let wrong = |why: String| Failure::usage(format!("`--store`: {why}"));
    let place = match StorePlace::read(&args.store).map_err(wrong)? {
        StorePlace::Folder(folder) => {
            StorePlace::Folder(std::path::absolute(folder).map_err(|error| wrong(error.to_string()))?)
        }
        elsewhere => elsewhere,
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let letters =
        |letter: char| if is_plain(letter) { letter.to_string() } else { format!("%{:x}", u32::from(letter)) };
    Ok(place.join(&format!("cluster-{}", args.cluster.chars().map(letters).collect::<String>())))
}

fn say_what_rests(keeper: &Keeper, found: Option<Found>) {
    let place = keeper.place();
    console::log(&match found {
        Some(found) => format!(
            "the store {place} has the job `{}`: asked for again, it goes on from interval {}",
            found.kept.order.job.name,
            found.next()
        ),
        None => format!("the store {place} has no job: the next one begins"),
    });
}

/// Who may come in, and the way to the lobby.
struct Door {
    build: u64,
    cluster: String,
    ip: IpAddr,
    sender: mpsc::Sender<News>,
    next: Peer,
    open: usize,
    /// Connections that were closed since there was no room.
    closed: u64,
}

/// What comes from a connection.
enum News {
    /// Somebody who may come in.
    Admitted { peer: Peer, guest: Guest, from: SocketAddr, here: IpAddr, words: mpsc::Sender<Bytes> },
    /// It said something.
    Said(Peer, ToMaster),
    /// It is gone.
    Gone(Peer),
}

/// Everything that can happen to the shell, beside new connections.
struct Inlets {
    news: mpsc::Receiver<News>,
    outlet: Outlet,
    signal: watch::Receiver<bool>,
}

async fn serve(
    listener: TcpListener,
    mut door: Door,
    mut host: HostShell,
    mut inlets: Inlets,
) -> Result<Ending, Failure> {
    let mut drained = false;
    loop {
        let is_over = tokio::select! {
            biased;
            Ok(_) = inlets.signal.wait_for(|raised| *raised), if !drained => {
                drained = true;
                host.step(LobbyEvent::Drain).await
            }
            Some(line) = host.events.recv() => host.happened(line).await,
            Some(news) = inlets.outlet.recv() => host.step(match news {
                NodeNews::Failed { round, why } => LobbyEvent::Failed { peer: HERE, round, why },
                NodeNews::Left { round } => LobbyEvent::Left { peer: HERE, round }, // it is asked of workers only
                NodeNews::Note(note) => LobbyEvent::Note { peer: HERE, note },
            }).await,
            Some(news) = inlets.news.recv() => {
                if matches!(news, News::Gone(_)) {
                    door.leave();
                }
                host.news(news).await
            }
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, from)) => door.receive(stream, from),
                    Err(error) => {
                        console::log(&format!("a connection could not be accepted: {error}"));
                        super::door::pause(super::REST).await;
                    }
                }
                false
            }
        };
        if is_over {
            host.nodes.stop();
            farewell(&mut door, host, &mut inlets.news).await;
            return Ok(Ending::Good);
        }
    }
}

/// Lets the last words out: who has heard them closes its connection.
async fn farewell(door: &mut Door, host: HostShell, news: &mut mpsc::Receiver<News>) {
    drop(host);
    let all_are_gone = async {
        while door.open > 0 {
            match news.recv().await {
                Some(News::Gone(_)) => door.leave(),
                Some(_) => {}
                None => return,
            }
        }
    };
    tokio::select! {
        biased;
        () = all_are_gone => {}
        () = pause(FAREWELL_MAX) => {}
    }
}

impl Door {
    fn leave(&mut self) {
        self.open -= 1;
        if self.closed > 1 {
            console::log(&format!("{} connections were closed because {GUESTS_MAX} were open", self.closed));
        }
        self.closed = 0;
    }

    fn receive(&mut self, stream: TcpStream, from: SocketAddr) {
        if self.open >= GUESTS_MAX {
            if self.closed == 0 {
                console::log(&format!("{GUESTS_MAX} connections are open: closed the one from {from}"));
            }
            self.closed += 1;
            return;
        }
        self.open += 1;
        self.next += 1;
        let (peer, build, cluster, sender) = (self.next, self.build, self.cluster.clone(), self.sender.clone());
        let ip = self.ip;
        tokio::spawn(async move {
            if let Err(why) = guest(stream, from, peer, ip, build, &cluster, &sender).await {
                console::log(&format!("{from}: {why}"));
            }
            // Where the master has ended, nobody counts any more.
            let _ = sender.send(News::Gone(peer)).await;
        });
    }
}

/// One guest's stay, from its hello to its end.
async fn guest(
    mut stream: TcpStream,
    from: SocketAddr,
    peer: Peer,
    ip: IpAddr,
    build: u64,
    cluster: &str,
    news: &mpsc::Sender<News>,
) -> Result<(), String> {
    let refused = |why: String| format!("refused: {why}");
    stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
    let mut ear = Ear::new(HELLO_BYTES_MAX);
    let hello = match hear::<ToMaster>(&mut stream, &mut ear, HELLO_WITHIN).await.map_err(refused)? {
        Heard::Hello(hello) => hello,
        _ => return Err(refused("it did not say hello".to_string())),
    };
    let here = if ip.is_unspecified() { stream.local_addr().map_or(ip, |address| address.ip()) } else { ip };
    let (mut read, write) = stream.into_split();
    let (words, waiting) = mpsc::channel(WORDS_MAX);
    tokio::spawn(say(write, waiting));
    let guest = match hello.admit(build, cluster) {
        Ok(guest) => guest,
        Err(why) => {
            // The queue is new: there is room.
            words.try_send(refusal_frame(&why)).ok();
            return Err(refused(why));
        }
    };
    let rest = std::mem::take(&mut ear.buffer);
    let mut ear = Ear::new(WORD_BYTES_MAX);
    ear.buffer = rest;
    let tell = async |what| news.send(what).await.map_err(|_| "the master ends".to_string());
    tell(News::Admitted { peer, guest, from, here, words }).await?;
    loop {
        match hear::<ToMaster>(&mut read, &mut ear, SILENCE_MAX).await {
            Ok(Heard::Ping) => {}
            Ok(Heard::Word(word)) => tell(News::Said(peer, word)).await?,
            Ok(Heard::Hello(_) | Heard::Refused(_)) => return Err("it spoke out of turn".to_string()),
            Err(_) => return Ok(()), // the lobby says who is gone
        }
    }
}

struct GuestHere {
    words: mpsc::Sender<Bytes>,
    /// This machine's address as the guest sees it.
    here: IpAddr,
}

/// The lobby, and what it acts on.
struct HostShell {
    lobby: Lobby,
    keeper: Keeper,
    engine: Arc<dyn Engine>,
    guests: BTreeMap<Peer, GuestHere>,
    nodes: Nodes,
    /// Events of the master's own node.
    tap: Arc<EventTap>,
    events: mpsc::Receiver<TraceLine>,
    /// Where the master's nodes listen.
    ip: IpAddr,
    began: Began,
    pending: VecDeque<LobbyEvent>,
}

impl HostShell {
    async fn news(&mut self, news: News) -> bool {
        match news {
            News::Admitted { peer, guest, from, here, words } => {
                self.guests.insert(peer, GuestHere { words, here });
                match guest {
                    Guest::Worker { cores } => {
                        self.step(LobbyEvent::Worker { peer, cores, place: from.to_string() }).await
                    }
                    Guest::Job => false, // its order follows
                }
            }
            News::Said(peer, ToMaster::Order(order)) => {
                // Who is refused anyway needs no look at the store, where a job may be writing.
                let found = if self.lobby.is_idle() { self.keeper.find(&*self.engine).await } else { Ok(None) };
                self.step(LobbyEvent::Job { peer, order, found: found.map(|found| found.map(Box::new)) }).await
            }
            News::Said(peer, word) => {
                let event = match word {
                    ToMaster::Order(_) => return false, // taken above
                    ToMaster::Ready { round, listening } => LobbyEvent::Ready { peer, round, listening },
                    ToMaster::Failed { round, why } => LobbyEvent::Failed { peer, round, why },
                    ToMaster::Note(note) => LobbyEvent::Note { peer, note },
                    ToMaster::Finished => LobbyEvent::Finished { peer },
                    ToMaster::Goodbye => LobbyEvent::Goodbye { peer },
                    ToMaster::Left { round } => LobbyEvent::Left { peer, round },
                };
                self.step(event).await
            }
            News::Gone(peer) => {
                self.guests.remove(&peer);
                self.step(LobbyEvent::Gone { peer }).await
            }
        }
    }

    /// An event of the master's own node.
    async fn happened(&mut self, line: TraceLine) -> bool {
        let TraceLine { at, node, event, .. } = line;
        let below = if let Event::CopiesBelow { blocks } = event { Some(blocks) } else { None };
        if let Some(job) = self.lobby.job() {
            self.tell(job, FromMaster::Happened { at, node, event });
        }
        if self.tap.is_overrun() {
            let why = "more happened than the job could be told".to_string();
            self.pending.push_back(LobbyEvent::Failed { peer: HERE, round: self.nodes.round(), why });
        }
        self.pending.extend(below.map(LobbyEvent::CopiesBelow));
        self.step_pending().await
    }

    /// Takes the event and what follows from it. True if the master may end.
    async fn step(&mut self, event: LobbyEvent) -> bool {
        self.pending.push_back(event);
        self.step_pending().await
    }

    async fn step_pending(&mut self) -> bool {
        let mut is_over = false;
        while let Some(event) = self.pending.pop_front() {
            let mut actions = Vec::new();
            self.lobby.step(self.began.elapsed(), event, &mut actions);
            for action in actions {
                match action {
                    LobbyAction::Tell(HERE, word) => self.obey(word),
                    LobbyAction::Tell(peer, word) => self.tell(peer, word),
                    LobbyAction::Refuse(peer, why) => {
                        if let Some(guest) = self.guests.remove(&peer) {
                            // Where there is no room for a refusal, the closed connection is one.
                            guest.words.try_send(refusal_frame(&why)).ok();
                        }
                        console::log(&format!("refused a job: {why}"));
                    }
                    LobbyAction::Log(text) => console::log(&text),
                    LobbyAction::Keep(kept) => {
                        if let Err(why) = self.keeper.keep(&kept).await {
                            let round = self.lobby.round();
                            self.pending.push_back(LobbyEvent::Failed { peer: HERE, round, why });
                        }
                    }
                    LobbyAction::Forget => {
                        if let Err(why) = self.keeper.forget().await {
                            console::log(&format!("{why}: what the job left there stays, and `--fresh` gives it up"));
                        }
                    }
                    LobbyAction::End => is_over = true,
                }
            }
        }
        is_over
    }

    fn tell(&mut self, peer: Peer, mut word: FromMaster) {
        let Some(guest) = self.guests.get(&peer) else { return };
        match &mut word {
            FromMaster::Begin(beginning) => {
                beginning.addresses.iter_mut().for_each(|(_, address)| see_from(address, guest.here));
            }
            FromMaster::Enter { address, .. } => see_from(address, guest.here),
            _ => {}
        }
        if guest.words.try_send(to_frame(&word)).is_err() {
            // It takes nothing any more, or its queue is full: it is of no use.
            self.guests.remove(&peer);
            self.pending.push_back(LobbyEvent::Gone { peer });
        }
    }

    /// What the lobby says to the master's own process.
    fn obey(&mut self, word: FromMaster) {
        let follows = match word {
            FromMaster::Prepare { round, nodes } => {
                let prepared = self.nodes.prepare(round, nodes, self.ip);
                Some(match prepared {
                    Ok(listening) => LobbyEvent::Ready { peer: HERE, round, listening },
                    Err(error) => LobbyEvent::Failed { peer: HERE, round, why: format!("it cannot listen: {error}") },
                })
            }
            FromMaster::Begin(beginning) => {
                let round = beginning.round;
                self.nodes.begin(*beginning).err().map(|why| LobbyEvent::Failed { peer: HERE, round, why })
            }
            FromMaster::Enter { node, address } => {
                self.nodes.enter(&node, address);
                None
            }
            FromMaster::Stop { .. } => {
                self.nodes.stop();
                // What is left of this run must not be told to the next job.
                while self.events.try_recv().is_ok() {}
                None
            }
            _ => None,
        };
        self.pending.extend(follows);
    }
}

/// An address that names every interface of this machine is of use to nobody else.
fn see_from(address: &mut SocketAddr, here: IpAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(here);
    }
}
