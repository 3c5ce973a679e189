//! Hot replication's options, and the protocol that follows from them.

use crate::continuous::engine::{Heirs, Protocol};
use crate::continuous::master::{Border, Heir, Redundancy};
use crate::continuous::node::Rules;
use crate::options::{Read, buffer, chunk, input, interval, standbys, straggler};
use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue, Options};
use std::time::Duration;

/// The options that have an effect, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Replicas take their input in one order, and readers hear one of them.
    pub is_synchronous: bool,
    /// Nodes that run each partition.
    pub replicas: u32,
    /// Idle nodes.
    pub standbys: u32,
    /// Represented records that are combined before the keyed operators.
    pub chunk: u64,
    /// How long output is gathered.
    pub buffer: Duration,
    /// A node that is so far behind counts as lost.
    pub straggler: Option<Duration>,
    /// A result that is so late is shown before all its input is there.
    pub tentative: Option<Duration>,
    /// Nodes that hold an acknowledged record.
    pub copies: u32,
}

impl Settings {
    /// Reads resolved options; what they do not say is as declared.
    pub fn from_options(options: &Options) -> Settings {
        let read = Read { options, declared: declared() };
        Settings {
            is_synchronous: read.choice("order") == "sync",
            replicas: u32::try_from(read.count("replicas")).unwrap_or(u32::MAX),
            standbys: u32::try_from(read.count("standbys")).unwrap_or(u32::MAX),
            chunk: read.count("chunk"),
            straggler: read.duration("straggler"),
            tentative: read.duration("tentative"),
            buffer: read.duration("buffer").unwrap_or_default(),
            copies: u32::try_from(read.count("copies")).unwrap_or(u32::MAX),
        }
    }

    /// Its nodes beside the workers.
    pub fn heirs(&self, workers: u32) -> Heirs {
        Heirs { replicas: workers * (self.replicas - 1), standbys: self.standbys }
    }

    /// The protocol in a cluster.
    pub fn protocol(&self, workers: u32) -> Protocol {
        Protocol {
            heirs: self.heirs(workers),
            rules: Rules {
                checkpoint_intervals: None,
                reads_all: !self.is_synchronous,
                is_ordered: self.is_synchronous,
                only_leader_hands_in: self.is_synchronous,
                is_single: self.chunk <= 1,
                buffer: self.buffer,
                replays: false,
                tentative: self.tentative,
            },
            redundancy: Redundancy {
                workers,
                hosts: self.replicas,
                copies: self.copies,
                standbys: self.standbys,
                heir: Heir::IdleElseMany,
                border: Border::Closed,
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
            name: "replicas",
            about: "how many nodes run each partition; 1: no replication, to see what it costs",
            kind: OptionKind::Count { at_least: 1, at_most: 2 },
            default: OptionValue::Count(2),
            unbuilt: Unbuilt::Nothing,
        },
        standbys(),
        OptionSpec {
            name: "order",
            about: "replicas take input in one order and readers hear one of them; or readers take what comes first",
            kind: OptionKind::Choice(&["sync", "first-wins"]),
            default: OptionValue::Choice("sync".to_owned()),
            unbuilt: Unbuilt::Nothing,
        },
        chunk(),
        buffer(),
        straggler(),
        OptionSpec {
            name: "tentative",
            about: "a result so late is shown on what input there is, and follows when all is there; off: it waits",
            kind: OptionKind::OrOff(Box::new(OptionKind::Duration { at_least: Duration::from_millis(10) })),
            default: OptionValue::Off,
            unbuilt: Unbuilt::Nothing,
        },
        OptionSpec {
            name: "copies",
            about: "how many nodes hold a record before it is acknowledged: the replicas do",
            kind: OptionKind::Count { at_least: 1, at_most: 2 },
            default: OptionValue::Count(2),
            unbuilt: Unbuilt::Nothing,
        },
        input(),
    ]
}

#[cfg(test)]
mod tests;
