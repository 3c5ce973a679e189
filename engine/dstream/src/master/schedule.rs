//! One round of scheduling: waiting tasks whose input exists are given to workers with room.
//!
//! Part of the stage tracker. Invariants: a task is placed only when every slice, pane and block it reads is somewhere; what
//! nobody can fetch is made again elsewhere, unless it is all that is left of its input.

use crate::master::pace::Pace;
use crate::master::panes::Panes;
use crate::master::placement::{Place, Workers};
use crate::master::run::{Run, Shape, Task, TaskState};
use crate::message::{BlockOrder, PaneSource, SliceSource};
use crate::options::Placement;
use dstream_trace::{BlockName, RecordRange};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Holders and records of the blocks that runs read.
pub(super) type Blocks = BTreeMap<BlockName, (Vec<u32>, Vec<RecordRange>)>;

/// (interval, stage, worker) -> partitions, each with its attempt
pub(super) type Launched = BTreeMap<(u64, usize, u32), Vec<(usize, u32)>>;

/// How many steps of lost state are ordered at once, one behind the other at one worker: enough to bridge the way of a
/// message to the master and back at a few milliseconds a step; few, since each takes the place of a task of another core.
const STEPS_AT_ONCE: usize = 4;

/// What a round works on.
pub(super) struct Scheduler<'a> {
    /// No task of this interval or of a later one runs yet.
    pub(super) begun_below: u64,
    pub(super) shape: &'a Shape,
    pub(super) blocks: &'a Blocks,
    pub(super) panes: &'a mut Panes,
    pub(super) workers: &'a mut Workers,
    pub(super) pace: &'a Pace,
    pub(super) runs: &'a mut BTreeMap<u64, Run>,
    pub(super) launched: &'a mut Launched,
}

/// What became of a stage's waiting tasks.
enum Placed {
    /// Those that could be were placed.
    All,
    /// Tasks that had finished were reset, because nobody can fetch what they made.
    Reset,
}

impl Scheduler<'_> {
    /// Places what it can, oldest interval first. Whether finished tasks were reset: then another round is due.
    pub(super) fn place_all(&mut self) -> bool {
        let intervals: Vec<u64> = self.runs.range(..self.begun_below).map(|(interval, _)| *interval).collect();
        self.workers.open = self.runs.values().filter(|run| !run.is_over).count();
        for interval in intervals {
            for stage in 0..self.shape.stages.len() {
                if matches!(self.place_stage(interval, stage), Placed::Reset) {
                    return true;
                }
            }
        }
        false
    }

    fn place_stage(&mut self, interval: u64, stage: usize) -> Placed {
        let run = &self.runs[&interval];
        if !run.is_ready(self.shape, stage) {
            return Placed::All;
        }
        let is_waiting = |(_, task): &(usize, &Task)| task.state == TaskState::Waiting;
        let waiting = run.stages[stage].iter().enumerate().filter(is_waiting).map(|(at, _)| at);
        let mut waiting: Vec<usize> = waiting.collect();
        if waiting.is_empty() {
            return Placed::All;
        }
        let parent = self.shape.stages[stage].parent;
        if parent.is_some() && self.workers.placement == Placement::Load {
            // What takes longest begins first.
            waiting.sort_by_key(|partition| Reverse(self.pace.weight(number(stage), number(*partition))));
        }
        let slices = parent.map(|parent| sources_of(&run.stages[parent])).unwrap_or_default();
        let slices: BTreeSet<u32> = slices.iter().filter_map(|source| source.worker).collect();
        let waiting = self.beside_their_input_first(interval, stage, waiting);
        for (index, partition) in waiting.iter().copied().enumerate() {
            self.workers.ahead = waiting.len() - index;
            let Some(past) = self.past(interval, stage, partition) else {
                if let Some(worker) = self.behind(interval, stage, partition, &slices) {
                    self.give(interval, stage, partition, worker);
                }
                continue;
            };
            match self.place(interval, stage, partition, &slices, &past) {
                Some(Place::At(worker)) => self.give(interval, stage, partition, worker),
                Some(Place::CutOff(worker)) => {
                    if self.remake_elsewhere(interval, stage, partition, &past, worker) {
                        return Placed::Reset;
                    }
                    return Placed::All;
                }
                Some(Place::NobodyFree) => return Placed::All,
                Some(Place::Waits) | None => {}
            }
        }
        Placed::All
    }

    /// Gives tasks to free cores beside their blocks, and returns those that are left: a core that took a task from
    /// elsewhere first, because that waits longer, would leave its own blocks to be fetched by others.
    fn beside_their_input_first(&mut self, interval: u64, stage: usize, waiting: Vec<usize>) -> Vec<usize> {
        if self.shape.stages[stage].parent.is_some() {
            return waiting;
        }
        let (mut left, mut waiting) = (Vec::new(), waiting.into_iter());
        while let Some(partition) = waiting.next() {
            self.workers.ahead = waiting.len() + left.len() + 1;
            match self.place(interval, stage, partition, &BTreeSet::new(), &[]) {
                Some(Place::At(worker)) if self.holds(interval, stage, partition, worker) => {
                    self.give(interval, stage, partition, worker);
                }
                at => {
                    left.push(partition);
                    if at == Some(Place::NobodyFree) {
                        break;
                    }
                }
            }
        }
        left.extend(waiting);
        left
    }

    /// Whether the worker holds a block that the task reads.
    fn holds(&self, interval: u64, stage: usize, partition: usize, worker: u32) -> bool {
        let holders = |block: &BlockOrder| self.blocks.get(&block.name).map(|(holders, _)| holders);
        let mut blocks = self.runs[&interval].stages[stage][partition].blocks.iter().filter_map(holders);
        blocks.any(|holders| holders.contains(&worker))
    }

    /// Where the panes lie that the task reads; nothing while one is nowhere.
    fn past(&self, interval: u64, stage: usize, partition: usize) -> Option<Vec<PaneSource>> {
        let place = (number(stage), number(partition));
        self.shape.stages[stage].past_of(interval).into_iter().map(|past| self.panes.source(place, past)).collect()
    }

    /// Where a step of lost state can wait for the steps before it, which run there, and take over their core. Only where
    /// nothing but panes is wanted of any of them: what goes to the sink is made of what is there.
    fn behind(&self, interval: u64, stage: usize, partition: usize, slices: &BTreeSet<u32>) -> Option<u32> {
        let task = &self.runs[&interval].stages[stage][partition];
        let first = coming(self.runs, interval.checked_sub(1)?, stage, partition).filter(|_| task.committed)?;
        let worker = first.worker?;
        let steps = (1..=interval).map_while(|back| coming(self.runs, interval - back, stage, partition));
        let ahead = steps.take(STEPS_AT_ONCE).take_while(|step| step.worker == Some(worker)).count();
        let place = (number(stage), number(partition));
        let is_had = |past: u64| match self.panes.source(place, past) {
            Some(_) => true,
            None => coming(self.runs, past, stage, partition).is_some_and(|step| step.worker == Some(worker)),
        };
        if ahead >= STEPS_AT_ONCE || task.avoid.contains(&worker) {
            return None;
        }
        let past = self.shape.stages[stage].past_of(interval);
        let elsewhere = past.iter().filter_map(|past| self.panes.source(place, *past));
        let mut sources = slices.clone();
        sources.extend(elsewhere.filter(|pane| pane.checkpoint.is_none()).filter_map(|pane| pane.worker));
        let at = self.workers.for_slices(&sources, &task.avoid, Some(worker), number(partition));
        (past.into_iter().all(is_had) && at == Place::At(worker)).then_some(worker)
    }

    /// A place for a waiting task; nothing if a block that it reads is nowhere.
    fn place(
        &self,
        interval: u64,
        stage: usize,
        partition: usize,
        slices: &BTreeSet<u32>,
        past: &[PaneSource],
    ) -> Option<Place> {
        let task = &self.runs[&interval].stages[stage][partition];
        let turn = number(partition);
        if self.shape.stages[stage].parent.is_some() {
            let mut sources = slices.clone();
            // A pane that a checkpoint has can be read there.
            sources.extend(past.iter().filter(|pane| pane.checkpoint.is_none()).filter_map(|pane| pane.worker));
            let owner = self.panes.owner((number(stage), turn));
            return Some(self.workers.for_slices(&sources, &task.avoid, owner, turn));
        }
        if task.blocks.iter().any(|block| is_gone(block, self.blocks)) {
            return None;
        }
        let holders = task.blocks.iter().filter_map(|block| self.blocks.get(&block.name));
        let holders: Vec<u32> = holders.flat_map(|(holders, _)| holders.iter().copied()).collect();
        Some(self.workers.for_blocks(&holders, &task.avoid, turn))
    }

    fn give(&mut self, interval: u64, stage: usize, partition: usize, worker: u32) {
        let Some(run) = self.runs.get_mut(&interval) else { return };
        let attempt = run.stages[stage][partition].launched(worker);
        self.workers.take(worker, stage);
        self.launched.entry((interval, stage, worker)).or_default().push((partition, attempt));
    }

    /// What the task reads from `worker` cannot be fetched by anyone: it is made again, elsewhere. Whether anything is.
    fn remake_elsewhere(
        &mut self,
        interval: u64,
        stage: usize,
        partition: usize,
        past: &[PaneSource],
        worker: u32,
    ) -> bool {
        let parent = self.shape.stages[stage].parent;
        let mut found = match (parent, self.runs.get_mut(&interval)) {
            (Some(parent), Some(run)) => remake_slices(&mut run.stages[parent], worker, self.blocks),
            _ => false,
        };
        let place = (number(stage), number(partition));
        let lost = past.iter().filter(|pane| pane.worker == Some(worker) && pane.checkpoint.is_none());
        for pane in lost {
            let Some(run) = self.runs.get_mut(&pane.interval) else { continue };
            let Some(slices) = parent.map(|parent| &mut run.stages[parent]) else { continue };
            // What it is made of must be at others, or be made there first; else the panes are all that is left.
            let at_worker = |task: &&Task| task.state == TaskState::Done { worker };
            let is_only_there = |task: &Task| task.blocks.iter().any(|block| is_gone(block, self.blocks));
            if slices.iter().all(Task::is_there) && !slices.iter().filter(at_worker).any(is_only_there) {
                remake_slices(slices, worker, self.blocks);
                let task = &mut run.stages[stage][partition];
                // An attempt that runs makes them again as it is, and keeps the place that was counted for it.
                if !matches!(task.state, TaskState::Running { .. }) {
                    task.reset();
                }
                task.avoid.insert(worker);
                self.panes.missing(place, pane.interval, worker);
                found = true;
            }
        }
        found
    }
}

/// The slices at `worker` cannot be fetched by anyone who needs them: its tasks run again, elsewhere. Not those whose
/// block is gone: their slices are all that is left of it, until the worker is reached again or lost. Whether any does.
fn remake_slices(tasks: &mut [Task], worker: u32, blocks: &Blocks) -> bool {
    let can_run = |task: &&mut Task| !task.blocks.iter().any(|block| is_gone(block, blocks));
    let cut_off = tasks.iter_mut().filter(|task| task.state == TaskState::Done { worker });
    let mut found = false;
    for task in cut_off.filter(can_run) {
        task.reset();
        task.avoid.insert(worker);
        found = true;
    }
    found
}

/// Where the panes will be that a step of lost state is making: its result is at the sink, and what it makes will count.
pub(super) fn coming(runs: &BTreeMap<u64, Run>, interval: u64, stage: usize, partition: usize) -> Option<PaneSource> {
    let task = runs.get(&interval)?.stages.get(stage)?.get(partition)?;
    match task.state {
        TaskState::Running { worker } if task.committed && task.current >= task.stale_below => {
            Some(PaneSource { interval, attempt: task.current, worker: Some(worker), checkpoint: None })
        }
        _ => None,
    }
}

/// Takes the blocks that nobody holds from what the task reads.
pub(super) fn drop_lost_blocks(task: &mut Task, blocks: &Blocks) -> Vec<BlockName> {
    let gone = task.blocks.iter().filter(|block| is_gone(block, blocks)).map(|block| block.name).collect();
    task.blocks.retain(|block| !is_gone(block, blocks));
    gone
}

pub(super) fn is_gone(block: &BlockOrder, blocks: &Blocks) -> bool {
    blocks.get(&block.name).is_none_or(|(holders, _)| holders.is_empty())
}

/// Where the slices of a stage lie: one source for each of its tasks, so that a reader knows what it lacks.
pub(super) fn sources_of(tasks: &[Task]) -> Vec<SliceSource> {
    let place = |(partition, task): (usize, &Task)| {
        let worker = match task.state {
            TaskState::Done { worker } => Some(worker),
            _ => None,
        };
        SliceSource { partition: number(partition), worker }
    };
    tasks.iter().enumerate().map(place).collect()
}

/// Stages and partitions are counted in 32 bits on the wire.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).expect("there are far fewer than 2^32 stages and partitions")
}
