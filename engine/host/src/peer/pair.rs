//! The core of one pair: who dials when, which connection is admitted, when the pair is up, when it is down.
//!
//! Pure: events in, actions out; it has no socket, no task and no clock. Invariants: `Down` follows each `Up` once
//! and before the next `Up`; the peer's incarnations never go back; the two connections of an `Up` belong to one
//! session.
//!
//! ```text
//! dialer    Resting --Tick at the dial time--> Dialling --Dialled--> Up --Broken, silence--> Resting
//!              ^------DialFailed, or an older incarnation-----'
//! acceptor  Resting --Arrived(control)--> Half --Arrived(data, same session)--> Up --Broken, silence--> Resting
//!              ^--Tick past the deadline----'
//!           Half, Up --Arrived(control of a later session or incarnation)--> Half   (Down first, if it was up)
//! ```

use super::Lane;
use super::backoff::Backoff;
use super::pulse::{Pulse, Signs, Verdict};
use dstream_trace::Moment;
use std::time::Duration;

/// Both lanes, in the order of their places in arrays.
pub const LANES: [Lane; 2] = [Lane::Control, Lane::Data];

/// The fixed words of refusals that the core decides.
pub mod word {
    /// The other side dials, where this side should.
    pub const WRONG_SIDE: &str = "hello-wrong-side";
    /// A hello of a life of the peer that is over.
    pub const OLD_INCARNATION: &str = "hello-incarnation-old";
    /// A hello of a dial that was given up.
    pub const OLD_SESSION: &str = "hello-session-old";
    /// A data connection without its control connection, or a second one.
    pub const LANE: &str = "hello-lane-unexpected";
}

/// What happens to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairEvent {
    /// Time passed. `signs` is what was seen on the two connections; meaningless unless the pair is up.
    Tick { signs: [Signs; 2] },
    /// Both connections of a dial are open and the peer said which life this is.
    Dialled { session: u64, incarnation: u64 },
    /// The dial ended otherwise.
    DialFailed { session: u64 },
    /// The peer opened a connection and said hello.
    Arrived { lane: Lane, incarnation: u64, session: u64 },
    /// A connection of the pair that is up ended.
    Broken,
}

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairAction {
    /// Open both connections.
    Dial { session: u64 },
    /// Keep the connection that arrived and answer its hello.
    Admit { lane: Lane },
    /// Send the word to the connection that just arrived, or was just dialled, and close it.
    Refuse { why: &'static str },
    /// Close an admitted connection that never became a pair.
    DropHalf,
    /// The pair is up.
    Up { incarnation: u64, session: u64 },
    /// Close both connections; the pair is down.
    Down { incarnation: u64 },
    /// Show the peer a sign of life.
    Show { lane: Lane },
    /// Ask the peer for a sign of life.
    Ask { lane: Lane },
}

/// Which side of the pair this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opens the connections.
    Dialer,
    /// Waits for them.
    Acceptor,
}

/// Time limits of a pair.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a connection may be silent.
    pub silence: Duration,
    /// How long the second connection may come after the first.
    pub connect_deadline: Duration,
}

#[derive(Clone, Debug)]
enum State {
    Resting { dial_at: Moment },
    Dialling,
    Half { until: Moment },
    Up { incarnation: u64, since: Moment, pulses: [Pulse; 2] },
}

/// The core of one pair.
#[derive(Debug)]
pub struct Pair {
    side: Side,
    limits: Limits,
    backoff: Backoff,
    /// The latest life of the peer that was heard of.
    known: u64,
    /// Of the dialer: its last dial. Of the acceptor: the peer's last dial, within the latest life.
    session: u64,
    state: State,
    /// When it asked to be woken, as the last answer of [`Pair::deadline`] said; a later tick means a stall.
    asked: Option<Moment>,
}

impl Pair {
    /// A pair that is not up.
    pub fn new(now: Moment, side: Side, limits: Limits, mut backoff: Backoff) -> Pair {
        let dial_at = match side {
            Side::Dialer => now + backoff.first(),
            Side::Acceptor => Moment::NEVER,
        };
        Pair { side, limits, backoff, known: 0, session: 0, state: State::Resting { dial_at }, asked: None }
    }

    /// Takes one event at `now` and appends what is to be done.
    pub fn step(&mut self, now: Moment, event: PairEvent, actions: &mut Vec<PairAction>) {
        match event {
            PairEvent::Tick { signs } => self.tick(now, signs, actions),
            PairEvent::Dialled { session, incarnation } => self.dialled(now, session, incarnation, actions),
            PairEvent::DialFailed { session } => self.dial_failed(now, session),
            PairEvent::Arrived { lane, incarnation, session } => {
                self.arrived(now, lane, incarnation, session, actions);
            }
            PairEvent::Broken => self.down(now, actions),
        }
    }

    /// When it wants a tick if nothing else happens. `signs` as in [`PairEvent::Tick`].
    pub fn deadline(&mut self, signs: [Signs; 2]) -> Moment {
        let deadline = match &self.state {
            State::Resting { dial_at } => *dial_at,
            State::Dialling => Moment::NEVER,
            State::Half { until, .. } => *until,
            State::Up { pulses, .. } => pulses[0].next(signs[0]).min(pulses[1].next(signs[1])),
        };
        self.asked = Some(deadline);
        deadline
    }

    /// Which side this node is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The number of the latest dial.
    pub fn session(&self) -> u64 {
        self.session
    }

    fn tick(&mut self, now: Moment, signs: [Signs; 2], actions: &mut Vec<PairAction>) {
        let late = self.asked.take().map_or(Duration::ZERO, |asked| now.since(asked));
        let stalled = late > self.limits.silence / 4;
        match &mut self.state {
            State::Resting { dial_at } if *dial_at <= now => {
                self.session += 1;
                self.state = State::Dialling;
                actions.push(PairAction::Dial { session: self.session });
            }
            State::Half { until, .. } if *until <= now => {
                self.state = State::Resting { dial_at: Moment::NEVER };
                actions.push(PairAction::DropHalf);
            }
            State::Up { pulses, .. } => {
                let verdicts = [0, 1].map(|place| pulses[place].judge(now, signs[place], stalled));
                self.obey(now, verdicts, actions);
            }
            State::Resting { .. } | State::Dialling | State::Half { .. } => {}
        }
    }

    fn obey(&mut self, now: Moment, verdicts: [Verdict; 2], actions: &mut Vec<PairAction>) {
        if verdicts.contains(&Verdict::Silent) {
            return self.down(now, actions);
        }
        for (lane, verdict) in LANES.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Show => actions.push(PairAction::Show { lane }),
                Verdict::Ask => actions.push(PairAction::Ask { lane }),
                Verdict::Well | Verdict::Silent => {}
            }
        }
    }

    fn dialled(&mut self, now: Moment, session: u64, incarnation: u64, actions: &mut Vec<PairAction>) {
        if !matches!(self.state, State::Dialling) || session != self.session {
            return;
        }
        if incarnation < self.known {
            actions.push(PairAction::Refuse { why: word::OLD_INCARNATION });
            return self.dial_failed(now, session);
        }
        self.up(now, incarnation, actions);
    }

    fn dial_failed(&mut self, now: Moment, session: u64) {
        if matches!(self.state, State::Dialling) && session == self.session {
            self.state = State::Resting { dial_at: now + self.backoff.next() };
        }
    }

    fn arrived(&mut self, now: Moment, lane: Lane, incarnation: u64, session: u64, actions: &mut Vec<PairAction>) {
        if let Some(why) = self.objection(lane, incarnation, session) {
            return actions.push(PairAction::Refuse { why });
        }
        match lane {
            Lane::Control => {
                match self.state {
                    State::Up { .. } => self.down(now, actions),
                    State::Half { .. } => actions.push(PairAction::DropHalf),
                    State::Resting { .. } | State::Dialling => {}
                }
                self.known = incarnation;
                self.session = session;
                self.state = State::Half { until: now + self.limits.connect_deadline };
                actions.push(PairAction::Admit { lane });
            }
            Lane::Data => {
                actions.push(PairAction::Admit { lane });
                self.up(now, incarnation, actions);
            }
        }
    }

    fn objection(&self, lane: Lane, incarnation: u64, session: u64) -> Option<&'static str> {
        if self.side == Side::Dialer {
            return Some(word::WRONG_SIDE);
        }
        if incarnation < self.known {
            return Some(word::OLD_INCARNATION);
        }
        let newer = (incarnation, session) > (self.known, self.session);
        match lane {
            Lane::Control if newer => None,
            Lane::Control => Some(word::OLD_SESSION),
            Lane::Data if newer || !matches!(self.state, State::Half { .. }) => Some(word::LANE),
            Lane::Data if session < self.session => Some(word::OLD_SESSION),
            Lane::Data => None,
        }
    }

    fn up(&mut self, now: Moment, incarnation: u64, actions: &mut Vec<PairAction>) {
        let pulse = Pulse::new(now, self.limits.silence);
        self.known = incarnation;
        self.state = State::Up { incarnation, since: now, pulses: [pulse.clone(), pulse] };
        actions.push(PairAction::Up { incarnation, session: self.session });
    }

    fn down(&mut self, now: Moment, actions: &mut Vec<PairAction>) {
        let State::Up { incarnation, since, .. } = self.state else { return };
        // A pair that broke as soon as it was up would otherwise be dialled without a pause.
        if now.since(since) >= self.limits.silence {
            self.backoff.reset();
        }
        let dial_at = match self.side {
            Side::Dialer => now + self.backoff.next(),
            Side::Acceptor => Moment::NEVER,
        };
        self.state = State::Resting { dial_at };
        actions.push(PairAction::Down { incarnation });
    }
}

#[cfg(test)]
mod tests;
