//! What a streaming query computes, whichever engine runs it. Pure: no time, no network, no randomness.

pub mod id;
pub mod query;

pub use id::{IntervalId, OutputId, PartitionId, ShuffleId, StageId};
pub use query::{
    Counts, LineBlock, OutputSpec, Produced, Query, Scratch, Stage, StageEnd, StageInput, StageProgram, TaskError,
    TaskInput, TaskResult,
};
