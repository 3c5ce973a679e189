//! Run directories: names, numbering, and places that cannot be written.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_scenarios::run_directory::{RunDirectory, slug};
use std::fs;
use std::path::PathBuf;

/// A folder of this test's own that is removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("dstream-runs-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn titles_become_file_names() {
    for (title, expected) in [
        ("worker crash", "worker-crash"),
        ("  Two  crashes, at once!  ", "two-crashes-at-once"),
        ("../../etc", "etc"),
        ("Größe 3", "größe-3"),
        ("///", "run"),
    ] {
        assert_eq!(slug(title), expected);
    }
}

#[test]
fn runs_into_the_same_place_are_numbered_and_an_unfilled_one_leaves_nothing() {
    let folder = Folder::new("numbered");
    let reserve = || RunDirectory::reserve(&folder.0, "worker crash", "dstream", "sim", 7).unwrap();
    let first = reserve();
    assert_eq!(first.path(), folder.0.join("worker-crash/dstream-sim-7"));
    // A second run at the same time takes the next name.
    let second = reserve();
    assert_eq!(second.path(), folder.0.join("worker-crash/dstream-sim-7-2"));
    drop((first, second));
    assert_eq!(fs::read_dir(folder.0.join("worker-crash")).unwrap().count(), 0);
    fs::create_dir(folder.0.join("worker-crash/dstream-sim-7")).unwrap();
    assert_eq!(reserve().path(), folder.0.join("worker-crash/dstream-sim-7-2"));
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_the_run_in_one_line() {
    let folder = Folder::new("refused");
    fs::write(folder.0.join("file"), "in the way").unwrap();
    let error = RunDirectory::reserve(&folder.0.join("file"), "t", "dstream", "sim", 7).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("file") && !error.contains('\n'), "{error}");
}
