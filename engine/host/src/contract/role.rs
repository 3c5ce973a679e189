//! The nodes of the contract: what each role does, and the function that starts them.
//!
//! Invariant: a role never fails unless its name says so; what it sees goes into the log as marks.

use super::{mark, millis};
use crate::facade::{BoxFuture, BoxIo, CoreTime, DiskError, Host};
use crate::frame::{Decoder, Kind};
use crate::peer::hello::{HELLO_LIMIT, Hello};
use crate::peer::{Lane, PeerConfig, PeerEvent, Peers, RequestError};
use crate::world::{NodeError, NodeSpec, NodeStart};
use bytes::{Bytes, BytesMut};
use dstream_trace::{NodeName, Purpose};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// A connection that is silent for so long is down.
pub const SILENCE: Duration = Duration::from_millis(400);

/// How long a connect or a handshake may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(300);

/// How long a request may take.
const REQUEST_DEADLINE: Duration = Duration::from_millis(150);

/// How often a node repeats what it does.
pub const PERIOD: Duration = Duration::from_millis(20);

/// Longest frame, where the role does not say otherwise.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes that nobody reads: more than one segment, less than any buffer.
const UNREAD_BYTES: usize = 10_000;

/// Steps of the work that a core is given: some milliseconds of a real core.
const WORK_STEPS: u64 = 2_000_000;

/// What the same work costs by its model.
const WORK_COST: CoreTime = CoreTime(Duration::from_millis(10));

/// What a node of the contract is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Has peers.
    Peer(PeerRole),
    /// Accepts streams and never reads from them.
    Mute,
    /// Opens a stream to the node, writes, and reads until the stream ends.
    Caller(NodeName),
    /// Writes the bytes to the node's listener and reads until the stream ends.
    Stranger(NodeName, Vec<u8>),
    /// Says hello to the node in the name of others: both connections for each (incarnation, session), in order.
    Forger(NodeName, Vec<(u64, u64)>),
    /// Marks every period with the time in milliseconds.
    Ticker,
    /// Gives its core work, again and again.
    Worker,
    /// Writes and reads an object of the store, every period: marks `stored` and `read` with 1, or 0 where it was refused.
    Keeper,
    /// Marks `here`, and is done when it is asked to leave.
    Guest,
    /// Looks what its disk keeps, keeps something there and removes half of it: marks `found`, `kept` and `removed`.
    Hoarder,
    /// Returns an error.
    Failing,
    /// Panics.
    Panicking,
}

/// What a node with peers does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerRole {
    /// All nodes with peers, in the order that says who dials.
    pub nodes: Vec<NodeName>,
    /// Longest frame that it accepts.
    pub max_frame: usize,
    /// Whether it answers requests.
    pub answers: bool,
    /// Whom it asks every period.
    pub asks: Option<NodeName>,
    /// To whom it sends, every period, numbered messages of so many bytes.
    pub sends: Option<(NodeName, usize)>,
}

impl PeerRole {
    /// Talks to all, answers, asks nothing.
    pub fn new(nodes: &[&str]) -> PeerRole {
        let nodes = nodes.iter().map(NodeName::new).collect();
        PeerRole { nodes, max_frame: MAX_FRAME, answers: true, asks: None, sends: None }
    }
}

/// Starts the nodes of the contract.
pub fn node_start() -> NodeStart {
    Arc::new(|spec, host| Box::pin(play(spec, host)))
}

async fn play(spec: NodeSpec, host: Host) -> Result<(), NodeError> {
    let role: Role = postcard::from_bytes(&spec.config).map_err(|error| NodeError(error.to_string()))?;
    let result = match role {
        Role::Peer(role) => peer(&host, role).await,
        Role::Mute => mute(&host).await,
        Role::Caller(to) => caller(&host, &to).await,
        Role::Stranger(to, bytes) => stranger(&host, &to, &bytes).await,
        Role::Forger(to, hellos) => forger(&host, &to, &hellos).await,
        Role::Ticker => ticker(&host).await,
        Role::Worker => worker(&host).await,
        Role::Keeper => keeper(&host).await,
        Role::Guest => {
            mark(&host, "here", 0);
            host.leave.asked().await;
            return Ok(());
        }
        Role::Hoarder => hoarder(&host).await,
        Role::Failing => return Err(NodeError("this node fails".to_owned())),
        Role::Panicking => panic!("this node panics"),
    };
    result.map_err(|error| NodeError(error.to_string()))
}

/// The configuration of a node with peers.
pub fn peer_config(host: &Host, role: &PeerRole) -> PeerConfig {
    PeerConfig {
        nodes: role.nodes.clone(),
        talks_to: role.nodes.iter().filter(|node| **node != host.name).cloned().collect(),
        cluster: 1,
        fingerprint: 2,
        silence: SILENCE,
        connect_deadline: CONNECT_DEADLINE,
        max_frame: role.max_frame,
        max_queued: 1 << 20,
    }
}

async fn peer(host: &Host, role: PeerRole) -> std::io::Result<()> {
    let (peers, mut events) = Peers::start(host, peer_config(host, &role)).await?;
    let mut requests = JoinSet::new();
    let mut number = 0u64;
    let mut due = host.clock.now() + PERIOD;
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => take(host, &peers, &role, event),
            Some(Ok(name)) = requests.join_next() => mark(host, name, 1),
            () = host.clock.sleep_until(due) => {
                due = host.clock.now() + PERIOD;
                if let Some((to, bytes)) = &role.sends {
                    let mut payload = BytesMut::zeroed(*bytes);
                    payload[..8].copy_from_slice(&number.to_le_bytes());
                    if peers.send(to, Lane::Data, Purpose::Input, payload.freeze(), *bytes as u64).is_ok() {
                        number += 1;
                    }
                }
                if let Some(to) = role.asks.as_ref().filter(|to| peers.incarnation(to).is_some()) {
                    let question = Bytes::from_static(b"question");
                    let answer = peers.request(to, Purpose::Shuffle, question, 8, REQUEST_DEADLINE);
                    requests.spawn(async move { outcome(answer.await) });
                }
            }
        }
    }
}

fn outcome(answer: Result<Bytes, RequestError>) -> &'static str {
    match answer {
        Ok(answer) if answer == "question" => "answered",
        Ok(_) => "answered wrongly",
        Err(RequestError::Deadline) => "late",
        Err(RequestError::Broken) => "broken",
        Err(RequestError::NotSent(_)) => "not sent",
    }
}

fn take(host: &Host, peers: &Peers, role: &PeerRole, event: PeerEvent) {
    match event {
        PeerEvent::Up { peer, incarnation } => mark(host, &format!("up {peer}"), incarnation),
        PeerEvent::Down { peer, incarnation } => mark(host, &format!("down {peer}"), incarnation),
        PeerEvent::Message { payload, .. } => {
            let number = payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
            mark(host, "message", number);
        }
        PeerEvent::Request { peer, id, payload, .. } if role.answers => {
            let bytes = payload.len() as u64;
            // A peer that went down meanwhile gets no answer.
            let _ = peers.reply(&peer, id, Purpose::Shuffle, payload, bytes);
        }
        PeerEvent::Request { .. } => {}
    }
}

async fn mute(host: &Host) -> std::io::Result<()> {
    let mut listener = host.net.bind().await?;
    let mut streams = Vec::new();
    loop {
        streams.push(listener.accept().await?);
        mark(host, "accepted", streams.len() as u64);
    }
}

/// Opens a stream, again and again until it works.
async fn connect(host: &Host, to: &NodeName) -> BoxIo {
    loop {
        match host.deadline(CONNECT_DEADLINE, host.net.connect(to)).await {
            Some(Ok(stream)) => return stream,
            Some(Err(_)) => mark(host, "refused", 1),
            None => mark(host, "no answer", 1),
        }
        host.sleep(PERIOD).await;
    }
}

async fn caller(host: &Host, to: &NodeName) -> std::io::Result<()> {
    let mut stream = connect(host, to).await;
    mark(host, "connected", 1);
    stream.write_all(&vec![1; UNREAD_BYTES]).await?;
    mark(host, "written", UNREAD_BYTES as u64);
    read_to_end(stream).await;
    mark(host, "ended", 1);
    std::future::pending().await
}

/// Reads until the stream ends, well or badly.
async fn read_to_end(mut stream: BoxIo) {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

async fn stranger(host: &Host, to: &NodeName, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = connect(host, to).await;
    stream.write_all(bytes).await?;
    read_to_end(stream).await;
    mark(host, "ended", 1);
    std::future::pending().await
}

async fn forger(host: &Host, to: &NodeName, hellos: &[(u64, u64)]) -> std::io::Result<()> {
    // The peer dials this node in vain: nobody answers.
    let _listener = host.net.bind().await?;
    let config = peer_config(host, &PeerRole::new(&[to.as_str(), host.name.as_str()]));
    let mut streams = Vec::new();
    for (incarnation, session) in hellos.iter().copied() {
        for lane in [Lane::Control, Lane::Data] {
            let mut stream = connect(host, to).await;
            let hello = Hello { name: host.name.clone(), incarnation, session, lane };
            stream.write_all(&hello.to_frame(&config).to_bytes()).await?;
            let answered = first_frame(&mut stream).await == Some(Kind::Hello);
            mark(host, if answered { "accepted" } else { "turned away" }, incarnation);
            streams.push(stream);
        }
    }
    mark(host, "done", streams.len() as u64);
    std::future::pending().await
}

async fn first_frame(stream: &mut BoxIo) -> Option<Kind> {
    let mut decoder = Decoder::new(HELLO_LIMIT);
    let mut buffer = BytesMut::new();
    loop {
        if let Some(frame) = decoder.decode(&mut buffer).ok()? {
            return Some(frame.kind);
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn keeper(host: &Host) -> std::io::Result<()> {
    loop {
        let stored = host.store.put("kept", Bytes::from_static(b"value"), 1).await;
        mark(host, "stored", u64::from(stored.is_ok()));
        let read = host.store.get("kept", 1).await;
        mark(host, "read", u64::from(read.is_ok()));
        host.sleep(PERIOD).await;
    }
}

async fn hoarder(host: &Host) -> std::io::Result<()> {
    let found = host.disk.get(1, 0).await.is_ok() || host.disk.get(2, 0).await.is_ok();
    mark(host, "found", u64::from(found));
    let parts = || vec![Bytes::from_static(b"in "), Bytes::from_static(b"parts")];
    for number in [1, 2] {
        let put = host.disk.put(number, parts(), 8).await;
        let got = host.disk.get(number, 8).await;
        mark(host, "kept", u64::from(put.is_ok() && got.is_ok_and(|bytes| bytes == "in parts")));
    }
    host.disk.remove(1).await;
    let both = [host.disk.get(1, 8).await, host.disk.get(2, 8).await];
    mark(host, "removed", u64::from(both == [Err(DiskError::Missing(1)), Ok("in parts".into())]));
    ticker(host).await
}

async fn ticker(host: &Host) -> std::io::Result<()> {
    loop {
        host.sleep(PERIOD).await;
        mark(host, "tick", millis(host.clock.now()));
    }
}

async fn worker(host: &Host) -> std::io::Result<()> {
    loop {
        let begun = host.clock.now();
        let work: BoxFuture<'static, CoreTime> = host.cpu.run(Box::new(|| {
            let mut word = 1u64;
            for step in 0..WORK_STEPS {
                word = (word ^ step).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
            }
            // The outcome is used, so that the work is done.
            CoreTime(WORK_COST.0 + Duration::from_nanos(word & 1))
        }));
        work.await;
        let took = host.clock.now().since(begun);
        mark(host, "worked", u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        host.sleep(PERIOD).await;
    }
}
