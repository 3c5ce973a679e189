//! Where clients keep what they sent: they hold what is sealed, as long as they are there.

use super::*;

fn replays() -> LedgerLimits {
    LedgerLimits { copies: 1, input: Input::Replay, ..limits() }
}

fn seen(client: u32, is_there: bool) -> LedgerEvent {
    LedgerEvent::Client { client, is_there }
}

/// Worker 1 holds a block of an interval that is sealed, and is lost.
fn lost_after_the_seal() -> Vec<(u64, LedgerEvent)> {
    vec![
        (0, seen(1, true)),
        (500, announced(1, vec![report(1, 0, (0, 9), &[1])], 1)),
        (600, announced(2, vec![], 1)),
        (1100, announced(1, vec![], 1)),
        (1200, LedgerEvent::Lost(member(1))),
        (1201, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
        (1202, announced(2, vec![], 99)),
    ]
}

const LOST_AFTER_THE_SEAL: [&str; 5] = [
    "1000 seal 0 [1:0-9] [b1.1.0]",
    "1200 orphans of 1? [2]",
    "1200 holders b1.1.0 [4294967295]",
    "1200 below 0",
    "1201 orphans known",
];

fn without_seals(
    limits: LedgerLimits,
    members: &[u32],
    events: Vec<(u64, LedgerEvent)>,
    until_ms: u64,
    expected: &[&str],
) {
    let seen = said(limits, members, events, until_ms);
    let is_empty_seal = |word: &&String| word.ends_with("[] []");
    assert_eq!(seen.iter().filter(|word| !is_empty_seal(word)).collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_sealed_its_clients_hold_and_what_is_not_they_send_again() {
    check_limits(replays(), &[1, 2], lost_after_the_seal(), 1300, &LOST_AFTER_THE_SEAL);
    let events = vec![
        (500, announced(1, vec![report(1, 0, (0, 9), &[1])], 0)),
        (600, LedgerEvent::Lost(member(1))),
        (601, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
        (700, announced(2, vec![], 1)),
    ];
    let said = ["600 orphans of 1? [2]", "600 below 1", "601 orphans known", "601 below 0", "1000 seal 0 [] []"];
    check_limits(replays(), &[1, 2], events, 1100, &said);
}

#[test]
fn a_client_that_stays_away_holds_nothing_until_it_is_back() {
    let mut events = lost_after_the_seal();
    events.extend([(2000, seen(1, false)), (13_000, seen(1, true))]);
    let told = ["12000 holders b1.1.0 []", "12000 below 1", "13000 holders b1.1.0 [4294967295]", "13000 below 0"];
    without_seals(replays(), &[1, 2], events, 14_000, &[&LOST_AFTER_THE_SEAL[..], &told].concat());
}

#[test]
fn a_client_that_is_back_in_time_and_one_that_sent_nothing_of_a_block_change_nothing() {
    let mut events = lost_after_the_seal();
    events.extend([(2000, seen(1, false)), (2000, seen(2, true)), (2001, seen(2, false)), (11_990, seen(1, true))]);
    without_seals(replays(), &[1, 2], events, 14_000, &LOST_AFTER_THE_SEAL);
}

#[test]
fn a_new_master_waits_for_clients_from_when_it_goes_on() {
    let order = BlockOrder {
        name: report(1, 0, (0, 9), &[]).name,
        holders: vec![1, CLIENTS],
        skip: Vec::new(),
        ranges: Vec::new(),
    };
    let ranges = vec![RecordRange { client: 1, first: 0, last: 9 }];
    let blocks = vec![Allotment { order, ranges: ranges.clone() }];
    let open = vec![crate::master::journal::SealedInterval { interval: 0, ranges: ranges.clone(), blocks }];
    let found = Snapshot { allotted: ranges, next: 1, open, ..Snapshot::default() };
    let events = vec![
        (1500, LedgerEvent::Recovered(found)),
        (2000, LedgerEvent::Resumed),
        (2001, LedgerEvent::Asked { client: 1 }),
        (2002, announced(2, vec![], 99)),
    ];
    let told = ["2000 below 0", "2001 client-1 has [1:0-9]", "12000 holders b1.1.0 []", "12000 below 1"];
    without_seals(replays(), &[2], events, 13_000, &told);
}

#[test]
fn a_client_hears_of_what_is_in_an_interval_and_of_nothing_that_only_a_worker_has() {
    let events = vec![
        (500, announced(1, vec![report(1, 0, (0, 9), &[1])], 1)),
        (501, LedgerEvent::Asked { client: 1 }),
        (1001, LedgerEvent::Asked { client: 1 }),
    ];
    let has = "1000 client-1 has [1:0-9]";
    let told = ["501 client-1 has []", "1000 seal 0 [1:0-9] [b1.1.0]", has, "1001 client-1 has [1:0-9]"];
    check_limits(replays(), &[1], events, 1010, &told);
}

#[test]
fn who_leaves_takes_along_what_its_clients_hold_and_hands_on_what_is_in_no_interval() {
    let events = vec![
        (500, announced(1, vec![report(1, 0, (0, 9), &[1])], 0)),
        (600, LedgerEvent::Leaving(1)),
        (650, LedgerEvent::MayLeave(1)),
        (1001, announced(1, vec![], 1)),
        (1002, announced(2, vec![], 1)),
        (1003, LedgerEvent::MayLeave(1)),
    ];
    let told = ["600 copy b1.1.0 1>2", "600 below 1", "1002 seal 0 [1:0-9] [b1.1.0]", "1002 below 0", "1003 lets 1 go"];
    check_limits(replays(), &[1, 2], events, 1010, &told);
}

#[test]
fn who_waits_for_a_client_that_stays_away_is_woken_a_few_times_whatever_holds_the_records() {
    for input in [Input::Memory, Input::Log, Input::Replay] {
        let mut ledger = Ledger::new(LedgerLimits { input, ..limits() });
        let mut actions = Vec::new();
        ledger.step(Moment::ZERO, seen(1, true), &mut actions);
        ledger.step(Moment::from_millis(100), seen(1, false), &mut actions);
        let (mut now, mut steps) = (Moment::from_millis(100), 0);
        while now < Moment::from_millis(15_000) {
            now = ledger.deadline().unwrap();
            ledger.step(now, LedgerEvent::Tick, &mut actions);
            steps += 1;
            assert!(steps < 1000, "{input:?}: still woken at {now}");
        }
    }
}
