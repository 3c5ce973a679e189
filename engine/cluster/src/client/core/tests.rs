//! What the client decides, event by event.

use super::*;

fn range(first: u64, last: u64) -> RecordRange {
    RecordRange { client: 1, first, last }
}

fn batch(first: u64, last: u64) -> ClientEvent {
    ClientEvent::Batch { range: range(first, last), first_due: Moment::ZERO, last_due: Moment::ZERO }
}

fn held(first: u64, last: u64) -> ClientEvent {
    ClientEvent::Held { by: NodeName::worker(1), ranges: vec![range(first, last)] }
}

fn up(worker: u32) -> ClientEvent {
    ClientEvent::Up(NodeName::worker(worker))
}

/// Feeds events at milliseconds; compares sends as `first>worker` and acknowledgements as `first!`.
fn check(events: &[(u64, ClientEvent)], expected: &[&str]) {
    check_from(1, events, expected);
}

fn check_from(number: u32, events: &[(u64, ClientEvent)], expected: &[&str]) {
    check_limits((number, false), events, expected);
}

fn check_limits((number, keeps): (u32, bool), events: &[(u64, ClientEvent)], expected: &[&str]) {
    let mut client = Client::new(ClientLimits { patience: Duration::from_millis(400), number, clients: 2, keeps });
    let mut actions = Vec::new();
    for (at, event) in events {
        client.step(Moment::from_millis(*at), event.clone(), &mut actions);
    }
    let seen: Vec<String> = actions
        .iter()
        .filter_map(|action| match action {
            ClientAction::Send { first, to, .. } => Some(format!("{first}>{to}")),
            ClientAction::Forget { first } => Some(format!("{first}!")),
            ClientAction::Record(Event::ClientDone { records }) => Some(format!("done {records}")),
            ClientAction::Record(_) | ClientAction::Tell { .. } => None,
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn batches_go_round_the_workers() {
    check(
        &[(0, up(1)), (0, up(2)), (1, batch(0, 9)), (2, batch(10, 19)), (3, batch(20, 29))],
        &["0>worker-1", "10>worker-2", "20>worker-1"],
    );
}

#[test]
fn clients_in_step_send_to_different_workers() {
    let events = [(0, up(1)), (0, up(2)), (1, batch(0, 9)), (2, batch(10, 19))];
    check_from(2, &events, &["0>worker-2", "10>worker-1"]);
}

#[test]
fn a_batch_waits_for_the_first_worker() {
    check(&[(0, batch(0, 9)), (5, ClientEvent::Tick), (9, up(2))], &["0>worker-2"]);
}

#[test]
fn what_piled_up_without_any_connection_is_shared_among_the_members_that_come() {
    let members = ClientEvent::Members([1, 2, 3].map(NodeName::worker).to_vec());
    let mut events = vec![(0, members)];
    events.extend((0..6).map(|number| (1, batch(number * 10, number * 10 + 9))));
    events.extend([(100, up(1)), (110, up(2)), (120, ClientEvent::Tick)]);
    let shares = ["0>worker-1", "10>worker-1", "20>worker-2", "30>worker-2"];
    check(&events, &shares);
    let all_came = [(130, up(3))];
    check(&[&events[..], &all_came].concat(), &[&shares[..], &["40>worker-3", "50>worker-3"]].concat());
    // The third one does not come.
    let in_vain = [(149, ClientEvent::Tick), (150, ClientEvent::Tick)];
    check(&[&events[..], &in_vain].concat(), &[&shares[..], &["40>worker-1", "50>worker-2"]].concat());
}

#[test]
fn a_batch_of_a_broken_connection_goes_elsewhere_at_once() {
    let down = ClientEvent::Down(NodeName::worker(1));
    check(&[(0, up(1)), (0, up(2)), (1, batch(0, 9)), (50, down)], &["0>worker-1", "0>worker-2"]);
}

#[test]
fn a_cluster_that_is_slow_to_acknowledge_gets_more_time_before_it_gets_more_to_do() {
    let slow = [(0, up(1)), (0, up(2)), (1, batch(0, 9)), (301, held(0, 9))];
    let mut events = slow.to_vec();
    events.extend([(302, batch(10, 19)), (702, ClientEvent::Tick), (902, ClientEvent::Tick)]);
    let (before, after) = (events.len() - 1, events.len());
    check(&events[..before], &["0>worker-1", "0!", "10>worker-2"]);
    check(&events[..after], &["0>worker-1", "0!", "10>worker-2", "10>worker-1"]);
}

#[test]
fn however_slow_and_often_tried_a_batch_goes_again_within_a_bound() {
    // Patience is 400 ms, an acknowledgement took 30 s: the first wait is 8 times that, all others 16 times.
    let mut events = vec![(0, up(1)), (0, up(2)), (1, batch(0, 9)), (30_001, held(0, 9))];
    events.push((30_002, batch(10, 19)));
    let waits = [3200, 6400, 6400, 6400];
    let ends = waits.iter().scan(30_002, |at, wait| {
        *at += wait;
        Some((*at, ClientEvent::Tick))
    });
    events.extend(ends);
    let again = ["10>worker-1", "10>worker-2", "10>worker-1", "10>worker-2"];
    check(&events, &[&["0>worker-1", "0!", "10>worker-2"][..], &again].concat());
}

#[test]
fn a_silent_worker_is_passed_over_but_only_if_there_is_another() {
    check(
        &[(0, up(1)), (1, batch(0, 9)), (401, ClientEvent::Tick), (402, up(2)), (4000, ClientEvent::Tick)],
        &["0>worker-1", "0>worker-2"],
    );
}

#[test]
fn what_stands_in_line_behind_what_its_worker_acknowledges_is_not_sent_twice() {
    let batches = [(1, batch(0, 9)), (1, batch(10, 19)), (1, batch(20, 29)), (1, batch(30, 39)), (1, batch(40, 49))];
    let sent = [&[(0, up(1)), (0, up(2))][..], &batches].concat();
    let sends = ["0>worker-1", "10>worker-2", "20>worker-1", "30>worker-2", "40>worker-1"];
    // Patience is 400 ms. Worker 1 comes to its second batch; worker 2 has said nothing.
    let events = [&sent[..], &[(300, held(0, 9)), (401, ClientEvent::Tick), (600, held(20, 29))]].concat();
    let seen = [&sends[..], &["0!", "10>worker-1", "30>worker-1", "20!"]].concat();
    check(&events, &seen);
    // An acknowledgement took 599 ms, so the usual wait is twice that by now.
    let waits = [(900, ClientEvent::Tick), (1797, ClientEvent::Tick)];
    check(&[&events[..], &waits].concat(), &seen);
    let in_vain = [(1798, ClientEvent::Tick)];
    let again = ["10>worker-2", "30>worker-2", "40>worker-2"];
    check(&[&events[..], &waits, &in_vain].concat(), &[&seen[..], &again].concat());
}

#[test]
fn what_its_worker_has_passed_over_goes_to_another() {
    let sent = [(0, up(1)), (1, batch(0, 9)), (1, batch(10, 19)), (2, up(2)), (300, held(10, 19))];
    let sends = ["0>worker-1", "10>worker-1", "10!"];
    check(&[&sent[..], &[(401, ClientEvent::Tick)]].concat(), &[&sends[..], &["0>worker-2"]].concat());
}

#[test]
fn what_has_yet_to_leave_is_not_sent_twice() {
    let queue = |since, moved| {
        let (since, moved) = (Moment::from_millis(since), Moment::from_millis(moved));
        ClientEvent::Queued { to: NodeName::worker(1), since, moved }
    };
    let queued = |since| queue(since, 400);
    let sent = [(0, up(1)), (1, batch(0, 9)), (5, batch(10, 19)), (6, up(2))];
    let sends = ["0>worker-1", "10>worker-1"];
    // The first one has left.
    let events = [&sent[..], &[(401, queued(5)), (401, ClientEvent::Tick), (405, queued(5)), (405, ClientEvent::Tick)]];
    let seen = [&sends[..], &["0>worker-2"]].concat();
    check(&events.concat(), &seen);
    // Then nothing is said of a queue any more: the patience begins when that was last heard.
    let left = [(804, ClientEvent::Tick), (805, ClientEvent::Tick)];
    check(&[&events.concat()[..], &left].concat(), &[&seen[..], &["10>worker-2"]].concat());
    // Nothing moves.
    let still = [(401, queue(5, 1)), (401, ClientEvent::Tick), (405, queue(5, 1)), (405, ClientEvent::Tick)];
    check(&[&sent[..], &still].concat(), &[&seen[..], &["10>worker-2"]].concat());
    // However long the queue, it waits no longer than anything: 16 times the patience.
    let queue_at = |at| queue(5, at);
    let stuck =
        (1..=16).flat_map(|round| [(5 + 400 * round, queue_at(5 + 400 * round)), (5 + 400 * round, ClientEvent::Tick)]);
    let events = [&sent[..], &stuck.collect::<Vec<_>>()].concat();
    check(&events, &[&sends[..], &["0>worker-2", "10>worker-2"]].concat());
}

#[test]
fn while_no_master_leads_silence_says_nothing_of_a_worker() {
    let members = ClientEvent::Members(vec![NodeName::worker(1), NodeName::worker(2)]);
    let mut events = vec![(0, up(1)), (0, up(2)), (1, batch(0, 9)), (2, ClientEvent::LeaderGone), (3, batch(10, 19))];
    events.extend([(500, ClientEvent::Tick), (3000, ClientEvent::Tick)]);
    check(&events, &["0>worker-1", "10>worker-2"]);
    let back = [(3000, members), (3399, ClientEvent::Tick), (3400, ClientEvent::Tick)];
    let again = ["0>worker-1", "10>worker-2", "0>worker-2", "10>worker-1"];
    check(&[&events[..], &back].concat(), &again);
    // A cut between this client and the master alone must not leave a batch with a dead worker for good.
    let alone = [(3202, ClientEvent::Tick), (3203, ClientEvent::Tick)];
    check(&[&events[..], &alone].concat(), &again);
}

#[test]
fn what_nobody_acknowledges_is_with_two_workers_and_no_third_until_somebody_acknowledges_anything() {
    let up = [(0, up(1)), (0, up(2)), (0, up(3))];
    let sent = [(1, batch(0, 9)), (2, batch(10, 19)), (401, ClientEvent::Tick), (402, ClientEvent::Tick)];
    let twice = ["0>worker-1", "10>worker-2", "0>worker-2", "10>worker-3"];
    let silent = [&up[..], &sent].concat();
    // Patience is 400 ms, and its double at the second attempt; the most of it is 16 times that.
    let in_vain = [(1201, ClientEvent::Tick), (1202, ClientEvent::Tick), (6800, ClientEvent::Tick)];
    check(&[&silent[..], &in_vain].concat(), &twice);
    let long_after = [&in_vain[..], &[(6801, ClientEvent::Tick)]].concat();
    check(&[&silent[..], &long_after].concat(), &[&twice[..], &["0>worker-1"]].concat());
    let other = [(1000, held(10, 19)), (1200, ClientEvent::Tick), (1201, ClientEvent::Tick)];
    check(&[&silent[..], &other].concat(), &[&twice[..], &["10!", "0>worker-1"]].concat());
}

#[test]
fn what_waits_for_the_first_word_of_anybody_has_the_usual_patience_after_it() {
    let up = [(0, up(1)), (0, up(2)), (0, up(3))];
    let sent = [(1, batch(0, 9)), (2, batch(10, 19)), (401, ClientEvent::Tick), (402, ClientEvent::Tick)];
    let waits = [(1201, ClientEvent::Tick), (1202, ClientEvent::Tick), (1490, batch(20, 29)), (1500, held(20, 29))];
    let events = [&up[..], &sent, &waits, &[(1899, ClientEvent::Tick)]].concat();
    let seen = ["0>worker-1", "10>worker-2", "0>worker-2", "10>worker-3", "20>worker-2", "20!"];
    check(&events, &seen);
    let again = [&seen[..], &["0>worker-3", "10>worker-1"]].concat();
    check(&[&events[..], &[(1900, ClientEvent::Tick)]].concat(), &again);
    // What was to go sooner than that still does; what nobody waited for keeps its patience.
    let late = [(6700, held(10, 19)), (6801, ClientEvent::Tick)];
    let alone = ["0>worker-1", "10>worker-2", "0>worker-2", "10>worker-3", "10!", "0>worker-1"];
    check(&[&up[..], &sent, &waits[..2], &late].concat(), &alone);
}

#[test]
fn a_worker_that_is_no_member_gets_nothing() {
    let members = ClientEvent::Members(vec![NodeName::worker(2)]);
    check(&[(0, up(1)), (0, up(2)), (1, batch(0, 9)), (2, members)], &["0>worker-1", "0>worker-2"]);
}

#[test]
fn a_batch_is_acknowledged_when_all_its_parts_are_held_and_the_end_is_told_once() {
    check(
        &[
            (0, up(1)),
            (1, batch(0, 9)),
            (2, held(0, 4)),
            (3, ClientEvent::SourceEnded),
            (4, held(3, 9)),
            (5, held(0, 9)),
        ],
        &["0>worker-1", "0!", "done 10"],
    );
}

#[test]
fn what_an_earlier_life_sent_is_neither_sent_again_nor_forgotten() {
    check(
        &[
            (0, up(1)),
            (1, ClientEvent::Known(vec![range(0, 9), range(20, 29)])),
            (2, batch(10, 19)),
            (3, ClientEvent::SourceEnded),
            (4, held(10, 19)),
        ],
        &["10>worker-1", "10!", "done 30"],
    );
}

#[test]
fn where_batches_are_kept_they_go_when_they_are_acknowledged_and_released_whole() {
    let released = |below| ClientEvent::Released { below };
    let sent = [(0, up(1)), (1, batch(0, 9)), (2, batch(10, 19)), (3, batch(20, 29)), (4, held(0, 19))];
    let sends = ["0>worker-1", "10>worker-1", "20>worker-1"];
    check_limits((1, true), &[&sent[..], &[(5, released(15))]].concat(), &[&sends[..], &["0!"]].concat());
    // An older word changes nothing; what is acknowledged after it was released goes at once.
    let words = [(5, released(30)), (6, released(15)), (7, held(20, 29))];
    check_limits((1, true), &[&sent[..], &words].concat(), &[&sends[..], &["0!", "10!", "20!"]].concat());
}

#[test]
fn what_an_earlier_life_sent_is_kept_as_far_as_it_is_not_released() {
    let again = |first, last| ClientEvent::ReadAgain(range(first, last));
    let events = [
        (0, ClientEvent::Released { below: 10 }),
        (1, ClientEvent::Known(vec![range(0, 29)])),
        (2, again(0, 9)),
        (2, again(10, 29)),
        (3, ClientEvent::Released { below: 30 }),
    ];
    check_limits((1, true), &events, &["0!", "10!"]);
    check_limits((1, false), &events[1..4], &["0!", "10!"]);
}
