//! The page that puts runs side by side: the same axes, one colour and dash for each run, every number a link. Engines
//! that ran the same scenario come first, as contests.

mod contest;

use super::facts::{COST_COLUMNS, cost_row};
use super::run::recoveries;
use super::{FAULT_COLUMNS, FAULT_NOTE, fault_rows, reached_marks, why_missing};
use crate::chart::FaultMark;
use crate::chart::recovery::{self, MOST_FAULTS};
use crate::chart::time::{Points, Series, TimeChart, Unit};
use crate::comparison::contests;
use crate::format::{count, milliseconds, seconds};
use crate::html::{Figure, Key, address, area_key, kept_together, line_key, page, swatch, table};
use crate::ink::{Ink, MOST_RUNS};
use crate::label::labels;
use crate::read::RunReport;
use crate::reasons::ON_PAGES;
use crate::table::verdict_word;
use crate::tables::Tables;
use crate::waiting::{held_back, longest_wait_s};
use crate::words::{anything_wrong, headline, on_time_again, sign, what_failed};
use dstream_trace::result::{FaultResult, Verdict};
use maud::{Markup, html};
use std::path::Path;

/// Faults of one name that strike within this share of the run are the same fault to the eye, drawn in another phase.
const NEAR: f64 = 0.02;

/// Contests on one page; further ones are in the table of all runs.
const MOST_CONTESTS: usize = 4;

/// One run on the page.
struct Compared<'a> {
    run: &'a RunReport,
    tables: Tables,
    /// What tells it from the others.
    label: String,
    /// The address of its folder.
    address: String,
    /// Its role in the pictures; `None` where there are too many runs.
    ink: Option<Ink>,
}

/// The page of `runs`; links are relative to `folder`, where the page will be.
pub fn compare_page(runs: &[RunReport], folder: &Path) -> String {
    let tables: Vec<Tables> = runs.iter().map(|run| Tables::read(&run.directory)).collect();
    let labels = labels(runs, &tables);
    let drawn_from = runs.len().saturating_sub(MOST_RUNS);
    let compared: Vec<Compared<'_>> = runs
        .iter()
        .zip(tables)
        .zip(labels)
        .enumerate()
        .map(|(place, ((run, tables), label))| Compared {
            run,
            tables,
            label,
            address: address(folder, &run.directory),
            ink: place.checked_sub(drawn_from).map(Ink::run),
        })
        .collect();
    let title = title(runs);
    let all_tables: Vec<Tables> = compared.iter().map(|one| one.tables.clone()).collect();
    let mut contests = contests(runs, &all_tables);
    let older = contests.len().saturating_sub(MOST_CONTESTS);
    contests.drain(..older);
    let shown: usize = contests.iter().map(|contest| contest.contenders.len()).sum();
    let body = html! {
        h1 { (title) }
        @for (place, contest) in contests.iter().enumerate() {
            (contest::section(contest, place, folder, &verdicts(&compared)))
        }
        @if shown == 0 { (verdicts(&compared)) }
        @if shown > 0 && shown < compared.len() { section id="runs" { h2 { "All runs" } (quantities(&compared)) } }
        @if !compared.is_empty() {
            @if shown == 0 {
                (quantities(&compared))
                (pictures(&compared))
                (faults(&compared))
                (costs(&compared))
            }
            p.note { "Each run's page has its numbers as files, what it assumed, and the command that reproduces it." }
        }
    };
    page(&title, body)
}

fn title(runs: &[RunReport]) -> String {
    let mut titles: Vec<&str> = runs.iter().map(|run| run.result.scenario.as_str()).collect();
    titles.dedup();
    match titles[..] {
        [] => "No runs".to_owned(),
        [title] => title.to_owned(),
        _ => titles.join(" · "),
    }
}

/// The verdicts in words: all at once where they agree, each where there are few.
fn verdicts(compared: &[Compared<'_>]) -> Markup {
    let valid = compared.iter().filter(|one| one.run.result.verdict == Verdict::Valid).count();
    let invalid = compared.iter().filter(|one| one.run.result.verdict == Verdict::Invalid).count();
    let open = compared.len() - valid - invalid;
    let with_loss = compared.iter().filter(|one| headline(&one.run.result).class == "warn").count();
    let (class, text) = match (compared.len(), invalid, open) {
        (0, ..) => ("open", "There is no run here yet.".to_owned()),
        (1, 0, 0) if with_loss == 1 => ("warn", headline(&compared[0].run.result).text),
        (all, 0, 0) if with_loss > 0 => {
            ("warn", format!("All {all} runs are valid; {with_loss} of them lost records, as the promise allows."))
        }
        (1, 0, 0) => ("good", "The run is valid: every check holds.".to_owned()),
        (2, 0, 0) => ("good", "Both runs are valid: every check holds.".to_owned()),
        (all, 0, 0) => ("good", format!("All {all} runs are valid: every check holds.")),
        (all, 0, open) => ("open", format!("{open} of {all} runs undecided, no check failed in the others.")),
        (all, wrong, 0) => ("bad", format!("{wrong} of {all} runs invalid.")),
        (all, wrong, open) => ("bad", format!("{wrong} of {all} runs invalid, {open} undecided.")),
    };
    html! { p.headline.(class) { b.(class) aria-hidden="true" { (sign(class)) } (text) } }
}

fn name(one: &Compared<'_>) -> Markup {
    html! {
        span.run-name {
            @if let Some(ink) = one.ink { (swatch(ink, true)) " " }
            a href={ (one.address) "/report.html" } { (one.label) }
        }
    }
}

/// One row a run: what failed, when it was on time again, whether anything is wrong, how late it was.
fn quantities(compared: &[Compared<'_>]) -> Markup {
    let shows_records = compared.iter().any(|one| one.run.result.record_latency_ms.is_some());
    let rows: Vec<Vec<Markup>> = compared
        .iter()
        .map(|one| {
            let result = &one.run.result;
            let link =
                |anchor: &str, text: String| html! { a href={ (one.address) "/report.html#" (anchor) } { (text) } };
            let verdict = headline(result);
            let slowest = result.faults.iter().filter(|fault| fault.fired);
            // Intervals may be on time while old records wait at clients.
            let held = held_back(&one.tables).is_some();
            let again = |fault: &FaultResult| if held { fault.drain_s } else { fault.catch_up_s };
            let caught: Option<Vec<f64>> = slowest.map(again).collect();
            let caught = caught.and_then(|all| all.into_iter().max_by(f64::total_cmp));
            let records = &result.records;
            let wrong = [records.lost, records.duplicated, records.wrong_intervals].map(count).join(" / ");
            let latency = &result.latency_ms;
            let record = result.record_latency_ms.unwrap_or_default();
            let records_shown = [record.p50, record.p99].map(|value| link("latency", milliseconds(value)));
            let mut cells = vec![
                name(one),
                html! { b.(verdict.class) { (verdict_word(result.verdict)) } },
                link("checks", wrong),
                link("recovery", seconds(caught)),
                link("latency", milliseconds(latency.p50)),
                link("latency", milliseconds(latency.p99)),
                link("latency", milliseconds(latency.max)),
                link("latency", milliseconds(result.latency_before_faults_ms.p99)),
                link("latency", seconds(longest_wait_s(result))),
                link("cost", seconds(Some(result.cost.cpu_s))),
            ];
            cells.extend(records_shown.into_iter().filter(|_| shows_records));
            cells
        })
        .collect();
    let columns = [
        "run",
        "verdict",
        "lost / doubled / wrong",
        "on time again after",
        "p50",
        "p99",
        "max",
        "p99 before faults",
        "longest wait at clients",
        "CPU",
        "running result: p50",
        "running result: p99",
    ];
    let columns = if shows_records { &columns[..] } else { &columns[..columns.len() - 2] };
    html! {
        (table("Runs", columns, &rows))
        div.cards {
            @for one in compared.iter().filter(|one| one.ink.is_some()) {
                @let verdict = headline(&one.run.result);
                div.card.(verdict.class) {
                    h3 { (name(one)) }
                    p { (kept_together(&what_failed(&one.run.result, &one.tables).text)) }
                    p { (kept_together(&on_time_again(&one.run.result, &one.tables).text)) }
                    p { (kept_together(&anything_wrong(&one.run.result).text)) }
                    @if !matches!(verdict.class, "good" | "warn") { p { (kept_together(&verdict.text)) } }
                }
            }
        }
    }
}

/// The faults of all runs, each once where runs share it.
fn shared_marks(compared: &[Compared<'_>]) -> Vec<FaultMark> {
    let mut marks: Vec<FaultMark> = Vec::new();
    for one in compared.iter().filter(|one| one.ink.is_some()) {
        let near_s = one.tables.end_s() * NEAR;
        for mark in reached_marks(&one.run.result, &one.tables) {
            let same =
                |other: &&mut FaultMark| other.label == mark.label && (other.from_s - mark.from_s).abs() < near_s;
            match marks.iter_mut().find(same) {
                // Shaded until the last of the runs was on time.
                Some(other) => {
                    other.on_time_s = other.on_time_s.zip(mark.on_time_s).map(|(a, b)| a.max(b));
                    other.until_s = other.until_s.zip(mark.until_s).map(|(a, b)| a.max(b));
                    other.from_s = other.from_s.min(mark.from_s);
                    other.fired |= mark.fired;
                }
                None => marks.push(mark),
            }
        }
    }
    marks.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    for (place, mark) in marks.iter_mut().enumerate() {
        mark.tag = format!("F{}", place + 1);
    }
    marks
}

fn pictures(compared: &[Compared<'_>]) -> Markup {
    let marks = shared_marks(compared);
    let drawn: Vec<(&Compared<'_>, Ink)> = compared.iter().filter_map(|one| Some((one, one.ink?))).collect();
    let end_s = drawn.iter().map(|(one, _)| one.tables.end_s()).fold(1.0, f64::max);
    let left_out = compared.len() - drawn.len();
    let keys = || {
        let mut keys: Vec<Key> = drawn.iter().map(|(one, ink)| line_key(*ink, one.label.clone())).collect();
        if marks.iter().any(|mark| mark.fired) {
            keys.push(area_key(Ink::FaultWindow, "a fault is on"));
            keys.push(area_key(Ink::Late, "until all runs have caught up"));
        }
        keys
    };
    let figure = |id: &str, heading: &str, unit: Unit, note: &str, points: &dyn Fn(&Tables) -> Points| {
        let series = drawn.iter().map(|(one, ink)| Series { ink: *ink, points: points(&one.tables) }).collect();
        let chart = TimeChart { title: heading, about: note, unit, end_s, series, bound: None, faults: &marks };
        let mut note = note.to_owned();
        if left_out > 0 {
            let earlier =
                if left_out == 1 { "an earlier one is".to_owned() } else { format!("{left_out} earlier ones are") };
            note += &format!(" The last {} runs are drawn; {earlier} in the table.", drawn.len());
        }
        Figure { id, heading, note, keys: keys(), draw: &|width| chart.draw(width), numbers: html! {} }.markup()
    };
    let latency = |tables: &Tables| -> Points {
        tables.latency.iter().map(|row| (row.second, row.p99_ms.map(|ms| ms / 1e3))).collect()
    };
    let delay = |tables: &Tables| -> Points { tables.due().map(|row| (row.closed_s, row.delay_s)).collect() };
    let flow = |tables: &Tables| -> Points {
        let measured = tables.flow.iter().filter(|row| row.second >= 0.0);
        measured.map(|row| (row.second, Some(row.in_results as f64))).collect()
    };
    let each_second = "Of the records whose results became visible in each second.";
    html! {
        (figure("latency", "p99 latency over time", Unit::Seconds, each_second, &latency))
        (figure("delay", "Delay of each interval", Unit::Seconds, "From an interval's end to its last result.", &delay))
        (figure("flow", "Records in results, a second", Unit::Count, "Records that were moved.", &flow))
    }
}

fn faults(compared: &[Compared<'_>]) -> Markup {
    let rows: Vec<Vec<Markup>> =
        compared.iter().flat_map(|one| fault_rows(&one.run.result, &one.tables, Some(&name(one)))).collect();
    if rows.is_empty() {
        return html! {};
    }
    let columns: Vec<&str> = std::iter::once("run").chain(FAULT_COLUMNS).collect();
    let body = html! { (table("Faults", &columns, &rows))
    (why_missing(compared.iter().map(|one| (&one.run.result, &one.tables, one.label.as_str())), &ON_PAGES))
    p.note { (FAULT_NOTE) } };
    let drawn = compared.iter().filter(|one| one.ink.is_some());
    let bars: Vec<_> = drawn.flat_map(|one| recoveries(&one.run.result, &format!("{}: ", one.label))).collect();
    if bars.is_empty() || bars.len() > MOST_FAULTS {
        return html! { section id="recovery" { h2 { "Faults" } (body) } };
    }
    let (title, about) = ("Recovery, taken apart", "For each run and fault the parts of its recovery, on one scale.");
    Figure {
        id: "recovery",
        heading: title,
        note: String::new(),
        keys: Vec::new(),
        draw: &|width| recovery::draw(&bars, title, about, width),
        numbers: body,
    }
    .markup()
}

fn costs(compared: &[Compared<'_>]) -> Markup {
    let row = |one: &Compared<'_>| -> Vec<Markup> {
        let link = |text: String| html! { a href={ (one.address) "/report.html#cost" } { (text) } };
        std::iter::once(name(one)).chain(cost_row(&one.run.result).into_iter().map(link)).collect()
    };
    let rows: Vec<Vec<Markup>> = compared.iter().map(row).collect();
    let columns: Vec<&str> = std::iter::once("run").chain(COST_COLUMNS).collect();
    html! { section id="cost" { h2 { "What each cost" } (table("Cost", &columns, &rows)) } }
}
