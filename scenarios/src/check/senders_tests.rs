//! Where clients send again what nobody holds: acknowledged is what is sealed, and lost only what is a client's that stayed
//! away.

use super::history::{History, block, closed};
use super::tests::{FINE, add_late_results, check, lost, move_results_to_worker_3, slow_interval_3};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName};
use std::time::Duration;

/// With a failure timeout of half a second, a client counts as gone half a second after it has left for good.
const PATIENCE: Duration = Duration::from_secs(2);

fn replays(mut history: History) -> History {
    (history.copies, history.replays) = (1, Some(PATIENCE));
    history.change(|at, event| {
        if matches!(event, Event::RecordsAcked { .. }) {
            *at += 40; // when the interval is sealed
        }
    });
    history
}

#[test]
fn what_is_acknowledged_before_its_interval_is_sealed_is_acknowledged_too_early() {
    check(&replays(History::calm(6)), FINE);
    let mut early = replays(History::calm(6));
    early.change(|at, event| {
        if matches!(event, Event::RecordsAcked { range } if range.first == 30) {
            *at -= 10;
        }
    });
    check(&early, &format!("{FINE}, broken: acknowledged means held"));
}

/// The only holders of a block of interval 3 die when it is sealed, and the engine says that it is gone.
fn given_up() -> History {
    let mut history = replays(slow_interval_3());
    history.crash(0, closed(3) + 5, 1).crash(1, closed(3) + 15, 2);
    move_results_to_worker_3(&mut history);
    history.add(closed(3) + 600, "master", lost(block(3), 30, 39, Some(3)));
    add_late_results(&mut history, &[]);
    history
}

/// The client is hit by a fault at this moment.
fn hit(history: &mut History, at: u64, effect: Effect) {
    history.fault_of(2, at, "some fault", NodeName::client(1), effect);
    if effect == Effect::ProcessEnded {
        history.add(at, "client-1", Event::ProcessEnded);
    }
}

const ALLOWED: &str = "lost 0 doubled 0 wrong 1, not exact, declared, given up 10 in [3]";
const NOT_ALLOWED: &str = "lost 0 doubled 0 wrong 1, not exact, not declared";

#[test]
fn whoever_is_lost_nothing_is_while_its_client_is_there() {
    check(&given_up(), NOT_ALLOWED);
    let mut back = given_up();
    hit(&mut back, closed(3) - 400, Effect::ProcessEnded);
    back.add(closed(3), "client-1", Event::NodeStarted { incarnation: 2 });
    check(&back, NOT_ALLOWED);
    let mut too_late = given_up();
    hit(&mut too_late, closed(3) + 8000, Effect::ProcessEnded);
    check(&too_late, NOT_ALLOWED);
}

#[test]
fn what_is_a_clients_that_stayed_away_may_be_gone() {
    for at in [closed(3) - 600, closed(3) + 50] {
        let mut gone = given_up();
        hit(&mut gone, at, Effect::ProcessEnded);
        check(&gone, ALLOWED);
        let why = &gone.checked().broken_promises[0].why;
        assert_eq!(why, "worker-1, worker-2, client-1 were lost before redundancy was back", "{at}");
    }
    let mut cut_off = given_up();
    hit(&mut cut_off, closed(3) - 600, Effect::MessageHeld);
    check(&cut_off, ALLOWED);
}

#[test]
fn what_another_worker_has_again_is_not_gone_with_its_client() {
    let mut history = given_up();
    hit(&mut history, closed(3) - 600, Effect::ProcessEnded);
    let held = Event::BlockHeld { block: block(3), ranges: vec![super::history::records(30, 39)], bytes: 80 };
    history.add(closed(3) + 10, "worker-3", held);
    check(&history, NOT_ALLOWED);
}
