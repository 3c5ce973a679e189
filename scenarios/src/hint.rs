//! What is valid and hardly meant: a scenario that says so is read, and its writer told.
//!
//! Knows no engine by name. Invariant: a hint changes nothing, and a plan without one may still go wrong.

use crate::plan::{EnginePlan, FaultPlan, Plan};
use crate::unit::show_duration;
use std::collections::BTreeSet;

/// What the plan's writer may not have meant, a sentence each.
pub fn hints(plan: &Plan) -> Vec<String> {
    plan.engines.iter().filter_map(|engine| nobody_leads(plan, engine)).collect()
}

/// From some fault on there is nobody who could lead: the master died for good, and so did who could follow it.
fn nobody_leads(plan: &Plan, engine: &EnginePlan) -> Option<String> {
    // Heirs of an engine whose workers have heirs lead nothing; such an engine refuses the death of its master.
    let leaders: BTreeSet<&str> = if engine.recovers_master { leaders(engine) } else { return None };
    let ends =
        |fault: &FaultPlan| fault.lasts.is_none().then(|| fault.kind.ends().map(|node| node.to_string())).flatten();
    let mut left = leaders.clone();
    let last = plan
        .faults
        .iter()
        .find(|fault| ends(fault).is_some_and(|node| left.remove(node.as_str())) && left.is_empty())?;
    let (label, at) = (&engine.label, show_duration(last.at));
    let who = if leaders.len() == 1 { "the master dies" } else { "the last that could be master dies" };
    Some(format!(
        "{who} for good at {at}, and `{label}` has no standby that would lead after it: no result comes from then on. \
         Give the fault a `restart_after:`, or the engine one master more, `standby_masters: {}`",
        leaders.len()
    ))
}

/// The nodes that may lead.
fn leaders(engine: &EnginePlan) -> BTreeSet<&str> {
    engine.heirs.iter().map(|heir| heir.as_str()).chain(["master"]).collect()
}
