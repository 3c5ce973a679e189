//! The nodes of a run that live in this process, as the master says.
//!
//! Knows no door. Invariant: nodes of one run only; when a run stops, its nodes, their sockets and threads are gone.

use super::store::SpokenStore;
use super::word::Beginning;
use crate::execution::starter;
use crate::store::StorePlace;
use dstream_cluster::layout::Role;
use dstream_cluster::{Engine, Registry};
use dstream_host::real::{Began, Compute, Journal, MemoryStore, NodeProcess, ProcessConfig};
use dstream_host::{NodeSpec, Store};
use dstream_trace::NodeName;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the end of a run waits for the threads of a node.
const END_LIMIT: Duration = Duration::from_secs(1);

/// News that wait for the process's main loop: a failure ends the run, and notes repeat themselves.
const NEWS_MAX: usize = 16;

/// What the nodes of this process have to say.
#[derive(Debug)]
pub enum NodeNews {
    /// One failed.
    Failed {
        /// In which run.
        round: u64,
        /// Why.
        why: String,
    },
    /// One has handed on what others need of it, and has ended.
    Left {
        /// In which run.
        round: u64,
    },
    /// For people.
    Note(String),
}

/// Where that comes out.
pub struct Outlet {
    ended: mpsc::Receiver<(u64, Result<(), String>)>,
    notes: mpsc::Receiver<String>,
}

impl Outlet {
    /// The next news. The nodes live as long as the process, so there is always a next.
    pub async fn recv(&mut self) -> Option<NodeNews> {
        tokio::select! {
            biased;
            Some((round, how)) = self.ended.recv() => Some(match how {
                Ok(()) => NodeNews::Left { round },
                Err(why) => NodeNews::Failed { round, why },
            }),
            Some(note) = self.notes.recv() => Some(NodeNews::Note(note)),
            else => None,
        }
    }
}

/// Nodes of this process.
pub struct Nodes {
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    journal: Arc<dyn Journal>,
    ended: mpsc::Sender<(u64, Result<(), String>)>,
    notes: mpsc::Sender<String>,
    round: u64,
    listeners: BTreeMap<NodeName, TcpListener>,
    running: Vec<NodeProcess>,
}

impl Nodes {
    /// No node yet. Events go into `journal`.
    pub fn new(engine: Arc<dyn Engine>, registry: Arc<dyn Registry>, journal: Arc<dyn Journal>) -> (Nodes, Outlet) {
        let ((ended, ends), (notes, noted)) = (mpsc::channel(NEWS_MAX), mpsc::channel(NEWS_MAX));
        let (listeners, running) = (BTreeMap::new(), Vec::new());
        let nodes = Nodes { engine, registry, journal, ended, notes, round: 0, listeners, running };
        (nodes, Outlet { ended: ends, notes: noted })
    }

    /// Listens for these nodes of a run; what ran before is over.
    pub fn prepare(&mut self, round: u64, nodes: Vec<NodeName>, at: IpAddr) -> io::Result<Vec<(NodeName, SocketAddr)>> {
        self.stop();
        self.round = round;
        let mut listening = Vec::new();
        for node in nodes {
            let listener = TcpListener::bind((at, 0))?;
            listening.push((node.clone(), listener.local_addr()?));
            self.listeners.insert(node, listener);
        }
        Ok(listening)
    }

    /// Begins to be the nodes that were prepared. Answers when the run began.
    pub fn begin(&mut self, beginning: Beginning) -> Result<Began, String> {
        let Beginning { round, cluster, options, incarnation, elapsed, addresses, store, .. } = beginning;
        if round != self.round {
            return Err(format!("run {round} begins here, but run {} was prepared", self.round));
        }
        let began = Began::ago(elapsed);
        let specs = self.engine.nodes(&cluster, &options).map_err(|error| error.to_string())?;
        for (name, listener) in std::mem::take(&mut self.listeners) {
            let spec = specs.iter().find(|spec| spec.name == name);
            let spec = spec.ok_or_else(|| format!("the run has no node {name}"))?;
            let config = ProcessConfig {
                incarnation,
                seed: cluster.seed,
                began,
                listener,
                addresses: addresses.iter().filter(|(other, _)| *other != name).cloned().collect(),
                bits_per_second: None,
                compute: Compute::Real,
                store: Arc::new(SpokenStore::new(open_store(&store, &name)?, self.notes.clone())),
                store_link: None,
                journal: self.journal.clone(),
            };
            self.start(spec, config).map_err(|error| format!("{name} cannot be started: {error}"))?;
        }
        Ok(began)
    }

    fn start(&mut self, spec: &NodeSpec, config: ProcessConfig) -> io::Result<()> {
        let node = NodeProcess::begin(spec, config, starter(&self.engine, self.registry.clone()))?;
        let (watch, ended, round) = (node.watch(), self.ended.clone(), self.round);
        self.running.push(node);
        // Ends with the node. Whoever takes no news any more has ended too.
        let body = move || drop(ended.blocking_send((round, watch().map_err(|why| why.to_string()))));
        std::thread::Builder::new().name("watch".into()).spawn(body).map(drop)
    }

    /// From now on a node is found elsewhere.
    pub fn enter(&self, node: &NodeName, address: SocketAddr) {
        self.running.iter().for_each(|running| running.enter(node.clone(), address));
    }

    /// Which run it is, or was last.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Asks its nodes to hand on what others need of them, and to end then.
    pub fn leave(&self) {
        self.running.iter().for_each(NodeProcess::leave);
    }

    /// Ends all nodes.
    pub fn stop(&mut self) {
        self.round = 0;
        self.listeners.clear();
        for node in self.running.drain(..) {
            // Threads that take longer are cut off from the world and end when they can.
            node.end(END_LIMIT);
        }
    }
}

/// The store that all masters and workers of a run share; client and sink keep nothing.
fn open_store(place: &StorePlace, node: &NodeName) -> Result<Arc<dyn Store>, String> {
    match Role::of(node) {
        Some(Role::Master | Role::Worker(_)) => place.open(node.as_str()),
        _ => Ok(Arc::new(MemoryStore::default())),
    }
}
