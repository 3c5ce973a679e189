//! Pages of engines beside each other: overheads two by two, and faults through which all of them go.
//!
//! Invariant: every number links to its run.

use super::reached_marks;
use super::run::shades;
use crate::beside::{FaultsFigure, Overhead, OverheadFigure, QUANTITIES, Struck};
use crate::chart::time::{Series, TimeChart, Unit};
use crate::format::{bytes, count, milliseconds, seconds};
use crate::html::{Figure, address, kept_together, line_key, page, swatch, table};
use crate::ink::Ink;
use crate::paper::{Quick, factor};
use crate::read::RunReport;
use crate::words::{headline, sign};
use dstream_trace::result::Verdict;
use maud::{Markup, html};
use std::path::Path;

/// The page of overheads; links are relative to `folder`, where it will be.
pub fn overhead_page(figure: &OverheadFigure, pairs: &[Overhead<'_>], quick: bool, folder: &Path) -> String {
    let rows: Vec<Vec<Markup>> = pairs.iter().map(|pair| overhead_row(pair, folder)).collect();
    let columns: Vec<&str> = std::iter::once("engine").chain(QUANTITIES).collect();
    let runs: Vec<&RunReport> = pairs.iter().flat_map(|pair| pair.runs).collect();
    let body = html! {
        h1 { (figure.title) }
        p.facts { (kept_together(&figure.about)) }
        (verdict(&runs, quick.then_some(&figure.quick), &overhead_sentences(pairs)))
        section id="figure" {
            h2 { "With, over without" }
            (table("Overheads", &columns, &rows))
            p.note { "Below each ratio: with, and without. As a file: " (csv_link(&figure.id, quick)) "." }
        }
        (again(&figure.id, quick))
    };
    page(&figure.title, body)
}

/// A sentence for each pair.
pub fn overhead_sentences(pairs: &[Overhead<'_>]) -> Vec<String> {
    let said = pairs.iter().map(|pair| {
        let [cpu, network, nodes, _, p99] = pair.ratios().map(factor);
        format!("{}: {cpu} the CPU, {network} the network, {nodes} the nodes, {p99} the p99 latency.", pair.pair.name)
    });
    said.collect()
}

fn overhead_row(pair: &Overhead<'_>, folder: &Path) -> Vec<Markup> {
    let links = pair.runs.map(|run| link(folder, run));
    let name = html! { (pair.pair.name) br; a href=(links[0]) { "with" } br; a href=(links[1]) { "without" } };
    let cells =
        QUANTITIES.iter().zip(pair.quantities().into_iter().zip(pair.ratios())).map(|(quantity, (both, ratio))| {
            let [with, without] = both.map(|value| quantity_text(quantity, value));
            html! { b { (factor(ratio)) } br; (with) br; (without) }
        });
    std::iter::once(name).chain(cells).collect()
}

/// A quantity in its unit.
pub(crate) fn quantity_text(quantity: &str, value: Option<f64>) -> String {
    match (quantity, value) {
        ("CPU", value) => seconds(value),
        ("network", Some(value)) => bytes(value as u64),
        ("nodes", Some(value)) => count(value as u64),
        (_, value) => milliseconds(value),
    }
}

/// The page of faults; links are relative to `folder`, where it will be.
pub fn faults_page(figure: &FaultsFigure, engines: &[Struck<'_>], quick: bool, folder: &Path) -> String {
    let runs: Vec<&RunReport> = engines.iter().map(|engine| engine.run).collect();
    let body = html! {
        h1 { (figure.title) }
        p.facts { (kept_together(&figure.about)) }
        (verdict(&runs, quick.then_some(&figure.quick), &faults_sentences(engines)))
        (delays(figure, engines, quick, folder))
        (again(&figure.id, quick))
    };
    page(&figure.title, body)
}

/// What the last fault did to each, a sentence for each.
pub fn faults_sentences(engines: &[Struck<'_>]) -> Vec<String> {
    let said = engines.iter().filter_map(|engine| {
        let (last, before) = (*engine.effects().last()?, engine.before_s());
        let declared =
            last.declared_s.map_or(String::new(), |after| format!(", declared lost after {}", seconds(Some(after))));
        let [before, worst] = [before, last.worst_s].map(seconds);
        Some(format!("{}: a delay of at most {worst} instead of {before}{declared}.", engine.named.name))
    });
    said.collect()
}

fn delays(figure: &FaultsFigure, engines: &[Struck<'_>], quick: bool, folder: &Path) -> Markup {
    let marks = engines.first().map_or(Vec::new(), |engine| {
        let mut marks = reached_marks(&engine.run.result, &engine.tables);
        // Each engine is on time again at another moment.
        marks.iter_mut().for_each(|mark| mark.on_time_s = Some(mark.from_s));
        marks
    });
    let series = engines.iter().enumerate().map(|(place, engine)| {
        let load_end_s = engine.tables.number("load_end_s").unwrap_or(f64::INFINITY);
        let points = engine.tables.due().filter(|row| row.closed_s <= load_end_s + 1e-9);
        Series { ink: Ink::run(place), points: points.map(|row| (row.closed_s, row.delay_s)).collect() }
    });
    let load_end_s = engines.iter().filter_map(|engine| engine.tables.number("load_end_s")).fold(1.0, f64::max);
    let chart = TimeChart {
        title: &figure.title,
        about: "The delay of each interval's result, by engine.",
        unit: Unit::Seconds,
        end_s: load_end_s,
        series: series.collect(),
        bound: None,
        faults: &marks,
    };
    let names = engines.iter().enumerate().map(|(place, engine)| line_key(Ink::run(place), engine.named.name.clone()));
    let keys = names.chain(shades(&marks).into_iter().take(1)).collect();
    Figure {
        id: "figure",
        heading: "Delay of each interval",
        note: "From an interval's end to its last result.".to_owned(),
        keys,
        draw: &|width| chart.draw(width),
        numbers: faults_numbers(figure, engines, quick, folder),
    }
    .markup()
}

fn faults_numbers(figure: &FaultsFigure, engines: &[Struck<'_>], quick: bool, folder: &Path) -> Markup {
    let faults = engines.first().map_or(0, |engine| engine.run.result.faults.len());
    let mut columns = vec!["engine".to_owned(), "nodes".to_owned(), "CPU".to_owned(), "before".to_owned()];
    for fault in 1..=faults {
        columns.extend(["worst", "declared lost", "on time again"].map(|column| format!("F{fault}: {column}")));
    }
    let rows = engines.iter().enumerate().map(|(place, engine)| {
        let name = html! {
            (swatch(Ink::run(place), true)) " " a href=(link(folder, engine.run)) { (engine.named.name) }
        };
        let texts = fault_texts(engine).into_iter().map(|text| html! { (text) });
        std::iter::once(name).chain(texts).collect()
    });
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    html! {
        (table("Effects", &columns, &rows.collect::<Vec<_>>()))
        p.note {
            "Before: the largest delay before the first fault. Worst: the largest from a fault to the next. Declared \
             lost, on time again: so long after the fault; a dash: never. As a file: " (csv_link(&figure.id, quick)) "."
        }
    }
}

/// An engine's row after its name.
pub(crate) fn fault_texts(engine: &Struck<'_>) -> Vec<String> {
    let result = &engine.run.result;
    let mut texts = vec![count(u64::from(result.nodes)), seconds(Some(result.cost.cpu_s)), seconds(engine.before_s())];
    for effect in engine.effects() {
        texts.extend([effect.worst_s, effect.declared_s, effect.on_time_s].map(seconds));
    }
    texts
}

pub(super) fn verdict(runs: &[&RunReport], quick: Option<&Quick>, sentences: &[String]) -> Markup {
    let wrong = runs.iter().find(|run| run.result.verdict == Verdict::Invalid);
    let class = match (wrong, quick) {
        (Some(_), _) => "bad",
        (None, Some(_)) => "warn",
        (None, None) => "good",
    };
    html! {
        p.headline.(class) {
            b.(class) aria-hidden="true" { (sign(class)) }
            @if let Some(quick) = quick { "A quick stand-in, not for comparing: " (quick.about) ". " }
            @if let Some(wrong) = wrong { (wrong.result.engine) ": " (headline(&wrong.result).text) " " }
            @if wrong.is_none() && quick.is_none() { "Every result of every run is right." }
        }
        ul { @for sentence in sentences { li { (kept_together(sentence)) } } }
    }
}

pub(super) fn link(folder: &Path, run: &RunReport) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    address(&absolute(folder), &absolute(&run.directory)) + "/report.html"
}

pub(super) fn csv_link(id: &str, quick: bool) -> Markup {
    let file = format!("{id}{}.csv", if quick { "-quick" } else { "" });
    html! { a href=(file) { (file) } }
}

pub(super) fn again(id: &str, quick: bool) -> Markup {
    html! {
        section id="again" {
            h2 { "Reproduce with" }
            code.line { "dstream paper --figure " (id) @if quick { " --quick" } }
        }
    }
}
