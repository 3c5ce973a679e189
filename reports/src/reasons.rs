//! Why a fault's moment is missing: a dash alone looks like a zero, or like a fault of the page.
//!
//! Knows no markup. Invariant: of each fault that took effect every missing moment has a reason, and no other.

use crate::format::{NOT_REACHED, seconds};
use crate::tables::{FaultLine, Interval, Tables};
use dstream_trace::result::{FaultResult, RunResult};

/// The moments that a page shows.
pub const ON_PAGES: [&str; 6] = ["detect", "restore", "catch-up", "drain", "redundancy", "excess latency"];

/// The moments that a terminal has room for.
pub const IN_TEXT: [&str; 5] = ["detect", "restore", "catch-up", "drain", "redundancy"];

/// What a moment is without that the run reached it.
const NOT_WITHIN: &str = "not within the run";

/// A run that went on and gave no result any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stopped {
    /// When its last result came.
    pub last_s: f64,
    /// Intervals after it that have none.
    pub missing: usize,
    /// From the last result to the end of the run.
    pub silent_s: f64,
}

/// Whether results stopped for good: after the last one intervals ended, and no result of theirs ever came.
pub fn stopped(tables: &Tables) -> Option<Stopped> {
    if tables.value("interrupted") == Some("true") {
        return None;
    }
    let load_end = tables.number("load_end_s").unwrap_or(f64::INFINITY);
    let due: Vec<&Interval> = tables.due().filter(|row| row.closed_s <= load_end + 1e-6).collect();
    let last = due.iter().rposition(|row| row.done_s.is_some())?;
    let missing = due.len() - last - 1;
    let last_s = due.iter().filter_map(|row| row.done_s).fold(f64::NEG_INFINITY, f64::max);
    (missing > 0).then(|| Stopped { last_s, missing, silent_s: tables.end_s() - last_s })
}

/// The same as a sentence.
pub fn stopped_sentence(stopped: Stopped) -> String {
    let (last, silent) = (seconds(Some(stopped.last_s)), seconds(Some(stopped.silent_s)));
    let missing = match stopped.missing {
        1 => "the interval after it has none".to_owned(),
        missing => format!("{missing} intervals after it have none"),
    };
    format!("Results never came back: the last one came at {last}; {missing}, and the run ended {silent} later.")
}

/// The longest time without a result; where results never came back, it only ended with the run.
pub fn longest_gap(fault: &FaultResult, tables: &Tables) -> String {
    let shown = seconds(fault.longest_gap_s);
    let is_open = fault.longest_gap_s.is_some() && fault.catch_up_s.is_none() && stopped(tables).is_some();
    if is_open { format!("\u{2265} {shown}") } else { shown }
}

/// What is missing of each fault that took effect, and why: `F1`, `for detect: not within the run`. `tag` says which fault,
/// `shown` which moments there are.
pub fn reasons(
    result: &RunResult,
    tables: &Tables,
    shown: &[&str],
    tag: impl Fn(usize, &FaultResult) -> String,
) -> Vec<(String, String)> {
    let none = FaultLine::default();
    let mut said = Vec::new();
    for (place, fault) in result.faults.iter().enumerate().filter(|(_, fault)| fault.fired) {
        let line = tables.faults.get(place).unwrap_or(&none);
        let missing = missing(fault, line, result, tables).into_iter().filter(|(name, _)| shown.contains(name));
        let parts = together(missing.map(|(name, why)| (name.to_owned(), why)));
        let told: Vec<String> = parts.iter().map(|(names, why)| format!("for {names}: {why}")).collect();
        if !told.is_empty() {
            said.push((tag(place, fault), told.join("; ")));
        }
    }
    said
}

/// The same of several runs as sentences: what is said of several faults is said once.
pub fn sentences(reasons: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    together(reasons).into_iter().map(|(tags, told)| format!("{tags}: {NOT_REACHED} {told}.")).collect()
}

/// Whatever has the same said of it, listed.
fn together(said: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut groups: Vec<(String, String)> = Vec::new();
    for (of, text) in said {
        match groups.iter_mut().find(|(_, other)| *other == text) {
            Some((all, _)) => all.push_str(&format!(", {of}")),
            None => groups.push((of, text)),
        }
    }
    groups
}

fn missing(fault: &FaultResult, line: &FaultLine, result: &RunResult, tables: &Tables) -> Vec<(&'static str, String)> {
    let on_time = match tables.number("slo_s") {
        None => "no result came before the fault that would say what on time is",
        Some(_) => NOT_WITHIN,
    };
    let drain = match tables.number("slo_s") {
        None => on_time,
        Some(_) => "records still waited when the run ended",
    };
    let all = [
        ("detect", fault.detect_s, undetected(fault, line, tables)),
        ("restore", fault.restore_s, NOT_WITHIN.to_owned()),
        ("catch-up", fault.catch_up_s, on_time.to_owned()),
        ("drain", fault.drain_s, drain.to_owned()),
        ("redundancy", fault.redundancy_s, NOT_WITHIN.to_owned()),
        ("excess latency", fault.excess_latency_s2, no_excess(result, tables)),
    ];
    all.into_iter().filter(|(_, value, _)| value.is_none()).map(|(name, _, why)| (name, why)).collect()
}

/// Why nobody noticed.
fn undetected(fault: &FaultResult, line: &FaultLine, tables: &Tables) -> String {
    let timeout = tables.number("failure_timeout_s");
    let lasted = line.ended_s.map(|ended| ended - fault.at_s);
    let is_short = lasted.zip(timeout).is_some_and(|(lasted, timeout)| lasted <= timeout);
    match fault.fault.as_str() {
        "crash" | "power-loss" if stopped(tables).is_some() => "nobody was left who could say so".to_owned(),
        "pause" | "partition" | "outage" if is_short => {
            format!("over before the failure timeout of {}", seconds(timeout))
        }
        "slow-cpu" | "slow-nic" | "delay" | "disk-full" | "disk-error" => {
            "no node fell silent, and no second attempt at a task was launched".to_owned()
        }
        "join" | "drain" => "it is no loss".to_owned(),
        _ => "no node was declared lost".to_owned(),
    }
}

fn no_excess(result: &RunResult, tables: &Tables) -> String {
    let is_compared = result.faults.iter().any(|fault| fault.excess_latency_s2.is_some());
    match result.world.as_str() {
        "sim" if stopped(tables).is_some() => "results never came back".to_owned(),
        "sim" if !is_compared && result.cost.excess_cpu_s.is_none() => {
            "not compared with a run without faults".to_owned()
        }
        "sim" => "no result after the fault has a counterpart in a run without faults".to_owned(),
        _ => "compared in the simulator only".to_owned(),
    }
}

/// What is said beside a fault that had no effect; nothing where it had one.
pub fn effect(fault: &FaultResult, tables: &Tables) -> &'static str {
    match fault.fired {
        true => "",
        false if fault.at_s > tables.end_s() => "(not reached)",
        false if tables.value("interrupted") == Some("true") => "(none before the stop)",
        false => "(no effect)",
    }
}
