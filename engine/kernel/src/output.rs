//! The end of a stage that goes to the sink: rows by the bytes of their keys, and how they read.
//!
//! Invariant: equal sets of rows are equal bytes. No encoding is a prefix of another, so ordering whole rows by their bytes
//! orders pairs by key and, where one key has several rows, by value.

use crate::program::{End, Finished, Gather};
use crate::query::{Produced, TaskError};
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use std::ops::Range;

/// Rows in any order.
pub(crate) struct Output;

impl<T: Record> End<T> for Output {
    fn open(&self, _partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<T>> {
        Box::new(Unsorted { rows: scratch.take_buffer(), spans: Vec::new() })
    }
}

struct Unsorted {
    rows: RowBuffer,
    spans: Vec<Range<usize>>,
}

impl<T: Record> Gather<T> for Unsorted {
    fn chunk<'a>(&mut self, records: &[T::Ref<'a>]) {
        for record in records {
            let start = self.rows.encoded().len();
            self.rows.push::<T>(*record);
            self.spans.push(start..self.rows.encoded().len());
        }
    }

    fn finish(mut self: Box<Self>, scratch: &mut Scratch) -> Finished {
        let unsorted = self.rows.encoded();
        self.spans.sort_unstable_by(|one, other| unsorted[one.clone()].cmp(&unsorted[other.clone()]));
        let mut sorted = scratch.take_buffer();
        for span in self.spans {
            sorted.push_with(|rows| rows.extend_from_slice(&unsorted[span]));
        }
        let finished = Finished { rows: sorted.count(), produced: Produced::Rows(sorted.seal()) };
        scratch.keep_buffer(self.rows);
        scratch.keep_buffer(sorted);
        finished
    }
}

/// The texts of an output's rows.
pub(crate) fn render<T: Record>(block: &[u8]) -> Result<Vec<(String, String)>, TaskError> {
    decode_rows::<T>(block)?.map(|row| row.map(T::show_row)).collect()
}
