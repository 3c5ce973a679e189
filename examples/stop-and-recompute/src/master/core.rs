//! The master's core: names one runner at a time.
//!
//! Knows no records. Invariants: terms grow; an interval is sealed once, whoever reads it in the log; a runner is
//! named only after the sink refuses the one before it; it is the lowest worker that lives, until it is lost.
//!
//! ```text
//! waiting --all workers there, or one is for a failure timeout--> running --runner lost--> fencing --fenced--> running
//!                                                                                          (or waiting, if nobody lives)
//! ```

use crate::message::ToWorker;
use dstream::engine::detector::{Detector, DetectorAction, DetectorEvent, WorkerNumber};
use dstream::engine::message::ToClient;
use dstream::engine::{BlockName, Core, Event, Moment, NodeName, RecordRange};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the master must know of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many workers there are.
    pub workers: u32,
    /// How often a worker says that it lives.
    pub heartbeat: Duration,
    /// How long it may be silent.
    pub failure_timeout: Duration,
}

/// What happens to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterEvent {
    /// Something about a worker's membership.
    Member(DetectorEvent),
    /// A client's connection is open.
    ClientUp(NodeName),
    /// The sink refuses what the worker says under this epoch.
    Fenced(WorkerNumber, u64),
    /// A runner has read in the log what is in an interval.
    Closed {
        /// The runner.
        worker: WorkerNumber,
        /// The interval.
        interval: u64,
        /// Its records.
        ranges: Vec<RecordRange>,
        /// The entries that they are in.
        blocks: Vec<BlockName>,
    },
    /// Time passed.
    Tick,
}

/// What the master does.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterAction {
    /// Say this to a worker.
    Tell(WorkerNumber, ToWorker),
    /// Say this to all clients.
    TellClients(ToClient),
    /// Say this to one client.
    TellClient(NodeName, ToClient),
    /// Have the sink refuse what the worker says under this epoch.
    Fence(WorkerNumber, u64),
    /// Record an event.
    Record(Event),
}

/// A worker under an epoch.
type Member = (WorkerNumber, u64);

#[derive(Debug)]
enum State {
    /// Nobody runs anything; somebody is named at this moment, if anybody lives.
    Waiting { until: Moment },
    /// This one does.
    Running(Member),
    /// This one did, and may still try.
    Fencing(Member),
}

/// The master's core.
#[derive(Debug)]
pub struct Master {
    limits: Limits,
    detector: Detector,
    members: BTreeMap<WorkerNumber, u64>,
    state: State,
    term: u64,
    sealed_below: u64,
}

impl Master {
    /// A master that has heard nobody.
    pub fn new(limits: Limits) -> Master {
        let detector = Detector::new(limits.heartbeat, limits.failure_timeout);
        let state = State::Waiting { until: Moment::NEVER };
        Master { limits, detector, members: BTreeMap::new(), state, term: 0, sealed_below: 0 }
    }

    /// Whom clients send to.
    fn receivers(&self) -> ToClient {
        match self.state {
            State::Running((worker, _)) => ToClient::Members(vec![NodeName::worker(worker)]),
            State::Waiting { .. } | State::Fencing(_) => ToClient::Members(Vec::new()),
        }
    }

    fn order(&self, epoch: u64) -> ToWorker {
        ToWorker::Run { epoch, term: self.term, sealed_below: self.sealed_below }
    }

    fn decide(&mut self, now: Moment, decided: DetectorAction, actions: &mut Vec<MasterAction>) {
        match decided {
            DetectorAction::Joined { worker, epoch } => {
                self.members.insert(worker, epoch);
                actions.push(MasterAction::Record(Event::WorkerJoined { worker: NodeName::worker(worker), epoch }));
                actions.push(MasterAction::Tell(worker, ToWorker::Welcome { epoch }));
                if let State::Waiting { until } = &mut self.state {
                    *until = (*until).min(now + self.limits.failure_timeout);
                }
            }
            DetectorAction::Rejoined { worker, epoch } => {
                actions.push(MasterAction::Tell(worker, ToWorker::Welcome { epoch }));
                if matches!(self.state, State::Running(runner) if runner == (worker, epoch)) {
                    actions.push(MasterAction::Tell(worker, self.order(epoch)));
                }
            }
            DetectorAction::Lost { worker, epoch } => self.lose((worker, epoch), actions),
            DetectorAction::Refuse { worker, epoch } => {
                actions.push(MasterAction::Tell(worker, ToWorker::Over { epoch }));
            }
            DetectorAction::Renew { .. } => {} // a runner needs no lease: the log tells it when it is overtaken
        }
    }

    fn lose(&mut self, lost: Member, actions: &mut Vec<MasterAction>) {
        let (number, epoch) = lost;
        self.members.remove(&number);
        actions.push(MasterAction::Record(Event::WorkerLost { worker: NodeName::worker(number), epoch }));
        // The log has everything, whoever is lost.
        actions.push(MasterAction::Record(Event::CopiesBelow { blocks: 0 }));
        actions.push(MasterAction::Fence(number, epoch));
        if matches!(self.state, State::Running(runner) if runner == lost) {
            self.state = State::Fencing(lost);
            actions.push(MasterAction::TellClients(self.receivers()));
        }
    }

    /// Names a runner if it is time.
    fn name_runner(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        let State::Waiting { until } = self.state else { return };
        let Some((worker, epoch)) = self.members.first_key_value().map(|(worker, epoch)| (*worker, *epoch)) else {
            return;
        };
        if now < until && self.members.len() < self.limits.workers as usize {
            return;
        }
        self.term += 1;
        self.state = State::Running((worker, epoch));
        actions.push(MasterAction::Tell(worker, self.order(epoch)));
        actions.push(MasterAction::TellClients(self.receivers()));
    }
}

impl Core for Master {
    type Event = MasterEvent;
    type Action = MasterAction;

    fn step(&mut self, now: Moment, event: MasterEvent, actions: &mut Vec<MasterAction>) {
        let mut decided = Vec::new();
        match event {
            MasterEvent::Member(event) => self.detector.step(now, event, &mut decided),
            MasterEvent::Tick => self.detector.step(now, DetectorEvent::Tick, &mut decided),
            MasterEvent::ClientUp(client) => actions.push(MasterAction::TellClient(client, self.receivers())),
            MasterEvent::Closed { worker, interval, ranges, blocks } => {
                if interval == self.sealed_below {
                    self.sealed_below += 1;
                    actions.push(MasterAction::Record(Event::IntervalSealed { interval, ranges, blocks }));
                }
                actions.push(MasterAction::Tell(worker, ToWorker::Sealed { below: self.sealed_below }));
            }
            MasterEvent::Fenced(worker, epoch) => {
                if matches!(self.state, State::Fencing(lost) if lost == (worker, epoch)) {
                    self.state = State::Waiting { until: now };
                }
            }
        }
        for decided in decided {
            self.decide(now, decided, actions);
        }
        self.name_runner(now, actions);
    }

    fn deadline(&self) -> Option<Moment> {
        let named = match self.state {
            State::Waiting { until } if !self.members.is_empty() => until,
            _ => Moment::NEVER,
        };
        Some(self.detector.deadline().map_or(named, |deadline| deadline.min(named)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    fn join(worker: u32, incarnation: u64) -> MasterEvent {
        MasterEvent::Member(DetectorEvent::Join { worker, incarnation, epoch: None })
    }

    fn broken(worker: u32) -> MasterEvent {
        MasterEvent::Member(DetectorEvent::Broken { worker })
    }

    fn beat(worker: u32, epoch: u64) -> MasterEvent {
        MasterEvent::Member(DetectorEvent::Heartbeat { worker, epoch })
    }

    fn close(interval: u64) -> MasterEvent {
        MasterEvent::Closed { worker: 1, interval, ranges: Vec::new(), blocks: Vec::new() }
    }

    /// Feeds events at milliseconds to a master of two workers; compares who is named when, as (time, worker, term), fences
    /// (worker, epoch), and sealed intervals.
    fn check(events: &[(u64, MasterEvent)], named: &[(u64, u32, u64)], fenced: &[(u32, u64)], sealed: &[u64]) {
        let mut master = Master::new(Limits { workers: 2, heartbeat: TIMEOUT / 5, failure_timeout: TIMEOUT });
        let (mut seen, mut fences, mut seals) = (Vec::new(), Vec::new(), Vec::new());
        for (at, event) in events {
            let mut actions = Vec::new();
            master.step(Moment::from_millis(*at), event.clone(), &mut actions);
            for action in actions {
                match action {
                    MasterAction::Tell(worker, ToWorker::Run { term, .. }) => seen.push((*at, worker, term)),
                    MasterAction::Fence(worker, epoch) => fences.push((worker, epoch)),
                    MasterAction::Record(Event::IntervalSealed { interval, .. }) => seals.push(interval),
                    _ => {}
                }
            }
        }
        assert_eq!((seen.as_slice(), fences.as_slice(), seals.as_slice()), (named, fenced, sealed));
    }

    #[test]
    fn the_lowest_worker_is_named_when_all_are_there_or_time_is_up() {
        check(&[(0, join(2, 1)), (10, join(1, 1))], &[(10, 1, 1)], &[], &[]);
        let beats = (1..6).map(|n| (n * 100, beat(2, 1)));
        let alone: Vec<_> = [(0, join(2, 1))].into_iter().chain(beats).collect();
        check(&alone, &[(500, 2, 1)], &[], &[]);
    }

    #[test]
    fn the_next_one_is_named_when_the_sink_refuses_the_one_before() {
        let start = [(0, join(1, 1)), (0, join(2, 1)), (50, broken(1)), (100, beat(2, 2)), (200, beat(2, 2))];
        let lost: Vec<_> = start.into_iter().chain([(260, MasterEvent::Tick)]).collect();
        check(&lost, &[(0, 1, 1)], &[(1, 1)], &[]);
        let fenced: Vec<_> = lost.iter().cloned().chain([(270, MasterEvent::Fenced(1, 1))]).collect();
        check(&fenced, &[(0, 1, 1), (270, 2, 2)], &[(1, 1)], &[]);
        // It stays, though a lower one comes back.
        let back: Vec<_> = fenced.into_iter().chain([(280, join(1, 2))]).collect();
        check(&back, &[(0, 1, 1), (270, 2, 2)], &[(1, 1)], &[]);
    }

    #[test]
    fn a_runner_that_starts_again_is_a_new_one() {
        let again = [(0, join(1, 1)), (0, join(2, 1)), (20, join(1, 2)), (30, MasterEvent::Fenced(1, 1))];
        check(&again, &[(0, 1, 1), (30, 1, 2)], &[(1, 1)], &[]);
    }

    #[test]
    fn an_interval_is_sealed_once_and_in_order() {
        check(&[(0, close(0)), (1, close(0)), (2, close(2)), (3, close(1))], &[], &[], &[0, 1]);
    }
}
