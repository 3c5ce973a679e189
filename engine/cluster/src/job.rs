//! Jobs by name: every node rebuilds the query from (name, parameters), so users' functions never travel.

use dstream_kernel::Query;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// A registered job with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its registered name.
    pub name: String,
    /// Its parameters, all of them, defaults filled in.
    pub params: BTreeMap<String, String>,
    /// Length of an interval: windows are written as times and computed in intervals.
    pub interval: Duration,
}

/// Why a job or a source cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct JobError(pub String);

/// One client's numbered stream of lines, read from its beginning. The same source gives the same lines again, unless it
/// is a live one.
pub trait LineSource: Send {
    /// Appends up to `records` more lines, each ended by one LF, valid UTF-8, to `lines`, and stops early once `lines` has
    /// grown by `bytes`. Returns how many it appended; 0 is the end of the source, unless it [is waiting].
    ///
    /// [is waiting]: LineSource::is_waiting
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError>;

    /// Whether the last `fill` gave nothing because nothing has come yet: only live sources wait. Their lines cannot be
    /// had again: whoever took them keeps them until they are acknowledged.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Whether whoever reads the source should stop, though it is not at its end.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Whether lines come once and for all: a later life does not read again what an earlier one has read.
    fn is_live(&self) -> bool {
        false
    }

    /// How many of the lines so far had bytes that are not UTF-8 and became U+FFFD.
    fn replaced(&self) -> u64 {
        0
    }
}

/// The jobs and sources that a binary knows.
pub trait Registry: Send + Sync {
    /// Builds the job's query.
    fn query(&self, job: &JobSpec) -> Result<Query, JobError>;

    /// Tells one build of the jobs' functions from another, where nodes of several may follow one another on one store.
    /// 0: all are the same.
    fn build(&self) -> u64 {
        0
    }

    /// Results of intervals below this number are where they outlive the sink's process, which may be killed and started
    /// again; nothing where they need not.
    fn written_below(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Opens client `client`'s share of a source. `source` is in the registry's own format, as it wrote it into the
    /// cluster's description.
    fn source(&self, source: &[u8], client: u32) -> Result<Box<dyn LineSource>, JobError>;
}
