//! Damage: which records may be lost follows from the faults as applied and from where the copies were.
//!
//! The promise ends when more workers are lost than it covers before redundancy is back. A block all of whose holders
//! were lost then, while its interval still needed it, may be gone; where operators are long-lived, also what is in their
//! state and nowhere else; where clients keep what they sent, only with a client that stayed away; of what was never
//! acknowledged see [`super::alone`]. Nothing else may. Lost
//! copies are those of
//! processes that ended and of workers that were declared lost while a fault of the plan held them off. Invariant: the
//! engine's word counts only against it: its "all copies are there again" closes the losses before it.

use super::alone::Alone;
use super::operators::Operators;
use super::reach::{heard_by, held_off};
use super::senders::Senders;
use super::{CheckInput, Missing};
use dstream_trace::measure::{Facts, Sent};
use dstream_trace::result::BrokenPromise;
use dstream_trace::{BlockName, Event, Moment, NodeName, RangeSet, RecordRange, TaskName, TraceLine};
use std::collections::{BTreeMap, BTreeSet};

/// Records that may be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Since when.
    pub at: Moment,
    /// Who was lost at once.
    pub lost: Vec<NodeName>,
    /// Their interval; `None` if they had not been sealed into one.
    pub interval: Option<u64>,
    /// Which.
    pub ranges: Vec<RecordRange>,
}

/// Everything that may be gone, by the harness's own computation.
pub(super) fn possible(input: &CheckInput<'_>) -> Vec<Damage> {
    let mut walk = Walk::new(input);
    for line in input.lines {
        walk.step(line);
    }
    walk.damage
}

/// The records of an interval (or of none) that may be gone. A record that was not sealed may be of a block that was,
/// and the other way round, since a record may have been received twice.
pub(super) fn allowed(damage: &[Damage], interval: Option<u64>) -> RangeSet {
    let fits = |found: &&Damage| interval.is_none() || found.interval.is_none() || found.interval == interval;
    damage.iter().filter(fits).flat_map(|found| &found.ranges).copied().collect()
}

/// One entry for each moment at which the promise ended with possible damage, with what is really missing.
pub(super) fn broken_promises(damage: &[Damage], seen: &Missing, input: &CheckInput<'_>) -> Vec<BrokenPromise> {
    let mut moments: BTreeMap<Moment, Vec<&Damage>> = BTreeMap::new();
    for found in damage {
        moments.entry(found.at).or_default().push(found);
    }
    let mut told = RangeSet::new();
    let mut promises = Vec::new();
    for (at, found) in moments {
        let mut gone = RangeSet::new();
        let mut intervals = BTreeSet::new();
        for (interval, missing) in seen {
            let may = found.iter().filter(|damage| interval.is_none() || damage.interval == *interval);
            let parts = may.flat_map(|damage| &damage.ranges).flat_map(|range| missing.overlap(*range));
            for part in parts.flat_map(|part| told.gaps(part)).collect::<Vec<_>>() {
                gone.insert(part);
                match interval {
                    Some(interval) => intervals.extend([*interval]),
                    None => intervals.extend(due_in(part, input)),
                }
            }
        }
        gone.iter().for_each(|range| drop(told.insert(range)));
        let names: Vec<&str> = found[0].lost.iter().map(NodeName::as_str).collect();
        promises.push(BrokenPromise {
            promise: input.promise.words.clone(),
            at_s: dstream_trace::measure::seconds_from(input.run.warmup_end, at),
            why: format!("{} were lost before redundancy was back", names.join(", ")),
            records: gone.count(),
            intervals: intervals.into_iter().collect(),
        });
    }
    promises
}

/// The intervals in which records were due; the results of these lack them where they are in none.
fn due_in(range: RecordRange, input: &CheckInput<'_>) -> BTreeSet<u64> {
    let due = |sent: &Sent, record| input.run.open_at(sent.scheduled(record));
    let pieces = input.facts.sent_within(range);
    pieces.flat_map(|sent| due(&sent, sent.range.first)..=due(&sent, sent.range.last)).collect()
}

/// A worker's loss that redundancy has not made good yet.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    declared: bool,
}

/// A block and who holds it.
#[derive(Debug, Default)]
struct Held {
    ranges: Vec<RecordRange>,
    holders: BTreeSet<NodeName>,
    /// The engine let a copy go that the promise asks for; what is lost with the rest is its own doing.
    let_go: bool,
}

/// Block -> its records, and whether the engine had let a copy go.
type Away = BTreeMap<BlockName, (Vec<RecordRange>, bool)>;

struct Walk<'a, 'b> {
    input: &'a CheckInput<'b>,
    /// block -> the interval that it was sealed into, by the whole log
    intervals: BTreeMap<BlockName, u64>,
    /// Blocks that somebody holds.
    blocks: BTreeMap<BlockName, Held>,
    /// Blocks without a holder whose loss the faults allow, while their interval may still do without them.
    orphans: BTreeMap<BlockName, Vec<RecordRange>>,
    /// Blocks without a holder whose clients send them again, while their interval may still do without them.
    sent_again: BTreeMap<BlockName, Vec<RecordRange>>,
    senders: Senders,
    alone: Alone,
    /// Finished attempts by the node that has their slices.
    slices: BTreeMap<NodeName, BTreeSet<TaskName>>,
    /// The same of nodes that were declared lost before: known to nobody until they join again.
    late_slices: BTreeMap<NodeName, BTreeSet<TaskName>>,
    /// Long-lived operators.
    operators: Operators,
    /// When all that had the state of some partition were gone beyond the promise, and who was lost then.
    state_gone: Option<(Moment, Vec<NodeName>)>,
    joined: BTreeSet<NodeName>,
    /// Who joined at some time.
    known: BTreeSet<NodeName>,
    /// Those that came for the first time when fewer than copies were there, and hold nothing yet of what was held before.
    arriving: BTreeSet<NodeName>,
    losses: BTreeMap<NodeName, Loss>,
    /// What workers hold that live and were declared lost: theirs again when they join again.
    away: BTreeMap<NodeName, Away>,
    /// What workers held that are dead and not declared lost: the engine still counts on them.
    fallen: BTreeMap<NodeName, BTreeSet<BlockName>>,
    damage: Vec<Damage>,
    /// Tasks of later intervals read what an interval leaves: its blocks are needed until a checkpoint goes through it.
    keeps_state: bool,
    checkpointed_below: u64,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(input: &'a CheckInput<'b>) -> Walk<'a, 'b> {
        let sealed = input.facts.sealed.iter();
        let intervals = sealed.flat_map(|(interval, seal)| seal.blocks.iter().map(|block| (*block, *interval)));
        Walk {
            input,
            intervals: intervals.collect(),
            blocks: BTreeMap::new(),
            orphans: BTreeMap::new(),
            sent_again: BTreeMap::new(),
            senders: Senders::new(input),
            alone: Alone::new(input),
            slices: BTreeMap::new(),
            late_slices: BTreeMap::new(),
            operators: Operators::default(),
            state_gone: None,
            joined: BTreeSet::new(),
            known: BTreeSet::new(),
            arriving: BTreeSet::new(),
            losses: BTreeMap::new(),
            away: BTreeMap::new(),
            fallen: BTreeMap::new(),
            damage: Vec::new(),
            keeps_state: input.keeps_state,
            checkpointed_below: 0,
        }
    }

    fn step(&mut self, line: &TraceLine) {
        let node = &line.node;
        if self.senders.go_on(line.at) {
            self.senders_changed(line.at);
        }
        self.lose_with_clients(line.at);
        if let Event::WorkerLost { worker, .. } | Event::WorkerJoined { worker, .. } = &line.event {
            self.fallen.remove(worker);
        }
        match &line.event {
            // A copy that comes to a worker after it was declared lost is known to nobody until it joins again.
            Event::BlockHeld { block, ranges, .. } if self.is_away(node) => {
                if self.operators.exist() && !self.blocks.contains_key(block) {
                    self.alone.hold_unknown(node, *block, ranges, line.at);
                }
                self.away.entry(node.clone()).or_default().insert(*block, (ranges.clone(), false));
            }
            Event::BlockHeld { block, ranges, .. } => {
                let promised = self.promised_copies();
                self.alone.hold(ranges);
                let held = self.blocks.entry(*block).or_default();
                held.ranges = ranges.clone();
                held.holders.insert(node.clone());
                held.let_go &= held.holders.len() < promised;
                self.orphans.remove(block);
                self.sent_again.remove(block);
            }
            Event::BlockForgotten { block } => self.forget(*block, node, line.at),
            // The store is a holder that no fault takes away.
            Event::BlockLogged { block, ranges, .. } => {
                let held = self.blocks.entry(*block).or_default();
                held.ranges = ranges.clone();
                held.holders.insert(NodeName::store());
                self.orphans.remove(block);
            }
            Event::BlockUnlogged { block } => self.forget(*block, &NodeName::store(), line.at),
            Event::TaskFinished { task, .. } => self.finish(node, *task),
            Event::RecordsAcked { range } => self.alone.acknowledge(*range),
            Event::WorkerJoined { worker, .. } => self.join(worker),
            Event::CheckpointComplete { through } => self.checkpointed_below = through + 1,
            Event::PartitionTaken { partition, node, .. } => {
                self.operators.take(*partition, node, self.losses.is_empty());
            }
            Event::PartitionLeft { partition, node } => self.operators.hand_on(*partition, node),
            Event::PartitionRestored { partition, .. } => self.operators.restore(*partition, node),
            Event::ProcessEnded if node.is_of_the_work() => {
                self.lose(node, line.at, false);
                self.alone.lose_unknown(node, &self.losses.keys().cloned().collect::<Vec<_>>());
                let held = self.away.remove(node).unwrap_or_default();
                self.fallen.insert(node.clone(), held.into_keys().collect());
            }
            Event::WorkerLost { worker, .. } if held_off(self.input, worker, line.at) => {
                self.lose(worker, line.at, true);
            }
            Event::WorkerLost { worker, .. } => {
                self.joined.remove(worker);
            }
            Event::WorkerLeft { worker, .. } => self.leave(worker, line.at),
            // With fewer workers than copies nothing lacks what could be made, and yet redundancy is not back.
            Event::CopiesBelow { blocks: 0 } if self.joined.len() >= self.input.promise.copies as usize => {
                self.losses.retain(|_, loss| !loss.declared);
                self.arriving.clear();
                if self.losses.is_empty() {
                    self.operators.settle();
                }
            }
            _ => {}
        }
    }

    /// The node has slices from now on.
    fn finish(&mut self, node: &NodeName, task: TaskName) {
        let slices = if self.is_away(node) { &mut self.late_slices } else { &mut self.slices };
        slices.entry(node.clone()).or_default().insert(task);
    }

    fn join(&mut self, worker: &NodeName) {
        let are_short = self.joined.difference(&self.arriving).count() < self.input.promise.copies as usize;
        if self.known.insert(worker.clone()) && are_short && !self.blocks.is_empty() {
            self.arriving.insert(worker.clone());
        }
        self.joined.insert(worker.clone());
        self.alone.known(worker);
        let late = self.late_slices.remove(worker).unwrap_or_default();
        self.slices.entry(worker.clone()).or_default().extend(late);
        self.bring_back(worker);
    }

    /// Whether the worker was declared lost and has not come back.
    fn is_away(&self, worker: &NodeName) -> bool {
        self.losses.get(worker).is_some_and(|loss| loss.declared) && !self.joined.contains(worker)
    }

    fn promised_copies(&self) -> usize {
        (self.input.promise.copies as usize).min(self.live())
    }

    /// How many workers live, the master's knowledge aside.
    fn live(&self) -> usize {
        self.joined.iter().filter(|worker| !self.is_undeclared(worker)).count()
    }

    /// A worker that was declared lost while it lived has come back with what it held.
    fn bring_back(&mut self, worker: &NodeName) {
        for (block, (ranges, let_go)) in self.away.remove(worker).unwrap_or_default() {
            self.orphans.remove(&block);
            self.sent_again.remove(&block);
            self.alone.hold(&ranges);
            let held = self.blocks.entry(block).or_insert(Held { ranges, holders: BTreeSet::new(), let_go });
            held.holders.insert(worker.clone());
        }
    }

    fn forget(&mut self, block: BlockName, node: &NodeName, at: Moment) {
        if let Some(away) = self.away.get_mut(node) {
            away.remove(&block);
        }
        let promised = self.promised_copies();
        let is_needed = self.intervals.get(&block).is_none_or(|interval| !self.is_complete(*interval, at));
        if let Some(held) = self.blocks.get_mut(&block) {
            let was_holder = held.holders.remove(node);
            let lives_on = self.operators.exist();
            held.let_go |= was_holder && is_needed && held.holders.len() < promised && !lives_on;
            if held.holders.is_empty()
                && let Some(held) = self.blocks.remove(&block)
                && is_needed
                && lives_on
            {
                self.let_into_state(block, held.ranges, node, at);
            }
        }
    }

    /// Who can be asked to send again is another now.
    fn senders_changed(&mut self, at: Moment) {
        let mut all = std::mem::take(&mut self.sent_again);
        all.append(&mut self.orphans);
        (self.sent_again, self.orphans) = all.into_iter().partition(|(_, ranges)| self.senders.have(ranges));
        self.record_damage(at);
    }

    /// The last copy of the block went, because operators have taken in what is in it. The word to let it go may have been
    /// under way when the state was lost: then it is gone with that.
    fn let_into_state(&mut self, block: BlockName, ranges: Vec<RecordRange>, by: &NodeName, now: Moment) {
        let is_in_time = |(at, lost): &(Moment, Vec<NodeName>)| {
            let of: Vec<&NodeName> = lost.iter().chain([by]).collect();
            now <= heard_by(self.input, *at, &of)
        };
        match self.state_gone.clone().filter(is_in_time) {
            Some((at, lost)) => {
                let interval = self.intervals.get(&block).copied();
                self.damage.push(Damage { at, lost, interval, ranges });
            }
            None => self.operators.absorb(block, ranges),
        }
    }

    fn lose(&mut self, node: &NodeName, at: Moment, declared: bool) {
        let live_before = self.live();
        self.losses.entry(node.clone()).or_default().declared |= declared;
        if declared {
            self.joined.remove(node);
        }
        self.slices.remove(node);
        self.late_slices.remove(node);
        // With fewer live workers than copies the promise covers fewer losses, and one that has just come has no copies.
        let arriving = self.arriving.iter().filter(|worker| *worker != node).count();
        let covered = (self.input.promise.losses_at_once as usize).min(live_before.saturating_sub(1 + arriving));
        let is_broken = self.losses.len() > covered;
        let mut orphaned = self.orphaned(node);
        let state_is_gone = self.operators.lose(node);
        if self.input.promise.replays.is_some() {
            let again = orphaned.extract_if(.., |(_, ranges)| self.senders.have(ranges));
            self.sent_again.extend(again);
            self.orphans.extend(orphaned);
            self.record_damage(at);
        } else if is_broken {
            self.orphans.extend(orphaned);
            if state_is_gone {
                self.orphans.extend(self.operators.take_absorbed());
                self.state_gone = Some((at, self.losses.keys().cloned().collect()));
            }
            self.record_damage(at);
        } else if self.operators.exist() {
            // What an operator had taken in is not gone with its block.
            let lost: Vec<NodeName> = self.losses.keys().cloned().collect();
            for (block, ranges) in orphaned {
                self.alone.lose(block, &ranges, &lost, at);
                self.operators.absorb(block, ranges);
            }
        }
    }

    /// What only a client had that is gone is gone with it.
    fn lose_with_clients(&mut self, at: Moment) {
        for left in self.alone.go_on(at) {
            let interval = self.intervals.get(&left.block).copied();
            if interval.is_none_or(|interval| !self.is_complete(interval, at)) {
                self.damage.push(Damage { at, lost: left.lost, interval, ranges: left.ranges });
            }
        }
    }

    /// The worker went by itself, with all that it held. It is no fault: what nobody else holds now is the engine's doing,
    /// unless it counts on one whose death it cannot know of, and the promise ended with that death.
    fn leave(&mut self, node: &NodeName, at: Moment) {
        self.joined.remove(node);
        self.slices.remove(node);
        let is_held = |(_, held): &(&BlockName, &Held)| held.holders.contains(node);
        let held: Vec<BlockName> = self.blocks.iter().filter(is_held).map(|(block, _)| *block).collect();
        let covered = (self.input.promise.losses_at_once as usize).min(self.live());
        let mut is_damaged = false;
        for block in held {
            let is_last = self.blocks.get(&block).is_some_and(|held| held.holders.len() == 1);
            let is_counted_on = self.fallen.values().any(|held| held.contains(&block));
            if is_last && is_counted_on && self.losses.len() > covered {
                is_damaged = true;
                self.orphans.extend(self.blocks.remove(&block).map(|held| (block, held.ranges)));
            } else if is_last && self.input.promise.replays.is_some() {
                self.sent_again.extend(self.blocks.remove(&block).map(|held| (block, held.ranges)));
            } else {
                self.forget(block, node, at);
            }
        }
        if is_damaged {
            self.record_damage(at);
        }
    }

    /// Whether the worker is lost and the master does not know it yet.
    fn is_undeclared(&self, worker: &NodeName) -> bool {
        self.losses.get(worker).is_some_and(|loss| !loss.declared)
    }

    /// Takes the node's copies away; returns the blocks that nobody holds now by no doing of the engine.
    fn orphaned(&mut self, node: &NodeName) -> Vec<(BlockName, Vec<RecordRange>)> {
        let mut orphaned = Vec::new();
        self.blocks.retain(|block, held| {
            let was_holder = held.holders.remove(node);
            if was_holder {
                let away = self.away.entry(node.clone()).or_default();
                away.insert(*block, (held.ranges.clone(), held.let_go));
            }
            let was_last = was_holder && held.holders.is_empty();
            if was_last && !held.let_go {
                orphaned.push((*block, std::mem::take(&mut held.ranges)));
            }
            !held.holders.is_empty()
        });
        orphaned
    }

    /// Orphans whose interval can do without them no longer are damage.
    fn record_damage(&mut self, at: Moment) {
        let lost: Vec<NodeName> = self.losses.keys().cloned().chain(self.senders.gone()).collect();
        for (block, ranges) in std::mem::take(&mut self.orphans) {
            let interval = self.intervals.get(&block).copied();
            if interval.is_some_and(|interval| self.is_complete(interval, at)) {
                continue;
            }
            if interval.is_some_and(|interval| self.has_slices(interval, block)) {
                self.orphans.insert(block, ranges);
                continue;
            }
            let ranges = match interval.and_then(|interval| self.input.facts.sealed.get(&interval)) {
                Some(seal) => {
                    let sealed: RangeSet = seal.ranges.iter().copied().collect();
                    ranges.iter().flat_map(|range| sealed.overlap(*range)).collect()
                }
                None => ranges,
            };
            self.damage.push(Damage { at, lost: lost.clone(), interval, ranges });
        }
    }

    /// Whether nothing needs the interval's blocks any more.
    fn is_complete(&self, interval: u64, at: Moment) -> bool {
        if self.keeps_state {
            return interval < self.checkpointed_below;
        }
        self.input.facts.covered(interval, &self.input.run.outputs).is_some_and(|done| done <= at)
    }

    /// Whether the slices that were made from the block are at a node that lives.
    fn has_slices(&self, interval: u64, block: BlockName) -> bool {
        let Some(partition) = partition_of(self.input.facts, interval, block) else { return false };
        let first = TaskName { interval, stage: 0, partition, attempt: 0 };
        let last = TaskName { attempt: u32::MAX, ..first };
        self.slices.values().any(|tasks| tasks.range(first..=last).next().is_some())
    }
}

fn partition_of(facts: &Facts, interval: u64, block: BlockName) -> Option<u32> {
    let place = facts.cuts.get(&interval)?.iter().position(|blocks| blocks.contains(&block))?;
    u32::try_from(place).ok()
}
