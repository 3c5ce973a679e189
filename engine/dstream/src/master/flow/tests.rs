//! What the controller lets in, interval by interval.

use super::*;

/// A cluster that works off interval after interval, as if on one core.
#[derive(Clone, Copy)]
struct Play {
    interval_ms: u64,
    /// An interval is done so long after its last record was worked off: messages go round.
    latency_ms: u64,
    /// Records a second that come, as far as they are let in; the others wait outside.
    load: f64,
    /// Nothing is worked off from here to there.
    stands_still_s: (f64, f64),
    intervals: u64,
    /// Cores that it has, of which one works.
    cores: u32,
    /// Why only one does: each task waits for that of the interval before.
    in_steps: bool,
}

fn content(records: u64, if_alike: u64) -> Content {
    Content { records, if_alike, blocks: Vec::new() }
}

/// What became of an interval.
#[derive(Clone, Copy, Debug)]
struct Seen {
    records: u64,
    delay_s: f64,
    /// Records that wait outside.
    outside: f64,
}

/// More than it can do waits outside from the beginning on.
const TOO_MUCH: Play = Play {
    interval_ms: 1000,
    latency_ms: 0,
    load: 1e9,
    stands_still_s: (0.0, 0.0),
    intervals: 60,
    cores: 1,
    in_steps: false,
};

impl Play {
    /// `capacity`: how many records a second the core works off, by interval.
    fn run(self, capacity: impl Fn(u64) -> f64) -> Vec<Seen> {
        let length_s = self.interval_ms as f64 / 1000.0;
        let at = |second: f64| Moment((second * 1e9) as u64);
        let mut flow = Flow::new(Duration::from_millis(self.interval_ms), (1, self.cores));
        let (mut free_s, mut outside, mut seen) = (0.0f64, 0.0f64, Vec::new());
        let mut running: Vec<(f64, u64)> = Vec::new();
        for interval in 0..self.intervals {
            let sealed_s = (interval + 1) as f64 * length_s;
            flow.waited(at(sealed_s));
            outside += self.load * length_s;
            let records = (flow.per_second() * length_s).min(outside) as u64;
            outside -= records as f64;
            flow.sealed(at(sealed_s), interval, content(records, records));
            let cost_s = records as f64 / capacity(interval);
            flow.worked(
                interval,
                Duration::from_secs_f64(cost_s),
                if self.in_steps { Work::Steps } else { Work::Other },
            );
            free_s = free_s.max(sealed_s) + cost_s;
            let (from, to) = self.stands_still_s;
            free_s = if (from..to).contains(&free_s) { to } else { free_s };
            let done_s = free_s + self.latency_ms as f64 / 1000.0;
            running.push((done_s, interval));
            seen.push(Seen { records, delay_s: done_s - sealed_s, outside });
            running.retain(|(done_s, of)| {
                let is_done = *done_s <= sealed_s + length_s;
                if is_done {
                    flow.done(at(*done_s), *of, 1);
                }
                !is_done
            });
        }
        seen
    }
}

#[test]
fn it_begins_with_little_and_finds_what_the_cluster_can_do() {
    let seen = TOO_MUCH.run(|_| 10_000.0);
    assert_eq!(seen[0].records, 16);
    assert!(seen[30..].iter().all(|seen| (8_000..=10_500).contains(&seen.records)), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.delay_s < 2.0), "{seen:?}");
}

#[test]
fn a_cluster_that_becomes_four_times_slower_is_behind_for_a_moment_and_not_for_ever() {
    let seen = Play { intervals: 90, ..TOO_MUCH }.run(|interval| if interval < 30 { 10_000.0 } else { 2_500.0 });
    assert!(seen.iter().all(|seen| seen.delay_s < 10.0), "{seen:?}");
    assert!(seen[60..].iter().all(|seen| seen.records <= 2_700 && seen.delay_s < 2.5), "{seen:?}");
}

#[test]
fn results_that_pass_through_several_intervals_are_no_backlog() {
    // Intervals of 200 ms whose results take 600 ms; what waits outside after 3 s of standing still is worked off.
    let play = Play { interval_ms: 200, latency_ms: 600, load: 3_000.0, intervals: 80, ..TOO_MUCH };
    let seen = Play { stands_still_s: (6.0, 9.0), ..play }.run(|_| 10_000.0);
    assert!(seen[10..28].iter().all(|seen| seen.outside < 1.0 && seen.delay_s < 0.7), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.delay_s < 4.0), "{seen:?}");
    assert!(seen[60..].iter().all(|seen| seen.outside < 1.0 && seen.delay_s < 0.7), "{seen:?}");
}

#[test]
fn cores_that_cannot_be_used_do_not_count() {
    let one_of_eight = Play { cores: 8, intervals: 120, ..TOO_MUCH };
    // A state that is made step by step is as fast as its steps. What else holds it up shows in what waits.
    let in_steps = Play { in_steps: true, ..one_of_eight }.run(|_| 10_000.0);
    assert!(in_steps.iter().all(|seen| seen.delay_s < 2.0), "{in_steps:?}");
    assert!(in_steps[30..].iter().all(|seen| (8_000..=10_500).contains(&seen.records)), "{in_steps:?}");
    let held_up = one_of_eight.run(|_| 10_000.0);
    assert!(held_up.iter().all(|seen| seen.delay_s < 11.0), "{held_up:?}");
    assert!(held_up[60..].iter().all(|seen| seen.delay_s < 5.0 && seen.records > 8_000), "{held_up:?}");
}

#[test]
fn what_waited_behind_a_moment_of_standing_still_is_no_sign_of_a_slow_cluster() {
    // Seven tenths of what it can do come; nothing is done for 3 s. What is late then has waited, and comes through as
    // fast as cores allow.
    let play = Play { interval_ms: 500, latency_ms: 150, load: 2_700.0, intervals: 40, ..TOO_MUCH };
    let seen = Play { stands_still_s: (6.0, 9.0), ..play }.run(|_| 4_000.0);
    assert!(seen.iter().all(|seen| seen.delay_s < 4.0), "{seen:?}");
    // While anything waits outside, the core is given no rest.
    assert!(seen[18..].iter().all(|seen| seen.outside < 1.0 || seen.delay_s >= 0.55), "{seen:?}");
    assert!(seen[28..].iter().all(|seen| seen.outside < 1.0 && seen.delay_s < 0.6), "{seen:?}");
}

#[test]
fn an_interval_with_all_that_was_let_in_was_held_down_and_one_with_less_was_not() {
    let mut flow = Flow::new(Duration::from_secs(1), (1, 1));
    let mut held = |(interval, (records, if_alike)): (u64, (u64, u64))| {
        let at = Moment::from_millis(interval * 1000);
        let is_held = flow.sealed(at, interval, content(records, if_alike));
        flow.worked(interval, Duration::from_millis(records), Work::Other);
        flow.done(at + Duration::from_millis(100), interval, 1);
        (is_held, flow.limit as u64)
    };
    // Begins with 16; the limit that was raised when an interval was done does not count for what was read before.
    let alike = [16, 500, 800, 900, 900, 400, 400, 890].map(|records| (records, records));
    // One of two clients sends alone.
    let alone = [(450, 900), (350, 700)];
    let seen: Vec<(bool, u64)> = (0..).zip(alike.into_iter().chain(alone)).map(&mut held).collect();
    let held: Vec<bool> = seen.iter().map(|(is_held, _)| *is_held).collect();
    assert_eq!(held, [true, true, true, true, true, false, false, true, true, false], "{seen:?}");
}

#[test]
fn what_an_interval_gave_is_not_taken_back_because_the_next_had_less() {
    let mut flow = Flow::new(Duration::from_secs(2), (3, 2));
    let limits = [(0, 500), (1, 120)].map(|(interval, records)| {
        flow.sealed(Moment::from_millis(2000 * (interval + 1)), interval, content(records, records));
        flow.worked(interval, Duration::from_millis(records * 8), Work::Other);
        (interval, records)
    });
    let limits = limits.map(|(interval, _)| {
        flow.done(Moment::from_millis(4500 + interval), interval, 3);
        flow.limit as u64
    });
    assert_eq!(limits, [1000, 1000]);
}

#[test]
fn where_tasks_cost_most_and_records_little_it_leaps_over_what_the_average_record_costs() {
    // So many records, and the core time of their tasks: 0.3 s for these, and 0.1 ms for each record, or 1 ms.
    for (record_ms, expected) in [(0.1, 38_500), (1.0, 3_850)] {
        let mut flow = Flow::new(Duration::from_secs(2), (4, 1));
        for (interval, records) in [(0, 64), (1, 1600)] {
            flow.sealed(Moment::from_millis(2000 * (interval + 1)), interval, content(records, records));
            let cost_ms = 300.0 + records as f64 * record_ms;
            flow.worked(interval, Duration::from_secs_f64(cost_ms / 1000.0), Work::Other);
            flow.done(Moment::from_millis(2000 * (interval + 1) + 200), interval, 4);
        }
        assert_eq!(flow.limit as u64, expected, "{record_ms} ms a record");
    }
}

#[test]
fn a_master_that_takes_over_begins_with_what_was_let_in_lately() {
    let had: [(&[u64], u64); 4] =
        [(&[], 16), (&[5], 16), (&[9000, 40, 700], 700), (&[9000, 9000, 40, 700, 0, 600], 600)];
    for (had, expected) in had {
        for (written, expected) in [(0, expected), (500, expected.max(500)), (2000, 2000)] {
            let mut flow = Flow::new(Duration::from_secs(1), (1, 1));
            flow.goes_on(written, had.iter().copied());
            assert_eq!(flow.per_second() as u64, expected, "{written}, {had:?}");
        }
    }
}

#[test]
fn what_is_let_in_is_written_when_it_is_far_from_what_was() {
    let flow = Flow::new(Duration::from_secs(1), (1, 1));
    let far = |written| flow.is_far_from(written).is_some();
    assert_eq!([0, 10, 11, 16, 24, 25].map(far), [true, true, false, false, false, true]);
    assert_eq!(flow.is_far_from(0), Some(16));
}

#[test]
fn an_interval_without_records_changes_nothing_and_the_limit_never_is_none() {
    let mut flow = Flow::new(Duration::from_secs(1), (2, 2));
    flow.sealed(Moment::from_millis(1000), 0, content(0, 0));
    assert!(!flow.done(Moment::from_millis(1001), 0, 2));
    assert_eq!(flow.per_second(), 64.0);
    for interval in 1..40 {
        flow.sealed(Moment::from_millis(interval * 1000), interval, content(1, 1));
        flow.worked(interval, Duration::from_secs(2000), Work::Other);
        assert!(flow.done(Moment::from_millis(interval * 1000 + 500_000), interval, 2));
    }
    assert_eq!(flow.per_second(), 4.0);
    assert!(!flow.done(Moment::ZERO, 1, 2), "an interval is done once");
}

/// An interval of so many records, a millisecond each, is done; of a second one with this many, in four blocks, so many are
/// read, at so much each. The limits before and after.
fn foreseen(first: u64, second: u64, blocks: usize, record_us: u64) -> (u64, u64) {
    let mut flow = Flow::new(Duration::from_secs(2), (2, 1));
    let content = |records: u64| Content { records, if_alike: records, blocks: vec![records / 4; 4] };
    let mut before = 0;
    for (interval, records, read, record_us) in [(0, first, 4, 1000), (1, second, blocks, record_us)] {
        let at = Moment::from_millis(2000 * (interval + 1));
        flow.sealed(at, interval, content(records));
        before = flow.limit as u64;
        let core_time = Duration::from_micros(records / 4 * record_us);
        let changed: Vec<bool> = (0..read).map(|block| flow.worked(interval, core_time, Work::Reads(block))).collect();
        assert!(changed.iter().filter(|changed| **changed).count() <= 1, "{changed:?}");
        if interval == 0 {
            flow.done(at + Duration::from_millis(100), interval, 2);
        }
    }
    (before, flow.limit as u64)
}

#[test]
fn the_first_tasks_of_an_interval_let_in_more_before_it_is_done_where_its_records_are_cheaper() {
    // Half of 4000 a core and interval, which is what records of a millisecond allow; then of twenty times that, 32 times
    // the last limit at most, and nine tenths where the limit is near enough.
    assert_eq!(foreseen(400, 2000, 1, 50), (2000, 40_000));
    assert_eq!(foreseen(400, 2000, 4, 50), (2000, 40_000));
    assert_eq!(foreseen(16, 1000, 1, 10), (1024, 32_768));
    assert_eq!(foreseen(400, 2000, 1, 1000), (2000, 3600));
    // Nobody has read any yet; they are dearer; nothing was known before.
    assert_eq!(foreseen(400, 2000, 0, 50), (2000, 2000));
    assert_eq!(foreseen(400, 2000, 1, 4000), (2000, 2000));
    assert_eq!(foreseen(0, 2000, 1, 50).0, foreseen(0, 2000, 1, 50).1);
}
