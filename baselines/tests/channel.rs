//! A channel: whatever happens on the way, its reader gets every element once, in order, and intervals whole.
//!
//! Writers run at one host or at two that push in orders of their own; the way to the reader is a queue for each host. The
//! test plays the part of the node: it breaks connections, asks again, trims behind a border, and has a heir of the reader
//! begin there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use bytes::Bytes;
use dstream_baselines::continuous::inbox::{Inbox, Verdict};
use dstream_baselines::continuous::message::{NodeNumber, Position, Reader};
use dstream_baselines::continuous::outbox::{Budget, Entry, Outbox, Outgoing, TooOld};
use dstream_trace::RecordRange;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// The reader's operator.
const READER: Reader = Reader { stage: 1, partition: 0 };

/// Its node; writers' hosts have other numbers.
const READER_NODE: NodeNumber = 99;

/// Elements of a writer: (client, number among its elements, interval).
type Elements = Vec<(u32, u64, u64)>;

/// So many entries may go.
struct Room(usize);

impl Budget for Room {
    fn has_room(&self, _: NodeNumber) -> bool {
        self.0 > 0
    }

    fn spend(&mut self, _: NodeNumber, _: usize) {
        self.0 -= 1;
    }
}

/// One host of a writer.
struct Host {
    writer: u32,
    outbox: Outbox,
    /// What it will push.
    to_push: VecDeque<Entry>,
    /// On the way to the reader.
    way: VecDeque<Outgoing>,
    is_up: bool,
}

/// What happens; numbers choose a host.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize, usize),
    Send(usize, usize),
    Deliver(usize, usize),
    Break(usize),
    Ask(usize),
    Trim,
    Heir,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4usize, 1..6usize).prop_map(|(host, count)| Step::Push(host, count)),
        6 => (0..4usize, 1..6usize).prop_map(|(host, count)| Step::Send(host, count)),
        6 => (0..4usize, 1..6usize).prop_map(|(host, count)| Step::Deliver(host, count)),
        1 => (0..4usize).prop_map(Step::Break),
        3 => (0..4usize).prop_map(Step::Ask),
        2 => Just(Step::Trim),
        1 => Just(Step::Heir),
    ];
    proptest::collection::vec(step, 0..120)
}

/// What one host of a writer pushes: clients' elements in their order, mixed as drawn, each interval closed behind them.
fn entries(elements: &Elements, mix: &[usize], intervals: u64) -> VecDeque<Entry> {
    let mut streams: BTreeMap<u32, VecDeque<(u64, u64)>> = BTreeMap::new();
    for (client, number, interval) in elements {
        streams.entry(*client).or_default().push_back((*number, *interval));
    }
    let (mut entries, mut closed, mut turn) = (VecDeque::new(), 0, mix.iter().cycle());
    while closed < intervals {
        if streams.values().flatten().all(|(_, interval)| *interval > closed) {
            entries.push_back(Entry { interval: closed, records: None, parts: BTreeMap::new(), lacks: 0 });
            closed += 1;
            continue;
        }
        let open: Vec<u32> =
            streams.iter().filter(|(_, stream)| !stream.is_empty()).map(|(client, _)| *client).collect();
        let client = open[turn.next().unwrap() % open.len()];
        let (number, interval) = streams.get_mut(&client).unwrap().pop_front().unwrap();
        let records = Some(RecordRange { client, first: number * 2, last: number * 2 + 1 });
        let rows = Bytes::from(format!("{client} {number}"));
        // Every third element has nothing for this reader.
        let reader = u32::from(number % 3 == 2);
        entries.push_back(Entry { interval, records, parts: BTreeMap::from([(reader, rows)]), lacks: 0 });
    }
    entries
}

/// The reader and all that it hears.
struct Channel {
    hosts: Vec<Host>,
    writers: u32,
    inbox: Inbox,
    token: u64,
    /// What was applied: (writer, client, number, interval).
    applied: Vec<(u32, u32, u64, u64)>,
    closed: Vec<u64>,
    trimmed: Option<u64>,
}

impl Channel {
    fn new(elements: &[Elements], mixes: &[Vec<usize>], replicas: usize, intervals: u64) -> Channel {
        let mut hosts = Vec::new();
        for (writer, elements) in (0u32..).zip(elements) {
            for replica in 0..replicas {
                let to_push = entries(elements, &mixes[(writer as usize + replica) % mixes.len()], intervals);
                let (outbox, way) = (Outbox::default(), VecDeque::new());
                hosts.push(Host { writer, outbox, to_push, way, is_up: true });
            }
        }
        let writers = u32::try_from(elements.len()).unwrap();
        let inbox = Inbox::new(writers, None);
        Channel { hosts, writers, inbox, token: 0, applied: Vec::new(), closed: Vec::new(), trimmed: None }
    }

    fn node(host: usize) -> NodeNumber {
        NodeNumber::try_from(host + 1).unwrap()
    }

    fn play(&mut self, step: Step) {
        let many = self.hosts.len();
        match step {
            Step::Push(host, count) => self.push(host % many, count),
            Step::Send(host, count) => self.send(host % many, count),
            Step::Deliver(host, count) => (0..count).for_each(|_| self.deliver(host % many)),
            Step::Break(host) => {
                self.hosts[host % many].is_up = false;
                self.hosts[host % many].way.clear();
                self.hosts[host % many].outbox.forget_node(READER_NODE);
                self.inbox.forget_node(Channel::node(host % many));
            }
            Step::Ask(host) => self.ask(host % many),
            Step::Trim => self.trim(),
            Step::Heir => self.heir(),
        }
    }

    fn push(&mut self, host: usize, count: usize) {
        let host = &mut self.hosts[host];
        let count = count.min(host.to_push.len());
        host.to_push.drain(..count).for_each(|entry| host.outbox.push(entry));
    }

    fn send(&mut self, host: usize, count: usize) {
        let host = &mut self.hosts[host];
        let (mut room, mut out) = (Room(count), Vec::new());
        host.outbox.take(&mut room, &mut out);
        assert!(room.0 == 0 || !host.outbox.has_more(), "it may send and does not");
        assert!(host.is_up || out.is_empty(), "nobody asked for it");
        host.way.extend(out);
    }

    /// The reader asks a host for what it lacks; old elements may still be on their way.
    fn ask(&mut self, host: usize) {
        let (writer, node) = (self.hosts[host].writer, Channel::node(host));
        self.hosts[host].is_up = true;
        self.token += 1;
        let position = self.inbox.subscribe(writer, node, self.token);
        if self.hosts[host].outbox.subscribe(READER, READER_NODE, (self.token, 0), &position) == Err(TooOld) {
            assert!(self.trimmed > position.closed, "nothing was trimmed that the reader lacks");
            self.inbox.unsubscribe(writer, node);
        }
    }

    fn deliver(&mut self, host: usize) {
        let Some(out) = self.hosts[host].way.pop_front() else { return };
        let (writer, node) = (self.hosts[host].writer, Channel::node(host));
        assert_eq!(out.reader, READER);
        match self.inbox.accept(writer, node, (out.token, out.number), out.interval, out.records) {
            Verdict::Fresh => {
                if let Some(range) = out.records {
                    assert_eq!(out.rows, format!("{} {}", range.client, range.first / 2));
                    self.applied.push((writer, range.client, range.first / 2, out.interval));
                    assert!(!self.closed.contains(&out.interval), "{range:?} comes behind its interval");
                }
            }
            Verdict::Gap => panic!("a subscription's elements came whole and in order"),
            Verdict::Duplicate | Verdict::Old => {}
        }
        self.closed.extend(std::iter::from_fn(|| self.inbox.close()));
    }

    /// The state behind all that is closed is safe: nobody will ask for it.
    fn trim(&mut self) {
        let Some(through) = self.closed.last().copied() else { return };
        // A border is one that every host of a writer has passed.
        let has_pushed = |host: &Host| !host.to_push.iter().any(|entry| entry.interval <= through);
        if self.hosts.iter().all(has_pushed) {
            self.hosts.iter_mut().for_each(|host| host.outbox.trim(through));
            self.trimmed = Some(through);
        }
    }

    /// The reader's node is lost: a heir begins with the state behind the border.
    fn heir(&mut self) {
        for host in &mut self.hosts {
            host.way.clear();
            host.outbox.forget_node(READER_NODE);
            host.is_up = false;
        }
        self.inbox = Inbox::new(self.writers, self.trimmed);
        self.closed.retain(|interval| Some(*interval) <= self.trimmed);
        self.applied.retain(|(_, _, _, interval)| Some(*interval) <= self.trimmed);
    }

    /// Everything that is left is pushed, asked for, sent and delivered.
    fn finish(&mut self) {
        for host in 0..self.hosts.len() {
            self.push(host, usize::MAX);
            self.ask(host);
            self.send(host, usize::MAX);
            while !self.hosts[host].way.is_empty() {
                self.deliver(host);
            }
        }
    }
}

/// By writer: what its clients sent, in few intervals, each client's elements in the order of their intervals.
fn elements(intervals: u64) -> impl Strategy<Value = Vec<Elements>> {
    let client = proptest::collection::vec(0..intervals, 0..8);
    let writer = proptest::collection::vec(client, 1..4).prop_map(|clients| {
        let of = |(client, mut intervals): (u32, Vec<u64>)| {
            intervals.sort_unstable();
            (0u64..).zip(intervals).map(move |(number, interval)| (client, number, interval)).collect::<Vec<_>>()
        };
        (1u32..).zip(clients).flat_map(of).collect::<Elements>()
    });
    proptest::collection::vec(writer, 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn every_element_comes_once_in_order_and_no_interval_closes_before_its_elements(
        elements in elements(4),
        mixes in proptest::collection::vec(proptest::collection::vec(0..7usize, 1..6), 1..3),
        replicas in 1..3usize,
        steps in steps(),
    ) {
        let mut channel = Channel::new(&elements, &mixes, replicas, 4);
        steps.into_iter().for_each(|step| channel.play(step));
        channel.finish();
        prop_assert_eq!(&channel.closed, &(0..4).collect::<Vec<_>>());
        for (writer, elements) in (0u32..).zip(&elements) {
            for client in 1..4u32 {
                let of = channel.applied.iter().filter(|(of, by, _, _)| (*of, *by) == (writer, client));
                let applied: Vec<(u64, u64)> = of.map(|(_, _, number, interval)| (*number, *interval)).collect();
                let has_rows = |number: u64| number % 3 != 2;
                let sent = elements.iter().filter(|(by, number, _)| *by == client && has_rows(*number));
                let sent: Vec<(u64, u64)> = sent.map(|(_, number, interval)| (*number, *interval)).collect();
                prop_assert_eq!(applied, sent, "of client {} at writer {}", client, writer);
            }
        }
    }

    #[test]
    fn what_is_trimmed_everywhere_is_kept_nowhere(
        elements in elements(4), mix in proptest::collection::vec(0..7usize, 1..6), through in 0..4u64,
    ) {
        let mut outbox = Outbox::default();
        let all = entries(&elements[0], &mix, 4);
        all.iter().for_each(|entry| outbox.push(entry.clone()));
        let bytes = |kept: &mut dyn Iterator<Item = &Entry>| -> usize {
            kept.flat_map(|entry| entry.parts.values()).map(Bytes::len).sum()
        };
        prop_assert_eq!(outbox.bytes(), bytes(&mut all.iter()));
        outbox.trim(through);
        let closed = all.iter().position(|entry| entry.interval == through && entry.records.is_none()).unwrap();
        prop_assert!(outbox.bytes() >= bytes(&mut all.iter().filter(|entry| entry.interval > through)));
        // Nothing that a reader behind the border lacks is gone, and who is before it is told so.
        let before = Position { closed: through.checked_sub(1), records: BTreeMap::new() };
        prop_assert_eq!(outbox.subscribe(READER, 7, (1, 0), &before), Err(TooOld));
        let behind = Position { closed: Some(through), records: BTreeMap::new() };
        prop_assert_eq!(outbox.subscribe(READER, 7, (2, 0), &behind), Ok(()));
        let mut out = Vec::new();
        outbox.take(&mut Room(usize::MAX), &mut out);
        let expected = all.iter().filter(|entry| entry.interval > through);
        let expected = expected.filter(|entry| entry.records.is_none() || entry.parts.contains_key(&0));
        let got = out.iter().filter(|out| out.interval > through).map(|out| (out.interval, out.records));
        let expected = expected.map(|entry| (entry.interval, entry.records));
        prop_assert_eq!(got.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        outbox.trim(3);
        prop_assert_eq!((outbox.bytes(), closed < all.len()), (0, true));
    }
}

/// What an inbox of one writer says to elements: host, token, number, interval, client's last record.
fn check(elements: &[(u32, u64, u64, u64, Option<u64>)], expected: &[Verdict]) {
    let mut inbox = Inbox::new(1, None);
    (1..=2).for_each(|host| drop(inbox.subscribe(0, host, u64::from(host))));
    let seen: Vec<Verdict> = elements
        .iter()
        .map(|(host, token, number, interval, last)| {
            let records = last.map(|last| RecordRange { client: 1, first: last, last });
            inbox.accept(0, *host, (*token, *number), *interval, records)
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn of_two_hosts_the_first_to_come_counts() {
    use Verdict::{Duplicate, Fresh};
    check(&[(1, 1, 0, 0, Some(5)), (2, 2, 0, 0, Some(5)), (2, 2, 1, 0, Some(6))], &[Fresh, Duplicate, Fresh]);
    check(&[(1, 1, 0, 0, None), (2, 2, 0, 0, Some(5)), (2, 2, 1, 0, None)], &[Fresh, Duplicate, Duplicate]);
}

#[test]
fn an_element_of_another_subscription_is_old_and_a_skipped_number_a_gap() {
    use Verdict::{Fresh, Gap, Old};
    check(&[(1, 9, 0, 0, Some(5)), (3, 1, 0, 0, Some(5)), (1, 1, 1, 0, Some(5))], &[Old, Old, Gap]);
    check(&[(1, 1, 0, 0, Some(5)), (1, 1, 2, 0, Some(7)), (1, 1, 1, 0, Some(6))], &[Fresh, Gap, Fresh]);
}

#[test]
fn a_writer_that_is_not_there_is_nobody() {
    let mut inbox = Inbox::new(1, None);
    assert_eq!(inbox.accept(1, 1, (1, 0), 0, None), Verdict::Old);
}
