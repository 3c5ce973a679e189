//! One contest on the page: who was back first and what it cost in words, latency through the faults in one picture, then
//! which engine was how good in what.
//!
//! Invariant: what is not valid is drawn and listed, marked as such, and never marked as best.

use super::super::reached_marks;
use crate::chart::FaultMark;
use crate::chart::recovery::{self, MOST_FAULTS};
use crate::chart::time::{Points, Series, TimeChart, Unit};
use crate::comparison::quantity::SHARE;
use crate::comparison::words::{dstream_sentences, verdict, winners};
use crate::comparison::{Contender, Contest};
use crate::format::{percent, seconds};
use crate::html::{Figure, Key, address, area_key, kept_together, line_key, swatch, table, words_table};
use crate::ink::{Ink, MOST_RUNS};
use crate::page::run::recoveries;
use crate::table::verdict_word;
use crate::tables::Tables;
use crate::words::headline;
use maud::{Markup, html};
use std::path::Path;

mod settings;
mod which;

/// The anchor of the main picture.
const LATENCY: &str = "latency";

/// A contest as it is shown.
pub(super) struct Shown<'c> {
    contest: &'c Contest<'c>,
    /// After each anchor: empty for the first contest of the page.
    suffix: String,
    /// The page's folder.
    folder: &'c Path,
    /// The faults, which all engines share.
    marks: Vec<FaultMark>,
}

/// All of a contest; `place` is its place on the page, `status` says of all runs whether they are valid.
pub(super) fn section(contest: &Contest<'_>, place: usize, folder: &Path, status: &Markup) -> Markup {
    let suffix = if place == 0 { String::new() } else { format!("-{}", place + 1) };
    let shown = Shown { contest, suffix, folder, marks: marks(contest) };
    html! {
        @if !contest.name.is_empty() { h2.contest { (contest.name) } }
        (shown.lead())
        @if place == 0 { (status) }
        (shown.latency())
        (shown.record_latency())
        (which::section(&shown))
        (shown.who_wins())
        (shown.recovery())
        (shown.flow())
        (settings::section(&shown))
    }
}

/// The faults, shaded until the last engine was on time again.
fn marks(contest: &Contest<'_>) -> Vec<FaultMark> {
    let mut all = contest.contenders.iter().map(|one| reached_marks(one.result(), one.tables));
    let mut marks = all.next().unwrap_or_default();
    for other in all {
        for (mark, other) in marks.iter_mut().zip(&other) {
            mark.on_time_s = mark.on_time_s.zip(other.on_time_s).map(|(a, b)| a.max(b));
            mark.fired |= other.fired;
        }
    }
    marks
}

/// When records ended to come; without it, when the run did.
fn load_end_s(tables: &Tables) -> f64 {
    tables.number("load_end_s").unwrap_or_else(|| tables.end_s())
}

impl Shown<'_> {
    fn id(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// The role of each engine in the pictures.
    fn inks(&self) -> impl Iterator<Item = (&Contender<'_>, Ink)> {
        let drawn = self.contest.contenders.iter().take(MOST_RUNS);
        drawn.enumerate().map(|(place, one)| (one, Ink::run(place)))
    }

    fn ink_of(&self, one: &Contender<'_>) -> Option<Ink> {
        self.inks().find(|(other, _)| other.label() == one.label()).map(|(_, ink)| ink)
    }

    /// The address of a place on a run's page.
    fn link(&self, one: &Contender<'_>, anchor: &str, text: Markup) -> Markup {
        let page = address(self.folder, &one.run.directory);
        html! { a href={ (page) "/report.html" @if !anchor.is_empty() { "#" (anchor) } } { (text) } }
    }

    /// The engine's sample line and name, and a word where it is not ranked.
    fn name(&self, one: &Contender<'_>) -> Markup {
        html! {
            span.engine-name {
                @if let Some(ink) = self.ink_of(one) { (swatch(ink, true)) " " }
                (self.link(one, "", html! { (one.label()) }))
                @if !one.is_ranked() {
                    " " b.(headline(one.result()).class) { (verdict_word(one.result().verdict)) }
                }
            }
        }
    }

    /// The verdict in words, and where D-Streams loses.
    fn lead(&self) -> Markup {
        let mut sentences = verdict(self.contest);
        let further = sentences.split_off(sentences.len().min(2));
        let about_dstream = dstream_sentences(self.contest);
        html! {
            p.lead { (kept_together(&sentences.join(" "))) }
            @for sentence in &further { p.warned { (kept_together(sentence)) } }
            @if !about_dstream.is_empty() { p { (kept_together(&about_dstream.join(" "))) } }
        }
    }

    fn keys(&self) -> Vec<Key> {
        let label = |one: &Contender<'_>| match one.is_ranked() {
            true => one.label().to_owned(),
            false => format!("{} ({})", one.label(), verdict_word(one.result().verdict)),
        };
        let mut keys: Vec<Key> = self.inks().map(|(one, ink)| line_key(ink, label(one))).collect();
        if self.marks.iter().any(|mark| mark.fired) {
            keys.push(area_key(Ink::FaultWindow, "a fault is on"));
            keys.push(area_key(Ink::Late, "until all are on time again"));
        }
        keys
    }

    /// A picture of all engines while records came.
    fn figure(&self, words: [&str; 3], unit: Unit, bound: Option<f64>, points: &dyn Fn(&Tables) -> Points) -> Markup {
        let [id, heading, note] = words;
        let series: Vec<Series> = self.inks().map(|(one, ink)| Series { ink, points: points(one.tables) }).collect();
        if series.iter().all(|line| line.points.iter().all(|(_, value)| value.is_none())) {
            return html! {};
        }
        let end_s = self.contest.contenders.iter().map(|one| load_end_s(one.tables)).fold(1.0, f64::max);
        let chart = TimeChart { title: heading, about: note, unit, end_s, series, bound, faults: &self.marks };
        let mut keys = self.keys();
        let on_time = || format!("on time: {} after an interval's end", seconds(self.contest.slo_s()));
        keys.extend(bound.map(|_| line_key(Ink::Bound, on_time())));
        let is_main = id == LATENCY;
        let draw = |width| if is_main { chart.draw_tall(width) } else { chart.draw(width) };
        Figure { id: &self.id(id), heading, note: note.to_owned(), keys, draw: &draw, numbers: html! {} }.markup()
    }

    /// The one picture: how long each interval's oldest record waited.
    fn latency(&self) -> Markup {
        let slide_s = self.contest.contenders.iter().map(|one| one.tables.slide_s()).fold(0.0, f64::max);
        let oldest = |tables: &Tables| -> Points {
            tables.oldest().into_iter().take_while(|(closed_s, _)| *closed_s <= load_end_s(tables) + 1e-6).collect()
        };
        let note = "For each interval, from the scheduled send of its oldest record to its last result, what that \
                    record waited at its client included; drawn where the interval ends.";
        let bound = self.contest.slo_s().map(|slo| slo + slide_s);
        self.figure([LATENCY, "Latency over time", note], Unit::Seconds, bound, &oldest)
    }

    fn record_latency(&self) -> Markup {
        let running = |tables: &Tables| -> Points {
            let rows = tables.latency.iter();
            rows.map(|row| (row.second + 0.5, row.record_p99_ms.map(|ms| ms / 1e3))).collect()
        };
        let silent: Vec<&str> = self
            .contest
            .contenders
            .iter()
            .filter(|one| one.result().record_latency_ms.is_none())
            .map(Contender::label)
            .collect();
        let mut note =
            "p99 by second, until a record first shows in a running result, before its interval is over.".to_owned();
        if !silent.is_empty() {
            note.push_str(&format!(" None from {}: only whole intervals.", silent.join(", ")));
        }
        let words = ["record-latency", "Latency of running results", note.as_str()];
        self.figure(words, Unit::Seconds, None, &running)
    }

    fn flow(&self) -> Markup {
        let flow = |tables: &Tables| -> Points {
            let measured = tables.flow.iter().filter(|row| row.second >= 0.0);
            measured.map(|row| (row.second + 0.5, Some(row.in_results as f64))).collect()
        };
        let words = ["flow", "Records in results, a second", "Records that were moved, by second."];
        self.figure(words, Unit::Count, None, &flow)
    }

    /// Quantity by quantity, the best and the worst.
    fn who_wins(&self) -> Markup {
        let rows: Vec<Vec<Markup>> = winners(self.contest)
            .into_iter()
            .map(|(what, told)| match told {
                Some((best, worst)) => {
                    vec![
                        html! { (what.name) },
                        html! { b { (kept_together(&best)) } },
                        html! { (kept_together(&worst)) },
                    ]
                }
                None => vec![html! { (what.name) }, html! { "no difference that means anything" }, html! {}],
            })
            .collect();
        if self.contest.ranked().count() < 2 {
            return html! {};
        }
        html! {
            section id=(self.id("winners")) {
                h2 { "Who wins in what" }
                (words_table("Who wins in what", &["in", "best", "worst"], &rows))
                p.note {
                    "Faults count by their slowest recovery. Differences below " (percent(SHARE))
                    " mean nothing, nor does being on time again within half an interval of each other."
                }
            }
        }
    }

    fn recovery(&self) -> Markup {
        let ranked = self.contest.contenders.iter();
        let bars: Vec<_> = ranked.flat_map(|one| recoveries(one.result(), &format!("{}: ", one.label()))).collect();
        if bars.is_empty() || bars.len() > MOST_FAULTS {
            return html! {};
        }
        let (title, about) = ("Recovery, taken apart", "For each engine and fault its parts, on one scale.");
        Figure {
            id: &self.id("parts"),
            heading: title,
            note: String::new(),
            keys: Vec::new(),
            draw: &|width| recovery::draw(&bars, title, about, width),
            numbers: html! {},
        }
        .markup()
    }
}

/// A table whose best values are bold, with every value a link: `None` where nothing was measured.
fn linked_table(shown: &Shown<'_>, caption: &str, columns: &[Column<'_>]) -> Markup {
    let contenders = &shown.contest.contenders;
    let marks: Vec<Vec<bool>> = columns.iter().map(|column| column.marks(contenders)).collect();
    let rows: Vec<Vec<Markup>> = contenders
        .iter()
        .enumerate()
        .map(|(place, one)| {
            let cells = columns.iter().zip(&marks).map(|(column, marks)| {
                let text = (column.text)(one);
                let text = if marks[place] {
                    html! { b.best { (text) } }
                } else {
                    html! { (text) }
                };
                shown.link(one, column.anchor, text)
            });
            std::iter::once(shown.name(one)).chain(cells).collect()
        })
        .collect();
    let heads: Vec<&str> = std::iter::once("engine").chain(columns.iter().map(|column| column.head)).collect();
    table(caption, &heads, &rows)
}

/// A number of a run.
type Value<'a> = dyn Fn(&Contender<'_>) -> Option<f64> + 'a;

/// A column of such a table.
struct Column<'a> {
    head: &'a str,
    anchor: &'static str,
    text: Box<dyn Fn(&Contender<'_>) -> String + 'a>,
    /// What decides who is best; `None`: nobody is.
    value: Option<Box<Value<'a>>>,
    least: f64,
    missing_is_worst: bool,
}

impl Column<'_> {
    fn marks(&self, contenders: &[Contender<'_>]) -> Vec<bool> {
        let Some(value) = &self.value else { return vec![false; contenders.len()] };
        let values: Vec<Option<f64>> = contenders.iter().filter(|one| one.is_ranked()).map(value).collect();
        let mut best = crate::comparison::quantity::best(&values, self.least, self.missing_is_worst).into_iter();
        contenders.iter().map(|one| one.is_ranked() && best.next().unwrap_or(false)).collect()
    }
}
