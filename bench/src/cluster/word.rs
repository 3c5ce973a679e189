//! What the processes of a cluster by hand say to each other at the master's door, and how it is framed.
//!
//! Each side opens with a hello; then words go both ways, and a ping where nothing else is said for a while. Knows no
//! socket. Invariant: a stranger's bytes allocate no more than a hello's limit, and are refused with a reason.

use crate::store::StorePlace;
use bytes::{Bytes, BytesMut};
use dstream_cluster::{ClusterSpec, JobSpec, Options, Pace, Progress};
use dstream_host::frame::{Decoder, Frame, Kind};
use dstream_trace::{Event, Moment, NodeName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Changes with the words and what they mean.
const DOOR: &str = "dstream door 2";

/// Longest hello: two names and two numbers.
pub const HELLO_BYTES_MAX: usize = 1024;

/// Longest word: an event that seals an interval with a hundred thousand blocks, or a source of ten thousand files.
pub const WORD_BYTES_MAX: usize = 16 << 20;

/// What a process says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    door: String,
    /// Equal for equal binaries.
    pub build: u64,
    /// Keeps clusters apart that could reach each other.
    pub cluster: String,
    /// What it wants to be.
    pub guest: Guest,
}

/// What a process wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// A worker with so many cores.
    Worker {
        /// How many.
        cores: u32,
    },
    /// A job: client and sink.
    Job,
}

impl Hello {
    /// A hello of this build.
    pub fn new(build: u64, cluster: &str, guest: Guest) -> Hello {
        Hello { door: DOOR.to_string(), build, cluster: cluster.to_string(), guest }
    }

    /// The guest; or why it is not let in, in words for both sides.
    pub fn admit(&self, build: u64, cluster: &str) -> Result<Guest, String> {
        if self.door != DOOR || self.build != build {
            return Err("it is another build of dstream; master, workers and jobs must be the same binary".to_string());
        }
        if self.cluster != cluster {
            return Err(format!("it belongs to the cluster `{}`, this is `{cluster}`", self.cluster.escape_debug()));
        }
        Ok(self.guest)
    }
}

/// What a job brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobOrder {
    /// Name and parameters.
    pub job: JobSpec,
    /// The source, as its client finds it again.
    pub source: Vec<u8>,
    /// How fast it is read.
    pub pace: Pace,
    /// Length of an interval.
    pub interval: Duration,
    /// The input ends after this time.
    pub lasts: Option<Duration>,
    /// What the cluster's store has of a job is given up.
    pub fresh: bool,
}

impl JobOrder {
    /// Why this order cannot go on where another one ended; nothing if it can, as far as its input goes.
    pub fn differs(&self, before: &JobOrder) -> Option<&'static str> {
        [
            (self.source != before.source, "its source"),
            (self.pace != before.pace, "its rate"),
            (self.interval != before.interval, "its interval"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// A run as every process of it must know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// Which run.
    pub round: u64,
    /// What is laid out.
    pub cluster: ClusterSpec,
    /// The engine's options.
    pub options: Options,
    /// Counts the processes that were this node, from 1.
    pub incarnation: u64,
    /// How long ago the run began; not counting the time in which none of its processes lived.
    pub elapsed: Duration,
    /// How far earlier lives of the run had come; nothing where it begins.
    pub progress: Option<Progress>,
    /// Where each node listens.
    pub addresses: Vec<(NodeName, SocketAddr)>,
    /// Where the durable store is, the same for all.
    pub store: StorePlace,
}

/// Said to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToMaster {
    /// From a job: run this.
    Order(Box<JobOrder>),
    /// These nodes of the run listen here.
    Ready {
        /// Which run.
        round: u64,
        /// Where.
        listening: Vec<(NodeName, SocketAddr)>,
    },
    /// A node of the run failed.
    Failed {
        /// Which run.
        round: u64,
        /// Why.
        why: String,
    },
    /// For people.
    Note(String),
    /// From a job: everything is in a result.
    Finished,
    /// From a worker: it wants to leave.
    Goodbye,
    /// From a worker: its node has handed on what others need of it, and has ended.
    Left {
        /// Which run.
        round: u64,
    },
}

/// Said by the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromMaster {
    /// For people.
    Note(String),
    /// Be these nodes in this run; listen, and say where.
    Prepare {
        /// Which run.
        round: u64,
        /// Which nodes.
        nodes: Vec<NodeName>,
    },
    /// Begin to be them.
    Begin(Box<Beginning>),
    /// From now on a node is found elsewhere.
    Enter {
        /// Which.
        node: NodeName,
        /// Where.
        address: SocketAddr,
    },
    /// Something happened at the master that the job must know.
    Happened {
        /// When, on the run's clock.
        at: Moment,
        /// Where.
        node: NodeName,
        /// What.
        event: Event,
    },
    /// The run is over.
    Stop {
        /// Which run.
        round: u64,
        /// In which way.
        how: Ended,
    },
    /// To a worker of the run: let its node hand on what others need of it and end.
    HandOn,
    /// To a worker: it may go.
    MayLeave,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// As it should.
    WellDone,
    /// It rests in the store, and goes on when master and job are started again.
    Rests,
    /// It cannot go on as it is.
    Failed(String),
}

/// A word as bytes.
pub fn to_frame(word: &impl Serialize) -> Bytes {
    frame(Kind::Message, word)
}

/// A hello as bytes.
pub fn hello_frame(hello: &Hello) -> Bytes {
    frame(Kind::Hello, hello)
}

/// A refusal as bytes.
pub fn refusal_frame(why: &str) -> Bytes {
    Frame::control(Kind::Refusal, Bytes::copy_from_slice(why.as_bytes())).to_bytes()
}

/// A sign of life as bytes.
pub fn ping_frame() -> Bytes {
    Frame::control(Kind::Ping, Bytes::new()).to_bytes()
}

fn frame(kind: Kind, word: &impl Serialize) -> Bytes {
    let payload = postcard::to_stdvec(word).expect("words are plain data, which postcard always encodes");
    Frame::control(kind, payload.into()).to_bytes()
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard<T> {
    /// A hello.
    Hello(Hello),
    /// A word.
    Word(T),
    /// The other side does not let this one in.
    Refused(String),
    /// A sign of life.
    Ping,
}

/// Cuts a stream into words.
pub struct Ear {
    decoder: Decoder,
    /// Bytes that came and make no frame yet.
    pub buffer: BytesMut,
}

impl Ear {
    /// One that takes payloads up to `limit` bytes.
    pub fn new(limit: usize) -> Ear {
        Ear { decoder: Decoder::new(limit), buffer: BytesMut::new() }
    }

    /// What is in the buffer, if it is whole. The error is one fixed word.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<Heard<T>>, &'static str> {
        let Some(frame) = self.decoder.decode(&mut self.buffer).map_err(|error| error.word())? else { return Ok(None) };
        let payload = &frame.payload;
        let heard = match frame.kind {
            Kind::Hello => postcard::from_bytes(payload).map(Heard::Hello),
            Kind::Message => postcard::from_bytes(payload).map(Heard::Word),
            Kind::Refusal => Ok(Heard::Refused(String::from_utf8_lossy(payload).into_owned())),
            Kind::Ping | Kind::Pong => Ok(Heard::Ping),
            Kind::Request | Kind::Reply => return Err("frame-unexpected"),
        };
        heard.map(Some).map_err(|_| "frame-unreadable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_another_build_or_cluster_are_told_why() {
        let check = |hello: Hello, expected: Result<Guest, &str>| match (hello.admit(1, "mine"), expected) {
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (seen, expected) => assert_eq!(seen, expected.map_err(str::to_string)),
        };
        check(Hello::new(1, "mine", Guest::Job), Ok(Guest::Job));
        check(Hello::new(2, "mine", Guest::Job), Err("another build"));
        check(Hello { door: "dstream door 0".into(), ..Hello::new(1, "mine", Guest::Job) }, Err("another build"));
        check(Hello::new(1, "yours", Guest::Worker { cores: 1 }), Err("the cluster `yours`, this is `mine`"));
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        let hello = Hello::new(7, "c", Guest::Worker { cores: 2 });
        let bytes = [hello_frame(&hello), ping_frame(), to_frame(&ToMaster::Goodbye), refusal_frame("no")].concat();
        for piece in [1, 5, 1000] {
            let mut ear = Ear::new(HELLO_BYTES_MAX);
            let mut heard = Vec::new();
            for piece in bytes.chunks(piece) {
                ear.buffer.extend_from_slice(piece);
                while let Some(word) = ear.hear::<ToMaster>().unwrap() {
                    heard.push(word);
                }
            }
            let word = Heard::Word(ToMaster::Goodbye);
            assert_eq!(heard, [Heard::Hello(hello.clone()), Heard::Ping, word, Heard::Refused("no".into())]);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_fixed_word() {
        let long = Frame::control(Kind::Hello, Bytes::from(vec![0; HELLO_BYTES_MAX + 1])).to_bytes();
        let empty = Frame::control(Kind::Message, Bytes::new()).to_bytes();
        for (bytes, word) in [
            (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "frame-not-marked"),
            (&long, "frame-too-long"),
            (&empty, "frame-unreadable"),
        ] {
            let mut ear = Ear::new(HELLO_BYTES_MAX);
            ear.buffer.extend_from_slice(bytes);
            assert_eq!(ear.hear::<ToMaster>(), Err(word));
        }
    }
}
