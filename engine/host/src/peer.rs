//! Peers: the node's connections to all others, as events in and frames out.
//!
//! Two connections per pair of peers (control and data); a pair is *up* when both are open and both sides said hello.
//! Who dials: the node that comes later in the list of nodes dials the earlier ones, from its start, again and again with a
//! capped, jittered backoff; so no two connections collide. Each connection pings when idle and is closed when silent.
//! Nothing is re-sent: a frame handed to a connection that breaks is lost, and whoever sent it learns `Down`.

use crate::facade::{BoxFuture, Host};
use bytes::Bytes;
use dstream_trace::{NodeName, Purpose};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

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

/// Number of a request, unique at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What peers do.
#[derive(Clone, Debug, PartialEq, Eq)]
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
pub struct Peers {}

impl Peers {
    /// Listens, starts to dial, and returns the stream of events.
    pub async fn start(_host: &Host, _config: PeerConfig) -> std::io::Result<(Peers, mpsc::Receiver<PeerEvent>)> {
        Err(std::io::Error::other("placeholder"))
    }

    /// Sends a message. `declared` is what the network model is charged for the payload, in bytes: its length, or more
    /// where a record stands for several.
    pub fn send(
        &self,
        _to: &NodeName,
        _lane: Lane,
        _purpose: Purpose,
        _payload: Bytes,
        _declared: u64,
    ) -> Result<(), SendError> {
        Err(SendError::NotConnected)
    }

    /// Sends a request on the data lane and waits for the answer, `deadline` at most.
    pub fn request(
        &self,
        _to: &NodeName,
        _purpose: Purpose,
        _payload: Bytes,
        _declared: u64,
        _deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, RequestError>> {
        Box::pin(async { Err(RequestError::Broken) })
    }

    /// Answers a request.
    pub fn reply(
        &self,
        _to: &NodeName,
        _id: RequestId,
        _purpose: Purpose,
        _payload: Bytes,
        _declared: u64,
    ) -> Result<(), SendError> {
        Err(SendError::NotConnected)
    }

    /// Whether the pair is up, and the peer's incarnation.
    pub fn incarnation(&self, _peer: &NodeName) -> Option<u64> {
        None
    }

    /// Closes both connections to the peer and dials again: what was learned about it says that they are stale.
    pub fn redial(&self, _peer: &NodeName) {}
}
