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

/// How long a row may be that finds room on a line: a short key and some numbers. A length that is known saves asking.
pub(crate) const LINE_BYTES: usize = 64;

/// Room for a row.
#[derive(Debug)]
pub(crate) struct Line<'r> {
    room: &'r mut [u8; LINE_BYTES],
    at: usize,
}

impl<'r> Line<'r> {
    /// An empty one.
    #[inline]
    pub(crate) fn new(room: &'r mut [u8; LINE_BYTES]) -> Line<'r> {
        Line { room, at: 0 }
    }

    /// How long the row has become; nothing if it was too long.
    #[inline]
    pub(crate) fn length(&self) -> Option<usize> {
        (self.at <= LINE_BYTES).then_some(self.at)
    }
}

impl Out for Line<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.room.get_mut(self.at) {
            *place = byte;
        }
        self.at = self.at.wrapping_add(1);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at.wrapping_add(bytes.len());
        if let Some(place) = self.room.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
    }

    /// Bytes behind `length` are overwritten by what follows.
    #[inline]
    fn short(&mut self, bytes: &[u8; IMAGE_BYTES], length: usize) {
        if let Some(place) = self.room.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            *place = *bytes;
            self.at = self.at.wrapping_add(length);
        } else {
            self.at = usize::MAX;
        }
    }
}
