//! Who could say that records are gone: losses of which everyone who knew of them is dead.
//!
//! A record is known to the workers that hold it, to the client that heard that it is held, and to the master that led
//! meanwhile; a later master knows what the workers that join it hold, and what clients that live then have heard. Beyond
//! these only a log knows it. Reads the log of a run line by line; knows no engine. Invariant: as long as any of them lives,
//! the record is not forgotten; who let go of a block knows of it yet.

use dstream_trace::{Event, NodeName, RangeSet, RecordRange, TraceLine};
use std::collections::BTreeMap;

/// Who knows which records, as the log goes on.
pub(crate) struct Witnesses {
    /// Who lives, the leader aside: what it holds, or has heard to be held.
    others: BTreeMap<NodeName, RangeSet>,
    leader: Option<NodeName>,
    leader_knows: RangeSet,
    /// A master says that it leads; where none does, the one that there is leads as long as it lives.
    are_elected: bool,
    /// All that was held at some time.
    known_once: RangeSet,
    forgotten: RangeSet,
}

impl Witnesses {
    pub(crate) fn new() -> Witnesses {
        Witnesses {
            others: BTreeMap::new(),
            leader: Some(NodeName::new("master")),
            leader_knows: RangeSet::new(),
            are_elected: false,
            known_once: RangeSet::new(),
            forgotten: RangeSet::new(),
        }
    }

    /// Records that were held and of which nobody knew any more at some moment, nor has learnt since.
    pub(crate) fn forgotten(&self) -> &RangeSet {
        &self.forgotten
    }

    pub(crate) fn step(&mut self, line: &TraceLine) {
        match &line.event {
            Event::BlockHeld { ranges, .. } => self.learn(&line.node, ranges),
            Event::RecordsAcked { range } => self.learn(&line.node, std::slice::from_ref(range)),
            // It outlives every node, and whoever leads reads it.
            Event::BlockLogged { ranges, .. } => self.learn(&NodeName::store(), ranges),
            Event::MasterElected { .. } => {
                self.are_elected = true;
                self.lead(&line.node);
            }
            Event::NodeStarted { .. } if !self.are_elected && line.node.as_str() == "master" => self.lead(&line.node),
            Event::WorkerJoined { worker, .. } => {
                let held: Vec<RecordRange> = self.others.get(worker).into_iter().flat_map(RangeSet::iter).collect();
                self.tell_leader(&held);
            }
            Event::ProcessEnded | Event::NodeEnded => self.end(&line.node),
            _ => {}
        }
    }

    fn learn(&mut self, node: &NodeName, ranges: &[RecordRange]) {
        let known = self.others.entry(node.clone()).or_default();
        for range in ranges {
            known.insert(*range);
            self.known_once.insert(*range);
            self.forgotten.remove(*range);
        }
        self.tell_leader(ranges);
    }

    fn tell_leader(&mut self, ranges: &[RecordRange]) {
        if self.leader.is_some() {
            ranges.iter().for_each(|range| drop(self.leader_knows.insert(*range)));
        }
    }

    /// Whoever led before is not heard any more. Clients say what they heard; workers do when they join.
    fn lead(&mut self, node: &NodeName) {
        let clients = self.others.iter().filter(|(name, _)| name.is_client());
        self.leader_knows = clients.flat_map(|(_, heard)| heard.iter()).collect();
        self.leader = Some(node.clone());
        self.forget();
    }

    fn end(&mut self, node: &NodeName) {
        self.others.remove(node);
        if self.leader.as_ref() == Some(node) {
            (self.leader, self.leader_knows) = (None, RangeSet::new());
        }
        self.forget();
    }

    /// What nobody knows now.
    fn forget(&mut self) {
        let known = self.others.values().chain([&self.leader_knows]);
        let without = |unknown: Vec<RecordRange>, known: &RangeSet| -> Vec<RecordRange> {
            unknown.into_iter().flat_map(|range| known.gaps(range)).collect()
        };
        let unknown = known.fold(self.known_once.iter().collect(), without);
        unknown.into_iter().for_each(|range| drop(self.forgotten.insert(range)));
    }
}
