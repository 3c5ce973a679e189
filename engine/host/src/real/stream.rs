//! A real stream behind its node's gate and, on the side that opened it, behind the cuts between the two nodes.
//!
//! Invariants: while the gate is closed nothing is read or written; a direction that lost bytes stays silent; nothing
//! is sent before what the node recorded is kept.

#![expect(clippy::disallowed_types, reason = "this is the real host's network")]

use super::cut::{Direction, StreamCut};
use super::journal::Journal;
use crate::shape::Gate;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of the buffer into which lost bytes are read.
const LOST_BUFFER: usize = 1024;

/// A TCP stream of a real node.
pub struct RealStream {
    /// There until the stream is dropped.
    stream: Option<TcpStream>,
    gate: Gate,
    cut: Option<StreamCut>,
    journal: Arc<dyn Journal>,
}

impl RealStream {
    /// A stream of the node whose gate this is; `cut` on the side that opened it.
    pub fn new(stream: TcpStream, gate: Gate, cut: Option<StreamCut>, journal: Arc<dyn Journal>) -> RealStream {
        RealStream { stream: Some(stream), gate, cut, journal }
    }

    fn inner(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("the stream is there until it is dropped"))
    }

    fn loses(&self, direction: Direction) -> bool {
        self.cut.as_ref().is_some_and(|cut| cut.loses(direction))
    }

    fn lose(&mut self, direction: Direction) {
        if let Some(cut) = &mut self.cut {
            cut.lose(direction);
        }
    }

    /// Ready when the node is not paused and what it recorded is kept.
    fn poll_ready_to_send(&self, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.gate.poll_open(context));
        self.journal.poll_kept(context)
    }

    /// Reads what the cut loses; never ready, since nothing ever comes out of a direction that lost bytes.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.cut.as_ref().is_some_and(|cut| cut.lost(Direction::In)) {
            let mut scratch = [0; LOST_BUFFER];
            let mut scratch = ReadBuf::new(&mut scratch);
            // Bytes, the end of the stream and a reset are lost alike.
            if self.inner().poll_read(context, &mut scratch).is_ready() {
                self.lose(Direction::In);
            }
        }
        Poll::Pending
    }

    /// What a write of `count` bytes answers, given what the stream answered.
    fn written(&mut self, result: io::Result<usize>, count: usize) -> io::Result<usize> {
        match result {
            // The peer's reset would not have got through.
            Err(_) if self.loses(Direction::In) => Ok(count),
            result => result,
        }
    }
}

impl AsyncRead for RealStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_open(context));
        if self.loses(Direction::In) {
            return self.poll_lost(context);
        }
        self.inner().poll_read(context, to)
    }
}

impl AsyncWrite for RealStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready_to_send(context));
        if self.loses(Direction::Out) {
            self.lose(Direction::Out);
            return Poll::Ready(Ok(from.len()));
        }
        let result = ready!(self.inner().poll_write(context, from));
        Poll::Ready(self.written(result, from.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready_to_send(context));
        let count = from.iter().map(|slice| slice.len()).sum();
        if self.loses(Direction::Out) {
            self.lose(Direction::Out);
            return Poll::Ready(Ok(count));
        }
        let result = ready!(self.inner().poll_write_vectored(context, from));
        Poll::Ready(self.written(result, count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready_to_send(context));
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready_to_send(context));
        if self.loses(Direction::Out) {
            self.lose(Direction::Out);
            return Poll::Ready(Ok(()));
        }
        self.inner().poll_shutdown(context)
    }
}

impl Drop for RealStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if let Some(cut) = &self.cut
            && cut.loses(Direction::Out)
            && let Ok(stream) = stream.into_std()
        {
            cut.keep(stream);
        }
    }
}
