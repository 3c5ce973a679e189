//! Peers: the node's connections to all others, as events in and frames out.
//!
//! Two connections per pair of peers (control and data); a pair is *up* when both are open and both sides said hello.
//! Who dials: the node that comes later in the list of nodes dials the earlier ones, from its start, again and again
//! with a capped, jittered backoff; so no two connections collide. Each connection pings when idle and is closed when
//! silent. Nothing is re-sent: a frame handed to a connection that breaks is lost, and whoever sent it learns `Down`.
//!
//! Knows no engine and no message. Invariants: `Down` comes once for each `Up`, after the last frame of that time;
//! what waits to be written and what waits to be read are bounded; when the last [`Peers`] and the receiver of events
//! are gone, so are all tasks and connections.
//!
//! ```text
//! send, request --> session (bounded queue) --> link writer --> stream     handshake: hello, refusal
//! receiver <------- channel (bounded) <-------- link reader <-- stream     pair, pulse, backoff: the pure cores
//! ```

mod backoff;
mod handshake;
pub(crate) mod hello;
mod link;
mod pair;
mod pulse;
mod session;
mod shared;
mod shell;

use crate::facade::{BoxFuture, Host};
use crate::frame::{DECLARED_LIMIT, Frame, Kind};
use bytes::Bytes;
use dstream_trace::{Moment, NodeName, Purpose};
use shared::Shared;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

/// Events that wait for the node. Readers wait when it is full, so that a slow node slows its senders down.
const MAX_EVENTS: usize = 256;

/// Longest name of a node, in bytes: a hello has room for it.
const MAX_NAME: usize = 256;

/// Which of the two connections of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Orders, reports, heartbeats.
    Control,
    /// Records, blocks, slices, results.
    Data,
}

/// What the handshake compares and how connections behave.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// All nodes of the cluster in the order that says who dials whom. Must contain this node.
    pub nodes: Vec<NodeName>,
    /// Which of them this node has connections with; the other side must agree. Usually all others.
    pub talks_to: Vec<NodeName>,
    /// Equal in all nodes of one cluster (a hash of its description).
    pub cluster: u64,
    /// Equal in all nodes of one build and one query.
    pub fingerprint: u64,
    /// A connection that is silent for this long is closed; pings go at a quarter of it.
    pub silence: Duration,
    /// How long a connect and the handshake may take.
    pub connect_deadline: Duration,
    /// Longest accepted payload, in bytes.
    pub max_frame: usize,
    /// Most bytes that wait to be written to one peer; a send above it is refused.
    pub max_queued: usize,
}

/// Messages that wait to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Since when the oldest waits.
    pub since: Moment,
    /// When the last one before it was taken to be written.
    pub moved: Moment,
}

/// Number of a request, unique at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What peers do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variant's line says what its fields are")]
pub enum PeerEvent {
    /// Both connections are open.
    Up { peer: NodeName, incarnation: u64 },
    /// The pair broke (closed, silent, bad frame). Comes once for each `Up`.
    Down { peer: NodeName, incarnation: u64 },
    /// A message. Messages of one lane arrive in order.
    Message { peer: NodeName, incarnation: u64, lane: Lane, payload: Bytes },
    /// A request on the data lane; answer with [`Peers::reply`].
    Request { peer: NodeName, incarnation: u64, id: RequestId, payload: Bytes },
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The pair is not up.
    #[error("the peer is not connected")]
    NotConnected,
    /// Too many bytes wait for this peer.
    #[error("the peer does not read fast enough")]
    QueueFull,
    /// The payload is longer than `max_frame`.
    #[error("the frame is too long")]
    TooLong,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It could not be sent.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// The pair broke before the answer came.
    #[error("the connection broke")]
    Broken,
    /// The deadline passed.
    #[error("no answer in time")]
    Deadline,
}

/// The node's connections. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
    /// Nothing is sent: the tasks see when the last clone is gone.
    _alive: mpsc::Sender<Infallible>,
}

impl Peers {
    /// Listens, starts to dial, and returns the stream of events.
    ///
    /// Fails with `InvalidInput` when the configuration contradicts itself, and as [`Net::bind`](crate::Net::bind)
    /// does.
    pub async fn start(host: &Host, config: PeerConfig) -> io::Result<(Peers, mpsc::Receiver<PeerEvent>)> {
        check(host, &config).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let listener = host.net.bind().await?;
        let shared = Arc::new(Shared::new(host.clone(), config));
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let (alive, watch) = mpsc::channel(1);
        tokio::spawn(shell::root(Arc::clone(&shared), listener, events, watch));
        Ok((Peers { shared, _alive: alive }, receiver))
    }

    /// Sends a message. `declared` is what the network model is charged for the payload, in bytes: its length, or
    /// more where a record stands for several.
    pub fn send(
        &self,
        to: &NodeName,
        lane: Lane,
        purpose: Purpose,
        payload: Bytes,
        declared: u64,
    ) -> Result<(), SendError> {
        self.push(to, lane, Frame { kind: Kind::Message, purpose, request: 0, declared, payload })
    }

    /// Sends a request on the data lane, at once, and waits for the answer, `deadline` at most.
    ///
    /// The node must go on taking events meanwhile: an answer waits behind messages that came before it. Requests and
    /// replies take turns with messages that wait to be written, and overtake some of them.
    pub fn request(
        &self,
        to: &NodeName,
        purpose: Purpose,
        payload: Bytes,
        declared: u64,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, RequestError>> {
        let host = &self.shared.host;
        let timer = host.sleep(deadline);
        let sent = match self.shared.expect_answer(to) {
            Some(expected) => {
                let request = expected.id.0;
                let frame = Frame { kind: Kind::Request, purpose, request, declared, payload };
                self.push(to, Lane::Data, frame).map(|()| expected)
            }
            None => Err(SendError::QueueFull),
        };
        Box::pin(async move {
            let mut expected = sent?;
            tokio::select! {
                biased;
                answer = expected.answer() => answer.ok_or(RequestError::Broken),
                () = timer => Err(RequestError::Deadline),
            }
        })
    }

    /// Answers a request.
    pub fn reply(
        &self,
        to: &NodeName,
        id: RequestId,
        purpose: Purpose,
        payload: Bytes,
        declared: u64,
    ) -> Result<(), SendError> {
        self.push(to, Lane::Data, Frame { kind: Kind::Reply, purpose, request: id.0, declared, payload })
    }

    /// Whether the pair is up, and the peer's incarnation.
    pub fn incarnation(&self, peer: &NodeName) -> Option<u64> {
        self.shared.session(peer).map(|session| session.incarnation)
    }

    /// What was sent on this lane and is yet to be written, if any message is.
    pub fn waiting(&self, peer: &NodeName, lane: Lane) -> Option<Waiting> {
        self.shared.session(peer)?.waiting(lane)
    }

    /// Closes both connections to the peer and dials again: what was learned about it says that they are stale.
    pub fn redial(&self, peer: &NodeName) {
        if let Some(session) = self.shared.session(peer) {
            session.close();
        }
    }

    fn push(&self, to: &NodeName, lane: Lane, frame: Frame) -> Result<(), SendError> {
        if frame.payload.len() > self.shared.config.max_frame || frame.declared > DECLARED_LIMIT {
            return Err(SendError::TooLong);
        }
        let now = self.shared.host.clock.now();
        self.shared.session(to).ok_or(SendError::NotConnected)?.push(now, lane, frame)
    }
}

/// What is wrong with a configuration.
fn check(host: &Host, config: &PeerConfig) -> Result<(), String> {
    let known = |name: &NodeName| config.nodes.contains(name);
    if !known(&host.name) {
        return Err(format!("the list of nodes lacks this node, `{}`", host.name));
    }
    if let Some(peer) = config.talks_to.iter().find(|peer| !known(peer) || **peer == host.name) {
        return Err(format!("`{}` cannot talk to `{peer}`: it must be another node of the list", host.name));
    }
    if let Some(name) = config.nodes.iter().find(|name| name.as_str().len() > MAX_NAME) {
        return Err(format!("the name `{name}` is longer than {MAX_NAME} bytes"));
    }
    if u32::try_from(config.max_frame).is_err() {
        return Err(format!("frames of {} bytes do not fit their length field of 32 bits", config.max_frame));
    }
    Ok(())
}
