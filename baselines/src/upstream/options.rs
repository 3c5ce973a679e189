//! Upstream backup's options, and the protocol that follows from them.

use crate::continuous::engine::{Heirs, Protocol, intervals};
use crate::continuous::master::{Border, Heir, Redundancy};
use crate::continuous::node::Rules;
use crate::options::{Read, buffer, chunk, copies, input, interval, standbys, straggler};
use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue, Options};
use std::time::Duration;

/// The options that have an effect, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often state is saved; `None`: never, heirs replay.
    pub checkpoint: Option<Duration>,
    /// Idle nodes.
    pub standbys: u32,
    /// A lost node's partitions go to many.
    pub is_parallel: bool,
    /// Represented records that are combined before the keyed operators.
    pub chunk: u64,
    /// How long output is gathered.
    pub buffer: Duration,
    /// A node that is so far behind counts as lost.
    pub straggler: Option<Duration>,
    /// Nodes that hold an acknowledged record.
    pub copies: u32,
}

impl Settings {
    /// Reads resolved options; what they do not say is as declared.
    pub fn from_options(options: &Options) -> Settings {
        let read = Read { options, declared: declared() };
        Settings {
            checkpoint: read.duration("checkpoint"),
            standbys: u32::try_from(read.count("standbys")).unwrap_or(u32::MAX),
            is_parallel: read.choice("restore") == "parallel",
            chunk: read.count("chunk"),
            straggler: read.duration("straggler"),
            buffer: read.duration("buffer").unwrap_or_default(),
            copies: u32::try_from(read.count("copies")).unwrap_or(u32::MAX),
        }
    }

    /// Its nodes beside the workers.
    pub fn heirs(&self) -> Heirs {
        Heirs { replicas: 0, standbys: self.standbys }
    }

    /// The protocol in a cluster.
    pub fn protocol(&self, workers: u32, interval: Duration) -> Protocol {
        let checkpoint_intervals = self.checkpoint.map(|checkpoint| intervals(checkpoint, interval));
        let saved = checkpoint_intervals.map(|every| Border::Saved { every });
        let border = saved.unwrap_or(Border::Replayed { reach: None });
        Protocol {
            heirs: self.heirs(),
            rules: Rules {
                checkpoint_intervals,
                reads_all: false,
                is_ordered: false,
                only_leader_hands_in: false,
                is_single: self.chunk <= 1,
                buffer: self.buffer,
                tentative: None,
                replays: checkpoint_intervals.is_none(),
            },
            redundancy: Redundancy {
                workers,
                hosts: 1,
                copies: self.copies,
                standbys: self.standbys,
                heir: if self.is_parallel { Heir::Many } else { Heir::One },
                border,
            },
            chunk: self.chunk,
            straggler: self.straggler,
        }
    }
}

/// The engine's options.
pub fn declared() -> Vec<OptionSpec> {
    vec![
        interval(),
        OptionSpec {
            name: "checkpoint",
            about: "how often state is saved; off: never, heirs replay all input that results depend on",
            kind: OptionKind::OrOff(Box::new(OptionKind::Duration { at_least: Duration::from_millis(1) })),
            default: OptionValue::Duration(Duration::from_secs(10)),
            unbuilt: Unbuilt::Nothing,
        },
        standbys(),
        OptionSpec {
            name: "restore",
            about: "a lost node's partitions go to one heir, or to many nodes at once",
            kind: OptionKind::Choice(&["serial", "parallel"]),
            default: OptionValue::Choice("serial".to_owned()),
            unbuilt: Unbuilt::Nothing,
        },
        chunk(),
        buffer(),
        straggler(),
        copies(),
        input(),
    ]
}

#[cfg(test)]
mod tests;
