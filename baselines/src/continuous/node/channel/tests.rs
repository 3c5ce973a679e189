//! In which order a reader gets what a node has for it.

use super::*;
use crate::continuous::assignment::{Assignment, Place};
use crate::continuous::message::{FromMaster, Position};
use crate::continuous::node::testing::limits;
use crate::continuous::node::{Done, NodeEvent, WorkDone};
use crate::continuous::topology::Topology;
use Heard::{Asks, Makes};
use dstream_cluster::core::Core;
use dstream_trace::RecordRange;
use std::time::Duration;

const NOW: Moment = Moment::from_millis(100);
const BUFFER: Duration = Duration::from_millis(10);

/// What happens at node 1, which runs the only partition, before it sends anything.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Its source has mapped the next record.
    Makes,
    /// The operator at node 2 asks from the start.
    Asks,
}

fn node() -> Node {
    let mut limits = limits(2, 1);
    (limits.rules.buffer, limits.heartbeat) = (BUFFER, Duration::from_secs(1));
    Node::new(limits)
}

fn event(heard: Heard, number: u64, topology: &Topology) -> NodeEvent {
    let (map, stage) = topology.maps[0];
    match heard {
        Makes => {
            let range = RecordRange { client: 1, first: number, last: number };
            let parts = BTreeMap::from([(map, BTreeMap::from([(0, Bytes::from_static(b"row"))]))]);
            let done = vec![WorkDone { done: Done::Mapped { range, interval: 0, parts }, cost_ns: 1 }];
            NodeEvent::Ran { partition: 0, since: 1, done, cpu: Duration::ZERO }
        }
        Asks => {
            let (writer, reader) = (Writer { stage: map, partition: 0 }, Reader { stage, partition: 0 });
            let subscription = Subscription { writer, reader, token: 9, version: 1, position: Position::default() };
            NodeEvent::Peer { from: 2, word: ToPeer::Subscribe(vec![subscription]), body: Bytes::new() }
        }
    }
}

/// Node 2 gets so many elements, in the order of their numbers, and of their records.
fn check(heard: &[Heard], elements: u64) {
    let (mut node, mut actions) = (node(), Vec::new());
    let topology = node.limits.topology.clone();
    let seats = vec![Seat { node: 1, since: 1, start: Start::Empty }];
    let places = vec![Place { hosts: seats.clone(), holders: seats }];
    node.step(NOW, NodeEvent::Master(FromMaster::Welcome { epoch: 7 }), &mut actions);
    node.step(NOW, NodeEvent::Master(FromMaster::Assign(Assignment { version: 1, places })), &mut actions);
    node.step(NOW, NodeEvent::PeerUp(2), &mut actions);
    for (heard, number) in heard.iter().zip(0..) {
        node.step(NOW, event(*heard, number, &topology), &mut actions);
    }
    node.step(NOW + BUFFER, NodeEvent::Tick, &mut actions);
    let words = actions.iter().filter_map(|action| match action {
        NodeAction::Tell { node: 2, word: ToPeer::Elements(elements), .. } => Some(elements),
        _ => None,
    });
    let sent = words.flatten().flat_map(|element| element.to.iter().map(|part| (part.number, element.records)));
    let (numbers, records): (Vec<u64>, Vec<_>) = sent.unzip();
    assert_eq!(numbers, (0..elements).collect::<Vec<u64>>(), "{heard:?}");
    assert!(records.is_sorted_by_key(|records| records.map(|range| range.first)), "{heard:?}");
}

#[test]
fn a_reader_gets_what_was_made_before_it_asked_before_what_was_made_since() {
    check(&[Asks, Makes, Makes], 2);
    check(&[Makes, Makes, Asks], 2);
    check(&[Makes, Asks, Makes], 2);
    check(&[Makes, Asks, Makes, Asks, Makes], 3);
}

#[test]
fn a_reader_turns_from_a_host_that_copies_to_the_one_that_runs_as_soon_as_it_reaches_it() {
    const COPY: Start = Start::Copied { from: 2 };
    for (starts, ups, expected) in [
        ([Start::Empty, COPY], [3, 2], vec![3, 2]),
        ([Start::Empty, COPY], [2, 3], vec![2]),
        // Whom it hears already it goes on hearing, where both run.
        ([Start::Empty, Start::Empty], [3, 2], vec![3]),
    ] {
        let (mut node, mut actions) = (Node::new(limits(3, 2)), Vec::new());
        let place = |seats: Vec<Seat>| Place { hosts: seats.clone(), holders: seats };
        let seat = |node, start| Seat { node, since: 1, start };
        let places = vec![place(vec![seat(1, Start::Empty)]), place(vec![seat(2, starts[0]), seat(3, starts[1])])];
        node.step(NOW, NodeEvent::Master(FromMaster::Welcome { epoch: 1 }), &mut actions);
        let assign = FromMaster::Assign(Assignment { version: 1, places });
        node.step(NOW, NodeEvent::Master(assign), &mut actions);
        ups.into_iter().for_each(|up| node.step(NOW, NodeEvent::PeerUp(up), &mut actions));
        let asked = actions.iter().filter_map(|action| match action {
            NodeAction::Tell { node, word: ToPeer::Subscribe(_), .. } => Some(*node),
            _ => None,
        });
        assert_eq!(asked.collect::<Vec<_>>(), expected, "{starts:?} {ups:?}");
    }
}
