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

/// And in less time the system's books, which count hundredths, tell nothing of what was used.
const LEAST_SECONDS: Duration = Duration::from_secs(2);

/// Longer tells nothing new.
const MOST_SECONDS: f64 = 86_400.0;

/// What the command says itself: changed behind its back, it would tell what was not measured.
const OWN: [&str; 5] = ["workload", "duration", "warmup", "seed", "interval"];

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
    /// From one result to the next.
    pub slide: Duration,
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
        if interval.is_zero() || interval.subsec_nanos() % 1_000_000 != 0 {
            return Err(Failure::usage(format!("`--interval {}`: whole milliseconds, at least one", args.interval)));
        }
        for word in &args.set {
            let path = word.split_once('=').map_or(word.as_str(), |(path, _)| path);
            if path.split('.').any(|part| OWN.contains(&part)) {
                return Err(Failure::usage(format!("`--set {word}`: the command says that itself, see its options")));
            }
        }
        let params = args.params.iter().map(|word| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Failure::usage(format!("`{word}`: job parameters are key=value"))),
        });
        let params: Vec<(String, String)> = params.collect::<Result<_, _>>()?;
        let param = |name: &str| {
            let value = params.iter().find(|(key, _)| key == name);
            value.and_then(|(_, text)| unit::duration(text).ok()).unwrap_or(Duration::ZERO)
        };
        let (window, slide) = (param("window"), param("slide").max(interval));
        let lasts = lasts(args.seconds, slide)?;
        let bound = args.latency_bound.as_deref().map(|text| duration("--latency-bound", text)).transpose()?;
        Ok(Probed {
            job: args.job.clone(),
            params,
            file: source(&args.source)?,
            interval,
            lasts,
            window,
            latency_bound: bound.unwrap_or(interval + slide),
            slide,
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

    /// Whether a single thread is there that does the same: not for windows that never end, nor for results that come in
    /// some intervals only.
    pub fn has_yardstick(&self) -> bool {
        let is_endless = self.params.iter().any(|(key, value)| key == "window" && value == "all");
        !is_endless && self.slide == self.interval
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

/// How long a probe lasts: long enough for some results, one every `slide`.
fn lasts(asked_s: Option<f64>, slide: Duration) -> Result<Duration, Failure> {
    let least = (slide * LEAST_INTERVALS).max(LEAST_SECONDS);
    let Some(asked_s) = asked_s else { return Ok((slide * INTERVALS).max(least)) };
    let lasts = Some(asked_s).filter(|asked| *asked <= MOST_SECONDS).and_then(|s| Duration::try_from_secs_f64(s).ok());
    lasts.filter(|lasts| *lasts >= least).ok_or_else(|| {
        let least = least.as_secs_f64();
        Failure::usage(format!(
            "`--seconds {asked_s}`: {least} to {MOST_SECONDS}; in less, {LEAST_INTERVALS} results do not come out, and \
             fewer do not tell whether a backlog grows"
        ))
    })
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
