//! What waited at the clients, in words: intervals may be on time while their records are old.
//!
//! Knows no markup. Invariant: of a run whose tables do not say how old records were, nothing is claimed.

use crate::format::{bytes, count, seconds};
use crate::tables::{Interval, Tables};
use dstream_trace::result::{FaultResult, RunResult, WaitedAtClients};

/// Results that were on time by the ends of their intervals, with records that were not: these had waited at their clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldBack {
    /// How many results.
    pub results: usize,
    /// The longest that one of these records took from its scheduled send to a result.
    pub longest_s: f64,
}

/// What was held back at clients; `None` where nothing was, for so long that it counts.
pub fn held_back(tables: &Tables) -> Option<HeldBack> {
    let slo = tables.number("slo_s")?;
    let is_on_time = |row: &&Interval| row.delay_s.is_none_or(|delay| delay <= slo);
    let measured = tables.intervals.iter().filter(|row| row.closed_s > 0.0).filter(is_on_time);
    let old = measured.filter(|row| row.oldest_delay_s.is_some_and(|delay| delay > slo));
    let waited: Vec<f64> = old.filter_map(|row| row.latency_s).collect();
    let longest_s = waited.iter().copied().reduce(f64::max)?;
    Some(HeldBack { results: waited.len(), longest_s })
}

/// The same as a sentence.
pub fn held_back_sentence(held: HeldBack) -> String {
    let longest = seconds(Some(held.longest_s));
    match held.results {
        1 => format!("One result in time had records that had waited at their clients: the oldest was {longest} old."),
        results => format!(
            "{results} results in time had records that had waited at their clients: the oldest was {longest} old."
        ),
    }
}

/// Until when, after each of these faults, records waited that should have been in results.
pub fn drained_sentence(fired: &[&FaultResult]) -> String {
    let all: Option<Vec<f64>> = fired.iter().map(|fault| fault.drain_s).collect();
    match (all.and_then(|all| all.into_iter().reduce(f64::max)), fired.len()) {
        (None, _) => "Some still waited when the run ended.".to_owned(),
        (Some(drained), 1) => format!("The last of them was in a result {} after the fault.", seconds(Some(drained))),
        (Some(drained), _) => {
            format!("The last of them was in a result at most {} after each fault.", seconds(Some(drained)))
        }
    }
}

/// How much waited at clients until it was acknowledged, as a sentence.
pub fn waited_sentence(waited: &WaitedAtClients) -> String {
    format!(
        "A record waited at its client for at most {} until it was acknowledged; at most {} records waited there at \
         once ({}).",
        seconds(Some(waited.longest_s)),
        count(waited.most_records),
        bytes(waited.most_bytes)
    )
}

/// What waited at clients; nothing where no record was due that is measured.
pub fn waited(result: &RunResult) -> Option<WaitedAtClients> {
    result.waited_at_clients.filter(|waited| waited.most_records > 0)
}

/// The longest that a record waited at its client, in seconds.
pub fn longest_wait_s(result: &RunResult) -> Option<f64> {
    waited(result).map(|waited| waited.longest_s)
}

/// The most records that waited at clients at once.
pub fn most_waiting(result: &RunResult) -> Option<f64> {
    waited(result).map(|waited| waited.most_records as f64)
}

/// The bytes that these stand for.
pub fn most_waiting_bytes(result: &RunResult) -> Option<f64> {
    waited(result).map(|waited| waited.most_bytes as f64)
}
