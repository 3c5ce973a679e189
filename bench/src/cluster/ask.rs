//! A job's side of the cluster: it brings its order to the master's door, is client and sink of the run, and learns
//! what happens.
//!
//! A thread of its own talks to the master; the job's main thread looks at the [`Board`]. Invariant: once the run is
//! over, well or not, nothing waits on the board.

#![expect(clippy::disallowed_types, reason = "processes of a real cluster meet on real sockets")]

use super::door::{SILENCE_MAX, WORDS_MAX, hear, pause, say};
use super::nodes::{NodeNews, Nodes};
use super::tap::{Refusals, is_wanted};
use super::word::{
    Ear, Ended, FromMaster, Guest, Heard, Hello, JobOrder, ToMaster, WORD_BYTES_MAX, hello_frame, to_frame,
};
use super::{REST, build};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use dstream_cluster::{Engine, Progress, Registry};
use dstream_host::real::{Began, Journal};
use dstream_host::world::is_refusal;
use dstream_trace::{Event, Moment, NodeName, TraceLine};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Dials before a job gives up: with the rest between them about half a minute, time to start a master.
const DIALS_MAX: u32 = 150;

/// How long the end waits for the master's word.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// A run that has begun, or goes on.
#[derive(Clone, Debug)]
pub struct Begun {
    /// When its clock began.
    pub began: Began,
    /// Tells it from all others, in each of its lives.
    pub run: u64,
    /// How far earlier lives had come; nothing where it begins.
    pub progress: Option<Progress>,
}

#[derive(Default)]
struct State {
    began: Option<Begun>,
    lines: Vec<TraceLine>,
    over: Option<Result<(), Failure>>,
}

/// What the job's main thread waits for.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
    refusals: Refusals,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Whoever waits looks again.
    pub fn wake(&self) {
        self.change(|_| {});
    }

    fn end(&self, how: Result<(), Failure>) {
        self.change(|state| _ = state.over.get_or_insert(how));
    }
}

impl Journal for Board {
    fn write(&self, at: Moment, node: &NodeName, event: Event) {
        self.refusals.note(node, &event);
        if is_wanted(&event) {
            let node = node.clone();
            self.change(|state| state.lines.push(TraceLine { at, sequence: 0, node, event }));
        }
    }

    fn poll_kept(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// What a job brings to the door.
pub struct Asked {
    /// The master's address.
    pub master: String,
    /// The cluster's name.
    pub cluster: String,
    /// What is to be run.
    pub order: JobOrder,
    /// The engine that runs it.
    pub engine: Arc<dyn Engine>,
    /// Jobs and the source.
    pub registry: Arc<dyn Registry>,
}

/// A run on a cluster, as the job's main thread sees it.
pub struct Remote {
    board: Arc<Board>,
    finished: mpsc::Sender<()>,
}

impl Remote {
    /// Asks the master for a run. The answers come to the board.
    pub fn ask(asked: Asked, board: Arc<Board>) -> Result<Remote, Failure> {
        let broken = |error: std::io::Error| Failure::broken(format!("the system has no room for a client: {error}"));
        let hello = Hello::new(build()?, &asked.cluster, Guest::Job);
        let (finished, is_finished) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let session_board = board.clone();
        let body = move || {
            let ended = runtime.block_on(session(asked, hello, &session_board, is_finished));
            session_board.end(ended);
        };
        std::thread::Builder::new().name("cluster".into()).spawn(body).map_err(broken)?;
        Ok(Remote { board, finished })
    }

    /// Waits until the run begins; nothing if `stop` was raised first.
    pub fn begun(&self, stop: &Interrupt) -> Result<Option<Begun>, Failure> {
        let waits = |state: &mut State| state.began.is_none() && state.over.is_none() && !stop.is_raised();
        let state = self.board.changed.wait_while(self.board.state(), waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        match &state.over {
            Some(Err(failure)) => Err(failure.clone()),
            _ => Ok(state.began.clone()),
        }
    }

    /// What happened since the last look; waits for something until `limit`, if it must. And whether the run goes on.
    pub fn look(&self, limit: Duration) -> (Vec<TraceLine>, Result<(), Failure>) {
        let waits = |state: &mut State| state.lines.is_empty() && state.over.is_none();
        let waited = self.board.changed.wait_timeout_while(self.board.state(), limit, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let lines = std::mem::take(&mut state.lines);
        let how = match &state.over {
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(())) => Err(Failure::broken("the master ended the run before its time")),
            None => Ok(()),
        };
        (lines, how)
    }

    /// Everything is in a result: tells the master, and waits for its word so that its workers are free when this
    /// process ends.
    pub fn finish(&self) {
        // A session that has ended needs no telling.
        self.finished.try_send(()).ok();
        let waits = |state: &mut State| state.over.is_none();
        drop(self.board.changed.wait_timeout_while(self.board.state(), FINISH_LIMIT, waits));
    }
}

async fn dial(master: &str) -> Result<TcpStream, Failure> {
    let mut number = 1;
    loop {
        match TcpStream::connect(master).await {
            Ok(stream) => return Ok(stream),
            Err(error) if number == DIALS_MAX => {
                return Err(Failure::usage(format!("`--master {master}`: nobody answers there: {error}")));
            }
            Err(error) if number == 1 => console::log(&format!("no master at {master} yet ({error}); trying again")),
            Err(_) => {}
        }
        number += 1;
        pause(REST).await;
    }
}

/// The job is not over, and nothing is lost.
fn interrupted(what: String) -> Failure {
    let message = format!(
        "{what}; the job rests in the master's store: when a master is there again, with the same `--store`, the \
         same command goes on with it"
    );
    Failure { ending: Ending::Undecided, message }
}

/// Talks to the master until the run is over.
async fn session(
    asked: Asked,
    hello: Hello,
    board: &Arc<Board>,
    mut is_finished: mpsc::Receiver<()>,
) -> Result<(), Failure> {
    let Asked { master, order, engine, registry, .. } = asked;
    let gone = |why: String| {
        interrupted(format!(
            "the master at {master} is gone ({why}): it was killed, or its machine or the way there failed"
        ))
    };
    let stream = dial(&master).await?;
    stream.set_nodelay(true).map_err(|error| gone(error.to_string()))?;
    let ip = stream.local_addr().map_err(|error| gone(error.to_string()))?.ip();
    let (mut read, write) = stream.into_split();
    let (words, waiting) = mpsc::channel(WORDS_MAX);
    tokio::spawn(say(write, waiting));
    let tell = |bytes| words.try_send(bytes).map_err(|_| gone("it takes no words".to_string()));
    tell(hello_frame(&hello))?;
    tell(to_frame(&ToMaster::Order(Box::new(order))))?;
    let (nodes, mut outlet) = Nodes::new(engine, registry, board.clone());
    let mut client = Client { nodes, ip, board };
    let mut ear = Ear::new(WORD_BYTES_MAX);
    loop {
        let heard = tokio::select! {
            biased;
            Some(()) = is_finished.recv() => {
                tell(to_frame(&ToMaster::Finished))?;
                continue;
            }
            Some(news) = outlet.recv() => match news {
                // The client fails when its source does: that is the user's to mend.
                NodeNews::Failed { why, .. } => return Err(Failure::usage(why)),
                // It keeps nothing in the store, and nobody asks it to leave.
                NodeNews::Note(_) | NodeNews::Left { .. } => continue,
            },
            heard = hear::<FromMaster>(&mut read, &mut ear, SILENCE_MAX) => heard,
        };
        match heard.map_err(gone)? {
            Heard::Refused(why) => return Err(Failure::usage(format!("refused by {master}: {why}"))),
            Heard::Word(FromMaster::Stop { how: Ended::WellDone, .. }) => return Ok(()),
            Heard::Word(FromMaster::Stop { how: Ended::Rests, .. }) => {
                return Err(interrupted(format!("the master at {master} was asked to end")));
            }
            Heard::Word(FromMaster::Stop { how: Ended::Failed(why), .. }) if is_refusal(&why) => {
                return Err(Failure::usage(format!("{why}; `--fresh` gives it up, and begins")));
            }
            Heard::Word(FromMaster::Stop { how: Ended::Failed(why), .. }) => return Err(Failure::broken(why)),
            Heard::Word(word) => {
                if let Some(answer) = client.obey(word) {
                    tell(to_frame(&answer))?;
                }
            }
            Heard::Ping | Heard::Hello(_) => {}
        }
    }
}

/// The job's own nodes, and what it learns.
struct Client<'a> {
    nodes: Nodes,
    ip: IpAddr,
    board: &'a Board,
}

impl Client<'_> {
    fn obey(&mut self, word: FromMaster) -> Option<ToMaster> {
        match word {
            FromMaster::Prepare { round, nodes } => Some(match self.nodes.prepare(round, nodes, self.ip) {
                Ok(listening) => ToMaster::Ready { round, listening },
                Err(error) => ToMaster::Failed { round, why: format!("it cannot listen: {error}") },
            }),
            FromMaster::Begin(beginning) => {
                let (round, workers) = (beginning.round, beginning.cluster.workers);
                let (run, progress) = (beginning.cluster.seed, beginning.progress.clone());
                match self.nodes.begin(*beginning) {
                    Ok(began) => {
                        console::log(&format!("runs on {workers} workers"));
                        self.board.change(|state| state.began = Some(Begun { began, run, progress }));
                        None
                    }
                    Err(why) => Some(ToMaster::Failed { round, why }),
                }
            }
            FromMaster::Enter { node, address } => {
                self.nodes.enter(&node, address);
                None
            }
            FromMaster::Happened { at, node, event } => {
                self.board.write(at, &node, event);
                None
            }
            FromMaster::Note(text) => {
                console::log(&text);
                None
            }
            FromMaster::Stop { .. } | FromMaster::HandOn | FromMaster::MayLeave => None,
        }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.nodes.stop();
    }
}
