//! The receiver's core: batches of records become blocks, blocks become copies, copies become acknowledgements.
//!
//! Knows block names and ranges, never bytes. Invariants: a client is acknowledged only when as many members as promised
//! hold its records, or the log does, and the master has heard of their block, and only under a live lease; what arrives for
//! an interval that has closed here goes into the next one.
//!
//! ```text
//! batch -> OPEN block of its interval
//!            | full, old, or its interval is over
//!            v
//!         COPYING --all copies held, or logged--> HELD: announce --the master has heard--> acknowledge
//!            |  a holder is lost: choose another
//!            +- fenced: its clients send again; kept for whoever has it in an interval by another's copy
//! ```

use crate::log::{LOG, LOG_MEMBER};
use crate::master::in_turn;
use crate::message::{BlockReport, Member};
use crate::options::{Input, Placement};
use crate::usual::Usual;
use dstream_cluster::core::Core;
use dstream_trace::{BlockName, Event, Moment, RecordRange};
use open::{Batch, Content, Open};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A block is sealed at this size, so that map tasks are alike and a copy is one frame; at a smaller one, where it is known
/// what usually comes.
pub const MOST_BLOCK_BYTES: u64 = 8 << 20;

/// What the receiver must know.
#[derive(Clone, Debug)]
pub struct ReceiverLimits {
    /// This worker's number.
    pub worker: u32,
    /// How many nodes must hold a record before it is acknowledged (never more than there are members).
    pub copies: u32,
    /// Where else its blocks are: a log must hold a record instead, and clients that keep what they sent need no copies.
    pub input: Input,
    /// Each interval is cut into blocks of this length; the last one may be shorter.
    pub block: Duration,
    /// Length of an interval.
    pub interval: Duration,
    /// How long an interval waits for late records.
    pub slack: Duration,
    /// Interval 0 begins here.
    pub origin: Moment,
    /// How long after a heartbeat that the master heard acknowledgements may be given.
    pub lease: Duration,
    /// Who is asked to hold copies.
    pub placement: Placement,
    /// What clients usually send, where that is known.
    pub usual: Option<Usual>,
}

/// What happens to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// A client's batch, due in `interval`.
    Batch {
        /// Which records.
        range: RecordRange,
        /// The interval in which they were due.
        interval: u64,
        /// Length of its lines.
        bytes: u64,
    },
    /// This worker is a member.
    Welcome {
        /// Under this epoch.
        epoch: u64,
        /// Intervals below this one are sealed.
        sealed_below: u64,
        /// Another master leads, and goes on with what this worker told an earlier one.
        keeps: bool,
    },
    /// The members changed.
    Members(Vec<Member>),
    /// The workers that a connection is open with changed. What was on its way to a worker that is gone is asked again.
    Reachable(BTreeSet<u32>),
    /// The master heard a heartbeat that was sent at this moment.
    Lease {
        /// When the heartbeat was sent.
        sent: Moment,
    },
    /// The master knows of these blocks.
    Heard(Vec<BlockName>),
    /// The connection with the master broke: it may give this worker up at any moment.
    MasterGone,
    /// The epoch is over.
    Fenced,
    /// Another worker holds a copy.
    CopyHeld {
        /// The block.
        block: BlockName,
        /// The worker.
        by: Member,
    },
    /// Another worker does not take the copy.
    CopyRefused {
        /// The block.
        block: BlockName,
        /// The worker.
        by: u32,
    },
    /// A worker takes copies that it has refused.
    TakesCopies(u32),
    /// The log holds the block.
    Logged(BlockName),
    /// The master needs the block no longer: its results are out, or its records came in another block.
    Forgotten(BlockName),
    /// Time passed.
    Tick,
}

/// What the receiver does.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceiverAction {
    /// The batch of this event is kept with the open ones of this interval.
    Keep {
        /// The interval.
        interval: u64,
    },
    /// The first open batches of the interval, as many as it has ranges, become this block.
    Seal {
        /// The interval whose batches they are.
        interval: u64,
        /// The block.
        block: BlockReport,
    },
    /// The open batches are dropped: nobody was told that they are held.
    DropOpen,
    /// The block is dropped: nobody was told that it is held.
    DropBlock(BlockName),
    /// These are kept as copies of a lost worker's blocks are: nobody was told that they are held, but who has copies of
    /// them may have been asked for them, and they may be in an interval.
    HandOn(Vec<BlockName>),
    /// Send a copy.
    SendCopy {
        /// The block.
        block: BlockName,
        /// To whom.
        to: u32,
    },
    /// Write the block into the log, then report [`ReceiverEvent::Logged`].
    Log(BlockName),
    /// Tell clients that their records are held.
    Acknowledge {
        /// The blocks.
        blocks: Vec<BlockName>,
        /// Their records.
        ranges: Vec<RecordRange>,
    },
    /// Tell the master.
    Announce {
        /// Blocks that have all their copies.
        blocks: Vec<BlockReport>,
        /// All that came for intervals below this one is reported.
        closed_below: u64,
    },
    /// Record an event.
    Record(Event),
}

#[derive(Debug)]
struct Copying {
    report: BlockReport,
    /// Copies on their way; the log's as well.
    asked: BTreeSet<u32>,
    /// Who does not take it: not asked again before it says that it does, or is connected anew.
    refused: BTreeSet<u32>,
}

impl Copying {
    fn new(report: BlockReport) -> Copying {
        Copying { report, asked: BTreeSet::new(), refused: BTreeSet::new() }
    }
}

/// The receiver's core.
#[derive(Debug)]
pub struct Receiver {
    limits: ReceiverLimits,
    epoch: Option<u64>,
    /// Worker -> epoch; nothing is acknowledged before the master said who they are.
    members: BTreeMap<u32, u64>,
    reachable: BTreeSet<u32>,
    lease_ends: Moment,
    /// By interval. At most two, the one that is open and, during its slack, the next, while this worker is a member.
    open: BTreeMap<u64, Open>,
    copying: BTreeMap<BlockName, Copying>,
    /// Held by enough nodes and announced: acknowledged when the master has heard of them, under a live lease.
    withheld: Vec<BlockReport>,
    /// Of these, those that the master has heard of.
    heard: BTreeSet<BlockName>,
    next_number: u64,
    /// Batches for intervals below this one go into this one.
    sealed_below: u64,
    /// The master was told that intervals below this one are closed.
    told_closed_below: u64,
    /// Turns through the members that hold copies.
    turn: u32,
    last_step: Moment,
}

impl Receiver {
    /// A receiver that is no member yet: it takes batches and acknowledges none.
    pub fn new(limits: ReceiverLimits) -> Receiver {
        let turn = limits.worker.saturating_sub(1);
        Receiver {
            limits,
            epoch: None,
            members: BTreeMap::new(),
            reachable: BTreeSet::new(),
            lease_ends: Moment::ZERO,
            open: BTreeMap::new(),
            copying: BTreeMap::new(),
            withheld: Vec::new(),
            heard: BTreeSet::new(),
            next_number: 0,
            sealed_below: 0,
            told_closed_below: 0,
            // Receivers in step must not all send their copies to the same member at the same time.
            turn,
            last_step: Moment::ZERO,
        }
    }

    /// Intervals below the answer are over here, slack included.
    fn over_below(&self, now: Moment) -> u64 {
        let length = self.limits.interval.as_nanos().max(1);
        let since = now.since(self.limits.origin + self.limits.slack).as_nanos();
        u64::try_from(since / length).unwrap_or(u64::MAX)
    }

    fn end_of(&self, interval: u64) -> Moment {
        let nanos = u64::try_from(self.limits.interval.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.limits.origin.0.saturating_add(nanos.saturating_mul(interval + 1))) + self.limits.slack
    }

    /// When the block that is open at `now` is sealed: cuts lie at whole blocks from the interval's begin on, so that a
    /// steady stream gives as many blocks to each interval, all alike.
    fn next_cut(&self, now: Moment) -> Moment {
        let (length, block) = (self.limits.interval.as_nanos().max(1), self.limits.block.as_nanos().max(1));
        let into_interval = now.since(self.limits.origin).as_nanos() % length;
        let left = block - into_interval % block;
        now + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// The master names those who take records, and this worker is none of them any more: it is to leave.
    fn is_leaving(&self) -> bool {
        !self.members.is_empty() && self.members.get(&self.limits.worker).copied() != self.epoch
    }

    fn batch(&mut self, now: Moment, range: RecordRange, interval: u64, bytes: u64) -> u64 {
        let interval = interval.max(self.over_below(now)).max(self.sealed_below);
        let seal_at = self.next_cut(now).min(self.end_of(interval));
        let most_records = self.most_records();
        let open = self.open.entry(interval).or_insert_with(|| Open::until(seal_at));
        open.push(now, Batch { range, bytes, cut: seal_at }, most_records);
        interval
    }

    /// A block of so many records waits for no more; none where no number is usual.
    fn most_records(&self) -> Option<u64> {
        self.limits.usual.map(|usual| usual.most_of_a_block(self.limits.block, self.members.len()))
    }

    /// Seals every open block whose time has come. What came before it was known who else takes records waits until then:
    /// how many members there are tells how large blocks are.
    fn seal_ripe(&mut self, now: Moment, actions: &mut Vec<ReceiverAction>) {
        let Some(epoch) = self.epoch.filter(|_| !self.members.is_empty()) else { return };
        let over_below = if self.is_leaving() { u64::MAX } else { self.over_below(now) };
        let ripe: Vec<u64> = self
            .open
            .iter()
            .filter(|(interval, open)| open.seal_at <= now || **interval < over_below)
            .map(|(interval, _)| *interval)
            .collect();
        for interval in ripe {
            let open = self.open.remove(&interval).expect("its key was just read");
            for content in open.into_blocks(self.most_records()) {
                self.seal((epoch, interval), content, actions);
            }
        }
    }

    fn seal(&mut self, (epoch, interval): (u64, u64), content: Content, actions: &mut Vec<ReceiverAction>) {
        let name = BlockName { origin: self.limits.worker, epoch, number: self.next_number };
        self.next_number += 1;
        // The copy of one that leaves is none that counts.
        let own = (!self.is_leaving()).then_some(Member { worker: self.limits.worker, epoch });
        let holders = own.into_iter().collect();
        let report = BlockReport { name, interval, ranges: content.ranges, bytes: content.bytes, holders };
        actions.push(ReceiverAction::Record(held_event(&report)));
        actions.push(ReceiverAction::Seal { interval, block: report.clone() });
        self.copying.insert(name, Copying::new(report));
    }

    /// Has blocks written into the log, and finishes those that are there.
    fn log(&mut self, now: Moment, actions: &mut Vec<ReceiverAction>) {
        let mut done = Vec::new();
        for (name, copying) in &mut self.copying {
            if copying.report.holders.contains(&LOG_MEMBER) {
                done.push(*name);
            } else if copying.asked.insert(LOG) {
                actions.push(ReceiverAction::Log(*name));
            }
        }
        self.finish(now, done, actions);
    }

    /// How many nodes must hold a block now.
    fn copies_needed(&self) -> usize {
        (self.limits.copies as usize).min(self.members.len()).max(1)
    }

    /// How much each worker has been sent and does not hold yet: it takes longer, or is farther away.
    fn on_the_way(&self) -> BTreeMap<u32, u64> {
        let mut bytes = BTreeMap::new();
        for copying in self.copying.values() {
            copying.asked.iter().for_each(|to| *bytes.entry(*to).or_default() += copying.report.bytes);
        }
        bytes
    }

    /// Asks for the copies that blocks lack, and finishes the blocks that lack none.
    fn copy(&mut self, now: Moment, actions: &mut Vec<ReceiverAction>) {
        if self.epoch.is_none() || self.members.is_empty() {
            return;
        }
        if self.limits.input == Input::Log {
            return self.log(now, actions);
        }
        let needed = self.copies_needed();
        let by_load = self.limits.placement == Placement::Load;
        let mut on_the_way = if by_load { self.on_the_way() } else { BTreeMap::new() };
        let (members, reachable, own) = (&self.members, &self.reachable, self.limits.worker);
        let mut done = Vec::new();
        for (name, copying) in &mut self.copying {
            let live = copying.report.holders.len();
            if live >= needed {
                done.push(*name);
                continue;
            }
            let is_there = |worker: &u32| members.contains_key(worker) && reachable.contains(worker);
            copying.asked.retain(is_there);
            copying.refused.retain(is_there);
            while live + copying.asked.len() < needed {
                let is_free = |worker: &u32| {
                    *worker != own
                        && reachable.contains(worker)
                        && !copying.asked.contains(worker)
                        && !copying.refused.contains(worker)
                        && copying.report.holders.iter().all(|holder| holder.worker != *worker)
                };
                let free: Vec<u32> = members.keys().copied().filter(is_free).collect();
                let Some(to) = in_turn(&free, self.turn as usize, |worker| on_the_way.get(&worker).copied()) else {
                    break;
                };
                *on_the_way.entry(to).or_default() += copying.report.bytes;
                self.turn = self.turn.wrapping_add(1);
                copying.asked.insert(to);
                actions.push(ReceiverAction::SendCopy { block: *name, to });
            }
        }
        self.finish(now, done, actions);
    }

    fn finish(&mut self, now: Moment, done: Vec<BlockName>, actions: &mut Vec<ReceiverAction>) {
        let mut blocks = Vec::new();
        for name in done {
            let report = self.copying.remove(&name).expect("its key was just read").report;
            self.withheld.push(report.clone());
            blocks.push(report);
        }
        let closed_below = self.closed_below(now);
        if !blocks.is_empty() || closed_below > self.told_closed_below {
            self.told_closed_below = closed_below;
            actions.push(ReceiverAction::Announce { blocks, closed_below });
        }
        self.acknowledge(now, actions);
    }

    fn acknowledge(&mut self, now: Moment, actions: &mut Vec<ReceiverAction>) {
        if now >= self.lease_ends || self.heard.is_empty() {
            return;
        }
        let heard = std::mem::take(&mut self.heard);
        let (held, waiting) = std::mem::take(&mut self.withheld).into_iter().partition(|b| heard.contains(&b.name));
        self.withheld = waiting;
        let held: Vec<BlockReport> = held;
        if !held.is_empty() {
            let blocks = held.iter().map(|block| block.name).collect();
            let ranges = held.into_iter().flat_map(|block| block.ranges).collect();
            actions.push(ReceiverAction::Acknowledge { blocks, ranges });
        }
    }

    /// All that came for intervals below the answer has its copies, but for blocks that nobody can be asked to copy: the
    /// master need not wait for those, their clients send the records elsewhere.
    fn closed_below(&self, now: Moment) -> u64 {
        let first_open = self.open.keys().next().copied().unwrap_or(u64::MAX);
        let on_their_way = self.copying.values().filter(|copying| !copying.asked.is_empty());
        let first_copying = on_their_way.map(|copying| copying.report.interval).min().unwrap_or(u64::MAX);
        self.over_below(now).min(first_open).min(first_copying)
    }
}

/// The event of a copy that now exists at this node.
pub fn held_event(block: &BlockReport) -> Event {
    Event::BlockHeld { block: block.name, ranges: block.ranges.clone(), bytes: block.bytes }
}

impl Core for Receiver {
    type Event = ReceiverEvent;
    type Action = ReceiverAction;

    fn step(&mut self, now: Moment, event: ReceiverEvent, actions: &mut Vec<ReceiverAction>) {
        self.last_step = now;
        match event {
            // Its client hears as well that this worker leaves, and sends it elsewhere.
            ReceiverEvent::Batch { .. } if self.is_leaving() => {}
            ReceiverEvent::Batch { range, interval, bytes } => {
                let interval = self.batch(now, range, interval, bytes);
                actions.push(ReceiverAction::Keep { interval });
            }
            ReceiverEvent::Welcome { epoch, sealed_below, keeps } => {
                self.welcome((epoch, keeps), sealed_below, actions)
            }
            ReceiverEvent::Members(members) => self.follow_members(members),
            ReceiverEvent::Reachable(workers) => self.reachable = workers,
            ReceiverEvent::Lease { sent } => {
                self.lease_ends = self.lease_ends.max(sent + self.limits.lease);
                self.acknowledge(now, actions);
            }
            ReceiverEvent::Heard(blocks) => self.heard.extend(blocks),
            ReceiverEvent::MasterGone => self.lease_ends = now,
            ReceiverEvent::Fenced => self.fenced(actions),
            ReceiverEvent::CopyHeld { block, by } => {
                if let Some(copying) = self.copying.get_mut(&block) {
                    copying.asked.remove(&by.worker);
                    let is_member = self.members.get(&by.worker) == Some(&by.epoch);
                    if is_member && !copying.report.holders.contains(&by) {
                        copying.report.holders.push(by);
                    }
                }
            }
            ReceiverEvent::CopyRefused { block, by } => {
                if let Some(copying) = self.copying.get_mut(&block) {
                    copying.asked.remove(&by);
                    copying.refused.insert(by);
                }
            }
            ReceiverEvent::TakesCopies(by) => {
                self.copying.values_mut().for_each(|copying| _ = copying.refused.remove(&by));
            }
            ReceiverEvent::Logged(block) => {
                if let Some(copying) = self.copying.get_mut(&block) {
                    copying.asked.remove(&LOG);
                    if !copying.report.holders.contains(&LOG_MEMBER) {
                        copying.report.holders.push(LOG_MEMBER);
                    }
                }
            }
            ReceiverEvent::Forgotten(block) => {
                self.withheld.extend(self.copying.remove(&block).map(|copying| copying.report));
                self.heard.insert(block);
            }
            ReceiverEvent::Tick => {}
        }
        self.seal_ripe(now, actions);
        self.copy(now, actions);
    }

    fn deadline(&self) -> Option<Moment> {
        self.epoch.filter(|_| !self.members.is_empty())?;
        let seal = self.open.values().map(|open| open.seal_at).min().unwrap_or(Moment::NEVER);
        // The end of the open interval: then the master is told that it is closed.
        Some(seal.min(self.end_of(self.over_below(self.last_step))))
    }
}

mod epoch;
mod open;
#[cfg(test)]
mod tests;
