//! What the tests of the real host share: worlds whose nodes are closures.
//!
//! Invariant: a script gets nothing but its host, and ends as the closure says.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use dstream_host::peer::PeerConfig;
use dstream_host::real::{MemoryStore, RealWorld};
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec};
use dstream_trace::{Event, Moment, NodeName, SharedTrace, TraceLog};
use std::sync::Arc;
use std::time::Duration;

/// How long something that must happen may take on a busy machine.
pub const PATIENCE: Moment = Moment::from_millis(20_000);

pub fn world(script: impl Fn(Host) -> BoxFuture<'static, Result<(), NodeError>> + Send + Sync + 'static) -> RealWorld {
    let start = Arc::new(move |_: NodeSpec, host: Host| script(host));
    RealWorld::new(start, 1, SharedTrace::new(), Arc::new(MemoryStore::new()))
}

pub fn node(name: &str) -> NodeSpec {
    NodeSpec { name: NodeName::new(name), role: String::new(), config: Vec::new(), cores: 2, harness: false }
}

/// The configuration of a node among `nodes`.
pub fn config(own: &str, nodes: &[&str]) -> PeerConfig {
    PeerConfig {
        nodes: nodes.iter().map(NodeName::new).collect(),
        talks_to: nodes.iter().filter(|node| **node != own).map(NodeName::new).collect(),
        cluster: 1,
        fingerprint: 2,
        silence: Duration::from_secs(2),
        connect_deadline: Duration::from_secs(2),
        max_frame: 1 << 20,
        max_queued: 1 << 20,
    }
}

pub fn mark(host: &Host, name: &str, value: u64) {
    host.trace.record(Event::Mark { name: name.to_owned(), value });
}

/// The values of all marks of this name.
pub fn marks(log: &TraceLog, wanted: &str) -> Vec<u64> {
    let value = |event: &Event| match event {
        Event::Mark { name, value } if name == wanted => Some(*value),
        _ => None,
    };
    log.lines().iter().filter_map(|line| value(&line.event)).collect()
}
