//! Reading encoded values: a cursor over bytes that other nodes wrote, and the varint that all integers use.
//!
//! Knows no record type. Invariant: no input makes it panic, and every value has one encoding only (an overlong varint is
//! refused), so that equal values are equal bytes.

use crate::line::Out;
use crate::query::TaskError;

/// The longest varint of 64 bits: nine groups of seven bits and one more.
pub const MAX_VARINT_BYTES: usize = 10;

/// A cursor over encoded bytes. What it hands out borrows from them.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes were read.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes that were read since position `start`.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The error that says `what` is wrong here.
    #[cold]
    pub fn corrupt(&self, what: &'static str) -> TaskError {
        TaskError::Corrupt { what, at: self.at }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], TaskError> {
        let Some(taken) = usize::try_from(count).ok().and_then(|count| self.bytes[self.at..].get(..count)) else {
            return Err(self.corrupt("a value is longer than the bytes that are left"));
        };
        self.at += taken.len();
        Ok(taken)
    }

    /// The next varint. One of up to eight bytes with eight bytes to read is taken at once; the others, and what is wrong,
    /// byte by byte.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, TaskError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if let Some(&byte) = rest.first()
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        if let Some(chunk) = rest.first_chunk() {
            let word = u64::from_le_bytes(*chunk);
            let ends = !word & 0x8080_8080_8080_8080;
            // All bits up to the end of the first byte without a top bit; the last byte must say something.
            let value = word & (ends ^ ends.wrapping_sub(1));
            if ends != 0 && value >> (ends.trailing_zeros() - 7) != 0 {
                self.at += ends.trailing_zeros() as usize / 8 + 1;
                return Ok(packed(value));
            }
        }
        self.varint_by_bytes()
    }

    #[cold]
    #[inline(never)]
    fn varint_by_bytes(&mut self) -> Result<u64, TaskError> {
        let mut value = 0u64;
        for (group, &byte) in self.bytes[self.at..].iter().take(MAX_VARINT_BYTES).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if group + 1 == MAX_VARINT_BYTES && byte > 1 {
                return Err(self.corrupt("an integer has more than 64 bits"));
            }
            value |= bits << (7 * group);
            if byte < 0x80 {
                if byte == 0 && group > 0 {
                    return Err(self.corrupt("an integer is written longer than it needs"));
                }
                self.at += group + 1;
                return Ok(value);
            }
        }
        Err(self.corrupt("an integer has no end"))
    }
}

/// The lower seven bits of each byte, without gaps: pairs of groups are joined, then pairs of pairs, then both halves.
#[inline]
fn packed(word: u64) -> u64 {
    let pairs = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let quads = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (quads & 0x0fff_ffff) | (quads & 0x0fff_ffff_0000_0000) >> 4
}

/// Appends `value` as a varint: seven bits a byte, the lowest first, the top bit set on all bytes but the last.
#[inline]
pub fn put_varint(mut value: u64, out: &mut impl Out) {
    while value >= 0x80 {
        out.byte(value as u8 | 0x80);
        value >>= 7;
    }
    out.byte(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, and where the cursor stands then.
    fn read(bytes: &[u8]) -> (Option<u64>, usize) {
        let mut reader = Reader::new(bytes);
        (reader.varint().ok(), reader.position())
    }

    #[test]
    fn a_varint_is_the_same_whatever_follows_it() {
        let numbers = (0..64).flat_map(|bits| [1u64 << bits, (1 << bits) - 1, u64::MAX >> bits]);
        for number in numbers {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            for follows in [0x00, 0x7f, 0x80, 0xff] {
                for count in 0..10 {
                    let more = [&bytes[..], &vec![follows; count]].concat();
                    assert_eq!(read(&more), (Some(number), bytes.len()), "{number} before {count} of {follows}");
                }
            }
        }
        for length in 2..9 {
            // Its last byte says nothing.
            let overlong = [vec![0x81; length - 1], vec![0; 9]].concat();
            assert_eq!(read(&overlong), (None, 0), "{length}");
        }
    }
}
