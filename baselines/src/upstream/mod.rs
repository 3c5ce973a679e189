//! Upstream backup (Hwang et al., ICDE'05; the variant with checkpoints as in SEEP, SIGMOD'13, and in the D-Streams papers'
//! model): each operator's output is kept where it was made until what was derived from it is safe; when a node is lost, an
//! heir restores its partitions' saved state and has its neighbours send the rest again.
//!
//! Its own are the options and what follows from them; channels, buffers and take-over are those of [`crate::continuous`].

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

/// The upstream backup engine.
#[derive(Clone)]
pub struct UpstreamBackup {
    cores: Arc<dyn CoreFactory>,
}

impl UpstreamBackup {
    /// The engine as it is.
    pub fn new() -> UpstreamBackup {
        UpstreamBackup::with_cores(Arc::new(PlainCores))
    }

    /// The engine with protocol parts from `cores`: tests wrap a part to plant a defect.
    pub fn with_cores(cores: Arc<dyn CoreFactory>) -> UpstreamBackup {
        UpstreamBackup { cores }
    }

    fn protocol(cluster: &ClusterSpec, options: &Options) -> Protocol {
        Settings::from_options(options).protocol(cluster.workers, cluster.interval)
    }
}

impl Default for UpstreamBackup {
    fn default() -> UpstreamBackup {
        UpstreamBackup::new()
    }
}

impl Engine for UpstreamBackup {
    fn name(&self) -> &'static str {
        "upstream-backup"
    }

    fn options(&self) -> Vec<OptionSpec> {
        options::declared()
    }

    fn promise(&self, _cluster: &ClusterSpec, options: &Options) -> Promise {
        let copies = Settings::from_options(options).copies;
        let words = match copies {
            1 => "exact while no node is lost".to_owned(),
            2 => "exact while at most one node is lost at a time, until its input is held twice again".to_owned(),
            more => format!("exact while at most {} nodes are lost at a time", more - 1),
        };
        Promise { words, losses_at_once: copies.saturating_sub(1), copies, logs: false, replays: None, limits: false }
    }

    fn heirs(&self, _workers: u32, options: &Options) -> Vec<NodeName> {
        Settings::from_options(options).heirs().names()
    }

    fn refuses(&self, query: &Query, options: &Options) -> Option<String> {
        let topology = match Topology::of(query, 1) {
            Ok(topology) => topology,
            Err(why) => return Some(why.to_owned()),
        };
        let replays = Settings::from_options(options).checkpoint.is_none();
        let endless = (replays && topology.reach.is_none()).then(|| {
            "`checkpoint: off` replays all input that a result depends on, and results of this job depend on all of it \
             from the start; give it a checkpoint interval"
                .to_owned()
        });
        endless.or_else(|| refuse_buffer(options, options::declared()))
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, options: &Options) -> f64 {
        cluster.costs.map_ns_per_byte * chunk_factor(&cluster.costs, Settings::from_options(options).chunk)
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        engine::nodes(self.name(), cluster, &UpstreamBackup::protocol(cluster, options))
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
