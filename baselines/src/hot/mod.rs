//! Hot replication: every partition runs at two nodes at once (Flux, SIGMOD'04; Borealis' DPC, SIGMOD'05). When one is lost,
//! the other goes on, and its state is copied to a new twin while it runs.
//!
//! Its own are the options and what follows from them; channels, buffers and the copying of state are those of
//! [`crate::continuous`].

mod options;

use crate::continuous::engine::{self, CoreFactory, PlainCores, Protocol};
use crate::continuous::operators::chunk_factor;
use crate::continuous::topology::Topology;
use crate::options::refuse_buffer;
use dstream_cluster::{ClusterSpec, Engine, EngineError, OptionSpec, Options, Promise, Registry};
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec};
use dstream_kernel::Query;
use dstream_trace::NodeName;
use options::Settings;
use std::sync::Arc;

/// The hot replication engine.
#[derive(Clone)]
pub struct HotReplication {
    cores: Arc<dyn CoreFactory>,
}

impl HotReplication {
    /// The engine as it is.
    pub fn new() -> HotReplication {
        HotReplication::with_cores(Arc::new(PlainCores))
    }

    /// The engine with protocol parts from `cores`: tests wrap a part to plant a defect.
    pub fn with_cores(cores: Arc<dyn CoreFactory>) -> HotReplication {
        HotReplication { cores }
    }

    fn protocol(cluster: &ClusterSpec, options: &Options) -> Protocol {
        Settings::from_options(options).protocol(cluster.workers)
    }
}

impl Default for HotReplication {
    fn default() -> HotReplication {
        HotReplication::new()
    }
}

impl Engine for HotReplication {
    fn name(&self) -> &'static str {
        "hot-replication"
    }

    fn options(&self) -> Vec<OptionSpec> {
        options::declared()
    }

    fn promise(&self, _cluster: &ClusterSpec, options: &Options) -> Promise {
        let Settings { copies, replicas, .. } = Settings::from_options(options);
        let words = match replicas {
            1 => "exact while no node is lost",
            _ => "exact while at most one node is lost at a time, until every partition has a new twin",
        };
        Promise {
            words: words.to_owned(),
            losses_at_once: replicas - 1,
            copies,
            logs: false,
            replays: None,
            limits: false,
        }
    }

    fn heirs(&self, workers: u32, options: &Options) -> Vec<NodeName> {
        Settings::from_options(options).heirs(workers).names()
    }

    fn refuses(&self, query: &Query, options: &Options) -> Option<String> {
        match Topology::of(query, 1) {
            Ok(_) => refuse_buffer(options, options::declared()),
            Err(why) => Some(why.to_owned()),
        }
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, options: &Options) -> f64 {
        cluster.costs.map_ns_per_byte * chunk_factor(&cluster.costs, Settings::from_options(options).chunk)
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        engine::nodes(self.name(), cluster, &HotReplication::protocol(cluster, options))
    }

    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>> {
        Box::pin(engine::start(node, host, registry, self.cores.clone()))
    }
}
