//! What a recovery began with: how busy the struck nodes were before, and when lost work began to be done again.
//!
//! Models of recovery count from there: they leave out noticing the failure and fetching what the work needs. Invariant: a
//! fault after which nothing was done again has no beginning.

use super::MeasureInput;
use super::facts::Facts;
use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;

/// One fault's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effort {
    /// Share of the cores' time that the struck nodes had used, from the end of the warm-up. `None` where the fault struck
    /// before that, or was not applied.
    pub load_before: Option<f64>,
    /// When the first task that had been done before was started again, or the first partition was there with its state and
    /// its input.
    pub begins: Option<Moment>,
}

/// Of every planned fault, in the plan's order.
pub(super) fn efforts(lines: &[TraceLine], facts: &Facts, input: &MeasureInput) -> Vec<Effort> {
    let applied: Vec<Option<Moment>> =
        input.faults.iter().map(|fault| facts.faults.get(&fault.number)?.applied).collect();
    let mut used_ns = vec![0u64; applied.len()];
    let mut begins: Vec<Option<Moment>> = vec![None; applied.len()];
    for line in lines.iter().filter(|line| line.at >= input.warmup_end) {
        for (place, t0) in applied.iter().enumerate() {
            let Some(t0) = *t0 else { continue };
            match &line.event {
                Event::TaskFinished { cpu_ns, .. } | Event::CpuUsed { cpu_ns } if line.at <= t0 => {
                    used_ns[place] += if input.faults[place].nodes.contains(&line.node) { *cpu_ns } else { 0 };
                }
                event if line.at >= t0 && begins[place].is_none() && is_beginning(event, facts) => {
                    begins[place] = Some(line.at);
                }
                _ => {}
            }
        }
    }
    let share = |place: usize| {
        let span = applied[place]?.since(input.warmup_end).as_secs_f64();
        let cores = f64::from(input.cores) * input.faults[place].nodes.len() as f64;
        (span > 0.0 && cores > 0.0).then(|| used_ns[place] as f64 / 1e9 / (span * cores))
    };
    begins.into_iter().enumerate().map(|(place, begins)| Effort { load_before: share(place), begins }).collect()
}

fn is_beginning(event: &Event, facts: &Facts) -> bool {
    match event {
        Event::TaskStarted { task } => facts.tasks.get(task).is_some_and(|task| task.again),
        Event::PartitionRestored { .. } => true,
        _ => false,
    }
}
