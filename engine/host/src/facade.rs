//! The seven values: Net, Clock, Cpu, Store, Disk, Random, Trace.
//!
//! Traits with boxed futures, so that no type parameter climbs through the engines. They promise what `contract`
//! tests in both worlds. Invariant: a future of a paused node's Net, Clock or Cpu does not complete before the node
//! resumes.

use crate::leave::Leave;
use crate::random::Random;
use bytes::Bytes;
use dstream_trace::{Event, Moment, NodeName};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A future that owns its type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A two-way byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream whose kind nobody needs to know.
pub type BoxIo = Box<dyn Io>;

/// The network as one node sees it.
pub trait Net: Send + Sync {
    /// Listens at this node's own address. Once per life of the node.
    fn bind(&self) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Opens a stream to `to`. May hang for ever (a dead host does not answer): callers race it against a deadline.
    fn connect<'a>(&'a self, to: &'a NodeName) -> BoxFuture<'a, io::Result<BoxIo>>;

    /// Waits until the network card has sent `bytes` more bytes. Frames call it before they write.
    fn egress(&self, bytes: u64) -> BoxFuture<'_, ()>;

    /// Waits until the network card has received `bytes` more bytes. Frames call it before they are handed up.
    fn ingress(&self, bytes: u64) -> BoxFuture<'_, ()>;
}

/// Accepts streams.
pub trait Listener: Send {
    /// The next stream that a peer opened.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxIo>>;
}

/// The only source of time.
pub trait Clock: Send + Sync {
    /// Time since the world started. Monotonic; goes on while the node is paused.
    fn now(&self) -> Moment;

    /// Completes at `when`, or at once if it has passed.
    fn sleep_until(&self, when: Moment) -> BoxFuture<'static, ()>;
}

/// Time of one core, as the cost model charges it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreTime(pub Duration);

/// The cores of a node.
pub trait Cpu: Send + Sync {
    /// How many tasks run at once.
    fn cores(&self) -> usize;

    /// Runs `work` on a core; completes when the work's time has been paid, with the time of one core that it took.
    ///
    /// `work` returns its modelled cost. The simulator runs it inline and then charges that cost, stretched by the
    /// node's straggler factor; a real host runs it on a core's thread and answers the measured time.
    fn run(&self, work: Box<dyn FnOnce() -> CoreTime + Send>) -> BoxFuture<'static, CoreTime>;

    /// Charges the handling of messages, which happens beside the task cores; completes when it is paid.
    fn handle(&self, cost: CoreTime) -> BoxFuture<'static, ()>;
}

/// Why the durable store refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Create-only put of a key that exists.
    #[error("the store already holds `{0}`")]
    Exists(String),
    /// Get of a key that does not exist.
    #[error("the store holds no `{0}`")]
    Missing(String),
    /// The store did not answer or answered with an error of its own.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// The durable store: outlives every node. Where a value's bytes stand for `scale` times as many, its way takes as long as
/// those.
pub trait Store: Send + Sync {
    /// Writes a new key; refuses one that exists.
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Writes a key, new or not.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Reads a key.
    fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Result<Bytes, StoreError>>;
    /// All keys that start with `prefix`, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;
    /// Removes a key; no error if it does not exist.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Why the node's own disk refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No room is left.
    #[error("the node's disk is full")]
    Full,
    /// Nothing is kept under this number.
    #[error("the node's disk has nothing under {0}")]
    Missing(u64),
    /// It answered with an error of its own.
    #[error("the node's disk failed: {0}")]
    Failed(String),
}

/// Room on the node's own disk, for what does not fit its memory. All of it is gone with the node's process, however that
/// ends; it is no [`Store`].
///
/// `declared` is for how many bytes the simulated disk takes its time; a real one takes what it takes.
pub trait Disk: Send + Sync {
    /// Keeps the parts, one behind the other, under a number that has nothing. It is there whole, or not at all.
    fn put(&self, number: u64, parts: Vec<Bytes>, declared: u64) -> BoxFuture<'_, Result<(), DiskError>>;
    /// What is kept under a number, in one piece.
    fn get(&self, number: u64, declared: u64) -> BoxFuture<'_, Result<Bytes, DiskError>>;
    /// Keeps it no longer; nothing happens if there is nothing.
    fn remove(&self, number: u64) -> BoxFuture<'_, ()>;
}

/// Where a node says what it did.
pub trait Trace: Send + Sync {
    /// Records `event` with the node's name and the world's time.
    fn record(&self, event: Event);
}

/// Everything that a node may ask of its world.
#[derive(Clone)]
pub struct Host {
    /// The node's own name.
    pub name: NodeName,
    /// Counts the starts of this node from 1.
    pub incarnation: u64,
    /// The network.
    pub net: Arc<dyn Net>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Cores.
    pub cpu: Arc<dyn Cpu>,
    /// The durable store.
    pub store: Arc<dyn Store>,
    /// The node's own disk.
    pub disk: Arc<dyn Disk>,
    /// Randomness, from the run's seed.
    pub random: Random,
    /// The log of the run.
    pub trace: Arc<dyn Trace>,
    /// Whether it is to leave.
    pub leave: Leave,
}

impl Host {
    /// Completes `delay` from now.
    pub fn sleep(&self, delay: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.clock.now() + delay)
    }

    /// The future's output, or `None` if `limit` passes first. The future is dropped then.
    pub async fn deadline<T>(&self, limit: Duration, future: impl Future<Output = T> + Send) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(limit) => None,
        }
    }
}
