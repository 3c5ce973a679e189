//! `dstream report`: the pages of runs that were made before, rendered again, or several put side by side.
//!
//! Reads run directories and runs nothing.

use crate::command_line::{Format, ReportArgs};
use crate::console;
use crate::failure::{Ending, Failure};
use dstream_reports::{ReadError, read_runs, verdict_table, write_comparison, write_index, write_report};
use std::path::{Path, PathBuf};

/// Where several runs of different scenarios are compared, unless told otherwise.
const COMPARISON: &str = "comparison.html";

/// Renders the page of one run, or the page that compares several.
pub fn report(args: &ReportArgs) -> Result<Ending, Failure> {
    let unreadable = |error: ReadError| Failure::usage(error.to_string());
    let runs = read_runs(&args.runs).map_err(unreadable)?;
    for run in &runs {
        write_report(run).map_err(unreadable)?;
    }
    let page = match (&args.out, &args.runs[..]) {
        (Some(out), _) => write_comparison(&runs, out),
        (None, [only]) if only.join("result.json").is_file() => Ok(only.join("report.html")),
        (None, [folder]) => write_index(folder),
        (None, _) => write_comparison(&runs, Path::new(COMPARISON)),
    };
    let page: PathBuf = page.map_err(unreadable)?;
    let text = match args.output.format {
        Format::Json => dstream_reports::json(&runs),
        Format::Text => format!("{}\n{}\n", verdict_table(&runs, console::width()), page.display()),
    };
    console::result(&text)?;
    Ok(Ending::Good)
}
