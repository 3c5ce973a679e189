//! Real cores: a thread each, measured by the time that passes, or paid by the modelled cost.
//!
//! With [`Compute::Real`] the cost that work says it has is ignored. With [`Compute::Modelled`] a core is busy for that
//! cost: it sleeps what the machine did not need, so that more cores than the machine has can be shown. Invariant: no
//! more works run at once than there are cores, a slowed-down core sleeps the rest of the time it would have taken, and
//! nothing completes behind a closed gate.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "work is measured on the machine's clock")]

use super::clock::Began;
use super::pool::{Pool, Stop};
use crate::facade::{BoxFuture, CoreTime, Cpu, Trace};
use crate::shape::{CoreLedger, Gate, Slowness};
use dstream_trace::Event;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Works that wait in the pool itself, for each core: enough that a core never waits for the node to hand it the
/// next.
pub const WAITING_PER_CORE: usize = 4;

/// How late a sleeping core may wake: work that follows within this is charged in a row, so that lateness does not add
/// up.
const LATE_WAKING: Duration = Duration::from_millis(5);

/// The shortest debt that the handling of messages sleeps for: the timers' own step.
const SHORTEST_NAP: Duration = Duration::from_millis(1);

/// What a core's time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compute {
    /// What passes on the machine's clock.
    #[default]
    Real,
    /// What the cost model says.
    Modelled,
}

/// What modelled cores have been charged.
#[derive(Debug)]
pub struct Charged {
    tasks: Mutex<CoreLedger>,
    messages: Mutex<CoreLedger>,
}

impl Charged {
    /// Nothing yet, on so many cores.
    pub fn nothing(cores: usize) -> Charged {
        // Messages are handled beside the tasks: a node whose cores are all busy still answers.
        Charged { tasks: Mutex::new(CoreLedger::new(cores)), messages: Mutex::new(CoreLedger::new(1)) }
    }
}

/// The cores of a real node.
pub struct RealCpu {
    /// How many.
    pub cores: usize,
    /// Their threads.
    pub pool: Pool,
    /// How slow they are.
    pub slowness: Slowness,
    /// Closed while the node is paused.
    pub gate: Gate,
    /// Where a stretched work is recorded.
    pub trace: Arc<dyn Trace>,
    /// What their time is.
    pub compute: Compute,
    /// The world's time.
    pub began: Began,
    /// Used by modelled cores.
    pub charged: Arc<Charged>,
}

/// Runs `work` on the calling thread and sleeps what it would have taken longer on a slowed-down core.
fn measured(work: Box<dyn FnOnce() -> CoreTime + Send>, factor: f64, stop: &Stop) -> Duration {
    let begun = Instant::now();
    work();
    let took = begun.elapsed();
    if factor <= 1.0 {
        return took;
    }
    let stretched = took.mul_f64(factor);
    stop.sleep(stretched.saturating_sub(took));
    stretched
}

/// Runs `work` on the calling thread and sleeps until its modelled cost is paid.
fn modelled(
    work: Box<dyn FnOnce() -> CoreTime + Send>,
    factor: f64,
    stop: &Stop,
    began: Began,
    charged: &Charged,
) -> Duration {
    let begun = began.elapsed();
    let cost = work().0.mul_f64(factor);
    let paid = charged.tasks.lock().unwrap_or_else(PoisonError::into_inner).charge(begun, cost, LATE_WAKING);
    stop.sleep(began.until(paid));
    cost
}

impl Cpu for RealCpu {
    fn cores(&self) -> usize {
        self.cores
    }

    fn run(&self, work: Box<dyn FnOnce() -> CoreTime + Send>) -> BoxFuture<'static, CoreTime> {
        let (pool, slowness, trace) = (self.pool.clone(), self.slowness.clone(), Arc::clone(&self.trace));
        let (compute, began, charged) = (self.compute, self.began, Arc::clone(&self.charged));
        let paid = async move {
            let run = pool.run(move |stop| {
                let factor = slowness.factor();
                let took = match compute {
                    Compute::Real => measured(work, factor, stop),
                    Compute::Modelled => modelled(work, factor, stop, began, &charged),
                };
                if factor > 1.0 {
                    trace.record(Event::WorkStretched { factor });
                }
                CoreTime(took)
            });
            run.await
        };
        Box::pin(self.gate.hold(paid))
    }

    fn handle(&self, cost: CoreTime) -> BoxFuture<'static, ()> {
        let factor = self.slowness.factor();
        // Handling a real message has taken its time already, but for what a slowed-down core takes longer.
        let cost = match self.compute {
            Compute::Real => cost.0.mul_f64((factor - 1.0).max(0.0)),
            Compute::Modelled => cost.0.mul_f64(factor),
        };
        if cost.is_zero() {
            return Box::pin(self.gate.opened());
        }
        if let Some(factor) = self.slowness.tell() {
            self.trace.record(Event::WorkStretched { factor });
        }
        let began = self.began;
        let mut ledger = self.charged.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = ledger.charge(began.elapsed(), cost, SHORTEST_NAP);
        drop(ledger);
        Box::pin(self.gate.hold(async move {
            let debt = began.until(paid);
            if debt >= SHORTEST_NAP {
                tokio::time::sleep_until((Instant::now() + debt).into()).await;
            }
        }))
    }
}
