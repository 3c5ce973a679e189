//! The failure detector: who is a member, under which epoch, and who is lost.
//!
//! Knows nothing of blocks and tasks. Heartbeats decide; a broken connection only hastens the decision. Invariant: epochs
//! grow with every join, so a word of an older epoch is recognised for ever; and a detector that was itself stalled, or that
//! hears nobody at all, does not take its own silence for that of the workers.
//!
//! ```text
//! absent --Join--> member --silent for failure_timeout, or broken and silent for 2 heartbeats, or Evict--> absent (lost)
//!                  member --Join (next incarnation)--> lost, then member under a new epoch
//! ```

use crate::core::Core;
use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// A worker, by its number.
pub type WorkerNumber = u32;

/// What happens to the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorEvent {
    /// A worker asks to be a member; `epoch` is the one it believes to have.
    Join {
        /// The worker.
        worker: WorkerNumber,
        /// Its incarnation.
        incarnation: u64,
        /// Its epoch so far.
        epoch: Option<u64>,
    },
    /// A worker says that it lives.
    Heartbeat {
        /// The worker.
        worker: WorkerNumber,
        /// Its epoch.
        epoch: u64,
    },
    /// A connection to the worker broke.
    Broken {
        /// The worker.
        worker: WorkerNumber,
    },
    /// The worker is to count as lost, though it lives: it is too slow.
    Evict {
        /// The worker.
        worker: WorkerNumber,
    },
    /// The worker is no longer a member, and nobody has lost it: it was let go.
    Left {
        /// The worker.
        worker: WorkerNumber,
    },
    /// Epochs grow from above this one: those up to it were given by earlier detectors of the same workers.
    After {
        /// The last epoch of before.
        epoch: u64,
    },
    /// Time passed.
    Tick,
}

/// What the detector decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorAction {
    /// The worker is a member from now on.
    Joined {
        /// The worker.
        worker: WorkerNumber,
        /// Its epoch.
        epoch: u64,
    },
    /// The member asked again (its connection is new): it keeps its epoch.
    Rejoined {
        /// The worker.
        worker: WorkerNumber,
        /// Its epoch.
        epoch: u64,
    },
    /// The worker is no longer a member.
    Lost {
        /// The worker.
        worker: WorkerNumber,
        /// Its last epoch.
        epoch: u64,
    },
    /// A heartbeat of a member was heard: its lease goes on.
    Renew {
        /// The worker.
        worker: WorkerNumber,
        /// Its epoch.
        epoch: u64,
    },
    /// The worker speaks under an epoch that is over: it must join anew.
    Refuse {
        /// The worker.
        worker: WorkerNumber,
        /// The epoch that is over.
        epoch: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Member {
    epoch: u64,
    incarnation: u64,
    /// It is lost when nothing is heard of it until then.
    lost_at: Moment,
}

/// The failure detector's core.
#[derive(Debug)]
pub struct Detector {
    heartbeat: Duration,
    failure_timeout: Duration,
    members: BTreeMap<WorkerNumber, Member>,
    last_epoch: u64,
    last_step: Moment,
    /// When anybody was heard last.
    last_heard: Moment,
    /// After a stall of its own: until the workers had time to be heard.
    forgiving_until: Moment,
}

impl Detector {
    /// A detector without members. Workers beat every `heartbeat` and are lost after `failure_timeout` of silence.
    pub fn new(heartbeat: Duration, failure_timeout: Duration) -> Detector {
        Detector {
            heartbeat,
            failure_timeout,
            members: BTreeMap::new(),
            last_epoch: 0,
            last_step: Moment::ZERO,
            last_heard: Moment::ZERO,
            forgiving_until: Moment::ZERO,
        }
    }

    fn join(
        &mut self,
        now: Moment,
        worker: WorkerNumber,
        incarnation: u64,
        epoch: Option<u64>,
        actions: &mut Vec<DetectorAction>,
    ) {
        let lost_at = now + self.failure_timeout;
        self.last_heard = now;
        if let Some(member) = self.members.get_mut(&worker) {
            if incarnation < member.incarnation {
                return; // a word of an earlier life, late
            }
            if incarnation == member.incarnation && epoch.is_none_or(|epoch| epoch == member.epoch) {
                member.lost_at = lost_at;
                actions.push(DetectorAction::Rejoined { worker, epoch: member.epoch });
                return;
            }
            actions.push(DetectorAction::Lost { worker, epoch: member.epoch });
        }
        self.last_epoch += 1;
        self.members.insert(worker, Member { epoch: self.last_epoch, incarnation, lost_at });
        actions.push(DetectorAction::Joined { worker, epoch: self.last_epoch });
    }

    fn heartbeat(&mut self, now: Moment, worker: WorkerNumber, epoch: u64, actions: &mut Vec<DetectorAction>) {
        match self.members.get_mut(&worker) {
            Some(member) if member.epoch == epoch => {
                self.last_heard = now;
                member.lost_at = now + self.failure_timeout;
                actions.push(DetectorAction::Renew { worker, epoch });
            }
            _ => actions.push(DetectorAction::Refuse { worker, epoch }),
        }
    }

    fn tick(&mut self, now: Moment, actions: &mut Vec<DetectorAction>) {
        // Who hears nobody is cut off himself, and has nobody who could take over: everyone gets the time to be heard.
        if now.since(self.last_heard) > self.heartbeat * 2 && self.members.len() > 1 {
            self.forgive(now);
        }
        let lost: Vec<WorkerNumber> =
            self.members.iter().filter(|(_, member)| member.lost_at <= now).map(|(worker, _)| *worker).collect();
        for worker in lost {
            let member = self.members.remove(&worker).expect("its key was just read");
            actions.push(DetectorAction::Lost { worker, epoch: member.epoch });
        }
    }

    /// If this node did not run for a while (a pause), what the workers said meanwhile still waits unread, and connections
    /// that fell silent must be dialled again: everyone gets a whole timeout to be heard.
    fn forgive_own_stall(&mut self, now: Moment) {
        let stalled = now.since(self.last_step);
        if self.last_step != Moment::ZERO && stalled > self.heartbeat * 2 {
            self.forgive(now);
        }
        self.last_step = now;
    }

    fn forgive(&mut self, now: Moment) {
        self.forgiving_until = now + self.failure_timeout;
        for member in self.members.values_mut() {
            member.lost_at = member.lost_at.max(self.forgiving_until);
        }
    }
}

impl Core for Detector {
    type Event = DetectorEvent;
    type Action = DetectorAction;

    fn step(&mut self, now: Moment, event: DetectorEvent, actions: &mut Vec<DetectorAction>) {
        self.forgive_own_stall(now);
        match event {
            DetectorEvent::Join { worker, incarnation, epoch } => self.join(now, worker, incarnation, epoch, actions),
            DetectorEvent::Heartbeat { worker, epoch } => self.heartbeat(now, worker, epoch, actions),
            // Right after a stall of its own every connection breaks, which says nothing of the workers.
            DetectorEvent::Broken { .. } if now < self.forgiving_until => {}
            DetectorEvent::Broken { worker } => {
                if let Some(member) = self.members.get_mut(&worker) {
                    member.lost_at = member.lost_at.min(now + self.heartbeat * 2);
                }
            }
            DetectorEvent::Evict { worker } => {
                if let Some(member) = self.members.remove(&worker) {
                    actions.push(DetectorAction::Lost { worker, epoch: member.epoch });
                }
            }
            DetectorEvent::Left { worker } => drop(self.members.remove(&worker)),
            DetectorEvent::After { epoch } => self.last_epoch = self.last_epoch.max(epoch),
            DetectorEvent::Tick => self.tick(now, actions),
        }
    }

    /// Ticks at least once a heartbeat: that is how a stall of its own is noticed.
    fn deadline(&self) -> Option<Moment> {
        let first = self.members.values().map(|member| member.lost_at).min();
        let beat = self.last_step + self.heartbeat;
        Some(first.map_or(beat, |first| first.min(beat)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DetectorAction::*;

    const HEARTBEAT: Duration = Duration::from_millis(100);
    const TIMEOUT: Duration = Duration::from_millis(500);

    /// Feeds events at milliseconds, with ticks whenever the detector asks for one, and compares what it decides.
    fn check(events: &[(u64, DetectorEvent)], until_ms: u64, expected: &[(u64, DetectorAction)]) {
        let mut detector = Detector::new(HEARTBEAT, TIMEOUT);
        let (mut seen, mut actions) = (Vec::new(), Vec::new());
        let mut events = events.iter().peekable();
        loop {
            let tick = detector.deadline().unwrap();
            let (at, event) = match events.peek() {
                Some((at, event)) if Moment::from_millis(*at) <= tick => {
                    events.next();
                    (Moment::from_millis(*at), *event)
                }
                _ => (tick, DetectorEvent::Tick),
            };
            if at > Moment::from_millis(until_ms) {
                break;
            }
            detector.step(at, event, &mut actions);
            seen.extend(actions.drain(..).map(|action| (at.0 / 1_000_000, action)));
        }
        assert_eq!(seen, expected);
    }

    fn join(worker: u32, incarnation: u64, epoch: Option<u64>) -> DetectorEvent {
        DetectorEvent::Join { worker, incarnation, epoch }
    }

    #[test]
    fn a_silent_worker_is_lost_after_the_timeout() {
        check(
            &[(0, join(1, 1, None)), (100, DetectorEvent::Heartbeat { worker: 1, epoch: 1 })],
            2000,
            &[
                (0, Joined { worker: 1, epoch: 1 }),
                (100, Renew { worker: 1, epoch: 1 }),
                (600, Lost { worker: 1, epoch: 1 }),
            ],
        );
    }

    #[test]
    fn a_broken_connection_hastens_the_loss_and_a_word_undoes_it() {
        let broken = DetectorEvent::Broken { worker: 1 };
        check(
            &[(0, join(1, 1, None)), (50, broken), (200, join(1, 1, Some(1))), (300, broken)],
            2000,
            &[
                (0, Joined { worker: 1, epoch: 1 }),
                (200, Rejoined { worker: 1, epoch: 1 }),
                (500, Lost { worker: 1, epoch: 1 }),
            ],
        );
    }

    #[test]
    fn an_evicted_worker_is_lost_and_may_join_anew() {
        let beat = DetectorEvent::Heartbeat { worker: 1, epoch: 1 };
        check(
            &[(0, join(1, 1, None)), (50, DetectorEvent::Evict { worker: 1 }), (60, beat), (70, join(1, 1, None))],
            100,
            &[
                (0, Joined { worker: 1, epoch: 1 }),
                (50, Lost { worker: 1, epoch: 1 }),
                (60, Refuse { worker: 1, epoch: 1 }),
                (70, Joined { worker: 1, epoch: 2 }),
            ],
        );
    }

    #[test]
    fn a_restarted_worker_gets_a_new_epoch_and_its_old_one_is_lost() {
        check(
            &[(0, join(1, 1, None)), (50, join(1, 2, None)), (60, DetectorEvent::Heartbeat { worker: 1, epoch: 1 })],
            100,
            &[
                (0, Joined { worker: 1, epoch: 1 }),
                (50, Lost { worker: 1, epoch: 1 }),
                (50, Joined { worker: 1, epoch: 2 }),
                (60, Refuse { worker: 1, epoch: 1 }),
            ],
        );
    }

    #[test]
    fn who_hears_nobody_blames_nobody_but_who_hears_one_blames_the_other() {
        let beats = |worker: u32, epoch: u64, until: u64| {
            (1..)
                .map(|n| n * 100)
                .take_while(move |at| *at <= until)
                .map(move |at| (at, DetectorEvent::Heartbeat { worker, epoch }))
        };
        let joins = [(0, join(1, 1, None)), (0, join(2, 1, None))];
        let joined = [(0, Joined { worker: 1, epoch: 1 }), (0, Joined { worker: 2, epoch: 2 })];
        check(&joins, 3000, &joined);
        let mut events: Vec<_> = joins.into_iter().chain(beats(2, 2, 1000)).collect();
        events.sort_by_key(|(at, _)| *at);
        let renewed = (1..=10).map(|n| (n * 100, Renew { worker: 2, epoch: 2 }));
        let mut expected: Vec<_> = joined.into_iter().chain(renewed).collect();
        expected.insert(7, (500, Lost { worker: 1, epoch: 1 }));
        check(&events, 1150, &expected);
    }

    #[test]
    fn a_stalled_detector_forgives() {
        let mut detector = Detector::new(HEARTBEAT, TIMEOUT);
        let mut actions = Vec::new();
        detector.step(Moment::from_millis(1), join(1, 1, None), &mut actions);
        actions.clear();
        detector.step(Moment::from_millis(5000), DetectorEvent::Tick, &mut actions);
        assert_eq!(actions, []);
        detector.step(Moment::from_millis(5001), DetectorEvent::Broken { worker: 1 }, &mut actions);
        detector.step(Moment::from_millis(5400), DetectorEvent::Heartbeat { worker: 1, epoch: 1 }, &mut actions);
        assert_eq!(actions, [Renew { worker: 1, epoch: 1 }]);
    }
}
