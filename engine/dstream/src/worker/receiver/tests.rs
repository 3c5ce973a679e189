//! What the receiver decides, event by event.

use super::*;

fn limits(copies: u32) -> ReceiverLimits {
    ReceiverLimits {
        worker: 1,
        copies,
        input: Input::Memory,
        block: Duration::from_millis(200),
        interval: Duration::from_secs(1),
        slack: Duration::ZERO,
        origin: Moment::ZERO,
        lease: Duration::from_millis(450),
        placement: Placement::Load,
        usual: None,
    }
}

fn member(worker: u32) -> Member {
    Member { worker, epoch: u64::from(worker) }
}

fn batch(first: u64, last: u64, interval: u64) -> ReceiverEvent {
    ReceiverEvent::Batch { range: RecordRange { client: 1, first, last }, interval, bytes: 100 }
}

fn block(number: u64) -> BlockName {
    BlockName { origin: 1, epoch: 1, number }
}

fn held(number: u64, by: u32) -> ReceiverEvent {
    ReceiverEvent::CopyHeld { block: block(number), by: member(by) }
}

/// A member among `members`, all reachable, with a lease from `ms` on.
fn ready(ms: u64, members: &[u32]) -> Vec<(u64, ReceiverEvent)> {
    let all: Vec<Member> = members.iter().copied().map(member).collect();
    vec![
        (ms, ReceiverEvent::Welcome { epoch: 1, sealed_below: 0, keeps: false }),
        (ms, ReceiverEvent::Reachable(members.iter().copied().collect())),
        (ms, ReceiverEvent::Members(all)),
        (ms, lease(ms)),
    ]
}

fn lease(ms: u64) -> ReceiverEvent {
    ReceiverEvent::Lease { sent: Moment::from_millis(ms) }
}

fn word(action: &ReceiverAction) -> Option<String> {
    Some(match action {
        ReceiverAction::Seal { interval, block } => format!("seal {} in {interval}", block.name),
        ReceiverAction::DropOpen => "drop open".to_owned(),
        ReceiverAction::DropBlock(name) => format!("drop {name}"),
        ReceiverAction::HandOn(names) => format!("hand on {names:?}"),
        ReceiverAction::SendCopy { block, to } => format!("copy {block} to {to}"),
        ReceiverAction::Log(block) => format!("log {block}"),
        ReceiverAction::Acknowledge { ranges, .. } => format!("acknowledge {ranges:?}"),
        ReceiverAction::Announce { blocks, closed_below } => {
            let holders = |block: &BlockReport| block.holders.iter().map(|holder| holder.worker).collect::<Vec<_>>();
            let blocks: Vec<_> = blocks.iter().map(|block| (block.name.number, holders(block))).collect();
            format!("announce {blocks:?} closed below {closed_below}")
        }
        ReceiverAction::Keep { .. } | ReceiverAction::Record(_) => return None,
    })
}

/// Feeds events at milliseconds, with ticks when the receiver asks for them; the master hears each announcement at once.
fn check(copies: u32, events: Vec<(u64, ReceiverEvent)>, until_ms: u64, expected: &[&str]) {
    check_with(true, copies, events, until_ms, expected);
}

fn check_with(hears: bool, copies: u32, events: Vec<(u64, ReceiverEvent)>, until_ms: u64, expected: &[&str]) {
    check_limits(hears, limits(copies), events, until_ms, expected);
}

fn check_limits(
    hears: bool,
    limits: ReceiverLimits,
    events: Vec<(u64, ReceiverEvent)>,
    until_ms: u64,
    expected: &[&str],
) {
    let mut receiver = Receiver::new(limits);
    let (mut seen, mut actions) = (Vec::new(), Vec::new());
    let mut events = events.into_iter().peekable();
    loop {
        let tick = receiver.deadline().unwrap_or(Moment::NEVER);
        let (at, event) = match events.next_if(|(at, _)| Moment::from_millis(*at) <= tick) {
            Some((at, event)) => (Moment::from_millis(at), event),
            None if tick <= Moment::from_millis(until_ms) => (tick, ReceiverEvent::Tick),
            None => break,
        };
        receiver.step(at, event, &mut actions);
        let announced = actions.iter().filter_map(|action| match action {
            ReceiverAction::Announce { blocks, .. } if hears => Some(blocks.iter().map(|block| block.name).collect()),
            _ => None,
        });
        for heard in announced.collect::<Vec<_>>() {
            receiver.step(at, ReceiverEvent::Heard(heard), &mut actions);
        }
        seen.extend(actions.drain(..).filter_map(|action| word(&action)).map(|w| format!("{} {w}", at.0 / 1_000_000)));
    }
    assert_eq!(seen, expected);
}

#[test]
fn who_refuses_a_copy_is_asked_again_when_it_takes_copies_and_holds_up_no_interval_before() {
    let mut events = ready(0, &[1, 2]);
    events.extend([
        (100, batch(0, 9, 0)),
        (250, ReceiverEvent::CopyRefused { block: block(0), by: 2 }),
        (1000, ReceiverEvent::Tick),
        (1100, ReceiverEvent::TakesCopies(2)),
        (1150, held(0, 2)),
    ]);
    check(
        2,
        events,
        1200,
        &[
            "200 seal b1.1.0 in 0",
            "200 copy b1.1.0 to 2",
            "1000 announce [] closed below 1",
            "1100 copy b1.1.0 to 2",
            "1150 announce [(0, [1, 2])] closed below 1",
        ],
    );
}

#[test]
fn who_leaves_hands_on_at_once_what_it_has_and_takes_no_more() {
    let others = || ReceiverEvent::Members(vec![member(2), member(3)]);
    let mut events = ready(0, &[1, 2, 3]);
    events.extend([(10, batch(0, 9, 0)), (20, others()), (25, batch(10, 19, 0)), (30, held(0, 2)), (40, held(0, 3))]);
    let expected = [
        "20 seal b1.1.0 in 0",
        "20 copy b1.1.0 to 2",
        "20 copy b1.1.0 to 3",
        "40 announce [(0, [2, 3])] closed below 0",
        "40 acknowledge [1:0-9]",
    ];
    check(2, events, 500, &expected);
}

#[test]
fn copies_go_to_whoever_has_least_to_take() {
    let mut events = ready(0, &[1, 2, 3]);
    // The block of 200 ms has gone to 2, the one of 400 ms to 3, which holds it: so does the next.
    events.extend([(10, batch(0, 9, 0)), (210, batch(10, 19, 0)), (401, held(1, 3)), (410, batch(20, 29, 0))]);
    let expected = [
        "200 seal b1.1.0 in 0",
        "200 copy b1.1.0 to 2",
        "400 seal b1.1.1 in 0",
        "400 copy b1.1.1 to 3",
        "401 announce [(1, [1, 3])] closed below 0",
        "401 acknowledge [1:10-19]",
        "600 seal b1.1.2 in 0",
        "600 copy b1.1.2 to 3",
    ];
    check(2, events, 650, &expected);
}

#[test]
fn a_batch_is_acknowledged_when_a_second_member_holds_its_block() {
    let mut events = ready(0, &[1, 2]);
    events.extend([(10, batch(0, 9, 0)), (50, batch(10, 19, 0)), (213, held(0, 2))]);
    check(
        2,
        events,
        900,
        &[
            "200 seal b1.1.0 in 0",
            "200 copy b1.1.0 to 2",
            "213 announce [(0, [1, 2])] closed below 0",
            "213 acknowledge [1:0-9, 1:10-19]",
        ],
    );
}

#[test]
fn with_a_log_a_batch_is_acknowledged_when_that_holds_its_block_whoever_else_does() {
    let mut events = ready(0, &[1, 2]);
    events.extend([(10, batch(0, 9, 0)), (205, ReceiverEvent::Logged(block(0)))]);
    let expected = [
        "200 seal b1.1.0 in 0",
        "200 log b1.1.0",
        "205 announce [(0, [1, 0])] closed below 0",
        "205 acknowledge [1:0-9]",
    ];
    check_limits(true, ReceiverLimits { input: Input::Log, ..limits(2) }, events, 900, &expected);
}

#[test]
fn what_the_log_holds_is_announced_to_a_new_master_and_what_it_does_not_is_written_again() {
    let mut events = ready(0, &[1, 2]);
    events.extend([
        (10, batch(0, 9, 0)),
        (205, ReceiverEvent::Logged(block(0))),
        (210, batch(10, 19, 0)),
        (450, ReceiverEvent::Welcome { epoch: 7, sealed_below: 0, keeps: true }),
        (451, ReceiverEvent::Members(vec![Member { worker: 1, epoch: 7 }])),
        (460, ReceiverEvent::Logged(block(1))),
        (465, ReceiverEvent::Logged(block(1))),
    ]);
    let expected = [
        "200 seal b1.1.0 in 0",
        "200 log b1.1.0",
        "205 announce [(0, [1, 0])] closed below 0",
        "400 seal b1.1.1 in 0",
        "400 log b1.1.1",
        "451 log b1.1.1",
        "451 announce [(0, [1, 0])] closed below 0",
        "460 announce [(1, [1, 0])] closed below 0",
    ];
    check_limits(false, ReceiverLimits { input: Input::Log, ..limits(2) }, events, 900, &expected);
}

#[test]
fn the_end_of_an_interval_seals_its_block_and_closes_it_when_the_copies_are_held() {
    let mut events = ready(0, &[1, 2]);
    events.extend([(900, batch(0, 9, 0)), (990, lease(980)), (1002, held(0, 2))]);
    check(
        2,
        events,
        1500,
        &[
            "1000 seal b1.1.0 in 0",
            "1000 copy b1.1.0 to 2",
            "1002 announce [(0, [1, 2])] closed below 1",
            "1002 acknowledge [1:0-9]",
        ],
    );
}

#[test]
fn an_interval_without_records_is_closed_at_its_end() {
    check(2, ready(0, &[1, 2]), 1500, &["1000 announce [] closed below 1"]);
}

#[test]
fn a_late_batch_goes_into_the_open_interval() {
    let mut events = ready(0, &[1]);
    events.push((1100, batch(0, 9, 0)));
    let seen = ["1000 announce [] closed below 1", "1200 seal b1.1.0 in 1", "1200 announce [(0, [1])] closed below 1"];
    check(1, events, 1500, &seen);
}

#[test]
fn nothing_is_acknowledged_before_the_members_are_known() {
    let mut events = vec![(0, ReceiverEvent::Welcome { epoch: 1, sealed_below: 0, keeps: false }), (0, lease(0))];
    events.push((10, batch(0, 9, 0)));
    check(1, events.clone(), 900, &[]);
    events.push((300, ReceiverEvent::Members(vec![member(1)])));
    let seen = ["300 seal b1.1.0 in 0", "300 announce [(0, [1])] closed below 0", "300 acknowledge [1:0-9]"];
    check(1, events, 900, &seen);
}

#[test]
fn nothing_is_acknowledged_after_the_lease_until_it_is_renewed() {
    let mut events = ready(0, &[1]);
    events.extend([(500, batch(0, 9, 0)), (750, lease(700))]);
    let seen = ["600 seal b1.1.0 in 0", "600 announce [(0, [1])] closed below 0", "750 acknowledge [1:0-9]"];
    check(1, events, 900, &seen);
}

#[test]
fn a_copy_that_was_on_its_way_to_a_lost_member_goes_to_another() {
    let mut events = ready(0, &[1, 2, 3]);
    events.extend([
        (10, batch(0, 9, 0)),
        (300, ReceiverEvent::Reachable([3].into())),
        (310, held(0, 3)),
        (320, ReceiverEvent::Members(vec![member(1), member(3)])),
    ]);
    check(
        2,
        events,
        900,
        &[
            "200 seal b1.1.0 in 0",
            "200 copy b1.1.0 to 2",
            "300 copy b1.1.0 to 3",
            "310 announce [(0, [1, 3])] closed below 0",
            "310 acknowledge [1:0-9]",
        ],
    );
}

#[test]
fn a_holder_of_an_older_epoch_does_not_count() {
    let mut events = ready(0, &[1, 2]);
    let restarted = Member { worker: 2, epoch: 9 };
    events.extend([
        (10, batch(0, 9, 0)),
        (220, ReceiverEvent::Members(vec![member(1), restarted])),
        (230, held(0, 2)),
        (240, ReceiverEvent::CopyHeld { block: block(0), by: restarted }),
    ]);
    let seen = [
        "200 seal b1.1.0 in 0",
        "200 copy b1.1.0 to 2",
        "230 copy b1.1.0 to 2",
        "240 announce [(0, [1, 2])] closed below 0",
        "240 acknowledge [1:0-9]",
    ];
    check(2, events, 900, &seen);
}

#[test]
fn a_fence_ends_what_nobody_was_told_of_and_the_next_epoch_begins_anew() {
    let mut events = ready(0, &[1, 2]);
    events.extend([(10, batch(0, 9, 0)), (250, batch(10, 19, 0)), (300, ReceiverEvent::Fenced)]);
    events.push((400, ReceiverEvent::Welcome { epoch: 7, sealed_below: 0, keeps: false }));
    let mut seen = ["200 seal b1.1.0 in 0", "200 copy b1.1.0 to 2", "300 drop open", "300 hand on [b1.1.0]"];
    check(2, events.clone(), 900, &seen);
    // A client that keeps what it sent may be gone for good, and an interval have it.
    check_limits(true, ReceiverLimits { input: Input::Replay, ..limits(2) }, events.clone(), 900, &seen);
    // The log has what an interval has.
    (seen[1], seen[3]) = ("200 log b1.1.0", "300 drop b1.1.0");
    check_limits(true, ReceiverLimits { input: Input::Log, ..limits(2) }, events, 900, &seen);
}

#[test]
fn what_was_announced_and_not_acknowledged_is_announced_again_on_a_new_connection_and_handed_on_under_a_new_epoch() {
    let mut events = ready(0, &[1]);
    let welcome = |epoch| ReceiverEvent::Welcome { epoch, sealed_below: 0, keeps: false };
    events.extend([(500, batch(0, 9, 0)), (750, welcome(1)), (800, welcome(2))]);
    let seen = [
        "600 seal b1.1.0 in 0",
        "600 announce [(0, [1])] closed below 0",
        "750 announce [(0, [1])] closed below 0",
        "800 drop open",
        "800 hand on [b1.1.0]",
    ];
    check(1, events, 900, &seen);
}

#[test]
fn nothing_is_acknowledged_before_the_master_has_heard_of_it() {
    let mut events = ready(0, &[1]);
    events.extend([(10, batch(0, 9, 0)), (250, ReceiverEvent::Heard(vec![block(7)]))]);
    let mut seen = vec!["200 seal b1.1.0 in 0", "200 announce [(0, [1])] closed below 0"];
    check_with(false, 1, events.clone(), 900, &seen);
    events.push((300, ReceiverEvent::Heard(vec![block(0)])));
    seen.push("300 acknowledge [1:0-9]");
    check_with(false, 1, events, 900, &seen);
}

#[test]
fn who_was_alone_for_a_moment_copies_what_the_master_has_not_heard_of_before_it_acknowledges() {
    let members = |members: &[u32]| ReceiverEvent::Members(members.iter().copied().map(member).collect());
    let heard = || ReceiverEvent::Heard(vec![block(0)]);
    // Worker 2 is gone, and 3 comes a moment later, but word of both comes late, one behind the other.
    let mut events = ready(0, &[1, 3]);
    events.extend([(10, members(&[1, 2])), (20, batch(0, 9, 0)), (300, members(&[1]))]);
    let mut seen = vec!["200 seal b1.1.0 in 0", "300 announce [(0, [1])] closed below 0"];
    let come = |at| (at, members(&[1, 3]));
    // The master heard of it when worker 1 was alone, and said so before it said who came.
    let mut alone = events.clone();
    alone.extend([(310, heard()), come(320)]);
    seen.push("310 acknowledge [1:0-9]");
    check_with(false, 2, alone, 900, &seen);
    seen.pop();
    events.extend([come(310), (320, heard()), (330, held(0, 3)), (340, heard())]);
    seen.extend(["310 copy b1.1.0 to 3", "330 announce [(0, [1, 3])] closed below 0", "340 acknowledge [1:0-9]"]);
    check_with(false, 2, events, 900, &seen);
}

#[test]
fn who_held_a_copy_and_is_gone_counts_no_longer_where_the_master_has_not_heard_of_the_block() {
    let members = |members: &[u32]| ReceiverEvent::Members(members.iter().copied().map(member).collect());
    let heard = || ReceiverEvent::Heard(vec![block(0)]);
    let mut events = ready(0, &[1, 2, 3]);
    events.extend([(20, batch(0, 9, 0)), (210, held(0, 2)), (300, members(&[1, 3]))]);
    events.extend([(310, heard()), (330, held(0, 3)), (340, heard())]);
    let seen = [
        "200 seal b1.1.0 in 0",
        "200 copy b1.1.0 to 2",
        "210 announce [(0, [1, 2])] closed below 0",
        "300 copy b1.1.0 to 3",
        "330 announce [(0, [1, 3])] closed below 0",
        "340 acknowledge [1:0-9]",
    ];
    check_with(false, 2, events, 900, &seen);
}

#[test]
fn more_than_usual_becomes_several_blocks_and_each_is_acknowledged_by_itself() {
    let spec = |per_second| crate::usual::Usual::steady(per_second, 1, Duration::from_millis(20));
    let large = |first: u64, records: u64| batch(first, first + records - 1, 0);
    // One client, two members: 100 records a block at each, so 200 are enough.
    let limits = ReceiverLimits { usual: Some(spec(1000.0)), ..limits(1) };
    let mut events = ready(0, &[1, 2]);
    events.extend([(10, large(0, 150)), (20, large(150, 40)), (30, large(190, 10)), (40, large(200, 1000))]);
    events.push((50, large(1200, 10)));
    let expected = [
        "30 seal b1.1.0 in 0",
        "30 announce [(0, [1])] closed below 0",
        "30 acknowledge [1:0-149, 1:150-189, 1:190-199]",
        "40 seal b1.1.1 in 0",
        "40 announce [(1, [1])] closed below 0",
        "40 acknowledge [1:200-1199]",
        "200 seal b1.1.2 in 0",
        "200 announce [(2, [1])] closed below 0",
        "200 acknowledge [1:1200-1209]",
    ];
    check_limits(true, limits, events, 440, &expected);
}

#[test]
fn what_waited_for_a_master_becomes_blocks_of_the_usual_size() {
    let usual = crate::usual::Usual::steady(1000.0, 1, Duration::from_millis(20));
    let large = |first: u64| batch(first, first + 149, 0);
    // One client, two members: 200 records are a block, as if the master had been there all along.
    let limits = ReceiverLimits { usual: Some(usual), ..limits(1) };
    let mut events: Vec<_> = (0..5).map(|number| (10 + number, large(number * 150))).collect();
    events.extend(ready(50, &[1, 2]));
    let expected = [
        "50 seal b1.1.0 in 0",
        "50 seal b1.1.1 in 0",
        "50 seal b1.1.2 in 0",
        "50 announce [(0, [1]), (1, [1]), (2, [1])] closed below 0",
        "50 acknowledge [1:0-149, 1:150-299, 1:300-449, 1:450-599, 1:600-749]",
    ];
    check_limits(true, limits, events, 440, &expected);
}
