//! A partition's operators: the kernel's programs, kept from interval to interval, and what their work costs.
//!
//! Knows no channel and no protocol. Invariant: work is done in the order in which it is given; the cost follows from counts
//! of its input.

use crate::continuous::log::Batch;
use crate::continuous::message::PaneHeader;
use crate::continuous::node::{Done, Work, WorkDone};
use crate::continuous::topology::Topology;
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_kernel::{Counts, HeldPane, LineBlock, Operator, Produced, Query, Scratch, TaskAt, TaskError};
use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What all operators of a node share.
#[derive(Clone)]
pub struct Program {
    /// The query.
    pub query: Arc<Query>,
    /// Its stages as channels see them.
    pub topology: Arc<Topology>,
    /// What work costs.
    pub costs: Costs,
    /// How many records each record moved stands for.
    pub scale: u64,
    /// So many represented records are combined before the keyed operators; 1: each alone.
    pub chunk: u64,
}

impl Program {
    /// Whether rows are combined over several records before they are sent.
    fn combines(&self) -> bool {
        self.chunk > 1
    }

    /// How much more a byte of source record costs than in a batch: what is lost in a call is shared by the chunk.
    fn chunk_factor(&self) -> f64 {
        chunk_factor(&self.costs, self.chunk)
    }

    fn map_cost(&self, counts: Counts) -> f64 {
        let map = counts.bytes_in as f64 * self.scale as f64 * self.costs.map_ns_per_byte * self.chunk_factor();
        let sent = if self.combines() { 1 } else { self.scale };
        map + counts.bytes_out as f64 * sent as f64 * self.costs.codec_ns_per_byte
    }

    /// The update with rows of single records is part of the map's measured cost; that with combined rows is not.
    fn absorb_cost(&self, counts: Counts, is_combined: bool) -> f64 {
        let bytes = counts.bytes_in as f64 * self.costs.codec_ns_per_byte;
        let shown = counts.bytes_out as f64 * self.costs.codec_ns_per_byte;
        match is_combined {
            true => counts.rows_in as f64 * self.costs.merge_ns_per_row + bytes + shown,
            false => (bytes + shown) * self.scale as f64,
        }
    }

    fn close_cost(&self, counts: Counts) -> f64 {
        let rows = (counts.rows_in + counts.rows_applied) as f64;
        rows * self.costs.merge_ns_per_row + counts.bytes_out as f64 * self.costs.codec_ns_per_byte
    }
}

/// So many records are a batch: from there on nothing more is saved by combining more of them.
const BATCH_RECORDS: f64 = 65_536.0;

/// How many times what a byte costs in a batch it costs in chunks of so many records. What a chunk saves is rows, by
/// combining; that grows with the logarithm of its length (measured by the bench `chunk`).
pub fn chunk_factor(costs: &Costs, chunk: u64) -> f64 {
    let share = 1.0 - (chunk.max(1) as f64).ln() / BATCH_RECORDS.ln();
    1.0 + (costs.single_record_factor - 1.0) * share.max(0.0)
}

/// The operators of one partition.
pub struct Operators {
    program: Program,
    by_stage: BTreeMap<u32, Box<dyn Operator>>,
    scratch: Scratch,
}

impl Operators {
    /// Operators behind an interval, with what they held there.
    pub fn open(
        program: Program,
        partition: u32,
        through: Option<u64>,
        panes: Vec<(PaneHeader, Bytes)>,
    ) -> Result<Operators, TaskError> {
        let next = through.map_or(0, |through| through + 1);
        let mut of_stage: BTreeMap<u32, Vec<HeldPane>> = BTreeMap::new();
        for (header, rows) in panes {
            let (stage, kept) = (program.query.stages.get(header.stage as usize), header.kept as usize);
            // A save brings panes of earlier saves along that are needed no more.
            let kind = stage.and_then(|stage| stage.kept.get(kept));
            if kind.is_some_and(|kind| header.interval.saturating_add(*kind.back.end()) >= next) {
                let held = HeldPane { kept, interval: header.interval, rows };
                of_stage.entry(header.stage).or_default().push(held);
            }
        }
        let mut by_stage = BTreeMap::new();
        for keyed in program.topology.keyed_of(partition) {
            let stage = &program.query.stages[keyed.stage as usize];
            let panes = of_stage.remove(&keyed.stage).unwrap_or_default();
            by_stage.insert(keyed.stage, stage.program.operator(next, panes)?);
        }
        Ok(Operators { program, by_stage, scratch: Scratch::default() })
    }

    /// Everything that all operators hold of earlier intervals.
    pub fn panes(&self) -> Vec<(PaneHeader, Bytes)> {
        self.by_stage.iter().flat_map(|(stage, operator)| panes_of(*stage, &**operator)).collect()
    }

    /// Does one piece of work. A user's function that panics, or damaged rows, end in [`Done::Failed`].
    pub fn work(&mut self, work: Work) -> WorkDone {
        let done = catch_unwind(AssertUnwindSafe(|| self.attempt(work)));
        let done = done.unwrap_or_else(|panic| Err(format!("a function of the job panicked: {}", text(&*panic))));
        done.unwrap_or_else(|why| WorkDone { done: Done::Failed { why }, cost_ns: 0 })
    }

    fn attempt(&mut self, work: Work) -> Result<WorkDone, String> {
        let done = match work {
            Work::Map(batch) => self.map(&batch),
            Work::Absorb { stage, interval, records, rows, is_combined, debt } => {
                // What comes of closed intervals is few and is shown as their results.
                let shows = records.is_some();
                let operator = self.by_stage.get_mut(&stage).expect("work is for stages of the partition");
                operator.absorb(interval, &rows, shows, &mut self.scratch).map(|absorbed| {
                    let cost = self.program.absorb_cost(absorbed.counts, is_combined);
                    let running = absorbed.changed;
                    (Done::Absorbed { stage, interval, records, debt, running }, cost)
                })
            }
            Work::Close { stage, interval, with_panes } => self.close(stage, interval, with_panes),
            Work::SoFar { stage, interval, more } => self.so_far(stage, interval, &more),
        };
        let (done, cost) = done.map_err(|error| error.to_string())?;
        Ok(WorkDone { done, cost_ns: cost.round() as u64 })
    }

    fn map(&mut self, batch: &Batch) -> Result<(Done, f64), TaskError> {
        let program = &self.program;
        let block = LineBlock { lines: batch.lines.clone(), records: batch.range.count(), skip: Vec::new() };
        let group = NonZeroU64::new(program.chunk / program.scale.max(1)).unwrap_or(NonZeroU64::MIN);
        let (mut parts, mut cost) = (BTreeMap::new(), 0.0);
        for (map, reader) in &program.topology.maps {
            let width =
                program.topology.keyed.iter().find(|keyed| keyed.stage == *reader).map_or(1, |keyed| keyed.width);
            let at = TaskAt { interval: batch.interval, partitions: width };
            let stage = &program.query.stages[*map as usize];
            let result = stage.program.run_in_groups(&block, group, at, &mut self.scratch)?;
            cost += program.map_cost(result.counts);
            let Produced::Slices(slices) = result.produced else { return Err(TaskError::WrongInput(stage.id)) };
            let rows = (0u32..).zip(slices).filter(|(_, rows)| !rows.is_empty()).collect();
            parts.insert(*map, rows);
        }
        Ok((Done::Mapped { range: batch.range, interval: batch.interval, parts }, cost))
    }

    fn so_far(&mut self, stage: u32, interval: u64, more: &[(u64, Bytes)]) -> Result<(Done, f64), TaskError> {
        let operator = self.by_stage.get_mut(&stage).expect("work is for stages of the partition");
        if operator.next() > interval {
            return Ok((Done::SoFar { stage, interval, rows: None }, 0.0));
        }
        let result = operator.so_far(TaskAt { interval, partitions: 1 }, more, &mut self.scratch)?;
        let Produced::Rows(rows) = result.produced else {
            return Err(TaskError::WrongInput(self.program.query.stages[stage as usize].id));
        };
        let cost = self.program.close_cost(result.counts);
        Ok((Done::SoFar { stage, interval, rows: Some(rows) }, cost))
    }

    fn close(&mut self, stage: u32, interval: u64, with_panes: bool) -> Result<(Done, f64), TaskError> {
        let partitions = self.program.topology.reader_of(stage).map_or(1, |reader| reader.width);
        let operator = self.by_stage.get_mut(&stage).expect("work is for stages of the partition");
        let result = operator.close(TaskAt { interval, partitions }, &mut self.scratch)?;
        let panes = with_panes.then(|| panes_of(stage, &**operator).collect());
        let cost = self.program.close_cost(result.counts);
        Ok((Done::Closed { stage, interval, produced: result.produced, panes }, cost))
    }
}

fn panes_of(stage: u32, operator: &dyn Operator) -> impl Iterator<Item = (PaneHeader, Bytes)> {
    operator.panes().into_iter().map(move |pane| {
        let kept = u32::try_from(pane.kept).expect("a stage keeps a few kinds of panes");
        (PaneHeader { stage, kept, interval: pane.interval, bytes: pane.rows.len() as u64 }, pane.rows)
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
