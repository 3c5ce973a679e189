//! Row blocks: encoded records with their count before them. Slices and outputs are row blocks.
//!
//! Knows no operator. Invariant: a block of no rows is no bytes, so equal lists of rows are equal bytes.

use crate::held::key::Shown;
use crate::line::{LINE_BYTES, Line};
use crate::query::TaskError;
use crate::reader::{Reader, put_varint};
use crate::record::Record;
use bytes::Bytes;
use std::marker::PhantomData;

/// Bytes of rows after which a batch ends: as much as stays in the second-level cache together with what is made of it.
const BATCH_BYTES: usize = 64 << 10;
/// Room that a buffer without any makes, at least.
const LEAST_ROOM: usize = 256;

/// Rows on their way into a block. Keeps its memory when it is sealed.
#[derive(Debug)]
pub struct RowBuffer {
    /// Encoded rows up to `end`, and room for more.
    rows: Vec<u8>,
    end: usize,
    count: u64,
    /// Where batches end, the last one excepted.
    cuts: Vec<usize>,
    /// A batch ends with the row that reaches this.
    next_cut: usize,
    /// Where a row that finds no room is made.
    long: Vec<u8>,
}

impl Default for RowBuffer {
    fn default() -> RowBuffer {
        RowBuffer { rows: Vec::new(), end: 0, count: 0, cuts: Vec::new(), next_cut: BATCH_BYTES, long: Vec::new() }
    }
}

impl RowBuffer {
    /// How many rows it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The encoded rows, without their count.
    pub fn encoded(&self) -> &[u8] {
        &self.rows[..self.end]
    }

    /// Appends a record.
    #[inline]
    pub fn push<T: Record>(&mut self, record: T::Ref<'_>) {
        self.push_with(|rows| T::put(record, rows));
    }

    /// Appends a pair whose key is encoded. The fastest way for a buffer into which rows come in this way alone: a call for
    /// each would be a fifth of what it costs.
    #[inline(always)]
    pub fn push_keyed<V: Record>(&mut self, key: Shown<'_>, value: V::Ref<'_>) {
        if let Some(room) = self.rows.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut) {
            let mut line = Line::new(room);
            key.put(&mut line);
            V::put(value, &mut line);
            if let Some(length) = line.length() {
                return self.count_row(self.end + length);
            }
        }
        self.push_long::<V>(key, value);
    }

    /// The same where there is no room, or not enough of it.
    #[cold]
    #[inline(never)]
    fn push_long<V: Record>(&mut self, key: Shown<'_>, value: V::Ref<'_>) {
        let mut row = std::mem::take(&mut self.long);
        row.clear();
        key.put(&mut row);
        V::put(value, &mut row);
        let end = self.end + row.len();
        if self.rows.len() < end + LINE_BYTES {
            self.rows.resize((self.rows.len() * 2).max(end + LEAST_ROOM), 0);
        }
        self.rows[self.end..end].copy_from_slice(&row);
        self.long = row;
        self.count_row(end);
    }

    /// Appends the row that `put` appends.
    #[inline]
    pub(crate) fn push_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        self.rows.truncate(self.end);
        put(&mut self.rows);
        self.count_row(self.rows.len());
    }

    /// Appends so many encoded rows at once.
    pub(crate) fn push_rows(&mut self, rows: &[u8], count: u64) {
        let end = self.end + rows.len();
        match self.rows.get_mut(self.end..end) {
            Some(room) => room.copy_from_slice(rows),
            None => {
                self.rows.truncate(self.end);
                self.rows.extend_from_slice(rows);
            }
        }
        self.end = end;
        self.count += count;
    }

    #[inline]
    fn count_row(&mut self, end: usize) {
        self.end = end;
        self.count += 1;
        if end >= self.next_cut {
            self.cuts.push(end);
            self.next_cut += BATCH_BYTES;
        }
    }

    /// The rows, decoded.
    pub(crate) fn rows<T: Record>(&self) -> Rows<'_, T> {
        Rows { reader: Reader::new(self.encoded()), left: self.count, record: PhantomData }
    }

    /// The encoded rows in batches of whole rows, each of about [`BATCH_BYTES`] unless one row is longer.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain(std::iter::once(self.end));
        starts.zip(ends).map(|(start, end)| &self.rows[start..end])
    }

    /// Makes a block of the rows and is empty afterwards.
    pub fn seal(&mut self) -> Bytes {
        let block = self.block();
        self.clear();
        block
    }

    /// A block of the rows, which stay.
    pub fn block(&self) -> Bytes {
        if self.count == 0 {
            return Bytes::new();
        }
        let mut block = Vec::with_capacity(self.end + crate::reader::MAX_VARINT_BYTES);
        put_varint(self.count, &mut block);
        block.extend_from_slice(self.encoded());
        Bytes::from(block)
    }

    /// Forgets the rows and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.end = 0;
        self.cuts.clear();
        self.next_cut = BATCH_BYTES;
        self.count = 0;
    }

    /// How many bytes it keeps.
    pub(crate) fn capacity(&self) -> usize {
        self.rows.capacity()
    }
}

/// Encodes records as a row block.
pub fn encode_rows<'a, T: Record>(records: impl IntoIterator<Item = T::Ref<'a>>) -> Bytes {
    let mut buffer = RowBuffer::default();
    for record in records {
        buffer.push::<T>(record);
    }
    buffer.seal()
}

/// Decodes a row block. Every record is checked as it is read; after an error there is nothing more.
///
/// ```
/// use dstream_kernel::rows::{decode_rows, encode_rows};
/// let block = encode_rows::<(String, u64)>([("spark", 2), ("storm", 1)]);
/// let rows: Vec<(&str, u64)> = decode_rows::<(String, u64)>(&block)?.collect::<Result<_, _>>()?;
/// assert_eq!(rows, [("spark", 2), ("storm", 1)]);
/// # Ok::<(), dstream_kernel::TaskError>(())
/// ```
pub fn decode_rows<T: Record>(block: &[u8]) -> Result<Rows<'_, T>, TaskError> {
    let mut reader = Reader::new(block);
    let left = match block {
        [] => 0,
        [0, ..] => return Err(reader.corrupt("an empty row block has no bytes, this one says that it has no rows")),
        _ => reader.varint()?,
    };
    // Every row takes at least a byte: a wrong count is found before anybody reserves memory for it.
    if left > reader.remaining() as u64 {
        return Err(reader.corrupt("a row block says that it has more rows than bytes"));
    }
    Ok(Rows { reader, left, record: PhantomData })
}

/// A pair's encoding and its value.
pub(crate) struct Keyed<'a, V: Record> {
    /// The key's encoding.
    pub(crate) bytes: &'a [u8],
    /// The pair's.
    pub(crate) row: &'a [u8],
    pub(crate) value: V::Ref<'a>,
}

impl<'a, K: Record, V: Record> Rows<'a, (K, V)> {
    /// The next pair; after an error the rest must not be read.
    #[inline]
    pub(crate) fn next_keyed(&mut self) -> Result<Option<Keyed<'a, V>>, TaskError> {
        if !self.advance()? {
            return Ok(None);
        }
        let start = self.reader.position();
        K::get(&mut self.reader)?;
        let bytes = self.reader.since(start);
        let value = V::get(&mut self.reader)?;
        Ok(Some(Keyed { bytes, row: self.reader.since(start), value }))
    }
}

/// The records of a row block.
#[derive(Debug)]
pub struct Rows<'a, T> {
    reader: Reader<'a>,
    left: u64,
    record: PhantomData<fn() -> T>,
}

impl<'a, T: Record> Rows<'a, T> {
    /// How many records are left, if the block is whole.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// How many bytes were read, the count before the first row included.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.reader.position()
    }

    #[inline]
    fn step(&mut self) -> Result<Option<T::Ref<'a>>, TaskError> {
        if self.advance()? { T::get(&mut self.reader).map(Some) } else { Ok(None) }
    }

    /// The error that says `what` is wrong with the row that was read last.
    #[cold]
    pub(crate) fn corrupt(&self, what: &'static str) -> TaskError {
        self.reader.corrupt(what)
    }

    /// Whether there is another row; the reader then stands before it.
    #[inline]
    fn advance(&mut self) -> Result<bool, TaskError> {
        if self.left == 0 {
            return match self.reader.remaining() {
                0 => Ok(false),
                _ => Err(self.reader.corrupt("a row block goes on after its last row")),
            };
        }
        self.left -= 1;
        Ok(true)
    }
}

impl<'a, T: Record> Iterator for Rows<'a, T> {
    type Item = Result<T::Ref<'a>, TaskError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            // Nothing after an error: the reader no longer stands at the beginning of a row.
            self.left = 0;
            self.reader = Reader::new(&[]);
        }
        step.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::key::Sought;

    #[test]
    fn a_pair_whose_key_is_encoded_becomes_the_same_row_however_long_it_is() {
        let (mut one, mut other) = (RowBuffer::default(), RowBuffer::default());
        for length in (0..200).chain([5000, 3, 70_000, 15, 16]) {
            let (key, value) = ("k".repeat(length / 2), "v".repeat(length));
            let mut encoded = Vec::new();
            String::put(&key, &mut encoded);
            one.push_keyed::<(u64, String)>(Sought::of(&encoded).shown, (length as u64, &value));
            other.push::<(String, (u64, String))>((&key, (length as u64, &value)));
            assert_eq!((one.encoded(), one.count()), (other.encoded(), other.count()), "{length}");
        }
        assert!(one.batches().eq(other.batches()));
        assert_eq!(one.seal(), other.seal());
    }
}
