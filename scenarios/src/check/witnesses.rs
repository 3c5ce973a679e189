//! Losses that nobody alive could speak of: everyone who knew that the records had been acknowledged is gone.
//!
//! A record that is in no interval is known to the workers that hold it, to the client that heard that it is held, and to the
//! master that led meanwhile; a later master knows what the workers that join it hold, and what clients that live then have
//! heard. Records outlive all of these only in a log or a journal, where that is the promise. Knows no engine. Invariant: as
//! long as any of them lives, whoever leads has to say that the records are gone; who let go of a block knows of it yet.

use super::CheckInput;
use dstream_trace::{Event, NodeName, RangeSet, RecordRange, TraceLine};
use std::collections::BTreeMap;

/// Of these records, which are in no interval, those of which nobody knew any more at some moment, nor has learnt since.
pub(super) fn unspeakable(input: &CheckInput<'_>, records: &RangeSet) -> RangeSet {
    let mut forgotten = RangeSet::new();
    if input.promise.logs || input.promise.replays.is_some() || records.is_empty() {
        return forgotten;
    }
    let mut witnesses = Witnesses::new();
    for line in input.lines {
        for range in learnt(line).iter().flat_map(|range| records.overlap(*range)) {
            forgotten.remove(range);
        }
        if witnesses.step(line) {
            witnesses.unknown(records).for_each(|range| drop(forgotten.insert(range)));
        }
    }
    forgotten
}

/// What the node knows from then on to be held.
fn learnt(line: &TraceLine) -> &[RecordRange] {
    match &line.event {
        Event::BlockHeld { ranges, .. } => ranges,
        Event::RecordsAcked { range } => std::slice::from_ref(range),
        _ => &[],
    }
}

struct Witnesses {
    /// Who lives and is not the leader: what it holds, or has heard to be held.
    others: BTreeMap<NodeName, RangeSet>,
    leader: Option<NodeName>,
    leader_knows: RangeSet,
    /// A master says that it leads; where none does, the one that there is leads as long as it lives.
    are_elected: bool,
    /// All that was held at some time.
    known_once: RangeSet,
}

impl Witnesses {
    fn new() -> Witnesses {
        Witnesses {
            others: BTreeMap::new(),
            leader: Some(NodeName::new("master")),
            leader_knows: RangeSet::new(),
            are_elected: false,
            known_once: RangeSet::new(),
        }
    }

    /// Whether somebody may be gone who knew something.
    fn step(&mut self, line: &TraceLine) -> bool {
        for range in learnt(line) {
            self.others.entry(line.node.clone()).or_default().insert(*range);
            self.known_once.insert(*range);
            self.tell_leader(&[*range]);
        }
        match &line.event {
            Event::MasterElected { .. } => {
                self.are_elected = true;
                self.lead(line.node.clone());
                true
            }
            Event::NodeStarted { .. } if !self.are_elected && line.node == NodeName::new("master") => {
                self.lead(line.node.clone());
                true
            }
            Event::WorkerJoined { worker, .. } => {
                let held: Vec<RecordRange> = self.others.get(worker).into_iter().flat_map(RangeSet::iter).collect();
                self.tell_leader(&held);
                false
            }
            Event::ProcessEnded | Event::NodeEnded => {
                self.end(&line.node);
                true
            }
            _ => false,
        }
    }

    /// Whoever led before is not heard any more. Clients say what they heard; workers do when they join.
    fn lead(&mut self, node: NodeName) {
        let clients = self.others.iter().filter(|(name, _)| name.is_client());
        self.leader_knows = clients.flat_map(|(_, heard)| heard.iter()).collect();
        self.leader = Some(node);
    }

    fn tell_leader(&mut self, ranges: &[RecordRange]) {
        if self.leader.is_some() {
            ranges.iter().for_each(|range| drop(self.leader_knows.insert(*range)));
        }
    }

    fn end(&mut self, node: &NodeName) {
        self.others.remove(node);
        if self.leader.as_ref() == Some(node) {
            (self.leader, self.leader_knows) = (None, RangeSet::new());
        }
    }

    /// Of these records, those that were held and that nobody knows of now.
    fn unknown(&self, records: &RangeSet) -> impl Iterator<Item = RecordRange> {
        let once = records.iter().flat_map(|range| self.known_once.overlap(range));
        let beyond_leader = once.flat_map(|range| self.leader_knows.gaps(range)).collect::<Vec<_>>();
        let without = |unknown: Vec<RecordRange>, known: &RangeSet| -> Vec<RecordRange> {
            unknown.into_iter().flat_map(|range| known.gaps(range)).collect()
        };
        self.others.values().fold(beyond_leader, without).into_iter()
    }
}
