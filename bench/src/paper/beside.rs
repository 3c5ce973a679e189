//! Figures of all engines of one scenario: overheads two by two, and the same faults for each.

use super::{Planned, Said, Stage, numbers, planned, stand_in};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_reports::beside::{QUANTITIES, Quick, faults_csv, overhead_csv, read};
use dstream_reports::page::{faults_page, overhead_page};
use dstream_reports::{
    FaultsFigure, Overhead, OverheadFigure, Struck, effect_table, faults_sentences, overhead_sentences, overhead_table,
};
use dstream_scenarios::paper::PaperFigure;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A figure of overheads and its runs.
pub(super) struct AskedOverhead {
    figure: OverheadFigure,
    planned: Planned,
}

/// A figure of faults and its runs.
pub(super) struct AskedFaults {
    figure: FaultsFigure,
    planned: Planned,
}

fn planned_quick(one: &PaperFigure, file: &str, quick: Option<&Quick>, setup: &Setup) -> Result<Planned, Failure> {
    planned(one, file, quick.map_or(Vec::new(), |quick| quick.set.clone()), setup)
}

impl AskedOverhead {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<AskedOverhead, Failure> {
        let figure: OverheadFigure = numbers(one, read)?;
        let planned = planned_quick(one, &figure.scenario, quick.then_some(&figure.quick), setup)?;
        Ok(AskedOverhead { figure, planned })
    }

    pub(super) fn reproduce(&self, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
        let (runs, ending) = stage.run_all(&self.planned, false)?;
        let (figure, quick) = (&self.figure, stage.args.quick);
        let pairs = Overhead::of(figure, &runs);
        let page = |folder: &Path| overhead_page(figure, &pairs, quick, folder);
        let files = stage.write(&figure.id, page, &overhead_csv(&pairs))?;
        let text = [overhead_table(&pairs, console::width()), overhead_sentences(&pairs).join("\n")];
        let rows = pairs.iter().map(|pair| {
            let quantities = QUANTITIES.iter().zip(pair.quantities().into_iter().zip(pair.ratios()));
            let quantities: Map<String, Value> = quantities
                .map(|(name, ([with, without], ratio))| {
                    ((*name).to_owned(), json!({"with": with, "without": without, "ratio": ratio}))
                })
                .collect();
            json!({"engine": pair.pair.name, "quantities": quantities})
        });
        let head = (figure.id.as_str(), figure.title.as_str(), quick.then_some(&figure.quick));
        Ok((said(head, text, rows.collect(), &files), ending))
    }
}

impl AskedFaults {
    pub(super) fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<AskedFaults, Failure> {
        let figure: FaultsFigure = numbers(one, read)?;
        let planned = planned_quick(one, &figure.scenario, quick.then_some(&figure.quick), setup)?;
        Ok(AskedFaults { figure, planned })
    }

    pub(super) fn reproduce(&self, stage: &Stage<'_>) -> Result<(Said, Ending), Failure> {
        let (runs, ending) = stage.run_all(&self.planned, false)?;
        let (figure, quick) = (&self.figure, stage.args.quick);
        let engines = Struck::of(figure, &runs);
        let page = |folder: &Path| faults_page(figure, &engines, quick, folder);
        let files = stage.write(&figure.id, page, &faults_csv(&engines))?;
        let text = [effect_table(&engines, console::width()), faults_sentences(&engines).join("\n")];
        let rows = engines.iter().map(|engine| {
            let effects = engine.effects().into_iter().map(|effect| {
                json!({"declared_s": effect.declared_s, "worst_s": effect.worst_s, "on_time_s": effect.on_time_s})
            });
            json!({"engine": engine.named.name, "label": engine.named.label, "before_s": engine.before_s(),
                "verdict": engine.run.result.verdict, "faults": effects.collect::<Vec<_>>()})
        });
        let head = (figure.id.as_str(), figure.title.as_str(), quick.then_some(&figure.quick));
        Ok((said(head, text, rows.collect(), &files), ending))
    }
}

/// The figure's name, title and stand-in; its table and sentence; its rows; where it lies.
fn said(
    (id, title, quick): (&str, &str, Option<&Quick>),
    [table, sentence]: [String; 2],
    rows: Vec<Value>,
    (page, numbers): &(PathBuf, PathBuf),
) -> Said {
    let stand_in = stand_in(quick.map(|quick| quick.about.as_str()));
    let (page, numbers) = (page.display(), numbers.display());
    Said {
        text: format!("{id}: {title}\n{stand_in}{table}\n{sentence}\n{numbers}\n{page}\n"),
        value: json!({"figure": id, "quick": quick.is_some(), "rows": rows, "page": page.to_string(),
            "numbers": numbers.to_string()}),
    }
}
