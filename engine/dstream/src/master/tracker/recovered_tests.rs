//! A new master's tracker: what it runs when workers have said what they hold of an earlier one's.

use super::tests::{LIMITS, check_limits, holders, id, sealed, word_count};
use super::*;
use crate::master::journal::SealedInterval;

/// Interval 0 with blocks 0 and 1 was sealed in term 1.
fn found() -> Snapshot {
    let Some(TrackerEvent::Sealed { interval, blocks }) = sealed(0, &[(0, &[1, 3]), (1, &[2, 3])]).into_iter().next()
    else {
        unreachable!("an interval is sealed first")
    };
    Snapshot { next: 1, open: vec![SealedInterval { interval, ranges: vec![], blocks }], ..Snapshot::default() }
}

fn recovered(visible: &[u32], held: &[(u32, &[(u32, u32)])]) -> Vec<(u64, TrackerEvent)> {
    let result = |partition: &u32| VisibleResult { interval: 0, output: "counts".into(), partition: *partition };
    let visible = visible.iter().map(result).collect();
    let mut events = vec![TrackerEvent::Recovered { term: 2, found: found(), visible }];
    events.extend([holders(0, &[1, 3]), holders(1, &[2, 3])]);
    let made = |(stage, partition): &(u32, u32)| Made { interval: 0, stage: *stage, partition: *partition, pane: None };
    let held = held.iter().map(|(worker, of)| (*worker, of.iter().map(made).collect()));
    events.extend(held.map(|(worker, made)| TrackerEvent::Held { worker, made }));
    events.push(TrackerEvent::Resumed);
    events.into_iter().map(|event| (0, event)).collect()
}

#[track_caller]
fn check(visible: &[u32], held: &[(u32, &[(u32, u32)])], expected: &[&str]) {
    let events = recovered(visible, held);
    let steps = events.len();
    check_limits(&word_count(), LIMITS, &[1, 2, 3], events, steps, expected);
}

#[test]
fn what_is_neither_visible_nor_held_is_computed_under_numbers_of_its_own() {
    check(&[], &[], &["1: stage 0 [0.65536 again]", "2: stage 0 [1.65536 again]"]);
}

#[test]
fn an_interval_whose_results_are_visible_is_done() {
    check(&[0, 1], &[], &["done 0"]);
}

#[test]
fn slices_that_workers_hold_are_read_where_they_are() {
    let held: &[(u32, &[(u32, u32)])] = &[(1, &[(0, 0)]), (2, &[(0, 1)])];
    check(&[1], held, &["1: stage 1 [0.65536 again]"]);
}

#[test]
fn nothing_runs_before_all_have_said_what_they_hold() {
    let mut events = recovered(&[], &[]);
    events.pop();
    let steps = events.len();
    check_limits(&word_count(), LIMITS, &[1, 2, 3], events, steps, &[]);
}

#[test]
fn a_late_word_of_an_earlier_masters_attempt_changes_nothing() {
    let mut events = recovered(&[], &[]);
    events.push((5, TrackerEvent::Done { worker: 1, task: id(0, 0, 0) }));
    check_limits(&word_count(), LIMITS, &[1, 2, 3], events, 1, &[]);
}
