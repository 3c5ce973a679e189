//! What the tests of the binary share: a folder of one's own, and the binary as a user types it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test file uses a part of it")]

#[cfg(target_os = "linux")]
pub mod processes;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a command said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Asserts the exit code and that stderr and stdout together hold these words.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no `{word}` in {self:#?}");
        }
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// The binary with these words, run in `folder`.
pub fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dstream"));
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn dstream_in(folder: &Path, words: &[&str]) -> Said {
    let output = command(folder, words).output().expect("the binary starts");
    Said {
        code: output.status.code().expect("no signal ended it"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A new folder, removed at the end, in which `scenarios` and `README.md` are those of the repository.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dstream-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for name in ["scenarios", "README.md"] {
            std::os::unix::fs::symlink(root().join(name), path.join(name)).unwrap();
        }
        Folder(path)
    }

    /// Runs the binary here.
    pub fn dstream(&self, words: &[&str]) -> Said {
        dstream_in(&self.0, words)
    }

    /// Writes a file here.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file here.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The scenario files of the repository that run in seconds, by path: all but those of published figures, those that compare
/// all engines, placements or recoveries, those of minutes of load, and those of the conformance suite, which every engine
/// runs in a test of its own.
pub fn scenario_files() -> Vec<PathBuf> {
    let others = ["src", "tests", "costs", "paper", "compare", "placement", "recovery", "flow", "conformance"];
    let mut found = files_below(root().join("scenarios"), &others);
    found.retain(|path| !path.ends_with("demo.yaml"));
    assert!(found.len() >= 10, "only {} scenarios found", found.len());
    found
}

/// The scenario files that compare all engines: the demo's, and cases that one of them should lose.
pub fn comparing_scenario_files() -> Vec<PathBuf> {
    let mut found = files_below(root().join("scenarios/compare"), &[]);
    assert!(found.len() >= 5, "{found:?}");
    found.push(root().join("scenarios/demo.yaml"));
    found
}

/// The scenario files of published figures, which run for minutes.
pub fn paper_scenario_files() -> Vec<PathBuf> {
    let found = files_below(root().join("scenarios/paper"), &["figures"]);
    assert!(!found.is_empty(), "no scenario of a published figure found");
    found
}

fn files_below(folder: PathBuf, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !without.contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(".yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
