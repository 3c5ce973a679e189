//! Laws of latency: closed forms equal counting record by record.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_trace::measure::{Facts, Latencies};
use dstream_trace::{Event, Moment, NodeName, RecordRange, TraceLine};
use proptest::prelude::*;

/// A run of records sent in one piece, and the same sent one by one.
fn sent(count: u64, begin: u64, span: u64) -> (Facts, RecordRange) {
    let range = RecordRange { client: 1, first: 5, last: 5 + count - 1 };
    let event = Event::RecordsSent { range, first_scheduled: Moment(begin), last_scheduled: Moment(begin + span) };
    let line = TraceLine { at: Moment(begin), sequence: 0, node: NodeName::new("client-1"), event };
    (Facts::read(&[line]), range)
}

proptest! {
    #[test]
    fn the_last_record_due_is_found_without_looking_at_each(
        count in 1u64..200, begin in 0u64..1000, span in 0u64..5000, at in 0u64..7000,
    ) {
        let (facts, range) = sent(count, begin, span);
        let piece = facts.sent_within(range).next().unwrap();
        let expected = (range.first..=range.last).rev().find(|record| piece.scheduled(*record) <= Moment(at));
        prop_assert_eq!(piece.last_due(Moment(at)), expected);
    }

    #[test]
    fn a_run_of_records_has_the_latencies_of_its_records(
        count in 1u64..300, begin in 0u64..1_000_000, span in 0u64..50_000_000, wait in 0u64..100_000_000,
        from in 0u64..60_000_000,
    ) {
        let (facts, range) = sent(count, begin, span);
        let piece = facts.sent_within(range).next().unwrap();
        let visible = Moment(begin + span + wait);
        let mut whole = Latencies::default();
        whole.add(&piece, visible, Moment(from));
        let mut single = Latencies::default();
        for record in range.first..=range.last {
            let one = piece.within(RecordRange { client: 1, first: record, last: record }).unwrap();
            single.add(&one, visible, Moment(from));
        }
        prop_assert_eq!(whole.count(), single.count());
        prop_assert_eq!(whole.percentiles(), single.percentiles());
        let counted = (range.first..=range.last).filter(|record| piece.scheduled(*record) >= Moment(from)).count();
        prop_assert_eq!(whole.count(), counted as u64);
    }
}
