//! The verdict in text: tables that fit a terminal of 80 columns, one line an engine or fault.

use crate::beside::{Overhead, QUANTITIES, Struck};
use crate::format::{bytes, count, milliseconds, percent, seconds};
use crate::model::ModelShown;
use crate::page::{fault_texts, model_texts, quantity_text};
use crate::paper::{PublishedShown, Reproduction, factor, ratio};
use crate::read::RunReport;
use crate::reasons::{IN_TEXT, effect, longest_gap, reasons, sentences};
use crate::stragglers::{STRAGGLERS_COLUMNS, StragglersShown, published_texts, stragglers_texts};
use crate::tables::Tables;
use crate::waiting::longest_wait_s;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, Width, presets};
use dstream_trace::result::{FaultResult, RunResult, Verdict};

/// Columns of the verdict table; a line end where the heading is longer than what stands below.
const VERDICT_COLUMNS: [&str; 8] =
    ["engine", "world", "seed", "verdict", "lost/\ndoubled/\nwrong", "p50", "p99", "max"];

/// Columns of the table of costs.
const COST_COLUMNS: [&str; 8] =
    ["engine", "nodes", "CPU", "CPU\nload", "network", "network\nload", "input\ncopies", "longest\nwait at\nclients"];

/// Columns of the table of faults.
const FAULT_COLUMNS: [&str; 8] =
    ["fault", "at", "detect", "restore", "catch-up", "drain", "redundancy", "longest\ngap"];

/// Columns of the table of a published figure.
const PAPER_COLUMNS: [&str; 6] = ["period", "reference", "processing", "ratio", "delay", "ratio"];

/// Columns of the table of a model.
const MODEL_COLUMNS: [&str; 11] =
    ["engine", "λ", "formula", "raw", "detect", "load", "replay", "drain", "ratio", "ratio\nN - 1", ""];

/// Columns that hold names.
const NAMES: [&str; 7] = ["engine", "world", "verdict", "fault", "period", "case", ""];

/// The verdicts and what each run cost, at most `width` characters wide where the content allows it; `None`: as wide as
/// the content.
pub fn verdict_table(runs: &[RunReport], width: Option<u16>) -> String {
    let verdicts = render(&VERDICT_COLUMNS, runs.iter().map(|run| verdict_row(&run.result)).collect(), width);
    let costs = render(&COST_COLUMNS, runs.iter().map(|run| cost_row(&run.result)).collect(), width);
    format!("{verdicts}\n{costs}")
}

/// What each fault did; empty where no run has a fault. Where there are several runs, each has a table under its name.
pub fn fault_table(runs: &[RunReport], width: Option<u16>) -> String {
    let with_faults = || runs.iter().filter(|run| !run.result.faults.is_empty());
    let tables = with_faults().map(|run| {
        let (result, measured) = (&run.result, Tables::read(&run.directory));
        let rows = result.faults.iter().map(|fault| fault_row(fault, &measured)).collect();
        let mut table = render(&FAULT_COLUMNS, rows, width);
        let tag = |_: usize, fault: &FaultResult| format!("{} {}", fault.fault, fault.node);
        for reason in sentences(reasons(result, &measured, &IN_TEXT, tag)) {
            table.push_str(&format!("\n{}", wrapped(&reason, width)));
        }
        match runs.len() {
            1 => table,
            _ => format!("{} ({}, seed {})\n{table}", result.engine, result.world, result.seed),
        }
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// A published figure beside its runs: a table for each case, under its name where there are several.
pub fn paper_table(shown: &PublishedShown<'_>, width: Option<u16>) -> String {
    let table = |case: &Reproduction<'_>| {
        let rows = case.rows().into_iter().map(|(name, reference, measured)| {
            let cells = measured.map(|value| [seconds(value), factor(ratio(value, reference))]);
            [name, seconds(reference)].into_iter().chain(cells.into_iter().flatten()).collect()
        });
        let table = render(&PAPER_COLUMNS, rows.collect(), width);
        if shown.cases.len() == 1 { table } else { format!("{}\n{table}", case.case.name) }
    };
    shown.cases.iter().map(table).collect::<Vec<_>>().join("\n\n")
}

/// A model beside its runs.
pub fn model_table(shown: &ModelShown<'_>, width: Option<u16>) -> String {
    let row = |point: &crate::model::ModelPoint<'_>| {
        std::iter::once(point.series.name.clone()).chain(model_texts(point)).collect()
    };
    render(&MODEL_COLUMNS, shown.points.iter().map(row).collect(), width)
}

/// Slowdowns beside their predictions, and what was published.
pub fn stragglers_table(shown: &StragglersShown<'_>, width: Option<u16>) -> String {
    let rows = shown.runs.iter().map(stragglers_texts).chain(published_texts(shown.figure));
    render(&STRAGGLERS_COLUMNS, rows.map(Vec::from).collect(), width)
}

/// Engines beside themselves without fault tolerance: each quantity's ratio, and the two values.
pub fn overhead_table(pairs: &[Overhead<'_>], width: Option<u16>) -> String {
    let columns: Vec<&str> = std::iter::once("engine").chain(QUANTITIES).collect();
    let row = |pair: &Overhead<'_>| {
        let quantities = QUANTITIES.iter().zip(pair.quantities().into_iter().zip(pair.ratios()));
        let cells = quantities.map(|(name, (both, ratio))| {
            let [with, without] = both.map(|value| quantity_text(name, value));
            format!("{}\n{with}\n{without}", factor(ratio))
        });
        std::iter::once(pair.pair.name.clone()).chain(cells).collect()
    };
    render(&columns, pairs.iter().map(row).collect(), width)
}

/// What faults did to each engine: the largest delay, when the node was declared lost, when results were on time again.
pub fn effect_table(engines: &[Struck<'_>], width: Option<u16>) -> String {
    let faults = engines.first().map_or(0, |engine| engine.run.result.faults.len());
    let mut columns = vec!["engine".to_owned(), "nodes".to_owned(), "CPU".to_owned(), "before".to_owned()];
    for fault in 1..=faults {
        columns.extend(["worst", "lost", "on time"].map(|column| format!("F{fault}\n{column}")));
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let row = |engine: &Struck<'_>| std::iter::once(engine.named.name.clone()).chain(fault_texts(engine)).collect();
    render(&columns, engines.iter().map(row).collect(), width)
}

fn verdict_row(result: &RunResult) -> Vec<String> {
    let records = &result.records;
    vec![
        result.engine.clone(),
        result.world.clone(),
        result.seed.to_string(),
        verdict_word(result.verdict).to_owned(),
        [records.lost, records.duplicated, records.wrong_intervals].map(count).join("/"),
        milliseconds(result.latency_ms.p50),
        milliseconds(result.latency_ms.p99),
        milliseconds(result.latency_ms.max),
    ]
}

fn cost_row(result: &RunResult) -> Vec<String> {
    let (cost, load) = (&result.cost, &result.load);
    vec![
        result.engine.clone(),
        count(u64::from(result.nodes)),
        seconds(Some(cost.cpu_s)),
        percent(load.cpu),
        bytes(cost.network_bytes),
        percent(load.network),
        bytes(cost.replicated_bytes),
        seconds(longest_wait_s(result)),
    ]
}

fn fault_row(fault: &FaultResult, tables: &Tables) -> Vec<String> {
    vec![
        format!("{} {}\n{}", fault.fault, fault.node, effect(fault, tables)).trim_end().to_owned(),
        seconds(Some(fault.at_s)),
        seconds(fault.detect_s),
        seconds(fault.restore_s),
        seconds(fault.catch_up_s),
        seconds(fault.drain_s),
        seconds(fault.redundancy_s),
        longest_gap(fault, tables),
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
    aligned(columns, rows, width, |place| NAMES.contains(&columns[place]))
}

/// A table whose first column holds names, and all others numbers.
pub(crate) fn columns(columns: &[&str], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    aligned(columns, rows, width, |place| place == 0)
}

/// A sentence in lines that are broken between words.
fn wrapped(text: &str, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines.join("\n")
}

/// The table; where the width would break words and numbers, one block a row instead, with a line a quantity.
fn aligned(
    columns: &[&str],
    rows: Vec<Vec<String>>,
    width: Option<u16>,
    holds_names: impl Fn(usize) -> bool,
) -> String {
    // A number and its unit stay together, whatever else must break.
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.into_iter().map(|text| text.replace(' ', "\u{a0}")).collect()).collect();
    let least = least_widths(columns, &rows);
    let Some(width) = width else { return grid(columns, rows, None, &holds_names) };
    // Between columns stands one space, and another where there is room for it.
    let tight = least.iter().sum::<u16>() + u16::try_from(columns.len()).unwrap_or(u16::MAX / 2);
    let roomy = tight.saturating_add(u16::try_from(columns.len()).unwrap_or(u16::MAX / 2));
    match (roomy <= width, tight <= width) {
        (true, _) => grid(columns, rows, Some((width, &least, 1)), &holds_names),
        (_, true) => grid(columns, rows, Some((width, &least, 0)), &holds_names),
        _ => blocks(columns, &rows),
    }
}

/// What each column needs for its longest word.
fn least_widths(columns: &[&str], rows: &[Vec<String>]) -> Vec<u16> {
    let longest = |text: &str| text.split([' ', '\n']).map(|word| word.chars().count()).max().unwrap_or(0);
    let widths = columns.iter().enumerate().map(|(place, head)| {
        let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| longest(cell));
        cells.chain([longest(head)]).max().unwrap_or(0)
    });
    widths.map(|width| u16::try_from(width).unwrap_or(u16::MAX / 64)).collect()
}

/// A row under its first cell, which is its name: `catch-up  2 s`.
fn blocks(columns: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = columns.iter().map(|head| head.replace("/\n", "/").replace('\n', " ")).collect();
    let widest = heads.iter().skip(1).map(|head| head.chars().count()).max().unwrap_or(0);
    let block = |row: &Vec<String>| {
        let name = row.first().map_or(String::new(), |name| name.replace('\n', " "));
        let lines = heads.iter().zip(row).skip(1).map(|(head, cell)| {
            let pad = " ".repeat(widest - head.chars().count());
            format!("  {head}{pad}  {}", cell.replace('\n', " "))
        });
        std::iter::once(name).chain(lines).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n").replace('\u{a0}', " ")
}

fn grid(
    columns: &[&str],
    rows: Vec<Vec<String>>,
    bounds: Option<(u16, &[u16], u16)>,
    holds_names: impl Fn(usize) -> bool,
) -> String {
    let mut table = Table::new();
    // Text only: whoever prints it decides on colours.
    table
        .force_no_tty()
        .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
        .set_header(columns.iter().copied());
    table.set_content_arrangement(ContentArrangement::Disabled);
    if let Some((width, ..)) = bounds {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.column_iter_mut().enumerate().for_each(|(place, column)| {
        let space = bounds.map_or(1, |(_, _, space)| space);
        column.set_padding((0, space));
        if let Some(least) = bounds.and_then(|(_, least, _)| least.get(place)) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*least + space)));
        }
    });
    for row in rows {
        let cell = |(place, text): (usize, String)| {
            let alignment = if holds_names(place) { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        };
        table.add_row(row.into_iter().enumerate().map(cell));
    }
    table.to_string().replace('\u{a0}', " ")
}
