//! Who runs and holds each partition: at the start, and after nodes came or went.
//!
//! Pure: the same assignment and members give the same next one. Invariant: a host holds its source's input; no node has two
//! seats of a kind at one partition; a seat whose node lives keeps it.

use crate::continuous::assignment::{Assignment, Place, Seat, Start};
use crate::continuous::message::NodeNumber;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Behind which interval a heir begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Border {
    /// The last that every partition has saved.
    Saved {
        /// All save behind each so-many-th interval.
        every: u64,
    },
    /// The last on which no result depends that is not visible; `None`: there is none, as results depend on everything.
    Replayed {
        /// How many intervals a result looks back.
        reach: Option<u64>,
    },
    /// The last that every host has closed, and whose results are out: replicas have the state.
    Closed,
}

/// Who takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heir {
    /// One node: an idle one, or else the one with the least to run.
    One,
    /// All nodes, in turn.
    Many,
    /// An idle node; if there is none, all in turn.
    IdleElseMany,
}

/// What a protocol keeps beside the running partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redundancy {
    /// Workers; their numbers come first.
    pub workers: u32,
    /// Hosts of each partition.
    pub hosts: u32,
    /// Holders of each source's input.
    pub copies: u32,
    /// Idle nodes that wait for a loss.
    pub standbys: u32,
    /// To whom goes what a lost node ran.
    pub heir: Heir,
    /// Where heirs begin.
    pub border: Border,
}

impl Redundancy {
    /// Whether nothing is gone with one node.
    pub fn survives_a_loss(&self) -> bool {
        self.copies > 1 && (self.border != Border::Closed || self.hosts > 1)
    }

    /// The first assignment, as if all nodes lived.
    pub fn initial(&self, partitions: u32) -> Assignment {
        let seat = |node| Seat { node, since: 1, start: Start::Empty };
        let place = |partition: u32| {
            let worker = partition % self.workers;
            let hosts: Vec<NodeNumber> = (0..self.hosts).map(|host| worker + 1 + host * self.workers).collect();
            let others = (1..self.workers).map(|step| (worker + step) % self.workers + 1);
            let more = self.copies.saturating_sub(self.hosts) as usize;
            let holders = hosts.iter().copied().chain(others.take(more));
            Place { holders: holders.map(seat).collect(), hosts: hosts.iter().map(|node| seat(*node)).collect() }
        };
        Assignment { version: 1, places: (0..partitions).map(place).collect() }
    }

    /// The next assignment for these members, where anything has to change.
    pub fn mend(&self, now: &Assignment, scene: &Scene<'_>) -> Option<Assignment> {
        let members = scene.members;
        let mut next = Assignment { version: now.version + 1, places: now.places.clone() };
        for place in &mut next.places {
            place.hosts.retain(|seat| members.contains(&seat.node));
            place.holders.retain(|seat| members.contains(&seat.node));
        }
        let mut loads = Loads::of(&next, members);
        let heir = match self.heir {
            Heir::One => loads.idlest().map(|(node, _)| node),
            Heir::Many => None,
            Heir::IdleElseMany => loads.idlest().filter(|(_, hosting)| *hosting == 0).map(|(node, _)| node),
        };
        for partition in 0..next.places.len() {
            let before = &now.places[partition];
            self.mend_hosts(&mut next, partition, (before, scene), heir, &mut loads);
            self.mend_holders(&mut next, partition, (before, scene), &mut loads);
        }
        (next.places != now.places).then_some(next)
    }

    fn mend_hosts(
        &self,
        next: &mut Assignment,
        partition: usize,
        (before, scene): (&Place, &Scene<'_>),
        heir: Option<NodeNumber>,
        loads: &mut Loads,
    ) {
        let since = next.version;
        let place = &mut next.places[partition];
        while place.hosts.len() < self.hosts as usize {
            let free = |node: &NodeNumber| place.host(*node).is_none();
            let heir = heir.filter(free).or_else(|| loads.least(scene.members.iter().copied().filter(free)));
            let Some(node) = heir else { return };
            let start = match place.hosts.first() {
                Some(running) => Start::Copied { from: running.node },
                None => scene.restored(partition, before, node),
            };
            loads.give(node);
            place.hosts.push(Seat { node, since, start });
            // What it held before it holds again in its new role: all of it comes with the state, or is here.
            place.holders.retain(|seat| seat.node != node);
            place.holders.push(Seat { node, since, start });
        }
    }

    /// Who has the input follows from the seats before: a holder that has just become a host sits there anew.
    fn mend_holders(
        &self,
        next: &mut Assignment,
        partition: usize,
        (before, scene): (&Place, &Scene<'_>),
        loads: &mut Loads,
    ) {
        let since = next.version;
        let place = &mut next.places[partition];
        while place.holders.len() < (self.copies as usize).min(scene.members.len()) {
            let free = |node: &NodeNumber| place.holder(*node).is_none();
            let Some(node) = loads.least_holding(scene.members.iter().copied().filter(free)) else { return };
            let start = scene.restored(partition, before, node);
            place.holders.push(Seat { node, since, start });
        }
    }
}

/// What there is to plan with.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'s> {
    /// Nodes that live.
    pub members: &'s BTreeSet<NodeNumber>,
    /// The border behind which heirs begin.
    pub safe: Option<u64>,
    /// (source, node, since): all of the source's input is there.
    pub whole: &'s BTreeSet<(u32, NodeNumber, u64)>,
    /// (partition, node, since): a copy whose model was gone before all of it had come.
    pub lacks: &'s BTreeSet<(u32, NodeNumber, u64)>,
}

impl Scene<'_> {
    /// Whether the seat is that of a copy whose model is gone, and which has not said yet whether all of it had come before.
    pub fn is_in_doubt(&self, partition: u32, place: &Place, seat: &Seat) -> bool {
        let key = (partition, seat.node, seat.since);
        let has_said = self.whole.contains(&key) || self.lacks.contains(&key);
        self.members.contains(&seat.node) && !has_said && self.has_lost_model(place, seat)
    }

    /// Whether the one that the seat is a copy of runs the partition no more.
    fn has_lost_model(&self, place: &Place, seat: &Seat) -> bool {
        let is_gone = matches!(seat.start, Start::Copied { from } if !self.members.contains(&from));
        is_gone || place.has_lost_model(seat)
    }

    /// A beginning behind the border, with the input of a holder that has all of it: of the node itself, if it does; or else
    /// of one that has as much as is left and waits for nobody.
    fn restored(&self, partition: usize, place: &Place, node: NodeNumber) -> Start {
        let source = u32::try_from(partition).expect("partitions have 32-bit numbers");
        let is_whole =
            |seat: &&Seat| self.members.contains(&seat.node) && self.whole.contains(&(source, seat.node, seat.since));
        let own = place.holder(node).filter(is_whole);
        let mut others = place.holders.iter().filter(|seat| seat.node != node && self.members.contains(&seat.node));
        let waits_for_nobody = |seat: &&Seat| match seat.start {
            Start::Empty => true,
            Start::Restored { input_from, .. } => input_from.is_none_or(|giver| giver == seat.node),
            // It waits for nobody either: it has what had come.
            Start::Copied { .. } => self.has_lost_model(place, seat),
        };
        let giver = own.or_else(|| others.clone().find(is_whole)).or_else(|| others.find(waits_for_nobody));
        Start::Restored { through: self.safe, input_from: giver.map(|seat| seat.node) }
    }
}

/// How much each member has, and was given in this round.
pub(super) struct Loads {
    pub hosting: BTreeMap<NodeNumber, u32>,
    holding: BTreeMap<NodeNumber, u32>,
    given: BTreeMap<NodeNumber, u32>,
}

impl Loads {
    pub fn of(assignment: &Assignment, members: &BTreeSet<NodeNumber>) -> Loads {
        let zero: BTreeMap<NodeNumber, u32> = members.iter().map(|node| (*node, 0)).collect();
        let (mut hosting, mut holding) = (zero.clone(), zero.clone());
        for place in &assignment.places {
            place.hosts.iter().for_each(|seat| *hosting.entry(seat.node).or_default() += 1);
            place.holders.iter().for_each(|seat| *holding.entry(seat.node).or_default() += 1);
        }
        Loads { hosting, holding, given: zero }
    }

    /// The node with the least to run, and how much that is.
    fn idlest(&self) -> Option<(NodeNumber, u32)> {
        self.hosting.iter().min_by_key(|(node, count)| (**count, **node)).map(|(node, count)| (*node, *count))
    }

    fn least(&self, nodes: impl Iterator<Item = NodeNumber>) -> Option<NodeNumber> {
        nodes.min_by_key(|node| (self.given[node], self.hosting[node], *node))
    }

    fn least_holding(&mut self, nodes: impl Iterator<Item = NodeNumber>) -> Option<NodeNumber> {
        // Who runs nothing is kept free for what it waits for.
        let node = nodes.min_by_key(|node| (self.hosting[node] == 0, self.holding[node], *node))?;
        *self.holding.entry(node).or_default() += 1;
        Some(node)
    }

    fn give(&mut self, node: NodeNumber) {
        *self.given.entry(node).or_default() += 1;
        *self.hosting.entry(node).or_default() += 1;
    }
}

impl Redundancy {
    /// The assignment with a new beginning for every seat that still waits for input or state of a node that is gone. Where
    /// only replicas have the state, none begins without it while one of them may have it, but could not say so yet.
    pub fn with_reachable_givers(&self, now: &Assignment, scene: &Scene<'_>) -> Assignment {
        let Scene { members, whole, .. } = *scene;
        let mut next = Assignment { version: now.version + 1, places: now.places.clone() };
        for (partition, place) in (0u32..).zip(&mut next.places) {
            let waits_for_lost = |seat: &Seat| {
                let is_gone = match seat.start {
                    Start::Restored { input_from: Some(giver), .. } => !members.contains(&giver),
                    Start::Empty | Start::Restored { input_from: None, .. } => false,
                    Start::Copied { .. } => scene.has_lost_model(place, seat),
                };
                members.contains(&seat.node) && is_gone && !whole.contains(&(partition, seat.node, seat.since))
            };
            let stuck: Vec<NodeNumber> =
                place.holders.iter().filter(|seat| waits_for_lost(seat)).map(|seat| seat.node).collect();
            let before = place.clone();
            let in_doubt = before.hosts.iter().any(|seat| scene.is_in_doubt(partition, &before, seat));
            let may_have_state = self.border == Border::Closed && in_doubt;
            for node in stuck {
                let can_give =
                    |seat: &&Seat| members.contains(&seat.node) && whole.contains(&(partition, seat.node, seat.since));
                let host = before.hosts.iter().find(|seat| seat.node != node && can_give(seat));
                let start = match (before.host(node), host) {
                    (Some(_), Some(running)) if self.hosts > 1 => Start::Copied { from: running.node },
                    (Some(_), None) if may_have_state => continue,
                    _ => scene.restored(partition as usize, &place.clone(), node),
                };
                let since = next.version;
                let seats = place.hosts.iter_mut().chain(&mut place.holders).filter(|seat| seat.node == node);
                seats.for_each(|seat| *seat = Seat { node, since, start });
            }
        }
        if next.places == now.places { now.clone() } else { next }
    }
}
