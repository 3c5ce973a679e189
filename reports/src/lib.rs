//! Run directories turned into tables and pages.
//!
//! Reads files only and runs nothing: what a report says follows from the run directory alone, so old runs can be shown
//! again. Invariant: equal run directories give equal text.

pub mod beside;
mod chart;
pub mod comparison;
mod csv;
pub mod format;
mod html;
mod ink;
mod label;
pub mod model;
pub mod page;
pub mod paper;
pub mod read;
pub mod reasons;
pub mod sentence;
pub mod stragglers;
mod svg;
pub mod table;
pub mod tables;
pub mod waiting;
pub mod words;

pub use beside::{FaultsFigure, Overhead, OverheadFigure, Struck};
pub use model::{ModelFigure, ModelPoint, ModelShown, model_sentence, model_sentences};
pub use page::{compare_page, faults_sentences, overhead_sentences, paper_page, run_page};
pub use paper::{PublishedFigure, PublishedShown, Reproduction, published_sentence};
pub use read::{
    ReadError, RunReport, read_run, read_runs, read_scenario_folder, write_comparison, write_figure, write_index,
    write_report,
};
pub use sentence::{summary, verdict_sentence};
pub use stragglers::{Slowed, StragglersFigure, StragglersShown, stragglers_sentence, stragglers_sentences};
pub use table::{effect_table, fault_table, model_table, overhead_table, paper_table, stragglers_table, verdict_table};

use serde_json::{Value, json};

/// All runs as one JSON array; each has what its `result.json` says, and its folder under `run_directory`.
pub fn json(runs: &[RunReport]) -> String {
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            let mut value = json!(run.result);
            value["run_directory"] = json!(run.directory.display().to_string());
            value
        })
        .collect();
    serde_json::to_string_pretty(&runs).expect("results are plain data, which JSON always encodes") + "\n"
}
