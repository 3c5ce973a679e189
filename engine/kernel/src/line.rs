//! Where encodings go: a vector that grows as it must, or a line of fixed room.
//!
//! Why a line: a vector asks after each byte whether it has to grow and writes its length to memory. A state writes millions
//! of rows of a few bytes; on a line the position stays in a register, and a short key is one store.
//!
//! Knows no record type. Invariant: a line that was too short says so, and what stands on it then means nothing.

use crate::image::IMAGE_BYTES;

/// Takes encodings.
pub trait Out {
    /// Appends a byte.
    fn byte(&mut self, byte: u8);

    /// Appends bytes.
    fn bytes(&mut self, bytes: &[u8]);

    /// Appends the first `length` of these bytes.
    #[inline]
    fn short(&mut self, bytes: &[u8; IMAGE_BYTES], length: usize) {
        self.bytes(&bytes[..length]);
    }
}

impl Out for Vec<u8> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Room for a row.
#[derive(Debug)]
pub struct Line<'r> {
    room: &'r mut [u8],
    at: usize,
}

impl<'r> Line<'r> {
    /// An empty one.
    #[inline]
    pub(crate) fn new(room: &'r mut [u8]) -> Line<'r> {
        Line { room, at: 0 }
    }

    /// How long it has become; nothing if the room was too short.
    #[inline]
    pub(crate) fn length(&self) -> Option<usize> {
        (self.at <= self.room.len()).then_some(self.at)
    }
}

impl Out for Line<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.room.get_mut(self.at) {
            *place = byte;
        }
        self.at += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(place) = self.room.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
    }

    /// Bytes behind `length` are overwritten by what follows.
    #[inline]
    fn short(&mut self, bytes: &[u8; IMAGE_BYTES], length: usize) {
        match self.room.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => *place = *bytes,
            None => return self.bytes(&bytes[..length]),
        }
        self.at += length;
    }
}
