//! Word count, one thread: the kernel's pipeline beside the hand-written loop on the same text, and chunks of one record
//! beside batches. Measures computing only: no network, no engine.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dstream::yardstick::{PADDING, WordCount};
use dstream_kernel::{LineBlock, Produced, Query, QueryBuilder, Scratch, TaskAt, TaskInput};
use std::hint::black_box;
use std::num::NonZeroUsize;

mod text;

/// Records of a task: an interval of a few milliseconds of one core.
const RECORDS: u64 = 64 << 10;
/// Reduce partitions.
const AT: TaskAt = TaskAt { interval: 0, partitions: 4 };

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
    let text = text::text(RECORDS, long_percent);
    let mut padded = text.clone();
    padded.extend([b' '; PADDING]);
    let input = TaskInput::Lines(vec![LineBlock { lines: text.into(), records: RECORDS, skip: Vec::new() }]);
    let query = word_count();

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(RECORDS));
    let mut counts = WordCount::with_room(text::VOCABULARY);
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
