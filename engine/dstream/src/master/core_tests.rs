//! The master's core as a whole: how long a new one waits for workers, and who waits to be called.

use super::core::{Master, MasterAction, MasterEvent, MasterLimits};
use super::journal::{Entry, Snapshot};
use super::ledger::LedgerLimits;
use super::tracker::TrackerLimits;
use super::tracker::tests::LIMITS;
use crate::cores::PlainCores;
use crate::message::{BlockReport, Member, ToMaster, ToWorker};
use crate::options::{Input, Placement};
use dstream_cluster::core::Core;
use dstream_cluster::message::ToClient;
use dstream_kernel::QueryBuilder;
use dstream_trace::{BlockName, Event, Moment, RecordRange};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(500);
const BEAT_MS: u64 = 100;

fn limits(workers: u32, spares: u32) -> MasterLimits {
    let ledger = LedgerLimits {
        copies: 2,
        input: Input::Memory,
        interval: Duration::from_secs(1),
        slack: Duration::ZERO,
        origin: Moment::ZERO,
        patience: TIMEOUT,
        placement: Placement::Free,
    };
    let tracker = TrackerLimits { partitions: 1, ..LIMITS };
    let heartbeat = Duration::from_millis(BEAT_MS);
    MasterLimits {
        ledger,
        heartbeat,
        failure_timeout: TIMEOUT,
        tracker,
        workers,
        spares,
        throttled_clients: None,
        awaits_writing: false,
    }
}

/// A master with its workers, whose journal writes at once.
struct Stage {
    master: Master,
    epochs: BTreeMap<u32, u64>,
    now_ms: u64,
    /// What the sink has yet to answer, where it does not at once.
    fences: Option<Vec<Member>>,
}

impl Stage {
    fn new(limits: MasterLimits, term: u64) -> Stage {
        Stage::behind(limits, term, Snapshot::default())
    }

    /// Earlier masters' journal says this.
    fn behind(limits: MasterLimits, term: u64, found: Snapshot) -> Stage {
        let builder = QueryBuilder::new();
        builder.lines().output("lines");
        let query = builder.build().expect("a query of one output");
        let master = Master::new(limits, &query, &PlainCores);
        let mut stage = Stage { master, epochs: BTreeMap::new(), now_ms: 0, fences: None };
        stage.step(MasterEvent::Elected { term, found, logged: Vec::new(), visible: Vec::new() });
        stage
    }

    fn step(&mut self, event: MasterEvent) -> Vec<MasterAction> {
        let now = Moment::from_millis(self.now_ms);
        let (mut all, mut events) = (Vec::new(), vec![event]);
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.master.step(now, event, &mut actions);
            let written: Vec<Entry> = actions
                .iter()
                .filter_map(|action| match action {
                    MasterAction::Journal(entry) => Some(entry.clone()),
                    _ => None,
                })
                .collect();
            events.extend((!written.is_empty()).then_some(MasterEvent::Written(written)));
            for action in &actions {
                let MasterAction::Fence { member, .. } = action else { continue };
                match &mut self.fences {
                    Some(waiting) => waiting.push(*member),
                    None => events.push(fenced(*member)),
                }
            }
            for action in &actions {
                if let MasterAction::Tell { worker, word: ToWorker::Welcome { epoch, .. } } = action {
                    self.epochs.insert(*worker, *epoch);
                }
            }
            all.extend(actions);
        }
        all
    }

    fn says(&mut self, worker: u32, word: ToMaster) -> Vec<MasterAction> {
        self.step(MasterEvent::Word { worker, incarnation: 1, word })
    }

    fn joins(&mut self, worker: u32) -> Vec<MasterAction> {
        self.joins_as(worker, 1)
    }

    fn joins_as(&mut self, worker: u32, incarnation: u64) -> Vec<MasterAction> {
        let word = ToMaster::Join { incarnation, epoch: None, blocks: Vec::new(), made: Vec::new() };
        self.step(MasterEvent::Word { worker, incarnation, word })
    }

    /// All has come that belongs to intervals below this one.
    fn has_closed(&mut self, worker: u32, closed_below: u64) {
        let epoch = self.epochs[&worker];
        self.says(worker, ToMaster::Announce { epoch, blocks: Vec::new(), closed_below });
    }

    fn beats(&mut self, worker: u32, unreachable: &[u32]) -> Vec<MasterAction> {
        let epoch = self.epochs[&worker];
        self.says(worker, ToMaster::Heartbeat { epoch, sent_ns: 0, unreachable: unreachable.to_vec() })
    }
}

fn fenced(member: Member) -> MasterEvent {
    MasterEvent::Fenced { member, visible: Vec::new() }
}

/// Of `workers` these have come at once and lack connections with those; when the second master goes on.
#[track_caller]
fn check_resumed(workers: u32, come: &[(u32, &[u32])], expected_ms: u64) {
    check_resumed_of(limits(workers, 0), come, expected_ms);
}

#[track_caller]
fn check_resumed_of(limits: MasterLimits, come: &[(u32, &[u32])], expected_ms: u64) {
    let goes_on = |action: &MasterAction| matches!(action, MasterAction::TellClients(ToClient::Members(_)));
    let mut stage = Stage::new(limits, 2);
    for (worker, _) in come {
        if stage.joins(*worker).iter().any(goes_on) {
            assert_eq!(0, expected_ms);
            return;
        }
    }
    loop {
        stage.now_ms += BEAT_MS;
        let beats: Vec<MasterAction> = come.iter().flat_map(|(worker, lacks)| stage.beats(*worker, lacks)).collect();
        let ticked = stage.step(MasterEvent::Tick);
        if beats.iter().chain(&ticked).any(goes_on) {
            assert_eq!(stage.now_ms, expected_ms, "{come:?}");
            return;
        }
        assert!(stage.now_ms < 10_000, "it never goes on");
    }
}

#[test]
fn a_new_master_waits_less_for_whom_most_workers_do_not_reach() {
    check_resumed(3, &[(1, &[]), (2, &[]), (3, &[])], 0);
    check_resumed(3, &[(1, &[3]), (2, &[3])], 500);
    check_resumed(5, &[(1, &[3, 5]), (2, &[3, 5]), (4, &[3, 5])], 500);
    // One of them reaches it: it may have a dead connection with the master alone.
    check_resumed(3, &[(1, &[3]), (2, &[])], 1500);
    check_resumed(5, &[(1, &[3, 5]), (2, &[3, 5]), (4, &[3])], 1500);
    // Most have not come: those who have may be the ones that are cut off.
    let half: &[(u32, &[u32])] = &[(1, &[3, 4]), (2, &[3, 4])];
    check_resumed(4, half, 1500);
    // That loses nothing where what the others have is elsewhere as well.
    let mut logs = limits(4, 0);
    logs.ledger.input = Input::Log;
    check_resumed_of(logs.clone(), half, 500);
    check_resumed_of(MasterLimits { workers: 5, ..logs }, &[(1, &[3, 4, 5]), (2, &[3, 4, 5])], 1500);
}

fn words_to(worker: u32, actions: &[MasterAction]) -> Vec<&'static str> {
    let word = |action: &MasterAction| match action {
        MasterAction::Tell { worker: to, word } if *to == worker => match word {
            ToWorker::Wait => Some("wait"),
            ToWorker::Welcome { .. } => Some("welcome"),
            _ => None,
        },
        _ => None,
    };
    actions.iter().filter_map(word).collect()
}

#[test]
fn the_last_workers_wait_and_replace_whoever_is_lost_once_all_who_work_have_come() {
    let mut stage = Stage::new(limits(4, 2), 1);
    assert_eq!(words_to(3, &stage.joins(3)), ["wait"]);
    assert_eq!(words_to(1, &stage.joins(1)), ["welcome"]);
    assert_eq!(words_to(2, &stage.joins(2)), ["welcome"]);
    assert_eq!(words_to(4, &stage.joins(4)), ["wait"]);
    let members: Vec<Member> = stage.master.takers().collect();
    assert_eq!(members.iter().map(|member| member.worker).collect::<Vec<_>>(), [1, 2]);
    // Nothing is done yet. Its connection broke, and it did not come again: the next is called.
    stage.step(MasterEvent::WorkerBroken(3));
    let mut seen = Vec::new();
    for _ in 0..20 {
        stage.now_ms += BEAT_MS;
        seen.extend(stage.beats(1, &[]));
        if stage.epochs.contains_key(&4) {
            seen.extend(stage.beats(4, &[]));
        }
        seen.extend(stage.step(MasterEvent::Tick));
    }
    let called = seen.iter().any(|action| matches!(action, MasterAction::Record(Event::WorkerCalled { .. })));
    assert_eq!((called, words_to(4, &seen)), (true, vec!["welcome"]));
    assert_eq!(words_to(3, &stage.joins(3)), ["wait"]);
}

#[test]
fn who_waits_replaces_whoever_does_not_come_to_a_new_master() {
    // Nothing is done yet. Of the three who worked two died with the master, or before it: as many are called.
    for lost in [vec![], vec![3]] {
        let found = Snapshot { left: [4, 5, 6].into(), lost: lost.into_iter().collect(), ..Snapshot::default() };
        let mut stage = Stage::behind(limits(6, 3), 2, found);
        (4..=6).for_each(|worker| assert_eq!(words_to(worker, &stage.joins(worker)), ["wait"]));
        stage.joins(1);
        for _ in 0..20 {
            stage.now_ms += BEAT_MS;
            let come: Vec<u32> = stage.epochs.keys().copied().collect();
            come.into_iter().for_each(|worker| drop(stage.beats(worker, &[])));
            stage.step(MasterEvent::Tick);
        }
        assert_eq!(stage.epochs.keys().copied().collect::<Vec<_>>(), [1, 4, 5]);
    }
}

#[test]
fn nobody_is_called_for_one_that_has_just_started_again() {
    let mut stage = Stage::new(limits(3, 1), 1);
    (1..=3).for_each(|worker| drop(stage.joins(worker)));
    let actions = stage.joins_as(2, 2);
    assert_eq!((words_to(2, &actions), words_to(3, &actions)), (vec!["welcome"], vec![]));
}

#[test]
fn nothing_of_an_interval_is_forgotten_before_its_results_are_written_where_that_is_awaited() {
    // Of three intervals that are done so many are written, where it is awaited; so many are forgotten.
    for (awaits_writing, written, forgotten) in
        [(true, None, 0), (true, Some(2), 2), (true, Some(9), 3), (false, None, 3)]
    {
        let mut stage = Stage::new(MasterLimits { awaits_writing, ..limits(1, 0) }, 1);
        let master = &mut stage.master;
        let mut actions = Vec::new();
        if let Some(below) = written {
            master.results_written(Moment::ZERO, below, &mut actions);
        }
        for interval in 0..3 {
            master.interval_done(Moment::ZERO, interval, &mut actions);
        }
        assert_eq!(master.forgotten_below, forgotten, "{awaits_writing}, {written:?}");
        master.results_written(Moment::ZERO, 3, &mut actions);
        assert_eq!(master.forgotten_below, 3, "in the end all is");
    }
}

#[test]
fn who_asks_to_leave_while_its_last_life_is_fenced_leaves() {
    let mut stage = Stage::new(limits(3, 0), 1);
    (1..=3).for_each(|worker| drop(stage.joins(worker)));
    stage.fences = Some(Vec::new());
    stage.joins_as(3, 2);
    let asks = |stage: &mut Stage| {
        let epoch = stage.epochs[&3];
        let word = ToMaster::Leaving { epoch };
        stage.step(MasterEvent::Word { worker: 3, incarnation: 2, word })
    };
    asks(&mut stage);
    let waiting = stage.fences.take().expect("the sink was told to refuse its last life");
    assert_eq!(waiting.len(), 1);
    waiting.into_iter().for_each(|member| drop(stage.step(fenced(member))));
    stage.has_closed(3, 1);
    stage.beats(1, &[]);
    stage.beats(2, &[]);
    let left = |action: &MasterAction| matches!(action, MasterAction::Record(Event::WorkerLeft { .. }));
    assert!(asks(&mut stage).iter().any(left), "the tracker knows that it is to leave");
}

#[test]
fn nobody_leaves_by_what_others_said_before_the_master_stood_still() {
    // So long it stood still, and so long after that all say once more that they live: whether the third one may go.
    let leaves = |still_ms: u64, beats_after_ms: Option<u64>| {
        let mut stage = Stage::new(limits(3, 0), 1);
        (1..=3).for_each(|worker| drop(stage.joins(worker)));
        let asks = |stage: &mut Stage| {
            let epoch = stage.epochs[&3];
            let left = |action: &MasterAction| matches!(action, MasterAction::Record(Event::WorkerLeft { .. }));
            stage.says(3, ToMaster::Leaving { epoch }).iter().any(left)
        };
        asks(&mut stage);
        stage.has_closed(3, 1);
        stage.now_ms += still_ms;
        // What they said meanwhile has waited for it.
        (1..=2).for_each(|worker| drop(stage.beats(worker, &[])));
        if let Some(after_ms) = beats_after_ms {
            stage.now_ms += after_ms;
            (1..=2).for_each(|worker| drop(stage.beats(worker, &[])));
        }
        asks(&mut stage)
    };
    assert!(leaves(BEAT_MS, None));
    assert!(!leaves(4 * BEAT_MS, None));
    assert!(!leaves(4 * BEAT_MS, Some(BEAT_MS / 2)));
    assert!(leaves(4 * BEAT_MS, Some(BEAT_MS + 10)));
}

#[test]
fn what_is_given_up_lacks_no_copies_from_then_on() {
    let with_one_copy = LedgerLimits { copies: 1, ..limits(2, 0).ledger };
    let mut stage = Stage::new(MasterLimits { ledger: with_one_copy, ..limits(2, 0) }, 1);
    (1..=2).for_each(|worker| drop(stage.joins(worker)));
    let epoch = stage.epochs[&1];
    for _ in 0..10 {
        stage.now_ms += BEAT_MS;
        (1..=2).for_each(|worker| drop(stage.beats(worker, &[])));
    }
    // One is in an interval, one is not yet.
    let block = |interval| BlockReport {
        name: BlockName { origin: 1, epoch, number: interval },
        interval,
        ranges: vec![RecordRange { client: 1, first: interval * 10, last: interval * 10 + 9 }],
        bytes: 100,
        holders: vec![Member { worker: 1, epoch }],
    };
    stage.says(1, ToMaster::Announce { epoch, blocks: vec![block(0), block(1)], closed_below: 1 });
    stage.has_closed(2, 1);
    let mut said = stage.joins_as(1, 2);
    let orphans = ToMaster::Orphans { epoch: stage.epochs[&2], origin: 1, origin_epoch: epoch, blocks: Vec::new() };
    said.extend(stage.says(2, orphans));
    let given_up = |action: &MasterAction| matches!(action, MasterAction::Journal(Entry::GivenUp(_)));
    assert!(said.iter().any(given_up), "its only holder has begun anew");
    let mut lacking = said.iter().filter_map(|action| match action {
        MasterAction::Record(Event::CopiesBelow { blocks }) => Some(*blocks),
        _ => None,
    });
    assert_eq!(lacking.next_back(), Some(0));
}

#[test]
fn a_snapshot_written_behind_the_word_that_a_worker_is_back_does_not_say_that_it_is_lost() {
    let mut stage = Stage::new(limits(3, 0), 1);
    (1..=3).for_each(|worker| drop(stage.joins(worker)));
    for _ in 0..10 {
        stage.now_ms += BEAT_MS;
        (1..=2).for_each(|worker| drop(stage.beats(worker, &[])));
        stage.step(MasterEvent::Tick);
    }
    let lost = |stage: &mut Stage| stage.master.book.snapshot((0, 0), Vec::new()).lost;
    assert_eq!(lost(&mut stage), [3].into());
    let word = ToMaster::Join { incarnation: 1, epoch: None, blocks: Vec::new(), made: Vec::new() };
    let (now, mut actions) = (Moment::from_millis(stage.now_ms), Vec::new());
    stage.master.step(now, MasterEvent::Word { worker: 3, incarnation: 1, word }, &mut actions);
    assert_eq!(actions, [MasterAction::Journal(Entry::Back(3))], "it is a member when that is written");
    assert_eq!(lost(&mut stage), [].into());
    assert_eq!(words_to(3, &stage.step(MasterEvent::Written(vec![Entry::Back(3)]))), ["welcome"]);
}
