//! The real world: TCP and the machine's clock. Nodes are threads of one process, each with a runtime of its own
//! ([`RealWorld`]), or each has a process to itself ([`NodeProcess`]).
//!
//! The only part of the project that may touch threads, sockets and clocks. Knows no engine. Invariants: nodes share
//! nothing but what the world gives them; a node that ends, by itself or by a crash, takes its sockets with it;
//! dropping the world ends every thread it started.

mod clock;
mod cpu;
mod disk;
mod journal;
mod links;
mod monitor;
mod network;
mod node;
mod pool;
mod process;
mod store;
mod stream;
mod transit;

pub use clock::{Began, monotonic_ns};
pub use cpu::Compute;
pub use journal::Journal;
pub use process::{NodeProcess, ProcessConfig};
pub use store::{DirectoryStore, MemoryStore, key_of, path_of};

use crate::facade::Store;
use crate::shape::StoreTrouble;
use crate::world::{NodeSpec, NodeStart, World, WorldError};
use dstream_trace::{Event, Moment, NodeName, SharedTrace, TraceLog};
use links::Links;
use monitor::Monitor;
use network::AddressBook;
use node::{Commons, Life, Slow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a crash waits for the node's threads. Work that runs on a core cannot be stopped, only waited for;
/// whatever takes longer is left to itself, cut off from the world.
const CRASH_LIMIT: Duration = Duration::from_secs(1);

/// How long the end of the world waits for the threads of each node.
const DROP_LIMIT: Duration = Duration::from_secs(5);

struct Node {
    spec: NodeSpec,
    incarnation: u64,
    slow: Slow,
    life: Option<Life>,
}

/// Real nodes in one process.
pub struct RealWorld {
    commons: Commons,
    trace: SharedTrace,
    nodes: BTreeMap<NodeName, Node>,
}

impl RealWorld {
    /// A world without nodes, whose time starts now.
    pub fn new(start: NodeStart, seed: u64, trace: SharedTrace, store: Arc<dyn Store>) -> RealWorld {
        let began = Began::now();
        let monitor = Arc::new(Monitor::new(began, Arc::new(trace.clone())));
        let links = Arc::new(Links::new(Arc::clone(&monitor)));
        let book = Arc::new(AddressBook::default());
        let (bits_per_second, store_link, compute) = (None, None, Compute::Real);
        let commons = Commons { start, seed, began, monitor, book, links, bits_per_second, store, store_link, compute };
        RealWorld { commons, trace, nodes: BTreeMap::new() }
    }

    /// The same world, with network cards of this modelled bandwidth in each direction, those of the harness aside.
    pub fn with_bandwidth(mut self, bits_per_second: u64) -> RealWorld {
        self.commons.bits_per_second = Some(bits_per_second);
        self
    }

    /// Lets time pass until `limit` while `goes_on` holds for the log; asks again after every event. `true` if it
    /// stopped holding, `false` if the limit came first. Fails when a node failed.
    pub fn run_while(&mut self, limit: Moment, mut goes_on: impl FnMut(&TraceLog) -> bool) -> Result<bool, WorldError> {
        let monitor = &self.commons.monitor;
        loop {
            let seen = monitor.changes();
            if !goes_on(&self.trace.lock()) {
                return Ok(true);
            }
            if !monitor.wait(limit, Some(seen))? {
                return Ok(false);
            }
        }
    }

    fn node(&mut self, name: &NodeName) -> Result<&mut Node, WorldError> {
        let node = self.nodes.get_mut(name).ok_or_else(|| WorldError::BadNode(format!("there is no node `{name}`")))?;
        if node.spec.harness {
            return Err(WorldError::Unsupported(format!("`{name}` belongs to the harness: no fault may hit it")));
        }
        Ok(node)
    }

    fn life(&mut self, name: &NodeName) -> Result<&Life, WorldError> {
        let life = self.node(name)?.life.as_ref().filter(|life| life.goes_on());
        life.ok_or_else(|| WorldError::BadNode(format!("node `{name}` does not run")))
    }

    fn begin(&self, spec: &NodeSpec, incarnation: u64, slow: &Slow) -> Result<Life, WorldError> {
        Life::begin(spec, incarnation, slow, &self.commons).map_err(|error| WorldError::NodeFailed {
            node: spec.name.clone(),
            at: self.now(),
            why: format!("the system cannot start it: {error}"),
        })
    }

    /// Refuses two nodes between which no fault can be.
    fn pair(&mut self, from: &NodeName, to: &NodeName) -> Result<&Links, WorldError> {
        self.node(from)?;
        self.node(to)?;
        if from == to {
            return Err(WorldError::BadNode(format!("node `{from}` cannot be cut from itself")));
        }
        Ok(&self.commons.links)
    }

    /// Ends the node's process; its peers see what the links let through.
    fn kill(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let life = self.node(name)?.life.take();
        self.commons.book.forget(name);
        self.commons.monitor.record(name, Event::ProcessEnded);
        if let Some(life) = life {
            life.end(CRASH_LIMIT);
        }
        Ok(())
    }
}

impl World for RealWorld {
    fn start(&mut self, spec: NodeSpec) -> Result<(), WorldError> {
        if self.nodes.contains_key(&spec.name) {
            return Err(WorldError::BadNode(format!("there is a node `{}` already", spec.name)));
        }
        if spec.cores == 0 {
            return Err(WorldError::BadNode(format!("node `{}` has no core; give it at least 1", spec.name)));
        }
        let slow = Slow::none();
        let life = self.begin(&spec, 1, &slow)?;
        self.nodes.insert(spec.name.clone(), Node { spec, incarnation: 1, slow, life: Some(life) });
        Ok(())
    }

    fn enrol(&mut self, spec: NodeSpec) -> Result<(), WorldError> {
        if self.nodes.contains_key(&spec.name) {
            return Err(WorldError::BadNode(format!("there is a node `{}` already", spec.name)));
        }
        self.nodes.insert(spec.name.clone(), Node { spec, incarnation: 0, slow: Slow::none(), life: None });
        Ok(())
    }

    fn runs(&self, name: &NodeName) -> bool {
        let life = self.nodes.get(name).and_then(|node| node.life.as_ref());
        life.is_some_and(Life::goes_on)
    }

    fn leave(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.life(name)?.leave.ask();
        Ok(())
    }

    fn now(&self) -> Moment {
        self.commons.began.elapsed()
    }

    fn run_until(&mut self, until: Moment) -> Result<(), WorldError> {
        self.commons.monitor.wait(until, None).map(|_| ())
    }

    fn crash(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.life(name)?;
        self.kill(name)
    }

    fn power_loss(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.life(name)?;
        // Silent first: what the end of the process says is not heard.
        self.commons.links.set_dark(name, true);
        self.kill(name)
    }

    fn restart(&mut self, name: &NodeName) -> Result<(), WorldError> {
        let node = self.node(name)?;
        if node.life.as_ref().is_some_and(Life::goes_on) {
            return Err(WorldError::BadNode(format!("node `{name}` runs; only one that ended can be restarted")));
        }
        if let Some(ended) = node.life.take() {
            ended.end(CRASH_LIMIT);
        }
        node.incarnation += 1;
        let (spec, incarnation, slow) = (node.spec.clone(), node.incarnation, node.slow.clone());
        self.commons.links.set_dark(name, false);
        let life = self.begin(&spec, incarnation, &slow)?;
        self.node(name)?.life = Some(life);
        Ok(())
    }

    fn pause(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.life(name)?.gate.close();
        Ok(())
    }

    fn resume(&mut self, name: &NodeName) -> Result<(), WorldError> {
        self.life(name)?.gate.open();
        Ok(())
    }

    fn cut(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        self.pair(from, to)?.set_cut(from, to, true);
        Ok(())
    }

    fn heal(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        self.pair(from, to)?.set_cut(from, to, false);
        Ok(())
    }

    fn hold(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        self.pair(one, other)?.set_held(one, other, true);
        Ok(())
    }

    fn release(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        self.pair(one, other)?.set_held(one, other, false);
        Ok(())
    }

    fn delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) -> Result<(), WorldError> {
        self.pair(one, other)?.set_delay(one, other, by);
        Ok(())
    }

    fn slow_cpu(&mut self, name: &NodeName, factor: f64) -> Result<(), WorldError> {
        check_factor("work", factor)?;
        self.node(name)?.slow.cpu.set(factor);
        Ok(())
    }

    fn slow_nic(&mut self, name: &NodeName, factor: f64) -> Result<(), WorldError> {
        check_factor("a transfer", factor)?;
        if self.commons.bits_per_second.is_none() {
            let why = "the network cards of this world have no modelled bandwidth, so none can be slower";
            return Err(WorldError::Unsupported(why.to_owned()));
        }
        self.node(name)?.slow.nic.set(factor);
        Ok(())
    }

    fn trouble_store(&mut self, name: &NodeName, trouble: StoreTrouble) -> Result<(), WorldError> {
        self.node(name)?.slow.store.set(trouble);
        Ok(())
    }

    fn trace(&self) -> SharedTrace {
        self.trace.clone()
    }
}

fn check_factor(what: &str, factor: f64) -> Result<(), WorldError> {
    if factor.is_finite() && factor > 0.0 {
        return Ok(());
    }
    Err(WorldError::Unsupported(format!("{what} cannot take {factor} times as long; give a number above 0")))
}

impl Drop for RealWorld {
    fn drop(&mut self) {
        for node in std::mem::take(&mut self.nodes).into_values() {
            if let Some(life) = node.life {
                life.end(DROP_LIMIT);
            }
        }
    }
}
