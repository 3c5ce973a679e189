//! What master and workers say to each other. Clients and the sink are spoken to in the words that all engines share.

use dstream::engine::{BlockName, RecordRange};
use serde::{Deserialize, Serialize};

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// I want to be a member; said whenever the connection is new.
    Join {
        /// Counts the starts of the process.
        incarnation: u64,
        /// The epoch that I believe to have.
        epoch: Option<u64>,
    },
    /// I live.
    Heartbeat {
        /// My epoch.
        epoch: u64,
    },
    /// The log closes this interval, with these records in it. Every runner reads the same.
    Closed {
        /// The interval.
        interval: u64,
        /// Its records.
        ranges: Vec<RecordRange>,
        /// The entries that they are in.
        blocks: Vec<BlockName>,
    },
}

/// From the master to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// You are a member.
    Welcome {
        /// Under this epoch.
        epoch: u64,
    },
    /// You are the runner.
    Run {
        /// Your epoch.
        epoch: u64,
        /// Counts the runners: entries of a later term overtake those of an earlier one.
        term: u64,
        /// I know what is in the intervals below this one.
        sealed_below: u64,
    },
    /// I know what is in the intervals below this one: they may be computed.
    Sealed {
        /// The first that I do not know.
        below: u64,
    },
    /// Your epoch is over: what you do counts no more. Join anew.
    Over {
        /// The epoch.
        epoch: u64,
    },
}
