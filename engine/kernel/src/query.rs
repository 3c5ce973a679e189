//! The engine-neutral form of a streaming program: stages cut at the shuffles.
//!
//! An engine sees stages, bytes and counts; types and closures stay inside. Invariant: running a stage twice on the same
//! input gives the same bytes.

use crate::id::{OutputId, ShuffleId, StageId};
use crate::scratch::Scratch;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

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

/// The narrow steps between two shuffles (or between the source and the output).
#[derive(Clone)]
pub struct Stage {
    /// Its place in [`Query::stages`].
    pub id: StageId,
    /// What its tasks read.
    pub input: StageInput,
    /// Where its tasks' results go.
    pub end: StageEnd,
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

/// A named output and how its rows read.
#[derive(Clone)]
pub struct OutputSpec {
    /// Its id.
    pub id: OutputId,
    /// Its name in files and traces.
    pub name: String,
    /// Decodes a row block into (key, value) texts, in the rows' order. The value of a row that is no pair is empty.
    pub render: Render,
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
    /// This partition's slices, in the order of the map partitions that made them.
    Slices(Vec<Bytes>),
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
    /// Lines given to a stage that reads slices, or the other way round.
    #[error("stage {0} does not read this kind of input")]
    WrongInput(StageId),
}

/// What a task of a stage does. Implemented by the typed API only.
pub trait StageProgram: Send + Sync {
    /// Computes one partition. `partitions` is the number of reduce partitions of the shuffle that the stage ends in;
    /// `scratch` is memory that a worker reuses from task to task and that never carries a value from one to the next.
    fn run(&self, input: &TaskInput, partitions: u32, scratch: &mut Scratch) -> Result<TaskResult, TaskError>;
}
