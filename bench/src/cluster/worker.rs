//! `dstream worker`: waits at a master's door for work, and is a worker of each run that the master makes it part of.
//!
//! ```text
//! dialling --let in--> idle --Prepare, Begin--> working --Stop--> idle
//!    ^                   +----- connection gone -----+
//!    +-----------------------------------------------+
//! SIGTERM: at once where nothing is lost by it; else when what others need of it is handed on
//! ```
//! Invariant: without the master no node of a run lives here.

#![expect(clippy::disallowed_types, reason = "processes of a real cluster meet on real sockets")]

use super::door::{SILENCE_MAX, WORDS_MAX, hear, pause, say};
use super::nodes::{NodeNews, Nodes, Outlet};
use super::tap::EventTap;
use super::word::{Ear, Ended, FromMaster, Guest, Heard, Hello, ToMaster, WORD_BYTES_MAX, hello_frame, to_frame};
use super::{REST, build, signalled};
use crate::command_line::WorkerArgs;
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use bytes::Bytes;
use std::net::IpAddr;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// Runs until the master lets it go.
pub fn worker(args: &WorkerArgs, setup: &Setup) -> Result<Ending, Failure> {
    console::begin_role("worker");
    let broken = |error: std::io::Error| Failure::broken(format!("the system has no room for a worker: {error}"));
    let names_a_port = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    if !args.master.rsplit_once(':').is_some_and(names_a_port) {
        let what = "valid is HOST:PORT, such as `127.0.0.1:7077`";
        return Err(Failure::usage(format!("`--master {}`: {what}", args.master)));
    }
    let cores = match args.cores {
        Some(cores) => cores,
        None => u32::try_from(std::thread::available_parallelism().map_err(broken)?.get()).unwrap_or(1),
    };
    let hello = Hello::new(build()?, &args.cluster, Guest::Worker { cores });
    let mut signal = signalled("the worker leaves when the job can do without it");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let engine = setup.job_engine()?;
    runtime.block_on(async {
        // Its events are the master's and the job's to know.
        let (tap, _nobody) = EventTap::new();
        let (mut nodes, mut outlet) = Nodes::new(engine, setup.workloads.clone(), tap);
        loop {
            let dialled = tokio::select! {
                biased;
                Ok(_) = signal.wait_for(|raised| *raised) => return Ok(Ending::Good),
                stream = dial(&args.master) => stream,
            };
            let stayed = stay(dialled, &hello, &mut nodes, &mut outlet, &mut signal).await;
            nodes.stop();
            match stayed {
                Ok(()) => return Ok(Ending::Good),
                Err(Why::Refused(why)) => return Err(Failure::usage(format!("refused by {}: {why}", args.master))),
                Err(Why::Gone(why)) => {
                    console::log(&format!("the master at {} is gone ({why}); dialling again", args.master))
                }
            }
        }
    })
}

/// Dials until somebody answers: processes start in any order.
async fn dial(master: &str) -> TcpStream {
    let mut said = false;
    loop {
        match TcpStream::connect(master).await {
            Ok(stream) => return stream,
            Err(error) if !said => {
                console::log(&format!("no master at {master} yet ({error}); trying again until one is"))
            }
            Err(_) => {}
        }
        said = true;
        pause(REST).await;
    }
}

/// Why a stay ended that should not have.
enum Why {
    Refused(String),
    Gone(String),
}

/// One stay at the door, until the master lets it go.
async fn stay(
    stream: TcpStream,
    hello: &Hello,
    nodes: &mut Nodes,
    outlet: &mut Outlet,
    signal: &mut watch::Receiver<bool>,
) -> Result<(), Why> {
    let gone = |error: std::io::Error| Why::Gone(error.to_string());
    stream.set_nodelay(true).map_err(gone)?;
    let ip = stream.local_addr().map_err(gone)?.ip();
    let (mut read, write) = stream.into_split();
    let (words, waiting) = mpsc::channel(WORDS_MAX);
    tokio::spawn(say(write, waiting));
    let tell = |bytes: Bytes| words.try_send(bytes).map_err(|_| Why::Gone("it takes no words".to_string()));
    tell(hello_frame(hello))?;
    let mut ear = Ear::new(WORD_BYTES_MAX);
    let mut leaving = false;
    let mut met = false;
    loop {
        let heard = tokio::select! {
            biased;
            Ok(_) = signal.wait_for(|raised| *raised), if !leaving => {
                leaving = true;
                tell(to_frame(&ToMaster::Goodbye))?;
                continue;
            }
            Some(news) = outlet.recv() => {
                match news {
                    NodeNews::Failed { round, why } if round == nodes.round() => {
                        console::log(&format!("its node failed: {why}"));
                        tell(to_frame(&ToMaster::Failed { round, why }))?;
                    }
                    NodeNews::Left { round } if round == nodes.round() => {
                        console::log("what others need of it is handed on");
                        tell(to_frame(&ToMaster::Left { round }))?;
                    }
                    NodeNews::Failed { .. } | NodeNews::Left { .. } => {} // it was ended
                    NodeNews::Note(note) => {
                        console::log(&note);
                        tell(to_frame(&ToMaster::Note(note)))?;
                    }
                }
                continue;
            }
            heard = hear::<FromMaster>(&mut read, &mut ear, SILENCE_MAX) => heard,
        };
        let heard = heard.map_err(Why::Gone)?;
        if !met && !matches!(heard, Heard::Refused(_)) {
            met = true;
            console::log("joined the master");
        }
        match heard {
            Heard::Refused(why) => return Err(Why::Refused(why)),
            Heard::Word(FromMaster::MayLeave) => return Ok(()),
            Heard::Word(word) => {
                if let Some(answer) = obey(word, nodes, ip) {
                    tell(to_frame(&answer))?;
                }
            }
            Heard::Ping | Heard::Hello(_) => {}
        }
    }
}

/// Does what the master says; answers what it is to be told.
fn obey(word: FromMaster, nodes: &mut Nodes, ip: IpAddr) -> Option<ToMaster> {
    match word {
        FromMaster::Prepare { round, nodes: names } => Some(match nodes.prepare(round, names, ip) {
            Ok(listening) => ToMaster::Ready { round, listening },
            Err(error) => ToMaster::Failed { round, why: format!("it cannot listen: {error}") },
        }),
        FromMaster::Begin(beginning) => {
            let round = beginning.round;
            console::log(&format!("works for the job `{}`", beginning.cluster.job.name));
            nodes.begin(*beginning).err().map(|why| ToMaster::Failed { round, why })
        }
        FromMaster::Enter { node, address } => {
            nodes.enter(&node, address);
            None
        }
        FromMaster::Stop { how, .. } => {
            nodes.stop();
            console::log(match how {
                Ended::WellDone => "the job is over; waiting for the next one",
                Ended::Rests => "the master was asked to end: the job rests; waiting for the next master",
                Ended::Failed(_) => "the job was stopped; waiting for the next one",
            });
            None
        }
        FromMaster::Note(text) => {
            console::log(&text);
            None
        }
        FromMaster::HandOn => {
            nodes.leave();
            None
        }
        FromMaster::Happened { .. } | FromMaster::MayLeave => None,
    }
}
