//! The tracker of a new master: what an earlier one had begun is gone on with.
//!
//! Knows the journal's words, not how they were read. Invariants: nothing runs before all workers have said what they hold
//! or had time to; then the least set of tasks runs, as after a loss; numbers of attempts are never used twice.

use super::{Tracker, TrackerAction};
use crate::master::journal::Snapshot;
use crate::master::run::{Run, TaskState};
use crate::message::{BlockOrder, Made, TaskId};
use crate::replay::is_beyond_workers;
use dstream_cluster::message::VisibleResult;
use std::collections::BTreeSet;

/// Attempts of one master at one task, with room: far more than a task can fail.
const ATTEMPTS_OF_A_TERM: u64 = 1 << 16;

/// Which workers still hold the block they have yet to say. Log and clients do not forget.
fn without_workers(order: &BlockOrder) -> BlockOrder {
    let holders = order.holders.iter().copied().filter(|holder| is_beyond_workers(*holder)).collect();
    BlockOrder { holders, ..order.clone() }
}

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
        self.lacking = found.given_up.iter().filter_map(|(_, interval)| *interval).collect();
        let given_up: BTreeSet<_> = found.given_up.iter().map(|(block, _)| *block).collect();
        for sealed in found.open {
            let orders: Vec<BlockOrder> = sealed.blocks.iter().map(|one| without_workers(&one.order)).collect();
            let mut run = Run::new(&self.shape, &orders, (self.limits.partitions, self.first_attempt));
            (run.is_journalled, run.is_recovered) = (true, true);
            for task in run.stages.iter_mut().flatten() {
                task.state = TaskState::Spent;
                let before = task.blocks.len();
                task.blocks.retain(|block| !given_up.contains(&block.name));
                run.given_up += u32::try_from(before - task.blocks.len()).unwrap_or(u32::MAX);
            }
            // Whatever was made before was made of what was not given up by then.
            run.stages.iter_mut().flatten().for_each(|task| task.made_without = Some(run.given_up));
            self.runs.insert(sealed.interval, run);
            for one in sealed.blocks.into_iter().filter(|one| !given_up.contains(&one.order.name)) {
                self.blocks.insert(one.order.name, (without_workers(&one.order).holders, one.ranges));
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

    /// What a worker has of earlier masters' tasks need not be made again, if it is still what it should be. Of two
    /// that have the same the later attempt counts; of slices the other one is kept in mind. Who has made a result that is
    /// not at the sink was refused there: nobody else hands it in, so that task runs again.
    pub(super) fn held(&mut self, worker: u32, made: Vec<Made>) {
        for Made { interval, stage, partition, pane } in made {
            let id = TaskId { interval, stage, partition, attempt: pane.unwrap_or_default() };
            if !self.is_as_it_should_be(id, pane.is_some()) {
                continue;
            }
            let is_result = self.shape.stages[stage as usize].output.is_some();
            if let Some(task) = self.task(id) {
                if is_result && !task.committed {
                    continue;
                }
                let is_later = task.is_there() && task.current < id.attempt;
                if !is_later && !matches!(task.state, TaskState::Spent | TaskState::Waiting) {
                    if pane.is_none() {
                        task.is_also_at(worker, id.attempt);
                    }
                    continue;
                }
                (task.state, task.current) = (TaskState::Done { worker }, id.attempt);
            }
            if pane.is_some() {
                self.panes.made((stage, partition), interval, worker, id.attempt);
            }
        }
    }

    /// What was made with a block that has been given up since does not count: slices of that block, what was put together
    /// from slices on the way to results, and panes that are taken away from later ones or are parts of one state. That
    /// interval may be over: one that was lost before it was made again brings what it had first made.
    fn is_as_it_should_be(&self, id: TaskId, is_pane: bool) -> bool {
        let Some(shape) = self.shape.stages.get(id.stage as usize).filter(|shape| shape.kept.is_empty() != is_pane)
        else {
            return false;
        };
        if is_pane {
            let ties = shape.ties();
            let mut lacking = self.lacking.range(id.interval.saturating_sub(ties)..=id.interval);
            return ties == 0 || lacking.next().is_none();
        }
        let Some(run) = self.runs.get(&id.interval) else { return false };
        let task = run.stages[id.stage as usize].get(id.partition as usize);
        let has_block = shape.parent.is_none() && task.is_some_and(|task| !task.blocks.is_empty());
        has_block || run.given_up == 0
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
