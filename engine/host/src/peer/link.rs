//! One connection of a pair that is up: its reader and its writer.
//!
//! Knows neither dialling nor the other connection. Invariants: the network card is paid before bytes leave and
//! before a frame is handed up; whoever writes or waits holds at most one batch; the reader waits for the node, never
//! the reverse.

use super::session::Session;
use super::shared::Shared;
use super::{Lane, PeerEvent, RequestId};
use crate::facade::{BoxIo, Net};
use crate::frame::{Decoder, Frame, Kind};
use crate::shape::PIECE_BYTES;
use bytes::{Buf, Bytes, BytesMut};
use dstream_trace::Event;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// A payload up to this long is copied beside its header, so that a batch of small frames is one piece of memory.
const COPY_BELOW: usize = 8 * 1024;

/// Most pieces of memory in one write.
const MAX_SLICES: usize = 16;

/// The first size of the read buffer, in bytes: most connections of a large cluster carry a few small messages.
const SMALL_READ: usize = 4 * 1024;

/// The largest size to which full reads let the read buffer grow, in bytes; above it system calls no longer matter.
const LARGE_READ: usize = 256 * 1024;

/// A connection whose two sides said hello; `buffer` holds what arrived behind it.
pub struct Connection {
    /// The stream.
    pub io: BoxIo,
    /// Bytes that were read and not looked at.
    pub buffer: BytesMut,
}

/// What the reader and the writer of one connection need.
#[derive(Clone)]
pub struct Link {
    /// The node's connections.
    pub shared: Arc<Shared>,
    /// The pair, this time.
    pub session: Arc<Session>,
    /// Which connection.
    pub lane: Lane,
    /// Where events go.
    pub events: mpsc::Sender<PeerEvent>,
}

impl Link {
    fn now(&self) -> dstream_trace::Moment {
        self.shared.host.clock.now()
    }

    /// Writes what the session holds until the session is closed or the stream breaks.
    pub async fn write(self, mut out: WriteHalf<BoxIo>) {
        let mut batch = Vec::new();
        while self.session.take(|| self.now(), self.lane, PIECE_BYTES, &mut batch).await {
            let bytes = batch.iter().map(Frame::wire_bytes).sum();
            if self.write_batch(&mut out, &batch).await.is_err() {
                return;
            }
            self.session.written(self.lane, self.now(), bytes);
            batch.clear();
        }
    }

    async fn write_batch(&self, out: &mut WriteHalf<BoxIo>, batch: &[Frame]) -> io::Result<()> {
        let charged = batch.iter().fold(0, |sum: u64, frame| sum.saturating_add(frame.charged_bytes()));
        let mut pieces = assemble(batch);
        let wire: usize = pieces.iter().map(Bytes::len).sum();
        let (mut paid, mut written) = (0, 0);
        // A long frame leaves piece by piece, each as soon as it is paid, so that the far side receives it meanwhile.
        while paid < charged {
            let piece = PIECE_BYTES.min(charged - paid);
            self.shared.host.net.egress(piece).await;
            paid += piece;
            if paid == charged {
                batch.iter().for_each(|frame| self.trace_sent(frame));
            }
            let until = share(wire as u64, paid, charged) as usize;
            write_some(out, &mut pieces, until - written).await?;
            written = until;
            self.session.sent(self.lane, self.now());
        }
        out.flush().await
    }

    fn trace_sent(&self, frame: &Frame) {
        if matches!(frame.kind, Kind::Message | Kind::Request | Kind::Reply) {
            let (to, purpose) = (self.session.peer.clone(), frame.purpose);
            self.shared.trace(Event::FrameSent { to, purpose, bytes: frame.charged_bytes() });
        }
    }

    /// Reads frames and hands them up until the stream ends. The fixed word if it ends for what the peer sent.
    pub async fn read(self, mut input: ReadHalf<BoxIo>, mut buffer: BytesMut) -> Option<&'static str> {
        let mut decoder = Decoder::new(self.shared.config.max_frame);
        let mut size = SMALL_READ;
        let mut paid = 0;
        loop {
            self.session.listening(self.lane, false);
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        receive(&*self.shared.host.net, frame.charged_bytes(), &mut paid).await;
                        paid = 0;
                        if let Err(word) = self.deliver(frame).await {
                            return Some(word);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Some(error.word()),
                }
            }
            if let Some(progress) = decoder.progress(&buffer) {
                let due = share(progress.charged, progress.have, progress.want);
                if due >= paid + PIECE_BYTES {
                    receive(&*self.shared.host.net, due, &mut paid).await;
                }
            }
            self.session.heard(self.lane, self.now());
            self.session.listening(self.lane, true);
            buffer.reserve(decoder.missing(&buffer).max(size));
            match input.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) if count >= size => size = (size * 2).min(LARGE_READ),
                Ok(_) => {}
            }
        }
    }

    async fn deliver(&self, frame: Frame) -> Result<(), &'static str> {
        let (peer, incarnation) = (self.session.peer.clone(), self.session.incarnation);
        let id = RequestId(frame.request);
        let event = match (frame.kind, self.lane) {
            (Kind::Message, lane) => {
                Some(PeerEvent::Message { peer: peer.clone(), incarnation, lane, payload: frame.payload.clone() })
            }
            (Kind::Request, Lane::Data) => {
                Some(PeerEvent::Request { peer: peer.clone(), incarnation, id, payload: frame.payload.clone() })
            }
            (Kind::Reply, Lane::Data) => None,
            (Kind::Ping, lane) => {
                self.session.show(lane, Kind::Pong);
                return Ok(());
            }
            (Kind::Pong, _) => return Ok(()),
            (Kind::Hello | Kind::Refusal, _) | (Kind::Request | Kind::Reply, Lane::Control) => {
                return Err("frame-unexpected");
            }
        };
        let (from, purpose) = (peer.clone(), frame.purpose);
        self.shared.trace(Event::FrameDelivered { from, purpose, bytes: frame.charged_bytes() });
        match event {
            // A node that dropped its receiver wants no events; its requests are answered all the same.
            Some(event) => drop(self.events.send(event).await),
            None => self.shared.answer(&peer, id, frame.payload),
        }
        Ok(())
    }
}

/// `part` of `whole`, as a share of `total`.
fn share(total: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(total) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).expect("a part is at most the whole, so the share is at most the total")
}

/// Pays the network card until `due` bytes of a frame are paid.
async fn receive(net: &dyn Net, due: u64, paid: &mut u64) {
    while *paid < due {
        let piece = PIECE_BYTES.min(due - *paid);
        net.ingress(piece).await;
        *paid += piece;
    }
}

/// The bytes of the frames: small ones together, payloads of large ones as they are.
fn assemble(batch: &[Frame]) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    let mut small = BytesMut::new();
    for frame in batch {
        small.extend_from_slice(&frame.header());
        if frame.payload.len() < COPY_BELOW {
            small.extend_from_slice(&frame.payload);
        } else {
            pieces.push_back(small.split().freeze());
            pieces.push_back(frame.payload.clone());
        }
    }
    if !small.is_empty() {
        pieces.push_back(small.freeze());
    }
    pieces
}

/// Writes the first `count` bytes of `pieces` and removes them.
async fn write_some(out: &mut WriteHalf<BoxIo>, pieces: &mut VecDeque<Bytes>, mut count: usize) -> io::Result<()> {
    while count > 0 {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        let mut left = count;
        for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
            let length = piece.len().min(left);
            *slice = IoSlice::new(&piece[..length]);
            left -= length;
            used += 1;
        }
        let mut written = out.write_vectored(&slices[..used]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        count -= written;
        while let Some(piece) = pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            pieces.pop_front();
        }
    }
    Ok(())
}
