//! The block ledger: which blocks there are, who holds them, and to which interval each record belongs.
//!
//! Knows no task. Invariants: a record is allotted to at most one interval, for ever; an interval is sealed once, in order,
//! and not before its end; a block is remembered until its interval is done or its last copy is gone.
//!
//! ```text
//! block:    announced --seal of its interval--> allotted --interval done--> forgotten
//!              |  all its records came in another block: forgotten
//!              +- last holder lost before the seal: given up (later, the stage tracker decides)
//! interval: open --all members closed it and all orphans are known, or waited long enough--> sealed
//! ```

use crate::log::LOG_MEMBER;
use crate::master::copies::{Copies, Known};
use crate::master::journal::{GivenUp, Snapshot};
use crate::message::{BlockOrder, BlockReport, Member, Skip};
use crate::options::{Input, Placement};
use crate::replay::{CLIENTS, UNTOLD_CLIENTS};
use clients::Clients;
pub use clients::patience_with_clients;
use dstream_cluster::core::Core;
use dstream_trace::{BlockName, Event, Moment, RangeSet, RecordRange};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use untold::Untold;

/// What the ledger must know.
#[derive(Clone, Debug)]
pub struct LedgerLimits {
    /// How many nodes must hold a record (never more than there are members).
    pub copies: u32,
    /// What else holds blocks. What a log has of a lost worker is asked for, too.
    pub input: Input,
    /// Length of an interval.
    pub interval: Duration,
    /// How long an interval waits for late records.
    pub slack: Duration,
    /// Interval 0 begins here.
    pub origin: Moment,
    /// How long a seal waits for members that do not report; also how long a copy may take before it is asked for again.
    pub patience: Duration,
    /// Who is asked to hold copies.
    pub placement: Placement,
}

impl LedgerLimits {
    /// How many members have to go on taking work: fewer could not hold the promised copies.
    pub fn least_takers(&self) -> usize {
        if self.input == Input::Log { 1 } else { self.copies.max(1) as usize }
    }
}

/// What happens to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerEvent {
    /// A worker is a member.
    Joined(Member),
    /// A worker is no longer a member.
    Lost(Member),
    /// A member holds these blocks; all that came to it for intervals below `closed_below` is reported.
    Announced {
        /// The member.
        by: u32,
        /// The blocks.
        blocks: Vec<BlockReport>,
        /// What is closed at the member, if it says.
        closed_below: Option<u64>,
    },
    /// A member says which blocks of a lost worker it holds.
    Orphans {
        /// The member.
        by: u32,
        /// The lost worker.
        origin: Member,
        /// The blocks.
        blocks: Vec<BlockReport>,
    },
    /// A member holds a copy that was asked for.
    CopyHeld {
        /// The member.
        by: Member,
        /// The block.
        block: BlockName,
    },
    /// A worker that counted as a holder says that it does not hold the block.
    NotHeld {
        /// The worker.
        at: u32,
        /// The block.
        block: BlockName,
    },
    /// A member's connection is new: what it was asked may be lost.
    Reconnected {
        /// The member.
        worker: u32,
    },
    /// A client is there, or is not.
    Client {
        /// The client.
        client: u32,
        /// Whether the master has a connection with it.
        is_there: bool,
    },
    /// A client asks which of its records are held.
    Asked {
        /// The client.
        client: u32,
    },
    /// All results of the interval are committed.
    Done {
        /// The interval.
        interval: u64,
    },
    /// A member is to leave: it gets no more, and its copies do not count as promised ones.
    Leaving(u32),
    /// A member that was to leave works on.
    Stays(u32),
    /// Whether that member can go.
    MayLeave(u32),
    /// The stage tracker gave the block up.
    GivenUp(BlockName),
    /// What an earlier master's journal says. Workers have yet to say what they hold: nothing is sealed or copied meanwhile.
    Recovered(Snapshot),
    /// All have said it who will.
    Resumed,
    /// A client says what an earlier master had acknowledged to it.
    Acknowledged(Vec<RecordRange>),
    /// Time passed.
    Tick,
}

/// A block of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// What its map task reads.
    pub order: BlockOrder,
    /// The records that come from it.
    pub ranges: Vec<RecordRange>,
}

/// What the ledger decides.
#[derive(Clone, Debug, PartialEq)]
pub enum LedgerAction {
    /// The interval consists of these blocks, for ever.
    Seal {
        /// The interval.
        interval: u64,
        /// Its records.
        ranges: Vec<RecordRange>,
        /// Its blocks, with what to skip in them.
        blocks: Vec<Allotment>,
    },
    /// The holders of an allotted block changed.
    Holders {
        /// The block.
        block: BlockName,
        /// Who holds it now.
        holders: Vec<u32>,
    },
    /// Ask these members which blocks of the lost worker they hold.
    AskOrphans {
        /// The lost worker.
        origin: Member,
        /// Whom to ask.
        of: Vec<u32>,
    },
    /// All who were asked have answered.
    OrphansKnown,
    /// Read what the log has of the lost worker, but for these blocks.
    AskLog {
        /// The lost worker.
        origin: Member,
        /// What is known already.
        known: BTreeSet<BlockName>,
    },
    /// Have a copy made.
    OrderCopy {
        /// The block.
        block: BlockName,
        /// Who holds it.
        from: u32,
        /// Who shall.
        to: u32,
    },
    /// The blocks may be forgotten.
    Forget {
        /// By this worker; `None`: by all, since a copy may lie where its origin has forgotten that it sent it.
        by: Option<u32>,
        /// The blocks.
        blocks: Vec<BlockName>,
    },
    /// The member may tell its clients that these blocks are held, which it has announced.
    Heard {
        /// The member.
        by: u32,
        /// The blocks.
        blocks: Vec<BlockName>,
    },
    /// Tell the client which of its records are held by as many members as can be asked for, or in results.
    Answer {
        /// The client.
        client: u32,
        /// The records.
        ranges: Vec<RecordRange>,
    },
    /// Nothing here depends on the member that is to leave.
    LetsGo(u32),
    /// No copy of a block is left that is in no interval yet.
    GiveUp(GivenUp),
    /// Nobody has these records, though they were acknowledged.
    Gone(Vec<RecordRange>),
    /// Record an event.
    Record(Event),
}

/// A block as the ledger knows it.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) ranges: Vec<RecordRange>,
    pub(super) interval: u64,
    pub(super) holders: BTreeSet<u32>,
    pub(super) allotted: Option<u64>,
    /// When a worker that had been away brought it, and nobody else was known to have it.
    pub(super) brought: Option<Moment>,
    /// Clients may have been told that it is held.
    pub(super) is_told: bool,
}

/// The ledger's core.
#[derive(Debug)]
pub struct Ledger {
    limits: LedgerLimits,
    /// worker -> epoch
    members: BTreeMap<u32, u64>,
    blocks: BTreeMap<BlockName, Block>,
    allotted: RangeSet,
    /// member -> all it received for intervals below this one is known here
    closed_below: BTreeMap<u32, u64>,
    /// member that is to leave -> all it received for intervals below this one must be known before
    leaving: BTreeMap<u32, u64>,
    /// lost worker -> members that have not said what they hold of it: copies of which no word has come yet, and blocks that
    /// the lost worker did not live to announce
    orphans: BTreeMap<Member, BTreeSet<u32>>,
    copies: Copies,
    clients: Clients,
    /// client that asked -> which of its records it hears of when they are held
    owed: BTreeMap<u32, RangeSet>,
    /// Blocks whose records are all in others: whoever holds one forgets it, and acknowledges it, when those have their
    /// copies.
    masked: BTreeMap<BlockName, Vec<RecordRange>>,
    untold: Untold,
    /// Blocks that were given up stay given up, also when a holder comes back: the run has said that they are gone.
    given_up: BTreeSet<BlockName>,
    next: u64,
    /// Workers have yet to say what they hold.
    is_recovering: bool,
    last_step: Moment,
    /// When the master last went on after a stall of its own. What the members said meanwhile comes only now.
    resumed: Moment,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(limits: LedgerLimits) -> Ledger {
        // What the log holds needs no copies, and what it does not hold yet is promised to nobody.
        let promised = if limits.input == Input::Log { 0 } else { limits.copies };
        Ledger {
            copies: Copies::new(promised, limits.patience, limits.placement),
            clients: Clients::new(limits.patience),
            owed: BTreeMap::new(),
            masked: BTreeMap::new(),
            untold: Untold::default(),
            limits,
            members: BTreeMap::new(),
            blocks: BTreeMap::new(),
            allotted: RangeSet::new(),
            closed_below: BTreeMap::new(),
            leaving: BTreeMap::new(),
            orphans: BTreeMap::new(),
            given_up: BTreeSet::new(),
            next: 0,
            is_recovering: false,
            last_step: Moment::ZERO,
            resumed: Moment::ZERO,
        }
    }

    fn is_member(&self, member: &Member) -> bool {
        *member == LOG_MEMBER || self.members.get(&member.worker) == Some(&member.epoch)
    }

    fn end_of(&self, interval: u64) -> Moment {
        let nanos = u64::try_from(self.limits.interval.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.limits.origin.0.saturating_add(nanos.saturating_mul(interval + 1))) + self.limits.slack
    }

    /// Whether everything that can be known of the interval is known.
    fn is_complete(&self, interval: u64) -> bool {
        let closed = |worker: &u32| self.closed_below.get(worker).is_some_and(|below| *below > interval);
        self.members.keys().all(closed) && self.orphans.values().all(BTreeSet::is_empty)
    }

    fn seal_ready(&mut self, now: Moment, actions: &mut Vec<LedgerAction>) {
        loop {
            let end = self.end_of(self.next);
            let is_due = now >= end && !self.members.is_empty() && self.is_complete(self.next);
            if !is_due && now < self.patience_ends() {
                return;
            }
            self.seal(now, actions);
        }
    }

    /// When the interval that is next is sealed whoever has not reported.
    fn patience_ends(&self) -> Moment {
        self.end_of(self.next).max(self.resumed) + self.limits.patience
    }

    /// Takes note of a stall: the master is woken far more often than this.
    fn notice_stall(&mut self, now: Moment) {
        if self.last_step != Moment::ZERO && now.since(self.last_step) > self.limits.patience / 2 {
            self.resumed = now;
            self.clients.stalled(now);
        }
        self.last_step = now;
    }

    fn seal(&mut self, now: Moment, actions: &mut Vec<LedgerAction>) {
        let interval = self.next;
        self.next += 1;
        let open = self.blocks.iter().filter(|(_, block)| block.allotted.is_none() && block.interval <= interval);
        let came_later = self.came_later(interval);
        let open = open.filter(|(_, block)| self.is_to_stay(block) && !self.waits_for_copies(now, block));
        let open = open.filter(|(_, block)| !self.is_left_to(&came_later, block));
        let rank = |block: &Block| (!self.is_held(block), !block.is_told);
        let mut candidates: Vec<_> = open.map(|(name, block)| (rank(block), *name)).collect();
        // Of records that two blocks have, those count that are in the one with all its copies, or in the one of which
        // clients may have heard.
        candidates.sort_unstable();
        let (mut ranges, mut blocks) = (RangeSet::new(), Vec::new());
        for ((lacks_copies, is_untold), name) in candidates {
            let block = self.blocks.get_mut(&name).expect("its key was just read");
            let (fresh, skip) = allot(&mut self.allotted, &block.ranges);
            if fresh.is_empty() {
                let masked = self.blocks.remove(&name).map(|block| block.ranges);
                self.masked.extend(masked.map(|ranges| (name, ranges)));
                continue;
            }
            block.allotted = Some(interval);
            match self.limits.input {
                Input::Replay => _ = block.holders.insert(CLIENTS),
                Input::Memory if lacks_copies && is_untold => {
                    block.holders.insert(UNTOLD_CLIENTS);
                    self.untold.blocks.insert(name);
                }
                Input::Memory | Input::Log => {}
            }
            for range in &fresh {
                ranges.insert(*range);
            }
            let holders = block.holders.iter().copied().collect();
            let order = BlockOrder { name, holders, skip, ranges: Vec::new() };
            blocks.push(Allotment { order, ranges: fresh });
        }
        blocks.sort_unstable_by_key(|block: &Allotment| block.order.name);
        let ranges: Vec<RecordRange> = ranges.iter().collect();
        actions.push(LedgerAction::Seal { interval, ranges, blocks });
    }

    fn done(&mut self, interval: u64, actions: &mut Vec<LedgerAction>) {
        let blocks: Vec<BlockName> =
            self.blocks.iter().filter(|(_, block)| block.allotted == Some(interval)).map(|(name, _)| *name).collect();
        for name in &blocks {
            self.blocks.remove(name);
            self.copies.forget(name);
        }
        actions.push(LedgerAction::Forget { by: None, blocks });
    }
}

/// Allots what is not yet allotted of a block's segments: (the fresh records, the lines to skip).
fn allot(allotted: &mut RangeSet, segments: &[RecordRange]) -> (Vec<RecordRange>, Vec<Skip>) {
    let (mut fresh, mut skip) = (Vec::new(), Vec::new());
    for (segment, range) in segments.iter().enumerate() {
        let segment = u32::try_from(segment).expect("a block has far fewer segments than lines");
        let mut from = range.first;
        for known in allotted.insert(*range) {
            skip.push(Skip { segment, from: known.first - range.first, to: known.last + 1 - range.first });
            if known.first > from {
                fresh.push(RecordRange { client: range.client, first: from, last: known.first - 1 });
            }
            from = known.last + 1;
        }
        if from <= range.last {
            fresh.push(RecordRange { client: range.client, first: from, last: range.last });
        }
    }
    (fresh, skip)
}

impl Core for Ledger {
    type Event = LedgerEvent;
    type Action = LedgerAction;

    fn step(&mut self, now: Moment, event: LedgerEvent, actions: &mut Vec<LedgerAction>) {
        self.notice_stall(now);
        let mut membership_changed = false;
        match event {
            LedgerEvent::Joined(member) => {
                self.members.insert(member.worker, member.epoch);
                membership_changed = true;
            }
            LedgerEvent::Lost(member) => {
                self.lost(member, actions);
                membership_changed = true;
            }
            LedgerEvent::Announced { by, blocks, closed_below } => {
                let is_back = closed_below.is_none() && !self.is_recovering;
                let announced: Vec<BlockName> = blocks.iter().map(|block| block.name).collect();
                self.learn(by, blocks, is_back.then_some(now), actions);
                if let Some(below) = closed_below {
                    self.closed_below.insert(by, below);
                    self.heard(by, announced, actions);
                }
            }
            LedgerEvent::Orphans { by, origin, blocks } => {
                // What was on its way to others in its last life a worker names when it has joined.
                let is_back = origin.worker == by && !self.is_recovering;
                self.learn(by, blocks, is_back.then_some(now), actions);
                if let Some(waiting) = self.orphans.get_mut(&origin) {
                    waiting.remove(&by);
                }
            }
            LedgerEvent::CopyHeld { by, block } => self.copy_held(now, (by, block), actions),
            LedgerEvent::NotHeld { at, block } => self.not_held(at, block, actions),
            LedgerEvent::Reconnected { worker } => self.reconnected(worker, actions),
            LedgerEvent::Client { client, is_there } => self.clients.seen(now, client, is_there),
            LedgerEvent::Asked { client } => self.answer(client, actions),
            LedgerEvent::Done { interval } => self.done(interval, actions),
            LedgerEvent::Leaving(worker) => {
                self.leaving(now, worker);
                membership_changed = true;
            }
            LedgerEvent::Stays(worker) => {
                self.leaving.remove(&worker);
                membership_changed = true;
            }
            LedgerEvent::MayLeave(worker) => return self.may_leave(worker, actions),
            LedgerEvent::GivenUp(block) => {
                self.given_up.insert(block);
                self.blocks.remove(&block);
                self.copies.forget(&block);
            }
            LedgerEvent::Recovered(found) => self.recovered(found),
            LedgerEvent::Resumed => {
                (self.is_recovering, self.resumed) = (false, now);
                self.await_clients(now);
                membership_changed = true;
            }
            LedgerEvent::Acknowledged(ranges) => self.acknowledged(&ranges, actions),
            LedgerEvent::Tick => {}
        }
        if self.is_recovering {
            return;
        }
        self.hear_of_orphans(actions);
        self.give_up_unallotted(actions);
        self.seal_ready(now, actions);
        self.do_without_clients(now, actions);
        self.say_what_is_held(actions);
        let known = Known { takers: self.takers(), leaving: &self.leaving, blocks: &self.blocks };
        self.copies.repair(now, &known, membership_changed, actions);
    }

    /// The end of the interval that is next, then the end of the patience with those who do not report.
    fn deadline(&self) -> Option<Moment> {
        let end = self.end_of(self.next);
        let due = if self.last_step >= end { self.patience_ends() } else { end };
        // Woken regularly, it notices when it was not.
        let regular = self.last_step + self.limits.patience / 4;
        if self.is_recovering {
            return Some(regular);
        }
        let parts = [self.copies.deadline(), self.clients.deadline(), Some(due), Some(regular)];
        parts.into_iter().flatten().min()
    }
}

mod clients;
mod gone;
mod holders;
mod leaving;
#[cfg(test)]
mod tests;
mod untold;
