//! A partition begins behind a closed interval whatever is asked about clients meanwhile: where each was there is known.

use super::*;
use crate::continuous::assignment::{Assignment, Place, Seat, Start};
use crate::continuous::message::FromMaster;
use crate::continuous::node::NodeEvent;
use crate::continuous::node::testing::limits;
use dstream_cluster::core::Core;
use dstream_cluster::message::{Batch, FromClient};

const NOW: Moment = Moment::from_millis(100);

/// The client's life ended before record 7, or goes on there in interval 5.
fn gate(round: u64, is_ended: bool, is_asked: bool) -> FromMaster {
    let from = if is_ended { 0 } else { 5 };
    let gate = Gate { round, ends: vec![7], from, is_ended, ..Gate::default() };
    FromMaster::ClientIs { client: 1, gate, is_asked }
}

/// What the node says after these words, when it is made the heir of a partition behind interval 3 whose input nobody has,
/// and is told then that the client goes on.
fn said(words: Vec<FromMaster>) -> (bool, Vec<Event>) {
    let (mut node, mut actions) = (Node::new(limits(2, 1)), Vec::new());
    let seats = vec![Seat { node: 1, since: 2, start: Start::Restored { through: Some(3), input_from: None } }];
    let places = vec![Place { hosts: seats.clone(), holders: seats }];
    let assign = FromMaster::Assign(Assignment { version: 2, places });
    for word in [FromMaster::Welcome { epoch: 1 }].into_iter().chain(words).chain([assign]) {
        node.step(NOW, NodeEvent::Master(word), &mut actions);
    }
    let begins = actions.iter().any(|action| matches!(action, NodeAction::Open { partition: 0, .. }));
    for word in [FromMaster::Lease { epoch: 1, sent_ns: NOW.0 }, gate(3, false, false)] {
        node.step(NOW, NodeEvent::Master(word), &mut actions);
    }
    let sealed = actions.into_iter().filter_map(|action| match action {
        NodeAction::Record(event @ (Event::SourceSealed { .. } | Event::BlockLost { .. })) => Some(event),
        _ => None,
    });
    (begins, sealed.collect())
}

#[test]
fn an_heir_begins_where_a_life_had_ended_though_the_client_is_asked_about_anew() {
    let asked = || FromMaster::AskClient { client: 1, round: 2 };
    for (words, begins) in [
        (vec![gate(1, true, false)], true),
        (vec![gate(1, true, false), asked()], true),
        (vec![gate(1, true, false), asked(), asked()], true),
        (vec![gate(1, true, true)], true),
        // It lived: it says itself where it was.
        (vec![asked()], false),
        (vec![gate(1, true, false), gate(2, false, false), asked()], true),
    ] {
        let (has_begun, sealed) = said(words.clone());
        assert_eq!(has_begun, begins, "{words:?}");
        // Nothing that came before the end of the life is taken for lost.
        let intervals = sealed.iter().map(|event| match event {
            Event::SourceSealed { interval, ranges, .. } => (*interval, ranges.len()),
            other => panic!("{other:?} after {words:?}"),
        });
        assert_eq!(intervals.collect::<Vec<_>>(), [(4, 0)], "{words:?}");
    }
}

/// Whether the node answers another that asks for the client's records from this one on, after these assignments of the only
/// source to holders. It has the client's first record, if it held the source when that came.
fn answers(holders: &[NodeNumber], from: u64) -> bool {
    let (mut node, mut actions) = (Node::new(limits(3, 1)), Vec::new());
    node.step(NOW, NodeEvent::Master(FromMaster::Welcome { epoch: 1 }), &mut actions);
    let record = RecordRange { client: 1, first: 0, last: 0 };
    let words = || {
        let view = FromClient::View { version: 1, acked_below: Vec::new() };
        [view, FromClient::Records(Batch { range: record, interval: 0 })]
    };
    for (holder, version) in holders.iter().zip(1..) {
        let seats = vec![Seat { node: *holder, since: version, start: Start::Empty }];
        let places = vec![Place { hosts: seats.clone(), holders: seats }];
        node.step(NOW, NodeEvent::Master(FromMaster::Assign(Assignment { version, places })), &mut actions);
        for word in words() {
            let lines = Bytes::from_static(b"line\n");
            node.step(NOW, NodeEvent::Client { client: 1, word, lines }, &mut actions);
        }
    }
    actions.clear();
    let word = ToPeer::FetchClient { client: 1, round: 1, source: 0, from };
    node.step(NOW, NodeEvent::Peer { from: 3, word, body: Bytes::new() }, &mut actions);
    actions.iter().any(|action| matches!(action, NodeAction::Tell { word: ToPeer::ClientInput { .. }, .. }))
}

#[test]
fn who_holds_a_source_no_more_does_not_say_that_nobody_has_what_it_let_go() {
    assert!(answers(&[1], 0));
    assert!(!answers(&[1, 2], 0), "it was relieved");
    assert!(!answers(&[2], 0), "it never was a holder, and has refused the client's records");
    assert!(!answers(&[1], 1), "it has no more than whoever asks");
}
