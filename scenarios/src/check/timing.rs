//! The timing rule: by the harness's own clocks, a record's interval ends after its scheduled send and begins no later
//! than its acknowledgement + slack + failure timeout + one interval.
//!
//! It keeps an engine from putting records wherever it likes.

use super::{CheckInput, records};
use dstream_trace::{Moment, RecordRange};

/// The first record of the interval that breaks the rule, in words.
pub(super) fn violation(input: &CheckInput<'_>, interval: u64) -> Option<String> {
    let seal = input.facts.sealed.get(&interval)?;
    let end = input.run.closed(interval);
    let begin = end - input.run.interval;
    seal.ranges.iter().find_map(|range| {
        never_sent(input, *range).or_else(|| too_early(input, *range, end)).or_else(|| too_late(input, *range, begin))
    })
}

fn never_sent(input: &CheckInput<'_>, range: RecordRange) -> Option<String> {
    let sent: Vec<RecordRange> = input.facts.sent_within(range).map(|sent| sent.range).collect();
    (records::count(&sent) < range.count()).then(|| format!("not all of its records {range:?} were sent"))
}

fn too_early(input: &CheckInput<'_>, range: RecordRange, end: Moment) -> Option<String> {
    input.facts.sent_within(range).find_map(|sent| {
        let (record, due) = (sent.range.last, sent.scheduled(sent.range.last));
        (due >= end)
            .then(|| format!("it ended at {end}, but record {record} of client {} was due at {due}", range.client))
    })
}

fn too_late(input: &CheckInput<'_>, range: RecordRange, begin: Moment) -> Option<String> {
    input.facts.acked_within(range).find_map(|acked| {
        let latest = acked.at + input.slack + input.run.failure_timeout + input.run.interval;
        let (record, at) = (acked.range.first, acked.at);
        (begin > latest)
            .then(|| format!("it began at {begin}, but record {record} of client {} was held at {at}", range.client))
    })
}
