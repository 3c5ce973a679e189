//! A stage's task: the typed pieces of a stage put together behind the engine's untyped [`StageProgram`].
//!
//! Knows nothing of other stages. Invariant: what a task makes depends on its input and the number of reduce partitions
//! only, not on the chunk size nor on what the scratch memory was used for before.

use crate::arena::Arena;
use crate::continuous::{Continuous, HeldPane, Operator};
use crate::held::HeldState;
use crate::held::order::Place;
use crate::id::StageId;
use crate::lines::{batches, groups};
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::{Counts, Kept, LineBlock, Produced, StageProgram, TaskAt, TaskError, TaskInput, TaskResult, Width};
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::scratch::Scratch;
use bytes::Bytes;
use std::num::NonZeroU64;
use std::sync::Arc;

/// What a stage does with its input before its operators see it.
#[derive(Clone)]
pub(crate) enum Front {
    /// Nothing: lines are read as they were received.
    Lines,
    /// Slices become one row for each key.
    Fold(Arc<dyn Fold>),
}

/// Makes one set of rows of a partition's slices and of the panes of earlier intervals. Two steps: what comes in an
/// interval becomes its values, however it comes ([`OpenInterval`]); then values and panes become rows and new panes.
pub(crate) trait Fold: Send + Sync {
    /// What it keeps for later intervals.
    fn kept(&self) -> Vec<Kept> {
        Vec::new()
    }

    /// How many partitions it needs.
    fn width(&self) -> Width {
        Width::All
    }

    /// How many earlier intervals have a part in an interval's rows; `None`: all of them.
    fn reach(&self) -> Option<u64> {
        Some(0)
    }

    /// Begins an interval.
    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval>;

    /// The rows by their bytes, and one pane for each of `kept`, of what an interval closed with. Adds to `counts` what was
    /// applied.
    fn fold(
        &self,
        values: RowBuffer,
        _reads: Reads<'_>,
        _scratch: &mut Scratch,
        _counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        Ok(Folded { rows: values, kept: Vec::new() })
    }

    /// The same of an interval that is closed now, where the state of this partition may be held in place from an earlier
    /// one, and stays so.
    fn fold_held(
        &self,
        open: Box<dyn OpenInterval>,
        reads: Reads<'_>,
        _held: &mut HeldState,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        self.fold(open.close(scratch), reads, scratch, counts)
    }

    /// A fold with the same rows whose state is held in place and written in so many segments; `None`: it has no state
    /// that would gain by it.
    fn in_place(&self, _segments: NonZeroU64) -> Option<Arc<dyn Fold>> {
        None
    }
}

/// What has come of an interval so far. After an error it must be thrown away.
pub(crate) trait OpenInterval: Send {
    /// Takes a slice in. Adds the rows that were read to `rows_read`. Where it has running values and is asked for them,
    /// appends to `changed` the rows whose values changed, by the bytes of their keys, each key once.
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, changed: Option<&mut RowBuffer>) -> Result<(), TaskError>;

    /// Whether its values so far are rows that mean the same as those of a closed interval.
    fn has_running_values(&self) -> bool {
        false
    }

    /// The interval's values, by their bytes: the same whatever the order of the slices.
    fn close(self: Box<Self>, scratch: &mut Scratch) -> RowBuffer;

    /// The same for a fold that has an order of its own.
    fn close_placed(self: Box<Self>, scratch: &mut Scratch) -> Values {
        Values { rows: self.close(scratch), places: Vec::new() }
    }
}

/// An interval's values in any order. Knows where they are, or not: then there are no places.
pub(crate) struct Values {
    pub(crate) rows: RowBuffer,
    pub(crate) places: Vec<Place>,
}

/// What a fold reads beside an interval's values: [`TaskInput::Slices`] without its slices, in the shape that its `kept`
/// asks for.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    pub(crate) interval: u64,
    pub(crate) past: &'a [Vec<Bytes>],
}

/// What an interval is closed with: what has come of it, the panes of earlier ones, and what of them is in place.
pub(crate) struct Ending<'a> {
    pub(crate) open: Box<dyn OpenInterval>,
    pub(crate) past: &'a [Vec<Bytes>],
    pub(crate) held: &'a mut HeldState,
}

/// What a fold makes.
pub(crate) struct Folded {
    pub(crate) rows: RowBuffer,
    pub(crate) kept: Vec<Bytes>,
}

/// Where a stage's records go.
pub(crate) trait End<T: Record>: Send + Sync {
    /// Makes ready for a task. `partitions`: of the shuffle that the stage ends in.
    fn open(&self, partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<T>>;
}

/// Takes the records of one task.
pub(crate) trait Gather<T: Record> {
    fn chunk<'a>(&mut self, records: &[T::Ref<'a>]);

    /// Nothing that comes from here on is combined with what came before.
    fn end_group(&mut self) {}

    fn finish(self: Box<Self>, scratch: &mut Scratch) -> Finished;
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

impl<T: Record> Clone for Program<T> {
    fn clone(&self) -> Self {
        let (operators, end) = (Arc::clone(&self.operators), Arc::clone(&self.end));
        Program { stage: self.stage, front: self.front.clone(), operators, end, is_output: self.is_output }
    }
}

impl<T: Record> StageProgram for Program<T> {
    fn run_held(
        &self,
        input: &TaskInput,
        at: TaskAt,
        held: &mut HeldState,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError> {
        match (&self.front, input) {
            (Front::Lines, TaskInput::Lines(blocks)) => self.run_lines(blocks, at, scratch),
            (Front::Fold(fold), TaskInput::Slices { slices, past }) if fits(&fold.kept(), past) => {
                let (mut counts, mut open) = (Counts::default(), fold.open(scratch));
                for slice in slices {
                    counts.bytes_in += slice.len() as u64;
                    open.absorb(slice, &mut counts.rows_in, None)?;
                }
                self.close(&**fold, Ending { open, past, held }, at, counts, scratch)
            }
            _ => Err(TaskError::WrongInput(self.stage)),
        }
    }

    fn run_in_groups(
        &self,
        block: &LineBlock,
        group: NonZeroU64,
        at: TaskAt,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError> {
        if !matches!(self.front, Front::Lines) {
            return Err(TaskError::WrongInput(self.stage));
        }
        let chunk = usize::try_from(group.get()).unwrap_or(usize::MAX).min(scratch.chunk());
        let mut feed = Feed::open(self, chunk, at.partitions, scratch);
        let mut counts = Counts { records_in: block.records_read(), ..Counts::default() };
        for run in block.runs()? {
            counts.bytes_in += run.len() as u64;
            for group in groups(run, group) {
                batches(group).try_for_each(|batch| feed.batch(Batch::Lines(batch)))?;
                feed.gather.end_group();
            }
        }
        Ok(feed.finish(scratch).result(Vec::new(), counts))
    }

    fn in_place(&self, segments: NonZeroU64) -> Option<(Vec<Kept>, Arc<dyn StageProgram>)> {
        let Front::Fold(fold) = &self.front else { return None };
        let fold = fold.in_place(segments)?;
        let kept = fold.kept();
        Some((kept, Arc::new(Program { front: Front::Fold(fold), ..self.clone() })))
    }

    fn operator(&self, next: u64, panes: Vec<HeldPane>) -> Result<Box<dyn Operator>, TaskError> {
        let Front::Fold(fold) = &self.front else { return Err(TaskError::WrongInput(self.stage)) };
        let continuous = Continuous::restored(self.clone(), Arc::clone(fold), next, panes)?;
        Ok(Box::new(continuous))
    }
}

/// Whether there is a pane for each distance of each of `kept`.
fn fits(kept: &[Kept], past: &[Vec<Bytes>]) -> bool {
    let panes = |kept: &Kept| kept.back.end() - kept.back.start() + 1;
    kept.len() == past.len() && kept.iter().zip(past).all(|(kept, past)| past.len() as u64 == panes(kept))
}

impl<T: Record> Program<T> {
    fn run_lines(&self, blocks: &[LineBlock], at: TaskAt, scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
        let mut counts = Counts::default();
        let mut feed = Feed::open(self, scratch.chunk(), at.partitions, scratch);
        for block in blocks {
            counts.records_in += block.records_read();
            for run in block.runs()? {
                counts.bytes_in += run.len() as u64;
                batches(run).try_for_each(|batch| feed.batch(Batch::Lines(batch)))?;
            }
        }
        Ok(feed.finish(scratch).result(Vec::new(), counts))
    }

    /// All that follows when the last slice of an interval has come. Adds to `counts`.
    pub(crate) fn close(
        &self,
        fold: &dyn Fold,
        Ending { open, past, held }: Ending<'_>,
        at: TaskAt,
        mut counts: Counts,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError> {
        let folded = fold.fold_held(open, Reads { interval: at.interval, past }, held, scratch, &mut counts)?;
        let finished = self.run_rows(folded.rows, at.partitions, scratch)?;
        Ok(finished.result(folded.kept, counts))
    }

    /// Nothing stands between the stage's input and the sink.
    pub(crate) fn is_direct(&self) -> bool {
        self.is_output && self.operators.is_input()
    }

    fn run_rows(&self, mut rows: RowBuffer, partitions: u32, scratch: &mut Scratch) -> Result<Finished, TaskError> {
        let finished = if self.is_direct() {
            // The rows are in their order already.
            Finished { rows: rows.count(), produced: Produced::Rows(rows.seal()) }
        } else {
            let mut feed = Feed::open(self, scratch.chunk(), partitions, scratch);
            rows.batches().try_for_each(|batch| feed.batch(Batch::Rows(batch)))?;
            feed.finish(scratch)
        };
        scratch.keep_buffer(rows);
        Ok(finished)
    }
}

impl Finished {
    fn result(self, kept: Vec<Bytes>, mut counts: Counts) -> TaskResult {
        counts.rows_out = self.rows;
        counts.bytes_out = match &self.produced {
            Produced::Slices(slices) => slices.iter().map(|slice| slice.len() as u64).sum(),
            Produced::Rows(rows) => rows.len() as u64,
        };
        TaskResult { produced: self.produced, kept, counts }
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
    fn open(program: &'p Program<T>, chunk: usize, partitions: u32, scratch: &mut Scratch) -> Feed<'p, T> {
        Feed {
            operators: &*program.operators,
            gather: program.end.open(partitions, scratch),
            arena: scratch.take_arena(),
            chunk,
        }
    }

    fn batch(&mut self, batch: Batch<'_>) -> Result<(), TaskError> {
        let context = Context { arena: &self.arena, chunk: self.chunk };
        self.operators.run(batch, context, &mut GatherSink(&mut *self.gather))?;
        self.arena.clear();
        Ok(())
    }

    fn finish(self, scratch: &mut Scratch) -> Finished {
        scratch.keep_arena(self.arena);
        self.gather.finish(scratch)
    }
}

/// A gather outlives the batches whose records it takes.
struct GatherSink<'g, T: Record>(&'g mut (dyn Gather<T> + 'g));

impl<'a, T: Record> Sink<'a, T> for GatherSink<'_, T> {
    fn chunk(&mut self, records: &[T::Ref<'a>]) {
        self.0.chunk(records);
    }
}
