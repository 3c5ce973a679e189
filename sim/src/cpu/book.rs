//! The book of some cores: which works they have, when each begins and ends, and at what factor it is priced.
//!
//! Pure arithmetic on moments; nobody sleeps here. Invariants: a work's span is the one that the ledger has for it,
//! through every stall and every change of the factor; that a work was stretched is told at most once.

use crate::clock::TIMER_STEP;
use dstream_host::shape::CoreLedger;
use dstream_trace::Moment;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A work on one core. Only touched by who holds its book.
#[derive(Debug)]
pub(super) struct Work {
    /// Begin and end as if pauses had come before it: their distance is the time of the core that it takes.
    begin: Moment,
    until: Moment,
    /// Whether it was told that it is stretched.
    told: bool,
}

impl Work {
    /// The factor that holds since then, if it stretches this work and that is new.
    fn tell(&mut self, factor: f64, since: Moment) -> Option<f64> {
        let tells = factor != 1.0 && self.begin.max(since) < self.until && !self.told;
        self.told |= tells;
        tells.then_some(factor)
    }
}

/// What a waiting work learns.
#[derive(Debug)]
pub(super) struct Look {
    /// When to look again, as things are: when it is paid, or before that when it begins to be stretched.
    pub next: Moment,
    /// The time of a core that it took, if it is paid.
    pub paid: Option<Duration>,
    /// The factor that stretches it, if that is to be told now.
    pub stretched: Option<f64>,
}

/// Cores that share their work, and the factor of all of them.
#[derive(Debug)]
pub(super) struct Book {
    ledger: CoreLedger,
    factor: f64,
    /// Since when cores have worked at the factor.
    since: Moment,
    /// What the ledger has, until it is done; as many as there are waiting tasks, and those that were dropped.
    works: Vec<Arc<Mutex<Work>>>,
}

impl Book {
    pub fn new(cores: usize, factor: f64) -> Book {
        Book { ledger: CoreLedger::new(cores), factor, since: Moment::ZERO, works: Vec::new() }
    }

    /// Charges `cost` at the factor of now; also returns what there is to be told of works that nobody waits for.
    pub fn charge(&mut self, now: Moment, cost: Duration) -> (Arc<Mutex<Work>>, Vec<f64>) {
        let told = self.settle(now);
        let cost = rescaled(cost, 1.0, self.factor);
        let until = self.ledger.charge(now, cost, TIMER_STEP);
        let work = Arc::new(Mutex::new(Work { begin: until - cost, until, told: false }));
        self.works.push(work.clone());
        (work, told)
    }

    /// How a work of this book stands. It is paid in the millisecond in which it ends.
    pub fn look(&self, work: &Mutex<Work>, now: Moment) -> Look {
        let mut work = lock(work);
        let paid = (work.until.0 / STEP_NS <= now.0 / STEP_NS).then(|| work.until.since(work.begin));
        let begun = paid.is_some() || work.begin <= now;
        let stretched = if begun { work.tell(self.factor, self.since) } else { None };
        // Timers fire on whole steps; one after the end would be too late.
        let next = if begun || self.factor == 1.0 { work.until } else { work.until.min(work.begin + LATE) };
        Look { next, paid, stretched }
    }

    /// The cores stood still for `length` from `since`.
    pub fn stall(&mut self, since: Moment, length: Duration) {
        self.ledger.stall(since, length);
        if self.since >= since {
            self.since = self.since + length;
        }
        for mut work in self.works.iter().map(|work| lock(work)).filter(|work| work.until > since) {
            work.begin = work.begin + length;
            work.until = work.until + length;
        }
    }

    /// Prices what was not done by `since` at `factor`; returns what there is to be told of the factor before.
    pub fn slow(&mut self, since: Moment, factor: f64) -> Vec<f64> {
        let told = self.settle(since);
        let before = std::mem::replace(&mut self.factor, factor);
        self.since = since;
        let scale = |left| rescaled(left, before, factor);
        let moved = |when: Moment| if when > since { since + scale(when.since(since)) } else { when };
        self.ledger.rescale(since, scale);
        for mut work in self.works.iter().map(|work| lock(work)) {
            work.begin = moved(work.begin);
            work.until = moved(work.until);
        }
        told
    }

    /// Forgets the works that are done; returns the factor once for each that ran at it and of which that is new.
    fn settle(&mut self, now: Moment) -> Vec<f64> {
        let mut told = Vec::new();
        let (factor, since) = (self.factor, self.since);
        self.works.retain(|work| {
            let mut work = lock(work);
            if work.begin.max(since) < now {
                told.extend(work.tell(factor, since));
            }
            work.until > now
        });
        told
    }
}

const STEP_NS: u64 = TIMER_STEP.as_nanos() as u64;

/// The most by which the next whole step is late.
const LATE: Duration = Duration::from_nanos(STEP_NS - 1);

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What takes `time` at one factor, at another, in whole nanoseconds.
fn rescaled(time: Duration, from: f64, to: f64) -> Duration {
    if from == to {
        return time;
    }
    // Arithmetic and rounding of doubles are the same on every machine; casts saturate.
    Duration::from_nanos((time.as_nanos() as f64 * to / from).round() as u64)
}
