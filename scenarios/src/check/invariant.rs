//! Laws that the log of every run obeys, whatever the faults: seal before use, one seal, the fence, equal attempts, nothing
//! tentative left.

use super::{CheckInput, Finding, limits, records};
use dstream_trace::measure::{FaultFacts, FaultTimes, Lost};
use dstream_trace::result::CheckResult;
use dstream_trace::{Event, Moment, NodeName, TraceLine};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A fence has to reach the sink within the failure timeout and this: a few connects with their deadlines.
const FENCE_GRACE: Duration = Duration::from_secs(1);

/// A fault of a leader or the store is over for so long before nobody may be overtaken for it. A lease lives for four
/// answers of a store, of which the swarm's slowest takes a second, and a restarted node looks before it leads.
const OVERTAKEN_AFTER: Duration = Duration::from_secs(5);

/// All laws of this file, each as a check; one that only some engines can break is there where it can be broken.
pub(super) fn laws(input: &CheckInput<'_>) -> Vec<CheckResult> {
    let mut laws = vec![
        sealed_before_use(input).named("trace: sealed before use"),
        sealed_once(input).named("trace: sealed once"),
        fence_refuses(input).named("trace: no result from behind the fence"),
        losses_are_fenced(input).named("trace: lost workers are fenced"),
        terms_end_for_a_reason(input).named("trace: who leads is not overtaken without a fault"),
        attempts_agree(input.lines).named("trace: attempts agree"),
        visible_once(input.lines).named("trace: results become visible once"),
    ];
    if input.lines.iter().any(|line| matches!(line.event, Event::WorkerLeaving { .. })) {
        laws.push(leavers_get_nothing(input.lines).named("trace: who leaves gets no task"));
    }
    if input.promise.limits {
        laws.push(limits::are_kept(input.lines).named("trace: clients send no more than they are let"));
    }
    if !input.facts.shares.is_empty() {
        laws.push(tentative_are_replaced(input).named("trace: tentative results are replaced"));
    }
    laws
}

/// No task of an interval is launched before the interval's seal; where sources seal, no result of it is visible before.
fn sealed_before_use(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    let sealed = |interval: u64| input.facts.sealed.get(&interval).map(|seal| seal.sequence);
    let mut judge = |what: String, at: Moment, interval: u64, sequence: u64| match sealed(interval) {
        Some(seal) if seal < sequence => {}
        Some(_) => finding.add(|| format!("{what} at {at}, before its interval was sealed")),
        None => finding.add(|| format!("{what} at {at}, and its interval was never sealed")),
    };
    for (name, task) in &input.facts.tasks {
        let Some((at, sequence)) = task.launched else { continue };
        judge(format!("{name:?} was launched"), at, name.interval, sequence);
    }
    if !input.facts.shares.is_empty() {
        for line in input.lines {
            let Event::ResultVisible { output, interval, partition, .. } = &line.event else { continue };
            let what = format!("result {partition} of interval {interval} of `{output}` was visible");
            judge(what, line.at, *interval, line.sequence);
        }
    }
    finding
}

/// An interval is sealed once. Replicas and heirs of a source say its share again, and must say the same.
fn sealed_once(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    for (interval, seal) in input.facts.sealed.iter().filter(|(_, seal)| seal.times > 1) {
        finding.add(|| format!("interval {interval} was sealed {} times", seal.times));
    }
    for (interval, source, share) in input.facts.shares.iter() {
        if let Some((at, node)) = &share.differing {
            let first = &share.node;
            finding.add(|| {
                format!("at {at} {node} sealed source {source}'s share of interval {interval} otherwise than {first}")
            });
        }
    }
    finding
}

/// Once the sink has recorded a fence, it takes nothing more from that worker's epoch or an older one.
fn fence_refuses(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    let mut fenced: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for line in input.lines {
        match &line.event {
            Event::Fenced { worker, epoch } => {
                let highest = fenced.entry(worker).or_default();
                *highest = (*highest).max(*epoch);
            }
            Event::ResultVisible { interval, partition, from, epoch, .. }
            | Event::ResultRepeated { interval, partition, from, epoch, .. }
                if fenced.get(from).is_some_and(|fenced| epoch <= fenced) =>
            {
                let at = line.at;
                finding.add(|| {
                    format!(
                        "at {at} the sink took result {partition} of interval {interval} from {from}, epoch {epoch}"
                    )
                });
            }
            _ => {}
        }
    }
    finding
}

/// The fence of a lost worker reaches the sink soon, unless the run ended or the master itself was held up.
fn losses_are_fenced(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    for lost in input.facts.lost.iter().filter(|lost| has_results(input, lost)) {
        let deadline = lost.at + input.run.failure_timeout + FENCE_GRACE;
        let is_fenced = input
            .facts
            .fences
            .iter()
            .any(|fence| fence.worker == lost.worker && fence.epoch >= lost.epoch && fence.at <= deadline);
        if !is_fenced && deadline < input.run.end && !master_is_hit(input, lost, deadline) {
            let Lost { at, worker, epoch, .. } = lost;
            finding.add(|| format!("{worker}, epoch {epoch}, was declared lost at {at} and not fenced in time"));
        }
    }
    finding
}

/// A later term begins only where a fault hit whoever led before, or the store in which both look. How long that shows
/// afterwards follows from the store's pace at the time.
fn terms_end_for_a_reason(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    for pair in input.facts.elected.windows(2) {
        let [(since, before), (at, next)] = pair else { continue };
        let is_hit = |node: &NodeName| node == before || *node == NodeName::store();
        // Over a slow store it may take long until another leads, or the same one in its next life.
        let ended = |line: &&TraceLine| line.node == *before && line.event == Event::ProcessEnded;
        let has_ended = input.lines.iter().filter(ended).any(|line| *since <= line.at && line.at <= *at);
        if !has_ended && !is_under_fault(input, is_hit, (*at, *at), OVERTAKEN_AFTER) {
            finding.add(|| format!("{next} led at {at}, though nothing had happened to {before}"));
        }
    }
    finding
}

/// Whether the lost node may have results on their way: where partitions have owners, an idle heir has none.
fn has_results(input: &CheckInput<'_>, lost: &Lost) -> bool {
    let joined = input.lines.iter().rev().skip_while(|line| line.sequence > lost.sequence).find_map(|line| {
        matches!(&line.event, Event::WorkerJoined { worker, .. } if *worker == lost.worker).then_some(line.at)
    });
    let owners = &input.facts.owners;
    owners.is_empty() || owners.has_owned(&lost.worker, joined.unwrap_or(Moment::ZERO), lost.at)
}

fn master_is_hit(input: &CheckInput<'_>, lost: &Lost, deadline: Moment) -> bool {
    is_under_fault(input, |node| node.as_str() == "master", (lost.at, deadline), Duration::ZERO)
}

/// Whether a fault of such a node had effect between two moments, or so long before.
fn is_under_fault(
    input: &CheckInput<'_>,
    is_hit: impl Fn(&NodeName) -> bool,
    (from, until): (Moment, Moment),
    before: Duration,
) -> bool {
    let hits = |fault: &&FaultFacts| fault.nodes.iter().chain(&fault.others).any(&is_hit);
    input.run.faults.iter().filter(hits).any(|fault| {
        let times = input.facts.faults.get(&fault.number).copied().unwrap_or_default();
        let FaultTimes { applied, ended } = times;
        applied.is_some_and(|applied| applied <= until) && ended.is_none_or(|ended| ended + before >= from)
    })
}

fn attempts_agree(lines: &[TraceLine]) -> Finding {
    let mut finding = Finding::default();
    if let Some(differ) = differing_results(lines) {
        finding.add(|| differ);
    }
    finding
}

/// A result becomes visible once; whatever comes later is a repetition, and the sink says so.
fn visible_once(lines: &[TraceLine]) -> Finding {
    let mut finding = Finding::default();
    let mut seen: BTreeSet<(&str, u64, u32)> = BTreeSet::new();
    for line in lines {
        if let Event::ResultVisible { output, interval, partition, .. } = &line.event
            && !seen.insert((output, *interval, *partition))
        {
            let at = line.at;
            finding
                .add(|| format!("result {partition} of interval {interval} of `{output}` came twice, again at {at}"));
        }
    }
    finding
}

/// From the moment at which the master knows that a worker is to leave, it gives it no task, unless it stays or joins anew.
fn leavers_get_nothing(lines: &[TraceLine]) -> Finding {
    let mut finding = Finding::default();
    let mut leaving: BTreeSet<&NodeName> = BTreeSet::new();
    for line in lines {
        match &line.event {
            Event::WorkerLeaving { worker, .. } => drop(leaving.insert(worker)),
            Event::WorkerJoined { worker, .. } | Event::WorkerStays { worker, .. } => drop(leaving.remove(worker)),
            Event::TaskLaunched { task, worker, .. } if leaving.contains(worker) => {
                let at = line.at;
                finding.add(|| format!("{worker} was given {task:?} at {at}, though it was to leave"));
            }
            _ => {}
        }
    }
    finding
}

/// What is shown before all its input is there is followed by the result itself, unless the run was stopped before, or ends
/// while an empty interval is on its way.
fn tentative_are_replaced(input: &CheckInput<'_>) -> Finding {
    let mut finding = Finding::default();
    let mut open: BTreeMap<(&str, u64, u32), Moment> = BTreeMap::new();
    for line in input.lines {
        match &line.event {
            Event::ResultTentative { output, interval, partition, .. } => {
                open.insert((output, *interval, *partition), line.at);
            }
            Event::ResultVisible { output, interval, partition, .. } => {
                open.remove(&(output.as_str(), *interval, *partition));
            }
            _ => {}
        }
    }
    let is_excused = |interval: u64| input.interrupted || records::is_empty_end(input, interval);
    for ((output, interval, partition), at) in open.into_iter().filter(|((_, interval, _), _)| !is_excused(*interval)) {
        finding.add(|| {
            format!(
                "the tentative result {partition} of interval {interval} of `{output}`, of {at}, was never replaced"
            )
        });
    }
    finding
}

/// The first result of which two attempts differ: the engine computes differently from time to time.
pub(super) fn differing_results(lines: &[TraceLine]) -> Option<String> {
    lines.iter().find_map(|line| match &line.event {
        Event::ResultsDiffer { output, interval, partition, from, digest, earlier } => Some(format!(
            "two attempts at result {partition} of interval {interval} of output `{output}` differ: \
             {digest:016x} from {from}, {earlier:016x} before"
        )),
        _ => None,
    })
}
