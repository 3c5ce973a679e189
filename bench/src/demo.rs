//! `dstream demo`: every engine through one crash in the simulator, side by side: the first thing a newcomer runs.
//!
//! The scenario is part of the program. Engines run at the same time, one a thread; each run is deterministic by itself, so
//! the number of threads changes no result. Invariant: what is said of the engines follows from their runs alone.

use crate::command_line::{Changes, DemoArgs, Format};
use crate::console::{self, Progress};
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::judge::judge;
use crate::load::{Overrides, engine_of, load_text};
use crate::run::{ending, unwritable, write};
use crate::setup::Setup;
use crate::simulation::{SIM, simulate};
use dstream_reports::comparison::sheet::contest_table;
use dstream_reports::comparison::words::{dstream_sentences, verdict};
use dstream_reports::comparison::{Contest, contests};
use dstream_reports::tables::Tables;
use dstream_reports::{RunReport, verdict_table};
use dstream_scenarios::demo::{PATH, TEXT};
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::run_directory::RunDirectory;
use dstream_trace::Moment;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Runs all engines, prints what is to be said of them, and where the page is.
pub fn demo(args: &DemoArgs, setup: &Setup) -> Result<Ending, Failure> {
    let overrides = Overrides { seed: args.seed, ..Overrides::default() };
    let plan = load_text(Path::new(PATH), TEXT, &overrides, setup)?;
    let changes = Changes { seed: args.seed, ..Changes::default() };
    let demo = Demo::new(&plan, setup, &args.out, &changes)?;
    let ended = demo.run_all();
    let mut worst = if demo.interrupt.is_raised() { Ending::Undecided } else { Ending::Good };
    let mut runs = Vec::new();
    for ended in ended {
        match ended {
            Ok((run, ending)) => {
                worst = worst.max(ending);
                runs.push(run);
            }
            Err(failure) => {
                console::log(&failure.message);
                worst = worst.max(failure.ending);
            }
        }
    }
    let tables: Vec<Tables> = runs.iter().map(|run| Tables::read(&run.directory)).collect();
    let contests = contests(&runs, &tables);
    let told = Told { plan: &plan, runs: &runs, contest: contests.first() };
    console::result(&match args.output.format {
        Format::Text => told.text(),
        Format::Json => format!("{:#}\n", told.json()),
    })?;
    Ok(worst)
}

/// A run and how it ended, or why there is none.
type Ended = Result<(RunReport, Ending), Failure>;

/// What all threads share.
struct Demo<'a> {
    plan: &'a Plan,
    setup: &'a Setup,
    changes: &'a Changes,
    interrupt: Interrupt,
    bar: Progress,
    /// How far each engine's run is on its own clock.
    reached: Mutex<Vec<Duration>>,
    /// The folders, reserved before anything runs so that their names do not depend on who is first; taken by whoever
    /// writes, one at a time, since the page that compares them is written with each.
    folders: Mutex<Vec<Option<RunDirectory>>>,
}

impl<'a> Demo<'a> {
    fn new(plan: &'a Plan, setup: &'a Setup, out: &Path, changes: &'a Changes) -> Result<Demo<'a>, Failure> {
        let reserve = |engine: &EnginePlan| RunDirectory::reserve(out, &plan.title, &engine.label, SIM, plan.seed);
        let folders: Result<Vec<_>, _> = plan.engines.iter().map(|engine| reserve(engine).map(Some)).collect();
        let folders = folders.map_err(|error| unwritable(&error))?;
        let engines = u32::try_from(plan.engines.len()).unwrap_or(u32::MAX);
        let bar = Progress::new(&format!("{engines} engines"), (plan.warmup + plan.duration).saturating_mul(engines));
        Ok(Demo {
            plan,
            setup,
            changes,
            interrupt: Interrupt::by_signal(),
            bar,
            reached: Mutex::new(vec![Duration::ZERO; plan.engines.len()]),
            folders: Mutex::new(folders),
        })
    }

    /// All runs, in the order of the plan.
    fn run_all(&self) -> Vec<Ended> {
        let count = self.plan.engines.len();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
        // The last engines have the most nodes and take longest; begun first, they are not waited for in the end.
        let left = AtomicUsize::new(count);
        let ended: Mutex<Vec<(usize, Ended)>> = Mutex::new(Vec::new());
        let work = || {
            while let Ok(taken) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
                if self.interrupt.is_raised() {
                    return;
                }
                let one = self.run_one(taken - 1);
                ended.lock().unwrap_or_else(PoisonError::into_inner).push((taken - 1, one));
            }
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        self.bar.finish();
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.sort_by_key(|(place, _)| *place);
        ended.into_iter().map(|(_, one)| one).collect()
    }

    fn run_one(&self, place: usize) -> Ended {
        let (plan, engine_plan) = (self.plan, &self.plan.engines[place]);
        let engine = engine_of(engine_plan, self.setup)?;
        let mut progress = |now: Moment| {
            self.show(place, now.since(Moment::ZERO));
            if self.interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let execution = simulate(plan, engine_plan, &engine, self.setup.workloads.clone(), &mut progress)?;
        let outcome = judge(plan, engine_plan, &engine, self.setup, &execution)?;
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = folders[place].take().expect("each engine runs once, and takes its own folder");
        let directory = write(false, self.changes, plan, self.setup, folder, &execution, &outcome)?;
        drop(folders);
        let failed = execution.failed.as_ref().map(ToString::to_string);
        for failed in failed.iter().chain(&outcome.software_failed) {
            console::log(&format!("{}: {failed}; see {}", engine_plan.label, directory.display()));
        }
        let ending = ending(&execution, &outcome);
        Ok((RunReport { directory, result: outcome.result }, ending))
    }

    fn show(&self, place: usize, reached: Duration) {
        let mut all = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        all[place] = reached.min(self.plan.warmup + self.plan.duration);
        self.bar.set(all.iter().sum());
    }
}

/// What is said in the end.
struct Told<'a> {
    plan: &'a Plan,
    runs: &'a [RunReport],
    contest: Option<&'a Contest<'a>>,
}

impl Told<'_> {
    fn page(&self) -> Option<PathBuf> {
        Some(self.runs.first()?.directory.parent()?.join("index.html"))
    }

    fn text(&self) -> String {
        let width = console::width();
        let told = match self.contest {
            Some(contest) => format!("{}\n\n{}", contest_table(contest, width), verdict(contest).join("\n")),
            None => verdict_table(self.runs, width),
        };
        let page = self.page().map(|page| format!("\n{}\n", page.display())).unwrap_or_default();
        format!("{}: {}\n{told}\n{page}", self.plan.title, self.plan.about)
    }

    fn json(&self) -> Value {
        let runs: Value = serde_json::from_str(&dstream_reports::json(self.runs)).unwrap_or(Value::Null);
        json!({
            "scenario": self.plan.title,
            "seed": self.plan.seed,
            "verdict": self.contest.map(verdict).unwrap_or_default(),
            "dstream": self.contest.map(dstream_sentences).unwrap_or_default(),
            "page": self.page().map(|page| page.display().to_string()),
            "runs": runs,
        })
    }
}
