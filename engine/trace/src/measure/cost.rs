//! What the run cost from the end of the warm-up, and how much of its resources it used while there was load.

use super::{Facts, MeasureInput, seconds_from};
use crate::event::{Event, Purpose};
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::result::{Cost, Load};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
struct Card {
    sent: u64,
    received: u64,
}

/// Sums over the log. Nodes of the harness cost nothing, but for second copies of input that an engine has clients send:
/// others send them from worker to worker.
pub(super) fn cost_and_load(lines: &[TraceLine], facts: &Facts, input: &MeasureInput) -> (Cost, Load) {
    let there_s = f64::from(input.nodes) * input.end.since(input.warmup_end).as_secs_f64();
    let mut cost = Cost { node_s: there_s - waited_s(lines, input), ..Cost::default() };
    let mut cards: BTreeMap<&NodeName, Card> = BTreeMap::new();
    let (mut cpu_ns, mut again_ns) = (0u64, 0u64);
    let mut of_workers: BTreeMap<&NodeName, u64> = BTreeMap::new();
    let is_harness = |line: &TraceLine| input.harness.contains(&line.node);
    // What clients send beside the first copy of each record is the engine's way to hold it.
    let is_of_engine = |line: &TraceLine| match &line.event {
        Event::FrameSent { purpose, .. } => matches!(purpose, Purpose::Copy | Purpose::Recovery),
        _ => false,
    };
    let measured = |line: &&TraceLine| line.at >= input.warmup_end && (!is_harness(line) || is_of_engine(line));
    for line in lines.iter().filter(measured) {
        let under_load = line.at <= input.load_end;
        match &line.event {
            Event::TaskFinished { cpu_ns: nanos, .. } | Event::CpuUsed { cpu_ns: nanos } => {
                cpu_ns += nanos;
                if under_load && line.node.is_of_the_work() {
                    *of_workers.entry(&line.node).or_default() += nanos;
                }
                again_ns += if is_again(facts, &line.event) { *nanos } else { 0 };
            }
            Event::WorkRepeated { cpu_ns: nanos } => again_ns += nanos,
            Event::StateSaved { bytes, .. } => cost.checkpoint_bytes += bytes,
            Event::FrameSent { purpose, bytes, .. } => {
                add_frame(&mut cost, *purpose, *bytes);
                cards.entry(&line.node).or_default().sent += if under_load && !is_harness(line) { *bytes } else { 0 };
            }
            Event::FrameDelivered { bytes, .. } if under_load => {
                cards.entry(&line.node).or_default().received += bytes;
            }
            _ => {}
        }
    }
    cost.cpu_s = seconds_from(Moment::ZERO, Moment(cpu_ns));
    cost.recomputed_cpu_s = seconds_from(Moment::ZERO, Moment(again_ns));
    let busiest = cards.values().map(|card| card.sent.max(card.received)).max().unwrap_or(0);
    (cost, load(of_workers.into_values().collect(), busiest, input))
}

/// How long workers waited to be called, after the warm-up: somebody else may have them meanwhile.
fn waited_s(lines: &[TraceLine], input: &MeasureInput) -> f64 {
    let mut since: BTreeMap<&NodeName, Moment> = BTreeMap::new();
    let mut waited_s = 0.0;
    let until = |at: Moment, from: Moment| at.min(input.end).since(from.max(input.warmup_end)).as_secs_f64();
    for line in lines {
        match &line.event {
            Event::WorkerWaits { worker } => drop(since.entry(worker).or_insert(line.at)),
            Event::WorkerCalled { worker, .. } => {
                waited_s += since.remove(worker).map_or(0.0, |from| until(line.at, from))
            }
            _ => {}
        }
    }
    waited_s + since.into_values().map(|from| until(input.end, from)).sum::<f64>()
}

fn add_frame(cost: &mut Cost, purpose: Purpose, bytes: u64) {
    cost.network_bytes += bytes;
    match purpose {
        Purpose::Copy => cost.replicated_bytes += bytes,
        Purpose::Recovery => cost.recovery_bytes += bytes,
        Purpose::Control | Purpose::Input | Purpose::Shuffle | Purpose::Output => {}
    }
}

fn is_again(facts: &Facts, event: &Event) -> bool {
    match event {
        Event::TaskFinished { task, .. } => facts.tasks.get(task).is_some_and(|task| task.again),
        _ => false,
    }
}

fn load(mut of_workers: Vec<u64>, busiest_bytes: u64, input: &MeasureInput) -> Load {
    let time = input.load_end.min(input.end).since(input.warmup_end);
    if time == Duration::ZERO || input.workers + input.heirs == 0 {
        return Load::default();
    }
    let time_s = time.as_secs_f64();
    let workers = (input.workers + input.heirs) as usize;
    of_workers.resize(workers.max(of_workers.len()), 0);
    of_workers.sort_unstable();
    let used = |nanos: u64, workers: f64| nanos as f64 / 1e9 / (workers * f64::from(input.cores) * time_s);
    let (median, most) = (of_workers[of_workers.len() / 2], of_workers[of_workers.len() - 1]);
    Load {
        cpu: used(of_workers.iter().sum(), workers as f64),
        busiest_cpu: used(most, 1.0),
        busiest_to_median: if median == 0 { 0.0 } else { most as f64 / median as f64 },
        network: busiest_bytes as f64 * 8.0 / (input.bits_per_second as f64 * time_s),
    }
}
