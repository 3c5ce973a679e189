//! Workers that are to leave: when nothing that is still to be computed needs them.
//!
//! Part of the stage tracker. Knows no copies of blocks. Invariants: who leaves is given no task; what it made stays where
//! it is until it is read or in a checkpoint, or until its patience ends and others make it again.

use super::{Tracker, TrackerAction};
use crate::master::run::{Run, Task, TaskState};
use crate::master::schedule::is_gone;
use dstream_trace::Moment;
use std::time::Duration;

/// After this what only the worker has is made again elsewhere: some intervals and a checkpoint should be over, and somebody
/// waits for the machine.
const PATIENCE: Duration = Duration::from_secs(10);

impl Tracker {
    pub(super) fn leaving(&mut self, now: Moment, worker: u32) {
        self.workers.leaving.entry(worker).or_insert(now);
    }

    /// Says so if nothing here depends on the worker.
    pub(super) fn may_leave(&self, worker: u32, actions: &mut Vec<TrackerAction>) {
        let Some(since) = self.workers.leaving.get(&worker) else { return };
        let is_free = !self.runs_at(worker) && !self.is_read_at(worker) && self.panes.newest_only_at(worker).is_none();
        let is_over = self.now >= *since + PATIENCE && !self.is_all_that_is_left(worker);
        if !self.is_recovering && (is_free || is_over) {
            actions.push(TrackerAction::LetsGo(worker));
        }
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.runs.values().flat_map(|run| &run.stages).flatten()
    }

    fn runs_at(&self, worker: u32) -> bool {
        self.tasks().any(|task| task.running().any(|(_, at)| at == worker))
    }

    /// Whether somebody reads slices there, or is yet to.
    fn is_read_at(&self, worker: u32) -> bool {
        let is_read = |run: &Run| {
            let mut stages = run.stages.iter().enumerate();
            stages.any(|(stage, tasks)| {
                tasks.iter().any(|task| task.state == TaskState::Done { worker })
                    && run.has_open_readers(&self.shape, stage)
            })
        };
        self.runs.values().any(is_read)
    }

    /// Whether slices there cannot be made again: nobody has their block any more.
    fn is_all_that_is_left(&self, worker: u32) -> bool {
        let here = self.tasks().filter(|task| task.state == TaskState::Done { worker });
        here.flat_map(|task| &task.blocks).any(|block| is_gone(block, &self.blocks))
    }

    /// The newest interval that a checkpoint should go through for workers to leave: they have panes that are in none, and
    /// make no more. All below `done_below` are done.
    pub(super) fn checkpoint_to_leave(&self, done_below: u64) -> Option<u64> {
        let waits = |worker: &u32| {
            let newest = self.panes.newest_only_at(*worker);
            newest.is_some_and(|newest| newest < done_below) && !self.runs_at(*worker)
        };
        self.workers.leaving.keys().any(waits).then(|| done_below.saturating_sub(1))
    }
}
