//! What the user ordered: the words of the command line, read and checked.

use super::source::{Source, SourceWords};
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
pub const START_UP: Duration = Duration::from_millis(200);

/// How often a worker says that it lives. In one process only a stopped process is silent.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a worker may be silent: long enough for a laptop that swaps.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(30);

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
    cores: u32,
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
        Ok(Order { source, rate_per_s, params, interval, lasts, cores: cores(&args.master)? })
    }

    /// The cluster for the job: one worker with all cores, one client. `plan` is what other nodes need to know of the
    /// source: nothing, as the client is in this process.
    pub fn cluster(&self, job: JobSpec, source: &Source, plan: Vec<u8>) -> ClusterSpec {
        let origin = Moment::ZERO + START_UP;
        let rate_per_s = match source {
            Source::Planned(SourcePlan::Generate { rate_per_s, .. }, _) => Some(*rate_per_s),
            _ => self.rate_per_s,
        };
        let pace = match rate_per_s {
            Some(per_second) => Pace::Rate { per_second },
            None => Pace::Max { bytes_per_interval: BYTES_PER_INTERVAL },
        };
        // A live source ends itself, after what it has read by then.
        let lasts = self.lasts.filter(|_| !matches!(source, Source::Live(_)));
        ClusterSpec {
            workers: 1,
            cores: self.cores,
            clients: super::CLIENTS,
            partitions: 2 * self.cores,
            heartbeat: HEARTBEAT,
            failure_timeout: FAILURE_TIMEOUT,
            costs: NOT_MODELLED,
            scale: 1,
            seed: 0,
            job,
            source: plan,
            pace,
            interval: self.interval,
            origin,
            load_end: lasts.map_or(Moment::NEVER, |lasts| origin + lasts),
        }
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

fn cores(master: &str) -> Result<u32, Failure> {
    let number = master.strip_prefix("local[").and_then(|rest| rest.strip_suffix(']'));
    match number.map(str::parse::<u32>) {
        Some(Ok(cores)) if (1..=CORES_MAX).contains(&cores) => Ok(cores),
        None if master.contains(':') => Err(Failure::unbuilt(&format!("--master {master}"))),
        _ => Err(Failure::usage(format!("`--master {master}`: valid is `local[N]`, N from 1 to {CORES_MAX}"))),
    }
}

fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    unit::duration(text).map_err(|error| Failure::usage(format!("`{option} {text}`: {error}")))
}

fn rate(text: &str) -> Result<f64, Failure> {
    let rate = unit::per_second(text).map_err(|error| Failure::usage(format!("`rate={text}`: {error}")))?;
    if rate > 0.0 { Ok(rate) } else { Err(Failure::usage(format!("`rate={text}`: must be above 0"))) }
}
