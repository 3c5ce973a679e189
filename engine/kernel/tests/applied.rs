//! What a window step counts as work, and what it says of panes that do not belong together.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use bytes::Bytes;
use dstream_kernel::rows::{decode_rows, encode_rows};
use dstream_kernel::{
    DStream, HeldState, Query, QueryBuilder, Scratch, TaskAt, TaskError, TaskInput, TaskResult, Window,
};
use std::num::NonZeroU64;

type Pairs = DStream<(String, u64)>;

fn query(write: fn(Pairs) -> Pairs) -> Query {
    let builder = QueryBuilder::new();
    write(builder.lines().words().map::<(String, u64)>(|word| (word, 1))).output("o");
    builder.build().unwrap()
}

fn window(length: u64) -> Window {
    Window::of(length).unwrap()
}

fn sums(ones: Pairs) -> Pairs {
    ones.reduce_by_key_and_window(|a, b| a + b, window(3))
}

fn differences(ones: Pairs) -> Pairs {
    ones.reduce_by_key_and_window_invertible(|a, b| a + b, |a, b| a - b, |count| count > 0, window(3))
}

fn running(ones: Pairs) -> Pairs {
    ones.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN)
}

fn state(ones: Pairs) -> Pairs {
    ones.update_state_by_key::<u64>(|_, counts, before| Some(counts.iter().sum::<u64>() + before.unwrap_or(0)))
}

fn track(ones: Pairs) -> Pairs {
    ones.track::<u64>(|_, one| one, |_, count, one| Some(count + one), NonZeroU64::new(2))
}

fn pane(rows: &[(&str, u64)]) -> Bytes {
    encode_rows::<(String, u64)>(rows.iter().copied())
}

fn step(query: &Query, slice: Bytes, past: Vec<Vec<Bytes>>) -> Result<TaskResult, TaskError> {
    let input = TaskInput::Slices { slices: vec![slice], past };
    query.stages[1].program.run(&input, TaskAt { interval: 7, partitions: 1 }, &mut Scratch::default())
}

/// A step over the slice a, c: rows read and applied, and the result.
fn check(write: fn(Pairs) -> Pairs, past: Vec<Vec<Bytes>>, expected: (u64, u64, &str)) {
    let query = query(write);
    let result = step(&query, pane(&[("a", 1), ("c", 2)]), past).unwrap();
    let dstream_kernel::Produced::Rows(rows) = &result.produced else { panic!("the stage ends in an output") };
    let rows = (query.outputs[0].render)(rows).unwrap();
    let shown: Vec<String> = rows.iter().map(|(key, value)| format!("{key}{value}")).collect();
    assert_eq!((result.counts.rows_in, result.counts.rows_applied, &*shown.join(" ")), expected);
}

#[test]
fn rows_applied_are_those_that_enter_leave_or_are_folded_again() {
    let (ab, b) = (pane(&[("a", 1), ("b", 3)]), pane(&[("b", 2)]));
    check(sums, vec![vec![ab.clone(), b.clone()]], (2, 3, "a2 b5 c2"));
    check(sums, vec![vec![Bytes::new(), Bytes::new()]], (2, 0, "a1 c2"));
    check(differences, vec![vec![b.clone()], vec![pane(&[("a", 1), ("b", 2)])]], (2, 3, "a2 c2"));
    check(running, vec![vec![ab.clone()]], (2, 2, "a2 b3 c2"));
    check(state, vec![vec![ab]], (2, 3, "a2 b3 c2"));
    check(state, vec![vec![b]], (2, 3, "a1 b2 c2"));
    let touched = |rows: &[(&str, (u64, u64))]| encode_rows::<(String, (u64, u64))>(rows.iter().copied());
    check(track, vec![vec![touched(&[("a", (5, 1)), ("b", (6, 3))])]], (2, 2, "a2 b3 c2"));
    check(track, vec![vec![touched(&[("a", (5, 1)), ("b", (5, 3))])]], (2, 3, "a2 c2"));
}

#[test]
fn a_state_in_place_counts_what_it_is_made_again_of_and_what_it_leaves() {
    let query = query(track).in_place(NonZeroU64::new(2).unwrap());
    let step = |interval, slice, [changes, segment]: [Bytes; 2], held: &mut HeldState| {
        let past = vec![vec![Bytes::new(), changes], vec![Bytes::new(), segment]];
        let input = TaskInput::Slices { slices: vec![slice], past };
        let at = TaskAt { interval, partitions: 1 };
        query.stages[1].program.run_held(&input, at, held, &mut Scratch::default()).unwrap()
    };
    let bytes = |panes: &[Bytes]| panes.iter().map(|pane| pane.len() as u64).sum::<u64>();
    let mut held = HeldState::default();
    let first = step(0, pane(&[("a", 1), ("b", 1), ("c", 2)]), Default::default(), &mut held);
    assert_eq!((first.counts.rows_applied, first.counts.bytes_rebuilt), (3, 0));
    assert_eq!(first.counts.bytes_kept, bytes(&first.kept));
    let panes = || [first.kept[0].clone(), first.kept[1].clone()];
    let in_segment = decode_rows::<(String, (u64, u64))>(&first.kept[1]).unwrap().left();
    let again = step(1, pane(&[("a", 1)]), panes(), &mut HeldState::default());
    assert_eq!((again.counts.rows_applied, again.counts.bytes_rebuilt), (3 + in_segment + 1, bytes(&first.kept)));
    let there = step(1, pane(&[("a", 1)]), panes(), &mut held);
    assert_eq!((there.counts.rows_applied, there.counts.bytes_rebuilt), (1, 0));
    assert_eq!((there.produced, there.kept), (again.produced, again.kept));
}

#[test]
fn panes_that_do_not_belong_together_are_refused() {
    let refused = |query: &Query, past: Vec<Vec<Bytes>>, expected: &str| {
        let error = step(query, pane(&[("a", 1)]), past).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let (with, without) = (query(differences), query(sums));
    refused(&with, vec![vec![pane(&[("b", 1)])], vec![Bytes::new()]], "leaves a window that does not hold its key");
    refused(&with, vec![vec![Bytes::new()], vec![pane(&[("b", 1), ("a", 1)])]], "not in order");
    refused(&with, vec![vec![Bytes::new()], vec![pane(&[("b", 1), ("b", 1)])]], "not in order");
    refused(&with, vec![vec![Bytes::new()]], "does not read this kind of input");
    refused(&without, vec![vec![Bytes::new()]], "does not read this kind of input");
    refused(&without, vec![], "does not read this kind of input");
}
