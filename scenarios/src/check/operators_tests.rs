//! Runs of long-lived operators: each law passes on the calm run and is broken by what it is there for.

use super::history::{History, closed, records, sealed, share, share_block, taken};
use super::tests::{FINE, check, check_detail, lost};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName, RecordRange};

/// A word of a source about other records or blocks than it has.
fn otherwise(interval: u64, source: u32, change: impl Fn(&mut Vec<RecordRange>)) -> Event {
    let mut word = sealed(interval, source);
    if let Event::SourceSealed { ranges, .. } = &mut word {
        change(ranges);
    }
    word
}

#[test]
fn a_calm_run_of_operators_passes_and_its_records_are_counted_once() {
    let mut history = History::operators(6);
    history.add(5, "master", taken(0, "replica-1"));
    for i in 0..6 {
        history.add(closed(i) + 25, "replica-1", sealed(i, 0));
    }
    check(&history, FINE);
    let counts = history.checked().records;
    assert_eq!((counts.sent, counts.in_results, counts.intervals_checked), (60, 60, 6));
}

#[test]
fn an_heir_that_seals_a_share_otherwise_is_found() {
    let word = |change: fn(&mut Vec<RecordRange>)| {
        let mut history = History::operators(6);
        history.add(closed(5), "standby-1", otherwise(3, 1, change));
        history
    };
    check(&word(|_| {}), FINE);
    for change in [|ranges: &mut Vec<RecordRange>| ranges[0].last -= 1, Vec::clear] {
        check(&word(change), &format!("{FINE}, broken: sealed once"));
    }
}

#[test]
fn a_result_before_the_last_source_has_sealed_is_found() {
    for (at, expected) in [(199, FINE.to_owned()), (201, format!("{FINE}, broken: sealed before use"))] {
        let mut history = History::operators(6);
        history.change(|when, event| {
            if matches!(event, Event::SourceSealed { interval: 3, partition: 1, .. }) {
                *when = closed(3) + at;
            }
        });
        check(&history, &expected);
    }
}

#[test]
fn an_interval_of_which_a_share_is_missing_is_not_sealed() {
    let mut history = History::operators(6);
    history.remove(|event| matches!(event, Event::SourceSealed { interval: 3, partition: 1, .. }));
    check_detail(
        &history,
        "lost 10 doubled 0 wrong 1, not exact, not declared, broken: sealed before use",
        "interval 3: it was never sealed",
    );
}

#[test]
fn records_in_two_shares_are_doubled() {
    let mut history = History::operators(6);
    history.change(|_, event| {
        if let Event::SourceSealed { interval: 3, partition: 1, ranges, .. } = event {
            ranges[0].first -= 1;
        }
    });
    check(&history, "lost 0 doubled 1 wrong 1, not exact, not declared");
}

#[test]
fn acknowledged_means_held_at_as_many_nodes_whatever_they_are_called() {
    let moved = |holders: &'static [&str]| {
        let mut history = History::operators(6);
        history.add(3, "master", Event::WorkerJoined { worker: NodeName::new("replica-1"), epoch: 9 });
        history.remove(|event| matches!(event, Event::BlockHeld { block, .. } if *block == share_block(3, 0)));
        for holder in holders {
            let (block, ranges) = (share_block(3, 0), vec![share(3, 0)]);
            history.add(closed(3) - 40, holder, Event::BlockHeld { block, ranges, bytes: 40 });
        }
        history
    };
    check(&moved(&["worker-1", "replica-1"]), FINE);
    check(&moved(&["replica-1"]), &format!("{FINE}, broken: acknowledged means held"));
}

#[test]
fn a_record_belongs_to_the_interval_in_which_it_was_due() {
    let late = |by_ms: u64| {
        let mut history = History::operators(6);
        // The interval's records are due from its begin on.
        history.change(|_, event| {
            if let Event::RecordsSent { range, first_scheduled, .. } = event
                && range.first == 30
            {
                first_scheduled.0 -= by_ms * 1_000_000;
            }
        });
        history
    };
    check(&late(0), FINE);
    check_detail(
        &late(1),
        "lost 0 doubled 0 wrong 1, not exact, not declared",
        "interval 3: it began at 4.000000000s, but record 30 of client 1 was due at 3.999000000s",
    );
    // What a fault kept from being sent may come later.
    let mut held = late(1);
    held.fault_of(0, 3000, "pause", NodeName::client(1), Effect::HeldByPause);
    check(&held, FINE);
}

#[test]
fn a_tentative_result_that_is_never_replaced_is_found_unless_the_run_was_stopped() {
    let tentative = |interval: u64, at: u64| {
        let mut history = History::operators(6);
        let Event::ResultVisible { output, partition, from, rows, .. } = history.result(interval, 1, &[]) else {
            panic!("a result is a visible result")
        };
        history.add(at, "sink", Event::ResultTentative { output, interval, partition, from, rows });
        history
    };
    check(&tentative(3, closed(3) + 100), FINE);
    // After the result itself it is as wrong as without one.
    for mut history in [tentative(3, closed(3) + 300), tentative(6, closed(5) + 100)] {
        check(&history, &format!("{FINE}, broken: tentative results are replaced"));
        history.interrupted = true;
        check(&history, FINE);
    }
}

#[test]
fn the_tentative_result_of_an_empty_interval_may_be_the_last_word_of_a_run() {
    let is_broken = |last_is_empty: bool| {
        let mut history = History::operators(6);
        let Event::ResultVisible { output, partition, from, rows, .. } = history.result(6, 1, &[]) else {
            panic!("a result is a visible result")
        };
        for source in 0..2 {
            let word = if last_is_empty { otherwise(6, source, Vec::clear) } else { sealed(6, source) };
            history.add(closed(6), "worker-1", word);
        }
        history.add(closed(6), "sink", Event::ResultTentative { output, interval: 6, partition, from, rows });
        history.checked().laws.iter().any(|law| !law.holds && law.check.contains("tentative results are replaced"))
    };
    assert!(!is_broken(true));
    assert!(is_broken(false));
}

#[test]
fn a_lost_owner_is_fenced_and_an_idle_heir_need_not_be() {
    let crash = |name: &str, is_fenced: bool| {
        let mut history = History::operators(6);
        history.add(3, "master", Event::WorkerJoined { worker: NodeName::new("standby-1"), epoch: 9 });
        history.crash_of(0, 4500, NodeName::new(name), 9);
        if !is_fenced {
            history.remove(|event| matches!(event, Event::Fenced { .. }));
        }
        let broken: Vec<String> =
            history.checked().laws.into_iter().filter(|law| !law.holds).map(|law| law.check).collect();
        broken.join(", ")
    };
    assert_eq!(crash("worker-2", false), "trace: lost workers are fenced");
    assert_eq!(crash("standby-1", false), "");
    assert_eq!(crash("worker-3", true), "");
}

/// Interval 3's results come late, from worker 3, over these records; worker 3 runs everything then.
pub(super) fn late(history: &mut History, ranges: &[RecordRange]) {
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, .. }));
    let results = [0, 1].map(|partition| history.result(3, partition, ranges));
    for result in results {
        history.add(closed(6), "sink", result);
    }
    history.change(|at, event| {
        if let Event::ResultVisible { from, epoch, .. } = event
            && *at > 5300
        {
            (*from, *epoch) = (NodeName::worker(3), 3);
        }
    });
}

#[test]
fn two_losses_at_once_allow_the_damage_of_the_shares_that_only_they_held() {
    // Workers 1 and 2 hold source 0's share of interval 3; worker 3 has the other one.
    let history = |second_at: u64, said: bool| {
        let mut history = History::operators(10);
        history.crash(0, closed(3) + 25, 1).crash(1, second_at, 2);
        history.add(closed(3) + 600, "master", Event::CopiesBelow { blocks: 0 });
        late(&mut history, &[share(3, 1)]);
        if said {
            history.add(closed(3) + 700, "master", lost(share_block(3, 0), 30, 34, Some(3)));
        }
        history
    };
    check(&history(closed(3) + 30, true), "lost 0 doubled 0 wrong 1, not exact, declared, given up 5 in [3]");
    check(&history(closed(3) + 30, false), "lost 0 doubled 0 wrong 1, not exact, not declared, given up 0 in []");
    // The other share was lost when its results were out: they have it.
    let mut later = history(closed(3) + 30, true);
    later.add(closed(6) + 100, "master", lost(share_block(3, 1), 35, 39, Some(3)));
    check(&later, "lost 0 doubled 0 wrong 1, not exact, declared, given up 5 in [3]");
    // Redundancy was back between the two: one loss at a time allows nothing.
    check(&history(closed(3) + 650, true), "lost 0 doubled 0 wrong 1, not exact, not declared");
}

#[test]
fn a_share_that_was_lost_before_it_was_sealed_is_missing_as_declared() {
    let mut history = History::operators(10);
    history.crash(0, closed(3) - 20, 1).crash(1, closed(3) - 10, 2);
    history.change(|_, event| {
        if let Event::SourceSealed { interval: 3, partition: 0, ranges, blocks, .. } = event {
            ranges.clear();
            blocks.clear();
        }
    });
    late(&mut history, &[share(3, 1)]);
    check(&history, "lost 5 doubled 0 wrong 0, not exact, not declared, given up 5 in [3]");
    history.add(closed(3) + 600, "master", lost(share_block(3, 0), 30, 34, None));
    check(&history, "lost 5 doubled 0 wrong 0, not exact, declared, given up 5 in [3]");
}

/// Sources let the shares of interval 3 go as soon as operators have taken them in; then this happens to nodes, of which
/// both copies of partition 0 are at worker 1 and at the twin.
fn absorbed(crashes: &[(u64, &str)], twin: &str) -> History {
    let mut history = History::operators(10);
    history.add(4, "master", Event::WorkerJoined { worker: NodeName::new(twin), epoch: 8 });
    history.add(4, "master", taken(0, twin)).add(4, "master", taken(1, "worker-3"));
    for (source, holder) in [(0, 1), (0, 2), (1, 2), (1, 3)] {
        let forgotten = Event::BlockForgotten { block: share_block(3, source) };
        history.add(closed(3) - 10, &format!("worker-{holder}"), forgotten);
    }
    for ((number, (after, name)), epoch) in (0..).zip(crashes).zip([1, 8]) {
        history.crash_of(number, closed(3) + after, NodeName::new(name), epoch);
    }
    late(&mut history, &[]);
    for source in 0..2 {
        let range = share(3, source);
        history.add(closed(3) + 700, "master", lost(share_block(3, source), range.first, range.last, Some(3)));
    }
    history
}

#[test]
fn what_only_operators_had_is_gone_with_the_last_that_had_it() {
    let gone = "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]";
    check(&absorbed(&[(25, "worker-1"), (35, "replica-1")], "replica-1"), gone);
    // The twin of worker 2 lives, and so does one of each pair.
    let not_declared = "lost 0 doubled 0 wrong 1, not exact, not declared";
    check(&absorbed(&[(25, "worker-1")], "replica-1"), not_declared);
    check(&absorbed(&[(25, "worker-1"), (35, "worker-2")], "replica-1"), not_declared);
}

#[test]
fn a_twin_that_catches_up_has_no_state_until_redundancy_is_back() {
    let with_new_twin = |whole: bool| {
        let mut history = absorbed(&[(25, "worker-1"), (650, "replica-1")], "replica-1");
        history.add(closed(3) + 540, "master", taken(0, "worker-2"));
        if whole {
            history.add(closed(3) + 600, "master", Event::CopiesBelow { blocks: 0 });
        }
        history
    };
    let gone = "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]";
    check(&with_new_twin(false), gone);
    check(&with_new_twin(true), "lost 0 doubled 0 wrong 1, not exact, not declared");
    // Or until it says that it has it.
    for (partition, expected) in [(1, gone), (0, "lost 0 doubled 0 wrong 1, not exact, not declared")] {
        let mut history = with_new_twin(false);
        history.add(closed(3) + 600, "worker-2", Event::PartitionRestored { partition, through: None, bytes: 0 });
        check(&history, expected);
    }
}

#[test]
fn what_is_let_go_just_after_the_state_was_lost_is_gone_with_it() {
    // Struck at 6.025 s and 6.035 s. The failure timeout and a second later it is the engine's own doing.
    let let_go_at = |after: u64| {
        let mut history = absorbed(&[(25, "worker-1"), (35, "replica-1")], "replica-1");
        history.remove(|event| matches!(event, Event::BlockForgotten { block } if *block == share_block(3, 1)));
        history.add(closed(3) - 10, "worker-2", Event::BlockForgotten { block: share_block(3, 1) });
        history.add(closed(3) + 35 + after, "worker-3", Event::BlockForgotten { block: share_block(3, 1) });
        history
    };
    check(&let_go_at(1500), "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
    check(&let_go_at(1501), "lost 0 doubled 0 wrong 1, not exact, not declared, given up 5 in [3]");
    // A master that hears of nothing until a second later has that long from then on.
    let paused = |after: u64| {
        let mut history = let_go_at(after);
        history.fault_of(7, closed(3) + 30, "pause", NodeName::new("master"), Effect::HeldByPause);
        history.add(closed(3) + 1035, "driver", Event::FaultEnded { fault: 7, node: NodeName::new("master") });
        history
    };
    check(&paused(2500), "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
    check(&paused(2501), "lost 0 doubled 0 wrong 1, not exact, not declared, given up 5 in [3]");
    // One that is cut off from a node that was lost, or that let it go, and from no other.
    let cut_off = |node: &str| {
        let mut history = paused(2500);
        let fault = history.faults.iter_mut().find(|fault| fault.number == 7).expect("it was just planned");
        (fault.others, fault.effect) = (vec![NodeName::new(node)], Effect::MessageCut);
        history
    };
    for (node, declared) in [("replica-1", true), ("worker-3", true), ("worker-2", false), ("client-1", false)] {
        let (said, gone) = if declared { ("declared", 10) } else { ("not declared", 5) };
        check(&cut_off(node), &format!("lost 0 doubled 0 wrong 1, not exact, {said}, given up {gone} in [3]"));
    }
}

#[test]
fn a_state_that_is_declared_lost_is_allowed_where_all_that_had_it_are_gone() {
    let declared = |crashes: &[(u64, &str)]| {
        let mut history = absorbed(crashes, "replica-1");
        history.remove(|event| matches!(event, Event::BlockLost { .. }));
        history.add(closed(3) + 700, "master", Event::StateLost { partition: 0, after: Some(2), through: 3 });
        history
    };
    let gone = "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]";
    check(&declared(&[(25, "worker-1"), (35, "replica-1")]), gone);
    check(&declared(&[(25, "worker-1")]), "lost 0 doubled 0 wrong 1, not exact, not declared");
}

#[test]
fn a_lost_state_excuses_no_other_partition() {
    // Partition 0's state is lost with both that had it; its results of interval 3 lack all of it, or half.
    let lacking = |of_zero: RecordRange, of_one: RecordRange| {
        let mut history = absorbed(&[(25, "worker-1"), (35, "replica-1")], "replica-1");
        history.remove(|event| matches!(event, Event::BlockLost { .. } | Event::ResultVisible { interval: 3, .. }));
        history.add(closed(3) + 700, "master", Event::StateLost { partition: 0, after: Some(2), through: 3 });
        for (partition, range) in [(0, of_zero), (1, of_one)] {
            let mut result = history.result(3, partition, &[range]);
            if let Event::ResultVisible { from, epoch, .. } = &mut result {
                (*from, *epoch) = (NodeName::worker(3), 3);
            }
            history.add(closed(6), "sink", result);
        }
        history
    };
    let (half, all) = (share(3, 0), records(30, 39));
    check(&lacking(half, all), "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
    let history = lacking(half, half);
    let expected = "lost 0 doubled 0 wrong 1, not exact, not declared, given up 10 in [3]";
    check_detail(&history, expected, "its partition lost no state");
}

#[test]
fn what_a_window_still_covers_may_be_gone_with_the_state_after_its_own_results() {
    // Interval 3's results are out; those of intervals 4 and 5 cover it too. Both copies of partition 0 die after them.
    let mut history = History::windowed_operators(10, 3);
    history.add(4, "master", Event::WorkerJoined { worker: NodeName::new("replica-1"), epoch: 8 });
    history.add(4, "master", taken(0, "replica-1"));
    for (i, source) in (0..10).flat_map(|i| [0, 1].map(|source| (i, source))) {
        for holder in [source + 1, source + 2] {
            let forgotten = Event::BlockForgotten { block: share_block(i, source) };
            history.add(closed(i) + 100, &format!("worker-{holder}"), forgotten);
        }
    }
    history.crash_of(0, closed(3) + 250, NodeName::worker(1), 1);
    history.crash_of(1, closed(3) + 260, NodeName::new("replica-1"), 8);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 4 | 5, .. }));
    for (i, first) in [(4, 40), (5, 40)] {
        for partition in 0..2 {
            let result = history.result(i, partition, &[records(first, i * 10 + 9)]);
            history.add(closed(i) + 200, "sink", result);
        }
    }
    history.change(|at, event| {
        if let Event::ResultVisible { from, epoch, .. } = event
            && *at > closed(3) + 240
        {
            (*from, *epoch) = (NodeName::worker(3), 3);
        }
    });
    for (i, source) in [2, 3].into_iter().flat_map(|i| [0, 1].map(|source| (i, source))) {
        let range = share(i, source);
        history.add(closed(3) + 800, "master", lost(share_block(i, source), range.first, range.last, Some(i)));
    }
    check(&history, "lost 0 doubled 0 wrong 2, not exact, declared, given up 20 in [2, 3]");
    // With one of the two alive nothing may be gone.
    history.remove(|event| matches!(event, Event::WorkerLost { worker, .. } if worker.as_str() == "replica-1"));
    history.remove(|event| matches!(event, Event::ProcessEnded));
    history.add(closed(3) + 250, "worker-1", Event::ProcessEnded);
    assert!(!history.checked().declared.holds());
}
