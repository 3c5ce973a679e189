//! Calm after the storm: so long after the last fault ended, nothing that was due before may still wait, everything has its
//! copies again where enough nodes are left, and from then on every result is on time.
//!
//! Knows no engine. A fault without an end counts from its beginning: a process that stays away is no reason to be late
//! for ever; but a client that stays away is waited for where the promise is that it sends again, for as long as that says.
//! Invariant: a run without faults is calm.

use super::Finding;
use dstream_trace::measure::{Effect, Facts, FaultFacts};
use dstream_trace::{MeasureInput, Measured, Moment, NodeName, RecordRange};
use std::collections::BTreeSet;
use std::time::Duration;

/// While a client is waited for, results of all others wait as well: then, as long again, what came meanwhile is worked off.
const STANDSTILL: u32 = 2;

/// What is not in order `bound` after the last fault.
pub(super) fn calm(
    measured: &Measured,
    facts: &Facts,
    run: &MeasureInput,
    (bound, replays): (Duration, Option<Duration>),
) -> Finding {
    let mut finding = Finding::default();
    let ends = |fault: &FaultFacts| {
        let times = facts.faults.get(&fault.number)?;
        let waits = replays.filter(|_| fault.nodes.iter().any(NodeName::is_client)).unwrap_or_default();
        times.ended.or(times.applied.map(|applied| applied + waits * STANDSTILL))
    };
    let Some(last) = run.faults.iter().filter_map(ends).max() else { return finding };
    let deadline = last + bound;
    add_late_results(&mut finding, measured, run, deadline);
    for (client, pieces) in &facts.sent {
        if !is_gone(facts, run, *client) {
            add_unacknowledged(&mut finding, facts, pieces.iter().map(|sent| sent.range), deadline, run);
        }
    }
    add_lacking_copies(&mut finding, facts, run, deadline);
    finding
}

/// What is still being copied at the deadline may be so because it has just come; it gets its copies before the run ends.
/// Only as many places may stay empty as nodes are gone for good, and no more than there are idle nodes: an engine without
/// them has everything on the nodes that are left.
fn add_lacking_copies(finding: &mut Finding, facts: &Facts, run: &MeasureInput, deadline: Moment) {
    let nodes = (run.workers + run.heirs) as usize;
    let gone = run.faults.iter().filter(|fault| is_for_good(facts, fault)).flat_map(|fault| &fault.nodes);
    let gone: BTreeSet<&NodeName> = gone.filter(|node| node.is_of_the_work()).collect();
    let (before, after): (Vec<_>, Vec<_>) = facts.copies_below.iter().partition(|(at, ..)| *at <= deadline);
    let at_deadline = before.last().map_or(0, |(_, _, lacking)| *lacking);
    let least = after.iter().map(|(_, _, lacking)| *lacking).fold(at_deadline, u64::min);
    let is_back = least <= (gone.len() as u64).min(u64::from(run.heirs));
    if nodes - gone.len().min(nodes) >= run.copies as usize && !is_back && deadline < run.end {
        finding.add(|| format!("{least} blocks or partitions lacked copies at {deadline}, and to the end"));
    }
}

fn add_late_results(finding: &mut Finding, measured: &Measured, run: &MeasureInput, deadline: Moment) {
    let Some(slo) = measured.slo else { return };
    for row in measured.intervals.iter().filter(|row| row.is_due && row.closed <= run.load_end && row.records > 0) {
        let due = (row.closed + slo).max(deadline);
        match row.done {
            Some(done) if done <= due => {}
            Some(done) => finding.add(|| format!("interval {} was out at {done}, due at {due}", row.interval)),
            None => finding.add(|| format!("interval {} was not out, due at {due}", row.interval)),
        }
    }
}

/// Records that were sent well before the deadline have to be acknowledged by it.
fn add_unacknowledged(
    finding: &mut Finding,
    facts: &Facts,
    sent: impl Iterator<Item = RecordRange>,
    deadline: Moment,
    run: &MeasureInput,
) {
    let early = |range: RecordRange| {
        let mut due = facts.sent_within(range);
        due.all(|piece| piece.scheduled(piece.range.last) + run.interval + run.failure_timeout < deadline)
    };
    for range in sent.filter(|range| early(*range)) {
        let held: u64 = facts.acked_within(range).filter(|acked| acked.at <= deadline).map(|a| a.range.count()).sum();
        if held < range.count() {
            finding.add(|| format!("records {range:?} were not acknowledged by {deadline}"));
        }
    }
}

/// Whether the client died for good.
fn is_gone(facts: &Facts, run: &MeasureInput, client: u32) -> bool {
    let name = format!("client-{client}");
    let hits = |fault: &FaultFacts| fault.nodes.iter().any(|node| node.as_str() == name);
    run.faults.iter().any(|fault| hits(fault) && is_for_good(facts, fault))
}

/// Whether processes ended by it, and nothing started them again.
fn is_for_good(facts: &Facts, fault: &FaultFacts) -> bool {
    let times = facts.faults.get(&fault.number).copied().unwrap_or_default();
    matches!(fault.effect, Effect::ProcessEnded | Effect::Left) && times.applied.is_some() && times.ended.is_none()
}
