//! Reading run directories, and writing the page that compares them.

use crate::page::page;
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
    directories.sort();
    directories.iter().map(|directory| read_run(directory)).collect()
}

/// Writes `index.html` into a scenario's folder: all its runs side by side. Returns the page's path.
pub fn write_index(folder: &Path) -> Result<PathBuf, ReadError> {
    let runs = read_scenario_folder(folder)?;
    let path = folder.join("index.html");
    // Written beside and renamed, so that a reader never sees half a page.
    let partial = folder.join(".index.html.partial");
    let written = fs::write(&partial, page(&runs, folder)).and_then(|()| fs::rename(&partial, &path));
    written.map_err(|cause| ReadError { path: path.clone(), why: format!("cannot be written: {cause}") })?;
    Ok(path)
}
