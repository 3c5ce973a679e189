//! A published figure beside the runs that reproduce its cases: published, analytic and measured values, and their ratios.
//!
//! Reads the figure's numbers and the runs' tables; runs nothing. Invariant: a period in which a result is missing, or
//! that the run did not reach, has no value; no ratio is made up for it.

use crate::format::{NOT_REACHED, seconds};
use crate::read::RunReport;
use crate::tables::{Interval, Tables};
use serde::Deserialize;
use std::fmt::Write as _;

/// A published figure about failures, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFigure {
    /// What the command line names.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Where it was published, and how it was read.
    pub source: String,
    /// What the quantity is.
    pub about: String,
    /// Length of a period after the failure, in seconds.
    pub period_s: f64,
    /// What was published, each with the run that reproduces it.
    pub cases: Vec<PublishedCase>,
    /// What the runs do not share with the published ones.
    pub differs: Vec<String>,
    /// The smaller stand-in.
    pub quick: Quick,
}

/// One published row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedCase {
    /// What it is, in parts that commas separate.
    pub name: String,
    /// Its scenario's file.
    pub scenario: String,
    /// What to set in the scenario, as `path=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Nodes of the published run.
    pub nodes: u32,
    /// How many of them fail at once.
    pub failures: u32,
    /// Their load before the failure, as a share.
    pub load: f64,
    /// Between two checkpoints, in seconds; nothing where no batch reads what an earlier one left.
    #[serde(default)]
    pub checkpoint_s: Option<f64>,
    /// Mean before the failure.
    pub before_s: f64,
    /// Of the batch on failure.
    pub on_failure_s: f64,
    /// Means of the periods after it.
    pub after_s: Vec<f64>,
    /// Whether the quick stand-in has it.
    #[serde(default)]
    pub quick: bool,
    /// What the quick stand-in sets beside what it sets for all.
    #[serde(default)]
    pub quick_set: Vec<String>,
}

/// A smaller stand-in for a figure's run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// What is smaller.
    pub about: String,
    /// What to set in the scenario, as `path=value`.
    pub set: Vec<String>,
}

impl PublishedFigure {
    /// Reads the text of a figure's file. The error says what is wrong, with its line.
    pub fn read(text: &str) -> Result<PublishedFigure, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    /// What to set for one of its cases.
    pub fn settings(&self, case: &PublishedCase, quick: bool) -> Vec<String> {
        let smaller = [&self.quick.set, &case.quick_set].into_iter().flatten().filter(|_| quick);
        case.set.iter().chain(smaller).cloned().collect()
    }
}

impl PublishedCase {
    /// The largest published value over the one before the failure, in seconds.
    pub fn increase_s(&self) -> f64 {
        self.after_s.iter().copied().fold(self.on_failure_s, f64::max) - self.before_s
    }
}

/// The time that parallel recovery of `failures` of `nodes` takes by the model of the paper, in seconds:
/// `T*(F*load/N) / (1 - N*load/(N-F))`, which the paper gives for F = 1. `None` where the nodes left cannot carry the load.
pub fn parallel_recovery_s(since_checkpoint_s: f64, load: f64, nodes: u32, failures: u32) -> Option<f64> {
    let [count, gone] = [nodes, failures].map(f64::from);
    let room = 1.0 - count * load / (count - gone);
    (nodes > failures && room > 0.0).then(|| since_checkpoint_s * (gone * load / count) / room)
}

/// One period: what was published, what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// `3 to 6 s after`
    pub name: String,
    /// Ends of intervals in it are later than this.
    pub from_s: f64,
    /// And not later than this.
    pub until_s: f64,
    /// The published mean.
    pub published_s: f64,
    /// Mean processing time of its intervals.
    pub processing_s: Option<f64>,
    /// Mean delay of its intervals.
    pub delay_s: Option<f64>,
}

/// A figure beside its runs.
#[derive(Clone, Debug)]
pub struct PublishedShown<'a> {
    /// The figure.
    pub figure: &'a PublishedFigure,
    /// Its cases that were run, in its order.
    pub cases: Vec<Reproduction<'a>>,
    /// Whether the runs are the smaller stand-in.
    pub quick: bool,
}

impl PublishedShown<'_> {
    /// All rows of all cases, as a file.
    pub fn csv(&self) -> String {
        let heading = "case,row,reference_s,processing_s,processing_ratio,delay_s,delay_ratio\n".to_owned();
        self.cases.iter().fold(heading, |csv, case| csv + &case.csv_lines())
    }
}

/// A case beside its run.
#[derive(Clone, Debug)]
pub struct Reproduction<'a> {
    /// The case.
    pub case: &'a PublishedCase,
    /// The run.
    pub run: &'a RunReport,
    /// Its tables.
    pub tables: Tables,
    /// Before, on failure, after; empty where no interval was being processed after a failure.
    pub periods: Vec<Period>,
}

impl<'a> Reproduction<'a> {
    /// Reads the run's tables and compares.
    pub fn read(figure: &PublishedFigure, case: &'a PublishedCase, run: &'a RunReport) -> Reproduction<'a> {
        let tables = Tables::read(&run.directory);
        let struck_s = run.result.faults.first().filter(|fault| fault.fired).map(|fault| fault.at_s);
        let periods = struck_s.map_or(Vec::new(), |at_s| periods(case, figure.period_s, &tables.intervals, at_s));
        Reproduction { case, run, tables, periods }
    }

    /// The increase at the peak over the mean before: of processing and of delay, in seconds. `None` where a period has no
    /// value: it may have been the peak.
    pub fn increases_s(&self) -> [Option<f64>; 2] {
        [|period: &Period| period.processing_s, |period: &Period| period.delay_s].map(|value| {
            let (before, after) = self.periods.split_first()?;
            let after: Vec<f64> = after.iter().map(value).collect::<Option<_>>()?;
            Some(after.into_iter().max_by(f64::total_cmp)? - value(before)?)
        })
    }

    /// What the last period still has over the one before the failure: published, processing, delay; in seconds. `None`
    /// where one is not measured, or where nothing is left of an increase.
    pub fn stays_s(&self) -> Option<[f64; 3]> {
        let (before, last) = (self.periods.first()?, self.periods.last()?);
        let published = last.published_s - before.published_s;
        let stays = [published, last.processing_s? - before.processing_s?, last.delay_s? - before.delay_s?];
        stays.iter().all(|stays| *stays > 0.0).then_some(stays)
    }

    /// The increase by the model, for the run's nodes and load, in seconds.
    pub fn model_s(&self) -> Option<f64> {
        let nodes = self.tables.number("workers")? as u32;
        let load = self.run.result.own_capacity_fraction;
        parallel_recovery_s(self.case.checkpoint_s?, load, nodes, self.case.failures)
    }

    /// The batch on failure: published, processing, delay; in seconds.
    pub fn on_failure_s(&self) -> (f64, [Option<f64>; 2]) {
        let period = self.periods.get(1);
        let measured = [period.and_then(|period| period.processing_s), period.and_then(|period| period.delay_s)];
        (self.case.on_failure_s, measured)
    }

    /// All rows of the table: name; published or analytic value; processing; delay. Seconds.
    pub fn rows(&self) -> Vec<(String, Option<f64>, [Option<f64>; 2])> {
        let mut rows: Vec<_> = self
            .periods
            .iter()
            .map(|period| (period.name.clone(), Some(period.published_s), [period.processing_s, period.delay_s]))
            .collect();
        rows.push((INCREASE.to_owned(), Some(self.case.increase_s()), self.increases_s()));
        if self.case.checkpoint_s.is_some() {
            rows.push((MODEL.to_owned(), self.model_s(), self.increases_s()));
        }
        rows
    }

    fn csv_lines(&self) -> String {
        let text = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        let mut csv = String::new();
        for (name, reference, measured) in self.rows() {
            let [processing, delay] = measured.map(|value| [text(value), text(ratio(value, reference))].join(","));
            writeln!(csv, "\"{}\",\"{name}\",{},{processing},{delay}", self.case.name, text(reference))
                .expect("writing into a string cannot fail");
        }
        csv
    }
}

/// A figure in a few sentences: one case in all it says; of several how near the batches on failure are.
pub fn published_sentence(shown: &PublishedShown<'_>) -> String {
    if let [case] = shown.cases.as_slice() {
        return paper_sentence(case);
    }
    let ratios = |of: usize| -> Vec<f64> {
        let ratio_of = |case: &Reproduction<'_>| {
            let (published, measured) = case.on_failure_s();
            ratio(measured[of], Some(published))
        };
        shown.cases.iter().filter_map(ratio_of).collect()
    };
    let span = |ratios: Vec<f64>| match (
        ratios.iter().copied().min_by(f64::total_cmp),
        ratios.iter().copied().max_by(f64::total_cmp),
    ) {
        (Some(least), Some(most)) => format!("{least:.2} to {most:.2} times"),
        _ => NOT_REACHED.to_owned(),
    };
    format!(
        "Over {} cases the batch on failure took {} the published time to process, and was {} as long behind its end.",
        shown.cases.len(),
        span(ratios(0)),
        span(ratios(1)),
    )
}

/// A case in one or two sentences.
pub fn paper_sentence(shown: &Reproduction<'_>) -> String {
    let [processing, delay] = shown.increases_s();
    let published = shown.case.increase_s();
    let (Some(processing), Some(delay)) = (processing, delay) else {
        return "The run ended before all periods of the figure were measured; what is missing is a dash.".to_owned();
    };
    let times = |measured| factor(ratio(Some(measured), Some(published)));
    let stays = shown.stays_s().map_or(String::new(), |[published, processing, delay]| {
        let [published, processing, delay] = [published, processing, delay].map(|stays| seconds(Some(stays)));
        format!(
            " In the last period a batch still takes {processing} more, its delay {delay} (published: {published})."
        )
    });
    format!(
        "Published, the failure adds at most {} to a batch. Measured, it adds {} to processing ({} of that) and {} to \
         delay ({}).{stays}",
        seconds(Some(published)),
        seconds(Some(processing)),
        times(processing),
        seconds(Some(delay)),
        times(delay),
    )
}

/// A ratio as people read it.
pub fn factor(ratio: Option<f64>) -> String {
    ratio.map_or(NOT_REACHED.to_owned(), |ratio| format!("{ratio:.2} x"))
}

/// The row of the increase at the peak.
const INCREASE: &str = "peak - before, published";
/// The row that holds the same increase against the model.
const MODEL: &str = "peak - before, analytic";

/// Measured over reference.
pub fn ratio(measured: Option<f64>, reference: Option<f64>) -> Option<f64> {
    let reference = reference.filter(|value| *value > 0.0)?;
    Some(measured? / reference)
}

/// The figure's periods of a run whose failure struck at `at_s`. On failure is the first interval whose results were not
/// out then: the one that was being processed, or else the open one.
fn periods(case: &PublishedCase, period_s: f64, intervals: &[Interval], at_s: f64) -> Vec<Period> {
    let Some(struck) = intervals.iter().find(|row| row.done_s.is_none_or(|done| done > at_s)) else {
        return Vec::new();
    };
    let at_s = struck.closed_s;
    let period = |name: String, from_s: f64, until_s: f64, published_s: f64| Period {
        name,
        from_s,
        until_s,
        published_s,
        processing_s: mean(intervals, from_s, until_s, |row| row.processing_s),
        delay_s: mean(intervals, from_s, until_s, |row| row.delay_s),
    };
    let before = intervals.iter().rfind(|row| row.closed_s < at_s).map_or(0.0, |row| row.closed_s);
    let mut periods = vec![
        period("before".to_owned(), 0.0, before, case.before_s),
        period("on failure".to_owned(), before, at_s, case.on_failure_s),
    ];
    for (number, published_s) in (0..).zip(&case.after_s) {
        let (from, until) = (f64::from(number) * period_s, f64::from(number + 1) * period_s);
        periods.push(period(format!("{from} to {until} s after"), at_s + from, at_s + until, *published_s));
    }
    periods
}

/// Mean over the intervals that end in this stretch; `None` where there is none, or one without a value, or where the
/// run ended before the stretch did.
fn mean(intervals: &[Interval], from_s: f64, until_s: f64, value: impl Fn(&Interval) -> Option<f64>) -> Option<f64> {
    const NEAR_S: f64 = 1e-6;
    intervals.last().filter(|last| last.closed_s > until_s - NEAR_S)?;
    let inside = intervals.iter().filter(|row| row.closed_s > from_s + NEAR_S && row.closed_s < until_s + NEAR_S);
    let values: Vec<f64> = inside.map(value).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(closed_s: f64, delay_s: Option<f64>) -> Interval {
        Interval {
            number: 0,
            closed_s,
            done_s: delay_s.map(|delay| closed_s + delay),
            delay_s,
            processing_s: delay_s.map(|delay| delay / 2.0),
            is_due: true,
            records: 1,
            latency_s: None,
            oldest_delay_s: None,
        }
    }

    fn case() -> PublishedCase {
        PublishedCase {
            name: "x".into(),
            scenario: "x".into(),
            set: Vec::new(),
            nodes: 20,
            failures: 1,
            load: 0.58,
            checkpoint_s: Some(10.0),
            before_s: 0.5,
            on_failure_s: 1.0,
            after_s: vec![1.5, 0.5],
            quick: false,
            quick_set: Vec::new(),
        }
    }

    #[test]
    fn the_model_gives_what_the_paper_gives() {
        for (since_s, load, nodes, failures, expected) in [
            (60.0, 0.5, 5, 1, Some(16.0)),
            (60.0, 0.9, 20, 1, Some(51.3)),
            (60.0, 0.8, 5, 1, None),
            (10.0, 0.58, 20, 1, Some(0.744)),
            (10.0, 0.58, 20, 2, Some(1.631)),
            (10.0, 0.1, 1, 1, None),
            (10.0, 0.1, 2, 2, None),
        ] {
            let found = parallel_recovery_s(since_s, load, nodes, failures);
            let near = found.zip(expected).is_some_and(|(found, expected)| (found / expected - 1.0).abs() < 0.01);
            assert!(near || found == expected, "{since_s} {load} {nodes} {failures}: {found:?}");
        }
    }

    #[test]
    fn periods_begin_at_the_interval_that_the_failure_caught() {
        let of = |at_s: f64, rows: &[Interval]| -> Vec<Option<f64>> {
            periods(&case(), 2.0, rows, at_s).iter().map(|period| period.delay_s).collect()
        };
        // Two intervals of the warm-up, one before, then the one that was being processed at 2.5 s.
        let mut rows: Vec<Interval> = [0.9, 0.9, 0.25, 0.75, 1.0, 2.0, 4.0, 1.0, 0.5]
            .iter()
            .enumerate()
            .map(|(place, delay)| interval(place as f64 - 1.0, Some(*delay)))
            .collect();
        assert_eq!(of(2.5, &rows), [Some(0.25), Some(0.75), Some(1.5), Some(2.5)]);
        // The run ended before the last period did.
        assert_eq!(of(2.5, &rows[..7]), [Some(0.25), Some(0.75), Some(1.5), None]);
        // A result is missing.
        rows[4] = interval(3.0, None);
        assert_eq!(of(2.5, &rows), [Some(0.25), Some(0.75), None, Some(2.5)]);
        assert_eq!(of(100.0, &rows[..2]), []);
    }
}
