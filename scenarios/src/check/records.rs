//! Counting records: sent, acknowledged, allotted to intervals, lost, doubled.
//!
//! Every count is of distinct records, however often they were sent or told.

use super::CheckInput;
use dstream_trace::measure::{Facts, Sealed};
use dstream_trace::result::RecordCounts;
use dstream_trace::{Event, Moment, RangeSet, RecordRange, TraceLine};
use std::collections::{BTreeMap, BTreeSet};

/// Which records are in which ranges.
pub(super) struct Allotment {
    /// In the range of a committed interval.
    pub committed: RangeSet,
    /// In more than one range.
    pub duplicated: RangeSet,
    /// Acknowledged and in no range.
    pub lost: RangeSet,
}

pub(super) fn allotment(input: &CheckInput<'_>) -> Allotment {
    let mut allotted = RangeSet::new();
    let mut committed = RangeSet::new();
    let mut duplicated = RangeSet::new();
    for (interval, seal) in &input.facts.sealed {
        let is_done = is_done(input, *interval);
        for range in &seal.ranges {
            for twice in allotted.insert(*range) {
                duplicated.insert(twice);
            }
            if is_done {
                committed.insert(*range);
            }
        }
    }
    let acked = input.facts.acked.values().flatten().filter(|acked| has_had_its_time(input, acked.at));
    let lost = acked.flat_map(|acked| allotted.gaps(acked.range)).collect();
    Allotment { committed, duplicated, lost }
}

/// Whether a record that was acknowledged then must be in a sealed interval by now. In a run that was interrupted the last
/// ones need not be: the interval that may take them begins within a failure timeout and an interval of their
/// acknowledgement, lasts one interval, and is waited for no longer than a failure timeout.
fn has_had_its_time(input: &CheckInput<'_>, acknowledged: Moment) -> bool {
    let time = input.slack * 2 + (input.run.failure_timeout + input.run.interval) * 2;
    !input.interrupted || acknowledged + time < input.run.end
}

pub(super) fn counts(input: &CheckInput<'_>, allotment: &Allotment) -> RecordCounts {
    let sent = input.facts.sent.values().flatten().map(|sent| sent.range.count()).sum();
    let acked = input.facts.acked.values().flatten().map(|acked| acked.range.count()).sum();
    RecordCounts {
        sent,
        acked,
        unacked: sent.saturating_sub(acked),
        in_results: allotment.committed.count(),
        lost: allotment.lost.count(),
        duplicated: allotment.duplicated.count(),
        ..RecordCounts::default()
    }
}

/// Partitions whose state the engine said that nobody has.
pub(super) fn lost_states(lines: &[TraceLine]) -> BTreeSet<u32> {
    let lost = |line: &TraceLine| match &line.event {
        Event::StateLost { partition, .. } => Some(*partition),
        _ => None,
    };
    lines.iter().filter_map(lost).collect()
}

/// Sealed records of blocks that the engine gave up, by interval.
pub(super) fn gone_blocks(facts: &Facts, lines: &[TraceLine]) -> BTreeMap<u64, RangeSet> {
    gone_of(facts, lines.iter().filter(|line| matches!(line.event, Event::BlockLost { .. })))
}

/// Sealed records that the engine gave up, by interval: blocks that nobody has, and what was in a state that nobody has.
/// Where no later result needs them, what was given up when the interval's results were out is in these.
pub(super) fn gone(input: &CheckInput<'_>) -> BTreeMap<u64, RangeSet> {
    let is_out = |interval, at| {
        !input.keeps_state && input.facts.covered(interval, &input.run.outputs).is_some_and(|covered| covered < at)
    };
    let counts = |line: &&TraceLine| match line.event {
        Event::BlockLost { interval: Some(interval), .. } => !is_out(interval, line.at),
        _ => true,
    };
    gone_of(input.facts, input.lines.iter().filter(counts))
}

/// The same as it was known at each moment at which the engine gave something up, the last excepted.
pub(super) fn gone_at_first(facts: &Facts, lines: &[TraceLine]) -> Vec<BTreeMap<u64, RangeSet>> {
    let of_sealed = |line: &&TraceLine| matches!(line.event, Event::BlockLost { interval: Some(_), .. });
    let mut moments: Vec<_> = lines.iter().filter(of_sealed).map(|line| line.at).collect();
    moments.dedup();
    moments.pop();
    moments.iter().map(|until| gone_of(facts, lines.iter().take_while(|line| line.at <= *until))).collect()
}

fn gone_of<'a>(facts: &Facts, lines: impl Iterator<Item = &'a TraceLine>) -> BTreeMap<u64, RangeSet> {
    let mut gone: BTreeMap<u64, RangeSet> = BTreeMap::new();
    for line in lines {
        match &line.event {
            Event::BlockLost { ranges, interval: Some(interval), .. } => {
                let Some(seal) = facts.sealed.get(interval) else { continue };
                let sealed: RangeSet = seal.ranges.iter().copied().collect();
                for part in ranges.iter().flat_map(|range| sealed.overlap(*range)) {
                    gone.entry(*interval).or_default().insert(part);
                }
            }
            Event::StateLost { after, through, .. } => {
                for (interval, seal) in seals_of_state(facts, *after, *through) {
                    let of_interval = gone.entry(*interval).or_default();
                    seal.ranges.iter().for_each(|range| drop(of_interval.insert(*range)));
                }
            }
            _ => {}
        }
    }
    gone
}

/// All records that the engine said were gone.
pub(super) fn declared_lost(facts: &Facts, lines: &[TraceLine]) -> RangeSet {
    let mut lost = RangeSet::new();
    for line in lines {
        match &line.event {
            Event::BlockLost { ranges, .. } => ranges.iter().for_each(|range| drop(lost.insert(*range))),
            Event::StateLost { after, through, .. } => {
                let seals = seals_of_state(facts, *after, *through);
                seals.flat_map(|(_, seal)| &seal.ranges).for_each(|range| drop(lost.insert(*range)));
            }
            _ => {}
        }
    }
    lost
}

/// The seals of what was in a state: of the intervals behind `after` up to `through`; none where that is no interval.
fn seals_of_state(facts: &Facts, after: Option<u64>, through: u64) -> impl Iterator<Item = (&u64, &Sealed)> {
    let first = after.map_or(0, |interval| interval.saturating_add(1));
    facts.sealed.range(first.min(through.saturating_add(1))..).take_while(move |(interval, _)| **interval <= through)
}

/// Whether results of all outputs that cover the interval are visible.
pub(super) fn is_done(input: &CheckInput<'_>, interval: u64) -> bool {
    input.facts.covered(interval, &input.run.outputs).is_some()
}

/// The last interval whose results must be there: that which covers the last with records in it.
fn last_required(input: &CheckInput<'_>) -> Option<u64> {
    let with_records = input.facts.sealed.iter().rev().find(|(_, seal)| !seal.ranges.is_empty());
    with_records.map(|(interval, _)| input.run.covered_by(*interval))
}

/// The last interval that is compared: the last that must be there, or that has a result all the same.
pub(super) fn last_to_check(input: &CheckInput<'_>) -> Option<u64> {
    let last_visible = input.facts.results.last_key_value().map(|(interval, _)| *interval);
    // An interval that begins after the run's end is no interval of this run, unless its results cover one that is.
    let last = last_required(input).max(last_visible)?;
    Some(last.min(input.run.covered_by(input.run.open_at(input.run.end) + 1)))
}

/// Whether it is an empty interval behind the last that must be there: it may be on its way when the run ends.
pub(super) fn is_empty_end(input: &CheckInput<'_>, interval: u64) -> bool {
    let is_empty = input.facts.sealed.get(&interval).is_some_and(|seal| seal.ranges.is_empty());
    is_empty && last_required(input).is_none_or(|last| interval > last)
}

/// Whether the interval is compared. What an interrupted run did not finish is not, nor are empty intervals that were
/// on their way when the run ended.
pub(super) fn is_to_check(input: &CheckInput<'_>, interval: u64) -> bool {
    let is_required = last_required(input).is_some_and(|last| interval <= last) && !input.interrupted;
    let is_unsealed = !input.facts.sealed.contains_key(&interval);
    let has_results = input.facts.results.contains_key(&interval);
    is_required || is_done(input, interval) || (is_unsealed && has_results)
}

/// How many records the ranges hold.
pub(super) fn count(ranges: &[RecordRange]) -> u64 {
    ranges.iter().map(RecordRange::count).sum()
}
