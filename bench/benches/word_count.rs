//! Word count, one thread: the kernel's pipeline beside the hand-written loop on the same text, and chunks of one record
//! beside batches. Measures computing only: no network, no engine.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dstream_kernel::{LineBlock, Produced, Query, QueryBuilder, Scratch, TaskAt, TaskInput};
use std::hint::black_box;
use std::num::NonZeroUsize;

mod hand_written;

/// Records of a task: an interval of a few milliseconds of one core.
const RECORDS: u64 = 64 << 10;
/// Bytes of a record, its line end included.
const RECORD_BYTES: usize = 100;
/// Different words of the text.
const VOCABULARY: usize = 100_000;
/// Letters by which one word in ten is longer than the others, so that its key does not lie inside the table's entry.
const LONGER_BY: u64 = 14;
/// Reduce partitions.
const AT: TaskAt = TaskAt { interval: 0, partitions: 4 };

/// A small generator of uniform numbers (xorshift): the text must be the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

/// Records of words drawn by Zipf's law. `long_percent` of the vocabulary are longer than a key image.
fn text(long_percent: u64) -> Vec<u8> {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let mut word = |number: u64| -> Vec<u8> {
        let longer = if number * 7919 % 100 < long_percent { LONGER_BY } else { 0 };
        (0..3 + draw.below(5) + longer).map(|_| b'a' + draw.below(26) as u8).collect()
    };
    let words: Vec<Vec<u8>> = (0..VOCABULARY as u64).map(&mut word).collect();
    // Weights in whole numbers: the text does not depend on a machine's floating point.
    let ends: Vec<u64> = (1..=VOCABULARY as u64)
        .scan(0, |sum, rank| {
            *sum += (1 << 32) / rank;
            Some(*sum)
        })
        .collect();
    let all = ends[VOCABULARY - 1];
    let mut text = Vec::new();
    for _ in 0..RECORDS {
        let end = text.len() + RECORD_BYTES - 1;
        loop {
            let drawn = draw.below(all);
            let word = &words[ends.partition_point(|weight| *weight <= drawn)];
            if text.len() + word.len() > end {
                break;
            }
            text.extend_from_slice(word);
            text.push(b' ');
        }
        text.resize(end, b' ');
        text.push(b'\n');
    }
    text
}

fn word_count() -> Query {
    let builder = QueryBuilder::new();
    builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
    builder.build().expect("the program has one output")
}

fn map(query: &Query, input: &TaskInput, scratch: &mut Scratch) -> Vec<bytes::Bytes> {
    let result = query.stages[0].program.run(input, AT, scratch).expect("the text is whole lines");
    match result.produced {
        Produced::Slices(slices) => slices,
        Produced::Rows(_) => panic!("the first stage ends in a shuffle"),
    }
}

fn reduce(query: &Query, slices: Vec<bytes::Bytes>, scratch: &mut Scratch) {
    for slice in slices {
        let input = TaskInput::slices(vec![slice]);
        black_box(query.stages[1].program.run(&input, AT, scratch).expect("the slices are the map's"));
    }
}

fn bench_text(criterion: &mut Criterion, name: &str, long_percent: u64) {
    let text = text(long_percent);
    let mut padded = text.clone();
    padded.extend([b' '; hand_written::PADDING]);
    let input = TaskInput::Lines(vec![LineBlock { lines: text.into(), records: RECORDS, skip: Vec::new() }]);
    let query = word_count();

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(RECORDS));
    let mut counts = hand_written::WordCount::with_room(VOCABULARY);
    group.bench_function("hand-written loop", |bencher| {
        bencher.iter(|| {
            counts.clear();
            counts.count(black_box(&padded));
            black_box(counts.totals())
        });
    });
    let mut scratch = Scratch::default();
    group.bench_function("map and combine", |bencher| bencher.iter(|| map(&query, &input, &mut scratch)));
    group.bench_function("map, combine and reduce", |bencher| {
        bencher.iter(|| {
            let slices = map(&query, &input, &mut scratch);
            reduce(&query, slices, &mut scratch);
        });
    });
    let slices = map(&query, &input, &mut scratch);
    group.bench_function("reduce", |bencher| {
        let copy = || slices.clone();
        bencher.iter_batched(copy, |slices| reduce(&query, slices, &mut scratch), BatchSize::LargeInput);
    });
    let mut single = Scratch::with_chunk(NonZeroUsize::MIN);
    group.bench_function("map and combine, chunks of one", |bencher| {
        bencher.iter(|| map(&query, &input, &mut single));
    });
    group.finish();
}

fn bench(criterion: &mut Criterion) {
    bench_text(criterion, "short words", 0);
    bench_text(criterion, "one word in ten is long", 10);
}

criterion_group!(benches, bench);
criterion_main!(benches);
