//! Scenarios that are right: what they resolve to, and that the resolved scenario resolves to the same.

mod parse_support;

use dstream_scenarios::plan::{FaultKind, Plan, SourcePlan};
use dstream_scenarios::{Context, load, to_yaml};
use parse_support::{FULL, SMALL, context, plan, repository_context};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The plan, after a check that its YAML gives it again.
fn round_trip(text: &str, context: &Context) -> Plan {
    let first = plan(text, context);
    let yaml = to_yaml(&first);
    assert_eq!(plan(&yaml, context), first, "{yaml}");
    first
}

fn scenario_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in
        fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("so can its entries").path())
    {
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
        let text = fs::read_to_string(&file).unwrap();
        (0..5).for_each(|seed| drop(round_trip(&text, &Context { seed: Some(seed), ..repository_context() })));
    }
}

#[test]
fn what_a_small_scenario_leaves_out_has_the_defaults_of_the_contract() {
    let expected = "\
title: small
about: \"\"
seed: 0
duration: 60s
warmup: 0s
compare: equal-workers
cluster:
  workers: 4
  cores: 4
  clients: 2
  partitions: 32
  link: { latency: 1ms, bandwidth: 1Gbit }
  store: { latency: 5ms, bandwidth: 1Gbit }
  heartbeat: 100ms
  failure_timeout: 500ms
  compute: real
  costs:
    map_ns_per_byte: 110
    single_record_factor: 1.67
    merge_ns_per_row: 1000
    codec_ns_per_byte: 1
    task_ns: 3000000
    master_task_ns: 100000
    message_ns: 20000
    checkpoint_ns_per_byte: 1
workload:
  job: word-count
  params: { slide: off, window: off }
  source: { generate: { rate: 1000/s, record: 100B, keys: 10000, skew: 1, needle: 0 } }
  scale: 1
engines:
  - dstream: { backpressure: off, block: 200ms, checkpoint: off, copies: 2, input: memory, interval: 1s, \
memory: off, placement: free, recovery: eager, slack: 0s, spares: 0, speculation: off, \
standby_masters: 0 }
faults: []
expect: []
";
    assert_eq!(to_yaml(&round_trip(SMALL, &context())), expected);
}

#[test]
fn defaults_follow_the_job_and_the_engines() {
    let search = SMALL.replace("job: word-count", "job: search\n  params: { window: 30s }");
    let warmup = |text: &str| round_trip(text, &context()).warmup;
    assert_eq!(warmup(&search), Duration::from_secs(30));
    let slow = search.replace("dstream: {", "slow: {");
    assert_eq!(warmup(&slow), Duration::from_secs(50));
    assert_eq!(warmup(&slow.replace("interval: 1s", "checkpoint: 3s")), Duration::from_secs(36));
    assert_eq!(warmup(&search.replace("30s", "all")), Duration::ZERO);
    assert_eq!(warmup(&search.replace("duration", "warmup: 7s\nduration")), Duration::from_secs(7));
    let costs = |text: &str| round_trip(text, &context()).cluster.costs.map_ns_per_byte;
    assert_eq!((costs(SMALL), costs(&search)), (110.0, 26.0));
    let later = SMALL.replace("dstream: { interval: 1s }", "dstream\n  - slow: { interval: 2s, copies: 1 }");
    let later = round_trip(&later, &context());
    assert_eq!(later.interval, Duration::from_secs(2));
    assert_eq!(later.engines[0].options["interval"], later.engines[1].options["interval"]);
    let none = SMALL.replace("dstream: { interval: 1s }", "dstream:");
    assert_eq!(round_trip(&none, &context()).interval, Duration::from_secs(1));
}

#[test]
fn anchors_merges_quotes_and_empty_lists_read_as_yaml_reads_them() {
    let check = |from: &str, to: &str| {
        let changed = SMALL.replace(from, to);
        assert_ne!(changed, SMALL);
        assert_eq!(plan(&changed, &context()), plan(SMALL, &context()), "{changed}");
    };
    check("duration: 60s", "duration: '60s'");
    check("duration: 60s", "duration: \"60\\x73\"");
    check("duration: 60s", "duration: 1m");
    check("duration: 60s", "duration: 60.000s\nfaults:\nexpect: ");
    check("{ workers: 4 }", "{ <<: { workers: 4 } }");
    check("{ workers: 4 }", "{ workers: 4, <<: [{ workers: 5 }, { workers: 6 }] }");
    check("{ workers: 4 }", "{ workers: &four 4, partitions: 32, cores: *four }");
    check("title: small", "\u{feff}title: small");
    check("\n", "\r\n");
    check("title: small", "--- # a document\ntitle: small");
    check("rate: 1000/s", "rate: \"1000.0/s\", needle: 0%");
}

#[test]
fn targets_and_times_are_drawn_from_the_seed_and_the_place() {
    let seeds = |text: &str| -> Vec<Plan> {
        (0..60).map(|seed| plan(text, &Context { seed: Some(seed), ..context() })).collect()
    };
    let full = seeds(FULL);
    let crash = |plan: &Plan| plan.faults.iter().find(|fault| matches!(fault.kind, FaultKind::Crash { .. })).cloned();
    let crashes: Vec<_> = full.iter().filter_map(crash).collect();
    let nodes: BTreeSet<String> = crashes.iter().map(|fault| format!("{:?}", fault.kind)).collect();
    assert_eq!(nodes.len(), 8, "every worker is drawn some time: {nodes:?}");
    let times: BTreeSet<Duration> = crashes.iter().map(|fault| fault.at).collect();
    assert!(times.len() > 50 && times.iter().all(|at| (40_000..41_000).contains(&at.as_millis())), "{times:?}");
    // A fault's own draw does not depend on the others.
    let moved = FULL.replace("at: 10s, for: 250ms", "at: 11s, for: 250ms");
    assert_eq!(seeds(&moved).iter().filter_map(crash).collect::<Vec<_>>(), crashes);
}

#[test]
fn any_worker_is_never_one_that_other_faults_hold() {
    let text = "\
faults:
  - pause: { node: any-worker, at: 25s, for: 1s }
  - crash: { node: any-worker, at: 10s, restart_after: 20s }
  - crash: { node: worker-1, at: 5s }
  - crash: { node: any-worker, at: 12s }
  - partition: { between: [any-worker], and: [master], at: 30s, for: 1s }
";
    for seed in 0..200 {
        let plan = plan(&format!("{SMALL}{text}"), &Context { seed: Some(seed), ..context() });
        assert_eq!(plan.faults.len(), 5);
        let dead = |at: Duration, name: &str| {
            plan.faults.iter().any(|fault| {
                matches!(&fault.kind, FaultKind::Crash { node } if node.as_str() == name)
                    && fault.at < at
                    && fault.lasts.is_none_or(|lasts| fault.at + lasts > at)
            })
        };
        for fault in &plan.faults {
            let node = fault.kind.first_node();
            assert!(!dead(fault.at, node.as_str()), "seed {seed}: {:?}", plan.faults);
        }
    }
}

#[test]
fn a_drawn_crash_leaves_every_partition_something_to_cut() {
    let text = "faults:
  - crash: { node: any-worker, at: 5s, restart_after: 20s }
  - partition: { between: [worker-1], and: [master], at: 10s, for: 5s }
  - partition: { between: [worker-2], and: [worker-3, worker-4], at: 10s, for: 5s }
";
    let mut drawn = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let plan = plan(&format!("{SMALL}{text}"), &Context { seed: Some(seed), ..context() });
        let FaultKind::Crash { node } = &plan.faults[0].kind else { panic!("{:?}", plan.faults) };
        drawn.insert(node.as_str().to_string());
    }
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ["worker-3", "worker-4"]);
}

#[test]
fn faults_that_only_touch_are_no_collision() {
    let check = |faults: &[&str]| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("  - {fault}\n")).collect();
        let plan = round_trip(&format!("{SMALL}faults:\n{}", lines.concat()), &context());
        assert_eq!(plan.faults.len(), faults.len());
        assert!(plan.faults.iter().zip(0..).all(|(fault, number)| fault.number == number));
    };
    check(&["pause: { node: worker-1, at: 5s, for: 5s }", "pause: { node: worker-1, at: 10s, for: 5s }"]);
    check(&["crash: { node: worker-1, at: 5s, restart_after: 5s }", "crash: { node: worker-1, at: 10s }"]);
    check(&["crash: { node: worker-1, at: 5s, restart_after: 5s }", "pause: { node: worker-1, at: 10s, for: 1s }"]);
    check(&["pause: { node: worker-1, at: 5s, for: 5s }", "crash: { node: worker-1, at: 7s }"]);
    check(&[
        "slow-cpu: { node: worker-1, factor: 2.5, at: 5s }",
        "crash: { node: worker-1, at: 7s, restart_after: 1s }",
    ]);
    check(&["slow-cpu: { node: worker-1, factor: 2, at: 5s }", "pause: { node: worker-1, at: 7s, for: 1s }"]);
    check(&["slow-cpu: { node: worker-1, factor: 2, at: 5s }", "slow-cpu: { node: worker-1, factor: 4, at: 7s }"]);
    check(&["crash: { node: worker-1, at: 5s }", "power-loss: { node: worker-2, at: 5s }"]);
    check(&["outage: { node: worker-1, at: 5s, for: 1s }", "outage: { node: worker-1, at: 5s, for: 2s }"]);
    check(&["delay: { node: master, by: 1ms, at: 5s, for: 1s }", "slow-nic: { node: client-1, factor: 2, at: 5s }"]);
    check(&[
        "partition: { between: [worker-1], and: [master], at: 5s }",
        "partition: { between: [worker-1, worker-2], and: [master], at: 6s }",
    ]);
    check(&[
        "crash: { node: worker-1, at: 5s, restart_after: 5s }",
        "partition: { between: [worker-1], and: [master], at: 6s, for: 5s }",
        "partition: { between: [worker-1, worker-2], and: [master], at: 6s, for: 1s }",
        "partition: { between: [worker-2], and: [worker-1], at: 4s, for: 2s }",
    ]);
    check(&[
        "disk-full: { node: store, at: 5s, for: 5s }",
        "disk-error: { node: store, at: 6s, for: 1s }",
        "outage: { node: store, at: 5s, for: 2s }",
        "outage: { between: [any-worker, master], and: [store], at: 5s, for: 1s }",
        "delay: { between: [store], and: [worker-1, worker-2], by: 5ms, at: 5s }",
    ]);
    check(&[
        "join: { node: worker-1, at: 5s }",
        "pause: { node: worker-1, at: 6s, for: 1s }",
        "drain: { node: worker-1, at: 8s }",
        "crash: { node: worker-1, at: 9s, restart_after: 1s }",
        "drain: { node: any-worker, at: 8s }",
    ]);
    check(&["crash: { node: worker-1, at: 0s, restart_after: 60s }"]);
    check(&["crash: { node: worker-1, at: 59s..60s }"]);
}

#[test]
fn files_and_costs_are_found_beside_the_scenario() {
    let folder = std::env::temp_dir().join(format!("dstream-parse-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lines.txt"), "a b\n").unwrap();
    let paper = include_str!("../costs/paper.yaml").replace("value: 110,", "value: 55,");
    fs::write(folder.join("half.yaml"), &paper).unwrap();
    let text = SMALL
        .replace("generate: { rate: 1000/s }", "file: { path: [lines.txt, ./lines.txt], rate: 0.5/s }")
        .replace("workers: 4", "workers: 4, costs: half.yaml");
    let first = load(&folder.join("s.yaml"), &text, &context()).unwrap();
    let SourcePlan::File { paths, rate_per_s } = &first.source else { panic!("{:?}", first.source) };
    assert_eq!((paths.len(), *rate_per_s, first.cluster.costs.map_ns_per_byte), (2, Some(0.5), 55.0));
    assert!(paths.iter().all(|path| path.is_absolute() && path.exists()), "{paths:?}");
    // The resolved scenario is read elsewhere.
    assert_eq!(load(Path::new("elsewhere/s.yaml"), &to_yaml(&first), &context()).unwrap(), first);
    fs::write(folder.join("half.yaml"), paper.replace("value: 55,", "value: 0,")).unwrap();
    let errors = load(&folder.join("s.yaml"), &text, &context()).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].path.as_str(), errors[0].line), (folder.join("half.yaml").to_str().unwrap(), 5));
    fs::remove_dir_all(&folder).unwrap();
}

/// Lines of `faults:`, each with a node of its own so that they cannot collide.
fn faults() -> impl Strategy<Value = Vec<String>> {
    let fault = (0u64..50_000_000, 1u64..5_000_000, 0u8..14, 11u32..99);
    prop::collection::vec(fault, 0..4).prop_map(|faults| {
        let line = |((at, lasts, kind, factor), node): (&(u64, u64, u8, u32), u32)| {
            let (at, lasts) = (format!("at: {at}us"), format!("{lasts}us"));
            match kind {
                0 => format!("crash: {{ node: worker-{node}, {at}, restart_after: {lasts} }}"),
                1 => format!("pause: {{ node: worker-{node}, {at}, for: {lasts} }}"),
                2 => format!("slow-cpu: {{ node: worker-{node}, factor: {}, {at} }}", f64::from(*factor) / 10.0),
                3 => format!("slow-nic: {{ node: worker-{node}, factor: {}, {at} }}", f64::from(*factor) / 10.0),
                4 => format!("power-loss: {{ node: worker-{node}, {at} }}"),
                5 => format!("outage: {{ node: worker-{node}, {at}, for: {lasts} }}"),
                6 => format!("outage: {{ between: [client-1], and: [worker-{node}, master], {at}, for: {lasts} }}"),
                8 => format!("outage: {{ node: store, {at}, for: {lasts} }}"),
                9 => format!("delay: {{ between: [worker-{node}], and: [store], by: {factor}us, {at} }}"),
                10 => format!("disk-full: {{ node: store, {at}, for: {lasts} }}"),
                11 => format!("disk-error: {{ node: store, {at} }}"),
                12 => format!("join: {{ node: worker-{node}, {at} }}"),
                13 => format!("drain: {{ node: worker-{node}, {at} }}"),
                7 => format!("delay: {{ node: worker-{node}, by: {factor}us, {at}, for: {lasts} }}"),
                _ => format!("partition: {{ between: [worker-{node}], and: [master], {at}, for: {lasts} }}"),
            }
        };
        faults.iter().zip(1..).map(line).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_reads_again(
        title in "[ -~é\u{85}\u{2028}\u{1F600}]{0,12}[a-z:#]",
        about in any::<String>(),
        rate in 1u32..2_000_000,
        needle in 0u32..=10_000,
        skew in 0f64..4.0,
        numbers in (1u64..10_000, 2u64..5_000, any::<u64>()),
        faults in faults(),
    ) {
        let (keys, record, seed) = numbers;
        let quote = |text: &str| serde_yaml::to_string(&serde_yaml::Value::String(text.to_string())).unwrap();
        prop_assume!(!about.contains('\u{feff}') && !about.chars().any(|c| c.is_control()));
        let source = format!(
            "rate: {}/s, record: {record}B, keys: {keys}, skew: {skew}, needle: {}%",
            f64::from(rate) / 1000.0,
            f64::from(needle) / 100.0
        );
        let text = SMALL
            .replace("job: word-count", "job: search")
            .replace("rate: 1000/s", &source)
            .replace("title: small", &format!("title: {}seed: {seed}\nabout: {}", quote(&title), quote(&about)));
        let faults: String = faults.iter().map(|fault| format!("  - {fault}\n")).collect();
        round_trip(&format!("{text}faults:\n{faults}"), &context());
    }
}
