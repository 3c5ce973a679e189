//! When records are due. Open loop: what the cluster does never moves a due time.
//!
//! Invariant: due times never decrease, and the record numbers due by a moment depend on nothing but the moment.

use dstream_trace::Moment;
use std::time::Duration;

/// The due times of one client's records at a fixed rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Record 0 is due here.
    pub origin: Moment,
    /// No record is due from here on.
    pub end: Moment,
    /// Records a second.
    pub per_second: f64,
}

impl Schedule {
    /// When record `sequence` is due.
    pub fn due(&self, sequence: u64) -> Moment {
        let nanos = sequence as f64 * 1e9 / self.per_second;
        Moment(self.origin.0.saturating_add(nanos as u64))
    }

    /// How many records are due before `now` or at it (and before the end).
    pub fn count_due(&self, now: Moment) -> u64 {
        if now < self.origin || self.end <= self.origin {
            return 0;
        }
        let now = now.min(Moment(self.end.0 - 1));
        let mut count = (now.since(self.origin).as_nanos() as f64 * self.per_second / 1e9) as u64 + 1;
        // The estimate is right to within rounding; these two make it agree with `due` exactly.
        while count > 0 && self.due(count - 1) > now {
            count -= 1;
        }
        while self.due(count) <= now {
            count += 1;
        }
        count
    }
}

/// The interval in which `moment` lies; interval 0 begins at `origin`.
pub fn interval_of(moment: Moment, origin: Moment, interval: Duration) -> u64 {
    let length = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    moment.0.saturating_sub(origin.0) / length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_and_due_times_agree_at_every_border() {
        for per_second in [0.5, 3.0, 7.7, 1000.0, 33_333.3, 1e6] {
            let schedule = Schedule { origin: Moment::from_millis(250), end: Moment::from_millis(9000), per_second };
            for sequence in [0u64, 1, 2, 3, 10, 99, 1000] {
                let due = schedule.due(sequence);
                if due < schedule.end {
                    assert_eq!(schedule.count_due(due), sequence + 1, "{per_second} {sequence}");
                    assert_eq!(schedule.count_due(Moment(due.0 - 1)), sequence, "{per_second} {sequence}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_due_from_the_end_on() {
        let schedule = Schedule { origin: Moment::ZERO, end: Moment::from_millis(1000), per_second: 10.0 };
        assert_eq!(schedule.count_due(Moment::from_millis(999)), 10);
        assert_eq!(schedule.count_due(Moment::from_millis(5000)), 10);
    }
}
