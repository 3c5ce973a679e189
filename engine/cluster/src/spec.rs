//! A cluster as a value: everything that an engine needs to know to lay out its nodes.

use crate::cost::Costs;
use crate::job::JobSpec;
use dstream_trace::Moment;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How fast a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// Open loop: record `n` of the client is due at `origin + n / per_second`, whatever the cluster does.
    Rate {
        /// Records moved a second, of this client.
        per_second: f64,
    },
    /// At this rate, and no faster than it is processed.
    AtMost {
        /// Records a second, of this client.
        per_second: f64,
        /// The most it sends in one interval.
        bytes_per_interval: u64,
    },
    /// As fast as it is processed, at most so many bytes an interval (of this client).
    Max {
        /// The most it sends in one interval.
        bytes_per_interval: u64,
    },
}

/// A cluster, its job and its load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Worker nodes, `worker-1` to `worker-N`.
    pub workers: u32,
    /// Cores of each.
    pub cores: u32,
    /// Client nodes, `client-1` to `client-N`.
    pub clients: u32,
    /// Reduce partitions.
    pub partitions: u32,
    /// How often a worker says that it lives.
    pub heartbeat: Duration,
    /// How long it may be silent before it counts as lost.
    pub failure_timeout: Duration,
    /// What work costs.
    pub costs: Costs,
    /// How many records each record moved stands for.
    pub scale: u64,
    /// The run's seed.
    pub seed: u64,
    /// What is computed.
    pub job: JobSpec,
    /// The source, in the registry's format.
    pub source: Vec<u8>,
    /// How fast each client sends.
    pub pace: Pace,
    /// Length of an interval.
    pub interval: Duration,
    /// Interval 0 and the load begin here.
    pub origin: Moment,
    /// The load ends here; `Moment::NEVER` where the source's end ends it.
    pub load_end: Moment,
}
