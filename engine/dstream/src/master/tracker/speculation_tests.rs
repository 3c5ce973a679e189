//! Second attempts: when there is one, where, which of the two counts, and what becomes of the other.

use super::tests::{self, check_limits, holders, id, lost, sealed, word_count};
use super::*;

/// Each worker has one core, and an attempt is slow after twice the usual time.
const LIMITS: TrackerLimits = TrackerLimits { speculation: Some(2.0), ..tests::LIMITS };

#[track_caller]
fn check(workers: &[u32], events: Vec<(u64, TrackerEvent)>, steps: usize, expected: &[&str]) {
    check_limits(&word_count(), LIMITS, workers, events, steps, expected);
}

fn done(worker: u32, stage: u32, partition: u32, attempt: u32) -> TrackerEvent {
    TrackerEvent::Done { worker, task: id(stage, partition, attempt) }
}

/// Two blocks, mapped at 1 and 2 from 0 ms; 1 is done at 100 ms. Block 1 lies at 2 and 3.
fn mapping() -> Vec<(u64, TrackerEvent)> {
    let sealed = sealed(0, &[(0, &[1, 3]), (1, &[2, 3])]).into_iter().map(|event| (0, event));
    sealed.chain([(100, done(1, 0, 0, 0))]).collect()
}

/// The map at 2 has a second attempt, at 3.
fn two_attempts() -> Vec<(u64, TrackerEvent)> {
    let mut events = mapping();
    events.push((200, TrackerEvent::Tick));
    events
}

#[test]
fn a_slow_attempt_gets_a_second_one_where_its_block_is_and_a_core_is_free() {
    let mut events = mapping();
    events.push((199, TrackerEvent::Tick));
    check(&[1, 2, 3], events, 1, &[]);
    check(&[1, 2, 3], two_attempts(), 1, &["3: stage 0 [1.1 again]"]);
    // Nobody has a free core but the slow one.
    check(&[2], two_attempts(), 1, &[]);
}

#[test]
fn the_first_that_is_done_counts_and_the_other_need_not_begin() {
    let mut events = two_attempts();
    events.push((210, done(3, 0, 1, 1)));
    check(&[1, 2, 3], events.clone(), 1, &["2: cancel 0/1.0", "1: stage 1 [0.0]", "3: stage 1 [1.0]"]);
    // What the slow one says at last changes nothing.
    events.push((900, done(2, 0, 1, 0)));
    check(&[1, 2, 3], events, 1, &[]);
    let mut events = two_attempts();
    events.push((210, done(2, 0, 1, 0)));
    check(&[1, 2, 3], events, 1, &["3: cancel 0/1.1", "1: stage 1 [0.0]", "2: stage 1 [1.0]"]);
}

#[test]
fn a_task_has_no_third_attempt_while_two_run() {
    let mut events = two_attempts();
    events.push((5000, TrackerEvent::Tick));
    check(&[1, 2, 3], events, 1, &[]);
}

#[test]
fn when_one_of_two_is_lost_or_fails_the_other_goes_on() {
    let failed = |worker: u32, attempt: u32| TrackerEvent::Failed {
        worker,
        task: id(0, 1, attempt),
        why: TaskFailure::NotFetched(NotFetched::default()),
    };
    for (end, rest) in [(lost(2), done(3, 0, 1, 1)), (lost(3), done(2, 0, 1, 0)), (failed(2, 0), done(3, 0, 1, 1))] {
        let mut events = two_attempts();
        events.extend([(210, end), (220, rest)]);
        let mut actions = Vec::new();
        let mut tracker = Tracker::new(&word_count(), LIMITS);
        for worker in [1, 2, 3] {
            tracker.step(Moment::ZERO, TrackerEvent::Joined(worker), &mut actions);
        }
        for (at_ms, event) in events {
            actions.clear();
            tracker.step(Moment::from_millis(at_ms), event, &mut actions);
        }
        let reduced = actions.iter().map(|action| match action {
            TrackerAction::Launch { launch, .. } if launch.stage == 1 => launch.tasks.len(),
            _ => 0,
        });
        assert_eq!(reduced.sum::<usize>(), 2, "both partitions are reduced: {actions:?}");
    }
}

#[test]
fn what_the_slower_one_made_is_fallen_back_on_when_the_other_is_lost_with_its_block() {
    let mut events = two_attempts();
    events.extend([(210, done(3, 0, 1, 1)), (220, done(2, 0, 1, 0)), (225, done(1, 1, 0, 0))]);
    events.extend([(230, holders(1, &[])), (240, lost(3))]);
    // Partition 1 was to be reduced at 3; its slices are at 1 and, of the slower attempt, at 2. Nothing is given up.
    check(&[1, 2, 3], events, 1, &["2: stage 1 [1.1 again]"]);
}

#[test]
fn an_overtaken_worker_is_avoided_for_a_while_if_that_is_wanted() {
    let limits = TrackerLimits { avoid_slow: Some(Duration::from_secs(10)), ..LIMITS };
    let mut events = two_attempts();
    events.push((210, done(3, 0, 1, 1)));
    events.extend([(220, done(1, 1, 0, 0)), (220, done(3, 1, 1, 0)), (220, done(2, 0, 1, 0))]);
    let next = |interval: u64| sealed(interval, &[(2, &[2])]);
    let soon: Vec<_> = events.iter().cloned().chain(next(1).into_iter().map(|event| (300, event))).collect();
    check_limits(&word_count(), limits, &[1, 2, 3], soon, 1, &["1: stage 0 [0.0]"]);
    let late: Vec<_> = events.into_iter().chain(next(1).into_iter().map(|event| (10_300, event))).collect();
    check_limits(&word_count(), limits, &[1, 2, 3], late, 1, &["2: stage 0 [0.0]"]);
}
