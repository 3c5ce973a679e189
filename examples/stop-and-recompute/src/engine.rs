//! The engine as a value: options and promise as data, nodes as values, and the one function that starts a node.

use crate::compute::Computation;
use crate::master::{self, Master, MasterConfig};
use crate::options::{self, Settings};
use crate::runner::{self, Runner, WorkerConfig};
use dstream::engine::client::{self, Client, ClientConfig, ClientLimits, Cut};
use dstream::engine::layout::{Role, peer_config, roles};
use dstream::engine::message::{open, seal};
use dstream::engine::peer::{PeerConfig, PeerEvent, Peers};
use dstream::engine::query::Query;
use dstream::engine::sink::{self, Sink, SinkConfig};
use dstream::engine::{
    BoxFuture, ClusterSpec, Costs, Engine, EngineError, Host, NodeError, NodeName, NodeSpec, OptionSpec, Options,
    Promise, Registry,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How much longer than an entry's own time a client waits for a word before it looks for somebody else.
const CLIENT_PATIENCE: Duration = Duration::from_millis(200);

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopAndRecompute;

/// What every node is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodeConfig {
    cluster: ClusterSpec,
    settings: Settings,
}

impl Engine for StopAndRecompute {
    fn name(&self) -> &'static str {
        "stop-and-recompute"
    }

    fn options(&self) -> Vec<OptionSpec> {
        options::declared()
    }

    fn promise(&self, cluster: &ClusterSpec, _options: &Options) -> Promise {
        let words = "exact however many workers are lost: the log holds every acknowledged record".to_owned();
        Promise { words, losses_at_once: cluster.workers, copies: 1, logs: false, replays: None, limits: false }
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, _options: &Options) -> f64 {
        cluster.costs.map_ns_per_byte
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        if cluster.workers == 0 || cluster.cores == 0 || cluster.partitions == 0 {
            return Err(EngineError("a cluster has at least one worker, core and partition".to_owned()));
        }
        let config = NodeConfig { cluster: cluster.clone(), settings: Settings::from_options(options) };
        let config = seal(Vec::new(), &config).to_vec();
        let node = |role: Role| NodeSpec {
            name: role.name(),
            role: self.name().to_owned(),
            config: config.clone(),
            cores: cluster.cores as usize,
            harness: role == Role::Sink,
        };
        Ok(roles(cluster, []).into_iter().map(node).collect())
    }

    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let unreadable = |_| NodeError(format!("the configuration of {} is unreadable", node.name));
            let (config, _) = open::<NodeConfig>(&node.config.clone().into()).map_err(unreadable)?;
            let role = Role::of(&node.name).ok_or_else(|| NodeError(format!("{} is no node's name", node.name)))?;
            let query = registry.query(&config.cluster.job).map_err(|error| NodeError(error.to_string()))?;
            let life = Life { host, config, query, role };
            match role {
                Role::Sink => life.sink().await,
                Role::Master => life.master().await,
                Role::Worker(number) => life.worker(number).await,
                Role::Client(number) => life.client(number, &*registry).await,
                Role::Standby(_) | Role::Replica(_) => Err(NodeError(format!("this engine has no node {}", node.name))),
            }
        })
    }
}

/// One node on its way into life.
struct Life {
    host: Host,
    config: NodeConfig,
    query: Query,
    role: Role,
}

impl Life {
    fn connections(&self) -> PeerConfig {
        let cluster = &self.config.cluster;
        peer_config(cluster, &roles(cluster, []), self.role, self.query.fingerprint)
    }

    async fn connect(&self) -> Result<(Peers, mpsc::Receiver<PeerEvent>), NodeError> {
        let start = Peers::start(&self.host, self.connections()).await;
        start.map_err(|error| NodeError(format!("{} cannot listen: {error}", self.role.name())))
    }

    fn clients(&self) -> Vec<NodeName> {
        (1..=self.config.cluster.clients).map(|number| Role::Client(number).name()).collect()
    }

    async fn sink(self) -> Result<(), NodeError> {
        let peers = self.connections();
        sink::run(self.host, SinkConfig { peers }, Box::new(Sink::default())).await
    }

    async fn master(self) -> Result<(), NodeError> {
        let ClusterSpec { workers, heartbeat, failure_timeout, .. } = self.config.cluster;
        let core = Master::new(master::Limits { workers, heartbeat, failure_timeout });
        let shell = MasterConfig { sink: Role::Sink.name(), clients: self.clients(), deadline: failure_timeout };
        let (peers, events) = self.connect().await?;
        master::run(self.host, peers, events, shell, core).await
    }

    async fn worker(self, number: u32) -> Result<(), NodeError> {
        let (peers, events) = self.connect().await?;
        let clients = self.clients();
        let NodeConfig { cluster, settings } = self.config;
        let core = Runner::new(runner::Limits {
            worker: number,
            partitions: cluster.partitions,
            block: settings.block,
            origin: cluster.origin,
            interval: cluster.interval,
            clients: clients.clone(),
        });
        let shell = WorkerConfig {
            master: Role::Master.name(),
            clients: clients.clone(),
            heartbeat: cluster.heartbeat,
            deadline: cluster.failure_timeout,
            message: Costs::time(cluster.costs.message_ns),
        };
        let computation = Computation {
            host: self.host,
            peers,
            query: Arc::new(self.query),
            costs: cluster.costs,
            scale: cluster.scale,
            partitions: cluster.partitions,
            sink: Role::Sink.name(),
            clients,
            deadline: cluster.failure_timeout,
        };
        runner::run(computation, events, shell, core).await
    }

    async fn client(self, number: u32, registry: &dyn Registry) -> Result<(), NodeError> {
        let peers = self.connections();
        let NodeConfig { cluster, settings } = self.config;
        let source = registry.source(&cluster.source, number).map_err(|error| NodeError(error.to_string()))?;
        let client = ClientConfig {
            client: number,
            peers,
            pace: cluster.pace,
            cut: Cut::AsDue { most: u64::MAX },
            origin: cluster.origin,
            load_end: cluster.load_end,
            interval: cluster.interval,
            scale: cluster.scale,
            message: Costs::time(cluster.costs.message_ns),
            written_below: None,
        };
        let patience = settings.block + CLIENT_PATIENCE;
        let core = Client::new(ClientLimits { patience, number, clients: cluster.clients, keeps: false });
        client::run(self.host, client, source, Box::new(core)).await
    }
}
