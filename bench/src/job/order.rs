//! What the user ordered: the words of the command line, read and checked.

use super::source::{Source, SourceWords};
use crate::cluster::JobOrder;
use crate::command_line::JobArgs;
use crate::failure::Failure;
use dstream_cluster::{ClusterSpec, Costs, JobSpec, Pace};
use dstream_scenarios::plan::SourcePlan;
use dstream_scenarios::unit;
use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much a source without a rate gives, an interval. The contract's number.
const BYTES_PER_INTERVAL: u64 = 64 << 20;

/// Interval 0 begins so long after the nodes start: in one process they meet in less.
const START_UP: Duration = Duration::from_millis(200);

/// The same on a cluster: every pair of processes says hello twice.
const START_UP_ON_CLUSTER: Duration = Duration::from_secs(1);

/// How often a worker says that it lives, and how long it may be silent. A process that ends is known at once by its
/// connections; this is for machines and networks that fail.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// See [`HEARTBEAT`].
pub const FAILURE_TIMEOUT: Duration = Duration::from_secs(5);

/// In one process only a stopped process is silent.
const HEARTBEAT_HERE: Duration = Duration::from_millis(500);
/// Long enough for a laptop that swaps.
const FAILURE_TIMEOUT_HERE: Duration = Duration::from_secs(30);

/// The shortest interval: below it a job does nothing but begin and end intervals.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The most cores that `local[N]` takes: each is a thread.
const CORES_MAX: u32 = 1024;

/// The words of the command line.
#[derive(Debug)]
pub struct Order {
    /// Where the lines come from.
    pub source: SourceWords,
    /// Lines a second, where they are not read as fast as they are processed.
    pub rate_per_s: Option<f64>,
    /// The job's own parameters.
    pub params: BTreeMap<String, String>,
    /// Length of an interval.
    pub interval: Duration,
    /// The input ends after this time.
    pub lasts: Option<Duration>,
    /// Where it runs.
    pub place: Place,
    /// It begins, whatever a cluster's store has.
    pub fresh: bool,
}

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process, with so many cores.
    Here(u32),
    /// On the cluster whose master is there.
    Cluster(String),
}

impl Place {
    /// How long after the nodes start interval 0 begins.
    pub fn start_up(&self) -> Duration {
        match self {
            Place::Here(_) => START_UP,
            Place::Cluster(_) => START_UP_ON_CLUSTER,
        }
    }
}

impl Order {
    /// Reads the command line.
    pub fn read(args: &JobArgs) -> Result<Order, Failure> {
        if args.batch {
            return Err(Failure::unbuilt("--batch"));
        }
        let mut params = params(&args.params)?;
        let rate_per_s = params.remove("rate").map(|rate| self::rate(&rate)).transpose()?;
        let source = SourceWords::read(&args.source, rate_per_s)?;
        let interval = duration("--interval", &args.interval)?;
        if interval < INTERVAL_MIN {
            return Err(Failure::usage(format!("`--interval {}`: at least 10ms", args.interval)));
        }
        let lasts = args.lasts.as_deref().map(|text| duration("--for", text)).transpose()?;
        let (place, fresh) = (place(&args.master)?, args.fresh);
        if fresh && matches!(place, Place::Here(_)) {
            return Err(Failure::usage(
                "`--fresh`: a job in this process keeps nothing to give up; it is for `--master`",
            ));
        }
        Ok(Order { source, rate_per_s, params, interval, lasts, place, fresh })
    }

    /// What the job brings to a cluster. `plan` is what other processes would need to know of the source.
    pub fn brought(&self, job: JobSpec, source: &Source, plan: Vec<u8>) -> JobOrder {
        let rate_per_s = match source {
            Source::Planned(SourcePlan::Generate { rate_per_s, .. }, _) => Some(*rate_per_s),
            _ => self.rate_per_s,
        };
        let pace = match rate_per_s {
            Some(per_second) => Pace::AtMost { per_second, bytes_per_interval: BYTES_PER_INTERVAL },
            None => Pace::Max { bytes_per_interval: BYTES_PER_INTERVAL },
        };
        // A live source ends itself, after what it has read by then.
        let lasts = self.lasts.filter(|_| !matches!(source, Source::Live(_)));
        JobOrder { job, source: plan, pace, interval: self.interval, lasts, fresh: self.fresh }
    }
}

/// The cluster for a job in one process: one worker with all cores.
pub fn lay_out_here(order: &JobOrder, cores: u32) -> ClusterSpec {
    let base = lay_out(order, 1, cores, START_UP);
    ClusterSpec { heartbeat: HEARTBEAT_HERE, failure_timeout: FAILURE_TIMEOUT_HERE, ..base }
}

/// The cluster for a job on these workers. `seed` tells one run of the same job from another.
pub fn lay_out_on_cluster(order: &JobOrder, workers: u32, cores: u32, seed: u64) -> ClusterSpec {
    ClusterSpec { seed, ..lay_out(order, workers, cores, START_UP_ON_CLUSTER) }
}

fn lay_out(order: &JobOrder, workers: u32, cores: u32, start_up: Duration) -> ClusterSpec {
    let origin = Moment::ZERO + start_up;
    ClusterSpec {
        workers,
        cores,
        clients: super::CLIENTS,
        partitions: 2 * workers * cores,
        heartbeat: HEARTBEAT,
        failure_timeout: FAILURE_TIMEOUT,
        costs: NOT_MODELLED,
        scale: 1,
        seed: 0,
        job: order.job.clone(),
        source: order.source.clone(),
        pace: order.pace,
        interval: order.interval,
        origin,
        load_end: order.lasts.map_or(Moment::NEVER, |lasts| origin + lasts),
    }
}

/// Real cores take the time they take.
const NOT_MODELLED: Costs = Costs {
    map_ns_per_byte: 0.0,
    single_record_factor: 1.0,
    merge_ns_per_row: 0.0,
    codec_ns_per_byte: 0.0,
    task_ns: 0.0,
    master_task_ns: 0.0,
    message_ns: 0.0,
    checkpoint_ns_per_byte: 0.0,
};

fn params(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut params = BTreeMap::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(Failure::usage(format!("`{word}`: job parameters are key=value")));
        };
        if params.insert(key.to_string(), value.to_string()).is_some() {
            return Err(Failure::usage(format!("`{key}` is given twice")));
        }
    }
    Ok(params)
}

fn place(master: &str) -> Result<Place, Failure> {
    let number = master.strip_prefix("local[").and_then(|rest| rest.strip_suffix(']'));
    match (number.map(str::parse::<u32>), master.rsplit_once(':')) {
        (Some(Ok(cores)), _) if (1..=CORES_MAX).contains(&cores) => Ok(Place::Here(cores)),
        (None, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(Place::Cluster(master.to_string()))
        }
        _ => {
            let valid = format!("`local[N]`, N from 1 to {CORES_MAX}, and `HOST:PORT` of a master");
            Err(Failure::usage(format!("`--master {master}`: valid are {valid}")))
        }
    }
}

fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    unit::duration(text).map_err(|error| Failure::usage(format!("`{option} {text}`: {error}")))
}

fn rate(text: &str) -> Result<f64, Failure> {
    let rate = unit::per_second(text).map_err(|error| Failure::usage(format!("`rate={text}`: {error}")))?;
    if rate > 0.0 { Ok(rate) } else { Err(Failure::usage(format!("`rate={text}`: must be above 0"))) }
}
