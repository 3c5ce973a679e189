//! Ledgers: when a core or a network card will have done the work that it is given.
//!
//! Pure arithmetic on moments; nobody sleeps here. Invariants: works on one lane follow each other and never overlap,
//! and each takes exactly its cost, so that n works in a row end after the sum of their costs, however late timers
//! fire.

use dstream_trace::Moment;
use std::time::Duration;

/// One thing that does one work at a time: a core, or one direction of a network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    free: Moment,
}

impl Lane {
    /// Takes on a work of length `cost` at `now`, after what it already has; returns when the work will be done.
    ///
    /// Timers fire late. Work that follows less than `tick` after the last one ended is taken to have begun at that
    /// end, so that oversleeping does not add up; `tick` is how late a timer may be, zero where the caller wakes early
    /// instead.
    pub fn charge(&mut self, now: Moment, cost: Duration, tick: Duration) -> Moment {
        let begin = if now.since(self.free) < tick { self.free } else { self.free.max(now) };
        self.free = begin + cost;
        self.free
    }

    /// When everything that it has taken on will be done.
    pub fn free(&self) -> Moment {
        self.free
    }

    /// The lane stood still for `length` from `since`: what was not done by then is done that much later.
    pub fn stall(&mut self, since: Moment, length: Duration) {
        if self.free > since {
            self.free = self.free + length;
        }
    }

    /// The lane's speed changed at `since`: what was not done by then takes what `scale` makes of it.
    pub fn rescale(&mut self, since: Moment, scale: impl Fn(Duration) -> Duration) {
        if self.free > since {
            self.free = since + scale(self.free.since(since));
        }
    }
}

/// Several lanes that share their work, such as the cores of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreLedger {
    lanes: Vec<Lane>,
}

impl CoreLedger {
    /// A ledger of `lanes` idle lanes; at least one.
    pub fn new(lanes: usize) -> CoreLedger {
        CoreLedger { lanes: vec![Lane::default(); lanes.max(1)] }
    }

    /// How many lanes it has.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Gives a work to a lane; returns when the work will be done. See [`Lane::charge`] for `tick`.
    ///
    /// A lane whose work ends less than `tick` before or after `now` goes on with this one (of several, the one that
    /// ends last): whoever waited for that work is then charged in a row with it, and not from an early waking on an
    /// idle lane. Otherwise it is the lane that is free first; of equals, the first.
    pub fn charge(&mut self, now: Moment, cost: Duration, tick: Duration) -> Moment {
        let near = |lane: &&mut Lane| now.since(lane.free).max(lane.free.since(now)) < tick;
        let lane = match self.lanes.iter_mut().filter(near).max_by_key(|lane| lane.free) {
            Some(lane) => lane,
            None => self.lanes.iter_mut().min_by_key(|lane| lane.free).expect("a ledger has at least one lane"),
        };
        lane.charge(now, cost, tick)
    }

    /// All lanes stood still for `length` from `since`. See [`Lane::stall`].
    pub fn stall(&mut self, since: Moment, length: Duration) {
        self.lanes.iter_mut().for_each(|lane| lane.stall(since, length));
    }

    /// The speed of all lanes changed at `since`. See [`Lane::rescale`].
    pub fn rescale(&mut self, since: Moment, scale: impl Fn(Duration) -> Duration) {
        self.lanes.iter_mut().for_each(|lane| lane.rescale(since, &scale));
    }
}

/// How long a link of `bits_per_second` is busy with `bytes`, rounded up to nanoseconds. Zero bits per second pass
/// nothing: the answer is the longest time there is.
pub fn transfer_time(bytes: u64, bits_per_second: u64) -> Duration {
    if bits_per_second == 0 {
        return Duration::MAX;
    }
    let nanos = (u128::from(bytes) * 8 * 1_000_000_000).div_ceil(u128::from(bits_per_second));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
