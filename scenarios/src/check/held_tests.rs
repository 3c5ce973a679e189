//! How many nodes must hold a record when its client hears that it is held, and who counts as one.

use super::history::{History, block, closed, records};
use super::tests::{FINE, check};
use dstream_trace::result::CheckResult;
use dstream_trace::{Event, NodeName};

#[test]
fn an_acknowledgement_before_the_second_copy_is_found() {
    let second = |event: &Event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3));
    let mut history = History::calm(6);
    history.remove(second);
    let held = || Event::BlockHeld { block: block(3), ranges: vec![records(30, 39)], bytes: 80 };
    history.add(closed(3) - 40, "worker-1", held());
    check(&history, &format!("{FINE}, broken: acknowledged means held"));
    // The second copy comes a moment too late.
    history.add(closed(3) - 29, "worker-2", held());
    check(&history, &format!("{FINE}, broken: acknowledged means held"));
    history.add(closed(3) - 31, "worker-2", held());
    check(&history, FINE);
}

#[test]
fn a_holder_that_died_counts_until_its_death_can_be_known_and_not_longer() {
    // Worker 3 holds the block and dies; worker 1 holds it 40 ms before the interval's end, the client hears of it 30 ms
    // before. The failure timeout is 500 ms.
    let is_broken = |died: u64, declared: Option<u64>| {
        let mut history = History::calm(6);
        history.remove(|event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3)));
        let held = || Event::BlockHeld { block: block(3), ranges: vec![records(30, 39)], bytes: 80 };
        history.add(closed(3) - died - 1, "worker-3", held());
        history.add(closed(3) - died, "worker-3", Event::ProcessEnded);
        if let Some(declared) = declared {
            let lost = Event::WorkerLost { worker: NodeName::worker(3), epoch: 3 };
            history.add(closed(3) - declared, "master", lost);
        }
        history.add(closed(3) - 40, "worker-1", held());
        let law = |law: &&CheckResult| law.check.contains("acknowledged means held");
        history.checked().laws.iter().find(law).is_some_and(|law| !law.holds)
    };
    assert!(!is_broken(50, None), "its death could not be known");
    assert!(!is_broken(50, Some(35)), "it was declared lost after the second node held the block");
    assert!(is_broken(50, Some(45)), "it was declared lost before");
    assert!(is_broken(541, None), "its death should have been known, declared or not");
}

#[test]
fn records_in_two_blocks_are_held_by_whoever_holds_either() {
    let mut history = History::calm(6);
    history.remove(|event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3)));
    let held = |number| Event::BlockHeld { block: block(number), ranges: vec![records(30, 39)], bytes: 80 };
    history.add(closed(3) - 40, "worker-1", held(3));
    history.add(closed(3) - 39, "worker-1", held(103));
    check(&history, &format!("{FINE}, broken: acknowledged means held"));
    history.add(closed(3) - 38, "worker-2", held(104));
    check(&history, FINE);
}

#[test]
fn what_is_in_a_complete_checkpoint_before_its_result_is_due_needs_no_second_copy() {
    // The result over intervals 2 and 3 is out 200 ms after the end of 3; the client hears 500 ms after the end of 2.
    let is_broken = |checkpoint: Option<(u64, u64)>| {
        let mut history = History::windowed(6, 2, 2);
        let is_copy = |event: &Event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(2));
        let is_ack = |event: &Event| matches!(event, Event::RecordsAcked { range } if *range == records(20, 29));
        history.remove(|event| is_copy(event) || is_ack(event));
        history.add(closed(2) + 500, "client-1", Event::RecordsAcked { range: records(20, 29) });
        if let Some((after, through)) = checkpoint {
            history.add(closed(2) + after, "master", Event::CheckpointComplete { through });
        }
        let law = |law: &&CheckResult| law.check.contains("acknowledged means held");
        history.checked().laws.iter().find(law).is_some_and(|law| !law.holds)
    };
    assert!(is_broken(None));
    assert!(is_broken(Some((400, 1))), "of the interval before");
    assert!(is_broken(Some((501, 2))), "a moment too late");
    assert!(!is_broken(Some((499, 2))));
}

#[test]
fn a_copy_that_was_forgotten_before_the_next_one_came_does_not_count() {
    let is_broken = |forgotten_before: u64| {
        let mut history = History::calm(6);
        history.remove(|event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3)));
        let held = || Event::BlockHeld { block: block(3), ranges: vec![records(30, 39)], bytes: 80 };
        history.add(closed(3) - 60, "worker-1", held());
        history.add(closed(3) - forgotten_before, "worker-1", Event::BlockForgotten { block: block(3) });
        history.add(closed(3) - 40, "worker-2", held());
        let law = |law: &&CheckResult| law.check.contains("acknowledged means held");
        history.checked().laws.iter().find(law).is_some_and(|law| !law.holds)
    };
    assert!(is_broken(50), "there was never more than one copy");
    assert!(!is_broken(35), "there were two for a moment: what is done with them then is known");
}

#[test]
fn what_a_later_life_holds_counts_beyond_the_one_that_ended() {
    // Worker 1 dies and is back; what it held counts for the failure timeout of 500 ms, what it holds now counts on.
    let is_broken = |held_again: bool| {
        let mut history = History::calm(6);
        history.remove(|event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3)));
        let held = || Event::BlockHeld { block: block(3), ranges: vec![records(30, 39)], bytes: 80 };
        history.add(closed(3) - 601, "worker-1", held());
        history.add(closed(3) - 600, "worker-1", Event::ProcessEnded);
        history.add(closed(3) - 500, "worker-1", Event::NodeStarted { incarnation: 2 });
        if held_again {
            history.add(closed(3) - 450, "worker-1", held());
        }
        history.add(closed(3) - 40, "worker-2", held());
        let law = |law: &&CheckResult| law.check.contains("acknowledged means held");
        history.checked().laws.iter().find(law).is_some_and(|law| !law.holds)
    };
    assert!(is_broken(false), "what its first life held is gone");
    assert!(!is_broken(true), "its second life holds it");
}

#[test]
fn where_fewer_workers_live_than_copies_are_promised_all_of_them_are_enough() {
    let mut history = History::calm(6);
    history.copies = 3;
    check(&history, &format!("{FINE}, broken: acknowledged means held"));
    history.remove(|event| matches!(event, Event::WorkerJoined { epoch: 3, .. }));
    check(&history, FINE);
}
