//! A contest as one text table: engines in columns, quantities in rows, so that five engines fit a terminal.

use super::quantity::{self, CPU, GAP, NETWORK, NODES, P50, P99, Quantity, RECORD_P50, REDUNDANCY, RESTORE};
use super::{Contender, Contest};
use crate::format::{NOT_REACHED, count, seconds};
use crate::table::{columns, verdict_word};
use crate::waiting::{longest_wait_s, most_waiting};
use dstream_trace::result::FaultResult;

/// After a value that is better than another, where that means something.
const BEST: &str = "*";

/// What [`BEST`] means.
const LEGEND: &str = "* best, where another is worse by more than 5 %; times of faults are the slowest of all";

/// The table, with a line that explains its marks.
pub fn contest_table(contest: &Contest<'_>, width: Option<u16>) -> String {
    let all = &contest.contenders;
    let mut rows = vec![
        row("verdict", all, |one| verdict_word(one.result().verdict).to_owned()),
        row("lost/doubled/wrong", all, |one| {
            let records = &one.result().records;
            [records.lost, records.duplicated, records.wrong_intervals].map(count).join("/")
        }),
    ];
    let marked = |name: &str, what: Quantity| {
        let marks = what.marks(all);
        let cell = |(one, best): (&Contender<'_>, bool)| {
            let value = (what.value)(one.result()).map_or(NOT_REACHED.to_owned(), what.show);
            if best { format!("{value}{BEST}") } else { format!("{value} ") }
        };
        std::iter::once(name.to_owned()).chain(all.iter().zip(marks).map(cell)).collect::<Vec<_>>()
    };
    rows.push(marked("p50 latency", P50));
    rows.push(marked("p99 latency", P99));
    if all.iter().any(|one| one.result().record_latency_ms.is_some()) {
        rows.push(marked("p50 of running results", RECORD_P50));
    }
    rows.push(row("longest wait at clients", all, |one| seconds(longest_wait_s(one.result()))));
    rows.push(row("most records there", all, |one| {
        most_waiting(one.result()).map_or(NOT_REACHED.to_owned(), |most| count(most as u64))
    }));
    if all.iter().any(|one| one.fired().next().is_some()) {
        let detect: fn(&FaultResult) -> Option<f64> = |fault| fault.detect_s;
        rows.push(row("detect", all, |one| {
            let slowest: Option<Vec<f64>> = one.fired().map(detect).collect();
            seconds(slowest.and_then(|all| all.into_iter().max_by(f64::total_cmp)))
        }));
        rows.push(marked("restore", RESTORE));
        rows.push(marked("catch-up", quantity::catch_up(contest.interval_s())));
        rows.push(marked("redundancy", REDUNDANCY));
        rows.push(marked("longest gap", GAP));
    }
    rows.push(marked("nodes", NODES));
    rows.push(marked("CPU", CPU));
    rows.push(marked("network", NETWORK));
    let table = |heads: Vec<String>| {
        let heads: Vec<&str> = std::iter::once("").chain(heads.iter().map(String::as_str)).collect();
        columns(&heads, rows.clone(), width)
    };
    let whole = table(all.iter().map(|one| one.label().to_owned()).collect());
    let longest = whole.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    // A name is broken at its hyphens only where it must be.
    let is_narrow = width.is_some_and(|width| longest > usize::from(width) || !whole.contains('\u{2550}'));
    let shown = if is_narrow { table(all.iter().map(|one| one.label().replace('-', "-\n")).collect()) } else { whole };
    format!("{shown}\n{LEGEND}")
}

fn row(name: &str, all: &[Contender<'_>], cell: impl Fn(&Contender<'_>) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(all.iter().map(|one| format!("{} ", cell(one)))).collect()
}
