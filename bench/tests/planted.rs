//! The checker bites: each defect planted into a protocol part is found by a scenario.
//!
//! The scenarios are valid without the defect (`scenarios.rs` holds that), so what makes them invalid is the defect.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "planted/defects.rs"]
mod defects;

use defects::{ALL, Defect, Planted};
use dstream::{Engine, Outcome, Overrides, Setup, judge, load_scenario, simulate};
use dstream_engine::DStreams;
use dstream_trace::result::Verdict;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Each defect with the scenario that finds it, and a word of the check that fails there.
const FOUND_BY: &[(Defect, &str, &str)] = &[
    (Defect::EarlyAck, "smoke/long-pause", "acknowledged"),
    (Defect::AckBeforeCopy, "smoke/long-pause", "acknowledged"),
    (Defect::DuplicateBlockAccepted, "smoke/short-pause", "output"),
    (Defect::LostPartitionNotRecomputed, "hunt/crash-at-work", "output"),
    (Defect::CommitWithoutFence, "smoke/long-pause", "fenced"),
    (Defect::FenceIgnored, "hunt/pause-at-work", "fence"),
    (Defect::UnsealedInterval, "smoke/short-pause", "sealed"),
    (Defect::LateBlockSlippedIn, "smoke/short-pause", "output"),
    (Defect::AckBeforeMaster, "trophies/acknowledged-before-the-master-knew", "output"),
    (Defect::LossNotDetected, "hunt/crash-at-work", "output"),
    (Defect::BatchNotSentAgain, "hunt/crash-at-work", "drained"),
    (Defect::ResultTwice, "smoke/short-pause", "visible once"),
    (Defect::CopiesNotMadeAgain, "hunt/second-crash-in-one-interval", "output"),
    (Defect::OldestPaneForgotten, "hunt/crash-with-a-window", "output"),
    (Defect::CheckpointNotRead, "hunt/crash-with-a-window", "output"),
    (Defect::CheckpointNotWritten, "hunt/crash-with-a-window", "drained"),
    (Defect::LineageForgottenEarly, "hunt/crash-with-a-window", "damage"),
    (Defect::CheckpointDroppedEarly, "hunt/crash-with-a-window", "drained"),
];

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name).with_extension("yaml")
}

/// Runs a scenario with this engine and judges it.
fn verdict(name: &str, engine: DStreams) -> Outcome {
    let setup = Setup::built_in();
    let plan = load_scenario(&scenario(name), &Overrides::default(), &setup).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let mut go_on = |_| ControlFlow::Continue(());
    let simulation = simulate(&plan, &plan.engines[0], &engine, setup.workloads.clone(), &mut go_on).unwrap();
    judge(&plan, &plan.engines[0], &engine, &setup, &simulation).unwrap()
}

/// Names and details of the checks that fail.
fn failed(outcome: &Outcome) -> Vec<String> {
    let failed = outcome.result.checks.iter().filter(|check| !check.holds);
    failed.map(|check| format!("{}: {}", check.check, check.detail)).collect()
}

#[test]
fn every_planted_defect_is_found_by_its_scenario() {
    assert!(ALL.iter().all(|defect| FOUND_BY.iter().any(|(found, _, _)| found == defect)));
    let missed: Vec<String> = FOUND_BY
        .iter()
        .filter_map(|(defect, name, word)| {
            let outcome = verdict(name, DStreams::with_cores(Arc::new(Planted(*defect))));
            let failed = failed(&outcome);
            let is_found = outcome.result.verdict == Verdict::Invalid && failed.iter().any(|f| f.contains(word));
            (!is_found).then(|| format!("{defect:?} in {name}: {:?} {failed:#?}", outcome.result.verdict))
        })
        .collect();
    assert!(missed.is_empty(), "not found as expected:\n{}", missed.join("\n"));
}

#[test]
fn the_hunting_scenarios_are_valid_without_a_defect() {
    for name in
        ["hunt/crash-at-work", "hunt/pause-at-work", "hunt/second-crash-in-one-interval", "hunt/crash-with-a-window"]
    {
        let outcome = verdict(name, DStreams::new());
        assert_eq!((outcome.result.verdict, failed(&outcome)), (Verdict::Valid, vec![]), "{name}");
    }
}
