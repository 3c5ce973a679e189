//! One slow worker, with and without speculation, by how many tasks a core has.
//!
//! Runs have no twins: what they are held against is what they took before. Invariant: a run that is missing because of an
//! interruption is missing from the page too.

use super::{Planned, Said, Stage, numbers, planned, stand_in};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_reports::page::stragglers_page;
use dstream_reports::{
    Slowed, StragglersFigure, StragglersShown, stragglers_sentence, stragglers_sentences, stragglers_table,
};
use dstream_scenarios::paper::PaperFigure;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The figure and its runs: the place of what was asked for, and what to run.
pub(super) struct Asked {
    figure: StragglersFigure,
    runs: Vec<(usize, Planned)>,
}

impl Asked {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<Asked, Failure> {
        let figure = numbers(one, StragglersFigure::read)?;
        let mut runs = Vec::new();
        for (place, waves) in figure.runs.iter().enumerate().filter(|(_, waves)| waves.quick || !quick) {
            runs.push((place, planned(one, &figure.scenario, figure.settings(waves, quick), setup)?));
        }
        Ok(Asked { figure, runs })
    }
}

pub(super) fn reproduce(asked: &Asked, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
    let (done, worst) = stage.run_each(&asked.runs)?;
    let figure = &asked.figure;
    let runs = done.iter().filter_map(|(place, run)| Slowed::read(figure, &figure.runs[*place], run)).collect();
    let shown = StragglersShown { figure, runs, quick: stage.args.quick };
    let files = stage.write(&figure.id, |folder| stragglers_page(&shown, folder), &shown.csv())?;
    Ok((Said { text: as_text(&shown, &files), value: as_json(&shown, &files) }, worst))
}

fn as_text(shown: &StragglersShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> String {
    let figure = shown.figure;
    let stand_in = stand_in(shown.quick.then_some(figure.quick.about.as_str()));
    format!(
        "{}: {}\n{stand_in}{}\n{}\n{}\n{}\n{}\n",
        figure.id,
        figure.title,
        stragglers_table(shown, console::width()),
        stragglers_sentence(shown),
        stragglers_sentences(shown).join("\n"),
        numbers.display(),
        page.display(),
    )
}

fn as_json(shown: &StragglersShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> Value {
    let runs = shown.runs.iter().map(|slowed| {
        json!({"waves": slowed.asked.waves, "speculation": slowed.speculates, "tasks": slowed.tasks,
            "before_s": slowed.before_s, "struck_s": slowed.struck_s, "slowdown": slowed.slowdown(),
            "predicted": slowed.predicted, "ratio": slowed.ratio(), "fit": slowed.fit.word(),
            "bound_kept": slowed.bound().map(|(_, kept)| kept), "verdict": slowed.run.result.verdict,
            "run_directory": slowed.run.directory.display().to_string()})
    });
    let published = shown.figure.published.jobs.iter().map(|job| {
        let [without, with] = job.slowdowns();
        json!({"job": job.name, "without": without, "with": with})
    });
    json!({"figure": shown.figure.id, "quick": shown.quick, "rows": runs.collect::<Vec<_>>(),
        "published": published.collect::<Vec<_>>(), "source": shown.figure.published.source,
        "page": page.display().to_string(), "numbers": numbers.display().to_string()})
}
