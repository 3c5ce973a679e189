//! The engine trait: a recovery model as a value.
//!
//! An engine lays out nodes and starts them; it declares its options and its promise as data. Whoever runs it (simulator,
//! real world, swarm) knows nothing else of it.

use crate::job::Registry;
use crate::option::{OptionSpec, Options};
use crate::spec::ClusterSpec;
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec, Store};
use dstream_kernel::Query;
use dstream_trace::{NodeName, RecordRange};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why an engine cannot lay out this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EngineError(pub String);

/// What the engine promises with these options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// In words, for reports: `exact while at most 1 worker is lost at a time`.
    pub words: String,
    /// How many workers may be lost at once (until redundancy is back) without damage.
    pub losses_at_once: u32,
    /// How many nodes hold an acknowledged record.
    pub copies: u32,
    /// An acknowledged record is in the log in the durable store instead, whatever nodes hold.
    pub logs: bool,
    /// An acknowledged record is in the journal instead, and its client sends it again; unless that stays away for longer
    /// than this.
    pub replays: Option<Duration>,
    /// Clients send no more than they are let, and nothing before they have heard how much that is.
    pub limits: bool,
}

/// How far a run has come, by what it left in its store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The interval that is sealed next.
    pub next: u64,
    /// Results of intervals below this one are not computed again.
    pub below: u64,
    /// The records in those.
    pub over: Vec<RecordRange>,
}

/// A recovery model.
pub trait Engine: Send + Sync {
    /// Its name in scenario files.
    fn name(&self) -> &'static str;

    /// The options it takes.
    fn options(&self) -> Vec<OptionSpec>;

    /// What it promises with these options.
    fn promise(&self, cluster: &ClusterSpec, options: &Options) -> Promise;

    /// Nodes beyond master and workers that it starts in a cluster of so many workers: standbys, replicas. A fault may hit
    /// them by name.
    fn heirs(&self, _workers: u32, _options: &Options) -> Vec<NodeName> {
        Vec::new()
    }

    /// Whether the death of its master is one that it recovers from.
    fn recovers_master(&self) -> bool {
        false
    }

    /// Whether workers may join a running job, and leave it without a loss.
    fn moves(&self) -> bool {
        false
    }

    /// Why it cannot run this query with these options; nothing if it can.
    fn refuses(&self, _query: &Query, _options: &Options) -> Option<String> {
        None
    }

    /// How many nanoseconds of one core a byte of source record costs up to the first combine, fault tolerance off.
    fn map_ns_per_byte(&self, cluster: &ClusterSpec, options: &Options) -> f64;

    /// How far the run has come that left this store; nothing where it left nothing that this engine goes on from. The error
    /// is for people.
    fn progress(&self, _store: Arc<dyn Store>) -> BoxFuture<'_, Result<Option<Progress>, String>> {
        Box::pin(async { Ok(None) })
    }

    /// The nodes of the cluster, in the order in which they start: the sink first, the clients last.
    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError>;

    /// A node's life. The binary hands this to the world.
    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>>;
}
