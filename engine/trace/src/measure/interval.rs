//! Intervals: when each closed, when its last result was visible, and what delay is usual.

use super::{Facts, MeasureInput};
use crate::event::TaskName;
use crate::moment::Moment;
use crate::range::RecordRange;
use std::time::Duration;

/// One interval of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalRow {
    /// Its number.
    pub interval: u64,
    /// Its end.
    pub closed: Moment,
    /// When its first task got a core.
    pub started: Option<Moment>,
    /// When its last result was visible; `None` if one is missing.
    pub done: Option<Moment>,
    /// How many records it holds.
    pub records: u64,
}

impl IntervalRow {
    /// From its end to its last result.
    pub fn delay(&self) -> Option<Duration> {
        self.done.map(|done| done.since(self.closed))
    }

    /// Whether all its results were visible within `slo` after its end.
    pub fn is_on_time(&self, slo: Duration) -> bool {
        self.delay().is_some_and(|delay| delay <= slo)
    }
}

impl MeasureInput {
    /// The end of an interval.
    pub fn closed(&self, interval: u64) -> Moment {
        let length = u64::try_from(self.interval.as_nanos()).expect("an interval is far shorter than 584 years");
        Moment(self.origin.0 + length * (interval + 1))
    }

    /// The interval that is open at `at`; 0 before the first.
    pub fn open_at(&self, at: Moment) -> u64 {
        let length = self.interval.as_nanos().max(1);
        let index = u128::from(at.0.saturating_sub(self.origin.0)) / length;
        u64::try_from(index).expect("an index of 64-bit nanoseconds fits 64 bits")
    }
}

/// Rows of all intervals that were sealed or have a result, gaps included.
pub(super) fn rows(facts: &Facts, input: &MeasureInput) -> Vec<IntervalRow> {
    let sealed = facts.sealed.last_key_value().map(|(interval, _)| *interval);
    let visible = facts.results.last_key_value().map(|(interval, _)| *interval);
    let Some(last) = sealed.max(visible) else { return Vec::new() };
    // A result may name any number; rows end where the run did.
    let last = last.min(input.open_at(input.end));
    (0..=last)
        .map(|interval| IntervalRow {
            interval,
            closed: input.closed(interval),
            started: first_start(facts, interval),
            done: facts.done(interval, input.outputs.iter().map(|output| output.name.as_str())),
            records: facts.sealed.get(&interval).map_or(0, |seal| seal.ranges.iter().map(RecordRange::count).sum()),
        })
        .collect()
}

fn first_start(facts: &Facts, interval: u64) -> Option<Moment> {
    let name = |interval| TaskName { interval, stage: 0, partition: 0, attempt: 0 };
    facts.tasks.range(name(interval)..name(interval + 1)).filter_map(|(_, task)| task.started).min()
}

/// 1.5 times the largest delay of what was visible before the first fault, plus the margin.
pub(super) fn usual_delay(rows: &[IntervalRow], input: &MeasureInput, first_fault: Option<Moment>) -> Option<Duration> {
    let before = first_fault.unwrap_or(Moment::NEVER);
    let calm = || rows.iter().filter(|row| row.done.is_some_and(|done| done < before));
    let measured = calm().filter(|row| row.closed > input.warmup_end).filter_map(IntervalRow::delay).max();
    let largest = measured.or_else(|| calm().filter_map(IntervalRow::delay).max())?;
    Some(largest + largest / 2 + input.slo_margin)
}
