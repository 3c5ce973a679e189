//! Cores of a simulated host: work runs at once and takes effect when its modelled cost is paid.
//!
//! Never measures anything. Invariants: no more works are being paid at once than there are cores; a pause stops the
//! cores, so that what was left of a work before it is left after it; a straggler factor prices anew what is left of
//! every work, and of the handling of messages, in the moment in which it changes. A work whose future is dropped stays
//! charged.

mod book;

use crate::clock::nap_until_paid;
use crate::life::Life;
use crate::node::{Ending, panic_message};
use book::{Book, Look, Work};
use dstream_host::{BoxFuture, CoreTime, Cpu};
use dstream_trace::{Event, Moment};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

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

/// Which book a charge goes to.
#[derive(Clone, Copy, Debug)]
enum Account {
    Tasks,
    Messages,
}

/// The cores of one life of a node.
#[derive(Debug)]
pub(crate) struct Cores {
    count: usize,
    books: Mutex<Books>,
    /// Tells those who wait for their work that it ends at another time now.
    changed: Notify,
}

#[derive(Debug)]
struct Books {
    tasks: Book,
    /// Messages are handled beside the tasks: a node whose cores are all busy still answers.
    messages: Book,
    /// Whether the log already says that messages are stretched; there are too many to say it of each.
    told_of_messages: bool,
}

impl Books {
    fn of(&mut self, account: Account) -> &mut Book {
        match account {
            Account::Tasks => &mut self.tasks,
            Account::Messages => &mut self.messages,
        }
    }

    /// What is to be told of stretched works: of every task, and of the first message after each change.
    fn tell(&mut self, account: Account, stretched: Vec<f64>) -> Vec<f64> {
        match account {
            Account::Tasks => stretched,
            Account::Messages => {
                let first = if self.told_of_messages { 0 } else { stretched.len().min(1) };
                self.told_of_messages |= first > 0;
                stretched[..first].to_vec()
            }
        }
    }
}

impl Cores {
    pub fn new(count: usize, straggle: &Straggle) -> Cores {
        let factor = straggle.factor();
        let (tasks, messages) = (Book::new(count, factor), Book::new(1, factor));
        let books = Books { tasks, messages, told_of_messages: false };
        Cores { count, books: Mutex::new(books), changed: Notify::new() }
    }

    /// The cores stood still from `since` for `length`.
    pub fn stop(&self, since: Moment, length: Duration) {
        let mut books = self.lock();
        books.tasks.stall(since, length);
        books.messages.stall(since, length);
        drop(books);
        self.changed.notify_waiters();
    }

    /// The cores take `factor` times as long from `since` on; returns the factor until then once for each work that it
    /// stretched and of which that was not told before.
    pub fn slow(&self, since: Moment, factor: f64) -> Vec<f64> {
        let mut books = self.lock();
        let mut stretched = books.tasks.slow(since, factor);
        let of_messages = books.messages.slow(since, factor);
        stretched.extend(books.tell(Account::Messages, of_messages));
        books.told_of_messages = false;
        drop(books);
        self.changed.notify_waiters();
        stretched
    }

    fn charge(&self, life: &Life, account: Account, cost: Duration) -> Arc<Mutex<Work>> {
        let mut books = self.lock();
        let (work, stretched) = books.of(account).charge(life.now(), cost);
        let stretched = books.tell(account, stretched);
        drop(books);
        for factor in stretched {
            life.record(Event::WorkStretched { factor });
        }
        work
    }

    fn look(&self, account: Account, work: &Mutex<Work>, now: Moment) -> Look {
        let mut books = self.lock();
        let look = books.of(account).look(work, now);
        let stretched = books.tell(account, look.stretched.into_iter().collect()).first().copied();
        Look { stretched, ..look }
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
            CoreTime(pay(&life, Account::Tasks, cost).await)
        }))
    }

    fn handle(&self, cost: CoreTime) -> BoxFuture<'static, ()> {
        let life = self.0.clone();
        Box::pin(self.0.gate.hold(async move {
            pay(&life, Account::Messages, cost.0).await;
        }))
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

/// Charges `cost` and waits until it is paid; answers the time of one core that was charged in the end.
async fn pay(life: &Life, account: Account, cost: Duration) -> Duration {
    let cores = &life.cores;
    let work = cores.charge(life, account, cost);
    loop {
        // Made before the look, so that no change after it is missed.
        let changed = cores.changed.notified();
        let Look { next, paid, stretched } = cores.look(account, &work, life.now());
        if let Some(factor) = stretched {
            life.record(Event::WorkStretched { factor });
        }
        if let Some(took) = paid {
            return took;
        }
        tokio::select! {
            biased;
            () = changed => {}
            () = nap_until_paid(&life.fabric, next) => {}
        }
    }
}
