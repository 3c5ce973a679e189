//! Published figures: each is read, its scenario is what the paper describes, and its quick stand-in is run and drawn.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Folder, paper_scenario_files, root};
use dstream::{Overrides, Setup, load_scenario};
use dstream_cluster::OptionValue;
use dstream_reports::PublishedFigure;
use dstream_scenarios::paper::FIGURES;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

#[test]
fn every_scenario_of_a_figure_is_read_and_checked() {
    let folder = Folder::new();
    for path in paper_scenario_files() {
        load_scenario(&path, &Overrides::default(), &Setup::built_in()).unwrap_or_else(|failure| panic!("{failure}"));
    }
    folder.dstream(&["check", "scenarios/paper"]).expect(0, &["word-count-one-failure.yaml"]);
}

#[test]
fn each_figure_has_the_setup_that_its_model_is_computed_for() {
    let mut ids = BTreeSet::new();
    for one in FIGURES {
        let figure = PublishedFigure::read(one.figure).unwrap();
        assert_eq!(figure.id, one.id);
        assert!(ids.insert(one.id), "{} twice", one.id);
        assert!(root().join(format!("scenarios/paper/figures/{}.yaml", one.id)).is_file());
        let path = root().join("scenarios/paper").join(&figure.scenario);
        assert_eq!(path, root().join(one.scenario_path));
        assert_eq!(fs::read_to_string(&path).unwrap(), one.scenario);
        let plan = load_scenario(&path, &Overrides::default(), &Setup::built_in()).unwrap();
        assert_eq!(plan.cluster.workers, figure.nodes, "{}", one.id);
        let checkpoint = OptionValue::Duration(Duration::from_secs_f64(figure.checkpoint_s));
        assert_eq!(plan.engines[0].options["checkpoint"], checkpoint, "{}", one.id);
        // Room for the last period after the failure.
        let last_s = plan.faults[0].at.as_secs_f64() + figure.period_s * (figure.after_s.len() + 1) as f64;
        assert!(plan.duration.as_secs_f64() >= last_s, "{}", one.id);
    }
}

#[test]
fn a_quick_figure_is_drawn_and_says_that_it_is_a_stand_in() {
    let folder = Folder::new();
    let said = folder.dstream(&["paper", "--figure", "one-failure", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let figure = &json[0];
    assert_eq!((figure["figure"].as_str(), figure["quick"].as_bool()), (Some("one-failure"), Some(true)), "{json:#}");
    assert_eq!(figure["verdict"], "valid", "{json:#}");
    let rows = figure["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 10, "{json:#}");
    for row in rows {
        let value = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(value("processing_ratio"), value("processing_s") / value("reference_s")), "{row}");
        assert!(close(value("delay_ratio"), value("delay_s") / value("reference_s")), "{row}");
        assert!(value("delay_s") > 0.0 && value("processing_s") > 0.0, "{row}");
    }
    let page = folder.read("runs/paper/one-failure-quick.html");
    for words in ["A quick stand-in, not for comparing", "l published", "l model", "l delay", "on failure", " x</td>"] {
        assert!(page.contains(words), "no `{words}`");
    }
    assert!(page.contains("href=\"../word-count-one-failure-quick/dstream-sim-1/report.html\""));
    assert_eq!(folder.read("runs/paper/one-failure-quick.csv").lines().count(), 11);
}

#[test]
fn a_figure_that_nobody_knows_is_refused_with_those_that_are() {
    let folder = Folder::new();
    folder.dstream(&["paper", "--figure", "one-falure"]).expect(64, &["no figure `one-falure`", "`one-failure`"]);
    assert!(!folder.0.join("runs").exists());
}
