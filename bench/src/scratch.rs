//! A folder of this process's own in the system's temporary folder, removed at the end.

use crate::failure::Failure;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Names that are tried: as many runs of one process at a time as anyone has.
const MOST_FOLDERS: u32 = 10_000;

/// A folder that is removed at the end.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder whose name says what it is for.
    pub fn new(purpose: &str) -> Result<Scratch, Failure> {
        let base = std::env::temp_dir();
        clear_abandoned(&base, purpose);
        let unwritable = |error| Failure::usage(format!("{}: cannot be written to: {error}", base.display()));
        for number in 0..MOST_FOLDERS {
            let path = base.join(format!("dstream-{purpose}-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(error)),
            }
        }
        Err(unwritable(ErrorKind::AlreadyExists.into()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Removes what processes left that were killed: the system has no process of the number in its name.
fn clear_abandoned(base: &Path, purpose: &str) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest =
            name.to_str().and_then(|name| name.strip_prefix("dstream-")?.strip_prefix(purpose)?.strip_prefix('-'));
        let owner = rest.and_then(|rest| rest.split_once('-')?.0.parse::<i32>().ok()).and_then(Pid::from_raw);
        if owner.is_some_and(|owner| test_kill_process(owner) == Err(Errno::SRCH)) {
            // Another user's folder stays: it is that user's to remove.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is small, and the system's temporary folder.
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_by_the_next_one_and_what_a_living_one_has_is_not() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let folder = |process: u32| std::env::temp_dir().join(format!("dstream-unit-{process}-7"));
        let (left, other) = (folder(dead), std::env::temp_dir().join(format!("dstream-units-{dead}-7")));
        [&left, &folder(1), &other].iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let scratch = Scratch::new("unit").unwrap();
        assert!(scratch.path().exists() && folder(1).exists() && other.exists());
        assert!(!left.exists(), "process {dead} has ended");
        [&folder(1), &other].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }
}
