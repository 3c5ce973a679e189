//! `dstream paper`: published figures, run again, and drawn beside what was published and what the model says.
//!
//! Figures and their scenarios are part of the program. Invariant: all figures asked for are read before one runs; the
//! command ends as badly as its worst run.

use crate::command_line::{Changes, Format, PaperArgs};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::load::{Overrides, load_text};
use crate::run::{Keep, one};
use crate::setup::Setup;
use crate::simulation::SIM;
use crate::twin::Twins;
use dstream_reports::{PublishedFigure, ReadError, Reproduction, paper_sentence, paper_table, write_paper};
use dstream_scenarios::paper::{FIGURES, PaperFigure};
use dstream_scenarios::plan::Plan;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Beside the run directories: the pages of figures.
const FOLDER: &str = "paper";

/// A figure that is about to be run.
struct Asked {
    figure: PublishedFigure,
    changes: Changes,
    plan: Plan,
}

/// Runs the figures asked for, or all.
pub fn paper(args: &PaperArgs, setup: &Setup) -> Result<Ending, Failure> {
    let asked: Vec<Asked> =
        chosen(&args.figure)?.into_iter().map(|one| read(one, args.quick, setup)).collect::<Result<_, _>>()?;
    let (interrupt, twins) = (Interrupt::by_signal(), Twins::open());
    let mut worst = Ending::Good;
    let mut told = Vec::new();
    for asked in &asked {
        if interrupt.is_raised() {
            worst = worst.max(Ending::Undecided);
            break;
        }
        let (said, ending) = reproduce(args, asked, setup, (&twins, &interrupt))?;
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
    let figure = PublishedFigure::read(one.figure)
        .map_err(|error| Failure::broken(format!("the numbers of figure `{}`: {error}", one.id)))?;
    let set = if quick { figure.quick.set.clone() } else { Vec::new() };
    let overrides = Overrides { seed: None, set: set.clone(), only: Vec::new() };
    let plan = load_text(Path::new(one.scenario_path), one.scenario, &overrides, setup)?;
    Ok(Asked { figure, changes: Changes { seed: None, set }, plan })
}

/// What a figure's run says, for people and for programs.
struct Said {
    text: String,
    value: Value,
}

fn reproduce(
    args: &PaperArgs,
    asked: &Asked,
    setup: &Setup,
    (twins, interrupt): (&Twins, &Interrupt),
) -> Result<(Said, Ending), Failure> {
    let keep = Keep { out: &args.out, outputs: false, changes: &asked.changes, twins };
    let engine = asked.plan.engines.first();
    let engine = engine.ok_or_else(|| Failure::broken("the scenario of a figure names no engine"))?;
    let (run, ending) = one(&keep, &asked.plan, engine, SIM, setup, interrupt)?;
    let shown = Reproduction::read(&asked.figure, &run, args.quick);
    let written = write_paper(&shown, &args.out.join(FOLDER));
    let files = written.map_err(|error: ReadError| Failure::usage(error.to_string()))?;
    Ok((Said { text: as_text(&shown, &files), value: as_json(&shown, &files) }, ending))
}

fn as_text(shown: &Reproduction<'_>, (page, numbers): &(PathBuf, PathBuf)) -> String {
    let figure = shown.figure;
    let stand_in = match shown.quick {
        true => format!("A quick stand-in, not for comparing: {}.\n", figure.quick.about),
        false => String::new(),
    };
    format!(
        "{}: {}\n{}\n{stand_in}{}\n{}\n{}\n{}\n{}\n{}\n",
        figure.id,
        figure.title,
        figure.source,
        paper_table(shown, console::width()),
        paper_sentence(shown),
        dstream_reports::verdict_sentence(&shown.run.result),
        shown.run.directory.display(),
        numbers.display(),
        page.display(),
    )
}

fn as_json(shown: &Reproduction<'_>, (page, numbers): &(PathBuf, PathBuf)) -> Value {
    let rows = shown.rows().into_iter().map(|(name, reference_s, [processing_s, delay_s])| {
        let ratio = |measured| dstream_reports::paper::ratio(measured, reference_s);
        json!({"row": name, "reference_s": reference_s, "processing_s": processing_s,
            "processing_ratio": ratio(processing_s), "delay_s": delay_s, "delay_ratio": ratio(delay_s)})
    });
    json!({"figure": shown.figure.id, "source": shown.figure.source, "quick": shown.quick,
        "rows": rows.collect::<Vec<_>>(), "verdict": shown.run.result.verdict,
        "run_directory": shown.run.directory.display().to_string(),
        "page": page.display().to_string(), "numbers": numbers.display().to_string()})
}
