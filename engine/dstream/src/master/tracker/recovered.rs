//! The tracker of a new master: what an earlier one had begun is gone on with.
//!
//! Knows the journal's words, not how they were read. Invariants: nothing runs before all workers have said what they hold
//! or had time to; then the least set of tasks runs, as after a loss; numbers of attempts are never used twice.

use super::{Tracker, TrackerAction};
use crate::master::journal::Snapshot;
use crate::master::run::{Run, TaskState};
use crate::message::{BlockOrder, Made, TaskId};
use dstream_cluster::message::VisibleResult;
use std::collections::BTreeSet;

/// Attempts of one master at one task, with room: far more than a task can fail.
const ATTEMPTS_OF_A_TERM: u64 = 1 << 16;

impl Tracker {
    /// Takes over the runs that were sealed and not over.
    pub(super) fn recovered(&mut self, term: u64, found: Snapshot, visible: &[VisibleResult]) {
        self.is_recovering = true;
        let first = term.saturating_sub(1) % ATTEMPTS_OF_A_TERM * ATTEMPTS_OF_A_TERM;
        self.first_attempt = u32::try_from(first).expect("two numbers below 2^16 make one below 2^32");
        self.next = found.next;
        if self.reach > 0 {
            self.panes.restore(&found.checkpoints, found.below);
        }
        let given_up: BTreeSet<_> = found.given_up.iter().map(|(block, _)| *block).collect();
        for sealed in found.open {
            let orders: Vec<BlockOrder> =
                sealed.blocks.iter().map(|one| BlockOrder { holders: Vec::new(), ..one.order.clone() }).collect();
            let mut run = Run::new(&self.shape, &orders, (self.limits.partitions, self.first_attempt));
            (run.is_journalled, run.is_recovered) = (true, true);
            for task in run.stages.iter_mut().flatten() {
                task.state = TaskState::Spent;
                let before = task.blocks.len();
                task.blocks.retain(|block| !given_up.contains(&block.name));
                run.given_up += u32::try_from(before - task.blocks.len()).unwrap_or(u32::MAX);
            }
            self.runs.insert(sealed.interval, run);
            for one in sealed.blocks.into_iter().filter(|one| !given_up.contains(&one.order.name)) {
                self.blocks.insert(one.order.name, (Vec::new(), one.ranges));
            }
        }
        for result in visible {
            let stage = self.shape.stages.iter().position(|stage| stage.output.as_ref() == Some(&result.output));
            let tasks = stage.and_then(|stage| self.runs.get_mut(&result.interval)?.stages.get_mut(stage));
            if let Some(task) = tasks.and_then(|tasks| tasks.get_mut(result.partition as usize)) {
                task.committed = true;
            }
        }
    }

    /// What a worker has of earlier masters' tasks need not be made again. Not what may have been made with blocks that
    /// have been given up since.
    pub(super) fn held(&mut self, worker: u32, made: Vec<Made>) {
        let first_without =
            self.runs.iter().find(|(_, run)| run.given_up > 0).map_or(u64::MAX, |(interval, _)| *interval);
        for Made { interval, stage, partition, pane } in made {
            let keeps = self.shape.stages.get(stage as usize).is_some_and(|stage| !stage.kept.is_empty());
            if interval >= first_without || keeps != pane.is_some() || pane.is_some_and(|(_, lacks)| lacks != 0) {
                continue;
            }
            let attempt = pane.map_or(0, |(attempt, _)| attempt);
            if let Some(task) = self.task(TaskId { interval, stage, partition, attempt }) {
                if !matches!(task.state, TaskState::Spent | TaskState::Waiting) {
                    continue;
                }
                (task.state, task.current) = (TaskState::Done { worker }, attempt);
            }
            if keeps && self.panes.worker((stage, partition), interval).is_none() {
                self.panes.made((stage, partition), interval, worker, attempt);
            }
        }
    }

    /// All workers that will have said what they hold: the rest is made again.
    pub(super) fn resumed(&mut self, actions: &mut Vec<TrackerAction>) {
        self.is_recovering = false;
        self.repair();
        let intervals: Vec<u64> = self.runs.keys().copied().collect();
        for interval in intervals {
            self.finish(interval, actions);
        }
    }
}
