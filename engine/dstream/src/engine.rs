//! D-Streams as an [`Engine`]: options and promise as data, nodes as values, and the one function that starts a node.

use crate::cores::{CoreFactory, PlainCores};
use crate::master::ledger::{LedgerLimits, patience_with_clients};
use crate::master::tracker::TrackerLimits;
use crate::master::{self, MasterConfig, MasterLimits, Program};
use crate::options::{self, Input, Settings};
use crate::usual::Usual;
use crate::worker::receiver::ReceiverLimits;
use crate::worker::{self, Chains, Seats, SharedHoldings, TaskContext, WorkerConfig};
use dstream_cluster::client::{self, ClientConfig, ClientLimits, Cut};
use dstream_cluster::layout::{Role, peer_config, roles};
use dstream_cluster::lease::Candidate;
use dstream_cluster::sink::{self, SinkConfig};
use dstream_cluster::{ClusterSpec, Costs, Engine, EngineError, OptionSpec, Options, Progress, Promise, Registry};
use dstream_host::peer::{PeerConfig, Peers};
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec, Store};
use dstream_kernel::Query;
use dstream_trace::NodeName;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How much longer than an acknowledgement should take a client waits for a word before it turns to another worker.
const CLIENT_PATIENCE: Duration = Duration::from_millis(200);

/// A lease lives for so many failure timeouts: who takes over must be sure of more than who waits for a heartbeat.
const TIMEOUTS_OF_A_LEASE: u32 = 2;

/// The D-Streams engine.
#[derive(Clone)]
pub struct DStreams {
    cores: Arc<dyn CoreFactory>,
}

impl DStreams {
    /// The engine as it is.
    pub fn new() -> DStreams {
        DStreams::with_cores(Arc::new(PlainCores))
    }

    /// The engine with protocol parts from `cores`: tests wrap a part to plant a defect.
    pub fn with_cores(cores: Arc<dyn CoreFactory>) -> DStreams {
        DStreams { cores }
    }
}

impl Default for DStreams {
    fn default() -> DStreams {
        DStreams::new()
    }
}

/// What every node of the cluster is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodeConfig {
    cluster: ClusterSpec,
    settings: Settings,
}

impl Engine for DStreams {
    fn name(&self) -> &'static str {
        "dstream"
    }

    fn options(&self) -> Vec<OptionSpec> {
        options::declared()
    }

    fn promise(&self, cluster: &ClusterSpec, options: &Options) -> Promise {
        let Settings { copies, input, backpressure: limits, .. } = Settings::from_options(options);
        let whoever = |words: &str, logs, replays| Promise {
            words: words.to_owned(),
            losses_at_once: cluster.workers,
            copies: 1,
            logs,
            replays,
            limits,
        };
        match input {
            Input::Memory => {}
            Input::Log => {
                let words = "exact whichever workers are lost: the log has what was acknowledged";
                return whoever(words, true, None);
            }
            Input::Replay => {
                let words = "exact whichever workers are lost, while no client stays away: clients send it again";
                return whoever(words, false, Some(patience_with_clients(cluster.failure_timeout)));
            }
        }
        let words = match copies {
            1 => "exact while no worker is lost".to_owned(),
            2 => "exact while at most one worker is lost at a time, until its copies are made again".to_owned(),
            more => format!("exact while at most {} workers are lost at a time", more - 1),
        };
        Promise { words, losses_at_once: copies.saturating_sub(1), copies, logs: false, replays: None, limits }
    }

    fn recovers_master(&self) -> bool {
        true
    }

    fn moves(&self) -> bool {
        true
    }

    fn heirs(&self, _workers: u32, options: &Options) -> Vec<NodeName> {
        standbys(&Settings::from_options(options)).map(Role::name).collect()
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, _options: &Options) -> f64 {
        cluster.costs.map_ns_per_byte
    }

    fn progress(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Result<Option<Progress>, String>> {
        Box::pin(master::progress(store))
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        let settings = Settings::from_options(options);
        if cluster.workers == 0 || cluster.cores == 0 || cluster.partitions == 0 {
            return Err(EngineError("a cluster has at least one worker, core and partition".to_owned()));
        }
        let config = NodeConfig { cluster: cluster.clone(), settings };
        let bytes = postcard::to_stdvec(&config).map_err(|error| EngineError(error.to_string()))?;
        let node = |role: Role| NodeSpec {
            name: role.name(),
            role: "dstream".to_owned(),
            config: bytes.clone(),
            cores: cluster.cores as usize,
            harness: role == Role::Sink,
        };
        Ok(roles(cluster, standbys(&config.settings)).into_iter().map(node).collect())
    }

    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>> {
        let cores = self.cores.clone();
        Box::pin(async move {
            let config: NodeConfig = postcard::from_bytes(&node.config)
                .map_err(|error| NodeError(format!("the configuration of {} is unreadable: {error}", node.name)))?;
            let role = Role::of(&node.name).ok_or_else(|| NodeError(format!("{} is no node's name", node.name)))?;
            let query = registry.query(&config.cluster.job).map_err(|error| NodeError(error.to_string()))?;
            let query = cores.query(config.settings.query(query, config.cluster.interval));
            match role {
                Role::Sink => start_sink(host, &config, &query, &*cores).await,
                Role::Master | Role::Standby(_) => {
                    start_master(host, &config, query, (role, registry.build()), cores).await
                }
                Role::Worker(number) => start_worker(host, &config, query, number, &*cores).await,
                Role::Client(number) => start_client(host, &config, &query, number, &*registry, &*cores).await,
                Role::Replica(_) => Err(NodeError(format!("D-Streams has no node {}", node.name))),
            }
        })
    }
}

async fn start_sink(host: Host, config: &NodeConfig, query: &Query, cores: &dyn CoreFactory) -> Result<(), NodeError> {
    let peers = connections(config, Role::Sink, query.fingerprint);
    sink::run(host, SinkConfig { peers }, cores.sink()).await
}

async fn start_master(
    host: Host,
    config: &NodeConfig,
    query: Query,
    (role, build): (Role, u64),
    cores: Arc<dyn CoreFactory>,
) -> Result<(), NodeError> {
    let NodeConfig { cluster, settings } = config;
    let limits = MasterLimits {
        ledger: LedgerLimits {
            copies: settings.copies,
            input: settings.input,
            interval: cluster.interval,
            slack: settings.slack,
            origin: cluster.origin,
            patience: cluster.failure_timeout,
            placement: settings.placement,
        },
        heartbeat: cluster.heartbeat,
        failure_timeout: cluster.failure_timeout,
        workers: cluster.workers,
        // As many as are to hold copies always work.
        spares: settings.spares.min(cluster.workers.saturating_sub(settings.copies.max(1))),
        throttled_clients: settings.backpressure.then_some(cluster.clients),
        awaits_writing: settings.awaits_writing,
        tracker: TrackerLimits {
            partitions: cluster.partitions,
            cores: cluster.cores as usize,
            checkpoint_intervals: settings.checkpoint_intervals(&query, cluster.interval),
            speculation: settings.speculation,
            avoid_slow: settings.avoid_slow,
            placement: settings.placement,
            recovery: settings.recovery,
            overlap: settings.overlap,
        },
    };
    let shell = MasterConfig {
        sink: Role::Sink.name(),
        workers: cluster.workers,
        clients: (1..=cluster.clients).map(|number| Role::Client(number).name()).collect(),
        deadline: cluster.failure_timeout,
        costs: cluster.costs.clone(),
        logs: settings.input == Input::Log,
        program: Program::of(&query, cluster.job.clone(), build, (cluster.partitions, settings.input)),
    };
    let (peers, events) = connect(&host, config, role, query.fingerprint).await?;
    let time_to_live = shell.deadline * TIMEOUTS_OF_A_LEASE;
    let candidate = Candidate::new(cores.watch(host.name.clone(), time_to_live), time_to_live);
    let new_core = Box::new(move || cores.master(limits.clone(), &query));
    master::run(host, peers, events, shell, candidate, new_core).await
}

async fn start_worker(
    host: Host,
    config: &NodeConfig,
    query: Query,
    number: u32,
    cores: &dyn CoreFactory,
) -> Result<(), NodeError> {
    let NodeConfig { cluster, settings } = config;
    let receiver = cores.receiver(ReceiverLimits {
        worker: number,
        copies: settings.copies,
        input: settings.input,
        block: settings.block,
        interval: cluster.interval,
        slack: settings.slack,
        origin: cluster.origin,
        // Shorter than what the master waits: it must not give a worker up that still acknowledges.
        lease: cluster.failure_timeout.saturating_sub(cluster.heartbeat / 2),
        placement: settings.placement,
        usual: usual(cluster),
    });
    let (peers, events) = connect(&host, config, Role::Worker(number), query.fingerprint).await?;
    let (memory, clock) = (settings.memory.map(|limit| cores.memory(limit)), host.clock.clone());
    let (said, words) = mpsc::channel(worker::MOST_WAITING_ENDS);
    let context = TaskContext {
        words: said,
        seats: Seats::new(host.cpu.cores()),
        // Where memory is short, one after the other; they are written together nevertheless.
        save_reads: Arc::new(Semaphore::new(if memory.is_some() { 1 } else { worker::SAVES_AT_ONCE })),
        chains: Chains::default(),
        host,
        peers,
        holdings: SharedHoldings::new(memory, clock, cluster.scale),
        query: Arc::new(query),
        costs: cluster.costs.clone(),
        scale: cluster.scale,
        partitions: cluster.partitions,
        worker: number,
        sink: Role::Sink.name(),
        deadline: cluster.failure_timeout,
    };
    let workers = (1..=cluster.workers).collect();
    let masters = [Role::Master].into_iter().chain(standbys(settings)).map(Role::name).collect();
    let shell = WorkerConfig { masters, heartbeat: cluster.heartbeat, workers };
    worker::run(context, (events, words), shell, receiver).await
}

async fn start_client(
    host: Host,
    config: &NodeConfig,
    query: &Query,
    number: u32,
    registry: &dyn Registry,
    cores: &dyn CoreFactory,
) -> Result<(), NodeError> {
    let NodeConfig { cluster, settings } = config;
    let source = registry.source(&cluster.source, number).map_err(|error| NodeError(error.to_string()))?;
    let most = |usual: Usual| usual.most_of_a_batch(settings.block, cluster.workers as usize);
    let client = ClientConfig {
        client: number,
        peers: connections(config, Role::Client(number), query.fingerprint),
        pace: cluster.pace,
        cut: Cut::AsDue { most: usual(cluster).map_or(u64::MAX, most) },
        origin: cluster.origin,
        load_end: cluster.load_end,
        interval: cluster.interval,
        scale: cluster.scale,
        message: Costs::time(cluster.costs.message_ns),
        written_below: registry.written_below(),
    };
    let core = cores.client(ClientLimits {
        patience: settings.until_acknowledged(cluster.interval) + CLIENT_PATIENCE,
        number,
        clients: cluster.clients,
        keeps: settings.input == Input::Replay,
    });
    client::run(host, client, source, core).await
}

/// What clients usually send.
fn usual(cluster: &ClusterSpec) -> Option<Usual> {
    Usual::of(cluster, Cut::AsDue { most: u64::MAX }.period())
}

/// The masters that wait to be one.
fn standbys(settings: &Settings) -> impl Iterator<Item = Role> + use<> {
    (1..=settings.standby_masters).map(Role::Standby)
}

/// A node's connections.
fn connections(config: &NodeConfig, role: Role, fingerprint: u64) -> PeerConfig {
    let NodeConfig { cluster, settings } = config;
    peer_config(cluster, &roles(cluster, standbys(settings)), role, fingerprint)
}

async fn connect(
    host: &Host,
    config: &NodeConfig,
    role: Role,
    fingerprint: u64,
) -> Result<(Peers, mpsc::Receiver<dstream_host::peer::PeerEvent>), NodeError> {
    let start = Peers::start(host, connections(config, role, fingerprint)).await;
    start.map_err(|error| NodeError(format!("{} cannot listen: {error}", role.name())))
}
