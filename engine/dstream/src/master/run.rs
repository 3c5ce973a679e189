//! One interval run: the stages of one interval and the state of each task. Plain data with its own small laws.
//!
//! Part of the stage tracker. Invariants: what a `Done` task made (slices, panes) is at its worker; a result that is
//! committed is at the sink, whatever becomes of the task.
//!
//! ```text
//! WAITING --launch--> RUNNING --done--> DONE --worker lost--> SPENT
//!    ^                   | failed, worker lost      | slices not where they should be
//!    +-------------------+--------------------------+
//!    ^----------------------------- somebody needs what it made --'
//!    ^------------------------- blocks that it came from are given up, from DONE and SPENT
//! ```
//!
//! A slow attempt gets a second one *beside* it. The first of the two that is done is the task's; the other stays beside it,
//! and is fallen back on where the task would else have to be launched again.

use crate::message::BlockOrder;
use dstream_kernel::{Query, StageEnd, StageInput, Width};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    Waiting,
    Running {
        worker: u32,
    },
    /// What it made is at the worker.
    Done {
        worker: u32,
    },
    /// What it made is gone, and nobody needed it when it went.
    Spent,
}

/// A second attempt, beside the one that the task's state tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) attempt: u32,
    pub(super) worker: u32,
    /// What it made is at its worker; else it runs there.
    pub(super) is_done: bool,
}

/// Which of a task's attempts an end is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that the state tells of, which runs.
    Current,
    /// The one beside it, which runs.
    Beside,
    /// One of before.
    Former,
}

/// One task of a run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) state: TaskState,
    /// The attempt that the state tells of, where it runs or is done.
    pub(super) current: u32,
    /// Another one.
    pub(super) beside: Option<Beside>,
    /// Attempts launched so far.
    pub(super) attempts: u32,
    /// Attempts that failed by the task's own fault.
    pub(super) broken: u32,
    /// Workers at which it failed to get what it reads, or whose slices could not be fetched.
    pub(super) avoid: BTreeSet<u32>,
    /// What it reads, if it reads lines.
    pub(super) blocks: Vec<BlockOrder>,
    /// Its result is at the sink.
    pub(super) committed: bool,
    /// Attempts below this one may have read blocks that have been given up since: what they made does not count.
    pub(super) stale_below: u32,
    /// How many of the interval's blocks had been given up when its panes were made last.
    pub(super) made_without: Option<u32>,
}

impl Task {
    fn new(blocks: Vec<BlockOrder>, first_attempt: u32) -> Task {
        Task {
            state: TaskState::Waiting,
            current: 0,
            beside: None,
            attempts: first_attempt,
            broken: 0,
            avoid: BTreeSet::new(),
            blocks,
            committed: false,
            stale_below: 0,
            made_without: None,
        }
    }

    /// The worker that it runs at, or that has what it made.
    pub(super) fn worker(&self) -> Option<u32> {
        match self.state {
            TaskState::Running { worker } | TaskState::Done { worker } => Some(worker),
            TaskState::Waiting | TaskState::Spent => None,
        }
    }

    /// Its next attempt runs at the worker: the only one, or one beside the one that runs.
    pub(super) fn launched(&mut self, worker: u32) -> u32 {
        let attempt = self.attempts;
        self.attempts += 1;
        match self.state {
            TaskState::Running { .. } => self.beside = Some(Beside { attempt, worker, is_done: false }),
            _ => (self.state, self.current) = (TaskState::Running { worker }, attempt),
        }
        attempt
    }

    /// Which of its attempts this one at the worker is.
    pub(super) fn which(&self, worker: u32, attempt: u32) -> Which {
        if self.state == (TaskState::Running { worker }) && self.current == attempt {
            Which::Current
        } else if self.beside == Some(Beside { attempt, worker, is_done: false }) {
            Which::Beside
        } else {
            Which::Former
        }
    }

    /// The attempts that run, each with its worker.
    pub(super) fn running(&self) -> impl Iterator<Item = (u32, u32)> {
        let current = match self.state {
            TaskState::Running { worker } => Some((self.current, worker)),
            _ => None,
        };
        let beside = self.beside.filter(|beside| !beside.is_done).map(|beside| (beside.attempt, beside.worker));
        current.into_iter().chain(beside)
    }

    /// The attempt beside is done first: it is the task's, and the other one is beside it.
    pub(super) fn beside_is_done(&mut self) {
        let (Some(beside), Some(worker)) = (self.beside, self.worker()) else { return };
        self.beside = Some(Beside { attempt: self.current, worker, is_done: false });
        (self.state, self.current) = (TaskState::Done { worker: beside.worker }, beside.attempt);
    }

    /// A second worker has what the task made, should the first one be lost.
    pub(super) fn is_also_at(&mut self, worker: u32, attempt: u32) {
        if self.worker() != Some(worker) {
            self.beside.get_or_insert(Beside { attempt, worker, is_done: true });
        }
    }

    /// What the state tells of is gone: the attempt beside it takes its place, if what that makes counts.
    pub(super) fn falls_back(&mut self) -> bool {
        let stale_below = self.stale_below;
        // What was made of another input is in nobody's way.
        self.beside.take_if(|beside| beside.is_done && beside.attempt < stale_below);
        let Some(beside) = self.beside.take_if(|beside| beside.attempt >= stale_below) else { return false };
        let worker = beside.worker;
        self.state = if beside.is_done { TaskState::Done { worker } } else { TaskState::Running { worker } };
        self.current = beside.attempt;
        true
    }

    /// Whether what it made can be read.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.state, TaskState::Done { .. })
    }

    /// Whether it still has to run.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, TaskState::Waiting | TaskState::Running { .. })
    }

    /// What it made counts no longer, whoever still says that it did.
    fn make_again(&mut self) {
        self.stale_below = self.attempts;
        self.reset();
    }

    /// What it read has been made anew since: its result stands, its panes do not.
    pub(super) fn panes_are_stale(&mut self) {
        self.stale_below = self.attempts;
        if let TaskState::Done { .. } = self.state {
            self.state = TaskState::Spent;
        }
    }

    /// What it made is lost; nobody may need it.
    pub(super) fn is_lost(&mut self) {
        if !self.falls_back() {
            self.state = TaskState::Spent;
        }
    }

    /// Back to waiting: its work is lost, and is needed. Unless another attempt has done it as well, or is about to.
    pub(super) fn reset(&mut self) {
        if !self.falls_back() {
            self.state = TaskState::Waiting;
        }
    }
}

/// How the stages of a query hang together.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) stages: Vec<StageShape>,
}

#[derive(Clone, Debug)]
pub(super) struct StageShape {
    /// The stage whose slices it reads; `None`: it reads lines.
    pub(super) parent: Option<usize>,
    /// The stages that read its slices; none: its results go to the sink.
    pub(super) consumers: Vec<usize>,
    /// The output that its results are of, if they go to the sink.
    pub(super) output: Option<String>,
    pub(super) width: Width,
    /// For each of the panes it keeps, how many intervals back its tasks read it.
    pub(super) kept: Vec<RangeInclusive<u64>>,
    /// What it keeps are parts of one state: those of all later intervals have come of it.
    pub(super) is_in_place: bool,
}

impl StageShape {
    /// How many intervals back its tasks read; 0 if it keeps nothing.
    pub(super) fn reach(&self) -> u64 {
        self.kept.iter().map(|back| *back.end()).max().unwrap_or(0)
    }

    /// The earlier intervals whose panes a task of `interval` reads, oldest first.
    pub(super) fn past_of(&self, interval: u64) -> Vec<u64> {
        let backs: BTreeSet<u64> = self.kept.iter().cloned().flatten().filter(|back| *back <= interval).collect();
        backs.into_iter().rev().map(|back| interval - back).collect()
    }

    /// How many intervals ahead panes fit those of an interval only if these stay what they were; 0: they always do.
    pub(super) fn ties(&self) -> u64 {
        match self.kept.len() {
            0 | 1 => 0,
            _ if self.is_in_place => u64::MAX,
            _ => self.reach(),
        }
    }

    /// The later intervals whose tasks read the panes of `interval`, latest first.
    pub(super) fn readers_of(&self, interval: u64) -> Vec<u64> {
        let backs: BTreeSet<u64> = self.kept.iter().cloned().flatten().collect();
        backs.into_iter().rev().map(|back| interval + back).collect()
    }
}

impl Shape {
    pub(super) fn of(query: &Query) -> Shape {
        let parent = |input: StageInput| match input {
            StageInput::Lines => None,
            StageInput::Shuffle(id) => query.stages.iter().position(|stage| stage.end == StageEnd::Shuffle(id)),
        };
        let consumers = |index: usize| {
            let reads = |other: usize| parent(query.stages[other].input) == Some(index);
            (0..query.stages.len()).filter(|other| reads(*other)).collect()
        };
        let output = |end: StageEnd| match end {
            StageEnd::Output(id) => Some(query.outputs[id.0 as usize].name.clone()),
            StageEnd::Shuffle(_) => None,
        };
        let stages = query.stages.iter().enumerate().map(|(index, stage)| StageShape {
            parent: parent(stage.input),
            consumers: consumers(index),
            output: output(stage.end),
            width: stage.width,
            kept: stage.kept.iter().map(|kept| kept.back.clone()).collect(),
            is_in_place: stage.is_in_place,
        });
        Shape { stages: stages.collect() }
    }

    /// The stages that come from this one's slices, directly or through others, in order.
    fn derived_from(&self, stage: usize) -> BTreeSet<usize> {
        let mut derived = BTreeSet::new();
        let mut next = self.stages[stage].consumers.clone();
        while let Some(stage) = next.pop() {
            if derived.insert(stage) {
                next.extend(&self.stages[stage].consumers);
            }
        }
        derived
    }

    /// How many intervals back any task reads; 0 for a query without windows and state.
    pub(super) fn reach(&self) -> u64 {
        self.stages.iter().map(StageShape::reach).max().unwrap_or(0)
    }
}

/// The blocks that each map task reads: one block a task, and at least one task, so that an empty interval has a result too.
pub(super) fn map_inputs<B: Clone>(blocks: &[B]) -> Vec<Vec<B>> {
    match blocks {
        [] => vec![Vec::new()],
        _ => blocks.iter().map(|block| vec![block.clone()]).collect(),
    }
}

/// One interval run.
#[derive(Debug)]
pub(super) struct Run {
    /// By stage, by partition.
    pub(super) stages: Vec<Vec<Task>>,
    /// How many of its blocks had to be given up.
    pub(super) given_up: u32,
    /// No task runs before its input is written down.
    pub(super) is_journalled: bool,
    /// Every result is at the sink, and the master has been told.
    pub(super) is_over: bool,
    /// An earlier master sealed it.
    pub(super) is_recovered: bool,
}

impl Run {
    /// A run in which nothing is done.
    pub(super) fn new(shape: &Shape, blocks: &[BlockOrder], (partitions, first_attempt): (u32, u32)) -> Run {
        let task = |blocks: Vec<BlockOrder>| Task::new(blocks, first_attempt);
        let line_tasks = || map_inputs(blocks).into_iter().map(task).collect();
        let stages = shape.stages.iter().map(|stage| match stage.parent {
            None => line_tasks(),
            Some(_) if stage.width == Width::One => vec![task(Vec::new())],
            Some(_) => (0..partitions).map(|_| task(Vec::new())).collect(),
        });
        Run { stages: stages.collect(), given_up: 0, is_journalled: false, is_over: false, is_recovered: false }
    }

    /// Whether all slices that the stage reads exist.
    pub(super) fn is_ready(&self, shape: &Shape, stage: usize) -> bool {
        self.is_journalled
            && shape.stages[stage].parent.is_none_or(|parent| self.stages[parent].iter().all(Task::is_there))
    }

    /// Whether a task runs that reads the stage's slices, or what others made of them.
    pub(super) fn is_being_read(&self, shape: &Shape, stage: usize) -> bool {
        let readers = shape.derived_from(stage);
        let mut readers = readers.into_iter().flat_map(|reader| &self.stages[reader]);
        readers.any(|task| task.running().next().is_some())
    }

    /// The stage's input has changed: what was made of it, and goes into results still to come, is made again. Otherwise a
    /// result would have the records of a given-up block for some keys and lack them for others.
    pub(super) fn make_again_from(&mut self, shape: &Shape, stage: usize) {
        for stage in shape.derived_from(stage) {
            let is_between = shape.stages[stage].output.is_none();
            for task in &mut self.stages[stage] {
                if is_between && !self.is_over {
                    task.make_again();
                } else if task.state == TaskState::Waiting {
                    // What an attempt from before still says of its panes does not fit any more.
                    task.stale_below = task.attempts;
                }
            }
        }
    }

    /// Whether every result is at the sink.
    pub(super) fn is_done(&self, shape: &Shape) -> bool {
        let results = self.stages.iter().zip(&shape.stages).filter(|(_, stage)| stage.output.is_some());
        results.flat_map(|(tasks, _)| tasks).all(|task| task.committed)
    }

    /// Whether a task that still has to run reads the stage's slices.
    pub(super) fn has_open_readers(&self, shape: &Shape, stage: usize) -> bool {
        let mut readers = shape.stages[stage].consumers.iter().flat_map(|consumer| &self.stages[*consumer]);
        readers.any(Task::is_open)
    }
}
