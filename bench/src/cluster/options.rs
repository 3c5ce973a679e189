//! The engine's options for a job that a user runs, in one process or on a cluster.
//!
//! Knows no socket. Invariant: what is not said suits any job: a record that is acknowledged on a cluster outlives all of
//! its processes.

use crate::failure::Failure;
use crate::job::{FAILURE_TIMEOUT, HEARTBEAT};
use dstream_cluster::{ClusterSpec, OptionKind, OptionSpec, OptionValue, Options};
use dstream_engine::AWAITS_WRITING;
use dstream_scenarios::unit::{self, show_bytes, show_duration};
use std::time::Duration;

/// Options that are no master's to set, each with the reason.
const NOT_HERE: [(&str, &str); 2] = [
    ("interval", "the job says it: `dstream job --interval`"),
    ("standby_masters", "a master by hand is started again instead, in the same words: the job goes on"),
];

/// What whoever starts a master says of the options of its jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    options: Options,
    heartbeat: Option<Duration>,
    failure_timeout: Option<Duration>,
}

impl Given {
    /// Reads `option=value` words against what the engine declares.
    pub fn read(words: &[String], declared: &[OptionSpec]) -> Result<Given, Failure> {
        let mut given = Given::default();
        for word in words {
            given.take(word, declared).map_err(|why| Failure::usage(format!("`--set {word}`: {why}")))?;
        }
        given.check_times().map_err(Failure::usage)?;
        Ok(given)
    }

    /// As in a scenario: who may be silent for less than it is by itself is given up for nothing.
    fn check_times(&self) -> Result<(), String> {
        let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT);
        let failure_timeout = self.failure_timeout.unwrap_or(FAILURE_TIMEOUT);
        if !heartbeat.is_zero() && failure_timeout > heartbeat {
            return Ok(());
        }
        Err(format!(
            "`failure_timeout` is {} and `heartbeat` {}: the one must be longer than the other, or every worker counts \
             as lost (`--set heartbeat=D`, `--set failure_timeout=D`)",
            show_duration(failure_timeout),
            show_duration(heartbeat)
        ))
    }

    fn take(&mut self, word: &str, declared: &[OptionSpec]) -> Result<(), String> {
        let (name, text) = word.split_once('=').ok_or("valid is OPTION=VALUE")?;
        if let Some((_, why)) = NOT_HERE.iter().find(|(other, _)| *other == name) {
            return Err((*why).to_string());
        }
        let time = || unit::duration(text).map_err(|error| error.to_string());
        match name {
            "heartbeat" => self.heartbeat = Some(time()?),
            "failure_timeout" => self.failure_timeout = Some(time()?),
            _ => {
                let names = || {
                    let all = declared.iter().map(|option| option.name).chain(["heartbeat", "failure_timeout"]);
                    all.filter(|name| NOT_HERE.iter().all(|(other, _)| other != name)).collect::<Vec<_>>().join(", ")
                };
                let option = declared.iter().find(|option| option.name == name);
                let option = option.ok_or_else(|| format!("`{name}` is unknown; valid are {}", names()))?;
                let value = value_of(&option.kind, text)?;
                self.options.insert(name.to_string(), value);
            }
        }
        Ok(())
    }

    /// The cluster, with what is said of it.
    pub fn cluster(&self, cluster: ClusterSpec) -> ClusterSpec {
        let heartbeat = self.heartbeat.unwrap_or(cluster.heartbeat);
        let failure_timeout = self.failure_timeout.unwrap_or(cluster.failure_timeout);
        ClusterSpec { heartbeat, failure_timeout, ..cluster }
    }

    /// The engine's options for a job on this cluster. Where nothing else is said, its store holds what is acknowledged,
    /// beside the workers.
    pub fn options(&self, cluster: &ClusterSpec) -> Options {
        let mut options = options_here(cluster);
        options.insert("input".to_string(), OptionValue::Choice("log".to_string()));
        options.insert(AWAITS_WRITING.to_string(), OptionValue::Off);
        options.extend(self.options.clone());
        options
    }
}

/// A value as a scenario file would say it.
fn value_of(kind: &OptionKind, text: &str) -> Result<OptionValue, String> {
    let at_least = |least: String| Err(format!("at least `{least}`"));
    match kind {
        OptionKind::OrOff(_) if text == "off" => Ok(OptionValue::Off),
        OptionKind::OrOff(kind) => value_of(kind, text).map_err(|why| format!("{why}; `off` is valid too")),
        OptionKind::Duration { at_least: least } => match unit::duration(text).map_err(|error| error.to_string())? {
            length if length < *least => at_least(show_duration(*least)),
            length => Ok(OptionValue::Duration(length)),
        },
        OptionKind::Size { at_least: least } => match unit::bytes(text).map_err(|error| error.to_string())? {
            size if size < *least => at_least(show_bytes(*least)),
            size => Ok(OptionValue::Size(size)),
        },
        OptionKind::Count { at_least, at_most } => match text.parse() {
            Ok(count) if (*at_least..=*at_most).contains(&count) => Ok(OptionValue::Count(count)),
            _ => Err(format!("valid is a whole number from {at_least} to {at_most}")),
        },
        OptionKind::Factor { at_least } => match text.parse::<f64>() {
            Ok(factor) if factor >= *at_least && factor.is_finite() => Ok(OptionValue::Factor(factor)),
            _ => Err(format!("valid is a number of at least {at_least}")),
        },
        OptionKind::Choice(words) if words.contains(&text) => Ok(OptionValue::Choice(text.to_string())),
        OptionKind::Choice(words) => Err(format!("valid are `{}`", words.join("`, `"))),
    }
}

/// A block gathers at most this much time of input, and at most a fifth of an interval.
const BLOCK_MAX: Duration = Duration::from_millis(200);
/// And never less than this.
const BLOCK_MIN: Duration = Duration::from_millis(10);

/// How often state is saved, at least.
const CHECKPOINT: Duration = Duration::from_secs(10);

/// Two copies; one where there is nobody to hold a second.
pub fn options_here(cluster: &ClusterSpec) -> Options {
    let block = (cluster.interval / 5).clamp(BLOCK_MIN, BLOCK_MAX);
    Options::from([
        ("interval".to_string(), OptionValue::Duration(cluster.interval)),
        ("block".to_string(), OptionValue::Duration(block)),
        ("checkpoint".to_string(), OptionValue::Duration(checkpoint(cluster.interval))),
        ("copies".to_string(), OptionValue::Count(u64::from(cluster.workers.min(2)))),
    ])
}

/// The fewest whole intervals that are not shorter than [`CHECKPOINT`].
fn checkpoint(interval: Duration) -> Duration {
    let intervals = CHECKPOINT.as_nanos().div_ceil(interval.as_nanos().max(1));
    interval * u32::try_from(intervals).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_cluster::Engine;

    #[track_caller]
    fn check(word: &str, expected: Result<(&str, OptionValue), &str>) {
        let declared = dstream_engine::DStreams::new().options();
        match (Given::read(&[word.to_string()], &declared), expected) {
            (Ok(given), Ok((name, value))) => assert_eq!(given.options, Options::from([(name.to_string(), value)])),
            (Err(failure), Err(part)) => assert!(failure.message.contains(part), "{failure}"),
            (seen, _) => panic!("{word}: {seen:?}"),
        }
    }

    #[test]
    fn options_are_read_as_in_a_scenario_and_refused_with_what_is_valid() {
        check("checkpoint=5s", Ok(("checkpoint", OptionValue::Duration(Duration::from_secs(5)))));
        check("copies=3", Ok(("copies", OptionValue::Count(3))));
        check("speculation=off", Ok(("speculation", OptionValue::Off)));
        check("speculation=2", Ok(("speculation", OptionValue::Factor(2.0))));
        check("memory=64MiB", Ok(("memory", OptionValue::Size(64 << 20))));
        check("input=replay", Ok(("input", OptionValue::Choice("replay".into()))));
        check("copies=0", Err("from 1 to 16"));
        check("speculation=0.5", Err("at least 1; `off` is valid too"));
        check("memory=1B", Err("at least `4KiB`"));
        check("block=1ms", Err("at least `10ms`"));
        check("input=paper", Err("valid are `memory`, `log`, `replay`"));
        check("copy=2", Err("`copy` is unknown; valid are checkpoint,"));
        check("copies", Err("valid is OPTION=VALUE"));
        check("interval=2s", Err("the job says it"));
        check("standby_masters=1", Err("is started again instead"));
        check("failure_timeout=500ms", Err("`failure_timeout` is 500ms and `heartbeat` 500ms: the one must be longer"));
        check("heartbeat=10s", Err("or every worker counts as lost"));
    }
}
