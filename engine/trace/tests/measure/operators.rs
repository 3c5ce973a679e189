//! Runs of long-lived operators: sources that seal shares, partitions with owners, running results, replayed work.

use super::*;
use dstream_trace::measure::Share;

fn share(interval: u64, partition: u32, first: u64, last: u64) -> Event {
    let blocks = vec![BlockName { origin: 1, epoch: 0, number: first }];
    let ranges = vec![RecordRange { client: 1, first, last }];
    Event::SourceSealed { interval, partition, of: 2, ranges, blocks }
}

fn taken(partition: u32, name: &str, epoch: u64) -> Event {
    Event::PartitionTaken { partition, node: node(name), epoch }
}

/// The calm run without master's seals and without tasks: source 0 has the first half of an interval's records, 30 ms after
/// its end; source 1 the other, 10 ms after it.
fn operators(delays: &[u64]) -> Run {
    let mut run = Run::new(delays);
    run.events.retain(|(_, _, event)| {
        let tasks =
            matches!(event, Event::TaskLaunched { .. } | Event::TaskStarted { .. } | Event::TaskFinished { .. });
        !tasks && !matches!(event, Event::IntervalSealed { .. })
    });
    run.add(600, "master", taken(0, "worker-1", 1)).add(600, "master", taken(1, "worker-2", 2));
    for interval in 0..delays.len() as u64 {
        let (at, first) = (closed(interval), interval * 10);
        run.add(at + 30, "worker-1", share(interval, 0, first, first + 4));
        run.add(at + 10, "worker-2", share(interval, 1, first + 5, first + 9));
    }
    run
}

fn facts(run: &Run) -> Facts {
    Facts::read(&run.lines())
}

#[test]
fn an_interval_is_sealed_when_the_last_source_has_its_share() {
    let run = operators(&[200, 200]);
    let facts = facts(&run);
    let seal = &facts.sealed[&1];
    assert_eq!((seal.at, seal.times), (Moment::from_millis(closed(1) + 30), 1));
    let ranges: Vec<(u64, u64)> = seal.ranges.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!((ranges, seal.blocks.len()), (vec![(10, 14), (15, 19)], 2));
    let measured = run.measured();
    // From the first source's word to the last result.
    assert!(
        measured
            .intervals_csv(&run.input)
            .contains("\n1,1.000000,1.200000,0.200000,0.190000,10,true,1.200000,0.200000\n")
    );
    let mut open = operators(&[200, 200]);
    open.events.retain(|(_, _, event)| !matches!(event, Event::SourceSealed { interval: 1, partition: 0, .. }));
    let sealed: Vec<u64> = super::Facts::read(&open.lines()).sealed.into_keys().collect();
    assert_eq!(sealed, [0], "a share of interval 1 is missing");
}

#[test]
fn what_replicas_and_heirs_say_again_seals_nothing_twice_and_what_they_say_otherwise_is_kept() {
    let differing = |again: Event| {
        let mut run = operators(&[200, 200]);
        run.add(5000, "replica-1", again);
        let facts = facts(&run);
        assert_eq!(facts.sealed[&1].times, 1);
        assert_eq!(facts.sealed[&1].ranges.len(), 2);
        let found: Vec<NodeName> = facts
            .shares
            .iter()
            .filter_map(|(_, _, share): (u64, u32, &Share)| share.differing.clone())
            .map(|d| d.1)
            .collect();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(differing(share(1, 0, 10, 14)).is_empty());
    assert_eq!(differing(share(1, 0, 10, 13)), ["replica-1"]);
    let Event::SourceSealed { interval, partition, of, ranges, .. } = share(1, 0, 10, 14) else {
        panic!("a share is a share")
    };
    let elsewhere = vec![BlockName { origin: 1, epoch: 0, number: 11 }];
    assert_eq!(
        differing(Event::SourceSealed { interval, partition, of, ranges, blocks: elsewhere }),
        ["replica-1"],
        "other blocks"
    );
    // In another order it is the same.
    let halves = |turned: bool| {
        let range = |first, last| RecordRange { client: 1, first, last };
        let mut ranges = vec![range(10, 12), range(13, 14)];
        if turned {
            ranges.reverse();
        }
        Event::SourceSealed {
            interval,
            partition,
            of,
            ranges,
            blocks: vec![BlockName { origin: 1, epoch: 0, number: 10 }],
        }
    };
    assert!(differing(halves(false)).is_empty() && differing(halves(true)).is_empty());
}

/// Who says otherwise, where worker 1 sealed records 10 to 14 in blocks 10 (to 12) and 13, and its heir says them again in
/// these blocks, after it gave up those (the block, and its records).
fn heirs_otherwise(blocks: &[u64], gone: &[(u64, u64, u64)], by: &str) -> Vec<String> {
    let block = |number: u64| BlockName { origin: 1, epoch: 0, number };
    let range = |first, last| RecordRange { client: 1, first, last };
    let seal = |blocks: &[u64]| {
        let blocks = blocks.iter().copied().map(block).collect();
        Event::SourceSealed { interval: 1, partition: 0, of: 2, ranges: vec![range(10, 14)], blocks }
    };
    let mut run = operators(&[200, 200]);
    run.events.retain(|(_, _, event)| !matches!(event, Event::SourceSealed { interval: 1, partition: 0, .. }));
    for (number, first, last) in [(10, 10, 12), (13, 13, 14)] {
        let held = Event::BlockHeld { block: block(number), ranges: vec![range(first, last)], bytes: 10 };
        run.add(closed(1) - 10, "worker-1", held);
    }
    run.add(closed(1) + 30, "worker-1", seal(&[10, 13]));
    for (number, first, last) in gone {
        let lost = Event::BlockLost { block: block(*number), ranges: vec![range(*first, *last)], interval: Some(1) };
        run.add(5000, by, lost);
    }
    run.add(5000, "heir", seal(blocks));
    let facts = facts(&run);
    let differing = facts.shares.iter().filter_map(|(_, _, share): (u64, u32, &Share)| share.differing.clone());
    differing.map(|(_, node)| node.to_string()).collect()
}

#[test]
fn a_heir_names_records_that_it_gave_up_by_blocks_of_its_own_and_all_others_by_theirs() {
    assert!(heirs_otherwise(&[10], &[(10, 10, 14)], "heir").is_empty(), "both blocks as one");
    assert!(heirs_otherwise(&[10, 11, 13], &[(10, 10, 10), (11, 11, 12)], "heir").is_empty(), "one block as two");
    for (blocks, gone, by) in [
        (&[10][..], &[][..], "heir"),
        (&[10], &[(10, 10, 14)], "worker-1"),
        (&[10], &[(10, 10, 13)], "heir"),
        (&[10, 12], &[(10, 10, 14)], "heir"),
    ] {
        assert_eq!(heirs_otherwise(blocks, gone, by), ["heir"], "{blocks:?}, gone {gone:?} by {by}");
    }
}

#[test]
fn restored_are_the_partitions_that_the_node_ran_when_it_was_hit() {
    // Interval 4 is open at 5.5 s and late, in partition 1 only; then worker 2's partition is taken by the standby.
    let run = |worker: u32| {
        let mut run = operators(&[200, 200, 200, 200, 1500, 200, 200, 200, 200, 200, 200]);
        for (at, _, event) in &mut run.events {
            if matches!(event, Event::ResultVisible { interval: 4, partition: 0, .. }) {
                *at = closed(4) + 300;
            }
        }
        run.crash(5500, worker);
        run.add(6000, "master", taken(worker - 1, "standby-1", 7));
        run
    };
    check_faults(&run(2), &["500 2000 1500 2000 800 1100"]);
    check_faults(&run(1), &["500 800 1500 2000 800 1100"]);
    // The heir is hit in its turn.
    let mut heir = run(2);
    heir.fault(11_500, None, "crash", &["standby-1"], Effect::ProcessEnded);
    heir.add(11_900, "master", Event::WorkerLost { worker: node("standby-1"), epoch: 7 });
    heir.add(12_000, "master", Event::CopiesBelow { blocks: 0 });
    let faults = heir.measured().faults;
    let of = |value: Option<f64>| value.map(|seconds| (seconds * 1e3).round());
    let fault = &faults[1];
    assert_eq!((of(fault.detect_s), of(fault.redundancy_s)), (Some(400.0), Some(500.0)), "{fault:?}");
    assert_eq!(of(fault.restore_s), Some(700.0), "partition 1 of interval 10, which ends at 12 s, came at 12.2 s");
}

#[test]
fn owners_are_a_table_where_there_are_any() {
    let mut run = operators(&[200; 8]);
    run.crash(5500, 2);
    run.add(6000, "master", taken(1, "standby-1", 7));
    let table = dstream_trace::measure::owners_csv(&facts(&run), &run.input);
    assert_eq!(
        table.unwrap(),
        "partition,node,epoch,from_s,until_s,heir\n0,worker-1,1,-1.400000,,false\n\
         1,worker-2,2,-1.400000,3.500000,false\n1,standby-1,7,4.000000,,true\n"
    );
    let tasks = Run::new(&[200]);
    assert_eq!(dstream_trace::measure::owners_csv(&facts(&tasks), &tasks.input), None);
}

#[test]
fn a_result_made_of_all_partitions_is_awaited_whole() {
    let mut run = operators(&[200, 200, 200, 200, 900, 200, 200, 200, 200, 200]);
    run.events.retain(|(_, _, event)| !matches!(event, Event::ResultVisible { partition: 1, .. }));
    for (_, _, event) in &mut run.events {
        if let Event::ResultVisible { of, .. } = event {
            *of = 1;
        }
    }
    run.crash(5500, 2);
    check_faults(&run, &["500 1400 1500 1400 800 1700"]);
}

#[test]
fn a_lost_standby_is_detected_and_its_loss_lasts_until_there_is_another() {
    let mut run = operators(&[200; 12]);
    run.add(600, "master", Event::WorkerJoined { worker: node("standby-1"), epoch: 9 });
    run.fault(5500, None, "crash", &["standby-1"], Effect::ProcessEnded);
    check_faults(&run, &["- 0 500 0 - 1000"]);
    run.add(5900, "master", Event::WorkerLost { worker: node("standby-1"), epoch: 9 });
    run.add(5900, "master", Event::CopiesBelow { blocks: 1 });
    check_faults(&run, &["400 0 500 0 - 1000"]);
    run.add(7000, "master", Event::CopiesBelow { blocks: 0 });
    check_faults(&run, &["400 0 500 0 1500 1000"]);
}

#[test]
fn a_record_counts_from_the_first_running_result_in_which_it_shows() {
    let mut run = operators(&[200; 4]);
    assert_eq!(run.measured().record_latency, None);
    let shows = |first, last| Event::RecordsReflected {
        output: "counts".into(),
        partition: 0,
        ranges: vec![RecordRange { client: 1, first, last }],
    };
    // Records 20 to 29 are due from 3 s on, every 100 ms; 0 to 9 in the warm-up.
    run.add(1100, "sink", shows(0, 1)).add(3120, "sink", shows(20, 21)).add(3150, "sink", shows(20, 22));
    run.add(4050, "sink", shows(29, 29));
    let measured = run.measured();
    // 120, 20, 0 (it is due 50 ms later), 150.
    let latency = measured.record_latency.unwrap();
    assert_eq!(latency.max, Some(150.0));
    let seconds: Vec<(u64, u64)> = measured.seconds.iter().map(|row| (row.second, row.reflected)).collect();
    assert_eq!(seconds, [(1, 3), (2, 1), (3, 0)]);
    let table = measured.latency_csv();
    assert!(
        table.starts_with("second,records,p50_ms,p90_ms,p99_ms,p999_ms,max_ms,reflected,record_p50_ms,"),
        "{table}"
    );
    let row = table.lines().find(|line| line.starts_with("1,")).unwrap();
    assert!(row.ends_with(",3,20.005000,120.000000,120.000000"), "{row}");
}

#[test]
fn replayed_work_is_repeated_and_heirs_are_among_the_cores() {
    let mut run = operators(&[200; 4]);
    (run.input.heirs, run.input.nodes) = (2, 5);
    run.add(1999, "worker-1", Event::CpuUsed { cpu_ns: 7 }).add(
        3000,
        "replica-1",
        Event::CpuUsed { cpu_ns: 400_000_000 },
    );
    run.add(3000, "standby-1", Event::CpuUsed { cpu_ns: 300_000_000 });
    run.add(3000, "standby-1", Event::WorkRepeated { cpu_ns: 200_000_000 });
    run.add(3000, "master", Event::CpuUsed { cpu_ns: 100_000_000 });
    let measured = run.measured();
    let cost = measured.cost;
    assert!((cost.cpu_s - 0.8).abs() < 1e-9 && (cost.recomputed_cpu_s - 0.2).abs() < 1e-9, "{cost:?}");
    assert_eq!(cost.node_s, 45.0, "five nodes for nine seconds");
    // Load lasts four seconds on four nodes of two cores.
    assert!((measured.load.cpu - 0.7 / 32.0).abs() < 1e-9, "{:?}", measured.load);
}

#[test]
fn who_takes_the_place_of_a_lost_node_is_told_and_who_was_there_from_the_start_is_not() {
    let mut run = operators(&[200; 8]);
    run.add(600, "master", taken(0, "replica-1", 3)).add(600, "master", taken(1, "worker-1", 1));
    run.crash(5500, 1);
    run.add(6000, "master", taken(0, "standby-1", 9)).add(6000, "master", taken(1, "standby-1", 9));
    run.add(6500, "master", taken(1, "worker-2", 2)).add(7000, "master", taken(0, "worker-2", 2));
    let moments = run.measured().moments_csv(&run.input);
    let said: Vec<&str> = moments.lines().filter(|line| line.contains("took over")).collect();
    assert_eq!(said, ["4.000000,took over,standby-1,2,"], "{moments}");
}

#[test]
fn a_recovery_begins_when_an_heir_has_the_state_and_the_load_is_that_of_the_struck_node() {
    let mut run = operators(&[200; 8]);
    // Three seconds of two cores, before which the warm-up and after which the failure lies.
    run.crash(5000, 2).add(5600, "master", taken(1, "standby-1", 3));
    let used = |cpu_ns: u64| Event::CpuUsed { cpu_ns };
    run.add(1500, "worker-2", used(800_000_000)).add(3000, "worker-2", used(1_500_000_000));
    run.add(3000, "worker-1", used(2_000_000_000));
    run.add(5700, "standby-1", Event::PartitionRestored { partition: 1, through: Some(1), bytes: 9 });
    run.add(5900, "standby-1", Event::PartitionRestored { partition: 3, through: Some(1), bytes: 9 });
    let effort = run.measured().efforts[0];
    assert_eq!(effort.begins, Some(Moment::from_millis(5700)));
    assert!((effort.load_before.unwrap() - 0.25).abs() < 1e-9, "{effort:?}");
    assert!(run.measured().faults_csv(&run.input).ends_with(",worker-2,,3.700000,0.250000\n"));
}
