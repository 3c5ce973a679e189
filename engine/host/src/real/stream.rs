//! A real stream behind its node's gate and, on the side that opened it, behind whatever is wrong between the two
//! nodes.
//!
//! Invariants: while the gate is closed nothing is read or written; a direction that lost bytes stays silent; nothing
//! is sent before what the node recorded is kept.

#![expect(clippy::disallowed_types, reason = "this is the real host's network")]

use super::journal::Journal;
use super::links::Path;
use super::transit::{self, Arrival, Late, Outgoing, PIECE_BYTES, PIECES};
use crate::facade::BoxFuture;
use crate::shape::Gate;
use bytes::{Buf, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;

/// Bytes of the buffer into which lost bytes are read.
const LOST_BUFFER: usize = 1024;

/// A TCP stream of a real node.
pub struct RealStream {
    gate: Gate,
    reader: Reader,
    writer: Writer,
    /// In and out, on the side that opened the stream.
    paths: Option<(Path, Path)>,
    journal: Arc<dyn Journal>,
}

enum Reader {
    Direct(OwnedReadHalf),
    /// What has arrived and was not read yet stands in `rest`.
    Late {
        arrivals: mpsc::Receiver<Arrival>,
        rest: Bytes,
    },
    /// Between the two; never seen from outside a call.
    Gone,
}

enum Writer {
    Direct(Outgoing),
    Late { queue: mpsc::Sender<Late>, room: Option<Room> },
    Closed,
}

/// Waits for room for one piece.
type Room = BoxFuture<'static, Result<mpsc::OwnedPermit<Late>, mpsc::error::SendError<()>>>;

impl RealStream {
    /// A stream of the node whose gate this is; `paths` in and out on the side that opened it.
    pub fn new(stream: TcpStream, gate: Gate, paths: Option<(Path, Path)>, journal: Arc<dyn Journal>) -> RealStream {
        let (reading, writing) = stream.into_split();
        let outgoing = Outgoing::new(writing, paths.as_ref().map(|(_, out)| out.clone()));
        RealStream { gate, reader: Reader::Direct(reading), writer: Writer::Direct(outgoing), paths, journal }
    }

    fn inward(&self) -> Option<&Path> {
        self.paths.as_ref().map(|(inward, _)| inward)
    }

    fn outward(&self) -> Option<&Path> {
        self.paths.as_ref().map(|(_, outward)| outward)
    }

    /// From the first arrival on that has to wait, all go through a queue. Only the reading task may do this: it is the
    /// one that a direct half would wake.
    fn queue_arrivals(&mut self) {
        let Some((inward, _)) = self.paths.as_ref().filter(|(inward, _)| inward.slows()) else { return };
        self.reader = match std::mem::replace(&mut self.reader, Reader::Gone) {
            Reader::Direct(half) => {
                Reader::Late { arrivals: transit::receive(half, inward.clone()), rest: Bytes::new() }
            }
            other => other,
        };
    }

    /// The same for what goes out.
    fn queue_departures(&mut self) {
        let Some((_, outward)) = self.paths.as_ref().filter(|(_, outward)| outward.slows()) else { return };
        self.writer = match std::mem::replace(&mut self.writer, Writer::Closed) {
            Writer::Direct(outgoing) => {
                let (queue, pieces) = mpsc::channel(PIECES);
                tokio::spawn(transit::send(outgoing, outward.clone(), pieces));
                Writer::Late { queue, room: None }
            }
            other => other,
        };
    }

    /// Ready when the node is not paused and what it recorded is kept.
    fn poll_ready_to_send(&self, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.gate.poll_open(context));
        self.journal.poll_kept(context)
    }

    fn poll_arrival(&mut self, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.reader {
            Reader::Direct(half) => Pin::new(half).poll_read(context, to),
            Reader::Late { arrivals, rest } => {
                if rest.is_empty() {
                    match ready!(arrivals.poll_recv(context)) {
                        Some(Ok(piece)) => *rest = piece,
                        Some(Err(error)) => return Poll::Ready(Err(error)),
                        None => {} // the end again
                    }
                }
                let count = rest.len().min(to.remaining());
                to.put_slice(&rest[..count]);
                rest.advance(count);
                Poll::Ready(Ok(()))
            }
            Reader::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Reads what is lost; never ready, since nothing ever comes out of a direction that lost bytes.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.inward().is_some_and(Path::is_lost) {
            let mut scratch = [0; LOST_BUFFER];
            let mut scratch = ReadBuf::new(&mut scratch);
            // Bytes, the end of the stream and a reset are lost alike.
            if self.poll_arrival(context, &mut scratch).is_ready()
                && let Some(inward) = self.inward()
            {
                inward.lose();
            }
        }
        Poll::Pending
    }

    /// Loses what would go out, if it is lost.
    fn loses_out(&self) -> bool {
        let loses = self.outward().is_some_and(Path::loses);
        if loses && let Some(outward) = self.outward() {
            outward.lose();
        }
        loses
    }

    fn poll_send(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.writer {
            Writer::Direct(outgoing) => Pin::new(outgoing.half()).poll_write_vectored(context, from),
            Writer::Late { queue, room } => {
                let waiting = room.get_or_insert_with(|| Box::pin(queue.clone().reserve_owned()));
                let permit = ready!(waiting.as_mut().poll(context));
                *room = None;
                let Ok(permit) = permit else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
                let Some(slice) = from.iter().find(|slice| !slice.is_empty()) else { return Poll::Ready(Ok(0)) };
                let piece = Bytes::copy_from_slice(&slice[..slice.len().min(PIECE_BYTES)]);
                let count = piece.len();
                let due = self.paths.as_ref().map(|(_, outward)| outward.enter()).unwrap_or_default();
                permit.send((due, piece));
                Poll::Ready(Ok(count))
            }
            Writer::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncRead for RealStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_open(context));
        if self.inward().is_some_and(Path::loses) {
            return self.poll_lost(context);
        }
        self.queue_arrivals();
        self.poll_arrival(context, to)
    }
}

impl AsyncWrite for RealStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready_to_send(context));
        let count = from.iter().map(|slice| slice.len()).sum();
        if self.loses_out() {
            return Poll::Ready(Ok(count));
        }
        self.queue_departures();
        match ready!(self.poll_send(context, from)) {
            // The peer's reset would not have got through.
            Err(_) if self.inward().is_some_and(|inward| inward.loses() || inward.slows()) => Poll::Ready(Ok(count)),
            result => Poll::Ready(result),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready_to_send(context));
        match &mut self.writer {
            Writer::Direct(outgoing) => Pin::new(outgoing.half()).poll_flush(context),
            Writer::Late { .. } | Writer::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready_to_send(context));
        if self.loses_out() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.writer {
            Writer::Direct(outgoing) => Pin::new(outgoing.half()).poll_shutdown(context),
            // What is queued goes out first; then the half closes.
            Writer::Late { .. } | Writer::Closed => {
                self.writer = Writer::Closed;
                Poll::Ready(Ok(()))
            }
        }
    }
}
