//! Latency: from a record's scheduled send until every output has a result that covers it, weighted by records; and until
//! it shows in a running result, where an engine has those.
//!
//! Scheduled times are evenly spaced, so whole runs of records fall into one bucket of the histogram at once.
//! Where results come every few intervals, that is the next of them. Invariant: every record that was due after the warm-up
//! and is in a result of every output counts exactly once.

use super::{Facts, IntervalRow, MeasureInput, Sent};
use crate::moment::Moment;
use crate::result::Percentiles;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Digits that survive in a histogram: three, so a percentile is exact to one part in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The 99.9th percentile of fewer samples than this would be one of the ten largest: noise.
const SAMPLES_FOR_P999: u64 = 10_000;

/// A second of the run, by when results became visible.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondRow {
    /// From the end of the warm-up, from 0.
    pub second: u64,
    /// Records whose result became visible in it.
    pub records: u64,
    /// Their latency.
    pub latency: Percentiles,
    /// Records that showed in a running result in it for the first time.
    pub reflected: u64,
    /// Their latency until then.
    pub record_latency: Percentiles,
}

/// A distribution of latencies.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let histogram = Histogram::new(SIGNIFICANT_DIGITS).expect("three digits are in the permitted range of 0 to 5");
        Latencies { histogram, max_ns: 0 }
    }
}

impl Latencies {
    /// Adds the records of `sent` that were due at or after `from`, all of whose results were visible at `visible`.
    pub fn add(&mut self, sent: &Sent, visible: Moment, from: Moment) {
        let mut next = match from.0.checked_sub(1).and_then(|before| sent.last_due(Moment(before))) {
            Some(last_before) => last_before + 1,
            None => sent.range.first,
        };
        while next <= sent.range.last {
            let latency = visible.0.saturating_sub(sent.scheduled(next).0);
            // Later records waited less: the bucket ends with the last one due before its lower edge is crossed.
            let edge = Moment(visible.0.saturating_sub(self.histogram.lowest_equivalent(latency)));
            let last = if latency == 0 { sent.range.last } else { sent.last_due(edge).unwrap_or(next).max(next) };
            self.histogram.record_n(latency, last - next + 1).expect("the histogram grows with its values");
            self.max_ns = self.max_ns.max(latency);
            next = last + 1;
        }
    }

    /// How many records were added.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The percentiles, in milliseconds.
    pub fn percentiles(&self) -> Percentiles {
        if self.histogram.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile| Some(milliseconds(self.histogram.value_at_quantile(quantile).min(self.max_ns)));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: if self.count() >= SAMPLES_FOR_P999 { at(0.999) } else { None },
            max: Some(milliseconds(self.max_ns)),
        }
    }
}

/// Whole microseconds: the digits below them are the histogram's, not the run's.
fn milliseconds(nanos: u64) -> f64 {
    (nanos as f64 / 1e3).round() / 1e3
}

/// All distributions of a run.
pub(super) struct RunLatencies {
    pub all: Latencies,
    pub before_faults: Latencies,
    /// Until the first running result.
    pub records: Latencies,
    pub seconds: Vec<SecondRow>,
}

/// The distributions of one second.
#[derive(Default)]
struct Second {
    results: Latencies,
    records: Latencies,
}

/// Measures every committed interval and every running result.
pub(super) fn latencies(
    facts: &Facts,
    rows: &[IntervalRow],
    input: &MeasureInput,
    first_fault: Option<Moment>,
) -> RunLatencies {
    let mut all = Latencies::default();
    let mut before_faults = Latencies::default();
    let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
    for row in rows {
        let (Some(done), Some(sealed)) = (row.covered, facts.sealed.get(&row.interval)) else { continue };
        let second = done.since(input.warmup_end).as_secs();
        for sent in sealed.ranges.iter().flat_map(|range| facts.sent_within(*range)) {
            if sent.scheduled(sent.range.last) < input.warmup_end {
                continue;
            }
            all.add(&sent, done, input.warmup_end);
            if first_fault.is_none_or(|fault| done < fault) {
                before_faults.add(&sent, done, input.warmup_end);
            }
            seconds.entry(second).or_default().results.add(&sent, done, input.warmup_end);
        }
    }
    let records = reflected(facts, input, &mut seconds);
    let seconds = seconds.into_iter().map(|(second, Second { results, records })| SecondRow {
        second,
        records: results.count(),
        latency: results.percentiles(),
        reflected: records.count(),
        record_latency: records.percentiles(),
    });
    RunLatencies { all, before_faults, records, seconds: seconds.collect() }
}

/// Until each record first showed in a running result.
fn reflected(facts: &Facts, input: &MeasureInput, seconds: &mut BTreeMap<u64, Second>) -> Latencies {
    let mut records = Latencies::default();
    for shown in &facts.reflected {
        for sent in facts.sent_within(shown.range) {
            if sent.scheduled(sent.range.last) < input.warmup_end {
                continue;
            }
            records.add(&sent, shown.at, input.warmup_end);
            let second = shown.at.since(input.warmup_end).as_secs();
            seconds.entry(second).or_default().records.add(&sent, shown.at, input.warmup_end);
        }
    }
    records
}
