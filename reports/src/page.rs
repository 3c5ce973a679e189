//! The pages: one of each run, one that compares runs, one of a published figure beside its run. Each is one file
//! without a network, light and dark.
//!
//! Invariant: equal run directories give equal pages.

mod beside;
mod compare;
mod facts;
mod model;
mod paper;
mod run;
mod stragglers;
mod tasks;

pub(crate) use beside::{fault_texts, quantity_text};
pub use beside::{faults_page, faults_sentences, overhead_page, overhead_sentences};
pub use compare::compare_page;
pub use model::model_page;
pub(crate) use model::texts as model_texts;
pub use paper::paper_page;
pub use run::run_page;
pub use stragglers::stragglers_page;

use crate::chart::FaultMark;
use crate::format::{NOT_REACHED, area, count, milliseconds, seconds};
use crate::html::{folded, kept_together, table};
use crate::reasons::{effect, longest_gap, reasons, sentences};
use crate::tables::Tables;
use crate::waiting::held_back;
use dstream_trace::result::RunResult;
use maud::{Markup, html};

/// Numbers behind a picture are shown below it up to so many lines; longer tables are a file only.
const MOST_ROWS: usize = 200;

/// The faults as pictures show them, in the order of the result.
fn fault_marks(result: &RunResult, tables: &Tables) -> Vec<FaultMark> {
    let held = held_back(tables).is_some();
    let marks = result.faults.iter().enumerate().map(|(place, fault)| {
        let line = tables.faults.get(place);
        // Intervals may be on time while old records wait at clients.
        let again = if held { fault.catch_up_s.zip(fault.drain_s).map(|(a, b)| a.max(b)) } else { fault.catch_up_s };
        FaultMark {
            tag: format!("F{}", place + 1),
            label: format!("{} {}", fault.fault, fault.node),
            from_s: fault.at_s,
            until_s: line.and_then(|line| line.ended_s),
            on_time_s: again.map(|after| fault.at_s + after),
            fired: fault.fired,
        }
    });
    marks.collect()
}

/// The faults that the run reached.
fn reached_marks(result: &RunResult, tables: &Tables) -> Vec<FaultMark> {
    let mut marks = fault_marks(result, tables);
    marks.retain(|mark| mark.from_s <= tables.end_s());
    marks
}

/// The table of faults of one run; `name` says whose, where several are on one page.
fn fault_rows(result: &RunResult, tables: &Tables, name: Option<&Markup>) -> Vec<Vec<Markup>> {
    let rows = result.faults.iter().enumerate().map(|(place, fault)| {
        let ended = tables.faults.get(place).and_then(|line| line.ended_s).map(|ended| (ended - fault.at_s).max(0.0));
        let lasted = ended.map_or("to the end".to_owned(), |ended| seconds(Some(ended)));
        let times = [fault.detect_s, fault.restore_s, fault.catch_up_s, fault.drain_s, fault.redundancy_s];
        let gap = longest_gap(fault, tables);
        let times = times.map(seconds).into_iter().chain([gap, area(fault.excess_latency_s2)]);
        let what = format!("{} {} {}", fault.fault, fault.node, effect(fault, tables));
        let first = [format!("F{}", place + 1), what.trim_end().to_owned()];
        let texts = first.into_iter().chain([seconds(Some(fault.at_s)), lasted]).chain(times);
        name.cloned().into_iter().chain(texts.map(|text| html! { (text) })).collect()
    });
    rows.collect()
}

/// Its columns.
const FAULT_COLUMNS: [&str; 11] = [
    "",
    "fault",
    "at",
    "lasted",
    "detect",
    "restore",
    "catch-up",
    "drain",
    "redundancy",
    "longest gap",
    "excess latency",
];

/// Why moments are missing, below the tables of faults of these runs; a name stands before each where there are several.
fn why_missing<'a>(runs: impl Iterator<Item = (&'a RunResult, &'a Tables, &'a str)>, shown: &[&str]) -> Markup {
    let all = runs.flat_map(|(result, tables, name)| {
        let of = if name.is_empty() { String::new() } else { format!("{name} ") };
        reasons(result, tables, shown, |place, _| format!("{of}F{}", place + 1))
    });
    html! {
        @for reason in sentences(all) { p.note { (kept_together(&reason)) } }
    }
}

/// What the columns mean.
const FAULT_NOTE: &str = "Each time counts from the moment the fault struck. Detect: the node is declared lost, a \
    second attempt at a task is launched beside one of a straggler, another master leads, or who died with all is a \
    member again. Restore: its share of the results is out, up to the interval open when it struck. Catch-up: the \
    end of the first of five successive intervals on time. Drain: nothing older than on time waits. Redundancy: \
    every promised copy exists again, and as many nodes are idle as are promised. Excess latency: the area between \
    this run's latency over time and that of the same seed without faults (in the simulator).";

/// Folded numbers, or only the link where there are too many.
fn numbers(caption: &str, columns: &[&str], rows: &[Vec<Markup>], file: &Markup) -> Markup {
    html! {
        @if rows.is_empty() || rows.len() > MOST_ROWS {
            p.note { "The numbers: " (file) }
        } @else {
            (folded("The numbers", html! { (table(caption, columns, rows)) p.note { "As a file: " (file) } }))
        }
    }
}

fn latency_rows(tables: &Tables) -> Vec<Vec<Markup>> {
    let rows = tables.latency.iter().map(|row| {
        let values = [row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms].map(milliseconds);
        crate::html::cells(std::iter::once(format!("{} s", row.second)).chain(values))
    });
    rows.collect()
}

fn interval_rows(tables: &Tables) -> Vec<Vec<Markup>> {
    let rows = tables.intervals.iter().filter(|row| row.closed_s > 0.0).map(|row| {
        let times = [Some(row.closed_s), row.delay_s, row.processing_s].map(seconds);
        let texts = std::iter::once(row.number.to_string()).chain(times).chain([count(row.records)]);
        crate::html::cells(texts)
    });
    rows.collect()
}

fn flow_rows(tables: &Tables) -> Vec<Vec<Markup>> {
    let rows = tables.flow.iter().filter(|row| row.second >= 0.0).map(|row| {
        let counts = [row.due, row.acked, row.in_results].map(count);
        let waiting = row.waiting.map_or(NOT_REACHED.to_owned(), |waiting| count(waiting as u64));
        crate::html::cells(std::iter::once(format!("{} s", row.second)).chain(counts).chain([waiting]))
    });
    rows.collect()
}
