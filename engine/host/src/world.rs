//! A world: what runs the nodes, and what the fault driver does to them from outside.
//!
//! Knows no engine: a node is a name, a role and bytes of configuration, and the binary hands over the function that
//! turns them into a running node.

use crate::facade::{BoxFuture, Host};
use crate::shape::StoreTrouble;
use dstream_trace::{Moment, NodeName, SharedTrace};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// One node, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its name; unique in the world.
    pub name: NodeName,
    /// What it is; the node's start function reads it.
    pub role: String,
    /// Its configuration, in the start function's own format.
    pub config: Vec<u8>,
    /// How many cores it has.
    pub cores: usize,
    /// Whether it belongs to the harness: an unlimited network card, and no fault may hit it.
    pub harness: bool,
}

/// Why a node ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NodeError(pub String);

/// What the words of a refusal begin with. They cross processes inside other words, and what they are goes with them.
const REFUSED: &str = "refused by the node: ";

impl NodeError {
    /// The node cannot do what it was told, and whoever told it can mend that.
    pub fn refusal(why: &str) -> NodeError {
        NodeError(format!("{REFUSED}{why}"))
    }
}

/// Starts a node on a host; the future is the node's life.
pub type NodeStart = Arc<dyn Fn(NodeSpec, Host) -> BoxFuture<'static, Result<(), NodeError>> + Send + Sync>;

/// Why a world could not do what was asked, or cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorldError {
    /// A node ended with an error, or panicked.
    #[error("node {node} failed at {at}: {why}")]
    NodeFailed {
        /// Which.
        node: NodeName,
        /// When.
        at: Moment,
        /// Its error, or its panic message.
        why: String,
    },
    /// No node of that name, or two.
    #[error("{0}")]
    BadNode(String),
    /// The world cannot do this.
    #[error("{0}")]
    Unsupported(String),
}

impl WorldError {
    /// Whether a node refused what it was told: see [`NodeError::refusal`].
    pub fn is_refusal(&self) -> bool {
        matches!(self, WorldError::NodeFailed { why, .. } if is_refusal(why))
    }
}

/// Whether these words have a node's refusal in them: see [`NodeError::refusal`].
pub fn is_refusal(words: &str) -> bool {
    words.contains(REFUSED)
}

/// What runs the nodes.
pub trait World {
    /// Adds a node and starts it.
    fn start(&mut self, node: NodeSpec) -> Result<(), WorldError>;

    /// Adds a node that does not run yet: [`World::restart`] starts its first life.
    fn enrol(&mut self, node: NodeSpec) -> Result<(), WorldError>;

    /// Whether the node's process runs; a paused one does.
    fn runs(&self, node: &NodeName) -> bool;

    /// Asks the node to leave: it hands on what others need of it, then ends by itself.
    fn leave(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Time since the world started.
    fn now(&self) -> Moment;

    /// Lets time pass until `until`. Fails when a node failed.
    fn run_until(&mut self, until: Moment) -> Result<(), WorldError>;

    /// Ends the node's process at once. Peers see closed connections.
    fn crash(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Ends the node's process at once and without a word: its streams stay as they are, for ever silent, and connects
    /// to it hang until it is restarted.
    fn power_loss(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Starts a crashed node again, in its next incarnation; one that had lost its power, too.
    fn restart(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Stops the node's timers, cores and messages; its monotonic time goes on.
    fn pause(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Ends a pause; overdue timers fire.
    fn resume(&mut self, node: &NodeName) -> Result<(), WorldError>;

    /// Drops whatever `from` sends to `to`, from now on and what is on its way.
    fn cut(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError>;

    /// Ends a cut. Streams that lost bytes stay broken.
    fn heal(&mut self, from: &NodeName, to: &NodeName) -> Result<(), WorldError>;

    /// Messages between the two wait, in both directions, also those on their way. Nothing is lost.
    fn hold(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError>;

    /// Ends a hold; what waited arrives now.
    fn release(&mut self, one: &NodeName, other: &NodeName) -> Result<(), WorldError>;

    /// Messages that the two send each other from now on are under way for `by` longer, in both directions; zero ends
    /// it.
    fn delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) -> Result<(), WorldError>;

    /// Work on the node's cores takes `factor` times as long from now on; 1 ends it.
    fn slow_cpu(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError>;

    /// The node's network card takes `factor` times as long, in each direction, for what it begins from now on; 1 ends
    /// it.
    fn slow_nic(&mut self, node: &NodeName, factor: f64) -> Result<(), WorldError>;

    /// From now on this and nothing else is wrong with the durable store for what the node asks of it, in its next lives,
    /// too; [`StoreTrouble::default`] ends it.
    fn trouble_store(&mut self, node: &NodeName, trouble: StoreTrouble) -> Result<(), WorldError>;

    /// The log that all nodes write into.
    fn trace(&self) -> SharedTrace;
}
