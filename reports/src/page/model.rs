//! The page of a model of recovery beside the runs that measure it: how near they are, the picture, every run's parts.
//!
//! Invariant: a run without an end has a triangle and words, never a number; a stand-in says that it is one.

use crate::chart::points::{Curve, Limit, Mark, PointsChart};
use crate::format::{percent, seconds};
use crate::html::{Figure, Key, address, area_key, cells, kept_together, line_key, page, table};
use crate::ink::Ink;
use crate::model::{Became, ModelPoint, ModelSeries, ModelShown, PARTS, model_sentence, model_sentences};
use crate::paper::factor;
use crate::words::sign;
use dstream_trace::result::Verdict;
use maud::{Markup, html};
use std::path::Path;

/// The scale of the picture, in powers of ten of a minute.
const POWERS: (i32, i32) = (-2, 1);

/// The page; links are relative to `folder`, where it will be.
pub fn model_page(shown: &ModelShown<'_>, folder: &Path) -> String {
    let figure = shown.figure;
    let body = html! {
        h1 { (figure.title) }
        p.facts { (figure.source) }
        (verdict(shown))
        (picture(shown, folder))
        section id="differs" {
            h2 { "What the runs add to the model" }
            ul { @for one in &figure.differs { li { (kept_together(one)) } } }
        }
        section id="again" {
            h2 { "Reproduce with" }
            code.line { "dstream paper --figure " (figure.id) @if shown.quick { " --quick" } }
        }
    };
    page(&figure.title, body)
}

/// How near, first.
fn verdict(shown: &ModelShown<'_>) -> Markup {
    let is = |verdict| shown.points.iter().any(|point| point.run.result.verdict == verdict);
    let all = |became: fn(&Became) -> bool| shown.points.iter().all(|point| became(&point.became));
    let class = match (is(Verdict::Invalid), is(Verdict::Unknown)) {
        (true, _) => "bad",
        (_, true) => "open",
        _ if shown.quick || !all(|became| !matches!(became, Became::Far | Became::Missing)) => "warn",
        _ => "good",
    };
    html! {
        p.headline.(class) {
            b.(class) aria-hidden="true" { (sign(class)) }
            @if shown.quick { "A quick stand-in: a few of the runs. " }
            @if class == "bad" { "The results of a run are wrong. " }
            (kept_together(&model_sentence(shown)))
        }
        ul { @for sentence in model_sentences(shown) { li { (kept_together(&sentence)) } } }
    }
}

fn ink(shown: &ModelShown<'_>, series: &ModelSeries) -> Ink {
    Ink::run(shown.figure.series.iter().position(|other| other == series).unwrap_or(0))
}

fn picture(shown: &ModelShown<'_>, folder: &Path) -> Markup {
    let figure = shown.figure;
    let minutes: Vec<_> = figure
        .series
        .iter()
        .map(|series| move |load: f64| series.formula_s(figure.since_checkpoint_s, load).map(|seconds| seconds / 60.0))
        .collect();
    let of_survivors: Vec<_> = figure
        .series
        .iter()
        .map(|series| move |load: f64| Some(series.formula_of_survivors_s(figure.since_checkpoint_s, load)? / 60.0))
        .collect();
    let with_curve = || figure.series.iter().zip(&minutes).filter(|(series, _)| series.within.is_some());
    let is_held = |(series, _): &(&ModelSeries, _)| series.within.is_some();
    let survivors = figure.series.iter().zip(&of_survivors).filter(is_held);
    let curves = with_curve().map(|(series, value)| (ink(shown, series), value as Curve<'_>));
    let curves = survivors.map(|(_, value)| (Ink::Soft, value as Curve<'_>)).chain(curves);
    let limits = with_curve().filter(|(series, _)| series.limit() < 1.0).map(|(series, _)| Limit {
        at: series.limit(),
        label: format!("N = {}", series.nodes),
        ink: Ink::Bound,
    });
    let chart = PointsChart {
        title: &figure.title,
        about: "Curves are the formula. Points are runs; a triangle at the top is a run that never catches up.",
        unit: "minutes until nothing is late",
        share: "load of the node that fails, before it does",
        powers: POWERS,
        curves: curves.collect(),
        points: shown.points.iter().flat_map(|point| marks(point, ink(shown, point.series))).collect(),
        limits: limits.collect(),
    };
    let mut keys: Vec<Key> =
        with_curve().map(|(series, _)| line_key(ink(shown, series), series.name.clone())).collect();
    keys.push(line_key(Ink::Soft, "the same, the lost work shared by N - 1 nodes instead of N".to_owned()));
    let without = figure.series.iter().filter(|series| series.within.is_none());
    keys.extend(without.map(|series| area_key(ink(shown, series), series.name.clone())));
    Figure {
        id: "figure",
        heading: "Formula and measured, over load",
        note: format!(
            "{} Curves: the formula. Discs: runs, without detection and load. Rings: raw, from the failure on. \
             Triangles at the top: never. Broken upright lines: from there on the formula has no end, (N - 1) / N.",
            figure.about
        ),
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers(shown, folder),
    }
    .markup()
}

fn marks(point: &ModelPoint<'_>, ink: Ink) -> Vec<(Ink, f64, Mark)> {
    let Some(load) = point.load else { return Vec::new() };
    if matches!(point.became, Became::Diverges(..)) {
        return vec![(ink, load, Mark::Endless)];
    }
    let raw = point.raw_s.map(|raw| (ink, load, Mark::Ring(raw / 60.0)));
    let measured = point.measured_s().map(|measured| (ink, load, Mark::Dot(measured / 60.0)));
    raw.into_iter().chain(measured).collect()
}

fn numbers(shown: &ModelShown<'_>, folder: &Path) -> Markup {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let rows = shown.points.iter().map(|point| {
        let run = address(&absolute(folder), &absolute(&point.run.directory));
        let mut row = vec![html! { a href={ (run) "/report.html" } { (point.series.name) } }];
        row.extend(cells(texts(point)));
        row
    });
    let columns: Vec<&str> = ["run", "λ", "formula", "raw"].into_iter().chain(PARTS).chain(LAST_COLUMNS).collect();
    let name = if shown.quick { format!("{}-quick", shown.figure.id) } else { shown.figure.id.clone() };
    html! {
        (table("Formula and measured", &columns, &rows.collect::<Vec<_>>()))
        p.note {
            "λ: the share of the cores of the node that fails that was in use before it did. Raw: from the failure \
             until nothing is late; it is the sum of the four parts. Detect: until it is noticed. Load: until lost \
             work begins to be done again. Replay: until all that the lost node had done is done again. Drain: until \
             nothing is late. Ratio: replay and drain over the formula. Survivors: the same over a formula in which \
             N - 1 nodes share the lost work instead of N. As a file: "
            a href={ (name) ".csv" } { (name) ".csv" } "."
        }
    }
}

/// The columns after the parts.
const LAST_COLUMNS: [&str; 3] = ["ratio", "survivors", ""];

/// A point's row after its name.
pub(crate) fn texts(point: &ModelPoint<'_>) -> Vec<String> {
    let formula =
        if point.formula_s.is_none() && point.load.is_some() { "no end".to_owned() } else { seconds(point.formula_s) };
    let became = match point.became {
        Became::Shown if point.series.within.is_some() => "under five intervals".to_owned(),
        other => other.word().to_owned(),
    };
    let ends = !matches!(point.became, Became::Diverges(..));
    let time = |value: Option<f64>| seconds(value.filter(|_| ends));
    let load = point.load.map_or(crate::format::NOT_REACHED.to_owned(), percent);
    let raw = if ends { seconds(point.raw_s) } else { "never".to_owned() };
    let mut texts = vec![load, formula, raw];
    texts.extend(point.parts_s.map(time));
    texts.extend([point.ratio(), point.ratio_of_survivors()].map(|ratio| factor(ratio.filter(|_| ends))));
    texts.push(became);
    texts
}
