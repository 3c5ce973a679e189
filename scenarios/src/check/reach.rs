//! Which faults explain that the master hears nothing of a worker, or is not heard by it.
//!
//! Knows the plan and when its faults were applied; nothing of blocks and copies.

use super::CheckInput;
use dstream_trace::measure::{Effect, FaultFacts};
use dstream_trace::{Moment, NodeName};
use std::time::Duration;

/// A worker that a fault held off counts as lost by it this long after the failure timeout that follows its end.
pub(super) const LOSS_GRACE: Duration = Duration::from_secs(1);

/// Whether a fault of the plan explains that the worker is declared lost at `at`.
pub(super) fn held_off(input: &CheckInput<'_>, worker: &NodeName, at: Moment) -> bool {
    input.run.faults.iter().any(|fault| {
        let times = input.facts.faults.get(&fault.number).copied().unwrap_or_default();
        let hits = keeps_away(fault, worker);
        let until = times.ended.map_or(Moment::NEVER, |ended| ended + input.run.failure_timeout + LOSS_GRACE);
        hits && times.applied.is_some_and(|applied| applied <= at) && at <= until
    })
}

/// When the master must have heard of a loss at `at`, and its words must have been heard: a failure timeout and some grace
/// later, or after the end of a fault that then hit it, or stood between it and one of these nodes.
pub(super) fn heard_by(input: &CheckInput<'_>, at: Moment, of: &[&NodeName]) -> Moment {
    let master = NodeName::new("master");
    let timeout = input.run.failure_timeout + LOSS_GRACE;
    let is_one = |nodes: &[NodeName]| of.iter().any(|node| nodes.contains(node));
    let keeps_from = |fault: &&FaultFacts| match (fault.nodes.contains(&master), fault.others.contains(&master)) {
        (true, _) => fault.others.is_empty() || is_one(&fault.others),
        (false, true) => is_one(&fault.nodes),
        (false, false) => false,
    };
    let held_off = input.run.faults.iter().filter(keeps_from);
    let mut times: Vec<_> = held_off.filter_map(|fault| input.facts.faults.get(&fault.number)).collect();
    times.sort_by_key(|times| times.applied);
    times.into_iter().fold(at + timeout, |until, times| match (times.applied, times.ended) {
        (Some(applied), Some(ended)) if applied <= until => until.max(ended + timeout),
        _ => until,
    })
}

/// Whether the fault can keep the worker's heartbeats from the master. What only holds or delays messages can where it
/// stands between the two; a slow network card can at either end.
fn keeps_away(fault: &FaultFacts, worker: &NodeName) -> bool {
    let master = NodeName::new("master");
    let between = |one: &NodeName, other: &NodeName| fault.nodes.contains(one) && fault.others.contains(other);
    match fault.effect {
        Effect::MessageHeld | Effect::MessageDelayed => between(worker, &master) || between(&master, worker),
        Effect::TransferStretched => fault.nodes.contains(worker) || fault.nodes.contains(&master),
        _ => fault.nodes.contains(worker) || fault.others.contains(worker),
    }
}
