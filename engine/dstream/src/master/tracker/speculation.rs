//! Speculation (SOSP'13 section 3.3): an attempt that takes far longer than others of its stage gets a second one beside it,
//! at another worker, and the first of the two that is done counts.
//!
//! Knows from `pace` who is slow. Invariants: a task has two attempts at most, at two workers; a second one takes a core
//! that would idle, and never waits; steps of lost state, which are made one behind the other at one worker, have none.

use super::{Tracker, TrackerAction};
use crate::master::run::TaskState;
use crate::master::schedule::{Launched, sources_of};
use crate::message::TaskId;
use std::collections::BTreeSet;

impl Tracker {
    /// Places a second attempt for each that is too slow, where a core is free.
    pub(super) fn speculate(&mut self, launched: &mut Launched) {
        self.workers.forget_slow(self.now);
        for slow in self.pace.slow(self.now) {
            let Some(worker) = self.place_beside(slow) else { continue };
            let Some(task) = self.task(slow) else { continue };
            let attempt = task.launched(worker);
            self.workers.take(worker, slow.stage as usize);
            let place = (slow.interval, slow.stage as usize, worker);
            launched.entry(place).or_default().push((slow.partition as usize, attempt));
        }
    }

    /// A worker for a second attempt, if the first may have one and somebody has a free core and reaches its input.
    fn place_beside(&self, slow: TaskId) -> Option<u32> {
        let (stage, partition) = (slow.stage as usize, slow.partition as usize);
        let run = self.runs.get(&slow.interval)?;
        let task = run.stages.get(stage)?.get(partition)?;
        let TaskState::Running { worker: at } = task.state else { return None };
        let shape = &self.shape.stages[stage];
        let is_alone = task.current == slow.attempt && task.beside.is_none() && slow.attempt >= task.stale_below;
        let is_step = task.committed && !shape.kept.is_empty();
        if !is_alone || is_step || !run.is_ready(&self.shape, stage) {
            return None;
        }
        let avoid: BTreeSet<u32> = task.avoid.iter().copied().chain([at]).collect();
        let Some(parent) = shape.parent else {
            // Where a block is nowhere, the first attempt has it, or nobody.
            let holders = task.blocks.iter().map(|block| self.blocks.get(&block.name).filter(|(at, _)| !at.is_empty()));
            let holders = holders.collect::<Option<Vec<_>>>()?;
            let holders = holders.into_iter().flat_map(|(holders, _)| holders.iter().copied()).collect();
            return self.workers.beside(&holders, true, &avoid);
        };
        let slices = sources_of(&run.stages[parent]);
        let mut sources: BTreeSet<u32> = slices.iter().filter_map(|source| source.worker).collect();
        for past in shape.past_of(slow.interval) {
            let pane = self.panes.source((slow.stage, slow.partition), past)?;
            sources.extend(pane.worker.filter(|_| pane.checkpoint.is_none()));
        }
        self.workers.beside(&sources, false, &avoid)
    }

    /// The attempt was overtaken: it need not begin, and its worker is remembered as slow, if that is wanted.
    pub(super) fn overtaken(&mut self, worker: u32, slow: TaskId, actions: &mut Vec<TrackerAction>) {
        actions.push(TrackerAction::Cancel { worker, task: slow });
        if let Some(long) = self.limits.avoid_slow {
            self.workers.slow_until.insert(worker, self.now + long);
        }
    }
}
