//! A master, and beside it who really has the input of each source.
//!
//! Invariant of the model: a node has a source's input from when the copy of it was whole until the node is lost or holds
//! it no more; the master knows of it once it was said.

use dstream_baselines::continuous::assignment::{Assignment, Place, Seat, Start};
use dstream_baselines::continuous::master::{Master, MasterAction, MasterEvent, MasterLimits, Redundancy};
use dstream_baselines::continuous::message::{FromMaster, NodeNumber, ToMaster};
use dstream_cluster::client::Cut;
use dstream_cluster::core::Core;
use dstream_cluster::detector::{DetectorAction, DetectorEvent};
use dstream_trace::{Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A detector that believes whatever it is told.
#[derive(Default)]
struct Told {
    members: BTreeMap<NodeNumber, u64>,
    epochs: u64,
}

impl Core for Told {
    type Event = DetectorEvent;
    type Action = DetectorAction;

    fn step(&mut self, _now: Moment, event: DetectorEvent, actions: &mut Vec<DetectorAction>) {
        match event {
            DetectorEvent::Join { worker, .. } => {
                let lost = self.members.remove(&worker).map(|epoch| DetectorAction::Lost { worker, epoch });
                actions.extend(lost);
                self.epochs += 1;
                self.members.insert(worker, self.epochs);
                actions.push(DetectorAction::Joined { worker, epoch: self.epochs });
            }
            DetectorEvent::Broken { worker } | DetectorEvent::Evict { worker } => {
                let lost = self.members.remove(&worker).map(|epoch| DetectorAction::Lost { worker, epoch });
                actions.extend(lost);
            }
            DetectorEvent::Left { worker } => drop(self.members.remove(&worker)),
            DetectorEvent::Heartbeat { .. } | DetectorEvent::After { .. } | DetectorEvent::Tick => {}
        }
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }
}

/// A cluster as its master and the model see it.
pub struct Cluster {
    redundancy: Redundancy,
    nodes: u32,
    master: Master,
    /// member -> its epoch
    members: BTreeMap<NodeNumber, u64>,
    assignment: Assignment,
    /// (source, node) with all of the source's input
    has: BTreeSet<(u32, NodeNumber)>,
    /// Of those, whom the master has heard say so, since they hold it.
    known: BTreeSet<(u32, NodeNumber)>,
    /// (source, node, since) that waits for a copy, and from whom
    waits: BTreeMap<(u32, NodeNumber, u64), NodeNumber>,
    /// What holders would say next.
    unsaid: BTreeSet<(u32, NodeNumber, u64)>,
    /// Copies that wait no more, as their model is gone; some have said so.
    cut_short: BTreeMap<(u32, NodeNumber, u64), bool>,
    /// Sources of which something is nowhere any more.
    lost: BTreeSet<u32>,
}

impl Cluster {
    /// A cluster whose nodes are all there.
    pub fn start(redundancy: Redundancy, partitions: u32) -> Cluster {
        let replicas = (redundancy.hosts - 1) * redundancy.workers;
        let nodes = redundancy.workers + replicas + redundancy.standbys;
        let limits = MasterLimits {
            names: (1..=nodes).map(NodeName::worker).collect(),
            partitions,
            redundancy,
            reach: Some(0),
            clients: 0,
            cut: Cut::runs(None, 1, partitions, Duration::from_millis(10)),
            sends_alike: true,
            failure_timeout: Duration::from_millis(500),
            most_behind: None,
            most_waiting: 1,
        };
        let mut cluster = Cluster {
            redundancy,
            nodes,
            master: Master::new(limits, Box::new(Told::default())),
            members: BTreeMap::new(),
            assignment: Assignment::default(),
            has: BTreeSet::new(),
            known: BTreeSet::new(),
            waits: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            cut_short: BTreeMap::new(),
            lost: BTreeSet::new(),
        };
        (1..=nodes).for_each(|node| cluster.join(node));
        assert!(!cluster.assignment.places.is_empty(), "all nodes are here, and nothing is assigned");
        cluster
    }

    /// The newest assignment.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// How many nodes live.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// A member is lost.
    pub fn lose(&mut self, which: u32) {
        if let Some(node) = chosen(self.members.keys(), which) {
            self.lose_node(node);
        }
    }

    /// This member is lost.
    pub fn lose_node(&mut self, node: NodeNumber) {
        self.gone(node);
        self.step(MasterEvent::Broken(node));
    }

    /// A node comes that is no member, with nothing.
    pub fn come(&mut self, which: u32) {
        let absent: Vec<NodeNumber> = (1..=self.nodes).filter(|node| !self.members.contains_key(node)).collect();
        if let Some(node) = chosen(absent.iter(), which) {
            self.join(node);
        }
    }

    /// A member's next life begins before its last one was missed, with nothing.
    pub fn restart(&mut self, which: u32) {
        if let Some(node) = chosen(self.members.keys(), which) {
            self.gone(node);
            self.join(node);
        }
    }

    fn join(&mut self, node: NodeNumber) {
        let word = ToMaster::Join { incarnation: 1, epoch: None };
        self.step(MasterEvent::Word { node, incarnation: 1, word });
    }

    fn gone(&mut self, node: NodeNumber) {
        self.members.remove(&node);
        self.has.retain(|(_, holder)| *holder != node);
        self.known.retain(|(_, holder)| *holder != node);
        self.waits.retain(|(_, holder, _), _| *holder != node);
        self.unsaid.retain(|(_, holder, _)| *holder != node);
        self.cut_short.retain(|(_, holder, _), _| *holder != node);
    }

    /// A holder gets what it waits for, if its giver lives and has it; whether there was one.
    pub fn copy(&mut self, which: u32) -> bool {
        let can_give =
            |((source, _, _), giver): &(&(u32, NodeNumber, u64), &NodeNumber)| self.has.contains(&(*source, **giver));
        let ready: Vec<(u32, NodeNumber, u64)> = self.waits.iter().filter(can_give).map(|(seat, _)| *seat).collect();
        let Some(seat) = chosen(ready.iter(), which) else { return false };
        self.waits.remove(&seat);
        self.has.insert((seat.0, seat.1));
        self.unsaid.insert(seat)
    }

    /// A holder says that it has everything, or that the rest will not come; whether there was one.
    pub fn say(&mut self, which: u32) -> bool {
        let cut_short = self.cut_short.iter().filter(|(_, is_said)| !**is_said).map(|(seat, _)| seat);
        let Some(seat) = chosen(self.unsaid.iter().chain(cut_short), which) else { return false };
        let (source, node, since) = seat;
        let (epoch, of) = (self.members[&node], vec![(source, since)]);
        let word = if self.unsaid.remove(&seat) {
            self.known.insert((source, node));
            ToMaster::Whole { epoch, of }
        } else {
            self.cut_short.insert(seat, true);
            ToMaster::Lacks { epoch, of }
        };
        self.step(MasterEvent::Word { node, incarnation: 1, word });
        true
    }

    /// Everything that can be copied is, and said; then nobody waits any more.
    pub fn settle(&mut self) {
        while self.copy(0) | self.say(0) {}
        assert!(self.waits.is_empty(), "{:?} wait for ever in {:?}", self.waits, self.assignment);
        assert!(self.cut_short.is_empty(), "{:?} are left in {:?}", self.cut_short, self.assignment);
    }

    /// No holder lacks anything.
    pub fn check_everybody_has_everything(&self) {
        assert!(self.lost.is_empty(), "input of {:?} is lost", self.lost);
        for (source, place) in self.assignment.iter() {
            for seat in &place.holders {
                assert!(self.has.contains(&(source, seat.node)), "{} lacks {source}: {place:?}", seat.node);
            }
        }
    }

    fn step(&mut self, event: MasterEvent) {
        let stayed = self.members.keys().copied().collect();
        let (mut actions, mut newest) = (Vec::new(), None);
        self.master.step(Moment::ZERO, event, &mut actions);
        for action in actions {
            match action {
                MasterAction::Tell(node, FromMaster::Welcome { epoch }) => drop(self.members.insert(node, epoch)),
                MasterAction::Tell(_, FromMaster::Assign(next)) => newest = Some(next),
                _ => {}
            }
        }
        // Who joins is told what holds, and at once what follows from his being here.
        if let Some(next) = newest.filter(|next| next.version > self.assignment.version) {
            self.assigned(next, &stayed);
        }
    }

    fn assigned(&mut self, next: Assignment, stayed: &BTreeSet<NodeNumber>) {
        let before = std::mem::replace(&mut self.assignment, next.clone());
        for (source, place) in next.iter() {
            let old = before.place(source).cloned().unwrap_or_default();
            self.check_seats(source, &old, place, stayed);
            self.has.retain(|(of, node)| *of != source || place.holder(*node).is_some());
            self.known.retain(|(of, node)| *of != source || place.holder(*node).is_some());
            let is_now = |node: NodeNumber, since: u64| place.holder(node).is_some_and(|seat| seat.since == since);
            self.waits.retain(|(of, node, since), _| *of != source || is_now(*node, *since));
            self.unsaid.retain(|(of, node, since)| *of != source || is_now(*node, *since));
            self.cut_short.retain(|(of, node, since), _| *of != source || is_now(*node, *since));
            let is_new = |seat: &&Seat| old.holder(seat.node).is_none_or(|old| old.since != seat.since);
            let new: Vec<Seat> = place.holders.iter().filter(is_new).cloned().collect();
            new.iter().for_each(|seat| self.begin(source, seat, before.version == 0));
            new.iter().for_each(|seat| self.check_giver(source, place, seat));
            for seat in place.hosts.iter().filter(|seat| place.has_lost_model(seat)) {
                let key = (source, seat.node, seat.since);
                if self.waits.remove(&key).is_some() {
                    self.cut_short.insert(key, false);
                }
            }
        }
    }

    /// A holder begins as it was told to.
    fn begin(&mut self, source: u32, seat: &Seat, is_first: bool) {
        let Seat { node, since, start } = *seat;
        if start == Start::Empty {
            assert!(is_first, "{node} begins source {source} with nothing in the middle of the run");
            self.has.insert((source, node));
        }
        let Some(giver) = giver_of(start).filter(|giver| *giver != node) else {
            let known: Vec<NodeNumber> =
                self.known.iter().filter(|(of, _)| *of == source).map(|(_, node)| *node).collect();
            if self.has.insert((source, node)) {
                assert_eq!(known, [], "{node} begins source {source} with nothing: {:?}", self.assignment);
                self.lost.insert(source); // it has all that there is
            }
            self.unsaid.insert((source, node, since));
            return;
        };
        self.waits.insert((source, node, since), giver);
    }

    /// Who is to give input has it; a state is given once there is one.
    fn check_giver(&self, source: u32, place: &Place, seat: &Seat) {
        match seat.start {
            Start::Restored { input_from: Some(from), .. } => {
                // It gives what there is, if nobody else can.
                let is_last = place.host(from).is_some_and(|seat| place.has_lost_model(seat));
                assert!(is_last || self.has.contains(&(source, from)), "{from} is to give source {source}: {place:?}");
            }
            Start::Copied { from } => assert!(place.host(from).is_some(), "{from} runs nothing: {place:?}"),
            Start::Empty | Start::Restored { input_from: None, .. } => {}
        }
    }

    /// As many as asked, of members alone, each once; and who stayed keeps its seat.
    fn check_seats(&self, source: u32, old: &Place, place: &Place, stayed: &BTreeSet<NodeNumber>) {
        let Redundancy { hosts, copies, .. } = self.redundancy;
        let hosts = (hosts as usize).min(self.members.len());
        let copies = (copies as usize).min(self.members.len());
        assert_eq!((place.hosts.len(), place.holders.len()), (hosts, copies.max(hosts)), "{place:?}");
        for seats in [&place.hosts, &place.holders] {
            let nodes: BTreeSet<NodeNumber> = seats.iter().map(|seat| seat.node).collect();
            assert_eq!(nodes.len(), seats.len(), "a node twice in {place:?}");
            assert!(nodes.iter().all(|node| self.members.contains_key(node)), "a stranger in {place:?}");
        }
        assert!(place.hosts.iter().all(|seat| place.holder(seat.node).is_some()), "a host without input in {place:?}");
        for (before, now) in [(&old.hosts, &place.hosts), (&old.holders, &place.holders)] {
            for seat in before.iter().filter(|seat| stayed.contains(&seat.node)) {
                let Seat { node, since, start } = *seat;
                let now = now.iter().find(|now| now.node == node);
                let is_kept = now.is_some_and(|now| now.since == since);
                let becomes_host = old.host(node).is_none() && place.host(node).is_some();
                let lost_giver =
                    giver_of(start).is_some_and(|giver| !stayed.contains(&giver)) || old.has_lost_model(seat);
                let waits_in_vain = lost_giver && !self.known.contains(&(source, node));
                assert!(now.is_some() && (is_kept || becomes_host || waits_in_vain), "{node} was moved in {place:?}");
            }
        }
    }
}

/// Who gives input or state.
fn giver_of(start: Start) -> Option<NodeNumber> {
    match start {
        Start::Empty => None,
        Start::Restored { input_from, .. } => input_from,
        Start::Copied { from } => Some(from),
    }
}

/// One of these.
fn chosen<'i, T: Copy + 'i>(of: impl Iterator<Item = &'i T>, which: u32) -> Option<T> {
    let all: Vec<T> = of.copied().collect();
    all.get(which as usize % all.len().max(1)).copied()
}
