//! A published figure about one failure, and the run that reproduces it.

use super::{FOLDER, Planned, Said, Stage, numbers, planned, stand_in};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_reports::{PublishedFigure, Reproduction, paper_sentence, paper_table, write_paper};
use dstream_scenarios::paper::PaperFigure;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The figure and its run.
pub(super) struct Asked {
    figure: PublishedFigure,
    planned: Planned,
}

impl Asked {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<Asked, Failure> {
        let figure = numbers(one, PublishedFigure::read)?;
        let set = if quick { figure.quick.set.clone() } else { Vec::new() };
        let planned = planned(one, &figure.scenario, set, setup)?;
        Ok(Asked { figure, planned })
    }
}

pub(super) fn reproduce(asked: &Asked, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
    let (runs, ending) = stage.run_all(&asked.planned, true)?;
    let run = runs.first().ok_or_else(|| Failure::broken("the scenario of a figure names no engine"))?;
    let shown = Reproduction::read(&asked.figure, run, stage.args.quick);
    let written = write_paper(&shown, &stage.args.out.join(FOLDER));
    let files = written.map_err(|error| Failure::usage(error.to_string()))?;
    Ok((Said { text: as_text(&shown, &files), value: as_json(&shown, &files) }, ending))
}

fn as_text(shown: &Reproduction<'_>, (page, numbers): &(PathBuf, PathBuf)) -> String {
    let figure = shown.figure;
    let stand_in = stand_in(shown.quick.then_some(figure.quick.about.as_str()));
    format!(
        "{}: {}\n{}\n{stand_in}{}\n{}\n{}\n{}\n{}\n{}\n",
        figure.id,
        figure.title,
        figure.source,
        paper_table(shown, console::width()),
        paper_sentence(shown),
        dstream_reports::verdict_sentence(&shown.run.result),
        shown.run.directory.display(),
        numbers.display(),
        page.display(),
    )
}

fn as_json(shown: &Reproduction<'_>, (page, numbers): &(PathBuf, PathBuf)) -> Value {
    let rows = shown.rows().into_iter().map(|(name, reference_s, [processing_s, delay_s])| {
        let ratio = |measured| dstream_reports::paper::ratio(measured, reference_s);
        json!({"row": name, "reference_s": reference_s, "processing_s": processing_s,
            "processing_ratio": ratio(processing_s), "delay_s": delay_s, "delay_ratio": ratio(delay_s)})
    });
    json!({"figure": shown.figure.id, "source": shown.figure.source, "quick": shown.quick,
        "rows": rows.collect::<Vec<_>>(), "verdict": shown.run.result.verdict,
        "run_directory": shown.run.directory.display().to_string(),
        "page": page.display().to_string(), "numbers": numbers.display().to_string()})
}
