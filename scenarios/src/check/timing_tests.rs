//! When an interval may hold a record: not before the record was due, not long after it was acknowledged, unless it was
//! given up and acknowledged once more.

use super::history::{History, block, closed, records, share, share_block};
use dstream_trace::measure::Effect;
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange};

/// Records 20 to 29, of interval 2 and acknowledged at 3.97 s, are in the results of interval `interval` instead.
fn moved_to(interval: u64) -> History {
    let mut history = History::calm(8);
    let moved = records(20, 29);
    let own = records(interval * 10, interval * 10 + 9);
    for (of, ranges) in [(2, vec![]), (interval, vec![moved, own])] {
        show(&mut history, of, &ranges);
        history.change(|_, event| match event {
            Event::IntervalSealed { interval, ranges: sealed, .. } if *interval == of => sealed.clone_from(&ranges),
            _ => {}
        });
    }
    history
}

/// The interval's results are those over these records.
fn show(history: &mut History, of: u64, ranges: &[RecordRange]) {
    let results = [0, 1].map(|partition| history.result(of, partition, ranges));
    history.remove(|event| matches!(event, Event::ResultVisible { interval, .. } if *interval == of));
    for result in results {
        history.add(closed(of) + 200, "sink", result);
    }
}

/// These records are given up at this moment, outside an interval or inside one.
fn give_up(history: &mut History, at: u64, ranges: Vec<RecordRange>, interval: Option<u64>) {
    history.add(at, "master", Event::BlockLost { block: block(2), ranges, interval });
}

fn acknowledge(history: &mut History, at: u64, range: RecordRange) {
    history.add(at, "client-1", Event::RecordsAcked { range });
}

/// What the exactness check says about the time of a record; empty where it says nothing.
fn said(history: &History) -> String {
    let detail = history.checked().exact.detail();
    if detail.contains("it began at") || detail.contains("it ended at") { detail } else { String::new() }
}

#[track_caller]
fn check(history: &History, is_fine: bool) {
    let said = said(history);
    assert_eq!(said.is_empty(), is_fine, "{said}");
}

#[test]
fn an_interval_begins_within_the_bound_after_its_records_were_acknowledged() {
    // The failure timeout and one interval after 3.97 s it is 5.47 s: interval 4 has begun at 5 s, interval 5 begins at 6 s.
    check(&moved_to(4), true);
    let late = moved_to(5);
    let expected = "interval 5: it began at 6.000000000s, but record 20 of client 1 was held at 3.970000000s";
    assert!(said(&late).contains(expected), "{}", said(&late));
}

#[test]
fn an_interval_ends_after_its_records_were_due() {
    let mut early = moved_to(4);
    early.change(|at, event| match event {
        Event::RecordsSent { range, first_scheduled, last_scheduled } if range.first == 20 => {
            (*first_scheduled, *last_scheduled) = (Moment::from_millis(5100), Moment::from_millis(6000));
            *at = 3950;
        }
        _ => {}
    });
    assert!(said(&early).contains("interval 4: it ended at 6.000000000s, but record 29"), "{}", said(&early));
}

#[test]
fn records_that_were_given_up_and_acknowledged_once_more_count_from_then() {
    // Interval 5 begins at 6 s: an acknowledgement at 4.5 s is just late enough.
    for (lost_at, acked_at, is_fine) in [(4200, 4500, true), (4200, 4499, false), (4200, 5500, true)] {
        let mut history = moved_to(5);
        give_up(&mut history, lost_at, vec![records(20, 29)], None);
        acknowledge(&mut history, acked_at, records(20, 29));
        check(&history, is_fine);
    }
}

#[test]
fn records_that_were_given_up_and_that_a_worker_brings_back_count_from_then() {
    // Workers 1 and 3 hold the block of records 20 to 29.
    for (joined_at, worker, was_lost, died, is_fine) in [
        (4500, 1, true, false, true),
        (4499, 1, true, false, false),
        (4500, 2, true, false, false),
        (4500, 1, true, true, false),
        // It had been there all the time.
        (4500, 1, false, false, false),
    ] {
        let (mut history, worker) = (moved_to(5), NodeName::worker(worker));
        if was_lost {
            history.add(4100, "master", Event::WorkerLost { worker: worker.clone(), epoch: 1 });
        }
        give_up(&mut history, 4200, vec![records(20, 29)], None);
        if died {
            history.add(4300, worker.as_str(), Event::ProcessEnded);
        }
        history.add(joined_at, "master", Event::WorkerJoined { worker, epoch: 9 });
        check(&history, is_fine);
    }
}

#[test]
fn records_of_which_every_holder_died_count_from_their_next_acknowledgement() {
    // Workers 1 and 3 hold the block of records 20 to 29.
    let both = ["worker-1", "worker-3"];
    for (dead, forgets, is_fine) in [(1, false, false), (2, false, true), (2, true, false)] {
        let mut history = moved_to(5);
        if forgets {
            for worker in both {
                history.add(4100, worker, Event::BlockForgotten { block: block(2) });
            }
        }
        for worker in &both[..dead] {
            history.add(4200, worker, Event::ProcessEnded);
        }
        acknowledge(&mut history, 4500, records(20, 29));
        check(&history, is_fine);
    }
}

#[test]
fn an_acknowledgement_excuses_nothing_before_the_loss_was_said_or_without_one() {
    let mut never_lost = moved_to(5);
    acknowledge(&mut never_lost, 5000, records(20, 29));
    check(&never_lost, false);
    let mut lost_after = moved_to(5);
    acknowledge(&mut lost_after, 5000, records(20, 29));
    give_up(&mut lost_after, 5001, vec![records(20, 29)], None);
    check(&lost_after, false);
    let mut never_again = moved_to(5);
    give_up(&mut never_again, 4200, vec![records(20, 29)], None);
    check(&never_again, false);
}

#[test]
fn records_that_an_interval_gave_up_are_not_excused_in_another() {
    let mut history = moved_to(5);
    give_up(&mut history, 4200, vec![records(20, 29)], Some(2));
    acknowledge(&mut history, 5000, records(20, 29));
    check(&history, false);
}

#[test]
fn every_record_must_have_been_given_up_and_acknowledged_once_more() {
    for (lost, acked) in [(records(20, 28), records(20, 29)), (records(20, 29), records(21, 29))] {
        let mut history = moved_to(5);
        give_up(&mut history, 4200, vec![lost], None);
        acknowledge(&mut history, 5000, acked);
        check(&history, false);
    }
}

/// A run of operators in which source 0 has records 20 to 24, of interval 2, in interval 3 instead. They were held first at
/// `held_at`, and the client was cut off from 3.8 s on, until 4.1 s, if `is_hit`.
fn late(held_at: u64, is_hit: bool) -> History {
    let mut history = History::operators(6);
    let (moved, own) = (share(2, 0), share(3, 0));
    let is_moved = |block: BlockName| block == share_block(2, 0);
    show(&mut history, 2, &[share(2, 1)]);
    show(&mut history, 3, &[moved, own, share(3, 1)]);
    history.change(|at, event| match event {
        Event::SourceSealed { interval: 2, partition: 0, ranges, blocks, .. } => {
            (*ranges, *blocks) = (Vec::new(), Vec::new());
        }
        Event::SourceSealed { interval: 3, partition: 0, ranges, blocks, .. } => {
            (*ranges, *blocks) = (vec![moved, own], vec![share_block(2, 0), share_block(3, 0)]);
        }
        Event::BlockHeld { block, .. } if is_moved(*block) => *at = held_at,
        _ => {}
    });
    if is_hit {
        let client = NodeName::client(1);
        history.fault_of(0, 3800, "outage", client.clone(), Effect::MessageHeld);
        history.add(4100, "driver", Event::FaultEnded { fault: 0, node: client });
    }
    history
}

#[test]
fn a_record_is_in_a_later_interval_than_its_own_only_if_a_fault_kept_it_away_until_that_was_over() {
    let over = closed(2);
    for (held_at, is_hit, is_fine) in [(over + 1, true, true), (over, true, false), (over + 1, false, false)] {
        check(&late(held_at, is_hit), is_fine);
    }
}

#[test]
fn a_record_is_in_a_later_interval_also_if_all_who_held_it_died_and_it_was_sent_once_more() {
    let over = closed(2);
    for (dead, is_fine) in [(1, false), (2, true)] {
        let mut history = late(over - 40, false);
        for worker in 1..=dead {
            history.add(over - 20, &format!("worker-{worker}"), Event::ProcessEnded);
        }
        acknowledge(&mut history, over + 100, share(2, 0));
        check(&history, is_fine);
    }
}

#[test]
fn what_was_sent_to_a_node_that_had_died_is_under_way_until_that_must_be_known() {
    // The failure timeout is 500 ms. The client is cut off 300 ms after the interval was over, which explains nothing; but
    // what it had sent to worker 1 it would have sent to another one.
    let over = closed(2);
    let (late_on, before_the_fault) = (over + 900, over + 200);
    let deaths = [(None, late_on, false), (Some(over - 400), late_on, false), (Some(over - 100), late_on, true)];
    for (died, held_at, is_fine) in deaths.into_iter().chain([(Some(over - 100), before_the_fault, false)]) {
        let mut history = late(held_at, false);
        let client = NodeName::client(1);
        history.fault_of(0, over + 300, "outage", client.clone(), Effect::MessageHeld);
        history.add(over + 600, "driver", Event::FaultEnded { fault: 0, node: client });
        if let Some(died) = died {
            history.add(died, "worker-1", Event::ProcessEnded);
        }
        check(&history, is_fine);
    }
}

#[test]
fn a_record_is_in_a_later_interval_also_if_all_who_held_it_were_declared_lost_for_a_fault_and_it_was_sent_once_more() {
    let over = closed(2);
    // So many of its two holders are declared lost, so many of them because a fault cuts them off; one holds it when it is.
    for (lost, cut_off, held_at, is_fine) in [
        (2, 2, over - 40, true),
        (2, 2, over - 10, true),
        (1, 1, over - 40, false),
        (2, 1, over - 40, false),
        (2, 0, over - 40, false),
    ] {
        let mut history = late(held_at, false);
        for number in 0..cut_off {
            let effect = Effect::MessageCut;
            history.fault_of(number, over - 900, "partition", NodeName::worker(number + 1), effect);
        }
        for number in 1..=lost {
            let worker = NodeName::worker(number);
            history.add(over - 20, "master", Event::WorkerLost { worker, epoch: u64::from(number) });
        }
        acknowledge(&mut history, over + 100, share(2, 0));
        check(&history, is_fine);
    }
}
