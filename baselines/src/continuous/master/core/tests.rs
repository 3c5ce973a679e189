//! Behind which interval a heir would begin, by what hosts say.

use super::*;
use crate::continuous::master::plan::Heir;
use crate::continuous::message::Holding;
use dstream_cluster::detector::Detector;
use std::num::NonZeroU64;

const NOW: Moment = Moment::from_millis(100);
const HEARTBEAT: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(500);

/// Each interval has so many records.
const RECORDS: u64 = 10;

/// Of a node for each copy; the only partition runs at the first ones.
fn limits(hosts: u32, copies: u32, border: Border) -> MasterLimits {
    MasterLimits {
        names: (1..=copies).map(NodeName::worker).collect(),
        partitions: 1,
        redundancy: Redundancy { workers: 1, hosts, copies, standbys: 0, heir: Heir::Many, border },
        reach: Some(1),
        clients: 1,
        cut: Cut::Runs { records: NonZeroU64::MIN, sources: 1, period: Duration::from_millis(10) },
        sends_alike: true,
        failure_timeout: TIMEOUT,
        most_behind: None,
        most_waiting: 2,
    }
}

/// What the master hears.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// This host has closed an interval, and passed one on.
    Closed(NodeNumber, u64, u64),
    /// This holder has all records before this one, and knows where intervals end.
    Holds(NodeNumber, u64),
    /// This holder has all records before the first number, and knows where so many intervals end.
    HoldsNotKnowing(NodeNumber, u64, u64),
    /// This node is gone.
    Gone(NodeNumber),
}
use Heard::{Closed, Gone, Holds, HoldsNotKnowing};

/// Every node has come, and those beside are holders alone; what nodes are told to forget in the end.
fn trimmed((hosts, copies): (u32, u32), border: Border, heard: &[Heard]) -> Option<u64> {
    let detector = Detector::new(HEARTBEAT, TIMEOUT);
    let mut master = Master::new(limits(hosts, copies, border), Box::new(detector));
    let (mut now, mut actions) = (NOW, Vec::new());
    let step = |master: &mut Master, now, node, word, actions: &mut Vec<MasterAction>| {
        master.step(now, MasterEvent::Word { node, incarnation: 1, word }, actions);
    };
    let join = || ToMaster::Join { incarnation: 1, epoch: None };
    (1..=copies).for_each(|node| step(&mut master, NOW, node, join(), &mut actions));
    for heard in heard {
        let holder = |node| master.assignment.as_ref().unwrap().places[0].holder(node).expect("it holds").since;
        let holds = |node, end, known: u64| {
            let of = vec![Holding { source: 0, since: holder(node), client: 1, end }];
            let ends = (0..known).map(|interval| (interval, (interval + 1) * RECORDS)).collect();
            let punctuations = BTreeMap::from([(1, ends)]);
            (node, ToMaster::Holds { epoch: master.members[&node], of, punctuations })
        };
        let (node, word) = match *heard {
            Closed(node, closed, passed_on) => {
                let (closed, passed_on) = (Some(closed), Some(passed_on));
                let (since, saved) = (holder(node), Some(1));
                let progress =
                    Progress { partition: 0, since, is_running: true, sealed: closed, closed, passed_on, saved };
                (node, ToMaster::Progress { epoch: master.members[&node], of: vec![progress] })
            }
            Holds(node, end) => holds(node, end, 100),
            HoldsNotKnowing(node, end, known) => holds(node, end, known),
            Gone(gone) => {
                for _ in 0..10 {
                    now = now + HEARTBEAT;
                    for node in (1..=copies).filter(|node| *node != gone) {
                        let beat = ToMaster::Heartbeat { epoch: master.members[&node], sent_ns: now.0 };
                        step(&mut master, now, node, beat, &mut actions);
                    }
                    master.step(now, MasterEvent::Tick, &mut actions);
                }
                continue;
            }
        };
        step(&mut master, now, node, word, &mut actions);
    }
    let told = actions.iter().filter_map(|action| match action {
        MasterAction::Tell(_, FromMaster::Trim { safe, .. }) => *safe,
        _ => None,
    });
    told.max()
}

/// Which intervals each host has closed, and passed on; what nodes are told to forget in the end.
#[track_caller]
fn check(border: Border, said: &[(u64, u64)], safe: Option<u64>) {
    let hosts = (1..).zip(said);
    let closed = hosts.clone().map(|(node, (closed, passed_on))| Closed(node, *closed, *passed_on));
    let heard: Vec<Heard> = hosts.map(|(node, _)| Holds(node, u64::MAX)).chain(closed).collect();
    let count = u32::try_from(said.len()).unwrap();
    assert_eq!(trimmed((count, count), border, &heard), safe, "{border:?}, {said:?}");
}

#[test]
fn a_heir_begins_behind_what_every_host_has_closed_and_handed_in() {
    check(Border::Closed, &[(7, 7)], Some(7));
    check(Border::Closed, &[(7, 4)], Some(4));
    check(Border::Closed, &[(7, 4), (6, 6)], Some(4));
    check(Border::Closed, &[(7, 7), (6, 6)], Some(6));
}

#[test]
fn where_state_is_stored_or_made_again_its_border_counts() {
    check(Border::Saved { every: 2 }, &[(7, 4)], Some(1));
    check(Border::Replayed { reach: Some(3) }, &[(7, 5)], Some(2));
    check(Border::Replayed { reach: None }, &[(7, 5)], None);
}

#[test]
fn nothing_is_let_go_before_all_holders_have_had_it() {
    for (heard, safe) in [
        (&[Holds(1, 80), Holds(2, 80), Closed(1, 7, 7)][..], Some(7)),
        (&[Holds(1, 80), Closed(1, 7, 7)], None),
        (&[Holds(1, 80), Holds(2, 79), Closed(1, 7, 7)], Some(6)),
        (&[Holds(1, 80), Holds(2, 9), Closed(1, 7, 7)], None),
        // It comes later.
        (&[Holds(1, 80), Holds(2, 45), Closed(1, 7, 7), Holds(2, 80)], Some(7)),
        // What hosts need stays, whoever has it.
        (&[Holds(1, 99), Holds(2, 99), Closed(1, 7, 4)], Some(4)),
        // Where an interval ends nobody has said yet, or one says it later.
        (&[HoldsNotKnowing(1, 80, 6), HoldsNotKnowing(2, 80, 6), Closed(1, 7, 7)], Some(5)),
        (&[HoldsNotKnowing(1, 80, 6), HoldsNotKnowing(2, 80, 6), Closed(1, 7, 7), Holds(2, 81)], Some(7)),
        // Who is gone is waited for no more.
        (&[Holds(1, 80), Holds(2, 45), Closed(1, 7, 7), Gone(2), Holds(1, 81)], Some(7)),
    ] {
        for border in [Border::Closed, Border::Replayed { reach: Some(0) }] {
            assert_eq!(trimmed((1, 2), border, heard), safe, "{border:?}, {heard:?}");
        }
    }
}

#[test]
fn where_holders_lack_something_an_earlier_border_counts_that_is_saved() {
    for (second_has, safe) in [(20, Some(1)), (19, None), (10, None)] {
        let heard = [Holds(1, 80), Holds(2, second_has), Closed(1, 7, 7)];
        assert_eq!(trimmed((1, 2), Border::Saved { every: 2 }, &heard), safe, "{second_has}");
    }
}

/// A master that both of its nodes have joined.
fn of_two() -> Master {
    let limits = limits(1, 2, Border::Saved { every: 1 });
    let mut master = Master::new(limits, Box::new(Detector::new(HEARTBEAT, TIMEOUT)));
    for node in 1..=2 {
        let word = ToMaster::Join { incarnation: 1, epoch: None };
        master.step(NOW, MasterEvent::Word { node, incarnation: 1, word }, &mut Vec::new());
    }
    master
}

/// Rounds of questions about the client, which is asked about, when the partition gets these holders instead of both nodes.
fn asked(holders: &[NodeNumber]) -> Vec<u64> {
    let (mut master, mut actions) = (of_two(), Vec::new());
    master.step(NOW, MasterEvent::ClientUp { client: 1, incarnation: 2 }, &mut actions);
    let before = master.assignment.clone().expect("all have come");
    let mut next = Assignment { version: before.version + 1, places: before.places.clone() };
    next.places[0].holders.retain(|seat| holders.contains(&seat.node));
    master.assign(before, next, &mut actions);
    let to_first = actions.iter().filter_map(|action| match action {
        MasterAction::Tell(1, FromMaster::AskClient { round, .. }) => Some(*round),
        _ => None,
    });
    to_first.collect()
}

#[test]
fn all_are_asked_anew_about_a_client_when_a_holder_is_relieved_meanwhile() {
    assert_eq!(asked(&[1, 2]), [1]);
    assert_eq!(asked(&[1]), [1, 2]);
}

/// The partition moves from node 1 to node 2; after which of these words node 1 is relieved. Each is of a node, what it has
/// closed, and what it has passed on.
fn relieved_after(said: &[(NodeNumber, u64, u64)]) -> Option<usize> {
    let (mut master, mut actions) = (of_two(), Vec::new());
    let before = master.assignment.clone().expect("all have come");
    let mut next = Assignment { version: before.version + 1, places: before.places.clone() };
    next.places[0].hosts.push(Seat { node: 2, since: next.version, start: Start::Copied { from: 1 } });
    master.assign(before, next, &mut actions);
    said.iter().position(|(node, closed, passed_on)| {
        let hosts = &master.assignment.as_ref().expect("nobody is lost").places[0].hosts;
        let since = hosts.iter().find(|seat| seat.node == *node).expect("it runs").since;
        let (closed, passed_on) = (Some(*closed), Some(*passed_on));
        let progress =
            Progress { partition: 0, since, is_running: true, sealed: closed, closed, passed_on, saved: None };
        let word = ToMaster::Progress { epoch: master.members[node], of: vec![progress] };
        master.step(NOW, MasterEvent::Word { node: *node, incarnation: 1, word }, &mut actions);
        master.step(NOW, MasterEvent::Tick, &mut actions);
        let hosts = &master.assignment.as_ref().expect("nobody is lost").places[0].hosts;
        hosts.iter().all(|seat| seat.node == 2)
    })
}

#[test]
fn a_first_host_is_relieved_when_the_new_one_is_as_far_as_it_was_when_the_new_one_had_begun() {
    // What it was given is not what it has done itself.
    assert_eq!(relieved_after(&[(1, 5, 5), (2, 5, 4)]), None);
    assert_eq!(relieved_after(&[(1, 5, 5), (2, 5, 4), (2, 6, 5)]), Some(2));
    // The first one went on meanwhile, and goes on: the new one follows an interval behind it.
    let ahead = [(1, 5, 5), (2, 5, 4), (1, 8, 5), (2, 6, 5), (1, 9, 5), (2, 7, 5), (1, 10, 5)];
    assert_eq!(relieved_after(&ahead), None);
    assert_eq!(relieved_after(&[&ahead[..], &[(2, 8, 5)]].concat()), Some(7));
    // What it was given is out only now, which is seen at the next look.
    assert_eq!(relieved_after(&[(1, 5, 3), (2, 5, 3), (2, 6, 4), (1, 6, 4), (1, 6, 5), (1, 6, 5)]), Some(5));
}

#[test]
fn what_a_relieved_host_said_last_does_not_make_a_straggler_of_it() {
    let (mut master, mut actions) = (of_two(), Vec::new());
    master.limits.most_behind = Some((1, TIMEOUT));
    let before = master.assignment.clone().expect("all have come");
    master.whole.extend(before.places[0].holders.iter().map(|seat| (0, seat.node, seat.since)));
    let first = before.places[0].hosts[0].since;
    let mut next = Assignment { version: before.version + 1, places: before.places.clone() };
    next.places[0].hosts = vec![Seat { node: 2, since: next.version, start: Start::Copied { from: 1 } }];
    let second = next.version;
    master.assign(before, next, &mut actions);
    let mut say = |master: &mut Master, now: Moment, node, since, closed| {
        let last = Some(closed);
        let of = Progress {
            partition: 0,
            since,
            is_running: true,
            sealed: last,
            closed: last,
            passed_on: last,
            saved: last,
        };
        for node in 1..=2 {
            let word = ToMaster::Heartbeat { epoch: master.members[&node], sent_ns: 0 };
            master.step(now, MasterEvent::Word { node, incarnation: 1, word }, &mut actions);
        }
        let word = ToMaster::Progress { epoch: master.members[&node], of: vec![of] };
        master.step(now, MasterEvent::Word { node, incarnation: 1, word }, &mut actions);
    };
    say(&mut master, NOW, 1, first, 5);
    for interval in 5..25 {
        say(&mut master, NOW + HEARTBEAT * interval, 2, second, u64::from(interval));
    }
    assert!(!actions.iter().any(|action| matches!(action, MasterAction::Record(Event::WorkerLost { .. }))));
}
