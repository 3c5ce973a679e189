//! Defects of states in place: a stage's program that takes its table for what it is not.
//!
//! Knows of a table only behind which interval it stands.

use bytes::Bytes;
use dstream_kernel::{
    HeldPane, HeldState, Kept, LineBlock, Operator, Query, Scratch, StageProgram, TaskAt, TaskError, TaskInput,
    TaskResult,
};
use std::num::NonZeroU64;
use std::sync::Arc;

/// What a stage does with a table that does not stand where its task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// One that is behind is taken as it is.
    Behind,
    /// One that is ahead is taken as it is.
    Ahead,
}

/// The same query, with the defect in each stage whose state is in place.
pub fn taken(mut query: Query, taken: Taken) -> Query {
    for stage in query.stages.iter_mut().filter(|stage| stage.is_in_place) {
        stage.program = Arc::new(TakesAsItIs { program: Arc::clone(&stage.program), taken });
    }
    query
}

struct TakesAsItIs {
    program: Arc<dyn StageProgram>,
    taken: Taken,
}

/// The input without what changed in the intervals from `first` on: the panes of changes are the first, newest last.
fn without_changes(input: &TaskInput, interval: u64, first: u64) -> TaskInput {
    let mut input = input.clone();
    if let TaskInput::Slices { past, .. } = &mut input
        && let Some(changes) = past.first_mut()
    {
        changes.iter_mut().rev().zip(1..=interval - first).for_each(|(pane, _)| *pane = Bytes::new());
    }
    input
}

impl StageProgram for TakesAsItIs {
    fn run_held(
        &self,
        input: &TaskInput,
        at: TaskAt,
        held: &mut HeldState,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError> {
        match (self.taken, held.version()) {
            (Taken::Behind, Some(version)) if version + 1 < at.interval => {
                let input = without_changes(input, at.interval, version + 1);
                self.program.run_held(&input, at, held, scratch)
            }
            (Taken::Ahead, Some(version)) if version >= at.interval => {
                // Its own segment, and the changes and results of one more step behind those that were to be undone.
                let right = self.program.run(input, at, scratch)?;
                let next = TaskAt { interval: version + 1, ..at };
                let mut again = self.program.run_held(input, next, held, scratch)?;
                again.kept.splice(1.., right.kept.into_iter().skip(1));
                Ok(again)
            }
            _ => self.program.run_held(input, at, held, scratch),
        }
    }

    fn in_place(&self, segments: NonZeroU64) -> Option<(Vec<Kept>, Arc<dyn StageProgram>)> {
        self.program.in_place(segments)
    }

    fn run_in_groups(
        &self,
        block: &LineBlock,
        group: NonZeroU64,
        at: TaskAt,
        scratch: &mut Scratch,
    ) -> Result<TaskResult, TaskError> {
        self.program.run_in_groups(block, group, at, scratch)
    }

    fn operator(&self, next: u64, panes: Vec<HeldPane>) -> Result<Box<dyn Operator>, TaskError> {
        self.program.operator(next, panes)
    }
}
