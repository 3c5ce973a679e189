//! Operators, one per file, and what connects them: sources that push chunks of borrowed records into sinks.
//!
//! Knows nothing of stages, shuffles and tasks. Invariants: one dynamic call per chunk and operator, never per record; all
//! records of a batch live as long as the batch, so chunks of references need no copies; a chunk has at most
//! [`Context::chunk`] records.

pub(crate) mod emit;
pub(crate) mod filter;
pub(crate) mod flat_map;
pub(crate) mod grep;
pub(crate) mod map;
pub(crate) mod source;
pub(crate) mod words;

use crate::arena::Arena;
use crate::query::TaskError;
use crate::record::Record;

/// Takes records, a chunk at a time.
pub(crate) trait Sink<'a, T: Record> {
    fn chunk(&mut self, records: &[T::Ref<'a>]);
}

/// The narrow operators from a stage's input to some point of it.
pub(crate) trait Source<T: Record>: Send + Sync {
    /// Pushes all that the operators make of a batch into `sink`.
    fn run<'a>(&self, batch: Batch<'a>, context: Context<'a>, sink: &mut dyn Sink<'a, T>) -> Result<(), TaskError>;

    /// Whether this is the stage's input itself, so that a kernel may take the batch as a whole.
    fn is_input(&self) -> bool {
        false
    }
}

/// A part of a stage's input, small enough for the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Batch<'a> {
    /// Whole lines, each with its LF.
    Lines(&'a str),
    /// Encoded rows without a count.
    Rows(&'a [u8]),
}

impl<'a> Batch<'a> {
    /// The text of lines.
    pub(crate) fn text(self) -> &'a str {
        match self {
            Batch::Lines(text) => text,
            Batch::Rows(_) => panic!("operators on lines were built into a stage that reads rows"),
        }
    }

    /// Encoded rows.
    pub(crate) fn rows(self) -> &'a [u8] {
        match self {
            Batch::Rows(rows) => rows,
            Batch::Lines(_) => panic!("operators on rows were built into a stage that reads lines"),
        }
    }
}

/// What all operators of a run share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Holds computed strings.
    pub(crate) arena: &'a Arena,
    /// Records in a chunk, at most.
    pub(crate) chunk: usize,
}
