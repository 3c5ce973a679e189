//! What a worker holds: blocks of input, slices between stages, panes between intervals. Plain data behind one lock.
//!
//! Knows no protocol. Invariant: what is in never changes; it only goes.

use crate::message::{BlockReport, Made, TaskId};
use crate::worker::tables::Tables;
use bytes::Bytes;
use dstream_kernel::Scratch;
use dstream_trace::BlockName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A block with its bytes.
#[derive(Clone, Debug)]
pub struct HeldBlock {
    /// Its description.
    pub report: BlockReport,
    /// The lines of each segment.
    pub segments: Vec<Bytes>,
}

impl HeldBlock {
    /// The lines of all segments in one piece, and the length of each.
    pub fn joined(&self) -> (Vec<u8>, Vec<u64>) {
        let mut lines = Vec::with_capacity(self.segments.iter().map(Bytes::len).sum());
        for segment in &self.segments {
            lines.extend_from_slice(segment);
        }
        (lines, self.segments.iter().map(|segment| segment.len() as u64).collect())
    }

    /// The block whose lines came in one piece; nothing if the lengths do not fit.
    pub fn from_joined(report: BlockReport, lines: &Bytes, lengths: &[u64]) -> Option<HeldBlock> {
        let total = lengths.iter().try_fold(0u64, |sum, length| sum.checked_add(*length))?;
        if total != lines.len() as u64 || lengths.len() != report.ranges.len() {
            return None;
        }
        let mut from = 0;
        let segments = lengths.iter().map(|length| {
            let to = from + *length as usize; // below `lines.len()`, as was just checked
            let segment = lines.slice(from..to);
            from = to;
            segment
        });
        let segments = segments.collect();
        Some(HeldBlock { report, segments })
    }
}

/// Slices of one interval and stage: map partition -> one slice for each reduce partition.
type StageSlices = BTreeMap<u32, Arc<Vec<Bytes>>>;

/// The panes that one task left: one row block for each of the stage's [`dstream_kernel::Kept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// The row blocks.
    pub parts: Vec<Bytes>,
    /// The attempt that made them.
    pub attempt: u32,
    /// A digest of which given-up input they lack; 0: nothing. Attempts are comparable only where it is equal.
    pub lacks: u64,
}

/// Everything that the worker holds.
#[derive(Default)]
pub struct Holdings {
    /// The worker's epoch: what a task of an older one made is not kept.
    pub epoch: Option<u64>,
    /// Blocks, own and copies.
    pub blocks: BTreeMap<BlockName, HeldBlock>,
    slices: BTreeMap<(u64, u32), StageSlices>,
    /// (stage, partition) -> interval -> its panes, made here or read once
    panes: BTreeMap<(u32, u32), BTreeMap<u64, Pane>>,
    /// States in place: what panes make, and nothing else.
    pub tables: Tables,
    /// Attempts that wait for a core and need not begin.
    cancelled: BTreeSet<TaskId>,
    /// Tables that tasks reuse; as many as tasks ever ran at once.
    scratches: Vec<Scratch>,
}

impl Holdings {
    /// Keeps the slices that a map task of this epoch made.
    pub fn keep_slices(&mut self, epoch: u64, (interval, stage, partition): (u64, u32, u32), slices: Vec<Bytes>) {
        if self.epoch != Some(epoch) {
            return;
        }
        self.slices.entry((interval, stage)).or_default().insert(partition, Arc::new(slices));
    }

    /// The slice that map partition `from` made for reduce partition `to`.
    pub fn slice(&self, interval: u64, stage: u32, from: u32, to: u32) -> Option<Bytes> {
        self.slices.get(&(interval, stage))?.get(&from)?.get(to as usize).cloned()
    }

    /// Keeps panes that a task of this epoch made or read, unless those of a later attempt are here.
    pub fn keep_pane(&mut self, epoch: u64, place: (u32, u32), interval: u64, pane: Pane) {
        if self.epoch != Some(epoch) {
            return;
        }
        let panes = self.panes.entry(place).or_default();
        if panes.get(&interval).is_none_or(|held| held.attempt <= pane.attempt) {
            panes.insert(interval, pane);
        }
    }

    /// The panes that this attempt at the task of this stage, partition and interval left.
    pub fn pane(&self, place: (u32, u32), interval: u64, attempt: u32) -> Option<&Pane> {
        self.panes.get(&place)?.get(&interval).filter(|pane| pane.attempt == attempt)
    }

    /// Forgets panes of intervals below `below`.
    pub fn forget_panes(&mut self, below: u64) {
        self.panes.values_mut().for_each(|panes| *panes = panes.split_off(&below));
        self.tables.forget(below);
    }

    /// Forgets slices of intervals below `below`, and of `interval`.
    pub fn forget_slices(&mut self, below: u64, interval: Option<u64>) {
        self.slices.retain(|(of, _), _| *of >= below && Some(*of) != interval);
    }

    /// Another epoch begins, or none: all slices and panes go, unless the master `keeps` them.
    pub fn begin_epoch(&mut self, epoch: Option<u64>, keeps: bool) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.cancelled.clear();
            if !keeps {
                self.slices.clear();
                self.panes.clear();
                self.tables.clear();
            }
        }
    }

    /// What tasks have left here.
    pub fn made(&self) -> Vec<Made> {
        let slices = self.slices.iter().flat_map(|((interval, stage), of)| {
            of.keys().map(|partition| Made { interval: *interval, stage: *stage, partition: *partition, pane: None })
        });
        let panes = self.panes.iter().flat_map(|((stage, partition), of)| {
            let made = |(interval, pane): (&u64, &Pane)| Made {
                interval: *interval,
                stage: *stage,
                partition: *partition,
                pane: Some(pane.attempt),
            };
            of.iter().map(made).collect::<Vec<_>>()
        });
        slices.chain(panes).collect()
    }

    /// The attempt need not begin. Its end is to be told with [`Holdings::ended`].
    pub fn cancel(&mut self, task: TaskId) {
        self.cancelled.insert(task);
    }

    /// Whether it need not begin.
    pub fn is_cancelled(&self, task: TaskId) -> bool {
        self.cancelled.contains(&task)
    }

    /// The attempt has ended.
    pub fn ended(&mut self, task: TaskId) {
        self.cancelled.remove(&task);
    }

    /// A table for a task; a new one if all are in use.
    pub fn take_scratch(&mut self) -> Scratch {
        self.scratches.pop().unwrap_or_default()
    }

    /// Gives a table back. One that a panicking task used is dropped instead.
    pub fn give_scratch(&mut self, scratch: Scratch) {
        self.scratches.push(scratch);
    }
}

/// The holdings, shared by the tasks of one worker.
#[derive(Clone, Default)]
pub struct SharedHoldings(Arc<Mutex<Holdings>>);

impl SharedHoldings {
    /// The holdings, locked. Nothing that can panic runs under the lock, so poison is ignored.
    pub fn lock(&self) -> MutexGuard<'_, Holdings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
