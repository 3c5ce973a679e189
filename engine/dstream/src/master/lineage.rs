//! Lineage: which finished tasks have to run again because what they made is gone and somebody needs it.
//!
//! Pure, over all interval runs. Invariant: the least set is reset: a task only if a task that still has to run, an
//! interval to come or the checkpoint under way reads what it made, and no checkpoint has it. Readers are looked at
//! before what they read, so one pass over intervals and stages, latest first, finds everything. Which readers count,
//! the [`Demand`] says: with lazy recovery those alone that may run now.

use crate::master::checkpoint::Checkpoint;
use crate::master::panes::Panes;
use crate::master::run::{Run, Shape, TaskState};
use crate::master::schedule::number;
use std::collections::BTreeMap;

/// What there is to judge by.
pub(super) struct Lineage<'a> {
    pub(super) shape: &'a Shape,
    pub(super) panes: &'a Panes,
    /// The checkpoint under way.
    pub(super) checkpoint: Option<&'a Checkpoint>,
    pub(super) demand: Demand,
}

/// Whose needs count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand {
    /// Those of all tasks that have to run, also of intervals that are yet to be sealed, from `next` on.
    Any {
        /// The interval that is sealed next.
        next: u64,
    },
    /// Those of tasks that are due: their interval is journalled and has begun, or they themselves are made again for one
    /// that is.
    Due {
        /// The first interval that has not begun.
        begun_below: u64,
    },
}

impl Demand {
    /// Whether a task of the interval in that place counts.
    fn counts(self, runs: &BTreeMap<u64, Run>, interval: u64, stage: usize, partition: usize) -> bool {
        let run = runs.get(&interval);
        let is_open = run.is_some_and(|run| run.stages[stage][partition].is_open());
        match self {
            Demand::Any { next } => interval >= next || is_open,
            Demand::Due { begun_below } => {
                is_open && run.is_some_and(|run| run.is_over || (run.is_journalled && interval < begun_below))
            }
        }
    }
}

impl Lineage<'_> {
    /// Resets every spent task whose work is needed.
    pub(super) fn repair(&self, runs: &mut BTreeMap<u64, Run>) {
        let intervals: Vec<u64> = runs.keys().rev().copied().collect();
        for interval in intervals {
            for stage in (0..self.shape.stages.len()).rev() {
                self.repair_stage(runs, interval, stage);
            }
        }
    }

    fn repair_stage(&self, runs: &mut BTreeMap<u64, Run>, interval: u64, stage: usize) {
        let run = &runs[&interval];
        let is_read = run.has_open_readers(self.shape, stage);
        let is_result = self.shape.stages[stage].output.is_some();
        let needed: Vec<usize> = (run.stages[stage].iter().enumerate())
            .filter(|(_, task)| task.state == TaskState::Spent)
            .filter(|(partition, task)| {
                is_read || (is_result && !task.committed) || self.are_panes_read(runs, interval, stage, *partition)
            })
            .map(|(partition, _)| partition)
            .collect();
        if let Some(run) = runs.get_mut(&interval) {
            needed.into_iter().for_each(|partition| run.stages[stage][partition].reset());
        }
    }

    /// Whether an interval still to be computed, or the checkpoint under way, reads the panes of this one, and no checkpoint
    /// has them.
    fn are_panes_read(&self, runs: &BTreeMap<u64, Run>, interval: u64, stage: usize, partition: usize) -> bool {
        let counts = |reader: &u64| self.demand.counts(runs, *reader, stage, partition);
        interval >= self.panes.stored_below()
            && (self.shape.stages[stage].readers_of(interval).iter().any(counts)
                || self.are_panes_to_be_saved(interval, stage, partition))
    }

    /// Later intervals may have been computed by now: the checkpoint waits for these panes all the same.
    fn are_panes_to_be_saved(&self, interval: u64, stage: usize, partition: usize) -> bool {
        let reach = self.shape.stages[stage].reach();
        self.checkpoint.is_some_and(|open| {
            (interval..interval + reach).contains(&open.through) && open.lacks((number(stage), number(partition)))
        })
    }
}
