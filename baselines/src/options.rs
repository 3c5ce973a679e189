//! Options that both continuous engines declare, and how options are read.

use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue, Options};
use std::time::Duration;

/// The most copies of a record that may be asked for; a bound for typing errors, not for the protocol.
const MOST_COPIES: u64 = 16;

/// The most records in a chunk; more would only wait for each other.
const MOST_CHUNK: u64 = 1 << 20;

/// Resolved options beside their declarations.
pub(crate) struct Read<'o> {
    /// What was resolved.
    pub options: &'o Options,
    /// What holds where nothing was.
    pub declared: Vec<OptionSpec>,
}

impl Read<'_> {
    fn value(&self, name: &str) -> Option<OptionValue> {
        let declared = || self.declared.iter().find(|option| option.name == name).map(|option| option.default.clone());
        self.options.get(name).cloned().or_else(declared)
    }

    /// A duration; `None` where it is off.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.value(name) {
            Some(OptionValue::Duration(duration)) => Some(duration),
            _ => None,
        }
    }

    /// A count; 0 where it is off.
    pub fn count(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(OptionValue::Count(count)) => count,
            _ => 0,
        }
    }

    /// A word; empty where it is off.
    pub fn choice(&self, name: &str) -> String {
        match self.value(name) {
            Some(OptionValue::Choice(word)) => word,
            _ => String::new(),
        }
    }
}

/// Why output cannot be gathered for so long, if it cannot: nothing waits behind the end of an interval.
pub(crate) fn refuse_buffer(options: &Options, declared: Vec<OptionSpec>) -> Option<String> {
    let read = Read { options, declared };
    let (buffer, interval) = (read.duration("buffer")?, read.duration("interval")?);
    (buffer > interval).then(|| {
        format!(
            "`buffer` is {buffer:?} and an interval {interval:?}, whose end sends everything; \
             make the buffer no longer than the interval"
        )
    })
}

/// `interval`.
pub(crate) fn interval() -> OptionSpec {
    OptionSpec {
        name: "interval",
        about: "length of an interval: a punctuation closes it",
        kind: OptionKind::Duration { at_least: Duration::from_millis(10) },
        default: OptionValue::Duration(Duration::from_secs(1)),
        unbuilt: Unbuilt::Nothing,
    }
}

/// `standbys`.
pub(crate) fn standbys() -> OptionSpec {
    OptionSpec {
        name: "standbys",
        about: "idle nodes that take over what lost ones ran",
        kind: OptionKind::Count { at_least: 0, at_most: 64 },
        default: OptionValue::Count(1),
        unbuilt: Unbuilt::Nothing,
    }
}

/// `chunk`.
pub(crate) fn chunk() -> OptionSpec {
    OptionSpec {
        name: "chunk",
        about: "records that are mapped together and combined before they are sent; 1: each alone",
        kind: OptionKind::Count { at_least: 1, at_most: MOST_CHUNK },
        default: OptionValue::Count(1),
        unbuilt: Unbuilt::Nothing,
    }
}

/// `buffer`.
pub(crate) fn buffer() -> OptionSpec {
    OptionSpec {
        name: "buffer",
        about: "how long clients and operators gather output before they send it",
        kind: OptionKind::Duration { at_least: Duration::from_millis(1) },
        default: OptionValue::Duration(Duration::from_millis(10)),
        unbuilt: Unbuilt::Nothing,
    }
}

/// `straggler`.
pub(crate) fn straggler() -> OptionSpec {
    OptionSpec {
        name: "straggler",
        about: "a node that is so far behind the foremost, for as long and at least a failure timeout, is declared \
                lost, where nothing is gone with it; off: it is waited for",
        kind: OptionKind::OrOff(Box::new(OptionKind::Duration { at_least: Duration::from_millis(10) })),
        default: OptionValue::Off,
        unbuilt: Unbuilt::Nothing,
    }
}

/// `copies`.
pub(crate) fn copies() -> OptionSpec {
    OptionSpec {
        name: "copies",
        about: "how many nodes hold a record before it is acknowledged",
        kind: OptionKind::Count { at_least: 1, at_most: MOST_COPIES },
        default: OptionValue::Count(2),
        unbuilt: Unbuilt::Nothing,
    }
}

/// `input`.
pub(crate) fn input() -> OptionSpec {
    OptionSpec {
        name: "input",
        about: "where an acknowledged record is held",
        kind: OptionKind::Choice(&["memory", "log"]),
        default: OptionValue::Choice("memory".to_owned()),
        unbuilt: Unbuilt::AllBut(OptionValue::Choice("memory".to_owned())),
    }
}
