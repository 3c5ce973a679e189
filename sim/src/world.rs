//! The simulated world: nodes as turmoil hosts, faults from outside, time in steps.
//!
//! Knows no engine and no scenario. Invariants: faults strike between steps only; a node that failed ends the world,
//! and every later call to run says so again; ending a fault that is over, or cutting what is cut, changes nothing.

use crate::clock::TIMER_STEP;
use crate::config::SimConfig;
use crate::cpu::Straggle;
use crate::disk::DiskSpeed;
use crate::fabric::{Ended, Fabric, PORT};
use crate::life::Life;
use crate::node::{Ending, Software, panic_message};
use crate::shared::SharedHost;
use crate::store::Vault;
use dstream_host::shape::{Slowness, StoreFault, StoreTrouble};
use dstream_host::{NodeSpec, NodeStart, World, WorldError};
use dstream_trace::{Event, Moment, NodeName, SharedTrace};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use turmoil::Sim;

/// Segments that may be under way on one stream, and connects that may wait at one listener; turmoil panics beyond the
/// latter. Far above what nodes that wait for answers have open, and small enough to bound memory.
const TCP_CAPACITY: usize = 4096;

/// A deterministic world in virtual time.
pub struct SimWorld {
    config: SimConfig,
    start: NodeStart,
    sim: Sim<'static>,
    fabric: Arc<Fabric>,
    vault: Arc<Vault>,
    nodes: BTreeMap<NodeName, Node>,
    /// The host of those that share one, once there are some.
    shared: Option<SharedHost>,
    failed: Option<WorldError>,
}

/// What the driver knows of a node.
struct Node {
    harness: bool,
    /// A host with others.
    shares: bool,
    straggle: Straggle,
    slowness: Slowness,
    store_fault: StoreFault,
    paused_since: Option<Moment>,
}

impl SimWorld {
    /// A world without nodes. `start` turns each node's description into its life.
    ///
    /// Fails with [`WorldError::Unsupported`] if tick, latency or bandwidth cannot be simulated.
    pub fn new(config: SimConfig, start: NodeStart) -> Result<SimWorld, WorldError> {
        config.check()?;
        let sim = turmoil::Builder::new()
            .rng_seed(config.seed)
            .epoch(UNIX_EPOCH)
            .simulation_duration(Duration::MAX)
            .tick_duration(config.tick)
            .min_message_latency(config.latency)
            .max_message_latency(config.latency)
            .tcp_capacity(TCP_CAPACITY)
            .build();
        let fabric = Arc::new(Fabric::new(config.latency, config.trace.clone()));
        let vault = Arc::new(Vault::new(config.store_latency, config.store_bits_per_second));
        Ok(SimWorld { config, start, sim, fabric, vault, nodes: BTreeMap::new(), shared: None, failed: None })
    }

    /// One tick of every host.
    fn step(&mut self) -> Result<(), WorldError> {
        self.fabric.begin_step();
        let stepped = catch_unwind(AssertUnwindSafe(|| self.sim.step()));
        self.fabric.end_step(Moment::ZERO + self.sim.elapsed());
        for Ended { node, at, ending } in self.fabric.take_ended() {
            match ending {
                Ending::Done => self.end(&node),
                Ending::Failed(why) => return Err(self.fail(node, at, why)),
            }
        }
        let why = match stepped {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(payload) => panic_message(&*payload),
        };
        Err(self.fail(NodeName::new("simulator"), self.now(), why))
    }

    fn fail(&mut self, node: NodeName, at: Moment, why: String) -> WorldError {
        self.failed.insert(WorldError::NodeFailed { node, at, why }).clone()
    }

    /// Ends the process of a node: drops its tasks and closes its streams.
    fn end(&mut self, node: &NodeName) {
        let Some(life) = self.fabric.life(node) else { return };
        life.end();
        self.fabric.set_life(node, None);
        // One that shares its host ended by itself: nothing of it is left.
        if self.nodes.get(node).is_some_and(|node| !node.shares) {
            self.sim.crash(node.as_str());
        }
        // Whoever waits at the gate of the dead has to look again.
        life.gate.open();
        if let Some(node) = self.nodes.get_mut(node) {
            node.paused_since = None;
        }
    }

    fn node(&mut self, name: &NodeName) -> Result<&mut Node, WorldError> {
        self.nodes.get_mut(name).ok_or_else(|| WorldError::BadNode(format!("no node is called {name}")))
    }

    /// The node that a fault is to hit.
    fn victim(&mut self, name: &NodeName) -> Result<&mut Node, WorldError> {
        let node = self.node(name)?;
        if node.harness {
            return Err(WorldError::Unsupported(format!("{name} belongs to the harness; no fault may hit it")));
        }
        if node.shares {
            return Err(WorldError::Unsupported(format!("{name} shares its host; no fault may hit it")));
        }
        Ok(node)
    }

    /// The life that a fault is to hit.
    fn living(&mut self, name: &NodeName) -> Result<Arc<Life>, WorldError> {
        self.victim(name)?;
        self.fabric.life(name).ok_or_else(|| WorldError::BadNode(format!("{name} does not run")))
    }

    /// The addresses of two nodes between which a fault is to be.
    fn pair(&mut self, from: &NodeName, to: &NodeName) -> Result<(IpAddr, IpAddr), WorldError> {
        if from == to {
            return Err(WorldError::BadNode(format!("{from} cannot be cut from itself")));
        }
        let mut address = |name| {
            self.victim(name)?;
            Ok(self.address(name))
        };
        Ok((address(from)?, address(to)?))
    }

    /// How many messages from one address to the other are on their way.
    fn under_way(&self, from: IpAddr, to: IpAddr) -> usize {
        let mut count = 0;
        self.sim.links(|links| {
            let pairs = links.flatten().map(|message| message.pair());
            count = pairs.filter(|(source, target)| source.ip() == from && target.ip() == to).count();
        });
        count
    }

    /// The node has no power from now on, or has it again: nothing gets to it or from it.
    fn set_dark(&mut self, node: &NodeName, dark: bool) {
        if !self.fabric.links(|links| links.set_dark(node, dark)) {
            return;
        }
        let others: Vec<NodeName> = self.nodes.keys().filter(|other| *other != node).cloned().collect();
        for other in &others {
            if dark {
                self.cut_again(node, other);
            } else {
                self.mend(node, other);
                self.mend(other, node);
            }
        }
    }

    /// Turmoil drops what `from` sends to `to` no longer, unless there is another reason for it.
    fn mend(&mut self, from: &NodeName, to: &NodeName) {
        if !self.is_broken(from, to) {
            let (source, target) = (self.address(from), self.address(to));
            self.sim.repair_oneway(source, target);
            if self.fabric.links(|links| links.is_held(from, to)) {
                self.hold_open_ways(from, to);
            }
        }
    }

    /// Turmoil holds what the two send each other, in the directions in which nothing drops it.
    fn hold_open_ways(&mut self, one: &NodeName, other: &NodeName) {
        self.sim.hold(self.address(one), self.address(other));
        self.cut_again(one, other);
    }

    /// Turmoil, which knows holds of both directions only, drops again what has to be dropped between the two.
    fn cut_again(&mut self, one: &NodeName, other: &NodeName) {
        for (from, to) in [(one, other), (other, one)] {
            if self.is_broken(from, to) {
                self.sim.partition_oneway(self.address(from), self.address(to));
            }
        }
    }

    fn is_broken(&self, from: &NodeName, to: &NodeName) -> bool {
        self.fabric.links(|links| links.is_cut(from, to) || links.is_dark(from, to))
    }

    fn address(&self, node: &NodeName) -> IpAddr {
        self.fabric.address(node).expect("every known node has a place").ip()
    }

    /// Adds a node; one that is only enrolled does not run yet.
    fn add(&mut self, node: NodeSpec, is_enrolled: bool) -> Result<(), WorldError> {
        let name = node.name.clone();
        if self.nodes.contains_key(&name) {
            return Err(WorldError::BadNode(format!("two nodes are called {name}; a name belongs to one node")));
        }
        if name.as_str().is_empty() || name.as_str().parse::<IpAddr>().is_ok() {
            return Err(WorldError::BadNode(format!("`{name}` cannot be a node's name; use a word such as worker-1")));
        }
        if node.cores == 0 {
            return Err(WorldError::BadNode(format!("{name} has no core; give it at least 1")));
        }
        let (straggle, slowness, store_fault) = (Straggle::none(), Slowness::none(), StoreFault::none());
        let harness = node.harness;
        let shares = self.config.sharing.contains(&name);
        let software = Software {
            spec: node,
            start: self.start.clone(),
            seed: self.config.seed,
            bits_per_second: (!harness).then_some(self.config.bits_per_second),
            straggle: straggle.clone(),
            slowness: slowness.clone(),
            store_fault: store_fault.clone(),
            fabric: self.fabric.clone(),
            vault: self.vault.clone(),
            disk_speed: DiskSpeed {
                latency: self.config.disk_latency,
                bits_per_second: self.config.disk_bits_per_second,
            },
            incarnation: Cell::new(0),
            is_enrolled: Cell::new(is_enrolled),
        };
        if shares {
            let shared = self.shared.get_or_insert_with(|| SharedHost::open(&mut self.sim));
            self.fabric.settle_guest(&name, shared.next_address());
            shared.take_in(software.live());
        } else {
            self.fabric.settle(&name, SocketAddr::new(self.sim.lookup(name.as_str()), PORT));
            self.sim.host(name.as_str(), move || software.begin());
        }
        self.nodes.insert(name.clone(), Node { harness, shares, straggle, slowness, store_fault, paused_since: None });
        Ok(())
    }

    fn started(&self, name: &NodeName) {
        if let Some(life) = self.fabric.life(name) {
            life.record(Event::NodeStarted { incarnation: life.incarnation });
        }
    }
}

impl World for SimWorld {
    fn start(&mut self, node: NodeSpec) -> Result<(), WorldError> {
        let name = node.name.clone();
        self.add(node, false)?;
        self.started(&name);
        Ok(())
    }

    fn enrol(&mut self, node: NodeSpec) -> Result<(), WorldError> {
        let name = node.name.clone();
        if self.config.sharing.contains(&name) {
            return Err(WorldError::Unsupported(format!("{name} shares its host, so it runs from the beginning")));
        }
        self.add(node, true)?;
        self.sim.crash(name.as_str());
        Ok(())
    }

    fn runs(&self, node: &NodeName) -> bool {
        self.fabric.life(node).is_some()
    }

    fn leave(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.living(node)?.leave.ask();
        Ok(())
    }

    fn now(&self) -> Moment {
        self.fabric.now()
    }

    fn run_until(&mut self, until: Moment) -> Result<(), WorldError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        while self.now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn crash(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.living(node)?.record(Event::ProcessEnded);
        self.end(node);
        Ok(())
    }

    fn power_loss(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.living(node)?.record(Event::ProcessEnded);
        self.set_dark(node, true);
        self.end(node);
        Ok(())
    }

    fn restart(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.victim(node)?;
        if self.fabric.life(node).is_some() {
            return Err(WorldError::BadNode(format!("{node} runs; only a node that ended can be restarted")));
        }
        self.set_dark(node, false);
        self.sim.bounce(node.as_str());
        self.started(node);
        Ok(())
    }

    fn pause(&mut self, node: &NodeName) -> Result<(), WorldError> {
        let now = self.now();
        self.living(node)?.gate.close();
        self.node(node)?.paused_since.get_or_insert(now);
        Ok(())
    }

    fn resume(&mut self, node: &NodeName) -> Result<(), WorldError> {
        let now = self.now();
        let since = self.victim(node)?.paused_since.take();
        if let (Some(since), Some(life)) = (since, self.fabric.life(node)) {
            life.cores.stop(since, now.since(since));
            life.gate.open();
        }
        Ok(())
    }

    fn cut(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        let (source, target) = self.pair(from, to)?;
        if self.fabric.links(|links| links.set_cut(from, to, true)) {
            for _ in 0..self.under_way(source, target) {
                self.fabric.record(from, Event::MessageCut { to: to.clone() });
            }
            self.sim.partition_oneway(source, target);
        }
        Ok(())
    }

    fn heal(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        self.pair(from, to)?;
        if self.fabric.links(|links| links.set_cut(from, to, false)) {
            self.mend(from, to);
        }
        Ok(())
    }

    fn hold(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        let (here, there) = self.pair(one, other)?;
        let is_new = self.fabric.links(|links| links.set_held(one, other, true));
        for (from, to) in [(one, other), (other, one)] {
            let (source, target) = if from == one { (here, there) } else { (there, here) };
            if self.under_way(source, target) > 0 {
                self.fabric.record_fate(from, to);
            }
        }
        if is_new {
            self.hold_open_ways(one, other);
        }
        Ok(())
    }

    fn release(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        let (here, there) = self.pair(one, other)?;
        if self.fabric.links(|links| links.set_held(one, other, false)) {
            self.sim.release(here, there);
            self.cut_again(one, other);
            self.fabric.links_changed();
        }
        Ok(())
    }

    fn delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) -> Result<(), WorldError> {
        let (here, there) = self.pair(one, other)?;
        self.fabric.links(|links| links.set_delay(one, other, by));
        // turmoil delivers what comes due within a step; whole milliseconds keep all clocks alike.
        self.sim.set_link_latency(here, there, self.config.latency + whole_millis(by));
        Ok(())
    }

    fn slow_cpu(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError> {
        check_factor("work", factor)?;
        let now = self.now();
        let victim = self.victim(node)?;
        victim.straggle.set(factor);
        // Cores that stand still have done nothing since their pause began.
        let since = victim.paused_since.unwrap_or(now);
        if let Some(life) = self.fabric.life(node) {
            life.slow(since, factor);
        }
        Ok(())
    }

    fn slow_nic(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError> {
        check_factor("a transfer", factor)?;
        self.victim(node)?.slowness.set(factor);
        Ok(())
    }

    fn trouble_store(&mut self, node: &NodeName, trouble: StoreTrouble) -> Result<(), WorldError> {
        self.victim(node)?.store_fault.set(trouble);
        Ok(())
    }

    fn trace(&self) -> SharedTrace {
        self.fabric.trace()
    }
}

fn check_factor(what: &str, factor: f64) -> Result<(), WorldError> {
    if factor.is_finite() && factor > 0.0 {
        return Ok(());
    }
    Err(WorldError::Unsupported(format!("{what} cannot take {factor} times as long; give more than 0")))
}

/// The time in whole milliseconds, rounded up: the step of virtual time.
fn whole_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(TIMER_STEP.as_nanos());
    TIMER_STEP.saturating_mul(u32::try_from(millis).unwrap_or(u32::MAX))
}

impl Drop for SimWorld {
    fn drop(&mut self) {
        // Tasks are dropped with their runtimes; what they say then is no part of the run.
        for name in self.nodes.keys() {
            if let Some(life) = self.fabric.life(name) {
                life.end();
            }
            // A life knows the fabric: as long as that knows the life, nothing of either is given back.
            self.fabric.set_life(name, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_is_over_gives_back_all_that_it_had() {
        let start: NodeStart = Arc::new(|_, host| {
            Box::pin(async move {
                host.clock.sleep_until(Moment::from_millis(1000)).await;
                Ok(())
            })
        });
        let mut world = SimWorld::new(SimConfig::default(), start).unwrap();
        for name in ["worker-1", "worker-2"] {
            let (name, role, config) = (NodeName::new(name), String::new(), Vec::new());
            world.start(NodeSpec { name, role, config, cores: 1, harness: false }).unwrap();
        }
        world.run_until(Moment::from_millis(10)).unwrap();
        world.crash(&NodeName::new("worker-2")).unwrap();
        let fabric = Arc::downgrade(&world.fabric);
        drop(world);
        assert!(fabric.upgrade().is_none());
    }
}
