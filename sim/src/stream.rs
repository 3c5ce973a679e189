//! A byte stream between two simulated hosts, behind its node's gate.
//!
//! Knows no frame. Invariant: every write that a cut drops is in the log as `MessageCut`, and
//! the first one that waits or is late.

use crate::life::Life;
use dstream_trace::NodeName;
use std::io;
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
}

impl SimStream {
    pub fn new(stream: TcpStream, life: Arc<Life>, peer: Option<NodeName>) -> SimStream {
        SimStream { stream, life, peer }
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
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.life.gate.poll_open(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if written > 0 {
            self.record_fate();
        }
        Poll::Ready(Ok(written))
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
