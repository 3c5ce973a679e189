//! A published model of recovery beside the runs that measure it: how long until nothing is late, over load.
//!
//! Reads the figure's numbers and the runs' tables; runs nothing. Invariant: a formula is applied to what was measured (the
//! load of the struck node, the time since the last checkpoint), never to what was asked for; what a run did not reach has
//! no number.

use crate::paper::parallel_recovery_s;
use crate::read::RunReport;
use crate::tables::Tables;
use serde::Deserialize;
use std::fmt::Write as _;

/// A figure of a model, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFigure {
    /// What the command line names.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Where the model was published.
    pub source: String,
    /// What the quantities are.
    pub about: String,
    /// The time since the last checkpoint for which curves are drawn, in seconds.
    pub since_checkpoint_s: f64,
    /// A formula that gives fewer intervals than this is not held against a run.
    pub least_intervals: f64,
    /// What is compared, each with its runs.
    pub series: Vec<ModelSeries>,
    /// What the runs do not share with the model, or add to it.
    pub differs: Vec<String>,
}

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// `T * load / (1 - load)`
    Upstream,
    /// `T * (load / N) / (1 - N * load / (N - 1))`
    Parallel,
}

/// One curve and the runs along it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSeries {
    /// Its name in legends.
    pub name: String,
    /// A short name for run directories.
    pub label: String,
    /// Its formula.
    pub model: Model,
    /// Nodes of the runs, the one that fails among them.
    pub nodes: u32,
    /// Its scenario's file, beside this file's folder.
    pub scenario: String,
    /// How far from the formula a run may be, as a share of it. `None`: the formula is known to fail here.
    #[serde(default)]
    pub within: Option<f64>,
    /// What to set in the scenario, as `path=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// The runs.
    pub runs: Vec<ModelRun>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRun {
    /// The rate, as a share of what the cores can carry; the load follows from it.
    pub rate: String,
    /// How long it is measured.
    pub duration: String,
    /// Whether the quick stand-in has it.
    #[serde(default)]
    pub quick: bool,
}

impl ModelFigure {
    /// Reads the text of a figure's file. The error says what is wrong, with its line.
    pub fn read(text: &str) -> Result<ModelFigure, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }
}

impl ModelSeries {
    /// What to set for one of its runs.
    pub fn settings(&self, run: &ModelRun) -> Vec<String> {
        let own = [
            format!("title=recovery model {} {}", self.label, run.rate.trim_end_matches('%')),
            format!("workload.source.generate.rate={}", run.rate),
            format!("duration={}", run.duration),
        ];
        self.set.iter().cloned().chain(own).collect()
    }

    /// What the formula gives, in seconds; `None` where there is no end.
    pub fn formula_s(&self, since_checkpoint_s: f64, load: f64) -> Option<f64> {
        match self.model {
            Model::Upstream => upstream_backup_s(since_checkpoint_s, load),
            Model::Parallel => parallel_recovery_s(since_checkpoint_s, load, self.nodes, 1),
        }
    }

    /// The same with the lost work shared by those who are left, `T * (load / (N - 1)) / (1 - N * load / (N - 1))`; where
    /// the formula says so already there is none.
    pub fn formula_of_survivors_s(&self, since_checkpoint_s: f64, load: f64) -> Option<f64> {
        let published = self.formula_s(since_checkpoint_s, load).filter(|_| self.model == Model::Parallel);
        published.map(|seconds| seconds / self.share_of_survivors())
    }

    /// Those who are left, as a share of all nodes.
    fn share_of_survivors(&self) -> f64 {
        f64::from(self.nodes.saturating_sub(1)) / f64::from(self.nodes.max(1))
    }

    /// The load from which on there is no end.
    pub fn limit(&self) -> f64 {
        match self.model {
            Model::Upstream => 1.0,
            Model::Parallel => self.share_of_survivors(),
        }
    }
}

/// The time that upstream backup takes by the model of the paper, in seconds: `T*load / (1-load)`. `None` where there is no
/// end.
pub fn upstream_backup_s(since_checkpoint_s: f64, load: f64) -> Option<f64> {
    (load < 1.0).then(|| since_checkpoint_s * load / (1.0 - load))
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Became {
    /// As near to the formula as its series asks for.
    Near,
    /// Further from it, but as near as asked for if only those share the lost work that are left.
    NearOfSurvivors,
    /// Further from both.
    Far,
    /// Held against nothing: the formula gives too few intervals, or is known to fail here.
    Shown,
    /// There is no end, as the formula says, or where it is known to fail: so far behind were results at half of the time
    /// after the failure, and so far when the load ended, in seconds.
    Diverges(f64, f64),
    /// Something was not reached that should have been.
    Missing,
}

/// One run beside its formula; all times in seconds.
#[derive(Clone, Debug)]
pub struct ModelPoint<'a> {
    /// The series.
    pub series: &'a ModelSeries,
    /// The run.
    pub run: &'a RunReport,
    /// Share of the struck node's cores that was in use before the failure.
    pub load: Option<f64>,
    /// From the end of what the last checkpoint holds to the failure.
    pub since_checkpoint_s: Option<f64>,
    /// What the formula gives for these.
    pub formula_s: Option<f64>,
    /// From the failure until nothing was late.
    pub raw_s: Option<f64>,
    /// Until it was noticed; from there until lost work began to be done again; from there until all of it was done again;
    /// from there until nothing was late.
    pub parts_s: [Option<f64>; 4],
    /// What became of it.
    pub became: Became,
}

/// The names of the parts.
pub const PARTS: [&str; 4] = ["detect", "load", "replay", "drain"];

impl<'a> ModelPoint<'a> {
    /// Reads the run's tables and applies the formula to what was measured.
    pub fn read(figure: &ModelFigure, series: &'a ModelSeries, run: &'a RunReport) -> ModelPoint<'a> {
        let tables = Tables::read(&run.directory);
        let fault = run.result.faults.first().filter(|fault| fault.fired);
        let line = tables.faults.first();
        let load = line.and_then(|line| line.load_before);
        let since = fault.and_then(|fault| since_checkpoint_s(&tables, fault.at_s));
        let mut point = ModelPoint {
            series,
            run,
            load,
            since_checkpoint_s: since,
            formula_s: since.zip(load).and_then(|(since, load)| series.formula_s(since, load)),
            raw_s: fault.and_then(|fault| fault.drain_s),
            parts_s: [None; 4],
            became: Became::Missing,
        };
        if let Some(fault) = fault {
            let begins = line.and_then(|line| line.begins_s).map(|at| at - fault.at_s);
            let until = [fault.detect_s, begins, fault.restore_s, fault.drain_s];
            let before = [Some(0.0), fault.detect_s, begins, fault.restore_s];
            for (part, (until, before)) in point.parts_s.iter_mut().zip(until.into_iter().zip(before)) {
                *part = until.zip(before).map(|(until, before)| (until - before).max(0.0));
            }
        }
        point.became = point.judged(figure, &tables);
        point
    }

    /// What is held against the formula: the raw time without detection and load, which the model leaves out.
    pub fn measured_s(&self) -> Option<f64> {
        Some(self.raw_s? - self.parts_s[0]? - self.parts_s[1]?)
    }

    /// Measured over formula.
    pub fn ratio(&self) -> Option<f64> {
        crate::paper::ratio(self.measured_s(), self.formula_s)
    }

    /// Measured over what the formula gives if only those share the lost work that are left.
    pub fn ratio_of_survivors(&self) -> Option<f64> {
        let formula = self.series.formula_of_survivors_s(self.since_checkpoint_s?, self.load?);
        crate::paper::ratio(self.measured_s(), formula)
    }

    /// Whether it is held against the formula.
    pub fn is_held(&self) -> bool {
        matches!(self.became, Became::Near | Became::NearOfSurvivors | Became::Far)
    }

    fn judged(&self, figure: &ModelFigure, tables: &Tables) -> Became {
        let Some(load) = self.load else { return Became::Missing };
        let diverges = || match behind_s(tables, self.run) {
            Some((half, end)) if end > half => Became::Diverges(half, end),
            _ => Became::Missing,
        };
        let Some(formula) = self.formula_s else {
            return if load >= self.series.limit() { diverges() } else { Became::Missing };
        };
        let interval_s = tables.number("interval_s").unwrap_or(0.0);
        match (self.ratio(), self.series.within) {
            (None, _) => Became::Missing,
            (Some(_), None) => Became::Shown,
            (Some(_), Some(_)) if formula < figure.least_intervals * interval_s => Became::Shown,
            (Some(ratio), Some(within)) if (ratio - 1.0).abs() <= within => Became::Near,
            (_, Some(within)) if self.ratio_of_survivors().is_some_and(|ratio| (ratio - 1.0).abs() <= within) => {
                Became::NearOfSurvivors
            }
            _ => Became::Far,
        }
    }
}

/// From the end of the last interval that a checkpoint held to the failure.
fn since_checkpoint_s(tables: &Tables, at_s: f64) -> Option<f64> {
    let checkpoints = tables.moments.iter().filter(|moment| moment.what == "checkpoint" && moment.at_s <= at_s);
    let through = checkpoints.map(|moment| moment.amount).max();
    let held_s = match through {
        Some(through) => tables.intervals.iter().find(|row| row.number == through)?.closed_s,
        // Before the first one all work since the beginning is lost.
        None => tables.number("origin_s")?,
    };
    Some(at_s - held_s)
}

/// How far behind results were half of the time after the failure, and when the load ended: the delay of the intervals that
/// ended then.
fn behind_s(tables: &Tables, run: &RunReport) -> Option<(f64, f64)> {
    let at_s = run.result.faults.first()?.at_s;
    let end_s = tables.number("load_end_s")?;
    let behind = |at_s: f64| tables.due().take_while(|row| row.closed_s <= at_s + 1e-6).last()?.delay_s;
    Some((behind(f64::midpoint(at_s, end_s))?, behind(end_s)?))
}

/// A figure and its runs.
#[derive(Clone, Debug)]
pub struct ModelShown<'a> {
    /// The figure.
    pub figure: &'a ModelFigure,
    /// Its points, in the order of its series.
    pub points: Vec<ModelPoint<'a>>,
    /// Whether these are only the runs of the quick stand-in.
    pub quick: bool,
}

impl ModelShown<'_> {
    /// The points as a file.
    pub fn csv(&self) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        let mut csv =
            "series,nodes,load,since_checkpoint_s,formula_s,raw_s,detect_s,load_s,replay_s,drain_s,measured_s,\
                       ratio,ratio_of_survivors,became,run\n"
                .to_owned();
        for point in &self.points {
            let first = [point.load, point.since_checkpoint_s, point.formula_s, point.raw_s];
            let last = [point.measured_s(), point.ratio(), point.ratio_of_survivors()];
            let numbers: Vec<String> = first.into_iter().chain(point.parts_s).chain(last).map(number).collect();
            let (name, nodes) = (&point.series.name, point.series.nodes);
            let (became, run) = (point.became.word(), point.run.directory.display());
            writeln!(csv, "\"{name}\",{nodes},{},{became},\"{run}\"", numbers.join(","))
                .expect("writing into a string cannot fail");
        }
        csv
    }
}

impl Became {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Became::Near => "near",
            Became::NearOfSurvivors => "near with N - 1",
            Became::Far => "far",
            Became::Shown => "shown",
            Became::Diverges(..) => "diverges",
            Became::Missing => "missing",
        }
    }
}

/// A figure in a sentence: how many runs are near.
pub fn model_sentence(shown: &ModelShown<'_>) -> String {
    let of = |model: Model, name: &str| {
        let points = || shown.points.iter().filter(move |point| point.series.model == model);
        let count = |became: Became| points().filter(|point| point.became == became).count();
        let held = points().filter(|point| point.is_held()).count();
        let within = shown.figure.series.iter().find(|series| series.model == model).and_then(|series| series.within);
        let within = crate::format::percent(within.unwrap_or(0.0));
        let more = match count(Became::NearOfSurvivors) {
            0 => String::new(),
            more => format!(", {more} more if the N - 1 nodes that are left share the lost work"),
        };
        if held == 0 {
            return None;
        }
        Some(format!(
            "{name}: {} of {held} runs are within {within} of the published formula{more}.",
            count(Became::Near)
        ))
    };
    let models = [(Model::Upstream, "Upstream backup"), (Model::Parallel, "D-Streams")];
    models.into_iter().filter_map(|(model, name)| of(model, name)).collect::<Vec<_>>().join(" ")
}

/// What there is to say about each series, a sentence each.
pub fn model_sentences(shown: &ModelShown<'_>) -> Vec<String> {
    let mut said = Vec::new();
    for series in &shown.figure.series {
        let of = || shown.points.iter().filter(|point| std::ptr::eq(point.series, series));
        let held = || of().filter(|point| point.is_held());
        let least_to_most = |ratio: fn(&ModelPoint<'_>) -> Option<f64>| {
            let ratios: Vec<f64> = held().filter_map(ratio).collect();
            let (least, most) = (ratios.iter().copied().reduce(f64::min)?, ratios.iter().copied().reduce(f64::max)?);
            Some(if ratios.len() == 1 { format!("{least:.2}") } else { format!("{least:.2} to {most:.2}") })
        };
        if let Some(ratios) = least_to_most(|point| point.ratio()) {
            let survivors = least_to_most(|point| point.ratio_of_survivors()).map_or(String::new(), |ratios| {
                format!("; {ratios} times, if the {} nodes that are left share the lost work", series.nodes - 1)
            });
            said.push(format!("{}: {ratios} times the formula{survivors}.", series.name));
        }
        for point in of() {
            match (point.became, point.ratio()) {
                (Became::Diverges(..), _) => said.push(format!("{}: {}", series.name, diverging(point))),
                (Became::Shown, Some(ratio)) if series.within.is_none() => {
                    said.push(format!("{}: {ratio:.1} times the formula, which does not hold there.", series.name));
                }
                _ => {}
            }
        }
    }
    said
}

/// A diverging run in words.
pub fn diverging(point: &ModelPoint<'_>) -> String {
    let Became::Diverges(half, end) = point.became else { return String::new() };
    let [half, end] = [half, end].map(|behind| crate::format::seconds(Some(behind)));
    let load = crate::format::percent(point.load.unwrap_or(0.0));
    format!("at a load of {load} it never catches up: {half} behind at half of the time, {end} when the load ended.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(model: Model, nodes: u32) -> ModelSeries {
        ModelSeries {
            name: "x".into(),
            label: "x".into(),
            model,
            nodes,
            scenario: "x".into(),
            within: Some(0.25),
            set: vec!["cluster.workers=5".into()],
            runs: Vec::new(),
        }
    }

    #[test]
    fn the_formulas_give_what_the_paper_draws() {
        let check = |model: Model, nodes: u32, load: f64, expected: Option<f64>| {
            let found = series(model, nodes).formula_s(60.0, load);
            let near = found.zip(expected).is_some_and(|(found, expected)| (found / expected - 1.0).abs() < 0.01);
            assert!(near || found == expected, "{model:?} {nodes} {load}: {found:?}");
        };
        check(Model::Upstream, 3, 0.5, Some(60.0));
        check(Model::Upstream, 3, 0.8, Some(240.0));
        check(Model::Upstream, 3, 1.0, None);
        check(Model::Parallel, 10, 0.7, Some(18.9));
        check(Model::Parallel, 20, 0.8, Some(15.2));
        check(Model::Parallel, 5, 0.8, None);
        assert_eq!([Model::Upstream, Model::Parallel].map(|model| series(model, 5).limit()), [1.0, 0.8]);
        // Lost work T * load over the rest that four nodes have at half load, each of which has 5/4 of it to do.
        let survivors = series(Model::Parallel, 5).formula_of_survivors_s(60.0, 0.5).unwrap_or(0.0);
        assert!((survivors - 60.0 * 0.5 / (4.0 * (1.0 - 0.625))).abs() < 1e-9, "{survivors}");
        assert_eq!(series(Model::Upstream, 5).formula_of_survivors_s(60.0, 0.5), None);
    }

    #[test]
    fn a_run_has_the_settings_of_its_series_and_a_folder_of_its_own() {
        let run = ModelRun { rate: "50%".into(), duration: "80s".into(), quick: false };
        let settings = series(Model::Parallel, 5).settings(&run);
        let own = ["title=recovery model x 50", "workload.source.generate.rate=50%", "duration=80s"];
        assert_eq!(settings, [&["cluster.workers=5"][..], &own[..]].concat());
    }
}
