//! Records that two blocks have, or may have soon.

use super::*;
use crate::master::journal::Snapshot;

#[test]
fn a_block_whose_records_are_in_another_one_is_forgotten_when_that_has_its_copies() {
    // Worker 2 has them, too, in a block of its own, when only worker 1 has the first one: sealed with it, or later.
    for (at, sealed_with) in [(900, true), (1200, false)] {
        let again = announced(2, vec![report(2, 0, (0, 9), &[2])], u64::from(!sealed_with));
        let mut events = vec![
            (800, announced(1, vec![report(1, 0, (0, 9), &[1])], 0)),
            (at, again),
            (1001, announced(1, vec![], 1)),
            (1002, announced(2, vec![], 1)),
            (1300, LedgerEvent::CopyHeld { by: member(2), block: report(1, 0, (0, 9), &[]).name }),
        ];
        events.sort_by_key(|(at, _)| *at);
        let said = said(limits(), &[1, 2], events, 1400);
        let sealed = said.iter().position(|word| word == "1002 seal 0 [1:0-9] [b1.1.0]").expect("it is sealed");
        assert!(said[sealed..].iter().any(|word| word == "1300 forget [b2.2.0] at None"), "{said:?}");
        assert_eq!(said.iter().filter(|word| word.contains("forget")).count(), 1, "{said:?}");
    }
}

#[test]
fn of_two_blocks_with_the_same_records_the_one_with_all_its_copies_counts() {
    let first = |holders: &[u32]| announced(1, vec![report(1, 0, (0, 9), holders)], 0);
    let second = |holders: &[u32]| announced(2, vec![report(2, 0, (0, 14), holders)], 0);
    for (of_first, of_second, expected) in [
        (&[1, 2][..], &[2][..], "1002 seal 0 [1:0-14] [b1.1.0, b2.2.0 skip [(0, 0..10)]]"),
        (&[1], &[1, 2], "1002 seal 0 [1:0-14] [b2.2.0]"),
    ] {
        let closed = [(1001, announced(1, vec![], 1)), (1002, announced(2, vec![], 1))];
        let events = [(800, first(of_first)), (900, second(of_second))].into_iter().chain(closed).collect();
        let said = said(limits(), &[1, 2], events, 1002);
        assert!(said.iter().any(|word| word == expected), "{said:?}");
    }
}

#[test]
fn what_only_a_silent_member_has_is_left_to_the_one_to_whom_it_was_sent_again() {
    let again = |records| BlockReport { interval: 1, ..report(2, 0, records, &[2]) };
    let check = |sent_again: (u64, u64), reported: u64, expected: &[&str]| {
        let first = announced(1, vec![report(1, 0, (0, 9), &[1])], 0);
        let reports = announced(1, vec![], reported);
        let events = vec![(500, first), (900, announced(2, vec![again(sent_again)], 1)), (950, reports)];
        let seen = said(limits(), &[1, 2], events, 2600);
        let seals: Vec<&str> = seen.iter().map(String::as_str).filter(|word| word.contains(" seal ")).collect();
        assert_eq!(seals, expected);
    };
    check((0, 14), 0, &["1500 seal 0 [] []", "2500 seal 1 [1:0-14] [b2.2.0]"]);
    // It speaks, or not all of it came again.
    let first = "seal 0 [1:0-9] [b1.1.0]";
    check((0, 14), 1, &[&format!("1000 {first}"), "2500 seal 1 [1:10-14] [b2.2.0 skip [(0, 0..10)]]"]);
    // It had closed the interval, and nothing since, when that is sealed at last: a master had stood still.
    let late = |reported: u64| {
        let first = announced(1, vec![report(1, 0, (0, 9), &[1])], 1);
        let second = announced(2, vec![again((0, 14))], reported);
        let events = [(0, LedgerEvent::Recovered(Snapshot::default())), (3000, first), (3001, second)];
        let events = events.into_iter().chain([(3002, LedgerEvent::Resumed)]).collect();
        said(limits(), &[1, 2], events, 3002).into_iter().find(|word| word.contains(" seal 0 "))
    };
    assert_eq!(late(2).as_deref(), Some("3002 seal 0 [1:0-9] [b1.1.0]"));
    assert_eq!(late(3).as_deref(), Some("3002 seal 0 [] []"));
    check((5, 14), 0, &[&format!("1500 {first}"), "2500 seal 1 [1:10-14] [b2.2.0 skip [(0, 0..5)]]"]);
}

/// A worker that had been away says with its join, or just after it, what it has of its last life.
fn brought(with_its_join: bool) -> LedgerEvent {
    let blocks = vec![report(2, 0, (0, 9), &[2])];
    if with_its_join {
        LedgerEvent::Announced { by: 2, blocks, closed_below: None }
    } else {
        LedgerEvent::Orphans { by: 2, origin: Member { worker: 2, epoch: 1 }, blocks }
    }
}

/// Worker 2 brings records that nobody else has, and is lost after the seal; their client sends them to worker 1. In which
/// intervals they are.
fn sealed_in(with_its_join: bool, copied: bool) -> Vec<String> {
    let mut events = vec![(900, brought(with_its_join))];
    if copied {
        events.push((950, LedgerEvent::CopyHeld { by: member(1), block: report(2, 0, (0, 9), &[]).name }));
    }
    events.extend((1..=3).map(|worker| (1000, announced(worker, vec![], 1))));
    events.push((1010, LedgerEvent::Lost(member(2))));
    let orphans = |by| LedgerEvent::Orphans { by, origin: member(2), blocks: vec![] };
    events.extend([(1020, orphans(1)), (1020, orphans(3))]);
    events.push((1500, announced(1, vec![report(1, 0, (0, 9), &[1, 3])], 1)));
    events.extend([(2000, announced(1, vec![], 2)), (2000, announced(3, vec![], 2))]);
    said(limits(), &[1, 2, 3], events, 2100).into_iter().filter(|word| word.contains("seal")).collect()
}

#[test]
fn what_only_one_has_that_has_just_come_back_is_in_no_interval_before_it_has_its_copies() {
    for with_its_join in [true, false] {
        assert_eq!(sealed_in(with_its_join, true), ["1000 seal 0 [1:0-9] [b2.2.0]", "2000 seal 1 [] []"]);
        assert_eq!(sealed_in(with_its_join, false), ["1000 seal 0 [] []", "2000 seal 1 [1:0-9] [b1.1.0]"]);
    }
}

#[test]
fn what_gets_no_copies_waits_for_an_interval_at_most() {
    let mut events = vec![(900, brought(true))];
    for interval in 1..=2 {
        events.extend((1..=2).map(|worker| (interval * 1000, announced(worker, vec![], interval))));
    }
    let seals = said(limits(), &[1, 2], events, 2000).into_iter().filter(|word| word.contains("seal"));
    assert_eq!(seals.collect::<Vec<_>>(), ["1000 seal 0 [] []", "2000 seal 1 [1:0-9] [b2.2.0]"]);
}
