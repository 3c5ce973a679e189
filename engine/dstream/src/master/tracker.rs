//! The stage tracker: which tasks of which interval are ready, running, done, or lost and to be made again.
//!
//! Knows lineage (a stage reads its parent's slices, the first one reads blocks) and nothing of input, clocks or sockets.
//! Invariants: a task is launched only when all it reads exists; the least set of tasks is run again after a loss: what ran
//! on the lost worker, and slices there that a task still to be run needs; recomputed tasks spread over all workers.

use crate::master::ledger::Allotment;
use crate::master::placement::{Place, Workers};
use crate::master::run::{Run, Shape, Task, TaskState};
use crate::message::{BlockOrder, Launch, NotFetched, Reads, SliceSource, TaskFailure, TaskId, TaskOrder};
use dstream_cluster::core::Core;
use dstream_cluster::message::VisibleResult;
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// A task whose function panics this often stops the run: it would panic for ever, since it is deterministic.
const MOST_BROKEN_ATTEMPTS: u32 = 4;

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
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// The stage tracker's core.
#[derive(Debug)]
pub struct Tracker {
    shape: Shape,
    partitions: u32,
    runs: BTreeMap<u64, Run>,
    blocks: Blocks,
    workers: Workers,
    /// Lost workers of which the sink has not said yet what they handed in. Nothing is given up meanwhile.
    fencing: BTreeSet<u32>,
}

impl Tracker {
    /// A tracker without runs, for workers with so many `cores` each.
    pub fn new(query: &Query, partitions: u32, cores: usize) -> Tracker {
        let workers = Workers { cores, ..Workers::default() };
        let (runs, blocks, fencing) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Tracker { shape: Shape::of(query), partitions, runs, blocks, workers, fencing }
    }

    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        self.runs.get_mut(&id.interval)?.stages.get_mut(id.stage as usize)?.get_mut(id.partition as usize)
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
        let Some(task) = self.task(id) else { return };
        // An earlier attempt's result is as good, if the task still waits for one.
        if is_current || task.state == TaskState::Waiting {
            task.state = TaskState::Done { worker };
        }
        self.finish(id.interval, actions);
    }

    /// Ends the run if every result is at the sink.
    fn finish(&mut self, interval: u64, actions: &mut Vec<TrackerAction>) {
        let is_done = self.runs.get(&interval).is_some_and(|run| run.is_done(&self.shape));
        if is_done && let Some(run) = self.runs.remove(&interval) {
            // What still runs for it is not needed any more; its end will find no task to free its place.
            for task in run.stages.iter().flatten() {
                self.workers.free(task.state);
            }
            for block in run.stages.iter().flatten().flat_map(|task| &task.blocks) {
                self.blocks.remove(&block.name);
            }
            actions.push(TrackerAction::Record(Event::IntervalDone { interval }));
            actions.push(TrackerAction::IntervalDone(interval));
        }
    }

    fn failed(&mut self, worker: u32, id: TaskId, why: TaskFailure, actions: &mut Vec<TrackerAction>) {
        if !self.release(worker, id) {
            return;
        }
        let Some(task) = self.task(id) else { return };
        task.reset();
        match why {
            // As good as the worker's own word that it lacks these connections, until it speaks of them next.
            TaskFailure::NotFetched(NotFetched { unreachable, slices_missing, .. }) => {
                self.workers.unreachable.entry(worker).or_default().extend(unreachable);
                self.make_slices_again(id, &slices_missing);
            }
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

    /// Slices that are not where they should be are made again, wherever there is room.
    fn make_slices_again(&mut self, reader: TaskId, missing_at: &[u32]) {
        let parent = self.shape.stages.get(reader.stage as usize).and_then(|stage| stage.parent);
        let tasks = parent.and_then(|parent| self.runs.get_mut(&reader.interval)?.stages.get_mut(parent));
        let is_missing = |task: &&mut Task| missing_at.iter().any(|at| task.state == TaskState::Done { worker: *at });
        tasks.into_iter().flatten().filter(is_missing).for_each(Task::reset);
    }

    fn lost(&mut self, worker: u32, visible: &[VisibleResult], actions: &mut Vec<TrackerAction>) {
        for result in visible {
            let stage = self.shape.stages.iter().position(|stage| stage.output.as_ref() == Some(&result.output));
            let tasks = stage.and_then(|stage| self.runs.get_mut(&result.interval)?.stages.get_mut(stage));
            if let Some(task) = tasks.and_then(|tasks| tasks.get_mut(result.partition as usize)) {
                self.workers.free(task.state);
                task.state = TaskState::Done { worker };
            }
            self.finish(result.interval, actions);
        }
        self.fencing.remove(&worker);
        self.workers.running.remove(&worker);
        self.workers.unreachable.remove(&worker);
        for run in self.runs.values_mut() {
            run.lose(&self.shape, |other| other == worker);
        }
    }

    /// Launches again what the worker has been given and has not answered; it ignores what it has.
    fn reconnected(&self, worker: u32, actions: &mut Vec<TrackerAction>) {
        for (interval, run) in &self.runs {
            for (stage, tasks) in run.stages.iter().enumerate() {
                let running = |task: &Task| task.state == TaskState::Running { worker };
                let orders: Vec<TaskOrder> = tasks
                    .iter()
                    .enumerate()
                    .filter(|(_, task)| running(task))
                    .map(|(partition, task)| self.order(stage, partition, task))
                    .collect();
                if !orders.is_empty() {
                    let launch = self.launch(*interval, run, stage, orders);
                    actions.push(TrackerAction::Launch { worker, launch });
                }
            }
        }
    }

    fn order(&self, stage: usize, partition: usize, task: &Task) -> TaskOrder {
        let reads = match self.shape.stages[stage].parent {
            None => Reads::Blocks(task.blocks.iter().map(|block| self.with_holders(block)).collect()),
            Some(_) => Reads::Slices,
        };
        TaskOrder { partition: number(partition), attempt: task.attempts - 1, reads, again: task.attempts > 1 }
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

    /// Gives up the blocks of a waiting task that nobody holds any more, unless tasks run that may have read its slices
    /// before these were lost: they succeed with them, or fail and leave nobody who does.
    fn give_up_lost_blocks(&mut self, actions: &mut Vec<TrackerAction>) {
        for (interval, run) in &mut self.runs {
            for stage in 0..run.stages.len() {
                if run.is_being_read(&self.shape, stage) {
                    continue;
                }
                let waiting = run.stages[stage].iter_mut().filter(|task| task.state == TaskState::Waiting);
                let gone: Vec<BlockName> = waiting.flat_map(|task| drop_lost_blocks(task, &self.blocks)).collect();
                for block in gone {
                    if let Some((_, ranges)) = self.blocks.remove(&block) {
                        let interval = Some(*interval);
                        actions.push(TrackerAction::Record(Event::BlockLost { block, ranges, interval }));
                        actions.push(TrackerAction::GiveUp(block));
                        run.given_up += 1;
                    }
                }
            }
        }
    }

    /// Launches all that is ready and finds room, oldest interval first.
    fn schedule(&mut self, actions: &mut Vec<TrackerAction>) {
        if self.fencing.is_empty() {
            self.give_up_lost_blocks(actions);
        }
        let mut launched: Launched = BTreeMap::new();
        for (interval, run) in &mut self.runs {
            let mut stage = 0;
            while stage < run.stages.len() {
                let next =
                    place_stage(&self.shape, &self.blocks, &mut self.workers, (*interval, run, stage), &mut launched);
                stage = next;
            }
        }
        for ((interval, stage, worker), partitions) in launched {
            let run = &self.runs[&interval];
            let mut orders = Vec::new();
            for partition in partitions {
                let order = self.order(stage, partition, &run.stages[stage][partition]);
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

/// Takes the blocks that nobody holds from what the task reads.
fn drop_lost_blocks(task: &mut Task, blocks: &Blocks) -> Vec<BlockName> {
    let gone = task.blocks.iter().filter(|block| is_gone(block, blocks)).map(|block| block.name).collect();
    task.blocks.retain(|block| !is_gone(block, blocks));
    gone
}

fn is_gone(block: &BlockOrder, blocks: &Blocks) -> bool {
    blocks.get(&block.name).is_none_or(|(holders, _)| holders.is_empty())
}

/// Holders and records of the blocks that runs read.
type Blocks = BTreeMap<BlockName, (Vec<u32>, Vec<RecordRange>)>;

/// (interval, stage, worker) -> partitions
type Launched = BTreeMap<(u64, usize, u32), Vec<usize>>;

/// Places the waiting tasks of a ready stage and marks them running. Returns the stage to go on with: the next one, or the
/// parent where its slices have to be made again.
fn place_stage(
    shape: &Shape,
    blocks: &Blocks,
    workers: &mut Workers,
    (interval, run, stage): (u64, &mut Run, usize),
    launched: &mut Launched,
) -> usize {
    if !run.is_ready(shape, stage) {
        return stage + 1;
    }
    let parent = shape.stages[stage].parent;
    let sources = parent.map(|parent| sources_of(&run.stages[parent])).unwrap_or_default();
    let source_workers: BTreeSet<u32> = sources.iter().map(|source| source.worker).collect();
    for (partition, task) in run.stages[stage].iter_mut().enumerate() {
        if task.state != TaskState::Waiting || task.blocks.iter().any(|block| is_gone(block, blocks)) {
            continue;
        }
        let turn = number(partition);
        let place = if parent.is_some() {
            workers.for_slices(&source_workers, &task.avoid, turn)
        } else {
            let holders = task.blocks.iter().filter_map(|block| blocks.get(&block.name));
            let holders: Vec<u32> = holders.flat_map(|(holders, _)| holders.iter().copied()).collect();
            workers.for_blocks(&holders, &task.avoid, turn)
        };
        match (place, parent) {
            (Place::At(worker), _) => {
                task.state = TaskState::Running { worker };
                task.attempts += 1;
                *workers.running.entry(worker).or_default() += 1;
                launched.entry((interval, stage, worker)).or_default().push(partition);
            }
            (Place::CutOff(source), Some(parent)) if remake_elsewhere(&mut run.stages[parent], source, blocks) => {
                return parent;
            }
            _ => break,
        }
    }
    stage + 1
}

/// The slices at `worker` cannot be fetched by anyone who needs them: its tasks run again, elsewhere. Not those whose
/// block is gone: their slices are all that is left of it, until the worker is reached again or lost. Whether any does.
fn remake_elsewhere(tasks: &mut [Task], worker: u32, blocks: &Blocks) -> bool {
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

fn sources_of(tasks: &[Task]) -> Vec<SliceSource> {
    let place = |(partition, task): (usize, &Task)| match task.state {
        TaskState::Done { worker } => Some(SliceSource { partition: number(partition), worker }),
        _ => None,
    };
    tasks.iter().enumerate().filter_map(place).collect()
}

/// Stages and partitions are counted in 32 bits on the wire.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("there are far fewer than 2^32 stages and partitions")
}

impl Core for Tracker {
    type Event = TrackerEvent;
    type Action = TrackerAction;

    fn step(&mut self, _now: Moment, event: TrackerEvent, actions: &mut Vec<TrackerAction>) {
        match event {
            TrackerEvent::Sealed { interval, blocks } => {
                let mut orders = Vec::new();
                for Allotment { order, ranges } in blocks {
                    self.blocks.insert(order.name, (order.holders.clone(), ranges));
                    orders.push(order);
                }
                self.runs.insert(interval, Run::new(&self.shape, &orders, self.partitions));
            }
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
            TrackerEvent::Reconnected(worker) => self.reconnected(worker, actions),
        }
        self.schedule(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }
}

#[cfg(test)]
mod tests;
