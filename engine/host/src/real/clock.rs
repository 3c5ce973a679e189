//! Real time: the machine's monotonic clock, from the moment the world started.
//!
//! Invariant: it never goes back, and goes on while a node is paused; only the waiting is held.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the real host's clock")]

use crate::facade::{BoxFuture, Clock};
use crate::shape::Gate;
use dstream_trace::Moment;
use std::time::{Duration, Instant};

/// How often the two clocks are read together: one reading that nothing interrupted is enough.
const READINGS: usize = 16;

/// The machine's monotonic clock, in nanoseconds: the same for all processes of one machine.
pub fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The clock counts from the machine's start and is never negative.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The clock of a world.
#[derive(Clone, Copy, Debug)]
pub struct Began(Instant);

impl Began {
    /// A world that starts now.
    pub fn now() -> Began {
        Began(Instant::now())
    }

    /// A world of another process of this machine that began when [`monotonic_ns`] was `began_ns`.
    pub fn at(began_ns: u64) -> Began {
        let reading = || {
            let before = Instant::now();
            let monotonic = monotonic_ns();
            (before.elapsed(), before, monotonic)
        };
        let (_, here, monotonic) =
            (0..READINGS).map(|_| reading()).min_by_key(|(gap, ..)| *gap).expect("there is at least one reading");
        let ago = Duration::from_nanos(monotonic.saturating_sub(began_ns));
        Began(here.checked_sub(ago).unwrap_or(here))
    }

    /// A world that began so long ago, by its own clock: it may have stood still, or have begun before the machine did.
    pub fn ago(elapsed: Duration) -> Began {
        let now = Instant::now();
        Began(now.checked_sub(elapsed).unwrap_or(now))
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
#[derive(Clone)]
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
