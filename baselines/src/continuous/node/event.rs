//! What happens to a node, and what a node does.

use crate::continuous::message::{FromMaster, NodeNumber, PaneHeader, ToMaster, ToPeer};
use crate::continuous::node::work::{Work, WorkDone};
use crate::continuous::source::Punctuations;
use bytes::Bytes;
use dstream_cluster::message::{FromClient, ToClient};
use dstream_trace::{Event, Purpose, RecordRange};
use std::time::Duration;

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// The connection to the master is open.
    MasterUp,
    /// A connection to a node is open.
    PeerUp(NodeNumber),
    /// The connection to the node broke.
    PeerDown(NodeNumber),
    /// A connection to a client is open.
    ClientUp(u32),
    /// The connection to a client broke.
    ClientDown(u32),
    /// The master says.
    Master(FromMaster),
    /// A client says; lines are those of its records.
    Client {
        /// The client.
        client: u32,
        /// Its word.
        word: FromClient,
        /// Its records' lines.
        lines: Bytes,
    },
    /// Another node says.
    Peer {
        /// The node.
        from: NodeNumber,
        /// Its word.
        word: ToPeer,
        /// Its rows, lines or panes.
        body: Bytes,
    },
    /// A turn of a partition's operators is over.
    Ran {
        /// The partition.
        partition: u32,
        /// Under which version it was begun.
        since: u64,
        /// What came of it, in order.
        done: Vec<WorkDone>,
        /// Time of a core that all of it took.
        cpu: Duration,
    },
    /// The store gave a partition's state.
    Loaded {
        /// The partition.
        partition: u32,
        /// As asked.
        since: u64,
        /// The panes.
        panes: Vec<(PaneHeader, Bytes)>,
        /// Where clients were at the border.
        punctuations: Punctuations,
    },
    /// The store has a partition's state.
    Saved {
        /// The partition.
        partition: u32,
        /// As ordered.
        since: u64,
        /// Behind this interval.
        through: u64,
    },
    /// A result is visible.
    Visible {
        /// The partition.
        partition: u32,
        /// As handed in.
        since: u64,
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
    },
    /// A partition's state was copied.
    Copied {
        /// The partition.
        partition: u32,
        /// For whom, and under which version that node runs it.
        to: (NodeNumber, u64),
        /// Behind this interval.
        through: Option<u64>,
        /// The state.
        panes: Vec<(PaneHeader, Bytes)>,
    },
    /// A state that must be there is not.
    Broken {
        /// The partition.
        partition: u32,
        /// As ordered.
        since: u64,
        /// What is wrong.
        why: String,
    },
    /// Time passed.
    Tick,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeAction {
    /// Say this to the master.
    TellMaster(ToMaster),
    /// Say this to a client.
    TellClient(u32, ToClient),
    /// Make the connection to a client anew.
    Redial(u32),
    /// Say this to a node.
    Tell {
        /// The node.
        node: NodeNumber,
        /// The word.
        word: ToPeer,
        /// Its body, part after part.
        body: Vec<Bytes>,
        /// What it is for.
        purpose: Purpose,
        /// Whether the body stands for `scale` times its bytes.
        is_scaled: bool,
    },
    /// Make a partition's operators, with these panes of their past.
    Open {
        /// The partition.
        partition: u32,
        /// Behind this interval.
        through: Option<u64>,
        /// Their panes.
        panes: Vec<(PaneHeader, Bytes)>,
    },
    /// Let a partition's operators go.
    Drop {
        /// The partition.
        partition: u32,
    },
    /// Have a partition's operators work, and say so when they have.
    Run {
        /// The partition.
        partition: u32,
        /// Under which version.
        since: u64,
        /// In this order.
        works: Vec<Work>,
    },
    /// Copy a partition's state as it is now.
    CopyState {
        /// The partition.
        partition: u32,
        /// For whom.
        node: NodeNumber,
        /// Under which version it runs it.
        version: u64,
        /// Behind this interval.
        through: Option<u64>,
    },
    /// Hand a result in until it is visible.
    HandIn {
        /// The partition.
        partition: u32,
        /// Under which version.
        since: u64,
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// The rows.
        rows: Bytes,
        /// Names the given-up input that it lacks; 0: none.
        lacks: u64,
        /// The membership under which it is handed in.
        epoch: u64,
    },
    /// Show running results of these records.
    Show {
        /// The stage.
        stage: u32,
        /// The partition.
        partition: u32,
        /// The records.
        ranges: Vec<RecordRange>,
        /// The rows.
        rows: Vec<Bytes>,
    },
    /// Show what a late result would be by now.
    ShowTentative {
        /// The stage.
        stage: u32,
        /// The partition.
        partition: u32,
        /// The interval.
        interval: u64,
        /// The rows.
        rows: Bytes,
        /// The membership under which it is shown.
        epoch: u64,
    },
    /// Read a partition's state from the store.
    Load {
        /// The partition.
        partition: u32,
        /// Under which version.
        since: u64,
        /// Behind this interval.
        through: u64,
        /// Panes of earlier intervals than this one are not needed.
        oldest: u64,
    },
    /// Write a partition's state into the store.
    Save {
        /// The partition.
        partition: u32,
        /// Under which version.
        since: u64,
        /// Behind this interval.
        through: u64,
        /// The save that has the panes that are not in this one.
        previous: Option<u64>,
        /// Panes made since then.
        panes: Vec<(PaneHeader, Bytes)>,
        /// Where clients were at the border.
        punctuations: Punctuations,
    },
    /// Saves of this partition before this one are needed no more.
    DropSaves {
        /// The partition.
        partition: u32,
        /// The oldest that is.
        before: u64,
    },
    /// Record an event.
    Record(Event),
    /// The engine is broken.
    Fatal(String),
}
