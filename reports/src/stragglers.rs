//! What one slow worker costs, and what speculation saves of it, by how many tasks a core has: measured beside predicted.
//!
//! Reads the figure's numbers and the runs' tables; runs nothing. Invariant: a prediction is for the tasks that a run had,
//! never for those that were asked for; what was published is held against nothing; a case without a value is not near.

pub mod predicted;
mod words;

pub use predicted::Stage;
pub(crate) use words::{STRAGGLERS_COLUMNS, published_texts, stragglers_texts};
pub use words::{stragglers_sentence, stragglers_sentences};

use crate::paper::{Quick, ratio};
use crate::read::RunReport;
use crate::tables::{Interval, Tables};
use dstream_trace::result::Verdict;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A figure of stragglers, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StragglersFigure {
    /// What the command line names.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What the quantities are.
    pub about: String,
    /// Its scenario's file.
    pub scenario: String,
    /// The scenario's engines by label: without speculation, and with it.
    pub engines: [String; 2],
    /// How many times slower the scenario's slow worker is.
    pub factor: f64,
    /// A second attempt is made after so many medians.
    pub threshold: f64,
    /// How far from the prediction a run may be, as a share of it.
    pub within: f64,
    /// The runs.
    pub runs: Vec<Waves>,
    /// What was published.
    pub published: PublishedPairs,
    /// What the prediction and the runs leave out.
    pub differs: Vec<String>,
    /// The smaller stand-in.
    pub quick: Quick,
}

/// A pair of runs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waves {
    /// Map tasks for each core, as they are asked for.
    pub waves: u32,
    /// For how long a receiver gathers records for a block, which is a map task.
    pub block: String,
    /// Whether the quick stand-in has it.
    #[serde(default)]
    pub quick: bool,
    /// What it must keep, whatever is predicted.
    #[serde(default)]
    pub bounds: Option<Bounds>,
}

/// Bounds on slowdowns.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Without speculation there is something to save.
    pub without_at_least: f64,
    /// With it, enough of that is saved.
    pub with_at_most: f64,
}

/// Published values beside which the runs stand.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPairs {
    /// Where.
    pub source: String,
    /// What was done there.
    pub about: String,
    /// The values.
    pub jobs: Vec<PublishedPair>,
}

/// Processing times of one job, in seconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPair {
    /// The job.
    pub name: String,
    /// While nobody is slow.
    pub before_s: f64,
    /// With a slow node, without speculation.
    pub without_s: f64,
    /// With both.
    pub with_s: f64,
}

impl PublishedPair {
    /// So many times as long: without speculation, and with it.
    pub fn slowdowns(&self) -> [Option<f64>; 2] {
        [self.without_s, self.with_s].map(|slow_s| ratio(Some(slow_s), Some(self.before_s)))
    }
}

impl StragglersFigure {
    /// Reads the text of a figure's file. The error says what is wrong, with its line.
    pub fn read(text: &str) -> Result<StragglersFigure, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    /// What to set for one of its pairs of runs.
    pub fn settings(&self, run: &Waves, quick: bool) -> Vec<String> {
        let smaller = if quick { self.quick.set.clone() } else { Vec::new() };
        let name = if quick { " quick" } else { "" };
        let blocks = (0..self.engines.len()).map(|place| format!("engines[{place}].block={}", run.block));
        smaller.into_iter().chain([format!("title=stragglers{name} {}", waves_text(run.waves))]).chain(blocks).collect()
    }
}

/// `1 wave`, `2 waves`
fn waves_text(waves: u32) -> String {
    format!("{waves} wave{}", if waves == 1 { "" } else { "s" })
}

/// What became of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Measured and predicted are as near as the figure asks for.
    Near,
    /// They are not.
    Far,
    /// Something was not measured.
    Missing,
}

impl Fit {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Fit::Near => "near",
            Fit::Far => "far",
            Fit::Missing => "missing",
        }
    }

    /// Of measured over predicted.
    fn of(ratio: Option<f64>, within: f64) -> Fit {
        match ratio {
            Some(ratio) if (ratio - 1.0).abs() <= within => Fit::Near,
            Some(_) => Fit::Far,
            None => Fit::Missing,
        }
    }
}

/// One run beside its prediction.
#[derive(Clone, Debug)]
pub struct Slowed<'a> {
    /// What was asked for.
    pub asked: &'a Waves,
    /// The run.
    pub run: &'a RunReport,
    /// Whether attempts that are slow get a second one.
    pub speculates: bool,
    /// Map tasks of the struck interval.
    pub tasks: Option<u32>,
    /// Processing time while nobody was slow, mean, in seconds.
    pub before_s: Option<f64>,
    /// Processing time of the first interval whose tasks all ran while the worker was slow, in seconds.
    pub struck_s: Option<f64>,
    /// How many times as long the prediction says that it takes.
    pub predicted: Option<f64>,
    /// How near they are.
    pub fit: Fit,
}

impl<'a> Slowed<'a> {
    /// Reads the run's tables and predicts for the tasks it had. `None` where the figure has no such engine.
    pub fn read(figure: &StragglersFigure, asked: &'a Waves, run: &'a RunReport) -> Option<Slowed<'a>> {
        let place = figure.engines.iter().position(|label| *label == run.result.engine)?;
        let tables = Tables::read(&run.directory).with_tasks(&run.directory);
        let until_s = tables.faults.first().and_then(|line| line.ended_s).unwrap_or(f64::INFINITY);
        let at_s = run.result.faults.first().filter(|fault| fault.fired).map(|fault| fault.at_s);
        let struck = at_s.and_then(|at_s| struck(&tables.intervals, at_s, until_s));
        let tasks = struck.map(|struck| map_tasks(&tables, struck.number)).filter(|tasks| *tasks > 0);
        let mut slowed = Slowed {
            asked,
            run,
            speculates: place == 1,
            tasks,
            before_s: at_s.and_then(|at_s| before_s(&tables.intervals, at_s)),
            struck_s: struck.and_then(|struck| struck.processing_s),
            predicted: None,
            fit: Fit::Missing,
        };
        slowed.predicted = stage(figure, &tables, tasks).map(|stage| match slowed.speculates {
            true => stage.with_speculation(figure.threshold),
            false => stage.without_speculation(),
        });
        slowed.fit = Fit::of(slowed.ratio(), figure.within);
        Some(slowed)
    }

    /// How many times as long it took.
    pub fn slowdown(&self) -> Option<f64> {
        ratio(self.struck_s, self.before_s)
    }

    /// Measured over predicted.
    pub fn ratio(&self) -> Option<f64> {
        ratio(self.slowdown(), self.predicted)
    }

    /// Its bound, and whether it is kept; `None` where it has none.
    pub fn bound(&self) -> Option<(f64, bool)> {
        let Bounds { without_at_least, with_at_most } = self.asked.bounds?;
        Some(match self.speculates {
            true => (with_at_most, self.slowdown().is_some_and(|slowdown| slowdown <= with_at_most)),
            false => (without_at_least, self.slowdown().is_some_and(|slowdown| slowdown >= without_at_least)),
        })
    }

    /// `2 waves without speculation`
    fn name(&self) -> String {
        format!("{} {}", waves_text(self.asked.waves), spoken(self.speculates))
    }
}

/// `with speculation`
fn spoken(speculates: bool) -> &'static str {
    if speculates { "with speculation" } else { "without speculation" }
}

/// The stage that this many tasks are, on the run's workers.
fn stage(figure: &StragglersFigure, tables: &Tables, tasks: Option<u32>) -> Option<Stage> {
    let count = |name| tables.number(name).map(|number| number as u32).filter(|number| *number > 0);
    let (workers, cores) = (count("workers")?, count("cores")?);
    // The last wave may not be full.
    Some(Stage { waves: tasks?.div_ceil(workers * cores), workers, factor: figure.factor })
}

/// The first interval whose results came of tasks that all ran while the worker was slow.
fn struck(intervals: &[Interval], at_s: f64, until_s: f64) -> Option<&Interval> {
    let first = intervals.iter().find(|row| row.closed_s >= at_s)?;
    Some(first).filter(|row| row.done_s.is_some_and(|done_s| done_s <= until_s))
}

/// Mean processing time of the intervals that were over when the worker became slow.
fn before_s(intervals: &[Interval], at_s: f64) -> Option<f64> {
    let over = intervals.iter().filter(|row| row.done_s.is_some_and(|done_s| done_s <= at_s));
    let times: Vec<f64> = over.filter_map(|row| row.processing_s).collect();
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
}

/// The tasks of an interval's first stage; attempts at one count once.
fn map_tasks(tables: &Tables, interval: u64) -> u32 {
    let tasks = tables.tasks.iter().filter(|task| task.interval == interval && task.stage == 0);
    let partitions: BTreeSet<u64> = tasks.map(|task| task.partition).collect();
    u32::try_from(partitions.len()).unwrap_or(u32::MAX)
}

/// A figure and its runs.
#[derive(Clone, Debug)]
pub struct StragglersShown<'a> {
    /// The figure.
    pub figure: &'a StragglersFigure,
    /// Its runs, in its order, without speculation before with.
    pub runs: Vec<Slowed<'a>>,
    /// Whether these are the quick stand-in's.
    pub quick: bool,
}

impl StragglersShown<'_> {
    /// Whether results of a run are wrong.
    pub fn is_wrong(&self) -> bool {
        self.runs.iter().any(|slowed| slowed.run.result.verdict == Verdict::Invalid)
    }

    /// Whether every run is near its prediction and keeps its bound.
    pub fn is_near(&self) -> bool {
        let near = |slowed: &Slowed<'_>| slowed.fit == Fit::Near && slowed.bound().is_none_or(|(_, kept)| kept);
        !self.runs.is_empty() && self.runs.iter().all(near)
    }

    /// The runs of so many waves, without speculation and with it, as far as they are there.
    pub fn pair(&self, waves: &Waves) -> [Option<&Slowed<'_>>; 2] {
        let of = |speculates| {
            self.runs.iter().find(move |run| run.asked.waves == waves.waves && run.speculates == speculates)
        };
        [of(false), of(true)]
    }

    /// The runs and what was published, as a file.
    pub fn csv(&self) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        let mut csv = "case,speculation,tasks,before_s,struck_s,slowdown,predicted,ratio,fit,run\n".to_owned();
        for slowed in &self.runs {
            let values = [slowed.before_s, slowed.struck_s, slowed.slowdown(), slowed.predicted, slowed.ratio()];
            let (tasks, values) = (slowed.tasks.map_or(String::new(), |tasks| tasks.to_string()), values.map(number));
            let (case, on) = (waves_text(slowed.asked.waves), slowed.speculates);
            let (fit, run) = (slowed.fit.word(), slowed.run.directory.display());
            writeln!(csv, "{case},{on},{tasks},{},{fit},\"{run}\"", values.join(","))
                .expect("writing into a string cannot fail");
        }
        for job in &self.figure.published.jobs {
            for (on, (slow_s, slowdown)) in
                [false, true].into_iter().zip([job.without_s, job.with_s].into_iter().zip(job.slowdowns()))
            {
                let [before, slow, slowdown] = [Some(job.before_s), Some(slow_s), slowdown].map(number);
                writeln!(csv, "\"{}, published\",{on},,{before},{slow},{slowdown},,,published,", job.name)
                    .expect("writing into a string cannot fail");
            }
        }
        csv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(number: u64, closed_s: f64, processing_s: Option<f64>) -> Interval {
        let done_s = processing_s.map(|processing_s| closed_s + processing_s);
        Interval {
            number,
            closed_s,
            done_s,
            delay_s: processing_s,
            processing_s,
            records: 1,
            is_due: true,
            latency_s: None,
            oldest_delay_s: None,
        }
    }

    #[test]
    fn what_is_held_is_the_first_interval_that_ran_wholly_while_the_worker_was_slow() {
        let rows = [
            interval(0, -10.0, Some(1.0)),
            interval(1, 0.0, Some(2.0)),
            interval(2, 3.0, Some(1.5)),
            interval(3, 10.0, Some(8.0)),
            interval(4, 20.0, Some(7.0)),
        ];
        let found = |rows: &[Interval], at_s, until_s| {
            (before_s(rows, at_s), struck(rows, at_s, until_s).map(|row| row.number))
        };
        // Interval 2 is struck while it runs: it stands on neither side.
        assert_eq!(found(&rows, 4.0, 24.0), (Some(1.5), Some(3)));
        // The worker was fast again before all was done.
        assert_eq!(found(&rows, 4.0, 17.0), (Some(1.5), None));
        // There is nothing to compare with, and nothing to hold.
        assert_eq!(found(&rows, -20.0, 0.0), (None, Some(0)));
        assert_eq!(found(&[interval(0, 10.0, None)], 4.0, 24.0), (None, None));
    }

    #[test]
    fn near_is_as_near_as_the_figure_asks_for_on_both_sides() {
        for (ratio, expected) in [
            (Some(1.0), Fit::Near),
            (Some(0.75), Fit::Near),
            (Some(1.25), Fit::Near),
            (Some(0.74), Fit::Far),
            (Some(1.26), Fit::Far),
            (None, Fit::Missing),
        ] {
            assert_eq!(Fit::of(ratio, 0.25), expected, "{ratio:?}");
        }
    }

    #[test]
    fn attempts_at_one_task_count_once_and_later_stages_do_not() {
        let task = |interval: u64, stage: u64, partition: u64, attempt: u64| crate::tables::Task {
            interval,
            stage,
            partition,
            attempt,
            worker: "worker-1".into(),
            started_s: None,
            ended_s: None,
            finished: true,
            again: attempt > 0,
            is_beside: false,
        };
        let tasks = vec![task(3, 0, 0, 0), task(3, 0, 1, 0), task(3, 0, 1, 1), task(3, 1, 7, 0), task(4, 0, 9, 0)];
        assert_eq!(map_tasks(&Tables { tasks, ..Tables::default() }, 3), 2);
    }

    #[test]
    fn published_times_are_shown_as_slowdowns() {
        let job = PublishedPair { name: "x".into(), before_s: 0.5, without_s: 3.0, with_s: 1.0 };
        assert_eq!(job.slowdowns(), [Some(6.0), Some(2.0)]);
    }
}
