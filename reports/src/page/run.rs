//! The page of one run: the verdict in words, then what happened over time, what it cost and what was assumed.

use super::facts::{COST_COLUMNS, assumptions, cost_row};
use super::{
    FAULT_COLUMNS, FAULT_NOTE, fault_rows, flow_rows, interval_rows, latency_rows, numbers, reached_marks, tasks,
    why_missing,
};
use crate::chart::FaultMark;
use crate::chart::recovery::{self, MOST_FAULTS, Recovery};
use crate::chart::time::{Series, TimeChart, Unit};
use crate::format::{count, milliseconds, seconds};
use crate::html::{Figure, Key, area_key, cells, folded, kept_together, line_key, page, table, words_table};
use crate::ink::Ink;
use crate::read::RunReport;
use crate::reasons::ON_PAGES;
use crate::tables::Tables;
use crate::waiting::{held_back, held_back_sentence, waited, waited_sentence};
use crate::words::{anything_wrong, headline, on_time_again, sign, what_failed};
use dstream_trace::result::RunResult;
use maud::{Markup, html};

/// Files of a run directory, as far as they are there.
const FILES: [&str; 12] = [
    "scenario.yaml",
    "result.json",
    "run.csv",
    "intervals.csv",
    "latency.csv",
    "flow.csv",
    "tasks.csv",
    "owners.csv",
    "faults.csv",
    "nodes.csv",
    "moments.csv",
    "trace.log",
];

/// The page of one run, to be put into its folder.
pub fn run_page(run: &RunReport) -> String {
    let tables = Tables::read(&run.directory).with_tasks(&run.directory);
    let marks = reached_marks(&run.result, &tables);
    let title =
        format!("{} · {} · {}, seed {}", run.result.scenario, run.result.engine, run.result.world, run.result.seed);
    let body = html! {
        (head(run, &tables))
        (latency(&run.result, &tables, &marks))
        (delay(&tables, &marks))
        (flow(run, &tables, &marks))
        (waiting(&tables, &marks))
        (faults(&run.result, &tables))
        (tasks::section(run, &tables))
        (cost(&run.result))
        (promises(&run.result))
        (checks(&run.result))
        (assumed(run, &tables))
        (again(run, &tables))
        (files(run))
    };
    page(&title, body)
}

fn head(run: &RunReport, tables: &Tables) -> Markup {
    let result = &run.result;
    let verdict = headline(result);
    let sign = sign(verdict.class);
    let answers = [
        ("What failed?", what_failed(result, tables)),
        ("On time again?", on_time_again(result, tables)),
        ("Anything wrong?", anything_wrong(result)),
    ];
    let workers = tables.number("workers").map(|workers| format!(", {workers} workers")).unwrap_or_default();
    let facts = format!(
        "engine {}, world {}, seed {}{workers}, {} records a second",
        result.engine,
        result.world,
        result.seed,
        count(result.rate_per_s.round() as u64)
    );
    html! {
        p.about { a href="../index.html" { "All runs of this scenario" } }
        h1 { (result.scenario) }
        p.facts {
            (facts)
            @if !tables.set().is_empty() { "; set: " (tables.set().join(", ")) }
        }
        p.headline.(verdict.class) { b.(verdict.class) aria-hidden="true" { (sign) } (kept_together(&verdict.text)) }
        div.cards {
            @for (question, answer) in &answers {
                div.card.(answer.class) { h3 { (question) } p { (kept_together(&answer.text)) } }
            }
        }
    }
}

/// Keys of what lies behind the lines of every picture over time.
pub(super) fn shades(marks: &[FaultMark]) -> Vec<Key> {
    if marks.iter().any(|mark| mark.fired) {
        vec![
            area_key(Ink::FaultWindow, "a fault is on"),
            area_key(Ink::Late, "until caught up: results are on time again"),
        ]
    } else {
        Vec::new()
    }
}

fn bound_key(tables: &Tables) -> Option<Key> {
    tables.number("slo_s").map(|slo| line_key(Ink::Bound, format!("on time: {}", seconds(Some(slo)))))
}

fn latency_note(result: &RunResult) -> String {
    let note = "From a record's scheduled send to the moment a result that contains it is visible.";
    let waited = waited(result).map_or(String::new(), |waited| format!(" {}", waited_sentence(&waited)));
    let note = format!("{note}{waited}");
    match &result.record_latency_ms {
        Some(record) => format!(
            "{note} In a running result, which comes before, it shows after p50 {}, p99 {}, at most {}.",
            milliseconds(record.p50),
            milliseconds(record.p99),
            milliseconds(record.max)
        ),
        None => note,
    }
}

fn latency(result: &RunResult, tables: &Tables, marks: &[FaultMark]) -> Markup {
    let slide = tables.slide_s();
    let line = |ink, value: fn(&crate::tables::Latency) -> Option<f64>| Series {
        ink,
        points: tables.latency.iter().map(|row| (row.second, value(row).map(|ms| ms / 1e3))).collect(),
    };
    let chart = TimeChart {
        title: "Latency over time",
        about: "Percentiles of latency of the records whose results became visible in each second.",
        unit: Unit::Seconds,
        end_s: tables.end_s(),
        series: vec![
            line(Ink::Max, |row| row.max_ms),
            line(Ink::P90, |row| row.p90_ms),
            line(Ink::P50, |row| row.p50_ms),
            line(Ink::P99, |row| row.p99_ms),
        ],
        // Late is what comes later than the bound after its interval's end; the oldest record waited for that end too.
        // Where results come every few intervals, it is the end of the next that has one.
        bound: tables.number("slo_s").map(|slo| slo + slide),
        faults: marks,
    };
    let keys = [(Ink::P50, "p50"), (Ink::P90, "p90"), (Ink::P99, "p99"), (Ink::Max, "max")];
    let mut keys: Vec<Key> = keys.into_iter().map(|(ink, text)| line_key(ink, text)).collect();
    let on_time = tables.number("slo_s").map(|slo| seconds(Some(slo + slide)));
    let waits = if tables.slides() { "the time between results and the bound" } else { "an interval and its bound" };
    keys.extend(on_time.map(|on_time| line_key(Ink::Bound, format!("on time: {on_time}, {waits}"))));
    keys.extend(shades(marks));
    let file = html! { a href="latency.csv" { "latency.csv" } };
    Figure {
        id: "latency",
        heading: "Latency over time",
        note: latency_note(result),
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers("Latency by second", &["second", "p50", "p90", "p99", "max"], &latency_rows(tables), &file),
    }
    .markup()
}

fn delay(tables: &Tables, marks: &[FaultMark]) -> Markup {
    let line = |ink, value: fn(&crate::tables::Interval) -> Option<f64>| Series {
        ink,
        points: tables.due().map(|row| (row.closed_s, value(row))).collect(),
    };
    let chart = TimeChart {
        title: "Delay of each interval",
        about: "Delay and processing time of each interval, over the time at which it ended.",
        unit: Unit::Seconds,
        end_s: tables.end_s(),
        series: vec![line(Ink::Processing, |row| row.processing_s), line(Ink::Delay, |row| row.delay_s)],
        bound: tables.number("slo_s"),
        faults: marks,
    };
    let mut keys = vec![
        line_key(Ink::Delay, "delay: from the interval's end to its last result"),
        line_key(Ink::Processing, "processing: from its first task's start"),
    ];
    keys.extend(bound_key(tables));
    keys.extend(shades(marks));
    let open = tables.due().filter(|row| row.done_s.is_none()).count();
    let note = match open {
        0 => String::new(),
        1 => "One interval has no complete result.".to_owned(),
        open => format!("{open} intervals have no complete result."),
    };
    let note = match tables.slides() {
        true => format!("A result is due every {}. {note}", seconds(Some(tables.slide_s()))),
        false => note,
    };
    let file = html! { a href="intervals.csv" { "intervals.csv" } };
    let columns = ["interval", "ended", "delay", "processing", "records"];
    Figure {
        id: "delay",
        heading: "Delay and processing time of each interval",
        note,
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers("Intervals", &columns, &interval_rows(tables), &file),
    }
    .markup()
}

fn flow(run: &RunReport, tables: &Tables, marks: &[FaultMark]) -> Markup {
    let whole = |row: &&crate::tables::Flow| row.second >= 0.0;
    let line = |ink, value: fn(&crate::tables::Flow) -> u64| Series {
        ink,
        points: tables.flow.iter().filter(whole).map(|row| (row.second, Some(value(row) as f64))).collect(),
    };
    let chart = TimeChart {
        title: "Records a second",
        about: "Records due, acknowledged and in results, by second.",
        unit: Unit::Count,
        end_s: tables.end_s(),
        series: vec![
            line(Ink::InResults, |row| row.in_results),
            line(Ink::Acked, |row| row.acked),
            line(Ink::Due, |row| row.due),
        ],
        bound: None,
        faults: marks,
    };
    let mut keys = vec![
        line_key(Ink::Due, "in: due by schedule"),
        line_key(Ink::Acked, "acknowledged"),
        line_key(Ink::InResults, "out: in results"),
    ];
    keys.extend(shades(marks));
    let note = match run.result.scale {
        1 => String::new(),
        scale => format!("Records that were moved; each stands for {}.", count(scale)),
    };
    let file = html! { a href="flow.csv" { "flow.csv" } };
    let columns = ["second", "due", "acknowledged", "in results", "waiting at clients"];
    Figure {
        id: "flow",
        heading: "Records a second, in and out",
        note,
        keys,
        draw: &|width| chart.draw(width),
        numbers: numbers("Records by second", &columns, &flow_rows(tables), &file),
    }
    .markup()
}

/// What waited at clients, where it waited so long that it counts.
fn waiting(tables: &Tables, marks: &[FaultMark]) -> Markup {
    let Some(held) = held_back(tables) else { return html! {} };
    let rows = tables.flow.iter().filter(|row| row.second >= 0.0);
    let heading = "Records waiting at clients";
    let note = "Due by schedule and not acknowledged, at the end of each second. They are in no interval yet.";
    let chart = TimeChart {
        title: heading,
        about: note,
        unit: Unit::Count,
        end_s: tables.end_s(),
        series: vec![Series { ink: Ink::Delay, points: rows.map(|row| (row.second + 1.0, row.waiting)).collect() }],
        bound: None,
        faults: marks,
    };
    Figure {
        id: "waiting",
        heading,
        note: format!("{note} {}", held_back_sentence(held)),
        keys: std::iter::once(line_key(Ink::Delay, "waiting, all clients")).chain(shades(marks)).collect(),
        draw: &|width| chart.draw(width),
        numbers: html! {},
    }
    .markup()
}

fn faults(result: &RunResult, tables: &Tables) -> Markup {
    if result.faults.is_empty() {
        return html! {};
    }
    let fired: Vec<Recovery> = recoveries(result, "");
    let title = "Recovery, taken apart";
    let about = "For each fault the time to detection, restoration, being on time again, and full redundancy.";
    let rows = fault_rows(result, tables, None);
    let body = html! {
        (table("Faults", &FAULT_COLUMNS, &rows))
        (why_missing(std::iter::once((result, tables, "")), &ON_PAGES))
        p.note { (FAULT_NOTE) " As a file: " a href="faults.csv" { "faults.csv" } }
    };
    if fired.is_empty() || fired.len() > MOST_FAULTS {
        return html! { section id="recovery" { h2 { "Faults" } (body) } };
    }
    Figure {
        id: "recovery",
        heading: title,
        note: String::new(),
        keys: Vec::new(),
        draw: &|width| recovery::draw(&fired, title, about, width),
        numbers: body,
    }
    .markup()
}

/// The parts of each recovery; `name` stands before the heading where several runs are on one page.
pub(super) fn recoveries(result: &RunResult, name: &str) -> Vec<Recovery> {
    let numbered = result.faults.iter().enumerate().filter(|(_, fault)| fault.fired);
    let parts = numbered.map(|(place, fault)| Recovery {
        heading: format!("{name}F{} {} {} at {}", place + 1, fault.fault, fault.node, seconds(Some(fault.at_s))),
        parts: vec![
            ("detect".to_owned(), Ink::Detect, fault.detect_s),
            ("restore".to_owned(), Ink::Restore, fault.restore_s),
            ("catch-up".to_owned(), Ink::CatchUp, fault.catch_up_s),
            ("redundancy".to_owned(), Ink::Redundancy, fault.redundancy_s),
        ],
    });
    parts.collect()
}

fn cost(result: &RunResult) -> Markup {
    html! {
        section id="cost" {
            h2 { "What it cost" }
            (table("Cost", &COST_COLUMNS, &[cells(cost_row(result))]))
            p.note { "From the end of the warm-up; loads are shares of what there was while records came." }
        }
    }
}

fn promises(result: &RunResult) -> Markup {
    let rows: Vec<Vec<Markup>> = result
        .broken_promises
        .iter()
        .map(|broken| {
            let intervals: Vec<String> = broken.intervals.iter().map(ToString::to_string).collect();
            cells([
                broken.promise.clone(),
                seconds(Some(broken.at_s)),
                broken.why.clone(),
                count(broken.records),
                intervals.join(", "),
            ])
        })
        .collect();
    if rows.is_empty() {
        return html! {};
    }
    let columns = ["promise", "ended at", "why", "records gone", "intervals that lack them"];
    html! {
        section id="promises" {
            h2 { "Where the promise ended" }
            (words_table("Broken promises", &columns, &rows))
        }
    }
}

fn checks(result: &RunResult) -> Markup {
    let is_bare = result.checks.iter().all(|check| check.detail.is_empty());
    let rows: Vec<Vec<Markup>> = result
        .checks
        .iter()
        .map(|check| {
            let (class, word) = if check.holds { ("good", "\u{2713} holds") } else { ("bad", "\u{2717} fails") };
            let seen = (!is_bare).then(|| html! { (check.detail) });
            [html! { b.(class) { (word) } }, html! { (check.check) }].into_iter().chain(seen).collect()
        })
        .collect();
    let columns: &[&str] = if is_bare { &["outcome", "check"] } else { &["outcome", "check", "what was seen"] };
    html! {
        section id="checks" {
            h2 { "Checks" }
            (words_table("Checks", columns, &rows))
        }
    }
}

fn assumed(run: &RunReport, tables: &Tables) -> Markup {
    let rows: Vec<Vec<Markup>> =
        assumptions(run, tables).into_iter().map(|(name, value)| cells([name, value])).collect();
    html! {
        section id="assumed" {
            h2 { "What was assumed" }
            (words_table("Assumptions", &["quantity", "value"], &rows))
            @if !tables.scenario.is_empty() {
                (folded("The resolved scenario", html! { pre tabindex="0" { (tables.scenario) } }))
            }
        }
    }
}

fn again(run: &RunReport, tables: &Tables) -> Markup {
    let folder = quoted(&run.directory.display().to_string());
    let scenario = quoted(&run.directory.join("scenario.yaml").display().to_string());
    let world = if run.result.world == "sim" { String::new() } else { format!(" --world {}", run.result.world) };
    // A run that was stopped is the beginning of what its scenario gives.
    let replays = run.result.trace_hash.is_some() && tables.value("interrupted") != Some("true");
    html! {
        section id="again" {
            h2 { "Reproduce with" }
            @if replays {
                code.line { "dstream replay " (folder) }
                p.note { "The same build gives the same trace, to the last byte. As a run with a page of its own:" }
            }
            code.line { "dstream run " (scenario) " --engine " (run.result.engine) (world) }
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = path.chars().all(|letter| letter.is_alphanumeric() || "-_./".contains(letter));
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn files(run: &RunReport) -> Markup {
    let there = FILES.iter().filter(|file| run.directory.join(file).is_file());
    html! {
        section id="files" {
            h2 { "Files" }
            ul.legend { @for file in there { li { a href=(file) { (file) } } } }
        }
    }
}
