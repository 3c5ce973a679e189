//! Who runs each partition, who holds the input of the source beside it, and since when.
//!
//! Plain data, made by the master alone. Invariant: versions grow; what is said of a partition under an older version than
//! the one under which its host began is not believed.

use crate::continuous::message::NodeNumber;
use serde::{Deserialize, Serialize};

/// The whole cluster's work. Partitions and sources have the same numbers: the source of a number runs beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Counts from 1.
    pub version: u64,
    /// By partition.
    pub places: Vec<Place>,
}

/// Where a partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who runs it, the leading one first: one, or a replica more.
    pub hosts: Vec<Seat>,
    /// Who holds its source's input.
    pub holders: Vec<Seat>,
}

/// A node in a role, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The node.
    pub node: NodeNumber,
    /// The version that gave it the role.
    pub since: u64,
    /// How it comes by what those before it had.
    pub start: Start,
}

/// How a host or holder begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// With nothing, as the whole run does.
    Empty,
    /// Behind this interval, with the state that is in the store (if the engine saves any), and with the input that
    /// another node holds (if one is left).
    Restored {
        /// The border.
        through: Option<u64>,
        /// Who has the input.
        input_from: Option<NodeNumber>,
    },
    /// With the state and the input that a replica has.
    Copied {
        /// The replica.
        from: NodeNumber,
    },
}

impl Place {
    /// The node's seat as a host.
    pub fn host(&self, node: NodeNumber) -> Option<&Seat> {
        self.hosts.iter().find(|seat| seat.node == node)
    }

    /// The node's seat as a holder.
    pub fn holder(&self, node: NodeNumber) -> Option<&Seat> {
        self.holders.iter().find(|seat| seat.node == node)
    }

    /// Whether the seat is that of a copy whose model runs the partition no more, or came back since and is a copy itself.
    pub fn has_lost_model(&self, seat: &Seat) -> bool {
        let Start::Copied { from } = seat.start else { return false };
        let is_later_copy = |model: &Seat| model.since > seat.since && matches!(model.start, Start::Copied { .. });
        self.host(from).is_none_or(is_later_copy)
    }

    /// The newest change of who is here.
    pub fn changed(&self) -> u64 {
        self.hosts.iter().chain(&self.holders).map(|seat| seat.since).max().unwrap_or(0)
    }
}

impl Assignment {
    /// The place of a partition.
    pub fn place(&self, partition: u32) -> Option<&Place> {
        self.places.get(partition as usize)
    }

    /// All partitions with their places.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Place)> {
        (0u32..).zip(&self.places)
    }
}
