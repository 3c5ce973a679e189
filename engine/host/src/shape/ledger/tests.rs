//! The laws of ledgers. Knows only their public face; each law is checked on drawn sequences of work.

use super::*;
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(1);

/// Works as (pause before it, cost), both in nanoseconds.
fn works() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0..5_000_000u64, 0..9_000_000u64), 1..60)
}

/// Each work's [begin, end) on its lane, in the order of charging.
fn spans(lanes: usize, works: &[(u64, u64)], tick: Duration) -> Vec<(Moment, u64, u64)> {
    let mut ledger = CoreLedger::new(lanes);
    let mut now = Moment::ZERO;
    let mut spans = Vec::new();
    for &(gap, cost) in works {
        now = now + Duration::from_nanos(gap);
        let end = ledger.charge(now, Duration::from_nanos(cost), tick);
        spans.push((now, end.0 - cost, end.0));
    }
    spans
}

proptest! {
    #[test]
    fn never_more_works_at_once_than_lanes(lanes in 1..6usize, works in works()) {
        let spans = spans(lanes, &works, TICK);
        for &(_, begin, end) in &spans {
            let at_once = spans.iter().filter(|(_, b, e)| *b <= begin && begin < *e).count();
            prop_assert!(begin == end || at_once <= lanes);
        }
    }

    #[test]
    fn work_begins_less_than_a_tick_before_it_was_asked_for(lanes in 1..6usize, works in works()) {
        for (now, begin, _) in spans(lanes, &works, TICK) {
            prop_assert!(begin + 1_000_000 > now.0);
        }
    }

    #[test]
    fn without_a_tick_no_lane_idles_while_work_waits(lanes in 1..6usize, works in works()) {
        let spans = spans(lanes, &works, Duration::ZERO);
        for (index, &(now, begin, _)) in spans.iter().enumerate() {
            let busy = spans[..index].iter().filter(|(_, b, e)| *b <= now.0 && now.0 < *e).count();
            prop_assert!(begin == now.0 || busy == lanes);
            prop_assert!(begin >= now.0);
        }
    }

    #[test]
    fn work_in_a_row_takes_the_sum_of_its_costs_however_late_timers_fire(
        costs in proptest::collection::vec(0..5_000_000u64, 1..60),
        late in 0..1_000_000u64,
    ) {
        let mut lane = Lane::default();
        let mut now = Moment::ZERO;
        for cost in &costs {
            let until = lane.charge(now, Duration::from_nanos(*cost), TICK);
            now = if until > now { until + Duration::from_nanos(late) } else { now };
        }
        prop_assert_eq!(lane.free().0, costs.iter().sum::<u64>());
    }

    #[test]
    fn rows_of_work_get_no_more_than_a_lane_each_although_their_waits_end_early(
        lanes in 1..6usize,
        costs in proptest::collection::vec(0..5_000_000u64, 1..6),
    ) {
        let rows = costs.len().min(lanes);
        let mut ledger = CoreLedger::new(lanes);
        let (mut ends, mut total) = (vec![Moment::ZERO; rows], 0);
        for _ in 0..60 {
            // A row goes on as soon as the millisecond begins in which its last work ends.
            let woken = |end: &Moment| Moment(end.0 - end.0 % 1_000_000);
            let row = (0..rows).min_by_key(|row| (woken(&ends[*row]), *row)).expect("there is a row");
            ends[row] = ledger.charge(woken(&ends[row]), Duration::from_nanos(costs[row]), TICK);
            total += costs[row];
            let last = ends.iter().max().expect("there is a row").0;
            prop_assert!(total <= rows as u64 * last + lanes as u64 * 1_000_000, "{total} in {last}");
        }
    }

    #[test]
    fn a_stall_delays_what_was_not_done_and_nothing_else(cost in 1..9_000_000u64, since in 0..9_000_000u64) {
        let mut lane = Lane::default();
        let end = lane.charge(Moment::ZERO, Duration::from_nanos(cost), TICK);
        lane.stall(Moment(since), Duration::from_secs(1));
        let expected = if end.0 > since { end + Duration::from_secs(1) } else { end };
        prop_assert_eq!(lane.free(), expected);
    }

    #[test]
    fn another_speed_prices_anew_what_was_not_done_and_nothing_else(cost in 1..9_000_000u64, since in 0..9_000_000u64) {
        let mut lane = Lane::default();
        let end = lane.charge(Moment::ZERO, Duration::from_nanos(cost), TICK);
        lane.rescale(Moment(since), |left| left * 3);
        prop_assert_eq!(lane.free().0, end.0 + 2 * end.0.saturating_sub(since));
    }
}

#[test]
fn transfers_take_bytes_over_bandwidth() {
    for (bytes, bits_per_second, nanos) in
        [(0, 1, 0), (125_000_000, 1_000_000_000, 1_000_000_000), (1500, 1_000_000_000, 12_000), (1, 3, 2_666_666_667)]
    {
        assert_eq!(transfer_time(bytes, bits_per_second), Duration::from_nanos(nanos));
    }
    assert_eq!(transfer_time(1, 0), Duration::MAX);
}
