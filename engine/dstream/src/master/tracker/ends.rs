//! How attempts end, and what becomes of what they made.
//!
//! Invariants: a place at a worker is freed once, by the end of the very attempt that holds it; of two attempts at a task
//! the first one that is done counts, and the other is cancelled; what nobody has any more is made again.

use super::{Tracker, TrackerAction};
use crate::master::run::{Task, TaskState, Which};
use crate::message::{NotFetched, TaskFailure, TaskId};
use dstream_trace::Event;
use std::time::Duration;

/// A task whose function panics this often stops the run: it would panic for ever, since it is deterministic.
pub(super) const MOST_BROKEN_ATTEMPTS: u32 = 4;

impl Tracker {
    /// Which of the task's attempts this is; if it runs, its place at the worker is free again.
    fn release(&mut self, worker: u32, id: TaskId) -> Which {
        let which = self.task(id).map_or(Which::Former, |task| task.which(worker, id.attempt));
        if which != Which::Former {
            self.workers.free(worker, id.stage as usize);
        }
        which
    }

    /// What a task takes tells how many of its stage keep a core busy; but one without input, of an interval in which
    /// nothing came, tells nothing of those that read blocks.
    pub(super) fn took(&mut self, id: TaskId, core_time: Duration) {
        let reads_blocks = self.shape.stages.get(id.stage as usize).is_some_and(|stage| stage.parent.is_none());
        let has_input = self.task(id).is_some_and(|task| !reads_blocks || !task.blocks.is_empty());
        if has_input {
            self.workers.took(id.stage as usize, core_time);
        }
    }

    pub(super) fn done(&mut self, worker: u32, id: TaskId, actions: &mut Vec<TrackerAction>) {
        let which = self.release(worker, id);
        self.pace.ended(self.now, worker, id, true);
        let stage = &self.shape.stages[id.stage as usize];
        let (is_result, keeps) = (stage.output.is_some(), !stage.kept.is_empty());
        let Some(task) = self.task(id) else { return };
        let (is_stale, state) = (id.attempt < task.stale_below, task.state);
        match (which, state) {
            (Which::Current, _) if is_stale => {
                task.committed |= is_result;
                task.state = TaskState::Spent;
                self.repair();
            }
            (Which::Current, _) => {
                self.made(worker, id, (is_result, keeps));
                self.cancel_beside(id, actions);
            }
            (Which::Beside, TaskState::Running { worker: slow }) if !is_stale => {
                let slow_attempt = task.current;
                task.beside_is_done();
                self.made(worker, id, (is_result, keeps));
                self.overtaken(slow, TaskId { attempt: slow_attempt, ..id }, actions);
            }
            // It may be all that is left of its input, should the other one be lost. Panes have one place only.
            (Which::Beside, _) => match &mut task.beside {
                Some(beside) if !keeps && !is_stale => beside.is_done = true,
                beside => *beside = None,
            },
            // An earlier attempt's result is as good, if the task still waits for one.
            (Which::Former, TaskState::Waiting) if !is_stale => self.made(worker, id, (is_result, keeps)),
            (Which::Former, _) => {}
        }
        self.finish(id.interval, actions);
    }

    /// What the attempt made counts.
    fn made(&mut self, worker: u32, id: TaskId, (is_result, keeps): (bool, bool)) {
        let Some(task) = self.task(id) else { return };
        (task.state, task.current) = (TaskState::Done { worker }, id.attempt);
        task.committed |= is_result;
        if keeps {
            self.panes_made(worker, id);
        }
    }

    /// The task is done: the attempt beside it need not begin.
    fn cancel_beside(&mut self, id: TaskId, actions: &mut Vec<TrackerAction>) {
        if let Some(beside) = self.task(id).and_then(|task| task.beside).filter(|beside| !beside.is_done) {
            let task = TaskId { attempt: beside.attempt, ..id };
            actions.push(TrackerAction::Cancel { worker: beside.worker, task });
        }
    }

    /// Ends the run if every result is at the sink.
    pub(super) fn finish(&mut self, interval: u64, actions: &mut Vec<TrackerAction>) {
        let Some(run) = self.runs.get_mut(&interval).filter(|run| !run.is_over) else { return };
        if run.is_done(&self.shape) {
            run.is_over = true;
            if self.reach == 0 {
                self.remove(interval);
            }
            // Another one may begin, and what it reads is needed now.
            if self.limits.overlap.is_some() {
                self.repair();
            }
            actions.push(TrackerAction::Record(Event::IntervalDone { interval }));
            actions.push(TrackerAction::IntervalDone(interval));
        }
    }

    /// Forgets how the interval was computed.
    pub(super) fn remove(&mut self, interval: u64) {
        let Some(run) = self.runs.remove(&interval) else { return };
        // What still runs for it is not needed any more; its end will find no task to free its place.
        for (stage, tasks) in run.stages.iter().enumerate() {
            let running = tasks.iter().flat_map(Task::running);
            running.for_each(|(_, worker)| self.workers.free(worker, stage));
        }
        self.pace.forget(self.now, interval);
        for block in run.stages.iter().flatten().flat_map(|task| &task.blocks) {
            self.blocks.remove(&block.name);
        }
    }

    pub(super) fn failed(&mut self, worker: u32, id: TaskId, why: TaskFailure, actions: &mut Vec<TrackerAction>) {
        let which = self.release(worker, id);
        self.pace.ended(self.now, worker, id, false);
        let Some(task) = self.task(id) else { return };
        match which {
            Which::Current => task.reset(),
            Which::Beside => task.beside = None,
            Which::Former => return,
        }
        match why {
            TaskFailure::NotFetched(lacking) => self.not_fetched(worker, id, lacking),
            TaskFailure::Fenced | TaskFailure::SinkSilent => {
                task.avoid.insert(worker);
            }
            TaskFailure::Broken(why) => {
                task.broken += 1;
                if task.broken >= MOST_BROKEN_ATTEMPTS {
                    actions.push(TrackerAction::Fatal(format!(
                        "task {:?} failed {} times: {why}",
                        id.name(),
                        task.broken
                    )));
                }
            }
            TaskFailure::Cancelled => {}
        }
    }

    /// What is not where it should be is made again, wherever there is room.
    pub(super) fn not_fetched(&mut self, reader: u32, id: TaskId, lacking: NotFetched) {
        if lacking.is_client_silent
            && let Some(task) = self.task(id)
        {
            task.avoid.insert(reader);
        }
        // As good as the worker's own word that it lacks these connections, until it speaks of them next.
        self.workers.unreachable.entry(reader).or_default().extend(lacking.unreachable);
        for (block, at) in &lacking.blocks_missing {
            if let Some((holders, _)) = self.blocks.get_mut(block) {
                holders.retain(|holder| holder != at);
            }
        }
        let parent = self.shape.stages.get(id.stage as usize).and_then(|stage| stage.parent);
        let tasks = parent.and_then(|parent| self.runs.get_mut(&id.interval)?.stages.get_mut(parent));
        let is_missing =
            |task: &&mut Task| lacking.slices_missing.iter().any(|at| task.state == TaskState::Done { worker: *at });
        tasks.into_iter().flatten().filter(is_missing).for_each(Task::reset);
        self.panes_missing(id.stage, id.partition, &lacking.panes_missing);
    }

    pub(super) fn panes_missing(&mut self, stage: u32, partition: u32, missing: &[(u64, u32)]) {
        for (interval, at) in missing {
            self.panes.missing((stage, partition), *interval, *at);
            let maker = TaskId { interval: *interval, stage, partition, attempt: 0 };
            if let Some(task) = self.task(maker).filter(|task| task.state == TaskState::Done { worker: *at }) {
                task.is_lost();
            }
        }
        self.repair();
    }
}
