//! The closed set of events that a run measures. One line of `trace.log` is one of these.
//!
//! Invariant: an event carries logical names and numbers only, never an address, an operating system's text or a wall
//! clock, so that equal runs write equal logs.

use crate::moment::Moment;
use crate::name::{BlockName, NodeName};
use crate::range::RecordRange;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What a frame on the network is for; costs are summed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Orders, reports, heartbeats, acknowledgements.
    Control,
    /// Records from a client.
    Input,
    /// The second and later copies of input.
    Copy,
    /// Slices between map and reduce.
    Shuffle,
    /// Results to the sink.
    Output,
    /// Copies made again and partitions rebuilt after a loss.
    Recovery,
}

/// One attempt at a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskName {
    /// The interval it computes a part of.
    pub interval: u64,
    /// The stage of the query, from 0.
    pub stage: u32,
    /// The partition of that stage, from 0.
    pub partition: u32,
    /// Counts the attempts at this partition from 0.
    pub attempt: u32,
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}.{}.{}", self.interval, self.stage, self.partition, self.attempt)
    }
}

/// Encoded rows of a result. The log shows their size and digest, the harness reads the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Rows(pub Arc<[u8]>);

impl Rows {
    /// A digest of the bytes, the same on every machine.
    pub fn digest(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.0)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B#{:016x}", self.0.len(), self.digest())
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rows, D::Error> {
        Vec::<u8>::deserialize(from).map(|rows| Rows(rows.into()))
    }
}

/// One of an engine's or a protocol's fixed words; owned only where it came from another process.
pub type Word = Cow<'static, str>;

/// Something that happened at a node, or that the fault driver (node `driver`) did to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variant's line says what its fields are")]
pub enum Event {
    // -- the world and the fault driver ------------------------------------------------------------------
    /// The node's process runs; `incarnation` counts its starts from 1.
    NodeStarted { incarnation: u64 },
    /// The driver applied fault number `fault` of the plan to `node`.
    FaultApplied { fault: u32, node: NodeName },
    /// Fault number `fault` is over (restarted, resumed, healed, full speed again).
    FaultEnded { fault: u32, node: NodeName },
    /// A process ended because of a crash.
    ProcessEnded,
    /// A node was done, and its process ended by itself.
    NodeEnded,
    /// A message to `to` was dropped by a cut between the two nodes.
    MessageCut { to: NodeName },
    /// A message to `to`, another node or the durable store, waits because of an outage between the two; the first one after
    /// each change.
    MessageHeld { to: NodeName },
    /// A message to `to` is under way for longer; the first one after each change.
    MessageDelayed { to: NodeName },
    /// The durable store refused a request of the node; `why` is the fault's name. The first one after each change.
    StoreFailed { why: Word },
    /// Something of the node (a timer, a message, a core) waited because it is paused.
    HeldByPause,
    /// Work on a core took `factor` times its cost.
    WorkStretched { factor: f64 },
    /// The network card took `factor` times as long for something; the first time after each change.
    TransferStretched { factor: f64 },
    /// A test or a job says something about itself.
    Mark { name: String, value: u64 },

    // -- peers ----------------------------------------------------------------------------------------
    /// A frame was handed to the network. `bytes` counts header and payload, times scale where scale applies.
    FrameSent { to: NodeName, purpose: Purpose, bytes: u64 },
    /// A frame arrived.
    FrameDelivered { from: NodeName, purpose: Purpose, bytes: u64 },
    /// Both connections to the peer are open.
    PeerUp { peer: NodeName, incarnation: u64 },
    /// A connection to the peer ended or fell silent.
    PeerDown { peer: NodeName, incarnation: u64 },
    /// A connection was refused at the handshake or for a bad frame; `why` is one of the protocol's fixed words.
    ConnectionRefused { why: Word },

    // -- clients ---------------------------------------------------------------------------------------
    /// From now on the client sends no more than so many records in a thousand seconds.
    SendingLimited { in_1000_s: u64 },
    /// Records were sent for the first time; scheduled times in between are evenly spaced.
    RecordsSent { range: RecordRange, first_scheduled: Moment, last_scheduled: Moment },
    /// A batch was sent again, to another worker.
    RecordsResent { range: RecordRange, to: NodeName },
    /// The client knows that these records are held.
    RecordsAcked { range: RecordRange },
    /// The client has sent all its records and all are acknowledged.
    ClientDone { records: u64 },

    // -- input blocks ------------------------------------------------------------------------------------
    /// This node holds a copy of the block. The origin's own copy counts like any other.
    BlockHeld { block: BlockName, ranges: Vec<RecordRange>, bytes: u64 },
    /// This node let go of its copy.
    BlockForgotten { block: BlockName },
    /// The log in the durable store holds the block: it outlives every node.
    BlockLogged { block: BlockName, ranges: Vec<RecordRange>, bytes: u64 },
    /// The block was removed from the log.
    BlockUnlogged { block: BlockName },

    // -- the master ---------------------------------------------------------------------------------------
    /// This node decides from now on. Terms are counted from 1; what an earlier term's master says does not count.
    MasterElected { term: u64 },
    /// A worker is a member from now on, under this epoch.
    WorkerJoined { worker: NodeName, epoch: u64 },
    /// A worker is no longer a member; what it says under this epoch is refused.
    WorkerLost { worker: NodeName, epoch: u64 },
    /// A worker was asked to leave, and the master has heard it: it is given nothing more.
    WorkerLeaving { worker: NodeName, epoch: u64 },
    /// A worker that was to leave is needed: it is given work again.
    WorkerStays { worker: NodeName, epoch: u64 },
    /// A worker that was to leave is no longer a member. Nothing depends on it: others have all that only it had.
    WorkerLeft { worker: NodeName, epoch: u64 },
    /// A worker is ready and waits to be called: it does nothing and holds nothing.
    WorkerWaits { worker: NodeName },
    /// A worker that waits is called to work: so many thousandths of the cores' time are used.
    WorkerCalled { worker: NodeName, busy_permille: u64 },
    /// A worker is to hand on what it has, and to wait: so many thousandths of the cores' time are used.
    WorkerSpared { worker: NodeName, busy_permille: u64 },
    /// How many blocks that are still needed have fewer copies than promised.
    CopiesBelow { blocks: u64 },
    /// The interval's records are fixed for ever; `blocks` are what its map tasks read.
    IntervalSealed { interval: u64, ranges: Vec<RecordRange>, blocks: Vec<BlockName> },
    /// Which blocks each map partition of a sealed interval reads: `inputs[p]` is partition p's. Fixed with the seal.
    MapsCut { interval: u64, inputs: Vec<Vec<BlockName>> },
    /// A task was given to a worker. `again` marks work that had been begun before and was lost.
    TaskLaunched { task: TaskName, worker: NodeName, again: bool },
    /// All results of the interval are committed.
    IntervalDone { interval: u64 },
    /// Everything that intervals after `through` need of it and those before it is in the store; their lineage is forgotten.
    CheckpointComplete { through: u64 },
    /// No copy of the block is left and its interval still needs it: these records are gone.
    BlockLost { block: BlockName, ranges: Vec<RecordRange>, interval: Option<u64> },

    // -- tasks at a worker --------------------------------------------------------------------------------
    /// The attempt got a core.
    TaskStarted { task: TaskName },
    /// The attempt's result exists at this node; `cpu` is the modelled (or measured) time it took of one core.
    TaskFinished { task: TaskName, cpu_ns: u64, records: u64 },
    /// The attempt ended without a result; `why` is one of the engine's fixed words.
    TaskFailed { task: TaskName, why: Word },
    /// The state of one partition is in the store, as part of the checkpoint through this interval.
    StateSaved { through: u64, stage: u32, partition: u32, bytes: u64 },
    /// So many bytes that this node holds are on its own disk from now on; `most_held` is the most that it ever held in
    /// memory of what it may put there.
    Spilled { bytes: u64, most_held: u64 },
    /// So many bytes came back from its disk into its memory.
    Loaded { bytes: u64, most_held: u64 },
    /// Its disk refuses what it is asked; the first time after it did not. `why` is one of the engine's fixed words.
    DiskRefused { why: Word },
    /// Core time spent on something that is no task (messages, checkpoints, copies).
    CpuUsed { cpu_ns: u64 },

    // -- continuous engines ------------------------------------------------------------------------------
    /// This node runs the partition from now on, under this epoch; of replicas, one of those that do.
    PartitionTaken { partition: u32, node: NodeName, epoch: u64 },
    /// A node that lives runs a partition no more: another has taken it over.
    PartitionLeft { partition: u32, node: NodeName },
    /// The source beside the partition has all of the interval's records that clients send to it: these, in these blocks,
    /// for ever. `of` sources make the interval whole. Every replica and every heir says it again, and the same.
    SourceSealed { interval: u64, partition: u32, of: u32, ranges: Vec<RecordRange>, blocks: Vec<BlockName> },
    /// A partition's state behind the interval `through` is here, and its source's input; work on what came later begins.
    PartitionRestored { partition: u32, through: Option<u64>, bytes: u64 },
    /// No node has what the partition held of the intervals after `after` up to `through`: its results lack them.
    StateLost { partition: u32, after: Option<u64>, through: u64 },
    /// Of the core time that this node used, so much went into work that had been done before.
    WorkRepeated { cpu_ns: u64 },

    // -- the sink -----------------------------------------------------------------------------------------
    /// The result of one partition is visible, for the first time. `of` partitions make the interval's output whole.
    ResultVisible { output: String, interval: u64, partition: u32, of: u32, from: NodeName, epoch: u64, rows: Rows },
    /// A running result is visible, and these records show in it; it is not the interval's result.
    RecordsReflected { output: String, partition: u32, ranges: Vec<RecordRange> },
    /// A result is shown before all its input is there; the result itself follows.
    ResultTentative { output: String, interval: u64, partition: u32, from: NodeName, rows: Rows },
    /// The same result arrived again, byte for byte.
    ResultRepeated { output: String, interval: u64, partition: u32, from: NodeName, epoch: u64 },
    /// From now on the sink refuses results of this worker under this and older epochs.
    Fenced { worker: NodeName, epoch: u64 },
    /// A result was refused because its sender's epoch is fenced.
    ResultRefused { output: String, interval: u64, partition: u32, from: NodeName, epoch: u64 },
    /// Two attempts at the same result differ: the engine is broken.
    ResultsDiffer { output: String, interval: u64, partition: u32, from: NodeName, digest: u64, earlier: u64 },
}
