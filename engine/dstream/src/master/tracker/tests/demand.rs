//! When work begins: what is lost is made again at once or when it is read; how many intervals are under way.

use super::panes::{computed, done_in, saved, windowed};
use super::*;

/// Intervals 0 to 2 are computed at 1, a checkpoint has those below 2, and worker 1 is lost: panes of interval 2 with it.
fn lost_behind_a_checkpoint() -> Vec<TrackerEvent> {
    let mut events = computed(2);
    events.push(saved(1, 1));
    events.extend(computed(3).split_off(8));
    events.push(lost(1));
    events
}

/// The last of the events is the one that decides.
#[track_caller]
fn check_with(limits: TrackerLimits, query: &Query, events: &[TrackerEvent], expected: &[&str]) {
    let events = events.iter().map(|event| (0, event.clone())).collect();
    check_limits(query, limits, &[1, 2, 3], events, 1, expected);
}

#[test]
fn lost_panes_are_made_again_at_once_or_when_an_interval_that_is_due_reads_them() {
    let lazy = TrackerLimits { recovery: Recovery::Lazy, ..LIMITS };
    let again = "3: stage 0 [0.1 again]";
    let next = "2: stage 0 [0.0]";
    let mut events = lost_behind_a_checkpoint();
    check_with(LIMITS, &windowed(), &events, &[again]);
    check_with(lazy, &windowed(), &events, &[]);
    let [sealed, journalled] = sealed(3, &[(3, &[2])]).try_into().unwrap();
    events.push(sealed);
    check_with(lazy, &windowed(), &events, &[]);
    events.push(journalled);
    check_with(LIMITS, &windowed(), &events, &[next]);
    check_with(lazy, &windowed(), &events, &[again, next]);
    // From then on both do the same.
    events.push(done_in(2, 3, 0, 1));
    let step = "3: stage 1 [0.1 again on 0@store1 1@store1 for its panes]";
    for limits in [LIMITS, lazy] {
        check_with(limits, &windowed(), &events, &[step]);
    }
}

#[test]
fn lost_panes_are_made_again_when_a_checkpoint_wants_them() {
    let lazy = TrackerLimits { recovery: Recovery::Lazy, ..LIMITS };
    let mut events = computed(2);
    events.push(lost(1));
    // It is under way when they are lost.
    for limits in [LIMITS, lazy] {
        check_with(limits, &windowed(), &events, &["3: stage 0 [0.1 again]", "2: stage 0 [0.1 again]"]);
    }
}

#[test]
fn slices_that_a_waiting_task_reads_are_made_again_at_once() {
    let lazy = TrackerLimits { recovery: Recovery::Lazy, ..LIMITS };
    let mut events = reducing();
    events.push(lost(1));
    for limits in [LIMITS, lazy] {
        check_with(limits, &word_count(), &events, &["3: stage 0 [0.1 again]"]);
    }
}

/// Intervals 0 to 2 are sealed, one block each, at the worker of the same number from 1.
fn three_sealed() -> Vec<TrackerEvent> {
    (0..3).flat_map(|interval| sealed(interval, &[(interval, &[interval as u32 + 1])])).collect()
}

#[test]
fn an_interval_begins_when_fewer_than_the_limit_are_under_way() {
    let maps = ["1: stage 0 [0.0]", "2: stage 0 [0.0]", "3: stage 0 [0.0]"];
    for (overlap, begun) in [(Some(1), 1), (Some(2), 2), (Some(3), 3), (None, 3)] {
        let limits = TrackerLimits { overlap, ..LIMITS };
        let events = three_sealed().into_iter().map(|event| (0, event)).collect();
        check_limits(&word_count(), limits, &[1, 2, 3], events, 6, &maps[..begun]);
    }
    let limits = TrackerLimits { overlap: Some(1), ..LIMITS };
    let mut events = three_sealed();
    events.extend([done(1, 0, 0), done(1, 1, 0)]);
    check_with(limits, &word_count(), &events, &[]);
    events.push(done(2, 1, 1));
    check_with(limits, &word_count(), &events, &["done 0", "2: stage 0 [0.0]"]);
}

#[test]
fn what_is_made_again_of_intervals_that_are_done_counts_to_no_limit() {
    for recovery in [Recovery::Eager, Recovery::Lazy] {
        let limits = TrackerLimits { recovery, overlap: Some(1), ..LIMITS };
        let mut events = lost_behind_a_checkpoint();
        events.extend([3, 4].map(|interval| sealed(interval, &[(interval, &[2, 3])])).concat());
        let steps = events.len() - lost_behind_a_checkpoint().len() + 1;
        let events: Vec<_> = events.into_iter().map(|event| (0, event)).collect();
        // Of interval 2, which is done, the slices; of interval 3; nothing of interval 4.
        let expected = ["3: stage 0 [0.1 again]", "2: stage 0 [0.0]"];
        check_limits(&windowed(), limits, &[1, 2, 3], events, steps, &expected);
    }
}

/// As `windowed`, but tasks read the panes of the interval before the last one alone.
fn every_other() -> Query {
    let mut query = windowed();
    query.stages[1].kept[0].back = 2..=2;
    query
}

#[test]
fn panes_that_only_an_interval_reads_that_has_not_begun_stay_lost_until_it_does() {
    let eager = TrackerLimits { overlap: Some(1), ..LIMITS };
    let lazy = TrackerLimits { recovery: Recovery::Lazy, ..eager };
    let again = "3: stage 0 [0.1 again]";
    let mut events = computed(1);
    events.extend([1, 2].map(|interval| sealed(interval, &[(interval, &[2, 3])])).concat());
    events.push(lost(1));
    check_with(eager, &every_other(), &events, &[again]);
    check_with(lazy, &every_other(), &events, &[]);
    events.push(done_in(1, 2, 0, 0));
    check_with(lazy, &every_other(), &events, &["2: stage 1 [0.0]"]);
    events.push(done_in(1, 2, 1, 0));
    check_with(lazy, &every_other(), &events, &["done 1", again, "2: stage 0 [0.0]"]);
}
