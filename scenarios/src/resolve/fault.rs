//! Faults: times and targets drawn, ends within the run, no two that cannot happen together.
//!
//! Invariant: whether a scenario's times are valid does not depend on the seed: the whole range of a drawn time must
//! be.

use super::collide::{collision, cut_of_the_dead};
use super::draw::Draws;
use super::node::{self, Role};
use super::{Common, draw};
use crate::plan::{EnginePlan, FaultKind, FaultPlan};
use crate::spec::{At, FaultWritten, Reader, TimeWritten};
use crate::unit::show_duration;
use dstream_trace::NodeName;
use std::time::Duration;

/// A fault whose targets are read but not drawn.
struct Aimed<'w> {
    written: &'w FaultWritten,
    draws: Draws,
    at: Duration,
    /// `None` stands for `any-worker`.
    node: Vec<Option<NodeName>>,
    and: Vec<Option<NodeName>>,
    /// All nodes, for a fault between one node and all others.
    all: Vec<NodeName>,
}

impl Aimed<'_> {
    fn is_drawn(&self) -> bool {
        self.node.iter().chain(&self.and).any(Option::is_none)
    }

    /// The fault, with `drawn` in place of the names to be drawn, in their order.
    fn plan(&self, drawn: &[NodeName]) -> FaultPlan {
        let mut drawn = drawn.iter().cloned();
        let mut fill = |side: &[Option<NodeName>]| -> Vec<NodeName> {
            side.iter().filter_map(|name| name.clone().or_else(|| drawn.next())).collect()
        };
        let (between, mut and) = (fill(&self.node), fill(&self.and));
        let node = between.first().cloned().unwrap_or_else(|| NodeName::worker(1));
        if self.written.node.is_some() {
            and = self.all.iter().filter(|other| **other != node).cloned().collect();
        }
        let factor = self.written.factor.as_ref().map_or(1.0, |factor| factor.value);
        let by = self.written.by.as_ref().map_or(Duration::ZERO, |by| by.value);
        let kind = match self.written.kind.value.as_str() {
            "crash" => FaultKind::Crash { node },
            "power-loss" => FaultKind::PowerLoss { node },
            "pause" => FaultKind::Pause { node },
            "partition" => FaultKind::Partition { between, and, one_way: self.written.one_way },
            "outage" => FaultKind::Outage { between, and },
            "delay" => FaultKind::Delay { between, and, by },
            "slow-nic" => FaultKind::SlowNic { node, factor },
            "disk-full" => FaultKind::DiskFull { node },
            "disk-error" => FaultKind::DiskError { node },
            "join" => FaultKind::Join { node },
            "drain" => FaultKind::Drain { node },
            _ => FaultKind::SlowCpu { node, factor },
        };
        let lasts = self.written.lasts.as_ref().map(|lasts| lasts.value);
        FaultPlan { number: 0, kind, at: self.at, lasts }
    }
}

/// Resolves all faults, by time.
pub(super) fn resolve(reader: &mut Reader<'_>, written: &[FaultWritten], common: &Common<'_>) -> Vec<FaultPlan> {
    let before = reader.problems.len();
    let mut aimed: Vec<Aimed<'_>> = Vec::new();
    for fault in written {
        refuse_late(reader, fault, common.duration);
        aimed.extend(aim(reader, fault, common));
    }
    if reader.problems.len() > before {
        return Vec::new();
    }
    aimed.sort_by_key(|fault| (fault.at, fault.written.place));
    let mut placed: Vec<(usize, FaultPlan)> = Vec::new();
    for (index, fault) in aimed.iter().enumerate().filter(|(_, fault)| !fault.is_drawn()) {
        refuse_collision(reader, fault, &fault.plan(&[]), &placed);
        placed.push((index, fault.plan(&[])));
    }
    for (index, fault) in aimed.iter().enumerate().filter(|(_, fault)| fault.is_drawn()) {
        placed.extend(draw_targets(reader, fault, &placed, common).map(|plan| (index, plan)));
    }
    placed.sort_by_key(|(index, _)| *index);
    let plans: Vec<FaultPlan> = placed.into_iter().map(|(_, plan)| plan).collect();
    refuse_cuts_of_the_dead(reader, &aimed, &plans);
    let numbered = |(number, plan)| FaultPlan { number, ..plan };
    (0..).zip(plans).map(numbered).collect()
}

/// `at` is before the end of the run, and the fault's end not after it.
fn refuse_late(reader: &mut Reader<'_>, fault: &FaultWritten, duration: Duration) {
    let (latest, range) = match fault.at.value {
        TimeWritten::Exact(at) => (at, false),
        TimeWritten::Drawn(_, to) => (to, true),
    };
    let run = show_duration(duration);
    if latest > duration || (latest == duration && !range) {
        let message = format!("`at` must be before the end: the run lasts {run} after its warm-up");
        reader.wrong(fault.at.at, message);
    } else if let Some(lasts) = fault.lasts.as_ref().filter(|lasts| latest + lasts.value > duration) {
        let end = show_duration(latest + lasts.value);
        let message = format!("the fault ends at {end}, beyond the end: the run lasts {run} after its warm-up");
        reader.wrong(lasts.at, message);
    }
}

fn aim<'w>(reader: &mut Reader<'_>, written: &'w FaultWritten, common: &Common<'_>) -> Option<Aimed<'w>> {
    let kind = written.kind.value.as_str();
    let named = if written.node.is_some() { written.node.as_slice() } else { written.between.as_slice() };
    let node: Vec<_> = named.iter().map(|name| target(reader, kind, name, common)).collect();
    let and: Vec<_> = written.and.iter().map(|name| target(reader, kind, name, common)).collect();
    refuse_twice(reader, named.iter().chain(&written.and));
    let draws = draw::Draws::new(common.seed, written.place);
    let at = match written.at.value {
        TimeWritten::Exact(at) => at,
        TimeWritten::Drawn(from, to) => draws.time(from, to),
    };
    let node: Option<Vec<_>> = node.into_iter().collect();
    let and: Option<Vec<_>> = and.into_iter().collect();
    let all = common.cluster.nodes().collect();
    Some(Aimed { written, draws, at, node: node?, and: and?, all })
}

/// The faults that hit the durable store, alone or as one of those between which they stand.
const OF_THE_STORE: [&str; 4] = ["outage", "delay", "disk-full", "disk-error"];

/// What changes who works, and is no fault.
const MOVES: [&str; 2] = ["join", "drain"];

/// Whether the node is one that may join and leave, in all engines that are asked for.
fn may_move(reader: &mut Reader<'_>, kind: &str, (name, role): (&At<String>, Role), common: &Common<'_>) -> bool {
    let is_one = role == Role::Worker || (kind == "drain" && role == Role::AnyWorker);
    if !is_one {
        reader.wrong(name.at, format!("`{kind}` is of a worker; name one, such as `node: worker-1`"));
        return false;
    }
    if kind == "join" && common.cluster.workers < 2 {
        reader.wrong(name.at, "nobody would work before the only worker joins; add to `cluster.workers`".to_owned());
        return false;
    }
    let Some(fixed) = common.chosen.iter().find(|engine| !engine.moves) else { return true };
    let with: Vec<&EnginePlan> = common.engines.iter().filter(|engine| engine.moves).collect();
    let with: Vec<String> = with.iter().map(|engine| format!("`--engine {}`", engine.label)).collect();
    let instead = if with.is_empty() { String::new() } else { format!("; run {}", with.join(" ")) };
    let label = &fixed.label;
    reader.wrong(name.at, format!("the engine `{label}` has no `{kind}`: its workers stay while a job runs{instead}"));
    false
}

/// The target; `Some(None)` is `any-worker`.
fn target(reader: &mut Reader<'_>, kind: &str, name: &At<String>, common: &Common<'_>) -> Option<Option<NodeName>> {
    let (role, node) = node::read(reader, name, common)?;
    if role != Role::Store && matches!(kind, "disk-full" | "disk-error") {
        reader.wrong(name.at, format!("`{kind}` hits the durable store; write `node: store`"));
        return None;
    }
    if MOVES.contains(&kind) && !may_move(reader, kind, (name, role), common) {
        return None;
    }
    let built = match role {
        Role::AnyWorker => return Some(None),
        Role::Worker => true,
        Role::Master if !matches!(kind, "crash" | "power-loss") => true,
        Role::Master => {
            if let Some(mortal) = common.chosen.iter().find(|engine| !engine.recovers_master) {
                let with = common.engines.iter().filter(|engine| engine.recovers_master);
                let with: Vec<String> = with.map(|engine| format!("`--engine {}`", engine.label)).collect();
                let instead = if with.is_empty() { String::new() } else { format!("; run {}", with.join(" ")) };
                let label = &mortal.label;
                reader.wrong(
                    name.at,
                    format!("the engine `{label}` does not recover from the death of its master{instead}"),
                );
                return None;
            }
            true
        }
        Role::Client | Role::Heir => true,
        Role::Store => OF_THE_STORE.contains(&kind),
    };
    if !built {
        let instead: Vec<String> = OF_THE_STORE.iter().map(|kind| format!("`{kind}`")).collect();
        let instead = format!("; what hits the store is {}", instead.join(", "));
        reader.unbuilt(name.at, &format!("the fault `{kind}` of `{node}`"), &instead);
        return None;
    }
    Some(Some(node))
}

/// A node stands once in a fault between nodes: nothing can stand between it and itself.
fn refuse_twice<'n>(reader: &mut Reader<'_>, names: impl Iterator<Item = &'n At<String>>) {
    let mut seen: Vec<&str> = Vec::new();
    for name in names.filter(|name| name.value != node::ANY_WORKER) {
        if seen.contains(&name.value.as_str()) {
            reader.wrong(name.at, format!("`{}` stands twice in this fault", name.value));
        }
        seen.push(&name.value);
    }
}

fn refuse_collision(reader: &mut Reader<'_>, fault: &Aimed<'_>, plan: &FaultPlan, placed: &[(usize, FaultPlan)]) {
    if let Some(why) = placed.iter().find_map(|(_, other)| collision(other, plan)) {
        let kind = &fault.written.kind.value;
        let message = format!("this `{kind}` at {} cannot happen: {why}", show_duration(plan.at));
        reader.wrong(fault.written.spot(), message);
    }
}

/// Draws the fault's targets among the workers with which it collides with nothing that is already placed.
fn draw_targets(
    reader: &mut Reader<'_>,
    fault: &Aimed<'_>,
    placed: &[(usize, FaultPlan)],
    common: &Common<'_>,
) -> Option<FaultPlan> {
    let mut drawn: Vec<NodeName> = Vec::new();
    let open = fault.node.iter().chain(&fault.and).filter(|name| name.is_none()).count();
    let named: Vec<&NodeName> = fault.node.iter().chain(&fault.and).flatten().collect();
    for number in 0..open {
        let free = |worker: &NodeName| {
            let mut with = drawn.clone();
            with.push(worker.clone());
            let plan = fault.plan(&with);
            !named.contains(&worker)
                && !drawn.contains(worker)
                && !placed.iter().any(|(_, other)| collision(other, &plan).is_some())
                && !is_down(worker, plan.at, placed)
                && !empties_a_cut(&plan, placed)
        };
        // Those that every engine has, so that the fault is the same one for all.
        let most = common.engines.iter().map(|engine| engine.workers).min().unwrap_or(common.cluster.workers);
        let workers: Vec<NodeName> = (1..=most).map(NodeName::worker).filter(free).collect();
        if workers.is_empty() {
            let at = show_duration(fault.at);
            let message = format!("no worker is left for `{}` at {at}: other faults hold them all", node::ANY_WORKER);
            reader.wrong(fault.written.spot(), message);
            return None;
        }
        let index = fault.draws.below(&format!("target {number}"), workers.len() as u64);
        let index = usize::try_from(index).expect("an index below a length fits");
        drawn.push(workers[index].clone());
    }
    Some(fault.plan(&drawn))
}

fn is_down(worker: &NodeName, at: Duration, placed: &[(usize, FaultPlan)]) -> bool {
    placed.iter().any(|(_, fault)| {
        let down = fault.at <= at && fault.lasts.is_none_or(|lasts| at < fault.at + lasts);
        down && fault.kind.ends() == Some(worker)
    })
}

/// Whether the fault would leave a partition that is already placed nothing to cut.
fn empties_a_cut(plan: &FaultPlan, placed: &[(usize, FaultPlan)]) -> bool {
    let others = || placed.iter().map(|(_, other)| other);
    let is_empty = |cut| cut_of_the_dead(cut, others().chain([plan])).is_some();
    plan.kind.ends().is_some() && others().any(|cut| is_empty(cut) && cut_of_the_dead(cut, others()).is_none())
}

fn refuse_cuts_of_the_dead(reader: &mut Reader<'_>, aimed: &[Aimed<'_>], plans: &[FaultPlan]) {
    for (fault, plan) in aimed.iter().zip(plans) {
        if let Some(why) = cut_of_the_dead(plan, plans.iter()) {
            let kind = plan.kind.name();
            reader.wrong(fault.written.spot(), format!("this `{kind}` cannot happen: {why}"));
        }
    }
}
