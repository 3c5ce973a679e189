//! The verdict table in text: one line an engine and fault.

use crate::format::{bytes, count, milliseconds, percent, seconds};
use crate::read::RunReport;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use dstream_trace::result::{FaultResult, RunResult, Verdict};

/// Columns of the verdict table.
pub const VERDICT_COLUMNS: [&str; 9] =
    ["engine", "world", "seed", "verdict", "lost/doubled/wrong", "p50", "p99", "cost", "load"];

/// Columns of the table of faults.
pub const FAULT_COLUMNS: [&str; 9] =
    ["engine", "fault", "at", "detect", "restore", "catch-up", "drain", "redundancy", "longest gap"];

/// The verdicts, at most `width` characters wide where the content allows it; `None`: as wide as the content.
pub fn verdict_table(runs: &[RunReport], width: Option<u16>) -> String {
    let rows = runs.iter().map(|run| verdict_row(&run.result));
    render(&VERDICT_COLUMNS, rows.collect(), width)
}

/// What each fault did; empty where no run has a fault.
pub fn fault_table(runs: &[RunReport], width: Option<u16>) -> String {
    let rows: Vec<Vec<String>> = runs.iter().flat_map(|run| fault_rows(&run.result)).collect();
    if rows.is_empty() { String::new() } else { render(&FAULT_COLUMNS, rows, width) }
}

/// One run's cells in the verdict table.
pub fn verdict_row(result: &RunResult) -> Vec<String> {
    let records = &result.records;
    let cost = &result.cost;
    let wrong = [records.lost, records.duplicated, records.wrong_intervals].map(count).join("/");
    vec![
        result.engine.clone(),
        result.world.clone(),
        result.seed.to_string(),
        verdict_word(result.verdict).to_owned(),
        wrong,
        milliseconds(result.latency_ms.p50),
        milliseconds(result.latency_ms.p99),
        format!("{} nodes, {} CPU, {}", result.nodes, seconds(Some(cost.cpu_s)), bytes(cost.network_bytes)),
        format!("{} CPU, {} network", percent(result.load.cpu), percent(result.load.network)),
    ]
}

/// One run's cells in the table of faults.
pub fn fault_rows(result: &RunResult) -> Vec<Vec<String>> {
    result.faults.iter().map(|fault| fault_row(&result.engine, fault)).collect()
}

fn fault_row(engine: &str, fault: &FaultResult) -> Vec<String> {
    let fired = if fault.fired { "" } else { " (no effect)" };
    vec![
        engine.to_owned(),
        format!("{} {}{fired}", fault.fault, fault.node),
        seconds(Some(fault.at_s)),
        seconds(fault.detect_s),
        seconds(fault.restore_s),
        seconds(fault.catch_up_s),
        seconds(fault.drain_s),
        seconds(fault.redundancy_s),
        seconds(fault.longest_gap_s),
    ]
}

/// A verdict in one word.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "INVALID",
        Verdict::Unknown => "unknown",
    }
}

fn render(columns: &[&str], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    // Text only: whoever prints it decides on colours.
    table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(columns.iter().copied());
    table.set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for row in rows {
        let cell = |(place, text): (usize, String)| {
            let is_name = matches!(columns[place], "engine" | "world" | "verdict" | "fault" | "cost" | "load");
            let alignment = if is_name { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        };
        table.add_row(row.into_iter().enumerate().map(cell));
    }
    table.to_string()
}
