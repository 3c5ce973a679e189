//! State in place, 10 million keys of which each interval touches one percent: CPU time an update, and how even intervals
//! are, with the segment that a checkpoint writes of each; beside it the floor, a plain hash table that is updated.
//!
//! `cargo bench -p dstream --bench state` prints a table (`-- 1000000` takes so many keys instead, and a word behind it only
//! that part: `plain`, `flat`, `table` or `task`; half a minute and 2 GB for 10 million). Plain sampling instead of
//! criterion: percentiles over intervals are wanted, not means. Measures computing only: no network, no engine.

use bytes::Bytes;
use dstream_kernel::rows::{RowBuffer, encode_rows};
use dstream_kernel::{
    DStream, HeldState, Query, QueryBuilder, Record, Scratch, Sought, StateTable, TaskAt, TaskInput, Timeless, Touch,
};
use foldhash::fast::FixedState;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// As in the binary.
#[global_allocator]
static MEMORY: dstream::Memory = dstream::Memory;

/// Keys of the state where none are said.
const KEYS: u64 = 10_000_000;
/// One key of so many is touched in an interval.
const SHARE: u64 = 100;
/// Intervals that are measured.
const INTERVALS: u64 = 200;
/// Intervals in which all of the state is written once: what an update costs with its share of a checkpoint follows from it,
/// and so does how many intervals are applied again when a state is made anew.
const SEGMENTS: [NonZeroU64; 2] =
    [NonZeroU64::new(32).expect("32 is not zero"), NonZeroU64::new(64).expect("64 is not zero")];
/// Keys that are sought together, as in a task.
const BATCH: usize = 64;

/// The table: of counts that stay.
type Counts = StateTable<u64, Timeless<u64>>;

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn measured(work: impl FnOnce()) -> Duration {
    let begin = cpu();
    work();
    cpu() - begin
}

/// The keys that an interval touches, in the order of their encodings, which has nothing to do with where a table has them.
fn touched(interval: u64, keys: u64) -> Vec<u64> {
    let draw = |number: u64| {
        let mixed = (interval << 32 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (u128::from(mixed ^ mixed >> 29).wrapping_mul(u128::from(keys)) >> 64) as u64
    };
    let mut keys: Vec<u64> = (0..keys / SHARE).map(draw).collect();
    keys.sort_by_cached_key(|key| encoded(*key));
    keys.dedup();
    keys
}

fn encoded(key: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    u64::put(key, &mut bytes);
    bytes
}

/// Prints what intervals took, by the number of updates of each.
fn print(name: &str, mut intervals: Vec<(Duration, usize)>) {
    let updates: usize = intervals.iter().map(|(_, updates)| updates).sum();
    let all: Duration = intervals.iter().map(|(took, _)| *took).sum();
    intervals.sort_unstable();
    let at = |percent: usize| intervals[(intervals.len() - 1) * percent / 100].0.as_secs_f64() * 1e3;
    println!(
        "{name:74} {:>6.1} ns/update {:>7.2} ms median {:>7.2} ms p99 {:>5.2} p99/median",
        all.as_secs_f64() * 1e9 / updates as f64,
        at(50),
        at(99),
        at(99) / at(50)
    );
}

/// A plain table, updated: the least that anybody pays.
fn floor(keys: u64) {
    let mut table: hashbrown::HashMap<u64, u64, FixedState> =
        hashbrown::HashMap::with_capacity_and_hasher(keys as usize, FixedState::with_seed(7));
    table.extend((0..keys).map(|key| (key, 1)));
    let interval = |interval| {
        let touched = touched(interval, keys);
        let took = measured(|| touched.iter().for_each(|key| *table.entry(*key).or_default() += 1));
        (took, touched.len())
    };
    print("floor: a plain hash table, updated", (0..INTERVALS).map(interval).collect());
}

/// A flat table of numbers whose homes are looked at in batches before they are updated: the least where misses of the
/// processor's cache overlap. Keys that are there alone.
fn overlapping_floor(keys: u64) {
    let slots = (keys * 2).next_power_of_two();
    let mut table = vec![(u64::MAX, 0u64); slots as usize];
    // A fast hash of numbers leaves keys in the order of their encodings close together: no floor of keys without order.
    let home = |key: &u64| (xxh3_64(&key.to_le_bytes()) >> (u64::BITS - slots.ilog2())) as usize;
    let place = |table: &[(u64, u64)], home: usize, key: u64| {
        let is_its = |at: &usize| [key, u64::MAX].contains(&table[at & (table.len() - 1)].0);
        (home..).find(is_its).expect("a table that is half empty has an empty slot") & (table.len() - 1)
    };
    for key in 0..keys {
        let at = place(&table, home(&key), key);
        table[at] = (key, 1);
    }
    let interval = |interval| {
        let touched = touched(interval, keys);
        let took = measured(|| {
            for batch in touched.chunks(BATCH) {
                let homes: [usize; BATCH] = std::array::from_fn(|at| batch.get(at).map_or(0, home));
                black_box(homes.iter().filter(|home| table[**home].0 == u64::MAX).count());
                for (key, home) in batch.iter().zip(homes) {
                    let at = place(&table, home, *key);
                    table[at].1 += 1;
                }
            }
        });
        (took, touched.len())
    };
    print("floor: a flat table, 64 keys sought at once", (0..INTERVALS).map(interval).collect());
}

/// Keys one behind the other, as rows hold them, and where each ends.
fn encoded_all(keys: &[u64]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut bytes = Vec::new();
    let mut span = |key: &u64| {
        let start = bytes.len();
        u64::put(*key, &mut bytes);
        start..bytes.len()
    };
    let spans = keys.iter().map(&mut span).collect();
    (bytes, spans)
}

/// Makes the updates of an interval in place.
fn update(table: &mut Counts, interval: u64, (bytes, spans): &(Vec<u8>, Vec<Range<usize>>)) {
    table.begin(interval);
    let mut sought: Vec<Sought<'_>> = Vec::with_capacity(BATCH);
    for batch in spans.chunks(BATCH) {
        table.seek(batch.iter().map(|span| &bytes[span.clone()]), &mut sought);
        for key in &sought {
            table.update(key, |before| Some((0, before.map_or(0, |(_, count)| count) + 1)));
        }
    }
    table.end();
}

fn segment(table: &Counts, interval: u64, segments: NonZeroU64, rows: &mut RowBuffer) -> Bytes {
    table.visit_segment(interval, segments, |key, state| {
        rows.push_keyed::<Touch<u64>>(key, state);
    });
    rows.seal()
}

/// The table, which keeps what it takes to undo an interval; then with the segments of a checkpoint as well.
fn table(keys: u64) {
    let mut table = Counts::new(keys as usize);
    table.begin(0);
    for key in 0..keys {
        table.update(&Sought::of(&encoded(key)), |_| Some((0, 1)));
    }
    table.end();
    let mut rows = RowBuffer::default();
    let alone = [("as they come", false, None), ("in its order, as in a task", true, None)];
    let written =
        SEGMENTS.map(Some).map(|segments| [("as they come", false, segments), ("in its order", true, segments)]);
    for (name, in_order, segments) in alone.into_iter().chain(written.into_iter().flatten()) {
        let share = segments.map_or(String::new(), |segments| format!(", 1/{segments} of it written an interval"));
        let name = format!("table in place, keys {name}{share}");
        let interval = |number| {
            let mut touched = touched(number, keys);
            if in_order {
                touched.sort_by_cached_key(|key| Sought::of(&encoded(*key)).hash());
            }
            let touched = encoded_all(&touched);
            let took = measured(|| {
                update(&mut table, number, &touched);
                if let Some(segments) = segments {
                    black_box(segment(&table, number, segments, &mut rows));
                }
            });
            (took, touched.1.len())
        };
        print(&name, (1..=INTERVALS).map(interval).collect());
    }
}

fn query(segments: NonZeroU64, write: impl FnOnce(DStream<(u64, u64)>) -> DStream<(u64, u64)>) -> Query {
    let builder = QueryBuilder::new();
    write(builder.lines().map::<(u64, u64)>(|line| (line.len() as u64, 1))).output("counts");
    builder.build().expect("the program has one output").in_place(segments)
}

/// In an order that has nothing to do with their values or hashes.
fn arrived(mut keys: Vec<u64>) -> Vec<u64> {
    keys.sort_by_cached_key(|key| key.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(31));
    keys
}

/// Whole tasks of `map_with_state`: slices read, values ordered, states updated, changes and a segment written.
fn task(keys: u64) {
    SEGMENTS.into_iter().for_each(|segments| task_of(keys, segments));
}

fn task_of(keys: u64, segments: NonZeroU64) {
    let query = query(segments, |ones| {
        ones.map_with_state::<u64, (u64, u64)>(None, |_, touched, before, _| {
            Some(before.unwrap_or(0) + touched.values().iter().sum::<u64>())
        })
    });
    let stage = &query.stages[1];
    let (mut held, mut scratch) = (HeldState::default(), Scratch::default());
    let past = vec![vec![Bytes::new(); segments.get() as usize]; 2];
    let mut run = |interval: u64, keys: &[u64]| {
        let slice = encode_rows::<(u64, u64)>(keys.iter().map(|key| (*key, 1)));
        let input = TaskInput::Slices { slices: vec![slice], past: past.clone() };
        let at = TaskAt { interval, partitions: 1 };
        measured(|| {
            black_box(stage.program.run_held(&input, at, &mut held, &mut scratch).expect("rows of its own"));
        })
    };
    run(0, &(0..keys).collect::<Vec<_>>());
    let interval = |interval| {
        let touched = arrived(touched(interval, keys));
        (run(interval, &touched), touched.len())
    };
    let name = format!("a whole task of map_with_state, 1/{segments} of its state written an interval");
    print(&name, (1..=INTERVALS).map(interval).collect());
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let keys = words.iter().find_map(|word| word.parse().ok()).unwrap_or(KEYS);
    let wanted = words.iter().find(|word| word.parse::<u64>().is_err());
    println!("{keys} keys, 1/{SHARE} touched an interval, {INTERVALS} intervals, CPU time of one thread");
    let parts = [("plain", floor as fn(u64)), ("flat", overlapping_floor), ("table", table), ("task", task)];
    for (name, part) in parts {
        if wanted.is_none_or(|wanted| wanted == name) {
            part(keys);
        }
    }
}
