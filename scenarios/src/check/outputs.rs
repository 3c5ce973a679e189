//! Comparing an interval's visible rows with the oracle's answer.
//!
//! Where records of a sealed interval were given up, some partitions may have been visible before and hold them while
//! others do not, or some of them where they were given up one after the other: each partition must equal one of these
//! answers, whole. Where results depend on earlier intervals, and where long-lived operators had taken in some of the lost
//! batches and not others, see [`super::bounds`].

use super::CheckInput;
use super::bounds::{self, Seen};
use crate::oracle::{Answer, Expected};
use dstream_kernel::OutputSpec;
use dstream_trace::measure::{Facts, Visible};
use dstream_trace::{Event, Moment, TraceLine};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One row of an output, as `outputs.jsonl` shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OutputRow {
    /// The output's name.
    pub output: String,
    /// The interval.
    pub interval: u64,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// All visible rows, sorted. Rows that cannot be read are left out here and wrong in `compare`.
pub fn rows(facts: &Facts, outputs: &[OutputSpec]) -> Vec<OutputRow> {
    let mut rows = Vec::new();
    for (interval, results) in &facts.results {
        for spec in outputs {
            for result in results.get(&spec.name).into_iter().flat_map(BTreeMap::values) {
                let rendered = (spec.render)(&result.rows.0).unwrap_or_default();
                let row = |(key, value)| OutputRow { output: spec.name.clone(), interval: *interval, key, value };
                rows.extend(rendered.into_iter().map(row));
            }
        }
    }
    rows.sort_unstable();
    rows
}

/// What the comparison of one interval found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The first difference from the answer over all sealed records.
    pub wrong: Option<String>,
    /// Whether the difference is what the declared loss leads to.
    pub explained: bool,
    /// Whether records of the interval were declared gone that would show in its results.
    pub declared: bool,
}

/// Whether what was given up may be in the panes of earlier results, or in what running operators had taken in.
pub(super) fn mixes(input: &CheckInput<'_>) -> bool {
    input.keeps_state || !input.facts.owners.is_empty()
}

/// Compares an interval. `answer.reduced` is there if records of it were declared gone.
pub(super) fn compare(
    input: &CheckInput<'_>,
    interval: u64,
    answer: &Answer,
    lost_states: &BTreeSet<u32>,
) -> Comparison {
    let mixes = mixes(input);
    let declared = !mixes && would_show(input, interval, answer);
    let unexplained = |wrong: String| Comparison { wrong: Some(wrong), explained: false, declared };
    if !input.facts.sealed.contains_key(&interval) {
        return unexplained("it was never sealed".to_owned());
    }
    if let Some(range) = answer.beyond_end {
        return unexplained(format!("its records {range:?} do not exist"));
    }
    let mut found = Comparison { wrong: None, explained: true, declared };
    for spec in input.outputs {
        let results = input.facts.results.get(&interval).and_then(|outputs| outputs.get(&spec.name));
        let compared = match results {
            _ if !is_due(spec, interval) => not_due(spec, results),
            Some(partitions) if mixes && answer.reduced.is_some() => {
                let is_foreign = |partition: &u32| !lost_states.contains(partition);
                let is_own = input.of_own_state.contains(&spec.id);
                compare_bounds(spec, partitions, answer, &|partition| is_own && is_foreign(partition))
            }
            Some(partitions) => compare_output(spec, partitions, answer),
            None => Err(format!("no result of output `{}` is visible", spec.name)),
        };
        match compared {
            Err(wrong) => return unexplained(wrong),
            Ok(None) => {}
            Ok(Some(wrong)) => found.wrong = found.wrong.or(Some(wrong)),
        }
    }
    match stranger(input, interval) {
        Some(name) => unexplained(format!("it has results of `{name}`, which is no output of the job")),
        None => found,
    }
}

/// Whether what was declared gone shows in results that came after the last word of it. Those that came before have it and
/// may be all that has; where all did, the interval had no need of the word, which says what is not so.
fn would_show(input: &CheckInput<'_>, interval: u64, answer: &Answer) -> bool {
    let Some(reduced) = &answer.reduced else { return false };
    let word =
        |line: &&TraceLine| matches!(&line.event, Event::BlockLost { interval: at, .. } if *at == Some(interval));
    let said = input.lines.iter().rfind(word).map_or(Moment::ZERO, |line| line.at);
    let results = input.facts.results.get(&interval);
    let all = input.outputs.iter().flat_map(|spec| {
        let partitions = results.and_then(|outputs| outputs.get(&spec.name));
        partitions.into_iter().flat_map(BTreeMap::values).map(move |result| (spec, result))
    });
    let mut late = all.filter(|(_, result)| result.at >= said).peekable();
    let has_more = |(spec, result): (&OutputSpec, &Visible)| {
        let rows = (spec.render)(&result.rows.0).unwrap_or_default();
        Side::new(&reduced.rows, &spec.name).difference(&rows).is_some()
    };
    late.peek().is_none() || late.any(has_more)
}

fn stranger<'a>(input: &'a CheckInput<'_>, interval: u64) -> Option<&'a str> {
    let mut names = input.facts.results.get(&interval)?.keys();
    names.find(|name| input.outputs.iter().all(|spec| spec.name != **name)).map(String::as_str)
}

fn is_due(spec: &OutputSpec, interval: u64) -> bool {
    interval % spec.every.max(1) == spec.every.max(1) - 1
}

/// An output that is not due has no rows; whether it has results without rows is the engine's choice.
fn not_due(spec: &OutputSpec, results: Option<&BTreeMap<u32, Visible>>) -> Result<Option<String>, String> {
    match results.into_iter().flatten().find(|(_, result)| !result.rows.0.is_empty()) {
        Some((partition, _)) => Err(format!("result {partition} of output `{}` has rows and is not due", spec.name)),
        None => Ok(None),
    }
}

/// The rows of one partition: key, value.
type Part = Vec<(String, String)>;

/// The rows of all partitions, each key in one of them.
fn read(spec: &OutputSpec, partitions: &BTreeMap<u32, Visible>) -> Result<Vec<Part>, String> {
    let name = &spec.name;
    let of = partitions.values().next().map_or(0, |result| result.of);
    if partitions.len() < of as usize {
        return Err(format!("{} of {of} results of output `{name}` are missing", of as usize - partitions.len()));
    }
    let read = partitions.iter().map(|(partition, result)| {
        (spec.render)(&result.rows.0)
            .map_err(|error| format!("result {partition} of output `{name}` cannot be read: {error}"))
    });
    read.collect()
}

/// All rows by key.
fn together<'a>(spec: &OutputSpec, parts: &'a [Part]) -> Result<Seen<'a>, String> {
    let mut seen = Seen::new();
    for (key, value) in parts.iter().flatten() {
        if seen.insert(key, value).is_some() {
            return Err(format!("output `{}`: key {key:?} is in more than one row", spec.name));
        }
    }
    Ok(seen)
}

/// As [`compare_output`], for a result that depends on earlier intervals, of whose records some were given up. What only a
/// partition's state held is missing from no `is_foreign` one.
fn compare_bounds(
    spec: &OutputSpec,
    partitions: &BTreeMap<u32, Visible>,
    answer: &Answer,
    is_foreign: &dyn Fn(&u32) -> bool,
) -> Result<Option<String>, String> {
    let parts = read(spec, partitions)?;
    let seen = together(spec, &parts)?;
    let mut foreign = partitions.keys().zip(&parts).filter(|(partition, _)| is_foreign(partition));
    if let Some(wrong) = foreign.find_map(|(_, rows)| bounds::foreign_violation(&spec.name, rows, answer)) {
        return Err(wrong);
    }
    let full = Side::new(&answer.full.rows, &spec.name);
    match parts.iter().find_map(|rows| full.difference(rows)).or_else(|| full.absent(&seen)) {
        None => Ok(None),
        Some(difference) => bounds::violation(&spec.name, &seen, answer).map_or(Ok(Some(difference)), Err),
    }
}

/// `Ok(None)`: equal. `Ok(Some)`: differs from the full answer as the declared loss explains. `Err`: wrong.
fn compare_output(
    spec: &OutputSpec,
    partitions: &BTreeMap<u32, Visible>,
    answer: &Answer,
) -> Result<Option<String>, String> {
    let parts = read(spec, partitions)?;
    let full = Side::new(&answer.full.rows, &spec.name);
    let reduced = answer.reduced.as_ref().map(|reduced| Side::new(&reduced.rows, &spec.name));
    let between: Vec<_> = answer.between.iter().map(|rows| Side::new(rows, &spec.name)).collect();
    let mut explained = None;
    for rows in &parts {
        if let Some(difference) = full.difference(rows) {
            if reduced.iter().chain(&between).all(|fewer| fewer.difference(rows).is_some()) {
                return Err(difference);
            }
            explained = explained.or(Some(difference));
        }
    }
    let seen = together(spec, &parts)?;
    if let Some(absent) = reduced.as_ref().unwrap_or(&full).absent(&seen) {
        return Err(absent);
    }
    Ok(explained.or_else(|| full.absent(&seen)))
}

/// The rows that an output should have.
struct Side<'a> {
    name: &'a str,
    rows: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Side<'a> {
    fn new(expected: &'a Expected, name: &'a str) -> Side<'a> {
        Side { name, rows: expected.get(name) }
    }

    /// The first row that should not be there or should read differently.
    fn difference(&self, rows: &[(String, String)]) -> Option<String> {
        rows.iter().find_map(|(key, value)| match self.rows.and_then(|expected| expected.get(key)) {
            Some(expected) if expected == value => None,
            Some(expected) => Some(format!("output `{}`: key {key:?} is {value}, expected {expected}", self.name)),
            None => Some(format!("output `{}`: key {key:?} is {value}, expected none", self.name)),
        })
    }

    /// The first row that should be there.
    fn absent(&self, seen: &Seen<'_>) -> Option<String> {
        let (key, value) = self.rows?.iter().find(|(key, _)| !seen.contains_key(key.as_str()))?;
        Some(format!("output `{}`: key {key:?} is missing, expected {value}", self.name))
    }
}
