//! The verdict as sentences: what a reader wants to know first.

use crate::format::{count, milliseconds, seconds};
use crate::read::RunReport;
use crate::reasons::{stopped, stopped_sentence};
use crate::tables::Tables;
use crate::waiting::{drained_sentence, held_back, held_back_sentence};
use crate::words::{checks_failed, failures};
use dstream_trace::result::{FaultResult, RunResult, Verdict};
use std::collections::BTreeSet;

/// One run in one or two sentences.
pub fn verdict_sentence(result: &RunResult) -> String {
    let engine = &result.engine;
    match result.verdict {
        Verdict::Valid => format!("{engine}: every check holds. {}", what_was_right(result)),
        Verdict::Invalid => format!("{engine}: {}.", checks_failed(result)),
        Verdict::Unknown => format!("{engine}: undecided: {}.", failures(result)),
    }
}

/// All runs of a scenario in one sentence each.
pub fn summary(runs: &[RunReport]) -> String {
    let worlds: BTreeSet<&str> = runs.iter().map(|run| run.result.world.as_str()).collect();
    let sentence = |run: &RunReport| {
        let more = what_tables_say(run);
        let (engine, said) = (&run.result.engine, format!("{}{more}", verdict_sentence(&run.result)));
        match worlds.len() {
            1 => said,
            _ => said.replacen(engine, &format!("{engine} on {}", run.result.world), 1),
        }
    };
    let sentences: Vec<String> = runs.iter().map(sentence).collect();
    sentences.join("\n")
}

/// What only the run's tables say: that results stopped for good, or that records waited at clients.
fn what_tables_say(run: &RunReport) -> String {
    let tables = Tables::read(&run.directory);
    let fired: Vec<&FaultResult> = run.result.faults.iter().filter(|fault| fault.fired).collect();
    let held = held_back(&tables).map(held_back_sentence);
    let drained = held.as_ref().filter(|_| !fired.is_empty()).map(|_| drained_sentence(&fired));
    let said = [held, drained, stopped(&tables).map(stopped_sentence)];
    said.into_iter().flatten().map(|sentence| format!(" {sentence}")).collect()
}

fn what_was_right(result: &RunResult) -> String {
    let records = &result.records;
    let damage: u64 = result.broken_promises.iter().map(|promise| promise.records).sum();
    let outputs = if damage > 0 {
        let in_none = match records.lost {
            lost if lost > 0 && lost < damage => format!(" from some result, {} of them from all", count(lost)),
            _ => String::new(),
        };
        let (sent, damage) = (count(records.sent), count(damage));
        format!("Of {sent} records {damage} are gone{in_none}, exactly as the faults and its promise allow")
    } else {
        let intervals = count(records.intervals_checked);
        format!("{} records, {intervals} intervals: nothing lost, doubled or wrong", count(records.sent))
    };
    let fired = || result.faults.iter().filter(|fault| fault.fired);
    let all: Option<Vec<f64>> = fired().map(|fault| fault.catch_up_s).collect();
    let slowest = all.and_then(|all| all.into_iter().max_by(f64::total_cmp));
    let recovery = match (fired().count(), slowest) {
        (0, _) => String::new(),
        (_, None) => "; not caught up when the run ended".to_owned(),
        (1, Some(slowest)) => format!("; caught up {} after the fault", seconds(Some(slowest))),
        (faults, Some(slowest)) => {
            format!("; caught up at most {} after each of {faults} faults", seconds(Some(slowest)))
        }
    };
    format!("{outputs}{recovery}; p99 latency {}.", milliseconds(result.latency_ms.p99))
}
