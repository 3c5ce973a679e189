//! Keyed reduction at sizes where tables grow, with and without a combine before the shuffle, and after a panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use bytes::Bytes;
use dstream_kernel::partition::partition_of;
use dstream_kernel::rows::{decode_rows, encode_rows};
use dstream_kernel::{
    Counts, LineBlock, Produced, Query, QueryBuilder, Record, Scratch, TaskAt, TaskError, TaskInput, TaskResult,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// More keys than a new table has room for, several times over.
const MANY_KEYS: u64 = 5000;

const ONE: TaskAt = TaskAt { interval: 0, partitions: 1 };

fn word_count() -> Query {
    let builder = QueryBuilder::new();
    builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
    builder.build().unwrap()
}

fn lines(text: &str) -> TaskInput {
    let records = text.matches('\n').count() as u64;
    TaskInput::Lines(vec![LineBlock { lines: Bytes::copy_from_slice(text.as_bytes()), records, skip: Vec::new() }])
}

fn slices(result: TaskResult) -> Vec<Bytes> {
    match result.produced {
        Produced::Slices(slices) => slices,
        Produced::Rows(_) => panic!("a map stage makes slices"),
    }
}

fn map(query: &Query, text: &str, partitions: u32, scratch: &mut Scratch) -> Vec<Bytes> {
    slices(query.stages[0].program.run(&lines(text), TaskAt { interval: 0, partitions }, scratch).unwrap())
}

fn reduce(query: &Query, slices: Vec<Bytes>, scratch: &mut Scratch) -> Result<TaskResult, TaskError> {
    query.stages[1].program.run(&TaskInput::slices(slices), ONE, scratch)
}

fn pairs(block: &[u8]) -> Vec<(&str, u64)> {
    decode_rows::<(String, u64)>(block).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Words of 1 to 40 letters, each some times.
fn many_words() -> String {
    let word = |n: u64| format!("{n}{}", "x".repeat((n % 37) as usize));
    let (all, squares) = ((0..MANY_KEYS).map(|n| n * 7919 % MANY_KEYS), (0..MANY_KEYS).map(|n| n * n % MANY_KEYS));
    all.chain(squares).map(|n| word(n) + "\n").collect()
}

#[test]
fn slices_hold_each_key_once_where_the_partitioner_puts_it_in_order_of_arrival() {
    let text = many_words();
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    let mut arrival: Vec<&str> = Vec::new();
    for word in text.lines() {
        let count = expected.entry(word).or_insert_with(|| {
            arrival.push(word);
            0
        });
        *count += 1;
    }
    // Keys of up to 16 encoded bytes come before longer ones.
    arrival.sort_by_key(|word| word.len() > 15);

    for (slice, partition) in map(&word_count(), &text, 7, &mut Scratch::default()).iter().zip(0..) {
        let home = |word: &&&str| {
            let mut key = Vec::new();
            String::put(word, &mut key);
            partition_of(&key, 7) == partition
        };
        let wanted: Vec<(&str, u64)> = arrival.iter().filter(home).map(|word| (*word, expected[word])).collect();
        assert!(wanted.len() > 100);
        assert_eq!(pairs(slice), wanted);
    }
}

#[test]
fn reduced_rows_stand_in_the_order_of_their_encoded_keys() {
    let query = word_count();
    let blocks = map(&query, &many_words(), 1, &mut Scratch::default());
    let result = reduce(&query, blocks, &mut Scratch::default()).unwrap();
    let Produced::Rows(rows) = result.produced else { panic!("a reduce stage makes rows") };
    let keys: Vec<Vec<u8>> = pairs(&rows)
        .iter()
        .map(|(key, _)| {
            let mut bytes = Vec::new();
            String::put(key, &mut bytes);
            bytes
        })
        .collect();
    assert!(keys.len() > 1000 && keys.is_sorted_by(|one, next| one < next));
}

#[test]
fn a_small_task_after_a_big_one_finds_a_clean_table_and_the_other_way_round() {
    let (query, big, small) = (word_count(), many_words(), "a bb a\n1 a\n");
    let mut scratch = Scratch::default();
    for text in [&big, small, small, &big, small, &big] {
        let fresh = map(&query, text, 3, &mut Scratch::default());
        assert_eq!(map(&query, text, 3, &mut scratch), fresh);
        let fresh = reduce(&query, fresh, &mut Scratch::default()).unwrap();
        let again = reduce(&query, map(&query, text, 3, &mut scratch), &mut scratch).unwrap();
        assert_eq!(again, fresh);
    }
}

#[test]
fn the_partitioner_is_the_specified_one() {
    // XXH3_64bits of nothing is 2d06800538d394c2 in the algorithm's own test vectors; 2^64 is scaled to the partitions.
    assert_eq!(partition_of(b"", u32::MAX), 0x2d06_8005);
    assert_eq!(partition_of(b"", 256), 0x2d);
    assert_eq!([1, 2, 3, 64].map(|partitions| partition_of(b"\x05spark", partitions)), [0, 0, 1, 29]);
}

#[test]
fn counts_say_what_went_in_and_came_out() {
    let query = word_count();
    let mut scratch = Scratch::default();
    let block = LineBlock {
        lines: Bytes::from_static(b"a b\nskipped\na\n"),
        records: 3,
        skip: std::iter::once(1..2).collect(),
    };
    let mapped = query.stages[0].program.run(&TaskInput::Lines(vec![block]), ONE, &mut scratch).unwrap();
    assert_eq!(mapped.counts, Counts { records_in: 2, bytes_in: 6, rows_out: 2, bytes_out: 7, ..Counts::default() });
    let slices = slices(mapped);
    let twice = [slices.clone(), slices].concat();
    let reduced = reduce(&query, twice, &mut scratch).unwrap();
    assert_eq!(reduced.counts, Counts { bytes_in: 14, rows_in: 4, rows_out: 2, bytes_out: 7, ..Counts::default() });
}

#[test]
fn a_stage_refuses_the_other_kind_of_input() {
    let query = word_count();
    let scratch = &mut Scratch::default();
    let refused = query.stages[0].program.run(&TaskInput::slices(Vec::new()), ONE, scratch);
    assert_eq!(refused, Err(TaskError::WrongInput(query.stages[0].id)));
    let refused = query.stages[1].program.run(&lines("a\n"), ONE, scratch);
    assert_eq!(refused, Err(TaskError::WrongInput(query.stages[1].id)));
}

#[test]
fn after_a_panic_in_a_closure_the_scratch_memory_carries_nothing_over() {
    let builder = QueryBuilder::new();
    let keyed = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    keyed.reduce_by_key(|a, b| if a + b == 3 { panic!("three is too many") } else { a + b }).output("counts");
    let fussy = builder.build().unwrap();
    let mut scratch = Scratch::default();
    let text = "ten words of twenty letters_and_more of of bad bad\n";
    map(&fussy, "a a b\n", 2, &mut scratch);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| map(&fussy, text, 2, &mut scratch)));
    assert!(caught.is_err());
    let query = word_count();
    assert_eq!(map(&query, text, 2, &mut scratch), map(&query, text, 2, &mut Scratch::default()));
}

proptest! {
    #[test]
    fn combining_before_the_shuffle_or_not_gives_the_same_result(
        parts in proptest::collection::vec(proptest::collection::vec("[ab]{1,3}|[ab]{15,17}", 0..30), 1..5),
    ) {
        let query = word_count();
        let scratch = &mut Scratch::default();
        let combined = parts.iter().flat_map(|words| map(&query, &(words.join(" ") + "\n"), 1, scratch)).collect();
        let raw = parts.iter().map(|words| encode_rows::<(String, u64)>(words.iter().map(|word| (word.as_str(), 1))));
        let raw: Vec<Bytes> = raw.collect();
        let together = encode_rows::<(String, u64)>(parts.iter().flatten().map(|word| (word.as_str(), 1)));

        let expected = reduce(&query, combined, &mut Scratch::default()).unwrap().produced;
        prop_assert_eq!(&reduce(&query, raw.clone(), scratch).unwrap().produced, &expected);
        prop_assert_eq!(&reduce(&query, raw.into_iter().rev().collect(), scratch).unwrap().produced, &expected);
        prop_assert_eq!(&reduce(&query, vec![together], scratch).unwrap().produced, &expected);
    }
}
