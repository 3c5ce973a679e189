//! The run directory: where a run leaves what it was, what it measured and what happened.
//!
//! Written whole: files go into a hidden folder beside its final place, which is renamed when all are there. Invariant:
//! a folder under its final name is complete; a name once taken is never written into again.

use crate::check::OutputRow;
use dstream_trace::TraceLog;
use dstream_trace::measure::{Facts, MeasureInput, Measured, owners_csv, tasks_csv};
use dstream_trace::result::RunResult;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Second and later runs into the same place get a number; far more than anyone keeps.
const MOST_RUNS: u32 = 100_000;

/// In a hidden folder: the process that fills it.
const OWNER: &str = "owner";

/// The folder cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {why}")]
pub struct DirectoryError {
    /// Which file or folder.
    pub path: PathBuf,
    /// The system's reason, or ours.
    pub why: String,
}

impl DirectoryError {
    fn new(path: &Path, why: impl ToString) -> DirectoryError {
        DirectoryError { path: path.to_owned(), why: why.to_string() }
    }
}

/// Everything that goes into the folder.
pub struct RunFiles<'a> {
    /// The resolved scenario, enough to replay.
    pub scenario_yaml: &'a str,
    /// The record of the run.
    pub result: &'a RunResult,
    /// The tables.
    pub measured: &'a Measured,
    /// What the tables count from.
    pub run: &'a MeasureInput,
    /// The attempts.
    pub facts: &'a Facts,
    /// What happened.
    pub log: &'a TraceLog,
    /// What the harness adds to `run.csv`: name and value, a name may stand more than once.
    pub more: &'a [(&'static str, String)],
    /// All visible rows, sorted, where they are to be kept.
    pub outputs: Option<&'a [OutputRow]>,
}

/// A place that this run will fill. Dropped unfilled, it leaves nothing.
#[derive(Debug)]
pub struct RunDirectory {
    folder: PathBuf,
    name: String,
    is_filled: bool,
}

impl RunDirectory {
    /// Takes the next free place `<out>/<title>/<label>-<world>-<seed>[-<n>]` and proves that it can be written.
    pub fn reserve(
        out: &Path,
        title: &str,
        label: &str,
        world: &str,
        seed: u64,
    ) -> Result<RunDirectory, DirectoryError> {
        let folder = out.join(slug(title));
        fs::create_dir_all(&folder).map_err(|error| DirectoryError::new(&folder, error))?;
        let base = format!("{}-{world}-{seed}", slug(label));
        for number in 1..MOST_RUNS {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            if folder.join(&name).exists() {
                continue;
            }
            let directory = RunDirectory { folder: folder.clone(), name, is_filled: false };
            // Creating the hidden folder takes the name: of two runs at once only one succeeds.
            match fs::create_dir(directory.hidden()) {
                Ok(()) => {
                    directory.write(OWNER, &std::process::id().to_string())?;
                    return Ok(directory);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let is_taken = directory.is_owned() || fs::remove_dir_all(directory.hidden()).is_err();
                    if !is_taken && fs::create_dir(directory.hidden()).is_ok() {
                        directory.write(OWNER, &std::process::id().to_string())?;
                        return Ok(directory);
                    }
                    directory.release();
                }
                Err(error) => {
                    let path = directory.hidden();
                    directory.release();
                    return Err(DirectoryError::new(&path, error));
                }
            }
        }
        Err(DirectoryError::new(&folder.join(base), "too many runs are in this folder"))
    }

    /// Where the run will be.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The folder that holds this scenario's runs, and their `index.html`.
    pub fn scenario_folder(&self) -> &Path {
        &self.folder
    }

    /// Writes everything and shows it under its final name, which it returns.
    pub fn fill(mut self, files: &RunFiles<'_>) -> Result<PathBuf, DirectoryError> {
        let json =
            serde_json::to_string_pretty(files.result).expect("a result is plain data, which JSON always encodes");
        self.write("scenario.yaml", files.scenario_yaml)?;
        self.write("intervals.csv", &files.measured.intervals_csv(files.run))?;
        self.write("latency.csv", &files.measured.latency_csv())?;
        self.write("tasks.csv", &tasks_csv(files.facts, files.run))?;
        if let Some(owners) = owners_csv(files.facts, files.run) {
            self.write("owners.csv", &owners)?;
        }
        self.write("faults.csv", &files.measured.faults_csv(files.run))?;
        self.write("flow.csv", &files.measured.flow_csv())?;
        self.write("nodes.csv", &files.measured.nodes_csv(files.run))?;
        self.write("moments.csv", &files.measured.moments_csv(files.run))?;
        self.write("run.csv", &files.measured.run_csv(files.run, files.more))?;
        self.write_lines("trace.log", files.log.lines().iter().map(ToString::to_string))?;
        if let Some(rows) = files.outputs {
            let line = |row| serde_json::to_string(row).expect("a row is plain text, which JSON always encodes");
            self.write_lines("outputs.jsonl", rows.iter().map(line))?;
        }
        self.write("result.json", &(json + "\n"))?;
        let (path, owner) = (self.path(), self.hidden().join(OWNER));
        fs::remove_file(&owner).map_err(|error| DirectoryError::new(&owner, error))?;
        fs::rename(self.hidden(), &path).map_err(|error| DirectoryError::new(&path, error))?;
        self.is_filled = true;
        Ok(path)
    }

    /// Whether the process that took the place goes on, as far as can be known: one that was killed leaves its folder.
    fn is_owned(&self) -> bool {
        let owner = fs::read_to_string(self.hidden().join(OWNER)).ok().and_then(|owner| owner.parse::<u32>().ok());
        owner.is_none_or(|owner| !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{owner}")).exists())
    }

    fn hidden(&self) -> PathBuf {
        self.folder.join(format!(".{}.partial", self.name))
    }

    /// Forgets a place that was never taken.
    fn release(mut self) {
        self.is_filled = true;
    }

    fn write(&self, name: &str, text: &str) -> Result<(), DirectoryError> {
        let path = self.hidden().join(name);
        fs::write(&path, text).map_err(|error| DirectoryError::new(&path, error))
    }

    fn write_lines(&self, name: &str, lines: impl Iterator<Item = String>) -> Result<(), DirectoryError> {
        let path = self.hidden().join(name);
        let written = fs::File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            for line in lines {
                writeln!(file, "{line}")?;
            }
            file.flush()
        });
        written.map_err(|error| DirectoryError::new(&path, error))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !self.is_filled {
            // Nothing can be done about a folder that will not go; it is hidden and its name is never reused.
            let _ = fs::remove_dir_all(self.hidden());
        }
    }
}

/// A title as a file name: lower case letters, digits and single dashes.
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for letter in title.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "run".to_owned() } else { slug.to_owned() }
}
