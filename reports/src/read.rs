//! Reading run directories, and writing their pages.

use crate::page::{compare_page, run_page};
use dstream_trace::result::RunResult;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file or folder could not be read or written.
#[derive(Debug, Error)]
#[error("{path}: {why}")]
pub struct ReadError {
    /// Which.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub why: String,
}

/// One run and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// Its folder.
    pub directory: PathBuf,
    /// What its `result.json` says.
    pub result: RunResult,
}

/// Reads one run directory.
pub fn read_run(directory: &Path) -> Result<RunReport, ReadError> {
    let path = directory.join("result.json");
    let error = |why: String| ReadError { path: path.clone(), why };
    let missing = |cause| error(format!("cannot be read ({cause}); is {} a run directory?", directory.display()));
    let text = fs::read_to_string(&path).map_err(missing)?;
    let foreign = |cause| error(format!("is not the record of a run: {cause}"));
    let result = serde_json::from_str(&text).map_err(foreign)?;
    Ok(RunReport { directory: directory.to_owned(), result })
}

/// Reads all runs of a scenario's folder, by name. Folders without a `result.json` and hidden ones are no runs.
pub fn read_scenario_folder(folder: &Path) -> Result<Vec<RunReport>, ReadError> {
    let unreadable =
        |cause: std::io::Error| ReadError { path: folder.to_owned(), why: format!("cannot be read: {cause}") };
    let mut directories = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.join("result.json").is_file() {
            directories.push(path);
        }
    }
    directories.sort_by_key(|directory| natural(directory));
    directories.iter().map(|directory| read_run(directory)).collect()
}

/// Names in the order that people expect: `dstream-sim-7-10` after `dstream-sim-7-9`.
fn natural(directory: &Path) -> Vec<(u64, String)> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('-').map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
}

/// Reads the runs at these places: run directories, or folders of them.
pub fn read_runs(places: &[PathBuf]) -> Result<Vec<RunReport>, ReadError> {
    let mut runs = Vec::new();
    for place in places {
        if place.join("result.json").is_file() || !place.is_dir() {
            runs.push(read_run(place)?);
            continue;
        }
        let inside = read_scenario_folder(place)?;
        if inside.is_empty() {
            let why = "is no run directory and holds none: there is no `result.json` in it".to_owned();
            return Err(ReadError { path: place.clone(), why });
        }
        runs.extend(inside);
    }
    Ok(runs)
}

/// Writes `index.html` into a scenario's folder: all its runs side by side. Returns the page's path.
pub fn write_index(folder: &Path) -> Result<PathBuf, ReadError> {
    let runs = read_scenario_folder(folder)?;
    write(&folder.join("index.html"), &compare_page(&runs, folder))
}

/// Writes the page of one run into its folder. Returns the page's path.
pub fn write_report(run: &RunReport) -> Result<PathBuf, ReadError> {
    write(&run.directory.join("report.html"), &run_page(run))
}

/// Writes a page with these runs side by side to `path`, which it returns.
pub fn write_comparison(runs: &[RunReport], path: &Path) -> Result<PathBuf, ReadError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let place = absolute(path);
    let folder = place.parent().unwrap_or(&place);
    let runs: Vec<RunReport> =
        runs.iter().map(|run| RunReport { directory: absolute(&run.directory), ..run.clone() }).collect();
    write(path, &compare_page(&runs, folder))
}

/// Writes a figure's page and its numbers into `folder`, named for the figure. Returns the page's path and the table's.
pub fn write_figure(
    id: &str,
    quick: bool,
    folder: &Path,
    page: &str,
    csv: &str,
) -> Result<(PathBuf, PathBuf), ReadError> {
    let unwritable = |cause| ReadError { path: folder.to_owned(), why: format!("cannot be written: {cause}") };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let name = if quick { format!("{id}-quick") } else { id.to_owned() };
    let numbers = write(&folder.join(format!("{name}.csv")), csv)?;
    let page = write(&folder.join(format!("{name}.html")), page)?;
    Ok((page, numbers))
}

/// Written beside and renamed, so that a reader never sees half a page.
fn write(path: &Path, page: &str) -> Result<PathBuf, ReadError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = path.with_file_name(format!(".{name}.partial"));
    let written = fs::write(&partial, page).and_then(|()| fs::rename(&partial, path));
    written.map_err(|cause| ReadError { path: path.to_owned(), why: format!("cannot be written: {cause}") })?;
    Ok(path.to_owned())
}
