//! The demo: every engine through one crash, all of them right, and a verdict that follows from what was measured. The
//! scenarios that compare engines are read too.

use crate::common::{Folder, comparing_scenario_files, root};
use dstream::{Overrides, Setup, load_scenario};
use dstream_scenarios::demo::{PATH, TEXT};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// The engines of the demo.
const LABELS: [&str; 5] = ["dstream", "backup-serial", "backup-parallel", "hot-sync", "hot-first"];

#[test]
fn every_engine_goes_through_one_crash_and_the_verdict_is_what_was_measured() {
    let folder = Folder::new();
    let said = folder.dstream(&["demo", "--out", "here", "--format", "json"]);
    said.expect(0, &[]);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let runs = told["runs"].as_array().unwrap();
    let labels: Vec<&str> = runs.iter().map(|run| run["engine"].as_str().unwrap()).collect();
    assert_eq!(labels, LABELS);
    for run in runs {
        let fault = &run["faults"][0];
        assert_eq!((&run["verdict"], &fault["fired"]), (&Value::from("valid"), &Value::from(true)), "{run:#}");
        for part in ["detect_s", "restore_s", "catch_up_s", "redundancy_s", "longest_gap_s"] {
            assert!(fault[part].is_number(), "no {part} in {run:#}");
        }
    }
    let sentences: Vec<&str> = told["verdict"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let [first, second] = sentences[..] else { panic!("not two sentences: {sentences:?}") };
    assert!(first.starts_with("After the crash of worker-3 at ") && second.contains("CPU"), "{sentences:?}");
    // Whoever the sentence calls never late had each result within the second after its interval's second, others had not.
    let (never, others) = first.split_once(" never late; ").unwrap();
    for run in runs {
        let (name, worst_ms) = (run["engine"].as_str().unwrap(), run["latency_ms"]["max"].as_f64().unwrap());
        assert_eq!((never.contains(name), others.contains(name)), (worst_ms <= 2000.0, worst_ms > 2000.0), "{first}");
    }
    let page = folder.read(told["page"].as_str().unwrap());
    let start = first.split(',').next().unwrap().replace(' ', "");
    let plain: String = page.chars().filter(|letter| !letter.is_whitespace() && *letter != '\u{2060}').collect();
    assert!(plain.contains(&start), "no `{start}` on the page");
    for label in LABELS {
        assert!(page.contains(&format!("href=\"{label}-sim-6/report.html#recovery\"")), "{label}");
    }
}

#[test]
fn the_demo_is_the_file_in_the_repository() {
    assert_eq!(fs::read_to_string(root().join(PATH)).unwrap(), TEXT);
}

#[test]
fn every_scenario_that_compares_engines_is_read_and_says_what_on_time_means() {
    for path in comparing_scenario_files() {
        let plan = load_scenario(&path, &Overrides::default(), &Setup::built_in())
            .unwrap_or_else(|failure| panic!("{failure}"));
        let labels: BTreeSet<&str> = plan.engines.iter().map(|engine| engine.label.as_str()).collect();
        assert!(labels.contains("hot-sync") && labels.contains("hot-first"), "{}: {labels:?}", path.display());
        // Otherwise each engine would be held to what it did itself.
        assert!(plan.slo.is_some(), "{}", path.display());
    }
}
