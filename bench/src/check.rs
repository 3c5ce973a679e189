//! `dstream check`: scenario files validated without running them.

use crate::command_line::{CheckArgs, Format};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{errors_of, scenario_files};
use crate::setup::Setup;
use dstream_scenarios::ScenarioError;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Checks all files, and says of each whether it is valid.
pub fn check(args: &CheckArgs, setup: &Setup) -> Result<Ending, Failure> {
    let mut files: Vec<(PathBuf, Vec<ScenarioError>)> = Vec::new();
    for path in &args.paths {
        for file in scenario_files(path)? {
            let errors = errors_of(&file, setup)?;
            files.push((file, errors));
        }
    }
    let text = match args.output.format {
        Format::Text => as_text(&files),
        Format::Json => as_json(&files),
    };
    console::result(&text)?;
    let all_valid = files.iter().all(|(_, errors)| errors.is_empty());
    Ok(if all_valid { Ending::Good } else { Ending::Usage })
}

fn as_text(files: &[(PathBuf, Vec<ScenarioError>)]) -> String {
    let mut text = String::new();
    for (path, errors) in files {
        for error in errors {
            text.push_str(&format!("{error}\n"));
        }
        if errors.is_empty() {
            text.push_str(&format!("{}: valid\n", path.display()));
        }
    }
    text
}

fn as_json(files: &[(PathBuf, Vec<ScenarioError>)]) -> String {
    let error = |error: &ScenarioError| {
        json!({
            "path": error.path, "line": error.line, "column": error.column,
            "message": error.message, "nearest": error.nearest,
        })
    };
    let files: Vec<Value> = files
        .iter()
        .map(|(path, errors)| {
            let errors: Vec<Value> = errors.iter().map(error).collect();
            json!({"path": path, "valid": errors.is_empty(), "errors": errors})
        })
        .collect();
    format!("{:#}\n", json!({ "files": files }))
}
