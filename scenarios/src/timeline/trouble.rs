//! Faults of the durable store: what is wrong with it for which node while several of them are on.
//!
//! Knows no world. Invariant: what is wrong is the sum of what is on, in whatever order it began.

use crate::plan::FaultKind;
use dstream_host::shape::{STORE, StoreTrouble};
use dstream_trace::NodeName;

/// The pairs of nodes between which the fault stands; what stands between a node and the store is no such pair.
pub(super) fn pairs_of_nodes(kind: &FaultKind) -> impl Iterator<Item = (&NodeName, &NodeName)> {
    kind.pairs().filter(|(one, other)| one.as_str() != STORE && other.as_str() != STORE)
}

/// The nodes, of these, whose requests to the store the fault touches.
pub(super) fn troubled<'n>(kind: &'n FaultKind, nodes: &'n [NodeName]) -> Vec<&'n NodeName> {
    match kind {
        FaultKind::DiskFull { .. } | FaultKind::DiskError { .. } => nodes.iter().collect(),
        _ => kind.pairs().filter_map(other_than_the_store).collect(),
    }
}

fn other_than_the_store<'n>((one, other): (&'n NodeName, &'n NodeName)) -> Option<&'n NodeName> {
    match (one.as_str(), other.as_str()) {
        (STORE, _) => Some(other),
        (_, STORE) => Some(one),
        _ => None,
    }
}

/// What is wrong with the store for the node while these faults are on.
pub(super) fn trouble<'f>(active: impl Iterator<Item = &'f FaultKind>, node: &NodeName) -> StoreTrouble {
    let mut trouble = StoreTrouble::default();
    for kind in active {
        let is_between = || kind.pairs().filter_map(other_than_the_store).any(|other| other == node);
        match kind {
            FaultKind::DiskFull { .. } => trouble.is_full = true,
            FaultKind::DiskError { .. } => trouble.is_failing = true,
            FaultKind::Outage { .. } if is_between() => trouble.is_held = true,
            FaultKind::Delay { by, .. } if is_between() => trouble.late += *by,
            _ => {}
        }
    }
    trouble
}
