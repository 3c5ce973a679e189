//! A published figure about failures, and the runs that reproduce its cases.
//!
//! The run of a single case has its twin, which tells what the failure cost in all. Invariant: a run that is missing because
//! of an interruption is missing from the page too.

use super::{Planned, Said, Stage, numbers, planned, stand_in};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_reports::paper::ratio;
use dstream_reports::{
    PublishedFigure, PublishedShown, Reproduction, paper_page, paper_table, published_sentence, verdict_sentence,
};
use dstream_scenarios::paper::PaperFigure;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The figure and its runs: the place of the case, and what to run.
pub(super) struct Asked {
    figure: PublishedFigure,
    runs: Vec<(usize, Planned)>,
}

impl Asked {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<Asked, Failure> {
        let figure = numbers(one, PublishedFigure::read)?;
        let mut runs = Vec::new();
        for (place, case) in figure.cases.iter().enumerate().filter(|(_, case)| case.quick || !quick) {
            runs.push((place, planned(one, &case.scenario, figure.settings(case, quick), setup)?));
        }
        Ok(Asked { figure, runs })
    }
}

pub(super) fn reproduce(asked: &Asked, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
    let (done, worst) = match asked.runs.as_slice() {
        [(place, planned)] => {
            let (runs, ending) = stage.run_all(planned, true)?;
            (runs.into_iter().map(|run| (*place, run)).collect(), ending)
        }
        several => stage.run_each(several)?,
    };
    let figure = &asked.figure;
    let cases = done.iter().map(|(place, run)| Reproduction::read(figure, &figure.cases[*place], run)).collect();
    let shown = PublishedShown { figure, cases, quick: stage.args.quick };
    let files = stage.write(&figure.id, |folder| paper_page(&shown, folder), &shown.csv())?;
    Ok((Said { text: as_text(&shown, &files), value: as_json(&shown, &files) }, worst))
}

fn as_text(shown: &PublishedShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> String {
    let figure = shown.figure;
    let stand_in = stand_in(shown.quick.then_some(figure.quick.about.as_str()));
    let run =
        |case: &Reproduction<'_>| format!("{}\n{}", verdict_sentence(&case.run.result), case.run.directory.display());
    format!(
        "{}: {}\n{}\n{stand_in}{}\n{}\n{}\n{}\n{}\n",
        figure.id,
        figure.title,
        figure.source,
        paper_table(shown, console::width()),
        published_sentence(shown),
        shown.cases.iter().map(run).collect::<Vec<_>>().join("\n"),
        numbers.display(),
        page.display(),
    )
}

fn as_json(shown: &PublishedShown<'_>, (page, numbers): &(PathBuf, PathBuf)) -> Value {
    json!({"figure": shown.figure.id, "source": shown.figure.source, "quick": shown.quick,
        "cases": shown.cases.iter().map(case_as_json).collect::<Vec<_>>(),
        "page": page.display().to_string(), "numbers": numbers.display().to_string()})
}

fn case_as_json(case: &Reproduction<'_>) -> Value {
    let rows = case.rows().into_iter().map(|(name, reference_s, [processing_s, delay_s])| {
        json!({"row": name, "reference_s": reference_s, "processing_s": processing_s,
            "processing_ratio": ratio(processing_s, reference_s), "delay_s": delay_s,
            "delay_ratio": ratio(delay_s, reference_s)})
    });
    json!({"case": case.case.name, "rows": rows.collect::<Vec<_>>(), "verdict": case.run.result.verdict,
        "run_directory": case.run.directory.display().to_string()})
}
