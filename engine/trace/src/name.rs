//! Names of nodes and of blocks: the words that events use to say who and what.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The logical name of a node, such as `worker-3`; an address book elsewhere knows where it lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name `text`.
    pub fn new(text: impl AsRef<str>) -> NodeName {
        NodeName(Arc::from(text.as_ref()))
    }

    /// `worker-<number>`; workers count from 1.
    pub fn worker(number: u32) -> NodeName {
        NodeName::new(format!("worker-{number}"))
    }

    /// Whether it is a client's.
    pub fn is_client(&self) -> bool {
        self.as_str().starts_with("client-")
    }

    /// `client-<number>`; clients count from 1.
    pub fn client(number: u32) -> NodeName {
        NodeName::new(format!("client-{number}"))
    }

    /// The durable store.
    pub fn store() -> NodeName {
        NodeName::new("store")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of a node that does the work or would inherit it: a worker, a standby, a replica.
    pub fn is_of_the_work(&self) -> bool {
        ["worker-", "standby-", "replica-"].iter().any(|kind| self.0.starts_with(kind))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NodeName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<NodeName, D::Error> {
        String::deserialize(from).map(NodeName::new)
    }
}

/// The name of one block of received input, unique in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockName {
    /// Number of the worker that received it.
    pub origin: u32,
    /// That worker's membership epoch when it sealed the block.
    pub epoch: u64,
    /// Counts the blocks of one origin and epoch from 0.
    pub number: u64,
}

impl fmt::Display for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}.{}", self.origin, self.epoch, self.number)
    }
}

impl fmt::Debug for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
