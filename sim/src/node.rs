//! The software of a simulated host: starts the node in a new life each time and reports how it ended.
//!
//! Knows no role. Invariant: turmoil never sees a node end; it waits until the driver, who has read the report, ends
//! the host. A panic, also of a spawned task, ends the node and nothing else.

use crate::clock::SimClock;
use crate::cpu::{Cores, SimCpu, Straggle};
use crate::disk::{DiskSpeed, SimDisk};
use crate::fabric::Fabric;
use crate::life::Life;
use crate::net::SimNet;
use crate::store::{SimStore, Vault};
use crate::trace::SimTrace;
use dstream_host::shape::{Card, Slowness, StoreFault, StoreWay};
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec, NodeStart, Random};
use dstream_trace::Event;
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How a node ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was done.
    Done,
    /// With an error or a panic.
    Failed(String),
}

/// What every life of a node is made from.
pub(crate) struct Software {
    pub spec: NodeSpec,
    pub start: NodeStart,
    pub seed: u64,
    pub bits_per_second: Option<u64>,
    pub straggle: Straggle,
    pub slowness: Slowness,
    pub store_fault: StoreFault,
    pub fabric: Arc<Fabric>,
    pub vault: Arc<Vault>,
    pub disk_speed: DiskSpeed,
    /// Counts the node's lives.
    pub incarnation: Cell<u64>,
    /// What is begun next is no life: the node is not to run yet.
    pub is_enrolled: Cell<bool>,
}

impl Software {
    /// Begins the next life: what turmoil calls at the start and at each restart.
    pub fn begin(&self) -> impl Future<Output = turmoil::Result> + use<> {
        let life = (!self.is_enrolled.replace(false)).then(|| self.live());
        async move {
            match life {
                Some(life) => life.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Begins a life: of a host's only node, or of one of several.
    pub fn live(&self) -> impl Future<Output = turmoil::Result> + Send + use<> {
        self.incarnation.set(self.incarnation.get() + 1);
        let cores = Cores::new(self.spec.cores, &self.straggle);
        let card = Card::new(self.bits_per_second, self.slowness.clone());
        let name = self.spec.name.clone();
        let life = Life::new(name.clone(), self.incarnation.get(), self.fabric.clone(), cores, card);
        let life = Arc::new(life);
        self.fabric.set_life(&name, Some(life.clone()));
        let host = self.host(&life);
        let (start, spec) = (self.start.clone(), self.spec.clone());
        live(life, Box::pin(async move { start(spec, host).await }))
    }

    fn host(&self, life: &Arc<Life>) -> Host {
        let held = life.clone();
        let way = StoreWay::new(self.store_fault.clone(), move |event| held.record(event));
        Host {
            name: life.node.clone(),
            incarnation: life.incarnation,
            net: Arc::new(SimNet(life.clone())),
            clock: Arc::new(SimClock(life.clone())),
            cpu: Arc::new(SimCpu(life.clone())),
            store: Arc::new(SimStore { life: life.clone(), vault: self.vault.clone(), way }),
            disk: Arc::new(SimDisk::new(life.clone(), self.disk_speed)),
            random: Random::new(self.seed, life.node.clone(), life.incarnation),
            trace: Arc::new(SimTrace(life.clone())),
            leave: life.leave.clone(),
        }
    }
}

async fn live(life: Arc<Life>, node: BoxFuture<'static, Result<(), NodeError>>) -> turmoil::Result {
    // Where tokio ends a runtime in which a task panicked, it drops one of these.
    let _here = Sentinel(life.clone());
    let there = Sentinel(life.clone());
    tokio::spawn(async move {
        let _there = there;
        std::future::pending::<()>().await;
    });
    let ending = match CatchPanic(node).await {
        Ok(Ok(())) => {
            life.record(Event::NodeEnded);
            Ending::Done
        }
        Ok(Err(NodeError(why))) => Ending::Failed(why),
        Err(why) => Ending::Failed(why),
    };
    life.fabric.end(&life.node, ending);
    std::future::pending().await
}

/// Reports the panic of a task that nobody caught.
struct Sentinel(Arc<Life>);

impl Drop for Sentinel {
    fn drop(&mut self) {
        // The driver ends hosts between steps; within one it can only have been a panic.
        if self.0.fabric.is_stepping() {
            let whose = if self.0.fabric.is_alone(&self.0.node) { "the node" } else { "one of the nodes on its host" };
            let why = format!("a task that {whose} spawned panicked; its message is on standard error");
            self.0.fabric.end(&self.0.node, Ending::Failed(why));
        }
    }
}

/// Turns a panic of the future into its message.
struct CatchPanic<T>(BoxFuture<'static, T>);

impl<T> Future for CatchPanic<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, String>> {
        // A future that panicked is not polled again, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("without a message"))
}
