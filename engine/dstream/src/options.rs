//! The engine's options: declared as data, read into plain settings.

use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue, Options};
use dstream_kernel::Query;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::time::Duration;

/// The most copies of a record that may be asked for; a bound for typing errors, not for the protocol.
const MOST_COPIES: u64 = 16;

/// The most workers that may wait; a bound for typing errors, as well.
const MOST_SPARES: u64 = 1024;

/// Where tasks and copies go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// To whoever is done with them first: by free cores and by how fast a worker has been.
    Load,
    /// To whoever has a free core, as if all were equally fast; copies in turn.
    #[default]
    Free,
    /// To the same ones always.
    Fixed,
}

/// What holds a record that is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// As many nodes as promised.
    #[default]
    Memory,
    /// The log in the durable store.
    Log,
    /// Its client, which can be asked for it again by what the journal says: in which block of which interval it is.
    Replay,
}

/// When lost partitions are computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recovery {
    /// At once: all that somebody may still need.
    #[default]
    Eager,
    /// When a task that is due, or a checkpoint, reads them.
    Lazy,
}

/// Less memory than this holds no block of any job: everything would only pass through it.
const LEAST_MEMORY: u64 = 4096;

/// The options that have an effect, read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How many nodes must hold a record before it is acknowledged; 1 where clients keep it.
    pub copies: u32,
    /// How long an interval waits for late records.
    pub slack: Duration,
    /// How long a block gathers records.
    pub block: Duration,
    /// How often state is checkpointed, where there is any; where it is in place, in how long all of it is written once.
    pub checkpoint: Duration,
    /// State without an end is held in place, as far as operators can.
    pub in_place: bool,
    /// An attempt that takes so many times as long as others of its stage gets a second one; `None`: none does.
    pub speculation: Option<f64>,
    /// How long a worker that was overtaken is avoided; `None`: not at all.
    pub avoid_slow: Option<Duration>,
    /// Masters that wait to be one.
    pub standby_masters: u32,
    /// What holds a record that is acknowledged.
    pub input: Input,
    /// Clients are told how much they may send.
    pub backpressure: bool,
    /// Where tasks and copies go.
    pub placement: Placement,
    /// When lost partitions are computed again.
    pub recovery: Recovery,
    /// So many intervals are worked on at once; `None`: all that are sealed.
    pub overlap: Option<u64>,
    /// So many of the workers wait until the work needs them.
    pub spares: u32,
    /// So many bytes of blocks, slices, panes and tables of states a worker keeps in memory; `None`: all.
    pub memory: Option<u64>,
    /// Nothing of an interval is forgotten before its results are where they outlive the sink. Of a cluster whose sink may
    /// die, and no option of the engine's: a harness's sink does not.
    pub awaits_writing: bool,
}

/// What says so to [`Settings::awaits_writing`].
pub const AWAITS_WRITING: &str = "results outlive the sink";

/// The most parts in which a state in place is written: with more of them, what each interval reads of earlier ones, which
/// is a pane of each, would be a long list of short ones.
const MOST_SEGMENTS: NonZeroU64 = NonZeroU64::new(64).expect("64 is not zero");

/// The most intervals that `overlap` counts: with more of them nobody waits for another one but where its data does.
const MOST_OVERLAPPING: u64 = 64;

/// The most checkpoints over which a state in place is spread: each is an object for every partition, and a line in every
/// snapshot of the journal.
const MOST_CHECKPOINTS: u64 = 16;

impl Settings {
    /// The least number of intervals that takes as long as was asked for between two checkpoints.
    fn intervals(&self, interval: Duration) -> NonZeroU64 {
        let intervals = self.checkpoint.as_nanos().div_ceil(interval.as_nanos().max(1));
        NonZeroU64::new(u64::try_from(intervals).unwrap_or(u64::MAX)).unwrap_or(NonZeroU64::MIN)
    }

    fn segments(&self, interval: Duration) -> NonZeroU64 {
        self.intervals(interval).min(MOST_SEGMENTS)
    }

    /// How long a record waits for its acknowledgement where nothing is in the way: until its block is cut or, where the
    /// journal must say what is in its interval, until that is over.
    pub fn until_acknowledged(&self, interval: Duration) -> Duration {
        match self.input {
            Input::Memory | Input::Log => self.block,
            Input::Replay => interval + self.slack,
        }
    }

    /// The program as every node of the cluster runs it.
    pub fn query(&self, query: Query, interval: Duration) -> Query {
        if self.in_place { query.in_place(self.segments(interval)) } else { query }
    }

    /// A checkpoint goes through every so many intervals. Where what is kept comes in parts that are each written once,
    /// few wait for one.
    pub fn checkpoint_intervals(&self, query: &Query, interval: Duration) -> u64 {
        match query.keeps_in_parts() {
            true => self.segments(interval).get().div_ceil(MOST_CHECKPOINTS),
            false => self.intervals(interval).get(),
        }
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
        let input = match value("input") {
            Some(OptionValue::Choice(word)) if word == "log" => Input::Log,
            Some(OptionValue::Choice(word)) if word == "replay" => Input::Replay,
            _ => Input::Memory,
        };
        Settings {
            copies: if input == Input::Replay { 1 } else { count("copies").max(1) },
            slack: duration("slack"),
            block: duration("block"),
            checkpoint: duration("checkpoint"),
            in_place: value("state") == Some(OptionValue::Choice("in-place".to_owned())),
            speculation,
            avoid_slow: Some(duration("avoid_slow")).filter(|long| !long.is_zero()),
            standby_masters: count("standby_masters"),
            spares: count("spares"),
            memory: match value("memory") {
                Some(OptionValue::Size(bytes)) => Some(bytes),
                _ => None,
            },
            awaits_writing: options.contains_key(AWAITS_WRITING),
            backpressure: value("backpressure") == Some(OptionValue::Choice("on".to_owned())),
            placement: match value("placement") {
                Some(OptionValue::Choice(word)) if word == "fixed" => Placement::Fixed,
                Some(OptionValue::Choice(word)) if word == "load" => Placement::Load,
                _ => Placement::Free,
            },
            input,
            recovery: match value("recovery") {
                Some(OptionValue::Choice(word)) if word == "lazy" => Recovery::Lazy,
                _ => Recovery::Eager,
            },
            overlap: match value("overlap") {
                Some(OptionValue::Count(intervals)) => Some(intervals.max(1)),
                _ => None,
            },
        }
    }
}

/// The engine's options.
pub fn declared() -> Vec<OptionSpec> {
    [intervals_and_input(), when_tasks_run(), how_much_is_held(), who_computes()].concat()
}

fn at_least(millis: u64) -> OptionKind {
    OptionKind::Duration { at_least: Duration::from_millis(millis) }
}

fn millis(millis: u64) -> OptionValue {
    OptionValue::Duration(Duration::from_millis(millis))
}

fn option(
    name: &'static str,
    about: &'static str,
    kind: OptionKind,
    default: OptionValue,
    unbuilt: Unbuilt,
) -> OptionSpec {
    OptionSpec { name, about, kind, default, unbuilt }
}

/// How long an interval is, what it leaves, and how long records wait for it.
fn intervals_and_input() -> Vec<OptionSpec> {
    vec![
        option("interval", "length of an interval", at_least(10), millis(1000), Unbuilt::Nothing),
        option("checkpoint", "how often state is checkpointed", at_least(1), millis(10_000), Unbuilt::Nothing),
        option(
            "state",
            "state without an end: written whole by each interval, or changed in place and written in segments",
            OptionKind::Choice(&["whole", "in-place"]),
            OptionValue::Choice("whole".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "copies",
            "how many nodes hold a record before it is acknowledged",
            OptionKind::Count { at_least: 1, at_most: MOST_COPIES },
            OptionValue::Count(2),
            Unbuilt::Nothing,
        ),
        option("slack", "how long an interval waits for late records", at_least(0), millis(0), Unbuilt::Nothing),
        option("block", "how long a block of input gathers records", at_least(10), millis(200), Unbuilt::Nothing),
    ]
}

/// What is computed twice, again, or at once.
fn when_tasks_run() -> Vec<OptionSpec> {
    vec![
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
            "when lost partitions are computed again: at once, or when a task that is due or a checkpoint reads them",
            OptionKind::Choice(&["eager", "lazy"]),
            OptionValue::Choice("eager".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "overlap",
            "how many intervals are worked on at once: the next one begins when one of them is done; off: no limit",
            OptionKind::OrOff(Box::new(OptionKind::Count { at_least: 1, at_most: MOST_OVERLAPPING })),
            OptionValue::Off,
            Unbuilt::Nothing,
        ),
    ]
}

/// Where things are held, and how much comes.
fn how_much_is_held() -> Vec<OptionSpec> {
    vec![
        option(
            "input",
            "what holds an acknowledged record: `copies` nodes, a log in the durable store, or its client, to send it \
             again (one node holds it beside, whatever `copies` says)",
            OptionKind::Choice(&["memory", "log", "replay"]),
            OptionValue::Choice("memory".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "backpressure",
            "clients are told how much they may send, by what records cost and what waits; from the first interval on",
            OptionKind::Choice(&["off", "on"]),
            OptionValue::Choice("off".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "memory",
            "how much of blocks, slices, panes and tables of states a worker keeps in memory; the rest is on its disk",
            OptionKind::OrOff(Box::new(OptionKind::Size { at_least: LEAST_MEMORY })),
            OptionValue::Off,
            Unbuilt::Nothing,
        ),
    ]
}

/// Who computes, and where.
fn who_computes() -> Vec<OptionSpec> {
    vec![
        option(
            "placement",
            "where tasks and copies go: to free cores, by load and speed of the workers, or always to the same",
            OptionKind::Choice(&["free", "load", "fixed"]),
            OptionValue::Choice("free".to_owned()),
            Unbuilt::Nothing,
        ),
        option(
            "spares",
            "so many of the workers wait until the work needs them, and again when it does not",
            OptionKind::Count { at_least: 0, at_most: MOST_SPARES },
            OptionValue::Count(0),
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

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_kernel::{DStream, QueryBuilder};

    type Pairs = DStream<(String, u64)>;

    fn query(write: fn(Pairs) -> Pairs) -> Query {
        let builder = QueryBuilder::new();
        write(builder.lines().map::<(String, u64)>(|line| (line, 1))).output("o");
        builder.build().unwrap()
    }

    fn settings(state: &str, checkpoint_s: u64) -> Settings {
        let checkpoint = OptionValue::Duration(Duration::from_secs(checkpoint_s));
        let state = OptionValue::Choice(state.to_owned());
        Settings::from_options(&[("state".to_owned(), state), ("checkpoint".to_owned(), checkpoint)].into())
    }

    #[test]
    fn a_state_in_place_is_written_once_in_the_time_of_a_checkpoint_and_checkpoints_go_through_each_interval() {
        let state = || query(|ones| ones.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN));
        let window =
            || query(|ones| ones.reduce_by_key_and_window(|a, b| a + b, dstream_kernel::Window::of(3).unwrap()));
        let second = Duration::from_secs(1);
        // state, checkpoint in seconds; how far back panes are read; intervals between checkpoints
        let cases: [(&str, Query, u64, u64, u64); 6] = [
            ("whole", state(), 10, 1, 10),
            ("in-place", state(), 10, 10, 1),
            ("in-place", state(), 1, 1, 1),
            ("in-place", state(), 30, 30, 2),
            ("in-place", state(), 500, 64, 4),
            ("in-place", window(), 10, 2, 10),
        ];
        for (word, query, checkpoint_s, back, every) in cases {
            let settings = settings(word, checkpoint_s);
            let query = settings.query(query, second);
            let farthest = query.stages.iter().flat_map(|stage| &stage.kept).map(|kept| *kept.back.end()).max();
            let seen = (farthest, settings.checkpoint_intervals(&query, second));
            assert_eq!(seen, (Some(back), every), "{word} {checkpoint_s} s");
        }
    }
}
