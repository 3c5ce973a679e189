//! `dstream swarm`: a scenario drawn from each seed, run with each engine, checked; what fails is kept.
//!
//! One simulation a thread; each is deterministic by itself, so the number of threads changes no result. A fault that
//! did nothing proves nothing, but is no failure: it is counted. Invariant: a failing seed is named first and last,
//! with the one command that runs it again.

use crate::command_line::{Changes, Format, SwarmArgs};
use crate::console::{self, Seeds};
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::judge::judge;
use crate::load::{draw_scenario, engine_of, text_of};
use crate::run::{ending, unwritable, write};
use crate::setup::Setup;
use crate::simulation::{SIM, simulate};
use comfy_table::{Cell, CellAlignment, Table, presets};
use dstream_scenarios::check::Outcome;
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::run_directory::RunDirectory;
use dstream_scenarios::swarm::Template;
use dstream_scenarios::swarm::coverage::{Coverage, State, coverage};
use dstream_trace::Moment;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// One seed with one engine.
struct Tried {
    seed: u64,
    engine: String,
    ending: Ending,
    /// The checks that do not hold, or how the software failed.
    why: Vec<String>,
    /// Faults that took no effect.
    idle_faults: u64,
    faults: u64,
    /// Where it is kept, if it failed.
    kept: Option<PathBuf>,
    coverage: Coverage,
    virtual_s: f64,
}

/// What all seeds have in common.
struct Swarm<'a> {
    setup: &'a Setup,
    engines: Vec<String>,
    template: Template,
    path: PathBuf,
    out: &'a Path,
    interrupt: Interrupt,
}

/// Runs the seeds.
pub fn swarm(args: &SwarmArgs, setup: &Setup) -> Result<Ending, Failure> {
    if args.shrink {
        return Err(Failure::unbuilt("--shrink"));
    }
    let seeds = seeds(&args.seeds)?;
    let swarm = Swarm::new(args, setup)?;
    let jobs = args.jobs.or_else(cores).unwrap_or(1).max(1);
    let bar = Seeds::new(seeds.end - seeds.start);
    let tried = swarm.run_all(seeds.clone(), jobs, &bar);
    bar.finish();
    let mut tried = tried?;
    tried.sort_by(|a, b| (a.seed, &a.engine).cmp(&(b.seed, &b.engine)));
    let is_stopped = swarm.interrupt.is_raised();
    let text = match args.output.format {
        Format::Text => as_text(&seeds, &tried, is_stopped),
        Format::Json => format!("{:#}\n", as_json(&seeds, &tried)),
    };
    console::result(&text)?;
    let worst = tried.iter().filter(|one| one.is_failure()).map(|one| one.ending).max().unwrap_or(Ending::Good);
    let stopped = if is_stopped { Ending::Undecided } else { Ending::Good };
    Ok(worst.max(stopped))
}

fn cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(std::num::NonZero::get)
}

/// `A..B`, B left out.
fn seeds(text: &str) -> Result<Range<u64>, Failure> {
    let wrong = || Failure::usage(format!("`--seeds {text}`: valid is A..B with A below B, such as `0..300`"));
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok(from..to) } else { Err(wrong()) }
}

impl Tried {
    /// A fault without an effect is none.
    fn is_failure(&self) -> bool {
        self.ending > Ending::Undecided
    }

    fn replay(&self) -> String {
        self.kept.as_ref().map(|folder| format!("dstream replay {}", folder.display())).unwrap_or_default()
    }

    fn line(&self) -> String {
        let why = self.why.first().map_or("", String::as_str);
        format!("seed {} ({}) failed: {why}\n  {}", self.seed, self.engine, self.replay())
    }
}

impl<'a> Swarm<'a> {
    fn new(args: &'a SwarmArgs, setup: &'a Setup) -> Result<Swarm<'a>, Failure> {
        let path = args.template.clone().unwrap_or_else(|| PathBuf::from("swarm.yaml"));
        let template = match &args.template {
            Some(path) => {
                let wrong = |error| Failure::usage(format!("{}: {error}", path.display()));
                Template::read(&text_of(path)?).map_err(wrong)?
            }
            None => Template::default(),
        };
        let built = || setup.engines.iter().map(|engine| engine.name().to_owned()).collect::<Vec<_>>();
        let engines = match (args.engine.as_slice(), template.engines()) {
            ([], named) if named.is_empty() => built(),
            ([], named) => named,
            (asked, _) => asked.to_vec(),
        };
        if let Some(unknown) = engines.iter().find(|name| setup.engine(name).is_none()) {
            let message = format!("there is no engine `{unknown}`; built are: `{}`", built().join("`, `"));
            return Err(Failure::usage(message));
        }
        Ok(Swarm { setup, engines, template, path, out: &args.out, interrupt: Interrupt::by_signal() })
    }

    /// All seeds, `jobs` at a time; the first that cannot be drawn or written ends it.
    fn run_all(&self, seeds: Range<u64>, jobs: usize, bar: &Seeds) -> Result<Vec<Tried>, Failure> {
        let next = AtomicU64::new(seeds.start);
        let tried = Mutex::new(Ok(Vec::new()));
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let is_over = || tried.lock().unwrap_or_else(PoisonError::into_inner).is_err();
                if seed >= seeds.end || self.interrupt.is_raised() || is_over() {
                    return;
                }
                let found = catch_unwind(AssertUnwindSafe(|| self.run_seed(seed)));
                let found = found.unwrap_or_else(|_| {
                    Err(Failure::broken(format!("seed {seed}: dstream itself failed; the line above says where")))
                });
                bar.step();
                let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                match (found, &mut *tried) {
                    (Ok(found), Ok(all)) => {
                        found.iter().filter(|one| one.is_failure()).for_each(|one| bar.say(&one.line()));
                        all.extend(found);
                    }
                    (Err(failure), Ok(_)) => *tried = Err(failure),
                    (_, Err(_)) => {}
                }
            }
        };
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        tried.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each engine has a scenario of its own, with a load that it can carry and faults of its own nodes; unless the template
    /// names engines: then all run what it says.
    fn run_seed(&self, seed: u64) -> Result<Vec<Tried>, Failure> {
        let together = !self.template.engines().is_empty();
        let groups = if together { vec![&self.engines[..]] } else { self.engines.chunks(1).collect() };
        let mut tried = Vec::new();
        for group in groups {
            let plan = draw_scenario(seed, group, (&self.path, &self.template), self.setup)?;
            for engine in &plan.engines {
                tried.extend(self.run_one(&plan, engine)?);
            }
        }
        Ok(tried)
    }

    /// One engine; nothing where it was stopped.
    fn run_one(&self, plan: &Plan, engine_plan: &EnginePlan) -> Result<Option<Tried>, Failure> {
        let engine = engine_of(engine_plan, self.setup)?;
        let mut goes_on = |_: Moment| match self.interrupt.is_raised() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let execution = simulate(plan, engine_plan, &engine, self.setup.workloads.clone(), &mut goes_on)?;
        if self.interrupt.is_raised() {
            return Ok(None);
        }
        let outcome = judge(plan, engine_plan, &engine, self.setup, &execution)?;
        let coverage = coverage(execution.trace.lock().lines(), &outcome.run.faults, outcome.run.copies);
        let mut tried = Tried {
            seed: plan.seed,
            engine: engine_plan.label.clone(),
            ending: ending(&execution, &outcome),
            why: why(&outcome, execution.failed.as_ref().map(ToString::to_string)),
            idle_faults: outcome.result.faults.iter().filter(|fault| !fault.fired).count() as u64,
            faults: outcome.result.faults.len() as u64,
            kept: None,
            coverage,
            virtual_s: outcome.result.virtual_s,
        };
        if tried.is_failure() {
            let directory = RunDirectory::reserve(self.out, &plan.title, &engine_plan.label, SIM, plan.seed);
            let directory = directory.map_err(|error| unwritable(&error))?;
            let changes = Changes::default();
            tried.kept = Some(write(false, &changes, plan, self.setup, directory, &execution, &outcome)?);
        }
        Ok(Some(tried))
    }
}

fn why(outcome: &Outcome, failed: Option<String>) -> Vec<String> {
    let software = failed.into_iter().chain(outcome.software_failed.clone());
    let checks = outcome.result.checks.iter().filter(|check| !check.holds);
    software.chain(checks.map(|check| format!("{}: {}", check.check, check.detail))).collect()
}

fn total(tried: &[Tried]) -> Coverage {
    let mut total = Coverage::new();
    for (key, count) in tried.iter().flat_map(|one| &one.coverage) {
        *total.entry(key.clone()).or_default() += count;
    }
    total
}

fn as_text(seeds: &Range<u64>, tried: &[Tried], is_stopped: bool) -> String {
    let failed: Vec<String> = tried.iter().filter(|one| one.is_failure()).map(|one| one.line() + "\n").collect();
    let mut text = failed.concat();
    text.push_str(&format!("which fault struck what, how often\n{}\n", coverage_table(&total(tried))));
    let (faults, idle) = tried.iter().fold((0, 0), |(all, idle), one| (all + one.faults, idle + one.idle_faults));
    let virtual_s: f64 = tried.iter().map(|one| one.virtual_s).sum();
    let (runs, bad) = (tried.len(), failed.len());
    let (from, to) = (seeds.start, seeds.end);
    let stopped = if is_stopped { " (stopped before the end)" } else { "" };
    text.push_str(&format!(
        "seeds {from}..{to}{stopped}: {runs} runs, {bad} failed; {faults} faults, {idle} of them without effect; \
         {virtual_s:.0} s of virtual time\n"
    ));
    text.push_str(&failed.concat());
    text
}

/// States in rows, kinds of faults in columns; a dot where they never met.
fn coverage_table(coverage: &Coverage) -> Table {
    let kinds: BTreeSet<&String> = coverage.keys().map(|(kind, _)| kind).collect();
    let mut table = Table::new();
    table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY);
    let head = std::iter::once("").chain(kinds.iter().map(|kind| kind.as_str()));
    table.set_header(head);
    for state in State::ALL {
        let count = |kind: &&String| {
            let count = coverage.get(&((*kind).clone(), state)).map_or("·".to_owned(), ToString::to_string);
            Cell::new(count).set_alignment(CellAlignment::Right)
        };
        table.add_row(std::iter::once(Cell::new(state.words())).chain(kinds.iter().map(count)));
    }
    table
}

fn as_json(seeds: &Range<u64>, tried: &[Tried]) -> Value {
    let failed: Vec<Value> = tried
        .iter()
        .filter(|one| one.is_failure())
        .map(|one| {
            let directory = one.kept.as_ref().map(|folder| folder.display().to_string());
            json!({"seed": one.seed, "engine": one.engine, "checks": one.why, "directory": directory,
                   "replay": one.replay()})
        })
        .collect();
    let coverage: Vec<Value> = total(tried)
        .into_iter()
        .map(|((fault, state), count)| json!({"fault": fault, "state": state.words(), "count": count}))
        .collect();
    let sum = |of: fn(&Tried) -> u64| tried.iter().map(of).sum::<u64>();
    json!({
        "seeds": [seeds.start, seeds.end],
        "runs": tried.len(),
        "failed": failed,
        "faults": sum(|one| one.faults),
        "faults_without_effect": sum(|one| one.idle_faults),
        "virtual_s": tried.iter().map(|one| one.virtual_s).sum::<f64>(),
        "coverage": coverage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_holds_something() {
        let check = |text: &str, expected: Option<Range<u64>>| assert_eq!(seeds(text).ok(), expected, "{text}");
        check("0..300", Some(0..300));
        check("7..8", Some(7..8));
        for wrong in ["7", "8..8", "9..8", "a..b", "..", "-1..2", "1..=2"] {
            check(wrong, None);
        }
    }
}
