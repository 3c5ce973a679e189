//! What the ledger decides, event by event.

use super::*;
use crate::log::LOG;

mod clients;
mod log;
mod masked;

fn limits() -> LedgerLimits {
    LedgerLimits {
        copies: 2,
        input: Input::Memory,
        interval: Duration::from_secs(1),
        slack: Duration::ZERO,
        origin: Moment::ZERO,
        patience: Duration::from_millis(500),
        placement: Placement::Load,
    }
}

fn member(worker: u32) -> Member {
    Member { worker, epoch: u64::from(worker) }
}

fn joined(workers: &[u32]) -> Vec<(u64, LedgerEvent)> {
    workers.iter().map(|worker| (0, LedgerEvent::Joined(member(*worker)))).collect()
}

fn report(origin: u32, number: u64, records: (u64, u64), holders: &[u32]) -> BlockReport {
    BlockReport {
        name: BlockName { origin, epoch: u64::from(origin), number },
        interval: 0,
        ranges: vec![RecordRange { client: 1, first: records.0, last: records.1 }],
        bytes: 100,
        holders: holders.iter().copied().map(member).collect(),
    }
}

fn announced(by: u32, blocks: Vec<BlockReport>, closed_below: u64) -> LedgerEvent {
    LedgerEvent::Announced { by, blocks, closed_below: Some(closed_below) }
}

fn word(action: &LedgerAction) -> String {
    match action {
        LedgerAction::Seal { interval, ranges, blocks } => {
            let block = |b: &Allotment| {
                let skip: Vec<_> = b.order.skip.iter().map(|skip| (skip.segment, skip.from..skip.to)).collect();
                if skip.is_empty() { b.order.name.to_string() } else { format!("{} skip {skip:?}", b.order.name) }
            };
            format!("seal {interval} {ranges:?} [{}]", blocks.iter().map(block).collect::<Vec<_>>().join(", "))
        }
        LedgerAction::Holders { block, holders } => format!("holders {block} {holders:?}"),
        LedgerAction::AskOrphans { origin, of } => format!("orphans of {}? {of:?}", origin.worker),
        LedgerAction::OrphansKnown => "orphans known".to_owned(),
        LedgerAction::AskLog { origin, known } => format!("log of {}? not {known:?}", origin.worker),
        LedgerAction::OrderCopy { block, from, to } => format!("copy {block} {from}>{to}"),
        LedgerAction::Forget { by, blocks } => format!("forget {blocks:?} at {by:?}"),
        LedgerAction::Heard { by, blocks } => format!("{by} heard of {blocks:?}"),
        LedgerAction::Answer { client, ranges } => format!("client-{client} has {ranges:?}"),
        LedgerAction::Record(Event::CopiesBelow { blocks }) => format!("below {blocks}"),
        LedgerAction::GiveUp(GivenUp { block, ranges, .. }) => format!("lost {block} {ranges:?}"),
        LedgerAction::Gone(ranges) => format!("gone {ranges:?}"),
        LedgerAction::LetsGo(worker) => format!("lets {worker} go"),
        LedgerAction::Record(event) => format!("{event:?}"),
    }
}

/// Feeds events at milliseconds after the members joined, with ticks when the ledger asks for them.
fn check(members: &[u32], events: Vec<(u64, LedgerEvent)>, until_ms: u64, expected: &[&str]) {
    check_limits(limits(), members, events, until_ms, expected);
}

fn check_limits(
    limits: LedgerLimits,
    members: &[u32],
    events: Vec<(u64, LedgerEvent)>,
    until_ms: u64,
    expected: &[&str],
) {
    assert_eq!(said(limits, members, events, until_ms), expected);
}

/// All but what members hear of what they announce.
fn said(limits: LedgerLimits, members: &[u32], events: Vec<(u64, LedgerEvent)>, until_ms: u64) -> Vec<String> {
    let all = all_said(limits, members, events, until_ms);
    all.into_iter().filter(|word| !word.contains(" heard of ")).collect()
}

fn all_said(limits: LedgerLimits, members: &[u32], events: Vec<(u64, LedgerEvent)>, until_ms: u64) -> Vec<String> {
    let mut ledger = Ledger::new(limits);
    let (mut seen, mut actions) = (Vec::new(), Vec::new());
    for (at, event) in joined(members) {
        ledger.step(Moment::from_millis(at), event, &mut actions);
    }
    actions.clear();
    let mut events = events.into_iter().peekable();
    loop {
        let tick = ledger.deadline().unwrap_or(Moment::NEVER);
        let (at, event) = match events.next_if(|(at, _)| Moment::from_millis(*at) <= tick) {
            Some((at, event)) => (Moment::from_millis(at), event),
            None if tick <= Moment::from_millis(until_ms) => (tick, LedgerEvent::Tick),
            None => break,
        };
        ledger.step(at, event, &mut actions);
        seen.extend(actions.drain(..).map(|action| format!("{} {}", at.0 / 1_000_000, word(&action))));
    }
    seen
}

#[test]
fn an_interval_is_sealed_when_all_members_have_closed_it() {
    check(
        &[1, 2],
        vec![
            (500, announced(1, vec![report(1, 0, (0, 9), &[1, 2])], 0)),
            (1001, announced(1, vec![], 1)),
            (1003, announced(2, vec![report(2, 0, (10, 19), &[1, 2])], 1)),
        ],
        1400,
        &["1003 seal 0 [1:0-19] [b1.1.0, b2.2.0]"],
    );
}

#[test]
fn who_leaves_goes_when_its_interval_is_closed_and_its_copies_are_elsewhere() {
    check(
        &[1, 2, 3],
        vec![
            (500, announced(1, vec![report(1, 0, (0, 9), &[1, 2])], 0)),
            (600, LedgerEvent::Leaving(1)),
            (700, LedgerEvent::MayLeave(1)),
            (800, LedgerEvent::CopyHeld { by: member(3), block: report(1, 0, (0, 9), &[]).name }),
            (900, LedgerEvent::MayLeave(1)),
            (1001, announced(1, vec![], 1)),
            (1002, LedgerEvent::MayLeave(1)),
        ],
        1100,
        &["600 copy b1.1.0 1>3", "600 below 1", "800 below 0", "1002 lets 1 go"],
    );
}

#[test]
fn what_one_that_leaves_holds_is_not_gone_with_those_it_handed_it_on_to() {
    check(
        &[1, 2, 3],
        vec![
            (600, LedgerEvent::Leaving(1)),
            (650, announced(1, vec![report(1, 0, (0, 9), &[2, 3])], 0)),
            (700, LedgerEvent::Lost(member(2))),
            (701, LedgerEvent::Lost(member(3))),
            (702, LedgerEvent::Stays(1)),
            (703, LedgerEvent::Orphans { by: 1, origin: member(2), blocks: vec![] }),
            (704, LedgerEvent::Orphans { by: 1, origin: member(3), blocks: vec![] }),
        ],
        800,
        &[
            "600 below 0",
            "700 orphans of 2? [1, 3]",
            "700 below 0",
            "701 orphans of 3? [1]",
            "701 below 0",
            "702 below 0",
            "704 orphans known",
        ],
    );
}

#[test]
fn who_stays_after_all_counts_as_before() {
    check(
        &[1, 2, 3],
        vec![
            (500, announced(1, vec![report(1, 0, (0, 9), &[1, 2])], 0)),
            (600, LedgerEvent::Leaving(1)),
            (700, LedgerEvent::Stays(1)),
            (1001, announced(1, vec![], 1)),
            (1002, LedgerEvent::MayLeave(1)),
        ],
        1100,
        &["600 copy b1.1.0 1>3", "600 below 1", "700 below 0"],
    );
}

#[test]
fn a_client_hears_of_records_that_are_held_often_enough_or_in_results() {
    let asked = || LedgerEvent::Asked { client: 1 };
    check(
        &[1, 2],
        vec![
            (500, announced(1, vec![report(1, 0, (0, 9), &[1, 2]), report(1, 1, (30, 39), &[1])], 0)),
            (501, asked()),
            (502, LedgerEvent::Asked { client: 2 }),
            (1001, announced(1, vec![], 1)),
            (1003, announced(2, vec![report(2, 0, (10, 19), &[1, 2])], 1)),
            (1004, asked()),
            (1005, LedgerEvent::Done { interval: 0 }),
            (1006, asked()),
        ],
        1010,
        &[
            "500 copy b1.1.1 1>2",
            "500 below 1",
            "501 client-1 has [1:0-9]",
            "502 client-2 has []",
            "1000 copy b1.1.1 1>2",
            "1003 seal 0 [1:0-19, 1:30-39] [b1.1.0, b1.1.1, b2.2.0]",
            "1004 client-1 has [1:0-19]",
            "1005 forget [b1.1.0, b1.1.1, b2.2.0] at None",
            "1005 client-1 has [1:30-39]",
            "1005 below 0",
            "1006 client-1 has [1:0-19, 1:30-39]",
        ],
    );
}

#[test]
fn a_member_that_does_not_report_is_waited_for_only_so_long() {
    let block = report(1, 0, (0, 9), &[1, 2]);
    check(&[1, 2], vec![(1001, announced(1, vec![block], 1))], 1600, &["1500 seal 0 [1:0-9] [b1.1.0]"]);
}

#[test]
fn a_record_that_came_twice_is_allotted_once() {
    check(
        &[1, 2],
        vec![
            (900, announced(1, vec![report(1, 0, (0, 9), &[1, 2])], 0)),
            (950, announced(2, vec![report(2, 0, (5, 14), &[1, 2]), report(2, 1, (2, 3), &[1, 2])], 0)),
            (1001, announced(1, vec![], 1)),
            (1002, announced(2, vec![], 1)),
        ],
        1400,
        &["1002 seal 0 [1:0-14] [b1.1.0, b2.2.0 skip [(0, 0..5)]]", "1002 forget [b2.2.1] at None"],
    );
}

#[test]
fn an_announcement_that_comes_again_after_the_interval_is_done_is_forgotten() {
    let block = || report(1, 0, (0, 9), &[1, 2]);
    check(
        &[1, 2],
        vec![
            (1001, announced(1, vec![block()], 1)),
            (1002, announced(2, vec![], 1)),
            (1100, LedgerEvent::Done { interval: 0 }),
            (1200, announced(1, vec![block()], 1)),
        ],
        1400,
        &["1002 seal 0 [1:0-9] [b1.1.0]", "1100 forget [b1.1.0] at None", "1200 forget [b1.1.0] at None"],
    );
}

#[test]
fn the_blocks_of_a_lost_worker_are_announced_by_the_holders_of_their_copies() {
    let orphan = report(1, 0, (0, 9), &[2]);
    check(
        &[1, 2, 3],
        vec![
            (1001, announced(2, vec![], 1)),
            (1002, announced(3, vec![], 1)),
            (1300, LedgerEvent::Lost(member(1))),
            (1301, LedgerEvent::Orphans { by: 3, origin: member(1), blocks: vec![] }),
            (1302, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![orphan] }),
        ],
        1400,
        &[
            "1300 orphans of 1? [2, 3]",
            "1300 below 0",
            "1302 orphans known",
            "1302 seal 0 [1:0-9] [b1.1.0]",
            "1302 copy b1.1.0 2>3",
            "1302 below 1",
        ],
    );
}

#[test]
fn copies_are_made_again_and_counted() {
    let name = BlockName { origin: 1, epoch: 1, number: 0 };
    check(
        &[1, 2, 3],
        vec![
            (100, announced(1, vec![report(1, 0, (0, 9), &[1, 2])], 0)),
            (200, LedgerEvent::Lost(member(2))),
            (210, LedgerEvent::Orphans { by: 1, origin: member(2), blocks: vec![] }),
            (211, LedgerEvent::Orphans { by: 3, origin: member(2), blocks: vec![] }),
            (250, LedgerEvent::CopyHeld { by: member(3), block: name }),
        ],
        900,
        &["200 orphans of 2? [1, 3]", "200 copy b1.1.0 1>3", "200 below 1", "211 orphans known", "250 below 0"],
    );
}

#[test]
fn a_copy_that_comes_when_the_block_is_over_is_forgotten_at_once() {
    let name = BlockName { origin: 1, epoch: 1, number: 0 };
    check(
        &[1, 3],
        vec![
            (100, announced(1, vec![report(1, 0, (0, 9), &[1])], 1)),
            (110, announced(3, vec![], 1)),
            (1100, LedgerEvent::Done { interval: 0 }),
            (1101, LedgerEvent::CopyHeld { by: member(3), block: name }),
        ],
        1102,
        &[
            "100 copy b1.1.0 1>3",
            "100 below 1",
            "600 copy b1.1.0 1>3",
            "1000 seal 0 [1:0-9] [b1.1.0]",
            "1100 forget [b1.1.0] at None",
            "1100 below 0",
            "1101 forget [b1.1.0] at Some(3)",
        ],
    );
}

/// The numbers of the blocks that worker 1 of two is told to copy, by the time when it is. It has 40, and `held` of them
/// come.
fn ordered(held: &[(u64, u64)], until_ms: u64) -> BTreeMap<u64, Vec<u64>> {
    let name = |number| BlockName { origin: 1, epoch: 1, number };
    let blocks = (0..40).map(|number| report(1, number, (number * 10, number * 10 + 9), &[1])).collect();
    let come = held.iter().map(|(at, number)| (*at, LedgerEvent::CopyHeld { by: member(3), block: name(*number) }));
    let events = std::iter::once((100, announced(1, blocks, 0))).chain(come).collect();
    let mut ordered: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for said in said(limits(), &[1, 3], events, until_ms) {
        if let Some((at, rest)) = said.split_once(" copy b1.1.") {
            let number = rest.split(' ').next().unwrap().parse().unwrap();
            ordered.entry(at.parse().unwrap()).or_default().push(number);
        }
    }
    ordered
}

#[test]
fn a_worker_has_no_more_copy_orders_at_once_than_it_fulfils_in_time() {
    let run = |numbers: std::ops::Range<u64>| numbers.collect::<Vec<_>>();
    // Each comes at once: as many more, up to sixteen.
    let quick: Vec<(u64, u64)> = (0..40).map(|number| (110 + number, number)).collect();
    let each = ordered(&quick, 900);
    assert_eq!((each[&100].clone(), each[&110].clone(), each[&121].clone()), (run(0..4), run(4..6), run(26..28)));
    assert!((28..40).all(|number| each[&(94 + number)] == [number]), "{each:?}");
    // None comes: half as many, others first, with twice the time.
    let expected = [(100, run(0..4)), (600, run(4..6)), (1600, run(6..7)), (3600, run(7..8))];
    assert_eq!(ordered(&[], 4000), BTreeMap::from(expected));
    // Some come: as many more at once.
    let few = ordered(&[(650, 4), (660, 5)], 700);
    assert_eq!((few[&650].clone(), few[&660].clone()), (run(6..8), run(8..10)));
}

#[test]
fn where_copies_queue_fewer_are_ordered_down_to_two() {
    // The quickest one took 10 ms, others an eighth of 500 ms more.
    let queued = ordered(&[(110, 0), (173, 1), (174, 2), (175, 3)], 400);
    assert_eq!(queued, BTreeMap::from([(100, vec![0, 1, 2, 3]), (110, vec![4, 5])]));
    let just_not = ordered(&[(110, 0), (172, 1)], 400);
    assert_eq!(just_not[&172], [6, 7]);
    // A long link is no queue.
    let far = ordered(&[(300, 0), (301, 1)], 400);
    assert_eq!((&far[&300], &far[&301]), (&vec![4, 5], &vec![6, 7]));
}

#[test]
fn a_copy_order_that_is_not_fulfilled_is_given_again() {
    check(
        &[1, 3],
        vec![(100, announced(1, vec![report(1, 0, (0, 9), &[1])], 0))],
        900,
        &["100 copy b1.1.0 1>3", "100 below 1", "600 copy b1.1.0 1>3"],
    );
}

#[test]
fn records_without_any_copy_are_given_up_but_not_those_that_came_in_another_block() {
    check(
        &[1, 2, 3],
        vec![
            (100, announced(1, vec![report(1, 0, (0, 9), &[1])], 0)),
            (110, announced(3, vec![report(3, 0, (5, 9), &[2, 3])], 0)),
            (200, LedgerEvent::Lost(member(1))),
            (201, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
            (202, LedgerEvent::Orphans { by: 3, origin: member(1), blocks: vec![] }),
        ],
        900,
        &[
            "100 copy b1.1.0 1>2",
            "100 below 1",
            "200 orphans of 1? [2, 3]",
            "200 below 1",
            "202 orphans known",
            "202 lost b1.1.0 [1:0-4]",
            "202 below 0",
        ],
    );
}

#[test]
fn a_holder_of_an_older_epoch_does_not_count() {
    let mut block = report(1, 0, (0, 9), &[1, 2]);
    block.holders[1].epoch = 1;
    let seen = ["100 copy b1.1.0 1>2", "100 below 1"];
    check(&[1, 2], vec![(100, announced(1, vec![block], 0))], 500, &seen);
}

#[test]
fn what_was_given_up_stays_given_up_when_its_holder_comes_back() {
    let block = || report(1, 0, (0, 9), &[1]);
    let again = Member { worker: 1, epoch: 9 };
    check(
        &[1, 2],
        vec![
            (100, announced(1, vec![block()], 0)),
            (200, LedgerEvent::Lost(member(1))),
            (201, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
            (300, LedgerEvent::Joined(again)),
            (301, announced(1, vec![BlockReport { holders: vec![again], ..block() }], 0)),
        ],
        900,
        &[
            "100 copy b1.1.0 1>2",
            "100 below 1",
            "200 orphans of 1? [2]",
            "200 below 1",
            "201 orphans known",
            "201 lost b1.1.0 [1:0-9]",
            "201 below 0",
            "300 below 0",
            "301 forget [b1.1.0] at Some(1)",
        ],
    );
}

#[test]
fn after_a_stall_of_its_own_the_master_waits_for_what_the_members_said_meanwhile() {
    let mut ledger = Ledger::new(limits());
    let mut actions = Vec::new();
    ledger.step(Moment::from_millis(900), LedgerEvent::Joined(member(1)), &mut actions);
    actions.clear();
    ledger.step(Moment::from_millis(4000), LedgerEvent::Tick, &mut actions);
    assert_eq!(actions, []);
    let block = report(1, 0, (0, 9), &[1]);
    ledger.step(Moment::from_millis(4100), announced(1, vec![block], 1), &mut actions);
    let said: Vec<String> = actions.iter().map(word).collect();
    assert_eq!(said, ["1 heard of [b1.1.0]", "seal 0 [1:0-9] [b1.1.0]"]);
}
