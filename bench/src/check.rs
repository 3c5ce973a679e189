//! `dstream check`: scenario files validated without running them.

use crate::command_line::{CheckArgs, Format};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{checked, scenario_files};
use crate::setup::Setup;
use dstream_scenarios::ScenarioError;
use dstream_scenarios::hint::hints;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A file and what there is to say of it.
struct Checked {
    path: PathBuf,
    errors: Vec<ScenarioError>,
    /// Valid, and hardly meant.
    hints: Vec<String>,
}

/// Checks all files, and says of each whether it is valid.
pub fn check(args: &CheckArgs, setup: &Setup) -> Result<Ending, Failure> {
    let mut files: Vec<Checked> = Vec::new();
    for path in &args.paths {
        for path in scenario_files(path)? {
            let (errors, hints) = match checked(&path, setup)? {
                Ok(plan) => (Vec::new(), hints(&plan)),
                Err(errors) => (errors, Vec::new()),
            };
            files.push(Checked { path, errors, hints });
        }
    }
    let text = match args.output.format {
        Format::Text => as_text(&files),
        Format::Json => as_json(&files),
    };
    console::result(&text)?;
    let all_valid = files.iter().all(|file| file.errors.is_empty());
    Ok(if all_valid { Ending::Good } else { Ending::Usage })
}

fn as_text(files: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { path, errors, hints } in files {
        for error in errors {
            text.push_str(&format!("{error}\n"));
        }
        if errors.is_empty() {
            text.push_str(&format!("{}: valid\n", path.display()));
        }
        for hint in hints {
            text.push_str(&format!("{}: hint: {hint}\n", path.display()));
        }
    }
    text
}

fn as_json(files: &[Checked]) -> String {
    let error = |error: &ScenarioError| {
        json!({
            "path": error.path, "line": error.line, "column": error.column,
            "message": error.message, "nearest": error.nearest,
        })
    };
    let files: Vec<Value> = files
        .iter()
        .map(|Checked { path, errors, hints }| {
            let errors: Vec<Value> = errors.iter().map(error).collect();
            json!({"path": path, "valid": errors.is_empty(), "errors": errors, "hints": hints})
        })
        .collect();
    format!("{:#}\n", json!({ "files": files }))
}
