//! What is drawn: the same for the same seed, always a scenario, covering every kind; and the coverage of a small log.

use super::coverage::{State, coverage};
use super::*;
use crate::plan::FaultKind;
use crate::workload::{ParamKind, ParamSpec};
use dstream_trace::measure::{Effect, FaultFacts};
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange, TaskName, TraceLine};
use std::collections::BTreeSet;

fn context() -> Context {
    let option =
        |name, kind, default| OptionSpec { name, about: "an option", kind, default, unbuilt: Unbuilt::Nothing };
    let duration = |millis| OptionValue::Duration(Duration::from_millis(millis));
    let at_least = |millis| OptionKind::Duration { at_least: Duration::from_millis(millis) };
    let options = vec![
        option("interval", at_least(10), duration(1000)),
        option("checkpoint", at_least(1), duration(10_000)),
        option("copies", OptionKind::Count { at_least: 1, at_most: 16 }, OptionValue::Count(2)),
        option(
            "overlap",
            OptionKind::OrOff(Box::new(OptionKind::Count { at_least: 1, at_most: 64 })),
            OptionValue::Off,
        ),
        option("spares", OptionKind::Count { at_least: 0, at_most: 16 }, OptionValue::Count(0)),
        option("placement", OptionKind::Choice(&["free", "fixed"]), OptionValue::Choice("free".to_owned())),
        option("mode", OptionKind::Choice(&["fast", "safe"]), OptionValue::Choice("fast".to_owned())),
    ];
    let engine = EngineDeclaration { options, built: true, moves: true, ..EngineDeclaration::unbuilt("any") };
    let param = |name, kind| ParamSpec { name, about: "a parameter", default: "off", kind, unbuilt: false };
    let params = vec![param("window", ParamKind::Window), param("slide", ParamKind::Slide)];
    let job = JobDeclaration { params, built: true, ..JobDeclaration::unbuilt("count") };
    Context { engines: vec![engine], jobs: vec![job], worlds: vec!["sim".to_owned()], ..Context::default() }
}

fn drawn(seed: u64, template: &str) -> Plan {
    let template = Template::read(template).expect("the template is a mapping");
    draw(seed, &["any".to_owned()], &template, Path::new("swarm.yaml"), &context()).unwrap_or_else(|errors| {
        panic!("seed {seed}: {}", errors.iter().map(|error| format!("{error}\n")).collect::<String>())
    })
}

#[test]
fn every_seed_is_a_scenario_of_its_own_and_always_the_same() {
    let plans: Vec<Plan> = (0..40).map(|seed| drawn(seed, "")).collect();
    assert_eq!(plans[7], drawn(7, ""));
    let kinds: BTreeSet<&str> = plans.iter().flat_map(|plan| &plan.faults).map(|fault| fault.kind.name()).collect();
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    let nodes = plans.iter().flat_map(|plan| &plan.faults).map(|fault| fault.kind.first_node());
    let roles: BTreeSet<&str> = nodes.filter_map(|node| node.as_str().split('-').next()).collect();
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["client", "master", "store", "worker"]);
    let sizes: BTreeSet<u32> = plans.iter().map(|plan| plan.cluster.workers).collect();
    let modes: BTreeSet<String> = plans.iter().map(|plan| format!("{:?}", plan.engines[0].options["mode"])).collect();
    assert!(sizes.len() > 3 && modes.len() == 2, "{sizes:?} {modes:?}");
}

#[test]
fn the_storm_ends_before_the_calm_begins() {
    for seed in 0..40 {
        let plan = drawn(seed, "");
        let calm = plan.duration - CALM - AFTER_CALM;
        let ends = plan.faults.iter().filter_map(|fault| Some(fault.at + fault.lasts?));
        assert!(ends.chain(plan.faults.iter().map(|fault| fault.at)).all(|end| end <= calm), "{seed}: {plan:?}");
        use crate::plan::{FaultKind, FaultPlan};
        let moves = |fault: &FaultPlan| matches!(fault.kind, FaultKind::Join { .. } | FaultKind::Drain { .. });
        let for_good = |fault: &&FaultPlan| fault.lasts.is_none() && !moves(fault);
        let gone: Vec<_> = plan.faults.iter().filter(for_good).map(|fault| fault.kind.ends()).collect();
        assert!(gone.iter().all(Option::is_some), "{seed}: only processes end for good");
    }
}

#[test]
fn no_interval_waits_for_another_for_longer_than_the_load_allows() {
    // Interval in ms, load in percent, cores; the least overlap. Of 200 ms, 345 went for one at 20 % of 4 cores.
    let cases = [(200, 20, 4, 4), (200, 30, 1, 3), (200, 2, 1, 2), (500, 5, 1, 1), (1000, 10, 2, 1), (2000, 30, 4, 2)];
    for (millis, load, cores, least) in cases {
        let interval = Duration::from_millis(millis);
        let frame = Frame { workers: 4, cores, interval, storm: Duration::from_secs(4), load };
        assert_eq!(frame.least_overlap(), least, "{millis} ms {load} % {cores} cores");
    }
    let counted = |seed: u64| match drawn(seed, "cluster: { cores: 4 }\nengines: [any: { interval: 200ms }]").engines[0]
        .options["overlap"]
    {
        OptionValue::Count(count) => Some(count),
        _ => None,
    };
    let counts: BTreeSet<u64> = (0..200).filter_map(counted).collect();
    assert!(counts.first().is_some_and(|least| *least >= 2), "{counts:?}");
}

#[test]
fn no_partition_has_more_to_do_than_the_load_allows_a_core() {
    // Workers, cores, load in percent; the least number of partitions. Five partitions had 60 % of a core each to do at
    // 30 % of ten cores: what eight seconds had brought was made again in thirteen, and 9.7 were allowed.
    for (workers, cores, load, least) in [(5, 2, 30, 8), (5, 2, 20, 5), (8, 4, 30, 24), (2, 1, 30, 2), (4, 4, 2, 1)] {
        let frame = Frame { workers, cores, interval: Duration::from_secs(1), storm: Duration::from_secs(7), load };
        assert_eq!(frame.least_partitions(), least, "{workers} workers, {cores} cores, {load} %");
    }
    let mut fewest = u64::MAX;
    for seed in 0..60 {
        let frame = Frame::draw(&Dice::new(seed), &Template::read("").expect("the template is a mapping"));
        let partitions = u64::from(drawn(seed, "").cluster.partitions);
        let (cores, load) = (frame.workers * frame.cores, frame.load);
        assert!(cores * load <= partitions * MOST_LOAD, "seed {seed}: {partitions} partitions, {load} % of {cores}");
        fewest = fewest.min(partitions * 100 / cores);
    }
    assert!(fewest <= 75, "few partitions are drawn where the load allows it");
}

#[test]
fn no_more_workers_wait_than_the_load_allows() {
    // Two of four worked off 30 % of all cores and what an outage had left, for longer than the calm.
    let (mut most, mut drawn_with_spares) = (0, 0);
    for seed in 0..200 {
        let frame = Frame::draw(&Dice::new(seed), &Template::read("").expect("the template is a mapping"));
        let OptionValue::Count(spares) = drawn(seed, "").engines[0].options["spares"] else { panic!("{seed}") };
        let working = frame.workers - spares;
        assert!(frame.workers * frame.load <= working * MOST_LOAD, "seed {seed}: {working} of {}", frame.workers);
        most = most.max(spares);
        drawn_with_spares += u64::from(spares > 0);
    }
    assert!(most == 2 && drawn_with_spares > 20, "up to {most} in {drawn_with_spares} of 200");
}

#[test]
fn places_are_fixed_only_where_one_worker_can_do_what_waits_for_all() {
    // Of five workers one stayed; it held the maps of all, twenty seconds of a core, and the others idled when back.
    let (mut fixed, mut most) = (0, 0);
    for seed in 0..200 {
        let frame = Frame::draw(&Dice::new(seed), &Template::read("").expect("the template is a mapping"));
        if drawn(seed, "").engines[0].options["placement"] == OptionValue::Choice("fixed".to_owned()) {
            fixed += 1;
            most = most.max(frame.workers * frame.load);
        }
    }
    assert!(most == MOST_LOAD && fixed > 20, "{fixed} of 200, up to {most} % of one worker");
}

#[test]
fn what_the_template_says_stays() {
    let template = "
cluster: { workers: 7, link: { latency: 3ms } }
engines: [any: { interval: 250ms, copies: 3 }]
faults:
  - pause: { node: master, at: 2s, for: 300ms }
";
    for seed in 0..10 {
        let plan = drawn(seed, template);
        assert_eq!((plan.cluster.workers, plan.interval), (7, Duration::from_millis(250)));
        assert_eq!(plan.cluster.link.latency, Duration::from_millis(3));
        assert_eq!(plan.engines[0].options["copies"], OptionValue::Count(3));
        assert_eq!(plan.faults.len(), 1);
        assert!(matches!(&plan.faults[0].kind, FaultKind::Pause { node } if node.as_str() == "master"));
        assert_eq!((plan.seed, plan.title), (seed, format!("swarm {seed}")));
    }
    assert!(Template::read("- a list").is_err());
}

/// The states in which a crash of worker-1 strikes after these events, in words.
fn check_states(events: &[(&str, Event)], expected: &[&str]) {
    check_states_between(events, &[], expected);
}

/// The same, with what comes after the crash.
fn check_states_between(before: &[(&str, Event)], after: &[(&str, Event)], expected: &[&str]) {
    let struck = Event::FaultApplied { fault: 0, node: NodeName::worker(1) };
    let events = before.iter().cloned().chain([("driver", struck)]).chain(after.iter().cloned());
    let lines: Vec<TraceLine> = (0..)
        .zip(events)
        .map(|(sequence, (node, event))| TraceLine {
            at: Moment::from_millis(sequence),
            sequence,
            node: NodeName::new(node),
            event,
        })
        .collect();
    let fault = FaultFacts {
        number: 0,
        fault: "crash".to_owned(),
        nodes: vec![NodeName::worker(1)],
        others: Vec::new(),
        effect: Effect::ProcessEnded,
        due: Moment::ZERO,
    };
    let seen = coverage(&lines, &[fault], 2);
    let words: Vec<&str> = seen.keys().map(|(_, state)| state.words()).collect();
    assert_eq!(words, expected);
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn a_fault_strikes_what_its_node_was_doing() {
    let block = BlockName { origin: 1, epoch: 1, number: 0 };
    let held = || Event::BlockHeld { block, ranges: vec![RecordRange { client: 1, first: 0, last: 9 }], bytes: 1 };
    let task = |stage, attempt| TaskName { interval: 0, stage, partition: 0, attempt };
    let started = |stage| Event::TaskStarted { task: task(stage, 0) };
    let finished = |stage| Event::TaskFinished { task: task(stage, 0), cpu_ns: 1, records: 1 };
    check_states(&[], &["idle"]);
    check_states(&[("worker-1", held())], &["block being copied"]);
    check_states(&[("worker-1", held()), ("worker-2", held())], &["block held, unsealed"]);
    check_states(&[("worker-2", held()), ("worker-3", held())], &["idle"]);
    let sealed = Event::IntervalSealed { interval: 0, ranges: vec![], blocks: vec![block] };
    check_states(&[("worker-1", held()), ("master", sealed)], &["idle"]);
    check_states(&[("worker-1", started(0)), ("worker-2", started(1))], &["map running"]);
    check_states(&[("worker-1", started(1))], &["reduce running"]);
    check_states(&[("worker-1", started(1)), ("worker-1", finished(1))], &["result being handed in"]);
    check_states(&[("worker-1", started(0)), ("worker-1", finished(0))], &["idle"]);
    check_states(&[("master", Event::CopiesBelow { blocks: 1 })], &["copies being re-made"]);
    check_states(&[("worker-2", Event::ProcessEnded)], &["loss not yet noticed"]);
    let lost = || Event::WorkerLost { worker: NodeName::worker(2), epoch: 1 };
    check_states(&[("worker-2", Event::ProcessEnded), ("master", lost())], &["fencing"]);
    let fenced = Event::Fenced { worker: NodeName::worker(2), epoch: 1 };
    check_states(&[("master", lost()), ("sink", fenced)], &["idle"]);
    let again = Event::TaskLaunched { task: task(0, 0), worker: NodeName::worker(2), again: true };
    check_states(&[("master", again), ("worker-2", started(0))], &["recovery under way"]);
    let leaving = || Event::WorkerLeaving { worker: NodeName::worker(2), epoch: 1 };
    check_states(&[("master", leaving())], &["worker leaving"]);
    let left = Event::WorkerLeft { worker: NodeName::worker(2), epoch: 1 };
    check_states(&[("master", leaving()), ("master", left)], &["idle"]);
    assert_eq!(State::ALL.len(), 14);
}

#[test]
fn a_fault_strikes_what_operators_were_doing() {
    let block = BlockName { origin: 1, epoch: 0, number: 0 };
    let taken = |node: &str| Event::PartitionTaken { partition: 0, node: NodeName::new(node), epoch: 1 };
    let lost = || Event::WorkerLost { worker: NodeName::worker(2), epoch: 1 };
    let fenced = Event::Fenced { worker: NodeName::worker(2), epoch: 1 };
    let ranges = || vec![RecordRange { client: 1, first: 0, last: 9 }];
    let share =
        |partition| Event::SourceSealed { interval: 0, partition, of: 2, ranges: ranges(), blocks: vec![block] };
    let result = |from: &str| Event::ResultVisible {
        output: "counts".into(),
        interval: 0,
        partition: 0,
        of: 1,
        from: NodeName::new(from),
        epoch: 1,
        rows: dstream_trace::Rows(b""[..].into()),
    };
    let held = Event::BlockHeld { block, ranges: ranges(), bytes: 1 };
    check_states(&[("master", taken("worker-2")), ("master", taken("replica-2"))], &["idle"]);
    check_states(&[("worker-1", held), ("worker-1", share(0))], &["interval being closed"]);
    check_states(&[("worker-1", share(0)), ("sink", result("worker-2"))], &["idle"]);
    let gone = vec![("master", taken("worker-2")), ("master", lost()), ("sink", fenced)];
    check_states(&gone, &["partition without its node"]);
    let heir = [gone, vec![("master", taken("standby-1"))]].concat();
    check_states(&heir, &["recovery under way"]);
    check_states(&[heir.clone(), vec![("sink", result("worker-2"))]].concat(), &["recovery under way"]);
    check_states(&[heir, vec![("sink", result("standby-1"))]].concat(), &["idle"]);
    let saved = Event::StateSaved { through: 0, stage: 1, partition: 0, bytes: 1 };
    let saving = vec![("master", taken("worker-2")), ("worker-2", saved)];
    check_states(&saving, &["checkpoint being written"]);
    check_states(&[saving, vec![("master", Event::CheckpointComplete { through: 0 })]].concat(), &["idle"]);
}

#[test]
fn heirs_are_struck_where_every_engine_has_them() {
    let struck = |engines: &[&str]| -> BTreeSet<String> {
        let mut context = context();
        let heirs: crate::context::Heirs = std::sync::Arc::new(|_, _| vec![NodeName::new("standby-1")]);
        let plain = context.engines[0].clone();
        context.engines.push(EngineDeclaration { name: "backup".into(), heirs, ..plain });
        let engines: Vec<String> = engines.iter().map(|name| (*name).to_owned()).collect();
        let plans = (0..30).map(|seed| draw(seed, &engines, &Template::default(), Path::new("s"), &context).unwrap());
        let faults: Vec<_> = plans.flat_map(|plan| plan.faults).collect();
        faults.iter().map(|fault| fault.kind.first_node().as_str().split('-').next().unwrap_or("").to_owned()).collect()
    };
    assert!(struck(&["backup"]).contains("standby"));
    assert!(!struck(&["any"]).contains("standby"));
    assert!(!struck(&["any", "backup"]).contains("standby"));
}

#[test]
fn a_checkpoint_is_being_written_from_the_moment_it_is_due_until_it_is_complete() {
    let done = |interval| ("master", Event::IntervalDone { interval });
    let saved = ("worker-2", Event::StateSaved { through: 1, stage: 1, partition: 0, bytes: 1 });
    let complete = ("master", Event::CheckpointComplete { through: 1 });
    let written: &[&str] = &["checkpoint being written"];
    check_states_between(&[done(0), done(1)], std::slice::from_ref(&saved), written);
    check_states_between(&[done(1), done(0)], std::slice::from_ref(&complete), written);
    check_states_between(&[done(0), done(1), saved.clone()], &[], written);
    check_states_between(&[done(0)], std::slice::from_ref(&saved), &["idle"]);
    check_states_between(&[done(1)], std::slice::from_ref(&saved), &["idle"]);
    check_states_between(&[done(0), done(1), saved, complete], &[], &["idle"]);
    check_states_between(&[done(0), done(1)], &[], &["idle"]);
}
