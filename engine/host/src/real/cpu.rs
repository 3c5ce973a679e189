//! Real cores: a thread each, measured by the time that passes.
//!
//! Ignores the cost that work says it has: here time is measured. Invariant: no more works run at once than there are
//! cores, a slowed-down core sleeps the rest of the time it would have taken, and nothing completes behind a closed
//! gate.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "work is measured on the machine's clock")]

use super::pool::Pool;
use crate::facade::{BoxFuture, CoreTime, Cpu, Trace};
use crate::shape::Gate;
use dstream_trace::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Works that wait in the pool itself, for each core: enough that a core never waits for the node to hand it the
/// next.
pub const WAITING_PER_CORE: usize = 4;

/// How many times as long work takes; set from outside the node.
#[derive(Debug)]
pub struct Straggling(AtomicU64);

impl Straggling {
    /// Full speed.
    pub fn none() -> Straggling {
        Straggling(AtomicU64::new(1.0f64.to_bits()))
    }

    /// Work that starts from now on takes `factor` times as long.
    pub fn set(&self, factor: f64) {
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// The cores of a real node.
pub struct RealCpu {
    /// How many.
    pub cores: usize,
    /// Their threads.
    pub pool: Pool,
    /// How slow they are.
    pub straggling: Arc<Straggling>,
    /// Closed while the node is paused.
    pub gate: Gate,
    /// Where a stretched work is recorded.
    pub trace: Arc<dyn Trace>,
}

impl Cpu for RealCpu {
    fn cores(&self) -> usize {
        self.cores
    }

    fn run(&self, work: Box<dyn FnOnce() -> CoreTime + Send>) -> BoxFuture<'static, CoreTime> {
        let (pool, straggling, trace) = (self.pool.clone(), Arc::clone(&self.straggling), Arc::clone(&self.trace));
        let measured = async move {
            let run = pool.run(move |stop| {
                let factor = straggling.get();
                let begun = Instant::now();
                work();
                let took = begun.elapsed();
                if factor <= 1.0 {
                    return CoreTime(took);
                }
                let stretched = took.mul_f64(factor);
                stop.sleep(stretched.saturating_sub(took));
                trace.record(Event::WorkStretched { factor });
                CoreTime(stretched)
            });
            run.await
        };
        Box::pin(self.gate.hold(measured))
    }

    fn handle(&self, _cost: CoreTime) -> BoxFuture<'static, ()> {
        // Handling a real message has taken its time already.
        Box::pin(self.gate.opened())
    }
}
