//! Flow: how many records a second the cluster takes, from how fast it worked off the last intervals.
//!
//! A controller as Spark Streaming has it (`PIDRateEstimator`), with two differences. It limits from the first interval on,
//! when nothing is measured yet: it begins with little and grows by steps. And it counts an interval's time from when the
//! one before it was done, since intervals overlap here. Knows no client and no task. Invariant: without a measure the limit
//! is the first one, whatever waits outside.
//!
//! ```text
//! took(i)  = done(i) - max(done(i - 1), sealed(i))
//! rate     = records / took, of the last few intervals                  what the cluster can do
//! waits(i) = max(0, done(i - 1) - sealed(i))                            how far it is behind
//! limit    = limit - P (limit - rate) - I rate waits / interval         at least a share of the rate, at most doubled; or
//!                                                                       eightfold, while that is half an interval's work
//! ```

use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// The limit follows what was measured at once: an interval is long enough to measure well.
const PROPORTIONAL: f64 = 1.0;

/// What waits is worked off over about five intervals.
const INTEGRAL: f64 = 0.2;

/// In the first interval: so many records a core. At the scale of scenarios a record costs milliseconds, so this is a part
/// of an interval; ten intervals later it may be a thousand times as many.
const FIRST_RECORDS_PER_CORE: f64 = 16.0;

/// Never fewer in an interval than one for each core: a limit of none would never be measured again.
const LEAST_RECORDS_PER_CORE: f64 = 1.0;

/// However much waits, this share of what the cluster can do goes on coming: what waits was let in under an earlier limit,
/// and each of its intervals says so again. Without a floor the cluster would stand idle when it has worked them off.
const LEAST_SHARE: f64 = 0.25;

/// While an interval runs, the limit is lowered when it can be by this much: seldom enough for a message to all clients.
const WORTH_SAYING: f64 = 0.8;

/// What an interval tells counts this much less with each one after it. Intervals that run side by side end together, and
/// the last of them alone would seem to have taken no time.
const MEMORY: f64 = 0.25;

/// From one interval to the next the limit grows by this factor at most.
const MOST_GROWTH: f64 = 2.0;

/// Or by this one, while the cluster was all but idle: it begins with so little that doubling alone would take ten
/// intervals.
const MOST_LEAP: f64 = 8.0;

/// What it leaps to is no more than this share of what the cluster can do: it may be half as fast as it seems.
const LEAP_SHARE: f64 = 0.5;

/// An interval that is under way.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    at: Moment,
    records: u64,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Flow {
    interval: Duration,
    cores: f64,
    /// Records an interval.
    limit: f64,
    /// The limit when the last interval was sealed: it grows once for each, however many end together.
    before: f64,
    sealed: BTreeMap<u64, Sealed>,
    last_done: Moment,
    /// Records of the last intervals, and how long they took; earlier ones count less.
    records: f64,
    took_s: f64,
}

impl Flow {
    /// One that has measured nothing, for a cluster of so many cores.
    pub(super) fn new(interval: Duration, cores: u32) -> Flow {
        let cores = f64::from(cores.max(1));
        let limit = FIRST_RECORDS_PER_CORE * cores;
        Flow {
            interval,
            cores,
            limit,
            before: limit,
            sealed: BTreeMap::new(),
            last_done: Moment::ZERO,
            records: 0.0,
            took_s: 0.0,
        }
    }

    /// Records a second that may come.
    pub(super) fn per_second(&self) -> f64 {
        self.limit / self.interval.as_secs_f64().max(1e-9)
    }

    /// An interval has this many records.
    pub(super) fn sealed(&mut self, now: Moment, interval: u64, records: u64) {
        self.before = self.limit;
        self.sealed.insert(interval, Sealed { at: now, records });
    }

    /// An interval that takes too long tells that before it is done. Whether there is a new limit.
    pub(super) fn waited(&mut self, now: Moment) -> bool {
        let Some(Sealed { at, records }) = self.sealed.values().find(|sealed| sealed.records > 0) else { return false };
        let took = now.since((*at).max(self.last_done)).as_secs_f64() / self.interval.as_secs_f64().max(1e-9);
        let most = (*records as f64 / took.max(1.0)).max(LEAST_RECORDS_PER_CORE * self.cores);
        let is_less = took > 1.0 && most < self.limit * WORTH_SAYING;
        if is_less {
            self.limit = most;
        }
        is_less
    }

    /// All its results are out. Whether there is a new limit.
    pub(super) fn done(&mut self, now: Moment, interval: u64) -> bool {
        let Some(Sealed { at, records }) = self.sealed.remove(&interval) else { return false };
        let before = self.last_done;
        self.last_done = before.max(now);
        if records == 0 {
            return false; // it tells nothing of what records cost
        }
        let length = self.interval.as_secs_f64();
        let took = now.since(at.max(before)).as_secs_f64().max(length / 1000.0);
        self.records = self.records * MEMORY + records as f64;
        self.took_s = self.took_s * MEMORY + took;
        let rate = self.records / self.took_s * length;
        let waits = before.since(at).as_secs_f64() / length;
        let limit = self.limit - PROPORTIONAL * (self.limit - rate) - INTEGRAL * rate * waits;
        let most = (rate * LEAP_SHARE).min(self.before * MOST_LEAP).max(self.before * MOST_GROWTH);
        self.limit = limit.max(rate * LEAST_SHARE).min(most).max(LEAST_RECORDS_PER_CORE * self.cores);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a cluster of one core that can do `capacity` records a second, where more than that always waits outside.
    /// Returns the records and the delay of each interval.
    fn play(capacity: impl Fn(u64) -> f64, intervals: u64) -> Vec<(u64, f64)> {
        let mut flow = Flow::new(Duration::from_secs(1), 1);
        let (mut free_s, mut seen) = (0.0f64, Vec::new());
        let mut running: Vec<(f64, u64)> = Vec::new();
        for interval in 0..intervals {
            let sealed_at = Moment(((interval + 1) as f64 * 1e9) as u64);
            flow.waited(sealed_at);
            let records = flow.per_second() as u64;
            let sealed_s = (interval + 1) as f64;
            flow.sealed(sealed_at, interval, records);
            free_s = free_s.max(sealed_s) + records as f64 / capacity(interval);
            running.push((free_s, interval));
            seen.push((records, free_s - sealed_s));
            running.retain(|(done_s, of)| {
                let is_done = *done_s <= sealed_s + 1.0;
                if is_done {
                    flow.done(Moment((done_s * 1e9) as u64), *of);
                }
                !is_done
            });
        }
        seen
    }

    #[test]
    fn it_begins_with_little_and_finds_what_the_cluster_can_do() {
        let seen = play(|_| 10_000.0, 60);
        assert_eq!(seen[0].0, 16);
        assert!(seen[30..].iter().all(|(records, _)| (8_000..=10_500).contains(records)), "{seen:?}");
        assert!(seen.iter().all(|(_, delay_s)| *delay_s < 2.0), "{seen:?}");
    }

    #[test]
    fn a_cluster_that_becomes_four_times_slower_is_behind_for_a_moment_and_not_for_ever() {
        let seen = play(|interval| if interval < 30 { 10_000.0 } else { 2_500.0 }, 90);
        assert!(seen.iter().all(|(_, delay_s)| *delay_s < 10.0), "{seen:?}");
        assert!(seen[60..].iter().all(|(records, delay_s)| *records <= 2_700 && *delay_s < 2.5), "{seen:?}");
    }

    #[test]
    fn an_interval_without_records_changes_nothing_and_the_limit_never_is_none() {
        let mut flow = Flow::new(Duration::from_secs(1), 4);
        flow.sealed(Moment::from_millis(1000), 0, 0);
        assert!(!flow.done(Moment::from_millis(1001), 0));
        assert_eq!(flow.per_second(), 64.0);
        for interval in 1..40 {
            flow.sealed(Moment::from_millis(interval * 1000), interval, 1);
            assert!(flow.done(Moment::from_millis(interval * 1000 + 500_000), interval));
        }
        assert_eq!(flow.per_second(), 4.0);
        assert!(!flow.done(Moment::ZERO, 1), "an interval is done once");
    }
}
