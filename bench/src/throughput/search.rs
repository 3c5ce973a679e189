//! The search for the highest sustained rate.
//!
//! Knows no engine and no clock. Invariant: what it answers was sustained in a probe of its own, and every further probe is
//! between the best rate that was sustained and the lowest that was not.

/// Probes of one search, at most: each fills a window and then takes twenty intervals.
pub const MOST_PROBES: u32 = 8;

/// Two rates that are less than this apart are one: runs on one machine differ by as much.
const NEAR_ENOUGH: f64 = 1.04;

/// After a rate that was sustained the next one is so many times as high; while none was not, the step is squared each time.
const STEP_UP: f64 = 1.6;

/// After a rate that was not sustained, this part of what came through is tried, if nobody knows better.
const OF_THROUGH: f64 = 0.95;

/// What a probe told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Records a second that were offered.
    pub rate: f64,
    /// Whether that could go on for ever.
    pub is_sustained: bool,
    /// Records a second that came out.
    pub through: f64,
}

/// The search.
#[derive(Clone, Debug)]
pub struct Search {
    next: f64,
    best: Option<f64>,
    failed: Option<f64>,
    step: f64,
    left: u32,
}

impl Search {
    /// One that begins with this rate.
    pub fn from(first: f64) -> Search {
        Search { next: first.max(1.0), best: None, failed: None, step: STEP_UP, left: MOST_PROBES }
    }

    /// The rate to try next; nothing when the search is over.
    pub fn next(&self) -> Option<f64> {
        let is_near = matches!((self.best, self.failed), (Some(best), Some(failed)) if failed < best * NEAR_ENOUGH);
        (self.left > 0 && !is_near).then_some(self.next)
    }

    /// Takes what a probe told.
    pub fn tell(&mut self, told: Told) {
        self.left = self.left.saturating_sub(1);
        if told.is_sustained {
            self.best = Some(self.best.map_or(told.rate, |best| best.max(told.rate)));
        } else {
            self.failed = Some(self.failed.map_or(told.rate, |failed| failed.min(told.rate)));
        }
        self.next = match (self.best, self.failed) {
            (Some(best), None) => {
                let step = self.step;
                self.step *= self.step;
                best * step
            }
            (Some(best), Some(failed)) => {
                let through = told.through * OF_THROUGH;
                let is_between = best * NEAR_ENOUGH < through && through < failed / NEAR_ENOUGH;
                if is_between && !told.is_sustained { through } else { (best * failed).sqrt() }
            }
            (None, Some(failed)) => (told.through * OF_THROUGH).clamp(failed / 8.0, failed / 1.25),
            (None, None) => self.next,
        }
        .max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which rates are tried, where so many records a second can be sustained and so many come through.
    fn tried(first: f64, able: f64) -> Vec<f64> {
        let mut search = Search::from(first);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate.round());
            search.tell(Told { rate, is_sustained: rate <= able, through: rate.min(able) });
        }
        tried
    }

    #[test]
    fn it_closes_in_on_the_highest_rate_and_stops_when_that_is_known_well_enough() {
        assert_eq!(tried(1000.0, 1000.0), [1000.0, 1600.0, 1265.0, 1125.0, 1061.0, 1030.0]);
        assert_eq!(tried(1000.0, 300.0), [1000.0, 285.0, 534.0, 390.0, 333.0, 308.0, 296.0, 302.0]);
        for able in [17.0, 900.0, 5000.0, 123_456.0] {
            let tried = tried(1000.0, able);
            let best = tried.iter().filter(|rate| **rate <= able).fold(0.0, |best: f64, rate| best.max(*rate));
            assert!(tried.len() <= MOST_PROBES as usize && best > able / 2.6, "{able}: {tried:?}");
        }
    }
}
