//! The page of a published figure beside the runs that reproduce it: how near they are, then the pictures and the numbers.
//!
//! A figure of several cases begins with all of them in one picture. Invariant: a stand-in says that it is one before it
//! shows a number.

use super::beside::{again, csv_link, link, verdict as verdict_of_runs};
use super::reached_marks;
use super::run::shades;
use crate::chart::bars::{Bar, BarsChart, Group};
use crate::chart::time::{Points, Series, TimeChart, Unit};
use crate::format::{percent, seconds};
use crate::html::{Figure, area_key, cells, kept_together, line_key, page, table};
use crate::ink::Ink;
use crate::paper::{PublishedShown, Reproduction, factor, paper_sentence, published_sentence, ratio};
use crate::tables::Interval;
use crate::words::{anything_wrong, headline, on_time_again, sign};
use maud::{Markup, html};
use std::path::Path;

/// The page; links are relative to `folder`, where it will be.
pub fn paper_page(shown: &PublishedShown<'_>, folder: &Path) -> String {
    let figure = shown.figure;
    let body = html! {
        h1 { (figure.title) }
        p.facts { (figure.source) }
        @if let [case] = shown.cases.as_slice() {
            (verdict(shown, case))
            (picture(shown, case, "figure", "Published and measured, over time", folder))
        } @else {
            (verdict_of_all(shown))
            (overview(shown, folder))
            @for (place, case) in shown.cases.iter().enumerate() {
                (picture(shown, case, &format!("case-{}", place + 1), &case.case.name, folder))
            }
        }
        section id="differs" {
            h2 { "What differs from what was published" }
            ul { @for one in &figure.differs { li { (kept_together(one)) } } }
        }
        (again(&figure.id, shown.quick))
    };
    page(&figure.title, body)
}

/// How near, first; then whether the run is sound.
fn verdict(shown: &PublishedShown<'_>, case: &Reproduction<'_>) -> Markup {
    let result = &case.run.result;
    let run = headline(result);
    let class = if shown.quick && run.class == "good" { "warn" } else { run.class };
    let sign = sign(class);
    let stand_in = format!("A quick stand-in, not for comparing: {}.", shown.figure.quick.about);
    let wrong = anything_wrong(result);
    let again = on_time_again(result, &case.tables);
    html! {
        p.headline.(class) {
            b.(class) aria-hidden="true" { (sign) }
            @if shown.quick { (stand_in) " " }
            @if run.class != "good" { (kept_together(&run.text)) " " }
            (kept_together(&paper_sentence(case)))
        }
        div.cards {
            div.card.(class) { h3 { "What does the model say?" } p { (kept_together(&model(case))) } }
            div.card.(again.class) { h3 { "On time again?" } p { (kept_together(&again.text)) } }
            div.card.(wrong.class) { h3 { "Anything wrong?" } p { (kept_together(&wrong.text)) } }
        }
    }
}

fn verdict_of_all(shown: &PublishedShown<'_>) -> Markup {
    let runs: Vec<_> = shown.cases.iter().map(|case| case.run).collect();
    verdict_of_runs(&runs, shown.quick.then_some(&shown.figure.quick), &[published_sentence(shown)])
}

fn model(shown: &Reproduction<'_>) -> String {
    let Some(checkpoint_s) = shown.case.checkpoint_s else {
        return "Nothing: no batch reads what an earlier one left.".to_owned();
    };
    let Some(model) = shown.model_s() else {
        return "Nothing: the nodes that are left cannot carry the load.".to_owned();
    };
    let nodes = shown.tables.number("workers").unwrap_or(0.0);
    format!(
        "Parallel recovery takes {}, at most: T * (load / N) / (1 - N * load / (N - 1)) with N = {nodes} nodes, a load \
         of {}, and T = {}, from one checkpoint to the next.",
        seconds(Some(model)),
        percent(shown.run.result.own_capacity_fraction),
        seconds(Some(checkpoint_s)),
    )
}

// -- all cases ---------------------------------------------------------------------------------------------------

/// The batch on failure of every case, in one picture and one table.
fn overview(shown: &PublishedShown<'_>, folder: &Path) -> Markup {
    let groups = shown.cases.iter().map(|case| {
        let (published, measured) = case.on_failure_s();
        let bar = |(value, ink)| Bar { ink, value, expected: Some(published), is_hollow: false };
        let name = case.case.name.split(", ").map(str::to_owned).collect();
        Group { name, bars: measured.into_iter().zip([Ink::Processing, Ink::Delay]).map(bar).collect(), apart: None }
    });
    let chart = BarsChart {
        title: &shown.figure.title,
        about: "The batch on failure of each case: its processing time and its delay; marks are published.",
        unit: "seconds",
        groups: groups.collect(),
        expected: Ink::Text,
    };
    Figure {
        id: "figure",
        heading: "The batch on failure",
        note: shown.figure.about.clone(),
        keys: vec![
            area_key(Ink::Processing, "processing, measured"),
            area_key(Ink::Delay, "delay, measured"),
            line_key(Ink::Text, "published"),
        ],
        draw: &|width| chart.draw(width),
        numbers: all_numbers(shown, folder),
    }
    .markup()
}

fn all_numbers(shown: &PublishedShown<'_>, folder: &Path) -> Markup {
    let row = |case: &Reproduction<'_>| {
        let (published, measured) = case.on_failure_s();
        let name = html! { a href=(link(folder, case.run)) { (case.case.name) } };
        let on_failure = measured.map(|value| [seconds(value), factor(ratio(value, Some(published)))]);
        let texts = [seconds(Some(published))].into_iter().chain(on_failure.into_iter().flatten());
        std::iter::once(name).chain(cells(texts)).collect()
    };
    let columns = ["case", "published", "processing", "ratio", "delay", "ratio"];
    html! {
        (table("All cases", &columns, &shown.cases.iter().map(row).collect::<Vec<_>>()))
        p.note { "Every period of every case: " (csv_link(&shown.figure.id, shown.quick)) "." }
    }
}

// -- one case ----------------------------------------------------------------------------------------------------

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
        let value = Some(shown.case.before_s + model);
        [(period.from_s + half_s, value), (period.until_s + half_s, value)]
    });
    piece.into_iter().flatten().collect()
}

fn picture(shown: &PublishedShown<'_>, case: &Reproduction<'_>, id: &str, heading: &str, folder: &Path) -> Markup {
    let tables = &case.tables;
    let line = |ink, value: fn(&Interval) -> Option<f64>| {
        let measured = tables.intervals.iter().filter(|row| row.closed_s > 0.0);
        let load_end = tables.number("load_end_s").unwrap_or(f64::INFINITY);
        let points = measured.filter(|row| row.closed_s <= load_end + 1e-9).map(|row| (row.closed_s, value(row)));
        Series { ink, points: points.collect() }
    };
    let marks = reached_marks(&case.run.result, tables);
    let chart = TimeChart {
        title: &shown.figure.title,
        about: "Published means by period, the model's peak, and each interval's delay and processing time.",
        unit: Unit::Seconds,
        end_s: tables.end_s(),
        series: vec![
            line(Ink::Delay, |row| row.delay_s),
            line(Ink::Processing, |row| row.processing_s),
            Series { ink: Ink::Published, points: pieces(case) },
            Series { ink: Ink::Model, points: model_piece(case) },
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
        id,
        heading,
        note: if shown.cases.len() == 1 { shown.figure.about.clone() } else { paper_sentence(case) },
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers(case, folder),
    }
    .markup()
}

fn numbers(shown: &Reproduction<'_>, folder: &Path) -> Markup {
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
            "Every interval, checks, costs, assumptions: "
            a href=(link(folder, shown.run)) { "the page of the run" } "."
        }
    }
}
