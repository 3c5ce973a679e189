//! What the command line changes: `--set`, `--seed`, `--engine`, and the world.

mod parse_support;

use dstream_cluster::OptionValue;
use dstream_scenarios::plan::{FaultKind, Plan};
use dstream_scenarios::{Context, ErrorKind, load};
use parse_support::{FULL, SMALL, context, errors, plan};
use std::path::Path;
use std::time::Duration;

fn with_sets(sets: &[&str]) -> Context {
    let split = |set: &&str| {
        let (path, value) = set.split_once('=').expect("every set of these tests has a value");
        (path.to_string(), value.to_string())
    };
    Context { sets: sets.iter().map(split).collect(), ..context() }
}

#[test]
fn a_set_value_replaces_the_files() {
    let check = |set: &str, holds: fn(&Plan) -> bool| assert!(holds(&plan(FULL, &with_sets(&[set]))), "{set}");
    let copies = |plan: &Plan, engine: usize| plan.engines[engine].options["copies"].clone();
    assert_eq!(copies(&plan(FULL, &context()), 0), OptionValue::Count(2));
    check("cluster.workers=5", |plan| plan.cluster.workers == 5);
    check("cluster.link.latency=7ms", |plan| plan.cluster.link.latency == Duration::from_millis(7));
    check("seed=9", |plan| plan.seed == 9);
    check("title=2024", |plan| plan.title == "2024");
    check("title=\"a: b\"", |plan| plan.title == "a: b");
    check("engines.dstream.interval=500ms", |plan| plan.interval == Duration::from_millis(500));
    check("engines[0].interval=500ms", |plan| plan.interval == Duration::from_millis(500));
    check("engines[0].dstream.interval=500ms", |plan| plan.interval == Duration::from_millis(500));
    check("engines.three copies.copies=4", |plan| plan.engines[1].options["copies"] == OptionValue::Count(4));
    check("engines.dstream.copies=4", |plan| plan.engines[1].options["copies"] == OptionValue::Count(3));
    check("faults[2].at=20s", |plan| plan.faults[0].at == Duration::from_secs(20));
    check("faults[2].pause.at=20s", |plan| plan.faults[0].at == Duration::from_secs(20));
    check(
        "faults[2].node=worker-2",
        |plan| matches!(&plan.faults[0].kind, FaultKind::Pause { node } if node.as_str() == "worker-2"),
    );
    check("faults[2]={ pause: { node: worker-7, at: 1s } }", |plan| plan.faults[0].lasts.is_none());
    check("faults=[]", |plan| plan.faults.is_empty());
    check("expect[1].catch_up=9s", |plan| format!("{:?}", plan.expect).contains("9s"));
    check("workload.source.generate.rate=1/s", |plan| format!("{:?}", plan.source).contains("rate_per_s: 1.0"));
    check("workload.scale=3", |plan| plan.scale == 3);
}

#[test]
fn a_set_value_may_be_new_and_the_last_of_two_counts() {
    let small = |sets: &[&str]| plan(SMALL, &with_sets(sets));
    assert_eq!(small(&["cluster.link.latency=3ms"]).cluster.link.latency, Duration::from_millis(3));
    assert_eq!(small(&["warmup=3s", "warmup=4s"]).warmup, Duration::from_secs(4));
    assert_eq!(small(&["faults=[crash: { node: worker-1, at: 5s }]", "faults[0].at=6s"]).faults[0].at.as_secs(), 6);
    let bare = SMALL.replace("dstream: { interval: 1s }", "dstream");
    assert_eq!(plan(&bare, &with_sets(&["engines.dstream.interval=2s"])).interval, Duration::from_secs(2));
}

/// An argument of `--set`, and what is said of it.
const WRONG_SETS: &[(&str, &str)] = &[
    (
        "cluster.wrokers=4",
        "
--set:1:9: `cluster` has no field `wrokers`; did you mean `workers`? Valid: `workers`, `cores`, `clients`, \
`partitions`, `link`, `store`, `heartbeat`, `failure_timeout`, `costs`, `compute`
cluster.wrokers=4
        ^^^^^^^",
    ),
    (
        "cluster.workers=none",
        "
--set:1:17: `cluster.workers` must be a whole number from 1 to 1000, not `none`
cluster.workers=none
                ^^^^",
    ),
    (
        "cluster.workers=",
        "
--set:1:9: `cluster.workers` has no value; it must be a whole number from 1 to 1000
cluster.workers=
        ^^^^^^^",
    ),
    (
        "faults[0].at=4s",
        "
--set:1:1: the list is not in the file; set the whole of it, such as `faults=[...]`
faults[0].at=4s
^^^^^^",
    ),
    (
        "engines[1].interval=4s",
        "
--set:1:8: there is no item 1; the list has 1, counted from 0
engines[1].interval=4s
       ^^^",
    ),
    (
        "engines.dstraem.interval=4s",
        "
--set:1:9: the scenario names no `dstraem` here; did you mean `dstream`?
engines.dstraem.interval=4s
        ^^^^^^^",
    ),
    (
        "engines.dstream.interval=4",
        "
--set:1:26: `engines[0].dstream.interval`: `4` has no unit; a duration is such as `250ms`, `30s` or `5m`
engines.dstream.interval=4
                         ^",
    ),
    (
        "title.x=4",
        "
--set:1:7: `x` cannot be set: what stands there is no mapping
title.x=4
      ^",
    ),
    (
        "cluster.workers[0]=4",
        "
--set:1:16: what stands here is no list
cluster.workers[0]=4
               ^^^",
    ),
    (
        "cluster..workers=4",
        "
--set:1:9: not a path; valid is such as `cluster.workers` or `faults[0].at`
cluster..workers=4
        ^",
    ),
    (
        "faults[x].at=4s",
        "
--set:1:1: not a path; valid is such as `cluster.workers` or `faults[0].at`
faults[x].at=4s
^^^^^^^^^",
    ),
    (
        "title=[x",
        "
--set:1:7: not YAML: did not find expected ',' or ']', while parsing a flow sequence
title=[x
      ^",
    ),
];

#[test]
fn a_wrong_set_is_shown_in_the_argument() {
    for (set, said) in WRONG_SETS {
        assert_eq!(errors(SMALL, &with_sets(&[set])).join("\n"), said.trim_start());
    }
}

#[test]
fn the_command_lines_seed_beats_the_files() {
    let own = plan(FULL, &context());
    let other = plan(FULL, &Context { seed: Some(8), ..context() });
    assert_eq!((own.seed, other.seed), (7, 8));
    assert_ne!(own.faults, other.faults);
    assert_eq!(plan(FULL, &Context { seed: Some(7), ..context() }), own);
}

#[test]
fn engines_are_chosen_by_label_or_name() {
    let text = FULL.replace("faults:", "  - slow: { copies: 1 }\nfaults:");
    let labels = |only: &[&str]| -> Vec<String> {
        let only = only.iter().map(ToString::to_string).collect();
        plan(&text, &Context { only, ..context() }).engines.into_iter().map(|engine| engine.label).collect()
    };
    assert_eq!(labels(&[]), ["dstream", "three copies", "slow"]);
    assert_eq!(labels(&["slow"]), ["slow"]);
    assert_eq!(labels(&["three copies", "slow"]), ["three copies", "slow"]);
    assert_eq!(labels(&["dstream"]), ["dstream"]);
    let only = vec!["spark".to_string()];
    assert_eq!(
        errors(SMALL, &Context { only, ..context() }),
        ["s.yaml:8:5: `--engine spark`: the scenario names no such engine; valid: `dstream`\n\
          \x20 - dstream: { interval: 1s }\n    ^^^^^^^"]
    );
}

#[test]
fn a_share_of_the_capacity_is_that_of_the_slowest_engine_whichever_is_chosen() {
    let text = FULL.replace("faults:", "  - slow: { copies: 1 }\nfaults:");
    let rate = |text: &str, only: &[&str]| {
        let only = only.iter().map(ToString::to_string).collect();
        format!("{:?}", plan(text, &Context { only, ..context() }).source)
    };
    // 8 workers x 4 cores / (110 ns a byte x 100 bytes) x 50 %.
    assert!(rate(FULL, &[]).contains("rate_per_s: 1454545.0"), "{}", rate(FULL, &[]));
    assert!(rate(&text, &[]).contains("rate_per_s: 145454.0"), "{}", rate(&text, &[]));
    assert_eq!(rate(&text, &["dstream"]), rate(&text, &[]));
}

#[test]
fn unknown_worlds_are_refused() {
    let kinds = |world: &str| {
        let worlds = vec!["sim".to_string(), world.to_string()];
        let errors = load(Path::new("s.yaml"), SMALL, &Context { worlds, ..context() }).err();
        errors.map(|errors| (errors.len(), errors[0].kind, errors[0].nearest.clone()))
    };
    assert_eq!(kinds("sim"), None);
    assert_eq!(kinds("tcp"), None);
    assert_eq!(kinds("smi"), Some((1, ErrorKind::Wrong, Some("sim".to_string()))));
}
