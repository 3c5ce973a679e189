//! The laws of state in place: results are those of the state that is written anew in every interval; and whatever a table
//! was used for before, an interval makes the same results and panes with it as without.

use crate::cases::{cases, ones};
use crate::runner::{Results, Run};
use crate::windows::{History, history, programs, whole};
use crate::{garbage, with_past};
use dstream_kernel::{HeldState, Query, QueryBuilder, Scratch, Stage, TaskAt, TaskInput};
use proptest::prelude::*;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

const PARTITIONS: u32 = 2;

fn in_place(query: &Query, segments: u64) -> Query {
    query.clone().in_place(NonZeroU64::new(segments).expect("segments are drawn from 1"))
}

/// All programs with a state that can be in place.
fn stateful() -> Vec<(&'static str, Query)> {
    let programs = programs().into_iter().map(|program| (program.name, program.query));
    let cases = cases().into_iter().map(|case| (case.name, case.query));
    programs.chain(cases).filter(|(_, query)| in_place(query, 1).fingerprint != query.fingerprint).collect()
}

fn run<'q>(query: &'q Query, history: &History) -> (Run<'q>, Vec<Results>) {
    let mut run = Run::new(query, PARTITIONS);
    let results = whole(history).iter().map(|maps| run.interval(maps, &mut Scratch::default())).collect();
    (run, results)
}

/// What a stage's task reads.
fn input(run: &Run<'_>, stage: &Stage, partition: u32, interval: u64) -> TaskInput {
    let slices = run.slices[&(stage.id.0, partition)].iter().filter(|(of, _)| *of == interval);
    let slices = slices.map(|(_, slice)| slice.clone()).collect();
    TaskInput::Slices { slices, past: run.past(stage, partition, interval) }
}

/// Goes from interval to interval, however far and in whichever direction, with one table; where `drops` says so the
/// table is lost before a step.
fn check_walk(name: &str, run: &Run<'_>, query: &Query, walk: &[(u64, bool)], length: u64) {
    for stage in query.stages.iter().filter(|stage| stage.is_in_place) {
        for partition in 0..run.partitions_of(stage) {
            let (mut held, mut scratch, mut interval) = (HeldState::default(), Scratch::default(), 0);
            for (step, drops) in walk {
                held = if *drops { HeldState::default() } else { held };
                let at = TaskAt { interval, partitions: run.partitions_behind(stage.end) };
                let input = input(run, stage, partition, interval);
                let result = stage.program.run_held(&input, at, &mut held, &mut scratch).expect("panes of its own");
                let expected = &run.results[&(stage.id.0, partition, interval)];
                let told = format!("{name}, stage {} in interval {interval}", stage.id);
                assert_eq!((&result.produced, &result.kept), (&expected.produced, &expected.kept), "{told}");
                assert_eq!(held.version(), Some(interval), "{told}");
                // Mostly one on; sometimes the same again, back, or far on.
                interval = (interval + step + 2 * length - 2) % length;
            }
        }
    }
}

fn walk() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let step = prop_oneof![12 => Just(3u64), 2 => Just(2), 1 => Just(1), 1 => Just(0), 1 => 4..9u64];
    proptest::collection::vec((step, prop_oneof![9 => Just(false), 1 => Just(true)]), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_are_those_of_the_state_that_is_written_anew(history in history(), segments in 1..6u64) {
        for (name, query) in stateful() {
            let in_place = in_place(&query, segments);
            prop_assert_eq!(run(&in_place, &history).1, run(&query, &history).1, "{}", name);
        }
    }

    #[test]
    fn a_table_changes_neither_results_nor_panes_wherever_it_stood_before(
        history in history(), segments in 1..6u64, walk in walk(),
    ) {
        for (name, query) in stateful() {
            let query = in_place(&query, segments);
            check_walk(name, &run(&query, &history).0, &query, &walk, history.len() as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn panes_that_no_encoder_wrote_are_an_error_and_no_panic(panes in proptest::collection::vec(garbage(), 4)) {
        for (_, query) in stateful() {
            let query = in_place(&query, 2);
            for stage in query.stages.iter().filter(|stage| stage.is_in_place) {
                // Most fail; what happens to be well formed may give a result. Neither may panic.
                let at = TaskAt { interval: 3, partitions: 1 };
                let _ = stage.program.run(&with_past(stage, &panes), at, &mut Scratch::default());
            }
        }
    }
}

#[test]
fn every_state_without_an_end_that_visits_touched_keys_alone_can_be_in_place() {
    let names: Vec<&str> = stateful().into_iter().map(|(name, _)| name).collect();
    for name in ["from the start", "track", "map with state", "track of a stream that slides"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}

#[test]
fn a_function_that_panics_leaves_no_table() {
    let builder = QueryBuilder::new();
    let failing = ones(&builder.lines()).track::<u64>(
        |word, _| if word == "bad" { panic!("a function fails") } else { 1 },
        |_, count, _| Some(count + 1),
        None,
    );
    failing.output("o");
    let query = in_place(&builder.build().expect("the program is whole"), 2);
    let lines = |words: &str| vec![words.to_owned()];
    let (good, _) = run(&query, &vec![lines("a b"), lines("a c")]);
    let stage = &query.stages[1];
    for partition in 0..PARTITIONS {
        let (mut held, mut scratch) = (HeldState::default(), Scratch::default());
        let at = |interval| TaskAt { interval, partitions: PARTITIONS };
        let first = input(&good, stage, partition, 0);
        stage.program.run_held(&first, at(0), &mut held, &mut scratch).expect("panes of its own");
        let TaskInput::Slices { past, .. } = input(&good, stage, partition, 1) else { unreachable!() };
        let bad = dstream_kernel::rows::encode_rows::<(String, u64)>([("a", 1), ("bad", 1)]);
        let bad = TaskInput::Slices { slices: vec![bad], past };
        let run = AssertUnwindSafe(|| stage.program.run_held(&bad, at(1), &mut held, &mut Scratch::default()));
        assert!(catch_unwind(run).is_err());
        assert!(held.is_empty());
        let again = input(&good, stage, partition, 1);
        let result = stage.program.run_held(&again, at(1), &mut held, &mut scratch).expect("panes of its own");
        assert_eq!(result.kept, good.results[&(stage.id.0, partition, 1)].kept);
    }
}
