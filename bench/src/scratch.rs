//! A folder of this process's own in the system's temporary folder, removed at the end.

use crate::failure::Failure;
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

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is small, and the system's temporary folder.
        fs::remove_dir_all(&self.0).ok();
    }
}
