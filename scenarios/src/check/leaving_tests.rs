//! Whoever leaves takes nothing along that is still needed.

use super::history::{History, block, closed, records};
use super::tests::{FINE, check};
use dstream_trace::{BlockName, Event, NodeName};

/// Interval 3's block lies at two workers, of which one leaves before its results are out.
fn left_early() -> History {
    let mut history = History::calm(6);
    let origin = block(3).origin;
    history.add(closed(3) + 50, "master", Event::WorkerLeft { worker: NodeName::worker(origin), epoch: 9 });
    history
}

const BROKEN: &str = ", broken: acknowledged means held";

#[test]
fn a_worker_that_leaves_with_a_copy_that_is_needed_is_found() {
    check(&left_early(), &format!("{FINE}{BROKEN}"));
    // When all is in results nothing is needed any more.
    let mut late = History::calm(6);
    late.add(closed(6), "master", Event::WorkerLeft { worker: NodeName::worker(3), epoch: 9 });
    check(&late, FINE);
}

#[test]
fn a_record_that_was_sent_twice_may_be_held_in_either_block() {
    let again = BlockName { origin: 7, epoch: 1, number: 99 };
    let held = |at_ms: u64, by: &[u32]| {
        let mut history = left_early();
        for worker in by {
            let event = Event::BlockHeld { block: again, ranges: vec![records(30, 39)], bytes: 10 };
            history.add(at_ms, NodeName::worker(*worker).as_str(), event);
        }
        history
    };
    let others: Vec<u32> = (1..=3).filter(|worker| *worker != block(3).origin).collect();
    check(&held(closed(3) + 40, &others), FINE);
    check(&held(closed(3) + 40, &others[..1]), &format!("{FINE}{BROKEN}"));
    check(&held(closed(3) + 60, &others), &format!("{FINE}{BROKEN}"));
}

#[test]
fn the_copies_of_one_that_was_taken_for_lost_count_again_when_it_is_back() {
    let again = BlockName { origin: 7, epoch: 1, number: 99 };
    let others: Vec<u32> = (1..=3).filter(|worker| *worker != block(3).origin).collect();
    let back = NodeName::worker(others[0]);
    let check_with = |between: Option<Event>, expected: &str| {
        let mut history = left_early();
        for worker in &others {
            let event = Event::BlockHeld { block: again, ranges: vec![records(30, 39)], bytes: 10 };
            history.add(closed(3) + 30, NodeName::worker(*worker).as_str(), event);
        }
        // Fenced below the epoch of its later results, which are none of this test's.
        history.add(closed(3) + 32, "master", Event::WorkerLost { worker: back.clone(), epoch: 0 });
        history.add(closed(3) + 33, "sink", Event::Fenced { worker: back.clone(), epoch: 0 });
        if let Some(event) = between {
            history.add(closed(3) + 34, back.as_str(), event);
        }
        history.add(closed(3) + 36, "master", Event::WorkerJoined { worker: back.clone(), epoch: 10 });
        check(&history, expected);
    };
    check_with(None, FINE);
    check_with(Some(Event::BlockForgotten { block: again }), &format!("{FINE}{BROKEN}"));
}
