//! What records cost a continuous engine that handles and combines them one by one, or in small groups, beside a batch:
//! word count through the map stage and into a long-lived operator. Measures computing only: no network, no engine.
//!
//! Times are the thread's CPU time, since others may use the machine. Behind criterion's figures stands a table of ratios
//! against the batch, from the fastest sample of each: the map alone, the map with absorbing what it sends, and both where
//! each group is a call of its own, as it is in an engine that does not wait for more.

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use dstream_kernel::{LineBlock, Operator, Produced, Query, QueryBuilder, Scratch, TaskAt, TaskInput};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Duration;

mod text;

/// Records of an interval.
const RECORDS: u64 = 64 << 10;
/// Records that arrive together, and the largest group.
const ARRIVING: u64 = 4096;
/// Records that are handled and combined together.
const GROUPS: [u64; 6] = [1, 4, 16, 64, 256, ARRIVING];
/// One operator takes all.
const PARTITIONS: u32 = 1;

/// How an interval's records are handled.
#[derive(Clone, Copy)]
enum Way {
    /// One task on all of them.
    Batch,
    /// In groups of so many, as many as have arrived in one call.
    Groups(NonZeroU64),
    /// In groups of so many, a call each.
    Calls(NonZeroU64),
}

/// Word count with one operator behind the shuffle.
struct Job {
    query: Query,
    operator: Box<dyn Operator>,
    scratch: Scratch,
}

impl Job {
    fn new() -> Job {
        let builder = QueryBuilder::new();
        builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
        let query = builder.build().expect("the program has one output");
        let operator = query.stages[1].program.operator(0, Vec::new()).expect("the stage reads slices");
        Job { query, operator, scratch: Scratch::default() }
    }

    /// The slice that the map sends for a block.
    fn map(&mut self, block: &LineBlock, way: Way) -> Bytes {
        let at = TaskAt { interval: self.operator.next(), partitions: PARTITIONS };
        let (program, scratch) = (&self.query.stages[0].program, &mut self.scratch);
        let result = match way {
            Way::Batch => program.run(&TaskInput::Lines(vec![block.clone()]), at, scratch),
            Way::Groups(group) | Way::Calls(group) => program.run_in_groups(block, group, at, scratch),
        };
        match result.expect("the text is whole lines").produced {
            Produced::Slices(mut slices) => slices.remove(0),
            Produced::Rows(_) => panic!("the first stage ends in a shuffle"),
        }
    }

    /// An interval: CPU time up to its close, and the rows that were sent if they were absorbed.
    fn interval(&mut self, blocks: &[LineBlock], way: Way, absorbs: bool) -> (Duration, u64) {
        let (start, mut rows) = (cpu_time(), 0);
        for block in blocks {
            let slice = black_box(self.map(block, way));
            if absorbs {
                let absorbed = self.operator.absorb(self.operator.next(), &slice, false, &mut self.scratch);
                rows += absorbed.expect("the slices are the map's").counts.rows_in;
            }
        }
        let taken = cpu_time() - start;
        let at = TaskAt { interval: self.operator.next(), partitions: PARTITIONS };
        black_box(self.operator.close(at, &mut self.scratch).expect("intervals close in order"));
        (taken, rows)
    }
}

/// What the thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(time.tv_sec).expect("a thread's CPU time is not negative");
    Duration::new(whole, u32::try_from(time.tv_nsec).expect("nanoseconds of a second fit"))
}

/// The text as blocks of so many records.
fn blocks(text: &Bytes, records: u64) -> Vec<LineBlock> {
    let bytes = records as usize * text::RECORD_BYTES;
    let block = |start| LineBlock { lines: text.slice(start..start + bytes), records, skip: Vec::new() };
    (0..text.len()).step_by(bytes).map(block).collect()
}

/// The least CPU time of an interval, and how many rows it sent.
type Figures = (Duration, u64);

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, text: &Bytes, name: &str, way: Way, absorbs: bool) -> Figures {
    let blocks = blocks(
        text,
        match way {
            Way::Batch => RECORDS,
            Way::Groups(_) => ARRIVING,
            Way::Calls(records) => records.get(),
        },
    );
    let (mut job, mut figures) = (Job::new(), (Duration::MAX, 0));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let interval = |_| {
                let (taken, rows) = job.interval(&blocks, way, absorbs);
                figures = (figures.0.min(taken), rows);
                taken
            };
            (0..times).map(interval).sum()
        });
    });
    figures
}

fn bench(criterion: &mut Criterion) {
    let text = Bytes::from(text::text(RECORDS, 0));
    let mut group = criterion.benchmark_group("records in groups");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(20);
    let mut table = Vec::new();
    let mut measure = |name: &str, ways: [(&str, Way, bool); 3]| {
        let figures =
            ways.map(|(what, way, absorbs)| measure(&mut group, &text, &format!("{what}, {name}"), way, absorbs));
        table.push((name.to_owned(), figures));
    };
    for records in GROUPS {
        let records = NonZeroU64::new(records).expect("a group has one or more records");
        let (groups, calls) = (Way::Groups(records), Way::Calls(records));
        let ways = [("map", groups, false), ("map and absorb", groups, true), ("call by call", calls, true)];
        measure(&format!("groups of {records}"), ways);
    }
    let batch = Way::Batch;
    measure("a batch", [("map", batch, false), ("map and absorb", batch, true), ("call by call", batch, true)]);
    group.finish();
    show(&table);
}

/// Nanoseconds and rows for each record, and ratios against the last row; nothing where criterion was told to leave some
/// out.
fn show(table: &[(String, [Figures; 3])]) {
    let Some((_, batch)) = table.last() else { return };
    if table.iter().flat_map(|(_, figures)| figures).any(|(taken, _)| *taken == Duration::MAX) {
        return;
    }
    println!("{:16} {:>22} {:>22} {:>22} {:>8}", "CPU a record", "map", "map and absorb", "call by call", "rows");
    for (name, figures) in table {
        let cell = |number: usize| {
            let (taken, batch) = (figures[number].0.as_nanos() as f64, batch[number].0.as_nanos() as f64);
            format!("{:.0} ns, {:.2} times", taken / RECORDS as f64, taken / batch)
        };
        let rows = figures[1].1 as f64 / RECORDS as f64;
        println!("{name:16} {:>22} {:>22} {:>22} {rows:>8.2}", cell(0), cell(1), cell(2));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
