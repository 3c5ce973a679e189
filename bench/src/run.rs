//! `dstream run`: scenarios, each with its engines, in each world asked for; checked, written down, and told in a table.
//!
//! Every scenario is read before the first one runs. Invariant: the command ends as badly as its worst run, and a run
//! that was stopped or that failed still leaves what was measured.

use crate::command_line::{Changes, Format, RunArgs};
use crate::console::{self, Progress};
use crate::execution::{Execution, Progress as Step, mendable};
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::judge::judge;
use crate::load::{Overrides, engine_of, load_scenario};
use crate::setup::Setup;
use crate::simulation::{SIM, simulate};
use crate::tcp::{TCP, run_on_tcp};
use crate::twin::Twins;
use dstream_cluster::{Engine, Registry};
use dstream_reports::{RunReport, fault_table, summary, verdict_table, write_index, write_report};
use dstream_scenarios::check::{Outcome, rows};
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::run_directory::{DirectoryError, RunDirectory, RunFiles};
use dstream_scenarios::to_yaml;
use dstream_trace::Moment;
use dstream_trace::result::Verdict;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs all scenarios.
pub fn run(args: &RunArgs, setup: &Setup) -> Result<Ending, Failure> {
    if args.hosts.is_some() {
        return Err(Failure::unbuilt("--hosts"));
    }
    let worlds = worlds(&args.world)?;
    let plans = plans(args, setup)?;
    let interrupt = Interrupt::by_signal();
    let twins = Twins::open();
    let mut finished = Vec::new();
    let mut worst = Ending::Good;
    let changes = |file: &PathBuf| Changes { file: Some(file.clone()), ..args.changes.clone() };
    let plans: Vec<(Plan, Changes)> = plans.into_iter().zip(args.scenarios.iter().map(changes)).collect();
    let runs = plans.iter().flat_map(|plan| plan.0.engines.iter().map(move |engine| (plan, engine)));
    let runs = runs.flat_map(|run| worlds.iter().map(move |world| (run, *world)));
    for (((plan, changes), engine), world) in runs {
        let keep = Keep { out: &args.out, outputs: args.keep_outputs, changes, twins: Some(&twins) };
        if interrupt.is_raised() {
            worst = worst.max(Ending::Undecided);
            break;
        }
        match one(&keep, plan, engine, world, setup, &interrupt) {
            Ok((run, ending)) => {
                worst = worst.max(ending);
                finished.push(run);
            }
            Err(failure) => {
                console::log(&failure.message);
                worst = worst.max(failure.ending);
            }
        }
    }
    tell(&finished, args.output.format)?;
    if interrupt.is_raised() {
        console::log("interrupted; what was measured until then is in the run directories");
    }
    Ok(worst)
}

/// All scenarios, read; the errors of all files come before anything runs.
fn plans(args: &RunArgs, setup: &Setup) -> Result<Vec<Plan>, Failure> {
    let changes = &args.changes;
    let overrides = Overrides { seed: changes.seed, set: changes.set.clone(), only: args.engine.clone() };
    let mut plans = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    for path in &args.scenarios {
        match load_scenario(path, &overrides, setup) {
            Ok(plan) => plans.push(plan),
            Err(failure) if !wrong.iter().any(|said| says_same_of_line(said, &failure.message)) => {
                wrong.push(failure.message);
            }
            Err(_) => {}
        }
    }
    if wrong.is_empty() { Ok(plans) } else { Err(Failure::usage(wrong.join("\n"))) }
}

/// Whether both say the same of the command line, which all scenarios share: what is wrong there is said once.
fn says_same_of_line(said: &str, message: &str) -> bool {
    let of_line = |text: &str| text.find("`--engine ").map(|at| text[at..].lines().next().unwrap_or("").to_owned());
    of_line(said).is_some_and(|said| of_line(message) == Some(said))
}

/// Where a run goes, and what it says about itself.
pub struct Keep<'a> {
    /// The folder that holds run directories.
    pub out: &'a Path,
    /// Whether every output row is kept.
    pub outputs: bool,
    /// What the scenario's file did not say.
    pub changes: &'a Changes,
    /// Runs without faults, to compare those with faults with; `None`: they are not compared.
    pub twins: Option<&'a Twins>,
}

/// Runs one engine of a scenario in one world, checks it and writes it down.
pub fn one(
    keep: &Keep<'_>,
    plan: &Plan,
    engine_plan: &EnginePlan,
    world: &'static str,
    setup: &Setup,
    interrupt: &Interrupt,
) -> Result<(RunReport, Ending), Failure> {
    let engine = engine_of(engine_plan, setup)?;
    let directory = RunDirectory::reserve(keep.out, &plan.title, &engine_plan.label, world, plan.seed)
        .map_err(|error| unwritable(&error))?;
    let bar = Progress::new(&format!("{} ({}, {world})", plan.title, engine_plan.label), plan.warmup + plan.duration);
    let mut progress = |now: Moment| {
        bar.set(now.since(Moment::ZERO));
        if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut run = || execute(plan, engine_plan, &engine, world, setup, &mut progress);
    let (execution, twin) = match keep.twins.filter(|_| world == SIM) {
        Some(twins) => twins.beside(plan, engine_plan, setup, interrupt, run),
        None => (run(), None),
    };
    bar.finish();
    let execution = execution?;
    let mut outcome = judge(plan, engine_plan, &engine, setup, &execution)?;
    if let Some(twin) = twin {
        outcome.pair_with(&twin);
    }
    let written = write(keep.outputs, keep.changes, plan, setup, directory, &execution, &outcome);
    let directory = written.map_err(|failure| not_kept(failure, (plan, engine_plan, world), &outcome))?;
    let failed = execution.failed.as_ref().map(ToString::to_string);
    for failed in failed.iter().chain(&outcome.software_failed) {
        console::log(&format!(
            "{} ({}, {world}): {failed}; see {}",
            plan.title,
            engine_plan.label,
            directory.display()
        ));
    }
    let ending = ending(&execution, &outcome);
    Ok((RunReport { directory, result: outcome.result }, ending))
}

fn execute(
    plan: &Plan,
    engine_plan: &EnginePlan,
    engine: &Arc<dyn Engine>,
    world: &str,
    setup: &Setup,
    progress: Step<'_>,
) -> Result<Execution, Failure> {
    if world == TCP {
        run_on_tcp(plan, engine_plan, engine, &setup.workloads, progress)
    } else {
        simulate(plan, engine_plan, engine, setup.workloads.clone(), progress)
    }
}

/// The worlds by name, each once.
fn worlds(names: &[String]) -> Result<Vec<&'static str>, Failure> {
    let mut worlds = Vec::new();
    for name in names {
        let world = [SIM, TCP].into_iter().find(|world| world == name);
        let world = world.ok_or_else(|| Failure::usage(format!("`{name}` is no world; valid: `{SIM}`, `{TCP}`")))?;
        if !worlds.contains(&world) {
            worlds.push(world);
        }
    }
    Ok(worlds)
}

/// How a run ended.
pub fn ending(execution: &Execution, outcome: &Outcome) -> Ending {
    if let Some(failed) = &execution.failed {
        return Failure::from(failed.clone()).ending;
    }
    if outcome.software_failed.is_some() {
        return Ending::Broken;
    }
    match outcome.result.verdict {
        Verdict::Valid => Ending::Good,
        Verdict::Invalid => Ending::Failed,
        Verdict::Unknown => Ending::Undecided,
    }
}

/// Writes the run directory, its page and the index beside it.
pub fn write(
    keep_outputs: bool,
    changes: &Changes,
    plan: &Plan,
    setup: &Setup,
    directory: RunDirectory,
    execution: &Execution,
    outcome: &Outcome,
) -> Result<PathBuf, Failure> {
    let query = setup.workloads.query(&plan.job).map_err(mendable)?;
    let log = execution.trace.lock();
    let outputs = keep_outputs.then(|| rows(&outcome.facts, &query.outputs));
    let files = RunFiles {
        scenario_yaml: &to_yaml(plan),
        result: &outcome.result,
        measured: &outcome.measured,
        run: &outcome.run,
        facts: &outcome.facts,
        log: &log,
        more: &facts_of(changes, plan, execution),
        outputs: outputs.as_deref(),
    };
    let scenario_folder = directory.scenario_folder().to_path_buf();
    let folder = directory.fill(&files).map_err(|error| unwritable(&error))?;
    let run = RunReport { directory: folder.clone(), result: outcome.result.clone() };
    let written = write_report(&run).and_then(|_| write_index(&scenario_folder));
    written.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(folder)
}

/// What the page tells about a run beside its measures: what was set, how it ended, what built it.
fn facts_of(changes: &Changes, plan: &Plan, execution: &Execution) -> Vec<(&'static str, String)> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut facts = vec![
        ("build", format!("dstream {} ({profile})", env!("CARGO_PKG_VERSION"))),
        ("job", plan.job.name.clone()),
        ("interrupted", execution.played.interrupted.to_string()),
        ("drained", execution.played.drained.to_string()),
    ];
    facts.extend(changes.file.iter().map(|file| ("file", file.display().to_string())));
    facts.extend(changes.seed.map(|seed| ("set", format!("seed={seed}"))));
    facts.extend(changes.set.iter().map(|set| ("set", set.clone())));
    facts
}

/// The run is over and has a verdict, which is said even where it cannot be kept.
fn not_kept(failure: Failure, (plan, engine, world): (&Plan, &EnginePlan, &str), outcome: &Outcome) -> Failure {
    let verdict = match outcome.result.verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unknown => "unknown",
    };
    let message = format!(
        "{} ({}, {world}): the verdict is `{verdict}`, but nothing of the run is kept: {}; make room there, or choose \
         another folder with `--out`, and run it again",
        plan.title, engine.label, failure.message
    );
    Failure { message, ..failure }
}

/// A folder that cannot be written is the user's to mend.
pub fn unwritable(error: &DirectoryError) -> Failure {
    Failure::usage(error.to_string())
}

/// The verdict tables, one a scenario, or the same for programs.
fn tell(finished: &[RunReport], format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Json => dstream_reports::json(finished),
        Format::Text => {
            let scenarios = finished.chunk_by(|a, b| a.result.scenario == b.result.scenario);
            scenarios.map(as_text).collect::<Vec<_>>().join("\n")
        }
    };
    console::result(&text)
}

fn as_text(runs: &[RunReport]) -> String {
    let title = runs.first().map_or("", |run| run.result.scenario.as_str());
    let width = console::width();
    let mut text = format!("{title}\n{}\n", verdict_table(runs, width));
    let faults = fault_table(runs, width);
    if !faults.is_empty() {
        text.push_str(&format!("{faults}\n"));
    }
    text.push_str(&format!("{}\n", summary(runs)));
    for run in runs {
        text.push_str(&format!("{}\n", run.directory.display()));
    }
    text
}
