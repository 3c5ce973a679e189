//! Engines: their options with defaults, the interval that all share, what must be a multiple of it, and their nodes.

use crate::compare::fit;
use crate::context::{Context, EngineDeclaration, MapCost};
use crate::plan::{ClusterPlan, EnginePlan};
use crate::spec::{At, EngineWritten, Reader, ScenarioWritten};
use crate::unit::{duration, show_duration};
use crate::yaml::Spot;
use dstream_cluster::{JobSpec, OptionValue, Options};
use dstream_trace::NodeName;
use std::collections::BTreeSet;
use std::time::Duration;

/// The interval where no engine says one.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Options that the schema itself knows, whatever engine declares them.
const INTERVAL: &str = "interval";
const CHECKPOINT: &str = "checkpoint";
const COPIES: &str = "copies";
const INPUT: &str = "input";
const SLACK: &str = "slack";

/// The engines, resolved.
pub(super) struct Engines {
    /// The interval of all of them.
    pub interval: Duration,
    /// All that the scenario names, with their cost of a byte: shares of the capacity count them all.
    pub all: Vec<(EnginePlan, MapCost)>,
    /// Those asked for.
    pub chosen: Vec<EnginePlan>,
}

/// What every engine is resolved in.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub cluster: Option<&'a ClusterPlan>,
    pub compare: &'a str,
    pub context: &'a Context,
}

impl Engines {
    /// The job's window plus two checkpoints; what is off counts nothing.
    pub fn default_warmup(&self, job: &JobSpec) -> Duration {
        let window = job.params.get("window").and_then(|window| duration(window).ok()).unwrap_or_default();
        let checkpoint = |engine: &EnginePlan| match engine.options.get(CHECKPOINT) {
            Some(OptionValue::Duration(length)) => *length,
            _ => Duration::ZERO,
        };
        window + 2 * self.all.iter().map(|(engine, _)| checkpoint(engine)).max().unwrap_or_default()
    }
}

/// How many workers hold the input: as many as there are copies, or one beside a log.
pub(super) fn copies(engine: &EnginePlan) -> u64 {
    match engine.options.get(COPIES) {
        _ if engine.options.get(INPUT) == Some(&OptionValue::Choice("log".to_owned())) => 1,
        Some(OptionValue::Count(copies)) => *copies,
        _ => 1,
    }
}

/// Fills in the options and picks the engines asked for.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    written: &ScenarioWritten<'_, '_>,
    around: Around<'_>,
) -> Option<Engines> {
    let context = around.context;
    let engines = written.engines.as_ref()?;
    let interval = common_interval(reader, engines);
    let all: Vec<_> = engines.iter().map(|engine| resolve_engine(reader, engine, interval, around)).collect();
    let asked = |engine: &EnginePlan| {
        let labelled = engines.iter().any(|other| context.only.contains(&other.label.value));
        context.only.is_empty()
            || context.only.contains(&engine.label)
            || (!labelled && context.only.contains(&engine.engine))
    };
    refuse_unknown(reader, engines, context);
    let chosen = all.iter().map(|(engine, _)| engine).filter(|engine| asked(engine)).cloned().collect();
    Some(Engines { interval, all, chosen })
}

/// Refuses to be asked for an engine that the scenario does not name.
fn refuse_unknown(reader: &mut Reader<'_>, engines: &[EngineWritten<'_>], context: &Context) {
    // Whoever asks twice for it is told once.
    for name in context.only.iter().collect::<BTreeSet<_>>() {
        let known = engines.iter().any(|engine| engine.label.value == *name || engine.name.value == *name);
        if !known {
            let valid: Vec<&str> = engines.iter().map(|engine| engine.label.value.as_str()).collect();
            let at = engines.first().map_or(Spot::Node { source: 0, id: 0 }, |engine| engine.name.at);
            reader.wrong_name(at, &format!("`--engine {name}`: the scenario names no such engine"), name, &valid);
        }
    }
}

fn given<'w>(engine: &'w EngineWritten<'_>, option: &str) -> Option<&'w At<OptionValue>> {
    engine.options.iter().find(|(name, _)| name == option).map(|(_, value)| value)
}

/// The first interval that an engine says; others that differ are refused.
fn common_interval(reader: &mut Reader<'_>, engines: &[EngineWritten<'_>]) -> Duration {
    let mut common: Option<(Duration, &str)> = None;
    for engine in engines {
        let Some(At { value: OptionValue::Duration(interval), at }) = given(engine, INTERVAL) else { continue };
        match common {
            None => common = Some((*interval, &engine.label.value)),
            Some((first, label)) if first != *interval => {
                let (first, own) = (show_duration(first), show_duration(*interval));
                let message = format!("all engines share one interval: `{label}` says `{first}`, this one `{own}`");
                reader.wrong(*at, message);
            }
            Some(_) => {}
        }
    }
    common.map_or(DEFAULT_INTERVAL, |(interval, _)| interval)
}

fn resolve_engine(
    reader: &mut Reader<'_>,
    engine: &EngineWritten<'_>,
    interval: Duration,
    around: Around<'_>,
) -> (EnginePlan, MapCost) {
    let declared = engine.declaration.options.iter();
    let mut options: Options = declared.map(|option| (option.name.to_string(), option.default.clone())).collect();
    if let Some(own) = options.get_mut(INTERVAL) {
        *own = OptionValue::Duration(interval);
    }
    options.extend(engine.options.iter().map(|(name, value)| (name.clone(), value.value.clone())));
    if let Some(At { value: OptionValue::Duration(length), at }) = given(engine, CHECKPOINT) {
        refuse_fraction(reader, CHECKPOINT, *length, interval, *at);
    }
    let (workers, heirs) = lay_out(reader, engine, &options, around);
    if let (Some(OptionValue::Count(copies)), Some(_)) = (options.get(COPIES), around.cluster)
        && *copies > u64::from(workers) + heirs.len() as u64
    {
        let at = given(engine, COPIES).map_or(engine.name.at, |copies| copies.at);
        let heirs = if heirs.is_empty() { String::new() } else { format!(" and {} heirs", heirs.len()) };
        let message =
            format!("`{COPIES}` is {copies}; each is held by a worker of its own, and `workers` is {workers}{heirs}");
        reader.wrong(at, message);
    }
    let (name, label) = (engine.name.value.clone(), engine.label.value.clone());
    let EngineDeclaration { recovers_master, moves, .. } = *engine.declaration;
    let plan = EnginePlan { engine: name, label, options, workers, heirs, recovers_master, moves };
    (plan, engine.declaration.map_ns_per_byte.clone())
}

/// The engine's workers and the nodes beside them.
fn lay_out(
    reader: &mut Reader<'_>,
    engine: &EngineWritten<'_>,
    options: &Options,
    around: Around<'_>,
) -> (u32, Vec<NodeName>) {
    let Some(cluster) = around.cluster else { return (0, Vec::new()) };
    let heirs = |workers| (engine.declaration.heirs)(workers, options);
    fit(around.compare, cluster.workers, heirs).unwrap_or_else(|| {
        let (compare, label) = (around.compare, &engine.label.value);
        let (workers, least) = (cluster.workers, 1 + heirs(1).len());
        let message = format!(
            "`compare: {compare}` leaves `{label}` no worker: `cluster.workers` is {workers}, and one worker with its \
             heirs takes {least} nodes"
        );
        reader.wrong(engine.name.at, message);
        (1, heirs(1))
    })
}

/// Refuses a job that an engine asked for cannot run.
pub(super) fn refuse_jobs(
    reader: &mut Reader<'_>,
    written: &ScenarioWritten<'_, '_>,
    engines: &Engines,
    job: &JobSpec,
) {
    for (engine, (plan, _)) in written.engines.iter().flatten().zip(&engines.all) {
        let is_asked = engines.chosen.iter().any(|chosen| chosen.label == plan.label);
        let why = is_asked.then(|| (engine.declaration.refuses)(job, &plan.options)).flatten();
        if let Some(why) = why {
            reader.wrong(engine.name.at, format!("the engine `{}` cannot run this: {why}", plan.label));
        }
    }
}

fn refuse_fraction(reader: &mut Reader<'_>, what: &str, length: Duration, interval: Duration, at: Spot) {
    if !length.as_nanos().is_multiple_of(interval.as_nanos()) {
        let (length, interval) = (show_duration(length), show_duration(interval));
        reader.wrong(at, format!("`{what}` must be a whole multiple of the interval of `{interval}`, not `{length}`"));
    }
}

/// Refuses an interval, or one with its slack, that is longer than the run of length `run`: nothing would be sealed.
pub(super) fn refuse_too_long(
    reader: &mut Reader<'_>,
    written: &ScenarioWritten<'_, '_>,
    engines: &Engines,
    run: Duration,
) {
    let named = written.engines.iter().flatten();
    let (interval, lasts) = (show_duration(engines.interval), show_duration(run));
    if engines.interval > run {
        let own = named.clone().find_map(|engine| given(engine, INTERVAL)).map(|interval| interval.at);
        let Some(at) = own.or(written.duration.as_ref().map(|duration| duration.at)) else { return };
        let message = format!("the interval of `{interval}` is longer than the run: `{lasts}` with its warm-up");
        reader.wrong(at, message);
        return;
    }
    for (engine, (plan, _)) in named.zip(&engines.all) {
        let Some(OptionValue::Duration(slack)) = plan.options.get(SLACK) else { continue };
        if engines.interval.saturating_add(*slack) > run {
            let at = given(engine, SLACK).map_or(engine.name.at, |slack| slack.at);
            let (slack, most) = (show_duration(*slack), show_duration(run - engines.interval));
            let message = format!(
                "`{SLACK}` of `{slack}` and the interval of `{interval}` are longer than the run: `{lasts}` with its \
                 warm-up; at most `{most}`"
            );
            reader.wrong(at, message);
        }
    }
}
