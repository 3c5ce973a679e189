//! Scenario files read into plans, with everything that this binary can run declared to the parser.
//!
//! Knows the names that the contract has and this build lacks, so that they are refused as such and not as typing
//! errors.

use crate::failure::Failure;
use crate::setup::Setup;
use dstream_cluster::{ClusterSpec, Costs, Engine, JobSpec, Options, Pace, Registry};
use dstream_scenarios::plan::{EnginePlan, Plan};
use dstream_scenarios::swarm::{Template, draw};
use dstream_scenarios::workload::Workloads;
use dstream_scenarios::{Context, EngineDeclaration, JobDeclaration, ScenarioError};
use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Engines of the contract that may not be built.
const ENGINES: [&str; 3] = ["dstream", "upstream-backup", "hot-replication"];

/// Folders beside the scenarios whose files are none: cost tables, and numbers of published figures.
const OTHER_FOLDERS: [&str; 2] = ["costs", "figures"];

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The seed.
    pub seed: Option<u64>,
    /// `PATH=VALUE`
    pub set: Vec<String>,
    /// The engines to run, by label or name; empty: all.
    pub only: Vec<String>,
}

/// Reads and resolves a scenario file.
pub fn load_scenario(path: &Path, overrides: &Overrides, setup: &Setup) -> Result<Plan, Failure> {
    load_text(path, &text_of(path)?, overrides, setup)
}

/// Resolves a scenario's text, which came from `path` or would lie there.
pub(crate) fn load_text(path: &Path, text: &str, overrides: &Overrides, setup: &Setup) -> Result<Plan, Failure> {
    let plan = dstream_scenarios::load(path, text, &context(overrides, setup)?);
    plan.map_err(|errors| Failure::usage(join(&errors)))
}

/// The scenario that the swarm draws from a seed for these engines, within what the template at `path` says.
pub fn draw_scenario(
    seed: u64,
    engines: &[String],
    (path, template): (&Path, &Template),
    setup: &Setup,
) -> Result<Plan, Failure> {
    let plan = draw(seed, engines, template, path, &context(&Overrides::default(), setup)?);
    plan.map_err(|errors| {
        Failure::usage(format!("seed {seed} gives no scenario with this template:\n{}", join(&errors)))
    })
}

/// A file's text.
pub fn text_of(path: &Path) -> Result<String, Failure> {
    ScenarioError::text_of(path, read(path)?).map_err(|errors| Failure::usage(join(&errors)))
}

/// What is wrong with a scenario file: its plan where nothing is.
pub fn checked(path: &Path, setup: &Setup) -> Result<Result<Plan, Vec<ScenarioError>>, Failure> {
    let text = match ScenarioError::text_of(path, read(path)?) {
        Ok(text) => text,
        Err(errors) => return Ok(Err(errors)),
    };
    let context = context(&Overrides::default(), setup)?;
    Ok(dstream_scenarios::load(path, &text, &context))
}

fn join(errors: &[ScenarioError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::usage(match error.kind() {
            ErrorKind::NotFound => format!("{}: no such file", path.display()),
            _ => format!("{}: cannot be read: {error}", path.display()),
        })
    })
}

/// Scenario files in order: the path itself, or every `.yaml` below it.
pub fn scenario_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error| Failure::usage(format!("{}: cannot be read: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                if !OTHER_FOLDERS.iter().any(|other| path.file_name().is_some_and(|name| name == *other)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("{}: no scenario file (*.yaml) in this folder", path.display())));
    }
    found.sort();
    Ok(found)
}

/// What a scenario may name, and what the command line changes in it.
pub(crate) fn context(overrides: &Overrides, setup: &Setup) -> Result<Context, Failure> {
    let sets = overrides.set.iter().map(|set| match set.split_once('=') {
        Some((path, value)) => Ok((path.to_string(), value.to_string())),
        None => Err(Failure::usage(format!("`--set {set}`: valid is PATH=VALUE, such as `cluster.workers=4`"))),
    });
    Ok(Context {
        engines: engines(setup),
        jobs: jobs(setup),
        worlds: vec!["sim".to_string()],
        seed: overrides.seed,
        sets: sets.collect::<Result<_, _>>()?,
        only: overrides.only.clone(),
    })
}

fn engines(setup: &Setup) -> Vec<EngineDeclaration> {
    let mut declarations: Vec<EngineDeclaration> =
        setup.engines.iter().map(|engine| declaration(engine, &setup.workloads)).collect();
    let missing = ENGINES.iter().filter(|name| setup.engine(name).is_none());
    declarations.extend(missing.map(|name| EngineDeclaration::unbuilt(*name)));
    declarations
}

fn declaration(engine: &Arc<dyn Engine>, workloads: &Arc<Workloads>) -> EngineDeclaration {
    let [costing, inheriting, refusing] = [engine, engine, engine].map(Arc::clone);
    let workloads = workloads.clone();
    let cost = move |costs: &Costs, options: &Options| costing.map_ns_per_byte(&only_costs(costs), options);
    // A job that cannot be made is refused for itself.
    let refuses = move |job: &JobSpec, options: &Options| {
        workloads.query(job).ok().and_then(|query| refusing.refuses(&query, options))
    };
    EngineDeclaration {
        heirs: Arc::new(move |workers, options| inheriting.heirs(workers, options)),
        recovers_master: engine.recovers_master(),
        moves: engine.moves(),
        refuses: Arc::new(refuses),
        ..EngineDeclaration::new(engine.name(), engine.options(), Arc::new(cost))
    }
}

/// A cluster of which nothing but the costs is known yet.
fn only_costs(costs: &Costs) -> ClusterSpec {
    ClusterSpec {
        workers: 1,
        cores: 1,
        clients: 1,
        partitions: 1,
        heartbeat: Duration::ZERO,
        failure_timeout: Duration::ZERO,
        costs: costs.clone(),
        scale: 1,
        seed: 0,
        job: JobSpec { name: String::new(), params: BTreeMap::new(), interval: Duration::from_secs(1) },
        source: Vec::new(),
        pace: Pace::Rate { per_second: 1.0 },
        interval: Duration::from_secs(1),
        origin: Moment::ZERO,
        load_end: Moment::NEVER,
    }
}

fn jobs(setup: &Setup) -> Vec<JobDeclaration> {
    let declared = |job: &dyn dstream_scenarios::workload::Workload| JobDeclaration {
        name: job.name().to_string(),
        params: job.params(),
        built: true,
        map_cost: job.map_cost().to_string(),
    };
    setup.workloads.iter().map(declared).collect()
}

/// The engine that a plan names.
pub fn engine_of(plan: &EnginePlan, setup: &Setup) -> Result<Arc<dyn Engine>, Failure> {
    setup.engine(&plan.engine).ok_or_else(|| Failure::broken(format!("this binary has no engine `{}`", plan.engine)))
}
