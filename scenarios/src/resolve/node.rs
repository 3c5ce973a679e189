//! Which nodes there are, and which of them a fault can hit in this build.

use super::Common;
use crate::nearest::nearest;
use crate::plan::EnginePlan;
use crate::spec::{At, Reader};
use crate::yaml::Problem;
use dstream_trace::NodeName;
use std::collections::BTreeSet;

/// The name that stands for one worker, to be drawn.
pub(super) const ANY_WORKER: &str = "any-worker";

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Worker,
    AnyWorker,
    Master,
    Client,
    Store,
    /// A standby or a replica of some engine.
    Heir,
}

/// Reads a target's name; one that does not exist is reported with the nearest that does.
pub(super) fn read(reader: &mut Reader<'_>, name: &At<String>, common: &Common<'_>) -> Option<(Role, NodeName)> {
    let node = NodeName::new(&name.value);
    let role = match name.value.as_str() {
        ANY_WORKER => Some(Role::AnyWorker),
        "master" => Some(Role::Master),
        "store" => Some(Role::Store),
        text => numbered(text, common),
    };
    if let Some(role) = role {
        let Some(message) = stranger(name, role, common) else { return Some((role, node)) };
        reader.wrong(name.at, message);
        return None;
    }
    refuse(reader, name, common);
    None
}

/// Why the node is none of some engine that is asked for.
fn stranger(name: &At<String>, role: Role, common: &Common<'_>) -> Option<String> {
    let has = |engine: &&EnginePlan| match role {
        Role::Worker => number(&name.value, "worker").is_some_and(|number| number <= engine.workers),
        Role::Heir => engine.heirs.iter().any(|heir| heir.as_str() == name.value),
        _ => true,
    };
    let lacking = common.chosen.iter().find(|engine| !has(engine))?;
    let (text, label, workers) = (&name.value, &lacking.label, lacking.workers);
    let with: Vec<String> =
        common.engines.iter().filter(has).map(|engine| format!("`--engine {}`", engine.label)).collect();
    Some(match role {
        Role::Worker => {
            let compare = common.compare;
            format!("the engine `{label}` has no node `{text}`: `compare: {compare}` leaves it {workers} workers")
        }
        _ => format!("the engine `{label}` has no node `{text}`; run what has one alone: {}", with.join(" ")),
    })
}

/// The number in `worker-3`, if it is written as numbers are.
fn number(text: &str, kind: &str) -> Option<u32> {
    let digits = text.strip_prefix(kind)?.strip_prefix('-')?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

fn numbered(text: &str, common: &Common<'_>) -> Option<Role> {
    let within = |number: Option<u32>, most: u32| number.is_some_and(|number| (1..=most).contains(&number));
    if within(number(text, "worker"), common.cluster.workers) {
        Some(Role::Worker)
    } else if within(number(text, "client"), common.cluster.clients) {
        Some(Role::Client)
    } else if common.engines.iter().flat_map(|engine| &engine.heirs).any(|heir| heir.as_str() == text) {
        Some(Role::Heir)
    } else {
        None
    }
}

fn refuse(reader: &mut Reader<'_>, name: &At<String>, common: &Common<'_>) {
    let text = name.value.as_str();
    for kind in ["standby", "replica"] {
        if text.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')) {
            reader.wrong(name.at, format!("no engine of this scenario has a node `{text}`; valid: {}", valid(common)));
            return;
        }
    }
    let (workers, clients) = (common.cluster.workers, common.cluster.clients);
    for (kind, most) in [("worker", workers), ("client", clients)] {
        if let Some(number) = number(text, kind) {
            let last = format!("{kind}-{most}");
            let near = if number == 0 { format!("{kind}-1") } else { last.clone() };
            let message = if most == 1 {
                format!("there is no `{text}`; the only {kind} is `{last}`")
            } else {
                format!("there is no `{text}`; did you mean `{near}`? The {kind}s are `{kind}-1` to `{last}`")
            };
            reader.problems.push(Problem { nearest: Some(near), ..Problem::wrong(name.at, message) });
            return;
        }
    }
    let mut names = vec![ANY_WORKER.to_string(), "master".to_string()];
    names.extend((1..=workers).map(|number| format!("worker-{number}")));
    names.extend((1..=clients).map(|number| format!("client-{number}")));
    let nearest = nearest(text, names.iter().map(String::as_str)).map(str::to_string);
    let advice = match &nearest {
        Some(name) => format!("did you mean `{name}`? Valid"),
        None => "valid".to_string(),
    };
    let message = format!("there is no node `{}`; {advice}: {}", text.escape_debug(), valid(common));
    reader.problems.push(Problem { nearest, ..Problem::wrong(name.at, message) });
}

/// All names of nodes, in short.
fn valid(common: &Common<'_>) -> String {
    let all = |kind: &str, most: u32| match most {
        1 => format!("`{kind}-1`"),
        _ => format!("`{kind}-1` to `{kind}-{most}`"),
    };
    let (workers, clients) = (all("worker", common.cluster.workers), all("client", common.cluster.clients));
    let heirs: BTreeSet<&NodeName> = common.engines.iter().flat_map(|engine| &engine.heirs).collect();
    let heirs: String = heirs.iter().map(|heir| format!(", `{heir}`")).collect();
    format!("{workers}, `{ANY_WORKER}`, `master`, {clients}{heirs}")
}
