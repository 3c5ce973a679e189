//! The gate of a node: closed while the node is paused.
//!
//! Knows neither time nor what it holds. Invariant: no future behind the gate completes while it is closed, and every
//! task that was turned away is woken when it opens.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What holds back the futures of one node's Net, Clock and Cpu. Cheap to clone; clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    on_hold: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// Whether something was held since the gate closed.
    held: bool,
    /// The tasks that were turned away, each once; as many as the node has tasks, at most, since none goes on.
    waiting: Vec<Waker>,
}

impl Gate {
    /// An open gate. `on_hold` is called when something was held, once for each time the gate closes; it runs on the
    /// task that is held and must not touch the gate.
    pub fn new(on_hold: impl Fn() + Send + Sync + 'static) -> Gate {
        Gate(Arc::new(Shared { state: Mutex::default(), on_hold: Box::new(on_hold) }))
    }

    /// Holds everything from now on.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Lets everything go on and wakes what was held.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = false;
            state.held = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the gate is closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ready while the gate is open; otherwise the task is woken when it opens.
    pub fn poll_open(&self, context: &mut Context<'_>) -> Poll<()> {
        let first = {
            let mut state = self.lock();
            if !state.closed {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            !std::mem::replace(&mut state.held, true)
        };
        if first {
            (self.0.on_hold)();
        }
        Poll::Pending
    }

    /// Completes when the gate is open.
    pub fn opened(&self) -> Opened {
        Opened { gate: self.clone() }
    }

    /// The future behind the gate: it is not polled while the gate is closed, so it neither completes nor consumes
    /// anything.
    pub fn hold<F: Future>(&self, future: F) -> Held<F> {
        Held { gate: self.clone(), future: Box::pin(future) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that touch it, so a panicking holder leaves no harm.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("closed", &self.is_closed()).finish()
    }
}

/// Completes when its gate is open. See [`Gate::opened`].
#[derive(Debug)]
pub struct Opened {
    gate: Gate,
}

impl Future for Opened {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.gate.poll_open(context)
    }
}

/// A future behind a gate. See [`Gate::hold`].
pub struct Held<F> {
    gate: Gate,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.gate.poll_open(context) {
            Poll::Ready(()) => self.future.as_mut().poll(context),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn gate() -> (Gate, Arc<AtomicU32>) {
        let held = Arc::new(AtomicU32::new(0));
        let count = held.clone();
        (Gate::new(move || _ = count.fetch_add(1, Ordering::Relaxed)), held)
    }

    /// Counts how often it was woken.
    struct Bell(AtomicU32);

    impl std::task::Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn bell() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell(AtomicU32::new(0)));
        (bell.clone(), Waker::from(bell))
    }

    #[test]
    fn a_ready_future_completes_only_when_the_gate_opens() {
        let (gate, _) = gate();
        let (bell, waker) = bell();
        let context = &mut Context::from_waker(&waker);
        let mut future = gate.hold(std::future::ready(7));
        gate.close();
        assert_eq!(Pin::new(&mut future).poll(context), Poll::Pending);
        assert_eq!(bell.0.load(Ordering::Relaxed), 0);
        gate.open();
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut future).poll(context), Poll::Ready(7));
    }

    #[test]
    fn a_task_that_asks_twice_is_woken_once() {
        let (gate, _) = gate();
        let (bell, waker) = bell();
        let context = &mut Context::from_waker(&waker);
        gate.close();
        assert!(gate.poll_open(context).is_pending());
        assert!(gate.poll_open(context).is_pending());
        gate.open();
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn holding_is_told_once_for_each_pause_that_held_something() {
        let (gate, held) = gate();
        let (_, waker) = bell();
        let context = &mut Context::from_waker(&waker);
        for (closed_polls, told) in [(0, 0), (3, 1), (0, 1), (1, 2)] {
            gate.close();
            for _ in 0..closed_polls {
                assert!(gate.poll_open(context).is_pending());
            }
            gate.open();
            assert!(gate.poll_open(context).is_ready());
            assert_eq!(held.load(Ordering::Relaxed), told);
        }
    }
}
