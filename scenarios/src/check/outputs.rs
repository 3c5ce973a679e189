//! Comparing an interval's visible rows with the oracle's answer.
//!
//! Where records of a sealed interval were given up, some partitions may have been visible before and hold them while
//! others do not: each partition must equal one of the two answers, whole.

use super::CheckInput;
use crate::oracle::{Answer, Expected};
use dstream_kernel::OutputSpec;
use dstream_trace::measure::{Facts, Visible};
use serde::Serialize;
use std::collections::BTreeMap;

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

/// Compares an interval. `answer.reduced` is there if records of it were declared gone.
pub(super) fn compare(input: &CheckInput<'_>, interval: u64, answer: &Answer) -> Comparison {
    let declared = answer.reduced.as_ref().is_some_and(|reduced| *reduced != answer.full);
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

fn stranger<'a>(input: &'a CheckInput<'_>, interval: u64) -> Option<&'a str> {
    let mut names = input.facts.results.get(&interval)?.keys();
    names.find(|name| input.outputs.iter().all(|spec| spec.name != **name)).map(String::as_str)
}

/// `Ok(None)`: equal. `Ok(Some)`: differs from the full answer as the declared loss explains. `Err`: wrong.
fn compare_output(
    spec: &OutputSpec,
    partitions: &BTreeMap<u32, Visible>,
    answer: &Answer,
) -> Result<Option<String>, String> {
    let name = &spec.name;
    let of = partitions.values().next().map_or(0, |result| result.of);
    if partitions.len() < of as usize {
        return Err(format!("{} of {of} results of output `{name}` are missing", of as usize - partitions.len()));
    }
    let full = Side::new(&answer.full, name);
    let reduced = answer.reduced.as_ref().map(|reduced| Side::new(reduced, name));
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut explained = None;
    for (partition, result) in partitions {
        let rows = (spec.render)(&result.rows.0)
            .map_err(|error| format!("result {partition} of output `{name}` cannot be read: {error}"))?;
        if let Some(difference) = full.difference(&rows) {
            if reduced.as_ref().is_none_or(|reduced| reduced.difference(&rows).is_some()) {
                return Err(difference);
            }
            explained = explained.or(Some(difference));
        }
        for (key, _) in rows {
            if let Some(other) = seen.insert(key.clone(), *partition) {
                return Err(format!("output `{name}`: key {key:?} is in results {other} and {partition}"));
            }
        }
    }
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
    fn absent(&self, seen: &BTreeMap<String, u32>) -> Option<String> {
        let (key, value) = self.rows?.iter().find(|(key, _)| !seen.contains_key(*key))?;
        Some(format!("output `{}`: key {key:?} is missing, expected {value}", self.name))
    }
}
