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
    let events = [places(1, &[&[1], &[1]]), up(1), batch(0, 9), ClientEvent::NotSent { first: 0 }, ClientEvent::Tick];
    check(&events, &["view 1 [(0, 10), (1, 0)] to 1", "0>1", "again 0", "0>1"]);
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
    Places(Vec<BTreeSet<u32>>),
    /// A node says that it holds what it was sent in this connection: one of it.
    Say(u32, prop::sample::Index),
    NotSent(prop::sample::Index),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 1..=NODES;
    let holders = proptest::collection::btree_set(node(), 1..3);
    let step = prop_oneof![
        6 => (1..10u64).prop_map(Step::Batch),
        2 => node().prop_map(Step::Up),
        1 => node().prop_map(Step::Down),
        1 => proptest::collection::vec(holders, SOURCES as usize).prop_map(Step::Places),
        8 => (node(), any::<prop::sample::Index>()).prop_map(|(node, which)| Step::Say(node, which)),
        1 => any::<prop::sample::Index>().prop_map(Step::NotSent),
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
            Step::Places(holders) => {
                self.version += 1;
                self.holders.clone_from(holders);
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
            Step::NotSent(which) => {
                let open: Vec<u64> = self.open.keys().copied().collect();
                if !open.is_empty() {
                    self.step(ClientEvent::NotSent { first: *which.get(&open) });
                }
            }
            Step::Tick => self.step(ClientEvent::Tick),
        }
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
                    self.sent.insert((node, first));
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
        if self.version == 0 {
            self.play(&Step::Places(vec![BTreeSet::from([1]); SOURCES as usize]));
        }
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
