//! Threads that run closures: the cores of a real node, and the hand that touches the disk for the store.
//!
//! Knows neither. Invariants: a fixed number of threads; at most so many closures run or wait as there are permits,
//! the rest wait in their callers; when the pool stops, what waits is dropped and what sleeps wakes.

#![expect(clippy::disallowed_types, reason = "a stretched work waits on the machine's clock")]

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Threads that end together.
pub struct Crew {
    threads: Vec<JoinHandle<()>>,
    /// Held by every thread; nothing is sent.
    token: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

impl Crew {
    /// No thread yet.
    pub fn new() -> Crew {
        let (token, ended) = channel();
        Crew { threads: Vec::new(), token, ended }
    }

    /// Starts a thread. Fails when the system has none left.
    pub fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let token = self.token.clone();
        let thread = Builder::new().name(name).spawn(move || {
            let _token = token;
            body();
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until all threads have ended, `limit` at most. Threads that have not are left to themselves.
    pub fn join(self, limit: Duration) -> bool {
        drop(self.token);
        let all = self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected);
        if all {
            // A thread's panic was reported where it happened.
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        all
    }
}

type Job = Box<dyn FnOnce(&Stop) + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    stopped: bool,
}

/// Tells the pool's threads to stop.
#[derive(Default)]
pub struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

impl Stop {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the pool: what waits is dropped, sleepers wake, no closure starts any more.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        drop(dropped);
        self.changed.notify_all();
    }

    /// Blocks the thread for `length`, or until the pool stops.
    #[expect(clippy::disallowed_methods, reason = "a core that is slowed down works on the machine's clock")]
    pub fn sleep(&self, length: Duration) {
        let begun = Instant::now();
        let mut state = self.state();
        while !state.stopped {
            let left = length.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(&self, job: Job) {
        let mut state = self.state();
        if !state.stopped {
            state.jobs.push_back(job);
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// Threads that run closures, one at a time each.
#[derive(Clone)]
pub struct Pool {
    stop: Arc<Stop>,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// Starts `threads` threads in `crew`; `waiting` more closures may wait in the pool itself.
    pub fn start(crew: &mut Crew, name: &str, threads: usize, waiting: usize) -> io::Result<Pool> {
        let stop = Arc::new(Stop::default());
        for number in 1..=threads {
            let jobs = Arc::clone(&stop);
            let body = move || {
                while let Some(job) = jobs.next_job() {
                    job(&jobs);
                }
            };
            crew.spawn(format!("{name}/{number}"), body).inspect_err(|_| stop.stop())?;
        }
        Ok(Pool { stop, permits: Arc::new(Semaphore::new(threads + waiting)) })
    }

    /// Runs `work` on a thread; a panic in it goes on in the caller. Never completes if the pool stops before.
    ///
    /// A caller that is gone before the work starts is spared it.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Stop) -> T + Send + 'static) -> T {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        let (sender, receiver) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        self.stop.push(Box::new(move |stop| {
            if !sender.is_closed() {
                let result = catch_unwind(AssertUnwindSafe(|| work(stop)));
                // The caller may have gone meanwhile; then nobody wants the result.
                drop(sender.send(result));
            }
            drop(permit);
        }));
        match receiver.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops the threads. See [`Stop::stop`].
    pub fn stop(&self) {
        self.stop.stop();
    }
}
