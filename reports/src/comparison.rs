//! Runs that may be compared: the same scenario, seed, world and settings, each with another engine.
//!
//! Knows no markup. Invariant: of each engine a contest holds one run, the newest, and only runs whose every check holds
//! are ranked.

pub mod quantity;
pub mod sheet;
pub mod words;

use crate::label::files;
use crate::read::RunReport;
use crate::tables::Tables;
use crate::words::{checks_failed, failures};
use dstream_trace::result::{FaultResult, RunResult, Verdict};
use serde_yaml::Value;
use std::collections::BTreeMap;

/// The engine that the others are compared with, by its name in scenarios.
const DSTREAM: &str = "dstream";

/// One engine's run.
#[derive(Clone, Debug)]
pub struct Contender<'a> {
    /// Its run.
    pub run: &'a RunReport,
    /// What the run wrote beside its result.
    pub tables: &'a Tables,
    /// The engine's name in scenarios, whatever the run is called; empty where the scenario does not say.
    pub engine: String,
    /// The options it ran with, by name.
    pub options: BTreeMap<String, String>,
    /// Its place among the scenario's engines.
    place: usize,
}

/// Engines side by side.
#[derive(Clone, Debug)]
pub struct Contest<'a> {
    /// What tells it from the other contests of the same runs; empty where there is one only.
    pub name: String,
    /// The runs, in the order of the scenario's engines.
    pub contenders: Vec<Contender<'a>>,
}

impl<'a> Contender<'a> {
    /// The run as one of its scenario's engines.
    pub fn new(run: &'a RunReport, tables: &'a Tables) -> Contender<'a> {
        let scenario: Value = serde_yaml::from_str(&tables.scenario).unwrap_or(Value::Null);
        let mut found = Contender { run, tables, engine: String::new(), options: BTreeMap::new(), place: usize::MAX };
        for (place, entry) in scenario["engines"].as_sequence().into_iter().flatten().enumerate() {
            let named = entry.as_mapping().and_then(|entry| entry.iter().next());
            let Some((Some(name), options)) = named.map(|(name, options)| (name.as_str(), options)) else { continue };
            if options["as"].as_str().unwrap_or(name) == run.result.engine {
                let all = options.as_mapping().into_iter().flatten();
                let options = all.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), plain(value))));
                found.options = options.filter(|(name, _)| name != "as").collect();
                (found.engine, found.place) = (name.to_owned(), place);
                break;
            }
        }
        found
    }

    /// What its run is called.
    pub fn label(&self) -> &'a str {
        &self.run.result.engine
    }

    /// What it measured.
    pub fn result(&self) -> &'a RunResult {
        &self.run.result
    }

    /// Whether it may be called better or worse than another: nothing is wrong with it, and it came to its end.
    pub fn is_ranked(&self) -> bool {
        self.run.result.verdict == Verdict::Valid
    }

    /// Why it is not ranked.
    pub fn why_not(&self) -> Option<String> {
        match self.run.result.verdict {
            Verdict::Valid => None,
            Verdict::Invalid => Some(checks_failed(&self.run.result)),
            Verdict::Unknown => Some(format!("undecided: {}", failures(&self.run.result))),
        }
    }

    /// Whether it is the D-Streams engine.
    pub fn is_dstream(&self) -> bool {
        self.engine == DSTREAM || (self.engine.is_empty() && self.label() == DSTREAM)
    }

    /// Records that are gone, as its promise allows.
    pub fn declared_gone(&self) -> u64 {
        self.run.result.broken_promises.iter().map(|broken| broken.records).sum()
    }

    /// Its faults that took effect.
    pub fn fired(&self) -> impl Iterator<Item = &'a FaultResult> {
        self.run.result.faults.iter().filter(|fault| fault.fired)
    }
}

impl<'a> Contest<'a> {
    /// Those that may be compared by numbers.
    pub fn ranked(&self) -> impl Iterator<Item = &Contender<'a>> {
        self.contenders.iter().filter(|one| one.is_ranked())
    }

    /// Length of an interval in seconds; the same for all engines of a scenario.
    pub fn interval_s(&self) -> f64 {
        self.contenders.iter().find_map(|one| one.tables.number("interval_s")).unwrap_or(1.0)
    }

    /// When a result counts as on time, in seconds: the same for all, else `None`.
    pub fn slo_s(&self) -> Option<f64> {
        let mut all = self.contenders.iter().map(|one| one.tables.number("slo_s"));
        let first = all.next().flatten()?;
        all.all(|other| other.is_some_and(|other| (other - first).abs() < 1e-6)).then_some(first)
    }
}

/// The contests among these runs, in the runs' order; runs that have nothing beside them are in none.
pub fn contests<'a>(runs: &'a [RunReport], tables: &'a [Tables]) -> Vec<Contest<'a>> {
    let mut groups: Vec<(Setting, Vec<Contender<'a>>)> = Vec::new();
    for (run, tables) in runs.iter().zip(tables) {
        let (setting, one) = (Setting::of(run, tables), Contender::new(run, tables));
        let place = groups.iter().position(|(other, _)| *other == setting).unwrap_or_else(|| {
            groups.push((setting, Vec::new()));
            groups.len() - 1
        });
        let group = &mut groups[place].1;
        match group.iter_mut().find(|other| other.label() == one.label()) {
            Some(older) => *older = one,
            None => group.push(one),
        }
    }
    groups.retain(|(_, contenders)| contenders.len() > 1);
    let settings: Vec<Setting> = groups.iter().map(|(setting, _)| setting.clone()).collect();
    let first: Vec<&Contender<'_>> = groups.iter().filter_map(|(_, contenders)| contenders.first()).collect();
    let (reports, of): (Vec<_>, Vec<_>) = first.iter().map(|one| (one.run.clone(), one.tables.clone())).unzip();
    let files = files(&reports, &of);
    let contest = |((setting, mut contenders), file): ((Setting, Vec<Contender<'a>>), Option<String>)| {
        contenders.sort_by_key(|one| one.place);
        Contest { name: setting.told_apart(&settings, file), contenders }
    };
    groups.into_iter().zip(files).map(contest).collect()
}

/// What runs must share to be compared.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    scenario: String,
    world: String,
    seed: u64,
    set: Vec<String>,
    /// Load, faults and machines, as the scenario has them. The number of workers may be each engine's own.
    rest: Vec<Value>,
}

impl Setting {
    fn of(run: &RunReport, tables: &Tables) -> Setting {
        let mut scenario: Value = serde_yaml::from_str(&tables.scenario).unwrap_or(Value::Null);
        if let Some(cluster) = scenario.get_mut("cluster").and_then(Value::as_mapping_mut) {
            cluster.remove("workers");
            cluster.remove("partitions");
        }
        let parts = ["duration", "warmup", "cluster", "workload", "faults"];
        let rest = parts.iter().map(|part| scenario.get(*part).cloned().unwrap_or(Value::Null)).collect();
        let said = |set: &&String| !set.starts_with("seed=") && !set.starts_with("title=");
        let set = tables.set().iter().filter(said).cloned().collect();
        let result = &run.result;
        Setting { scenario: result.scenario.clone(), world: result.world.clone(), seed: result.seed, set, rest }
    }

    /// What it has that the others have not.
    fn told_apart(&self, all: &[Setting], file: Option<String>) -> String {
        if all.len() < 2 {
            return String::new();
        }
        let mut parts = Vec::new();
        if all.iter().any(|other| other.scenario != self.scenario) {
            parts.push(self.scenario.clone());
        }
        if all.iter().any(|other| other.world != self.world) {
            parts.push(format!("world {}", self.world));
        }
        if all.iter().any(|other| other.seed != self.seed) {
            parts.push(format!("seed {}", self.seed));
        }
        parts.extend(self.set.iter().cloned());
        let alike = |other: &&Setting| {
            (&other.scenario, &other.world, other.seed, &other.set)
                == (&self.scenario, &self.world, self.seed, &self.set)
        };
        if let Some(file) = file {
            parts.push(file);
        } else if all.iter().filter(alike).count() > 1 {
            let version = all.iter().filter(alike).position(|other| other == self).unwrap_or(0) + 1;
            parts.push(format!("version {version} of the scenario"));
        }
        parts.join(", ")
    }
}

/// A value as text.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}
