//! Bytes of a real stream that wait or are late: between the socket and the node, in their order.
//!
//! A direction through which something once had to wait goes through here ever after. Invariants: nothing overtakes,
//! nothing is lost but by a cut, and what waits is bounded.
//!
//! ```text
//! node --write--> queue --due, not held--> socket          socket --read--> queue --due, not held--> node
//! ```

use super::links::Path;
use bytes::{Bytes, BytesMut};
use dstream_trace::Moment;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// The most bytes of one piece.
pub const PIECE_BYTES: usize = 64 << 10;

/// Pieces that may be under way in one direction of a stream: 4 MiB, what a TCP window grows to.
pub const PIECES: usize = 64;

/// A piece, and when it arrives.
pub type Late = (Moment, Bytes);

/// The sending half of a stream that this node opened. Closes like a socket, unless the other side must not see it.
pub struct Outgoing {
    half: Option<OwnedWriteHalf>,
    path: Option<Path>,
}

impl Outgoing {
    /// `path` on the side that opened the stream.
    pub fn new(half: OwnedWriteHalf, path: Option<Path>) -> Outgoing {
        Outgoing { half: Some(half), path }
    }

    /// The socket's half.
    pub fn half(&mut self) -> &mut OwnedWriteHalf {
        self.half.as_mut().expect("the half is there until it is dropped")
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let Some(half) = self.half.take() else { return };
        if let Some(path) = &self.path
            && path.loses()
        {
            path.keep(half.as_ref());
            half.forget();
        }
    }
}

/// Sends what comes out of `queue`, each piece when it is due, and closes the half at its end.
pub async fn send(mut outgoing: Outgoing, path: Path, mut queue: mpsc::Receiver<Late>) {
    while let Some((due, piece)) = queue.recv().await {
        path.leave(due).await;
        if path.loses() {
            path.lose();
        } else if outgoing.half().write_all(&piece).await.is_err() {
            return; // the node's next write finds the queue closed
        }
    }
}

/// What a read gives: bytes, none at the end of the stream, or an error.
pub type Arrival = io::Result<Bytes>;

/// Hands up what comes out of the half, each piece when it is due; ends with the stream, or when nobody takes it.
pub fn receive(half: OwnedReadHalf, path: Path) -> mpsc::Receiver<Arrival> {
    let (enter, queue) = mpsc::channel(PIECES);
    let (arrive, arrivals) = mpsc::channel(1);
    tokio::spawn(read(half, path.clone(), enter));
    tokio::spawn(hand_up(path, queue, arrive));
    arrivals
}

async fn read(mut half: OwnedReadHalf, path: Path, enter: mpsc::Sender<(Moment, Arrival)>) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let arrival = tokio::select! {
            biased;
            () = enter.closed() => return,
            read = half.read_buf(&mut piece) => read.map(|_| piece.freeze()),
        };
        let is_last = arrival.as_ref().map_or(true, Bytes::is_empty);
        if enter.send((path.enter(), arrival)).await.is_err() || is_last {
            return;
        }
    }
}

async fn hand_up(path: Path, mut queue: mpsc::Receiver<(Moment, Arrival)>, arrive: mpsc::Sender<Arrival>) {
    while let Some((due, arrival)) = queue.recv().await {
        path.leave(due).await;
        if arrive.send(arrival).await.is_err() {
            return;
        }
    }
}
