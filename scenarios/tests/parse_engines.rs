//! Engines with nodes of their own: standbys, replicas, how many workers are left beside them, what faults may hit, what an
//! engine refuses, and options that may be `off`.

mod parse_support;

use dstream_cluster::option::Unbuilt;
use dstream_cluster::{JobSpec, OptionKind, OptionSpec, OptionValue, Options};
use dstream_scenarios::hint::hints;
use dstream_scenarios::plan::{FaultKind, Plan};
use dstream_scenarios::{Context, EngineDeclaration, load, schema, to_yaml};
use dstream_trace::NodeName;
use parse_support::{SMALL, context, errors, plan};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn count(options: &Options, name: &str) -> u32 {
    match options.get(name) {
        Some(OptionValue::Count(count)) => u32::try_from(*count).unwrap_or(u32::MAX),
        _ => 0,
    }
}

fn named(kind: &str, count: u32) -> Vec<NodeName> {
    (1..=count).map(|number| NodeName::new(format!("{kind}-{number}"))).collect()
}

/// `backup` has standbys for the whole cluster, `twins` a replica of each worker; `twins` refuses windows.
fn with_heirs() -> Context {
    let option =
        |name, kind, default| OptionSpec { name, about: "an option", kind, default, unbuilt: Unbuilt::Nothing };
    let checkpoint = OptionKind::OrOff(Box::new(OptionKind::Duration { at_least: Duration::from_millis(1) }));
    let copies = option("copies", OptionKind::Count { at_least: 1, at_most: 16 }, OptionValue::Count(2));
    let backup = vec![
        option("checkpoint", checkpoint, OptionValue::Duration(Duration::from_secs(10))),
        option("standbys", OptionKind::Count { at_least: 0, at_most: 8 }, OptionValue::Count(1)),
        copies.clone(),
    ];
    let refuses =
        |job: &JobSpec, _: &Options| (job.params["window"] != "off").then(|| "windows need more than twins".to_owned());
    let bare = |name: &str, options, times: f64| {
        EngineDeclaration::new(name, options, Arc::new(move |costs, _: &Options| costs.map_ns_per_byte * times))
    };
    let mut context = context();
    context.engines.push(EngineDeclaration {
        heirs: Arc::new(|_, options| named("standby", count(options, "standbys"))),
        ..bare("backup", backup, 2.0)
    });
    context.engines.push(EngineDeclaration {
        heirs: Arc::new(|workers, _| named("replica", workers)),
        refuses: Arc::new(refuses),
        ..bare("twins", vec![copies], 1.0)
    });
    context
}

/// SMALL with these engines and more lines.
fn scenario(engines: &[&str], more: &str) -> String {
    let engines: String = engines.iter().map(|engine| format!("  - {engine}\n")).collect();
    format!("{}{more}", SMALL.replace("  - dstream: { interval: 1s }\n", &engines))
}

/// label: workers + heirs
fn nodes(plan: &Plan) -> String {
    let of = |engine: &dstream_scenarios::plan::EnginePlan| {
        format!("{} {}+{}", engine.label, engine.workers, engine.heirs.len())
    };
    plan.engines.iter().map(of).collect::<Vec<_>>().join(", ")
}

#[test]
fn workers_are_what_the_comparison_leaves() {
    let check = |compare: &str, expected: &str| {
        let text = scenario(&["dstream", "backup: { standbys: 2 }", "twins"], &format!("compare: {compare}\n"));
        let text = text.replace("workers: 4", "workers: 9");
        let whole = plan(&text, &with_heirs());
        assert_eq!((nodes(&whole).as_str(), whole.cluster.partitions), (expected, 72), "{compare}");
        // Alone an engine has the same nodes as among others.
        for engine in &whole.engines {
            let alone = Context { only: vec![engine.label.clone()], ..with_heirs() };
            assert_eq!(plan(&text, &alone).engines, std::slice::from_ref(engine), "{compare}");
        }
    };
    check("equal-workers", "dstream 9+0, backup 9+2, twins 9+9");
    check("equal-nodes", "dstream 9+0, backup 7+2, twins 4+4");
    check("equal-cost", "dstream 9+0, backup 9+2, twins 4+4");
    let said = errors(&scenario(&["backup: { standbys: 4 }"], "compare: equal-nodes\n"), &with_heirs());
    assert!(
        said[0].starts_with(
            "s.yaml:8:5: `compare: equal-nodes` leaves `backup` no worker: `cluster.workers` is 4, and one"
        ),
        "{said:?}"
    );
}

#[test]
fn the_resolved_scenario_says_what_each_engine_has_and_resolves_to_the_same() {
    let text = scenario(&["dstream", "backup: { standbys: 1, checkpoint: off }", "twins"], "compare: equal-nodes\n");
    let resolved = plan(&text, &with_heirs());
    let shown = to_yaml(&resolved);
    for part in [
        "compare: equal-nodes # workers, standbys and replicas of each engine are together",
        "standbys: 1 } # 3 workers, standby-1\n",
        "} # 2 workers, replica-1 to replica-2\n",
        "checkpoint: off",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(shown.lines().any(|line| line.starts_with("  - dstream:") && line.ends_with('}')), "{shown}");
    assert_eq!(plan(&shown, &with_heirs()), resolved);
}

#[test]
fn rates_are_shares_of_what_the_slowest_engines_own_workers_do() {
    let rate = |compare: &str, engines: &[&str]| {
        let text = scenario(engines, &format!("compare: {compare}\n")).replace("1000/s", "100%");
        match plan(&text, &with_heirs()).source {
            dstream_scenarios::plan::SourcePlan::Generate { rate_per_s, .. } => rate_per_s,
            other => panic!("{other:?}"),
        }
    };
    // Four workers of four cores, 100 bytes at 110 ns: `backup` costs twice as much.
    let whole = (16e9_f64 / 11_000.0).floor();
    assert_eq!(rate("equal-workers", &["dstream", "twins"]), whole);
    assert_eq!(rate("equal-nodes", &["dstream", "twins"]), (8e9_f64 / 11_000.0).floor());
    assert_eq!(rate("equal-nodes", &["dstream", "backup"]), (12e9_f64 / 22_000.0).floor());
}

#[test]
fn faults_hit_standbys_and_replicas_of_engines_that_have_them() {
    let crash = |node: &str| format!("faults:\n  - crash: {{ node: {node}, at: 40s }}\n");
    let both = scenario(&["dstream", "backup"], &crash("standby-1"));
    let said = errors(&both, &with_heirs());
    assert_eq!(
        said[0].lines().next(),
        Some("s.yaml:11:20: the engine `dstream` has no node `standby-1`; run what has one alone: `--engine backup`")
    );
    let alone = Context { only: vec!["backup".to_owned()], ..with_heirs() };
    assert_eq!(plan(&both, &alone).faults[0].kind, FaultKind::Crash { node: NodeName::new("standby-1") });
    let other = Context { only: vec!["dstream".to_owned()], ..with_heirs() };
    assert!(errors(&both, &other)[0].contains("the engine `dstream` has no node"));
    plan(&scenario(&["twins"], &crash("replica-4")), &with_heirs());
    for (engine, node) in [("twins", "replica-5"), ("backup", "standby-2"), ("backup", "standby-01")] {
        let said = errors(&scenario(&[engine], &crash(node)), &with_heirs());
        assert!(said[0].contains(&format!("no engine of this scenario has a node `{node}`; valid:")), "{said:?}");
    }
    // What is named with its own nodes.
    let said = errors(&scenario(&["backup"], &crash("nobody")), &with_heirs());
    assert!(said[0].contains("`client-1` to `client-2`, `standby-1`"), "{said:?}");
}

#[test]
fn a_worker_that_the_comparison_took_from_an_engine_cannot_be_hit() {
    let crash = |node: &str| format!("compare: equal-nodes\nfaults:\n  - crash: {{ node: {node}, at: 40s }}\n");
    let said = errors(&scenario(&["dstream", "backup"], &crash("worker-4")), &with_heirs());
    assert_eq!(
        said[0].lines().next(),
        Some("s.yaml:12:20: the engine `backup` has no node `worker-4`: `compare: equal-nodes` leaves it 3 workers")
    );
    // One that is drawn is one that all have, whichever runs.
    let engines = ["dstream", "twins"];
    for seed in 0..20 {
        let target = |only: &[&str]| {
            let only = only.iter().map(|name| (*name).to_owned()).collect();
            let context = Context { seed: Some(seed), only, ..with_heirs() };
            plan(&scenario(&engines, &crash("any-worker")), &context).faults[0].kind.first_node().to_string()
        };
        assert!(["worker-1", "worker-2"].contains(&target(&[]).as_str()));
        assert_eq!(target(&[]), target(&["dstream"]));
    }
}

#[test]
fn a_fault_between_a_node_and_all_others_means_all_that_the_engine_has() {
    let text = scenario(
        &["dstream", "backup", "twins"],
        "compare: equal-nodes\nfaults:\n  - outage: { node: worker-1, at: 10s, for: 1s }\n",
    );
    let whole = plan(&text, &with_heirs());
    let others = |engine: usize| {
        let plan = whole.of(&whole.engines[engine]);
        let (_, and) = plan.faults[0].kind.sides().map(|(between, and)| (between.to_vec(), and.to_vec())).unwrap();
        and.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(others(0), "worker-2 worker-3 worker-4 master client-1 client-2");
    assert_eq!(others(1), "worker-2 worker-3 standby-1 master client-1 client-2");
    assert_eq!(others(2), "worker-2 replica-1 replica-2 master client-1 client-2");
}

#[test]
fn what_an_engine_refuses_is_an_error_at_its_place_if_it_is_to_run() {
    let text = scenario(&["dstream", "twins"], "").replace("job: word-count", "job: search\n  params: { window: 5s }");
    let said = errors(&text, &with_heirs());
    assert_eq!(
        said[0].lines().next(),
        Some("s.yaml:10:5: the engine `twins` cannot run this: windows need more than twins")
    );
    let alone = Context { only: vec!["dstream".to_owned()], ..with_heirs() };
    plan(&text, &alone);
}

#[test]
fn an_option_may_be_off_where_its_declaration_says_so() {
    let checkpoint = |value: &str| scenario(&[&format!("backup: {{ checkpoint: {value} }}")], "");
    let read = |value: &str| plan(&checkpoint(value), &with_heirs()).engines[0].options["checkpoint"].clone();
    assert_eq!(read("off"), OptionValue::Off);
    assert_eq!(read("4s"), OptionValue::Duration(Duration::from_secs(4)));
    assert_eq!(plan(&checkpoint("off"), &with_heirs()).warmup, Duration::ZERO);
    let said = |value: &str| errors(&checkpoint(value), &with_heirs())[0].lines().next().unwrap().to_owned();
    assert!(said("2500ms").contains("must be a whole multiple of the interval"), "{}", said("2500ms"));
    assert!(said("never").ends_with("; `off` is valid too"), "{}", said("never"));
    assert!(said("0s").ends_with("must be at least `1ms`, not `0s`; `off` is valid too"), "{}", said("0s"));
    let schema = schema(&with_heirs());
    let option = |engine: &str, option: &str| {
        let engines = &schema["properties"]["engines"]["items"]["anyOf"][1]["properties"];
        engines[engine]["properties"][option].clone()
    };
    assert_eq!(option("backup", "checkpoint")["anyOf"][1], serde_json::json!({ "const": "off" }));
    assert!(load(Path::new("s.yaml"), &scenario(&["twins: { copies: off }"], ""), &with_heirs()).is_err());
    assert!(option("twins", "copies").get("anyOf").is_none());
}

#[test]
fn a_scenario_in_which_nobody_is_left_to_lead_gets_a_hint() {
    let standbys = OptionSpec {
        name: "standby_masters",
        about: "an option",
        kind: OptionKind::Count { at_least: 0, at_most: 8 },
        default: OptionValue::Count(0),
        unbuilt: Unbuilt::Nothing,
    };
    let led = EngineDeclaration {
        recovers_master: true,
        heirs: Arc::new(|_, options| named("standby", count(options, "standby_masters"))),
        ..EngineDeclaration::new("led", vec![standbys], Arc::new(|costs, _: &Options| costs.map_ns_per_byte))
    };
    let mut context = with_heirs();
    context.engines.push(led);
    let check = |engine: &str, faults: &str, expected: &[&str]| {
        let said = hints(&plan(&scenario(&[engine], &format!("faults:\n{faults}")), &context));
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, part) in said.iter().zip(expected) {
            assert!(said.contains(part), "{said}");
        }
    };
    let master = "  - crash: { node: master, at: 5s }\n";
    let standby = "  - power-loss: { node: standby-1, at: 9s }\n";
    let gone = "the master dies for good at 5s, and `led` has no standby that would lead after it";
    check("led", master, &[gone]);
    check("led", &master.replace("5s }", "5s, restart_after: 1s }"), &[]);
    check("led", "  - pause: { node: master, at: 5s, for: 2s }\n", &[]);
    check("led", "  - crash: { node: worker-1, at: 5s }\n", &[]);
    check("led: { standby_masters: 1 }", master, &[]);
    let last = "the last that could be master dies for good at 9s";
    check("led: { standby_masters: 1 }", &[master, standby].concat(), &[last]);
    check("led: { standby_masters: 2 }", &[master, standby].concat(), &[]);
}
