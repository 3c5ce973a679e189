//! Cases that are scenarios: resolved for the engine under examination, simulated and judged.
//!
//! What a case finds wrong is an `Err` in words.

use super::{CaseOutcome, Subject};
use crate::execution::{Execution, cluster};
use crate::judge::judge;
use crate::load::{Overrides, load_text};
use crate::setup::Setup;
use crate::simulation::simulate;
use dstream_cluster::Registry;
use dstream_scenarios::plan::{Expectation, Plan};
use dstream_scenarios::workload::Params;
use dstream_trace::Moment;
use dstream_trace::result::Verdict;
use std::ops::ControlFlow;
use std::path::Path;

/// The line that stands for the engine under examination.
const PLACEHOLDER: &str = "  - dstream: { interval: 500ms }";

/// A scenario of the suite with the subject as its engine.
pub(super) fn text_for(subject: &Subject, text: &str, more_options: &str) -> String {
    text.replace(PLACEHOLDER, &subject.line(more_options))
}

/// The plan of a scenario of the suite for this subject.
pub(super) fn plan(subject: &Subject, setup: &Setup, text: &str) -> Result<Plan, String> {
    let text = text_for(subject, text, "");
    load_text(Path::new("conformance.yaml"), &text, &Overrides::default(), setup).map_err(|failure| failure.message)
}

fn simulated(subject: &Subject, setup: &Setup, plan: &Plan) -> Result<Execution, String> {
    let workloads = setup.workloads.clone();
    let mut go_on = |_: Moment| ControlFlow::Continue(());
    let ran = simulate(plan, &plan.engines[0], &subject.engine, workloads, &mut go_on);
    ran.map_err(|failure| failure.message)
}

/// Runs a scenario; what is expected of its output follows from the engine's promise.
pub(super) fn runs(subject: &Subject, text: &str, losses_at_once: u32) -> Result<CaseOutcome, String> {
    let setup = subject.setup();
    let mut plan = plan(subject, &setup, text)?;
    let options = &plan.engines[0].options;
    let laid_out = cluster(&plan, &setup.workloads, Moment::ZERO).map_err(|failure| failure.message)?;
    let promised = subject.engine.promise(&laid_out, options).losses_at_once;
    let is_within = losses_at_once <= promised;
    plan.expect = vec![if is_within { Expectation::OutputExact } else { Expectation::OutputDeclared }];
    let execution = simulated(subject, &setup, &plan)?;
    let outcome = judge(&plan, &plan.engines[0], &subject.engine, &setup, &execution);
    let outcome = outcome.map_err(|failure| failure.message)?;
    let broken = execution.failed.map(|failed| failed.to_string()).or(outcome.software_failed);
    let failed = outcome.result.checks.iter().filter(|check| !check.holds);
    let failed = failed.map(|check| format!("{}: {}", check.check, check.detail));
    let wrong: Vec<String> = broken.into_iter().chain(failed).collect();
    match (outcome.result.verdict, wrong.is_empty()) {
        (Verdict::Valid, true) => Ok(CaseOutcome::Held),
        (verdict, true) => Err(format!("the verdict is {verdict:?}")),
        (_, false) => Err(wrong.join("\n")),
    }
}

/// Runs a scenario, unless the engine says why it cannot run its job; then whoever asks for it must be told so.
pub(super) fn runs_or_refuses(subject: &Subject, text: &str, job: &str) -> Result<CaseOutcome, String> {
    let setup = subject.setup();
    // A job that nobody can refuse shows what the options come to.
    let plain = plan(subject, &setup, PLAIN)?;
    let job = setup.workloads.job(job, &Params::new(), plain.interval).map_err(|error| error.to_string())?;
    let query = setup.workloads.query(&job).map_err(|error| error.to_string())?;
    let Some(why) = subject.engine.refuses(&query, &plain.engines[0].options) else { return runs(subject, text, 1) };
    match plan(subject, &setup, text) {
        Err(told) if told.contains(&why) => Ok(CaseOutcome::Refused(why)),
        Err(told) => Err(format!("it refuses `{}` ({why}), and the scenario is refused otherwise: {told}", job.name)),
        Ok(_) => Err(format!("it refuses `{}` ({why}), and the scenario is accepted", job.name)),
    }
}

/// The scenario without anything special in it.
pub(super) const PLAIN: &str = include_str!("../../../scenarios/conformance/no-fault.yaml");

/// Runs a scenario twice and compares the logs.
pub(super) fn repeats(subject: &Subject, text: &str) -> Result<CaseOutcome, String> {
    let setup = subject.setup();
    let plan = plan(subject, &setup, text)?;
    let [first, second] = [simulated(subject, &setup, &plan)?, simulated(subject, &setup, &plan)?];
    let (first, second) = (first.trace.lock(), second.trace.lock());
    let lines = |log: &dstream_trace::TraceLog| log.lines().iter().map(ToString::to_string).collect::<Vec<_>>();
    let (first, second) = (lines(&first), lines(&second));
    if first == second {
        return Ok(CaseOutcome::Held);
    }
    let same = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    let shown = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "(the log ended before)".to_owned());
    Err(format!("the logs differ from line {} on\n{}\n{}", same + 1, shown(&first), shown(&second)))
}
