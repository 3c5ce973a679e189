//! Cores of a simulated host: work runs at once and takes effect when its modelled cost is paid.
//!
//! Never measures anything. Invariants: no more works are being paid at once than there are cores; a pause stops the
//! cores, so that what was left of a work before it is left after it. A work whose future is dropped stays charged.

use crate::clock::{TIMER_STEP, nap_until_paid};
use crate::life::Life;
use crate::node::{Ending, panic_message};
use dstream_host::shape::CoreLedger;
use dstream_host::{BoxFuture, CoreTime, Cpu};
use dstream_trace::{Event, Moment};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many times longer than usual a node's work takes; outlives the node's lives.
#[derive(Clone, Debug)]
pub(crate) struct Straggle(Arc<AtomicU64>);

impl Straggle {
    pub fn none() -> Straggle {
        Straggle(Arc::new(AtomicU64::new(1f64.to_bits())))
    }

    pub fn set(&self, factor: f64) {
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }

    fn factor(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Which ledger a charge goes to.
#[derive(Clone, Copy, Debug)]
enum Account {
    Tasks,
    Messages,
}

/// The cores of one life of a node.
#[derive(Debug)]
pub(crate) struct Cores {
    count: usize,
    straggle: Straggle,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    tasks: CoreLedger,
    /// Messages are handled beside the tasks: a node whose cores are all busy still answers.
    messages: CoreLedger,
    /// For how long pauses have stopped the cores.
    stopped: Duration,
}

impl Cores {
    pub fn new(count: usize, straggle: Straggle) -> Cores {
        let books = Books { tasks: CoreLedger::new(count), messages: CoreLedger::new(1), stopped: Duration::ZERO };
        Cores { count, straggle, books: Mutex::new(books) }
    }

    /// The cores stood still from `since` for `length`.
    pub fn stop(&self, since: Moment, length: Duration) {
        let mut books = self.lock();
        books.tasks.stall(since, length);
        books.messages.stall(since, length);
        books.stopped += length;
    }

    /// Charges `cost`; returns when it is paid, and how long pauses have stopped the cores until now.
    fn charge(&self, account: Account, now: Moment, cost: Duration) -> (Moment, Duration) {
        let mut books = self.lock();
        let ledger = match account {
            Account::Tasks => &mut books.tasks,
            Account::Messages => &mut books.messages,
        };
        let until = ledger.charge(now, cost, TIMER_STEP);
        (until, books.stopped)
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cores as the node sees them.
#[derive(Debug)]
pub(crate) struct SimCpu(pub Arc<Life>);

impl Cpu for SimCpu {
    fn cores(&self) -> usize {
        self.0.cores.count
    }

    fn run(&self, work: Box<dyn FnOnce() -> CoreTime + Send>) -> BoxFuture<'static, CoreTime> {
        let life = self.0.clone();
        Box::pin(self.0.gate.hold(async move {
            let CoreTime(cost) = attempt(&life, work);
            let factor = life.cores.straggle.factor();
            let cost = stretch(cost, factor);
            if factor != 1.0 {
                life.record(Event::WorkStretched { factor });
            }
            pay(&life, Account::Tasks, cost).await;
            CoreTime(cost)
        }))
    }

    fn handle(&self, cost: CoreTime) -> BoxFuture<'static, ()> {
        let life = self.0.clone();
        Box::pin(self.0.gate.hold(async move { pay(&life, Account::Messages, cost.0).await }))
    }
}

/// Runs `work`; a panic in it ends the world with its message, whatever becomes of the task that asked for it.
fn attempt(life: &Life, work: Box<dyn FnOnce() -> CoreTime + Send>) -> CoreTime {
    // Nobody looks at what the work left half done: the panic goes on.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        life.fabric.end(&life.node, Ending::Failed(panic_message(&*payload)));
        resume_unwind(payload)
    })
}

async fn pay(life: &Life, account: Account, cost: Duration) {
    let (mut until, mut stopped) = life.cores.charge(account, life.now(), cost);
    loop {
        nap_until_paid(&life.fabric, until).await;
        let total = life.cores.lock().stopped;
        if total == stopped {
            return;
        }
        until = until + (total - stopped);
        stopped = total;
    }
}

/// `cost` times `factor`, in whole nanoseconds.
fn stretch(cost: Duration, factor: f64) -> Duration {
    if factor == 1.0 {
        return cost;
    }
    // Multiplication and rounding of doubles are the same on every machine; casts saturate.
    Duration::from_nanos((cost.as_nanos() as f64 * factor).round() as u64)
}
