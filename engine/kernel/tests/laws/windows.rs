//! The laws of what is kept from interval to interval. Each program runs through a history of intervals and is held
//! against a reference that computes every result from the lines themselves.

use crate::cases::{Row, by, count, ones, shown as rows_of, single, text, words};
use crate::runner::{Results, Run, blocks, shown};
use crate::{cut, lines, places};
use dstream_kernel::{DStream, LineBlock, Query, QueryBuilder, Scratch, Touched, Window};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};

/// The lines of each interval.
pub type History = Vec<Vec<String>>;

/// What an output's rows must be, by the lines of all intervals up to and including the last.
type Reference = Box<dyn Fn(&[Vec<String>]) -> Vec<Row>>;

/// A program, and for each of its outputs how often it is due and what it holds.
pub struct Program {
    pub name: &'static str,
    pub query: Query,
    outputs: Vec<(u64, Reference)>,
}

fn program(name: &'static str, write: impl Fn(&DStream<String>), outputs: Vec<(u64, Reference)>) -> Program {
    let builder = QueryBuilder::new();
    write(&builder.lines());
    Program { name, query: builder.build().expect("the program is whole"), outputs }
}

/// The lines of the last intervals together.
fn last(history: &[Vec<String>], length: usize) -> Vec<String> {
    history[history.len().saturating_sub(length)..].concat()
}

fn counts_of_last(length: usize) -> Reference {
    Box::new(move |history| rows_of(count(words(&last(history, length)))))
}

const ALL: usize = usize::MAX;

fn every(intervals: u64) -> NonZeroU64 {
    NonZeroU64::new(intervals).expect("results come every one or more intervals")
}

fn add(one: u64, other: u64) -> u64 {
    one + other
}

fn window(lines: &DStream<String>, window: Window) -> DStream<(String, u64)> {
    ones(lines).reduce_by_key_and_window(add, window)
}

fn invertible(lines: &DStream<String>, window: Window) -> DStream<(String, u64)> {
    ones(lines).reduce_by_key_and_window_invertible(add, |all, leaving| all - leaving, |count| count > 0, window)
}

/// One operator that counts words.
type Counting<'c> = &'c dyn Fn(&DStream<String>) -> DStream<(String, u64)>;

fn best(counts: Vec<Row>, k: usize) -> Vec<Row> {
    let mut counts: Vec<(String, u64)> =
        counts.into_iter().map(|(word, n)| (word, n.parse().expect("a count was shown"))).collect();
    counts.sort_by(|(word, n), (other, m)| m.cmp(n).then_with(|| word.cmp(other)));
    counts.truncate(k);
    rows_of(counts.into_iter().collect::<BTreeMap<_, _>>())
}

/// Counts that halve from interval to interval, until nothing is left of them.
fn fading(history: &[Vec<String>]) -> Vec<Row> {
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for lines in history {
        let mut new = count(words(lines));
        for word in states.keys() {
            new.entry(word.clone()).or_insert(0);
        }
        for (word, count) in new {
            let state = states.get(&word).copied().unwrap_or(0) / 2 + count;
            if state > 0 {
                states.insert(word, state)
            } else {
                states.remove(&word)
            };
        }
    }
    rows_of(states)
}

pub fn programs() -> Vec<Program> {
    let mut all = windows();
    all.extend(states());
    all.extend(touched());
    all.extend(several());
    all
}

fn windows() -> Vec<Program> {
    let mut all = Vec::new();
    for (length, slide) in [(1, 1), (2, 1), (3, 1), (4, 2), (2, 3), (1, 2), (9, 1)] {
        let counts = || vec![(slide, counts_of_last(length as usize))];
        all.push(program("window", move |lines| window(lines, by(length, slide)).output("o"), counts()));
        all.push(program("invertible", move |lines| invertible(lines, by(length, slide)).output("o"), counts()));
        let in_window = move |history: &[Vec<String>]| words(&last(history, length as usize)).len();
        let number: Reference = Box::new(move |history| single(std::iter::once(in_window(history))));
        let count = move |lines: &DStream<String>| lines.words().count_by_window(by(length, slide)).output("o");
        all.push(program("count", count, vec![(slide, number)]));
    }
    let longest: Reference = Box::new(|history| {
        let mut longest = BTreeMap::new();
        for word in words(&last(history, 3)) {
            let entry = longest.entry(word.starts_with('a')).or_insert_with(|| word.clone());
            *entry = word.max(entry.clone());
        }
        rows_of(longest)
    });
    let greatest = |lines: &DStream<String>| {
        let by_start = lines.words().map::<(bool, String)>(|word| (word.starts_with('a'), word));
        by_start.reduce_by_key_and_window(|one, other| one.max(other).to_owned(), by(3, 1)).output("o");
    };
    all.push(program("a function without an inverse", greatest, vec![(1, longest)]));
    all
}

fn states() -> Vec<Program> {
    let mut all = Vec::new();
    for slide in [1, 3] {
        let running = move |lines: &DStream<String>| ones(lines).running_reduce_by_key(add, every(slide)).output("o");
        all.push(program("from the start", running, vec![(slide, counts_of_last(ALL))]));
        let number: Reference = Box::new(|history| single([words(&last(history, ALL)).len()].into_iter()));
        let count = move |lines: &DStream<String>| lines.words().running_count(every(slide)).output("o");
        all.push(program("count from the start", count, vec![(slide, number)]));
    }
    let halving = |lines: &DStream<String>| {
        let halve = |_: &str, counts: &[u64], before: Option<u64>| {
            let state = counts.iter().sum::<u64>() + before.unwrap_or(0) / 2;
            (state > 0).then_some(state)
        };
        ones(lines).update_state_by_key::<u64>(halve).output("o");
    };
    all.push(program("state", halving, vec![(1, Box::new(fading))]));
    let listing = |lines: &DStream<String>| {
        let by_length = lines.words().map::<(u64, String)>(|word| (word.len() as u64, word));
        let join = |_: u64, words: &[&str], before: Option<&str>| {
            Some(before.unwrap_or_default().to_owned() + &words.concat())
        };
        by_length.update_state_by_key::<String>(join).output("o");
    };
    let listed: Reference = Box::new(|history| {
        let mut lists: BTreeMap<usize, String> = BTreeMap::new();
        for lines in history {
            let mut words = words(lines);
            words.sort();
            words.iter().for_each(|word| lists.entry(word.len()).or_default().push_str(word));
        }
        rows_of(lists)
    });
    all.push(program("a state that shows the order of values", listing, vec![(1, listed)]));
    all
}

/// A word's session: the interval in which it came last, and how often it came.
type Sessions = BTreeMap<String, (usize, u64)>;

/// The sessions after each interval, and the words with their counts whose session the last of them ended. A session ends
/// with the `timeout`th interval in a row without its word.
fn sessions(history: &[Vec<String>], timeout: usize) -> (Sessions, Vec<(String, u64)>) {
    let (mut open, mut ended) = (Sessions::new(), Vec::new());
    for (interval, lines) in history.iter().enumerate() {
        for (word, came) in count(words(lines)) {
            let session = open.entry(word).or_default();
            *session = (interval, session.1 + came);
        }
        let is_over = |(last, _): &(usize, u64)| timeout > 0 && interval - last >= timeout;
        ended = open.iter().filter(|(_, session)| is_over(session)).map(|(word, (_, n))| (word.clone(), *n)).collect();
        open.retain(|_, session| !is_over(session));
    }
    (open, ended)
}

fn touched() -> Vec<Program> {
    let mut all = Vec::new();
    for timeout in [0, 1, 3] {
        let intervals = NonZeroU64::new(timeout as u64);
        let tracked: Reference = Box::new(move |history| {
            rows_of(
                sessions(history, timeout).0.into_iter().map(|(word, (_, n))| (word, n)).collect::<BTreeMap<_, _>>(),
            )
        });
        let track = move |lines: &DStream<String>| {
            ones(lines).track::<u64>(|_, one| one, |_, count, one| Some(count + one), intervals).output("o");
        };
        all.push(program("track", track, vec![(1, tracked)]));
        let told: Reference = Box::new(move |history| {
            let (open, ended) = sessions(history, timeout);
            let is_new = |(_, (last, _)): &(String, (usize, u64))| *last + 1 == history.len();
            let active = open.into_iter().filter(is_new).map(|(word, (_, n))| (word, format!("so far {n}")));
            active.chain(ended.into_iter().map(|(word, n)| (word, format!("in all {n}")))).collect()
        });
        let tell = move |lines: &DStream<String>| tell(lines, intervals).output("o");
        all.push(program("map with state", tell, vec![(1, told)]));
    }
    all.push(program("records of their own and a state that goes", first_of_two, vec![(1, Box::new(firsts))]));
    let pairs = |lines: &DStream<String>| {
        let counts = window(lines, by(2, 2));
        counts.track::<u64>(|_, _| 1, |_, pairs, _| Some(pairs + 1), None).output("o");
    };
    all.push(program("track of a stream that slides", pairs, vec![(2, Box::new(pairs_with_the_word))]));
    all
}

fn tell(lines: &DStream<String>, timeout: Option<NonZeroU64>) -> DStream<(String, String)> {
    ones(lines).map_with_state::<u64, (String, String)>(timeout, |word, touched, before, out| {
        let count = before.unwrap_or(0) + touched.values().iter().sum::<u64>();
        let what = if touched == Touched::TimingOut { "in all" } else { "so far" };
        out.emit((word, &format!("{what} {count}")));
        Some(count)
    })
}

/// Words of each first letter, of every second interval that has some: the state of the one before it drops them.
fn first_of_two(lines: &DStream<String>) {
    let letter = |word: &str| word.chars().next().map_or(0, u64::from);
    let by_letter = lines.words().map::<(u64, String)>(move |word| (letter(word), word));
    let firsts = by_letter.map_with_state::<bool, String>(None, |_, touched, before, out| {
        if before.is_none() {
            touched.values().iter().rev().for_each(|word| out.emit_owned((*word).to_owned()));
        }
        before.is_none().then_some(true)
    });
    firsts.output("o");
}

fn firsts(history: &[Vec<String>]) -> Vec<Row> {
    let (mut seen, mut shown) = (BTreeMap::<char, bool>::new(), Vec::new());
    for lines in history {
        shown.clear();
        let mut words = words(lines);
        words.sort();
        for word in &words {
            let letter = word.chars().next().expect("a word has letters");
            if !seen.get(&letter).copied().unwrap_or(false) {
                shown.push(word.clone());
            }
        }
        let letters: std::collections::BTreeSet<char> = words.iter().filter_map(|word| word.chars().next()).collect();
        letters.into_iter().for_each(|letter| *seen.entry(letter).or_default() ^= true);
    }
    single(shown.into_iter())
}

fn several() -> Vec<Program> {
    let top = |length: usize| -> Reference { Box::new(move |history| best(counts_of_last(length)(history), 3)) };
    vec![
        program("top", |lines| ones(lines).reduce_by_key(add).top_k(3).output("o"), vec![(1, top(1))]),
        program("top of a window", |lines| invertible(lines, by(4, 2)).top_k(3).output("o"), vec![(2, top(4))]),
        program(
            "none at the top",
            |lines| window(lines, by(2, 1)).top_k(0).output("o"),
            vec![(1, Box::new(|_| vec![]))],
        ),
        program(
            "several windows, and one with two outputs",
            |lines| {
                let short = invertible(lines, by(2, 1));
                short.output("short");
                short.filter(|(_, n)| n > 1).output("often");
                window(lines, by(5, 3)).output("long");
            },
            vec![
                (1, counts_of_last(2)),
                (1, Box::new(|history| often(counts_of_last(2)(history)))),
                (3, counts_of_last(5)),
            ],
        ),
        program(
            "a window over a window, and what is behind it",
            |lines| {
                let pairs = window(lines, by(2, 2));
                let one_more =
                    |_: &str, counts: &[u64], before: Option<u64>| Some(before.unwrap_or(0) + counts.len() as u64);
                let four = pairs.reduce_by_key_and_window(add, by(4, 4));
                four.output("four");
                four.map::<(u64, u64)>(|(_, n)| (n, 1)).reduce_by_key(add).output("histogram");
                pairs.update_state_by_key::<u64>(one_more).output("pairs");
            },
            vec![
                (4, counts_of_last(4)),
                (4, Box::new(|history| rows_of(count(count(words(&last(history, 4))).into_values())))),
                (2, Box::new(pairs_with_the_word)),
            ],
        ),
    ]
}

fn often(counts: Vec<Row>) -> Vec<Row> {
    counts.into_iter().filter(|(_, n)| *n != text(1)).collect()
}

/// In how many pairs of intervals each word was.
fn pairs_with_the_word(history: &[Vec<String>]) -> Vec<Row> {
    let pairs = history.chunks_exact(2).map(|pair| count(words(&pair.concat())).into_keys());
    rows_of(count(pairs.flatten()))
}

pub fn history() -> impl Strategy<Value = History> {
    proptest::collection::vec(lines(), 1..9)
}

/// One map partition an interval.
pub fn whole(history: &History) -> Vec<Vec<Vec<LineBlock>>> {
    history.iter().map(|lines| vec![blocks(&[lines])]).collect()
}

fn run(query: &Query, maps: &[Vec<Vec<LineBlock>>], partitions: u32, scratch: &mut Scratch) -> Vec<Results> {
    let mut run = Run::new(query, partitions);
    maps.iter().map(|maps| run.interval(maps, scratch)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_result_is_that_of_its_lines_and_intervals_that_are_not_due_have_no_rows(
        history in history(), partitions in 1..4u32,
    ) {
        for program in programs() {
            let results = run(&program.query, &whole(&history), partitions, &mut Scratch::default());
            for (output, (every, reference)) in program.query.outputs.iter().zip(&program.outputs) {
                assert_eq!(output.every, *every, "{}", program.name);
                for (interval, results) in results.iter().enumerate() {
                    let is_due = (interval as u64 + 1).is_multiple_of(*every);
                    let mut expected = if is_due { reference(&history[..=interval]) } else { Vec::new() };
                    expected.sort();
                    let seen = shown(output, &results[output.id.0 as usize]);
                    assert_eq!(seen, expected, "{} {} in interval {interval}", program.name, output.name);
                }
            }
        }
    }

    #[test]
    fn with_and_without_an_inverse_results_are_the_same_bytes(
        history in history(), length in 1..6u64, slide in 1..4u64, partitions in 1..4u32,
    ) {
        let query = |write: Counting<'_>| {
            let builder = QueryBuilder::new();
            write(&builder.lines()).output("o");
            builder.build().expect("the program is whole")
        };
        let with = query(&|lines| invertible(lines, by(length, slide)));
        let without = query(&|lines| window(lines, by(length, slide)));
        let (maps, scratch) = (whole(&history), &mut Scratch::default());
        prop_assert_eq!(run(&with, &maps, partitions, scratch), run(&without, &maps, partitions, scratch));
    }

    #[test]
    fn neither_order_nor_chunks_nor_map_partitions_nor_used_memory_change_results_or_panes(
        (history, shuffled) in history().prop_flat_map(|history| {
            let shuffled: Vec<_> = history.iter().map(|lines| Just(lines.clone()).prop_shuffle()).collect();
            (Just(history), shuffled)
        }),
        places in places(),
        chunk in 1..4usize,
    ) {
        let parts = |lines| cut(lines, &places).into_iter().map(|part| blocks(&[part])).collect();
        let split: Vec<Vec<Vec<LineBlock>>> = shuffled.iter().map(|lines| parts(lines)).collect();
        let mut used = Scratch::with_chunk(NonZeroUsize::new(chunk).expect("chunks are drawn from 1"));
        for program in programs() {
            let (mut plain, mut other) = (Run::new(&program.query, 3), Run::new(&program.query, 3));
            for (lines, split) in whole(&history).iter().zip(&split) {
                let results = plain.interval(lines, &mut Scratch::default());
                assert_eq!(other.interval(split, &mut used), results, "{}", program.name);
            }
            // Stages on lines keep nothing, however many map partitions they have.
            plain.panes.retain(|_, panes| !panes.is_empty());
            other.panes.retain(|_, panes| !panes.is_empty());
            assert_eq!(other.panes, plain.panes, "{}", program.name);
        }
    }

    #[test]
    fn computing_again_from_the_panes_of_any_interval_gives_the_same_bytes(history in history(), from in 0..8u64) {
        let maps = whole(&history);
        for program in programs() {
            let mut first = Run::new(&program.query, 2);
            let results: Vec<Results> = maps.iter().map(|maps| first.interval(maps, &mut Scratch::default())).collect();
            let from = from.min(maps.len() as u64);
            let mut again = first.clone();
            again.next = from;
            again.panes.retain(|(_, _, interval), _| *interval < from);
            for (interval, maps) in maps.iter().enumerate().skip(from as usize) {
                let result = again.interval(maps, &mut Scratch::default());
                assert_eq!(result, results[interval], "{} in interval {interval}", program.name);
            }
            assert_eq!(again.panes, first.panes, "{}", program.name);
        }
    }
}
