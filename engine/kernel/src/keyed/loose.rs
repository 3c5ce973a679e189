//! Rows that come in any order and are read in that of their bytes.
//!
//! Knows no record type. Invariant: equal sets of rows are sorted into equal bytes, since no encoding is a prefix of
//! another.

use crate::rows::RowBuffer;
use crate::scratch::Scratch;

/// Rows in any order.
pub(crate) struct Loose {
    rows: RowBuffer,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Loose {
    pub(crate) fn new(scratch: &mut Scratch) -> Loose {
        Loose { rows: scratch.take_buffer(), ends: Vec::new() }
    }

    /// Appends the row that `put` appends.
    #[inline]
    pub(crate) fn push_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        self.rows.push_with(put);
        self.ends.push(self.rows.encoded().len());
    }

    /// The rows by their bytes.
    pub(crate) fn sorted(self, scratch: &mut Scratch) -> RowBuffer {
        let (arrived, mut start) = (self.rows.encoded(), 0);
        let row = |end: &usize| {
            let row = &arrived[std::mem::replace(&mut start, *end)..*end];
            (prefix_of(row), row)
        };
        let mut rows: Vec<(u64, &[u8])> = self.ends.iter().map(row).collect();
        rows.sort_unstable_by(|(prefix, row), (others, other)| prefix.cmp(others).then_with(|| row.cmp(other)));
        let mut sorted = scratch.take_buffer();
        rows.into_iter().for_each(|(_, row)| sorted.push_with(|rows| rows.extend_from_slice(row)));
        scratch.keep_buffer(self.rows);
        sorted
    }
}

/// The first bytes of a row as a number that orders as they do; most rows differ in it, and sorting needs no more of them.
#[inline]
fn prefix_of(row: &[u8]) -> u64 {
    match row.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => row.iter().zip((0..8).rev()).fold(0, |sum, (byte, place)| sum | u64::from(*byte) << (8 * place)),
    }
}
