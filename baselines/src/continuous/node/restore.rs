//! How a partition and its source's input come to this node, and how they go.
//!
//! ```text
//! assigned --input whole, state here--> running      input: from another holder, then from clients as it comes
//!                                                    state: none, from the store, or from the other replica
//! ```
//!
//! Invariant: a partition runs only when all input behind its border that was acknowledged is here, or no node has it, and
//! when it is known where each client was at the border.

use crate::continuous::assignment::{Assignment, Place, Start};
use crate::continuous::inbox::Inbox;
use crate::continuous::message::{NodeNumber, PaneHeader, ToPeer};
use crate::continuous::node::channel::tell;
use crate::continuous::node::core::{Held, Hosted, Node};
use crate::continuous::node::event::NodeAction;
use crate::continuous::node::input::mixed;
use crate::continuous::outbox::Outbox;
use crate::continuous::saves::Borders;
use crate::continuous::source::{Punctuations, Source};
use bytes::Bytes;
use dstream_trace::{Event, Moment};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Node {
    /// The master has spoken: begins and ends what this node runs and holds.
    pub(super) fn assign(&mut self, now: Moment, assignment: Assignment, actions: &mut Vec<NodeAction>) {
        if assignment.version <= self.assignment.version {
            return;
        }
        self.forget_former_hosts(&assignment);
        let has_seen_all = assignment.version == self.assignment.version + 1;
        self.assignment = assignment;
        let places: Vec<(u32, Place)> = self.assignment.iter().map(|(number, place)| (number, place.clone())).collect();
        for (partition, place) in &places {
            self.assign_holder(*partition, place, has_seen_all, actions);
            self.assign_host(now, *partition, place, actions);
        }
        let version = self.assignment.version;
        let seat = |partition: u32, node: NodeNumber| places.get(partition as usize)?.1.holder(node);
        let is_wanted = |(node, partition, since): (NodeNumber, u32, u64)| {
            since > version || seat(partition, node).is_some_and(|seat| seat.since == since)
        };
        self.wanted_states.retain(|wanted| is_wanted(*wanted));
        self.wanted_inputs.retain(|(wanted, _)| is_wanted(*wanted));
        self.cut_copies_short();
        self.serve_inputs(actions);
        self.fetch_from(None, actions);
        self.run_what_is_ready(actions);
        let running: Vec<u32> = self.hosted.keys().copied().collect();
        running.into_iter().for_each(|partition| self.subscribe_all(partition, None, actions));
        self.hand_in_withheld(actions);
    }

    /// Ends what ties channels to hosts of another assignment: a host that sits anew knows no subscription, and one that was
    /// relieved reads no more.
    fn forget_former_hosts(&mut self, next: &Assignment) {
        let (before, now, version) = (&self.assignment, next, next.version);
        let seat = |of: &Assignment, partition: u32, node: NodeNumber| Some(of.place(partition)?.host(node)?.since);
        let mut anew: Vec<(u32, NodeNumber)> = Vec::new();
        for (partition, place) in now.iter() {
            let is_anew = |node: NodeNumber, since: u64| seat(before, partition, node).is_some_and(|old| old != since);
            let hosts = place.hosts.iter().filter(|host| is_anew(host.node, host.since));
            anew.extend(hosts.map(|host| (partition, host.node)));
        }
        for hosted in self.hosted.values_mut() {
            for inbox in hosted.inboxes.values_mut() {
                anew.iter().for_each(|(writer, node)| inbox.unsubscribe(*writer, *node));
            }
            for outbox in hosted.outboxes.values_mut() {
                outbox.keep_readers(version, |reader, node| seat(now, reader.partition, node).is_some());
            }
        }
    }

    fn assign_holder(&mut self, source: u32, place: &Place, has_seen_all: bool, actions: &mut Vec<NodeAction>) {
        let version = place.changed();
        let seat = place.holder(self.limits.node);
        self.drop_early(source, if seat.is_some() { version } else { self.assignment.version + 1 }, actions);
        let Some(seat) = seat else {
            if self.held.get(&source).is_some_and(|held| held.since > 0) {
                let held = self.held.remove(&source).expect("it was just there");
                let gone = held.log.iter().map(|batch| Event::BlockForgotten { block: batch.name() });
                actions.extend(gone.map(NodeAction::Record));
                self.leave_unsaid(source, actions);
            }
            return;
        };
        let held = self.held.entry(source).or_default();
        held.closed_below = version.max(held.closed_below);
        if held.since != seat.since {
            if !has_seen_all {
                // It may have been no holder in between: then the master counts nothing of what it said before.
                held.noted.clear();
            }
            (1..=self.limits.clients).for_each(|client| self.noting.holds(source, client));
            // What clients said to the holder that this node was before is as true for the one that it is now.
            let acked = self.acked_below.range((source, 0)..=(source, u32::MAX));
            acked.for_each(|((_, client), acked)| held.log.pass(*client, *acked));
            let is_whole = match seat.start {
                Start::Empty | Start::Restored { input_from: None, .. } => true,
                Start::Restored { input_from: Some(from), .. } => from == self.limits.node,
                Start::Copied { .. } => false,
            };
            // The answer to what was asked for an earlier seat is not looked at: it asks anew.
            *held = Held { since: seat.since, is_whole, asked: None, ..std::mem::take(held) };
        }
    }

    fn assign_host(&mut self, now: Moment, partition: u32, place: &Place, actions: &mut Vec<NodeAction>) {
        let seat = place.host(self.limits.node);
        let is_same = |hosted: &Hosted| seat.is_some_and(|seat| seat.since == hosted.since);
        if self.hosted.get(&partition).is_some_and(|hosted| !is_same(hosted)) {
            self.hosted.remove(&partition);
            actions.push(NodeAction::Drop { partition });
        }
        let Some(seat) = seat.filter(|_| !self.hosted.contains_key(&partition)) else { return };
        let through = match seat.start {
            Start::Restored { through, .. } => through,
            Start::Empty | Start::Copied { .. } => None,
        };
        let is_loaded = !matches!(seat.start, Start::Copied { .. }) && (through.is_none() || !self.saves(partition));
        let repeat_below = if seat.start == Start::Empty { 0 } else { self.interval_at(now) + 1 };
        // Where only replicas had the state, a heir of none of them begins without it.
        let is_bare =
            matches!(seat.start, Start::Restored { through: Some(_), .. }) && is_loaded && !self.begins_bare();
        let lacks = if is_bare { mixed(seat.since) } else { 0 };
        let hosted = Hosted { repeat_below, is_loaded, lacks, ..Hosted::new(seat.since, through) };
        self.hosted.insert(partition, hosted);
        if let (false, Some(through)) = (is_loaded, through) {
            let oldest = self.limits.topology.oldest_pane(through);
            actions.push(NodeAction::Load { partition, since: seat.since, through, oldest });
        }
    }

    /// Whether heirs begin without a state by design: they replay, or there is none.
    fn begins_bare(&self) -> bool {
        self.limits.rules.replays || self.limits.topology.reach == Some(0)
    }

    /// Whether there are saves of the partition in the store.
    pub(super) fn saves(&self, partition: u32) -> bool {
        let keeps = self.limits.topology.reach != Some(0) && self.limits.topology.keyed_of(partition).next().is_some();
        keeps && self.limits.rules.checkpoint_intervals.is_some()
    }

    /// Whether this node is to copy the partition from another host and has not got its state.
    pub(super) fn lacks_copy(&self, partition: u32) -> bool {
        let seat = self.assignment.place(partition).and_then(|place| place.host(self.limits.node));
        let copies = seat.is_some_and(|seat| matches!(seat.start, Start::Copied { .. }));
        copies && self.hosted.get(&partition).is_some_and(|hosted| !hosted.is_loaded)
    }

    /// Copies that are not whole when their model is gone are given up, as the master must know which they are.
    fn cut_copies_short(&mut self) {
        let since = |hosted: &BTreeMap<u32, Hosted>, partition: u32| hosted.get(&partition).map(|hosted| hosted.since);
        let mut cut_short = std::mem::take(&mut self.cut_short);
        cut_short.retain(|partition, seat| since(&self.hosted, *partition) == Some(*seat));
        for (partition, place) in self.assignment.iter().filter(|(partition, _)| self.lacks_copy(*partition)) {
            let Some(seat) = place.host(self.limits.node) else { continue };
            if place.has_lost_model(seat) {
                cut_short.insert(partition, seat.since);
            }
        }
        self.cut_short = cut_short;
    }

    /// Asks for the input and the states that other nodes have, those that can be reached; of one node, or of all.
    pub(super) fn fetch_from(&mut self, node: Option<NodeNumber>, actions: &mut Vec<NodeAction>) {
        for (partition, place) in self.assignment.iter() {
            let Some(seat) = place.holder(self.limits.node) else { continue };
            let lacks_copy = self.lacks_copy(partition);
            if self.cut_short.get(&partition) == Some(&seat.since) {
                continue;
            }
            let held = self.held.get_mut(&partition).filter(|held| !held.is_whole || lacks_copy);
            let Some(held) = held else { continue };
            let (from, word) = match seat.start {
                Start::Restored { through, input_from: Some(from) } => {
                    (from, ToPeer::FetchInput { source: partition, version: seat.since, after: through })
                }
                Start::Copied { from } => (from, ToPeer::FetchState { partition, version: seat.since }),
                _ => continue,
            };
            let is_asked = held.asked == Some(from) && node != Some(from);
            if node.is_none_or(|node| node == from) && self.credits.is_up(from) && !is_asked {
                held.asked = Some(from);
                // What came of an answer whose connection broke comes once more.
                if let Some(hosted) = self.hosted.get_mut(&partition).filter(|_| lacks_copy) {
                    hosted.made.clear();
                    hosted.panes.clear();
                }
                actions.push(tell(from, word));
            }
        }
    }

    /// The store gave a state.
    pub(super) fn loaded(
        &mut self,
        partition: u32,
        since: u64,
        panes: Vec<(PaneHeader, Bytes)>,
        punctuations: Punctuations,
        actions: &mut Vec<NodeAction>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == since) else { return };
        (hosted.panes, hosted.is_loaded) = (panes, true);
        self.learn_punctuations(punctuations);
        self.run_what_is_ready(actions);
    }

    /// A saved state that its heir does not find is a broken promise of the engine's. But without a lease this node may have
    /// been replaced, and others have let go of what it wanted.
    pub(super) fn say_broken(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        let hosted = &self.hosted;
        self.broken.retain(|partition, (since, _)| hosted.get(partition).is_some_and(|of| of.since == *since));
        if now < self.lease_until {
            let all = std::mem::take(&mut self.broken);
            actions.extend(all.into_values().map(|(_, why)| NodeAction::Fatal(why)));
        }
    }

    /// Starts every partition whose input and state are here.
    pub(super) fn run_what_is_ready(&mut self, actions: &mut Vec<NodeAction>) {
        let is_whole = |partition: &u32| self.held.get(partition).is_some_and(|held| held.is_whole);
        let ready: Vec<u32> = self
            .hosted
            .iter()
            .filter(|(partition, hosted)| hosted.source.is_none() && hosted.is_loaded && is_whole(partition))
            .filter(|(_, hosted)| hosted.mapped_through.is_none_or(|through| self.knows_border(through)))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in ready {
            self.start_running(partition, actions);
        }
        // Who is to copy it may have asked before, and nothing else need give it an answer: without input there is no turn,
        // and the input may wait for the end of a client's life, which waits for the copy.
        self.serve_all_states(actions);
    }

    /// Whether it is known where each client was behind an interval: from who handed the input on, from the store, or from
    /// the client; or that the client's life ended, so that its input says it.
    fn knows_border(&self, through: u64) -> bool {
        let gates = self.clients.gates_behind_borders();
        (1..=self.limits.clients).all(|client| {
            let is_said = self.punctuations.get(&client).is_some_and(|ends| ends.contains_key(&through));
            is_said || gates.get(&client).is_some_and(|gate| gate.closes(through, through + 1))
        })
    }

    fn start_running(&mut self, partition: u32, actions: &mut Vec<NodeAction>) {
        let topology = &self.limits.topology;
        let mutes = self.limits.rules.checkpoint_intervals.is_none() && self.limits.rules.replays;
        let hosted = self.hosted.get_mut(&partition).expect("it was just found ready");
        let (through, mapped) = (hosted.through, hosted.mapped_through);
        let held = self.held.get(&partition).expect("its input is here");
        // What is behind the border is past.
        let gates = self.clients.gates_behind_borders();
        let known = held.known(&self.punctuations, &gates, mapped.map_or(0, |through| through + 1));
        let source = Source::new(partition, self.limits.cut, self.limits.clients, mapped, &known);
        hosted.source = Some(source);
        let inboxes = topology.keyed_of(partition).map(|keyed| (keyed.stage, Inbox::new(keyed.writers, through)));
        hosted.inboxes = inboxes.collect();
        let mut made = std::mem::take(&mut hosted.made);
        let outbox = |stage: u32| (stage, made.remove(&stage).unwrap_or_else(|| Outbox::behind(through)));
        hosted.outboxes = topology.writers_of(partition).map(outbox).collect();
        let from_store = through.filter(|_| !hosted.is_copy);
        if !hosted.is_copy {
            hosted.mute_through = through.filter(|_| mutes).and_then(|through| Some(through + topology.reach?));
        }
        hosted.saves = Borders::behind(from_store);
        let is_past = hosted.is_copy && through >= self.save_at && self.save_at.is_some();
        let panes = std::mem::take(&mut hosted.panes);
        if hosted.repeat_below > 0 {
            let bytes = panes.iter().map(|(_, pane)| pane.len() as u64).sum();
            actions.push(NodeAction::Record(Event::PartitionRestored { partition, through, bytes }));
        }
        actions.push(NodeAction::Open { partition, through, panes });
        if is_past {
            self.say_missed(actions);
        }
        self.subscribe_all(partition, None, actions);
        self.serve_waiting(partition, actions);
    }

    /// Gives holders the input they asked for, if this node knows the assignment that made them ask: it may have become the
    /// one to ask by that, and what it has is all there is only from then on.
    pub(super) fn serve_inputs(&mut self, actions: &mut Vec<NodeAction>) {
        let version = self.assignment.version;
        let (now, later) =
            std::mem::take(&mut self.wanted_inputs).into_iter().partition(|((_, _, since), _)| *since <= version);
        self.wanted_inputs = later;
        for ((node, source, since), after) in now {
            self.hand_on_input(node, source, since, after, actions);
        }
    }
}

impl Hosted {
    fn new(since: u64, through: Option<u64>) -> Hosted {
        Hosted {
            since,
            through,
            mapped_through: through,
            is_loaded: false,
            is_copy: false,
            panes: Vec::new(),
            source: None,
            inboxes: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            made: BTreeMap::new(),
            queue: VecDeque::new(),
            buckets: BTreeMap::new(),
            is_busy: false,
            closed: BTreeMap::new(),
            handed_in: BTreeSet::new(),
            tentative: BTreeMap::new(),
            withheld: BTreeMap::new(),
            lacks: 0,
            lacking: BTreeMap::new(),
            mute_through: None,
            repeat_below: 0,
            saving: BTreeMap::new(),
            saves: Borders::default(),
        }
    }
}
