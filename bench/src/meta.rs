//! `dstream meta`: the same scenario in two processes, and whether they wrote the same trace.
//!
//! Each process runs this same binary with the hidden command `write-trace`. Invariant: the traces lie in a folder of
//! this process's own, which is gone when it ends.

use crate::command_line::{Changes, Format, MetaArgs, WriteTraceArgs};
use crate::compare::{Comparison, Difference, compare_traces};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{Overrides, engine_of, load_scenario};
use crate::scratch::Scratch;
use crate::setup::Setup;
use crate::simulation::simulate;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Compares two runs of each engine of the scenario.
pub fn meta(args: &MetaArgs, setup: &Setup) -> Result<Ending, Failure> {
    let plan = load_scenario(&args.scenario, &overrides(&args.changes, Vec::new()), setup)?;
    let folder = Scratch::new("meta")?;
    let mut found = Vec::new();
    for engine in &plan.engines {
        let traces = ["first", "second"].map(|which| folder.path().join(which));
        // Both at once: two runs that disturb each other show more than two that do not.
        let mut children = Vec::new();
        for trace in &traces {
            children.push(spawn(args, &engine.label, trace)?);
        }
        children.into_iter().try_for_each(wait)?;
        let [first, second] = traces.each_ref().map(|trace| File::open(trace).map(BufReader::new));
        let unreadable = |error: io::Error| Failure::broken(format!("a trace cannot be read: {error}"));
        let compared = compare_traces(first.map_err(unreadable)?, second.map_err(unreadable)?);
        found.push((engine.label.clone(), compared.map_err(unreadable)?));
    }
    let text = match args.output.format {
        Format::Text => found.iter().map(|(label, compared)| as_text(&plan.title, label, compared)).collect(),
        Format::Json => {
            let runs: Vec<Value> = found.iter().map(|(label, compared)| as_json(label, compared)).collect();
            format!("{:#}\n", json!({"scenario": plan.title, "seed": plan.seed, "runs": runs}))
        }
    };
    console::result(&text)?;
    let identical = found.iter().all(|(_, compared)| matches!(compared, Comparison::Identical { .. }));
    Ok(if identical { Ending::Good } else { Ending::Failed })
}

fn overrides(changes: &Changes, only: Vec<String>) -> Overrides {
    Overrides { seed: changes.seed, set: changes.set.clone(), only }
}

/// Runs the scenario with one engine and writes its trace.
pub fn write_trace(args: &WriteTraceArgs, setup: &Setup) -> Result<Ending, Failure> {
    let plan = load_scenario(&args.scenario, &overrides(&args.changes, vec![args.engine.clone()]), setup)?;
    let missing = || Failure::usage(format!("the scenario has no engine `{}`", args.engine));
    let engine_plan = plan.engines.iter().find(|engine| engine.label == args.engine).ok_or_else(missing)?;
    let engine = engine_of(engine_plan, setup)?;
    let simulation =
        simulate(&plan, engine_plan, &engine, setup.workloads.clone(), &mut |_| ControlFlow::Continue(()))?;
    let unwritable = |error: io::Error| Failure::usage(format!("{}: cannot be written: {error}", args.to.display()));
    let mut out = BufWriter::new(File::create(&args.to).map_err(unwritable)?);
    for line in simulation.trace.lock().lines() {
        writeln!(out, "{line}").map_err(unwritable)?;
    }
    out.flush().map_err(unwritable)?;
    match simulation.failed {
        Some(failed) => Err(Failure::broken(failed.to_string())),
        None => Ok(Ending::Good),
    }
}

fn spawn(args: &MetaArgs, engine: &str, to: &Path) -> Result<Child, Failure> {
    let cannot = |error: io::Error| Failure::broken(format!("a second process of this program cannot start: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command.arg("write-trace").arg(&args.scenario).arg("--engine").arg(engine).arg("--to").arg(to);
    if let Some(seed) = args.changes.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    for set in &args.changes.set {
        command.arg("--set").arg(set);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(cannot)
}

fn wait(mut child: Child) -> Result<(), Failure> {
    let status = child.wait().map_err(|error| Failure::broken(format!("a run cannot be waited for: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(64) => Err(Failure::usage("a run was refused; the line above says why")),
        _ => Err(Failure::broken(format!("a run failed ({status}); the line above says where"))),
    }
}

fn as_text(title: &str, label: &str, compared: &Comparison) -> String {
    match compared {
        Comparison::Identical { lines } => format!("{title} ({label}): identical, {lines} lines\n"),
        Comparison::Differ(Difference { line, first, second }) => {
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "(the trace ended before)".to_string());
            let (first, second) = (shown(first), shown(second));
            format!("{title} ({label}): the traces differ from line {line} on\n  first:  {first}\n  second: {second}\n")
        }
    }
}

fn as_json(label: &str, compared: &Comparison) -> Value {
    match compared {
        Comparison::Identical { lines } => json!({"engine": label, "identical": true, "lines": lines}),
        Comparison::Differ(Difference { line, first, second }) => {
            json!({"engine": label, "identical": false, "line": line, "first": first, "second": second})
        }
    }
}
