//! Published figures: each is read, its scenario is what the paper describes, and its quick stand-in is run and drawn.

use crate::common::{Folder, paper_scenario_files, root};
use dstream::{Overrides, Setup, load_scenario};
use dstream_cluster::OptionValue;
use dstream_reports::model::Model;
use dstream_reports::{ModelFigure, PublishedFigure, StragglersFigure};
use dstream_scenarios::paper::{FIGURES, FigureKind, PaperFigure};
use dstream_scenarios::plan::FaultKind;
use std::collections::BTreeSet;
use std::fs;

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
        assert!(ids.insert(one.id), "{} twice", one.id);
        assert!(root().join(format!("scenarios/paper/figures/{}.yaml", one.id)).is_file());
        for scenario in one.scenarios {
            assert_eq!(fs::read_to_string(root().join(scenario.path())).unwrap(), scenario.text);
        }
        if one.kind == FigureKind::Published {
            fits_its_model(one);
        }
    }
}

fn fits_its_model(one: &PaperFigure) {
    let figure = PublishedFigure::read(one.figure).unwrap();
    assert_eq!(figure.id, one.id);
    let mut titles = BTreeSet::new();
    for case in &figure.cases {
        let path = root().join(one.scenario(&case.scenario).unwrap().path());
        let overrides = Overrides { set: figure.settings(case, false), ..Overrides::default() };
        let plan = load_scenario(&path, &overrides, &Setup::built_in()).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(titles.insert(plan.title.clone()), "{} twice", plan.title);
        assert_eq!((plan.cluster.workers, plan.faults.len()), (case.nodes, case.failures as usize), "{}", case.name);
        let checkpoint_s = match plan.engines[0].options["checkpoint"] {
            OptionValue::Duration(checkpoint) => checkpoint.as_secs_f64(),
            _ => 0.0,
        };
        assert!(case.checkpoint_s.is_none_or(|expected| (expected - checkpoint_s).abs() < 1e-9), "{}", case.name);
        // Room for the last period after the failure.
        let last_s = plan.faults[0].at.as_secs_f64() + figure.period_s * (case.after_s.len() + 1) as f64;
        assert!(plan.duration.as_secs_f64() >= last_s, "{}", case.name);
        assert!(plan.faults.iter().all(|fault| fault.at == plan.faults[0].at), "{}: at once", case.name);
    }
    assert!(figure.cases.iter().any(|case| case.quick), "{}", one.id);
}

#[test]
fn a_quick_figure_is_drawn_and_says_that_it_is_a_stand_in() {
    let folder = Folder::new();
    let said = folder.dstream(&["paper", "--figure", "one-failure", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let figure = &json[0];
    assert_eq!((figure["figure"].as_str(), figure["quick"].as_bool()), (Some("one-failure"), Some(true)), "{json:#}");
    let case = &figure["cases"][0];
    assert_eq!(case["verdict"], "valid", "{json:#}");
    let rows = case["rows"].as_array().unwrap();
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
fn a_quick_figure_of_several_cases_shows_each_with_its_ratio() {
    let folder = Folder::new();
    let said = folder.dstream(&["paper", "--figure", "failures", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let cases = json[0]["cases"].as_array().unwrap();
    // Where no batch reads what an earlier one left, the model says nothing.
    let rows: Vec<usize> = cases.iter().map(|case| case["rows"].as_array().unwrap().len()).collect();
    assert_eq!(rows, [10, 9], "{json:#}");
    for case in cases {
        assert_eq!(case["verdict"], "valid", "{case:#}");
        assert!(case["rows"][1]["delay_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{case:#}");
    }
    let page = folder.read("runs/paper/failures-quick.html");
    for words in ["A quick stand-in, not for comparing", "id=\"case-2\"", "grep, 1 failure", "f delay", "f processing"]
    {
        assert!(page.contains(words), "no `{words}`");
    }
    assert_eq!(folder.read("runs/paper/failures-quick.csv").lines().count(), 20);
}

#[test]
fn a_figure_that_nobody_knows_is_refused_with_those_that_are() {
    let folder = Folder::new();
    folder.dstream(&["paper", "--figure", "one-falure"]).expect(64, &["no figure `one-falure`", "`one-failure`"]);
    assert!(!folder.0.join("runs").exists());
}

#[test]
fn every_run_of_a_model_is_a_scenario_and_the_quick_stand_in_has_both_formulas_and_a_run_without_an_end() {
    let one = FIGURES.iter().find(|figure| figure.kind == FigureKind::Model).unwrap();
    let figure = ModelFigure::read(one.figure).unwrap();
    assert_eq!(figure.id, one.id);
    let mut titles = BTreeSet::new();
    for (series, run) in figure.series.iter().flat_map(|series| series.runs.iter().map(move |run| (series, run))) {
        let path = root().join(one.scenario(&series.scenario).unwrap().path());
        let overrides = Overrides { set: series.settings(run), ..Overrides::default() };
        let plan = load_scenario(&path, &overrides, &Setup::built_in()).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!((plan.engines.len(), plan.cluster.workers), (1, series.nodes), "{}", series.name);
        assert!(titles.insert(plan.title.clone()), "{} twice", plan.title);
        // Just before a checkpoint is due, and with time to catch up.
        let struck_s = (plan.warmup + plan.faults[0].at).as_secs_f64() % figure.since_checkpoint_s;
        assert!(figure.since_checkpoint_s - struck_s < 1.0, "{}: {struck_s} s after a checkpoint", plan.title);
        assert!(plan.duration > plan.faults[0].at, "{}", plan.title);
    }
    let quick = || figure.series.iter().filter(|series| series.runs.iter().any(|run| run.quick));
    assert!([Model::Upstream, Model::Parallel].into_iter().all(|model| quick().any(|series| series.model == model)));
}

#[test]
fn overheads_and_slow_replicas_are_measured_for_every_engine_of_their_scenarios() {
    let folder = Folder::new();
    let said = folder.dstream(&["paper", "--figure", "overhead", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rows = json[0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{json:#}");
    for row in rows {
        for (name, quantity) in row["quantities"].as_object().unwrap() {
            assert!(quantity["ratio"].as_f64().is_some_and(|ratio| ratio > 0.2), "{name} of {row:#}");
        }
        // A second copy of the input costs bytes, whatever else is copied.
        assert!(row["quantities"]["network"]["ratio"].as_f64().unwrap() > 1.2, "{row:#}");
    }
    assert!(folder.read("runs/paper/overhead-quick.html").contains("hot replication, first wins"));
    let said = folder.dstream(&["paper", "--figure", "slow-replica", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rows = json[0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{json:#}");
    for row in rows {
        assert_eq!(row["verdict"], "valid", "{row:#}");
        assert_eq!(row["faults"].as_array().unwrap().len(), 2, "{row:#}");
        assert!(row["faults"][1]["worst_s"].as_f64().unwrap() >= row["before_s"].as_f64().unwrap(), "{row:#}");
    }
    let page = folder.read("runs/paper/slow-replica-quick.html");
    assert!(page.contains("l run-5") && page.contains("slow-cpu worker-2"));
    assert_eq!(folder.read("runs/paper/slow-replica-quick.csv").lines().count(), 13);
}

#[test]
fn stragglers_are_as_slow_as_predicted_for_and_have_as_many_tasks_as_their_runs_ask_for() {
    let one = FIGURES.iter().find(|figure| figure.kind == FigureKind::Stragglers).unwrap();
    let figure = StragglersFigure::read(one.figure).unwrap();
    assert_eq!(figure.id, one.id);
    let path = root().join(one.scenario(&figure.scenario).unwrap().path());
    let mut titles = BTreeSet::new();
    for (run, quick) in figure.runs.iter().flat_map(|run| [(run, false), (run, true)]) {
        let overrides = Overrides { set: figure.settings(run, quick), ..Overrides::default() };
        let plan = load_scenario(&path, &overrides, &Setup::built_in()).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(titles.insert(plan.title.clone()), "{} twice", plan.title);
        let labels: Vec<&String> = plan.engines.iter().map(|engine| &engine.label).collect();
        assert_eq!(labels, figure.engines.each_ref(), "{}", plan.title);
        let speculation = [0, 1].map(|place| plan.engines[place].options["speculation"].clone());
        assert_eq!(speculation, [OptionValue::Off, OptionValue::Factor(figure.threshold)], "{}", plan.title);
        let FaultKind::SlowCpu { factor, .. } = plan.faults[0].kind else { panic!("{:?}", plan.faults) };
        assert!((factor - figure.factor).abs() < 1e-9, "{}", plan.title);
        // Each receiver cuts as many blocks an interval as its cores have waves.
        for engine in &plan.engines {
            let OptionValue::Duration(block) = engine.options["block"] else { panic!("{:?}", engine.options) };
            assert_eq!(block * run.waves * plan.cluster.cores, plan.interval, "{}", plan.title);
        }
        // The first interval that ends while the worker is slow takes eight times a tenth of an interval.
        let fault = &plan.faults[0];
        let first = plan.interval * ((fault.at.as_secs_f64() / plan.interval.as_secs_f64()).ceil() as u32);
        assert!(first + plan.interval * 8 / 10 <= fault.at + fault.lasts.unwrap(), "{}", plan.title);
    }
}

#[test]
fn a_quick_figure_of_stragglers_is_near_what_is_predicted_and_draws_what_was_published() {
    let folder = Folder::new();
    let said = folder.dstream(&["paper", "--figure", "stragglers", "--quick", "--format", "json"]);
    said.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rows = json[0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{json:#}");
    for row in rows {
        assert_eq!((row["verdict"].as_str(), row["fit"].as_str()), (Some("valid"), Some("near")), "{row:#}");
        assert_eq!(row["tasks"].as_u64().unwrap(), 8 * row["waves"].as_u64().unwrap(), "{row:#}");
        let is_bounded = row["waves"] == 2;
        assert_eq!(row["bound_kept"].as_bool(), is_bounded.then_some(true), "{row:#}");
    }
    assert_eq!(json[0]["published"].as_array().unwrap().len(), 2, "{json:#}");
    let page = folder.read("runs/paper/stragglers-quick.html");
    for words in ["A quick stand-in, not for comparing", "f alone", "l alone", "f speculating", "l text", ">published<"]
    {
        assert!(page.contains(words), "no `{words}`");
    }
    assert!(page.contains("href=\"../stragglers-quick-2-waves/with-sim-1/report.html\""));
    let csv = folder.read("runs/paper/stragglers-quick.csv");
    assert_eq!((csv.lines().count(), csv.matches(", published").count()), (9, 4), "{csv}");
}
