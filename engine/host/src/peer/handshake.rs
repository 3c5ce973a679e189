//! The handshake of a new connection, from both sides.
//!
//! Knows no pair. Invariants: before both sides said hello, a connection costs at most one small buffer and one
//! deadline; strangers who say nothing keep nobody out, since the one that has waited longest makes room.

use super::Lane;
use super::hello::{HELLO_LIMIT, Hello, refusal};
use super::link::Connection;
use super::shared::Shared;
use crate::facade::{BoxIo, Listener};
use crate::frame::{Decoder, Frame};
use bytes::BytesMut;
use dstream_trace::{Event, NodeName};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Most connections whose hello is awaited at once: a hundred nodes may dial in the same moment, strangers no more.
const MAX_GREETINGS: usize = 256;

/// How long to wait after the listener failed (too many open files): soon enough for a handshake, no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the buffer that receives a hello.
const HELLO_BUFFER: usize = 256;

/// A connection that a peer opened, with its hello.
pub struct Arrival {
    /// What the peer said.
    pub hello: Hello,
    /// The connection.
    pub connection: Connection,
}

/// The two connections of a dial that went well, and which life of the peer answered.
pub struct Dialled {
    /// Control and data.
    pub connections: [Connection; 2],
    /// The peer's.
    pub incarnation: u64,
}

/// Why a handshake ended: the stream did, or a fixed word says so.
enum Ended {
    Stream,
    Word(&'static str),
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Ended {
        Ended::Stream
    }
}

/// Opens both connections to `peer`, one after the other: a peer that is away costs one port, not two.
pub async fn dial(shared: Arc<Shared>, peer: NodeName, session: u64) -> Option<Dialled> {
    let limit = shared.config.connect_deadline;
    match shared.host.deadline(limit, dial_both(&shared, &peer, session)).await? {
        Ok(dialled) => Some(dialled),
        Err(Ended::Stream) => None,
        Err(Ended::Word(why)) => {
            shared.trace(Event::ConnectionRefused { why: why.into() });
            None
        }
    }
}

async fn dial_both(shared: &Shared, peer: &NodeName, session: u64) -> Result<Dialled, Ended> {
    let (control, incarnation) = dial_one(shared, peer, session, Lane::Control).await?;
    let (data, second) = dial_one(shared, peer, session, Lane::Data).await?;
    if second != incarnation {
        return Err(Ended::Word("hello-answer-differs"));
    }
    Ok(Dialled { connections: [control, data], incarnation })
}

async fn dial_one(shared: &Shared, peer: &NodeName, session: u64, lane: Lane) -> Result<(Connection, u64), Ended> {
    let io = shared.host.net.connect(peer).await?;
    let mut connection = Connection { io, buffer: BytesMut::new() };
    say_hello(shared, &mut connection, session, lane).await?;
    let frame = read_frame(&mut connection).await?;
    let hello = Hello::from_frame(&frame, &shared.config).map_err(Ended::Word)?;
    if hello.name != *peer || hello.session != session || hello.lane != lane {
        return Err(Ended::Word("hello-answer-differs"));
    }
    Ok((connection, hello.incarnation))
}

/// Says hello on a connection: the dialer first, the acceptor as its answer.
pub async fn say_hello(shared: &Shared, connection: &mut Connection, session: u64, lane: Lane) -> std::io::Result<()> {
    let (name, incarnation) = (shared.host.name.clone(), shared.host.incarnation);
    let frame = Hello { name, incarnation, session, lane }.to_frame(&shared.config);
    connection.io.write_all(&frame.to_bytes()).await?;
    connection.io.flush().await
}

/// Refuses a connection, and says so in the log. Waits no longer for a peer that does not read than for a handshake.
pub async fn refuse(shared: &Shared, mut io: BoxIo, why: &'static str) {
    shared.trace(Event::ConnectionRefused { why: why.into() });
    let bytes = refusal(why).to_bytes();
    // Whether the word arrives does not matter: the connection closes either way.
    let _ = shared.host.deadline(shared.config.connect_deadline, io.write_all(&bytes)).await;
}

async fn read_frame(connection: &mut Connection) -> Result<Frame, Ended> {
    let mut decoder = Decoder::new(HELLO_LIMIT);
    loop {
        match decoder.decode(&mut connection.buffer) {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(error) => return Err(Ended::Word(error.word())),
        }
        connection.buffer.reserve(HELLO_BUFFER);
        if connection.io.read_buf(&mut connection.buffer).await? == 0 {
            return Err(Ended::Stream);
        }
    }
}

/// Accepts connections for ever and hands each, after its hello, to the task of its pair.
pub async fn accept(
    shared: Arc<Shared>,
    mut listener: Box<dyn Listener>,
    mails: BTreeMap<NodeName, mpsc::Sender<Arrival>>,
) {
    let mails = Arc::new(mails);
    let mut greetings = JoinSet::new();
    // The oldest first; some of them are over.
    let mut waiting: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        while greetings.try_join_next().is_some() {}
        waiting.retain(|greeting| !greeting.is_finished());
        if greetings.len() >= MAX_GREETINGS {
            if let Some(oldest) = waiting.pop_front() {
                shared.trace(Event::ConnectionRefused { why: "hello-crowded-out".into() });
                oldest.abort();
            }
            // Its descriptor is free before the next one is taken.
            greetings.join_next().await;
        }
        match listener.accept().await {
            Ok(io) => {
                waiting.push_back(greetings.spawn(greet(Arc::clone(&shared), io, Arc::clone(&mails))));
            }
            Err(_) => shared.host.sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn greet(shared: Arc<Shared>, io: BoxIo, mails: Arc<BTreeMap<NodeName, mpsc::Sender<Arrival>>>) {
    let mut connection = Connection { io, buffer: BytesMut::new() };
    let limit = shared.config.connect_deadline;
    let hello = match shared.host.deadline(limit, read_frame(&mut connection)).await {
        Some(Ok(frame)) => Hello::from_frame(&frame, &shared.config),
        Some(Err(Ended::Word(why))) => Err(why),
        Some(Err(Ended::Stream)) => return,
        None => Err("hello-late"),
    };
    match hello {
        Ok(hello) => {
            let mail = mails.get(&hello.name).expect("a hello is accepted only from nodes that this node talks to");
            // The pair's task ends only with this one.
            drop(mail.send(Arrival { hello, connection }).await);
        }
        Err(why) => refuse(&shared, connection.io, why).await,
    }
}
