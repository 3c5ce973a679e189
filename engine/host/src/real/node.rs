//! One life of a real node: a thread with a runtime of its own, and its cores' threads.
//!
//! Knows no other node. Invariants: the node's sockets close when its life ends, however it ends; a life that is over
//! records nothing and is not reported as a failure.

use super::clock::{Began, RealClock};
use super::cpu::{Charged, Compute, RealCpu, WAITING_PER_CORE};
use super::disk::FileDisk;
use super::links::Links;
use super::monitor::{Monitor, NodeTrace};
use super::network::{AddressBook, RealNet};
use super::pool::{Crew, Pool};
use super::store::{KeptStore, LinkedStore};
use crate::facade::{Host, Store, Trace};
use crate::leave::Leave;
use crate::random::Random;
use crate::shape::{Card, Gate, Slowness, StoreFault, StoreWay};
use crate::world::{NodeError, NodeSpec, NodeStart};
use dstream_trace::Event;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// What a world gives to all its nodes.
#[derive(Clone)]
pub struct Commons {
    pub start: NodeStart,
    pub seed: u64,
    pub began: Began,
    pub monitor: Arc<Monitor>,
    pub book: Arc<AddressBook>,
    pub links: Arc<Links>,
    /// Modelled bandwidth of a node's network card in each direction; none: the machine's own.
    pub bits_per_second: Option<u64>,
    pub store: Arc<dyn Store>,
    /// How far away the store is to seem: one way, and bits a second in each direction; none: as it is.
    pub store_link: Option<(Duration, u64)>,
    pub compute: Compute,
}

/// How slow a node is made from outside, and what is wrong with its store; outlives its lives. Clones are the same.
#[derive(Clone)]
pub struct Slow {
    /// Its cores.
    pub cpu: Slowness,
    /// Its network card.
    pub nic: Slowness,
    /// Its store.
    pub store: StoreFault,
}

impl Slow {
    /// Not at all.
    pub fn none() -> Slow {
        Slow { cpu: Slowness::none(), nic: Slowness::none(), store: StoreFault::none() }
    }
}

/// A life that goes on, or one that ended by itself.
pub struct Life {
    /// Closed while the node is paused.
    pub gate: Gate,
    /// Whether it is to end by itself.
    pub leave: Leave,
    alive: Arc<AtomicBool>,
    pool: Pool,
    end: oneshot::Sender<()>,
    crew: Crew,
}

impl Life {
    /// Starts a node. Fails when the system has no thread or socket left for it.
    pub fn begin(spec: &NodeSpec, incarnation: u64, slow: &Slow, commons: &Commons) -> io::Result<Life> {
        let runtime = runtime()?;
        let mut crew = Crew::new();
        let pool = Pool::start(&mut crew, spec.name.as_str(), spec.cores, spec.cores * WAITING_PER_CORE)?;
        let alive = Arc::new(AtomicBool::new(true));
        let (monitor, node) = (Arc::clone(&commons.monitor), spec.name.clone());
        let trace: Arc<dyn Trace> = Arc::new(NodeTrace { monitor, node, alive: Arc::clone(&alive) });
        let held = Arc::clone(&trace);
        let gate = Gate::new(move || held.record(Event::HeldByPause));
        let (end, ended) = oneshot::channel();
        let cpu = RealCpu {
            cores: spec.cores,
            pool: pool.clone(),
            slowness: slow.cpu.clone(),
            gate: gate.clone(),
            trace: Arc::clone(&trace),
            compute: commons.compute,
            began: commons.began,
            charged: Arc::new(Charged::nothing(spec.cores)),
        };
        let leave = Leave::unasked();
        let host = host(spec, incarnation, slow, commons, (&gate, &leave), cpu, trace);
        let body = Body { spec: spec.clone(), commons: commons.clone(), alive: Arc::clone(&alive), runtime };
        host.trace.record(Event::NodeStarted { incarnation });
        crew.spawn(spec.name.to_string(), move || body.live(host, ended)).inspect_err(|_| pool.stop())?;
        Ok(Life { gate, leave, alive, pool, end, crew })
    }

    /// Ends the life at once, as far as anyone outside can see; its threads have ended when this returns, or are left
    /// to themselves after `limit`. `false` in that case.
    pub fn end(self, limit: Duration) -> bool {
        self.alive.store(false, Ordering::Release);
        self.pool.stop();
        // The thread may have ended by itself.
        let _ = self.end.send(());
        self.crew.join(limit)
    }

    /// Whether it has not ended by itself.
    pub fn goes_on(&self) -> bool {
        !self.end.is_closed()
    }
}

#[allow(unexpected_cfgs, reason = "tokio's own flag, which cargo does not know")]
fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    // Where tokio lets one ask for it, the panic of any task of the node ends the node, as in the simulator.
    #[cfg(tokio_unstable)]
    builder.unhandled_panic(tokio::runtime::UnhandledPanic::ShutdownRuntime);
    builder.build()
}

fn host(
    spec: &NodeSpec,
    incarnation: u64,
    slow: &Slow,
    commons: &Commons,
    (gate, leave): (&Gate, &Leave),
    cpu: RealCpu,
    trace: Arc<dyn Trace>,
) -> Host {
    let (book, links) = (Arc::clone(&commons.book), Arc::clone(&commons.links));
    let clock = RealClock { began: commons.began, gate: gate.clone() };
    let card = Arc::new(Card::new(commons.bits_per_second.filter(|_| !spec.harness), slow.nic.clone()));
    let net = RealNet {
        node: spec.name.clone(),
        book,
        links,
        card,
        clock: clock.clone(),
        trace: Arc::clone(&trace),
        gate: gate.clone(),
        journal: Arc::clone(&commons.monitor.journal),
    };
    let store = store(commons, slow, &clock, &trace);
    Host {
        name: spec.name.clone(),
        incarnation,
        net: Arc::new(net),
        clock: Arc::new(clock),
        cpu: Arc::new(cpu),
        store,
        disk: Arc::new(FileDisk::new(&spec.name, incarnation, gate.clone())),
        random: Random::new(commons.seed, spec.name.clone(), incarnation),
        trace,
        leave: leave.clone(),
    }
}

/// The node's way to the store: through the journal, then over the link with what is wrong on it.
fn store(commons: &Commons, slow: &Slow, clock: &RealClock, trace: &Arc<dyn Trace>) -> Arc<dyn Store> {
    let held = Arc::clone(trace);
    let way = StoreWay::new(slow.store.clone(), move |event| held.record(event));
    let far = LinkedStore::new(Arc::clone(&commons.store), Arc::new(clock.clone()), commons.store_link, way);
    Arc::new(KeptStore::new(Arc::new(far), Arc::clone(&commons.monitor.journal)))
}

/// What the node's thread holds.
struct Body {
    spec: NodeSpec,
    commons: Commons,
    alive: Arc<AtomicBool>,
    runtime: Runtime,
}

impl Body {
    fn live(self, host: Host, ended: oneshot::Receiver<()>) {
        let name = self.spec.name.clone();
        let start = Arc::clone(&self.commons.start);
        let life = async {
            tokio::select! {
                biased;
                _ = ended => Ok(()),
                result = async { start(self.spec, host).await } => result,
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(life)));
        let outcome = outcome(result);
        // Whoever looks the node up from now on does not find it, and its last words are not heard.
        self.commons.book.forget(&name);
        let was_alive = self.alive.swap(false, Ordering::AcqRel);
        self.runtime.shutdown_background();
        if was_alive {
            match outcome {
                Ok(()) => self.commons.monitor.done(&name),
                Err(why) => self.commons.monitor.fail(&name, why),
            }
        }
    }
}

fn outcome(result: Result<Result<(), NodeError>, Box<dyn Any + Send>>) -> Result<(), String> {
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!("panicked: {}", message.unwrap_or_else(|| "without a message".to_owned())))
        }
    }
}
