//! The engine-neutral form of a streaming program: stages cut at the shuffles.
//!
//! An engine sees stages, bytes and counts; types and closures stay inside. Invariant: running a stage twice on the same
//! input gives the same bytes.

use crate::continuous::{HeldPane, Operator};
use crate::held::HeldState;
use crate::id::{OutputId, ShuffleId, StageId};
use crate::scratch::Scratch;
use bytes::Bytes;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A streaming program, cut into stages. Every stage's parent has a lower id.
#[derive(Clone, Debug)]
pub struct Query {
    /// In topological order; `stages[i].id.0 == i`.
    pub stages: Vec<Stage>,
    /// By id.
    pub outputs: Vec<OutputSpec>,
    /// Equal programs have equal fingerprints: shape, operator names, record types.
    pub fingerprint: u64,
}

impl Query {
    /// The same query with state without an end held in place, as far as its operators can: results are the same bytes.
    /// Instead of its whole state a task then leaves what it changed, and one of `segments` segments of the state; the
    /// panes of so many intervals are the whole state.
    pub fn in_place(mut self, segments: NonZeroU64) -> Query {
        for stage in &mut self.stages {
            if let Some((kept, program)) = stage.program.in_place(segments) {
                (stage.kept, stage.program, stage.is_in_place) = (kept, program, true);
                // Panes of one form are none of the other.
                self.fingerprint = xxh3_64_with_seed(&segments.get().to_le_bytes(), self.fingerprint);
            }
        }
        self
    }

    /// Whether what stages keep comes in parts that are each written once: changes and segments, and no state anew. Then
    /// a checkpoint of few intervals writes no more than one of many.
    pub fn keeps_in_parts(&self) -> bool {
        self.stages.iter().any(|stage| stage.is_in_place)
            && self.stages.iter().all(|stage| stage.is_in_place || stage.kept.is_empty())
    }

    /// Outputs of which each row depends on the state of its own partition alone: behind one shuffle at most.
    pub fn outputs_of_own_state(&self) -> Vec<OutputId> {
        let reads_lines = |stage: &Stage| stage.input == StageInput::Lines;
        let is_first = |stage: &Stage| match stage.input {
            StageInput::Lines => true,
            StageInput::Shuffle(shuffle) => {
                self.stages.iter().filter(|writer| writer.end == StageEnd::Shuffle(shuffle)).all(reads_lines)
            }
        };
        let output = |stage: &Stage| match stage.end {
            StageEnd::Output(output) => Some(output),
            StageEnd::Shuffle(_) => None,
        };
        self.stages.iter().filter(|stage| is_first(stage)).filter_map(output).collect()
    }
}

/// The narrow steps between two shuffles (or between the source and the output).
#[derive(Clone)]
pub struct Stage {
    /// Its place in [`Query::stages`].
    pub id: StageId,
    /// What its tasks read.
    pub input: StageInput,
    /// Where its tasks' results go.
    pub end: StageEnd,
    /// How many partitions it has, if it reads slices.
    pub width: Width,
    /// What its tasks keep for those of later intervals: windows and state.
    pub kept: Vec<Kept>,
    /// Its state is held in place: what it keeps are changes and segments, see [`Query::in_place`].
    pub is_in_place: bool,
    /// How many earlier intervals of its input have a part in its result of an interval, its own operators alone
    /// considered: 0 where an interval stands for itself, a window's length - 1; `None` where all of them have.
    pub reach: Option<u64>,
    /// The operators, for people: `lines > words > map > combine`.
    pub label: String,
    /// What a task of the stage does.
    pub program: Arc<dyn StageProgram>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} > {} > {:?}", self.id, self.input, self.label, self.end)
    }
}

/// What a stage reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageInput {
    /// Received lines.
    Lines,
    /// The slices of a shuffle.
    Shuffle(ShuffleId),
}

/// Where a stage's results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageEnd {
    /// Into slices, one for each partition of the shuffle's other side.
    Shuffle(ShuffleId),
    /// To the sink.
    Output(OutputId),
}

/// How many partitions a stage has that reads slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// As many as the cluster has reduce partitions.
    All,
    /// One: its result needs all rows together.
    One,
}

/// A pane: an immutable row block that the task of one interval and partition leaves to tasks of the same stage and
/// partition in later intervals. Together they are the state of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is, for people: `values`, `window`, `state`.
    pub label: String,
    /// The type of its rows, as records name it: `(String, u64)`. Panes of one type are none of another.
    pub rows: String,
    /// Interval `i` reads the panes of intervals `i - b` for every `b` in here, from 1. Before interval 0 there are none.
    pub back: RangeInclusive<u64>,
}

/// A named output and how its rows read.
#[derive(Clone)]
pub struct OutputSpec {
    /// Its id.
    pub id: OutputId,
    /// Its name in files and traces.
    pub name: String,
    /// It has a result at the end of every so many intervals: of interval `i` if `(i + 1) % every == 0`. From 1.
    pub every: u64,
    /// Decodes a row block into (key, value) texts, in the rows' order. The value of a row that is no pair is empty.
    pub render: Render,
    /// Whether the values' texts are numbers or truth values, as JSON writes them.
    pub value_is_json: bool,
}

/// Turns a row block into texts.
pub type Render = Arc<dyn Fn(&[u8]) -> Result<Vec<(String, String)>, TaskError> + Send + Sync>;

impl fmt::Debug for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {} ({})", self.name, self.id)
    }
}

/// What a task reads.
#[derive(Clone, Debug)]
pub enum TaskInput {
    /// Text blocks, in order.
    Lines(Vec<LineBlock>),
    /// What a stage after a shuffle reads.
    Slices {
        /// This partition's slices, in the order of the map partitions that made them.
        slices: Vec<Bytes>,
        /// For each of the stage's [`Kept`], its panes, oldest first: one for each of its distances `back`, empty bytes
        /// where the interval would be before interval 0.
        past: Vec<Vec<Bytes>>,
    },
}

impl TaskInput {
    /// Slices for a stage that keeps nothing.
    pub fn slices(slices: Vec<Bytes>) -> TaskInput {
        TaskInput::Slices { slices, past: Vec::new() }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskAt {
    /// Its interval.
    pub interval: u64,
    /// How many reduce partitions the shuffle has that its stage ends in.
    pub partitions: u32,
}

/// Received text: lines, each ended by one LF (0A), valid UTF-8.
#[derive(Clone, Debug)]
pub struct LineBlock {
    /// The lines.
    pub lines: Bytes,
    /// How many they are.
    pub records: u64,
    /// Index ranges of lines that this task must not read (another block brings them). In order, disjoint.
    pub skip: Vec<Range<u64>>,
}

/// What a task made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// The bytes.
    pub produced: Produced,
    /// The panes that it leaves, one for each of its stage's [`Kept`]; a pane without rows has no bytes.
    pub kept: Vec<Bytes>,
    /// What went in and came out, for the cost model.
    pub counts: Counts,
}

/// The bytes that a task made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Produced {
    /// One slice for each reduce partition, a row block each; one without rows has no bytes.
    Slices(Vec<Bytes>),
    /// A row block of an output, ordered by encoded key, so that equal sets of rows are equal bytes; no rows, no bytes.
    Rows(Bytes),
}

/// What went into a task and came out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Source records read (masked ones are not).
    pub records_in: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Rows read from slices.
    pub rows_in: u64,
    /// Rows of state that were applied: of panes that entered or left a window, of keys that were updated.
    pub rows_applied: u64,
    /// Bytes of panes that a state in place leaves: changes and a segment.
    pub bytes_kept: u64,
    /// Bytes of panes of which a state in place was made again.
    pub bytes_rebuilt: u64,
    /// Rows in slices or output.
    pub rows_out: u64,
    /// Bytes in slices or output.
    pub bytes_out: u64,
}

/// Why a task could not be run on this input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The bytes are not what this stage's encoder writes.
    #[error("{what} at byte {at}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Lines given to a stage that reads slices, or the other way round; or panes that do not fit what the stage keeps.
    #[error("stage {0} does not read this kind of input")]
    WrongInput(StageId),
    /// An interval brings one partition of a state more than can be sorted.
    #[error(
        "an interval has more than 4 GiB of values for one partition of a state: \
         more partitions or shorter intervals help"
    )]
    TooMuch,
    /// A continuous operator was given something of an interval that it has closed, or is to close one out of order.
    #[error(
        "stage {stage} closes interval {next} next and was given interval {interval}: \
         it takes slices of {next} and later ones, and closes in order"
    )]
    WrongInterval {
        /// The operator's stage.
        stage: StageId,
        /// What it was given.
        interval: u64,
        /// What it closes next.
        next: u64,
    },
}

/// What a task of a stage does. Implemented by the typed API only.
pub trait StageProgram: Send + Sync {
    /// Computes one partition. `scratch` is memory that a worker reuses from task to task and that never carries a value
    /// from one to the next.
    fn run(&self, input: &TaskInput, at: TaskAt, scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
        self.run_held(input, at, &mut HeldState::default(), scratch)
    }

    /// The same result, where `held` may be what an earlier task left in it: of this stage and partition, with panes that
    /// had the same bytes. After an error or a panic it must be thrown away. Of a stage that keeps no state in place it
    /// stays empty.
    fn run_held(
        &self,
        input: &TaskInput,
        at: TaskAt,
        held: &mut HeldState,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError>;

    /// What the stage keeps and does where its state is held in place, see [`Query::in_place`].
    fn in_place(&self, segments: NonZeroU64) -> Option<(Vec<Kept>, Arc<dyn StageProgram>)>;

    /// Computes a stage on lines as a continuous engine does: records are combined only within groups of `group`
    /// successive ones, and operators are handed no more than that at a time. A group ends at a skipped line and at the
    /// block's end. Each slice is one row block, the rows of a group behind those of the group before it.
    ///
    /// # Errors
    /// [`TaskError::WrongInput`] of a stage that reads slices: those run as [`Operator`]s.
    fn run_in_groups(
        &self,
        block: &LineBlock,
        group: NonZeroU64,
        at: TaskAt,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError>;

    /// One partition of a stage that reads slices as a long-lived operator, which stands at the beginning of interval
    /// `next`. `panes` are what [`Operator::panes`] gave there; without any it knows nothing of earlier intervals, and its
    /// results are right from interval `next` + [`Stage::reach`] on.
    ///
    /// # Errors
    /// [`TaskError::WrongInput`] of a stage on lines, or where no interval from `next` on reads one of the panes.
    fn operator(&self, next: u64, panes: Vec<HeldPane>) -> Result<Box<dyn Operator>, TaskError>;
}
