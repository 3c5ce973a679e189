//! The client's core: a batch is acknowledged when all that hold its source have said so, and is not forgotten before.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_baselines::continuous::feeder::Feeder;
use dstream_cluster::client::{ClientAction, ClientEvent, Cut};
use dstream_cluster::core::Core;
use dstream_cluster::message::FromClient;
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

/// Nodes of a test.
const NODES: u32 = 4;
/// Sources of a test.
const SOURCES: u32 = 2;

fn cut() -> Cut {
    Cut::Runs { records: NonZeroU64::new(10).unwrap(), sources: SOURCES, period: Duration::from_millis(10) }
}

fn range(first: u64, last: u64) -> RecordRange {
    RecordRange { client: 1, first, last }
}

fn batch(first: u64, last: u64) -> ClientEvent {
    ClientEvent::Batch { range: range(first, last), first_due: Moment::ZERO, last_due: Moment::ZERO }
}

fn held(worker: u32, first: u64, last: u64) -> ClientEvent {
    ClientEvent::Held { by: NodeName::worker(worker), ranges: vec![range(first, last)] }
}

fn refused(worker: u32, first: u64, last: u64, least: u64) -> ClientEvent {
    ClientEvent::Refused { by: NodeName::worker(worker), ranges: vec![range(first, last)], least }
}

fn not_sent(worker: u32, first: u64) -> ClientEvent {
    ClientEvent::NotSent { first, to: NodeName::worker(worker) }
}

fn up(worker: u32) -> ClientEvent {
    ClientEvent::Up(NodeName::worker(worker))
}

fn down(worker: u32) -> ClientEvent {
    ClientEvent::Down(NodeName::worker(worker))
}

/// By source: who holds it.
fn places(version: u64, holders: &[&[u32]]) -> ClientEvent {
    let names = |nodes: &&[u32]| nodes.iter().map(|node| NodeName::worker(*node)).collect();
    ClientEvent::Places { version, holders: holders.iter().map(names).collect() }
}

/// Feeds events, a second apart; compares sends as `first>worker`, copies as `first+worker`, resends as `again first`,
/// acknowledgements as `first!`, and what nodes are told.
fn check(events: &[ClientEvent], expected: &[&str]) {
    let mut feeder = Feeder::new(1, cut());
    let mut actions = Vec::new();
    for (at, event) in (1u64..).zip(events) {
        feeder.step(Moment::from_millis(at * 1000), event.clone(), &mut actions);
    }
    let number = |name: &NodeName| name.to_string().rsplit('-').next().unwrap().to_owned();
    let seen: Vec<String> = actions
        .iter()
        .filter_map(|action| match action {
            ClientAction::Send { first, to, is_copy: false } => Some(format!("{first}>{}", number(to))),
            ClientAction::Send { first, to, is_copy: true } => Some(format!("{first}+{}", number(to))),
            ClientAction::Forget { first } => Some(format!("{first}!")),
            ClientAction::Tell { to, word: FromClient::View { version, acked_below } } => {
                Some(format!("view {version} {acked_below:?} to {}", number(to)))
            }
            ClientAction::Tell { to, word: FromClient::Punctuations(ends) } if !ends.is_empty() => {
                Some(format!("ends {ends:?} to {}", number(to)))
            }
            ClientAction::Record(Event::RecordsResent { range, .. }) => Some(format!("again {}", range.first)),
            ClientAction::Record(Event::ClientDone { records }) => Some(format!("done {records}")),
            ClientAction::Tell { .. } | ClientAction::Record(_) => None,
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_batch_goes_to_all_holders_of_its_source_and_is_acknowledged_by_the_last() {
    // Of client 1, the first ten records go to source 1.
    let start = [up(1), up(2), batch(0, 9), places(1, &[&[1, 2], &[2, 1]])];
    let sent = ["view 1 [(0, 10), (1, 0)] to 1", "view 1 [(0, 10), (1, 0)] to 2", "0>2", "0+1"];
    check(&start, &sent);
    check(&[&start[..], &[held(1, 0, 9), held(1, 0, 9)]].concat(), &sent);
    check(&[&start[..], &[held(1, 0, 9), held(2, 0, 9)]].concat(), &[&sent[..], &["0!"]].concat());
}

#[test]
fn a_holder_that_came_back_must_say_again_what_it_holds() {
    let events = [places(1, &[&[1], &[1, 2]]), up(1), up(2), batch(0, 9), held(1, 0, 9), down(1), held(2, 0, 9)];
    let sent = ["view 1 [(0, 10), (1, 0)] to 1", "view 1 [(1, 0)] to 2", "0>1", "0+2"];
    check(&events, &sent);
    let back = [&events[..], &[up(1), held(1, 0, 9)]].concat();
    check(&back, &[&sent[..], &["view 1 [(0, 10), (1, 0)] to 1", "0>1", "0!"]].concat());
}

#[test]
fn who_holds_nothing_any_more_is_not_waited_for() {
    let events = [places(1, &[&[1], &[1, 2]]), up(1), up(2), batch(0, 9), held(2, 0, 9), places(2, &[&[2], &[2]])];
    let sent = ["view 1 [(0, 10), (1, 0)] to 1", "view 1 [(1, 0)] to 2", "0>1", "0+2"];
    check(&events, &[&sent[..], &["view 2 [] to 1", "view 2 [(0, 10), (1, 0)] to 2", "0!"]].concat());
}

#[test]
fn what_was_known_of_places_before_does_not_count() {
    let events = [places(2, &[&[1], &[1]]), places(1, &[&[2], &[2]]), up(1), up(2), batch(0, 9)];
    check(&events, &["view 2 [(0, 10), (1, 0)] to 1", "view 2 [] to 2", "0>1"]);
}

#[test]
fn records_of_a_source_are_acknowledged_in_their_order() {
    let events = [places(1, &[&[1], &[1]]), up(1), batch(0, 4), batch(5, 9), batch(10, 19)];
    let sent = ["view 1 [(0, 10), (1, 0)] to 1", "0>1", "5>1", "10>1"];
    let order = [held(1, 5, 9), held(1, 10, 19), held(1, 0, 4)];
    check(&[&events[..], &order].concat(), &[&sent[..], &["10!", "0!", "5!"]].concat());
}

#[test]
fn what_a_connection_did_not_take_goes_again_after_a_while() {
    let events = [places(1, &[&[1], &[1]]), up(1), batch(0, 9), not_sent(1, 0), ClientEvent::Tick];
    check(&events, &["view 1 [(0, 10), (1, 0)] to 1", "0>1", "again 0", "0>1"]);
}

#[test]
fn what_one_connection_did_not_take_goes_again_to_none_of_the_others() {
    let events = [places(1, &[&[1], &[1, 2]]), up(1), up(2), batch(0, 9), not_sent(2, 0), ClientEvent::Tick];
    check(&events, &["view 1 [(0, 10), (1, 0)] to 1", "view 1 [(1, 0)] to 2", "0>1", "0+2", "0+2"]);
}

#[test]
fn whoever_holds_a_source_all_along_is_sent_its_batches_once() {
    let start = [places(1, &[&[1], &[1, 2]]), up(1), up(2), up(3), batch(0, 9)];
    let sent = ["view 1 [(0, 10), (1, 0)] to 1", "view 1 [(1, 0)] to 2", "view 1 [] to 3", "0>1", "0+2"];
    let views = |version: u64, second: u32| {
        let view = |node: u32, of: &str| format!("view {version} [{of}] to {node}");
        let of = |node: u32| if node == second { "(1, 0)" } else { "" };
        [view(1, "(0, 10), (1, 0)"), view(2, of(2)), view(3, of(3))]
    };
    let seen = |views: [String; 3], more: &[&str]| {
        let all = sent.iter().map(|said| (*said).to_owned()).chain(views);
        all.chain(more.iter().map(|said| (*said).to_owned())).collect::<Vec<_>>()
    };
    for (next, version, second, again) in [
        (places(2, &[&[1], &[1, 2]]), 2, 2, &[][..]),
        (places(2, &[&[1], &[2, 1]]), 2, 2, &[]),
        (places(2, &[&[1], &[1, 3]]), 2, 3, &["0+3"]),
        // Who knows what was in between: all may have forgotten what they had.
        (places(3, &[&[1], &[1, 2]]), 3, 2, &["again 0", "0>1", "0+2"]),
    ] {
        let expected = seen(views(version, second), again);
        check(&[&start[..], &[next]].concat(), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_holder_refused_it_is_sent_again_when_the_client_knows_what_it_goes_by() {
    let start = [places(1, &[&[1], &[1]]), up(1), batch(0, 9)];
    let (sent, later) = (["view 1 [(0, 10), (1, 0)] to 1", "0>1"], ["view 2 [(0, 10), (1, 0)] to 1"]);
    let anew = places(2, &[&[1], &[1]]);
    let again = ["again 0", "0>1"];
    check(&[&start[..], &[refused(1, 0, 9, 2)]].concat(), &sent);
    for events in [[refused(1, 0, 9, 2), anew.clone()], [anew.clone(), refused(1, 0, 9, 2)]] {
        check(&[&start[..], &events].concat(), &[&sent[..], &later, &again].concat());
    }
    // Of another holder's word, or of one on other records, nothing follows.
    for other in [refused(2, 0, 9, 2), refused(1, 0, 4, 2)] {
        check(&[&start[..], &[anew.clone(), other]].concat(), &[&sent[..], &later].concat());
    }
}

#[test]
fn intervals_ends_are_told_to_every_node_that_may_run_a_source() {
    let punctuation = ClientEvent::Punctuation { interval: 0, end: 7 };
    check(&[up(1), punctuation.clone(), up(2)], &["ends [(0, 7)] to 1", "ends [(0, 7)] to 2"]);
    check(&[ClientEvent::Up(NodeName::new("master")), punctuation], &[]);
}

#[test]
fn what_an_earlier_life_sent_counts_and_is_not_asked_for_again() {
    let known = ClientEvent::Known(vec![range(0, 9), range(20, 29)]);
    let events = [places(1, &[&[1], &[1]]), known, up(1), batch(10, 19), held(1, 10, 19), ClientEvent::SourceEnded];
    // To source 1 go 0 to 9, 20 to 29 and then 40 to 49: the first that no life sent is 40.
    check(&events, &["view 1 [(0, 10), (1, 40)] to 1", "10>1", "10!", "done 30"]);
}

/// What happens to a client.
#[derive(Clone, Debug)]
enum Step {
    Batch(u64),
    Up(u32),
    Down(u32),
    /// So many versions later.
    Places(u64, Vec<BTreeSet<u32>>),
    /// A node says that it holds what it was sent in this connection: one of it.
    Say(u32, prop::sample::Index),
    /// It says that it did not take one of it, as the client has to know a version that is so much later.
    Refuse(u32, prop::sample::Index, u64),
    /// The connection to it did not take one of it.
    NotSent(u32, prop::sample::Index),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 1..=NODES;
    let holders = proptest::collection::btree_set(node(), 1..3);
    let step = prop_oneof![
        6 => (1..10u64).prop_map(Step::Batch),
        2 => node().prop_map(Step::Up),
        1 => node().prop_map(Step::Down),
        1 => (1..3u64, proptest::collection::vec(holders, SOURCES as usize))
            .prop_map(|(later, holders)| Step::Places(later, holders)),
        8 => (node(), any::<prop::sample::Index>()).prop_map(|(node, which)| Step::Say(node, which)),
        2 => (node(), any::<prop::sample::Index>(), 0..2u64)
            .prop_map(|(node, which, later)| Step::Refuse(node, which, later)),
        1 => (node(), any::<prop::sample::Index>()).prop_map(|(node, which)| Step::NotSent(node, which)),
        1 => Just(Step::Tick),
    ];
    proptest::collection::vec(step, 0..80)
}

/// A client, and what its nodes have got.
struct Stream {
    feeder: Feeder,
    now: u64,
    version: u64,
    next: u64,
    holders: Vec<BTreeSet<u32>>,
    up: BTreeSet<u32>,
    /// first -> last, of what is not acknowledged
    open: BTreeMap<u64, u64>,
    acked: Vec<RecordRange>,
    /// (node, first) that was sent in the present connection
    sent: BTreeSet<(u32, u64)>,
    /// (node, first) that the node said it holds in the present connection
    said: BTreeSet<(u32, u64)>,
}

impl Stream {
    fn new() -> Stream {
        Stream {
            feeder: Feeder::new(1, cut()),
            now: 0,
            version: 0,
            next: 0,
            holders: vec![BTreeSet::new(); SOURCES as usize],
            up: BTreeSet::new(),
            open: BTreeMap::new(),
            acked: Vec::new(),
            sent: BTreeSet::new(),
            said: BTreeSet::new(),
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Batch(records) => {
                let (first, last) = (self.next, (self.next + records).min(cut().border(self.next)) - 1);
                self.next = last + 1;
                self.open.insert(first, last);
                self.step(batch(first, last));
            }
            Step::Up(node) if self.up.insert(*node) => self.step(up(*node)),
            Step::Up(_) => {}
            Step::Down(node) => {
                self.up.remove(node);
                self.sent.retain(|(to, _)| to != node);
                self.said.retain(|(by, _)| by != node);
                self.step(down(*node));
            }
            Step::Places(later, holders) => {
                self.version += later;
                let before = std::mem::replace(&mut self.holders, holders.clone());
                // What a node has it forgets when it is no holder, as it may have been in a version that nobody saw.
                let keeps = |(node, first): &(u32, u64)| {
                    let source = cut().source_of(1, *first) as usize;
                    *later == 1 && before[source].contains(node) && holders[source].contains(node)
                };
                self.sent.retain(keeps);
                self.said.retain(keeps);
                let holders: Vec<Vec<u32>> = holders.iter().map(|nodes| nodes.iter().copied().collect()).collect();
                let holders: Vec<&[u32]> = holders.iter().map(Vec::as_slice).collect();
                self.step(places(self.version, &holders));
            }
            Step::Say(node, which) => {
                let sent: Vec<u64> = self.sent.iter().filter(|(to, _)| to == node).map(|(_, first)| *first).collect();
                if !sent.is_empty() {
                    self.say(*node, *which.get(&sent));
                }
            }
            Step::Refuse(node, which, later) => {
                if let Some((first, last)) = self.lose(*node, which) {
                    self.step(refused(*node, first, last, self.version + later));
                }
            }
            Step::NotSent(node, which) => {
                if let Some((first, _)) = self.lose(*node, which) {
                    self.step(not_sent(*node, first));
                }
            }
            Step::Tick => self.step(ClientEvent::Tick),
        }
    }

    /// One batch that a node was sent and has said nothing of, and that it has not.
    fn lose(&mut self, node: u32, which: &prop::sample::Index) -> Option<(u64, u64)> {
        let is_unsaid = |of: &&(u32, u64)| of.0 == node && !self.said.contains(of) && self.open.contains_key(&of.1);
        let unsaid: Vec<u64> = self.sent.iter().filter(is_unsaid).map(|(_, first)| *first).collect();
        let first = (!unsaid.is_empty()).then(|| *which.get(&unsaid))?;
        self.sent.remove(&(node, first));
        Some((first, self.open[&first]))
    }

    fn say(&mut self, node: u32, first: u64) {
        if let Some(last) = self.open.get(&first).copied() {
            self.said.insert((node, first));
            self.step(held(node, first, last));
        }
    }

    fn step(&mut self, event: ClientEvent) {
        self.now += 1000;
        let mut actions = Vec::new();
        self.feeder.step(Moment::from_millis(self.now), event, &mut actions);
        for action in actions {
            match action {
                ClientAction::Send { first, to, .. } => {
                    let node = (1..=NODES).find(|node| NodeName::worker(*node) == to).unwrap();
                    assert!(self.open.contains_key(&first), "{first} is sent after it was acknowledged");
                    assert!(self.up.contains(&node), "{first} is sent to {node}, which is not connected");
                    assert!(self.sent.insert((node, first)), "{first} is sent to {node}, which has it or gets it");
                }
                ClientAction::Record(Event::RecordsAcked { range }) => {
                    let holders = &self.holders[cut().source_of(1, range.first) as usize];
                    let lacks = holders.iter().find(|node| !self.said.contains(&(**node, range.first)));
                    assert_eq!((lacks, holders.is_empty()), (None, false), "{range:?} is acknowledged too early");
                    assert_eq!(self.open.remove(&range.first), Some(range.last), "{range:?} is acknowledged twice");
                    self.acked.push(range);
                }
                _ => {}
            }
        }
    }

    /// Trouble is over: everybody is there and says what he holds.
    fn finish(&mut self) {
        let holders =
            if self.version == 0 { vec![BTreeSet::from([1]); SOURCES as usize] } else { self.holders.clone() };
        self.play(&Step::Places(1, holders));
        (1..=NODES).for_each(|node| self.play(&Step::Up(node)));
        self.step(ClientEvent::Tick);
        let sent = self.sent.clone();
        sent.into_iter().for_each(|(node, first)| self.say(node, first));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn whatever_happens_all_is_acknowledged_once_by_all_of_its_holders_and_nothing_is_forgotten(steps in steps()) {
        let mut stream = Stream::new();
        steps.iter().for_each(|step| stream.play(step));
        stream.finish();
        prop_assert_eq!(&stream.open, &BTreeMap::new(), "forgotten");
        let acked: u64 = stream.acked.iter().map(RecordRange::count).sum();
        prop_assert_eq!(acked, stream.next);
        for source in 0..SOURCES {
            let of = stream.acked.iter().filter(|range| cut().source_of(1, range.first) == source);
            prop_assert!(of.map(|range| range.first).is_sorted(), "out of order: {:?}", stream.acked);
        }
    }
}
