//! What the stage tracker decides about panes and checkpoints, event by event, for a windowed word count.

use super::*;
use dstream_kernel::{Kept, Width};

const ROWS: &str = "(String, u64)";

/// A word count whose only reduce partition reads its own panes of the last two intervals; a checkpoint goes through every
/// second interval.
pub(super) fn windowed() -> Query {
    let mut query = word_count();
    query.stages[1].width = Width::One;
    query.stages[1].kept = vec![Kept { label: "values".to_owned(), rows: ROWS.to_owned(), back: 1..=2 }];
    query
}

pub(in crate::master::tracker) fn done_in(interval: u64, worker: u32, stage: u32, attempt: u32) -> TrackerEvent {
    TrackerEvent::Done { worker, task: TaskId { interval, stage, partition: 0, attempt } }
}

/// Interval after interval: block `i` at workers 1 and 3, mapped and reduced at 1.
pub(super) fn computed(intervals: u64) -> Vec<TrackerEvent> {
    let one = |interval| {
        let mut events = sealed(interval, &[(interval, &[1, 3])]);
        events.extend([done_in(interval, 1, 0, 0), done_in(interval, 1, 1, 0)]);
        events
    };
    (0..intervals).flat_map(one).collect()
}

pub(super) fn saved(worker: u32, through: u64) -> TrackerEvent {
    TrackerEvent::Saved { worker, through, stage: 1, partition: 0, attempt: 0, failed: None }
}

fn check_windowed(events: Vec<TrackerEvent>, steps: usize, expected: &[&str]) {
    check_query(&windowed(), &[1, 2, 3], events, steps, expected);
}

#[test]
fn a_task_reads_the_panes_of_earlier_intervals_where_they_were_made() {
    let mut events = computed(1);
    events.extend(sealed(1, &[(1, &[1, 3])]));
    events.push(done_in(1, 1, 0, 0));
    check_windowed(events, 1, &["1: stage 1 [0.0 on 0@1]"]);
}

#[test]
fn a_task_waits_for_the_panes_that_it_reads() {
    let mut events = sealed(0, &[(0, &[1, 3])]);
    events.extend(sealed(1, &[(1, &[1, 3])]));
    events.extend([done_in(1, 3, 0, 0), done_in(0, 1, 0, 0)]);
    check_windowed(events.clone(), 2, &["1: stage 1 [0.0]"]);
    events.push(done_in(0, 1, 1, 0));
    check_windowed(events, 1, &["done 0", "1: stage 1 [0.0 on 0@1]"]);
}

#[test]
fn a_checkpoint_is_written_and_then_lineage_is_forgotten() {
    let mut events = computed(2);
    events.push(saved(1, 1));
    check_windowed(events, 2, &["done 1", "1: save 1.0 through 1: 0@1 1@1", "forget below 2, panes below 0"]);
}

#[test]
fn a_checkpoint_that_nobody_reads_any_more_is_dropped() {
    let mut events = computed(2);
    events.push(saved(1, 1));
    events.extend(computed(4).split_off(8));
    events.push(saved(1, 3));
    check_windowed(events, 1, &["forget below 4, panes below 2, drop checkpoint 1"]);
}

#[test]
fn lost_panes_are_computed_again_from_the_checkpoint_on_without_their_results() {
    let mut events = computed(2);
    events.push(saved(1, 1));
    events.extend(computed(4).split_off(8));
    events.push(lost(1));
    // The maps of intervals 2 and 3; what is below is in the store. The checkpoint through 3 waits for its panes.
    check_windowed(events.clone(), 1, &["3: stage 0 [0.1 again]", "2: stage 0 [0.1 again]"]);
    events.push(done_in(2, 3, 0, 1));
    check_windowed(events.clone(), 1, &["3: stage 1 [0.1 again on 0@store1 1@store1 for its panes]"]);
    // The next step is ordered behind it, at the worker where it runs.
    events.push(done_in(3, 2, 0, 1));
    check_windowed(events.clone(), 1, &["3: stage 1 [0.1 again on 1@store1 2@3 for its panes]"]);
    events.push(done_in(2, 3, 1, 1));
    check_windowed(events.clone(), 1, &[]);
    events.push(done_in(3, 3, 1, 1));
    check_windowed(events, 1, &["3: save 1.0 again through 3: 2@3 3@3"]);
}

/// So many intervals are lost before a checkpoint was written; all is mapped again at 3, and the first step runs there.
fn made_again(intervals: u64) -> Vec<TrackerEvent> {
    let mut events = computed(intervals);
    events.push(lost(1));
    events.extend((1..intervals).chain([0]).map(|interval| done_in(interval, 3, 0, 1)));
    events
}

fn check_steps(events: Vec<TrackerEvent>, steps: usize, expected: &[&str]) {
    check_query(&windowed(), &[1, 3], events, steps, expected);
}

#[test]
fn steps_of_lost_state_are_ordered_a_few_ahead_one_behind_the_other() {
    let mut events = made_again(6);
    let ahead = [
        "3: stage 1 [0.1 again for its panes]",
        "3: stage 1 [0.1 again on 0@3 for its panes]",
        "3: stage 1 [0.1 again on 0@3 1@3 for its panes]",
        "3: stage 1 [0.1 again on 1@3 2@3 for its panes]",
    ];
    check_steps(events.clone(), 1, &ahead);
    events.push(done_in(0, 3, 1, 1));
    check_steps(events.clone(), 1, &["3: stage 1 [0.1 again on 2@3 3@3 for its panes]"]);
    // They are given again in the same order over a new connection.
    events.push(TrackerEvent::Reconnected(3));
    let again = [ahead[1], ahead[2], ahead[3], "3: stage 1 [0.1 again on 2@3 3@3 for its panes]"];
    check_steps(events, 1, &again);
}

#[test]
fn a_step_whose_forerunner_failed_is_ordered_again_behind_it() {
    let mut events = made_again(3);
    let failed = |interval, panes_missing: &[(u64, u32)]| TrackerEvent::Failed {
        worker: 3,
        task: TaskId { interval, stage: 1, partition: 0, attempt: 1 },
        why: TaskFailure::NotFetched(NotFetched { panes_missing: panes_missing.to_vec(), ..NotFetched::default() }),
    };
    events.extend([failed(0, &[]), failed(1, &[(0, 3)])]);
    let expected = ["3: stage 1 [0.2 again for its panes]", "3: stage 1 [0.2 again on 0@3 for its panes]"];
    check_steps(events, 2, &expected);
}

/// Intervals 0 and 1 computed at 1, the others at 2: worker 1 only maps for them.
fn moved_away(intervals: u64) -> Vec<TrackerEvent> {
    let mut events = computed(2);
    for interval in 2..intervals {
        events.extend(sealed(interval, &[(interval, &[1, 3])]));
        events.push(done_in(interval, 1, 0, 0));
        let mut attempt = 0;
        if interval == 2 {
            let task = TaskId { interval, stage: 1, partition: 0, attempt };
            events.push(TrackerEvent::Failed { worker: 1, task, why: TaskFailure::SinkSilent });
            attempt = 1;
        }
        events.push(done_in(interval, 2, 1, attempt));
    }
    events
}

#[test]
fn a_part_of_a_checkpoint_is_saved_by_a_worker_that_reaches_all_its_panes() {
    let mut events = computed(1);
    events.extend(sealed(1, &[(1, &[1, 3])]));
    let task = TaskId { interval: 1, stage: 1, partition: 0, attempt: 0 };
    events.extend([done_in(1, 1, 0, 0), TrackerEvent::Failed { worker: 1, task, why: TaskFailure::SinkSilent }]);
    // The panes of interval 0 are at worker 1, those of interval 1 at worker 2, and there is a cut between them.
    events.extend([TrackerEvent::Links { worker: 2, unreachable: [1].into() }, done_in(1, 2, 1, 1)]);
    check_windowed(events, 1, &["done 1", "3: save 1.0 through 1: 0@1 1@2"]);
}

#[test]
fn panes_made_again_elsewhere_outlive_the_worker_that_had_handed_in_their_result() {
    let visible = VisibleResult { interval: 0, output: "counts".to_owned(), partition: 0 };
    let mut events = computed(1);
    events.extend(sealed(1, &[(1, &[2, 3])]));
    let task = TaskId { interval: 1, stage: 1, partition: 0, attempt: 0 };
    let missing = NotFetched { panes_missing: vec![(0, 1)], ..NotFetched::default() };
    events
        .extend([done_in(1, 2, 0, 0), TrackerEvent::Failed { worker: 1, task, why: TaskFailure::NotFetched(missing) }]);
    let task = TaskId { interval: 0, stage: 1, partition: 0, attempt: 1 };
    events.extend([TrackerEvent::Failed { worker: 1, task, why: TaskFailure::SinkSilent }, done_in(0, 2, 1, 2)]);
    let expected = ["2: stage 1 [0.2 again for its panes]", "2: stage 1 [0.1 again on 0@2]"];
    check_windowed(events.clone(), 2, &expected);
    events.push(TrackerEvent::Lost { worker: 1, visible: vec![visible] });
    check_windowed(events, 1, &[]);
}

#[test]
fn lost_panes_that_only_a_checkpoint_still_wants_are_computed_again() {
    let mut events = moved_away(5);
    events.push(lost(1));
    // All that read the panes of intervals 0 and 1 are done; the checkpoint through 1 is not.
    check_windowed(events.clone(), 1, &["3: stage 0 [0.1 again]", "2: stage 0 [0.1 again]"]);
    events.extend([done_in(0, 3, 0, 1), done_in(1, 2, 0, 1)]);
    check_windowed(events.clone(), 1, &["2: stage 1 [0.1 again on 0@2 for its panes]"]);
    events.push(done_in(0, 2, 1, 1));
    check_windowed(events.clone(), 1, &[]);
    events.push(done_in(1, 2, 1, 1));
    check_windowed(events, 1, &["2: save 1.0 again through 1: 0@2 1@2"]);
}

#[test]
fn a_part_of_a_checkpoint_that_could_not_be_saved_is_ordered_again() {
    let mut events = computed(2);
    let failed = Some(NotFetched { panes_missing: vec![(0, 1)], ..NotFetched::default() });
    events.push(TrackerEvent::Saved { worker: 1, through: 1, stage: 1, partition: 0, attempt: 0, failed });
    // The panes of interval 0 are not where they should be: they are made again first.
    check_windowed(events.clone(), 1, &["1: stage 1 [0.1 again for its panes]"]);
    events.push(done_in(0, 1, 1, 1));
    check_windowed(events, 1, &["1: save 1.0 again through 1: 0@1 1@1"]);
}

/// As `windowed`, with an inverse: a window is the one before it, and values that enter and leave.
pub(in crate::master::tracker) fn with_inverse() -> Query {
    let mut query = windowed();
    let kept = |label: &str, back| Kept { label: label.to_owned(), rows: ROWS.to_owned(), back };
    query.stages[1].kept = vec![kept("values", 2..=2), kept("window", 1..=1)];
    query
}

/// The panes of interval 0 are missing where they are to be saved, and so is the block of which they were made.
fn block_0_given_up() -> [TrackerEvent; 3] {
    let failed = Some(NotFetched { panes_missing: vec![(0, 1)], ..NotFetched::default() });
    let saved = TrackerEvent::Saved { worker: 1, through: 1, stage: 1, partition: 0, attempt: 0, failed };
    let slices_gone = NotFetched { slices_missing: vec![1], ..NotFetched::default() };
    let task = TaskId { interval: 0, stage: 1, partition: 0, attempt: 1 };
    let why = TaskFailure::NotFetched(slices_gone);
    [saved, holders(0, &[]), TrackerEvent::Failed { worker: 1, task, why }]
}

#[test]
fn a_window_made_of_a_given_up_block_is_made_again_when_its_values_lack_it() {
    let mut events = computed(2);
    events.extend(block_0_given_up());
    let check = |events: &[TrackerEvent], expected: &[&str]| {
        check_query(&with_inverse(), &[1, 2, 3], events.to_vec(), 1, expected);
    };
    check(&events, &["give up b1.1.0", "1: stage 0 [0.1 again]"]);
    events.push(done_in(0, 1, 0, 1));
    check(&events, &["1: stage 1 [0.2 again for its panes]"]);
    events.push(done_in(0, 1, 1, 2));
    check(&events, &["1: stage 1 [0.1 again on 0@1 for its panes]"]);
    events.push(done_in(1, 1, 1, 1));
    check(&events, &["1: save 1.0 again through 1: 0@1 1@1"]);
}

#[test]
fn panes_of_before_a_block_was_given_up_do_not_count_though_their_interval_is_over() {
    // Worker 2 was lost when it had made interval 0; a checkpoint goes through interval 1.
    let block = BlockName { origin: 1, epoch: 1, number: 0 };
    let taken_over = |given_up: Vec<(BlockName, Option<u64>)>| {
        let checkpoints = vec![(1, vec![((1, 0), 5)])];
        let found = Snapshot { next: 2, below: 2, checkpoints, given_up, ..Snapshot::default() };
        let made = vec![Made { interval: 0, stage: 1, partition: 0, pane: Some(7) }];
        let mut events = vec![TrackerEvent::Recovered { term: 2, found, visible: Vec::new() }];
        events.extend([TrackerEvent::Held { worker: 2, made }, TrackerEvent::Resumed]);
        events.extend(sealed(2, &[(2, &[1, 3])]));
        events.push(done_in(2, 1, 0, 65536));
        events
    };
    let check = |given_up: &[(BlockName, Option<u64>)], expected: &str| {
        check_query(&with_inverse(), &[1, 2, 3], taken_over(given_up.to_vec()), 1, &[expected]);
    };
    check(&[], "2: stage 1 [0.65536 on 0@2@store1.5 1@store1.5]");
    check(&[(block, Some(0))], "1: stage 1 [0.65536 on 0@store1.5 1@store1.5]");
    check(&[(block, None)], "2: stage 1 [0.65536 on 0@2@store1.5 1@store1.5]");
}

#[test]
fn what_a_later_attempt_saved_is_read_whatever_an_earlier_one_still_writes() {
    let mut events = computed(2);
    events.extend([lost(1), done_in(0, 3, 0, 1), done_in(1, 2, 0, 1), done_in(0, 3, 1, 1), done_in(1, 3, 1, 1)]);
    check_windowed(events.clone(), 1, &["3: save 1.0 again through 1: 0@3 1@3"]);
    let by_3 = TrackerEvent::Saved { worker: 3, through: 1, stage: 1, partition: 0, attempt: 1, failed: None };
    events.extend([by_3, lost(3)]);
    events.extend(sealed(2, &[(2, &[2])]));
    events.push(done_in(2, 2, 0, 0));
    check_windowed(events, 1, &["2: stage 1 [0.0 on 0@store1.1 1@store1.1]"]);
}

#[test]
fn panes_that_nobody_can_fetch_are_made_again_elsewhere() {
    let cut = |worker| TrackerEvent::Links { worker, unreachable: [1].into() };
    let mut events = computed(1);
    events.extend(sealed(1, &[(1, &[2, 3])]));
    events.extend([cut(2), cut(3), done_in(1, 2, 0, 0)]);
    // Slices of both intervals, too, are out of reach of one another; block 0 has another copy.
    check_windowed(events, 1, &["3: stage 0 [0.1 again]"]);
}

#[test]
fn panes_that_nobody_can_fetch_and_that_are_being_made_again_are_waited_for() {
    let mut query = top_words();
    query.stages[1].kept = windowed().stages[1].kept.clone();
    let cut = |worker| TrackerEvent::Links { worker, unreachable: [1].into() };
    // What worker 1 reduced it can hand on to nobody: it is made again at 2, behind slices that 3 makes again.
    let mut events = reducing();
    events.extend([cut(2), cut(3), done(1, 1, 0), done(2, 1, 1), done_again(3, 0, 0)]);
    check_query(&query, &[1, 2, 3], events.clone(), 1, &["2: stage 1 [0.1 again]"]);
    // The next interval needs the panes of the same.
    events.extend(sealed(1, &[(2, &[3])]));
    events.push(done_in(1, 3, 0, 0));
    check_query(&query, &[1, 2, 3], events.clone(), 1, &["2: stage 1 [1.0 on 0@2]"]);
    events.push(done_again(2, 1, 0));
    check_query(&query, &[1, 2, 3], events, 1, &["3: stage 2 [0.0]", "2: stage 1 [0.0 on 0@2]"]);
}

/// As `windowed`, with changes and a segment for each interval instead of values.
fn in_place() -> Query {
    let mut query = windowed();
    let kept = |label: &str| Kept { label: label.to_owned(), rows: ROWS.to_owned(), back: 1..=2 };
    (query.stages[1].kept, query.stages[1].is_in_place) = (vec![kept("changes"), kept("segment")], true);
    query
}

#[test]
fn a_checkpoint_of_every_interval_writes_its_panes_alone_and_those_before_it_stay_while_they_are_read() {
    let limits = TrackerLimits { checkpoint_intervals: 1, ..LIMITS };
    let mut events = computed(4);
    (0..4).for_each(|interval| events.insert(interval as usize * 5 + 4, saved(1, interval)));
    let check = |events: &[TrackerEvent], steps, expected: &[&str]| {
        let events = events.iter().map(|event| (0, event.clone())).collect();
        check_limits(&in_place(), limits, &[1, 2, 3], events, steps, expected);
    };
    let written = ["done 3", "1: save 1.0 through 3: 3@1", "forget below 4, panes below 2, drop checkpoint 1"];
    check(&events, 2, &written);
    events.push(lost(1));
    events.extend(sealed(4, &[(4, &[3])]));
    events.push(done_in(4, 3, 0, 0));
    check(&events, 1, &["2: stage 1 [0.0 on 2@store2 3@store3]"]);
}

#[test]
fn all_that_came_of_a_state_is_made_again_when_it_lacks_a_block_however_far_it_is() {
    let mut events = computed(4);
    events.extend(block_0_given_up());
    events.extend([done_in(0, 1, 0, 1), done_in(0, 1, 1, 2)]);
    let again = [
        "1: stage 1 [0.1 again on 0@1 for its panes]",
        "1: stage 1 [0.1 again on 0@1 1@1 for its panes]",
        "1: stage 1 [0.1 again on 1@1 2@1 for its panes]",
    ];
    check_query(&in_place(), &[1, 2, 3], events.clone(), 1, &again);
    // The values of a window that have left it are in none that comes later.
    check_query(&with_inverse(), &[1, 2, 3], events, 1, &again[..2]);
}
