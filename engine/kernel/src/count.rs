//! `count_by_window` and `running_count`: how many records there were, one number for each result.
//!
//! Each map task ships one number, a single reduce partition adds them. Invariant: a result has exactly one row, also
//! where there was no record; a pane of 0 records has no bytes.

use crate::keyed::{kept_leaving, kept_once};
use crate::program::{End, Finished, Fold, Folded, Gather, OpenInterval, Reads};
use crate::query::{Counts, Kept, Produced, TaskError, Width};
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows, encode_rows};
use crate::scratch::Scratch;
use crate::window::is_due;
use bytes::Bytes;
use std::num::NonZeroU64;

/// The side before the shuffle.
pub(crate) struct Count;

impl<T: Record> End<T> for Count {
    fn open(&self, partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<T>> {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        Box::new(Counted { records: 0, groups: scratch.take_buffer(), partitions })
    }
}

struct Counted {
    /// Of the group that is under way.
    records: u64,
    /// A number for each group before it that had records.
    groups: RowBuffer,
    partitions: u32,
}

impl Counted {
    fn put(&mut self) {
        if self.records > 0 {
            self.groups.push::<u64>(std::mem::take(&mut self.records));
        }
    }
}

impl<T: Record> Gather<T> for Counted {
    fn chunk<'a>(&mut self, records: &[T::Ref<'a>]) {
        self.records += records.len() as u64;
    }

    fn end_group(&mut self) {
        self.put();
    }

    fn finish(mut self: Box<Self>, scratch: &mut Scratch) -> Finished {
        self.put();
        let rows = self.groups.count();
        let mut slices = vec![Bytes::new(); self.partitions as usize];
        slices[0] = self.groups.seal();
        scratch.keep_buffer(self.groups);
        Finished { produced: Produced::Slices(slices), rows }
    }
}

/// The side after the shuffle.
pub(crate) struct CountFold {
    /// How many intervals a result covers; `None`: all from the start.
    pub(crate) length: Option<NonZeroU64>,
    pub(crate) slide: NonZeroU64,
}

impl CountFold {
    /// The count up to this interval, and the panes to keep.
    fn step(&self, values: u64, past: &[Vec<Bytes>], applied: &mut u64) -> Result<(u64, Vec<Bytes>), TaskError> {
        let mut read = Vec::new();
        for panes in past {
            read.push(sum(panes.iter().map(|pane| &**pane), &mut 0)?);
        }
        *applied += u64::from(values > 0);
        Ok(match *read {
            [leaving, before] => {
                *applied += u64::from(leaving > 0);
                let all = add(before, values)?.checked_sub(leaving);
                let all = all.ok_or(TaskError::Corrupt { what: "a count leaves a window that is less", at: 0 })?;
                (all, vec![pane(values), pane(all)])
            }
            [before] => {
                let all = add(before, values)?;
                (all, vec![pane(all)])
            }
            _ => (values, Vec::new()),
        })
    }
}

impl Fold for CountFold {
    fn kept(&self) -> Vec<Kept> {
        match self.length {
            Some(NonZeroU64::MIN) => Vec::new(),
            Some(length) => vec![kept_leaving::<u64>("values", length), kept_once::<u64>("window")],
            None => vec![kept_once::<u64>("state")],
        }
    }

    fn width(&self) -> Width {
        Width::One
    }

    fn reach(&self) -> Option<u64> {
        self.length.map(|length| length.get() - 1)
    }

    fn open(&self, _scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(Sum(0))
    }

    fn fold(
        &self,
        mut values: RowBuffer,
        reads: Reads<'_>,
        _scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let own = values.rows::<u64>().next().transpose()?.unwrap_or(0);
        let (all, kept) = self.step(own, reads.past, &mut counts.rows_applied)?;
        values.clear();
        if is_due(reads.interval, self.slide) {
            values.push::<u64>(all);
        }
        Ok(Folded { rows: values, kept })
    }
}

/// What has come so far; an interval without records has no row.
struct Sum(u64);

impl Sum {
    fn put(&self, rows: &mut RowBuffer) {
        if self.0 > 0 {
            rows.push::<u64>(self.0);
        }
    }
}

impl OpenInterval for Sum {
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, changed: Option<&mut RowBuffer>) -> Result<(), TaskError> {
        let came = sum(std::iter::once(slice), rows_read)?;
        self.0 = add(self.0, came)?;
        if let Some(changed) = changed.filter(|_| came > 0) {
            self.put(changed);
        }
        Ok(())
    }

    fn has_running_values(&self) -> bool {
        true
    }

    fn close(self: Box<Self>, scratch: &mut Scratch) -> RowBuffer {
        let mut rows = scratch.take_buffer();
        self.put(&mut rows);
        rows
    }
}

fn pane(count: u64) -> Bytes {
    encode_rows::<u64>((count > 0).then_some(count))
}

fn sum<'b>(blocks: impl IntoIterator<Item = &'b [u8]>, rows_read: &mut u64) -> Result<u64, TaskError> {
    let mut all = 0;
    for block in blocks {
        let rows = decode_rows::<u64>(block)?;
        *rows_read += rows.left();
        for count in rows {
            all = add(all, count?)?;
        }
    }
    Ok(all)
}

fn add(one: u64, other: u64) -> Result<u64, TaskError> {
    one.checked_add(other).ok_or(TaskError::Corrupt { what: "a count has more than 64 bits", at: 0 })
}
