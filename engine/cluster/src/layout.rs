//! Names and connections of a cluster: who there is, in which order they start, who talks to whom.
//!
//! Knows no engine's protocol. Invariant: every node computes the same list, so every pair agrees on who dials.

use crate::spec::ClusterSpec;
use dstream_host::peer::PeerConfig;
use dstream_trace::NodeName;
use std::time::Duration;

/// Longest payload between peers: a block of input (8 MiB and a batch) or an answer with slices (8 MiB and a partition),
/// with room for one very large partition.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// Most bytes that wait for one peer: several of the longest frames.
const MAX_QUEUED_BYTES: usize = 256 << 20;

/// What a node does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Makes results visible; belongs to the harness.
    Sink,
    /// Decides.
    Master,
    /// Works.
    Worker(u32),
    /// Is idle until it inherits the work of a lost node.
    Standby(u32),
    /// Does the work of the worker of this number once more.
    Replica(u32),
    /// Sends records.
    Client(u32),
}

impl Role {
    /// The node's name.
    pub fn name(self) -> NodeName {
        match self {
            Role::Sink => NodeName::new("sink"),
            Role::Master => NodeName::new("master"),
            Role::Worker(number) => NodeName::worker(number),
            Role::Standby(number) => NodeName::new(format!("standby-{number}")),
            Role::Replica(number) => NodeName::new(format!("replica-{number}")),
            Role::Client(number) => NodeName::client(number),
        }
    }

    /// The role of a node of that name; nothing if it is no node of a cluster.
    pub fn of(name: &NodeName) -> Option<Role> {
        match name.as_str() {
            "sink" => Some(Role::Sink),
            "master" => Some(Role::Master),
            other => match other.rsplit_once('-')? {
                ("worker", number) => number.parse().ok().map(Role::Worker),
                ("standby", number) => number.parse().ok().map(Role::Standby),
                ("replica", number) => number.parse().ok().map(Role::Replica),
                ("client", number) => number.parse().ok().map(Role::Client),
                _ => None,
            },
        }
    }

    fn talks_to(self, other: Role) -> bool {
        use Role::{Client, Sink};
        match (self, other) {
            (Client(_), Client(_) | Sink) | (Sink, Client(_)) => false,
            _ => self != other,
        }
    }
}

/// The number of a worker's name; nothing for other nodes.
pub fn worker_number(name: &NodeName) -> Option<u32> {
    match Role::of(name) {
        Some(Role::Worker(number)) => Some(number),
        _ => None,
    }
}

/// All nodes in the order of their start: who comes later dials who came earlier. `heirs` are the standbys and replicas
/// that an engine adds to the workers.
pub fn roles(cluster: &ClusterSpec, heirs: impl IntoIterator<Item = Role>) -> Vec<Role> {
    let workers = (1..=cluster.workers).map(Role::Worker);
    let clients = (1..=cluster.clients).map(Role::Client);
    [Role::Sink, Role::Master].into_iter().chain(workers).chain(heirs).chain(clients).collect()
}

/// A node's connections in a cluster of these nodes. `fingerprint` is that of the query and the build.
pub fn peer_config(cluster: &ClusterSpec, all: &[Role], role: Role, fingerprint: u64) -> PeerConfig {
    let others = all.iter().filter(|other| role.talks_to(**other));
    PeerConfig {
        nodes: all.iter().map(|role| role.name()).collect(),
        talks_to: others.map(|other| other.name()).collect(),
        cluster: cluster_id(cluster),
        fingerprint,
        // A stream that died without a word must be found and dialled again before its owner counts as lost.
        silence: cluster.failure_timeout / 2,
        connect_deadline: (cluster.failure_timeout / 2).max(Duration::from_millis(10)),
        max_frame: MAX_FRAME_BYTES,
        max_queued: MAX_QUEUED_BYTES,
    }
}

/// Equal for nodes that were given the same description.
fn cluster_id(cluster: &ClusterSpec) -> u64 {
    let bytes = postcard::to_stdvec(cluster).expect("a cluster's description is plain data");
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_roles_agree() {
        let heirs = [Role::Standby(1), Role::Replica(7)];
        for role in [Role::Sink, Role::Master, Role::Worker(12), Role::Client(3)].into_iter().chain(heirs) {
            assert_eq!(Role::of(&role.name()), Some(role));
        }
        for name in ["worker-x", "worker", "replica-", ""] {
            assert_eq!(Role::of(&NodeName::new(name)), None, "{name}");
        }
    }

    #[test]
    fn talking_is_mutual() {
        use Role::{Client, Master, Replica, Sink, Standby, Worker};
        let all = [Sink, Master, Worker(1), Worker(2), Standby(1), Replica(1), Client(1), Client(2)];
        for one in all {
            assert!(!one.talks_to(one));
            for other in all {
                assert_eq!(one.talks_to(other), other.talks_to(one), "{one:?} {other:?}");
            }
        }
    }
}
