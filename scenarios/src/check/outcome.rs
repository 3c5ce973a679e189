//! The outcome of a run: everything measured and checked, the verdict, and the record that becomes `result.json`.
//!
//! Invariant: `valid` needs every check to hold and every fault to have fired; a failed check is `invalid` whatever
//! else is unknown.

use super::calm::calm;
use super::{CheckInput, Checked, Finding, check};
use crate::oracle::Replay;
use crate::plan::{EnginePlan, Expectation, FaultKind, FaultPlan, Plan};
use crate::unit::show_bytes;
use dstream_cluster::{JobError, OptionValue, Promise};
use dstream_kernel::{OutputSpec, Query, StageEnd};
use dstream_trace::measure::{Effect, Facts, FaultFacts, OutputFacts, Twin};
use dstream_trace::result::{CheckResult, RunResult, Verdict};
use dstream_trace::{MeasureInput, Measured, Moment, NodeName, TraceLine, measure};
use std::time::Duration;

/// What the plan and the log do not say about a run.
pub struct RunFacts<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// The engine that ran it.
    pub engine: &'a EnginePlan,
    /// What it promises.
    pub promise: &'a Promise,
    /// What it ran.
    pub query: &'a Query,
    /// `sim` or `tcp`.
    pub world: &'a str,
    /// Digest of the trace; `None` on TCP.
    pub trace_hash: Option<String>,
    /// Length of the network's step; `None` on TCP.
    pub tick: Option<Duration>,
    /// Where interval 0 begins.
    pub origin: Moment,
    /// The end of the warm-up.
    pub warmup_end: Moment,
    /// The end of the load.
    pub load_end: Moment,
    /// The end of the run.
    pub end: Moment,
    /// Length of the run on the wall, in seconds.
    pub wall_s: f64,
    /// All nodes of the run without clients, store and sink.
    pub nodes: u32,
    /// Nodes that belong to the harness.
    pub harness: Vec<NodeName>,
    /// Records that the clients represent, a second, together.
    pub rate_per_s: f64,
    /// The rate as a share of the engine's own CPU-bound rate.
    pub own_capacity_fraction: f64,
    /// Bytes that a record which is moved stands for.
    pub bytes_per_record: f64,
    /// Whether the drain ended with everything acknowledged and out.
    pub drained: bool,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record of the run.
    pub result: RunResult,
    /// The tables behind it.
    pub measured: Measured,
    /// Times, faults and outputs of the run, as the tables need them.
    pub run: MeasureInput,
    /// The index over the log.
    pub facts: Facts,
    /// Set if the software itself failed.
    pub software_failed: Option<String>,
}

impl Outcome {
    /// What is to be kept of this run, for others to be compared with.
    pub fn as_twin(&self) -> Twin {
        Twin::of(&self.facts, &self.measured)
    }

    /// Says how much later and dearer the run was than its twin, the same seed without faults.
    pub fn pair_with(&mut self, twin: &Twin) {
        self.measured.pair_with(&twin.excess(&self.facts, &self.measured, &self.run));
        self.result.faults.clone_from(&self.measured.faults);
        self.result.cost = self.measured.cost;
    }
}

/// On TCP results are on time within this beyond the usual delay; in the simulator within a tick.
const TCP_MARGIN: Duration = Duration::from_millis(20);

/// Version of `result.json`.
const FORMAT: u32 = 1;

/// Measures and checks a run.
pub fn outcome(lines: &[TraceLine], run: &RunFacts<'_>, replay: &Replay<'_>) -> Result<Outcome, JobError> {
    let input = measure_input(run);
    let facts = Facts::read(lines);
    let measured = measure(lines, &facts, &input);
    let checked = check(
        &CheckInput {
            lines,
            facts: &facts,
            run: &input,
            slack: slack(run.engine),
            promise: run.promise,
            outputs: &run.query.outputs,
            of_own_state: run.query.outputs_of_own_state(),
            keeps_state: run.query.stages.iter().any(|stage| !stage.kept.is_empty()),
            interrupted: run.interrupted,
        },
        replay,
    )?;
    let software_failed = checked.software_failed.clone();
    let result = result(run, &input, &facts, &measured, checked);
    Ok(Outcome { result, measured, run: input, facts, software_failed })
}

/// What measuring needs to know of a run.
fn measure_input(run: &RunFacts<'_>) -> MeasureInput {
    let cluster = &run.plan.cluster;
    MeasureInput {
        origin: run.origin,
        warmup_end: run.warmup_end,
        load_end: run.load_end,
        end: run.end,
        interval: run.plan.interval,
        slo: run.plan.slo,
        slo_margin: run.tick.unwrap_or(TCP_MARGIN),
        failure_timeout: cluster.failure_timeout,
        outputs: run.query.outputs.iter().map(|output| output_facts(run.query, output)).collect(),
        faults: run.plan.faults.iter().map(|fault| fault_facts(fault, run.warmup_end)).collect(),
        workers: cluster.workers,
        heirs: run.nodes.saturating_sub(cluster.workers + 1),
        cores: cluster.cores,
        copies: run.promise.copies,
        nodes: run.nodes,
        bits_per_second: cluster.link.bits_per_second,
        bytes_per_record: run.bytes_per_record,
        harness: run.harness.clone(),
    }
}

fn output_facts(query: &Query, output: &OutputSpec) -> OutputFacts {
    let makes = |end: StageEnd| end == StageEnd::Output(output.id);
    let stage = query.stages.iter().find(|stage| makes(stage.end));
    let stage = stage.expect("a query is built with a stage for each output").id.0;
    OutputFacts { name: output.name.clone(), stage, every: output.every }
}

/// A planned fault in the words of measuring.
fn fault_facts(fault: &FaultPlan, warmup_end: Moment) -> FaultFacts {
    let kind = &fault.kind;
    let effect = match kind {
        FaultKind::Crash { .. } | FaultKind::PowerLoss { .. } => Effect::ProcessEnded,
        FaultKind::Pause { .. } => Effect::HeldByPause,
        FaultKind::Join { .. } => Effect::Joined,
        FaultKind::Drain { .. } => Effect::Left,
        FaultKind::SlowCpu { .. } => Effect::WorkStretched,
        FaultKind::SlowNic { .. } => Effect::TransferStretched,
        FaultKind::Partition { one_way: true, .. } => Effect::MessageCutOneWay,
        FaultKind::Partition { one_way: false, .. } => Effect::MessageCut,
        FaultKind::Outage { .. } => Effect::MessageHeld,
        FaultKind::Delay { .. } => Effect::MessageDelayed,
        FaultKind::DiskFull { .. } | FaultKind::DiskError { .. } => Effect::StoreFailed(kind.name()),
    };
    let (between, and) = kind.sides().unwrap_or_default();
    let nodes = kind.node().cloned().into_iter().chain(between.iter().cloned()).collect();
    let others = and.to_vec();
    let due = warmup_end + fault.at;
    FaultFacts { number: fault.number, fault: kind.name().to_owned(), nodes, others, effect, due }
}

fn slack(engine: &EnginePlan) -> Duration {
    match engine.options.get("slack") {
        Some(OptionValue::Duration(slack)) => *slack,
        _ => Duration::ZERO,
    }
}

fn result(run: &RunFacts<'_>, input: &MeasureInput, facts: &Facts, measured: &Measured, checked: Checked) -> RunResult {
    let plan = run.plan;
    let checks = checks(run, input, facts, measured, &checked);
    RunResult {
        format: FORMAT,
        scenario: plan.title.clone(),
        engine: run.engine.label.clone(),
        world: run.world.to_owned(),
        seed: plan.seed,
        scale: plan.scale,
        verdict: verdict(run, &checks),
        trace_hash: run.trace_hash.clone(),
        tick_ms: run.tick.and_then(|tick| u64::try_from(tick.as_millis()).ok()),
        virtual_s: run.end.as_secs_f64(),
        wall_s: run.wall_s,
        nodes: run.nodes,
        rate_per_s: run.rate_per_s,
        own_capacity_fraction: run.own_capacity_fraction,
        records: checked.records,
        latency_ms: measured.latency,
        record_latency_ms: measured.record_latency,
        latency_before_faults_ms: measured.latency_before_faults,
        waited_at_clients: Some(measured.waited_at_clients),
        faults: measured.faults.clone(),
        cost: measured.cost,
        load: measured.load,
        memory: measured.memory,
        broken_promises: checked.broken_promises,
        checks,
    }
}

/// The name of the check whose failure leaves a run undecided instead of wrong.
const FIRED: &str = "every fault fired";

/// A failed check beats an open question.
fn verdict(run: &RunFacts<'_>, checks: &[CheckResult]) -> Verdict {
    let failed = |check: &&CheckResult| !check.holds;
    if checks.iter().filter(failed).any(|check| check.check != FIRED) {
        Verdict::Invalid
    } else if run.interrupted || checks.iter().any(|check| !check.holds) {
        Verdict::Unknown
    } else {
        Verdict::Valid
    }
}

/// The scenario's expectations first, then what is always checked.
fn checks(
    run: &RunFacts<'_>,
    input: &MeasureInput,
    facts: &Facts,
    measured: &Measured,
    checked: &Checked,
) -> Vec<CheckResult> {
    let mut checks = Vec::new();
    // What an interrupted run did not reach says nothing about the engine.
    let expectations = run.plan.expect.iter().filter(|expected| {
        !run.interrupted || matches!(expected, Expectation::OutputExact | Expectation::OutputDeclared)
    });
    for expected in expectations {
        match expected {
            Expectation::OutputExact => checks.push(checked.exact.named("output: exact")),
            Expectation::OutputDeclared => checks.push(checked.declared.named("output: declared")),
            Expectation::CatchUp(bound) => checks.push(catch_up(measured, *bound)),
            Expectation::Calm(bound) => {
                let found = calm(measured, facts, input, (*bound, run.promise.replays));
                checks.push(found.named(&format!("calm: {bound:?}")));
            }
            Expectation::Memory(bound) => checks.push(memory(measured, *bound)),
            Expectation::Latency(bounds) => checks.extend(bounds.iter().map(|bound| latency(measured, bound))),
        }
    }
    if !run.plan.expect.contains(&Expectation::OutputDeclared) {
        checks.push(checked.declared.named("damage follows from the faults"));
    }
    checks.extend(checked.laws.iter().cloned());
    if !run.interrupted {
        checks.push(drained(run));
    }
    checks.push(fired(run, measured).named(FIRED));
    checks
}

fn catch_up(measured: &Measured, bound: Duration) -> CheckResult {
    let mut finding = Finding::default();
    // One that had no effect leaves the run undecided by a check of its own.
    for fault in measured.faults.iter().filter(|fault| fault.fired) {
        let who = format!("{} of {} at {:.3} s", fault.fault, fault.node, fault.at_s);
        match fault.catch_up_s {
            Some(seconds) if seconds <= bound.as_secs_f64() => {}
            Some(seconds) => finding.add(|| format!("{who}: {seconds:.3} s")),
            None => finding.add(|| format!("{who}: not caught up when the run ended")),
        }
    }
    finding.named(&format!("catch_up: {bound:?}"))
}

fn latency(measured: &Measured, (name, bound): &(String, Duration)) -> CheckResult {
    let percentiles = &measured.latency;
    let seen = match name.as_str() {
        "p50" => percentiles.p50,
        "p90" => percentiles.p90,
        "p99" => percentiles.p99,
        "p999" => percentiles.p999,
        _ => percentiles.max,
    };
    let bound_ms = bound.as_secs_f64() * 1e3;
    let mut finding = Finding::default();
    match seen {
        Some(seen) if seen <= bound_ms => {}
        Some(seen) => finding.add(|| format!("{name} is {seen:.3} ms")),
        None => finding.add(|| format!("{name} could not be measured: too few records")),
    }
    finding.named(&format!("latency: {name} {bound:?}"))
}

/// A run in which nothing was put on a disk says nothing of a bound.
fn memory(measured: &Measured, bound: u64) -> CheckResult {
    let mut finding = Finding::default();
    match measured.memory {
        Some(used) if used.most_held_bytes <= bound => {}
        Some(used) => finding.add(|| format!("a node held {}", show_bytes(used.most_held_bytes))),
        None => finding.add(|| "no node put anything on its disk".to_owned()),
    }
    finding.named(&format!("memory: {}", show_bytes(bound)))
}

fn drained(run: &RunFacts<'_>) -> CheckResult {
    let mut finding = Finding::default();
    if !run.drained {
        finding.add(|| "30 s after the load's end, records were not acknowledged or results were not out".to_owned());
    }
    finding.named("drained")
}

fn fired(run: &RunFacts<'_>, measured: &Measured) -> Finding {
    let end_s = run.end.since(run.warmup_end).as_secs_f64();
    let mut finding = Finding::default();
    for fault in measured.faults.iter().filter(|fault| !fault.fired) {
        let which = format!("{} of {} at {:.3} s", fault.fault, fault.node, fault.at_s);
        match run.interrupted && fault.at_s > end_s {
            true => finding.add(|| format!("the run was stopped before the {which}")),
            false => finding.add(|| format!("{which} had no effect")),
        }
    }
    finding
}
