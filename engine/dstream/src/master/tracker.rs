//! The stage tracker: which tasks of which interval are ready, running, done, or lost and to be made again.
//!
//! Knows lineage (a stage reads its parent's slices and its own panes of earlier intervals, the first one reads blocks) and
//! nothing of input, clocks or sockets. Invariants: a task is launched only when all it reads exists; the least set of tasks
//! is run again after a loss (`lineage`); recomputed tasks spread over all workers; an interval's lineage is kept until a
//! checkpoint goes through it or, where nothing is kept for later intervals, until it is done.

use crate::master::checkpoint::Checkpoint;
use crate::master::journal::{GivenUp, Snapshot};
use crate::master::ledger::Allotment;
use crate::master::lineage::{Demand, Lineage};
use crate::master::pace::Pace;
use crate::master::panes::{Panes, Place};
use crate::master::placement::Workers;
use crate::master::run::{Run, Shape, Task, TaskState};
use crate::master::schedule::{Blocks, Launched, Scheduler, coming, number, sources_of};
use crate::message::{
    BlockOrder, Launch, Made, NotFetched, PaneSource, Reads, Save, Stored, TaskFailure, TaskId, TaskOrder,
};
use crate::options::{Placement, Recovery};
use crate::replay::is_clients;
use dstream_cluster::core::Core;
use dstream_cluster::message::VisibleResult;
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the tracker must know.
#[derive(Clone, Copy, Debug)]
pub struct TrackerLimits {
    /// Reduce partitions.
    pub partitions: u32,
    /// Cores of a worker.
    pub cores: usize,
    /// A checkpoint goes through every so many intervals. From 1.
    pub checkpoint_intervals: u64,
    /// An attempt that takes so many times as long as others of its stage gets a second one beside it; `None`: none does.
    pub speculation: Option<f64>,
    /// A worker whose attempt was overtaken by a second one gets tasks only where no other has room, for so long.
    pub avoid_slow: Option<Duration>,
    /// Where tasks go.
    pub placement: Placement,
    /// When lost partitions are computed again.
    pub recovery: Recovery,
    /// So many intervals are worked on at once; `None`: all that are sealed.
    pub overlap: Option<u64>,
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
    /// A worker is to leave: it gets no more tasks.
    Leaving(u32),
    /// A worker that was to leave works on.
    Stays(u32),
    /// Whether that worker can go.
    MayLeave(u32),
    /// A worker is gone, and not fenced yet: it gets no more tasks, and what it has handed in is not known.
    Fencing(u32),
    /// All others have said what they hold of what gone workers received.
    OrphansKnown,
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
    /// A task kept a core for so long.
    Took {
        /// The task.
        task: TaskId,
        /// How long.
        core_time: Duration,
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
    /// What an earlier master's journal says. Nothing runs until the workers have said what they hold.
    Recovered {
        /// Counts the masters, from 1.
        term: u64,
        /// The journal.
        found: Snapshot,
        /// Results that are at the sink.
        visible: Vec<VisibleResult>,
    },
    /// A worker has what tasks of an earlier master's made.
    Held {
        /// The worker.
        worker: u32,
        /// What.
        made: Vec<Made>,
    },
    /// All have said it who will.
    Resumed,
    /// Time passed.
    Tick,
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
    /// No copy of the block is left: its interval goes on without it when that is written down.
    GiveUp(GivenUp),
    /// Have the worker write panes into the store.
    Save {
        /// The worker.
        worker: u32,
        /// Which.
        save: Save,
    },
    /// A checkpoint is complete.
    Checkpointed(Checkpointed),
    /// What the attempt is to make is there: it need not begin.
    Cancel {
        /// Its worker.
        worker: u32,
        /// The attempt.
        task: TaskId,
    },
    /// Nothing here depends on the worker that is to leave.
    LetsGo(u32),
    /// The run cannot go on.
    Fatal(String),
    /// Record an event.
    Record(Event),
}

/// What a complete checkpoint lets be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// It goes through this interval.
    pub through: u64,
    /// The first interval whose lineage is kept.
    pub below: u64,
    /// Panes of intervals below this one are not needed either.
    pub panes_below: u64,
    /// All complete checkpoints that are still read, each with the attempts whose objects count.
    pub checkpoints: Vec<(u64, Vec<(Place, u32)>)>,
    /// Those that nobody reads any more.
    pub over: Vec<u64>,
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
    /// Intervals that went on without a block, those among them that are over.
    lacking: BTreeSet<u64>,
    checkpoint: Option<Checkpoint>,
    workers: Workers,
    pace: Pace,
    /// Attempts below this one were earlier masters'.
    first_attempt: u32,
    /// Workers have yet to say what they hold.
    is_recovering: bool,
    /// When something happened last.
    now: Moment,
    /// What is to be known of lost workers before anything is given up.
    unknown: given_up::Unknown,
}

impl Tracker {
    /// A tracker without runs.
    pub fn new(query: &Query, limits: TrackerLimits) -> Tracker {
        assert_ne!(limits.checkpoint_intervals, 0, "a checkpoint goes through at least one interval");
        let shape = Shape::of(query);
        let alike: Vec<bool> = shape.stages.iter().map(|stage| stage.parent.is_none()).collect();
        Tracker {
            reach: shape.reach(),
            shape,
            limits,
            next: 0,
            runs: BTreeMap::new(),
            blocks: Blocks::new(),
            panes: Panes::default(),
            lacking: BTreeSet::new(),
            checkpoint: None,
            workers: Workers::new(limits.cores, limits.placement),
            pace: Pace::new(limits.speculation, limits.cores, &alike),
            first_attempt: 0,
            is_recovering: false,
            now: Moment::ZERO,
            unknown: given_up::Unknown::default(),
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
        let run = Run::new(&self.shape, &orders, (self.limits.partitions, self.first_attempt));
        self.runs.insert(interval, run);
    }

    fn repair(&mut self) {
        let (shape, panes, checkpoint) = (&self.shape, &self.panes, self.checkpoint.as_ref());
        let demand = match self.limits.recovery {
            Recovery::Eager => Demand::Any { next: self.next },
            Recovery::Lazy => Demand::Due { begun_below: self.begun_below() },
        };
        Lineage { shape, panes, checkpoint, demand }.repair(&mut self.runs);
    }

    /// Tasks of intervals below this one may run, as far as they are journalled: `overlap` intervals that are not done, and
    /// whatever these read of earlier ones. So the oldest that is not done always goes on.
    fn begun_below(&self) -> u64 {
        let Some(overlap) = self.limits.overlap else { return u64::MAX };
        let mut open = self.runs.iter().filter(|(_, run)| !run.is_over).map(|(interval, _)| *interval);
        open.nth(usize::try_from(overlap).unwrap_or(usize::MAX)).unwrap_or(u64::MAX)
    }

    fn lost(&mut self, worker: u32, visible: &[VisibleResult], actions: &mut Vec<TrackerAction>) {
        for result in visible {
            let stage = self.shape.stages.iter().position(|stage| stage.output.as_ref() == Some(&result.output));
            let tasks = stage.and_then(|stage| self.runs.get_mut(&result.interval)?.stages.get_mut(stage));
            if let Some(task) = tasks.and_then(|tasks| tasks.get_mut(result.partition as usize)) {
                task.committed = true;
                // Another worker may have made its panes again, or be about to: those stay.
                if task.worker().is_none_or(|at| at == worker) {
                    task.is_lost();
                }
            }
            self.finish(result.interval, actions);
        }
        self.unknown.fencing.remove(&worker);
        self.pace.lost(worker);
        self.workers.leave(worker);
        self.workers.unreachable.remove(&worker);
        self.workers.leaving.remove(&worker);
        self.panes.lost(worker);
        self.checkpoint.iter_mut().for_each(|checkpoint| checkpoint.lost(worker));
        for task in self.runs.values_mut().flat_map(|run| &mut run.stages).flatten() {
            task.beside.take_if(|beside| beside.worker == worker);
            match task.state {
                TaskState::Running { worker: at } if at == worker => task.reset(),
                TaskState::Done { worker: at } if at == worker => task.is_lost(),
                _ => {}
            }
        }
        self.repair();
    }

    /// Launches again what the worker has been given and has not answered; it ignores what it has.
    fn reconnected(&self, worker: u32, actions: &mut Vec<TrackerAction>) {
        for (interval, run) in &self.runs {
            for (stage, tasks) in run.stages.iter().enumerate() {
                let running = tasks.iter().enumerate().flat_map(|(partition, task)| {
                    let here = task.running().filter(|(_, at)| *at == worker);
                    here.map(move |(attempt, _)| (partition, task, attempt))
                });
                let orders: Vec<TaskOrder> = running
                    .map(|(partition, task, attempt)| self.order((*interval, stage, partition), task, attempt))
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

    fn order(&self, (interval, stage, partition): (u64, usize, usize), task: &Task, attempt: u32) -> TaskOrder {
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
            attempt,
            reads,
            past: shape.past_of(interval).into_iter().map(source).collect(),
            commits: !task.committed,
            again: attempt > self.first_attempt || self.runs[&interval].is_recovered,
        }
    }

    fn with_holders(&self, block: &BlockOrder) -> BlockOrder {
        let Some((holders, ranges)) = self.blocks.get(&block.name) else {
            return BlockOrder { holders: Vec::new(), ..block.clone() };
        };
        // To ask its clients for it, and to know what they sent again from what was received first.
        let is_needed = holders.iter().any(|holder| is_clients(*holder)) || !block.skip.is_empty();
        let ranges = if is_needed { ranges.clone() } else { Vec::new() };
        BlockOrder { holders: holders.clone(), ranges, ..block.clone() }
    }

    fn launch(&self, interval: u64, run: &Run, stage: usize, tasks: Vec<TaskOrder>) -> Launch {
        let sources = self.shape.stages[stage].parent.map(|parent| sources_of(&run.stages[parent])).unwrap_or_default();
        let of = number(run.stages[stage].len());
        Launch { interval, stage: number(stage), of, given_up: run.given_up, sources, tasks }
    }

    /// Launches all that is ready and finds room, oldest interval first; second attempts before first ones, as somebody
    /// waits for them.
    fn schedule(&mut self, actions: &mut Vec<TrackerAction>) {
        if self.unknown.is_nothing() {
            self.give_up_lost_blocks(actions);
        }
        if self.limits.placement == Placement::Load {
            self.workers.drags = self.pace.drags();
        }
        let (mut launched, begun_below) = (Launched::new(), self.begun_below());
        self.speculate(&mut launched);
        loop {
            let mut scheduler = Scheduler {
                begun_below,
                shape: &self.shape,
                blocks: &self.blocks,
                panes: &mut self.panes,
                workers: &mut self.workers,
                pace: &self.pace,
                runs: &mut self.runs,
                launched: &mut launched,
            };
            if !scheduler.place_all() {
                break;
            }
            self.repair();
        }
        for ((interval, stage, worker), tasks) in launched {
            let run = &self.runs[&interval];
            let mut orders = Vec::new();
            for (partition, attempt) in tasks {
                let order = self.order((interval, stage, partition), &run.stages[stage][partition], attempt);
                let id = TaskId { interval, stage: number(stage), partition: order.partition, attempt };
                let event =
                    Event::TaskLaunched { task: id.name(), worker: NodeName::worker(worker), again: order.again };
                actions.push(TrackerAction::Record(event));
                let is_away = self.panes.owner((id.stage, id.partition)).is_some_and(|owner| owner != worker);
                self.pace.launched(self.now, worker, id, (run.stages[stage].len(), is_away));
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

    fn step(&mut self, now: Moment, event: TrackerEvent, actions: &mut Vec<TrackerAction>) {
        self.now = now;
        match event {
            TrackerEvent::Sealed { interval, blocks } => self.sealed(interval, blocks),
            TrackerEvent::Journalled { interval } => {
                if let Some(run) = self.runs.get_mut(&interval) {
                    run.is_journalled = true;
                }
                self.repair();
            }
            TrackerEvent::Holders { block, holders } => {
                if let Some(known) = self.blocks.get_mut(&block) {
                    known.0 = holders;
                }
            }
            TrackerEvent::Joined(worker) => self.workers.join(worker),
            TrackerEvent::Fencing(worker) => self.fence(worker),
            TrackerEvent::OrphansKnown => self.unknown.has_orphans = false,
            TrackerEvent::Leaving(worker) => self.leaving(now, worker),
            TrackerEvent::Stays(worker) => _ = self.workers.leaving.remove(&worker),
            TrackerEvent::MayLeave(worker) => return self.may_leave(worker, actions),
            TrackerEvent::Lost { worker, visible } => self.lost(worker, &visible, actions),
            TrackerEvent::Links { worker, unreachable } => _ = self.workers.unreachable.insert(worker, unreachable),
            TrackerEvent::Took { task, core_time } => return self.took(task, core_time),
            TrackerEvent::Done { worker, task } => self.done(worker, task, actions),
            TrackerEvent::Failed { worker, task, why } => self.failed(worker, task, why, actions),
            TrackerEvent::Saved { worker, through, stage, partition, attempt, failed } => {
                self.saved(worker, Stored { through, attempt }, (stage, partition), failed);
            }
            TrackerEvent::Reconnected(worker) => self.reconnected(worker, actions),
            TrackerEvent::Recovered { term, found, visible } => self.recovered(term, found, &visible),
            TrackerEvent::Held { worker, made } => self.held(worker, made),
            TrackerEvent::Resumed => self.resumed(actions),
            TrackerEvent::Tick => {}
        }
        if self.is_recovering {
            return;
        }
        self.checkpoint(actions);
        self.schedule(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        self.pace.deadline(self.now)
    }
}

mod ends;
mod given_up;
mod leaving;
mod recovered;
#[cfg(test)]
mod recovered_tests;
mod saves;
mod speculation;
#[cfg(test)]
mod speculation_tests;
#[cfg(test)]
pub(super) mod tests;
