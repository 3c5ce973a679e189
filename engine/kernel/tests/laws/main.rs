//! The laws that every operator keeps, whichever engine runs it: chunking, order, merge, masks, purity. Each program of
//! [`cases`] is held to all of them, against a naive reference.

mod cases;
mod continuous;
mod in_place;
mod runner;
mod windows;

use bytes::Bytes;
use cases::{Case, cases};
use dstream_kernel::{Scratch, Stage, TaskAt, TaskInput};
use proptest::prelude::*;
use proptest::sample::Index;
use runner::{block, blocks, rendered, results};
use std::num::NonZeroUsize;

const AT: TaskAt = TaskAt { interval: 0, partitions: 3 };

/// Lines with words short and long (of keys inline and not), separators of all kinds, text that is not ASCII, no text.
pub fn lines() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![6 => "[ab]{1,3}", 2 => "[a-c]{13,18}", 1 => "(ab){20,24}", 1 => "[é\u{1F980}\u{a0}]{1,6}"];
    let line = proptest::collection::vec((word, "[ \t\u{b}\u{c}\r]{0,2}"), 0..8);
    let line = line.prop_map(|parts| parts.into_iter().flat_map(|(word, gap)| [word, gap]).collect());
    proptest::collection::vec(line, 0..24)
}

fn for_each_case(mut law: impl FnMut(&Case)) {
    cases().iter().for_each(&mut law);
}

/// Cuts a list into parts, some perhaps empty, at the given places.
pub fn cut<'a>(lines: &'a [String], places: &[Index]) -> Vec<&'a [String]> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(lines.len() + 1)).collect();
    ends.push(lines.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &lines[std::mem::replace(&mut start, end)..end]).collect()
}

/// Where a list is cut.
pub fn places() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn results_equal_the_reference(lines in lines(), partitions in 1..5u32) {
        for_each_case(|case| {
            let results = results(&case.query, &[blocks(&[&lines])], partitions, &mut Scratch::default());
            assert_eq!(rendered(&case.query, &results), case.reference(&lines), "{}", case.name);
        });
    }

    #[test]
    fn chunks_of_any_size_give_the_same_bytes(lines in lines(), chunk in prop_oneof![1..4usize, 1..100usize]) {
        let chunk = NonZeroUsize::new(chunk).expect("chunks are drawn from 1");
        for_each_case(|case| {
            let input = [blocks(&[&lines])];
            let whole = results(&case.query, &input, 3, &mut Scratch::default());
            let chunked = results(&case.query, &input, 3, &mut Scratch::with_chunk(chunk));
            assert_eq!(chunked, whole, "{} in chunks of {chunk}", case.name);
        });
    }

    #[test]
    fn feeding_parts_one_after_the_other_is_feeding_the_whole(lines in lines(), places in places()) {
        for_each_case(|case| {
            let whole = results(&case.query, &[blocks(&[&lines])], 3, &mut Scratch::default());
            let parts = results(&case.query, &[blocks(&cut(&lines, &places))], 3, &mut Scratch::default());
            assert_eq!(parts, whole, "{}", case.name);
        });
    }

    #[test]
    fn the_order_of_arrival_does_not_change_what_closes(
        (lines, shuffled) in lines().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
    ) {
        for_each_case(|case| {
            let first = results(&case.query, &[blocks(&[&lines])], 3, &mut Scratch::default());
            let other = results(&case.query, &[blocks(&[&shuffled])], 3, &mut Scratch::default());
            assert_eq!(other, first, "{}", case.name);
        });
    }

    #[test]
    fn splits_into_map_partitions_give_the_same_results(lines in lines(), places in places(), partitions in 1..5u32) {
        let split: Vec<_> = cut(&lines, &places).into_iter().map(|part| blocks(&[part])).collect();
        for_each_case(|case| {
            let one = results(&case.query, &[blocks(&[&lines])], partitions, &mut Scratch::default());
            let many = results(&case.query, &split, partitions, &mut Scratch::default());
            if case.shuffles {
                assert_eq!(many, one, "{}", case.name);
            }
            assert_eq!(rendered(&case.query, &many), rendered(&case.query, &one), "{}", case.name);
        });
    }

    #[test]
    fn skipped_lines_are_as_if_absent(lines in proptest::collection::vec((lines(), any::<bool>()), 0..6)) {
        let all: Vec<String> = lines.iter().flat_map(|(lines, _)| lines.clone()).collect();
        let read: Vec<String> = lines.iter().filter(|(_, skip)| !skip).flat_map(|(lines, _)| lines.clone()).collect();
        let (mut masked, mut at) = (block(&all), 0);
        for (lines, skip) in &lines {
            let range = at..at + lines.len() as u64;
            at = range.end;
            masked.skip.extend(skip.then_some(range));
        }
        for_each_case(|case| {
            let with_mask = TaskInput::Lines(vec![masked.clone()]);
            let without = TaskInput::Lines(vec![block(&read)]);
            for stage in case.stages_on_lines() {
                let masked = stage.program.run(&with_mask, AT, &mut Scratch::default()).expect("the input is whole");
                let absent = stage.program.run(&without, AT, &mut Scratch::default()).expect("the input is whole");
                assert_eq!(masked, absent, "{}", case.name);
            }
        });
    }

    #[test]
    fn used_scratch_memory_changes_nothing(lines in lines(), before in lines()) {
        let mut used = Scratch::default();
        for_each_case(|case| {
            results(&case.query, &[blocks(&[&before])], 2, &mut used);
        });
        for_each_case(|case| {
            let input = TaskInput::Lines(blocks(&[&lines]));
            for stage in case.stages_on_lines() {
                let fresh = stage.program.run(&input, AT, &mut Scratch::default()).expect("the input is whole");
                assert_eq!(stage.program.run(&input, AT, &mut used).unwrap(), fresh, "{}", case.name);
            }
            let input = [blocks(&[&lines])];
            let fresh = results(&case.query, &input, 3, &mut Scratch::default());
            assert_eq!(results(&case.query, &input, 3, &mut used), fresh, "{}", case.name);
        });
    }

    #[test]
    fn bytes_that_no_encoder_wrote_are_an_error_and_no_panic(
        slices in proptest::collection::vec(garbage(), 0..3),
        panes in proptest::collection::vec(garbage(), 4),
    ) {
        let input = TaskInput::slices(slices.into_iter().map(Into::into).collect());
        for_each_case(|case| {
            for stage in &case.query.stages {
                // Most fail; what happens to be well formed may give a result. Neither may panic.
                let _ = stage.program.run(&input, AT, &mut Scratch::default());
                let _ = stage.program.run(&with_past(stage, &panes), AT, &mut Scratch::default());
            }
        });
    }
}

/// No slices, and panes of anything.
fn with_past(stage: &Stage, panes: &[Vec<u8>]) -> TaskInput {
    let mut panes = panes.iter().map(|pane| Bytes::copy_from_slice(pane)).cycle();
    let past = stage.kept.iter().map(|kept| kept.back.clone().map(|_| panes.next().unwrap_or_default()).collect());
    TaskInput::Slices { slices: Vec::new(), past: past.collect() }
}

/// Bytes that look like rows often enough to get past the first check.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0..6u8, 1 => any::<u8>(), 1 => Just(b'a')];
    proptest::collection::vec(byte, 0..40)
}
