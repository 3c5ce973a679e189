//! A network card: one lane in each direction, a bandwidth, and a factor by which a fault slows it down.
//!
//! Knows no world: nobody sleeps here. Invariant: transfers in one direction follow each other; one that was begun
//! keeps the speed at which it was begun.

use super::ledger::{Lane, transfer_time};
use dstream_trace::Moment;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that one connection or request charges to a card at once, so that others come in between: a heartbeat does not
/// wait until a block is at the store.
pub const PIECE_BYTES: u64 = 64 * 1024;

/// A direction of a network card, as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of the node.
    Egress,
    /// Into it.
    Ingress,
}

/// How many times longer than usual something takes; set from outside the node, and outlives the node's lives. Cheap
/// to clone; clones are the same factor.
#[derive(Clone, Debug)]
pub struct Slowness(Arc<Mutex<Told>>);

#[derive(Debug)]
struct Told {
    factor: f64,
    told: bool,
}

impl Slowness {
    /// Full speed.
    pub fn none() -> Slowness {
        Slowness(Arc::new(Mutex::new(Told { factor: 1.0, told: false })))
    }

    /// What begins from now on takes `factor` times as long.
    pub fn set(&self, factor: f64) {
        *self.lock() = Told { factor, told: false };
    }

    /// The factor.
    pub fn factor(&self) -> f64 {
        self.lock().factor
    }

    /// The factor, the first time after each [`Slowness::set`], if it slows down.
    pub fn tell(&self) -> Option<f64> {
        let mut state = self.lock();
        let first = state.factor != 1.0 && !state.told;
        state.told |= first;
        first.then_some(state.factor)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // The state is whole between any two statements that touch it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network card of one life of a node.
#[derive(Debug)]
pub struct Card {
    /// In each direction; none is unlimited.
    bits_per_second: Option<u64>,
    slowness: Slowness,
    egress: Mutex<Lane>,
    ingress: Mutex<Lane>,
}

/// What a transfer costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transfer {
    /// When the card has moved the bytes.
    pub until: Moment,
    /// By which factor it took longer; said once for each time that the factor was set.
    pub stretched: Option<f64>,
}

impl Card {
    /// An idle card.
    pub fn new(bits_per_second: Option<u64>, slowness: Slowness) -> Card {
        Card { bits_per_second, slowness, egress: Mutex::default(), ingress: Mutex::default() }
    }

    /// Gives the card `bytes` more to move at `now`. See [`Lane::charge`] for `tick`.
    pub fn transfer(&self, now: Moment, direction: Direction, bytes: u64, tick: Duration) -> Transfer {
        let Some(bits_per_second) = self.bits_per_second.filter(|_| bytes > 0) else {
            return Transfer { until: now, stretched: None };
        };
        let lane = match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        };
        let cost = stretch(transfer_time(bytes, bits_per_second), self.slowness.factor());
        let until = lane.lock().unwrap_or_else(PoisonError::into_inner).charge(now, cost, tick);
        Transfer { until, stretched: self.slowness.tell() }
    }
}

/// `cost`, `factor` times.
fn stretch(cost: Duration, factor: f64) -> Duration {
    if factor == 1.0 {
        return cost;
    }
    Duration::try_from_secs_f64(cost.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte a microsecond; (factor, bytes) in a row at moment zero, with when each is moved, in microseconds, and
    /// whether it is said that it was stretched.
    fn check(transfers: &[(f64, u64)], expected: &[(u64, bool)]) {
        let slowness = Slowness::none();
        let card = Card::new(Some(8_000_000), slowness.clone());
        let mut seen = Vec::new();
        for (factor, bytes) in transfers {
            if *factor != slowness.factor() {
                slowness.set(*factor);
            }
            let transfer = card.transfer(Moment::ZERO, Direction::Egress, *bytes, Duration::ZERO);
            seen.push((transfer.until.0 / 1000, transfer.stretched == Some(*factor)));
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_slow_card_takes_a_multiple_and_says_so_once() {
        check(
            &[(1.0, 10), (4.0, 10), (4.0, 10), (1.0, 10), (4.0, 10)],
            &[(10, false), (50, true), (90, false), (100, false), (140, true)],
        );
    }

    #[test]
    fn nothing_to_move_takes_no_time_and_says_nothing() {
        check(&[(4.0, 0), (4.0, 1)], &[(0, false), (4, true)]);
    }

    #[test]
    fn directions_do_not_wait_for_each_other_and_an_unlimited_card_for_nothing() {
        let card = Card::new(Some(8_000_000), Slowness::none());
        let until = |card: &Card, direction| card.transfer(Moment::ZERO, direction, 1000, Duration::ZERO).until;
        assert_eq!(until(&card, Direction::Egress), until(&card, Direction::Ingress));
        assert_eq!(until(&Card::new(None, Slowness::none()), Direction::Egress), Moment::ZERO);
    }
}
