//! A source's input and its intervals: whatever way batches come to a holder, the same intervals are sealed.
//!
//! Histories are drawn: clients with records, where their intervals end, and how the streams are cut. Expected seals are
//! counted from the history alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use bytes::Bytes;
use dstream_baselines::continuous::log::{Batch, InputLog};
use dstream_baselines::continuous::message::Gate;
use dstream_baselines::continuous::source::{Known, Punctuations, Seal, Source};
use dstream_cluster::client::Cut;
use dstream_trace::{RangeSet, RecordRange};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

/// Intervals of a history.
const INTERVALS: u64 = 5;

/// What clients send.
#[derive(Clone, Debug)]
struct History {
    cut: Cut,
    sources: u32,
    /// By client: how many records each interval has.
    counts: Vec<Vec<u64>>,
}

impl History {
    fn clients(&self) -> u32 {
        u32::try_from(self.counts.len()).unwrap()
    }

    /// By client: where its intervals end.
    fn punctuations(&self) -> Punctuations {
        let ends = |counts: &Vec<u64>| {
            let ends = counts.iter().scan(0, |end, count| {
                *end += count;
                Some(*end)
            });
            (0..).zip(ends).collect()
        };
        (1..).zip(self.counts.iter().map(ends)).collect()
    }

    fn total(&self, client: u32) -> u64 {
        self.counts[client as usize - 1].iter().sum()
    }

    /// Batches as clients cut them: never across the border of a run or of an interval.
    fn batches(&self, source: u32) -> Vec<Batch> {
        let mut batches = Vec::new();
        for (client, ends) in self.punctuations() {
            let mut first = 0;
            for (interval, end) in ends {
                while first < end {
                    let last = self.cut.border(first).min(end) - 1;
                    let range = RecordRange { client, first, last };
                    let lines = Bytes::from(format!("{client} {first}\n"));
                    batches.push(Batch { range, interval, lines });
                    first = last + 1;
                }
            }
        }
        batches.retain(|batch| self.cut.source_of(batch.range.client, batch.range.first) == source);
        batches
    }
}

fn histories() -> impl Strategy<Value = History> {
    let counts = proptest::collection::vec(prop_oneof![Just(0), 0..12u64], INTERVALS as usize);
    (1..5u64, 1..4u32, proptest::collection::vec(counts, 1..4)).prop_map(|(records, sources, counts)| {
        let records = NonZeroU64::new(records).unwrap();
        let cut = Cut::Runs { records, sources, period: Duration::from_millis(10) };
        History { cut, sources, counts }
    })
}

/// One of a source's nodes.
struct Holder<'h> {
    history: &'h History,
    log: InputLog,
    source: Source,
    punctuations: Punctuations,
    gates: BTreeMap<u32, Gate>,
    taken: Vec<RecordRange>,
    seals: Vec<Seal>,
}

impl<'h> Holder<'h> {
    /// A node that begins behind an interval.
    fn new(history: &'h History, number: u32, through: Option<u64>) -> Holder<'h> {
        let mut punctuations = history.punctuations();
        match through {
            // What a heir is told of the past: the border itself.
            Some(through) => punctuations.values_mut().for_each(|ends| ends.retain(|of, _| *of == through)),
            None => punctuations.clear(),
        }
        let (log, gates) = (InputLog::default(), BTreeMap::new());
        let known = Known { log: &log, punctuations: &punctuations, gates: &gates, over: 0 };
        let source = Source::new(number, history.cut, history.clients(), through, &known);
        let (taken, seals) = (Vec::new(), Vec::new());
        Holder { history, log, source, punctuations, gates, taken, seals }
    }

    /// Takes what can be taken, and seals what can be sealed.
    fn work(&mut self) {
        loop {
            let next = self.source.wanted().find_map(|(client, first)| self.log.get(client, first));
            let Some(range) = next.map(|batch| batch.range) else { break };
            self.source.took(range);
            self.taken.push(range);
        }
        let (punctuations, gates) = (&self.punctuations, &self.gates);
        let known = Known { log: &self.log, punctuations, gates, over: INTERVALS };
        let before: Vec<(u32, u64)> = self.source.wanted().collect();
        self.source.pass_over_lost(&known);
        let passed = before != self.source.wanted().collect::<Vec<_>>();
        let sealed = self.source.seal(&known);
        if passed || sealed.is_some() {
            self.seals.extend(sealed);
            self.work();
        }
    }

    /// All of the input comes in this order, each batch as often as said; punctuations come at these places.
    fn feed(&mut self, batches: &[Batch], order: &[(prop::sample::Index, bool)]) {
        let all = self.history.punctuations();
        let mut rest: Vec<(u32, u64, u64)> =
            all.iter().flat_map(|(client, ends)| ends.iter().map(|(of, end)| (*client, *of, *end))).collect();
        let mut waiting: Vec<&Batch> = batches.iter().collect();
        for (which, is_punctuation) in order.iter().cycle().take(order.len().max(1) * 200) {
            if rest.is_empty() && waiting.is_empty() {
                break;
            }
            if (*is_punctuation && !rest.is_empty()) || waiting.is_empty() {
                let (client, of, end) = rest.remove(which.index(rest.len()));
                self.punctuations.entry(client).or_default().insert(of, end);
            } else {
                let batch = waiting.remove(which.index(waiting.len()));
                self.log.admit(batch.clone());
                assert!(!self.log.admit(batch.clone()), "{:?} was taken in twice", batch.range);
            }
            self.work();
        }
        assert!(rest.is_empty() && waiting.is_empty(), "the order is too short to bring everything");
        self.work();
    }
}

type Order = Vec<(prop::sample::Index, bool)>;

fn orders() -> impl Strategy<Value = Order> {
    proptest::collection::vec(any::<(prop::sample::Index, bool)>(), 1..30)
}

/// The records of each interval of a source, by the history.
fn expected(history: &History, source: u32) -> Vec<RangeSet> {
    let batches = history.batches(source);
    let of = |interval: u64| batches.iter().filter(move |batch| batch.interval == interval);
    (0..INTERVALS).map(|interval| of(interval).map(|batch| batch.range).collect()).collect()
}

/// What was sealed is what the history has, and every record is named once.
fn check_seals(history: &History, number: u32, from: u64, seals: &[Seal]) -> Result<(), TestCaseError> {
    let intervals: Vec<u64> = seals.iter().map(|seal| seal.interval).collect();
    prop_assert_eq!(intervals, (from..INTERVALS).collect::<Vec<_>>());
    let expected = expected(history, number);
    for seal in seals {
        let named: u64 = seal.ranges.iter().map(RecordRange::count).sum();
        let set: RangeSet = seal.ranges.iter().copied().collect();
        prop_assert_eq!(named, set.count(), "a record twice in {:?}", seal);
        prop_assert_eq!(&set, &expected[seal.interval as usize]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_the_order_the_same_intervals_are_sealed_with_each_record_once(
        history in histories(), order in orders(), other in orders(),
    ) {
        for number in 0..history.sources {
            let batches = history.batches(number);
            let (mut first, mut second) = (Holder::new(&history, number, None), Holder::new(&history, number, None));
            first.feed(&batches, &order);
            second.feed(&batches, &other);
            check_seals(&history, number, 0, &first.seals)?;
            prop_assert_eq!(&first.seals, &second.seals);
            prop_assert!(first.seals.iter().all(|seal| seal.lost.is_empty()));
            prop_assert_eq!(first.taken.len(), batches.len(), "each batch is taken once");
        }
    }

    #[test]
    fn a_heir_behind_any_border_seals_what_the_first_one_sealed(
        history in histories(), order in orders(), other in orders(),
    ) {
        for number in 0..history.sources {
            let batches = history.batches(number);
            let mut first = Holder::new(&history, number, None);
            first.feed(&batches, &order);
            for through in 0..INTERVALS {
                let gone = first.log.trim(through);
                prop_assert!(gone.iter().all(|block| batches.iter().any(|batch| batch.name() == *block)));
                let handed_on: Vec<Batch> = first.log.iter().cloned().collect();
                prop_assert!(handed_on.iter().all(|batch| batch.interval > through));
                let mut heir = Holder::new(&history, number, Some(through));
                heir.feed(&handed_on, &other);
                prop_assert_eq!(&heir.seals, &first.seals[through as usize + 1..]);
            }
            prop_assert_eq!(first.log.bytes(), 0, "everything was let go");
        }
    }

    #[test]
    fn what_nobody_has_is_passed_over_once_it_cannot_come_any_more(
        history in histories(), order in orders(), gone in proptest::collection::vec(any::<bool>(), 1..9),
    ) {
        for number in 0..history.sources {
            let batches = history.batches(number);
            let pairs = batches.iter().cloned().zip(gone.iter().cycle().copied());
            let (lost, left): (Vec<_>, Vec<_>) = pairs.partition(|(_, is_gone)| *is_gone);
            let left: Vec<Batch> = left.into_iter().map(|(batch, _)| batch).collect();
            let mut holder = Holder::new(&history, number, None);
            holder.feed(&left, &order);
            let first_gap = lost.iter().map(|(batch, _)| batch.interval).min();
            let before = holder.seals.len() as u64;
            prop_assert_eq!(before, first_gap.unwrap_or(INTERVALS), "what may still come is waited for");
            (1..=history.clients()).for_each(|client| holder.log.pass(client, history.total(client)));
            holder.work();
            check_seals(&history, number, 0, &holder.seals)?;
            let passed: RangeSet = holder.seals.iter().flat_map(|seal| seal.lost.iter().copied()).collect();
            let expected: RangeSet = lost.iter().map(|(batch, _)| batch.range).collect();
            prop_assert_eq!(passed, expected);
        }
    }

    #[test]
    fn a_client_whose_life_is_over_ends_its_intervals_without_a_word(
        history in histories(), silent_from in 0..INTERVALS,
    ) {
        for number in 0..history.sources {
            let mut holder = Holder::new(&history, number, None);
            for batch in history.batches(number) {
                holder.log.admit(batch);
            }
            holder.punctuations = history.punctuations();
            holder.punctuations.get_mut(&1).unwrap().retain(|of, _| *of < silent_from);
            holder.work();
            prop_assert_eq!(holder.seals.len() as u64, silent_from, "a silent client is waited for");
            let ends = (0..history.sources).map(|_| history.total(1)).collect();
            let gate = Gate { round: 1, ends, is_ended: true, ..Gate::default() };
            holder.gates.insert(1, gate);
            holder.work();
            check_seals(&history, number, 0, &holder.seals)?;
        }
    }
}

fn batch(first: u64, last: u64, interval: u64) -> Batch {
    Batch { range: RecordRange { client: 1, first, last }, interval, lines: Bytes::from_static(b"line\n") }
}

/// Batches of one client in runs of two, all to one source; what is missing first after each.
fn check_frontier(events: &[(&str, u64, u64)], expected: &[u64]) {
    let cut = Cut::Runs { records: NonZeroU64::new(2).unwrap(), sources: 1, period: Duration::from_millis(10) };
    let mut log = InputLog::default();
    let seen: Vec<u64> = events
        .iter()
        .map(|(what, number, interval)| {
            match *what {
                "admit" => drop(log.admit(batch(*number, number + 1, *interval))),
                "trim" => drop(log.trim(*interval)),
                "pass" => log.pass(1, *number),
                "drop" => drop(log.drop_from(1, *number)),
                other => panic!("`{other}` is no event"),
            }
            log.frontier(cut, 0, 1)
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_frontier_is_the_first_missing_record() {
    check_frontier(&[("admit", 2, 0), ("admit", 0, 0), ("admit", 6, 1), ("admit", 4, 1)], &[0, 4, 4, 8]);
}

#[test]
fn the_frontier_stays_when_what_is_before_it_is_trimmed() {
    check_frontier(&[("admit", 0, 0), ("admit", 2, 1), ("trim", 0, 0), ("trim", 0, 1)], &[2, 4, 4, 4]);
}

#[test]
fn what_was_trimmed_does_not_come_back() {
    check_frontier(&[("admit", 0, 0), ("trim", 0, 0), ("admit", 0, 0), ("drop", 0, 0)], &[2, 2, 2, 2]);
}

#[test]
fn what_stands_behind_a_gap_can_be_dropped_and_sent_again() {
    check_frontier(&[("admit", 0, 0), ("admit", 4, 0), ("drop", 2, 0), ("admit", 2, 0)], &[2, 2, 2, 4]);
}

#[test]
fn what_is_nowhere_is_passed() {
    check_frontier(&[("admit", 4, 0), ("pass", 4, 0), ("pass", 2, 0)], &[0, 6, 6]);
}

#[test]
fn an_heir_without_batches_ends_an_interval_where_it_had_ended_for_all_who_have_theirs() {
    // Records 0, 2, 4 went to the one source and 1, 3, 5 to the other, to which 1 never came; interval 0 ended before 3.
    let cut = Cut::Runs { records: NonZeroU64::MIN, sources: 2, period: Duration::from_millis(10) };
    let (even, odd) = (cut.source_of(1, 0), cut.source_of(1, 1));
    let mut ends = vec![6; 2];
    ends[odd as usize] = 1;
    let borders = BTreeMap::from([(0, (3, BTreeSet::from([even])))]);
    let gates = BTreeMap::from([(1, Gate { round: 1, ends, borders, is_ended: true, ..Gate::default() })]);
    let (log, none) = (InputLog::default(), BTreeMap::new());
    let known = Known { log: &log, punctuations: &none, gates: &gates, over: 2 };
    let shares = |number: u32| {
        let mut source = Source::new(number, cut, 1, None, &known);
        [(); 2].map(|()| {
            source.pass_over_lost(&known);
            let seal = source.seal(&known).unwrap();
            let records = seal.lost.iter().flat_map(|range| range.first..=range.last);
            records.collect::<Vec<u64>>()
        })
    };
    assert_eq!(shares(even), [vec![0, 2], vec![4]]);
    assert_eq!(shares(odd), [vec![], vec![]]);
}
