//! A stage's task: the typed pieces of a stage put together behind the engine's untyped [`StageProgram`].
//!
//! Knows nothing of other stages. Invariant: what a task makes depends on its input and the number of reduce partitions
//! only, not on the chunk size nor on what the scratch memory was used for before.

use crate::arena::Arena;
use crate::id::StageId;
use crate::lines::batches;
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::{Counts, Kept, LineBlock, Produced, StageProgram, TaskAt, TaskError, TaskInput, TaskResult, Width};
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::scratch::Scratch;
use bytes::Bytes;
use std::sync::Arc;

/// What a stage does with its input before its operators see it.
#[derive(Clone)]
pub(crate) enum Front {
    /// Nothing: lines are read as they were received.
    Lines,
    /// Slices become one row for each key.
    Fold(Arc<dyn Fold>),
}

/// Makes one set of rows of a partition's slices and of the panes of earlier intervals.
pub(crate) trait Fold: Send + Sync {
    /// What it keeps for later intervals.
    fn kept(&self) -> Vec<Kept> {
        Vec::new()
    }

    /// How many partitions it needs.
    fn width(&self) -> Width {
        Width::All
    }

    /// The rows by their bytes, and one pane for each of `kept`. Adds to `counts` what was read and applied.
    fn fold(&self, reads: Reads<'_>, scratch: &mut Scratch, counts: &mut Counts) -> Result<Folded, TaskError>;
}

/// What a fold reads: [`TaskInput::Slices`] of one interval, in the shape that its `kept` asks for.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    pub(crate) interval: u64,
    pub(crate) slices: &'a [Bytes],
    pub(crate) past: &'a [Vec<Bytes>],
}

/// What a fold makes.
pub(crate) struct Folded {
    pub(crate) rows: RowBuffer,
    pub(crate) kept: Vec<Bytes>,
}

/// Where a stage's records go.
pub(crate) trait End<T: Record>: Send + Sync {
    /// Makes ready for a task.
    fn open(&self, scratch: &mut Scratch) -> Box<dyn Gather<T>>;
}

/// Takes the records of one task.
pub(crate) trait Gather<T: Record> {
    fn chunk<'a>(&mut self, records: &[T::Ref<'a>]);

    fn finish(self: Box<Self>, partitions: u32, scratch: &mut Scratch) -> Finished;
}

/// What a task made and in how many rows.
pub(crate) struct Finished {
    pub(crate) produced: Produced,
    pub(crate) rows: u64,
}

/// A stage with records of type `T` before its end.
pub(crate) struct Program<T: Record> {
    pub(crate) stage: StageId,
    pub(crate) front: Front,
    pub(crate) operators: Arc<dyn Source<T>>,
    pub(crate) end: Arc<dyn End<T>>,
    /// The end is the sink.
    pub(crate) is_output: bool,
}

impl<T: Record> StageProgram for Program<T> {
    fn run(&self, input: &TaskInput, at: TaskAt, scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
        let TaskAt { interval, partitions } = at;
        let (mut counts, mut kept) = (Counts::default(), Vec::new());
        let finished = match (&self.front, input) {
            (Front::Lines, TaskInput::Lines(blocks)) => self.run_lines(blocks, partitions, scratch, &mut counts)?,
            (Front::Fold(fold), TaskInput::Slices { slices, past }) if fits(&fold.kept(), past) => {
                counts.bytes_in = slices.iter().map(|slice| slice.len() as u64).sum();
                let folded = fold.fold(Reads { interval, slices, past }, scratch, &mut counts)?;
                kept = folded.kept;
                self.run_rows(folded.rows, partitions, scratch)?
            }
            _ => return Err(TaskError::WrongInput(self.stage)),
        };
        counts.rows_out = finished.rows;
        counts.bytes_out = match &finished.produced {
            Produced::Slices(slices) => slices.iter().map(|slice| slice.len() as u64).sum(),
            Produced::Rows(rows) => rows.len() as u64,
        };
        Ok(TaskResult { produced: finished.produced, kept, counts })
    }
}

/// Whether there is a pane for each distance of each of `kept`.
fn fits(kept: &[Kept], past: &[Vec<Bytes>]) -> bool {
    let panes = |kept: &Kept| kept.back.end() - kept.back.start() + 1;
    kept.len() == past.len() && kept.iter().zip(past).all(|(kept, past)| past.len() as u64 == panes(kept))
}

impl<T: Record> Program<T> {
    fn run_lines(
        &self,
        blocks: &[LineBlock],
        partitions: u32,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Finished, TaskError> {
        let mut feed = Feed::open(self, scratch);
        for block in blocks {
            counts.records_in += block.records_read();
            for run in block.runs()? {
                counts.bytes_in += run.len() as u64;
                batches(run).try_for_each(|batch| feed.batch(Batch::Lines(batch)))?;
            }
        }
        Ok(feed.finish(partitions, scratch))
    }

    fn run_rows(&self, mut rows: RowBuffer, partitions: u32, scratch: &mut Scratch) -> Result<Finished, TaskError> {
        let finished = if self.is_output && self.operators.is_input() {
            // Nothing stands between fold and sink, and the rows are in their order already.
            Finished { rows: rows.count(), produced: Produced::Rows(rows.seal()) }
        } else {
            let mut feed = Feed::open(self, scratch);
            rows.batches().try_for_each(|batch| feed.batch(Batch::Rows(batch)))?;
            feed.finish(partitions, scratch)
        };
        scratch.keep_buffer(rows);
        Ok(finished)
    }
}

/// One task's way through the operators.
struct Feed<'p, T: Record> {
    operators: &'p dyn Source<T>,
    gather: Box<dyn Gather<T>>,
    arena: Arena,
    chunk: usize,
}

impl<'p, T: Record> Feed<'p, T> {
    fn open(program: &'p Program<T>, scratch: &mut Scratch) -> Feed<'p, T> {
        Feed {
            operators: &*program.operators,
            gather: program.end.open(scratch),
            arena: scratch.take_arena(),
            chunk: scratch.chunk(),
        }
    }

    fn batch(&mut self, batch: Batch<'_>) -> Result<(), TaskError> {
        let context = Context { arena: &self.arena, chunk: self.chunk };
        self.operators.run(batch, context, &mut GatherSink(&mut *self.gather))?;
        self.arena.clear();
        Ok(())
    }

    fn finish(self, partitions: u32, scratch: &mut Scratch) -> Finished {
        scratch.keep_arena(self.arena);
        self.gather.finish(partitions, scratch)
    }
}

/// A gather outlives the batches whose records it takes.
struct GatherSink<'g, T: Record>(&'g mut (dyn Gather<T> + 'g));

impl<'a, T: Record> Sink<'a, T> for GatherSink<'_, T> {
    fn chunk(&mut self, records: &[T::Ref<'a>]) {
        self.0.chunk(records);
    }
}
