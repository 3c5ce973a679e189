//! The checker bites: each defect planted into a protocol part is found by a scenario.
//!
//! The scenarios are valid without the defect (`scenarios.rs` holds that), so what makes them invalid is the defect.

mod defect;
mod defects;
mod state;
pub mod wrap;

use defect::{ALL, Defect};
use defects::Planted;
use dstream::{Engine, Outcome, Overrides, Setup, draw_scenario, judge, load_scenario, simulate};
use dstream_engine::DStreams;
use dstream_scenarios::plan::Plan;
use dstream_scenarios::swarm::Template;
use dstream_trace::result::Verdict;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    (Defect::BothAttemptsCommitted, "smoke/slow-master", "visible once"),
    (Defect::CopiesNotMadeAgain, "hunt/second-crash-in-one-interval", "output"),
    (Defect::OldestPaneForgotten, "hunt/crash-with-a-window", "output"),
    (Defect::CheckpointNotRead, "hunt/crash-with-a-window", "output"),
    (Defect::CheckpointNotWritten, "hunt/crash-with-a-window", "drained"),
    (Defect::LineageForgottenEarly, "hunt/crash-with-a-window", "damage"),
    (Defect::CheckpointDroppedEarly, "hunt/crash-with-a-window", "drained"),
    (Defect::JournalCutShort, "smoke/master-crash", "output"),
    (Defect::LogCutEarly, "smoke/whole-cluster", "output"),
    (Defect::AckBeforeLog, "smoke/input-log", "acknowledged"),
    (Defect::LetGoWhenAcknowledged, "smoke/input-replay", "output"),
    (Defect::SentAgainShort, "smoke/input-replay", "output"),
    (Defect::AckBeforeJournal, "smoke/input-replay", "acknowledged"),
    (Defect::QuotaNotSaid, "smoke/overload", "than they are let"),
    (Defect::LeaseNotWaitedFor, "smoke/standby-master", "overtaken"),
    (Defect::EarlierTermNotFenced, "hunt/pause-over-a-takeover", "fence"),
    (Defect::SpillNotWritten, "smoke/spill", "output"),
    (Defect::TableVersionIgnored, "hunt/state-of-a-straggler", "output"),
    (Defect::UndoLeftOut, "hunt/state-ahead-of-a-lost-worker", "output"),
    (Defect::SegmentNotSaved, "hunt/state-lost-between-checkpoints", "drained"),
];

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name).with_extension("yaml")
}

/// The swarm finds each defect within these seeds.
const SEEDS: Range<u64> = 0..200;

/// Simulations at a time.
const THREADS: usize = 2;

/// Runs a scenario with this engine and judges it.
fn verdict(name: &str, engine: DStreams) -> Outcome {
    let plan = load_scenario(&scenario(name), &Overrides::default(), &Setup::built_in()).unwrap();
    outcome(&plan, engine)
}

fn outcome(plan: &Plan, engine: DStreams) -> Outcome {
    let setup = Setup::built_in();
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let mut go_on = |_| ControlFlow::Continue(());
    let simulation = simulate(plan, &plan.engines[0], &engine, setup.workloads.clone(), &mut go_on).unwrap();
    judge(plan, &plan.engines[0], &engine, &setup, &simulation).unwrap()
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
            let outcome = verdict(name, planted(*defect));
            let failed = failed(&outcome);
            let is_found = outcome.result.verdict == Verdict::Invalid && failed.iter().any(|f| f.contains(word));
            (!is_found).then(|| format!("{defect:?} in {name}: {:?} {failed:#?}", outcome.result.verdict))
        })
        .collect();
    assert!(missed.is_empty(), "not found as expected:\n{}", missed.join("\n"));
}

#[test]
fn the_hunting_scenarios_are_valid_without_a_defect() {
    for name in [
        "hunt/crash-at-work",
        "hunt/pause-at-work",
        "hunt/second-crash-in-one-interval",
        "hunt/crash-with-a-window",
        "hunt/state-lost-between-checkpoints",
        "hunt/state-of-a-straggler",
        "hunt/state-ahead-of-a-lost-worker",
        "hunt/senders-back-in-time",
        "hunt/a-sender-stays-away",
    ] {
        let outcome = verdict(name, DStreams::new());
        assert_eq!((outcome.result.verdict, failed(&outcome)), (Verdict::Valid, vec![]), "{name}");
    }
}

/// The first seed of the swarm whose run is invalid with the defect and not without it, and the checks that fail there.
fn first_seed(defect: Defect) -> Option<(u64, Vec<String>)> {
    let (next, found) = (AtomicU64::new(SEEDS.start), AtomicU64::new(SEEDS.end));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= found.load(Ordering::Relaxed) {
                        return;
                    }
                    let is_valid = || drawn(seed, DStreams::new()).result.verdict != Verdict::Invalid;
                    if drawn(seed, planted(defect)).result.verdict == Verdict::Invalid && is_valid() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = found.into_inner();
    SEEDS.contains(&seed).then(|| (seed, failed(&drawn(seed, planted(defect)))))
}

fn planted(defect: Defect) -> DStreams {
    DStreams::with_cores(Arc::new(Planted(defect)))
}

/// The scenario that the swarm draws from this seed.
fn drawn(seed: u64, engine: DStreams) -> Outcome {
    let template = (Path::new("swarm.yaml"), &Template::default());
    let plan = draw_scenario(seed, &["dstream".to_owned()], template, &Setup::built_in()).unwrap();
    outcome(&plan, engine)
}

/// The defects to look for: those that `DSTREAM_DEFECTS` names, with commas between them; without it, all.
#[expect(clippy::disallowed_methods, reason = "no node reads it: it says how long the test is to be")]
pub fn wanted<D: Copy + std::fmt::Debug>(all: &[D]) -> Vec<D> {
    let Ok(names) = std::env::var("DSTREAM_DEFECTS") else { return all.to_vec() };
    let named = |name: &str| all.iter().copied().find(|defect| format!("{defect:?}") == name);
    names.split(',').map(|name| named(name).unwrap_or_else(|| panic!("no defect is called {name}"))).collect()
}

#[test]
#[ignore = "takes many minutes: cargo test -p dstream --test suite planted:: -- --ignored --nocapture"]
fn every_planted_defect_is_found_by_the_swarm() {
    let mut missed = Vec::new();
    println!("{:28} {:>4}  checks that fail", "defect", "seed");
    for defect in wanted(ALL) {
        match first_seed(defect) {
            Some((seed, failed)) => println!("{:28} {seed:>4}  {}", format!("{defect:?}"), failed.join("; ")),
            None => missed.push(defect),
        }
    }
    assert!(missed.is_empty(), "not found within seeds {SEEDS:?}: {missed:?}");
}
