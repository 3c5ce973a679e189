//! Faults that cannot happen together: a node that is down cannot be hit, and it is
//! paused or cut off once at a time. What slows down, holds or delays may overlap: it adds up.
//!
//! Knows plain facts of processes only: dead ones cannot stop, stopped ones can die. Invariant: symmetric.

use crate::plan::{FaultKind, FaultPlan};
use crate::unit::show_duration;
use dstream_trace::NodeName;
use std::time::Duration;

/// Where the fault ends; `Duration::MAX` if it does not.
fn end(fault: &FaultPlan) -> Duration {
    fault.lasts.map_or(Duration::MAX, |lasts| fault.at + lasts)
}

/// Whether both are on at one moment. One that ends when the other begins does not meet it, but two that begin
/// together do.
fn meet(a: &FaultPlan, b: &FaultPlan) -> bool {
    a.at < end(b) && b.at < end(a)
}

/// `from 15s to 25s`, or `from 15s on`.
fn when(fault: &FaultPlan) -> String {
    match fault.lasts {
        Some(lasts) => format!("from {} to {}", show_duration(fault.at), show_duration(fault.at + lasts)),
        None => format!("from {} on", show_duration(fault.at)),
    }
}

/// Why these two cannot both happen, if they cannot: about the one that comes later.
pub(super) fn collision(a: &FaultPlan, b: &FaultPlan) -> Option<String> {
    let (first, second) = if a.at <= b.at { (a, b) } else { (b, a) };
    if let Some(why) = moves_twice(first, second) {
        return Some(why);
    }
    if !meet(first, second) {
        return None;
    }
    if let (FaultKind::Partition { .. }, FaultKind::Partition { .. }) = (&first.kind, &second.kind) {
        return same_cut(&first.kind, &second.kind)
            .then(|| format!("the same nodes are already cut off from each other {}", when(first)));
    }
    let target = first.kind.node().filter(|target| second.kind.node() == Some(target))?;
    if first.kind.ends().is_some() {
        return Some(format!("`{target}` is already down {}", when(first)));
    }
    // Both begin at the same moment, and one of them ends the process.
    if second.kind.ends().is_some() && first.at == second.at {
        return Some(format!("`{target}` is already hit at {} by another fault", show_duration(first.at)));
    }
    let is_pause = |fault: &FaultPlan| matches!(fault.kind, FaultKind::Pause { .. });
    if is_pause(first) && second.kind.ends().is_some() && end(second) < end(first) {
        return Some(format!("`{target}` would start again while it is paused, {}", when(first)));
    }
    (is_pause(first) && is_pause(second)).then(|| format!("`{target}` is already paused {}", when(first)))
}

/// Why what moves a node cannot happen with the other fault, if it cannot: before it joins there is no node to be hit, and
/// it joins once and leaves once.
fn moves_twice(first: &FaultPlan, second: &FaultPlan) -> Option<String> {
    let node = first.kind.node().filter(|node| second.kind.node() == Some(node))?;
    match (&first.kind, &second.kind) {
        (_, FaultKind::Join { .. }) => {
            Some(format!("`{node}` is hit at {} already, before it is there", show_duration(first.at)))
        }
        (FaultKind::Join { .. }, _) if first.at == second.at => {
            Some(format!("`{node}` joins at {}", show_duration(first.at)))
        }
        (FaultKind::Drain { .. }, FaultKind::Drain { .. }) => Some(format!("`{node}` leaves already {}", when(first))),
        _ => None,
    }
}

/// Whether two partitions cut the same nodes from the same nodes.
fn same_cut(a: &FaultKind, b: &FaultKind) -> bool {
    let pairs = |kind: &FaultKind| -> Vec<(NodeName, NodeName)> {
        let FaultKind::Partition { between, and, one_way } = kind else { return Vec::new() };
        let there = between.iter().flat_map(|from| and.iter().map(move |to| (from.clone(), to.clone())));
        let both = there.flat_map(|(from, to)| {
            let back = (!one_way).then(|| (to.clone(), from.clone()));
            std::iter::once((from, to)).chain(back)
        });
        let mut pairs: Vec<_> = both.collect();
        pairs.sort();
        pairs
    };
    pairs(a) == pairs(b)
}

/// Why a fault between nodes cannot do anything, if one whole side of it is down as long as it lasts.
pub(super) fn cut_of_the_dead<'f>(
    cut: &FaultPlan,
    faults: impl Iterator<Item = &'f FaultPlan> + Clone,
) -> Option<String> {
    let (between, and) = cut.kind.sides()?;
    let gone = |node: &NodeName| {
        let covers = |fault: &&FaultPlan| fault.at <= cut.at && end(fault) >= end(cut);
        let mut crashes = faults.clone().filter(covers);
        crashes.find(|fault| fault.kind.ends() == Some(node))
    };
    let down = |side: &[NodeName]| side.iter().map(gone).collect::<Option<Vec<_>>>();
    let (side, crashes) = [between, and].into_iter().find_map(|side| Some((side, down(side)?)))?;
    let said = side.iter().zip(crashes).map(|(node, crash)| match crash.lasts {
        Some(_) => format!("`{node}` is down {}", when(crash)),
        None => format!("`{node}` crashed for good before"),
    });
    Some(format!("{}; no message is left between them", said.collect::<Vec<_>>().join(", ")))
}
