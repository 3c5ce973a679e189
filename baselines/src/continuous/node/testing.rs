//! A node to test: number 1 of a few, with a word count.

use crate::continuous::node::{NodeLimits, Rules};
use crate::continuous::topology::Topology;
use dstream_cluster::client::Cut;
use dstream_kernel::QueryBuilder;
use dstream_trace::{Moment, NodeName};
use std::num::NonZeroU64;
use std::time::Duration;

/// What it knows, of so many nodes and partitions. Each record is a batch; an interval takes a second, a lease lasts for
/// 400 ms.
pub fn limits(nodes: u32, partitions: u32) -> NodeLimits {
    let builder = QueryBuilder::new();
    builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
    NodeLimits {
        node: 1,
        incarnation: 1,
        names: (1..=nodes).map(NodeName::worker).collect(),
        clients: 1,
        cut: Cut::Runs { records: NonZeroU64::MIN, sources: partitions, period: Duration::from_millis(10) },
        scale: 1,
        topology: Topology::of(&builder.build().unwrap(), partitions).unwrap(),
        rules: Rules {
            checkpoint_intervals: None,
            reads_all: false,
            is_ordered: false,
            only_leader_hands_in: false,
            is_single: true,
            buffer: Duration::ZERO,
            replays: false,
            tentative: None,
        },
        heartbeat: Duration::from_millis(100),
        lease: Duration::from_millis(400),
        origin: Moment::ZERO,
        interval: Duration::from_secs(1),
        most_kept_bytes: 1 << 20,
    }
}
