//! The stage tracker: which tasks of which interval are ready, running, done, or lost and to be made again.
//!
//! Knows lineage (a stage reads its parent's slices and its own panes of earlier intervals, the first one reads blocks) and
//! nothing of input, clocks or sockets. Invariants: a task is launched only when all it reads exists; the least set of tasks
//! is run again after a loss (`lineage`); recomputed tasks spread over all workers; an interval's lineage is kept until a
//! checkpoint goes through it or, where nothing is kept for later intervals, until it is done.

use crate::master::checkpoint::Checkpoint;
use crate::master::ledger::Allotment;
use crate::master::lineage::Lineage;
use crate::master::panes::Panes;
use crate::master::placement::Workers;
use crate::master::run::{Run, Shape, Task, TaskState};
use crate::master::schedule::{Blocks, Launched, Scheduler, coming, number, sources_of};
use crate::message::{BlockOrder, Launch, NotFetched, PaneSource, Reads, Save, Stored, TaskFailure, TaskId, TaskOrder};
use dstream_cluster::core::Core;
use dstream_cluster::message::VisibleResult;
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};

/// A task whose function panics this often stops the run: it would panic for ever, since it is deterministic.
const MOST_BROKEN_ATTEMPTS: u32 = 4;

/// What the tracker must know.
#[derive(Clone, Copy, Debug)]
pub struct TrackerLimits {
    /// Reduce partitions.
    pub partitions: u32,
    /// Cores of a worker.
    pub cores: usize,
    /// A checkpoint goes through every so many intervals. From 1.
    pub checkpoint_intervals: u64,
}

/// What happens to the stage tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerEvent {
    /// The interval's input is fixed.
    Sealed {
        /// The interval.
        interval: u64,
        /// What its map tasks read.
        blocks: Vec<Allotment>,
    },
    /// The interval's input is journalled: its tasks may run.
    Journalled {
        /// The interval.
        interval: u64,
    },
    /// The holders of a block changed.
    Holders {
        /// The block.
        block: BlockName,
        /// Who holds it now.
        holders: Vec<u32>,
    },
    /// A worker may be given tasks.
    Joined(u32),
    /// A worker is gone, and not fenced yet: it gets no more tasks, and what it has handed in is not known.
    Fencing(u32),
    /// A worker is gone, and fenced at the sink.
    Lost {
        /// The worker.
        worker: u32,
        /// Its results that the sink has made visible: they need not be computed again.
        visible: Vec<VisibleResult>,
    },
    /// The worker's connections: these it lacks.
    Links {
        /// The worker.
        worker: u32,
        /// Whom it has no connection with.
        unreachable: BTreeSet<u32>,
    },
    /// The attempt's result is where it belongs.
    Done {
        /// The worker.
        worker: u32,
        /// The attempt.
        task: TaskId,
    },
    /// The attempt has no result.
    Failed {
        /// The worker.
        worker: u32,
        /// The attempt.
        task: TaskId,
        /// Why.
        why: TaskFailure,
    },
    /// The worker has saved panes for a checkpoint, or could not.
    Saved {
        /// The worker.
        worker: u32,
        /// The checkpoint.
        through: u64,
        /// The stage.
        stage: u32,
        /// The partition.
        partition: u32,
        /// The order's attempt.
        attempt: u32,
        /// What could not be had; nothing: the panes are in the store.
        failed: Option<NotFetched>,
    },
    /// The worker's connection is new: orders to it may be lost.
    Reconnected(u32),
}

/// What the tracker decides.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackerAction {
    /// Give these tasks to the worker.
    Launch {
        /// The worker.
        worker: u32,
        /// The tasks.
        launch: Launch,
    },
    /// All results of the interval are at the sink.
    IntervalDone(u64),
    /// No copy of the block is left: its interval goes on without it.
    GiveUp(BlockName),
    /// Have the worker write panes into the store.
    Save {
        /// The worker.
        worker: u32,
        /// Which.
        save: Save,
    },
    /// What the intervals below this one were computed from is not needed any more.
    Forget {
        /// The first interval whose lineage is kept.
        below: u64,
        /// Panes of intervals below this one are not needed either.
        panes_below: u64,
    },
    /// Nobody reads this checkpoint any more.
    DropCheckpoint(u64),
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// The stage tracker's core.
#[derive(Debug)]
pub struct Tracker {
    shape: Shape,
    limits: TrackerLimits,
    /// How many intervals back tasks read. 0: an interval's lineage ends with it.
    reach: u64,
    /// The interval that is sealed next.
    next: u64,
    runs: BTreeMap<u64, Run>,
    blocks: Blocks,
    panes: Panes,
    checkpoint: Option<Checkpoint>,
    workers: Workers,
    /// Lost workers of which the sink has not said yet what they handed in. Nothing is given up meanwhile.
    fencing: BTreeSet<u32>,
}

impl Tracker {
    /// A tracker without runs.
    pub fn new(query: &Query, limits: TrackerLimits) -> Tracker {
        assert_ne!(limits.checkpoint_intervals, 0, "a checkpoint goes through at least one interval");
        let shape = Shape::of(query);
        Tracker {
            reach: shape.reach(),
            shape,
            limits,
            next: 0,
            runs: BTreeMap::new(),
            blocks: Blocks::new(),
            panes: Panes::default(),
            checkpoint: None,
            workers: Workers { cores: limits.cores, ..Workers::default() },
            fencing: BTreeSet::new(),
        }
    }

    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        self.runs.get_mut(&id.interval)?.stages.get_mut(id.stage as usize)?.get_mut(id.partition as usize)
    }

    fn sealed(&mut self, interval: u64, blocks: Vec<Allotment>) {
        let mut orders = Vec::new();
        for Allotment { order, ranges } in blocks {
            self.blocks.insert(order.name, (order.holders.clone(), ranges));
            orders.push(order);
        }
        self.next = self.next.max(interval + 1);
        self.runs.insert(interval, Run::new(&self.shape, &orders, self.limits.partitions));
    }

    /// A place is free again at the worker, if this very attempt held one.
    fn release(&mut self, worker: u32, id: TaskId) -> bool {
        let Some(task) = self.task(id) else { return false };
        let is_current = task.state == TaskState::Running { worker } && task.attempts == id.attempt + 1;
        if is_current {
            self.workers.free(TaskState::Running { worker });
        }
        is_current
    }

    fn done(&mut self, worker: u32, id: TaskId, actions: &mut Vec<TrackerAction>) {
        let is_current = self.release(worker, id);
        let stage = &self.shape.stages[id.stage as usize];
        let (is_result, keeps) = (stage.output.is_some(), !stage.kept.is_empty());
        let Some(task) = self.task(id) else { return };
        let is_stale = id.attempt < task.stale_below;
        if is_current && is_stale {
            task.committed |= is_result;
            task.state = TaskState::Spent;
            self.repair();
        } else if is_current || (task.state == TaskState::Waiting && !is_stale) {
            // An earlier attempt's result is as good, if the task still waits for one.
            task.state = TaskState::Done { worker };
            task.committed |= is_result;
            if keeps {
                self.panes_made(worker, id);
            }
        }
        self.finish(id.interval, actions);
    }

    /// Ends the run if every result is at the sink.
    fn finish(&mut self, interval: u64, actions: &mut Vec<TrackerAction>) {
        let Some(run) = self.runs.get_mut(&interval).filter(|run| !run.is_over) else { return };
        if run.is_done(&self.shape) {
            run.is_over = true;
            if self.reach == 0 {
                self.remove(interval);
            }
            actions.push(TrackerAction::Record(Event::IntervalDone { interval }));
            actions.push(TrackerAction::IntervalDone(interval));
        }
    }

    /// Forgets how the interval was computed.
    fn remove(&mut self, interval: u64) {
        let Some(run) = self.runs.remove(&interval) else { return };
        // What still runs for it is not needed any more; its end will find no task to free its place.
        for task in run.stages.iter().flatten() {
            self.workers.free(task.state);
        }
        for block in run.stages.iter().flatten().flat_map(|task| &task.blocks) {
            self.blocks.remove(&block.name);
        }
    }

    fn failed(&mut self, worker: u32, id: TaskId, why: TaskFailure, actions: &mut Vec<TrackerAction>) {
        if !self.release(worker, id) {
            return;
        }
        let Some(task) = self.task(id) else { return };
        task.reset();
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
        }
    }

    /// What is not where it should be is made again, wherever there is room.
    fn not_fetched(&mut self, reader: u32, id: TaskId, lacking: NotFetched) {
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

    fn panes_missing(&mut self, stage: u32, partition: u32, missing: &[(u64, u32)]) {
        for (interval, at) in missing {
            self.panes.missing((stage, partition), *interval, *at);
            let maker = TaskId { interval: *interval, stage, partition, attempt: 0 };
            if let Some(task) = self.task(maker).filter(|task| task.state == TaskState::Done { worker: *at }) {
                task.state = TaskState::Spent;
            }
        }
        self.repair();
    }

    fn repair(&mut self) {
        let (shape, panes, checkpoint) = (&self.shape, &self.panes, self.checkpoint.as_ref());
        Lineage { shape, panes, checkpoint, next: self.next }.repair(&mut self.runs);
    }

    fn lost(&mut self, worker: u32, visible: &[VisibleResult], actions: &mut Vec<TrackerAction>) {
        for result in visible {
            let stage = self.shape.stages.iter().position(|stage| stage.output.as_ref() == Some(&result.output));
            let tasks = stage.and_then(|stage| self.runs.get_mut(&result.interval)?.stages.get_mut(stage));
            if let Some(task) = tasks.and_then(|tasks| tasks.get_mut(result.partition as usize)) {
                task.committed = true;
                // Another worker may have made its panes again, or be about to: those stay.
                if task.worker().is_none_or(|at| at == worker) {
                    task.state = TaskState::Spent;
                }
            }
            self.finish(result.interval, actions);
        }
        self.fencing.remove(&worker);
        self.workers.running.remove(&worker);
        self.workers.unreachable.remove(&worker);
        self.panes.lost(worker);
        self.checkpoint.iter_mut().for_each(|checkpoint| checkpoint.lost(worker));
        for task in self.runs.values_mut().flat_map(|run| &mut run.stages).flatten() {
            match task.state {
                TaskState::Running { worker: at } if at == worker => task.reset(),
                TaskState::Done { worker: at } if at == worker => task.state = TaskState::Spent,
                _ => {}
            }
        }
        self.repair();
    }

    /// Launches again what the worker has been given and has not answered; it ignores what it has.
    fn reconnected(&self, worker: u32, actions: &mut Vec<TrackerAction>) {
        for (interval, run) in &self.runs {
            for (stage, tasks) in run.stages.iter().enumerate() {
                let orders: Vec<TaskOrder> = tasks
                    .iter()
                    .enumerate()
                    .filter(|(_, task)| task.state == TaskState::Running { worker })
                    .map(|(partition, task)| self.order(*interval, stage, partition, task))
                    .collect();
                if !orders.is_empty() {
                    let launch = self.launch(*interval, run, stage, orders);
                    actions.push(TrackerAction::Launch { worker, launch });
                }
            }
        }
        let Some(checkpoint) = &self.checkpoint else { return };
        for ((stage, partition), attempt) in checkpoint.ordered_from(worker) {
            if let Some(save) = self.save(checkpoint.through, stage, partition, attempt) {
                actions.push(TrackerAction::Save { worker, save });
            }
        }
    }

    fn order(&self, interval: u64, stage: usize, partition: usize, task: &Task) -> TaskOrder {
        let shape = &self.shape.stages[stage];
        let reads = match shape.parent {
            None => Reads::Blocks(task.blocks.iter().map(|block| self.with_holders(block)).collect()),
            Some(_) => Reads::Slices,
        };
        let place = (number(stage), number(partition));
        let source = |interval| {
            let nowhere = PaneSource { interval, attempt: 0, worker: None, checkpoint: None };
            let coming = || coming(&self.runs, interval, stage, partition);
            self.panes.source(place, interval).or_else(coming).unwrap_or(nowhere)
        };
        TaskOrder {
            partition: place.1,
            attempt: task.attempts - 1,
            reads,
            past: shape.past_of(interval).into_iter().map(source).collect(),
            commits: !task.committed,
            again: task.attempts > 1,
        }
    }

    fn with_holders(&self, block: &BlockOrder) -> BlockOrder {
        let holders = self.blocks.get(&block.name).map(|(holders, _)| holders.clone()).unwrap_or_default();
        BlockOrder { holders, ..block.clone() }
    }

    fn launch(&self, interval: u64, run: &Run, stage: usize, tasks: Vec<TaskOrder>) -> Launch {
        let sources = self.shape.stages[stage].parent.map(|parent| sources_of(&run.stages[parent])).unwrap_or_default();
        let of = number(run.stages[stage].len());
        Launch { interval, stage: number(stage), of, given_up: run.given_up, sources, tasks }
    }

    /// Launches all that is ready and finds room, oldest interval first.
    fn schedule(&mut self, actions: &mut Vec<TrackerAction>) {
        if self.fencing.is_empty() {
            self.give_up_lost_blocks(actions);
        }
        let mut launched = Launched::new();
        loop {
            let mut scheduler = Scheduler {
                shape: &self.shape,
                blocks: &self.blocks,
                panes: &mut self.panes,
                workers: &mut self.workers,
                runs: &mut self.runs,
                launched: &mut launched,
            };
            if !scheduler.place_all() {
                break;
            }
            self.repair();
        }
        for ((interval, stage, worker), partitions) in launched {
            let run = &self.runs[&interval];
            let mut orders = Vec::new();
            for partition in partitions {
                let order = self.order(interval, stage, partition, &run.stages[stage][partition]);
                let id = TaskId { interval, stage: number(stage), partition: order.partition, attempt: order.attempt };
                let event =
                    Event::TaskLaunched { task: id.name(), worker: NodeName::worker(worker), again: order.again };
                actions.push(TrackerAction::Record(event));
                orders.push(order);
            }
            let launch = self.launch(interval, run, stage, orders);
            actions.push(TrackerAction::Launch { worker, launch });
        }
    }
}

impl Core for Tracker {
    type Event = TrackerEvent;
    type Action = TrackerAction;

    fn step(&mut self, _now: Moment, event: TrackerEvent, actions: &mut Vec<TrackerAction>) {
        match event {
            TrackerEvent::Sealed { interval, blocks } => self.sealed(interval, blocks),
            TrackerEvent::Journalled { interval } => {
                if let Some(run) = self.runs.get_mut(&interval) {
                    run.is_journalled = true;
                }
            }
            TrackerEvent::Holders { block, holders } => {
                if let Some(known) = self.blocks.get_mut(&block) {
                    known.0 = holders;
                }
            }
            TrackerEvent::Joined(worker) => {
                self.workers.running.insert(worker, 0);
            }
            TrackerEvent::Fencing(worker) => {
                self.workers.running.remove(&worker);
                self.fencing.insert(worker);
            }
            TrackerEvent::Lost { worker, visible } => self.lost(worker, &visible, actions),
            TrackerEvent::Links { worker, unreachable } => {
                self.workers.unreachable.insert(worker, unreachable);
            }
            TrackerEvent::Done { worker, task } => self.done(worker, task, actions),
            TrackerEvent::Failed { worker, task, why } => self.failed(worker, task, why, actions),
            TrackerEvent::Saved { worker, through, stage, partition, attempt, failed } => {
                self.saved(worker, Stored { through, attempt }, (stage, partition), failed);
            }
            TrackerEvent::Reconnected(worker) => self.reconnected(worker, actions),
        }
        self.checkpoint(actions);
        self.schedule(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }
}

mod given_up;
mod saves;
#[cfg(test)]
mod tests;
