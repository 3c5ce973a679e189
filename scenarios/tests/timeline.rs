//! The fault timeline on a world that only writes down what it is asked: order, overlaps, drain, interruption.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_cluster::{Costs, JobSpec};
use dstream_host::shape::StoreTrouble;
use dstream_host::{NodeSpec, World, WorldError};
use dstream_scenarios::plan::{ClusterPlan, Expectation, FaultKind, FaultPlan, Link, Plan, SourcePlan};
use dstream_scenarios::timeline::{Played, Times, play};
use dstream_trace::{Event, Moment, NodeName, RecordRange, Rows, SharedTrace};
use std::ops::ControlFlow;
use std::time::Duration;

/// Writes calls down, and what nodes are to say into the log when their time comes.
struct Script {
    now: Moment,
    calls: Vec<String>,
    trace: SharedTrace,
    /// Sorted by time, the earliest last.
    events: Vec<(Moment, NodeName, Event)>,
}

impl Script {
    fn new(mut events: Vec<(u64, &str, Event)>) -> Script {
        events.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
        let event = |(at, node, event)| (Moment::from_millis(at), NodeName::new(node), event);
        let events = events.into_iter().map(event).collect();
        Script { now: Moment::ZERO, calls: Vec::new(), trace: SharedTrace::new(), events }
    }

    fn call(&mut self, what: String) -> Result<(), WorldError> {
        self.calls.push(format!("{} {what}", self.now.0 / 1_000_000));
        Ok(())
    }
}

impl World for Script {
    fn start(&mut self, _node: NodeSpec) -> Result<(), WorldError> {
        Ok(())
    }
    fn enrol(&mut self, _node: NodeSpec) -> Result<(), WorldError> {
        Ok(())
    }
    fn runs(&self, node: &NodeName) -> bool {
        !self.trace.lock().lines().iter().any(|line| line.node == *node && line.event == Event::NodeEnded)
    }
    fn leave(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("leave {node}"))
    }
    fn now(&self) -> Moment {
        self.now
    }
    fn run_until(&mut self, until: Moment) -> Result<(), WorldError> {
        while self.events.last().is_some_and(|(at, _, _)| *at <= until) {
            let (at, node, event) = self.events.pop().unwrap();
            self.trace.push(at, node, event);
        }
        self.now = until;
        Ok(())
    }
    fn crash(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("crash {node}"))
    }
    fn power_loss(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("power-loss {node}"))
    }
    fn restart(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("restart {node}"))
    }
    fn pause(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("pause {node}"))
    }
    fn resume(&mut self, node: &NodeName) -> Result<(), WorldError> {
        self.call(format!("resume {node}"))
    }
    fn cut(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        self.call(format!("cut {from} {to}"))
    }
    fn heal(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError> {
        self.call(format!("heal {from} {to}"))
    }
    fn hold(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        self.call(format!("hold {one} {other}"))
    }
    fn release(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError> {
        self.call(format!("release {one} {other}"))
    }
    fn delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) -> Result<(), WorldError> {
        self.call(format!("delay {one} {other} {}", by.as_millis()))
    }
    fn slow_nic(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError> {
        self.call(format!("slow-nic {node} {factor}"))
    }
    fn slow_cpu(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError> {
        self.call(format!("slow {node} {factor}"))
    }
    fn trouble_store(&mut self, node: &NodeName, trouble: StoreTrouble) -> Result<(), WorldError> {
        let StoreTrouble { is_full, is_failing, is_held, late } = trouble;
        let on = [(is_full, "full"), (is_failing, "failing"), (is_held, "held")];
        let on: Vec<&str> = on.into_iter().filter(|(is_on, _)| *is_on).map(|(_, word)| word).collect();
        self.call(format!("store of {node} [{}] {}", on.join(" "), late.as_millis()))
    }
    fn trace(&self) -> SharedTrace {
        self.trace.clone()
    }
}

fn plan(faults: Vec<(u64, Option<u64>, FaultKind)>) -> Plan {
    let link = Link { latency: Duration::from_millis(1), bits_per_second: 1_000_000_000 };
    let costs = Costs {
        map_ns_per_byte: 1.0,
        single_record_factor: 1.0,
        merge_ns_per_row: 1.0,
        codec_ns_per_byte: 1.0,
        task_ns: 1.0,
        master_task_ns: 1.0,
        message_ns: 1.0,
        checkpoint_ns_per_byte: 1.0,
    };
    let fault = |(number, (at, lasts, kind)): (u32, (u64, Option<u64>, FaultKind))| FaultPlan {
        number,
        kind,
        at: Duration::from_millis(at),
        lasts: lasts.map(Duration::from_millis),
    };
    Plan {
        title: "t".into(),
        about: String::new(),
        seed: 0,
        duration: Duration::from_secs(10),
        warmup: Duration::from_secs(1),
        slo: None,
        compare: "equal-workers".into(),
        interval: Duration::from_secs(1),
        scale: 1,
        cluster: ClusterPlan {
            workers: 3,
            heirs: Vec::new(),
            cores: 1,
            clients: 1,
            partitions: 2,
            link,
            store: link,
            store_address: None,
            heartbeat: Duration::from_millis(100),
            failure_timeout: Duration::from_millis(500),
            costs,
            compute: Default::default(),
        },
        job: JobSpec { name: "word-count".into(), params: Default::default(), interval: Duration::from_secs(1) },
        source: SourcePlan::Generate { rate_per_s: 10.0, record_bytes: 100, keys: 10, skew: 1.0, needle: 0.0 },
        engines: Vec::new(),
        faults: (0u32..).zip(faults).map(fault).collect(),
        expect: Vec::new(),
    }
}

/// The load runs from 1 s to 12 s, the warm-up ends at 2 s.
fn times() -> Times {
    Times {
        origin: Moment::from_millis(1000),
        warmup_end: Moment::from_millis(2000),
        load_end: Moment::from_millis(12_000),
        settle: None,
        outputs: vec![("counts".into(), 1)],
    }
}

fn worker(number: u32) -> NodeName {
    NodeName::worker(number)
}

fn range(first: u64, last: u64) -> RecordRange {
    RecordRange { client: 1, first, last }
}

fn result(interval: u64, partition: u32) -> Event {
    let (output, from, rows) = ("counts".to_owned(), worker(1), Rows(b""[..].into()));
    Event::ResultVisible { output, interval, partition, of: 2, from, epoch: 1, rows }
}

/// A run in which interval `i` is sealed at its end and visible 200 ms later; the client is done at 11.9 s.
fn calm(intervals: u64) -> Vec<(u64, &'static str, Event)> {
    let mut events = vec![(11_900, "client-1", Event::ClientDone { records: 100 })];
    for interval in 0..intervals {
        let end = 2000 + interval * 1000;
        let ranges = if interval < 10 { vec![range(interval * 10, interval * 10 + 9)] } else { Vec::new() };
        events.extend(ranges.iter().map(|range| (end - 50, "client-1", Event::RecordsAcked { range: *range })));
        events.push((end, "master", Event::IntervalSealed { interval, ranges, blocks: Vec::new() }));
        events.extend((0..2).map(|partition| (end + 200, "sink", result(interval, partition))));
    }
    events
}

fn run(world: &mut Script, plan: &Plan) -> Played {
    play(world, plan, &times(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn check_calls(faults: Vec<(u64, Option<u64>, FaultKind)>, expected: &[&str]) {
    let mut world = Script::new(calm(40));
    run(&mut world, &plan(faults));
    assert_eq!(world.calls, expected);
}

#[test]
fn faults_are_applied_and_ended_at_their_times_from_the_warm_ups_end() {
    let partition = |one_way| FaultKind::Partition {
        between: vec![worker(1)],
        and: vec![worker(2), NodeName::new("master")],
        one_way,
    };
    check_calls(
        vec![
            (1000, Some(2000), FaultKind::Crash { node: worker(3) }),
            (1500, None, FaultKind::Crash { node: worker(2) }),
            (3000, Some(250), FaultKind::Pause { node: worker(3) }),
            (4000, Some(100), partition(false)),
            (5000, Some(100), partition(true)),
        ],
        &[
            "3000 crash worker-3",
            "3500 crash worker-2",
            "5000 restart worker-3",
            "5000 pause worker-3",
            "5250 resume worker-3",
            "6000 cut worker-1 worker-2",
            "6000 cut worker-2 worker-1",
            "6000 cut worker-1 master",
            "6000 cut master worker-1",
            "6100 heal worker-1 worker-2",
            "6100 heal worker-2 worker-1",
            "6100 heal worker-1 master",
            "6100 heal master worker-1",
            "7000 cut worker-1 worker-2",
            "7000 cut worker-1 master",
            "7100 heal worker-1 worker-2",
            "7100 heal worker-1 master",
        ],
    );
}

#[test]
fn the_end_of_one_fault_leaves_what_another_still_holds() {
    let slow = |factor| FaultKind::SlowCpu { node: worker(1), factor };
    let cut = |and: &[u32]| FaultKind::Partition {
        between: vec![worker(1)],
        and: and.iter().map(|number| worker(*number)).collect(),
        one_way: true,
    };
    check_calls(
        vec![
            (1000, Some(2000), slow(8.0)),
            (2000, Some(2000), slow(2.0)),
            (5000, Some(1000), cut(&[2, 3])),
            (5500, Some(1000), cut(&[2])),
        ],
        &[
            "3000 slow worker-1 8",
            "4000 slow worker-1 16",
            "5000 slow worker-1 2",
            "6000 slow worker-1 1",
            "7000 cut worker-1 worker-2",
            "7000 cut worker-1 worker-3",
            "7500 cut worker-1 worker-2",
            "8000 heal worker-1 worker-3",
            "8500 heal worker-1 worker-2",
        ],
    );
}

#[test]
fn holds_stay_held_delays_add_up_and_power_comes_back() {
    let (here, there) = (vec![worker(1)], vec![NodeName::new("master")]);
    let outage = |turned: bool| match turned {
        false => FaultKind::Outage { between: here.clone(), and: there.clone() },
        true => FaultKind::Outage { between: there.clone(), and: vec![worker(1), worker(2)] },
    };
    let delay =
        |millis| FaultKind::Delay { between: here.clone(), and: there.clone(), by: Duration::from_millis(millis) };
    let slow = |factor| FaultKind::SlowNic { node: worker(2), factor };
    check_calls(
        vec![
            (1000, Some(500), FaultKind::PowerLoss { node: worker(3) }),
            (2000, Some(1000), outage(false)),
            (2500, Some(1000), outage(true)),
            (4000, Some(1000), delay(30)),
            (4500, Some(1000), delay(50)),
            (6000, Some(1000), slow(3.0)),
            (6500, Some(1000), slow(2.0)),
        ],
        &[
            "3000 power-loss worker-3",
            "3500 restart worker-3",
            "4000 hold worker-1 master",
            "4500 hold master worker-1",
            "4500 hold master worker-2",
            "5500 release master worker-1",
            "5500 release master worker-2",
            "6000 delay worker-1 master 30",
            "6500 delay worker-1 master 80",
            "7000 delay worker-1 master 50",
            "7500 delay worker-1 master 0",
            "8000 slow-nic worker-2 3",
            "8500 slow-nic worker-2 6",
            "9000 slow-nic worker-2 2",
            "9500 slow-nic worker-2 1",
        ],
    );
}

#[test]
fn a_worker_is_started_when_it_joins_and_asked_when_it_is_to_leave() {
    check_calls(
        vec![(1000, None, FaultKind::Join { node: worker(3) }), (2000, None, FaultKind::Drain { node: worker(2) })],
        &["3000 restart worker-3", "4000 leave worker-2"],
    );
}

#[test]
fn a_fault_of_a_node_that_has_left_strikes_nobody_and_has_no_end() {
    let faults = vec![
        (1000, None, FaultKind::Drain { node: worker(2) }),
        (1500, Some(200), FaultKind::Pause { node: worker(2) }),
        (2500, Some(1000), FaultKind::Crash { node: worker(2) }),
    ];
    let mut world = Script::new(vec![(4000, "worker-2", Event::NodeEnded)]);
    play(&mut world, &plan(faults), &times(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(world.calls, ["3000 leave worker-2", "3500 pause worker-2", "3700 resume worker-2"]);
}

#[test]
fn faults_of_the_store_are_told_to_each_node_and_add_up() {
    let (store, master) = (NodeName::new("store"), NodeName::new("master"));
    let outage = FaultKind::Outage { between: vec![master.clone()], and: vec![store.clone(), worker(1)] };
    let delay = FaultKind::Delay { between: vec![store.clone()], and: vec![master], by: Duration::from_millis(40) };
    check_calls(
        vec![
            (1000, Some(1000), outage),
            (1500, Some(1000), delay),
            (4000, Some(1000), FaultKind::DiskFull { node: store.clone() }),
            (4500, None, FaultKind::DiskError { node: store }),
        ],
        &[
            "3000 store of master [held] 0",
            "3000 hold master worker-1",
            "3500 store of master [held] 40",
            "4000 store of master [] 40",
            "4000 release master worker-1",
            "4500 store of master [] 0",
            "6000 store of worker-1 [full] 0",
            "6000 store of worker-2 [full] 0",
            "6000 store of worker-3 [full] 0",
            "6000 store of master [full] 0",
            "6000 store of client-1 [full] 0",
            "6500 store of worker-1 [full failing] 0",
            "6500 store of worker-2 [full failing] 0",
            "6500 store of worker-3 [full failing] 0",
            "6500 store of master [full failing] 0",
            "6500 store of client-1 [full failing] 0",
            "7000 store of worker-1 [failing] 0",
            "7000 store of worker-2 [failing] 0",
            "7000 store of worker-3 [failing] 0",
            "7000 store of master [failing] 0",
            "7000 store of client-1 [failing] 0",
        ],
    );
}

#[test]
fn the_log_names_each_fault_before_its_effect() {
    let mut world = Script::new(calm(40));
    run(&mut world, &plan(vec![(1000, Some(2000), FaultKind::Crash { node: worker(3) })]));
    let log = world.trace();
    let log = log.lock();
    let driver: Vec<String> = log
        .lines()
        .iter()
        .filter(|line| line.node.as_str() == "driver")
        .map(|line| format!("{} {:?}", line.at.0 / 1_000_000, line.event))
        .collect();
    let expected = ["3000 FaultApplied { fault: 0, node: worker-3 }", "5000 FaultEnded { fault: 0, node: worker-3 }"];
    assert_eq!(driver, expected);
}

/// When the run ends, and whether it drained, without a fault.
fn check_end(events: Vec<(u64, &'static str, Event)>, expected: (u64, bool)) {
    let mut world = Script::new(events);
    let played = run(&mut world, &plan(Vec::new()));
    assert_eq!((played.end.0 / 1_000_000, played.drained), expected);
}

#[test]
fn the_drain_ends_as_soon_as_everything_is_out() {
    check_end(calm(10), (12_000, true));
    let late = |event: fn(&Event) -> bool, at: u64| {
        let mut events = calm(10);
        events.iter_mut().filter(|(_, _, other)| event(other)).for_each(|(when, _, _)| *when = at);
        events
    };
    let last_result = |event: &Event| matches!(event, Event::ResultVisible { interval: 9, partition: 1, .. });
    check_end(late(last_result, 13_600), (13_750, true));
    check_end(late(|event| matches!(event, Event::ClientDone { .. }), 12_250), (12_250, true));
    check_end(late(|event| matches!(event, Event::IntervalSealed { interval: 4, .. }), 14_001), (14_250, true));
    check_end(late(last_result, 42_001), (42_000, false));
}

#[test]
fn the_drain_waits_for_copies_and_not_for_what_was_given_up_or_what_nobody_can_give_up() {
    let mut events = calm(10);
    events.push((11_950, "master", Event::CopiesBelow { blocks: 2 }));
    events.push((13_000, "master", Event::CopiesBelow { blocks: 0 }));
    check_end(events, (13_000, true));
    let mut events = calm(10);
    events.push((11_950, "client-1", Event::RecordsAcked { range: range(100, 109) }));
    check_end(events.clone(), (42_000, false));
    let dead = ["client-1", "master"].map(|who| (12_500, who, Event::ProcessEnded));
    check_end(events.iter().cloned().chain(dead).collect(), (12_500, true));
    let block = dstream_trace::BlockName { origin: 1, epoch: 1, number: 1 };
    events.push((12_500, "master", Event::BlockLost { block, ranges: vec![range(100, 109)], interval: None }));
    check_end(events, (12_500, true));
}

/// The calm run by long-lived operators: each interval is sealed in two shares, and an heir says the first one again.
fn calm_by_operators(intervals: u64) -> Vec<(u64, &'static str, Event)> {
    let mut events = calm(intervals);
    events.push((900, "master", Event::PartitionTaken { partition: 0, node: worker(1), epoch: 1 }));
    for (at, _, event) in std::mem::take(&mut events) {
        let Event::IntervalSealed { interval, ranges, .. } = event else {
            events.push((at, if matches!(event, Event::ResultVisible { .. }) { "sink" } else { "client-1" }, event));
            continue;
        };
        let share = |partition: u32, ranges: &[RecordRange]| {
            let (ranges, blocks) = (ranges.to_vec(), Vec::new());
            Event::SourceSealed { interval, partition, of: 2, ranges, blocks }
        };
        events.push((at, "worker-1", share(0, &ranges)));
        events.push((at, "replica-1", share(0, &ranges)));
        events.push((at, "worker-2", share(1, &[])));
    }
    events
}

#[test]
fn an_interval_of_shares_is_awaited_until_the_last_source_has_its_own() {
    check_end(calm_by_operators(10), (12_000, true));
    let mut late = calm_by_operators(10);
    let share = |event: &Event| matches!(event, Event::SourceSealed { interval: 9, partition: 1, .. });
    late.iter_mut().filter(|(_, _, event)| share(event)).for_each(|(when, _, _)| *when = 14_001);
    check_end(late.clone(), (14_250, true));
    late.retain(|(_, _, event)| !share(event));
    check_end(late, (42_000, false));
}

#[test]
fn a_place_that_stays_empty_is_not_waited_for_to_the_end() {
    let missing = |mut events: Vec<(u64, &'static str, Event)>| {
        events.push((8000, "master", Event::CopiesBelow { blocks: 2 }));
        events.push((11_950, "master", Event::CopiesBelow { blocks: 1 }));
        events
    };
    check_end(missing(calm_by_operators(10)), (22_000, true));
    check_end(missing(calm(10)), (42_000, true));
}

#[test]
fn after_the_last_fault_five_more_intervals_are_seen() {
    // Applied at 11.5 s, in interval 10; interval 15 ends at 17 s and is visible at 17.2 s.
    let mut world = Script::new(calm(40));
    let played = run(&mut world, &plan(vec![(9500, None, FaultKind::Crash { node: worker(3) })]));
    assert_eq!((played.end, played.drained), (Moment::from_millis(17_250), true));
    // Where they do not come they are waited for as long as may be; everything that was sent is out all the same.
    let mut world = Script::new(calm(14));
    let played = run(&mut world, &plan(vec![(9500, None, FaultKind::Crash { node: worker(3) })]));
    assert_eq!((played.end, played.drained), (Moment::from_millis(42_000), true));
}

#[test]
fn where_time_is_real_a_drained_run_is_not_kept_for_long_unless_a_catch_up_is_expected() {
    let check = |expect: Vec<Expectation>, end: u64| {
        let mut world = Script::new(calm(14));
        let plan = Plan { expect, ..plan(vec![(9500, None, FaultKind::Crash { node: worker(3) })]) };
        let times = Times { settle: Some(Duration::from_secs(10)), ..times() };
        let played = play(&mut world, &plan, &times, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((played.end, played.drained), (Moment::from_millis(end), true));
    };
    check(vec![Expectation::OutputExact], 22_000);
    check(vec![Expectation::CatchUp(Duration::from_secs(5))], 42_000);
}

#[test]
fn a_run_stops_where_it_is_asked_to() {
    let mut world = Script::new(calm(40));
    let plan = plan(vec![(1000, None, FaultKind::Crash { node: worker(3) })]);
    let stop =
        |at: Moment| if at >= Moment::from_millis(2500) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut progress = stop;
    let played = play(&mut world, &plan, &times(), &mut progress).unwrap();
    assert_eq!(played, Played { end: Moment::from_millis(2500), drained: false, interrupted: true });
    assert!(world.calls.is_empty());
}
