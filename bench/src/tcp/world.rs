//! The TCP world: one process per node on loopback, faults from the driver's process.
//!
//! Knows no engine. Time is the machine's monotonic clock since the world began, the same in all processes. A crash is
//! SIGKILL, a pause SIGSTOP and SIGCONT; the rest is done by each node's own facade on the driver's order. A node that
//! loses its power is stopped, and killed only when it is restarted or the run ends: at the death of a process the
//! system closes its streams, which is a word to its peers. Invariants: the driver never waits for a child, but for one
//! that it kills or stops; no child outlives the world.

use super::board::{Board, Fallen};
use super::child::Child;
use super::wire::{Beginning, Order, Preparation, StoreOrder};
use dstream_host::real::{Began, Compute, monotonic_ns};
use dstream_host::shape::StoreTrouble;
use dstream_host::{NodeSpec, World, WorldError};
use dstream_trace::{Event, Moment, NodeName, SharedTrace};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long all processes together have to start and listen: a busy machine starts dozens in a second or two.
const LISTEN_LIMIT: Duration = Duration::from_secs(30);

/// How long all nodes together have to end at the run's end; then they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What all nodes have in common.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// The run's seed.
    pub seed: u64,
    /// Modelled bandwidth of a node's network card in each direction.
    pub bits_per_second: u64,
    /// What the cores do.
    pub compute: Compute,
    /// The durable store.
    pub store: StoreOrder,
}

struct Node {
    /// What it is, once it has begun.
    spec: Option<NodeSpec>,
    incarnation: u64,
    child: Option<Child>,
    /// The process of a node that lost its power: it stands still for ever.
    dark: Option<Child>,
}

/// Real processes on loopback.
pub struct TcpWorld {
    config: TcpConfig,
    began: Began,
    began_ns: u64,
    trace: SharedTrace,
    board: Arc<Board>,
    nodes: BTreeMap<NodeName, Node>,
    /// Where each node listens, as the others were told.
    addresses: BTreeMap<NodeName, SocketAddr>,
    /// What is wrong just now, each fault by what it does to whom.
    standing: BTreeMap<Standing, Order>,
}

/// A fault that a node's process is told of, also one that starts while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Cut(NodeName, NodeName),
    Held(NodeName, NodeName),
    Delay(NodeName, NodeName),
    SlowCpu(NodeName),
    SlowNic(NodeName),
    Store(NodeName),
}

impl Standing {
    fn concerns(&self, node: &NodeName) -> bool {
        match self {
            Standing::Cut(one, other) | Standing::Held(one, other) | Standing::Delay(one, other) => {
                one == node || other == node
            }
            Standing::SlowCpu(one) | Standing::SlowNic(one) | Standing::Store(one) => one == node,
        }
    }
}

impl TcpWorld {
    /// Starts a process for each name and returns when all of them listen. Each becomes its node by
    /// [`World::start`].
    pub fn open(names: &[NodeName], config: TcpConfig) -> Result<TcpWorld, WorldError> {
        let began_ns = monotonic_ns();
        let trace = SharedTrace::new();
        let mut world = TcpWorld {
            config,
            began: Began::at(began_ns),
            began_ns,
            board: Arc::new(Board::new(trace.clone())),
            trace,
            nodes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            standing: BTreeMap::new(),
        };
        for name in names {
            let child = world.spawn(name, None)?;
            let node = Node { spec: None, incarnation: 1, child: Some(child), dark: None };
            if world.nodes.insert(name.clone(), node).is_some() {
                return Err(WorldError::BadNode(format!("there are two nodes `{name}`")));
            }
        }
        world.await_listeners()?;
        Ok(world)
    }

    /// The process of each node that has one just now.
    pub fn processes(&self) -> Vec<(NodeName, u32)> {
        let of = |(name, node): (&NodeName, &Node)| Some((name.clone(), node.child.as_ref()?.number()));
        self.nodes.iter().filter_map(of).collect()
    }

    fn await_listeners(&mut self) -> Result<(), WorldError> {
        let limit = self.now() + LISTEN_LIMIT;
        loop {
            let seen = self.board.changes();
            self.check()?;
            self.addresses = self.board.addresses();
            if self.addresses.len() == self.nodes.len() {
                return Ok(());
            }
            if !self.board.wait(seen, self.began.until(limit)) {
                let silent = self.nodes.keys().find(|name| !self.addresses.contains_key(*name));
                let node = silent.expect("some node does not listen").clone();
                let why = format!("it did not listen within {LISTEN_LIMIT:?}; is the machine too busy?");
                return Err(WorldError::NodeFailed { node, at: self.now(), why });
            }
        }
    }

    /// Starts a process for the node, which listens where it listened before.
    fn spawn(&self, name: &NodeName, before: Option<SocketAddr>) -> Result<Child, WorldError> {
        let cannot = |error: io::Error| {
            let why = format!("the system cannot start its process: {error}");
            WorldError::NodeFailed { node: name.clone(), at: self.now(), why }
        };
        let child = Child::spawn(name, &self.board).map_err(cannot)?;
        let listen = before.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let preparation = Preparation { driver: std::process::id(), began_ns: self.began_ns, listen };
        child.order(&Order::Prepare(preparation));
        Ok(child)
    }

    fn begin(&self, name: &NodeName, node: &Node, spec: &NodeSpec) {
        let standing = self.standing.iter().filter(|(fault, _)| fault.concerns(name));
        let beginning = Beginning {
            spec: spec.clone(),
            incarnation: node.incarnation,
            seed: self.config.seed,
            compute: self.config.compute,
            addresses: self.addresses.iter().map(|(name, address)| (name.clone(), *address)).collect(),
            bits_per_second: (!spec.harness).then_some(self.config.bits_per_second),
            standing: standing.map(|(_, order)| order.clone()).collect(),
            store: self.config.store.clone(),
        };
        node.order(&Order::Begin(Box::new(beginning)));
    }

    /// Fails if a child did; tells all nodes of one that listens elsewhere now, or only now.
    fn check(&mut self) -> Result<(), WorldError> {
        if let Some(Fallen { node: name, why }) = self.board.fallen() {
            let node = self.nodes.get_mut(&name);
            let child = node.and_then(|node| node.child.as_mut());
            let last_words = child.map(Child::last_words);
            let why: Vec<String> = why.into_iter().chain(last_words).collect();
            return Err(WorldError::NodeFailed { node: name, at: self.now(), why: why.join("; ") });
        }
        for (name, address) in self.board.addresses() {
            if self.addresses.insert(name.clone(), address) != Some(address) {
                let order = Order::Enter { node: name, address };
                // Who has yet to begin is told of all then.
                self.nodes.values().filter(|node| node.spec.is_some()).for_each(|node| node.order(&order));
            }
        }
        Ok(())
    }

    fn node(&mut self, name: &NodeName) -> Result<&mut Node, WorldError> {
        let node = self.nodes.get_mut(name).ok_or_else(|| WorldError::BadNode(format!("there is no node `{name}`")))?;
        if node.spec.as_ref().is_some_and(|spec| spec.harness) {
            return Err(WorldError::Unsupported(format!("`{name}` belongs to the harness: no fault may hit it")));
        }
        Ok(node)
    }

    fn child(&mut self, name: &NodeName) -> Result<&mut Child, WorldError> {
        let child = self.node(name)?.child.as_mut();
        child.ok_or_else(|| WorldError::BadNode(format!("node `{name}` does not run")))
    }

    /// Two nodes between which a fault can be.
    fn pair(&mut self, one: &NodeName, other: &NodeName) -> Result<(NodeName, NodeName), WorldError> {
        self.node(one)?;
        self.node(other)?;
        if one == other {
            return Err(WorldError::BadNode(format!("node `{one}` cannot be cut from itself")));
        }
        Ok((one.clone(), other.clone()))
    }

    /// A fault begins or ends: whom it concerns is told, and whoever starts while it is on will be.
    fn set(&mut self, fault: Standing, order: Order, is_on: bool) {
        // Whichever of two nodes opened a stream does what the fault says to it.
        let nodes = self.nodes.iter().filter(|(name, _)| fault.concerns(name));
        nodes.for_each(|(_, node)| node.order(&order));
        if is_on {
            self.standing.insert(fault, order);
        } else {
            self.standing.remove(&fault);
        }
    }

    /// What the system answered to a signal for the node.
    fn signalled(&self, name: &NodeName, answer: io::Result<()>) -> Result<(), WorldError> {
        answer.map_err(|error| WorldError::NodeFailed {
            node: name.clone(),
            at: self.now(),
            why: format!("its process takes no signal: {error}"),
        })
    }

    /// Ends all nodes and puts the log in order; what happened after `end` is no part of it.
    pub fn finish(mut self, end: Moment) -> SharedTrace {
        let limit = self.now() + STOP_LIMIT;
        // What stands still without power has nothing more to say.
        self.nodes.values_mut().for_each(|node| drop(node.dark.take()));
        let mut children: Vec<Child> = self.nodes.values_mut().filter_map(|node| node.child.take()).collect();
        for child in &mut children {
            child.order(&Order::Stop);
            child.dismiss();
            // One that is paused at the end has to hear it.
            child.go_on().ok();
        }
        children.iter().for_each(|child| child.hear_out(self.began.until(limit)));
        drop(children);
        self.trace.lock().settle(end);
        self.trace.clone()
    }
}

impl Node {
    fn order(&self, order: &Order) {
        // A child that takes no order has ended, which is noticed elsewhere, or has been stopped for thousands of them.
        if let Some(child) = &self.child {
            child.order(order);
        }
    }
}

fn check_factor(factor: f64) -> Result<(), WorldError> {
    if factor.is_finite() && factor > 0.0 {
        return Ok(());
    }
    Err(WorldError::Unsupported(format!("nothing can take {factor} times as long; give a number above 0")))
}

impl World for TcpWorld {
    fn start(&mut self, spec: NodeSpec) -> Result<(), WorldError> {
        let name = spec.name.clone();
        let node = self.nodes.get(&name);
        let node = node.ok_or_else(|| WorldError::BadNode(format!("no process was started for node `{name}`")))?;
        if node.spec.is_some() {
            return Err(WorldError::BadNode(format!("there is a node `{name}` already")));
        }
        if spec.cores == 0 {
            return Err(WorldError::BadNode(format!("node `{name}` has no core; give it at least 1")));
        }
        self.begin(&name, node, &spec);
        self.nodes.entry(name).and_modify(|node| node.spec = Some(spec));
        Ok(())
    }

    fn enrol(&mut self, spec: NodeSpec) -> Result<(), WorldError> {
        let node = Node { spec: Some(spec.clone()), incarnation: 0, child: None, dark: None };
        match self.nodes.insert(spec.name.clone(), node) {
            None => Ok(()),
            Some(_) => Err(WorldError::BadNode(format!("there is a node `{}` already", spec.name))),
        }
    }

    fn runs(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.child.is_some()) && !self.board.is_done(name)
    }

    fn leave(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.child(name)?.order(&Order::Leave);
        Ok(())
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn run_until(&mut self, until: Moment) -> Result<(), WorldError> {
        loop {
            let seen = self.board.changes();
            self.check()?;
            let left = self.began.until(until);
            if left.is_zero() {
                return Ok(());
            }
            self.board.wait(seen, left);
        }
    }

    fn crash(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.child(name)?;
        if let Some(mut child) = self.node(name)?.child.take() {
            child.kill();
        }
        // Nothing that it did comes after this.
        self.trace.push(self.now(), name.clone(), Event::ProcessEnded);
        Ok(())
    }

    fn power_loss(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let stopped = self.child(name)?.stop();
        self.signalled(name, stopped)?;
        let node = self.node(name)?;
        node.dark = node.child.take();
        self.trace.push(self.now(), name.clone(), Event::ProcessEnded);
        Ok(())
    }

    fn restart(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let node = self.node(name)?;
        if node.child.is_some() {
            return Err(WorldError::BadNode(format!("node `{name}` runs; only one that ended can be restarted")));
        }
        // Its streams break now: a machine that is up again knows nothing of them.
        drop(node.dark.take());
        node.incarnation += 1;
        let child = self.spawn(name, self.addresses.get(name).copied())?;
        self.node(name)?.child = Some(child);
        if let Some(node) = self.nodes.get(name)
            && let Some(spec) = &node.spec
        {
            self.begin(name, node, spec);
        }
        Ok(())
    }

    fn pause(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let stopped = self.child(name)?.stop();
        self.signalled(name, stopped)?;
        // A process that stands still holds every timer, core and message of its node.
        self.trace.push(self.now(), name.clone(), Event::HeldByPause);
        Ok(())
    }

    fn resume(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let goes_on = self.child(name)?.go_on();
        self.signalled(name, goes_on)
    }

    fn cut(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        let (from, to) = self.pair(from, to)?;
        self.set(Standing::Cut(from.clone(), to.clone()), Order::SetCut { from, to, cut: true }, true);
        Ok(())
    }

    fn heal(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        let (from, to) = self.pair(from, to)?;
        self.set(Standing::Cut(from.clone(), to.clone()), Order::SetCut { from, to, cut: false }, false);
        Ok(())
    }

    fn hold(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        let (one, other) = self.pair(one, other)?;
        self.set(Standing::Held(one.clone(), other.clone()), Order::SetHeld { one, other, held: true }, true);
        Ok(())
    }

    fn release(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        let (one, other) = self.pair(one, other)?;
        self.set(Standing::Held(one.clone(), other.clone()), Order::SetHeld { one, other, held: false }, false);
        Ok(())
    }

    fn delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) -> Result<(), WorldError> {
        let (one, other) = self.pair(one, other)?;
        let fault = Standing::Delay(one.clone(), other.clone());
        self.set(fault, Order::SetDelay { one, other, by }, !by.is_zero());
        Ok(())
    }

    fn slow_cpu(&mut self, name: &NodeName, factor: f64) -> Result<(), WorldError> {
        self.node(name)?;
        check_factor(factor)?;
        self.set(Standing::SlowCpu(name.clone()), Order::SlowCpu { factor }, factor != 1.0);
        Ok(())
    }

    fn slow_nic(&mut self, name: &NodeName, factor: f64) -> Result<(), WorldError> {
        self.node(name)?;
        check_factor(factor)?;
        self.set(Standing::SlowNic(name.clone()), Order::SlowNic { factor }, factor != 1.0);
        Ok(())
    }

    fn trouble_store(&mut self, name: &NodeName, trouble: StoreTrouble) -> Result<(), WorldError> {
        self.node(name)?;
        let order = Order::TroubleStore { trouble };
        self.set(Standing::Store(name.clone()), order, trouble != StoreTrouble::default());
        Ok(())
    }

    fn trace(&self) -> SharedTrace {
        self.trace.clone()
    }
}
