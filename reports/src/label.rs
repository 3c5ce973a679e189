//! What tells the runs on one page apart: engine, and only what differs of world, seed, settings, scenario.
//!
//! Invariant: no two labels are equal.

use crate::read::RunReport;
use crate::tables::Tables;

/// A label for each run, in their order.
pub fn labels(runs: &[RunReport], tables: &[Tables]) -> Vec<String> {
    let differs = |part: &dyn Fn(&RunReport) -> String| {
        let mut parts = runs.iter().map(part);
        let first = parts.next();
        parts.any(|part| Some(&part) != first.as_ref())
    };
    let scenarios = differs(&|run| run.result.scenario.clone());
    let worlds = differs(&|run| run.result.world.clone());
    let seeds = differs(&|run| run.result.seed.to_string());
    let mut labels: Vec<String> = Vec::new();
    for (run, tables) in runs.iter().zip(tables) {
        let result = &run.result;
        let mut parts = Vec::new();
        if scenarios {
            parts.push(result.scenario.clone());
        }
        parts.push(result.engine.clone());
        if worlds {
            parts.push(result.world.clone());
        }
        if seeds {
            parts.push(format!("seed {}", result.seed));
        }
        // Seed and title, where they were set, have been said.
        let said = |set: &&String| set.starts_with("seed=") || set.starts_with("title=");
        parts.extend(tables.set().iter().filter(|set| !said(set)).cloned());
        let label = parts.join(", ");
        let same = (2..).map(|number| format!("{label} #{number}")).find(|label| !labels.contains(label));
        labels.push(if labels.contains(&label) { same.unwrap_or(label) } else { label });
    }
    labels
}
