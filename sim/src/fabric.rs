//! What all nodes of one world stand on: the time, the log, who is where, and what is wrong between whom.
//!
//! Knows no software of any node. Invariant: within a step time comes from the host that runs, between steps from the
//! driver; the log receives the events of a step in the order of their times.

use crate::life::Life;
use crate::link::LinkFaults;
use crate::node::Ending;
use crate::window::{Ends, Wire};
use dstream_trace::{Event, Moment, NodeName, SharedTrace};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Where a node listens that has a host of its own; names tell nodes apart.
pub(crate) const PORT: u16 = 4000;

/// What the nodes of one world share.
#[derive(Debug)]
pub(crate) struct Fabric {
    /// From host to host, one way.
    pub latency: Duration,
    /// The time between steps.
    between: AtomicU64,
    /// Whether hosts run now.
    stepping: AtomicBool,
    trace: SharedTrace,
    state: Mutex<State>,
    /// Tells those who wait for a hold to end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The events of the step that runs, until it ends.
    events: Vec<(Moment, NodeName, Event)>,
    /// Where each node is, and its life, if it lives.
    places: BTreeMap<NodeName, Place>,
    names: BTreeMap<IpAddr, NodeName>,
    links: LinkFaults,
    /// Streams of which an end is there, and how many are.
    wires: BTreeMap<Ends, (Arc<Wire>, u8)>,
    /// Nodes that ended by themselves since the driver last asked.
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Place {
    /// Where it listens.
    at: SocketAddr,
    life: Option<Arc<Life>>,
}

/// A node that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub node: NodeName,
    pub at: Moment,
    pub ending: Ending,
}

/// What stands at the other end of a connect.
#[derive(Debug)]
pub(crate) enum Target {
    /// No node has this name.
    Unknown,
    /// It is not there or does not listen.
    Refusing,
    /// It listens.
    Listening(SocketAddr, Arc<Life>),
}

impl Fabric {
    pub fn new(latency: Duration, trace: SharedTrace) -> Fabric {
        Fabric {
            latency,
            between: AtomicU64::new(0),
            stepping: AtomicBool::new(false),
            trace,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Time since the world started.
    pub fn now(&self) -> Moment {
        let running = if self.stepping.load(Ordering::Relaxed) { turmoil::sim_elapsed() } else { None };
        running.map_or(Moment(self.between.load(Ordering::Relaxed)), |elapsed| Moment::ZERO + elapsed)
    }

    /// Whether hosts run now, and not the driver.
    pub fn is_stepping(&self) -> bool {
        self.stepping.load(Ordering::Relaxed)
    }

    /// Hosts run from now on.
    pub fn begin_step(&self) {
        self.stepping.store(true, Ordering::Relaxed);
    }

    /// Hosts have run until `now`; what they recorded goes into the log.
    pub fn end_step(&self, now: Moment) {
        self.stepping.store(false, Ordering::Relaxed);
        self.between.store(now.0, Ordering::Relaxed);
        let mut state = self.lock();
        // Hosts run one after another through the same step; a longer tick lets the first be ahead of the second.
        state.events.sort_by_key(|(at, ..)| *at);
        for (at, node, event) in state.events.drain(..) {
            self.trace.push(at, node, event);
        }
    }

    /// Records what happened at `node`.
    pub fn record(&self, node: &NodeName, event: Event) {
        if self.is_stepping() {
            self.lock().events.push((self.now(), node.clone(), event));
        } else {
            self.trace.push(self.now(), node.clone(), event);
        }
    }

    /// The log that everything ends in.
    pub fn trace(&self) -> SharedTrace {
        self.trace.clone()
    }

    /// The node listens at `at`, on a host of its own.
    pub fn settle(&self, node: &NodeName, at: SocketAddr) {
        self.lock().names.insert(at.ip(), node.clone());
        self.settle_guest(node, at);
    }

    /// The node listens at `at`, on a host with others: the address is nobody's name.
    pub fn settle_guest(&self, node: &NodeName, at: SocketAddr) {
        self.lock().places.insert(node.clone(), Place { at, life: None });
    }

    /// The node lives this life from now on, or none.
    pub fn set_life(&self, node: &NodeName, life: Option<Arc<Life>>) {
        if let Some(place) = self.lock().places.get_mut(node) {
            place.life = life;
        }
    }

    /// The node's life, if it lives.
    pub fn life(&self, node: &NodeName) -> Option<Arc<Life>> {
        self.lock().places.get(node).and_then(|place| place.life.clone())
    }

    /// Where a node listens.
    pub fn address(&self, node: &NodeName) -> Option<SocketAddr> {
        self.lock().places.get(node).map(|place| place.at)
    }

    /// Who alone is at an address.
    pub fn name(&self, address: IpAddr) -> Option<NodeName> {
        self.lock().names.get(&address).cloned()
    }

    /// Whether a node has a host of its own.
    pub fn is_alone(&self, node: &NodeName) -> bool {
        self.lock().names.values().any(|name| name == node)
    }

    /// What a connect to `node` meets.
    pub fn target(&self, node: &NodeName) -> Target {
        let state = self.lock();
        let Some(place) = state.places.get(node) else { return Target::Unknown };
        match &place.life {
            Some(life) if life.is_listening() => Target::Listening(place.at, life.clone()),
            _ => Target::Refusing,
        }
    }

    /// What is wrong between the nodes: asks, or changes it.
    pub fn links<T>(&self, ask: impl FnOnce(&mut LinkFaults) -> T) -> T {
        ask(&mut self.lock().links)
    }

    /// What is wrong between the nodes has changed: who waits for that looks again.
    pub fn links_changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits while messages between the two are held.
    pub async fn released(&self, from: &NodeName, to: &NodeName) {
        loop {
            // Made before the look, so that no change after it is missed.
            let changed = self.changed.notified();
            if !self.links(|links| links.is_held(from, to)) {
                return;
            }
            changed.await;
        }
    }

    /// From `from` to `to`, one way, now.
    pub fn one_way(&self, from: &NodeName, to: &NodeName) -> Duration {
        self.latency + self.links(|links| links.delay(from, to))
    }

    /// Records what becomes of a message that `from` sends to `to` now, where a fault stands between them. A life that
    /// is over says nothing.
    pub fn record_fate(&self, from: &NodeName, to: &NodeName) {
        if self.life(from).is_some()
            && let Some(event) = self.links(|links| links.fate(from, to))
        {
            self.record(from, event);
        }
    }

    /// What the two ends of a stream share, for one of them.
    pub fn enter_wire(&self, ends: Ends) -> Arc<Wire> {
        let mut state = self.lock();
        let (wire, count) = state.wires.entry(ends).or_default();
        *count += 1;
        wire.clone()
    }

    /// One of them is gone.
    pub fn leave_wire(&self, ends: Ends) {
        let mut state = self.lock();
        if let Some((_, count)) = state.wires.get_mut(&ends) {
            *count -= 1;
            if *count == 0 {
                state.wires.remove(&ends);
            }
        }
    }

    /// A node ended by itself.
    pub fn end(&self, node: &NodeName, ending: Ending) {
        let at = self.now();
        self.lock().ended.push(Ended { node: node.clone(), at, ending });
    }

    /// The nodes that ended by themselves since the last call, in the order in which they did.
    pub fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.lock().ended)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A node that panics does so outside this lock; should it not, the state is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
