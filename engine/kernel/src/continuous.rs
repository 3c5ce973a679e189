//! A stage's continuous form: one partition of a stage behind a shuffle as a long-lived operator that takes slices as they
//! come and closes an interval when it is told that nothing more of it will.
//!
//! Knows no channel and no engine: who sends, who restores and how far senders may run ahead is the engine's matter.
//! Invariants: what an interval closes with depends on the set of its slices and on the panes alone, so that replicas agree
//! byte for byte; it is, byte for byte, what a task of the same stage makes of the same slices and panes.

use crate::held::HeldState;
use crate::program::{Ending, Fold, OpenInterval, Program};
use crate::query::{Counts, TaskAt, TaskError, TaskResult};
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::scratch::Scratch;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One partition of a stage behind a shuffle, state in place. After an error or a panic of a user's function it must be
/// thrown away and made again of its panes.
pub trait Operator: Send {
    /// Takes in a slice of an interval that is still open; it may be a later one than the one that closes next. With
    /// `running` it also says what changed, see [`Absorbed::changed`].
    ///
    /// # Errors
    /// [`TaskError::WrongInterval`] if the interval is closed, [`TaskError::Corrupt`] if no encoder wrote the slice.
    fn absorb(
        &mut self,
        interval: u64,
        slice: &[u8],
        running: bool,
        scratch: &mut Scratch,
    ) -> Result<Absorbed, TaskError>;

    /// Closes `at.interval`, which must be [`Operator::next`]; one of which nothing came closes empty. The result is that
    /// of a task on the interval's slices, except that it counts no input: that was counted when it was absorbed.
    ///
    /// # Errors
    /// [`TaskError::WrongInterval`] out of order, [`TaskError::Corrupt`] if panes do not belong together.
    fn close(&mut self, at: TaskAt, scratch: &mut Scratch) -> Result<TaskResult, TaskError>;

    /// The result that `at.interval`, which may be any open one, would have if it and those before it closed now, with
    /// further slices of open intervals taken in (interval, slice). Nothing changes.
    ///
    /// # Errors
    /// [`TaskError::WrongInterval`] if the interval is closed, [`TaskError::Corrupt`] if no encoder wrote a slice.
    fn so_far(&mut self, at: TaskAt, more: &[(u64, Bytes)], scratch: &mut Scratch) -> Result<TaskResult, TaskError>;

    /// The interval that closes next.
    fn next(&self) -> u64;

    /// What intervals from [`Operator::next`] on read of those before it; panes without rows are left out. Cheap copies;
    /// a pane never changes, so each need be saved only once.
    fn panes(&self) -> Vec<HeldPane>;
}

/// A pane that an operator holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPane {
    /// Its place in [`crate::Stage::kept`] and in [`TaskResult::kept`].
    pub kept: usize,
    /// The interval that left it.
    pub interval: u64,
    /// A row block.
    pub rows: Bytes,
}

/// What came of absorbing a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absorbed {
    /// What was read, and as `rows_out` and `bytes_out` what `changed` holds.
    pub counts: Counts,
    /// If asked for: the output's rows for the keys of the slice, with their values in this open interval so far (without
    /// earlier intervals), encoded and ordered like the interval's result. Only a stage that ends in an output, right
    /// behind a reduction by key or a count, has any; of the others it is `None`.
    pub changed: Option<Bytes>,
}

/// The operator of a stage with records of type `T` before its end.
pub(crate) struct Continuous<T: Record> {
    program: Program<T>,
    fold: Arc<dyn Fold>,
    next: u64,
    open: BTreeMap<u64, Box<dyn OpenInterval>>,
    /// For each kind of pane: by interval, those that `next` or a later interval reads and that have rows.
    held: Vec<Held>,
    /// What of them is in place.
    state: HeldState,
}

#[derive(Clone)]
struct Held {
    /// How far back panes of this kind are read.
    nearest: u64,
    farthest: u64,
    panes: BTreeMap<u64, Bytes>,
}

impl<T: Record> Continuous<T> {
    /// An operator with these panes, at the beginning of interval `next`.
    pub(crate) fn restored(
        program: Program<T>,
        fold: Arc<dyn Fold>,
        next: u64,
        panes: Vec<HeldPane>,
    ) -> Result<Continuous<T>, TaskError> {
        let held = |kept: crate::query::Kept| Held {
            nearest: *kept.back.start(),
            farthest: *kept.back.end(),
            panes: BTreeMap::new(),
        };
        let mut held: Vec<Held> = fold.kept().into_iter().map(held).collect();
        for HeldPane { kept, interval, rows } in panes {
            let held = held.get_mut(kept).filter(|held| interval < next && held.is_read(interval, next));
            let held = held.ok_or(TaskError::WrongInput(program.stage))?;
            if held.panes.insert(interval, rows).is_some() {
                return Err(TaskError::WrongInput(program.stage));
            }
        }
        Ok(Continuous { program, fold, next, open: BTreeMap::new(), held, state: HeldState::default() })
    }

    /// What came of an open interval, once more. A closed interval's rows are a slice of it: taken in again they give
    /// the same.
    fn copy_open(&mut self, interval: u64, scratch: &mut Scratch) -> Result<Box<dyn OpenInterval>, TaskError> {
        let mut copy = self.fold.open(scratch);
        if let Some(open) = self.open.remove(&interval) {
            let mut rows = open.close(scratch);
            let slice = rows.seal();
            scratch.keep_buffer(rows);
            let mut again = self.fold.open(scratch);
            again.absorb(&slice, &mut 0, None)?;
            self.open.insert(interval, again);
            copy.absorb(&slice, &mut 0, None)?;
        }
        Ok(copy)
    }

    fn wrong(&self, interval: u64) -> TaskError {
        TaskError::WrongInterval { stage: self.program.stage, interval, next: self.next }
    }
}

impl Held {
    /// Whether `next` or a later interval reads the pane of `interval`.
    fn is_read(&self, interval: u64, next: u64) -> bool {
        interval.checked_add(self.farthest).is_some_and(|last| last >= next)
    }

    /// What interval `at` reads, oldest first.
    fn past(&self, at: u64) -> Vec<Bytes> {
        let pane = |back: u64| at.checked_sub(back).and_then(|interval| self.panes.get(&interval));
        (self.nearest..=self.farthest).rev().map(|back| pane(back).cloned().unwrap_or_default()).collect()
    }

    /// Takes the pane of `interval` in and lets go of what nobody reads behind it.
    fn keep(&mut self, interval: u64, pane: &Bytes) {
        if !pane.is_empty() {
            self.panes.insert(interval, pane.clone());
        }
        while let Some(oldest) = self.panes.first_entry() {
            if oldest.key().saturating_add(self.farthest) > interval {
                return;
            }
            oldest.remove();
        }
    }
}

impl<T: Record> Operator for Continuous<T> {
    fn absorb(
        &mut self,
        interval: u64,
        slice: &[u8],
        running: bool,
        scratch: &mut Scratch,
    ) -> Result<Absorbed, TaskError> {
        if interval < self.next {
            return Err(self.wrong(interval));
        }
        let open = self.open.entry(interval).or_insert_with(|| self.fold.open(scratch));
        let mut counts = Counts { bytes_in: slice.len() as u64, ..Counts::default() };
        let has_running = running && self.program.is_direct() && open.has_running_values();
        let mut changed = has_running.then(|| scratch.take_buffer());
        open.absorb(slice, &mut counts.rows_in, changed.as_mut())?;
        let changed = changed.map(|rows| told(rows, &mut counts, scratch));
        Ok(Absorbed { counts, changed })
    }

    fn close(&mut self, at: TaskAt, scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
        if at.interval != self.next {
            return Err(self.wrong(at.interval));
        }
        let open = self.open.remove(&at.interval).unwrap_or_else(|| self.fold.open(scratch));
        let past: Vec<Vec<Bytes>> = self.held.iter().map(|held| held.past(at.interval)).collect();
        let ending = Ending { open, past: &past, held: &mut self.state };
        let result = self.program.close(&*self.fold, ending, at, Counts::default(), scratch)?;
        self.held.iter_mut().zip(&result.kept).for_each(|(held, pane)| held.keep(at.interval, pane));
        self.next += 1;
        Ok(result)
    }

    fn so_far(&mut self, at: TaskAt, more: &[(u64, Bytes)], scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
        if at.interval < self.next {
            return Err(self.wrong(at.interval));
        }
        let mut held = self.held.clone();
        let mut interval = self.next;
        loop {
            let mut open = self.copy_open(interval, scratch)?;
            let slices = more.iter().filter(|(of, _)| *of == interval);
            slices.into_iter().try_for_each(|(_, slice)| open.absorb(slice, &mut 0, None))?;
            let past: Vec<Vec<Bytes>> = held.iter().map(|held| held.past(interval)).collect();
            let at_it = TaskAt { interval, ..at };
            let ending = Ending { open, past: &past, held: &mut HeldState::default() };
            let result = self.program.close(&*self.fold, ending, at_it, Counts::default(), scratch)?;
            if interval == at.interval {
                return Ok(result);
            }
            held.iter_mut().zip(&result.kept).for_each(|(held, pane)| held.keep(interval, pane));
            interval += 1;
        }
    }

    fn next(&self) -> u64 {
        self.next
    }

    fn panes(&self) -> Vec<HeldPane> {
        let of_kind = |(kept, held): (usize, &Held)| -> Vec<HeldPane> {
            let pane = |(interval, rows): (&u64, &Bytes)| HeldPane { kept, interval: *interval, rows: rows.clone() };
            held.panes.iter().map(pane).collect()
        };
        self.held.iter().enumerate().flat_map(of_kind).collect()
    }
}

fn told(mut rows: RowBuffer, counts: &mut Counts, scratch: &mut Scratch) -> Bytes {
    counts.rows_out = rows.count();
    let block = rows.seal();
    counts.bytes_out = block.len() as u64;
    scratch.keep_buffer(rows);
    block
}
