//! The cost model: what work costs in time of one core, from counts of its input.
//!
//! Never from measured time: that is what makes a simulated run repeatable.

use dstream_host::CoreTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Costs of one job on one machine, in nanoseconds of one core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Map and combine, a byte of source record.
    pub map_ns_per_byte: f64,
    /// How many times a chunk of one record costs what a batch costs.
    pub single_record_factor: f64,
    /// Merge, or apply to state, one (key, value).
    pub merge_ns_per_row: f64,
    /// Encode or decode a byte.
    pub codec_ns_per_byte: f64,
    /// A task, on the worker.
    pub task_ns: f64,
    /// A task, on the master.
    pub master_task_ns: f64,
    /// A message handled.
    pub message_ns: f64,
    /// Checkpointing a byte, before the store.
    pub checkpoint_ns_per_byte: f64,
}

impl Costs {
    /// A number of nanoseconds as time of one core.
    pub fn time(nanos: f64) -> CoreTime {
        // Whole nanoseconds: sums of whole numbers do not depend on their order.
        CoreTime(Duration::from_nanos(nanos.round() as u64))
    }
}
