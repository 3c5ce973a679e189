//! How the cluster stands: what lacks its redundancy, who is too slow, who should run more.
//!
//! Knows what nodes said of themselves, not how they come and go. Invariant: nobody is given up for slowness and
//! nothing moves while anything is below its redundancy.

use crate::continuous::assignment::{Assignment, Seat, Start};
use crate::continuous::master::core::{Master, MasterAction};
use crate::continuous::master::plan::Redundancy;
use crate::continuous::message::{NodeNumber, Progress};
use dstream_trace::{Event, Moment};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions move when results are on time: moving costs work, which would delay those who catch up. Sooner where a node
/// runs nothing, and where results are late for so many failure timeouts after all copies are back: then others have more to
/// do than they can.
const TIMEOUTS_TO_CATCH_UP: u32 = 30;

impl Master {
    /// Relieves who has handed a partition on; where nothing is amiss, has nodes that run less than others take over more.
    pub(super) fn balance(&mut self, at: Moment, actions: &mut Vec<MasterAction>) {
        self.note_level();
        let Some(now) = &self.assignment else { return };
        let has_taken_over = |partition: u32, seat: &Seat| {
            // Else all others would wait until it has repeated what the first host did meanwhile.
            let level = self.level_at.get(&(partition, seat.node, seat.since));
            let closed = self.progress.get(&(partition, seat.node)).and_then(|progress| progress.closed);
            level.is_some_and(|level| closed >= *level)
        };
        let redundancy = &self.limits.redundancy;
        let is_settled = now.iter().all(|(_, place)| place.hosts.len() == redundancy.hosts as usize);
        let is_whole = is_settled && self.lacking_copies() == 0;
        self.whole_since = self.whole_since.filter(|_| is_whole).or(is_whole.then_some(at));
        let latest = self.whole_since.map(|since| since + self.limits.failure_timeout * TIMEOUTS_TO_CATCH_UP);
        let next = match latest {
            None if is_settled => None,
            None => redundancy.relieve(now, has_taken_over),
            Some(latest) if at < latest && !self.is_on_time() && !self.is_one_idle(now) => None,
            Some(_) => {
                let members: BTreeSet<NodeNumber> = self.members.keys().copied().collect();
                let freed = redundancy.vacate(now, &members, &self.given_up);
                freed.or_else(|| redundancy.even_out(now, &members, &self.given_up))
            }
        };
        if let Some(next) = next {
            self.assign(now.clone(), next, actions);
        }
    }

    /// Notes how far first hosts are when what they handed on is visible and those who have it are as far as what is. That
    /// stays: who goes on as fast as its first host, and ever so little behind it, is as good.
    fn note_level(&mut self) {
        let Some(now) = &self.assignment else { return };
        let closed = |partition, node| self.progress.get(&(partition, node)).and_then(|progress| progress.closed);
        let mut level_at = BTreeMap::new();
        for (partition, place) in now.iter() {
            let newest = place.hosts.last().filter(|_| place.hosts.len() > self.limits.redundancy.hosts as usize);
            let Some(Seat { node, since, start: Start::Copied { from } }) = newest else { continue };
            let key = (partition, *node, *since);
            let done = closed(partition, *node);
            // One interval of its own: by then its first host has said how far it is, too.
            let has_begun = |begun: &Option<u64>| *begun <= self.visible && done > *begun;
            let is_out = self.began_behind.get(&key).is_some_and(has_begun) && done >= self.visible;
            let new = is_out.then(|| self.visible.max(closed(partition, *from)));
            level_at.extend(self.level_at.get(&key).copied().or(new).map(|level| (key, level)));
        }
        self.level_at = level_at;
    }

    /// Whether all that run have sealed all but the last intervals, and the results of those are out.
    fn is_on_time(&self) -> bool {
        let count = |last: Option<u64>| last.map_or(0, |last| last + 1);
        let foremost = self.sealed.values().max().copied();
        let running = self.progress.values().filter(|progress| progress.is_running);
        let hindmost = running.map(|progress| progress.sealed).chain([self.visible]).min().flatten();
        count(foremost) - count(hindmost).min(count(foremost)) <= self.limits.most_waiting
    }

    /// Whether more members idle than should.
    fn is_one_idle(&self, now: &Assignment) -> bool {
        let running: BTreeSet<NodeNumber> =
            now.iter().flat_map(|(_, place)| &place.hosts).map(|seat| seat.node).collect();
        let idle = self.members.keys().filter(|node| !running.contains(node)).count();
        idle > self.limits.redundancy.spare(self.members.len())
    }

    /// The node that holds all others up, if one may be given up: it has been behind for as long as that is far;
    /// nothing is below its redundancy, and no heir is on its way, as a node that makes up for another's loss is
    /// behind for a reason that giving it up would only spread.
    pub(super) fn straggler(&mut self, now: Moment) -> Option<NodeNumber> {
        let (most, long) = self.limits.most_behind?;
        let foremost = self.progress.values().filter_map(|progress| progress.sealed).max()?;
        let running = self.progress.iter().filter(|(_, progress)| progress.is_running);
        let seat = |((partition, node), progress): (&(u32, NodeNumber), &Progress)| (*partition, *node, progress.since);
        let level = running.clone().filter(|(_, progress)| progress.sealed == Some(foremost));
        self.kept_up.extend(level.map(seat));
        let is_far = |progress: &Progress| foremost - progress.sealed.unwrap_or(0) > most;
        let slow = running.clone().find(|(_, progress)| is_far(progress)).map(|((_, node), _)| *node);
        // Right after a pause of its own the master has heard of some nodes and not yet of others.
        let since = slow.map(|slow| self.slow_since.filter(|(node, _)| *node == slow).unwrap_or((slow, now)));
        self.slow_since = since;
        let (slow, _) = since.filter(|(_, since)| *since + long <= now)?;
        let is_calm = running.map(seat).all(|seat| self.kept_up.contains(&seat)) && self.lacking_copies() == 0;
        is_calm.then_some(slow)
    }

    /// Holders and hosts that run, of which there are fewer than there should be.
    fn lacking_copies(&self) -> u64 {
        let Some(assignment) = &self.assignment else { return 0 };
        let Redundancy { hosts, copies, .. } = self.limits.redundancy;
        let mut lacking = 0u64;
        for (partition, place) in assignment.iter() {
            let whole = |seat: &&Seat| self.whole.contains(&(partition, seat.node, seat.since));
            let runs = |seat: &&Seat| {
                let progress = self.progress.get(&(partition, seat.node));
                progress.is_some_and(|progress| progress.since == seat.since && progress.is_running)
            };
            let holding = place.holders.iter().filter(whole).count() as u64;
            let running = place.hosts.iter().filter(runs).count() as u64;
            lacking += u64::from(copies).saturating_sub(holding) + u64::from(hosts).saturating_sub(running);
        }
        lacking
    }

    /// What lacks its redundancy: holders, hosts that run, standbys.
    fn lacking(&self) -> u64 {
        let Some(assignment) = &self.assignment else { return 0 };
        let busy: BTreeSet<NodeNumber> =
            assignment.places.iter().flat_map(|place| &place.hosts).map(|seat| seat.node).collect();
        let idle = self.members.keys().filter(|node| !busy.contains(node)).count() as u64;
        self.lacking_copies() + u64::from(self.limits.redundancy.standbys).saturating_sub(idle)
    }

    pub(super) fn say_lacking(&mut self, actions: &mut Vec<MasterAction>) {
        let lacking = self.lacking();
        if lacking != self.said_lacking {
            self.said_lacking = lacking;
            actions.push(MasterAction::Record(Event::CopiesBelow { blocks: lacking }));
        }
    }
}
