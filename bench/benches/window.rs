//! One step of a window of 30 intervals with 100,000 keys in each: folded again, and with an inverse; beside them a running
//! reduction and a user's state. Measures computing only: no network, no engine.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dstream_kernel::rows::encode_rows;
use dstream_kernel::{DStream, Query, QueryBuilder, Scratch, TaskAt, TaskInput, TaskResult, Window};
use std::hint::black_box;
use std::num::NonZeroU64;

/// Keys of an interval and partition.
const KEYS: u64 = 100_000;
/// Intervals of the window.
const LENGTH: u64 = 30;
/// One partition is measured.
const AT: TaskAt = TaskAt { interval: LENGTH, partitions: 1 };

type Pairs = DStream<(String, u64)>;

fn query(write: impl FnOnce(Pairs) -> Pairs) -> Query {
    let builder = QueryBuilder::new();
    write(builder.lines().words().map::<(String, u64)>(|word| (word, 1))).output("counts");
    builder.build().expect("the program has one output")
}

/// What map tasks of one interval make of these keys.
fn slice(keys: impl Iterator<Item = u64>) -> Bytes {
    let words: Vec<String> = keys.map(|key| format!("k{}", key * 7919 % (2 * KEYS))).collect();
    encode_rows::<(String, u64)>(words.iter().map(|word| (word.as_str(), 1)))
}

fn step(query: &Query, input: &TaskInput, scratch: &mut Scratch) -> TaskResult {
    query.stages[1].program.run(input, AT, scratch).expect("the panes are the query's own")
}

/// A query and the step that is measured: each interval has half of all keys.
fn ready(write: impl FnOnce(Pairs) -> Pairs) -> (Query, TaskInput) {
    let query = query(write);
    let mut scratch = Scratch::default();
    let mut kept: Vec<Vec<Bytes>> = Vec::new();
    let kinds = query.stages[1].kept.clone();
    let past = |kept: &[Vec<Bytes>]| {
        let pane = |number: usize, back: u64| {
            let place = kept.len().checked_sub(back as usize);
            place.map(|place: usize| kept[place][number].clone()).unwrap_or_default()
        };
        let panes = kinds.iter().enumerate();
        panes.map(|(number, kind)| kind.back.clone().rev().map(|back| pane(number, back)).collect()).collect()
    };
    let input = |interval: u64, kept: &[Vec<Bytes>]| TaskInput::Slices {
        slices: vec![slice(interval * 1000..interval * 1000 + KEYS)],
        past: past(kept),
    };
    for interval in 0..LENGTH {
        kept.push(step(&query, &input(interval, &kept), &mut scratch).kept);
    }
    let last = input(LENGTH, &kept);
    (query, last)
}

fn bench(criterion: &mut Criterion) {
    let window = Window::of(LENGTH).expect("30 is not zero");
    let programs = [
        ("folded again", ready(|ones| ones.reduce_by_key_and_window(|a, b| a + b, window))),
        (
            "with an inverse",
            ready(|ones| ones.reduce_by_key_and_window_invertible(|a, b| a + b, |a, b| a - b, |n| n > 0, window)),
        ),
        ("from the start", ready(|ones| ones.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN))),
        (
            "a user's state",
            ready(|ones| {
                ones.update_state_by_key::<u64>(|_, new, before| Some(new.iter().sum::<u64>() + before.unwrap_or(0)))
            }),
        ),
    ];
    let mut group = criterion.benchmark_group("a window's step");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    for (name, (query, input)) in &programs {
        let mut scratch = Scratch::default();
        group.bench_function(*name, |bencher| bencher.iter(|| black_box(step(query, input, &mut scratch))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
