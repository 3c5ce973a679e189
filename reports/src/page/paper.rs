//! The page of a published figure beside the run that reproduces it: how near they are, then the picture and the numbers.
//!
//! Invariant: a stand-in says that it is one before it shows a number.

use super::reached_marks;
use super::run::shades;
use crate::chart::time::{Points, Series, TimeChart, Unit};
use crate::format::{percent, seconds};
use crate::html::{Figure, address, cells, kept_together, line_key, page, table};
use crate::ink::Ink;
use crate::paper::{Reproduction, factor, paper_sentence, ratio};
use crate::tables::Interval;
use crate::words::{anything_wrong, headline, on_time_again, sign};
use maud::{Markup, html};
use std::path::Path;

/// The page; links are relative to `folder`, where it will be.
pub fn paper_page(shown: &Reproduction<'_>, folder: &Path) -> String {
    let figure = shown.figure;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let run = address(&absolute(folder), &absolute(&shown.run.directory));
    let body = html! {
        h1 { (figure.title) }
        p.facts { (figure.source) }
        (verdict(shown))
        (picture(shown, &run))
        section id="differs" {
            h2 { "What differs from the published run" }
            ul { @for one in &figure.differs { li { (one) } } }
        }
        section id="again" {
            h2 { "Reproduce with" }
            code.line { "dstream paper --figure " (figure.id) @if shown.quick { " --quick" } }
            p.note { "Checks, costs, assumptions: " a href={ (run) "/report.html" } { "the page of the run" } "." }
        }
    };
    page(&figure.title, body)
}

/// How near, first; then whether the run is sound.
fn verdict(shown: &Reproduction<'_>) -> Markup {
    let result = &shown.run.result;
    let run = headline(result);
    let class = if shown.quick && run.class == "good" { "warn" } else { run.class };
    let sign = sign(class);
    let stand_in = format!("A quick stand-in, not for comparing: {}.", shown.figure.quick.about);
    let wrong = anything_wrong(result);
    let again = on_time_again(result, &shown.tables);
    html! {
        p.headline.(class) {
            b.(class) aria-hidden="true" { (sign) }
            @if shown.quick { (stand_in) " " }
            @if run.class != "good" { (kept_together(&run.text)) " " }
            (kept_together(&paper_sentence(shown)))
        }
        div.cards {
            div.card.(class) { h3 { "What does the model say?" } p { (kept_together(&model(shown))) } }
            div.card.(again.class) { h3 { "On time again?" } p { (kept_together(&again.text)) } }
            div.card.(wrong.class) { h3 { "Anything wrong?" } p { (kept_together(&wrong.text)) } }
        }
    }
}

fn model(shown: &Reproduction<'_>) -> String {
    let Some(model) = shown.model_s() else {
        return "Nothing: the nodes that are left cannot carry the load.".to_owned();
    };
    let nodes = shown.tables.number("workers").unwrap_or(0.0);
    format!(
        "Parallel recovery takes {}, at most: T * (load / N) / (1 - N * load / (N - 1)) with N = {nodes} nodes, a load \
         of {}, and T = {}, from one checkpoint to the next.",
        seconds(Some(model)),
        percent(shown.run.result.own_capacity_fraction),
        seconds(Some(shown.figure.checkpoint_s)),
    )
}

/// A horizontal piece for each period, with gaps between; an interval stands at its end, so a period begins half an
/// interval after the end before it.
fn pieces(shown: &Reproduction<'_>) -> Points {
    let half_s = shown.tables.number("interval_s").unwrap_or(0.0) / 2.0;
    let piece = |period: &crate::paper::Period| {
        let (from, until) = (period.from_s + half_s, period.until_s + half_s);
        [(from, Some(period.published_s)), (until, Some(period.published_s)), (until, None)]
    };
    shown.periods.iter().flat_map(piece).collect()
}

/// The model's increase over the published value before, at the batch on failure.
fn model_piece(shown: &Reproduction<'_>) -> Points {
    let half_s = shown.tables.number("interval_s").unwrap_or(0.0) / 2.0;
    let on_failure = shown.periods.get(1).zip(shown.model_s());
    let piece = on_failure.map(|(period, model)| {
        let value = Some(shown.figure.before_s + model);
        [(period.from_s + half_s, value), (period.until_s + half_s, value)]
    });
    piece.into_iter().flatten().collect()
}

fn picture(shown: &Reproduction<'_>, run: &str) -> Markup {
    let tables = &shown.tables;
    let line = |ink, value: fn(&Interval) -> Option<f64>| {
        let measured = tables.intervals.iter().filter(|row| row.closed_s > 0.0);
        let load_end = tables.number("load_end_s").unwrap_or(f64::INFINITY);
        let points = measured.filter(|row| row.closed_s <= load_end + 1e-9).map(|row| (row.closed_s, value(row)));
        Series { ink, points: points.collect() }
    };
    let marks = reached_marks(&shown.run.result, tables);
    let chart = TimeChart {
        title: &shown.figure.title,
        about: "Published means by period, the model's peak, and each interval's delay and processing time.",
        unit: Unit::Seconds,
        end_s: tables.end_s(),
        series: vec![
            line(Ink::Delay, |row| row.delay_s),
            line(Ink::Processing, |row| row.processing_s),
            Series { ink: Ink::Published, points: pieces(shown) },
            Series { ink: Ink::Model, points: model_piece(shown) },
        ],
        bound: None,
        faults: &marks,
    };
    let mut keys = vec![
        line_key(Ink::Published, "published: mean of each period"),
        line_key(Ink::Model, "analytic: published before, plus recovery by the model"),
        line_key(Ink::Delay, "measured delay of each interval"),
        line_key(Ink::Processing, "measured processing of each interval"),
    ];
    keys.extend(shades(&marks));
    Figure {
        id: "figure",
        heading: "Published and measured, over time",
        note: shown.figure.about.clone(),
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers(shown, run),
    }
    .markup()
}

fn numbers(shown: &Reproduction<'_>, run: &str) -> Markup {
    let rows = shown.rows().into_iter().map(|(name, reference, measured)| {
        let values = measured.map(|value| [seconds(value), factor(ratio(value, reference))]);
        cells([name, seconds(reference)].into_iter().chain(values.into_iter().flatten()))
    });
    let columns =
        ["period", "published or analytic", "processing", "measured / reference", "delay", "measured / reference"];
    html! {
        (table("Published and measured", &columns, &rows.collect::<Vec<_>>()))
        p.note {
            "Means of a period's intervals. On failure: the one that was being processed when the failure struck. "
            "Every interval: " a href={ (run) "/intervals.csv" } { "intervals.csv" } "."
        }
    }
}
