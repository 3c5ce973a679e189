//! Frames: how peers cut a byte stream into messages, and how they know that the bytes are right.
//!
//! Knows no connection and no peer. Invariants: no bytes make the decoder panic or allocate more than the limit
//! allows; a large payload is never copied on its way out, nor on its way in once its header has been seen.
//!
//! ```text
//!  0        4      6      7         8            16         24        28
//!  | length | mark | kind | purpose | request id | declared | crc32   | payload (length bytes)
//! ```
//! Numbers are little-endian; the checksum covers the header before it and the payload.

use bytes::{Buf, Bytes, BytesMut};
use dstream_trace::Purpose;
use thiserror::Error;

/// Length of a header, in bytes. The network model charges it with the payload.
pub const HEADER_BYTES: usize = 28;

/// Opens every header, so that a stranger's first bytes are told from a frame at once.
const MARK: u16 = 0xD57A;

/// Most bytes that a frame may declare: above any transfer that a run would live to see the end of.
pub const DECLARED_LIMIT: u64 = 1 << 36;

/// A payload up to this long is copied out of the read buffer: a slice would keep the whole buffer alive for it.
const COPY_BELOW: usize = 16 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Opens a connection: who is there.
    Hello,
    /// Answers a hello that is not accepted; the payload is one of the fixed words.
    Refusal,
    /// A message.
    Message,
    /// A message that wants an answer.
    Request,
    /// The answer.
    Reply,
    /// Asks for a [`Kind::Pong`].
    Ping,
    /// A sign of life.
    Pong,
}

/// All kinds, in the order of their numbers on the wire, from 0.
const KINDS: [Kind; 7] =
    [Kind::Hello, Kind::Refusal, Kind::Message, Kind::Request, Kind::Reply, Kind::Ping, Kind::Pong];

/// All purposes, in the order of their numbers on the wire, from 0.
const PURPOSES: [Purpose; 6] =
    [Purpose::Control, Purpose::Input, Purpose::Copy, Purpose::Shuffle, Purpose::Output, Purpose::Recovery];

/// The purpose's number on the wire: its place in [`PURPOSES`].
fn purpose_number(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Control => 0,
        Purpose::Input => 1,
        Purpose::Copy => 2,
        Purpose::Shuffle => 3,
        Purpose::Output => 4,
        Purpose::Recovery => 5,
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What its cost counts as.
    pub purpose: Purpose,
    /// Ties a reply to its request; 0 in all other kinds.
    pub request: u64,
    /// Bytes that the network model is charged for the payload.
    pub declared: u64,
    /// What it carries.
    pub payload: Bytes,
}

impl Frame {
    /// A frame of the protocol itself, charged with its length.
    pub fn control(kind: Kind, payload: Bytes) -> Frame {
        Frame { kind, purpose: Purpose::Control, request: 0, declared: payload.len() as u64, payload }
    }

    /// Bytes on the wire.
    pub fn wire_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Bytes that the network model is charged: the header and what was declared for the payload.
    pub fn charged_bytes(&self) -> u64 {
        self.declared.saturating_add(HEADER_BYTES as u64)
    }

    /// The header. The payload follows it on the wire as it is.
    ///
    /// The payload must be shorter than 4 GiB; whoever accepts payloads checks it against the length limit.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let length = u32::try_from(self.payload.len()).expect("payloads are checked against a limit below 4 GiB");
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[4..6].copy_from_slice(&MARK.to_le_bytes());
        header[6] = self.kind as u8;
        header[7] = purpose_number(self.purpose);
        header[8..16].copy_from_slice(&self.request.to_le_bytes());
        header[16..24].copy_from_slice(&self.declared.to_le_bytes());
        let sum = checksum(&header, &self.payload);
        header[24..28].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// The whole frame in one piece: for tests and for frames of a few bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(self.wire_bytes());
        all.extend_from_slice(&self.header());
        all.extend_from_slice(&self.payload);
        all.freeze()
    }
}

/// The checksum of a frame; the header's own last four bytes are not covered.
fn checksum(header: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..24]);
    hasher.update(payload);
    hasher.finalize()
}

/// Why bytes are no frame. The stream has no frames after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It does not open as a frame does.
    #[error("frame-not-marked")]
    NotMarked,
    /// No kind has this number.
    #[error("frame-kind-unknown")]
    UnknownKind,
    /// No purpose has this number.
    #[error("frame-purpose-unknown")]
    UnknownPurpose,
    /// The payload is longer than the limit.
    #[error("frame-too-long")]
    TooLong,
    /// More bytes are declared than [`DECLARED_LIMIT`].
    #[error("frame-declares-too-much")]
    DeclaresTooMuch,
    /// The bytes changed on their way.
    #[error("frame-checksum-differs")]
    BadChecksum,
}

impl FrameError {
    /// The error's fixed word, as the trace writes it.
    pub fn word(self) -> &'static str {
        match self {
            FrameError::NotMarked => "frame-not-marked",
            FrameError::UnknownKind => "frame-kind-unknown",
            FrameError::UnknownPurpose => "frame-purpose-unknown",
            FrameError::TooLong => "frame-too-long",
            FrameError::DeclaresTooMuch => "frame-declares-too-much",
            FrameError::BadChecksum => "frame-checksum-differs",
        }
    }
}

/// A header whose payload has not arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    kind: Kind,
    purpose: Purpose,
    request: u64,
    declared: u64,
    length: usize,
    raw: [u8; HEADER_BYTES],
}

/// How far the frame that is being received has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the network model is charged for the whole frame.
    pub charged: u64,
    /// Bytes of the frame that are here, header included.
    pub have: u64,
    /// Bytes of the frame on the wire, header included.
    pub want: u64,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    pending: Option<Pending>,
    failed: Option<FrameError>,
}

impl Decoder {
    /// A decoder that refuses payloads longer than `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder { limit, pending: None, failed: None }
    }

    /// Takes one frame from the front of `buffer`; `None` if it is not there yet. An error is final: it comes again.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(buffer);
        self.failed = result.as_ref().err().copied();
        result
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let pending = match self.pending {
            Some(pending) => pending,
            None => {
                let Some(raw) = buffer.first_chunk::<HEADER_BYTES>().copied() else { return Ok(None) };
                let pending = parse_header(raw, self.limit)?;
                buffer.advance(HEADER_BYTES);
                *self.pending.insert(pending)
            }
        };
        if buffer.len() < pending.length {
            return Ok(None);
        }
        self.pending = None;
        let payload = buffer.split_to(pending.length);
        if checksum(&pending.raw, &payload).to_le_bytes() != pending.raw[24..28] {
            return Err(FrameError::BadChecksum);
        }
        let payload = if payload.len() < COPY_BELOW { Bytes::copy_from_slice(&payload) } else { payload.freeze() };
        let Pending { kind, purpose, request, declared, .. } = pending;
        Ok(Some(Frame { kind, purpose, request, declared, payload }))
    }

    /// How many more bytes complete the frame at the front of `buffer`; 0 if its header is not complete.
    pub fn missing(&self, buffer: &BytesMut) -> usize {
        self.pending.map_or(0, |pending| pending.length.saturating_sub(buffer.len()))
    }

    /// The frame whose header has arrived and whose payload has not.
    pub fn progress(&self, buffer: &BytesMut) -> Option<Progress> {
        self.pending.map(|pending| Progress {
            charged: pending.declared.saturating_add(HEADER_BYTES as u64),
            have: (HEADER_BYTES + buffer.len().min(pending.length)) as u64,
            want: (HEADER_BYTES + pending.length) as u64,
        })
    }
}

fn parse_header(raw: [u8; HEADER_BYTES], limit: usize) -> Result<Pending, FrameError> {
    let mut rest: &[u8] = &raw;
    let length = rest.get_u32_le() as usize;
    if rest.get_u16_le() != MARK {
        return Err(FrameError::NotMarked);
    }
    let kind = *KINDS.get(usize::from(rest.get_u8())).ok_or(FrameError::UnknownKind)?;
    let purpose = *PURPOSES.get(usize::from(rest.get_u8())).ok_or(FrameError::UnknownPurpose)?;
    if length > limit {
        return Err(FrameError::TooLong);
    }
    let request = rest.get_u64_le();
    let declared = rest.get_u64_le();
    if declared > DECLARED_LIMIT {
        return Err(FrameError::DeclaresTooMuch);
    }
    Ok(Pending { kind, purpose, request, declared, length, raw })
}

#[cfg(test)]
mod tests;
