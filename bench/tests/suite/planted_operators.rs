//! The checker bites the continuous engines, too: each planted defect is found by a scenario.
//!
//! Each scenario is valid without the defect, which is tested beside it, so what makes it invalid is the defect.

mod operators;

use crate::planted::wanted;
use dstream::{Engine, Outcome, Overrides, Setup, draw_scenario, judge, load_scenario, simulate};
use dstream_baselines::continuous::engine::{CoreFactory, PlainCores};
use dstream_baselines::{HotReplication, UpstreamBackup};
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::swarm::Template;
use dstream_trace::result::Verdict;
use operators::{ALL, Defect, Planted};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

/// The swarm finds each defect within these seeds.
const SEEDS: Range<u64> = 0..200;

/// What a scenario of `scenarios/hunt` finds with each engine.
const FOUND_BY: &[(&str, &str, &[Defect])] = &[
    (
        "operators-lost",
        "upstream-backup",
        &[
            Defect::OneHolderIsEnough,
            Defect::AckWithoutHolding,
            Defect::WholeTooEarly,
            Defect::TrimTooEarly,
            Defect::PositionTooFar,
            Defect::DuplicateApplied,
            Defect::FenceNotAsked,
            Defect::LossNotDetected,
            Defect::StateNotRestored,
            Defect::PaneNotSaved,
            Defect::InputHandedOnInPart,
            Defect::ClosedTooEarly,
            Defect::PunctuationTooEarly,
        ],
    ),
    ("operators-paused", "upstream-backup", &[Defect::FenceIgnored]),
    (
        "operators-twin",
        "hot-replication",
        &[Defect::TwinWithoutState, Defect::DuplicateApplied, Defect::ReplicaOrderDiffers, Defect::KeptBackForgotten],
    ),
];

fn engine(name: &str, cores: Arc<dyn CoreFactory>) -> Arc<dyn Engine> {
    match name {
        "upstream-backup" => Arc::new(UpstreamBackup::with_cores(cores)),
        _ => Arc::new(HotReplication::with_cores(cores)),
    }
}

fn plan(scenario: &str) -> Plan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/hunt");
    load_scenario(&folder.join(scenario).with_extension("yaml"), &Overrides::default(), &Setup::built_in()).unwrap()
}

/// A run's outcome; nothing where the software itself said that it is broken.
fn outcome(plan: &Plan, of: &EnginePlan, cores: Arc<dyn CoreFactory>) -> Option<Outcome> {
    let (setup, engine) = (Setup::built_in(), engine(&of.engine, cores));
    let mut go_on = |_| ControlFlow::Continue(());
    let simulation = simulate(plan, of, &engine, setup.workloads.clone(), &mut go_on).unwrap();
    simulation.failed.is_none().then(|| judge(plan, of, &engine, &setup, &simulation).unwrap())
}

fn is_valid(plan: &Plan, of: &EnginePlan, cores: Arc<dyn CoreFactory>) -> bool {
    outcome(plan, of, cores).is_some_and(|outcome| outcome.result.verdict != Verdict::Invalid)
}

#[test]
fn every_planted_defect_is_found_by_its_scenario_and_nothing_is_without_one() {
    let found = |defect: &Defect| FOUND_BY.iter().any(|(_, _, defects)| defects.contains(defect));
    assert!(ALL.iter().all(found));
    let mut wrong = Vec::new();
    for (scenario, engine, defects) in FOUND_BY {
        let plan = plan(scenario);
        let of = plan.engines.iter().find(|plan| plan.engine == *engine).unwrap();
        if !is_valid(&plan, of, Arc::new(PlainCores)) {
            wrong.push(format!("{scenario} with {engine} fails without a defect"));
        }
        let missed = defects.iter().filter(|defect| is_valid(&plan, of, Arc::new(Planted(**defect))));
        wrong.extend(missed.map(|defect| format!("{scenario} with {engine} does not find {defect:?}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first seed of the swarm whose run is invalid with the defect and not without it.
fn first_seed(defect: Defect) -> Option<(u64, &'static str)> {
    let template = (Path::new("swarm.yaml"), &Template::default());
    SEEDS.flat_map(|seed| ["upstream-backup", "hot-replication"].map(|engine| (seed, engine))).find(|(seed, engine)| {
        let plan = draw_scenario(*seed, &[(*engine).to_owned()], template, &Setup::built_in()).unwrap();
        let of = &plan.engines[0];
        !is_valid(&plan, of, Arc::new(Planted(defect))) && is_valid(&plan, of, Arc::new(PlainCores))
    })
}

#[test]
#[ignore = "takes many minutes: cargo test -p dstream --test suite planted_operators:: -- --ignored --nocapture"]
fn every_planted_defect_is_found_by_the_swarm() {
    let mut missed = Vec::new();
    for defect in wanted(ALL) {
        match first_seed(defect) {
            Some((seed, engine)) => println!("{:24} {seed:>4} {engine}", format!("{defect:?}")),
            None => missed.push(defect),
        }
    }
    assert!(missed.is_empty(), "not found within seeds {SEEDS:?}: {missed:?}");
}
