//! A new master's tracker: what it runs when workers have said what they hold of an earlier one's.

use super::tests::{LIMITS, check_limits, holders, id, panes, sealed, word_count};
use super::*;
use crate::master::journal::SealedInterval;

/// Interval 0 with blocks 0 and 1 was sealed in term 1.
fn found() -> Snapshot {
    Snapshot { next: 1, open: vec![open(0, &[(0, &[1, 3]), (1, &[2, 3])])], ..Snapshot::default() }
}

fn open(interval: u64, blocks: &[(u64, &[u32])]) -> SealedInterval {
    let Some(TrackerEvent::Sealed { interval, blocks }) = sealed(interval, blocks).into_iter().next() else {
        unreachable!("an interval is sealed first")
    };
    SealedInterval { interval, ranges: vec![], blocks }
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
fn slices_that_two_workers_hold_are_read_at_the_second_when_the_first_is_lost() {
    let mut events = recovered(&[1], &[(1, &[(0, 0)]), (3, &[(0, 0)]), (2, &[(0, 1)])]);
    let steps = events.len() - 1;
    events.insert(steps, (0, TrackerEvent::Lost { worker: 1, visible: vec![] }));
    // Nobody has the block, either.
    events.insert(steps, (0, holders(0, &[])));
    check_limits(&word_count(), LIMITS, &[1, 2, 3], events, steps, &["2: stage 1 [0.65536 again]"]);
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

#[test]
fn a_window_that_a_worker_kept_is_made_again_when_its_values_lack_what_this_master_gives_up() {
    // Intervals 0 and 1 have a block each. Their results are out, and worker 1 has what they left; nobody has block 0.
    let open = vec![open(0, &[(0, &[1])]), open(1, &[(1, &[1, 3])])];
    let found = Snapshot { next: 2, open, ..Snapshot::default() };
    let visible = [0, 1].map(|interval| VisibleResult { interval, output: "counts".into(), partition: 0 }).to_vec();
    let made = [0, 1].map(|interval| Made { interval, stage: 1, partition: 0, pane: Some(0) }).to_vec();
    let mut events = vec![TrackerEvent::Recovered { term: 2, found, visible }, holders(1, &[1, 3])];
    events.extend([TrackerEvent::Held { worker: 1, made }, TrackerEvent::Resumed]);
    let check = |events: &[TrackerEvent], expected: &[&str]| {
        let events = events.iter().map(|event| (0, event.clone())).collect();
        check_limits(&panes::with_inverse(), LIMITS, &[1, 2, 3], events, 1, expected);
    };
    check(&events, &["done 0", "done 1", "1: save 1.0 again through 1: 0@1 1@1"]);
    let failed = Some(NotFetched { panes_missing: vec![(0, 1)], ..NotFetched::default() });
    events.push(TrackerEvent::Saved { worker: 1, through: 1, stage: 1, partition: 0, attempt: 65536, failed });
    check(&events, &["give up b1.1.0", "1: stage 0 [0.65536 again]"]);
    events.push(panes::done_in(0, 1, 0, 65536));
    check(&events, &["1: stage 1 [0.65536 again for its panes]"]);
    events.push(panes::done_in(0, 1, 1, 65536));
    // Block 0 is taken out of the window of interval 1 some day: it must not be in it. Its slices are gone, too.
    check(&events, &["1: stage 0 [0.65536 again]"]);
    events.push(panes::done_in(1, 1, 0, 65536));
    check(&events, &["1: stage 1 [0.65536 again on 0@1 for its panes]"]);
    events.push(panes::done_in(1, 1, 1, 65536));
    check(&events, &["1: save 1.0 again through 1: 0@1 1@1"]);
}

#[test]
fn a_result_that_is_not_at_the_sink_is_made_again_though_what_it_leaves_is_there() {
    let found = Snapshot { next: 1, open: vec![open(0, &[(0, &[1])])], ..Snapshot::default() };
    let made =
        |stage, pane| TrackerEvent::Held { worker: 1, made: vec![Made { interval: 0, stage, partition: 0, pane }] };
    let (slices, window) = (made(0, None), made(1, Some(0)));
    let check = |visible: &[u32], rest: &[&TrackerEvent], expected: &[&str]| {
        let result = |partition: &u32| VisibleResult { interval: 0, output: "counts".into(), partition: *partition };
        let visible = visible.iter().map(result).collect();
        let mut events = vec![TrackerEvent::Recovered { term: 2, found: found.clone(), visible }, holders(0, &[1])];
        events.extend(rest.iter().map(|event| (*event).clone()));
        let steps = events.len();
        let events = events.into_iter().map(|event| (0, event)).collect();
        check_limits(&panes::with_inverse(), LIMITS, &[1], events, steps, expected);
    };
    check(&[0], &[&slices, &window, &TrackerEvent::Resumed], &["done 0"]);
    check(&[], &[&slices, &window, &TrackerEvent::Resumed], &["1: stage 1 [0.65536 again]"]);
    // One that comes when all is under way, too.
    let mapped = panes::done_in(0, 1, 0, 65536);
    let expected = ["1: stage 0 [0.65536 again]", "1: stage 1 [0.65536 again]"];
    check(&[], &[&TrackerEvent::Resumed, &window, &mapped], &expected);
}
