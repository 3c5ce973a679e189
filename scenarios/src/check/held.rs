//! Acknowledged means held, also when a node leaves that held it: a client may learn that records are held only when as
//! many nodes hold them as promised, or the log does, or the journal says in which interval they are, where that is the
//! promise.
//!
//! Counts copies by the nodes' own events, never by the master's word; a node that has a partition's state behind an
//! interval has what its source had sealed up to there, as good as in a block. Promised is min(copies, live workers);
//! the least number of live workers within one failure timeout counts, since membership takes that long to be known
//! everywhere. For the same reason a holder that died counts until it is declared lost, but no longer than a failure
//! timeout: whether the detector does its work must not decide what this check sees. Who is declared lost and lives has its
//! copies yet: they count again when it joins again. Records that may be gone need no copies from then on: a client that
//! comes back hears that it need not send them. Nor do records that are in results, or, where those are not due yet, in a
//! complete checkpoint: no recovery reads their blocks again. Whoever calls a checkpoint complete answers for that: from
//! then on no fault may take any of it.

use super::damage::Damage;
use super::{CheckInput, Finding};
use dstream_trace::{BlockName, Event, Moment, NodeName, RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The first acknowledgements that came too early.
pub(super) fn acknowledged_means_held(input: &CheckInput<'_>, damage: &[Damage]) -> Finding {
    let (mut finding, mut acked) = (Finding::default(), RangeSet::new());
    let mut copies = Copies::new(input.promise.copies);
    let (mut members, mut dead) = (Members::new(input.run.failure_timeout), Dead::new(input.run.failure_timeout));
    let mut saved_below = 0;
    for line in input.lines {
        let (node, at) = (&line.node, line.at);
        dead.expire(at, &mut copies);
        match &line.event {
            Event::WorkerJoined { worker, .. } => {
                members.change(at, |m| m.joined.insert(worker.clone()));
                copies.come_back(worker);
            }
            Event::WorkerLost { worker, .. } => {
                members.change(at, |m| m.joined.remove(worker));
                if !dead.expire_of(worker, &mut copies) {
                    copies.go_away(worker);
                }
            }
            Event::WorkerLeft { worker, .. } => {
                members.change(at, |m| m.joined.remove(worker));
                let promised = input.promise.copies.min(members.least_live(at)).max(1);
                let short = copies.short_without(worker, promised);
                dead.expire_of(worker, &mut copies);
                copies.lose_all(worker);
                let is_needed =
                    |range: &RecordRange| acked.gaps(*range).is_empty() && !is_over(input, *range, at, saved_below);
                for range in short.into_iter().filter(is_needed) {
                    finding.add(|| format!("{worker} left at {at} while fewer than {promised} others held {range:?}"));
                }
            }
            Event::NodeStarted { .. } => members.change(at, |m| m.down.remove(node)),
            Event::ProcessEnded => {
                members.change(at, |m| m.down.insert(node.clone()));
                copies.away.remove(node);
                dead.add(node, at, copies.held_by(node));
            }
            Event::BlockLogged { block, ranges, .. } if input.promise.logs => {
                copies.hold(*block, &NodeName::store(), ranges)
            }
            Event::IntervalSealed { ranges, .. } if input.promise.replays.is_some() => copies.are_journalled(ranges),
            Event::BlockHeld { .. } if input.promise.logs || input.promise.replays.is_some() => {}
            Event::BlockHeld { block, ranges, .. } => {
                dead.holds_again(node, block);
                copies.hold(*block, node, ranges);
            }
            Event::BlockForgotten { block } => copies.lose(*block, node),
            Event::PartitionRestored { partition, through: Some(through), .. } => {
                let shares = input.facts.shares.iter();
                let in_state = shares.filter(|(interval, source, _)| interval <= through && source == partition);
                in_state.flat_map(|(_, _, share)| &share.blocks).for_each(|block| copies.hold_in_state(*block, node));
            }
            Event::RecordsAcked { range } => {
                // A client that was started again hears of records that an earlier life knew of.
                let (fresh, live) = (acked.gaps(*range), members.least_live(at));
                let promised = input.promise.copies.min(live).max(1);
                acked.insert(*range);
                let mut lacking = fresh.iter().flat_map(|range| copies.lacking(*range, promised));
                let is_gone = |range| is_gone(damage, range, at) && !copies.has_any(range);
                if lacking.any(|range| !is_over(input, range, at, saved_below) && !is_gone(range)) {
                    let early = format!("records {range:?} were acknowledged at {at} before");
                    finding.add(|| format!("{early} {promised} nodes held them"));
                }
            }
            Event::CheckpointComplete { through } => saved_below = through + 1,
            _ => {}
        }
    }
    finding
}

/// Whether all of the records may be gone by now, if nobody has any of them.
fn is_gone(damage: &[Damage], range: RecordRange, at: Moment) -> bool {
    let gone: RangeSet =
        damage.iter().filter(|found| found.at <= at).flat_map(|found| &found.ranges).copied().collect();
    gone.gaps(range).is_empty()
}

/// Whether the records were all in results, or in a checkpoint and all results that are due of them out: those need no
/// copies any more.
fn is_over(input: &CheckInput<'_>, range: RecordRange, at: Moment, saved_below: u64) -> bool {
    let (facts, run) = (input.facts, input.run);
    let is_in_results = |interval: u64| facts.covered(interval, &run.outputs).is_some_and(|done| done <= at);
    let is_due_out =
        |interval: u64| facts.done(interval, &run.outputs).map_or(!run.is_due(interval), |done| done <= at);
    let is_stored = |interval: u64| interval < saved_below && is_due_out(interval);
    let over = facts.sealed.iter().filter(|(interval, _)| is_in_results(**interval) || is_stored(**interval));
    let over: RangeSet = over.flat_map(|(_, seal)| seal.ranges.iter().copied()).collect();
    over.gaps(range).is_empty()
}

/// What nodes held that died and are not declared lost yet. A later life of a node has nothing of it, and what it holds
/// counts for itself.
struct Dead {
    timeout: Duration,
    lives: Vec<Life>,
}

/// One that ended.
struct Life {
    of: NodeName,
    held: BTreeSet<BlockName>,
    /// From then on it does not count any more.
    until: Moment,
}

impl Life {
    fn end(&self, copies: &mut Copies) {
        self.held.iter().for_each(|block| copies.lose(*block, &self.of));
    }
}

impl Dead {
    fn new(timeout: Duration) -> Dead {
        Dead { timeout, lives: Vec::new() }
    }

    fn add(&mut self, node: &NodeName, at: Moment, held: BTreeSet<BlockName>) {
        self.lives.push(Life { of: node.clone(), held, until: at + self.timeout });
    }

    fn holds_again(&mut self, node: &NodeName, block: &BlockName) {
        self.lives.iter_mut().filter(|life| life.of == *node).for_each(|life| _ = life.held.remove(block));
    }

    fn expire(&mut self, now: Moment, copies: &mut Copies) {
        self.lives.extract_if(.., |life| life.until <= now).for_each(|life| life.end(copies));
    }

    /// The node is declared lost. Whether it had died.
    fn expire_of(&mut self, node: &NodeName, copies: &mut Copies) -> bool {
        let ended: Vec<Life> = self.lives.extract_if(.., |life| life.of == *node).collect();
        ended.iter().for_each(|life| life.end(copies));
        !ended.is_empty()
    }
}

/// Who holds what, and what was ever held by how many at once.
struct Copies {
    blocks: BTreeMap<BlockName, Block>,
    /// `levels[n - 1]`: records that n nodes held at once at some time.
    levels: Vec<RangeSet>,
    /// What those hold that are declared lost and live: it counts again when they join again.
    away: BTreeMap<NodeName, BTreeMap<BlockName, Vec<RecordRange>>>,
}

#[derive(Default)]
struct Block {
    ranges: Vec<RecordRange>,
    holders: BTreeSet<NodeName>,
}

impl Copies {
    fn new(copies: u32) -> Copies {
        let levels = vec![RangeSet::new(); copies.max(1) as usize];
        Copies { blocks: BTreeMap::new(), levels, away: BTreeMap::new() }
    }

    fn hold(&mut self, block: BlockName, node: &NodeName, ranges: &[RecordRange]) {
        let held = self.blocks.entry(block).or_default();
        held.ranges = ranges.to_vec();
        held.holders.insert(node.clone());
        let reached = held.holders.len().min(self.levels.len());
        for range in ranges {
            self.levels[reached - 1].insert(*range);
        }
    }

    /// Whoever sent the records sends them again: they need no node.
    fn are_journalled(&mut self, ranges: &[RecordRange]) {
        self.levels.iter_mut().for_each(|level| ranges.iter().for_each(|range| drop(level.insert(*range))));
    }

    /// The node has what is in a block that somebody holds.
    fn hold_in_state(&mut self, block: BlockName, node: &NodeName) {
        if let Some(ranges) = self.blocks.get(&block).map(|held| held.ranges.clone()) {
            self.hold(block, node, &ranges);
        }
    }

    fn held_by(&self, node: &NodeName) -> BTreeSet<BlockName> {
        self.blocks.iter().filter(|(_, held)| held.holders.contains(node)).map(|(block, _)| *block).collect()
    }

    fn go_away(&mut self, node: &NodeName) {
        let held = self.blocks.iter().filter(|(_, held)| held.holders.contains(node));
        let held = held.map(|(block, held)| (*block, held.ranges.clone())).collect();
        self.away.insert(node.clone(), held);
        self.lose_all(node);
    }

    fn come_back(&mut self, node: &NodeName) {
        for (block, ranges) in self.away.remove(node).unwrap_or_default() {
            self.hold(block, node, &ranges);
        }
    }

    fn lose(&mut self, block: BlockName, node: &NodeName) {
        if let Some(away) = self.away.get_mut(node) {
            away.remove(&block);
        }
        if let Some(held) = self.blocks.get_mut(&block) {
            held.holders.remove(node);
            if held.holders.is_empty() {
                self.blocks.remove(&block);
            }
        }
    }

    fn lose_all(&mut self, node: &NodeName) {
        self.blocks.retain(|_, held| {
            held.holders.remove(node);
            !held.holders.is_empty()
        });
    }

    /// The records of blocks that the node holds and fewer than so many others do, unless another block brings them that
    /// so many others hold: a record that was sent twice is in two.
    fn short_without(&self, node: &NodeName, copies: u32) -> Vec<RecordRange> {
        let others = |held: &Block| held.holders.iter().filter(|holder| *holder != node).count();
        let (enough, short): (Vec<&Block>, Vec<&Block>) =
            self.blocks.values().partition(|held| others(held) >= copies as usize);
        let ranges = |blocks: Vec<&Block>| blocks.into_iter().flat_map(|held| held.ranges.clone()).collect::<Vec<_>>();
        let elsewhere: RangeSet = ranges(enough).into_iter().collect();
        let here = short.into_iter().filter(|held| held.holders.contains(node)).collect();
        ranges(here).into_iter().filter(|range| !elsewhere.gaps(*range).is_empty()).collect()
    }

    /// The records that so many nodes never held at once, neither in one block, nor now in whichever they are.
    fn lacking(&self, range: RecordRange, copies: u32) -> Vec<RecordRange> {
        let mut lacking = self.levels[copies as usize - 1].gaps(range);
        lacking.retain(|range| self.holders_of(*range) < copies as usize);
        lacking
    }

    /// Whether any node holds any of these records.
    fn has_any(&self, range: RecordRange) -> bool {
        self.blocks.values().any(|block| block.ranges.iter().any(|held| touches(held, range)))
    }

    /// How many nodes hold all of these records, in one block or in several.
    fn holders_of(&self, range: RecordRange) -> usize {
        let mut held: BTreeMap<&NodeName, RangeSet> = BTreeMap::new();
        for block in self.blocks.values().filter(|block| block.ranges.iter().any(|held| touches(held, range))) {
            for holder in &block.holders {
                let held = held.entry(holder).or_default();
                block.ranges.iter().for_each(|range| drop(held.insert(*range)));
            }
        }
        held.values().filter(|held| held.gaps(range).is_empty()).count()
    }
}

/// Whether some records are in both.
fn touches(one: &RecordRange, other: RecordRange) -> bool {
    one.client == other.client && one.first <= other.last && other.first <= one.last
}

/// Which workers live, now and a moment ago.
struct Members {
    joined: BTreeSet<NodeName>,
    down: BTreeSet<NodeName>,
    window: Duration,
    /// (from when on, how many lived), the oldest first; covers the window.
    history: VecDeque<(Moment, u32)>,
}

impl Members {
    fn new(window: Duration) -> Members {
        Members { joined: BTreeSet::new(), down: BTreeSet::new(), window, history: VecDeque::from([(Moment::ZERO, 0)]) }
    }

    fn change(&mut self, at: Moment, change: impl FnOnce(&mut Members) -> bool) {
        if change(self) {
            let live = self.joined.difference(&self.down).count();
            self.history.push_back((at, u32::try_from(live).expect("a cluster has fewer than 2^32 workers")));
        }
    }

    fn least_live(&mut self, at: Moment) -> u32 {
        let from = at - self.window;
        while self.history.get(1).is_some_and(|(next, _)| *next <= from) {
            self.history.pop_front();
        }
        self.history.iter().map(|(_, live)| *live).min().unwrap_or(0)
    }
}
