//! `dstream replay`: runs again from a run directory alone, and says whether the trace is the same.
//!
//! Knows nothing but the directory: its resolved scenario, its result (which engine, which world) and its trace.
//! Invariant: nothing in the directory is changed.

use crate::command_line::{Format, ReplayArgs};
use crate::compare::{Comparison, Difference, compare_traces};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{Overrides, engine_of, load_scenario};
use crate::setup::Setup;
use crate::simulation::{SIM, simulate};
use dstream_trace::TraceLog;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

/// Runs it again.
pub fn replay(args: &ReplayArgs, setup: &Setup) -> Result<Ending, Failure> {
    let folder = &args.run_directory;
    let label = engine_label(folder)?;
    let overrides = Overrides { seed: None, set: Vec::new(), only: vec![label.clone()] };
    let plan = load_scenario(&folder.join("scenario.yaml"), &overrides, setup)?;
    let missing = || Failure::usage(format!("{}: its scenario has no engine `{label}`", folder.display()));
    let engine_plan = plan.engines.iter().find(|engine| engine.label == label).ok_or_else(missing)?;
    let engine = engine_of(engine_plan, setup)?;
    let mut goes_on = |_| ControlFlow::Continue(());
    let execution = simulate(&plan, engine_plan, &engine, setup.workloads.clone(), &mut goes_on)?;
    let path = folder.join("trace.log");
    let unreadable = |error: io::Error| Failure::usage(format!("{}: cannot be read: {error}", path.display()));
    let kept = BufReader::new(File::open(&path).map_err(unreadable)?);
    let again = text(&execution.trace.lock());
    let compared = compare_traces(kept, again.as_bytes()).map_err(unreadable)?;
    console::result(&match args.output.format {
        Format::Text => as_text(folder, &compared),
        Format::Json => format!("{:#}\n", as_json(&compared)),
    })?;
    Ok(if matches!(compared, Comparison::Identical { .. }) { Ending::Good } else { Ending::Failed })
}

/// Which engine of the scenario the directory is of; runs of other worlds cannot be repeated.
fn engine_label(folder: &Path) -> Result<String, Failure> {
    let path = folder.join("result.json");
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| wrong(format!("no run is kept here: {error}")))?;
    let result: Value = serde_json::from_str(&text).map_err(|error| wrong(format!("is no result: {error}")))?;
    match (result["engine"].as_str(), result["world"].as_str()) {
        (Some(engine), Some(SIM)) => Ok(engine.to_owned()),
        (Some(_), Some(world)) => {
            Err(wrong(format!("a run in the world `{world}` cannot be repeated; valid: `{SIM}`")))
        }
        _ => Err(wrong("is no result: it names no engine and no world".to_owned())),
    }
}

fn text(log: &TraceLog) -> String {
    log.lines().iter().map(|line| format!("{line}\n")).collect()
}

fn as_text(folder: &Path, compared: &Comparison) -> String {
    let folder = folder.display();
    match compared {
        Comparison::Identical { lines } => format!("{folder}: identical, {lines} lines\n"),
        Comparison::Differ(Difference { line, first, second }) => {
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "(the trace ended before)".to_string());
            let (kept, again) = (shown(first), shown(second));
            format!(
                "{folder}: the trace differs from line {line} on; was it made by another build?\n  kept:  {kept}\n  \
                 again: {again}\n"
            )
        }
    }
}

fn as_json(compared: &Comparison) -> Value {
    match compared {
        Comparison::Identical { lines } => json!({"identical": true, "lines": lines}),
        Comparison::Differ(Difference { line, first, second }) => {
            json!({"identical": false, "line": line, "kept": first, "again": second})
        }
    }
}
