//! A model of recovery, and the runs that are held against it.
//!
//! Runs have no twins: what a model says is measured from the fault on. Invariant: a run that is missing because of an
//! interruption is missing from the page too.

use super::{Planned, Said, Stage, numbers, planned};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_reports::page::model_page;
use dstream_reports::{ModelFigure, ModelPoint, ModelShown, model_sentence, model_sentences, model_table};
use dstream_scenarios::paper::PaperFigure;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The figure and its runs: the place of the series, and what to run.
pub(super) struct Asked {
    figure: ModelFigure,
    runs: Vec<(usize, Planned)>,
}

impl Asked {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<Asked, Failure> {
        let figure = numbers(one, ModelFigure::read)?;
        let mut runs = Vec::new();
        for (place, series) in figure.series.iter().enumerate() {
            for run in series.runs.iter().filter(|run| run.quick || !quick) {
                runs.push((place, planned(one, &series.scenario, series.settings(run), setup)?));
            }
        }
        Ok(Asked { figure, runs })
    }
}

pub(super) fn reproduce(asked: &Asked, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
    let (done, worst) = stage.run_each(&asked.runs)?;
    let figure = &asked.figure;
    let points = done.iter().map(|(place, run)| ModelPoint::read(figure, &figure.series[*place], run)).collect();
    let shown = ModelShown { figure, points, quick: stage.args.quick };
    let files = stage.write(&figure.id, |folder| model_page(&shown, folder), &shown.csv())?;
    Ok((Said { text: as_text(&shown, &files), value: as_json(&shown, &files) }, worst))
}

fn as_text(shown: &ModelShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> String {
    let figure = shown.figure;
    format!(
        "{}: {}\n{}\n{}{}\n{}\n{}\n{}\n{}\n",
        figure.id,
        figure.title,
        figure.source,
        if shown.quick { "A quick stand-in: a few of the runs.\n" } else { "" },
        model_table(shown, console::width()),
        model_sentence(shown),
        model_sentences(shown).join("\n"),
        numbers.display(),
        page.display(),
    )
}

fn as_json(shown: &ModelShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> Value {
    let points = shown.points.iter().map(|point| {
        let [detect_s, load_s, replay_s, drain_s] = point.parts_s;
        json!({"series": point.series.name, "nodes": point.series.nodes, "load": point.load,
            "since_checkpoint_s": point.since_checkpoint_s, "formula_s": point.formula_s, "raw_s": point.raw_s,
            "detect_s": detect_s, "load_s": load_s, "replay_s": replay_s, "drain_s": drain_s,
            "measured_s": point.measured_s(), "ratio": point.ratio(),
            "ratio_of_survivors": point.ratio_of_survivors(), "became": point.became.word(),
            "verdict": point.run.result.verdict, "run_directory": point.run.directory.display().to_string()})
    });
    json!({"figure": shown.figure.id, "source": shown.figure.source, "quick": shown.quick,
        "points": points.collect::<Vec<_>>(), "page": page.display().to_string(),
        "numbers": numbers.display().to_string()})
}
