//! The checks: was every interval right, was every promise kept, and did the trace obey its laws?
//!
//! Reads the log, the plan and the oracle's answers; knows no engine. Invariant: what the engine says about itself is
//! compared, never believed: damage must follow from the faults and from where the copies were.

mod alone;
mod bounds;
mod calm;
mod damage;
mod held;
mod invariant;
mod limits;
mod operators;
mod outcome;
mod outputs;
mod reach;
mod records;
mod senders;
mod timing;

#[cfg(test)]
mod alone_tests;
#[cfg(test)]
mod calm_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod history;
#[cfg(test)]
mod leader_tests;
#[cfg(test)]
mod leaving_tests;
#[cfg(test)]
mod operators_tests;
#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod senders_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timing_tests;
#[cfg(test)]
mod window_tests;
#[cfg(test)]
mod witness_tests;

pub use outcome::{Outcome, RunFacts, outcome};
pub use outputs::{OutputRow, rows};

use crate::oracle::{Question, Replay};
use crate::witnesses::Witnesses;
use damage::Damage;
use dstream_cluster::{JobError, Promise};
use dstream_kernel::{OutputId, OutputSpec};
use dstream_trace::measure::Facts;
use dstream_trace::result::{BrokenPromise, CheckResult, RecordCounts};
use dstream_trace::{MeasureInput, RangeSet, RecordRange, TraceLine};
use outputs::Comparison;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a run is checked against.
pub struct CheckInput<'a> {
    /// The log.
    pub lines: &'a [TraceLine],
    /// Its index.
    pub facts: &'a Facts,
    /// Times, faults and outputs of the run.
    pub run: &'a MeasureInput,
    /// How long an interval waits for late records.
    pub slack: Duration,
    /// What the engine promises.
    pub promise: &'a Promise,
    /// How each output reads.
    pub outputs: &'a [OutputSpec],
    /// Those of which each row depends on the state of its own partition alone.
    pub of_own_state: Vec<OutputId>,
    /// Whether the query keeps windows or state from interval to interval.
    pub keeps_state: bool,
    /// Whether the run was stopped before its end: then what is missing is not wrong.
    pub interrupted: bool,
}

/// What the checks found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// Counts of records and intervals.
    pub records: RecordCounts,
    /// Whether no record is lost, doubled or wrong and no broken promise was needed for that.
    pub exact: Finding,
    /// Whether all damage follows from the faults and the engine said so.
    pub declared: Finding,
    /// The laws of the trace.
    pub laws: Vec<CheckResult>,
    /// Where the engine's promise ended, with the damage that followed.
    pub broken_promises: Vec<BrokenPromise>,
    /// Set if the software itself failed: two attempts at one result differ.
    pub software_failed: Option<String>,
}

/// The outcome of one check: it holds while nothing was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    first: Option<String>,
    count: u64,
}

impl Finding {
    /// Whether nothing was found.
    pub fn holds(&self) -> bool {
        self.count == 0
    }

    /// The first thing that was found, and how many more there are.
    pub fn detail(&self) -> String {
        match (&self.first, self.count) {
            (None, _) => String::new(),
            (Some(first), 1) => first.clone(),
            (Some(first), count) => format!("{first}; and {} more", count - 1),
        }
    }

    /// The finding under the name of its check.
    pub fn named(&self, check: &str) -> CheckResult {
        CheckResult { check: check.to_owned(), holds: self.holds(), detail: self.detail() }
    }

    fn add(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
        self.count += 1;
    }
}

/// Checks a run.
pub fn check(input: &CheckInput<'_>, replay: &Replay<'_>) -> Result<Checked, JobError> {
    let allotment = records::allotment(input);
    let gone = records::gone(input);
    let comparisons = compare(input, replay, &gone)?;
    let mut counts = records::counts(input, &allotment);
    counts.intervals_checked = comparisons.len() as u64;
    counts.wrong_intervals = comparisons.values().filter(|found| found.wrong.is_some()).count() as u64;
    let damage = damage::possible(input);
    let seen = seen_damage(input, &allotment, &gone, &comparisons);
    let broken_promises = damage::broken_promises(&damage, &seen, input);
    let exact = exactness(&counts, &comparisons, &broken_promises);
    let declared = declaration(&counts, &comparisons, &damage, &seen, input);
    let software_failed = invariant::differing_results(input.lines);
    let mut laws = invariant::laws(input);
    laws.push(held::acknowledged_means_held(input, &damage).named("trace: acknowledged means held"));
    Ok(Checked { records: counts, exact, declared, laws, broken_promises, software_failed })
}

/// Records that are missing from the results: by interval where they had been sealed, else under `None`.
type Missing = BTreeMap<Option<u64>, RangeSet>;

fn compare(
    input: &CheckInput<'_>,
    replay: &Replay<'_>,
    gone: &BTreeMap<u64, RangeSet>,
) -> Result<BTreeMap<u64, Comparison>, JobError> {
    let sealed: BTreeMap<u64, Vec<RecordRange>> =
        input.facts.sealed.iter().map(|(interval, seal)| (*interval, seal.ranges.clone())).collect();
    let mut comparisons = BTreeMap::new();
    let Some(last) = records::last_to_check(input) else { return Ok(comparisons) };
    let lost_states = records::lost_states(input.lines);
    let of_blocks = (!lost_states.is_empty()).then(|| records::gone_blocks(input.facts, input.lines));
    // Where panes or operators mix what was given up, bounds say what may be.
    let at_first = if outputs::mixes(input) { Vec::new() } else { records::gone_at_first(input.facts, input.lines) };
    let question = Question {
        sealed: &sealed,
        missing: gone,
        missing_at_first: &at_first,
        missing_elsewhere: of_blocks.as_ref(),
        last,
    };
    replay.answer(&question, &mut |interval, answer| {
        if records::is_to_check(input, interval) {
            let mut found = outputs::compare(input, interval, &answer, &lost_states);
            if let Some(untimely) = timing::violation(input, interval) {
                found.wrong = Some(untimely);
                found.explained = false;
            }
            comparisons.insert(interval, found);
        }
    })?;
    Ok(comparisons)
}

/// What is missing, by the harness's own count: acknowledged records in no range, and sealed records that the engine
/// gave up and that are indeed not in the results (of their interval or, where state is kept, of a later one).
fn seen_damage(
    input: &CheckInput<'_>,
    allotment: &records::Allotment,
    gone: &BTreeMap<u64, RangeSet>,
    comparisons: &BTreeMap<u64, Comparison>,
) -> Missing {
    let mut seen = Missing::new();
    if !allotment.lost.is_empty() {
        seen.insert(None, allotment.lost.clone());
    }
    for (interval, records) in gone {
        let last = if input.keeps_state { u64::MAX } else { *interval };
        if comparisons.range(*interval..=last).any(|(_, found)| found.wrong.is_some()) {
            seen.insert(Some(*interval), records.clone());
        }
    }
    seen
}

fn exactness(
    counts: &RecordCounts,
    comparisons: &BTreeMap<u64, Comparison>,
    broken_promises: &[BrokenPromise],
) -> Finding {
    let mut finding = Finding::default();
    for (interval, found) in comparisons {
        if let Some(wrong) = &found.wrong {
            finding.add(|| format!("interval {interval}: {wrong}"));
        }
    }
    add_counts(&mut finding, counts.lost, counts.duplicated);
    for promise in broken_promises.iter().filter(|promise| promise.records > 0) {
        finding.add(|| format!("{} records were given up at {:.3} s: {}", promise.records, promise.at_s, promise.why));
    }
    finding
}

fn add_counts(finding: &mut Finding, lost: u64, duplicated: u64) {
    if lost > 0 {
        finding.add(|| format!("{lost} acknowledged records are in no interval"));
    }
    if duplicated > 0 {
        finding.add(|| format!("{duplicated} records are in two ranges"));
    }
}

/// Damage must be what the faults allow, the engine must have said so if anybody knew of it, and nothing else may be
/// wrong.
fn declaration(
    counts: &RecordCounts,
    comparisons: &BTreeMap<u64, Comparison>,
    damage: &[Damage],
    seen: &Missing,
    input: &CheckInput<'_>,
) -> Finding {
    let mut finding = Finding::default();
    for (interval, found) in comparisons {
        match &found.wrong {
            Some(wrong) if !found.explained => finding.add(|| format!("interval {interval}: {wrong}")),
            None if found.declared => {
                finding.add(|| format!("interval {interval}: records were declared gone and are in its results"));
            }
            _ => {}
        }
    }
    add_counts(&mut finding, 0, counts.duplicated);
    let said = records::declared_lost(input.facts, input.lines);
    for (interval, records) in seen {
        let allowed = damage::allowed(damage, *interval);
        // What is in an interval is written down: whoever leads knows of it.
        let unspeakable = if interval.is_none() { unspeakable(input) } else { RangeSet::new() };
        for range in records.iter() {
            for part in allowed.gaps(range) {
                finding.add(|| format!("records {part:?} are gone, which no fault of this run allows"));
            }
            for part in said.gaps(range).into_iter().flat_map(|part| unspeakable.gaps(part)) {
                finding.add(|| format!("records {part:?} are gone, and the engine did not say so"));
            }
        }
    }
    finding
}

/// Records of which everyone is dead who knew that they were held. Where they are promised to be in a log or in the journal
/// when they are acknowledged, whoever leads knows of them.
fn unspeakable(input: &CheckInput<'_>) -> RangeSet {
    let mut witnesses = Witnesses::new();
    if !input.promise.logs && input.promise.replays.is_none() {
        input.lines.iter().for_each(|line| witnesses.step(line));
    }
    witnesses.forgotten().clone()
}
