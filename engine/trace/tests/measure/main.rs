//! Each definition of measuring, on runs written by hand: what the fault did, what the run cost, how late results were.
//!
//! The calm run: two workers, two partitions, intervals of one second from 1 s on, ten records each, due every 100 ms;
//! results 200 ms after an interval's end; the warm-up is interval 0. Four workers are members, two
//! copies are promised.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod masters;
mod operators;
mod tables;
mod twins;
mod waiting;

use dstream_trace::measure::{Effect, Facts, FaultFacts, OutputFacts};
use dstream_trace::result::FaultResult;
use dstream_trace::{
    BlockName, Event, MeasureInput, Measured, Moment, NodeName, Purpose, RecordRange, Rows, TaskName, TraceLine,
    measure,
};
use std::time::Duration;

struct Run {
    events: Vec<(u64, NodeName, Event)>,
    input: MeasureInput,
}

fn closed(interval: u64) -> u64 {
    2000 + 1000 * interval
}

fn task(interval: u64, stage: u32, partition: u32, attempt: u32) -> TaskName {
    TaskName { interval, stage, partition, attempt }
}

fn node(name: &str) -> NodeName {
    NodeName::new(name)
}

impl Run {
    /// Interval i's results come `delays[i]` ms after its end; partition p is computed by worker p + 1.
    fn new(delays: &[u64]) -> Run {
        let end = closed(delays.len() as u64) + 5000;
        let mut run = Run { events: Vec::new(), input: input(end) };
        for worker in 1..=4 {
            run.join(500, worker);
        }
        for (interval, delay) in (0u64..).zip(delays) {
            let at = closed(interval);
            let range = RecordRange { client: 1, first: interval * 10, last: interval * 10 + 9 };
            let first_scheduled = Moment::from_millis(at - 1000);
            let last_scheduled = Moment::from_millis(at - 100);
            run.add(at - 50, "client-1", Event::RecordsSent { range, first_scheduled, last_scheduled });
            run.add(at - 20, "client-1", Event::RecordsAcked { range });
            run.add(at, "master", Event::IntervalSealed { interval, ranges: vec![range], blocks: Vec::new() });
            for partition in 0..2 {
                let worker = partition + 1;
                run.add_task(at + 10, at + delay - 20, task(interval, 1, partition, 0), worker, false);
                run.add_result(at + delay, interval, partition, worker);
            }
        }
        run.add(end - 5000, "client-1", Event::ClientDone { records: 10 * delays.len() as u64 });
        run
    }

    fn join(&mut self, at: u64, worker: u32) -> &mut Run {
        self.add(at, "master", Event::WorkerJoined { worker: NodeName::worker(worker), epoch: u64::from(worker) })
    }

    fn add(&mut self, at: u64, name: &str, event: Event) -> &mut Run {
        self.events.push((at, node(name), event));
        self
    }

    fn add_task(&mut self, from: u64, to: u64, task: TaskName, worker: u32, again: bool) -> &mut Run {
        let worker = NodeName::worker(worker);
        self.add(from, "master", Event::TaskLaunched { task, worker: worker.clone(), again });
        self.add(from, worker.as_str(), Event::TaskStarted { task });
        self.add(to, worker.as_str(), Event::TaskFinished { task, cpu_ns: 50_000_000, records: 10 })
    }

    fn add_result(&mut self, at: u64, interval: u64, partition: u32, worker: u32) -> &mut Run {
        let (output, from, rows) = ("counts".to_owned(), NodeName::worker(worker), Rows(b"rows"[..].into()));
        let epoch = u64::from(worker);
        self.add(at, "sink", Event::ResultVisible { output, interval, partition, of: 2, from, epoch, rows })
    }

    /// A fault that takes effect at once.
    fn fault(&mut self, at: u64, until: Option<u64>, fault: &str, nodes: &[&str], effect: Effect) -> &mut Run {
        let shown = match effect {
            Effect::WorkStretched => Event::WorkStretched { factor: 8.0 },
            Effect::HeldByPause => Event::HeldByPause,
            Effect::MessageCut | Effect::MessageCutOneWay => Event::MessageCut { to: node("master") },
            _ => Event::ProcessEnded,
        };
        self.fault_without_effect(at, until, fault, nodes, effect).add(at, nodes[0], shown)
    }

    fn fault_without_effect(
        &mut self,
        at: u64,
        until: Option<u64>,
        fault: &str,
        nodes: &[&str],
        effect: Effect,
    ) -> &mut Run {
        let number = self.input.faults.len() as u32;
        let nodes: Vec<NodeName> = nodes.iter().map(|name| node(name)).collect();
        let first = nodes[0].clone();
        self.add(at, "driver", Event::FaultApplied { fault: number, node: first.clone() });
        if let Some(until) = until {
            self.add(until, "driver", Event::FaultEnded { fault: number, node: first });
        }
        let due = Moment::from_millis(at);
        let between = matches!(effect, Effect::MessageCut | Effect::MessageCutOneWay);
        let others = if between { vec![node("master")] } else { Vec::new() };
        let fault = fault.to_owned();
        self.input.faults.push(FaultFacts { number, fault, nodes, others, effect, due });
        self
    }

    /// A worker dies for good; declared lost after 500 ms, its copies are made again 800 ms after its death.
    fn crash(&mut self, at: u64, worker: u32) -> &mut Run {
        let name = NodeName::worker(worker);
        self.fault(at, None, "crash", &[name.as_str()], Effect::ProcessEnded);
        self.add(at + 500, "master", Event::WorkerLost { worker: name, epoch: u64::from(worker) });
        self.add(at + 500, "master", Event::CopiesBelow { blocks: 4 });
        self.add(at + 800, "master", Event::CopiesBelow { blocks: 0 })
    }

    fn lines(&self) -> Vec<TraceLine> {
        let mut events = self.events.clone();
        events.sort_by_key(|(at, _, _)| *at);
        (0u64..)
            .zip(events)
            .map(|(sequence, (at, node, event))| TraceLine { at: Moment::from_millis(at), sequence, node, event })
            .collect()
    }

    fn measured(&self) -> Measured {
        let lines = self.lines();
        measure(&lines, &Facts::read(&lines), &self.input)
    }
}

fn input(end: u64) -> MeasureInput {
    MeasureInput {
        origin: Moment::from_millis(1000),
        warmup_end: Moment::from_millis(2000),
        load_end: Moment::from_millis(end - 5000),
        end: Moment::from_millis(end),
        interval: Duration::from_secs(1),
        slo: None,
        slo_margin: Duration::from_millis(1),
        failure_timeout: Duration::from_millis(500),
        outputs: vec![OutputFacts { name: "counts".into(), stage: 1, every: 1 }],
        faults: Vec::new(),
        workers: 2,
        heirs: 0,
        cores: 2,
        copies: 2,
        nodes: 3,
        bits_per_second: 8_000_000,
        bytes_per_record: 100.0,
        harness: vec![node("sink")],
    }
}

/// `detect restore catch-up drain redundancy gap` in milliseconds; `-` was not reached.
fn check_faults(run: &Run, expected: &[&str]) {
    let text = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.0}", value * 1e3));
    let row = |fault: &FaultResult| {
        [fault.detect_s, fault.restore_s, fault.catch_up_s, fault.drain_s, fault.redundancy_s, fault.longest_gap_s]
            .map(text)
            .join(" ")
    };
    let seen: Vec<String> = run.measured().faults.iter().map(row).collect();
    assert_eq!(seen, expected);
}

#[test]
fn latency_runs_from_the_scheduled_send_to_the_intervals_last_result_after_the_warm_up() {
    let measured = Run::new(&[900, 200, 200, 400]).measured();
    // Intervals 1 and 2: 1200 ms down to 300 ms in steps of 100; interval 3: 1400 ms down to 500.
    let latency = measured.latency;
    assert_eq!(latency.max, Some(1400.0));
    let close = |seen: Option<f64>, expected: f64| (seen.unwrap() / expected - 1.0).abs() < 0.002;
    assert!(close(latency.p50, 800.0) && close(latency.p90, 1200.0), "{latency:?}");
    assert_eq!(latency.p999, None, "30 samples are too few");
    let seconds: Vec<(u64, u64)> = measured.seconds.iter().map(|row| (row.second, row.records)).collect();
    assert_eq!(seconds, [(1, 10), (2, 10), (3, 10)], "by when results were visible, from the warm-up's end");
    assert_eq!(measured.seconds[2].latency.max, Some(1400.0));
}

#[test]
fn latency_before_faults_takes_results_that_were_visible_before_the_first() {
    let mut run = Run::new(&[200, 200, 200, 700, 200]);
    run.crash(closed(3) + 300, 2);
    let measured = run.measured();
    assert_eq!((measured.latency_before_faults.max, measured.latency.max), (Some(1200.0), Some(1700.0)));
}

#[test]
fn the_bound_is_one_and_a_half_times_the_largest_calm_delay_after_the_warm_up_and_a_tick() {
    let mut run = Run::new(&[900, 200, 300, 200, 2000, 200]);
    run.crash(closed(3) + 900, 2);
    assert_eq!(run.measured().slo, Some(Duration::from_millis(451)));
    run.input.slo = Some(Duration::from_millis(250));
    assert_eq!(run.measured().slo, Some(Duration::from_millis(250)));
}

#[test]
fn a_crash_is_detected_restored_caught_up_and_drained() {
    // Struck at 5.5 s, in interval 3 (4..5 s is 2's, 5..6 s is 4's): intervals 3 and 4 are late.
    let mut run = Run::new(&[200, 200, 200, 200, 1500, 900, 200, 200, 200, 200, 200, 200]);
    run.crash(5500, 2);
    // detect 500; worker 2 owned partition 1, whose interval 4 (open at 5.5 s, ends 6 s) was visible at 7.5 s;
    // interval 6 (ends 8 s) is the first of five on time; interval 5 (ends 7 s) was the last late one, at 7.9 s.
    check_faults(&run, &["500 2000 2500 2400 800 2300"]);
}

#[test]
fn where_results_come_every_second_interval_only_those_are_awaited() {
    let mut run = Run::new(&[200, 200, 200, 200, 200, 1500, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]);
    run.input.outputs[0].every = 2;
    run.events.retain(|(_, _, event)| match event {
        Event::ResultVisible { interval, .. } => interval % 2 == 1,
        _ => true,
    });
    run.crash(5500, 2);
    let measured = run.measured();
    let rows: Vec<(bool, bool, bool)> =
        measured.intervals[2..4].iter().map(|row| (row.is_due, row.done.is_some(), row.covered.is_some())).collect();
    assert_eq!(rows, [(false, false, true), (true, true, true)]);
    assert_eq!(measured.latency_before_faults.max, Some(2200.0), "interval 2 is in the result of interval 3");
    // Interval 5 covers interval 4, which was open; its result comes at 8.5 s. Of those that are due, 7 to 15 are on time.
    check_faults(&run, &["500 3000 3500 3000 800 3300"]);
    let tables = [measured.intervals_csv(&run.input), measured.run_csv(&run.input, &[])].concat();
    for part in [
        "\n2,2.000000,,,,10,false,2.200000,0.200000\n",
        "\n3,3.000000,3.200000,0.200000,0.190000,10,true,1.200000,0.200000\n",
        "slide_s,2.000000\n",
    ] {
        assert!(tables.contains(part), "no `{part}` in {tables}");
    }
    // An engine may say of an interval between that it is through: that is no result, so no gap ends with it.
    let through = run.events.iter().filter(|(_, _, event)| matches!(event, Event::ResultVisible { interval: 5, .. }));
    let mut through: Vec<_> = through.cloned().collect();
    for (at, _, event) in &mut through {
        *at = 7000;
        if let Event::ResultVisible { interval, .. } = event {
            *interval = 4;
        }
    }
    run.events.extend(through);
    check_faults(&run, &["500 3000 3500 3000 800 3300"]);
}

#[test]
fn records_that_were_held_back_drain_with_the_interval_they_are_in() {
    // A record due in interval 4 that slips into 5 is in time with 5; one that slips into 6 is not, though 6 is.
    for (interval, expected) in [(5, "500 700 500 0 800 1000"), (6, "500 700 500 2700 800 1000")] {
        let mut run = Run::new(&[200; 12]);
        run.crash(5500, 2);
        let range = RecordRange { client: 2, first: 0, last: 0 };
        let due = Moment::from_millis(5600);
        run.add(5600, "client-2", Event::RecordsSent { range, first_scheduled: due, last_scheduled: due });
        run.add(5700, "client-2", Event::RecordsAcked { range }).add(
            5700,
            "client-2",
            Event::ClientDone { records: 1 },
        );
        for (_, _, event) in &mut run.events {
            if let Event::IntervalSealed { interval: sealed, ranges, .. } = event
                && *sealed == interval
            {
                ranges.push(range);
            }
        }
        check_faults(&run, &[expected]);
    }
}

#[test]
fn a_run_in_which_records_wait_to_the_end_never_drained() {
    // Struck at 5.5 s, caught up at 6 s. Client 2 has one record.
    let range = RecordRange { client: 2, first: 0, last: 0 };
    let send = |run: &mut Run, due: u64| {
        let scheduled = Moment::from_millis(due);
        run.add(due, "client-2", Event::RecordsSent { range, first_scheduled: scheduled, last_scheduled: scheduled });
    };
    let sent = |run: &mut Run| send(run, 5600);
    let sent_later = |run: &mut Run| send(run, 6000);
    let acked = |run: &mut Run| {
        run.add(7000, "client-2", Event::RecordsAcked { range });
    };
    let finished = |run: &mut Run| {
        run.add(7000, "client-2", Event::ClientDone { records: 1 });
    };
    let given_up = |run: &mut Run| {
        let (block, ranges) = (BlockName { origin: 2, epoch: 2, number: 0 }, vec![range]);
        run.add(7000, "master", Event::BlockLost { block, ranges, interval: None });
    };
    let sealed = |run: &mut Run| {
        for (_, _, event) in &mut run.events {
            if let Event::IntervalSealed { interval: 4, ranges, .. } = event {
                ranges.push(range);
            }
        }
    };
    let cut = |run: &mut Run| {
        run.fault(5400, Some(5900), "partition", &["client-2"], Effect::MessageCut);
    };
    let cut_for_good = |run: &mut Run| {
        run.fault(5400, None, "partition", &["client-2"], Effect::MessageCut);
    };
    let check = |changes: &[&dyn Fn(&mut Run)], expected: Option<f64>| {
        let mut run = Run::new(&[200; 12]);
        run.crash(5500, 2);
        changes.iter().for_each(|change| change(&mut run));
        assert_eq!(run.measured().faults[0].drain_s, expected);
    };
    check(&[], Some(0.0));
    check(&[&sent, &sealed, &acked, &finished], Some(0.0));
    check(&[&sent, &acked, &finished], None);
    check(&[&sent, &sealed, &finished], None);
    // It goes on after this one, and never sends the next.
    check(&[&sent, &sealed, &acked], None);
    check(&[&sent, &given_up, &acked, &finished], Some(0.0));
    // What was due after the run had caught up is not this fault's.
    check(&[&sent_later], Some(0.0));
    check(&[&sent, &cut], None);
    check(&[&sent, &cut_for_good], Some(0.0));
}

#[test]
fn redundancy_takes_as_many_members_as_copies_or_as_many_as_there_ever_were() {
    let check = |copies: u32, change: fn(&mut Run), expected: Option<f64>| {
        let mut run = Run::new(&[200; 12]);
        run.input.copies = copies;
        run.crash(5500, 2);
        change(&mut run);
        assert_eq!(run.measured().faults[0].redundancy_s.map(|seconds| seconds * 1e3), expected, "{copies} copies");
    };
    let rejoin = |run: &mut Run| {
        run.join(8000, 2).add(8000, "master", Event::CopiesBelow { blocks: 7 });
        run.add(8400, "master", Event::CopiesBelow { blocks: 0 });
    };
    // Three of four members are left.
    check(3, |_| {}, Some(800.0));
    check(4, |_| {}, None);
    check(4, rejoin, Some(2900.0));
    // There never were five; four there were.
    check(5, |_| {}, None);
    check(5, rejoin, Some(2900.0));
}

#[test]
fn partitions_of_other_workers_do_not_delay_the_restoration() {
    let mut run = Run::new(&[200, 200, 200, 200, 1500, 200, 200, 200, 200, 200]);
    // Partition 1 of interval 4 came early, partition 0 late; the crashed worker had partition 1.
    let early = closed(4) + 300;
    for (at, _, event) in &mut run.events {
        if matches!(event, Event::ResultVisible { interval: 4, partition: 1, .. }) {
            *at = early;
        }
    }
    run.crash(5500, 2);
    check_faults(&run, &["500 800 1500 2000 800 1100"]);
}

#[test]
fn a_node_that_owned_nothing_is_restored_at_once() {
    let mut run = Run::new(&[200; 12]);
    run.crash(5500, 9);
    check_faults(&run, &["500 0 500 0 800 1000"]);
}

#[test]
fn what_was_not_reached_is_null() {
    let mut run = Run::new(&[200, 200, 200, 200, 1500, 1500, 1500]);
    run.crash(5500, 2);
    run.events.retain(|(at, _, event)| !matches!(event, Event::CopiesBelow { blocks: 0 } if *at > 5500));
    run.events.retain(|(_, _, event)| !matches!(event, Event::ResultVisible { interval: 4, partition: 1, .. }));
    // The run ends at 14 s, the last result came at 9.5 s.
    check_faults(&run, &["500 - - - - 4500"]);
}

#[test]
fn a_pause_below_the_failure_timeout_is_not_detected_and_loses_no_copy() {
    let mut run = Run::new(&[200, 200, 200, 200, 700, 200, 200, 200, 200, 200]);
    run.fault(5500, Some(5900), "pause", &["worker-2"], Effect::HeldByPause);
    check_faults(&run, &["- 1200 1500 1200 0 1500"]);
    // A loss long after the pause is not the pause's.
    run.add(7401, "master", Event::WorkerLost { worker: node("worker-2"), epoch: 2 });
    check_faults(&run, &["- 1200 1500 1200 0 1500"]);
    run.add(7400, "master", Event::WorkerLost { worker: node("worker-2"), epoch: 2 });
    check_faults(&run, &["1900 1200 1500 1200 - 1500"]);
}

#[test]
fn a_twin_beside_a_running_attempt_detects_a_straggler() {
    let mut run = Run::new(&[200, 200, 200, 200, 700, 200, 200, 200, 200, 200]);
    run.fault(5500, Some(8000), "slow-cpu", &["worker-2"], Effect::WorkStretched);
    // Worker 2 runs partition 1 of interval 4 from 6010 to 6680 ms.
    run.add_task(6690, 6700, task(4, 1, 1, 1), 1, true);
    check_faults(&run, &["- 1200 1500 1200 0 1500"]);
    run.events.retain(|(_, _, event)| !matches!(event, Event::TaskLaunched { task, .. } if task.attempt == 1));
    run.add_task(6400, 6700, task(4, 1, 1, 1), 1, false);
    check_faults(&run, &["900 1200 1500 1200 0 1500"]);
    // A worker that joins is no straggler, whatever a second attempt is launched for.
    run.input.faults[0].effect = Effect::Joined;
    run.add(5600, "master", Event::WorkerJoined { worker: node("worker-2"), epoch: 9 });
    check_faults(&run, &["- 1200 1500 1200 0 1500"]);
}

#[test]
fn an_earlier_fault_takes_the_later_ones_moments_only_if_it_strikes_before_five_intervals_are_on_time() {
    let delays = [200, 200, 200, 200, 900, 200, 200, 200, 200, 200, 900, 200, 200, 200, 200, 200, 200];
    // The first crash is caught up at 7 s (end of interval 5); the five (5..=9) are complete at 11.2 s.
    let mut apart = Run::new(&delays);
    apart.crash(5500, 2).crash(11_200, 1);
    check_faults(&apart, &["500 1400 1500 1400 800 1700", "500 1700 1800 1700 800 1700"]);
    let mut overlapping = Run::new(&delays);
    overlapping.crash(5500, 2).crash(11_199, 1);
    check_faults(&overlapping, &["500 7400 7500 7400 6499 1700", "500 1701 1801 1701 800 1700"]);
}

#[test]
fn a_fault_fires_only_by_its_own_effect_at_its_own_node_while_it_is_on() {
    let to = |name: &str| Event::MessageCut { to: node(name) };
    for (effect, at, from, event, expected) in [
        (Effect::ProcessEnded, 5500, "worker-2", Event::ProcessEnded, true),
        (Effect::ProcessEnded, 5500, "worker-1", Event::ProcessEnded, false),
        (Effect::HeldByPause, 6500, "worker-2", Event::HeldByPause, true),
        (Effect::HeldByPause, 6501, "worker-2", Event::HeldByPause, false),
        (Effect::HeldByPause, 5499, "worker-2", Event::HeldByPause, false),
        (Effect::WorkStretched, 6000, "worker-2", Event::WorkStretched { factor: 8.0 }, true),
        (Effect::WorkStretched, 6000, "worker-2", Event::HeldByPause, false),
        (Effect::MessageCut, 6000, "worker-2", to("master"), true),
        (Effect::MessageCut, 6000, "master", to("worker-2"), true),
        (Effect::MessageCut, 6000, "worker-2", to("worker-1"), false),
        (Effect::MessageCutOneWay, 6000, "worker-2", to("master"), true),
        (Effect::MessageCutOneWay, 6000, "master", to("worker-2"), false),
        (Effect::TransferStretched, 6000, "worker-2", Event::TransferStretched { factor: 8.0 }, true),
        (Effect::TransferStretched, 6000, "worker-2", Event::WorkStretched { factor: 8.0 }, false),
        (Effect::MessageHeld, 6000, "master", Event::MessageHeld { to: node("worker-2") }, true),
        (Effect::MessageHeld, 6000, "master", Event::MessageHeld { to: node("worker-1") }, false),
        (Effect::MessageDelayed, 6000, "worker-2", Event::MessageDelayed { to: node("master") }, true),
        (Effect::MessageDelayed, 6000, "worker-2", to("master"), false),
    ] {
        let mut run = Run::new(&[200; 12]);
        run.fault_without_effect(5500, Some(6500), "fault", &["worker-2"], effect);
        run.input.faults[0].others = vec![node("master")];
        run.add(at, from, event.clone());
        let fault = &run.measured().faults[0];
        assert_eq!(fault.fired, expected, "{effect:?} by {event:?} of {from} at {at}");
        // What had no effect has no moments.
        let moments = [fault.restore_s, fault.catch_up_s, fault.drain_s, fault.longest_gap_s];
        assert!(moments.iter().all(|moment| moment.is_some() == expected), "{fault:?}");
    }
}

#[test]
fn costs_and_load_begin_at_the_warm_ups_end_and_leave_the_harness_out_but_for_copies() {
    let mut run = Run::new(&[200; 4]);
    let frame = |purpose, bytes| Event::FrameSent { to: node("worker-1"), purpose, bytes };
    run.add(1999, "worker-2", frame(Purpose::Copy, 1)).add(3000, "sink", frame(Purpose::Control, 7));
    run.add(3000, "worker-2", frame(Purpose::Copy, 100)).add(3000, "worker-2", frame(Purpose::Recovery, 20));
    run.add(3000, "client-1", frame(Purpose::Input, 500)).add(3000, "worker-2", frame(Purpose::Shuffle, 80));
    run.add(3000, "sink", frame(Purpose::Copy, 40));
    let delivered = Event::FrameDelivered { from: node("client-1"), purpose: Purpose::Input, bytes: 2000 };
    run.add(3001, "worker-1", delivered).add(3000, "master", Event::CpuUsed { cpu_ns: 1_000_000_000 });
    run.add_task(3000, 3100, task(2, 1, 0, 1), 1, true);
    let measured = run.measured();
    let cost = measured.cost;
    // The run lasts from 2 s to 11 s on three nodes.
    assert_eq!((cost.node_s, cost.network_bytes), (27.0, 740));
    assert_eq!((cost.replicated_bytes, cost.recovery_bytes, cost.checkpoint_bytes), (140, 20, 0));
    // Interval 0's tasks finish after 2 s: eight tasks and one again, of 50 ms each, and the master's second.
    assert!((cost.cpu_s - 1.45).abs() < 1e-9 && (cost.recomputed_cpu_s - 0.05).abs() < 1e-9, "{cost:?}");
    // Load lasts four seconds on four cores of workers, whose tasks took 450 ms.
    assert!((measured.load.cpu - 0.45 / 16.0).abs() < 1e-9, "{:?}", measured.load);
    assert!((measured.load.network - 2000.0 / 4e6).abs() < 1e-9, "{:?}", measured.load);
}

#[test]
fn a_worker_costs_no_node_while_it_waits() {
    let mut run = Run::new(&[200; 4]);
    // The run lasts from 2 s to 11 s on three nodes. Two seconds that count, and three more until the end.
    for (at, event) in [
        (500, Event::WorkerWaits { worker: node("worker-2") }),
        (4000, Event::WorkerCalled { worker: node("worker-2"), busy_permille: 900 }),
        (6000, Event::WorkerSpared { worker: node("worker-2"), busy_permille: 100 }),
        (8000, Event::WorkerWaits { worker: node("worker-2") }),
    ] {
        run.add(at, "master", event);
    }
    assert_eq!(run.measured().cost.node_s, 27.0 - 5.0);
}
