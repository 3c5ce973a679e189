//! What each fault did: detect, restore, catch up, drain, redundancy, longest gap; each from the fault's own t0.
//!
//! Where a later fault strikes before the five on-time intervals of an earlier one are complete, the two cannot be told
//! apart any more: the earlier one's restore, catch-up, drain and redundancy then end no earlier than the later one's.
//! Detection is always the fault's own. A fault that had no effect has no moments at all.

use super::fired::{Effect, fired};
use super::members::Members;
use super::waiting::oldest_due;
use super::{Facts, FaultFacts, IntervalRow, MeasureInput, TaskFacts, Visible, seconds_from};
use crate::event::TaskName;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::result::FaultResult;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So many successive intervals must be on time before a run counts as caught up; one could be luck.
const ON_TIME_INTERVALS: usize = 5;

/// A loss is the fault's own if it is declared within the failure timeout and this after the fault's end.
const DETECTION_GRACE: Duration = Duration::from_secs(1);

/// The moments of one fault; `None` was not reached.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    detect: Option<Moment>,
    restore: Option<Moment>,
    catch_up: Option<Moment>,
    /// The end of the five on-time intervals: the last of their results.
    settled: Option<Moment>,
    drain: Option<Moment>,
    redundancy: Option<Moment>,
}

/// What a fault is measured against.
struct Measure<'a> {
    facts: &'a Facts,
    rows: &'a [IntervalRow],
    input: &'a MeasureInput,
    slo: Option<Duration>,
    members: Members,
    /// When each result that was due became visible, in order.
    visible: Vec<Moment>,
    /// When the oldest record that still waits at the end of the run was due.
    waits_since: Option<Moment>,
}

/// Measures every planned fault, in the plan's order, and says when five intervals after it were on time.
pub(super) fn faults(
    lines: &[TraceLine],
    facts: &Facts,
    rows: &[IntervalRow],
    input: &MeasureInput,
    slo: Option<Duration>,
) -> Vec<(FaultResult, Option<Moment>)> {
    let (members, waits_since) = (Members::read(lines), oldest_due(lines, facts, input));
    let visible = facts.due_visible(&input.outputs);
    let measure = Measure { facts, rows, input, slo, members, visible, waits_since };
    let moments = measure.all_moments();
    let results = input.faults.iter().zip(moments).map(|(fault, moments)| {
        let times = facts.faults.get(&fault.number).copied().unwrap_or_default();
        let t0 = times.applied.unwrap_or(fault.due);
        let fired = fired(lines, fault, times);
        // A fault without effect has nothing that could be detected, restored or caught up with.
        let from_t0 = |moment: Option<Moment>| moment.filter(|_| fired).map(|moment| moment.since(t0).as_secs_f64());
        let gap = times.applied.filter(|_| fired).map(|t0| measure.longest_gap(t0, moments.settled).as_secs_f64());
        let result = FaultResult {
            fault: fault.fault.clone(),
            node: fault.nodes.first().map(ToString::to_string).unwrap_or_default(),
            at_s: seconds_from(input.warmup_end, t0),
            fired,
            detect_s: from_t0(moments.detect),
            restore_s: from_t0(moments.restore),
            catch_up_s: from_t0(moments.catch_up),
            drain_s: from_t0(moments.drain),
            redundancy_s: from_t0(moments.redundancy),
            longest_gap_s: gap,
            excess_latency_s2: None,
        };
        (result, moments.settled)
    });
    results.collect()
}

impl Measure<'_> {
    /// Moments by place in the plan, the overlap rule applied.
    fn all_moments(&self) -> Vec<Moments> {
        let faults = &self.input.faults;
        let mut moments = vec![Moments::default(); faults.len()];
        let mut order: Vec<(Moment, usize)> = faults
            .iter()
            .enumerate()
            .filter_map(|(place, fault)| Some((self.facts.faults.get(&fault.number)?.applied?, place)))
            .collect();
        order.sort_unstable();
        let mut later: Option<(Moment, Moments)> = None;
        for (t0, place) in order.into_iter().rev() {
            let mut own = self.own_moments(&faults[place], t0);
            if let Some((next, after)) = later
                && own.settled.is_none_or(|settled| next < settled)
            {
                own = join(own, after);
            }
            moments[place] = own;
            later = Some((t0, own));
        }
        moments
    }

    /// Whether the fault hit the master that led.
    fn hits_leader(&self, fault: &FaultFacts, t0: Moment) -> bool {
        let leader = self.facts.elected.iter().rfind(|(at, _)| *at <= t0);
        leader.is_some_and(|(_, leader)| fault.nodes.contains(leader))
    }

    /// Whether the fault ended the process of the master that led, and none led after it.
    fn ended_all(&self, fault: &FaultFacts, t0: Moment) -> bool {
        let ends = fault.effect == Effect::ProcessEnded && self.hits_leader(fault, t0);
        ends && self.succeeded(fault, t0).is_none()
    }

    fn own_moments(&self, fault: &FaultFacts, t0: Moment) -> Moments {
        let (catch_up, settled) = self.catch_up(t0).unzip();
        Moments {
            detect: self.detect(fault, t0),
            restore: self.restore(fault, t0),
            catch_up,
            settled,
            drain: self.drain(t0, catch_up),
            redundancy: self.redundancy(fault, t0),
        }
    }

    /// When anybody knew: a node was declared lost, a second attempt launched, another master led; or, where those who would
    /// have declared it lost were lost too, a later life of it became a member. Who joins or leaves is no loss: a second
    /// attempt beside one of its tasks has other reasons.
    fn detect(&self, fault: &FaultFacts, t0: Moment) -> Option<Moment> {
        let declared = self.declared_lost(fault, t0).first().copied();
        let again = self.joined_again(fault, t0).map(|joined| joined.at).min();
        let is_loss = !matches!(fault.effect, Effect::Joined | Effect::Left);
        let twin = is_loss.then(|| self.twin(fault, t0)).flatten();
        [declared, twin, self.succeeded(fault, t0), again].into_iter().flatten().min()
    }

    /// The first time that each worker whose process the fault ended became a member again.
    fn joined_again<'a>(&'a self, fault: &'a FaultFacts, t0: Moment) -> impl Iterator<Item = &'a super::Joined> {
        let workers = fault.nodes.iter().filter(|_| fault.effect == Effect::ProcessEnded);
        let until = self.next_at_same_node(fault, t0);
        workers.filter_map(move |worker| {
            self.facts.joined.iter().find(|joined| joined.at > t0 && joined.at <= until && joined.worker == *worker)
        })
    }

    /// When the next fault hit the same node: it explains what comes after it.
    fn next_at_same_node(&self, fault: &FaultFacts, t0: Moment) -> Moment {
        let next = self.input.faults.iter().filter(|other| other.number != fault.number && other.shares_node(fault));
        let next = next.filter_map(|other| self.facts.faults.get(&other.number)?.applied).filter(|at| *at > t0).min();
        next.unwrap_or(Moment::NEVER)
    }

    fn ended(&self, fault: &FaultFacts) -> Moment {
        self.facts.faults.get(&fault.number).and_then(|times| times.ended).unwrap_or(Moment::NEVER)
    }

    /// When workers that the fault hit were declared lost because of it.
    fn declared_lost(&self, fault: &FaultFacts, t0: Moment) -> Vec<Moment> {
        self.losses(fault, t0).map(|lost| lost.at).collect()
    }

    fn losses<'a>(&'a self, fault: &'a FaultFacts, t0: Moment) -> impl Iterator<Item = &'a super::Lost> {
        let until = self.ended(fault) + self.input.failure_timeout + DETECTION_GRACE;
        let until = until.min(self.next_at_same_node(fault, t0));
        let hit = |worker: &NodeName| fault.nodes.contains(worker) || fault.others.contains(worker);
        self.facts.lost.iter().filter(move |lost| lost.at >= t0 && lost.at <= until && hit(&lost.worker))
    }

    /// When another master led, or another life of it, where the fault hit the one that led.
    fn succeeded(&self, fault: &FaultFacts, t0: Moment) -> Option<Moment> {
        let (before, after): (Vec<_>, Vec<_>) = self.facts.elected.iter().partition(|(at, _)| *at <= t0);
        let (_, leader) = before.last()?;
        after.first().filter(|_| fault.nodes.contains(leader)).map(|(at, _)| *at)
    }

    /// When a second attempt was launched beside a first one that runs at the fault's node.
    fn twin(&self, fault: &FaultFacts, t0: Moment) -> Option<Moment> {
        let until = self.ended(fault);
        let launches = self.facts.tasks.iter().filter_map(|(name, task)| {
            let (at, _) = task.launched.filter(|(at, _)| *at >= t0 && *at <= until)?;
            // Numbers of attempts are far apart where a later master gave them.
            let mut earlier = self.facts.tasks.range(TaskName { attempt: 0, ..*name }..*name);
            let is_beside =
                |task: &TaskFacts| task.runs_at(at) && self.is_at(task, fault) && !self.is_lost(task, t0, at);
            earlier.any(|(_, task)| is_beside(task)).then_some(at)
        });
        launches.min()
    }

    fn is_at(&self, task: &TaskFacts, fault: &FaultFacts) -> bool {
        task.worker.as_ref().is_some_and(|worker| fault.nodes.contains(worker))
    }

    fn is_lost(&self, task: &TaskFacts, from: Moment, to: Moment) -> bool {
        self.facts
            .lost
            .iter()
            .any(|lost| lost.at >= from && lost.at <= to && Some(&lost.worker) == task.worker.as_ref())
    }

    /// The last of the results, up to the one that covers the interval open at t0, of the partitions that the nodes owned
    /// at t0. Who leads owns none; but no result comes without it, so one at least must have come.
    fn restore(&self, fault: &FaultFacts, t0: Moment) -> Option<Moment> {
        let open = self.input.open_at(t0);
        if self.hits_leader(fault, t0) && self.facts.covered(open, &self.input.outputs).is_none() {
            return None;
        }
        let mut restored = t0;
        for output in &self.input.outputs {
            let owned = self.owned(fault, output.stage, t0);
            if owned.is_empty() {
                continue;
            }
            for interval in (0..=output.due_after(open)).filter(|interval| output.is_due(*interval)) {
                let partitions = self.facts.results.get(&interval)?.get(&output.name)?;
                for partition in &owned {
                    restored = restored.max(part_at(partitions, *partition)?);
                }
            }
        }
        Some(restored)
    }

    /// The partitions that the fault's nodes ran at t0; where partitions are given to nothing but tasks, those of the stage
    /// whose latest version or running attempt was there.
    fn owned(&self, fault: &FaultFacts, stage: u32, t0: Moment) -> BTreeSet<u32> {
        if !self.facts.owners.is_empty() {
            return self.facts.owners.of(&fault.nodes, t0);
        }
        let mut latest: BTreeMap<u32, (u64, bool)> = std::collections::BTreeMap::new();
        let mut owned = BTreeSet::new();
        for (name, task) in self.facts.tasks.iter().filter(|(name, _)| name.stage == stage) {
            let here = self.is_at(task, fault);
            if here && task.runs_at(t0) {
                owned.insert(name.partition);
            }
            if task.finished.is_some_and(|finished| finished <= t0) {
                let version = latest.entry(name.partition).or_insert((name.interval, false));
                // Tasks come by interval, so a newer version replaces an older one; twins of one version share it.
                *version =
                    if version.0 == name.interval { (name.interval, version.1 || here) } else { (name.interval, here) };
            }
        }
        owned.extend(latest.into_iter().filter(|(_, (_, here))| *here).map(|(partition, _)| partition));
        owned
    }

    /// The end of the first of five successive on-time intervals (of those that are due), and when the five were complete.
    fn catch_up(&self, t0: Moment) -> Option<(Moment, Moment)> {
        let slo = self.slo?;
        let open = usize::try_from(self.input.open_at(t0)).ok()?;
        let due: Vec<&IntervalRow> = self.rows.get(open..)?.iter().filter(|row| row.is_due).collect();
        let five = due.windows(ON_TIME_INTERVALS).find(|five| five.iter().all(|row| row.is_on_time(slo)))?;
        let settled = five.iter().filter_map(|row| row.done).max()?;
        Some((five[0].closed.max(t0), settled.max(t0)))
    }

    /// When no record waited any more that had waited too long. Its age counts from what [`MeasureInput::age_begins`] says.
    /// Records that were due while such a one waited count too: intervals may be on time again while what is old waits at
    /// clients. Not reached where one still waits when the run ends.
    fn drain(&self, t0: Moment, catch_up: Option<Moment>) -> Option<Moment> {
        let slo = self.slo?;
        let pieces = self.in_results_after(t0, slo);
        let mut before = catch_up.unwrap_or(Moment::NEVER);
        // What was due after the next fault is for that one to answer.
        let applied = self.facts.faults.values().filter_map(|times| times.applied);
        let next = applied.filter(|at| *at > t0 && *at >= before).min().unwrap_or(Moment::NEVER);
        loop {
            if self.waits_since.is_some_and(|due| due < before) {
                return None;
            }
            let mut drained = t0;
            for (_, done, is_old) in pieces.iter().filter(|(due, ..)| *due < before) {
                let done = (*done)?;
                drained = if *is_old { drained.max(done) } else { drained };
            }
            match before.max(drained.min(next)) {
                reached if reached == before => return Some(drained),
                reached => before = reached,
            }
        }
    }

    /// Records in the order of intervals, of results after t0: when the oldest of them was due, when they were in results of
    /// every output, and whether that was too late.
    fn in_results_after(&self, t0: Moment, slo: Duration) -> Vec<(Moment, Option<Moment>, bool)> {
        let rows = self.rows.iter().filter(|row| row.covered.is_none_or(|done| done > t0));
        let pieces =
            rows.filter_map(|row| Some((row, self.facts.sealed.get(&row.interval)?))).flat_map(|(row, sealed)| {
                let sent = sealed.ranges.iter().flat_map(|range| self.facts.sent_within(*range));
                sent.map(move |sent| {
                    let due = sent.scheduled(sent.range.first);
                    let too_late = self.input.age_begins(row.interval, due) + slo;
                    (due, row.covered, row.covered.is_some_and(|done| done > too_late))
                })
            });
        pieces.collect()
    }

    /// When, after the loss was declared, no needed block had too few copies and there were workers enough for as many
    /// as are promised: with fewer, the engine asks for fewer. Where nobody was left to declare a loss, it counts from when
    /// all that died are members again. A fault that lost no worker lost no copy.
    fn redundancy(&self, fault: &FaultFacts, t0: Moment) -> Option<Moment> {
        if self.ended_all(fault, t0) {
            return None;
        }
        let again: Vec<&super::Joined> = self.joined_again(fault, t0).collect();
        let all_again = again.iter().max_by_key(|joined| joined.sequence).filter(|_| again.len() == fault.nodes.len());
        match self.losses(fault, t0).last().or(all_again.copied()) {
            Some(lost) => {
                let after = self.facts.copies_below.iter().filter(|(_, sequence, _)| *sequence > lost.sequence);
                let enough = self.members.enough(t0, self.input.copies as usize);
                let whole = |sequence: u64, blocks: u64| blocks == 0 && self.members.at(sequence) >= enough;
                after.filter(|(_, sequence, blocks)| whole(*sequence, *blocks)).map(|(at, _, _)| *at).next()
            }
            None if fault.effect == Effect::ProcessEnded && fault.hits_the_work() => None,
            None => Some(t0),
        }
    }

    /// The longest time without a new result that was due, from the last one before t0 to when the run had settled.
    fn longest_gap(&self, t0: Moment, settled: Option<Moment>) -> Duration {
        let until = settled.unwrap_or(self.input.end);
        let visible = &self.visible;
        let mut last = visible.iter().rev().find(|at| **at <= t0).copied().unwrap_or(t0);
        let mut longest = Duration::ZERO;
        for at in visible.iter().filter(|at| **at > t0 && **at <= until) {
            longest = longest.max(at.since(last));
            last = *at;
        }
        longest.max(until.since(last))
    }
}

impl FaultFacts {
    fn hits_the_work(&self) -> bool {
        self.nodes.iter().any(NodeName::is_of_the_work)
    }

    fn shares_node(&self, other: &FaultFacts) -> bool {
        let mut nodes = self.nodes.iter().chain(&self.others);
        nodes.any(|node| other.nodes.contains(node) || other.others.contains(node))
    }
}

impl TaskFacts {
    /// Whether the attempt was launched and had not ended at `at`.
    fn runs_at(&self, at: Moment) -> bool {
        let launched = self.launched.is_some_and(|(launched, _)| launched <= at);
        let ended = self.finished.or(self.failed.as_ref().map(|(failed, _)| *failed));
        launched && ended.is_none_or(|ended| ended > at)
    }
}

/// When the partition's part of a result was visible. A result of fewer parts than there are partitions is made of all of
/// them: then each waits for the whole.
fn part_at(parts: &BTreeMap<u32, Visible>, partition: u32) -> Option<Moment> {
    let of = parts.values().next()?.of;
    if partition < of {
        return parts.get(&partition).map(|part| part.at);
    }
    let is_whole = parts.len() >= of as usize;
    parts.values().map(|part| part.at).max().filter(|_| is_whole)
}

/// The earlier fault's moments where it cannot be told apart from the later one.
fn join(own: Moments, later: Moments) -> Moments {
    let last = |own: Option<Moment>, later: Option<Moment>| Some(own?.max(later?));
    Moments {
        detect: own.detect,
        restore: last(own.restore, later.restore),
        catch_up: later.catch_up,
        settled: later.settled,
        drain: last(own.drain, later.drain),
        redundancy: last(own.redundancy, later.redundancy),
    }
}
