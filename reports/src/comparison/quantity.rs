//! What engines are compared in, and when a difference means something.
//!
//! Invariant: smaller is better in every quantity, and a value that was not reached is worse than any that was.

use super::Contender;
use crate::format::{area, bytes, count, milliseconds, seconds};
use dstream_trace::result::{FaultResult, RunResult};

/// Differences below this share of the smaller value mean nothing.
pub const SHARE: f64 = 0.05;

/// Times that differ by less are the same, in seconds: a few ticks of the network.
pub const LEAST_S: f64 = 0.005;

/// Areas of latency over time that differ by less are the same, in seconds by seconds.
pub const LEAST_AREA_S2: f64 = 0.01;

/// Byte counts that differ by less are the same.
pub const LEAST_BYTES: f64 = 10_000.0;

/// CPU times that differ by less are the same, in seconds.
pub const LEAST_CPU_S: f64 = 0.1;

/// Something measured of a run.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// In words, as after "loses in".
    pub name: &'static str,
    /// The anchor of a run's page that has it.
    pub anchor: &'static str,
    /// Of a run; `None` where it was not reached or not measured.
    pub value: fn(&RunResult) -> Option<f64>,
    /// The value as text.
    pub show: fn(f64) -> String,
    /// Smaller differences mean nothing, whatever share they are.
    pub least: f64,
    /// Whether a value that is missing was not reached; else it is not measured, and nobody is worse for it.
    pub missing_is_worst: bool,
    /// Whether it is of the faults, and needs one.
    pub of_faults: bool,
}

/// The longest of the faults that took effect; `None` if one was not reached.
fn worst(result: &RunResult, part: fn(&FaultResult) -> Option<f64>) -> Option<f64> {
    let fired = result.faults.iter().filter(|fault| fault.fired);
    let all: Option<Vec<f64>> = fired.map(part).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

fn show_seconds(value: f64) -> String {
    seconds(Some(value))
}

fn show_ms(value: f64) -> String {
    milliseconds(Some(value))
}

fn show_bytes(value: f64) -> String {
    bytes(value as u64)
}

fn show_count(value: f64) -> String {
    count(value as u64)
}

const TIME: Quantity = Quantity {
    name: "",
    anchor: "recovery",
    value: |_| None,
    show: show_seconds,
    least: LEAST_S,
    missing_is_worst: true,
    of_faults: true,
};

const LATENCY: Quantity = Quantity {
    anchor: "latency",
    show: show_ms,
    least: LEAST_S * 1e3,
    missing_is_worst: false,
    of_faults: false,
    ..TIME
};

const COST: Quantity = Quantity { anchor: "cost", show: show_bytes, least: LEAST_BYTES, ..LATENCY };

/// Until results were on time again. It ends with an interval, so only half of one is a difference.
pub fn catch_up(interval_s: f64) -> Quantity {
    let value: fn(&RunResult) -> Option<f64> = |result| worst(result, |fault| fault.catch_up_s);
    Quantity { name: "being on time again", value, least: interval_s / 2.0, ..TIME }
}

/// Until no old record waited, wherever: that too is being on time again, where records wait at clients.
pub const DRAIN: Quantity =
    Quantity { name: "having nothing old wait", value: |result| worst(result, |fault| fault.drain_s), ..TIME };

/// Until the results of the lost node were out.
pub const RESTORE: Quantity =
    Quantity { name: "restoring the lost results", value: |result| worst(result, |fault| fault.restore_s), ..TIME };

/// Until every promised copy existed again.
pub const REDUNDANCY: Quantity =
    Quantity { name: "full redundancy", value: |result| worst(result, |fault| fault.redundancy_s), ..TIME };

/// The longest time without a result.
pub const GAP: Quantity = Quantity {
    name: "the longest gap between results",
    value: |result| worst(result, |fault| fault.longest_gap_s),
    ..TIME
};

/// The area between latency over time and that of the same run without faults.
pub const EXCESS: Quantity = Quantity {
    name: "the latency that faults added",
    value: |result| worst(result, |fault| fault.excess_latency_s2),
    show: |value| area(Some(value)),
    least: LEAST_AREA_S2,
    missing_is_worst: false,
    ..TIME
};

/// Median latency of interval results.
pub const P50: Quantity = Quantity { name: "p50 latency", value: |result| result.latency_ms.p50, ..LATENCY };

/// Of hundred records ninety-nine are in a result sooner.
pub const P99: Quantity = Quantity { name: "p99 latency", value: |result| result.latency_ms.p99, ..LATENCY };

/// Until a record shows in a running result.
pub const RECORD_P50: Quantity = Quantity {
    name: "p50 latency of running results",
    value: |result| result.record_latency_ms.and_then(|record| record.p50),
    ..LATENCY
};

/// Core-seconds.
pub const CPU: Quantity =
    Quantity { name: "CPU", value: |result| Some(result.cost.cpu_s), show: show_seconds, least: LEAST_CPU_S, ..COST };

/// Nodes.
pub const NODES: Quantity =
    Quantity { name: "nodes", value: |result| Some(f64::from(result.nodes)), show: show_count, least: 0.5, ..COST };

/// Bytes on the network.
pub const NETWORK: Quantity =
    Quantity { name: "network", value: |result| Some(result.cost.network_bytes as f64), ..COST };

/// Everything that is compared, in the order in which it is told.
pub fn all(interval_s: f64) -> Vec<Quantity> {
    vec![catch_up(interval_s), RESTORE, GAP, EXCESS, REDUNDANCY, P50, P99, RECORD_P50, CPU, NODES, NETWORK]
}

/// Whether `worse` is so much above `better` that it means something.
pub fn is_worse(worse: f64, better: f64, least: f64) -> bool {
    worse - better > least.max(better.abs() * SHARE)
}

/// The places of equal values together, best first; what was not reached is in none.
pub fn tiers(values: &[Option<f64>], least: f64) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut tiers: Vec<(f64, Vec<usize>)> = Vec::new();
    for (place, value) in order {
        match tiers.last_mut() {
            Some((best, tier)) if !is_worse(value, *best, least) => tier.push(place),
            _ => tiers.push((value, vec![place])),
        }
    }
    let in_order = |(_, mut tier): (f64, Vec<usize>)| {
        tier.sort_unstable();
        tier
    };
    tiers.into_iter().map(in_order).collect()
}

/// Which of these values are best, where being best means something: at least one other is worse.
pub fn best(values: &[Option<f64>], least: f64, missing_is_worst: bool) -> Vec<bool> {
    let tiers = tiers(values, least);
    let missing = missing_is_worst && values.iter().any(Option::is_none);
    let differs = tiers.len() > 1 || (tiers.len() == 1 && missing);
    (0..values.len()).map(|place| differs && tiers.first().is_some_and(|first| first.contains(&place))).collect()
}

impl Quantity {
    /// Which contenders are best in it; one that is not ranked is neither best nor worse than another.
    pub fn marks(&self, contenders: &[Contender<'_>]) -> Vec<bool> {
        let ranked = || contenders.iter().filter(|one| one.is_ranked());
        let values: Vec<Option<f64>> = ranked().map(|one| (self.value)(one.result())).collect();
        let mut best = best(&values, self.least, self.missing_is_worst).into_iter();
        contenders.iter().map(|one| one.is_ranked() && best.next().unwrap_or(false)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_little_is_of_one_tier() {
        let check = |values: &[Option<f64>], least, expected: &[&[usize]]| {
            assert_eq!(tiers(values, least), expected, "{values:?}");
        };
        check(&[Some(1.0), Some(1.04), Some(2.0)], 0.0, &[&[0, 1], &[2]]);
        check(&[Some(2.0), None, Some(1.0)], 0.0, &[&[2], &[0]]);
        check(&[Some(0.3), Some(0.7), Some(1.3)], 0.5, &[&[0, 1], &[2]]);
        check(&[Some(0.0), Some(0.004), Some(0.006)], 0.005, &[&[0, 1], &[2]]);
        check(&[None, None], 0.0, &[]);
    }

    #[test]
    fn nobody_is_best_where_nobody_is_worse() {
        let check = |values: &[Option<f64>], missing_is_worst, expected: &[bool]| {
            assert_eq!(best(values, 0.0, missing_is_worst), expected, "{values:?}");
        };
        check(&[Some(1.0), Some(1.0)], true, &[false, false]);
        check(&[Some(1.0), Some(3.0), Some(1.0)], true, &[true, false, true]);
        check(&[Some(1.0), None], true, &[true, false]);
        check(&[Some(1.0), None], false, &[false, false]);
        check(&[None, None], true, &[false, false]);
    }
}
