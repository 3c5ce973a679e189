//! The laws of the continuous form: an operator that lives on from interval to interval closes each with the bytes of the
//! task that would have computed it, however its slices come, and whether or not it was made again of its panes meanwhile.

use crate::cases::cases;
use crate::runner::{Run, block, blocks};
use crate::windows::{History, history, programs, whole};
use crate::{cut, lines, places};
use bytes::Bytes;
use dstream_kernel::reader::Reader;
use dstream_kernel::{
    Counts, LineBlock, Operator, Produced, Query, Scratch, ShuffleId, Stage, StageEnd, StageInput, TaskAt, TaskInput,
    TaskResult,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

const PARTITIONS: u32 = 2;

/// Slices that somebody sent: the interval and the bytes.
type Sent = Vec<(u64, Bytes)>;

/// How a continuous run differs from a plain one.
#[derive(Clone, Debug)]
struct Ways {
    /// Where the lines of an interval are cut into blocks.
    places: Vec<Index>,
    /// Records that are combined together.
    group: NonZeroU64,
    /// By how much each slice comes later than it was sent, in turn. A slice may overtake those of two intervals before.
    delays: Vec<u64>,
    /// After the close of which intervals operators are made again of their panes, in turn.
    restores: Vec<bool>,
}

fn ways() -> impl Strategy<Value = Ways> {
    let delays = proptest::collection::vec(0..3u64, 1..9);
    let restores = proptest::collection::vec(any::<bool>(), 1..5);
    (places(), 1..5u64, delays, restores).prop_map(|(places, group, delays, restores)| {
        let group = NonZeroU64::new(group).expect("groups are drawn from 1");
        Ways { places, group, delays, restores }
    })
}

impl Ways {
    fn delayed(&self, sent: &Sent) -> Sent {
        let mut came: Vec<(u64, (u64, Bytes))> = sent
            .iter()
            .zip(self.delays.iter().cycle())
            .map(|((interval, slice), delay)| (interval + delay, (*interval, slice.clone())))
            .collect();
        came.sort_by_key(|(at, _)| *at);
        came.into_iter().map(|(_, slice)| slice).collect()
    }
}

/// One partition of a stage, on its way through all intervals.
struct Partition<'q> {
    stage: &'q Stage,
    operator: Box<dyn Operator>,
    /// Slices of intervals that are still open.
    open: Sent,
    /// What was counted of each open interval.
    counted: BTreeMap<u64, Counts>,
    scratch: Scratch,
}

impl<'q> Partition<'q> {
    /// At the beginning of interval `next`, knowing nothing of those before.
    fn new(stage: &'q Stage, next: u64) -> Partition<'q> {
        let operator = stage.program.operator(next, Vec::new()).expect("the stage reads slices");
        Partition { stage, operator, open: Vec::new(), counted: BTreeMap::new(), scratch: Scratch::default() }
    }

    fn absorb(&mut self, interval: u64, slice: &Bytes) {
        let absorbed = self.operator.absorb(interval, slice, false, &mut self.scratch).expect("a stage's own slice");
        assert_eq!(absorbed.changed, None);
        self.open.push((interval, slice.clone()));
        let counted = self.counted.entry(interval).or_default();
        counted.rows_in += absorbed.counts.rows_in;
        counted.bytes_in += absorbed.counts.bytes_in;
    }

    /// Closes the next interval and restores if asked to. The result counts what was absorbed as well. What it would be was
    /// said right before, which must change nothing.
    fn close(&mut self, at: TaskAt, restore: bool) -> TaskResult {
        let so_far = self.operator.so_far(at, &[], &mut self.scratch).expect("the interval is open").produced;
        let mut result = self.operator.close(at, &mut self.scratch).expect("intervals close in order");
        assert_eq!(so_far, result.produced);
        let counted = self.counted.remove(&at.interval).unwrap_or_default();
        result.counts.rows_in += counted.rows_in;
        result.counts.bytes_in += counted.bytes_in;
        self.open.retain(|(interval, _)| *interval > at.interval);
        if restore {
            let (next, panes) = (self.operator.next(), self.operator.panes());
            self.operator = self.stage.program.operator(next, panes).expect("the panes are its own");
            self.counted.clear();
            std::mem::take(&mut self.open).iter().for_each(|(interval, slice)| self.absorb(*interval, slice));
        }
        result
    }

    /// Absorbs slices as they come and closes each interval as soon as its last slice is there.
    fn pass(&mut self, came: &Sent, until: u64, partitions: u32, restores: &[bool]) -> Vec<TaskResult> {
        let mut results = Vec::new();
        for (number, (interval, slice)) in came.iter().enumerate() {
            self.absorb(*interval, slice);
            let awaited = |next: u64| came[number + 1..].iter().any(|(interval, _)| *interval == next);
            while self.operator.next() < until && !awaited(self.operator.next()) {
                let at = TaskAt { interval: self.operator.next(), partitions };
                results.push(self.close(at, restores[at.interval as usize % restores.len()]));
            }
        }
        while self.operator.next() < until {
            let at = TaskAt { interval: self.operator.next(), partitions };
            results.push(self.close(at, false));
        }
        results
    }
}

/// What the tasks of all intervals send, by shuffle and partition; slices without rows are not sent.
type Channels = BTreeMap<(ShuffleId, u32), Sent>;

fn send(channels: &mut Channels, end: StageEnd, interval: u64, produced: &Produced) {
    let (StageEnd::Shuffle(shuffle), Produced::Slices(slices)) = (end, produced) else { return };
    for (slice, partition) in slices.iter().zip(0..).filter(|(slice, _)| !slice.is_empty()) {
        channels.entry((shuffle, partition)).or_default().push((interval, slice.clone()));
    }
}

/// What the stages on lines send when they combine in groups.
fn maps(query: &Query, history: &History, ways: &Ways) -> Channels {
    let (mut channels, plain, mut scratch) = (Channels::new(), Run::new(query, PARTITIONS), Scratch::default());
    for stage in query.stages.iter().filter(|stage| stage.input == StageInput::Lines) {
        let partitions = plain.partitions_behind(stage.end);
        for (lines, interval) in history.iter().zip(0..) {
            for part in cut(lines, &ways.places) {
                let at = TaskAt { interval, partitions };
                let result = stage.program.run_in_groups(&block(part), ways.group, at, &mut scratch);
                send(&mut channels, stage.end, interval, &result.expect("the lines are whole").produced);
            }
        }
    }
    channels
}

/// Runs one history both ways and compares every result of every stage that reads slices.
fn check(name: &str, query: &Query, history: &History, ways: &Ways) {
    let mut plain = Run::new(query, PARTITIONS);
    for maps in whole(history) {
        plain.interval(&maps, &mut Scratch::default());
    }
    let mut channels = maps(query, history, ways);
    for stage in &query.stages {
        let StageInput::Shuffle(shuffle) = stage.input else { continue };
        for partition in 0..plain.partitions_of(stage) {
            let partitions = plain.partitions_behind(stage.end);
            let came = ways.delayed(channels.entry((shuffle, partition)).or_default());
            let until = history.len() as u64;
            let results = Partition::new(stage, 0).pass(&came, until, partitions, &ways.restores);
            for (result, interval) in results.into_iter().zip(0..) {
                let slices = came.iter().filter(|(of, _)| *of == interval).map(|(_, slice)| slice.clone()).collect();
                let input = TaskInput::Slices { slices, past: plain.past(stage, partition, interval) };
                let at = TaskAt { interval, partitions };
                let expected = stage.program.run(&input, at, &mut Scratch::default()).expect("a stage's own slices");
                assert_eq!(result, expected, "{name}, stage {} in interval {interval}", stage.id);
                let whole = &plain.results[&(stage.id.0, partition, interval)];
                let told = format!("{name}, stage {} in interval {interval}", stage.id);
                assert_eq!((&result.produced, &result.kept), (&whole.produced, &whole.kept), "{told}");
                send(&mut channels, stage.end, interval, &result.produced);
            }
        }
    }
}

/// Starts every operator without panes at interval `start` and compares what lies at least its reach behind.
fn check_empty_start(name: &str, query: &Query, history: &History, ways: &Ways, start: u64) {
    let mut plain = Run::new(query, PARTITIONS);
    for maps in whole(history) {
        plain.interval(&maps, &mut Scratch::default());
    }
    for stage in query.stages.iter().filter(|stage| stage.input != StageInput::Lines) {
        let Some(reach) = stage.reach else { continue };
        for partition in 0..plain.partitions_of(stage) {
            let partitions = plain.partitions_behind(stage.end);
            let sent: Sent = plain.slices[&(stage.id.0, partition)].clone();
            let sent = sent.into_iter().filter(|(interval, _)| *interval >= start).collect();
            let mut operator = Partition::new(stage, start);
            let results = operator.pass(&ways.delayed(&sent), history.len() as u64, partitions, &ways.restores);
            for (result, interval) in results.iter().zip(start..).skip(reach as usize) {
                let expected = &plain.results[&(stage.id.0, partition, interval)];
                let told = format!("{name}, stage {} from {start} in interval {interval}", stage.id);
                assert_eq!((&result.produced, &result.kept), (&expected.produced, &expected.kept), "{told}");
            }
        }
    }
}

/// The rows of a block, without their count.
fn rows_of(block: &[u8]) -> &[u8] {
    let mut reader = Reader::new(block);
    if !block.is_empty() {
        reader.varint().expect("a block begins with its count");
    }
    &block[reader.position()..]
}

fn slices(stage: &Stage, block: &LineBlock, group: Option<u64>) -> Vec<Bytes> {
    let (at, scratch) = (TaskAt { interval: 0, partitions: PARTITIONS }, &mut Scratch::default());
    let result = match group.and_then(NonZeroU64::new) {
        Some(group) => stage.program.run_in_groups(block, group, at, scratch),
        None => stage.program.run(&TaskInput::Lines(vec![block.clone()]), at, scratch),
    };
    match result.expect("the lines are whole").produced {
        Produced::Slices(slices) => slices,
        Produced::Rows(rows) => vec![rows],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_operator_closes_with_the_bytes_of_a_task_however_slices_come_and_wherever_it_was_restored(
        history in history(), ways in ways(),
    ) {
        for program in programs() {
            check(program.name, &program.query, &history, &ways);
        }
        for case in cases() {
            check(case.name, &case.query, &history, &ways);
        }
    }

    #[test]
    fn an_operator_that_starts_empty_is_right_from_its_reach_on(
        history in history(), ways in ways(), start in 0..9u64,
    ) {
        for program in programs() {
            check_empty_start(program.name, &program.query, &history, &ways, start.min(history.len() as u64));
        }
    }

    #[test]
    fn records_in_groups_are_the_groups_one_after_the_other(lines in lines(), group in 1..6u64) {
        for case in cases() {
            for stage in case.stages_on_lines().filter(|stage| matches!(stage.end, StageEnd::Shuffle(_))) {
                let grouped = slices(stage, &block(&lines), Some(group));
                let chunks = lines.chunks(group as usize);
                let groups: Vec<_> = chunks.map(|lines| slices(stage, &block(lines), None)).collect();
                for (partition, slice) in grouped.iter().enumerate() {
                    let expected: Vec<&[u8]> = groups.iter().map(|slices| rows_of(&slices[partition])).collect();
                    let expected = expected.concat();
                    assert_eq!(rows_of(slice), expected, "{} in groups of {group}", case.name);
                }
            }
        }
    }

    #[test]
    fn one_group_of_all_records_is_the_whole(lines in lines(), more in 0..3u64) {
        for case in cases() {
            for stage in case.stages_on_lines() {
                let (whole, all) = (&blocks(&[&lines])[0], lines.len().max(1) as u64);
                assert_eq!(slices(stage, whole, Some(all + more)), slices(stage, whole, None), "{}", case.name);
            }
        }
    }
}
