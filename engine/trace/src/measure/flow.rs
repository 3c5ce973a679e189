//! Records by second: how many were due, how many were known to be held, how many became part of a result.
//!
//! Invariant: a record counts once in each column, in the second in which that happened to it for the first time.

use super::{Facts, IntervalRow, MeasureInput, Sent};
use crate::moment::Moment;
use std::collections::BTreeMap;

/// One second of the run, on the clock of the tables: 0 begins at the end of the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowRow {
    /// Negative in the warm-up.
    pub second: i64,
    /// Records whose scheduled send fell into it.
    pub due: u64,
    /// Records that a client learned to be held.
    pub acked: u64,
    /// Records whose interval's last result became visible.
    pub in_results: u64,
    /// Records that were due and not acknowledged at its end.
    pub waiting: u64,
}

const NANOS: i128 = 1_000_000_000;

/// One row a second, from the first record to the last result; seconds in which nothing happened are there too.
pub(super) fn flow(facts: &Facts, rows: &[IntervalRow], input: &MeasureInput) -> Vec<FlowRow> {
    let mut seconds: BTreeMap<i64, FlowRow> = BTreeMap::new();
    for sent in facts.sent.values().flatten() {
        for (second, records) in by_second(sent, input) {
            seconds.entry(second).or_default().due += records;
        }
    }
    for acked in facts.acked.values().flatten() {
        seconds.entry(second(acked.at, input)).or_default().acked += acked.range.count();
    }
    for row in rows {
        let Some(done) = row.done else { continue };
        seconds.entry(second(done, input)).or_default().in_results += row.records;
    }
    let (Some(first), Some(last)) = (seconds.keys().next(), seconds.keys().next_back()) else { return Vec::new() };
    let mut waiting = 0u64;
    let row = |second| {
        let row = seconds.get(&second).copied().unwrap_or_default();
        waiting = (waiting + row.due).saturating_sub(row.acked);
        FlowRow { second, waiting, ..row }
    };
    (*first..=*last).map(row).collect()
}

/// How many records of evenly spaced ones were due in each second.
fn by_second(sent: &Sent, input: &MeasureInput) -> Vec<(i64, u64)> {
    let mut found = Vec::new();
    let mut next = sent.range.first;
    while next <= sent.range.last {
        let second = second(sent.scheduled(next), input);
        let end = i128::from(input.warmup_end.0) + (i128::from(second) + 1) * NANOS - 1;
        let end = Moment(u64::try_from(end).expect("a second in which a record was due ends after the world's start"));
        let last = sent.last_due(end).unwrap_or(next).clamp(next, sent.range.last);
        found.push((second, last - next + 1));
        next = last + 1;
    }
    found
}

fn second(at: Moment, input: &MeasureInput) -> i64 {
    let nanos = i128::from(at.0) - i128::from(input.warmup_end.0);
    i64::try_from(nanos.div_euclid(NANOS)).expect("seconds of a 64-bit clock fit 64 bits")
}
