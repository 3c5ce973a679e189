//! Real time: the machine's monotonic clock, from the moment the world started.
//!
//! Invariant: it never goes back, and goes on while a node is paused; only the waiting is held.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the real host's clock")]

use crate::facade::{BoxFuture, Clock};
use crate::shape::Gate;
use dstream_trace::Moment;
use std::time::{Duration, Instant};

/// The clock of a world.
#[derive(Clone, Copy, Debug)]
pub struct Began(Instant);

impl Began {
    /// A world that starts now.
    pub fn now() -> Began {
        Began(Instant::now())
    }

    /// Time since then.
    pub fn elapsed(self) -> Moment {
        Moment::ZERO + self.0.elapsed()
    }

    /// How long until `when`; zero if it has passed.
    pub fn until(self, when: Moment) -> Duration {
        when.since(self.elapsed())
    }
}

/// The clock of a node: the world's, with the node's gate before its timers.
pub struct RealClock {
    /// When the world started.
    pub began: Began,
    /// Closed while the node is paused.
    pub gate: Gate,
}

impl Clock for RealClock {
    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn sleep_until(&self, when: Moment) -> BoxFuture<'static, ()> {
        let began = self.began.0;
        let sleep = async move {
            match began.checked_add(when.since(Moment::ZERO)) {
                Some(deadline) if when != Moment::NEVER => tokio::time::sleep_until(deadline.into()).await,
                _ => std::future::pending().await,
            }
        };
        Box::pin(self.gate.hold(sleep))
    }
}
