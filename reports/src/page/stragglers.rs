//! The page of stragglers: how near slowdowns are to what was predicted, the picture, every run, and how it is predicted.
//!
//! Invariant: a stand-in says that it is one before it shows a number; what was published is set apart from what was run.

use super::beside::{again, csv_link, link};
use crate::chart::bars::{Bar, BarsChart, Group};
use crate::format::percent;
use crate::html::{Figure, area_key, cells, kept_together, line_key, page, swatch, table};
use crate::ink::Ink;
use crate::stragglers::{
    Slowed, StragglersShown, published_texts, stragglers_sentence, stragglers_sentences, stragglers_texts,
};
use crate::words::sign;
use maud::{Markup, html};
use std::path::Path;

/// Without speculation, and with it.
const INKS: [Ink; 2] = [Ink::Alone, Ink::Speculating];

/// The page; links are relative to `folder`, where it will be.
pub fn stragglers_page(shown: &StragglersShown<'_>, folder: &Path) -> String {
    let figure = shown.figure;
    let body = html! {
        h1 { (figure.title) }
        p.facts { (kept_together(&figure.about)) }
        (verdict(shown))
        (picture(shown, folder))
        section id="differs" {
            h2 { "What is predicted, and what is left out" }
            ul { @for one in &figure.differs { li { (kept_together(one)) } } }
        }
        (again(&figure.id, shown.quick))
    };
    page(&figure.title, body)
}

/// How near, first.
fn verdict(shown: &StragglersShown<'_>) -> Markup {
    let class = match shown.is_wrong() {
        true => "bad",
        false if shown.quick || !shown.is_near() => "warn",
        false => "good",
    };
    html! {
        p.headline.(class) {
            b.(class) aria-hidden="true" { (sign(class)) }
            @if shown.quick { "A quick stand-in, not for comparing: " (shown.figure.quick.about) ". " }
            @if class == "bad" { "The results of a run are wrong. " }
            (kept_together(&stragglers_sentence(shown)))
        }
        ul { @for sentence in stragglers_sentences(shown) { li { (kept_together(&sentence)) } } }
    }
}

fn picture(shown: &StragglersShown<'_>, folder: &Path) -> Markup {
    let figure = shown.figure;
    let chart = BarsChart {
        title: &figure.title,
        about: "How many times as long an interval takes, by waves of tasks; marks are predicted, outlines published.",
        unit: "times as long as before",
        groups: groups(shown),
        expected: Ink::Text,
    };
    Figure {
        id: "figure",
        heading: "Slowdown by waves of tasks",
        note: format!(
            "Bars: measured. Outlines on the right: published, {}; {}.",
            figure.published.source, figure.published.about
        ),
        keys: vec![
            area_key(INKS[0], "without speculation"),
            area_key(INKS[1], "with speculation"),
            line_key(Ink::Text, "predicted from the number of tasks and the factor"),
        ],
        draw: &|width| chart.draw(width),
        numbers: numbers(shown, folder),
    }
    .markup()
}

/// A group for each number of waves that was run, then one for each published job.
fn groups(shown: &StragglersShown<'_>) -> Vec<Group> {
    let run = shown.figure.runs.iter().map(|waves| (waves, shown.pair(waves)));
    let run = run.filter(|(_, pair)| pair.iter().any(Option::is_some)).map(|(waves, pair)| {
        let bar = |(slowed, ink): (Option<&Slowed<'_>>, Ink)| Bar {
            ink,
            value: slowed.and_then(Slowed::slowdown),
            expected: slowed.and_then(|slowed| slowed.predicted),
            is_hollow: false,
        };
        let name = vec![waves.waves.to_string(), if waves.waves == 1 { "wave" } else { "waves" }.to_owned()];
        Group { name, bars: pair.into_iter().zip(INKS).map(bar).collect(), apart: None }
    });
    let published = shown.figure.published.jobs.iter().enumerate().map(|(place, job)| {
        let bar = |(value, ink)| Bar { ink, value, expected: None, is_hollow: true };
        let name = job.name.split(' ').map(str::to_owned).collect();
        Group {
            name,
            bars: job.slowdowns().into_iter().zip(INKS).map(bar).collect(),
            apart: (place == 0).then(|| "published".to_owned()),
        }
    });
    run.chain(published).collect()
}

fn numbers(shown: &StragglersShown<'_>, folder: &Path) -> Markup {
    let row = |slowed: &Slowed<'_>| {
        let [case, rest @ ..] = stragglers_texts(slowed);
        let ink = INKS[usize::from(slowed.speculates)];
        let name = html! { (swatch(ink, false)) " " a href=(link(folder, slowed.run)) { (case) } };
        std::iter::once(name).chain(cells(rest)).collect()
    };
    let rows: Vec<Vec<Markup>> =
        shown.runs.iter().map(row).chain(published_texts(shown.figure).into_iter().map(cells)).collect();
    let columns = ["case", "speculation", "tasks", "before", "struck", "times as long", "predicted", "ratio", "fit"];
    html! {
        (table("Slowdowns", &columns, &rows))
        p.note {
            "Tasks: map tasks of the interval that was struck. Before: the mean processing time of the intervals that \
             were over when the worker became slow. Struck: that of the first interval whose tasks all ran while it \
             was. Ratio: measured over predicted; near: within " (percent(shown.figure.within)) ". As a file: "
            (csv_link(&shown.figure.id, shown.quick)) "."
        }
    }
}
