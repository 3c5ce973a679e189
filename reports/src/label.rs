//! What tells the runs on one page apart: engine, and only what differs of world, seed, settings, scenario.
//!
//! Invariant: no two labels are equal.

use crate::read::RunReport;
use crate::tables::Tables;
use std::path::Path;

/// A label for each run, in their order.
pub fn labels(runs: &[RunReport], tables: &[Tables]) -> Vec<String> {
    let differs = |part: &dyn Fn(&RunReport) -> String| {
        let mut parts = runs.iter().map(part);
        let first = parts.next();
        parts.any(|part| Some(&part) != first.as_ref())
    };
    let files = files(runs, tables);
    let scenarios = differs(&|run| run.result.scenario.clone());
    let worlds = differs(&|run| run.result.world.clone());
    let seeds = differs(&|run| run.result.seed.to_string());
    let mut labels: Vec<String> = Vec::new();
    for ((run, tables), file) in runs.iter().zip(tables).zip(files) {
        let result = &run.result;
        let mut parts = Vec::new();
        if scenarios {
            parts.push(result.scenario.clone());
        }
        parts.extend(file);
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

/// Of scenarios that share a title, the files that they came from; `None` where that tells nothing apart.
pub(crate) fn files(runs: &[RunReport], tables: &[Tables]) -> Vec<Option<String>> {
    let all: Vec<(&str, Option<&str>)> =
        runs.iter().zip(tables).map(|(run, tables)| (run.result.scenario.as_str(), tables.value("file"))).collect();
    let name = |path: &str| Path::new(path).file_name().map_or(path.to_owned(), |name| name.to_string_lossy().into());
    let shown = |(title, file): &(&str, Option<&str>)| {
        let own = (*file)?;
        let others = || all.iter().filter(|(other, _)| other == title).filter_map(|(_, file)| *file);
        let differs = others().any(|other| other != own);
        let is_told_by_name = others().all(|other| other == own || name(other) != name(own));
        differs.then(|| if is_told_by_name { name(own) } else { own.to_owned() })
    };
    all.iter().map(shown).collect()
}
