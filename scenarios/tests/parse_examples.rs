//! Scenarios that are right: what they resolve to, and that the resolved scenario resolves to the same.

mod parse_support;

use dstream_scenarios::to_yaml;
use parse_support::{FULL, SMALL, context, plan};
use std::fs;
use std::path::{Path, PathBuf};

/// The plan, after a check that its YAML gives it again.
fn round_trip(text: &str) -> dstream_scenarios::plan::Plan {
    let first = plan(text, &context());
    let yaml = to_yaml(&first);
    assert_eq!(plan(&yaml, &context()), first, "{yaml}");
    assert_eq!(to_yaml(&plan(&yaml, &context())), yaml);
    first
}

fn scenario_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            scenario_files(&entry, found);
        } else if entry.extension().is_some_and(|end| end == "yaml") {
            found.push(entry);
        }
    }
}

#[test]
fn every_scenario_of_the_repository_survives_the_round_trip() {
    let mut files = Vec::new();
    scenario_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("smoke"), &mut files);
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        round_trip(&fs::read_to_string(&file).unwrap());
    }
}

#[test]
fn full_and_small_survive_the_round_trip() {
    round_trip(FULL);
    round_trip(SMALL);
    println!("{}", to_yaml(&plan(FULL, &context())));
}
