//! Which engine was how good in what, and when: a table for each fault, then damage and cost, then latency.

use super::{Column, Shown, linked_table};
use crate::comparison::Contender;
use crate::comparison::quantity::{LEAST_AREA_S2, LEAST_BYTES, LEAST_CPU_S, LEAST_S};
use crate::format::{NOT_REACHED, area, bytes, count, extra, milliseconds, percent, seconds, times};
use crate::page::{FAULT_NOTE, why_missing};
use crate::reasons::{IN_TEXT, ON_PAGES, longest_gap};
use crate::waiting::{longest_wait_s, most_waiting, most_waiting_bytes};
use dstream_trace::result::{FaultResult, Percentiles, RunResult};
use maud::{Markup, html};

/// A part of a recovery: heading and value.
type Part = (&'static str, fn(&FaultResult) -> Option<f64>);

/// A quantity of a whole run.
type Whole = fn(&RunResult) -> Option<f64>;

/// The columns of a fault's table.
const PARTS: [Part; 5] = [
    ("detect", |fault| fault.detect_s),
    ("restore", |fault| fault.restore_s),
    ("catch-up", |fault| fault.catch_up_s),
    ("drain", |fault| fault.drain_s),
    ("redundancy", |fault| fault.redundancy_s),
];

/// The last of them: where results never came back it is a bound.
const PARTS_END: Part = ("longest gap", |fault| fault.longest_gap_s);

/// All tables.
pub(super) fn section(shown: &Shown<'_>) -> Markup {
    let faults = shown.contest.contenders.iter().map(|one| one.result().faults.len()).max().unwrap_or(0);
    let contenders = shown.contest.contenders.iter();
    let mut all = contenders.clone().flat_map(|one| &one.result().faults);
    // Where no run was compared with one without faults, there is no column for it.
    let columns = if all.any(|fault| fault.excess_latency_s2.is_some()) { &ON_PAGES[..] } else { &IN_TEXT[..] };
    html! {
        section id=(shown.id("recovery")) {
            h2 { "Which, when" }
            @for place in 0..faults { (fault(shown, place)) }
            (why_missing(contenders.map(|one| (one.result(), one.tables, one.label())), columns))
            @if faults > 0 { p.note { (FAULT_NOTE) } } @else { p.note { "The scenario has no faults." } }
            h3 { "Damage and cost" }
            (cost(shown))
            h3 { "Latency" }
            (latency(shown))
            p.note {
                "Underlined: best, where another is worse by a difference that means something. A dash: not reached, \
                 not measured, or too few samples. Latency ends with the interval's result; \
                 a record waits at its client until it is acknowledged, and that is part of it; \
                 that of running results with the first one that shows the record, before its interval is over."
            }
        }
    }
}

/// Of the fault at this place of a run.
fn of(one: &Contender<'_>, place: usize, part: fn(&FaultResult) -> Option<f64>) -> Option<f64> {
    one.result().faults.get(place).and_then(part)
}

fn fault(shown: &Shown<'_>, place: usize) -> Markup {
    let contenders = &shown.contest.contenders;
    let Some(first) = contenders.iter().find_map(|one| one.result().faults.get(place)) else { return html! {} };
    let title = format!("F{} {} {} at {}", place + 1, first.fault, first.node, seconds(Some(first.at_s)));
    let interval_s = shown.contest.interval_s();
    let column = |(head, part): Part| Column {
        head,
        anchor: "recovery",
        text: Box::new(move |one| seconds(of(one, place, part))),
        value: Some(Box::new(move |one| of(one, place, part))),
        // Being on time again ends with an interval.
        least: if head == "catch-up" { interval_s / 2.0 } else { LEAST_S },
        missing_is_worst: true,
    };
    let mut columns: Vec<Column<'_>> = PARTS.into_iter().map(column).collect();
    let gap = move |one: &Contender<'_>| one.result().faults.get(place).map(|fault| longest_gap(fault, one.tables));
    columns.extend(
        [PARTS_END]
            .map(column)
            .map(|column| Column { text: Box::new(move |one| gap(one).unwrap_or(NOT_REACHED.to_owned())), ..column }),
    );
    let excess = move |one: &Contender<'_>| of(one, place, |fault| fault.excess_latency_s2);
    if contenders.iter().any(|one| excess(one).is_some()) {
        columns.push(Column {
            head: "excess latency",
            anchor: "recovery",
            text: Box::new(move |one| area(excess(one))),
            value: Some(Box::new(excess)),
            least: LEAST_AREA_S2,
            missing_is_worst: false,
        });
    }
    let is_idle = |one: &&Contender<'_>| one.result().faults.get(place).is_some_and(|fault| !fault.fired);
    let idle: Vec<&str> = contenders.iter().filter(is_idle).map(Contender::label).collect();
    html! {
        h3 { (title) }
        (linked_table(shown, &title, &columns))
        @if !idle.is_empty() { p.note { "It had no effect on " (idle.join(", ")) ", or came after the run's end." } }
    }
}

/// A column of plain numbers of a run.
fn number(head: &'static str, least: f64, show: fn(f64) -> String, value: Whole) -> Column<'static> {
    Column {
        head,
        anchor: "cost",
        text: Box::new(move |one| value(one.result()).map_or(NOT_REACHED.to_owned(), show)),
        value: Some(Box::new(move |one| value(one.result()))),
        least,
        missing_is_worst: false,
    }
}

/// The same where less is not better by itself.
fn plain(head: &'static str, show: fn(f64) -> String, value: Whole) -> Column<'static> {
    Column { value: None, ..number(head, 0.0, show, value) }
}

fn cost(shown: &Shown<'_>) -> Markup {
    let whole: fn(f64) -> String = |value| count(value as u64);
    let size: fn(f64) -> String = |value| bytes(value as u64);
    let time: fn(f64) -> String = |value| seconds(Some(value));
    let more: fn(f64) -> String = |value| extra(Some(value));
    let damage = |head, value: Whole| Column { anchor: "checks", ..number(head, 0.0, whole, value) };
    let gone =
        |result: &RunResult| Some(result.broken_promises.iter().map(|broken| broken.records).sum::<u64>() as f64);
    let mut columns = vec![
        damage("lost", |result| Some(result.records.lost as f64)),
        damage("doubled", |result| Some(result.records.duplicated as f64)),
        damage("wrong intervals", |result| Some(result.records.wrong_intervals as f64)),
        damage("declared gone", gone),
        number("nodes", 0.5, whole, |result| Some(f64::from(result.nodes))),
        number("CPU", LEAST_CPU_S, time, |result| Some(result.cost.cpu_s)),
        number("network", LEAST_BYTES, size, |result| Some(result.cost.network_bytes as f64)),
        plain("input copies", size, |result| Some(result.cost.replicated_bytes as f64)),
        plain("checkpoints", size, |result| Some(result.cost.checkpoint_bytes as f64)),
        plain("recovery", size, |result| Some(result.cost.recovery_bytes as f64)),
        plain("CPU load", percent, |result| Some(result.load.cpu)),
        plain("busiest worker", percent, |result| Some(result.load.busiest_cpu)),
        plain("busiest to median", times, |result| Some(result.load.busiest_to_median)),
    ];
    if shown.contest.contenders.iter().any(|one| one.result().cost.excess_cpu_s.is_some()) {
        // A run may use less than its twin: what died works no more. That is shown, and is no merit.
        let rank = |one: &Contender<'_>| one.result().cost.excess_cpu_s.map(|cpu_s| cpu_s.max(0.0));
        let excess = number("CPU for the faults", LEAST_CPU_S, more, |result| result.cost.excess_cpu_s);
        columns.insert(6, Column { value: Some(Box::new(rank)), ..excess });
    }
    linked_table(shown, "Damage and cost", &columns)
}

fn latency(shown: &Shown<'_>) -> Markup {
    type All = fn(&RunResult) -> Option<Percentiles>;
    let of = |head, all: All, part: fn(&Percentiles) -> Option<f64>| Column {
        head,
        anchor: "latency",
        text: Box::new(move |one: &Contender<'_>| milliseconds(all(one.result()).as_ref().and_then(part))),
        value: Some(Box::new(move |one: &Contender<'_>| all(one.result()).as_ref().and_then(part))),
        least: LEAST_S * 1e3,
        missing_is_worst: false,
    };
    let whole: All = |result| Some(result.latency_ms);
    let before: All = |result| Some(result.latency_before_faults_ms);
    let record: All = |result| result.record_latency_ms;
    let waited = |head, show, value: Whole| Column { anchor: "latency", ..number(head, LEAST_S, show, value) };
    let time: fn(f64) -> String = |value| seconds(Some(value));
    let whole_number: fn(f64) -> String = |value| count(value as u64);
    let size: fn(f64) -> String = |value| bytes(value as u64);
    let columns = [
        of("interval p50", whole, |all| all.p50),
        of("p99", whole, |all| all.p99),
        of("p999", whole, |all| all.p999),
        of("max", whole, |all| all.max),
        of("p99 before faults", before, |all| all.p99),
        waited("longest wait at clients", time, longest_wait_s),
        Column { value: None, ..waited("most records there", whole_number, most_waiting) },
        Column { value: None, ..waited("most bytes there", size, most_waiting_bytes) },
        of("running result: p50", record, |all| all.p50),
        of("running result: p99", record, |all| all.p99),
        of("running result: p999", record, |all| all.p999),
    ];
    linked_table(shown, "Latency", &columns)
}
