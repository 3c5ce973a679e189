//! What the stage tracker decides, event by event, for a word count: stage 0 maps blocks, stage 1 reduces.

use super::ends::MOST_BROKEN_ATTEMPTS;
use super::*;
use crate::master::ledger::Allotment;
use dstream_kernel::QueryBuilder;
use dstream_trace::RecordRange;

const PARTITIONS: u32 = 2;

/// Workers of one core; a checkpoint goes through every second interval.
pub(in crate::master) const LIMITS: TrackerLimits = TrackerLimits {
    partitions: PARTITIONS,
    cores: 1,
    checkpoint_intervals: 2,
    speculation: None,
    avoid_slow: None,
    placement: Placement::Free,
    recovery: Recovery::Eager,
    overlap: None,
};

pub(super) fn word_count() -> Query {
    let builder = QueryBuilder::new();
    let pairs = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    pairs.reduce_by_key(|a, b| a + b).output("counts");
    builder.build().unwrap()
}

fn block(number: u64) -> BlockName {
    BlockName { origin: 1, epoch: 1, number }
}

pub(super) fn sealed(interval: u64, blocks: &[(u64, &[u32])]) -> Vec<TrackerEvent> {
    let allotment = |(number, holders): &(u64, &[u32])| Allotment {
        order: BlockOrder { name: block(*number), holders: holders.to_vec(), skip: vec![], ranges: vec![] },
        ranges: vec![RecordRange { client: 1, first: *number * 10, last: *number * 10 + 9 }],
    };
    let blocks = blocks.iter().map(allotment).collect();
    vec![TrackerEvent::Sealed { interval, blocks }, TrackerEvent::Journalled { interval }]
}

pub(super) fn id(stage: u32, partition: u32, attempt: u32) -> TaskId {
    TaskId { interval: 0, stage, partition, attempt }
}

fn done(worker: u32, stage: u32, partition: u32) -> TrackerEvent {
    TrackerEvent::Done { worker, task: id(stage, partition, 0) }
}

fn done_again(worker: u32, stage: u32, partition: u32) -> TrackerEvent {
    TrackerEvent::Done { worker, task: id(stage, partition, 1) }
}

fn not_fetched(worker: u32, stage: u32, partition: u32, from: u32) -> TrackerEvent {
    TrackerEvent::Failed {
        worker,
        task: id(stage, partition, 0),
        why: TaskFailure::NotFetched(NotFetched { unreachable: vec![from], ..NotFetched::default() }),
    }
}

pub(super) fn holders(number: u64, holders: &[u32]) -> TrackerEvent {
    TrackerEvent::Holders { block: block(number), holders: holders.to_vec() }
}

pub(super) fn lost(worker: u32) -> TrackerEvent {
    TrackerEvent::Lost { worker, visible: vec![] }
}

fn task_word(task: &TaskOrder) -> String {
    let again = if task.again { " again" } else { "" };
    let past: Vec<String> = task.past.iter().map(pane_word).collect();
    let past = if past.is_empty() { String::new() } else { format!(" on {}", past.join(" ")) };
    let panes_only = if task.commits { "" } else { " for its panes" };
    format!("{}.{}{again}{past}{panes_only}", task.partition, task.attempt)
}

fn pane_word(pane: &PaneSource) -> String {
    let worker = pane.worker.map(|worker| format!("@{worker}")).unwrap_or_default();
    let stored = |stored: Stored| match stored.attempt {
        0 => format!("@store{}", stored.through),
        attempt => format!("@store{}.{attempt}", stored.through),
    };
    let checkpoint = pane.checkpoint.map(stored).unwrap_or_default();
    format!("{}{worker}{checkpoint}", pane.interval)
}

fn word(action: &TrackerAction) -> Option<String> {
    Some(match action {
        TrackerAction::Launch { worker, launch } => {
            let tasks: Vec<String> = launch.tasks.iter().map(task_word).collect();
            let lost = launch.sources.iter().filter(|source| source.worker.is_none());
            let lost: String = lost.map(|source| format!(", slices of {} lost", source.partition)).collect();
            format!("{worker}: stage {} [{}]{lost}", launch.stage, tasks.join(", "))
        }
        TrackerAction::Save { worker, save } => {
            let panes: Vec<String> = save.panes.iter().map(pane_word).collect();
            let (again, panes) = (if save.attempt > 0 { " again" } else { "" }, panes.join(" "));
            format!("{worker}: save {}.{}{again} through {}: {panes}", save.stage, save.partition, save.through)
        }
        TrackerAction::Checkpointed(Checkpointed { below, panes_below, over, .. }) => {
            let over: Vec<String> = over.iter().map(|through| format!(", drop checkpoint {through}")).collect();
            format!("forget below {below}, panes below {panes_below}{}", over.concat())
        }
        TrackerAction::LetsGo(worker) => format!("lets {worker} go"),
        TrackerAction::Cancel { worker, task } => {
            format!("{worker}: cancel {}/{}.{}", task.stage, task.partition, task.attempt)
        }
        TrackerAction::IntervalDone(interval) => format!("done {interval}"),
        TrackerAction::GiveUp(given_up) => format!("give up {}", given_up.block),
        TrackerAction::Fatal(_) => "fatal".to_owned(),
        TrackerAction::Record(_) => return None,
    })
}

/// Stage 0 maps blocks, stage 1 reduces, stage 2 puts the greatest of all partitions together.
fn top_words() -> Query {
    let builder = QueryBuilder::new();
    let pairs = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    pairs.reduce_by_key(|a, b| a + b).top_k(2).output("top");
    builder.build().unwrap()
}

/// Joins `workers`, feeds the events and compares the launches and decisions of the last `steps`.
fn check(workers: &[u32], events: Vec<TrackerEvent>, steps: usize, expected: &[&str]) {
    check_query(&word_count(), workers, events, steps, expected);
}

fn check_query(query: &Query, workers: &[u32], events: Vec<TrackerEvent>, steps: usize, expected: &[&str]) {
    check_limits(query, LIMITS, workers, events.into_iter().map(|event| (0, event)).collect(), steps, expected);
}

/// How many attempts run at each member.
fn attempts_running(tracker: &Tracker) -> BTreeMap<u32, usize> {
    let mut counts: BTreeMap<u32, usize> = tracker.workers.running.keys().map(|worker| (*worker, 0)).collect();
    let tasks = tracker.runs.values().flat_map(|run| &run.stages).flatten();
    for (_, worker) in tasks.flat_map(Task::running) {
        counts.entry(worker).and_modify(|count| *count += 1);
    }
    counts
}

/// The same, each event at its time in milliseconds.
pub(super) fn check_limits(
    query: &Query,
    limits: TrackerLimits,
    workers: &[u32],
    events: Vec<(u64, TrackerEvent)>,
    steps: usize,
    expected: &[&str],
) {
    let mut tracker = Tracker::new(query, limits);
    let mut actions = Vec::new();
    for worker in workers {
        tracker.step(Moment::ZERO, TrackerEvent::Joined(*worker), &mut actions);
    }
    let before = events.len() - steps;
    for (index, (at_ms, event)) in events.into_iter().enumerate() {
        if index == before {
            actions.clear();
        }
        let before = actions.len();
        tracker.step(Moment::from_millis(at_ms), event, &mut actions);
        // What is given up is written down at once.
        let given_up = actions[before..].iter().filter_map(|action| match action {
            TrackerAction::GiveUp(GivenUp { interval, .. }) => *interval,
            _ => None,
        });
        for interval in given_up.collect::<BTreeSet<u64>>() {
            tracker.step(Moment::from_millis(at_ms), TrackerEvent::Journalled { interval }, &mut actions);
        }
        assert_eq!(tracker.workers.running, attempts_running(&tracker), "places that are counted for no attempt");
    }
    let seen: Vec<String> = actions.iter().filter_map(word).collect();
    assert_eq!(seen, expected);
}

/// Sealed with two blocks; both maps are done at their holders 1 and 2, so that the reduces run at 1 and 2.
fn reducing() -> Vec<TrackerEvent> {
    let mut events = sealed(0, &[(0, &[1, 3]), (1, &[2, 3])]);
    events.extend([done(1, 0, 0), done(2, 0, 1)]);
    events
}

#[test]
fn free_cores_take_the_blocks_beside_them_before_those_of_others() {
    let events = sealed(0, &[(0, &[1]), (1, &[1]), (2, &[2]), (3, &[2])]);
    check(&[1, 2], events, 1, &["1: stage 0 [0.0, 1.0]", "2: stage 0 [2.0, 3.0]"]);
}

#[test]
fn what_was_made_of_a_given_up_block_is_made_again_before_a_result_is() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([done(1, 0, 0), done(2, 0, 1), done(2, 1, 1), holders(0, &[]), lost(1)]);
    check_query(&top_words(), &[1, 2], events.clone(), 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
    // What the first attempt says once more is of no use; both partitions are reduced again.
    events.extend([done(2, 1, 1), done_again(2, 0, 0)]);
    check_query(&top_words(), &[1, 2], events.clone(), 2, &["2: stage 1 [0.1 again, 1.1 again]"]);
    events.extend([done_again(2, 1, 0), done_again(2, 1, 1)]);
    check_query(&top_words(), &[1, 2], events, 2, &["2: stage 2 [0.0]"]);
}

#[test]
fn who_leaves_gets_no_task_and_goes_when_its_slices_are_read() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([TrackerEvent::Leaving(1), TrackerEvent::MayLeave(1), done(1, 0, 0), done(2, 0, 1)]);
    let at_two = ["2: stage 1 [0.0, 1.0]"];
    check(&[1, 2], events.clone(), 3, &at_two);
    events.push(TrackerEvent::MayLeave(1));
    check(&[1, 2], events.clone(), 4, &at_two);
    events.extend([done(2, 1, 0), done(2, 1, 1), TrackerEvent::MayLeave(1)]);
    check(&[1, 2], events, 3, &["done 0", "lets 1 go"]);
}

#[test]
fn who_asked_to_leave_before_it_joined_again_gets_no_task() {
    let mut events = vec![TrackerEvent::Fencing(1), lost(1), TrackerEvent::Leaving(1), TrackerEvent::Joined(1)];
    events.extend(sealed(0, &[(0, &[1, 2])]));
    check(&[1, 2], events, 5, &["2: stage 0 [0.0]"]);
}

#[test]
fn who_stays_after_all_gets_tasks_again() {
    let mut events = vec![TrackerEvent::Leaving(1), TrackerEvent::Stays(1), TrackerEvent::MayLeave(1)];
    events.extend(sealed(0, &[(0, &[1])]));
    check(&[1, 2], events, 3, &["1: stage 0 [0.0]"]);
}

#[test]
fn nothing_runs_before_the_input_is_journalled() {
    let mut events = sealed(0, &[(0, &[1])]);
    events.pop();
    check(&[1], events, 1, &[]);
}

#[test]
fn blocks_are_mapped_where_they_lie_then_reduced_and_done_once() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    check(&[1, 2], events.clone(), 1, &["1: stage 0 [0.0]", "2: stage 0 [1.0]"]);
    events.extend([done(1, 0, 0), done(2, 0, 1), done(1, 1, 0), done(2, 1, 1), done(2, 1, 1)]);
    check(&[1, 2], events, 4, &["1: stage 1 [0.0]", "2: stage 1 [1.0]", "done 0"]);
}

#[test]
fn an_empty_interval_has_results_too() {
    let mut events = sealed(0, &[]);
    events.push(done(1, 0, 0));
    check(&[1], events, 2, &["1: stage 0 [0.0]", "1: stage 1 [0.0, 1.0]"]);
}

#[test]
fn a_loss_makes_again_what_ran_there_and_the_slices_that_are_still_needed() {
    let mut events = reducing();
    events.push(lost(1));
    // Block 0 is mapped again at its other holder; nothing is reduced before its slices are there.
    check(&[1, 2, 3], events.clone(), 1, &["3: stage 0 [0.1 again]"]);
    events.push(done_again(3, 0, 0));
    check(&[1, 2, 3], events, 1, &["3: stage 1 [0.1 again]"]);
}

#[test]
fn slices_that_nobody_needs_any_more_are_not_made_again() {
    let mut events = reducing();
    events.extend([done(1, 1, 0), done(2, 1, 1), lost(1)]);
    check(&[1, 2, 3], events, 1, &[]);
}

#[test]
fn slices_that_one_worker_cannot_fetch_are_fetched_by_another() {
    let mut events = reducing();
    events.push(not_fetched(1, 1, 0, 2));
    check(&[1, 2, 3], events, 1, &["3: stage 1 [0.1 again]"]);
}

#[test]
fn slices_that_nobody_can_fetch_are_made_again_elsewhere() {
    let cut = |worker| TrackerEvent::Links { worker, unreachable: [1].into() };
    let mut events = sealed(0, &[(0, &[1, 3]), (1, &[2, 3])]);
    // Worker 1 loses its connections after it has mapped block 0; only block 1 is still being mapped.
    events.extend([done(1, 0, 0), cut(2), cut(3), done(2, 0, 1)]);
    check(&[1, 2, 3], events, 1, &["3: stage 0 [0.1 again]"]);
}

#[test]
fn slices_that_nobody_can_fetch_are_waited_for_where_their_block_is_gone() {
    let links = |worker, unreachable: &[u32]| {
        let unreachable = unreachable.iter().copied().collect();
        TrackerEvent::Links { worker, unreachable }
    };
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([done(1, 0, 0), links(2, &[1]), links(3, &[1]), holders(0, &[]), done(2, 0, 1)]);
    check(&[1, 2, 3], events.clone(), 1, &[]);
    events.push(links(2, &[]));
    check(&[1, 2, 3], events.clone(), 1, &["1: stage 1 [0.0]", "2: stage 1 [1.0]"]);
    *events.last_mut().unwrap() = lost(1);
    check(&[1, 2, 3], events, 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
}

#[test]
fn slices_of_a_block_that_only_a_lost_worker_had_are_not_made_again_anywhere() {
    // Worker 3 maps block 0, worker 2 block 1, and they lose their connection; 1, which reaches both, is full.
    let mut events = sealed(0, &[(0, &[1, 3]), (1, &[2])]);
    events.push(TrackerEvent::Joined(1));
    events.extend(sealed(1, &[(5, &[1]), (6, &[1])]));
    events.extend([TrackerEvent::Links { worker: 2, unreachable: [3].into() }, done(3, 0, 0), done(2, 0, 1)]);
    events.extend([holders(0, &[1]), TrackerEvent::Fencing(1)]);
    check(&[2, 3], events, 1, &[]);
}

#[test]
fn a_block_without_holders_is_given_up_when_it_has_to_be_read() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([holders(0, &[]), lost(1)]);
    check(&[1, 2], events, 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
}

#[test]
fn a_block_without_holders_is_not_given_up_while_its_slices_are_there() {
    let mut events = sealed(0, &[(0, &[2]), (1, &[2])]);
    events.extend([done(2, 0, 0), holders(0, &[])]);
    check(&[1, 2], events, 1, &[]);
}

#[test]
fn a_block_without_holders_is_not_given_up_while_a_task_may_have_its_slices() {
    let mut events = reducing();
    events.extend([holders(0, &[]), lost(1)]);
    check(&[1, 2], events.clone(), 1, &[]);
    events.push(not_fetched(2, 1, 1, 1));
    check(&[1, 2], events, 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
}

#[test]
fn a_worker_gets_two_tasks_a_core_and_the_next_when_one_is_done() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[1]), (2, &[1])]);
    check(&[1], events.clone(), 1, &["1: stage 0 [0.0, 1.0]"]);
    events.push(done(1, 0, 0));
    check(&[1], events, 1, &["1: stage 0 [2.0]"]);
}

#[test]
fn a_task_that_keeps_breaking_stops_the_run() {
    let broken = |attempt| TrackerEvent::Failed {
        worker: 1,
        task: id(0, 0, attempt),
        why: TaskFailure::Broken("it panicked".to_owned()),
    };
    let mut events = sealed(0, &[(0, &[1])]);
    events.extend((0..MOST_BROKEN_ATTEMPTS).map(broken));
    check(&[1], events, 1, &["fatal", "1: stage 0 [0.4 again]"]);
}

#[test]
fn a_new_connection_is_given_its_running_tasks_again() {
    let mut events = sealed(0, &[(0, &[1])]);
    events.push(TrackerEvent::Reconnected(1));
    check(&[1], events, 1, &["1: stage 0 [0.0]"]);
}

#[test]
fn a_task_that_is_given_again_is_told_of_slices_that_are_lost() {
    let mut events = reducing();
    events.extend([lost(2), TrackerEvent::Reconnected(1)]);
    check(&[1, 2, 3], events, 1, &["1: stage 1 [0.0], slices of 1 lost"]);
}

#[test]
fn results_that_a_lost_worker_had_handed_in_are_not_computed_again() {
    let visible = |partition| VisibleResult { interval: 0, output: "counts".to_owned(), partition };
    let mut events = reducing();
    events.push(done(2, 1, 1));
    events.push(TrackerEvent::Lost { worker: 1, visible: vec![visible(0)] });
    check(&[1, 2, 3], events, 1, &["done 0"]);
}

#[test]
fn slices_that_are_not_where_they_should_be_are_made_again() {
    let mut events = reducing();
    let why = TaskFailure::NotFetched(NotFetched { slices_missing: vec![2], ..NotFetched::default() });
    events.push(TrackerEvent::Failed { worker: 1, task: id(1, 0, 0), why });
    check(&[1, 2, 3], events, 1, &["3: stage 0 [1.1 again]"]);
}

#[test]
fn an_interval_that_ends_early_frees_the_places_of_what_still_runs_for_it() {
    let visible = |partition| VisibleResult { interval: 0, output: "counts".to_owned(), partition };
    // Both results of the lost worker 1 are visible while block 0 is being mapped again at worker 2.
    let mut events = sealed(0, &[(0, &[1, 2])]);
    events.extend([done(1, 0, 0), not_fetched(1, 1, 0, 9), lost(3)]);
    events.push(TrackerEvent::Lost { worker: 1, visible: vec![visible(0), visible(1)] });
    let mut next = sealed(1, &[(1, &[2]), (2, &[2])]);
    events.append(&mut next);
    check(&[1, 2], events, 2, &["2: stage 0 [0.0, 1.0]"]);
}

#[test]
fn nothing_is_given_up_before_the_sink_has_said_what_the_lost_worker_handed_in() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([TrackerEvent::Fencing(1), holders(0, &[]), TrackerEvent::OrphansKnown]);
    check(&[1, 2], events.clone(), 3, &[]);
    events.push(lost(1));
    check(&[1, 2], events, 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
}

#[test]
fn nothing_is_given_up_before_all_have_said_what_they_hold_of_it() {
    let mut events = sealed(0, &[(0, &[1]), (1, &[2])]);
    events.extend([TrackerEvent::Fencing(1), holders(0, &[]), lost(1)]);
    check(&[1, 2], events.clone(), 3, &[]);
    // Worker 2 has a copy of which nobody had heard; or nobody has one.
    let copy = [holders(0, &[2]), TrackerEvent::OrphansKnown];
    check(&[1, 2], [&events[..], &copy].concat(), 2, &["2: stage 0 [0.1 again]"]);
    events.push(TrackerEvent::OrphansKnown);
    check(&[1, 2], events, 1, &["give up b1.1.0", "2: stage 0 [0.1 again]"]);
}

/// Worker 1 has taken a millisecond for a task of interval 0, which had these blocks; three others without any wait behind
/// it, and one with many blocks.
fn piled_up(first: &[(u64, &[u32])]) -> Vec<TrackerEvent> {
    let mut events = sealed(0, first);
    events.push(TrackerEvent::Took { task: id(0, 0, 0), core_time: Duration::from_millis(1) });
    events.extend((1..=3).flat_map(|interval| sealed(interval, &[])));
    let many: Vec<(u64, &[u32])> = (10..14).map(|number| (number, &[1][..])).collect();
    events.extend(sealed(4, &many));
    events.push(done(1, 0, 0));
    events
}

#[test]
fn how_long_a_task_without_input_takes_tells_nothing_of_those_that_read_blocks() {
    check(&[1], piled_up(&[]), 3, &["1: stage 1 [0.0]"]);
    check(&[1], piled_up(&[(0, &[1])]), 3, &["1: stage 0 [0.0, 1.0, 2.0, 3.0]", "1: stage 1 [0.0, 1.0]"]);
}

mod demand;
pub(super) mod panes;
