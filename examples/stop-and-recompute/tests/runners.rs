//! Laws of the runner's core, without a network: several runners at once, one log, any order of what happens.
//!
//! The log and the master are a few lines here. Whatever the order: who is told that records are held finds them in the log,
//! and two runners that compute an interval compute the same records.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use dstream::engine::message::Batch;
use dstream::engine::{Core, Moment, NodeName, RangeSet, RecordRange};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stop_and_recompute::history::Entry;
use stop_and_recompute::runner::{Limits, Runner, RunnerAction, RunnerEvent};

const RUNNERS: usize = 3;
const INTERVAL: Duration = Duration::from_millis(100);

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The master names a runner; the one before it may not know.
    Name(usize),
    /// A runner hears that its epoch is over.
    Over(usize),
    /// A client's records reach a runner.
    Send(usize, u64, u64),
    /// Store, master or cores answer what a runner asked for: the oldest question, or the newest.
    Answer(usize, bool),
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..RUNNERS;
    prop_oneof![
        1 => who.clone().prop_map(Step::Name),
        1 => who.clone().prop_map(Step::Over),
        4 => (who.clone(), 0u64..60, 0u64..5).prop_map(|(who, first, more)| Step::Send(who, first, more)),
        12 => (who, any::<bool>()).prop_map(|(who, oldest)| Step::Answer(who, oldest)),
        3 => (1u64..80).prop_map(Step::Wait),
    ]
}

/// Runners, and everything around them.
struct World {
    now: Moment,
    runners: Vec<Runner>,
    asked: Vec<VecDeque<RunnerAction>>,
    log: BTreeMap<u64, (Entry, Bytes)>,
    term: u64,
    sealed: Vec<Vec<RecordRange>>,
    acked: RangeSet,
    /// interval -> its records, as whoever computed it first had them
    computed: BTreeMap<u64, Vec<RecordRange>>,
}

impl World {
    fn new() -> World {
        let limits = |worker| Limits {
            worker,
            partitions: 2,
            block: Duration::from_millis(30),
            origin: Moment::ZERO,
            interval: INTERVAL,
            clients: vec![NodeName::client(1)],
        };
        World {
            now: Moment::ZERO,
            runners: (1..=RUNNERS as u32).map(|worker| Runner::new(limits(worker))).collect(),
            asked: vec![VecDeque::new(); RUNNERS],
            log: BTreeMap::new(),
            term: 0,
            sealed: Vec::new(),
            acked: RangeSet::new(),
            computed: BTreeMap::new(),
        }
    }

    fn tell(&mut self, who: usize, event: RunnerEvent) {
        let mut actions = Vec::new();
        self.runners[who].step(self.now, event, &mut actions);
        for action in actions {
            match action {
                RunnerAction::Acknowledge(ranges) => self.acknowledge(&ranges),
                RunnerAction::Record(_) | RunnerAction::Known(..) => {}
                RunnerAction::Begin { .. } | RunnerAction::Redial(_) => {}
                question => self.asked[who].push_back(question),
            }
        }
    }

    fn acknowledge(&mut self, ranges: &[RecordRange]) {
        let held: RangeSet = self.log.values().flat_map(|(entry, _)| entry.ranges()).collect();
        for range in ranges {
            assert_eq!(held.gaps(*range), vec![], "acknowledged, and not in the log");
            self.acked.insert(*range);
        }
    }

    fn answer(&mut self, who: usize, oldest: bool) -> bool {
        let question = if oldest { self.asked[who].pop_front() } else { self.asked[who].pop_back() };
        let Some(question) = question else { return false };
        let answer = match question {
            RunnerAction::Read { term, number } => {
                RunnerEvent::Read { term, number, entry: self.log.get(&number).cloned() }
            }
            RunnerAction::Write { term, number, entry, body } => match self.log.contains_key(&number) {
                true => RunnerEvent::Taken { term },
                false => {
                    self.log.insert(number, (entry, body.concat().into()));
                    RunnerEvent::Written { term }
                }
            },
            RunnerAction::Seal { interval, ranges, .. } => {
                if interval == self.sealed.len() as u64 {
                    self.sealed.push(ranges.clone());
                }
                if let Some(known) = self.sealed.get(interval as usize) {
                    assert_eq!(*known, ranges, "interval {interval} is read in two ways");
                }
                RunnerEvent::Sealed(self.sealed.len() as u64)
            }
            RunnerAction::Compute { term, input, .. } => {
                let interval = input.interval;
                assert!(interval < self.sealed.len() as u64, "computed before it is sealed");
                let first = self.computed.entry(interval).or_insert_with(|| input.ranges.clone());
                assert_eq!(*first, input.ranges, "interval {interval} is computed in two ways");
                RunnerEvent::Computed { term, interval }
            }
            other => panic!("no question: {other:?}"),
        };
        self.tell(who, answer);
        true
    }

    fn name(&mut self, who: usize) {
        self.term += 1;
        let (term, epoch, sealed_below) = (self.term, self.term, self.sealed.len() as u64);
        self.tell(who, RunnerEvent::Named { term, epoch, sealed_below });
    }

    fn send(&mut self, who: usize, first: u64, more: u64) {
        let range = RecordRange { client: 1, first, last: first + more };
        let interval = self.now.0 / INTERVAL.as_nanos() as u64;
        let lines = Bytes::from("x\n".repeat(more as usize + 1));
        self.tell(who, RunnerEvent::Batch(Batch { range, interval }, lines));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Name(who) => self.name(who),
            Step::Over(who) => self.tell(who, RunnerEvent::Over),
            Step::Send(who, first, more) => self.send(who, first, more),
            Step::Answer(who, oldest) => drop(self.answer(who, oldest)),
            Step::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                (0..RUNNERS).for_each(|who| self.tell(who, RunnerEvent::Tick));
            }
        }
    }

    /// A last runner has all the time that it needs.
    fn calm(&mut self) {
        self.name(0);
        self.send(0, 100, 0);
        for _ in 0..20 {
            while (0..RUNNERS).any(|who| self.answer(who, true)) {}
            self.take(Step::Wait(50));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whoever_runs_and_however_often_the_log_decides(steps in prop::collection::vec(step(), 0..300)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.calm();
        // The last runner goes on: everything acknowledged is in an interval, once.
        let mut allotted = RangeSet::new();
        for range in world.computed.values().flatten() {
            prop_assert_eq!(allotted.insert(*range), vec![]);
        }
        for range in world.acked.iter() {
            prop_assert_eq!(allotted.gaps(range), vec![]);
        }
        prop_assert!(world.acked.contains(1, 100), "the last runner does not go on");
        prop_assert_eq!(world.computed.len(), world.sealed.len());
    }
}
