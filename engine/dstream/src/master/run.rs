//! One interval run: the stages of one interval and the state of each task. Plain data with its own small laws.
//!
//! Part of the stage tracker. Invariant: a task that is `Done` has its slices at a worker, or its result at the sink.
//!
//! ```text
//! WAITING --launch--> RUNNING --done--> DONE
//!    ^                   | failed, worker lost      | slices lost while a consumer still needs them
//!    +-------------------+--------------------------+
//! ```

use crate::message::BlockOrder;
use dstream_kernel::{Query, StageEnd, StageInput};
use std::collections::BTreeSet;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    Waiting,
    Running { worker: u32 },
    Done { worker: u32 },
}

/// One task of a run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) state: TaskState,
    /// Attempts launched so far.
    pub(super) attempts: u32,
    /// Attempts that failed by the task's own fault.
    pub(super) broken: u32,
    /// Workers at which it failed to get what it reads, or whose slices could not be fetched.
    pub(super) avoid: BTreeSet<u32>,
    /// What it reads, if it reads lines.
    pub(super) blocks: Vec<BlockOrder>,
}

impl Task {
    fn new(blocks: Vec<BlockOrder>) -> Task {
        let state = TaskState::Waiting;
        Task { state, attempts: 0, broken: 0, avoid: BTreeSet::new(), blocks }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, TaskState::Done { .. })
    }

    /// Back to waiting: its work is lost.
    pub(super) fn reset(&mut self) {
        self.state = TaskState::Waiting;
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
        });
        Shape { stages: stages.collect() }
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
}

impl Run {
    /// A run in which nothing is done.
    pub(super) fn new(shape: &Shape, blocks: &[BlockOrder], partitions: u32) -> Run {
        let line_tasks = || map_inputs(blocks).into_iter().map(Task::new).collect();
        let stages = shape.stages.iter().map(|stage| match stage.parent {
            None => line_tasks(),
            Some(_) => (0..partitions).map(|_| Task::new(Vec::new())).collect(),
        });
        Run { stages: stages.collect(), given_up: 0, is_journalled: false }
    }

    /// Whether everything that the stage reads exists.
    pub(super) fn is_ready(&self, shape: &Shape, stage: usize) -> bool {
        self.is_journalled
            && shape.stages[stage].parent.is_none_or(|parent| self.stages[parent].iter().all(Task::is_done))
    }

    /// Whether a task runs that reads the stage's slices.
    pub(super) fn is_being_read(&self, shape: &Shape, stage: usize) -> bool {
        let mut consumers = shape.stages[stage].consumers.iter().flat_map(|consumer| &self.stages[*consumer]);
        consumers.any(|task| matches!(task.state, TaskState::Running { .. }))
    }

    /// Whether every result is at the sink.
    pub(super) fn is_done(&self, shape: &Shape) -> bool {
        let is_output = |stage: usize| shape.stages[stage].consumers.is_empty();
        (0..self.stages.len())
            .filter(|stage| is_output(*stage))
            .all(|stage| self.stages[stage].iter().all(Task::is_done))
    }

    /// Resets what was lost with the workers for which `is_gone` holds: what ran there, and slices there that a consumer
    /// still needs. Consumers first, so that a consumer that must run again makes its parents' slices needed again.
    pub(super) fn lose(&mut self, shape: &Shape, is_gone: impl Fn(u32) -> bool) {
        for stage in (0..self.stages.len()).rev() {
            let consumers = &shape.stages[stage].consumers;
            let is_needed = consumers.iter().any(|consumer| !self.stages[*consumer].iter().all(Task::is_done));
            for task in &mut self.stages[stage] {
                match task.state {
                    TaskState::Running { worker } if is_gone(worker) => task.reset(),
                    TaskState::Done { worker } if is_needed && is_gone(worker) => task.reset(),
                    _ => {}
                }
            }
        }
    }
}
