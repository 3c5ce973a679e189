//! The scenario file as it is written: names and units are checked, nothing is filled in or drawn yet.
//!
//! One reader for each part of the schema. The names that a reader asks for are the schema: what it did not ask for
//! is an unknown field. Invariant: a reader that returns `None` for a value that is there has reported a problem.

mod cluster;
mod engine;
mod expect;
mod fault;
mod field;
mod scalar;
mod scenario;
mod workload;

pub(crate) use cluster::{ClusterWritten, LinkWritten};
pub(crate) use engine::{EngineWritten, show_option};
pub(crate) use fault::{FaultWritten, Field as FaultField, SHAPES as FAULT_SHAPES, Shape as FaultShape, TimeWritten};
pub(crate) use field::{Fields, Place, Reader};
pub(crate) use scalar::{number, text};
pub(crate) use scenario::{ScenarioWritten, read_scenario};
pub(crate) use workload::{RateWritten, SourceWritten, WorkloadWritten};

use crate::yaml::Spot;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub value: T,
    pub at: Spot,
}
