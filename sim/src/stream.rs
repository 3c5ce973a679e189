//! A byte stream between two simulated hosts, behind its node's gate.
//!
//! Knows no frame. Invariants: no more is under way than its window lets; every write that a cut drops is in the log as
//! `MessageCut`, and the first one that waits or is late.

use crate::life::Life;
use crate::window::{End, Ends};
use dstream_trace::NodeName;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct SimStream {
    stream: TcpStream,
    life: Arc<Life>,
    /// The other end, if its address is a node's.
    peer: Option<NodeName>,
    window: End,
    ends: Ends,
}

impl SimStream {
    /// The end that `life` has of a stream: the one that connected, or the one that accepted.
    pub fn new(stream: TcpStream, life: Arc<Life>, peer: Option<NodeName>, connected: bool) -> io::Result<SimStream> {
        let (here, there) = (stream.local_addr()?, stream.peer_addr()?);
        let ends = if connected { (here, there) } else { (there, here) };
        let window = End::new(life.fabric.enter_wire(ends), connected);
        Ok(SimStream { stream, life, peer, window, ends })
    }

    fn record_fate(&self) {
        if let Some(peer) = &self.peer {
            self.life.fabric.record_fate(&self.life.node, peer);
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.life.gate.poll_open(context));
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.window.take(into.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.life.gate.poll_open(context));
        ready!(self.window.poll_room(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if written > 0 {
            self.window.push(written);
            self.record_fate();
        }
        Poll::Ready(Ok(written))
    }

    /// All pieces are one segment, as they are one write to a socket.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces {
            [piece] => self.poll_write(context, piece),
            pieces => {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
                self.poll_write(context, &pieces.concat())
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.life.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.life.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.life.fabric.leave_wire(self.ends);
    }
}
