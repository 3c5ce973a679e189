//! From the scenario as written to the plan: defaults filled in, shares and targets worked out, everything checked.
//!
//! Knows engines, jobs and worlds through the context only. Invariant: a plan that is returned can be run; the same
//! text, context and files give the same plan.

mod collide;
mod cost;
mod draw;
mod engine;
mod fault;
mod node;
mod rate;
mod source;

use crate::compare::COMPARISONS;
use crate::context::Context;
use crate::error::ScenarioError;
use crate::plan::{ClusterPlan, EnginePlan, Link, Plan};
use crate::spec::{At, ClusterWritten, LinkWritten, Reader, ScenarioWritten, WorkloadWritten, read_scenario};
use crate::unit::show_duration;
use crate::yaml::{Node, Problem, Sources, Spot, apply_set};
use dstream_cluster::{Costs, JobSpec};
use dstream_host::real::Compute;
use std::path::Path;
use std::time::Duration;

/// The simulator's tick: no message can be faster, and all delays are whole ticks.
const TICK: Duration = Duration::from_millis(1);

/// The worlds of the contract.
const WORLDS: [&str; 2] = ["sim", "tcp"];

const DEFAULT_LATENCY: Duration = Duration::from_millis(1);
const DEFAULT_STORE_LATENCY: Duration = Duration::from_millis(5);
const DEFAULT_BITS_PER_SECOND: u64 = 1_000_000_000;
const DEFAULT_CORES: u32 = 4;
const DEFAULT_CLIENTS: u32 = 2;
const DEFAULT_HEARTBEAT: Duration = Duration::from_millis(100);
const DEFAULT_FAILURE_TIMEOUT: Duration = Duration::from_millis(500);

/// One-way latencies until a new connection is greeted both ways.
const LATENCIES_TO_CONNECT: u32 = 8;
/// Connecting must fit in half of the failure timeout, so that heartbeats flow before the peer counts as lost.
const LATENCIES_IN_TIMEOUT: u32 = 2 * LATENCIES_TO_CONNECT;

/// Most errors that are shown: a file that is no scenario has thousands, and each place in it is searched for.
const MOST_SHOWN: usize = 20;

/// Reads a scenario file's `text` and resolves it. `path` names it in errors, and paths in it count from its folder.
/// The errors come in the order of the text.
pub fn load(path: &Path, text: &str, context: &Context) -> Result<Plan, Vec<ScenarioError>> {
    let mut sources = Sources::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = sources.add(path.display().to_string(), text, 0);
    let root = match read_tree(&mut sources, file, context) {
        Ok(root) => root,
        Err(problems) => return Err(shown(&sources, problems)),
    };
    let costs = cost::open(&mut sources, &root, path);
    let mut reader = Reader { sources: &sources, problems: Vec::new() };
    let plan = read_scenario(&mut reader, &root, context)
        .and_then(|written| resolve(&mut reader, &written, &costs, path, context));
    let problems = reader.problems;
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(shown(&sources, problems)),
    }
}

fn read_tree(sources: &mut Sources, file: usize, context: &Context) -> Result<Node, Vec<Problem>> {
    let mut root = sources.parse(file).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    for (path, value) in &context.sets {
        problems.extend(apply_set(sources, &mut root, path, value).err());
    }
    if problems.is_empty() { Ok(root) } else { Err(problems) }
}

fn shown(sources: &Sources, mut problems: Vec<Problem>) -> Vec<ScenarioError> {
    problems.sort_by_key(|problem| problem.at.visit());
    problems.truncate(MOST_SHOWN);
    problems.sort_by_cached_key(|problem| sources.order(problem.at));
    let mut errors: Vec<ScenarioError> = problems.into_iter().map(|problem| sources.error(problem)).collect();
    errors.dedup();
    errors
}

/// What the parts of a scenario are resolved against.
struct Common<'w> {
    cluster: &'w ClusterPlan,
    job: &'w JobSpec,
    duration: Duration,
    seed: u64,
    /// All engines of the scenario, and those asked for.
    engines: &'w [EnginePlan],
    chosen: &'w [EnginePlan],
    compare: &'w str,
}

fn resolve(
    reader: &mut Reader<'_>,
    written: &ScenarioWritten<'_, '_>,
    costs: &cost::Opened,
    path: &Path,
    context: &Context,
) -> Option<Plan> {
    refuse_worlds(reader, context);
    let workload = written.workload.as_ref();
    let cluster = written.cluster.as_ref().and_then(|cluster| resolve_cluster(reader, cluster, workload, costs));
    let seed = context.seed.or(written.seed.as_ref().map(|seed| seed.value)).unwrap_or(0);
    let duration = written.duration.as_ref().map(|duration| duration.value);
    let compare = written.compare.as_ref().map_or(COMPARISONS[0], |compare| compare.value.as_str());
    let around = engine::Around { cluster: cluster.as_ref(), compare, context };
    let engines = engine::resolve(reader, written, around);
    let interval = engines.as_ref().map_or(engine::DEFAULT_INTERVAL, |engines| engines.interval);
    let job = workload.and_then(|workload| resolve_job(workload, interval));
    let (cluster, job, duration) = (cluster?, job?, duration?);
    let all: Vec<EnginePlan> = engines.iter().flat_map(|engines| &engines.all).map(|(plan, _)| plan.clone()).collect();
    let chosen = engines.as_ref().map_or(&[][..], |engines| &engines.chosen);
    let common = Common { cluster: &cluster, job: &job, duration, seed, engines: &all, chosen, compare };
    let faults = fault::resolve(reader, &written.faults, &common);
    let engines = engines.as_ref()?;
    let source = source::resolve(reader, workload?, &common, engines, path);
    let before = reader.problems.len();
    check_params(reader, workload?, &job);
    if reader.problems.len() == before {
        engine::refuse_jobs(reader, written, engines, &job);
    }
    let warmup = written.warmup.as_ref().map(|warmup| warmup.value);
    let warmup = warmup.unwrap_or_else(|| engines.default_warmup(&job));
    engine::refuse_too_long(reader, written, engines, warmup.saturating_add(duration));
    Some(Plan {
        title: written.title.as_ref()?.value.trim().to_string(),
        about: written.about.as_ref().map(|about| about.value.clone()).unwrap_or_default(),
        seed,
        duration,
        warmup,
        slo: written.slo.as_ref().map(|slo| slo.value),
        compare: compare.to_owned(),
        interval: engines.interval,
        scale: scale(workload),
        source: source?,
        engines: engines.chosen.clone(),
        faults,
        expect: written.expect.clone(),
        job: job.clone(),
        cluster: cluster.clone(),
    })
}

fn refuse_worlds(reader: &mut Reader<'_>, context: &Context) {
    for world in &context.worlds {
        let at = Spot::Node { source: 0, id: 0 };
        if !WORLDS.contains(&world.as_str()) {
            reader.wrong_name(at, &format!("there is no world `{world}`"), world, &WORLDS);
        }
    }
}

/// Checks the values of the job's parameters.
fn check_params(reader: &mut Reader<'_>, workload: &WorkloadWritten<'_>, job: &JobSpec) {
    let Some((_, declaration)) = &workload.job else { return };
    for (name, value) in &workload.params {
        let spec = declaration.params.iter().find(|param| param.name == name);
        let checked = spec.map(|spec| spec.check(&value.value, &job.params, job.interval));
        if let Some(Err(error)) = checked {
            reader.problems.push(Problem { nearest: error.nearest, ..Problem::wrong(value.at, error.message) });
        }
    }
}

/// The job with all its parameters.
fn resolve_job(workload: &WorkloadWritten<'_>, interval: Duration) -> Option<JobSpec> {
    let (name, declaration) = workload.job.as_ref()?;
    let defaults = declaration.params.iter().map(|param| (param.name.to_string(), param.default.to_string()));
    let given = workload.params.iter().map(|(name, value)| (name.clone(), value.value.clone()));
    Some(JobSpec { name: name.value.clone(), params: defaults.chain(given).collect(), interval })
}

fn scale(workload: Option<&WorkloadWritten<'_>>) -> u64 {
    workload.and_then(|workload| workload.scale.as_ref()).map_or(1, |scale| scale.value)
}

fn resolve_cluster(
    reader: &mut Reader<'_>,
    written: &ClusterWritten<'_>,
    workload: Option<&WorkloadWritten<'_>>,
    costs: &cost::Opened,
) -> Option<ClusterPlan> {
    let count = |written: &Option<At<u32>>, default: u32| written.as_ref().map_or(default, |count| count.value);
    let time = |written: &Option<At<Duration>>, default| written.as_ref().map_or(default, |time| time.value);
    let heartbeat = time(&written.heartbeat, DEFAULT_HEARTBEAT);
    let failure_timeout = time(&written.failure_timeout, DEFAULT_FAILURE_TIMEOUT);
    if failure_timeout <= heartbeat {
        let spot = written.failure_timeout.as_ref().or(written.heartbeat.as_ref());
        let message = "`cluster.failure_timeout` must be longer than `cluster.heartbeat`, or every node counts as lost";
        reader.wrong(spot.map_or(written.at, |time| time.at), message);
    }
    refuse_latency(reader, written, failure_timeout);
    let map_cost = workload.and_then(|workload| workload.job.as_ref()).map(|(_, job)| job.map_cost.as_str());
    let costs: Option<Costs> = cost::resolve(reader, written.costs.as_ref(), costs, map_cost);
    let workers = written.workers.as_ref()?.value;
    let cores = count(&written.cores, DEFAULT_CORES);
    Some(ClusterPlan {
        workers,
        heirs: Vec::new(),
        cores,
        clients: count(&written.clients, DEFAULT_CLIENTS),
        partitions: count(&written.partitions, 2 * workers * cores),
        link: link(&written.link, DEFAULT_LATENCY),
        store: link(&written.store.link, DEFAULT_STORE_LATENCY),
        store_address: written.store.address.clone(),
        heartbeat,
        failure_timeout,
        costs: costs?,
        compute: written.compute.unwrap_or(if scale(workload) > 1 { Compute::Modelled } else { Compute::Real }),
    })
}

fn link(written: &LinkWritten, latency: Duration) -> Link {
    Link {
        latency: written.latency.as_ref().map_or(latency, |latency| latency.value),
        bits_per_second: written.bandwidth.as_ref().map_or(DEFAULT_BITS_PER_SECOND, |bandwidth| bandwidth.value),
    }
}

/// Refuses latencies that are no whole ticks, or with which no connection is up before it counts as failed.
fn refuse_latency(reader: &mut Reader<'_>, written: &ClusterWritten<'_>, failure_timeout: Duration) {
    let given = written.link.latency.as_ref();
    if let Some(latency) = given.filter(|latency| !latency.value.as_nanos().is_multiple_of(TICK.as_nanos())) {
        let message = "`cluster.link.latency` must be a whole number of milliseconds: the simulator's tick is `1ms`";
        reader.wrong(latency.at, message);
        return;
    }
    let latency = given.map_or(DEFAULT_LATENCY, |latency| latency.value);
    let least_timeout = latency.saturating_mul(LATENCIES_IN_TIMEOUT);
    if least_timeout <= failure_timeout {
        return;
    }
    let spot = given.map(|latency| latency.at).or(written.failure_timeout.as_ref().map(|timeout| timeout.at));
    let most_ticks = failure_timeout.as_millis() / u128::from(LATENCIES_IN_TIMEOUT);
    let shorter = if most_ticks == 0 { String::new() } else { format!("a latency of at most `{most_ticks}ms`, or ") };
    let message = format!(
        "with a `cluster.link.latency` of `{}` connecting takes `{}`, more than half of `cluster.failure_timeout` \
         (`{}`); valid is {shorter}a failure_timeout of at least `{}`",
        show_duration(latency),
        show_duration(latency.saturating_mul(LATENCIES_TO_CONNECT)),
        show_duration(failure_timeout),
        show_duration(least_timeout),
    );
    reader.wrong(spot.unwrap_or(written.at), message);
}
