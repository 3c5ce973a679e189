//! One node in a process of its own: the same life as in a world of threads, with addresses and faults told from
//! outside.
//!
//! Knows neither who tells nor how. Invariant: what the node records reaches the journal before anything that follows
//! from it leaves the process.

use super::clock::Began;
use super::cpu::Compute;
use super::cut::Cuts;
use super::journal::Journal;
use super::monitor::Monitor;
use super::network::AddressBook;
use super::node::{Commons, Life};
use super::store::KeptStore;
use crate::facade::Store;
use crate::world::{NodeSpec, NodeStart, WorldError};
use dstream_trace::{Moment, NodeName};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// What a process gives to its node.
pub struct ProcessConfig {
    /// Counts the node's processes from 1.
    pub incarnation: u64,
    /// The run's seed.
    pub seed: u64,
    /// When the world's time began.
    pub began: Began,
    /// Where the node listens.
    pub listener: TcpListener,
    /// Where the other nodes listen.
    pub addresses: Vec<(NodeName, SocketAddr)>,
    /// What the node's cores do.
    pub compute: Compute,
    /// The durable store.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
}

/// A node that lives in this process.
pub struct NodeProcess {
    life: Life,
    book: Arc<AddressBook>,
    cuts: Arc<Cuts>,
    monitor: Arc<Monitor>,
}

impl NodeProcess {
    /// Starts the node. Fails when the system has no thread or socket left for it.
    pub fn begin(spec: &NodeSpec, config: ProcessConfig, start: NodeStart) -> io::Result<NodeProcess> {
        let ProcessConfig { incarnation, seed, began, listener, addresses, compute, store, journal } = config;
        let book = Arc::new(AddressBook::default());
        listener.set_nonblocking(true)?;
        book.offer(spec.name.clone(), listener);
        addresses.into_iter().for_each(|(node, address)| book.enter(node, address));
        let store = Arc::new(KeptStore::new(store, Arc::clone(&journal)));
        let monitor = Arc::new(Monitor::new(began, journal));
        let cuts = Arc::new(Cuts::new(Arc::clone(&monitor)));
        let (its_book, its_cuts, its_monitor) = (Arc::clone(&book), Arc::clone(&cuts), Arc::clone(&monitor));
        let commons =
            Commons { start, seed, began, monitor: its_monitor, book: its_book, cuts: its_cuts, store, compute };
        let life = Life::begin(spec, incarnation, &commons)?;
        Ok(NodeProcess { life, book, cuts, monitor })
    }

    /// From now on another node is found here.
    pub fn enter(&self, node: NodeName, address: SocketAddr) {
        self.book.enter(node, address);
    }

    /// Cuts what `from` sends to `to`, or ends that. One of the two is this node.
    pub fn set_cut(&self, from: &NodeName, to: &NodeName, cut: bool) {
        self.cuts.set(from, to, cut);
    }

    /// Work takes `factor` times as long from now on.
    pub fn slow_cpu(&self, factor: f64) {
        self.life.straggling.set(factor);
    }

    /// What waits until the node fails: blocks its thread until then, and says why.
    pub fn watch(&self) -> impl FnOnce() -> WorldError + Send + use<> {
        let monitor = Arc::clone(&self.monitor);
        move || loop {
            if let Err(failed) = monitor.wait(Moment::NEVER, None) {
                return failed;
            }
        }
    }

    /// Ends the node; `false` if its threads have not ended within `limit`.
    pub fn end(self, limit: Duration) -> bool {
        self.life.end(limit)
    }
}
