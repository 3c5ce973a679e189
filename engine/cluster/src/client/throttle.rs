//! A throttle: how many records a client may read by now, where a master says how many a second it takes.
//!
//! Knows no clock but the moments it is given. Invariant: in no stretch of time does it let through more than its rate gives
//! for that stretch and its depth together.

use dstream_trace::Moment;
use std::time::Duration;

/// What is not used is kept for so long: a client that reads in steps loses nothing, and one that waited does not make up
/// for it in a burst.
const DEPTH: Duration = Duration::from_millis(100);

/// A bucket of permissions that fills at a rate.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    per_second: f64,
    permitted: f64,
    at: Moment,
    /// When the rest of what is owed is let off.
    let_off: Option<Moment>,
}

impl Throttle {
    /// One that permits nothing yet.
    pub fn new(now: Moment, per_second: f64) -> Throttle {
        Throttle { per_second: per_second.max(0.0), permitted: 0.0, at: now, let_off: None }
    }

    /// From now on at another rate.
    pub fn set(&mut self, now: Moment, per_second: f64) {
        self.fill(now);
        self.per_second = per_second.max(0.0);
    }

    /// How many records may be read now.
    pub fn permits(&mut self, now: Moment) -> u64 {
        self.fill(now);
        self.permitted as u64
    }

    /// How many that is in such a time, at least one.
    pub fn of(&self, time: Duration) -> u64 {
        ((self.per_second * time.as_secs_f64()) as u64).max(1)
    }

    /// So many come at once that were read before: they count as if they were read now, and nothing was saved up.
    pub fn owe(&mut self, now: Moment, records: u64) {
        self.fill(now);
        self.permitted = -(records as f64);
        self.let_off = None;
    }

    /// Nobody waits for what is owed any more, and so long after now it is in an interval: whoever sets the rate counts it
    /// from then on, and would have it paid twice.
    pub fn settled(&mut self, now: Moment, sealed_after: Duration) {
        self.fill(now);
        if self.permitted < 0.0 {
            self.let_off = self.let_off.or(Some(now + sealed_after));
        }
    }

    /// So many were read.
    pub fn spend(&mut self, records: u64) {
        self.permitted -= records as f64;
    }

    fn fill(&mut self, now: Moment) {
        if let Some(at) = self.let_off.filter(|at| *at <= now) {
            self.let_off = None;
            self.fill_to(at);
            self.permitted = self.permitted.max(0.0);
        }
        self.fill_to(now);
    }

    fn fill_to(&mut self, now: Moment) {
        // However slow, a whole record comes through in the end.
        let most = (self.per_second * DEPTH.as_secs_f64()).max(1.0);
        let filled = self.permitted + self.per_second * now.since(self.at).as_secs_f64();
        (self.permitted, self.at) = (filled.min(most), self.at.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all that is permitted at these milliseconds; compares how many records that are.
    #[track_caller]
    fn check(per_second: f64, reads: &[(u64, u64)]) {
        let mut throttle = Throttle::new(Moment::ZERO, per_second);
        let read = |(ms, _): &(u64, u64)| {
            let permitted = throttle.permits(Moment::from_millis(*ms));
            throttle.spend(permitted);
            (*ms, permitted)
        };
        assert_eq!(reads.iter().map(read).collect::<Vec<_>>(), reads);
    }

    #[test]
    fn a_steady_reader_gets_the_rate_and_one_that_waited_gets_no_burst() {
        check(1000.0, &[(0, 0), (10, 10), (30, 20), (31, 1), (5031, 100), (5041, 10)]);
    }

    #[test]
    fn what_is_below_one_record_a_step_adds_up() {
        check(250.0, &[(2, 0), (4, 1), (6, 0), (8, 1)]);
        check(0.5, &[(1000, 0), (2000, 1), (9000, 1)]);
    }

    #[test]
    fn what_comes_at_once_is_waited_for() {
        let mut throttle = Throttle::new(Moment::ZERO, 1000.0);
        throttle.owe(Moment::from_millis(500), 200);
        assert_eq!(throttle.permits(Moment::from_millis(700)), 0);
        assert_eq!(throttle.permits(Moment::from_millis(710)), 10);
    }

    #[test]
    fn what_was_owed_is_let_off_once_it_is_in_an_interval_and_not_before() {
        let at = Moment::from_millis;
        let permitted = |sealed_after_ms: u64, owed_again: bool| {
            let mut throttle = Throttle::new(Moment::ZERO, 100.0);
            throttle.owe(at(500), 200);
            throttle.settled(at(600), Duration::from_millis(sealed_after_ms));
            throttle.settled(at(900), Duration::from_millis(sealed_after_ms));
            if owed_again {
                throttle.owe(at(950), 200);
            }
            [1000, 1590, 1650, 2570].map(|ms| {
                let permitted = throttle.permits(at(ms));
                throttle.spend(permitted);
                permitted
            })
        };
        assert_eq!(permitted(1000, false), [0, 0, 5, 10]);
        assert_eq!(permitted(0, false), [10, 10, 6, 10]);
        // Of what is paid nothing is let off, and what is owed to the next master is owed whole.
        assert_eq!(permitted(1950, false), [0, 0, 0, 7]);
        assert_eq!(permitted(0, true), [0, 0, 0, 0]);
    }

    #[test]
    fn another_rate_counts_from_when_it_is_set() {
        let mut throttle = Throttle::new(Moment::ZERO, 1000.0);
        throttle.set(Moment::from_millis(10), 200.0);
        assert_eq!(throttle.permits(Moment::from_millis(20)), 12);
    }
}
