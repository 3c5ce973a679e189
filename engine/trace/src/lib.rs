//! The measured events of a run, and the record of its result.
//!
//! This crate is the ground: every other crate may speak these words, and it knows none of them.
//! Invariant: a result is a pure function of the event log, so two equal logs give two equal results.

pub mod event;
pub mod log;
pub mod measure;
pub mod moment;
pub mod name;
pub mod range;
pub mod result;

pub use event::{Event, Purpose, Rows, TaskName, Word};
pub use log::{SharedTrace, TraceLine, TraceLog};
pub use measure::{MeasureInput, Measured, measure};
pub use moment::Moment;
pub use name::{BlockName, NodeName};
pub use range::{RangeSet, RecordRange};
