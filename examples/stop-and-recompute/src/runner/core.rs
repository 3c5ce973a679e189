//! The runner's core: reads the log, then writes it; computes its intervals in order.
//!
//! Knows neither bytes of lines nor results. Invariants: nothing is acknowledged that is not in the log, and nothing
//! computed that the master has not sealed; what is written follows on everything that was read; a runner that reads an
//! entry of a later term than its own is none any more.
//!
//! ```text
//! idle --named--> reading --the log ends--> ready --an interval is over, or records have waited--> writing
//!                    ^                        ^                                                      |  |
//!                    |                        +----------------- written ----------------------------+  |
//!                    +----------------------------- the place is taken ---------------------------------+
//! any --its epoch is over, or an entry of a later term--> idle
//! ```

use crate::history::{Entry, History, Input};
use crate::runner::{Limits, RunnerAction, RunnerEvent};
use bytes::Bytes;
use dstream::engine::message::Batch;
use dstream::engine::{Core, Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, VecDeque};

/// So many entries are asked for at once: enough to keep a store of some milliseconds busy.
const READS_AT_ONCE: u64 = 64;

/// While so many bytes of lines wait to be computed, no more are read or written: clients wait, as they do for the log.
const MOST_WAITING_BYTES: usize = 128 << 20;

/// Bytes of records that are not in the log yet. A client whose batch has no room must send it again.
const MOST_PENDING_BYTES: usize = 64 << 20;

/// What becomes of the log's end.
#[derive(Debug)]
enum Stage {
    /// Entries are read, of which some are here: number -> entry, or nothing behind the last one.
    Reading { ahead: BTreeMap<u64, Option<(Entry, Bytes)>>, asked_below: u64 },
    /// The last entry was read.
    Ready,
    /// This entry is on its way.
    Writing { entry: Entry, body: Vec<Bytes> },
}

/// One term.
#[derive(Debug)]
struct Term {
    number: u64,
    epoch: u64,
    history: History,
    /// The first place of the log that was not taken in.
    next: u64,
    stage: Stage,
    pending: VecDeque<(Batch, Bytes)>,
    pending_bytes: usize,
    pending_since: Moment,
    waiting: VecDeque<Input>,
    computing: Option<u64>,
    /// The master knows what is in the intervals below this one.
    sealed_below: u64,
    /// It did when this term began.
    inherited_below: u64,
    /// The log was read to its end, at least once.
    knows_all: bool,
    restored: bool,
}

/// A worker's core.
#[derive(Debug)]
pub struct Runner {
    limits: Limits,
    term: Option<Term>,
}

impl Runner {
    /// An idle worker.
    pub fn new(limits: Limits) -> Runner {
        Runner { limits, term: None }
    }

    fn begin(&mut self, number: u64, epoch: u64, sealed_below: u64, actions: &mut Vec<RunnerAction>) {
        let stage = Stage::Reading { ahead: BTreeMap::new(), asked_below: 0 };
        self.term = Some(Term {
            number,
            epoch,
            history: History::default(),
            next: 0,
            stage,
            pending: VecDeque::new(),
            pending_bytes: 0,
            pending_since: Moment::ZERO,
            waiting: VecDeque::new(),
            computing: None,
            sealed_below,
            inherited_below: sealed_below,
            knows_all: false,
            restored: false,
        });
        actions.push(RunnerAction::Begin { term: number });
        for partition in 0..self.limits.partitions {
            let node = NodeName::worker(self.limits.worker);
            actions.push(RunnerAction::Record(Event::PartitionTaken { partition, node, epoch }));
        }
    }
}

impl Term {
    /// Whether more may come in before something is computed.
    fn has_room(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(Input::bytes).sum();
        self.computing.is_none() || bytes < MOST_WAITING_BYTES
    }

    fn batch(&mut self, now: Moment, batch: Batch, lines: Bytes, actions: &mut Vec<RunnerAction>) {
        if self.history.has(batch.range) {
            actions.push(RunnerAction::Acknowledge(vec![batch.range]));
        } else if self.pending_bytes + lines.len() > MOST_PENDING_BYTES {
            actions.push(RunnerAction::Redial(NodeName::client(batch.range.client)));
        } else {
            if self.pending.is_empty() {
                self.pending_since = now;
            }
            self.pending_bytes += lines.len();
            self.pending.push_back((batch, lines));
        }
    }

    /// Takes in what was read, in order. Whether this term goes on.
    fn read(
        &mut self,
        number: u64,
        entry: Option<(Entry, Bytes)>,
        limits: &Limits,
        actions: &mut Vec<RunnerAction>,
    ) -> bool {
        if let Stage::Reading { ahead, .. } = &mut self.stage {
            ahead.insert(number, entry);
        }
        while let Stage::Reading { ahead, .. } = &mut self.stage
            && let Some(read) = ahead.remove(&self.next)
        {
            match read {
                Some((entry, _)) if entry.term > self.number => return false,
                Some((entry, body)) => self.take_in(&entry, &body, actions),
                None => {
                    self.stage = Stage::Ready;
                    self.reach_end(limits, actions);
                }
            }
        }
        true
    }

    fn take_in(&mut self, entry: &Entry, body: &Bytes, actions: &mut Vec<RunnerAction>) {
        let (block, ranges) = (entry.name(self.next), entry.ranges());
        if !ranges.is_empty() {
            let bytes = body.len() as u64;
            actions.push(RunnerAction::Record(Event::BlockHeld { block, ranges, bytes }));
        }
        for input in self.history.take(self.next, entry, body) {
            self.seal(&input, actions);
            self.waiting.push_back(input);
        }
        self.next += 1;
    }

    /// Tells the master what is in an interval, if it does not know.
    fn seal(&self, input: &Input, actions: &mut Vec<RunnerAction>) {
        let (interval, ranges, blocks) = (input.interval, input.ranges.clone(), input.names.clone());
        if interval >= self.sealed_below {
            actions.push(RunnerAction::Seal { interval, ranges, blocks });
        }
    }

    fn reach_end(&mut self, limits: &Limits, actions: &mut Vec<RunnerAction>) {
        if !self.knows_all {
            self.knows_all = true;
            limits.clients.iter().for_each(|client| self.tell_known(client, limits, actions));
        }
    }

    /// Tells a client what the log has of it; only who has read it all can.
    fn tell_known(&self, client: &NodeName, limits: &Limits, actions: &mut Vec<RunnerAction>) {
        let number = (1..).zip(&limits.clients).find(|(_, name)| *name == client).map(|(number, _)| number);
        if let (Some(number), true) = (number, self.knows_all) {
            actions.push(RunnerAction::Known(client.clone(), self.history.of_client(number)));
        }
    }

    fn written(&mut self, actions: &mut Vec<RunnerAction>) {
        if let Stage::Writing { entry, body } = std::mem::replace(&mut self.stage, Stage::Ready) {
            self.take_in(&entry, &body.concat().into(), actions);
            actions.push(RunnerAction::Acknowledge(entry.ranges()));
        }
    }

    /// Somebody else has written here: what that is has to be read before anything follows on it.
    fn taken(&mut self) {
        let reading = Stage::Reading { ahead: BTreeMap::new(), asked_below: self.next };
        if let Stage::Writing { entry, body } = std::mem::replace(&mut self.stage, reading) {
            for ((batch, bytes), lines) in entry.batches.into_iter().zip(body).rev() {
                self.pending_bytes += bytes;
                self.pending.push_front((batch, lines));
            }
        }
    }

    /// When the next entry is to be written.
    fn write_at(&self, limits: &Limits) -> Moment {
        let closed = u32::try_from(self.history.closed_below() + 1).unwrap_or(u32::MAX);
        let over = limits.origin + limits.interval * closed;
        if self.pending.is_empty() { over } else { over.min(self.pending_since + limits.block) }
    }

    fn may_write(&self) -> bool {
        matches!(self.stage, Stage::Ready) && self.has_room()
    }

    fn write(&mut self, now: Moment, limits: &Limits, actions: &mut Vec<RunnerAction>) {
        self.acknowledge_known(actions);
        if !self.may_write() || now < self.write_at(limits) {
            return;
        }
        let (batches, body): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().map(|(batch, lines)| ((batch, lines.len()), lines)).unzip();
        self.pending_bytes = 0;
        let over = now.since(limits.origin).as_nanos() / limits.interval.as_nanos().max(1);
        let closes_below = u64::try_from(over).unwrap_or(u64::MAX).max(self.history.closed_below());
        let entry = Entry { term: self.number, worker: limits.worker, epoch: self.epoch, batches, closes_below };
        actions.push(RunnerAction::Write {
            term: self.number,
            number: self.next,
            entry: entry.clone(),
            body: body.clone(),
        });
        self.stage = Stage::Writing { entry, body };
    }

    /// What waited to be written may have been read instead.
    fn acknowledge_known(&mut self, actions: &mut Vec<RunnerAction>) {
        let (history, mut known) = (&self.history, Vec::<RecordRange>::new());
        self.pending.retain(|(batch, lines)| {
            let is_known = history.has(batch.range);
            if is_known {
                known.push(batch.range);
                self.pending_bytes -= lines.len();
            }
            !is_known
        });
        if !known.is_empty() {
            actions.push(RunnerAction::Acknowledge(known));
        }
    }

    /// Computes the next interval, and reads on where there is room.
    fn go_on(&mut self, limits: &Limits, actions: &mut Vec<RunnerAction>) {
        let may_be = |input: &mut Input| input.interval < self.sealed_below;
        if self.computing.is_none()
            && let Some(input) = self.waiting.pop_front_if(may_be)
        {
            let again = input.interval < self.inherited_below;
            self.computing = Some(input.interval);
            actions.push(RunnerAction::Compute { term: self.number, epoch: self.epoch, input, again });
        }
        let below = self.inherited_below;
        if self.knows_all && !self.restored && self.computing.is_none_or(|interval| interval >= below) {
            self.restored = true;
            let through = below.checked_sub(1);
            let restored = |partition| Event::PartitionRestored { partition, through, bytes: 0 };
            actions.extend((0..limits.partitions).map(|partition| RunnerAction::Record(restored(partition))));
        }
        let (has_room, term, most) = (self.has_room(), self.number, self.next + READS_AT_ONCE);
        if let Stage::Reading { asked_below, .. } = &mut self.stage
            && has_room
        {
            actions.extend((*asked_below..most).map(|number| RunnerAction::Read { term, number }));
            *asked_below = most.max(*asked_below);
        }
    }
}

impl Core for Runner {
    type Event = RunnerEvent;
    type Action = RunnerAction;

    fn step(&mut self, now: Moment, event: RunnerEvent, actions: &mut Vec<RunnerAction>) {
        match event {
            RunnerEvent::Named { term, epoch, sealed_below }
                if self.term.as_ref().is_none_or(|own| own.number < term) =>
            {
                self.begin(term, epoch, sealed_below, actions);
            }
            RunnerEvent::Over => self.term = None,
            _ => {}
        }
        let limits = &self.limits;
        let Some(own) = &mut self.term else { return };
        let mut is_overtaken = false;
        match event {
            RunnerEvent::Named { sealed_below, .. } => {
                own.sealed_below = sealed_below.max(own.sealed_below);
                own.waiting.iter().for_each(|input| own.seal(input, actions));
            }
            RunnerEvent::Sealed(below) => own.sealed_below = below.max(own.sealed_below),
            RunnerEvent::ClientUp(client) => own.tell_known(&client, limits, actions),
            RunnerEvent::Batch(batch, lines) => own.batch(now, batch, lines, actions),
            RunnerEvent::Read { term, number, entry } if term == own.number => {
                is_overtaken = !own.read(number, entry, limits, actions);
            }
            RunnerEvent::Written { term } if term == own.number => own.written(actions),
            RunnerEvent::Taken { term } if term == own.number => own.taken(),
            RunnerEvent::Computed { term, interval } if term == own.number && own.computing == Some(interval) => {
                own.computing = None;
            }
            // What was asked for an earlier term concerns nobody; the rest was dealt with above, or is below.
            _ => {}
        }
        if is_overtaken {
            self.term = None;
            return;
        }
        own.go_on(limits, actions);
        own.write(now, limits, actions);
    }

    fn deadline(&self) -> Option<Moment> {
        let own = self.term.as_ref().filter(|own| own.may_write())?;
        Some(own.write_at(&self.limits))
    }
}
