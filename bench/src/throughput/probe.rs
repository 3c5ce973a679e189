//! One probe: an engine on real processes at one rate, judged like every run, and what its processes used meanwhile.
//!
//! Invariants: a rate counts as sustained only where every result was right and none of its delays grew; what processes
//! used is counted while the load ran and the window was full, and by the same clock as the records.

use super::plan::Probed;
use super::usage::{self, Usage};
use crate::execution::Execution;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::judge::judge;
use crate::load::engine_of;
use crate::setup::Setup;
use crate::tcp::run_watched;
use dstream_scenarios::check::Outcome;
use dstream_scenarios::timeline::Times;
use dstream_trace::measure::IntervalRow;
use dstream_trace::result::{Percentiles, Verdict};
use dstream_trace::{Moment, NodeName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Fewer results in the measured part tell nothing of whether a backlog grows.
const LEAST_RESULTS: usize = 4;

/// From the first quarter of the measured intervals to the last one, delays may grow by so many parts of an interval: less
/// than a backlog of one percent of the rate makes of twenty intervals.
const GROWTH: u32 = 5;

/// What a probe showed.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// Records a second that were offered.
    pub rate: f64,
    /// Whether that could go on for ever.
    pub sustained: bool,
    /// Why not; empty where it could.
    pub why: Vec<String>,
    /// Records a second whose results came out in the measured part.
    pub records_per_s: f64,
    /// From a record's scheduled send to its result.
    pub latency_ms: Percentiles,
    /// What each role's processes used for a million records.
    pub roles: BTreeMap<String, RoleUse>,
    /// Bytes that the engine's nodes sent each other for a record.
    pub network_bytes_per_record: f64,
}

/// What the processes of a role used for a million records.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RoleUse {
    /// Seconds of cores, in the program and in the system for it.
    pub cpu_s_per_million: f64,
    /// Pages that the system had to give them.
    pub page_faults_per_million: f64,
}

impl Probe {
    /// What the engine used for a million records: all but generators and the sink that checks. Nothing where the run ended
    /// before that was looked at twice.
    pub fn cpu_s_per_million(&self) -> Option<f64> {
        let engine = self.roles.iter().filter(|(role, _)| !matches!(role.as_str(), "client" | "sink"));
        let used: Vec<f64> = engine.map(|(_, used)| used.cpu_s_per_million).collect();
        (!used.is_empty()).then(|| used.iter().sum())
    }

    /// What the load generators used for a million records.
    pub fn generator_cpu_s_per_million(&self) -> f64 {
        self.roles.get("client").map_or(0.0, |used| used.cpu_s_per_million)
    }
}

/// What processes had used at two moments.
#[derive(Default)]
struct Meter {
    first: Option<(Moment, BTreeMap<NodeName, Usage>)>,
    last: Option<(Moment, BTreeMap<NodeName, Usage>)>,
}

impl Meter {
    fn look(&mut self, processes: &[(NodeName, u32)], times: &Times, now: Moment) {
        if now < times.warmup_end || now > times.load_end {
            return;
        }
        let read = Some((now, usage::read(processes)));
        if self.first.is_none() { self.first = read } else { self.last = read }
    }

    /// By role, for a million records at this rate; nothing where it was not looked twice.
    fn roles(&self, rate: f64) -> BTreeMap<String, RoleUse> {
        let (Some((from, before)), Some((to, after))) = (&self.first, &self.last) else { return BTreeMap::new() };
        let millions = (rate * to.since(*from).as_secs_f64() / 1e6).max(f64::MIN_POSITIVE);
        let mut used: BTreeMap<String, Usage> = BTreeMap::new();
        for (node, after) in after {
            let before = before.get(node).copied().unwrap_or_default();
            let role = node.as_str().split_once('-').map_or(node.as_str(), |(role, _)| role);
            let sum = used.entry(role.to_owned()).or_default();
            *sum = sum.plus(after.since(before));
        }
        let of = |used: Usage| RoleUse {
            cpu_s_per_million: used.cpu_s / millions,
            page_faults_per_million: used.page_faults as f64 / millions,
        };
        used.into_iter().map(|(role, used)| (role, of(used))).collect()
    }
}

/// Runs the engine at this rate.
pub fn probe(probed: &Probed, engine: &str, rate: f64, setup: &Setup, interrupt: &Interrupt) -> Result<Probe, Failure> {
    let plan = probed.plan(&[engine.to_owned()], rate, setup)?;
    let engine_plan = &plan.engines[0];
    let engine = engine_of(engine_plan, setup)?;
    let mut meter = Meter::default();
    let watcher = &mut |processes: &[(NodeName, u32)], times: &Times, now: Moment| {
        meter.look(processes, times, now);
        if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let execution = run_watched(&plan, engine_plan, &engine, &setup.workloads, watcher)?;
    let outcome = judge(&plan, engine_plan, &engine, setup, &execution)?;
    Ok(tell(probed, rate, &execution, &outcome, &meter))
}

fn tell(probed: &Probed, rate: f64, execution: &Execution, outcome: &Outcome, meter: &Meter) -> Probe {
    let Times { warmup_end, load_end, .. } = execution.times;
    let due: Vec<&IntervalRow> = outcome.measured.intervals.iter().filter(|row| row.is_due).collect();
    let is_measured = |at: Moment| at > warmup_end && at <= load_end;
    let measured: Vec<&IntervalRow> = due.iter().copied().filter(|row| is_measured(row.closed)).collect();
    let out = due.iter().filter(|row| row.done.is_some_and(is_measured)).map(|row| row.records).sum::<u64>();
    let measured_s = load_end.since(warmup_end).as_secs_f64().max(f64::MIN_POSITIVE);
    let latency_ms = outcome.result.latency_ms;
    let mut why = broken(execution, outcome);
    if measured.len() < LEAST_RESULTS {
        why.push(format!("only {} results were due in the measured part", measured.len()));
    }
    if let Some(p99) = latency_ms.p99.filter(|p99| *p99 > probed.latency_bound.as_secs_f64() * 1e3) {
        why.push(format!("p99 of the latency was {p99:.0} ms"));
    }
    if let Some(growth) = grown(&measured, probed.slide) {
        why.push(format!("delays grew by {:.0} ms", growth.as_secs_f64() * 1e3));
    }
    let (sustained, records_per_s) = (why.is_empty(), out as f64 / measured_s);
    // What comes out of a rate that is sustained is that rate, whatever interval's end the measured part ends at.
    let counted_per_s = if sustained { rate } else { records_per_s.min(rate) };
    Probe {
        rate,
        sustained,
        why,
        records_per_s,
        latency_ms,
        roles: meter.roles(counted_per_s),
        network_bytes_per_record: outcome.result.cost.network_bytes as f64 / (counted_per_s * measured_s).max(1.0),
    }
}

/// What the run's own checks found, and why it ended early.
fn broken(execution: &Execution, outcome: &Outcome) -> Vec<String> {
    if outcome.result.verdict == Verdict::Valid && execution.failed.is_none() {
        return Vec::new();
    }
    let failed = outcome.result.checks.iter().filter(|check| !check.holds);
    let failed = failed.map(|check| format!("{}: {}", check.check, check.detail));
    let ended = execution.failed.iter().map(ToString::to_string);
    let why: Vec<String> = ended.chain(failed).chain(outcome.software_failed.clone()).collect();
    if why.is_empty() { vec!["the run did not come to an end".to_owned()] } else { why }
}

/// By how much delays grew from the first quarter of the results to the last one, if by more than they may; a result comes
/// every `slide`.
fn grown(rows: &[&IntervalRow], slide: Duration) -> Option<Duration> {
    let delays: Vec<Duration> = rows.iter().map(|row| row.delay().unwrap_or(Duration::MAX / 4)).collect();
    let quarter = delays.len().div_ceil(4).max(1);
    let middle = |delays: &[Duration]| {
        let mut delays = delays.to_vec();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied().unwrap_or_default()
    };
    let first = middle(&delays[..quarter.min(delays.len())]);
    let last = middle(&delays[delays.len().saturating_sub(quarter)..]);
    let growth = last.saturating_sub(first);
    (growth > slide / GROWTH).then_some(growth)
}
