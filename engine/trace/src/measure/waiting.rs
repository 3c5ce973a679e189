//! What still waits when the run ends: records that were due and never acknowledged, never sealed, or never even sent.
//!
//! Invariant: records of a client that a fault still holds at the end, and records that the engine gave up, do not wait.

use super::{Facts, MeasureInput};
use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::range::RangeSet;
use std::collections::BTreeSet;

/// When the oldest record that still waits at the end of the run was due; `None` if none waits.
pub(super) fn oldest_due(lines: &[TraceLine], facts: &Facts, input: &MeasureInput) -> Option<Moment> {
    let done: BTreeSet<&NodeName> =
        lines.iter().filter(|line| matches!(line.event, Event::ClientDone { .. })).map(|line| &line.node).collect();
    let acked: RangeSet = facts.acked.values().flatten().map(|acked| acked.range).collect();
    let settled = settled(lines, facts);
    let mut oldest: Option<Moment> = None;
    for (client, pieces) in &facts.sent {
        let name = NodeName::client(*client);
        if is_held(&name, facts, input) {
            continue;
        }
        let open = |sent: &super::Sent| [acked.gaps(sent.range), settled.gaps(sent.range)].concat();
        let parts = pieces.iter().flat_map(|sent| open(sent).into_iter().filter_map(|part| sent.within(part)));
        let waiting = parts.map(|part| part.scheduled(part.range.first)).min();
        // What a client that did not finish never sent was due after the last that it sent.
        let last = pieces.last().filter(|_| !done.contains(&name));
        let unsent = last.map(|last| last.scheduled(last.range.last));
        oldest = [oldest, waiting, unsent].into_iter().flatten().min();
    }
    oldest
}

/// The records that are in an interval or were given up.
fn settled(lines: &[TraceLine], facts: &Facts) -> RangeSet {
    let given_up = lines.iter().filter_map(|line| match &line.event {
        Event::BlockLost { ranges, interval: None, .. } => Some(ranges),
        _ => None,
    });
    facts.sealed.values().map(|seal| &seal.ranges).chain(given_up).flatten().copied().collect()
}

/// Whether a fault that hit the client was never over.
fn is_held(client: &NodeName, facts: &Facts, input: &MeasureInput) -> bool {
    input.faults.iter().filter(|fault| fault.nodes.contains(client) || fault.others.contains(client)).any(|fault| {
        let times = facts.faults.get(&fault.number).copied().unwrap_or_default();
        times.applied.is_some() && times.ended.is_none()
    })
}
