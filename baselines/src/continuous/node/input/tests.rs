//! Whose batches a node takes: those of clients that know no less than it does of who holds their source. And what it does
//! under a lease alone.

use super::*;
use crate::continuous::assignment::{Assignment, Place, Seat, Start};
use crate::continuous::message::{FromMaster, ToMaster};
use crate::continuous::node::NodeEvent;
use crate::continuous::node::core::PROGRESS_PERIOD;
use crate::continuous::node::testing::limits;
use Heard::{Lease, Noted, Seated, Sends, SendsNext, Welcome};
use dstream_cluster::core::Core;
use dstream_cluster::message::Batch as Sent;
use std::time::Duration;

const NOW: Moment = Moment::from_millis(100);
const RANGE: RecordRange = RecordRange { client: 1, first: 0, last: 0 };
const NEXT: RecordRange = RecordRange { client: 1, first: 1, last: 1 };

/// What node 1 hears.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// It is a member.
    Welcome,
    /// The only source is held by this node under this version.
    Seated(NodeNumber, u64),
    /// The master has heard it.
    Lease,
    /// The master has noted what it was told last.
    Noted,
    /// The client knows this version, and sends a batch.
    Sends(u64),
    /// It sends the one after it.
    SendsNext(u64),
}

fn node() -> Node {
    let mut limits = limits(3, 1);
    limits.rules.checkpoint_intervals = Some(3);
    Node::new(limits)
}

fn events(heard: Heard, said: &[NodeAction]) -> Vec<NodeEvent> {
    let client = |word| NodeEvent::Client { client: 1, word, lines: Bytes::from_static(b"line\n") };
    match heard {
        Welcome => vec![NodeEvent::Master(FromMaster::Welcome { epoch: 7 })],
        Seated(node, version) => {
            let seats = vec![Seat { node, since: version, start: Start::Empty }];
            let places = vec![Place { hosts: seats.clone(), holders: seats }];
            vec![NodeEvent::Master(FromMaster::Assign(Assignment { version, places }))]
        }
        Lease => vec![NodeEvent::Master(FromMaster::Lease { epoch: 7, sent_ns: NOW.0 })],
        Noted => {
            let told = said.iter().rev().find_map(|action| match action {
                NodeAction::TellMaster(ToMaster::Holds { epoch, of, .. }) => Some((*epoch, of.clone())),
                _ => None,
            });
            let noted = |(epoch, of)| NodeEvent::Master(FromMaster::Noted { epoch, of });
            told.map(noted).into_iter().collect()
        }
        Sends(version) | SendsNext(version) => {
            let view = FromClient::View { version, acked_below: Vec::new() };
            let range = if matches!(heard, Sends(_)) { RANGE } else { NEXT };
            vec![client(view), client(FromClient::Records(Sent { range, interval: 0 }))]
        }
    }
}

/// What the master is told last of where the client's records end here.
fn told_end(said: &[NodeAction]) -> Option<u64> {
    said.iter().rev().find_map(|action| match action {
        NodeAction::TellMaster(ToMaster::Holds { of, .. }) => of.iter().map(|holding| holding.end).max(),
        _ => None,
    })
}

/// Whether the client is told that its first batch is held; whether it is told who holds its source, or to say all again.
fn check(heard: &[Heard], is_held: bool, is_sent_on: bool) {
    let (mut node, mut actions) = (node(), Vec::new());
    for (at, heard) in (0..).map(|step| NOW + PROGRESS_PERIOD * step).zip(heard) {
        for event in events(*heard, &actions) {
            node.step(at, event, &mut actions);
        }
    }
    let is_held_word = |action: &NodeAction| match action {
        NodeAction::TellClient(1, ToClient::Held(ranges)) => ranges.contains(&RANGE),
        _ => false,
    };
    let is_word = |action: &NodeAction| {
        matches!(action, NodeAction::Redial(1) | NodeAction::TellClient(1, ToClient::Places { .. }))
    };
    let seen = (actions.iter().any(is_held_word), actions.iter().any(is_word));
    assert_eq!(seen, (is_held, is_sent_on), "{heard:?}");
}

#[test]
fn a_holder_takes_what_clients_send_that_know_it_as_one_and_says_so_with_a_lease() {
    check(&[Welcome, Seated(1, 2), Lease, Sends(2), Noted], true, false);
    check(&[Welcome, Seated(1, 2), Sends(2), Noted, Lease], true, false);
    check(&[Welcome, Seated(1, 2), Sends(2), Noted], false, false);
    check(&[Welcome, Seated(1, 2), Lease, Sends(1), Noted], false, true);
}

#[test]
fn whoever_sends_what_is_not_taken_is_told_so_and_what_he_has_to_know() {
    for (heard, expected) in [
        (&[Seated(1, 2), Sends(2)][..], None),
        (&[Seated(1, 2), Sends(1)], Some(2)),
        (&[Seated(1, 2), Seated(2, 3), Sends(2)], Some(4)),
        (&[Seated(2, 2), Sends(3)], None),
        // It takes it, and forgets it as the holder that it was.
        (&[Seated(1, 2), Sends(4), Seated(2, 3)], Some(4)),
        (&[Seated(1, 2), Sends(3), Seated(2, 3)], None),
    ] {
        let (mut node, mut actions) = (node(), Vec::new());
        let all = [Welcome].iter().chain(heard).flat_map(|heard| events(*heard, &[]));
        all.for_each(|event| node.step(NOW, event, &mut actions));
        let refused = actions.iter().find_map(|action| match action {
            NodeAction::TellClient(1, ToClient::Refused { ranges, least }) => Some((ranges.clone(), *least)),
            _ => None,
        });
        assert_eq!(refused, expected.map(|least| (vec![RANGE], least)), "{heard:?}");
    }
}

#[test]
fn nothing_is_acknowledged_of_which_the_master_does_not_know() {
    check(&[Welcome, Seated(1, 2), Lease, Sends(2)], false, false);
    // The master had noted it of the holder of a version that is over.
    check(&[Welcome, Seated(1, 2), Lease, Sends(2), Seated(1, 3), Noted], false, false);
    // What it has noted it need not hear again.
    check(&[Welcome, Seated(1, 2), Sends(2), Noted, Seated(1, 3), Lease], true, false);
}

#[test]
fn a_holder_that_was_relieved_has_nothing_to_acknowledge_of_what_it_forgot() {
    let again = [Seated(2, 3), Seated(1, 4), SendsNext(4)];
    let heard = |last: &[Heard]| [&[Welcome, Seated(1, 2), Lease, Sends(2)], &again[..], last].concat();
    check(&heard(&[Noted, Noted]), false, false);
    // It has the batch again when the client has sent it again.
    check(&heard(&[Noted, Sends(4), Noted]), true, false);
}

#[test]
fn a_holder_that_may_have_been_relieved_unseen_has_the_master_note_again_what_it_has() {
    let noted = [Welcome, Seated(1, 2), Sends(2), Noted];
    check(&[&noted[..], &[Seated(1, 4), Lease]].concat(), false, false);
    check(&[&noted[..], &[Seated(1, 4), Noted, Lease]].concat(), true, false);
}

#[test]
fn the_master_is_told_of_what_is_here_without_a_gap() {
    let acked = |below| {
        let word = FromClient::View { version: 2, acked_below: vec![(0, below)] };
        vec![NodeEvent::Client { client: 1, word, lines: Bytes::new() }]
    };
    let handed_on = |first: u64| {
        let batches = vec![(RecordRange { client: 1, first, last: first }, 0, 5)];
        let (punctuations, floors) = (Punctuations::new(), BTreeMap::from([(1, 0)]));
        let word = ToPeer::Input { source: 0, version: 2, batches, punctuations, floors, is_last: true };
        vec![NodeEvent::Peer { from: 2, word, body: Bytes::from_static(b"line\n") }]
    };
    let of = |heard: Heard| events(heard, &[]);
    let away = || [of(Seated(2, 3)), of(Seated(1, 4))].concat();
    for (heard, end) in [
        (vec![of(Sends(2))], Some(1)),
        (vec![of(SendsNext(2))], None),
        (vec![of(SendsNext(2)), of(Sends(2))], Some(2)),
        // What is acknowledged it need not have; which is as true when it sits anew.
        (vec![acked(1), of(SendsNext(2))], Some(2)),
        (vec![away(), of(SendsNext(4))], None),
        (vec![acked(1), away(), of(SendsNext(4))], Some(2)),
        // It says so before anything comes: others wait with letting go until it has what they have.
        (vec![acked(1)], Some(1)),
        (vec![acked(1), away()], Some(1)),
        (vec![handed_on(0)], Some(1)),
        (vec![handed_on(1)], None),
    ] {
        let (mut node, mut actions) = (node(), Vec::new());
        let steps = [of(Welcome), of(Seated(1, 2)), of(Lease)].into_iter().chain(heard);
        for (at, events) in (0..).map(|step| NOW + PROGRESS_PERIOD * step).zip(steps) {
            events.into_iter().for_each(|event| node.step(at, event, &mut actions));
            self::events(Noted, &actions).into_iter().for_each(|event| node.step(at, event, &mut actions));
        }
        assert_eq!(told_end(&actions), end);
    }
}

#[test]
fn who_was_a_holder_takes_nothing_from_a_client_that_does_not_know_the_one_of_today() {
    check(&[Welcome, Seated(2, 2), Lease, Sends(1), Noted], false, true);
    // What the client knows beyond this node may make it a holder: which is said when it knows so.
    check(&[Welcome, Seated(2, 2), Lease, Sends(3), Noted], false, false);
    check(&[Welcome, Seated(2, 2), Lease, Sends(3), Seated(1, 3), Noted], true, false);
}

#[test]
fn what_came_before_a_node_knew_of_others_is_acknowledged_only_if_the_client_counts_todays_holders() {
    check(&[Sends(1), Welcome, Seated(2, 2), Lease, Noted], false, true);
    check(&[Sends(1), Welcome, Seated(1, 2), Lease, Noted], false, true);
    check(&[Sends(2), Welcome, Seated(1, 2), Lease, Noted], true, false);
    check(&[Sends(3), Welcome, Seated(2, 2), Lease, Seated(1, 3), Noted], true, false);
}

#[test]
fn a_source_seals_what_is_whole_under_a_lease_alone() {
    let begins = [Welcome, Seated(1, 2)].map(|heard| (NOW, events(heard, &[])));
    let leased_at = |at: Moment| (at, vec![NodeEvent::Master(FromMaster::Lease { epoch: 7, sent_ns: at.0 })]);
    let ends_at = |at: Moment| {
        let word = FromClient::Punctuations(vec![(0, 0)]);
        (at, vec![NodeEvent::Client { client: 1, word, lines: Bytes::new() }])
    };
    let (soon, late) = (NOW + Duration::from_millis(399), NOW + Duration::from_millis(400));
    for (heard, is_sealed) in [
        (vec![leased_at(NOW), ends_at(soon)], true),
        (vec![ends_at(NOW)], false),
        (vec![leased_at(NOW), ends_at(late)], false),
        // What was whole meanwhile is sealed as soon as there is a lease again.
        (vec![leased_at(NOW), ends_at(late), leased_at(late)], true),
    ] {
        let (mut node, mut actions) = (node(), Vec::new());
        for (at, events) in begins.iter().chain(&heard) {
            events.iter().for_each(|event| node.step(*at, event.clone(), &mut actions));
        }
        let is_seal = |action: &NodeAction| matches!(action, NodeAction::Record(Event::SourceSealed { .. }));
        assert_eq!(actions.iter().any(is_seal), is_sealed, "{heard:?}");
    }
}

#[test]
fn a_saved_state_that_is_not_there_is_fatal_where_a_lease_says_that_this_node_is_its_heir() {
    let restored = |version| {
        let start = Start::Restored { through: Some(2), input_from: None };
        let seats = vec![Seat { node: 1, since: version, start }];
        let places = vec![Place { hosts: seats.clone(), holders: seats }];
        NodeEvent::Master(FromMaster::Assign(Assignment { version, places }))
    };
    let broken = || NodeEvent::Broken { partition: 0, since: 2, why: "gone".to_owned() };
    let lease = || events(Lease, &[]).remove(0);
    for (heard, is_fatal) in [
        (vec![restored(2), lease(), broken()], true),
        (vec![restored(2), broken()], false),
        (vec![restored(2), broken(), lease()], true),
        (vec![restored(2), broken(), restored(3), lease()], false),
    ] {
        let (mut node, mut actions) = (node(), Vec::new());
        for event in events(Welcome, &[]).into_iter().chain(heard) {
            node.step(NOW, event, &mut actions);
        }
        assert_eq!(actions.iter().any(|action| matches!(action, NodeAction::Fatal(_))), is_fatal);
    }
}
