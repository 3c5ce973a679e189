//! Records that two blocks have, or may have soon.

use super::*;

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

/// Worker 1 alone has records of interval 0; worker 2 has them with all copies, and some more, for interval 1.
fn sent_again(of_first: &[u32], again: (u64, u64)) -> Vec<String> {
    let second = BlockReport { interval: 1, ..report(2, 0, again, &[1, 2]) };
    let mut events = vec![(500, announced(1, vec![report(1, 0, (0, 9), of_first)], 0))];
    events.push((900, announced(2, vec![second], 1)));
    events.extend([(1000, announced(1, vec![], 1)), (2000, announced(1, vec![], 2)), (2000, announced(2, vec![], 2))]);
    said(limits(), &[1, 2], events, 2000).into_iter().filter(|word| word.contains(" seal ")).collect()
}

#[test]
fn what_lacks_copies_is_left_to_those_to_whom_it_was_sent_again_for_a_later_interval() {
    assert_eq!(sent_again(&[1], (0, 14)), ["1000 seal 0 [] []", "2000 seal 1 [1:0-14] [b2.2.0]"]);
    let rest = "2000 seal 1 [1:0-14] [b1.1.0 skip [(0, 5..10)], b2.2.0]";
    assert_eq!(sent_again(&[1], (5, 14)), ["1000 seal 0 [] []", rest]);
    let first = "1000 seal 0 [1:0-9] [b1.1.0]";
    assert_eq!(sent_again(&[1, 2], (0, 14)), [first, "2000 seal 1 [1:10-14] [b2.2.0 skip [(0, 0..10)]]"]);
    assert_eq!(sent_again(&[1], (10, 14)), [first, "2000 seal 1 [1:10-14] [b2.2.0]"]);
}

/// Worker 1 alone has these records, from one that is lost, and has said so to nobody but the master.
fn left_to_1() -> LedgerEvent {
    LedgerEvent::Orphans { by: 1, origin: member(9), blocks: vec![report(1, 0, (0, 9), &[1])] }
}

/// What happens to a block that only worker 1 has when its interval is sealed, and worker 1 is lost thereafter.
fn lost_untold(then: &[(u64, LedgerEvent)]) -> Vec<String> {
    let mut events = vec![
        (100, LedgerEvent::Client { client: 1, is_there: true }),
        (800, left_to_1()),
        (900, announced(1, vec![], 1)),
        (901, announced(2, vec![], 1)),
        (1100, LedgerEvent::Lost(member(1))),
        (1101, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
        (1102, announced(2, vec![], 99)),
    ];
    events.extend_from_slice(then);
    events.sort_by_key(|(at, _)| *at);
    let said = said(limits(), &[1, 2], events, 2900);
    said.into_iter().filter(|word| word.contains("b1.1.0") && !word.contains("copy")).collect()
}

#[test]
fn what_nobody_could_say_is_held_its_clients_have_still_when_its_only_holder_is_lost() {
    let mut expected = vec!["1000 seal 0 [1:0-9] [b1.1.0]", "1100 holders b1.1.0 [4294967294]"];
    assert_eq!(lost_untold(&[]), expected);
    // That the master has no word of theirs says nothing of whether workers have.
    assert_eq!(lost_untold(&[(1200, LedgerEvent::Client { client: 1, is_there: false })]), expected);
    // They let it go, or send it to the other, which has as many copies as can be.
    let name = report(1, 0, (0, 9), &[]).name;
    expected.push("1200 holders b1.1.0 []");
    assert_eq!(lost_untold(&[(1200, LedgerEvent::NotHeld { at: UNTOLD_CLIENTS, block: name })]), expected);
    expected[2] = "1200 holders b1.1.0 [2, 4294967294]";
    expected.push("1200 holders b1.1.0 [2]");
    assert_eq!(lost_untold(&[(1200, LedgerEvent::CopyHeld { by: member(2), block: name })]), expected);
}

/// Worker 1 alone has records of a sealed interval, and gets a copy of them, or is lost and they with it; worker 2
/// announces the same ones, and perhaps others. What they hear.
fn heard(again: (u64, u64), ends: LedgerEvent) -> Vec<String> {
    let mut events = vec![(800, left_to_1()), (900, announced(1, vec![], 1)), (901, announced(2, vec![], 1))];
    events.push((1200, announced(2, vec![report(2, 0, again, &[1, 2])], 1)));
    events.push((1300, ends));
    let of_them = |word: &String| word.contains("heard of") || word.contains("forget");
    all_said(limits(), &[1, 2], events, 1400).into_iter().filter(of_them).collect()
}

#[test]
fn who_has_what_is_in_another_block_that_lacks_copies_hears_that_it_is_held_when_that_one_has_them_or_is_gone() {
    let name = report(1, 0, (0, 9), &[]).name;
    for ends in [LedgerEvent::CopyHeld { by: member(2), block: name }, LedgerEvent::GivenUp(name)] {
        assert_eq!(heard((0, 9), ends.clone()), ["1300 forget [b2.2.0] at None"]);
        assert_eq!(heard((5, 14), ends.clone()), ["1300 2 heard of [b2.2.0]"]);
        assert_eq!(heard((10, 14), ends), ["1200 2 heard of [b2.2.0]"]);
    }
}

#[test]
fn what_waits_for_another_block_and_comes_in_a_third_one_is_not_heard_of_before_the_first_has_its_copies() {
    let block = |origin, records, holders: &[u32]| BlockReport { interval: 1, ..report(origin, 1, records, holders) };
    let mut events = vec![(800, left_to_1())];
    events.extend((1..=3).map(|worker| (900, announced(worker, vec![], 1))));
    // Some are in a block that only worker 1 has, and the rest in one that is allotted first.
    events.push((1200, announced(2, vec![block(2, (5, 14), &[2, 3])], 1)));
    events.push((1300, announced(1, vec![block(1, (10, 14), &[1, 3])], 1)));
    events.extend((1..=3).map(|worker| (2000, announced(worker, vec![], 2))));
    events.push((2200, LedgerEvent::CopyHeld { by: member(2), block: report(1, 0, (0, 9), &[]).name }));
    let of_second = |word: &String| word.contains("b2.2.1") && (word.contains("heard of") || word.contains("forget"));
    let said = all_said(limits(), &[1, 2, 3], events, 2300).into_iter().filter(of_second);
    assert_eq!(said.collect::<Vec<_>>(), ["2200 forget [b2.2.1] at None"]);
}

#[test]
fn of_two_blocks_that_lack_copies_the_one_that_was_heard_of_counts_and_its_clients_are_not_asked() {
    let mut events = vec![(700, announced(2, vec![report(2, 0, (0, 9), &[2, 3])], 1))];
    events.push((800, LedgerEvent::Lost(member(3))));
    // A copy of another one turns up, of which nobody had heard.
    let copies = |by| if by == 1 { vec![report(1, 0, (0, 9), &[1])] } else { vec![] };
    events.extend([1, 2].map(|by| (801, LedgerEvent::Orphans { by, origin: member(3), blocks: copies(by) })));
    events.push((900, announced(1, vec![], 1)));
    events.extend([(1100, LedgerEvent::Lost(member(1)))]);
    let said = said(limits(), &[1, 2, 3], events, 1100).into_iter().filter(|word| !word.contains("copy"));
    let of_blocks: Vec<String> = said.filter(|word| word.contains("seal") || word.contains("holders")).collect();
    assert_eq!(of_blocks, ["1000 seal 0 [1:0-9] [b2.2.0]"]);
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

#[test]
fn what_a_worker_sends_after_its_loss_to_one_that_came_later_is_asked_for_when_the_last_other_copy_goes() {
    let (block, orphans) =
        (report(3, 0, (0, 9), &[1, 3]), |by, origin, blocks| LedgerEvent::Orphans { by, origin, blocks });
    check(
        &[1, 3],
        vec![
            (100, announced(3, vec![block], 1)),
            (600, LedgerEvent::Lost(member(3))),
            (601, orphans(1, member(3), vec![])),
            (700, LedgerEvent::Joined(member(2))),
            (800, LedgerEvent::Lost(member(1))),
            (801, orphans(2, member(1), vec![])),
            (802, orphans(2, member(3), vec![report(3, 0, (0, 9), &[2])])),
            (1001, announced(2, vec![], 1)),
        ],
        1002,
        &[
            "600 orphans of 3? [1]",
            "600 below 0",
            "601 orphans known",
            "700 copy b3.3.0 1>2",
            "700 below 1",
            "800 orphans of 1? [2]",
            "800 orphans of 3? [2]",
            "800 below 1",
            "802 orphans known",
            "802 below 0",
            "1001 seal 0 [1:0-9] [b3.3.0]",
        ],
    );
}
