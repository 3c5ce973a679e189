//! `count_by_window` and `running_count`: how many records there were, one number for each result.
//!
//! Each map task ships one number, a single reduce partition adds them. Invariant: a result has exactly one row, also
//! where there was no record; a pane of 0 records has no bytes.

use crate::keyed::{kept_leaving, kept_once};
use crate::program::{End, Finished, Fold, Folded, Gather, Reads};
use crate::query::{Counts, Kept, Produced, TaskError, Width};
use crate::record::Record;
use crate::rows::{decode_rows, encode_rows};
use crate::scratch::Scratch;
use crate::window::is_due;
use bytes::Bytes;
use std::num::NonZeroU64;

/// The side before the shuffle.
pub(crate) struct Count;

impl<T: Record> End<T> for Count {
    fn open(&self, _scratch: &mut Scratch) -> Box<dyn Gather<T>> {
        Box::new(Counted(0))
    }
}

struct Counted(u64);

impl<T: Record> Gather<T> for Counted {
    fn chunk<'a>(&mut self, records: &[T::Ref<'a>]) {
        self.0 += records.len() as u64;
    }

    fn finish(self: Box<Self>, partitions: u32, _scratch: &mut Scratch) -> Finished {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        let mut slices = vec![Bytes::new(); partitions as usize];
        slices[0] = pane(self.0);
        Finished { rows: u64::from(self.0 > 0), produced: Produced::Slices(slices) }
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
            read.push(sum(panes, &mut 0)?);
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
            Some(length) => vec![kept_leaving("values", length), kept_once("window")],
            None => vec![kept_once("state")],
        }
    }

    fn width(&self) -> Width {
        Width::One
    }

    fn fold(&self, reads: Reads<'_>, scratch: &mut Scratch, counts: &mut Counts) -> Result<Folded, TaskError> {
        let values = sum(reads.slices, &mut counts.rows_in)?;
        let (all, kept) = self.step(values, reads.past, &mut counts.rows_applied)?;
        let mut rows = scratch.take_buffer();
        if is_due(reads.interval, self.slide) {
            rows.push::<u64>(all);
        }
        Ok(Folded { rows, kept })
    }
}

fn pane(count: u64) -> Bytes {
    encode_rows::<u64>((count > 0).then_some(count))
}

fn sum(blocks: &[Bytes], rows_read: &mut u64) -> Result<u64, TaskError> {
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
