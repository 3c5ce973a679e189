//! Each check finds what it is there for, in a run that is right everywhere else.

use super::history::{History, block, closed, records};
use super::{Checked, Finding};
use dstream_trace::measure::Effect;
use dstream_trace::{BlockName, Event, NodeName, TaskName};

/// What a run's checks say, in short: counts, whether exact and declared hold, broken laws, records given up.
fn summary(checked: &Checked) -> String {
    let records = &checked.records;
    let mut text = format!("lost {} doubled {} wrong {}", records.lost, records.duplicated, records.wrong_intervals);
    let word = |name: &str, finding: &Finding| format!(", {}{name}", if finding.holds() { "" } else { "not " });
    text += &word("exact", &checked.exact);
    text += &word("declared", &checked.declared);
    for law in checked.laws.iter().filter(|law| !law.holds) {
        text += &format!(", broken: {}", law.check.trim_start_matches("trace: "));
    }
    for promise in &checked.broken_promises {
        text += &format!(", given up {} in {:?}", promise.records, promise.intervals);
    }
    text
}

pub(super) fn check(history: &History, expected: &str) {
    let checked = history.checked();
    assert_eq!(summary(&checked), expected, "{checked:#?}");
}

/// Checks, and looks for a part of what the exactness check says.
pub(super) fn check_detail(history: &History, expected: &str, detail: &str) {
    check(history, expected);
    let seen = history.checked().exact.detail();
    assert!(seen.contains(detail), "`{seen}` does not say `{detail}`");
}

pub(super) const FINE: &str = "lost 0 doubled 0 wrong 0, exact, declared";

#[test]
fn a_calm_run_passes_and_its_records_are_counted_once() {
    let mut history = History::calm(6);
    check(&history, FINE);
    // Sent, acknowledged and told again: still the same records.
    history.add(9000, "client-1", Event::RecordsAcked { range: records(0, 9) });
    history.add(9000, "client-1", Event::RecordsResent { range: records(0, 9), to: NodeName::worker(2) });
    let checked = history.checked();
    let counts = checked.records;
    assert_eq!((counts.sent, counts.acked, counts.unacked, counts.in_results), (60, 60, 0, 60));
    assert_eq!(counts.intervals_checked, 6);
}

#[test]
fn acknowledged_records_in_no_interval_are_lost() {
    let mut history = History::calm(6);
    history.change(|_, event| {
        if let Event::IntervalSealed { interval: 2, ranges, .. } = event {
            *ranges = vec![records(20, 26)];
        }
    });
    check_detail(
        &history,
        "lost 3 doubled 0 wrong 1, not exact, not declared",
        "interval 2: output `counts`: key \"w1\" is 2, expected 1; and 1 more",
    );
}

#[test]
fn records_in_two_intervals_are_doubled() {
    let mut history = History::calm(6);
    let result = history.result(3, 0, &[records(29, 39)]);
    let other = history.result(3, 1, &[records(29, 39)]);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, .. }));
    history.add(closed(3) + 200, "sink", result).add(closed(3) + 200, "sink", other);
    history.change(|_, event| {
        if let Event::IntervalSealed { interval: 3, ranges, .. } = event {
            *ranges = vec![records(29, 39)];
        }
    });
    check(&history, "lost 0 doubled 1 wrong 0, not exact, not declared");
}

#[test]
fn a_result_over_other_records_is_wrong() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 4, partition: 0, .. }));
    let result = history.result(4, 0, &[records(40, 48)]);
    history.add(closed(4) + 200, "sink", result);
    check_detail(&history, "lost 0 doubled 0 wrong 1, not exact, not declared", "interval 4: output `counts`: key");
}

#[test]
fn a_missing_result_is_wrong_unless_the_run_was_stopped() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 5, partition: 1, .. }));
    let expected = "lost 0 doubled 0 wrong 1, not exact, not declared";
    check_detail(&history, expected, "interval 5: 1 of 2 results of output `counts` are missing");
    history.interrupted = true;
    check(&history, FINE);
    assert_eq!(history.checked().records.intervals_checked, 5);
}

#[test]
fn what_an_interrupted_run_had_no_time_to_seal_is_not_lost() {
    let mut history = History::calm(6);
    history.remove(|event| {
        matches!(event, Event::IntervalSealed { interval: 5, .. } | Event::MapsCut { interval: 5, .. })
            || matches!(event, Event::TaskLaunched { task, .. } if task.interval == 5)
            || matches!(event, Event::ResultVisible { interval: 5, .. } | Event::IntervalDone { interval: 5 })
    });
    assert_ne!(history.checked().records.lost, 0);
    history.interrupted = true;
    check(&history, FINE);
}

#[test]
fn an_interval_whose_results_never_came_is_wrong_if_it_holds_records() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 5, .. }));
    check_detail(
        &history,
        "lost 0 doubled 0 wrong 1, not exact, not declared",
        "interval 5: no result of output `counts` is visible",
    );
    // An empty interval that was on its way when the run ended is not.
    let mut history = History::calm(6);
    let empty = Event::IntervalSealed { interval: 6, ranges: Vec::new(), blocks: Vec::new() };
    history.add(closed(6), "master", empty);
    check(&history, FINE);
}

#[test]
fn a_record_that_was_due_after_its_interval_is_untimely() {
    let mut history = History::calm(6);
    // The last of ten records is due 900 ms into its interval; 200 ms later it is due in the next one.
    history.change(|_, event| {
        if let Event::RecordsSent { range, last_scheduled, .. } = event
            && range.first == 30
        {
            last_scheduled.0 += 200_000_000;
        }
    });
    let expected = "lost 0 doubled 0 wrong 1, not exact, not declared";
    check_detail(&history, expected, "interval 3: it ended at 5.000000000s, but record 39 of client 1 was due at 5.1");
}

#[test]
fn a_record_that_was_held_long_before_its_interval_is_untimely() {
    // Interval 3 begins at 4 s. Held at 2.5 s is in time (0.5 s timeout + 1 s interval), a moment earlier is not.
    for (held, expected) in [(2500, FINE), (2499, "lost 0 doubled 0 wrong 1, not exact, not declared")] {
        let mut history = History::calm(6);
        history.change(|at, event| match event {
            Event::RecordsAcked { range } if range.first == 30 => *at = held,
            Event::BlockHeld { block: held_block, .. } if *held_block == block(3) => *at = held - 1,
            _ => {}
        });
        check(&history, expected);
    }
}

#[test]
fn records_that_nobody_sent_are_wrong() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::RecordsSent { range, .. } if range.first == 50));
    check_detail(
        &history,
        "lost 0 doubled 0 wrong 1, not exact, not declared",
        "not all of its records 1:50-59 were sent",
    );
}

#[test]
fn a_task_before_the_seal_of_its_interval_is_found() {
    let mut history = History::calm(6);
    let early = TaskName { interval: 3, stage: 0, partition: 0, attempt: 0 };
    history.change(|at, event| {
        if matches!(event, Event::TaskLaunched { task, .. } if *task == early) {
            *at = closed(3);
        }
    });
    check(&history, &format!("{FINE}, broken: sealed before use"));
}

#[test]
fn an_interval_that_is_never_sealed_is_found() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::IntervalSealed { interval: 3, .. }));
    check_detail(
        &history,
        "lost 10 doubled 0 wrong 1, not exact, not declared, broken: sealed before use",
        "interval 3: it was never sealed",
    );
}

#[test]
fn a_second_seal_is_found_even_if_it_is_equal() {
    let mut history = History::calm(6);
    let again = Event::IntervalSealed { interval: 3, ranges: vec![records(30, 39)], blocks: vec![block(3)] };
    history.add(closed(3) + 500, "master", again);
    check(&history, &format!("{FINE}, broken: sealed once"));
}

#[test]
fn a_result_from_behind_the_fence_is_found() {
    for repeated in [false, true] {
        let mut history = History::calm(8);
        history.fault(0, 4100, "pause", 2, Effect::HeldByPause);
        history.add(4600, "master", Event::WorkerLost { worker: NodeName::worker(2), epoch: 2 });
        // Before the fence reaches the sink the old worker's word still counts.
        history.add(closed(6) + 100, "sink", Event::Fenced { worker: NodeName::worker(2), epoch: 2 });
        history.remove(|event| matches!(event, Event::ResultVisible { interval: 6 | 7, partition: 1, .. }));
        for interval in [6, 7] {
            let Event::ResultVisible { output, partition, of, from, rows, .. } =
                history.result(interval, 1, &[records(interval * 10, interval * 10 + 9)])
            else {
                panic!("a result is a visible result")
            };
            let fresh = Event::ResultVisible { output, interval, partition, of, from, epoch: 9, rows };
            history.add(closed(interval) + 200, "sink", fresh);
        }
        let late = format!("{FINE}, broken: lost workers are fenced");
        check(&history, &late);
        let (output, from) = ("counts".to_owned(), NodeName::worker(2));
        if repeated {
            let again = Event::ResultRepeated { output, interval: 5, partition: 1, from, epoch: 2 };
            history.add(closed(6) + 101, "sink", again);
        } else {
            history.change(|_, event| {
                if let Event::ResultVisible { interval: 6, epoch, partition: 1, .. } = event {
                    *epoch = 1;
                }
            });
        }
        check(&history, &format!("{FINE}, broken: no result from behind the fence, broken: lost workers are fenced"));
    }
}

#[test]
fn a_lost_worker_must_be_fenced_within_the_timeout_and_a_second() {
    for (fenced, fine) in [(Some(6000), true), (Some(6100), true), (Some(6101), false), (None, false)] {
        let mut history = History::calm(8);
        history.fault(0, 4100, "pause", 3, Effect::HeldByPause);
        history.add(4600, "master", Event::WorkerLost { worker: NodeName::worker(3), epoch: 3 });
        if let Some(at) = fenced {
            history.add(at, "sink", Event::Fenced { worker: NodeName::worker(3), epoch: 3 });
        }
        let broken = if fine { "" } else { ", broken: lost workers are fenced" };
        check(&history, &format!("{FINE}{broken}"));
    }
    // The run ended before the fence was due.
    let mut history = History::calm(8);
    history.add(closed(8) - 400, "master", Event::WorkerLost { worker: NodeName::worker(3), epoch: 3 });
    check(&history, FINE);
}

#[test]
fn attempts_that_differ_mean_that_the_software_failed() {
    let mut history = History::calm(6);
    assert_eq!(history.checked().software_failed, None);
    history.add(
        closed(2) + 300,
        "sink",
        Event::ResultsDiffer {
            output: "counts".into(),
            interval: 2,
            partition: 0,
            from: NodeName::worker(3),
            digest: 1,
            earlier: 2,
        },
    );
    check(&history, &format!("{FINE}, broken: attempts agree"));
    assert!(history.checked().software_failed.is_some_and(|what| what.contains("result 0 of interval 2")));
}

/// Worker 1 and worker 2 hold interval 3's block; its results come late, after both may have crashed.
pub(super) fn slow_interval_3() -> History {
    let mut history = History::calm(10);
    history.remove(|event| match event {
        Event::ResultVisible { interval, .. } => *interval == 3,
        Event::TaskFinished { task, .. } => task.interval == 3,
        _ => false,
    });
    history
}

pub(super) fn lost(block: BlockName, first: u64, last: u64, interval: Option<u64>) -> Event {
    Event::BlockLost { block, ranges: vec![records(first, last)], interval }
}

/// Interval 3's results over these records, late.
pub(super) fn add_late_results(history: &mut History, ranges: &[(u64, u64)]) {
    let ranges: Vec<_> = ranges.iter().map(|(first, last)| records(*first, *last)).collect();
    for partition in 0..2 {
        let result = history.result(3, partition, &ranges);
        let Event::ResultVisible { output, interval, partition, of, rows, .. } = result else {
            panic!("a result is a visible result")
        };
        let from = NodeName::worker(3);
        history.add(closed(6), "sink", Event::ResultVisible { output, interval, partition, of, from, epoch: 3, rows });
    }
}

/// The results of workers 1 and 2 after 5.3 s come from worker 3 instead.
pub(super) fn move_results_to_worker_3(history: &mut History) {
    history.change(|at, event| {
        if let Event::ResultVisible { from, epoch, .. } = event
            && *at > 5300
        {
            (*from, *epoch) = (NodeName::worker(3), 3);
        }
    });
}

#[test]
fn two_losses_at_once_allow_exactly_the_damage_of_what_they_held() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
    let promise = &history.checked().broken_promises[0];
    assert_eq!(promise.why, "worker-1, worker-2 were lost before redundancy was back");
    assert!((promise.at_s - 3.015).abs() < 1e-9, "{}", promise.at_s);
}

#[test]
fn damage_that_the_engine_does_not_declare_is_a_failure() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared, given up 0 in []");
}

#[test]
fn damage_that_one_loss_does_not_allow_is_a_failure_whatever_the_engine_says() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared");
}

#[test]
fn redundancy_that_is_said_to_be_back_ends_the_first_loss() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 900, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 700, "master", Event::CopiesBelow { blocks: 0 });
    history.add(closed(3) + 1500, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared");
}

#[test]
fn a_block_that_the_engine_let_go_is_no_faults_damage() {
    for let_go in [false, true] {
        let mut history = slow_interval_3();
        if let_go {
            history.add(closed(3) + 3, "worker-2", Event::BlockForgotten { block: block(3) });
            history.crash(0, closed(3) + 5, 3).crash(1, closed(3) + 15, 1);
        } else {
            history.crash(0, closed(3) + 5, 2).crash(1, closed(3) + 15, 1);
        }
        history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
        add_late_results(&mut history, &[]);
        assert_eq!(history.checked().declared.holds(), !let_go);
    }
}

#[test]
fn slices_that_live_on_save_what_their_block_held() {
    let mut history = slow_interval_3();
    let map = TaskName { interval: 3, stage: 0, partition: 0, attempt: 0 };
    history.add(closed(3) + 3, "worker-3", Event::TaskFinished { task: map, cpu_ns: 1, records: 10 });
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    add_late_results(&mut history, &[(30, 39)]);
    check(&history, FINE);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, .. }));
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared");
}

#[test]
fn partitions_that_were_visible_before_the_loss_may_hold_what_is_gone() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 34, Some(3)));
    add_late_results(&mut history, &[(35, 39)]);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, partition: 0, .. }));
    let early = history.result(3, 0, &[records(30, 39)]);
    history.add(closed(3) + 4, "sink", early);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, declared, given up 5 in [3]");
    // Half of what is gone is nothing that a loss leads to.
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, partition: 0, .. }));
    let half = history.result(3, 0, &[records(32, 39)]);
    history.add(closed(3) + 4, "sink", half);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared, given up 5 in [3]");
}

#[test]
fn partitions_that_were_visible_between_two_losses_hold_what_was_given_up_later() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 500, "master", lost(block(3), 30, 31, Some(3)));
    history.add(closed(3) + 600, "master", lost(block(3), 32, 34, Some(3)));
    add_late_results(&mut history, &[(35, 39)]);
    // What was given up first is gone where what was given up last is.
    for (first, declared) in [(32, "declared"), (31, "not declared")] {
        history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, partition: 0, .. }));
        let between = history.result(3, 0, &[records(first, 39)]);
        history.add(closed(3) + 550, "sink", between);
        move_results_to_worker_3(&mut history);
        check(&history, &format!("lost 0 doubled 0 wrong 1, not exact, {declared}, given up 5 in [3]"));
    }
}

#[test]
fn a_loss_that_is_declared_and_did_not_happen_is_found() {
    let mut history = slow_interval_3();
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[(30, 39)]);
    check(&history, "lost 0 doubled 0 wrong 0, exact, not declared, given up 0 in []");
}

#[test]
fn what_earlier_results_have_is_declared_rightly_where_no_later_one_would_have_it() {
    let place = |word: &str| dstream_kernel::partition::partition_of(word.as_bytes(), 2);
    // A record all of whose words go to one partition.
    let gone =
        (30..40).find(|record| place(&format!("w{}", record % 7)) == place("all")).expect("seven words, two places");
    for (early, expected) in [(place("all"), "exact, declared"), (1 - place("all"), "exact, not declared")] {
        let mut history = slow_interval_3();
        history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
        move_results_to_worker_3(&mut history);
        history.add(closed(3) + 600, "master", lost(block(3), gone, gone, Some(3)));
        add_late_results(&mut history, &[(30, 39)]);
        history.remove(
            |event| matches!(event, Event::ResultVisible { interval: 3, partition, .. } if *partition == early),
        );
        let result = history.result(3, early, &[records(30, 39)]);
        history.add(closed(3) + 4, "sink", result);
        check(&history, &format!("lost 0 doubled 0 wrong 0, {expected}, given up 0 in []"));
    }
}

#[test]
fn unsealed_blocks_of_two_lost_workers_are_lost_records_as_declared() {
    let mut history = History::calm(10);
    history.remove(|event| match event {
        Event::IntervalSealed { interval, .. } | Event::MapsCut { interval, .. } => *interval == 3,
        Event::ResultVisible { interval, .. } => *interval == 3,
        Event::TaskLaunched { task, .. } | Event::TaskFinished { task, .. } => task.interval == 3,
        _ => false,
    });
    history.crash(0, closed(3) - 20, 1).crash(1, closed(3) - 10, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, None));
    let sealed = Event::IntervalSealed { interval: 3, ranges: Vec::new(), blocks: Vec::new() };
    history.add(closed(3) + 601, "master", sealed);
    add_late_results(&mut history, &[]);
    check(&history, "lost 10 doubled 0 wrong 0, not exact, declared, given up 10 in [3]");
}

#[test]
fn a_paused_worker_that_is_declared_lost_counts_as_lost() {
    let mut history = slow_interval_3();
    history.fault(0, closed(3) - 500, "pause", 1, Effect::HeldByPause);
    history.add(closed(3) + 4, "master", Event::WorkerLost { worker: NodeName::worker(1), epoch: 1 });
    history.add(closed(3) + 5, "sink", Event::Fenced { worker: NodeName::worker(1), epoch: 1 });
    history.crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
    // Declared lost without any fault, it does not.
    history.faults.remove(0);
    assert!(!history.checked().declared.holds());
}
