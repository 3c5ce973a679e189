//! What the continuous engines' nodes are given, and how each begins its life.

use crate::continuous::feeder::Feeder;
use crate::continuous::master::{
    self, Border, Master, MasterAction, MasterConfig, MasterEvent, MasterLimits, Redundancy,
};
use crate::continuous::node::{self, Node, NodeAction, NodeConfig, NodeEvent, NodeLimits, Rules};
use crate::continuous::operators::Program;
use crate::continuous::topology::Topology;
use dstream_cluster::client::{self, ClientAction, ClientConfig, ClientEvent, Cut};
use dstream_cluster::core::BoxCore;
use dstream_cluster::detector::{Detector, DetectorAction, DetectorEvent};
use dstream_cluster::layout::{Role, peer_config, roles};
use dstream_cluster::sink::{self, Sink, SinkAction, SinkConfig, SinkEvent};
use dstream_cluster::{ClusterSpec, Costs, EngineError, Pace, Registry};
use dstream_host::peer::{PeerConfig, PeerEvent, Peers};
use dstream_host::{Host, NodeError, NodeSpec};
use dstream_kernel::Query;
use dstream_trace::NodeName;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A node keeps so much input, and so much output, at most: a gigabyte is a minute of a fast network card's stream.
const MOST_KEPT_BYTES: usize = 1 << 30;

/// A run may be cut into chunks of so long a time at most: a record must not wait longer for those that share its chunk.
const LONGEST_CHUNK: Duration = Duration::from_millis(100);

/// A protocol with its options, as its engine read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Nodes beside the workers.
    pub heirs: Heirs,
    /// What a node does.
    pub rules: Rules,
    /// What the master keeps.
    pub redundancy: Redundancy,
    /// So many represented records are combined before the keyed operators; 1: each alone.
    pub chunk: u64,
    /// A node that is so far behind the others counts as lost; `None`: it is waited for.
    pub straggler: Option<Duration>,
}

/// Nodes beside the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heirs {
    /// One for each worker, or none.
    pub replicas: u32,
    /// Idle ones.
    pub standbys: u32,
}

impl Heirs {
    /// Their roles.
    pub fn roles(self) -> Vec<Role> {
        (1..=self.replicas).map(Role::Replica).chain((1..=self.standbys).map(Role::Standby)).collect()
    }

    /// Their names.
    pub fn names(self) -> Vec<NodeName> {
        self.roles().into_iter().map(Role::name).collect()
    }
}

/// What every node of the cluster is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Config {
    cluster: ClusterSpec,
    protocol: Protocol,
}

/// Makes the protocol parts of a node. The product uses [`PlainCores`]; tests wrap a part to plant a defect.
pub trait CoreFactory: Send + Sync {
    /// A client's core.
    fn client(&self, client: u32, cut: Cut) -> BoxCore<ClientEvent, ClientAction> {
        Box::new(Feeder::new(client, cut))
    }

    /// The sink's core.
    fn sink(&self) -> BoxCore<SinkEvent, SinkAction> {
        Box::new(Sink::default())
    }

    /// The failure detector.
    fn detector(&self, heartbeat: Duration, failure_timeout: Duration) -> BoxCore<DetectorEvent, DetectorAction> {
        Box::new(Detector::new(heartbeat, failure_timeout))
    }

    /// The master's core.
    fn master(
        &self,
        limits: MasterLimits,
        detector: BoxCore<DetectorEvent, DetectorAction>,
    ) -> BoxCore<MasterEvent, MasterAction> {
        Box::new(Master::new(limits, detector))
    }

    /// A node's core.
    fn node(&self, limits: NodeLimits) -> BoxCore<NodeEvent, NodeAction> {
        Box::new(Node::new(limits))
    }
}

/// The parts as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainCores;

impl CoreFactory for PlainCores {}

/// The nodes of a cluster, in the order of their start.
pub fn nodes(engine: &str, cluster: &ClusterSpec, protocol: &Protocol) -> Result<Vec<NodeSpec>, EngineError> {
    if cluster.workers == 0 || cluster.cores == 0 || cluster.partitions == 0 {
        return Err(EngineError("a cluster has at least one worker, core and partition".to_owned()));
    }
    let config = Config { cluster: cluster.clone(), protocol: protocol.clone() };
    let config = postcard::to_stdvec(&config).map_err(|error| EngineError(error.to_string()))?;
    let node = |role: Role| NodeSpec {
        name: role.name(),
        role: engine.to_owned(),
        config: config.clone(),
        cores: cluster.cores as usize,
        harness: role == Role::Sink,
    };
    Ok(roles(cluster, protocol.heirs.roles()).into_iter().map(node).collect())
}

/// A node's life.
pub async fn start(
    node: NodeSpec,
    host: Host,
    registry: Arc<dyn Registry>,
    cores: Arc<dyn CoreFactory>,
) -> Result<(), NodeError> {
    let config: Config = postcard::from_bytes(&node.config)
        .map_err(|error| NodeError(format!("the configuration of {} is unreadable: {error}", node.name)))?;
    let role = Role::of(&node.name).ok_or_else(|| NodeError(format!("{} is no node's name", node.name)))?;
    let query = registry.query(&config.cluster.job).map_err(|error| NodeError(error.to_string()))?;
    let life = Life { config, query, role, cores };
    match role {
        Role::Sink => sink::run(host, SinkConfig { peers: life.connections() }, life.cores.sink()).await,
        Role::Master => life.master(host).await,
        Role::Worker(_) | Role::Standby(_) | Role::Replica(_) => life.node(host).await,
        Role::Client(number) => life.client(host, number, &*registry).await,
    }
}

/// The least number of intervals that takes so long.
pub fn intervals(time: Duration, interval: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(interval.as_nanos().max(1))).unwrap_or(u64::MAX).max(1)
}

/// One node on its way into life.
struct Life {
    config: Config,
    query: Query,
    role: Role,
    cores: Arc<dyn CoreFactory>,
}

impl Life {
    fn connections(&self) -> PeerConfig {
        let Config { cluster, protocol } = &self.config;
        peer_config(cluster, &roles(cluster, protocol.heirs.roles()), self.role, self.query.fingerprint)
    }

    async fn connect(&self, host: &Host) -> Result<(Peers, mpsc::Receiver<PeerEvent>), NodeError> {
        let start = Peers::start(host, self.connections()).await;
        start.map_err(|error| NodeError(format!("{} cannot listen: {error}", self.role.name())))
    }

    /// The nodes that run partitions, by number from 1.
    fn names(&self) -> Vec<NodeName> {
        let Config { cluster, protocol } = &self.config;
        let workers = (1..=cluster.workers).map(Role::Worker);
        workers.chain(protocol.heirs.roles()).map(Role::name).collect()
    }

    fn topology(&self) -> Result<Topology, NodeError> {
        Topology::of(&self.query, self.config.cluster.partitions).map_err(|why| NodeError(why.to_owned()))
    }

    /// How clients cut: runs long enough for a chunk, short enough that nobody waits for long.
    fn cut(&self) -> Cut {
        let Config { cluster, protocol } = &self.config;
        let rate = match cluster.pace {
            Pace::Rate { per_second } | Pace::AtMost { per_second, .. } => Some(per_second),
            Pace::Max { .. } => None,
        };
        let chunk = protocol.chunk / cluster.scale.max(1);
        let most = rate.map_or(u64::MAX, |rate| (rate * LONGEST_CHUNK.as_secs_f64()) as u64);
        Cut::runs(rate, chunk.min(most), cluster.partitions, protocol.rules.buffer)
    }

    async fn master(self, host: Host) -> Result<(), NodeError> {
        let Config { cluster, protocol } = &self.config;
        let reach = self.topology()?.reach;
        let border = match protocol.redundancy.border {
            Border::Replayed { .. } => Border::Replayed { reach },
            border => border,
        };
        let limits = MasterLimits {
            names: self.names(),
            partitions: cluster.partitions,
            clients: cluster.clients,
            cut: self.cut(),
            sends_alike: matches!(cluster.pace, Pace::Rate { .. }),
            redundancy: Redundancy { border, ..protocol.redundancy },
            failure_timeout: cluster.failure_timeout,
            // A node that is silent meanwhile would have been noticed: giving up two at once is not promised.
            most_behind: protocol
                .straggler
                .filter(|_| protocol.redundancy.survives_a_loss())
                .map(|behind| (intervals(behind, cluster.interval), behind.max(cluster.failure_timeout))),
            most_waiting: intervals(cluster.failure_timeout, cluster.interval),
            reach,
        };
        let shell = MasterConfig {
            sink: Role::Sink.name(),
            names: self.names(),
            clients: (1..=cluster.clients).map(|number| Role::Client(number).name()).collect(),
            deadline: cluster.failure_timeout,
            costs: cluster.costs.clone(),
        };
        let detector = self.cores.detector(cluster.heartbeat, cluster.failure_timeout);
        let core = self.cores.master(limits, detector);
        let (peers, events) = self.connect(&host).await?;
        master::run(host, peers, events, shell, core).await
    }

    async fn node(self, host: Host) -> Result<(), NodeError> {
        let Config { cluster, protocol } = &self.config;
        let (names, topology, own) = (self.names(), self.topology()?, self.role.name());
        let number = (1u32..).zip(&names).find(|(_, name)| **name == own).map(|(number, _)| number);
        let limits = NodeLimits {
            node: number.ok_or_else(|| NodeError(format!("{own} is no node of this cluster")))?,
            incarnation: host.incarnation,
            names: names.clone(),
            clients: cluster.clients,
            cut: self.cut(),
            scale: cluster.scale,
            topology: topology.clone(),
            rules: protocol.rules,
            heartbeat: cluster.heartbeat,
            lease: cluster.failure_timeout.saturating_sub(cluster.heartbeat / 2),
            origin: cluster.origin,
            interval: cluster.interval,
            most_kept_bytes: MOST_KEPT_BYTES,
        };
        let (peers, events) = self.connect(&host).await?;
        let core = self.cores.node(limits);
        let program = Program {
            query: Arc::new(self.query),
            topology: Arc::new(topology),
            costs: cluster.costs.clone(),
            scale: cluster.scale,
            chunk: protocol.chunk,
        };
        let (master, sink) = (Role::Master.name(), Role::Sink.name());
        let shell = NodeConfig { names, master, sink, program, deadline: cluster.failure_timeout };
        node::run(host, peers, events, shell, core).await
    }

    async fn client(self, host: Host, number: u32, registry: &dyn Registry) -> Result<(), NodeError> {
        let cluster = &self.config.cluster;
        let source = registry.source(&cluster.source, number).map_err(|error| NodeError(error.to_string()))?;
        let cut = self.cut();
        let client = ClientConfig {
            client: number,
            peers: self.connections(),
            pace: cluster.pace,
            cut,
            origin: cluster.origin,
            load_end: cluster.load_end,
            interval: cluster.interval,
            scale: cluster.scale,
            message: Costs::time(cluster.costs.message_ns),
            written_below: None,
        };
        client::run(host, client, source, self.cores.client(number, cut)).await
    }
}
