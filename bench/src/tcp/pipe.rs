//! A node's events on their way to the driver: over standard output, ahead of everything that follows from them.
//!
//! Standard output is a pipe whose other end the driver empties into memory. Bytes that are in it outlive this process,
//! so an event counts as kept once it is there. Whoever is about to let something out of the node (a stream's write, a
//! request to the store) first asks [`EventPipe::poll_kept`], which writes what is waiting; that costs one system call
//! for all events since the last time. Nothing blocks: where the pipe is full the write waits and the node goes on.
//! What no effect pushes out, a thread writes a moment later.
//!
//! Invariants: events leave in the order in which they were recorded; what waits here is bounded.

use super::wire::{Word, append};
use bytes::{Buf, BytesMut};
use dstream_host::real::Journal;
use dstream_trace::{Event, Moment, NodeName};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long an event may wait for the next effect to push it out: short for a reader, long against a system call.
const LINGER: Duration = Duration::from_millis(20);

/// Most bytes that wait for the driver, far above what a run's busiest second brings; beyond it the driver has stopped
/// reading, and the node says no more and lets nothing out.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// The size that the pipe is asked to have, in bytes, so that a driver that is busy does not hold a node up. The system
/// may refuse; then it has its usual size.
const PIPE_BYTES: usize = 1 << 20;

#[derive(Default)]
struct State {
    waiting: BytesMut,
    /// Tasks that hold something back until nothing waits.
    held: Vec<Waker>,
    /// Nobody reads any more, or too much waited.
    broken: bool,
}

/// The way to the driver.
pub struct EventPipe {
    out: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

impl EventPipe {
    /// The pipe that this process has as its standard output.
    pub fn on_stdout() -> io::Result<EventPipe> {
        EventPipe::new(io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn new(out: OwnedFd) -> io::Result<EventPipe> {
        let flags = rustix::fs::fcntl_getfl(&out)?;
        rustix::fs::fcntl_setfl(&out, flags | rustix::fs::OFlags::NONBLOCK)?;
        #[cfg(target_os = "linux")]
        rustix::pipe::fcntl_setpipe_size(&out, PIPE_BYTES).ok();
        Ok(EventPipe { out, state: Mutex::default(), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something.
    pub fn say(&self, word: &Word) {
        let mut state = self.state();
        if state.broken {
            return;
        }
        let was_empty = state.waiting.is_empty();
        append(word, &mut state.waiting);
        state.broken = state.waiting.len() > MAX_WAITING_BYTES;
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Writes what waits; `true` if nothing waits any more.
    fn push_out(&self, state: &mut State) -> bool {
        while !state.waiting.is_empty() && !state.broken {
            match rustix::io::write(&self.out, &state.waiting) {
                Ok(written) => state.waiting.advance(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => state.broken = true,
            }
        }
        !state.broken
    }

    /// Writes what no effect pushes out, until nobody reads any more. Runs on a thread of its own.
    pub fn run(&self) {
        let mut state = self.state();
        while !state.broken {
            if state.waiting.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if state.held.is_empty() {
                state = self.changed.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner).0;
            }
            if self.push_out(&mut state) {
                state.held.drain(..).for_each(Waker::wake);
                self.changed.notify_all();
                continue;
            }
            drop(state);
            // An interrupted wait is simply begun again.
            poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], None).ok();
            state = self.state();
        }
        self.changed.notify_all();
    }

    /// Blocks until nothing waits any more, `limit` at most. Needs the thread of [`EventPipe::run`].
    pub fn flush(&self, limit: Duration) {
        let mut state = self.state();
        let waits = |state: &mut State| !state.broken && !self.push_out(state);
        while waits(&mut state) {
            let (next, waited) = self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() {
                return;
            }
        }
    }
}

impl Journal for EventPipe {
    fn write(&self, at: Moment, node: &NodeName, event: Event) {
        self.say(&Word::Happened { at, node: node.clone(), event });
    }

    fn poll_kept(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if self.push_out(&mut state) {
            return Poll::Ready(());
        }
        if !state.held.iter().any(|held| held.will_wake(context.waker())) {
            state.held.push(context.waker().clone());
        }
        self.changed.notify_all();
        Poll::Pending
    }
}

/// Starts the thread that writes what no effect pushes out.
pub fn start_writer(pipe: &Arc<EventPipe>) -> io::Result<()> {
    let pipe = Arc::clone(pipe);
    // It lives as long as the process.
    std::thread::Builder::new().name("events".into()).spawn(move || pipe.run()).map(drop)
}
