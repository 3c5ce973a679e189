//! The fault timeline: plays a plan's faults on a world, from outside the hosts, and then lets the run drain.
//!
//! Knows no engine: it drives `trait World` and reads the log. Invariant: what it does depends on the plan and on the
//! log alone, and every fault it applies or ends stands in the log under the node `driver`.

mod drain;
mod trouble;

use crate::plan::{Expectation, FaultKind, FaultPlan, Plan};
use drain::DrainWatch;
use dstream_host::{World, WorldError};
use dstream_trace::{Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;
use trouble::{pairs_of_nodes, trouble, troubled};

/// Between two calls of `progress` no more than this much time passes in the world.
const SLICE: Duration = Duration::from_millis(250);

/// `duration` ends the load; everything has to be out within this.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// When the parts of a run begin and end.
#[derive(Clone, Debug)]
pub struct Times {
    /// Where interval 0 and the load begin.
    pub origin: Moment,
    /// Every fault's `at` counts from here.
    pub warmup_end: Moment,
    /// The load ends.
    pub load_end: Moment,
    /// How long after the load's end a drained run goes on until redundancy is back and results are on time again, where
    /// no expectation asks for that; `None`: as long as the drain may take.
    pub settle: Option<Duration>,
    /// The query's outputs: name, and how many intervals lie between two results.
    pub outputs: Vec<(String, u64)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// When.
    pub end: Moment,
    /// Whether everything was acknowledged and out.
    pub drained: bool,
    /// Whether `progress` asked to stop.
    pub interrupted: bool,
}

/// Called as time passes; it may stop the run.
pub type Progress<'a> = &'a mut dyn FnMut(Moment) -> ControlFlow<()>;

/// Runs a world, into which all nodes have been started, to the end of the plan.
pub fn play(world: &mut dyn World, plan: &Plan, times: &Times, progress: Progress<'_>) -> Result<Played, WorldError> {
    let mut driver = Driver {
        world,
        progress,
        nodes: plan.cluster.nodes().collect(),
        active: BTreeMap::new(),
        missed: BTreeSet::new(),
        interrupted: false,
    };
    // The last records' results may be due as late as one slide after them.
    let slide = times.outputs.iter().map(|(_, every)| *every).max().unwrap_or(1).saturating_sub(1);
    let limit = times.load_end + DRAIN_LIMIT + plan.interval * u32::try_from(slide).unwrap_or(u32::MAX);
    let settled_by = settled_by(plan, times).min(limit);
    let mut watch = DrainWatch::new(plan, times);
    for step in steps(plan, times).into_iter().filter(|step| step.at <= limit) {
        // The drain begins at the load's end, even where a fault ends later.
        if !driver.run_until(step.at)? {
            break;
        }
        driver.take(&step)?;
    }
    driver.run_until(times.load_end)?;
    while !driver.is_over(&mut watch, settled_by) && !driver.interrupted && driver.world.now() < limit {
        let next = (driver.world.now() + SLICE).min(limit);
        driver.run_until(next)?;
    }
    let drained = driver.watch(&mut watch, |watch, _| watch.is_drained());
    Ok(Played { end: driver.world.now(), drained, interrupted: driver.interrupted })
}

/// Until when a run that is drained goes on to be settled.
fn settled_by(plan: &Plan, times: &Times) -> Moment {
    let wants_catch_up = plan.expect.iter().any(|expected| matches!(expected, Expectation::CatchUp(_)));
    times.settle.filter(|_| !wants_catch_up).map_or(Moment::NEVER, |settle| times.load_end + settle)
}

/// A fault begins or ends.
struct Step<'a> {
    at: Moment,
    begins: bool,
    fault: &'a FaultPlan,
}

/// In the order in which they are taken; at the same moment, ends come first.
fn steps<'a>(plan: &'a Plan, times: &Times) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for fault in &plan.faults {
        let at = times.warmup_end + fault.at;
        steps.push(Step { at, begins: true, fault });
        steps.extend(fault.lasts.map(|lasts| Step { at: at + lasts, begins: false, fault }));
    }
    steps.sort_by_key(|step| (step.at, step.begins, step.fault.number));
    steps
}

struct Driver<'a> {
    world: &'a mut dyn World,
    progress: Progress<'a>,
    nodes: Vec<NodeName>,
    /// Faults that are on.
    active: BTreeMap<u32, &'a FaultKind>,
    /// Faults of nodes that had left before they could strike.
    missed: BTreeSet<u32>,
    interrupted: bool,
}

impl<'a> Driver<'a> {
    /// Lets time pass; false if the run was stopped.
    fn run_until(&mut self, until: Moment) -> Result<bool, WorldError> {
        while !self.interrupted && self.world.now() < until {
            let next = (self.world.now() + SLICE).min(until);
            self.world.run_until(next)?;
            self.interrupted = (self.progress)(self.world.now()).is_break();
        }
        Ok(!self.interrupted)
    }

    /// Whether nothing more is to be seen, or only what is not waited for any longer.
    fn is_over(&self, watch: &mut DrainWatch, settled_by: Moment) -> bool {
        self.watch(watch, |watch, now| watch.is_settled(now) || (watch.is_drained() && now >= settled_by))
    }

    /// What `question` says once `watch` has seen the whole log.
    fn watch(&self, watch: &mut DrainWatch, question: impl Fn(&DrainWatch, Moment) -> bool) -> bool {
        let trace = self.world.trace();
        watch.read_on(trace.lock().lines());
        question(watch, self.world.now())
    }

    fn take(&mut self, step: &Step<'a>) -> Result<(), WorldError> {
        let fault = step.fault.number;
        let node = step.fault.kind.first_node().clone();
        // The log names the cause before its effects.
        let event = if step.begins { Event::FaultApplied { fault, node } } else { Event::FaultEnded { fault, node } };
        self.world.trace().push(self.world.now(), NodeName::new("driver"), event);
        if step.begins && self.has_left(&step.fault.kind) {
            self.missed.insert(fault);
        }
        if self.missed.contains(&fault) {
            return Ok(());
        }
        if step.begins {
            self.active.insert(fault, &step.fault.kind);
            self.begin(&step.fault.kind)
        } else {
            self.active.remove(&fault);
            self.end(&step.fault.kind)
        }
    }

    /// Whether the fault's node was asked to leave, and has done so.
    fn has_left(&self, kind: &FaultKind) -> bool {
        let Some(node) = kind.node() else { return false };
        let is_asked = |kind: &&FaultKind| matches!(kind, FaultKind::Drain { node: asked } if asked == node);
        self.active.values().any(is_asked) && !self.world.runs(node)
    }

    fn begin(&mut self, kind: &FaultKind) -> Result<(), WorldError> {
        self.trouble_store(kind)?;
        match kind {
            FaultKind::Crash { node } => self.world.crash(node),
            FaultKind::PowerLoss { node } => self.world.power_loss(node),
            FaultKind::Pause { node } => self.world.pause(node),
            FaultKind::SlowCpu { node, .. } => self.world.slow_cpu(node, self.factor(node)),
            FaultKind::SlowNic { node, .. } => self.world.slow_nic(node, self.nic_factor(node)),
            FaultKind::Partition { .. } => cuts(kind).try_for_each(|(from, to)| self.world.cut(from, to)),
            FaultKind::Outage { .. } => pairs_of_nodes(kind).try_for_each(|(one, other)| self.world.hold(one, other)),
            FaultKind::Delay { .. } => self.delay(kind),
            FaultKind::DiskFull { .. } | FaultKind::DiskError { .. } => Ok(()),
            FaultKind::Join { node } => self.world.restart(node),
            FaultKind::Drain { node } => self.world.leave(node),
        }
    }

    /// What another fault that is still on holds stays held.
    fn end(&mut self, kind: &FaultKind) -> Result<(), WorldError> {
        self.trouble_store(kind)?;
        match kind {
            FaultKind::Crash { node } | FaultKind::PowerLoss { node } => self.world.restart(node),
            FaultKind::Pause { node } if self.is_paused(node) => Ok(()),
            FaultKind::Pause { node } => self.world.resume(node),
            FaultKind::SlowCpu { node, .. } => self.world.slow_cpu(node, self.factor(node)),
            FaultKind::Partition { .. } => cuts(kind).try_for_each(|(from, to)| {
                let is_cut = self.active.values().any(|other| cuts(other).any(|cut| cut == (from, to)));
                if is_cut { Ok(()) } else { self.world.heal(from, to) }
            }),
            FaultKind::SlowNic { node, .. } => self.world.slow_nic(node, self.nic_factor(node)),
            FaultKind::Outage { .. } => pairs_of_nodes(kind).try_for_each(|(one, other)| {
                let is_held = self.standing(one, other).any(|kind| matches!(kind, FaultKind::Outage { .. }));
                if is_held { Ok(()) } else { self.world.release(one, other) }
            }),
            FaultKind::Delay { .. } => self.delay(kind),
            FaultKind::DiskFull { .. }
            | FaultKind::DiskError { .. }
            | FaultKind::Join { .. }
            | FaultKind::Drain { .. } => Ok(()),
        }
    }

    /// Says to each node whose requests the fault touches what is wrong with the store: all that is on, together.
    fn trouble_store(&mut self, kind: &FaultKind) -> Result<(), WorldError> {
        troubled(kind, &self.nodes).into_iter().try_for_each(|node| {
            let trouble = trouble(self.active.values().copied(), node);
            self.world.trouble_store(node, trouble)
        })
    }

    /// Faults that are on between the two nodes, whichever comes first.
    fn standing<'s>(&'s self, one: &'s NodeName, other: &'s NodeName) -> impl Iterator<Item = &'a FaultKind> + 's {
        let between =
            move |kind: &&&'a FaultKind| kind.pairs().any(|(a, b)| (a, b) == (one, other) || (a, b) == (other, one));
        self.active.values().filter(between).copied()
    }

    /// Sets the delay of each of the fault's pairs: all that are on between them, added.
    fn delay(&mut self, kind: &FaultKind) -> Result<(), WorldError> {
        pairs_of_nodes(kind).try_for_each(|(one, other)| {
            let delays = self.standing(one, other).filter_map(|kind| match kind {
                FaultKind::Delay { by, .. } => Some(*by),
                _ => None,
            });
            let by = delays.sum();
            self.world.delay(one, other, by)
        })
    }

    fn is_paused(&self, node: &NodeName) -> bool {
        self.active.values().any(|kind| matches!(kind, FaultKind::Pause { node: other } if other == node))
    }

    /// All slow-downs of the node that are on, multiplied.
    fn factor(&self, node: &NodeName) -> f64 {
        let factors = self.active.values().filter_map(|kind| match kind {
            FaultKind::SlowCpu { node: other, factor } if other == node => Some(*factor),
            _ => None,
        });
        factors.product()
    }

    /// The same for its network card.
    fn nic_factor(&self, node: &NodeName) -> f64 {
        let factors = self.active.values().filter_map(|kind| match kind {
            FaultKind::SlowNic { node: other, factor } if other == node => Some(*factor),
            _ => None,
        });
        factors.product()
    }
}

/// The directed pairs that a partition cuts; none for other faults.
fn cuts(kind: &FaultKind) -> impl Iterator<Item = (&NodeName, &NodeName)> {
    let (between, and, one_way) = match kind {
        FaultKind::Partition { between, and, one_way } => (between.as_slice(), and.as_slice(), *one_way),
        _ => (&[][..], &[][..], true),
    };
    between.iter().flat_map(move |from| {
        and.iter().flat_map(move |to| {
            let back = (!one_way).then_some((to, from));
            std::iter::once((from, to)).chain(back)
        })
    })
}
