//! What a continuous operator says beside its results: rows that changed, what it counted, which panes it holds, and what
//! it refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use bytes::Bytes;
use dstream_kernel::rows::encode_rows;
use dstream_kernel::{
    Absorbed, Counts, DStream, HeldPane, LineBlock, Operator, Produced, Query, QueryBuilder, Scratch, TaskAt,
    TaskError, Window,
};
use std::num::NonZeroU64;

type Pairs = DStream<(String, u64)>;

fn query(write: fn(Pairs)) -> Query {
    let builder = QueryBuilder::new();
    write(builder.lines().words().map::<(String, u64)>(|word| (word, 1)));
    builder.build().unwrap()
}

fn three() -> Window {
    Window::of(3).unwrap()
}

fn sums(ones: Pairs) {
    ones.reduce_by_key(|a, b| a + b).output("o");
}

fn windows(ones: Pairs) {
    ones.reduce_by_key_and_window(|a, b| a + b, three()).output("o");
}

fn differences(ones: Pairs) {
    ones.reduce_by_key_and_window_invertible(|a, b| a + b, |a, b| a - b, |count| count > 0, three()).output("o");
}

fn counts(ones: Pairs) {
    ones.count_by_window(three()).output("o");
}

fn slice(rows: &[(&str, u64)]) -> Bytes {
    encode_rows::<(String, u64)>(rows.iter().copied())
}

fn number(count: u64) -> Bytes {
    encode_rows::<u64>([count])
}

/// The last stage's operator, at the beginning of interval 0.
fn operator(query: &Query) -> Box<dyn Operator> {
    query.stages.last().unwrap().program.operator(0, Vec::new()).unwrap()
}

fn close(operator: &mut dyn Operator, interval: u64) -> Result<Vec<Bytes>, TaskError> {
    let result = operator.close(TaskAt { interval, partitions: 1 }, &mut Scratch::default())?;
    Ok(result.kept)
}

/// What is told of each slice, as text: its interval, and key and value of each row that changed.
fn check_changes(write: fn(Pairs), slices: &[(u64, Bytes)], expected: &[Option<&str>]) {
    let query = query(write);
    let mut operator = operator(&query);
    let render = |block: Bytes| {
        let rows = (query.outputs[0].render)(&block).unwrap();
        rows.iter().map(|(key, value)| format!("{key}{value}")).collect::<Vec<_>>().join(" ")
    };
    let mut absorb = |(interval, slice): &(u64, Bytes)| {
        operator.absorb(*interval, slice, true, &mut Scratch::default()).unwrap().changed.map(render)
    };
    let told: Vec<Option<String>> = slices.iter().map(&mut absorb).collect();
    let told: Vec<Option<&str>> = told.iter().map(Option::as_deref).collect();
    assert_eq!(told, expected);
}

#[test]
fn rows_that_changed_have_their_value_in_the_open_interval_once_a_key_in_the_order_of_an_output() {
    let long = "a word that is longer than an image";
    check_changes(
        sums,
        &[
            (0, slice(&[("b", 1), ("a", 2), ("b", 3)])),
            (0, slice(&[("c", 1), (long, 1), ("b", 1)])),
            (1, slice(&[("b", 7)])),
            (0, slice(&[(long, 4)])),
            (0, Bytes::new()),
        ],
        &[
            Some("a2 b4"),
            Some("b5 c1 a word that is longer than an image1"),
            Some("b7"),
            Some("a word that is longer than an image5"),
            Some(""),
        ],
    );
    check_changes(windows, &[(0, slice(&[("a", 2)])), (1, slice(&[("a", 3)]))], &[Some("a2"), Some("a3")]);
    check_changes(counts, &[(0, number(2)), (0, number(3)), (0, Bytes::new())], &[Some("2"), Some("5"), Some("")]);
}

#[test]
fn stages_whose_rows_are_not_those_of_the_fold_tell_no_changes() {
    check_changes(
        |ones| ones.reduce_by_key(|a, b| a + b).filter(|_| true).output("o"),
        &[(0, slice(&[("a", 1)]))],
        &[None],
    );
    check_changes(|ones| ones.top_k(2).output("o"), &[(0, slice(&[("a", 1)]))], &[None]);
    let state = |ones: Pairs| ones.update_state_by_key::<u64>(|_, _, before| before).output("o");
    check_changes(state, &[(0, slice(&[("a", 1)]))], &[None]);
}

#[test]
fn absorbing_counts_what_it_read_and_told_and_closing_the_rest() {
    let (query, scratch) = (query(windows), &mut Scratch::default());
    let mut operator = operator(&query);
    let both = slice(&[("a", 1), ("b", 1)]);
    let Absorbed { counts, changed } = operator.absorb(0, &both, false, scratch).unwrap();
    assert_eq!((counts, changed), (Counts { rows_in: 2, bytes_in: 7, ..Counts::default() }, None));
    let Absorbed { counts, .. } = operator.absorb(0, &both, true, scratch).unwrap();
    assert_eq!(counts, Counts { rows_in: 2, bytes_in: 7, rows_out: 2, bytes_out: 7, ..Counts::default() });
    let mut closed = |interval| operator.close(TaskAt { interval, partitions: 1 }, scratch).unwrap().counts;
    assert_eq!(closed(0), Counts { rows_out: 2, bytes_out: 7, ..Counts::default() });
    assert_eq!(closed(1), Counts { rows_applied: 2, rows_out: 2, bytes_out: 7, ..Counts::default() });
}

#[test]
fn intervals_close_in_order_and_take_nothing_afterwards() {
    let (query, scratch) = (query(sums), &mut Scratch::default());
    let mut operator = operator(&query);
    let wrong = |interval, next| Err(TaskError::WrongInterval { stage: query.stages[1].id, interval, next });
    assert_eq!(close(&mut *operator, 1), wrong(1, 0));
    assert_eq!((close(&mut *operator, 0), operator.next()), (Ok(vec![]), 1));
    assert_eq!(close(&mut *operator, 0), wrong(0, 1));
    assert_eq!(operator.absorb(0, &[], false, scratch).map(|_| vec![]), wrong(0, 1));
    assert!(operator.absorb(7, &slice(&[("a", 1)]), false, scratch).is_ok());
}

#[test]
fn what_a_later_interval_would_be_so_far_is_what_it_is_if_nothing_more_comes() {
    let (query, scratch) = (query(windows), &mut Scratch::default());
    let mut operator = operator(&query);
    let come = [(0, slice(&[("a", 1), ("b", 5)])), (1, slice(&[("a", 2)]))];
    come.iter().for_each(|(interval, slice)| drop(operator.absorb(*interval, slice, false, scratch).unwrap()));
    let waiting = (2, slice(&[("a", 4)]));
    let at = TaskAt { interval: 2, partitions: 1 };
    let shown = operator.so_far(at, std::slice::from_ref(&waiting), scratch).unwrap().produced;
    operator.absorb(waiting.0, &waiting.1, false, scratch).unwrap();
    (0..2).for_each(|interval| drop(close(&mut *operator, interval).unwrap()));
    assert_eq!(shown, operator.close(at, scratch).unwrap().produced);
    assert!(operator.so_far(at, &[], scratch).is_err());
}

/// Intervals 0 and 2 have a row, then nothing comes; the places and intervals of the panes behind each close.
fn check_panes(write: fn(Pairs), expected: &[&[(usize, u64)]]) {
    let (query, scratch) = (query(write), &mut Scratch::default());
    let mut operator = operator(&query);
    for (expected, interval) in expected.iter().zip(0..) {
        if interval % 2 == 0 && interval < 4 {
            operator.absorb(interval, &slice(&[("a", 1)]), false, scratch).unwrap();
        }
        close(&mut *operator, interval).unwrap();
        let held: Vec<(usize, u64)> = operator.panes().iter().map(|pane| (pane.kept, pane.interval)).collect();
        assert_eq!(held, *expected, "after interval {interval}");
    }
}

#[test]
fn panes_are_held_while_somebody_will_read_them() {
    check_panes(sums, &[&[], &[]]);
    check_panes(windows, &[&[(0, 0)], &[(0, 0)], &[(0, 2)], &[(0, 2)], &[]]);
    check_panes(
        differences,
        &[&[(0, 0), (1, 0)], &[(0, 0), (1, 1)], &[(0, 0), (0, 2), (1, 2)], &[(0, 2), (1, 3)], &[(0, 2), (1, 4)], &[]],
    );
}

#[test]
fn panes_that_nobody_will_read_and_stages_on_lines_are_refused() {
    let query = query(differences);
    let refused = |stage: usize, panes: &[(usize, u64)]| {
        let pane = |(kept, interval): &(usize, u64)| HeldPane { kept: *kept, interval: *interval, rows: Bytes::new() };
        let error = query.stages[stage].program.operator(5, panes.iter().map(pane).collect()).err();
        assert_eq!(error, Some(TaskError::WrongInput(query.stages[stage].id)), "{panes:?}");
    };
    refused(0, &[]);
    refused(1, &[(0, 1)]);
    refused(1, &[(0, 5)]);
    refused(1, &[(1, 3)]);
    refused(1, &[(2, 4)]);
    refused(1, &[(0, 4), (0, 4)]);
    let at = TaskAt { interval: 0, partitions: 1 };
    let block = LineBlock { lines: Bytes::new(), records: 0, skip: Vec::new() };
    let grouped = query.stages[1].program.run_in_groups(&block, NonZeroU64::MIN, at, &mut Scratch::default());
    assert_eq!(grouped, Err(TaskError::WrongInput(query.stages[1].id)));
}

#[test]
fn slices_that_no_encoder_wrote_are_an_error() {
    for write in [sums, counts, windows, |ones: Pairs| ones.top_k(2).output("o")] {
        let refused = operator(&query(write)).absorb(0, &[1, 0xff], true, &mut Scratch::default());
        assert!(matches!(refused, Err(TaskError::Corrupt { .. })), "{refused:?}");
    }
}

#[test]
fn a_group_ends_where_lines_are_skipped_and_counts_leave_them_out() {
    let query = query(sums);
    let lines = Bytes::from_static(b"a\na\nskipped\na\n");
    let block = LineBlock { lines, records: 4, skip: std::iter::once(2..3).collect() };
    let (at, group) = (TaskAt { interval: 0, partitions: 1 }, NonZeroU64::new(3).unwrap());
    let result = query.stages[0].program.run_in_groups(&block, group, at, &mut Scratch::default()).unwrap();
    assert_eq!(result.produced, Produced::Slices(vec![slice(&[("a", 2), ("a", 1)])]));
    let expected = Counts { records_in: 3, bytes_in: 6, rows_out: 2, bytes_out: 7, ..Counts::default() };
    assert_eq!(result.counts, expected);
}
