//! The engine's options: declared as data, read into plain settings.

use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue, Options};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most copies of a record that may be asked for; a bound for typing errors, not for the protocol.
const MOST_COPIES: u64 = 16;

/// Where tasks and copies go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// To whoever is done with them first: by free cores and by how fast a worker has been.
    #[default]
    Load,
    /// To whoever has a free core, as if all were equally fast; copies in turn.
    Free,
    /// To the same ones always.
    Fixed,
}

/// Less memory than this holds no block of any job: everything would only pass through it.
const LEAST_MEMORY: u64 = 4096;

/// The options that have an effect, read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How many nodes must hold a record before it is acknowledged.
    pub copies: u32,
    /// How long an interval waits for late records.
    pub slack: Duration,
    /// How long a block gathers records.
    pub block: Duration,
    /// How often state is checkpointed, where there is any.
    pub checkpoint: Duration,
    /// An attempt that takes so many times as long as others of its stage gets a second one; `None`: none does.
    pub speculation: Option<f64>,
    /// How long a worker that was overtaken is avoided; `None`: not at all.
    pub avoid_slow: Option<Duration>,
    /// Masters that wait to be one.
    pub standby_masters: u32,
    /// A record is acknowledged when the log in the durable store holds it; else when `copies` nodes do.
    pub logs: bool,
    /// Clients are told how much they may send.
    pub backpressure: bool,
    /// Where tasks and copies go.
    pub placement: Placement,
    /// So many bytes of blocks, slices and panes a worker keeps in memory; `None`: all.
    pub memory: Option<u64>,
}

impl Settings {
    /// A checkpoint goes through every so many intervals: the least number that takes as long as was asked for.
    pub fn checkpoint_intervals(&self, interval: Duration) -> u64 {
        let intervals = self.checkpoint.as_nanos().div_ceil(interval.as_nanos().max(1));
        u64::try_from(intervals).unwrap_or(u64::MAX).max(1)
    }
}

impl Settings {
    /// Reads resolved options; what they do not say is as declared.
    pub fn from_options(options: &Options) -> Settings {
        let value = |name: &str| {
            let declared = || declared().into_iter().find(|option| option.name == name).map(|option| option.default);
            options.get(name).cloned().or_else(declared)
        };
        let duration = |name: &str| match value(name) {
            Some(OptionValue::Duration(duration)) => duration,
            _ => Duration::ZERO,
        };
        let count = |name: &str| match value(name) {
            Some(OptionValue::Count(count)) => u32::try_from(count).unwrap_or(u32::MAX),
            _ => 0,
        };
        let speculation = match value("speculation") {
            Some(OptionValue::Factor(factor)) => Some(factor),
            _ => None,
        };
        Settings {
            copies: count("copies").max(1),
            slack: duration("slack"),
            block: duration("block"),
            checkpoint: duration("checkpoint"),
            speculation,
            avoid_slow: Some(duration("avoid_slow")).filter(|long| !long.is_zero()),
            standby_masters: count("standby_masters"),
            memory: match value("memory") {
                Some(OptionValue::Size(bytes)) => Some(bytes),
                _ => None,
            },
            backpressure: value("backpressure") == Some(OptionValue::Choice("on".to_owned())),
            placement: match value("placement") {
                Some(OptionValue::Choice(word)) if word == "fixed" => Placement::Fixed,
                Some(OptionValue::Choice(word)) if word == "free" => Placement::Free,
                _ => Placement::Load,
            },
            logs: value("input") == Some(OptionValue::Choice("log".to_owned())),
        }
    }
}

/// The engine's options.
pub fn declared() -> Vec<OptionSpec> {
    let at_least = |millis| OptionKind::Duration { at_least: Duration::from_millis(millis) };
    let millis = |millis| OptionValue::Duration(Duration::from_millis(millis));
    let option = |name, about, kind, default, unbuilt| OptionSpec { name, about, kind, default, unbuilt };
    vec![
        option("interval", "length of an interval", at_least(10), millis(1000), Unbuilt::Nothing),
        option("checkpoint", "how often state is checkpointed", at_least(1), millis(10_000), Unbuilt::Nothing),
        option(
            "copies",
            "how many nodes hold a record before it is acknowledged",
            OptionKind::Count { at_least: 1, at_most: MOST_COPIES },
            OptionValue::Count(2),
            Unbuilt::Nothing,
        ),
        option("slack", "how long an interval waits for late records", at_least(0), millis(0), Unbuilt::Nothing),
        option("block", "how long a block of input gathers records", at_least(10), millis(200), Unbuilt::Nothing),
        option(
            "speculation",
            "an attempt slower than so many medians of its stage gets a second one beside it",
            OptionKind::OrOff(Box::new(OptionKind::Factor { at_least: 1.0 })),
            OptionValue::Factor(1.4),
            Unbuilt::Nothing,
        ),
        option(
            "avoid_slow",
            "how long a worker whose attempt was overtaken gets tasks only where no other has room",
            OptionKind::OrOff(Box::new(at_least(1))),
            OptionValue::Off,
            Unbuilt::Nothing,
        ),
        option(
            "recovery",
            "when lost partitions are computed again",
            OptionKind::Choice(&["eager", "lazy"]),
            OptionValue::Choice("eager".to_owned()),
            Unbuilt::AllBut(OptionValue::Choice("eager".to_owned())),
        ),
        option(
            "input",
            "where an acknowledged record is held: by `copies` nodes, or in a log in the durable store",
            OptionKind::Choice(&["memory", "log"]),
            OptionValue::Choice("memory".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "backpressure",
            "clients are told how much they may send, by how fast intervals were worked off; from the first one on",
            OptionKind::Choice(&["off", "on"]),
            OptionValue::Choice("off".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "memory",
            "how much of blocks, slices and panes a worker keeps in memory; the rest is on its disk",
            OptionKind::OrOff(Box::new(OptionKind::Size { at_least: LEAST_MEMORY })),
            OptionValue::Off,
            Unbuilt::Nothing,
        ),
        option(
            "placement",
            "where tasks and copies go: by load and speed of the workers, to whoever has a free core, or always to the same",
            OptionKind::Choice(&["load", "free", "fixed"]),
            OptionValue::Choice("load".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "standby_masters",
            "idle heirs of the master",
            OptionKind::Count { at_least: 0, at_most: 4 },
            OptionValue::Count(0),
            Unbuilt::Nothing,
        ),
    ]
}
