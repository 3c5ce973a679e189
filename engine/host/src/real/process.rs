//! One node in a process of its own: the same life as in a world of threads, with addresses and faults told from
//! outside.
//!
//! Knows neither who tells nor how. Invariant: what the node records reaches the journal before anything that follows
//! from it leaves the process.

use super::clock::Began;
use super::cpu::Compute;
use super::journal::Journal;
use super::links::Links;
use super::monitor::Monitor;
use super::network::AddressBook;
use super::node::{Commons, Life, Slow};
use crate::facade::Store;
use crate::shape::StoreTrouble;
use crate::world::{NodeSpec, NodeStart, WorldError};
use dstream_trace::NodeName;
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
    /// Modelled bandwidth of the node's network card in each direction; none: the machine's own.
    pub bits_per_second: Option<u64>,
    /// What the node's cores do.
    pub compute: Compute,
    /// The durable store.
    pub store: Arc<dyn Store>,
    /// How far away the store is to seem: one way, and bits a second in each direction; as it is where there is none.
    pub store_link: Option<(Duration, u64)>,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
}

/// A node that lives in this process.
pub struct NodeProcess {
    name: NodeName,
    life: Life,
    book: Arc<AddressBook>,
    links: Arc<Links>,
    slow: Slow,
    monitor: Arc<Monitor>,
}

impl NodeProcess {
    /// Starts the node. Fails when the system has no thread or socket left for it.
    pub fn begin(spec: &NodeSpec, config: ProcessConfig, start: NodeStart) -> io::Result<NodeProcess> {
        let ProcessConfig { incarnation, seed, began, listener, addresses, bits_per_second, .. } = config;
        let ProcessConfig { compute, store, store_link, journal, .. } = config;
        let book = Arc::new(AddressBook::default());
        listener.set_nonblocking(true)?;
        book.offer(spec.name.clone(), listener);
        addresses.into_iter().for_each(|(node, address)| book.enter(node, address));
        let monitor = Arc::new(Monitor::new(began, journal));
        let (links, slow) = (Arc::new(Links::new(Arc::clone(&monitor))), Slow::none());
        let commons = Commons {
            start,
            seed,
            began,
            monitor: Arc::clone(&monitor),
            book: Arc::clone(&book),
            links: Arc::clone(&links),
            bits_per_second,
            store,
            store_link,
            compute,
        };
        let life = Life::begin(spec, incarnation, &slow, &commons)?;
        Ok(NodeProcess { name: spec.name.clone(), life, book, links, slow, monitor })
    }

    /// From now on another node is found here.
    pub fn enter(&self, node: NodeName, address: SocketAddr) {
        self.book.enter(node, address);
    }

    /// Cuts what `from` sends to `to`, or ends that. One of the two is this node.
    pub fn set_cut(&self, from: &NodeName, to: &NodeName, cut: bool) {
        self.links.set_cut(from, to, cut);
    }

    /// Messages between the two wait, or no longer. One of the two is this node.
    pub fn set_held(&self, one: &NodeName, other: &NodeName, held: bool) {
        self.links.set_held(one, other, held);
    }

    /// Messages between the two are under way for `by` longer; zero ends it. One of the two is this node.
    pub fn set_delay(&self, one: &NodeName, other: &NodeName, by: Duration) {
        self.links.set_delay(one, other, by);
    }

    /// The node has no power, or has it again: nothing gets to it or from it, and nothing ends. For this node, before
    /// its process is killed, and for any other one that this node talks to.
    pub fn set_dark(&self, node: &NodeName, dark: bool) {
        self.links.set_dark(node, dark);
    }

    /// Transfers take `factor` times as long from now on. Without a modelled bandwidth they take none.
    pub fn slow_nic(&self, factor: f64) {
        self.slow.nic.set(factor);
    }

    /// Work takes `factor` times as long from now on.
    pub fn slow_cpu(&self, factor: f64) {
        self.slow.cpu.set(factor);
    }

    /// This and nothing else is wrong with the durable store from now on.
    pub fn trouble_store(&self, trouble: StoreTrouble) {
        self.slow.store.set(trouble);
    }

    /// Asks the node to leave: it hands on what others need of it, then ends by itself.
    pub fn leave(&self) {
        self.life.leave.ask();
    }

    /// What waits until the node ends by itself: blocks its thread until then, and says why, if it failed.
    pub fn watch(&self) -> impl FnOnce() -> Result<(), WorldError> + Send + use<> {
        let (monitor, name) = (Arc::clone(&self.monitor), self.name.clone());
        move || monitor.await_done(&name)
    }

    /// Ends the node, and with it whoever [watches](NodeProcess::watch); `false` if its threads have not ended within
    /// `limit`.
    pub fn end(self, limit: Duration) -> bool {
        let ended = self.life.end(limit);
        self.monitor.fail(&self.name, "it was ended".to_owned());
        ended
    }
}
