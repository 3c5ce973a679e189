//! A run in words: what failed, when results were on time again, whether anything is wrong.
//!
//! Invariant: what was not reached, not measured or had no effect is said so, never left out.

use crate::format::{count, seconds};
use crate::reasons::{effect, stopped, stopped_sentence};
use crate::tables::{FaultLine, Interval, Tables};
use crate::waiting::{drained_sentence, held_back, held_back_sentence};
use dstream_trace::result::{CheckResult, FaultResult, RunResult, Verdict};

/// With more faults than this they are counted, not told one by one.
const MOST_TOLD: usize = 3;

/// The check that fails where a fault had no effect.
const FIRED: &str = "every fault fired";

/// An answer and how good it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `good`, `warn`, `open` or `bad`: a class of the style sheet.
    pub class: &'static str,
    /// In one or two sentences.
    pub text: String,
}

fn answer(class: &'static str, text: impl Into<String>) -> Answer {
    Answer { class, text: text.into() }
}

/// The verdict in a few words.
pub fn headline(result: &RunResult) -> Answer {
    let interrupted = result.checks.iter().all(|check| check.holds);
    match result.verdict {
        Verdict::Valid if gone(result) > 0 => answer(
            "warn",
            format!("Valid, with loss: {} records are gone, as its promise allows.", count(gone(result))),
        ),
        Verdict::Valid => answer("good", "Valid: every check holds."),
        Verdict::Invalid => answer("bad", format!("Invalid: {}.", checks_named(result))),
        Verdict::Unknown if interrupted => answer("open", "Undecided: the run was stopped before its end."),
        Verdict::Unknown => answer("open", format!("Undecided: {}.", failures(result))),
    }
}

/// Records that are gone and explained.
fn gone(result: &RunResult) -> u64 {
    result.broken_promises.iter().map(|broken| broken.records).sum()
}

/// The sign before an answer of this class.
pub fn sign(class: &str) -> &'static str {
    match class {
        "good" => "\u{2713}",
        "bad" => "\u{2717}",
        "warn" => "!",
        _ => "?",
    }
}

/// How many checks failed, and which: `a check failed: drained (...)`.
pub fn checks_failed(result: &RunResult) -> String {
    format!("{}: {}", how_many_failed(result), failures(result))
}

fn how_many_failed(result: &RunResult) -> String {
    match result.checks.iter().filter(|check| !check.holds).count() {
        0 | 1 => "a check failed".to_owned(),
        failed => format!("{failed} checks failed"),
    }
}

/// The same in fewer words, where a table below says what was seen.
fn checks_named(result: &RunResult) -> String {
    let failed = result.checks.iter().filter(|check| !check.holds);
    let names: Vec<String> = failed.map(|check| check.check.clone()).collect();
    if names.len() < 2 { checks_failed(result) } else { format!("{}: {}", how_many_failed(result), names.join("; ")) }
}

/// All failed checks, each with what was seen.
pub fn failures(result: &RunResult) -> String {
    let failed: Vec<&CheckResult> = result.checks.iter().filter(|check| !check.holds).collect();
    if failed.is_empty() {
        return "the run was stopped before its end".to_owned();
    }
    let told = failed.into_iter().map(|check| match (check.check.as_str(), check.detail.as_str()) {
        // Its detail says it better than its name, which is the opposite of what was seen.
        (FIRED, seen) if !seen.is_empty() => seen.to_owned(),
        (name, "") => name.to_owned(),
        (name, seen) => format!("{name} ({seen})"),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// What failed.
pub fn what_failed(result: &RunResult, tables: &Tables) -> Answer {
    let faults = &result.faults;
    if faults.is_empty() {
        return answer("good", "Nothing: the scenario has no faults.");
    }
    let none = FaultLine::default();
    let line = |place: usize| tables.faults.get(place).unwrap_or(&none);
    let end_s = tables.end_s();
    let (silent, ahead): (Vec<_>, Vec<_>) =
        faults.iter().filter(|fault| !fault.fired).partition(|fault| fault.at_s <= end_s);
    let (silent, ahead) = (silent.len(), ahead.len());
    let class = if silent + ahead > 0 { "open" } else { "good" };
    if faults.len() <= MOST_TOLD {
        let told = faults.iter().enumerate().map(|(place, fault)| match fault.at_s > end_s {
            true => format!("the {} of {} at {} was not reached", fault.fault, fault.node, seconds(Some(fault.at_s))),
            false => happened(fault, line(place), effect(fault, tables)),
        });
        return answer(class, told.collect::<Vec<_>>().join("; ") + ".");
    }
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for fault in faults {
        match kinds.iter_mut().find(|(kind, _)| *kind == fault.fault) {
            Some((_, times)) => *times += 1,
            None => kinds.push((&fault.fault, 1)),
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, times)| format!("{times} × {kind}")).collect();
    let silent_text = if silent > 0 { format!("; {silent} had no effect") } else { String::new() };
    let ahead_text = if ahead > 0 { format!("; {ahead} were not reached") } else { String::new() };
    answer(class, format!("{} faults: {}{silent_text}{ahead_text}.", faults.len(), kinds.join(", ")))
}

/// One fault as an event: `worker-3 crashed at 15.2 s and came back 10 s later`.
fn happened(fault: &FaultResult, line: &FaultLine, effect: &str) -> String {
    let at = seconds(Some(fault.at_s));
    let lasted = line.ended_s.map(|ended| seconds(Some((ended - fault.at_s).max(0.0))));
    let nodes = if line.nodes.is_empty() { fault.node.clone() } else { line.nodes.join(", ") };
    let others = if line.others.is_empty() { "its peers".to_owned() } else { line.others.join(", ") };
    let effect = if effect.is_empty() { String::new() } else { format!(" {effect}") };
    let for_long = lasted.as_ref().map_or("to the end".to_owned(), |lasted| format!("for {lasted}"));
    let came_back =
        lasted.as_ref().map_or("and did not come back".to_owned(), |lasted| format!("and came back {lasted} later"));
    let text = match fault.fault.as_str() {
        "crash" => format!("{nodes} crashed at {at} {came_back}"),
        "power-loss" => format!("{nodes} lost its power at {at} {came_back}"),
        "pause" => format!("{nodes} stood still at {at} {for_long}"),
        "partition" => format!("{nodes} was cut off from {others} at {at} {for_long}"),
        "slow-cpu" => format!("{nodes} computed slower from {at} {for_long}"),
        "slow-nic" => format!("the network card of {nodes} was slower from {at} {for_long}"),
        "outage" => format!("messages of {nodes} waited from {at} {for_long}"),
        "delay" => format!("messages of {nodes} were delayed from {at} {for_long}"),
        "disk-full" => format!("the {nodes} had no room from {at} {for_long}"),
        "disk-error" => format!("the disk of the {nodes} failed from {at} {for_long}"),
        "join" => format!("{nodes} joined at {at}"),
        "drain" => format!("{nodes} was asked at {at} to leave"),
        kind => format!("{kind} hit {nodes} at {at} {for_long}"),
    };
    format!("{text}{effect}")
}

/// When results were on time again.
pub fn on_time_again(result: &RunResult, tables: &Tables) -> Answer {
    if result.records.intervals_checked == 0 {
        return answer("open", "Nobody can say: no interval was over when the run ended.".to_owned());
    }
    let late = late_sentence(tables);
    let fired: Vec<&FaultResult> = result.faults.iter().filter(|fault| fault.fired).collect();
    if let Some(stopped) = stopped(tables) {
        return answer("bad", stopped_sentence(stopped));
    }
    let held = held_back(tables);
    if fired.is_empty() {
        return match (late_intervals(tables).0, held) {
            (0, None) => answer("good", "Results were on time throughout."),
            (0, Some(held)) => {
                answer("open", format!("By their intervals' ends, throughout. {}", held_back_sentence(held)))
            }
            (_, held) => answer("open", joined(late, held.map(held_back_sentence))),
        };
    }
    let reached: Vec<f64> = fired.iter().filter_map(|fault| fault.catch_up_s).collect();
    if reached.len() < fired.len() {
        let open = fired.len() - reached.len();
        let which = match (fired.len(), open) {
            (1, _) => "after the fault".to_owned(),
            (all, open) if all == open => "after any of the faults".to_owned(),
            (all, open) => format!("after {open} of {all} faults"),
        };
        return answer("bad", format!("Results were not on time again {which} when the run ended. {late}"));
    }
    let text = match (&fired[..], &reached[..]) {
        ([fault], [after]) => format!("{} after the {} of {}", seconds(Some(*after)), fault.fault, fault.node),
        ([first, second], [one, other]) if first.node != second.node => {
            let (one, other) = (seconds(Some(*one)), seconds(Some(*other)));
            format!("{one} after the {} of {}, {other} after that of {}", first.fault, first.node, second.node)
        }
        (_, all) => {
            let longest = all.iter().copied().fold(0.0, f64::max);
            format!("at most {} after each of {} faults", seconds(Some(longest)), fired.len())
        }
    };
    let text = match late_intervals(tables) {
        (0, _) if held.is_none() => format!("Yes, throughout. {late} Caught up {text}."),
        _ if held.is_some() => format!("By their intervals' ends, {text}. {late}"),
        _ => format!("Yes, {text}. {late}"),
    };
    match held {
        None => answer("good", text),
        Some(held) => answer("open", format!("{text} {} {}", held_back_sentence(held), drained_sentence(&fired))),
    }
}

/// A sentence and, if there is one, another.
fn joined(first: String, second: Option<String>) -> String {
    second.map_or(first.clone(), |second| format!("{first} {second}"))
}

/// How many measured intervals were late or never done, and by how much the worst was late, in seconds. One that still
/// had time when the run was stopped is not late.
pub fn late_intervals(tables: &Tables) -> (usize, f64) {
    (late(tables).count(), late(tables).filter(|by| by.is_finite()).fold(0.0, f64::max))
}

/// By how much each late interval was late.
fn late(tables: &Tables) -> impl Iterator<Item = f64> {
    let slo = tables.number("slo_s").unwrap_or(f64::INFINITY);
    let (end, stopped) = (tables.number("load_end_s").unwrap_or(f64::INFINITY), tables.end_s());
    let is_over = move |row: &Interval| row.done_s.is_some() || row.closed_s + slo < stopped;
    let measured = tables.due().filter(move |row| row.closed_s <= end + 1e-9 && is_over(row));
    measured.map(move |row| row.delay_s.map_or(f64::INFINITY, |delay| delay - slo)).filter(|by| *by > 0.0)
}

fn late_sentence(tables: &Tables) -> String {
    let Some(slo) = tables.number("slo_s") else { return String::new() };
    let bound = seconds(Some(slo));
    match late_intervals(tables) {
        (0, _) => format!("No result came later than {bound} after its interval's end."),
        (late, 0.0) => format!("{late} of the intervals had no result when the run ended."),
        (1, by) => format!("One interval's result was late, by {} (on time: {bound}).", seconds(Some(by))),
        (late, by) => {
            let by = seconds(Some(by));
            let missing = match missing_intervals(tables) {
                0 => String::new(),
                missing => format!(", and {missing} of these had none when the run ended"),
            };
            format!("{late} intervals' results were late, the worst by {by} (on time: {bound}){missing}.")
        }
    }
}

/// How many of the late intervals had no result at all.
fn missing_intervals(tables: &Tables) -> usize {
    late(tables).filter(|by| by.is_infinite()).count()
}

/// Whether anything is wrong with the results.
pub fn anything_wrong(result: &RunResult) -> Answer {
    let records = &result.records;
    let gone = gone(result);
    let compared = format!("{} records in {} intervals", count(records.sent), count(records.intervals_checked));
    let damage: Vec<String> = [(records.lost, "lost"), (records.duplicated, "doubled")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} records {what}", count(number)))
        .chain((records.wrong_intervals > 0).then(|| format!("{} intervals wrong", count(records.wrong_intervals))))
        .collect();
    if records.intervals_checked == 0 && damage.is_empty() && gone == 0 {
        return answer("open", "Nothing was compared: no interval was over when the run ended.".to_owned());
    }
    let explained = gone > 0 && result.verdict != Verdict::Invalid;
    if damage.is_empty() && gone == 0 {
        let unsaid = if records.unacked > 0 {
            format!(" {} records were never acknowledged, so nothing was promised for them.", count(records.unacked))
        } else {
            String::new()
        };
        let text = format!("Nothing lost, nothing doubled, nothing wrong: {compared} compared.{unsaid}");
        return match result.verdict {
            Verdict::Valid => answer("good", text),
            Verdict::Unknown => answer("open", text),
            Verdict::Invalid => answer("bad", format!("No result is, but a check failed. {text}")),
        };
    }
    if explained {
        let why: Vec<&str> = result.broken_promises.iter().map(|broken| broken.why.as_str()).collect();
        let text = format!("{} of {compared} are gone, as its promise allows: {}.", count(gone), why.join("; "));
        return answer("warn", text);
    }
    let damage = if damage.is_empty() { format!("{} records gone", count(gone)) } else { damage.join(", ") };
    answer("bad", format!("Yes: {damage}, of {compared} compared."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str, fired: bool) -> FaultResult {
        FaultResult {
            fault: kind.into(),
            node: "worker-3".into(),
            at_s: 15.15,
            fired,
            detect_s: None,
            restore_s: None,
            catch_up_s: None,
            drain_s: None,
            redundancy_s: None,
            longest_gap_s: None,
            excess_latency_s2: None,
        }
    }

    #[test]
    fn each_fault_is_told_as_what_happened() {
        let line = |ended_s, others: &[&str]| FaultLine {
            ended_s,
            nodes: vec!["worker-3".into()],
            others: others.iter().map(|other| (*other).to_owned()).collect(),
            begins_s: None,
            load_before: None,
        };
        for (fault, line, expected) in [
            (fault("crash", true), line(Some(25.15), &[]), "worker-3 crashed at 15.2 s and came back 10 s later"),
            (fault("crash", true), line(None, &[]), "worker-3 crashed at 15.2 s and did not come back"),
            (fault("pause", true), line(Some(15.65), &[]), "worker-3 stood still at 15.2 s for 500 ms"),
            (fault("slow-cpu", false), line(None, &[]), "worker-3 computed slower from 15.2 s to the end (no effect)"),
            (
                fault("partition", true),
                line(Some(17.15), &["master"]),
                "worker-3 was cut off from master at 15.2 s for 2 s",
            ),
            (fault("gremlin", true), line(None, &[]), "gremlin hit worker-3 at 15.2 s to the end"),
        ] {
            let effect = if fault.fired { "" } else { "(no effect)" };
            assert_eq!(happened(&fault, &line, effect), expected);
        }
    }

    fn tables(end_s: f64, intervals: &[(f64, Option<f64>)]) -> Tables {
        let interval = |(closed_s, delay_s): &(f64, Option<f64>)| Interval {
            number: 0,
            closed_s: *closed_s,
            done_s: delay_s.map(|delay| closed_s + delay),
            delay_s: *delay_s,
            processing_s: None,
            records: 1,
            is_due: true,
            latency_s: None,
            oldest_delay_s: None,
        };
        let about = [("slo_s", "1.0".to_owned()), ("end_s", end_s.to_string())];
        Tables {
            about: about.map(|(name, value)| (name.to_owned(), vec![value])).into_iter().collect(),
            intervals: intervals.iter().map(interval).collect(),
            ..Tables::default()
        }
    }

    #[test]
    fn what_a_stopped_run_did_not_come_to_is_neither_late_nor_without_effect() {
        let result = RunResult { faults: vec![fault("crash", false)], ..serde_json::from_str(RESULT).unwrap() };
        let stopped = tables(10.0, &[(8.0, Some(0.5)), (9.5, None)]);
        assert_eq!(what_failed(&result, &stopped).text, "the crash of worker-3 at 15.2 s was not reached.");
        assert_eq!(late_intervals(&stopped), (0, 0.0));
        assert_eq!(late_intervals(&tables(20.0, &[(8.0, Some(1.5)), (9.5, None)])), (2, 0.5));
        let text = on_time_again(&result, &tables(20.0, &[(9.5, None)])).text;
        assert_eq!(text, "1 of the intervals had no result when the run ended.");
        let mut slides = tables(20.0, &[(8.0, None), (9.0, Some(0.5)), (9.5, None)]);
        slides.intervals.iter_mut().for_each(|row| row.is_due = row.delay_s.is_some());
        assert_eq!(late_intervals(&slides), (0, 0.0), "no result was due where there is none");
    }

    #[test]
    fn of_a_run_that_compared_nothing_nobody_says_that_it_was_good() {
        let mut result: RunResult = serde_json::from_str(RESULT).unwrap();
        result.records.intervals_checked = 0;
        result.broken_promises.clear();
        let nothing = tables(1.0, &[]);
        let classes = [on_time_again(&result, &nothing), anything_wrong(&result)].map(|answer| answer.class);
        assert_eq!(classes, ["open", "open"]);
    }

    #[test]
    fn a_loss_that_the_promise_allows_is_valid_and_warned_of() {
        let result: RunResult = serde_json::from_str(RESULT).unwrap();
        assert_eq!((headline(&result).class, anything_wrong(&result).class), ("warn", "warn"));
        let whole = RunResult { broken_promises: Vec::new(), ..result.clone() };
        assert_eq!((headline(&whole).class, anything_wrong(&whole).class), ("good", "good"));
        let invalid = RunResult { verdict: Verdict::Invalid, ..whole };
        assert_eq!((headline(&invalid).class, anything_wrong(&invalid).class), ("bad", "bad"));
    }

    const RESULT: &str = r#"{"format":1,"scenario":"s","engine":"e","world":"sim","seed":7,"scale":1,"verdict":"valid",
        "trace_hash":null,"tick_ms":1,"virtual_s":1.0,"wall_s":1.0,"nodes":1,"rate_per_s":1,"own_capacity_fraction":0,
        "records":{"sent":10,"acked":10,"unacked":0,"in_results":5,"lost":0,"duplicated":0,"intervals_checked":1,
        "wrong_intervals":0},"latency_ms":{},"record_latency_ms":null,"latency_before_faults_ms":{},"faults":[],
        "cost":{"node_s":0,"cpu_s":0,"recomputed_cpu_s":0,"network_bytes":0,"replicated_bytes":0,"checkpoint_bytes":0,
        "recovery_bytes":0,"excess_cpu_s":null},"load":{"cpu":0,"network":0},
        "broken_promises":[{"promise":"p","at_s":1.0,"why":"two at once","records":5,"intervals":[1]}],"checks":[]}"#;
}
