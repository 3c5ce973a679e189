//! Intervals: when each closed, when its last result was visible, and what delay is usual.

use super::{Facts, MeasureInput, OutputFacts};
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
    /// When its first task got a core; where there are no tasks, when the first source knew that the interval was over.
    pub started: Option<Moment>,
    /// Whether any output has a result at its end.
    pub is_due: bool,
    /// When its last result was visible; `None` if one is missing, or if it is not due.
    pub done: Option<Moment>,
    /// When a result of every output covered it: its own, or that of a later interval; `None` if one is missing.
    pub covered: Option<Moment>,
    /// How many records it holds.
    pub records: u64,
    /// When the oldest of its records was due, of those that were due after the warm-up.
    pub oldest: Option<Moment>,
    /// From when on that record's age counts: from the end of its interval, but at most of the one after that in which it
    /// was due.
    pub age_begins: Option<Moment>,
}

impl IntervalRow {
    /// From its end to its last result.
    pub fn delay(&self) -> Option<Duration> {
        self.done.map(|done| done.since(self.closed))
    }

    /// How long its oldest record waited for a result of every output, from its scheduled send.
    pub fn latency(&self) -> Option<Duration> {
        Some(self.covered?.since(self.oldest?))
    }

    /// The delay that its oldest record saw. It is the interval's own, unless that record was due long before and was not
    /// taken in: what waits at a client is in no interval.
    pub fn oldest_delay(&self) -> Option<Duration> {
        Some(self.covered?.since(self.age_begins?))
    }

    /// Whether it is due and all its results were visible within `slo` after its end.
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

impl MeasureInput {
    /// From when on the age of a record counts that was due at `due` and is in `interval`: from the end of that interval,
    /// but at most of the one after that in which it was due. Arrival takes a moment; a stall is no excuse. Where results
    /// come every few intervals, it counts from the end of the next that has all of them.
    pub(super) fn age_begins(&self, interval: u64, due: Moment) -> Moment {
        self.closed(self.covered_by(interval.min(self.open_at(due) + 1)))
    }
}

impl OutputFacts {
    /// Whether it has a result at the end of the interval.
    pub fn is_due(&self, interval: u64) -> bool {
        self.due_after(interval) == interval
    }

    /// The first interval, from this one on, at whose end it has a result.
    pub fn due_after(&self, interval: u64) -> u64 {
        let since = interval % self.every.max(1);
        interval.saturating_add(self.every.max(1) - 1 - since)
    }
}

impl MeasureInput {
    /// From one result of an output to its next, where results come the least often.
    pub fn slide(&self) -> Duration {
        let every = self.outputs.iter().map(|output| output.every.max(1)).max().unwrap_or(1);
        self.interval.saturating_mul(u32::try_from(every).unwrap_or(u32::MAX))
    }

    /// Whether any output has a result at the end of the interval.
    pub fn is_due(&self, interval: u64) -> bool {
        self.outputs.iter().any(|output| output.is_due(interval))
    }

    /// The first interval by whose end every output has had a result that covers this one.
    pub fn covered_by(&self, interval: u64) -> u64 {
        self.outputs.iter().map(|output| output.due_after(interval)).max().unwrap_or(interval)
    }
}

impl Facts {
    /// When the last of the results that are due at the end of the interval became visible; `None` while one is missing
    /// and where none is due.
    pub fn done(&self, interval: u64, outputs: &[OutputFacts]) -> Option<Moment> {
        let due = outputs.iter().filter(|output| output.is_due(interval));
        let visible: Option<Vec<Moment>> = due.map(|output| self.whole(interval, &output.name)).collect();
        visible?.into_iter().max()
    }

    /// When every output had a result that covers the interval; `None` while one is missing.
    pub fn covered(&self, interval: u64, outputs: &[OutputFacts]) -> Option<Moment> {
        let whole = |output: &OutputFacts| self.whole(output.due_after(interval), &output.name);
        let visible: Option<Vec<Moment>> = outputs.iter().map(whole).collect();
        visible?.into_iter().max()
    }

    /// When each result that was due became visible, in order. What an engine says of intervals between is no result.
    pub(super) fn due_visible(&self, outputs: &[OutputFacts]) -> Vec<Moment> {
        let due = self.results.iter().flat_map(|(interval, of)| {
            let due = outputs.iter().filter(|output| output.is_due(*interval));
            due.filter_map(|output| of.get(&output.name)).flat_map(|parts| parts.values().map(|result| result.at))
        });
        let mut visible: Vec<Moment> = due.collect();
        visible.sort_unstable();
        visible
    }

    /// When the last part of the output's result became visible; `None` while one is missing.
    fn whole(&self, interval: u64, output: &str) -> Option<Moment> {
        let partitions = self.results.get(&interval)?.get(output)?;
        let of = partitions.values().next()?.of;
        if partitions.len() < of as usize {
            return None;
        }
        partitions.values().map(|result| result.at).max()
    }
}

/// Rows of all intervals that were sealed, have a result or in which records were due, gaps included: where nobody seals
/// any more, intervals end all the same.
pub(super) fn rows(facts: &Facts, input: &MeasureInput) -> Vec<IntervalRow> {
    let sealed = facts.sealed.last_key_value().map(|(interval, _)| *interval);
    let visible = facts.results.last_key_value().map(|(interval, _)| *interval);
    let due = facts.sent.values().filter_map(|pieces| pieces.last());
    let due = due.map(|sent| input.open_at(sent.scheduled(sent.range.last))).max();
    let Some(last) = sealed.max(visible).max(due) else { return Vec::new() };
    // A result may name any number; rows end where the run did.
    let last = last.min(input.open_at(input.end));
    let row = |interval| {
        let oldest = oldest(facts, input, interval);
        IntervalRow {
            interval,
            closed: input.closed(interval),
            started: first_start(facts, interval).or_else(|| facts.shares.first(interval)),
            is_due: input.is_due(interval),
            done: facts.done(interval, &input.outputs),
            covered: facts.covered(interval, &input.outputs),
            records: facts.sealed.get(&interval).map_or(0, |seal| seal.ranges.iter().map(RecordRange::count).sum()),
            oldest,
            age_begins: oldest.map(|due| input.age_begins(interval, due)),
        }
    };
    (0..=last).map(row).collect()
}

/// When the oldest of the interval's records was due, of those that were due after the warm-up.
fn oldest(facts: &Facts, input: &MeasureInput, interval: u64) -> Option<Moment> {
    let sent = facts.sealed.get(&interval)?.ranges.iter().flat_map(|range| facts.sent_within(*range));
    let measured = sent.filter_map(|sent| {
        let before = sent.last_due(Moment(input.warmup_end.0.saturating_sub(1)));
        let measured = sent.from(before.map_or(sent.range.first, |last| last + 1))?;
        Some(measured.scheduled(measured.range.first))
    });
    measured.min()
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
