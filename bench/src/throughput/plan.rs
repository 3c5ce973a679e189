//! What a probe runs: a scenario without faults, on real processes.
//!
//! Invariant: probes of one command differ in the rate alone.

use crate::command_line::ThroughputArgs;
use crate::failure::Failure;
use crate::load::{Overrides, load_text};
use crate::setup::Setup;
use crate::yardstick::Task;
use dstream_scenarios::plan::Plan;
use dstream_scenarios::unit;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A probe's measured part is so many intervals, unless the command says otherwise.
const INTERVALS: u32 = 20;

/// Fewer tell nothing of whether a backlog grows.
const LEAST_INTERVALS: u32 = 5;

/// Before the measured part: the window, and so many intervals in which connections and tables settle.
const SETTLING: u32 = 5;

/// What is measured, whatever the rate.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The job's name.
    pub job: String,
    /// Its parameters, as typed.
    pub params: Vec<(String, String)>,
    /// The file whose lines are sent.
    pub file: PathBuf,
    /// The length of an interval.
    pub interval: Duration,
    /// How long a probe lasts when the window is full.
    pub lasts: Duration,
    /// The job's window.
    pub window: Duration,
    /// Above this p99 a rate is not sustained.
    pub latency_bound: Duration,
    /// Nodes that work.
    pub workers: u32,
    /// Cores of each.
    pub cores: u32,
    /// Load generators.
    pub generators: u32,
    /// `PATH=VALUE` of the scenario.
    pub set: Vec<String>,
}

impl Probed {
    /// Reads the command line.
    pub fn read(args: &ThroughputArgs) -> Result<Probed, Failure> {
        let interval = duration("--interval", &args.interval)?;
        let params = args.params.iter().map(|word| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Failure::usage(format!("`{word}`: job parameters are key=value"))),
        });
        let params: Vec<(String, String)> = params.collect::<Result<_, _>>()?;
        let window = params.iter().find(|(key, _)| key == "window");
        let window = window.and_then(|(_, text)| unit::duration(text).ok()).unwrap_or(Duration::ZERO);
        let lasts = args.seconds.map_or(interval * INTERVALS, Duration::from_secs_f64);
        if lasts < interval * LEAST_INTERVALS {
            let least = (interval * LEAST_INTERVALS).as_secs_f64();
            return Err(Failure::usage(format!(
                "`--seconds {}`: at least {least}, for {LEAST_INTERVALS} intervals tell whether a backlog grows",
                lasts.as_secs_f64()
            )));
        }
        let bound = args.latency_bound.as_deref().map(|text| duration("--latency-bound", text)).transpose()?;
        Ok(Probed {
            job: args.job.clone(),
            params,
            file: source(&args.source)?,
            interval,
            lasts,
            window,
            latency_bound: bound.unwrap_or(interval * 2),
            workers: args.workers,
            cores: args.cores,
            generators: args.generators,
            set: args.set.clone(),
        })
    }

    /// The same for a single thread.
    pub fn task(&self) -> Task<'_> {
        let panes = (self.window.as_millis() / self.interval.as_millis().max(1)).max(1);
        let panes = usize::try_from(panes).unwrap_or(usize::MAX);
        Task { job: &self.job, params: &self.params, file: &self.file, panes, interval: self.interval }
    }

    /// The scenario for these engines at so many records a second.
    pub fn plan(&self, engines: &[String], rate: f64, setup: &Setup) -> Result<Plan, Failure> {
        let overrides = Overrides { set: self.set.clone(), ..Overrides::default() };
        load_text(Path::new("throughput.yaml"), &self.scenario(engines, rate), &overrides, setup)
    }

    fn scenario(&self, engines: &[String], rate: f64) -> String {
        let Probed { workers, cores, generators, .. } = self;
        let params: Vec<String> = self.params.iter().map(|(key, value)| format!("{key}: {}", quoted(value))).collect();
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        let engines: Vec<String> =
            engines.iter().map(|name| format!("  - {name}: {{ interval: {} }}\n", ms(self.interval))).collect();
        let warmup = (self.window + self.interval * SETTLING).as_millis().div_ceil(self.interval.as_millis().max(1));
        let warmup = self.interval * u32::try_from(warmup).unwrap_or(u32::MAX);
        // Nothing is modelled: what this machine's loopback and disk can do is part of what is measured.
        format!(
            "title: throughput {job}\nduration: {lasts}\nwarmup: {warmup}\ncluster:\n  workers: {workers}\n  cores: \
             {cores}\n  clients: {generators}\n  link: {{ latency: 1ms, bandwidth: 1000Gbit }}\n  store: {{ latency: \
             1ms, bandwidth: 1000Gbit }}\n  compute: real\nworkload:\n  job: {job}\n  params: {{ {params} }}\n  \
             source: {{ pool: {{ path: {path}, rate: {rate}/s }} }}\nengines:\n{engines}",
            job = self.job,
            lasts = ms(self.lasts),
            warmup = ms(warmup),
            params = params.join(", "),
            path = quoted(&self.file.to_string_lossy()),
            rate = rate.round(),
            engines = engines.concat(),
        )
    }
}

/// Any text as a YAML string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    unit::duration(text).map_err(|error| Failure::usage(format!("`{option} {text}`: {error}")))
}

/// The file of a source.
fn source(text: &str) -> Result<PathBuf, Failure> {
    match text.split_once(':') {
        Some(("tcp", file)) if !file.is_empty() => Ok(file.into()),
        Some(("pool", file)) if !file.is_empty() => Err(Failure::unbuilt("--source pool:FILE")),
        _ => Err(Failure::usage(format!(
            "`--source {text}`: valid are `tcp:FILE` (load generators send the file's lines again and again) and \
             `pool:FILE` (workers have them in memory)"
        ))),
    }
}
