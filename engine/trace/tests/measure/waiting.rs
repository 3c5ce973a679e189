//! What waits at clients: it is in no interval, so intervals are on time while records are old.

use super::*;

/// Client 1's records of these intervals are taken in three intervals later: as if held up at the client.
fn held_up(intervals: std::ops::Range<u64>) -> Run {
    let mut run = Run::new(&[200; 12]);
    let shift = |interval: u64| interval + 3;
    let is_held = |range: &RecordRange| intervals.contains(&(range.first / 10));
    for (at, _, event) in &mut run.events {
        match event {
            Event::RecordsSent { range, .. } | Event::RecordsAcked { range } if is_held(range) => *at += 3000,
            Event::IntervalSealed { interval, ranges, .. } => {
                let own = *interval;
                ranges.retain(|range| !is_held(range));
                let moved = own.checked_sub(3).filter(|from| intervals.contains(from) && shift(*from) == own);
                ranges.extend(moved.map(|from| RecordRange { client: 1, first: from * 10, last: from * 10 + 9 }));
            }
            _ => {}
        }
    }
    run
}

#[test]
fn what_waits_at_a_client_counts_from_its_schedule_to_its_acknowledgement() {
    let waited = |run: &Run| {
        let waited = run.measured().waited_at_clients;
        (waited.most_records, waited.most_bytes, (waited.longest_s * 1e3).round() as u64)
    };
    // Ten records are acknowledged 20 ms before their interval ends, when the last of them is due for 80 ms.
    assert_eq!(waited(&Run::new(&[200; 12])), (10, 1000, 980));
    // Two intervals' records wait for three seconds more: before the first of them are acknowledged, those of two and
    // those of the interval that is under way.
    assert_eq!(waited(&held_up(4..6)), (30, 3000, 3980));
    // What is never acknowledged waits to the end of the run, at 19 s; its first record was due at 12 s.
    let mut run = Run::new(&[200; 12]);
    run.events.retain(|(_, _, event)| !matches!(event, Event::RecordsAcked { range } if range.first == 110));
    assert_eq!(waited(&run), (10, 1000, 7000));
    // A client that is cut off for good waits for nobody.
    run.fault(5500, None, "partition", &["client-1"], Effect::MessageCut);
    assert_eq!(waited(&run), (0, 0, 0));
    // What was due in the warm-up is not measured.
    assert_eq!(waited(&held_up(0..1)), (10, 1000, 980));
}

#[test]
fn an_interval_with_old_records_is_on_time_and_its_oldest_record_is_not() {
    let rows = held_up(4..6).measured().intervals;
    let ms = |length: Option<Duration>| length.map(|length| length.as_millis());
    let seen: Vec<_> =
        rows[6..9].iter().map(|row| [ms(row.delay()), ms(row.latency()), ms(row.oldest_delay())]).collect();
    // Interval 7 has records of interval 4, which were due from 5 s on; their age counts from the end of interval 5.
    assert_eq!(seen[0], [Some(200), Some(1200), Some(200)]);
    assert_eq!(seen[1], [Some(200), Some(4200), Some(2200)]);
    let flow = held_up(4..6).measured().flow;
    let waiting: Vec<u64> = flow.iter().map(|row| row.waiting).collect();
    assert_eq!(waiting[4..9], [10, 20, 20, 10, 0]);
}

#[test]
fn a_fault_is_drained_when_nothing_old_waits_however_soon_intervals_are_on_time() {
    // Records of intervals 4 to 7 are each taken in three intervals late; the intervals themselves are on time.
    let mut run = held_up(4..8);
    run.fault(5500, Some(6000), "slow-cpu", &["worker-2"], Effect::WorkStretched);
    // Caught up at 6 s; the last of them are in the result of interval 10, at 12.2 s.
    check_faults(&run, &["- 700 500 6700 0 1000"]);
    // The next one strikes while the last of them wait: both end with their result. Too few intervals follow to say that the
    // second was caught up with.
    run.fault(11_300, Some(11_400), "slow-cpu", &["worker-2"], Effect::WorkStretched);
    check_faults(&run, &["- 700 500 6700 0 1000", "- 900 - 900 0 5800"]);
}
