//! What a reader of a timeline must know about nodes: when each was down, hit by a fault or declared lost, and the
//! moments at which the master changed its mind about them.
//!
//! Invariant: both lists are ordered by time; a state without an end lasts until the run's.

use super::MeasureInput;
use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::range::RecordRange;
use std::collections::{BTreeMap, BTreeSet};

/// A stretch of time in which a node was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Which node.
    pub node: NodeName,
    /// `down` (no process), `lost` (declared so by the master), `waits` (to be called) or the kind of the fault.
    pub state: String,
    /// Since when.
    pub from: Moment,
    /// Until when; `None` where it was so when the run ended.
    pub until: Option<Moment>,
}

/// Something worth a mark on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Moment,
    /// What, in fixed words.
    pub what: &'static str,
    /// At or about which node.
    pub node: NodeName,
    /// A number that belongs to it: which of the memberships that one term gave, blocks, records, partitions, thousandths
    /// of the cores' time, the master's term, or the last interval of a checkpoint.
    pub amount: u64,
    /// Of a membership: in which master's term it was given, from 1.
    pub term: Option<u64>,
}

/// The membership that an event is about, as the term in which it was given and its number in it: masters count epochs on
/// from a place that no earlier term reaches.
fn membership(event: &Event) -> Option<(u64, u64)> {
    match event {
        Event::WorkerLost { epoch, .. }
        | Event::WorkerJoined { epoch, .. }
        | Event::WorkerLeaving { epoch, .. }
        | Event::WorkerStays { epoch, .. }
        | Event::WorkerLeft { epoch, .. } => Some(((epoch >> 32) + 1, epoch & u64::from(u32::MAX))),
        _ => None,
    }
}

/// The states of all nodes.
pub(super) fn states(lines: &[TraceLine], input: &MeasureInput) -> Vec<NodeState> {
    let mut states = Vec::new();
    let mut open: BTreeMap<(&NodeName, &str), Moment> = BTreeMap::new();
    for line in lines {
        let ended = match &line.event {
            Event::ProcessEnded => {
                open.entry((&line.node, "down")).or_insert(line.at);
                continue;
            }
            Event::WorkerLeaving { worker, .. } => {
                open.entry((worker, "leaving")).or_insert(line.at);
                continue;
            }
            Event::WorkerLeft { worker, .. } | Event::WorkerStays { worker, .. } => (worker, "leaving"),
            Event::WorkerWaits { worker } => {
                open.entry((worker, "waits")).or_insert(line.at);
                continue;
            }
            Event::WorkerCalled { worker, .. } => (worker, "waits"),
            Event::WorkerLost { worker, .. } => {
                open.entry((worker, "lost")).or_insert(line.at);
                continue;
            }
            Event::NodeStarted { .. } => (&line.node, "down"),
            Event::WorkerJoined { worker, .. } => (worker, "lost"),
            _ => continue,
        };
        if let Some(from) = open.remove(&ended) {
            states.push(state(ended, from, Some(line.at)));
        }
    }
    states.extend(open.into_iter().map(|(key, from)| state(key, from, None)));
    states.extend(hit_by_faults(lines, input));
    states.sort_by(|a, b| (a.from, &a.node, &a.state).cmp(&(b.from, &b.node, &b.state)));
    states
}

fn state((node, state): (&NodeName, &str), from: Moment, until: Option<Moment>) -> NodeState {
    NodeState { node: node.clone(), state: state.to_owned(), from, until }
}

/// The stretches in which faults were on. What ends a process shows as `down` already.
fn hit_by_faults(lines: &[TraceLine], input: &MeasureInput) -> Vec<NodeState> {
    let mut times: BTreeMap<u32, (Moment, Option<Moment>)> = BTreeMap::new();
    for line in lines {
        match line.event {
            Event::FaultApplied { fault, .. } => {
                times.entry(fault).or_insert((line.at, None));
            }
            Event::FaultEnded { fault, .. } => {
                times.entry(fault).and_modify(|(_, until)| *until = until.or(Some(line.at)));
            }
            _ => {}
        }
    }
    use super::Effect::{Joined, Left, ProcessEnded};
    let lasting = input.faults.iter().filter(|fault| !matches!(fault.effect, ProcessEnded | Joined | Left));
    let hit = lasting.filter_map(|fault| times.get(&fault.number).map(|times| (fault, *times)));
    hit.flat_map(|(fault, (from, until))| fault.nodes.iter().map(move |node| state((node, &fault.fault), from, until)))
        .collect()
}

/// What the master said about its members, their partitions and their copies.
pub(super) fn happenings(lines: &[TraceLine]) -> Vec<Happening> {
    let mut found: Vec<Happening> = Vec::new();
    let (mut below, mut gone) = (0, BTreeSet::new());
    let mut orphans = Orphans::default();
    for line in lines {
        let (what, node, amount) = match &line.event {
            Event::WorkerLost { worker, epoch } => {
                orphans.leave(worker);
                ("declared lost", worker, *epoch)
            }
            Event::ProcessEnded => {
                orphans.leave(&line.node);
                continue;
            }
            Event::PartitionTaken { partition, node, .. } => {
                if !orphans.take(*partition, node) {
                    continue;
                }
                match found.last_mut() {
                    Some(last) if (last.at, last.what, &last.node) == (line.at, TOOK_OVER, node) => {
                        last.amount += 1;
                        continue;
                    }
                    _ => (TOOK_OVER, node, 1),
                }
            }
            Event::MasterElected { term } => ("leads", &line.node, *term),
            Event::WorkerJoined { worker, epoch } => ("joined", worker, *epoch),
            Event::WorkerLeaving { worker, epoch } => ("leaves", worker, *epoch),
            Event::WorkerStays { worker, epoch } => ("stays", worker, *epoch),
            Event::WorkerLeft { worker, epoch } => ("left", worker, *epoch),
            Event::WorkerCalled { worker, busy_permille } => ("called", worker, *busy_permille),
            Event::WorkerSpared { worker, busy_permille } => ("spared", worker, *busy_permille),
            Event::CopiesBelow { blocks } => {
                let before = std::mem::replace(&mut below, *blocks);
                match (before, *blocks) {
                    (0, 1..) => ("copies missing", &line.node, *blocks),
                    (1.., 0) => ("copies whole", &line.node, 0),
                    _ => continue,
                }
            }
            Event::BlockLost { block, ranges, .. } => {
                // A master that takes over may say it again.
                if !gone.insert(*block) {
                    continue;
                }
                ("records gone", &line.node, ranges.iter().map(RecordRange::count).sum())
            }
            Event::ResultTentative { interval, .. } => match found.last_mut() {
                Some(last) if (last.what, last.amount) == (TENTATIVE, *interval) => continue,
                _ => (TENTATIVE, &line.node, *interval),
            },
            Event::CheckpointComplete { through } => ("checkpoint", &line.node, *through),
            _ => continue,
        };
        let (term, amount) = membership(&line.event).map_or((None, amount), |(term, number)| (Some(term), number));
        found.push(Happening { at: line.at, what, node: node.clone(), amount, term });
    }
    found
}

/// Late results of an interval are shown before all their input is there.
const TENTATIVE: &str = "shown tentatively";

/// A node runs partitions that another one has lost.
const TOOK_OVER: &str = "took over";

/// Who runs which partition, and how many that ran it are gone.
#[derive(Default)]
struct Orphans<'l> {
    /// partition -> those that run it
    owners: BTreeMap<u32, Vec<&'l NodeName>>,
    /// partition -> how many owners it lost that nobody has replaced
    lost: BTreeMap<u32, usize>,
}

impl<'l> Orphans<'l> {
    fn leave(&mut self, node: &NodeName) {
        for (partition, owners) in &mut self.owners {
            let before = owners.len();
            owners.retain(|owner| *owner != node);
            *self.lost.entry(*partition).or_default() += before - owners.len();
        }
    }

    /// Whether the node takes the place of one that is gone.
    fn take(&mut self, partition: u32, node: &'l NodeName) -> bool {
        let owners = self.owners.entry(partition).or_default();
        if owners.contains(&node) {
            return false;
        }
        owners.push(node);
        let lost = self.lost.entry(partition).or_default();
        let is_heir = *lost > 0;
        *lost = lost.saturating_sub(1);
        is_heir
    }
}
