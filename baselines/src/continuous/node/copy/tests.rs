//! A state goes in parts and comes out whole; who is to copy a partition gets it as soon as it runs, and what its source had
//! not mapped the copy maps.

use super::*;
use crate::continuous::assignment::{Assignment, Place, Seat, Start};
use crate::continuous::message::{Element, FromMaster, Part, Position, Reader, Subscription, ToMaster, Writer};
use crate::continuous::node::testing::limits;
use crate::continuous::node::work::Work;
use crate::continuous::node::{Done, NodeEvent, WorkDone};
use dstream_cluster::core::Core;
use dstream_cluster::message::{Batch, FromClient};
use dstream_kernel::Produced;
use dstream_trace::{Event, Moment, RecordRange};
use std::time::Duration;

const NOW: Moment = Moment::from_millis(100);
const RECORD: RecordRange = RecordRange { client: 1, first: 0, last: 0 };
/// Of the words' count.
const MAP: u32 = 0;
const COUNT: u32 = 1;

/// Panes of these sizes go in so many parts and come out as they were.
fn check(sizes: &[usize], parts: usize) {
    let pane = |(number, bytes): (u64, &usize)| {
        let header = PaneHeader { stage: 1, kept: 0, interval: number, bytes: *bytes as u64 };
        (header, Bytes::from(vec![number as u8; *bytes]))
    };
    let panes: Vec<(PaneHeader, Bytes)> = (0..).zip(sizes).map(pane).collect();
    let sent = in_parts(panes.clone());
    assert_eq!(sent.len(), parts, "{sizes:?}");
    let bytes = |part: &Vec<(PaneHeader, Bytes)>| part.iter().map(|(_, rows)| rows.len()).sum::<usize>();
    assert!(sent.iter().all(|part| bytes(part) <= STATE_PART_BYTES), "{sizes:?}");
    assert!(joined(sent.concat()) == panes, "{sizes:?}");
}

#[test]
fn a_state_goes_in_parts_and_comes_out_whole() {
    check(&[], 1);
    check(&[0, 7, 0], 1);
    check(&[STATE_PART_BYTES, 0, 1], 2);
    check(&[1, 3 * STATE_PART_BYTES, 5], 4);
}

/// A member that does all its work at once; what it says to others is kept.
struct Member {
    node: Node,
    said: Vec<NodeAction>,
}

impl Member {
    /// Of three nodes, where all hosts of the only partition are heard.
    fn new(number: NodeNumber) -> Member {
        Member::of(number, false)
    }

    /// The same, where the first host alone hands results in, or all do.
    fn of(number: NodeNumber, only_leader_hands_in: bool) -> Member {
        let mut limits = limits(3, 1);
        (limits.node, limits.rules.reads_all) = (number, true);
        limits.rules.only_leader_hands_in = only_leader_hands_in;
        let mut member = Member { node: Node::new(limits), said: Vec::new() };
        member.hears(NodeEvent::Master(FromMaster::Welcome { epoch: 1 }));
        (1..=3).filter(|other| *other != number).for_each(|other| member.hears(NodeEvent::PeerUp(other)));
        member
    }

    fn hears(&mut self, event: NodeEvent) {
        let mut actions = Vec::new();
        self.node.step(NOW, event, &mut actions);
        for action in actions {
            match action {
                NodeAction::Run { partition, since, works } => {
                    let done = works.into_iter().map(done).collect();
                    self.hears(NodeEvent::Ran { partition, since, done, cpu: Duration::ZERO });
                }
                NodeAction::HandIn { partition, since, stage, interval, .. } => {
                    self.hears(NodeEvent::Visible { partition, since, stage, interval });
                }
                NodeAction::CopyState { partition, node, version, through } => {
                    let (to, panes) = ((node, version), Vec::new());
                    self.hears(NodeEvent::Copied { partition, to, through, panes });
                }
                action => self.said.push(action),
            }
        }
    }

    /// Hosts of the partition, each of which holds its input.
    fn is_assigned(&mut self, version: u64, hosts: &[(NodeNumber, u64, Start)]) {
        let seats: Vec<Seat> = hosts.iter().map(|(node, since, start)| seat(*node, *since, *start)).collect();
        let places = vec![Place { hosts: seats.clone(), holders: seats }];
        self.hears(NodeEvent::Master(FromMaster::Assign(Assignment { version, places })));
    }

    fn hears_client(&mut self, word: FromClient) {
        self.hears(NodeEvent::Client { client: 1, word, lines: Bytes::from_static(b"line\n") });
    }

    fn hears_peer(&mut self, from: NodeNumber, word: ToPeer) {
        self.hears(NodeEvent::Peer { from, word, body: Bytes::new() });
    }

    fn has_lease(&mut self) {
        self.hears(NodeEvent::Master(FromMaster::Lease { epoch: 1, sent_ns: NOW.0 }));
    }

    /// What it said to a node.
    fn said_to(&self, to: NodeNumber) -> Vec<(ToPeer, Bytes)> {
        let word = |action: &NodeAction| match action {
            NodeAction::Tell { node, word, body, .. } if *node == to => Some((word.clone(), body.concat().into())),
            _ => None,
        };
        self.said.iter().filter_map(word).collect()
    }
}

fn seat(node: NodeNumber, since: u64, start: Start) -> Seat {
    Seat { node, since, start }
}

fn done(work: Work) -> WorkDone {
    let done = match work {
        Work::Map(batch) => {
            let parts = BTreeMap::from([(MAP, BTreeMap::from([(0, Bytes::from_static(b"row"))]))]);
            Done::Mapped { range: batch.range, interval: batch.interval, parts }
        }
        Work::Absorb { stage, interval, records, debt, .. } => {
            Done::Absorbed { stage, interval, records, debt, running: None }
        }
        Work::Close { stage, interval, .. } => {
            Done::Closed { stage, interval, produced: Produced::Rows(Bytes::new()), panes: None }
        }
        Work::SoFar { stage, interval, .. } => Done::SoFar { stage, interval, rows: None },
    };
    WorkDone { done, cost_ns: 1 }
}

/// The copy at node 3 asks node 1, which waits for node 2's input, before node 1 knows that it need not wait, or after.
fn check_answered(asks_first: bool) {
    let waits = (1, 1, Start::Restored { through: None, input_from: Some(2) });
    let runs = (1, 2, Start::Restored { through: None, input_from: None });
    let mut giver = Member::new(1);
    giver.is_assigned(1, &[waits]);
    let asks = |giver: &mut Member| giver.hears_peer(3, ToPeer::FetchState { partition: 0, version: 2 });
    let assigned = |giver: &mut Member| giver.is_assigned(2, &[runs, (3, 2, Start::Copied { from: 1 })]);
    if asks_first {
        asks(&mut giver);
        assert!(!giver.said_to(3).iter().any(|(word, _)| matches!(word, ToPeer::State { .. })));
        assigned(&mut giver);
    } else {
        assigned(&mut giver);
        asks(&mut giver);
    }
    let states = giver.said_to(3).into_iter().filter(|(word, _)| matches!(word, ToPeer::State { .. })).count();
    assert_eq!(states, 1, "asked first: {asks_first}");
}

#[test]
fn who_asked_before_the_partition_ran_gets_it_without_a_turn() {
    check_answered(true);
    check_answered(false);
}

/// Node 1 without a lease, whose twin at node 2 has sealed interval 0: its operator closes that, its own source does not.
fn behind_its_operator() -> Member {
    let mut giver = Member::new(1);
    giver.is_assigned(1, &[(1, 1, Start::Empty), (2, 1, Start::Empty)]);
    has_interval(&mut giver, 0, 0);
    giver
}

/// The client's record of an interval, and its end, come to the node and to its twin, which says what it made of it. So many
/// records more of it are acknowledged, and nowhere.
fn has_interval(giver: &mut Member, interval: u64, nowhere: u64) {
    let record = RecordRange { client: 1, first: interval, last: interval };
    let end = interval + 1 + nowhere;
    let acked_below = if nowhere > 0 { vec![(0, end)] } else { Vec::new() };
    giver.hears_client(FromClient::View { version: 1, acked_below });
    giver.hears_client(FromClient::Records(Batch { range: record, interval }));
    giver.hears_client(FromClient::Punctuations(vec![(interval, end)]));
    let token = giver.said_to(2).into_iter().find_map(|(word, _)| match word {
        ToPeer::Subscribe(asked) => asked.first().map(|subscription| subscription.token),
        _ => None,
    });
    let (writer, reader) = (Writer { stage: MAP, partition: 0 }, Reader { stage: COUNT, partition: 0 });
    let part = |number| Part { reader, token: token.expect("it asks its twin"), number, bytes: 0 };
    let element = |number, records| Element { writer, interval, records, lacks: 0, to: vec![part(number)] };
    let first = 2 * interval;
    giver.hears_peer(2, ToPeer::Elements(vec![element(first, Some(record)), element(first + 1, None)]));
}

#[test]
fn who_hands_nothing_in_gives_its_state_when_the_results_are_visible_whether_it_closed_them_before_or_after() {
    for is_visible_first in [false, true] {
        let mut giver = Member::of(1, true);
        giver.is_assigned(1, &[(2, 1, Start::Empty), (1, 1, Start::Empty)]);
        let visible = || NodeEvent::Master(FromMaster::Trim { safe: None, visible: Some(0) });
        let states =
            |giver: &Member| giver.said_to(3).iter().filter(|(word, _)| matches!(word, ToPeer::State { .. })).count();
        if is_visible_first {
            giver.hears(visible());
        }
        has_interval(&mut giver, 0, 0);
        giver.hears_peer(3, ToPeer::FetchState { partition: 0, version: 2 });
        assert_eq!(states(&giver), usize::from(is_visible_first));
        giver.hears(visible());
        giver.is_assigned(2, &[(2, 1, Start::Empty), (1, 1, Start::Empty), (3, 2, Start::Copied { from: 1 })]);
        assert_eq!(states(&giver), 1);
    }
}

/// Without that, a host that is behind would give its state only when it no longer is.
#[test]
fn who_is_to_give_its_state_closes_nothing_more_before_it_has() {
    let mut giver = Member::of(1, true);
    giver.is_assigned(1, &[(2, 1, Start::Empty), (1, 1, Start::Empty)]);
    has_interval(&mut giver, 0, 0);
    giver.hears_peer(3, ToPeer::FetchState { partition: 0, version: 2 });
    has_interval(&mut giver, 1, 0);
    let closed = |giver: &Member| giver.node.hosted[&0].closed.get(&COUNT).copied();
    assert_eq!(closed(&giver), Some(0));
    giver.hears(NodeEvent::Master(FromMaster::Trim { safe: None, visible: Some(0) }));
    let through = giver.said_to(3).into_iter().find_map(|(word, _)| match word {
        ToPeer::State { through, .. } => Some(through),
        _ => None,
    });
    assert_eq!((through, closed(&giver)), (Some(Some(0)), Some(1)));
}

#[test]
fn a_copy_maps_what_its_models_source_had_not_though_the_operators_have_closed_it() {
    let mut giver = behind_its_operator();
    giver.hears_peer(3, ToPeer::FetchState { partition: 0, version: 2 });
    let mut copy = Member::new(3);
    copy.is_assigned(2, &[(1, 1, Start::Empty), (3, 2, Start::Copied { from: 1 })]);
    copy.has_lease();
    for (word, body) in giver.said_to(3) {
        if let ToPeer::State { through, mapped_through, .. } = word {
            assert_eq!((through, mapped_through), (Some(0), None));
        }
        copy.hears(NodeEvent::Peer { from: 1, word, body });
    }
    // A reader of which both others have lost the state begins anew.
    let (writer, reader) = (Writer { stage: MAP, partition: 0 }, Reader { stage: COUNT, partition: 0 });
    let subscription = Subscription { writer, reader, token: 9, version: 2, position: Position::default() };
    copy.hears_peer(2, ToPeer::Subscribe(vec![subscription]));
    let elements = copy.said_to(2).into_iter().filter_map(|(word, _)| match word {
        ToPeer::Elements(elements) => Some(elements),
        _ => None,
    });
    let got: Vec<_> = elements.flatten().map(|element| (element.interval, element.records)).collect();
    assert_eq!(got, [(0, Some(RECORD)), (0, None)]);
}

#[test]
fn a_copy_passes_over_what_its_model_knows_to_be_nowhere() {
    for nowhere in [0, 2] {
        let mut giver = Member::new(1);
        giver.is_assigned(1, &[(1, 1, Start::Empty), (2, 1, Start::Empty)]);
        has_interval(&mut giver, 0, nowhere);
        giver.hears_peer(3, ToPeer::FetchState { partition: 0, version: 2 });
        let mut copy = Member::new(3);
        copy.is_assigned(2, &[(1, 1, Start::Empty), (3, 2, Start::Copied { from: 1 })]);
        copy.has_lease();
        for (word, body) in giver.said_to(3) {
            copy.hears(NodeEvent::Peer { from: 1, word, body });
        }
        let sealed = |action: &NodeAction| match action {
            NodeAction::Record(Event::SourceSealed { interval: 0, ranges, .. }) => Some(ranges.clone()),
            _ => None,
        };
        let sealed: Vec<RecordRange> = copy.said.iter().filter_map(sealed).flatten().collect();
        assert_eq!(sealed.iter().map(RecordRange::count).sum::<u64>(), 1 + nowhere);
    }
}

/// Node 3 is to copy the partition from node 1, which is gone before the state comes, or after. Whether it says that it
/// lacks it, and runs in the end, though the state comes.
fn check_model_gone(comes_before: bool, expected: (bool, bool)) {
    let copied = (3, 2, Start::Copied { from: 1 });
    let mut copy = Member::new(3);
    copy.is_assigned(2, &[(1, 1, Start::Empty), copied]);
    let gone = |copy: &mut Member| copy.is_assigned(3, &[copied, (2, 3, Start::Copied { from: 3 })]);
    if !comes_before {
        gone(&mut copy);
    }
    let (batches, floors, punctuations) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    copy.hears_peer(1, ToPeer::Input { source: 0, version: 2, batches, punctuations, floors, is_last: true });
    let (through, mapped_through, mute_through, panes) = (None, None, None, Vec::new());
    let state = ToPeer::State {
        partition: 0,
        version: 2,
        through,
        mapped_through,
        lacks: 0,
        mute_through,
        panes,
        is_last: true,
    };
    copy.hears_peer(1, state);
    if comes_before {
        gone(&mut copy);
    }
    for later in 1..=2 {
        copy.node.step(NOW + Duration::from_secs(later), NodeEvent::Tick, &mut copy.said);
    }
    let lacks = |action: &&NodeAction| match action {
        NodeAction::TellMaster(ToMaster::Lacks { of, .. }) => *of == [(0, 2)],
        _ => false,
    };
    let says = copy.said.iter().filter(lacks).count();
    assert!(says <= 1, "it says so {says} times");
    let runs = copy.said.iter().any(|action| matches!(action, NodeAction::Open { partition: 0, .. }));
    assert_eq!((says == 1, runs), expected, "comes before: {comes_before}");
}

#[test]
fn a_copy_whose_model_is_gone_says_what_it_lacks_and_waits_for_no_more_of_it() {
    check_model_gone(false, (true, false));
    check_model_gone(true, (false, true));
}
