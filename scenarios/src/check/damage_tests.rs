//! Copies of workers that are declared lost while they live: gone while they are away, theirs again when they are back.

use super::history::{History, block, closed};
use super::tests::{add_late_results, check, lost, move_results_to_worker_3, slow_interval_3};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName, TaskName};

/// Worker 1, one of two holders, is declared lost while it stands still, and is back before worker 2, the other one, dies.
fn back_before_the_second_loss() -> History {
    let mut history = slow_interval_3();
    let worker = NodeName::worker(1);
    history.fault(0, closed(3) - 500, "pause", 1, Effect::HeldByPause);
    history.add(closed(3) + 4, "master", Event::WorkerLost { worker: worker.clone(), epoch: 1 });
    history.add(closed(3) + 5, "sink", Event::Fenced { worker: worker.clone(), epoch: 1 });
    history.add(closed(3) + 8, "master", Event::WorkerJoined { worker, epoch: 9 });
    history.add(closed(3) + 9, "master", Event::CopiesBelow { blocks: 0 });
    history.crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    history
}

#[test]
fn a_worker_that_comes_back_holds_what_it_held() {
    // Its copy is left: nothing may be lost.
    assert!(!back_before_the_second_loss().checked().declared.holds());
    // It dies as well, before the copies are made again: the block may be gone.
    let mut both = back_before_the_second_loss();
    both.crash(2, closed(3) + 18, 1);
    check(&both, "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
}

#[test]
fn a_worker_that_has_just_come_covers_no_loss_before_the_copies_are_made() {
    // Worker 1 was alone when it received block 3. Workers 2 and 3 come, then it dies.
    for is_copied in [false, true] {
        let mut history = slow_interval_3();
        history.change(|at, event| {
            if let Event::WorkerJoined { epoch: 2 | 3, .. } = event {
                *at = closed(3) + 5;
            }
        });
        history.remove(|event| matches!(event, Event::BlockHeld { block: held, .. } if *held == block(3)));
        let held = Event::BlockHeld { block: block(3), ranges: vec![super::history::records(30, 39)], bytes: 10 };
        history.add(closed(3) - 40, "worker-1", held);
        history.add(closed(3) + 5, "master", Event::CopiesBelow { blocks: 1 });
        if is_copied {
            history.add(closed(3) + 9, "master", Event::CopiesBelow { blocks: 0 });
        }
        history.crash(0, closed(3) + 15, 1);
        move_results_to_worker_3(&mut history);
        history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
        add_late_results(&mut history, &[]);
        assert_eq!(history.checked().declared.holds(), !is_copied, "copied: {is_copied}");
    }
}

#[test]
fn what_a_worker_lets_go_while_it_is_away_does_not_come_back_with_it() {
    let mut history = back_before_the_second_loss();
    history.add(closed(3) + 6, "worker-1", Event::BlockForgotten { block: block(3) });
    history.crash(2, closed(3) + 18, 1);
    assert!(!history.checked().declared.holds());
}

#[test]
fn a_process_that_ended_while_it_was_away_comes_back_with_nothing() {
    let mut history = back_before_the_second_loss();
    history.add(closed(3) + 6, "worker-1", Event::ProcessEnded);
    history.add(closed(3) + 10, "master", Event::CopiesBelow { blocks: 0 });
    history.crash(2, closed(3) + 18, 1);
    let checked = history.checked();
    assert_eq!(checked.broken_promises.iter().map(|promise| promise.records).sum::<u64>(), 0, "{checked:#?}");
}

#[test]
fn a_copy_that_comes_to_a_worker_while_it_is_away_saves_nothing() {
    let mut history = slow_interval_3();
    let worker = NodeName::worker(3);
    history.fault(0, closed(3) - 500, "pause", 3, Effect::HeldByPause);
    history.add(closed(3) + 4, "master", Event::WorkerLost { worker: worker.clone(), epoch: 1 });
    history.add(closed(3) + 5, "sink", Event::Fenced { worker: worker.clone(), epoch: 1 });
    let held = Event::BlockHeld { block: block(3), ranges: vec![super::history::records(30, 39)], bytes: 10 };
    history.add(closed(3) + 6, "worker-3", held);
    history.crash(1, closed(3) + 15, 1);
    history.crash(2, closed(3) + 18, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    history.add(closed(3) + 650, "master", Event::WorkerJoined { worker, epoch: 9 });
    add_late_results(&mut history, &[]);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]");
}

#[test]
fn slices_that_are_made_at_a_worker_while_it_is_away_save_nothing_before_it_is_back() {
    for is_back in [false, true] {
        let mut history = slow_interval_3();
        let worker = NodeName::worker(3);
        history.fault(0, closed(3) - 500, "pause", 3, Effect::HeldByPause);
        history.add(closed(3) + 4, "master", Event::WorkerLost { worker: worker.clone(), epoch: 1 });
        history.add(closed(3) + 5, "sink", Event::Fenced { worker: worker.clone(), epoch: 1 });
        let task = TaskName { interval: 3, stage: 0, partition: 0, attempt: 0 };
        history.add(closed(3) + 6, "worker-3", Event::TaskFinished { task, cpu_ns: 1, records: 10 });
        let joined_at = closed(3) + if is_back { 8 } else { 650 };
        history.add(joined_at, "master", Event::WorkerJoined { worker, epoch: 9 });
        history.crash(1, closed(3) + 15, 1);
        history.crash(2, closed(3) + 18, 2);
        move_results_to_worker_3(&mut history);
        history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
        add_late_results(&mut history, &[]);
        assert_eq!(history.checked().declared.holds(), !is_back, "back: {is_back}");
    }
}
