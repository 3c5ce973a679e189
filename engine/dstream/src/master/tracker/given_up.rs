//! The tracker beyond the promise: blocks that nobody holds are given up, and what was made of them does not mix with
//! what is made without them.
//!
//! Knows no ranges of records. Invariants: nothing is given up while a task runs that may have read it, or while somebody
//! who may have it has yet to say so; a result that is put together from partitions has a given-up block in all of them, or
//! in none; a window never loses records that it was not made of.

use super::{Tracker, TrackerAction};
use crate::master::journal::GivenUp;
use crate::master::run::TaskState;
use crate::master::schedule::drop_lost_blocks;
use crate::message::TaskId;
use dstream_trace::BlockName;
use std::collections::BTreeSet;

/// What is not known yet of workers that are gone. Nothing is given up meanwhile.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// The sink has not said what they handed in.
    pub(super) fencing: BTreeSet<u32>,
    /// Others have not said what they hold of what these received: a copy more than anybody was told of may be among it.
    pub(super) has_orphans: bool,
}

impl Unknown {
    pub(super) fn is_nothing(&self) -> bool {
        self.fencing.is_empty() && !self.has_orphans
    }
}

impl Tracker {
    /// Nobody reads a block at the worker any more: what others made of one that only it had is all that is left of that,
    /// from this moment on, though nothing is given up before the sink has said what the worker handed in.
    pub(super) fn fence(&mut self, worker: u32) {
        self.workers.leave(worker);
        self.unknown.fencing.insert(worker);
        self.unknown.has_orphans = true;
        self.blocks.values_mut().for_each(|(holders, _)| holders.retain(|holder| *holder != worker));
    }

    /// Gives up the blocks of a waiting task that nobody holds any more, unless tasks run that may have read its slices
    /// before these were lost: they succeed with them, or fail and leave nobody who does.
    pub(super) fn give_up_lost_blocks(&mut self, actions: &mut Vec<TrackerAction>) {
        let mut any = false;
        for (interval, run) in &mut self.runs {
            for stage in 0..run.stages.len() {
                if run.is_being_read(&self.shape, stage) {
                    continue;
                }
                let waiting = run.stages[stage].iter_mut().filter(|task| task.state == TaskState::Waiting);
                let gone: Vec<BlockName> = waiting.flat_map(|task| drop_lost_blocks(task, &self.blocks)).collect();
                if !gone.is_empty() {
                    run.make_again_from(&self.shape, stage);
                    any = true;
                }
                for block in gone {
                    if let Some((_, ranges)) = self.blocks.remove(&block) {
                        actions.push(TrackerAction::GiveUp(GivenUp { block, ranges, interval: Some(*interval) }));
                        run.given_up += 1;
                        self.lacking.insert(*interval);
                        // A later master must know it before anything is computed without the block.
                        run.is_journalled = false;
                    }
                }
            }
        }
        if any {
            self.repair();
        }
    }

    /// The task has made its panes. If it made them before of more blocks, panes of later intervals that came from those,
    /// a window of which these will be taken away or a state of which these are a part, do not fit them any more.
    pub(super) fn panes_made(&mut self, worker: u32, id: TaskId) {
        let place = (id.stage, id.partition);
        self.panes.made(place, id.interval, worker, id.attempt);
        let given_up = self.runs.get(&id.interval).map(|run| run.given_up);
        let before = self.task(id).and_then(|task| std::mem::replace(&mut task.made_without, given_up));
        let ties = self.shape.stages[id.stage as usize].ties();
        if before.is_none() || before == given_up || ties == 0 {
            return;
        }
        for interval in id.interval + 1..=id.interval.saturating_add(ties).min(self.next) {
            let Some(task) = self.task(TaskId { interval, ..id }) else { continue };
            let state = task.state;
            task.panes_are_stale();
            if let TaskState::Done { worker } = state {
                self.panes.missing(place, interval, worker);
            }
        }
        self.checkpoint.iter_mut().for_each(|checkpoint| checkpoint.outdated(place));
        self.repair();
    }
}
