//! Calm after the last fault: what is late for it, by a millisecond, and what need not come at all.

use super::history::{History, records};
use super::outcome_tests::run;
use crate::plan::Expectation;
use dstream_trace::measure::{Effect, FaultFacts};
use dstream_trace::{Event, Moment, NodeName};
use std::time::Duration;

/// What the calm check says, with this many milliseconds after the last fault; empty where it holds.
fn said(history: &History, bound_ms: u64) -> String {
    let outcome = run(history, vec![Expectation::Calm(Duration::from_millis(bound_ms))], true, false);
    let mut checks = outcome.result.checks.into_iter().filter(|check| check.check.starts_with("calm"));
    let calm = checks.next().expect("what is expected is checked");
    assert_eq!(calm.holds, calm.detail.is_empty());
    calm.detail
}

#[track_caller]
fn check(history: &History, bound_ms: u64, expected: &str) {
    let said = said(history, bound_ms);
    assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "`{said}` instead of `{expected}`");
}

/// Worker 3 dies at 5.1 s and is back at 6 s.
fn restarted() -> History {
    let mut history = History::calm(10);
    history.crash(0, 5100, 3);
    history.add(6000, "driver", Event::FaultEnded { fault: 0, node: NodeName::worker(3) });
    history
}

/// The results of interval 6, which ends at 8 s, come at 9.5 s. On time is within 301 ms.
fn late(mut history: History) -> History {
    history.change(|at, event| {
        if matches!(event, Event::ResultVisible { interval: 6, .. }) {
            *at = 9500;
        }
    });
    history
}

#[test]
fn a_result_may_be_late_until_so_long_after_the_last_fault_ended() {
    check(&late(restarted()), 3500, "");
    check(&late(restarted()), 3499, "interval 6 was out at 9.500000000s, due at 9.499000000s");
    // An earlier fault that ends later is the last one.
    let mut two = late(restarted());
    two.fault(1, 4000, "pause", 2, Effect::HeldByPause);
    two.add(7000, "driver", Event::FaultEnded { fault: 1, node: NodeName::worker(2) });
    check(&two, 2500, "");
    check(&two, 2499, "interval 6 was out");
}

#[test]
fn a_fault_without_an_end_counts_from_its_beginning() {
    let mut history = History::calm(10);
    history.crash(0, 5100, 3);
    let history = late(history);
    check(&history, 4400, "");
    check(&history, 4399, "interval 6 was out at 9.500000000s");
}

#[test]
fn after_the_calm_has_begun_every_result_is_on_time_and_none_stays_away() {
    check(&restarted(), 1, "");
    // Interval 8 ends at 10 s and is out at 10.2 s, or never.
    let at = |when: u64| {
        let mut history = restarted();
        history.change(|at, event| {
            if matches!(event, Event::ResultVisible { interval: 8, .. }) {
                *at = when;
            }
        });
        history
    };
    check(&at(10_301), 1000, "");
    check(&at(10_302), 1000, "interval 8 was out at 10.302000000s, due at 10.301000000s");
    let mut never = restarted();
    never.remove(|event| matches!(event, Event::ResultVisible { interval: 8, partition: 1, .. }));
    check(&never, 1000, "interval 8 was not out");
}

#[test]
fn a_run_without_faults_is_calm_however_late() {
    check(&late(History::calm(10)), 1, "");
}

#[test]
fn records_are_acknowledged_when_the_calm_begins_if_there_was_time_for_it() {
    // Those of interval 6 were due at 7.9 s at the latest; one interval and the failure timeout later it is 9.4 s. They are
    // acknowledged at 9.5 s.
    let mut history = restarted();
    history.change(|at, event| {
        if matches!(event, Event::RecordsAcked { range } if *range == records(60, 69)) {
            *at = 9500;
        }
    });
    check(&history, 3400, "");
    check(&history, 3401, "were not acknowledged by 9.401000000s");
    check(&history, 3499, "were not acknowledged by 9.499000000s");
    check(&history, 3500, "");
}

#[test]
fn a_client_that_is_gone_for_good_is_not_waited_for_and_one_that_comes_back_is() {
    let gone = |back: bool| {
        let mut history = History::calm(10);
        let node = NodeName::new("client-1");
        history.faults.push(FaultFacts {
            number: 0,
            fault: "crash".into(),
            nodes: vec![node.clone()],
            others: Vec::new(),
            effect: Effect::ProcessEnded,
            due: Moment::from_millis(5000),
        });
        history.add(5000, "driver", Event::FaultApplied { fault: 0, node: node.clone() });
        history.add(5000, "client-1", Event::ProcessEnded);
        if back {
            history.add(5500, "driver", Event::FaultEnded { fault: 0, node });
        }
        history.remove(|event| matches!(event, Event::RecordsAcked { range } if *range == records(20, 29)));
        history
    };
    check(&gone(false), 1000, "");
    check(&gone(true), 1000, "were not acknowledged by 6.500000000s");
}

#[test]
fn copies_come_back_when_the_calm_has_begun_if_there_are_nodes_for_them() {
    let lacking = |changes: &[(u64, u64)], lost: u32, heirs: u32| {
        let mut history = restarted();
        history.heirs = heirs;
        for (at, blocks) in changes {
            history.add(*at, "master", Event::CopiesBelow { blocks: *blocks });
        }
        for worker in 1..=lost {
            history.crash(worker, 5200, worker);
        }
        history
    };
    check(&lacking(&[(5600, 3), (6900, 0)], 0, 0), 1000, "");
    check(&lacking(&[(5600, 3)], 0, 0), 1000, "3 blocks or partitions lacked copies at 7.000000000s, and to the end");
    check(&lacking(&[(5600, 3), (7100, 1)], 0, 0), 1000, "1 blocks or partitions lacked copies");
    // What lacks copies at the deadline has just come.
    check(&lacking(&[(5600, 3), (6900, 0), (6950, 1), (7100, 0), (7200, 2)], 0, 0), 1000, "");
    // A master that was deposed and has yet to hear of it counts what another one has had copied.
    let deposed = |by: &str| {
        let mut history = lacking(&[(5600, 3), (6900, 0)], 0, 0);
        history.add(1, "master", Event::MasterElected { term: 1 });
        history.add(5550, "master", Event::MasterElected { term: 2 });
        history.add(6950, by, Event::CopiesBelow { blocks: 3 });
        history
    };
    check(&deposed("standby-1"), 1000, "");
    check(&deposed("master"), 1000, "3 blocks or partitions lacked copies");
    // Two of three are left for two copies; then one.
    check(&lacking(&[(5600, 1)], 1, 0), 1000, "1 blocks or partitions lacked copies");
    check(&lacking(&[(5600, 3)], 2, 0), 1000, "");
    // With an idle node beside them the place of the one that is gone may stay empty, and no other.
    check(&lacking(&[(5600, 1)], 1, 1), 1000, "");
    check(&lacking(&[(5600, 2)], 1, 1), 1000, "2 blocks or partitions lacked copies");
    check(&lacking(&[(5600, 2)], 2, 1), 1000, "2 blocks or partitions lacked copies");
    check(&lacking(&[(5600, 1)], 0, 1), 1000, "1 blocks or partitions lacked copies");
}

#[test]
fn a_client_that_stays_away_is_waited_for_where_it_would_be_asked() {
    let mut history = History::calm(10);
    history.fault_of(0, 5100, "crash", NodeName::client(1), Effect::ProcessEnded);
    let mut history = late(history);
    check(&history, 4400, "");
    check(&history, 4399, "interval 6 was out");
    history.replays = Some(Duration::from_secs(2));
    check(&history, 400, "");
    check(&history, 399, "interval 6 was out");
}
