//! `dstream paper`: figures about recovery: what was published run again, a model held against runs, engines beside each
//! other.
//!
//! Figures and their scenarios are part of the program. Invariant: all figures asked for are read before one runs; the
//! command ends as badly as its worst run.

mod beside;
mod model;
mod published;
mod stragglers;

use crate::command_line::{Changes, Format, PaperArgs};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::load::{Overrides, load_text};
use crate::run::{Keep, one};
use crate::setup::Setup;
use crate::simulation::SIM;
use crate::twin::Twins;
use dstream_reports::{RunReport, write_figure};
use dstream_scenarios::paper::{FIGURES, FigureKind, PaperFigure};
use dstream_scenarios::plan::Plan;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Beside the run directories: the pages of figures.
const FOLDER: &str = "paper";

/// A figure that is about to be run.
enum Asked {
    Published(published::Asked),
    Model(model::Asked),
    Overhead(beside::AskedOverhead),
    Faults(beside::AskedFaults),
    Stragglers(stragglers::Asked),
}

/// What a figure's runs say, for people and for programs.
struct Said {
    text: String,
    value: Value,
}

/// What every figure needs to be run.
struct Stage<'a> {
    args: &'a PaperArgs,
    setup: &'a Setup,
    twins: Twins,
    interrupt: Interrupt,
}

/// One run to be made.
struct Planned {
    plan: Plan,
    changes: Changes,
}

/// Runs the figures asked for, or all.
pub fn paper(args: &PaperArgs, setup: &Setup) -> Result<Ending, Failure> {
    let asked: Vec<Asked> =
        chosen(&args.figure)?.into_iter().map(|one| read(one, args.quick, setup)).collect::<Result<_, _>>()?;
    let stage = Stage { args, setup, twins: Twins::open(), interrupt: Interrupt::by_signal() };
    let mut worst = Ending::Good;
    let mut told = Vec::new();
    for asked in &asked {
        if stage.interrupt.is_raised() {
            worst = worst.max(Ending::Undecided);
            break;
        }
        let (said, ending) = match asked {
            Asked::Published(asked) => published::reproduce(asked, &stage)?,
            Asked::Model(asked) => model::reproduce(asked, &stage)?,
            Asked::Overhead(asked) => asked.reproduce(&stage)?,
            Asked::Faults(asked) => asked.reproduce(&stage)?,
            Asked::Stragglers(asked) => stragglers::reproduce(asked, &stage)?,
        };
        worst = worst.max(ending);
        match args.output.format {
            Format::Text => console::result(&said.text)?,
            Format::Json => told.push(said.value),
        }
    }
    if args.output.format == Format::Json {
        console::result(&format!("{:#}\n", json!(told)))?;
    }
    Ok(worst)
}

/// The figures of these names, each once; all where none is named.
fn chosen(names: &[String]) -> Result<Vec<&'static PaperFigure>, Failure> {
    for name in names {
        if !FIGURES.iter().any(|figure| figure.id == name) {
            let valid: Vec<String> = FIGURES.iter().map(|figure| format!("`{}`", figure.id)).collect();
            return Err(Failure::usage(format!("there is no figure `{name}`; valid: {}", valid.join(", "))));
        }
    }
    Ok(FIGURES.iter().filter(|figure| names.is_empty() || names.iter().any(|name| name == figure.id)).collect())
}

fn read(one: &PaperFigure, quick: bool, setup: &Setup) -> Result<Asked, Failure> {
    Ok(match one.kind {
        FigureKind::Published => Asked::Published(published::Asked::read(one, quick, setup)?),
        FigureKind::Model => Asked::Model(model::Asked::read(one, quick, setup)?),
        FigureKind::Overhead => Asked::Overhead(beside::AskedOverhead::read(one, quick, setup)?),
        FigureKind::Faults => Asked::Faults(beside::AskedFaults::read(one, quick, setup)?),
        FigureKind::Stragglers => Asked::Stragglers(stragglers::Asked::read(one, quick, setup)?),
    })
}

/// A figure's numbers as its kind reads them.
fn numbers<T>(one: &PaperFigure, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    read(one.figure).map_err(|error| Failure::broken(format!("the numbers of figure `{}`: {error}", one.id)))
}

/// A scenario of a figure with these settings.
fn planned(one: &PaperFigure, file: &str, set: Vec<String>, setup: &Setup) -> Result<Planned, Failure> {
    let scenario = one.scenario(file);
    let scenario = scenario.ok_or_else(|| Failure::broken(format!("figure `{}` has no scenario `{file}`", one.id)))?;
    let overrides = Overrides { seed: None, set: set.clone(), only: Vec::new() };
    let plan = load_text(Path::new(&scenario.path()), scenario.text, &overrides, setup)?;
    Ok(Planned { plan, changes: Changes { set, ..Changes::default() } })
}

/// What is said of a quick run before its rows; nothing of a whole one.
fn stand_in(about: Option<&str>) -> String {
    about.map_or(String::new(), |about| format!("A quick stand-in, not for comparing: {about}.\n"))
}

impl Stage<'_> {
    /// Runs plans in turn, each with its place in the figure and without twins. Nothing more once it is interrupted.
    fn run_each(&self, plans: &[(usize, Planned)]) -> Result<(Vec<(usize, RunReport)>, Ending), Failure> {
        let (mut done, mut worst) = (Vec::new(), Ending::Good);
        for (place, planned) in plans {
            let (runs, ending) = self.run_all(planned, false)?;
            worst = worst.max(ending);
            done.extend(runs.into_iter().map(|run| (*place, run)));
            if self.interrupt.is_raised() {
                break;
            }
        }
        Ok((done, worst))
    }

    /// Writes a figure's page, made for the folder it will lie in, and its numbers. Where both are.
    fn write(
        &self,
        id: &str,
        page: impl FnOnce(&Path) -> String,
        numbers: &str,
    ) -> Result<(PathBuf, PathBuf), Failure> {
        let folder = self.args.out.join(FOLDER);
        let written = write_figure(id, self.args.quick, &folder, &page(&folder), numbers);
        written.map_err(|error| Failure::usage(error.to_string()))
    }

    /// Runs every engine of a plan; with their twins where these tell something. Nothing more once it is interrupted.
    fn run_all(&self, planned: &Planned, with_twins: bool) -> Result<(Vec<RunReport>, Ending), Failure> {
        let twins = with_twins.then_some(&self.twins);
        let keep = Keep { out: &self.args.out, outputs: false, changes: &planned.changes, twins };
        let (mut runs, mut worst) = (Vec::new(), Ending::Good);
        for engine in &planned.plan.engines {
            if self.interrupt.is_raised() {
                return Ok((runs, worst.max(Ending::Undecided)));
            }
            let (run, ending) = one(&keep, &planned.plan, engine, SIM, self.setup, &self.interrupt)?;
            worst = worst.max(ending);
            runs.push(run);
        }
        Ok((runs, worst))
    }
}
