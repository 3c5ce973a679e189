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
        let row = |end: &usize| &arrived[std::mem::replace(&mut start, *end)..*end];
        let mut rows: Vec<&[u8]> = self.ends.iter().map(row).collect();
        rows.sort_unstable();
        let mut sorted = scratch.take_buffer();
        rows.into_iter().for_each(|row| sorted.push_with(|rows| rows.extend_from_slice(row)));
        scratch.keep_buffer(self.rows);
        sorted
    }
}
