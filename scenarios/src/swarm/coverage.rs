//! Coverage: what the cluster was doing in the moment in which a fault struck, read from the log.
//!
//! A fault of workers counts what those workers were doing, another one what anybody did. Invariant: a pure function of
//! the log; a fault hits at least one state, if only `idle`.

mod operators;

use dstream_trace::measure::FaultFacts;
use dstream_trace::{BlockName, Event, NodeName, TaskName, TraceLine};
use operators::Operators;
use std::collections::{BTreeMap, BTreeSet};

/// What a cluster may be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words of the table say what they are")]
pub enum State {
    BlockBeingCopied,
    BlockHeldUnsealed,
    MapRunning,
    ReduceRunning,
    ResultHandedIn,
    CopiesRemade,
    LossUnnoticed,
    Fencing,
    Recovering,
    CheckpointWritten,
    IntervalClosing,
    PartitionOrphaned,
    WorkerLeaving,
    Idle,
}

impl State {
    /// All, in the order of the data's way.
    pub const ALL: [State; 14] = [
        State::BlockBeingCopied,
        State::BlockHeldUnsealed,
        State::MapRunning,
        State::ReduceRunning,
        State::ResultHandedIn,
        State::CopiesRemade,
        State::LossUnnoticed,
        State::Fencing,
        State::Recovering,
        State::CheckpointWritten,
        State::IntervalClosing,
        State::PartitionOrphaned,
        State::WorkerLeaving,
        State::Idle,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            State::BlockBeingCopied => "block being copied",
            State::BlockHeldUnsealed => "block held, unsealed",
            State::MapRunning => "map running",
            State::ReduceRunning => "reduce running",
            State::ResultHandedIn => "result being handed in",
            State::CopiesRemade => "copies being re-made",
            State::LossUnnoticed => "loss not yet noticed",
            State::Fencing => "fencing",
            State::Recovering => "recovery under way",
            State::CheckpointWritten => "checkpoint being written",
            State::IntervalClosing => "interval being closed",
            State::PartitionOrphaned => "partition without its node",
            State::WorkerLeaving => "worker leaving",
            State::Idle => "idle",
        }
    }
}

/// How often each kind of fault struck in each state.
pub type Coverage = BTreeMap<(String, State), u64>;

/// The coverage of one run; `copies` as the engine promises them.
pub fn coverage(lines: &[TraceLine], faults: &[FaultFacts], copies: u32) -> Coverage {
    let mut walk = Walk { copies: copies as usize, checkpoints: checkpoints(lines), ..Walk::default() };
    let mut coverage = Coverage::new();
    for line in lines {
        if let Event::FaultApplied { fault, .. } = &line.event
            && let Some(fault) = faults.iter().find(|facts| facts.number == *fault)
        {
            for state in walk.states(fault) {
                *coverage.entry((fault.fault.clone(), state)).or_default() += 1;
            }
        }
        walk.step(line);
    }
    coverage
}

/// The intervals that end a checkpoint. The log tells what was saved, not what was to be saved, so this looks ahead.
fn checkpoints(lines: &[TraceLine]) -> BTreeSet<u64> {
    let through = |line: &TraceLine| match &line.event {
        Event::StateSaved { through, .. } | Event::CheckpointComplete { through } => Some(*through),
        _ => None,
    };
    lines.iter().filter_map(through).collect()
}

/// What goes on.
#[derive(Default)]
struct Walk {
    copies: usize,
    /// Blocks of no interval yet, with their holders.
    unsealed: BTreeMap<BlockName, BTreeSet<NodeName>>,
    sealed: BTreeSet<BlockName>,
    running: BTreeMap<(NodeName, TaskName), bool>,
    /// Finished attempts at results that are not visible yet: (interval, partition) by worker.
    handed_in: BTreeSet<(NodeName, u64, u32)>,
    /// Attempts that were begun before.
    again: BTreeSet<TaskName>,
    copies_below: bool,
    dead: BTreeSet<NodeName>,
    unfenced: BTreeSet<NodeName>,
    leaving: BTreeSet<NodeName>,
    /// The intervals that end one, now or later.
    checkpoints: BTreeSet<u64>,
    /// All intervals below this one are done; of those after it, these.
    done_below: u64,
    done: BTreeSet<u64>,
    /// Checkpoints through intervals below this one are complete.
    stored_below: u64,
    operators: Operators,
}

impl Walk {
    fn step(&mut self, line: &TraceLine) {
        let node = &line.node;
        match &line.event {
            Event::BlockHeld { block, .. } if !self.sealed.contains(block) => {
                self.unsealed.entry(*block).or_default().insert(node.clone());
            }
            Event::BlockForgotten { block } => drop(self.unsealed.remove(block)),
            Event::IntervalSealed { blocks, .. } => {
                blocks.iter().for_each(|block| drop(self.unsealed.remove(block)));
                self.sealed.extend(blocks.iter().copied());
            }
            Event::SourceSealed { blocks, .. } => {
                blocks.iter().for_each(|block| drop(self.unsealed.remove(block)));
                self.sealed.extend(blocks.iter().copied());
                self.operators.step(line);
            }
            Event::TaskLaunched { task, again: true, .. } => drop(self.again.insert(*task)),
            Event::TaskStarted { task } => drop(self.running.insert((node.clone(), *task), task.stage > 0)),
            Event::TaskFinished { task, .. } => self.finish(node, *task),
            Event::TaskFailed { task, .. } => drop(self.running.remove(&(node.clone(), *task))),
            Event::ResultVisible { interval, partition, .. } => {
                self.handed_in.retain(|(_, i, p)| (i, p) != (interval, partition));
                self.operators.step(line);
            }
            Event::IntervalDone { interval } => {
                self.handed_in.retain(|(_, i, _)| i > interval);
                self.done.insert(*interval);
                while self.done.remove(&self.done_below) {
                    self.done_below += 1;
                }
            }
            Event::CopiesBelow { blocks } => self.copies_below = *blocks > 0,
            Event::ProcessEnded => self.end(node),
            Event::WorkerLeaving { worker, .. } => drop(self.leaving.insert(worker.clone())),
            Event::WorkerJoined { worker, .. } | Event::WorkerStays { worker, .. } => {
                self.leaving.remove(worker);
            }
            Event::WorkerLeft { worker, .. } => {
                self.leaving.remove(worker);
                self.end(worker);
                self.dead.remove(worker);
            }
            Event::WorkerLost { worker, .. } => {
                self.dead.remove(worker);
                self.leaving.remove(worker);
                self.unfenced.insert(worker.clone());
                self.operators.leave(worker);
            }
            Event::Fenced { worker, .. } => drop(self.unfenced.remove(worker)),
            Event::CheckpointComplete { through } => {
                self.stored_below = through + 1;
                self.operators.step(line);
            }
            _ => self.operators.step(line),
        }
    }

    fn finish(&mut self, node: &NodeName, task: TaskName) {
        if self.running.remove(&(node.clone(), task)) == Some(true) {
            self.handed_in.insert((node.clone(), task.interval, task.partition));
        }
    }

    fn end(&mut self, node: &NodeName) {
        if node.is_of_the_work() {
            self.dead.insert(node.clone());
        }
        self.operators.leave(node);
        self.running.retain(|(at, _), _| at != node);
        self.handed_in.retain(|(at, _, _)| at != node);
        for holders in self.unsealed.values_mut() {
            holders.remove(node);
        }
    }

    /// Whether a checkpoint is due, since all that it is of is done, and not complete.
    fn writes_checkpoint(&self) -> bool {
        self.stored_below < self.done_below
            && self.checkpoints.range(self.stored_below..self.done_below).next().is_some()
    }

    fn states(&self, fault: &FaultFacts) -> Vec<State> {
        let anybody = !fault.nodes.iter().any(NodeName::is_of_the_work);
        let here = |node: &NodeName| anybody || fault.nodes.contains(node);
        let holds = |holders: &BTreeSet<NodeName>| holders.iter().any(here);
        let unsealed = |lacks: bool| {
            self.unsealed.values().any(|holders| holds(holders) && (holders.len() < self.copies) == lacks)
        };
        let runs = |reduce: bool| self.running.iter().any(|((node, _), is)| here(node) && *is == reduce);
        let again = self.running.keys().any(|(_, task)| self.again.contains(task));
        let found = [
            (State::BlockBeingCopied, unsealed(true)),
            (State::BlockHeldUnsealed, unsealed(false)),
            (State::MapRunning, runs(false)),
            (State::ReduceRunning, runs(true)),
            (State::ResultHandedIn, self.handed_in.iter().any(|(node, _, _)| here(node))),
            (State::CopiesRemade, self.copies_below),
            (State::LossUnnoticed, !self.dead.is_empty()),
            (State::Fencing, !self.unfenced.is_empty()),
            (State::Recovering, again || !self.operators.catching_up.is_empty()),
            (State::CheckpointWritten, self.writes_checkpoint() || self.operators.saves),
            (State::IntervalClosing, !self.operators.closing.is_empty()),
            (State::WorkerLeaving, !self.leaving.is_empty()),
            (State::PartitionOrphaned, !self.operators.orphans.is_empty()),
        ];
        let mut states: Vec<State> = found.into_iter().filter(|(_, is)| *is).map(|(state, _)| state).collect();
        if states.is_empty() {
            states.push(State::Idle);
        }
        states
    }
}
