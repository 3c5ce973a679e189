//! What master and workers say to each other: every word of a worker carries its epoch, and the master takes none of an
//! epoch that is over. Orders are ids and lists, never code. All may be said twice: that changes nothing.

use crate::worker::Pane;
use bytes::Bytes;
use dstream_trace::{BlockName, RecordRange};
use serde::{Deserialize, Serialize};

/// A worker in one of its memberships: what a worker held under an older epoch, it need not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The worker's number.
    pub worker: u32,
    /// Its epoch.
    pub epoch: u64,
}

/// A block as its holder describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Its name.
    pub name: BlockName,
    /// The interval it was received for; it may be computed in a later one, never in an earlier.
    pub interval: u64,
    /// The records in it, segment by segment. A segment is a batch as a client sent it.
    pub ranges: Vec<RecordRange>,
    /// The length of its lines.
    pub bytes: u64,
    /// The members known to hold a copy.
    pub holders: Vec<Member>,
}

/// One attempt at a task; the interval and stage stand around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// The interval.
    pub interval: u64,
    /// The stage.
    pub stage: u32,
    /// The partition of the stage.
    pub partition: u32,
    /// The attempt.
    pub attempt: u32,
}

impl TaskId {
    /// The name of the attempt in the trace.
    pub fn name(self) -> dstream_trace::TaskName {
        let TaskId { interval, stage, partition, attempt } = self;
        dstream_trace::TaskName { interval, stage, partition, attempt }
    }
}

/// What a task could not get of what it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFetched {
    /// These workers did not answer.
    pub unreachable: Vec<u32>,
    /// These workers said that they do not hold the block.
    pub blocks_missing: Vec<(BlockName, u32)>,
    /// These workers said that they do not hold the slices.
    pub slices_missing: Vec<u32>,
    /// These workers said that they do not hold the panes of these intervals.
    pub panes_missing: Vec<(u64, u32)>,
    /// A client did not send again what only it has.
    pub is_client_silent: bool,
}

/// Why an attempt has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskFailure {
    /// Something that it reads could not be had.
    NotFetched(NotFetched),
    /// The user's function panicked, or the bytes cannot be read.
    Broken(String),
    /// The sink refused the result: the worker is fenced.
    Fenced,
    /// The sink did not answer: the worker is cut off from it.
    SinkSilent,
    /// Another attempt was sooner; this one never began.
    Cancelled,
}

/// What a task left at a worker, for tasks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The task's interval.
    pub interval: u64,
    /// Its stage.
    pub stage: u32,
    /// Its partition.
    pub partition: u32,
    /// Of panes, the attempt that made them; nothing for slices.
    pub pane: Option<u32>,
}

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// First word on a new connection, and after a fence.
    Join {
        /// How often the worker's process has started.
        incarnation: u64,
        /// The epoch it has, if it has one.
        epoch: Option<u64>,
        /// The blocks whose copies it holds, except those that are still being copied for the first time.
        blocks: Vec<BlockReport>,
        /// What tasks of an earlier master's made here; nothing if the epoch is of this master.
        made: Vec<Made>,
    },
    /// The worker lives.
    Heartbeat {
        /// Its epoch.
        epoch: u64,
        /// When it was sent, on the worker's clock; comes back in [`ToWorker::Lease`].
        sent_ns: u64,
        /// Workers that it has no connection with.
        unreachable: Vec<u32>,
    },
    /// The worker is to leave: whatever only it holds is to be taken from it. Said with every beat.
    Leaving {
        /// Its epoch.
        epoch: u64,
    },
    /// These blocks have all their copies.
    Announce {
        /// Its epoch.
        epoch: u64,
        /// The blocks.
        blocks: Vec<BlockReport>,
        /// All that it received for intervals below this one is reported.
        closed_below: u64,
    },
    /// The copies that the worker holds of blocks of a lost worker.
    Orphans {
        /// Its epoch.
        epoch: u64,
        /// The lost worker.
        origin: u32,
        /// The lost worker's last epoch.
        origin_epoch: u64,
        /// What it holds of it.
        blocks: Vec<BlockReport>,
    },
    /// The worker holds a copy that the master had asked for.
    CopyHeld {
        /// Its epoch.
        epoch: u64,
        /// The block.
        block: BlockName,
    },
    /// The attempt's result is where it belongs.
    TaskDone {
        /// Its epoch.
        epoch: u64,
        /// The attempt.
        task: TaskId,
        /// How long it kept a core.
        core_ns: u64,
    },
    /// The attempt has no result.
    TaskFailed {
        /// Its epoch.
        epoch: u64,
        /// The attempt.
        task: TaskId,
        /// Why.
        why: TaskFailure,
    },
    /// The panes are in the store, or could not be had.
    Saved {
        /// Its epoch.
        epoch: u64,
        /// The checkpoint.
        through: u64,
        /// The stage.
        stage: u32,
        /// The partition.
        partition: u32,
        /// The order's attempt.
        attempt: u32,
        /// What was missing; nothing: they are in the store.
        failed: Option<NotFetched>,
    },
}

/// Lines of a segment that a map task must not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Place of the segment in the block.
    pub segment: u32,
    /// First line, from 0.
    pub from: u64,
    /// One after the last line.
    pub to: u64,
}

/// A block that a map task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockOrder {
    /// The block.
    pub name: BlockName,
    /// Who holds it.
    pub holders: Vec<u32>,
    /// Records that another block brings.
    pub skip: Vec<Skip>,
    /// To a task, where it may ask clients for them: all others, in their order.
    pub ranges: Vec<RecordRange>,
}

/// Where a slice lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceSource {
    /// The map partition.
    pub partition: u32,
    /// The worker that made it and has it; none where it has been lost since and is to be made again.
    pub worker: Option<u32>,
}

/// Where the panes lie that the task of one interval left to later ones, for the same stage and partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PaneSource {
    /// The interval that made them.
    pub interval: u64,
    /// The attempt that made those which count: another's may have been made of more, or of less.
    pub attempt: u32,
    /// The worker that made them, if it lives.
    pub worker: Option<u32>,
    /// The checkpoint that has them, if one does.
    pub checkpoint: Option<Stored>,
}

/// One partition's object of a complete checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stored {
    /// The checkpoint: it goes through this interval.
    pub through: u64,
    /// The attempt that wrote the object.
    pub attempt: u32,
}

/// What one task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// Received lines.
    Blocks(Vec<BlockOrder>),
    /// Its slices of the parent stage; the sources stand in the launch.
    Slices,
}

/// One task of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOrder {
    /// The partition.
    pub partition: u32,
    /// The attempt.
    pub attempt: u32,
    /// What it reads.
    pub reads: Reads,
    /// The panes that it reads beside, of earlier intervals, oldest first.
    pub past: Vec<PaneSource>,
    /// Whether its result goes to the sink; if not, it is there, and only panes are wanted.
    pub commits: bool,
    /// Whether the same work had been begun before and was lost.
    pub again: bool,
}

/// Tasks of one interval and stage for one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The interval.
    pub interval: u64,
    /// The stage.
    pub stage: u32,
    /// How many partitions the stage has in this interval.
    pub of: u32,
    /// How many of the interval's own blocks had been given up.
    pub given_up: u32,
    /// Where the parent stage's slices lie, by map partition; empty for stages that read lines.
    pub sources: Vec<SliceSource>,
    /// The tasks.
    pub tasks: Vec<TaskOrder>,
}

/// The panes of one stage and partition that a checkpoint saves in one object of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    /// The checkpoint: it goes through this interval.
    pub through: u64,
    /// The stage.
    pub stage: u32,
    /// The partition.
    pub partition: u32,
    /// Counts the orders to save this. Each attempt writes an object of its own: one that was given up, and writes later
    /// than the one that counts, changes nothing.
    pub attempt: u32,
    /// What to save.
    pub panes: Vec<PaneSource>,
}

/// What the keys of a checkpoint's objects in the store begin with.
pub fn checkpoint_prefix(through: u64) -> String {
    format!("checkpoint/{through:020}/")
}

/// The key of one partition's object.
pub fn checkpoint_key(stored: Stored, stage: u32, partition: u32) -> String {
    format!("{}{stage}/{partition}/{}", checkpoint_prefix(stored.through), stored.attempt)
}

/// From the master to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Whoever says so leads from now on; words of a master of an earlier term are not to be heard. Join.
    Lead {
        /// Counts the masters.
        term: u64,
    },
    /// The worker is a member under this epoch.
    Welcome {
        /// The epoch.
        epoch: u64,
        /// The master counts on what the worker said that tasks had made there.
        keeps: bool,
        /// Intervals below this one are sealed: what comes now belongs to this one or a later one.
        sealed_below: u64,
    },
    /// The members, after each change and after a welcome.
    Members {
        /// All of them.
        members: Vec<Member>,
    },
    /// The master heard a heartbeat.
    Lease {
        /// The epoch.
        epoch: u64,
        /// The heartbeat's own time.
        sent_ns: u64,
    },
    /// The master knows of these blocks: should they be lost, it can say so, and their records may be acknowledged.
    Heard {
        /// The epoch under which they were announced.
        epoch: u64,
        /// The blocks.
        blocks: Vec<BlockName>,
    },
    /// There is nothing to do for the worker until it is welcome.
    Wait,
    /// Nothing depends on the worker that wants to leave: it may end. One that does not want to is to wait from now on.
    Released {
        /// Its epoch, which is over.
        epoch: u64,
    },
    /// The epoch is over: forget what runs, then join anew.
    Fenced {
        /// The epoch that is over.
        epoch: u64,
    },
    /// Say which blocks of the lost worker you hold, and take no more of them.
    ReportOrphans {
        /// The lost worker.
        origin: u32,
        /// Its last epoch.
        epoch: u64,
    },
    /// Send a copy of the block to another worker.
    Copy {
        /// The block.
        block: BlockName,
        /// To whom.
        to: u32,
    },
    /// Compute.
    Launch(Launch),
    /// Another attempt was sooner: this one need not begin. One that has a core goes on to its end.
    Cancel(TaskId),
    /// Write panes into the store.
    Save(Save),
    /// The blocks and slices of these are not needed any more.
    Forget {
        /// All slices of intervals below this one.
        slices_below: u64,
        /// Slices of this interval.
        interval: Option<u64>,
        /// These blocks.
        blocks: Vec<BlockName>,
        /// All panes of intervals below this one.
        panes_below: u64,
    },
}

/// From one worker to another, on the data lane. A copy's body is the block's lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Hold a copy of this block.
    Copy {
        /// The block.
        block: BlockReport,
        /// Length of each segment's lines.
        lengths: Vec<u64>,
        /// Whether the master asked for it (then the master is told), or the receiver of the block (then it is).
        ordered: bool,
    },
    /// The copy is held.
    CopyHeld {
        /// The block.
        block: BlockName,
        /// The holder's epoch.
        epoch: u64,
    },
    /// The copy is refused: its origin's epoch is over, or whoever refuses has none itself.
    CopyRefused(BlockName),
    /// The same of one that the master ordered.
    OrderedCopyRefused(BlockName),
    /// It has an epoch now, for want of which it refused copies.
    TakesCopies,
}

/// What lies in the body for one interval's panes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneHeader {
    /// The interval that made them.
    pub interval: u64,
    /// See [`Pane::attempt`].
    pub attempt: u32,
    /// Length of each.
    pub lengths: Vec<u64>,
    /// See [`Pane::lacks`].
    pub lacks: u64,
}

impl PaneHeader {
    /// The header of these panes.
    pub fn of(interval: u64, pane: &Pane) -> PaneHeader {
        let lengths = pane.parts.iter().map(|part| part.len() as u64).collect();
        PaneHeader { interval, attempt: pane.attempt, lengths, lacks: pane.lacks }
    }

    /// Takes the panes from the front of `body`; nothing if it is too short.
    pub fn take(&self, body: &mut Bytes) -> Option<Pane> {
        let mut part = |length: &u64| {
            let length = usize::try_from(*length).ok().filter(|length| *length <= body.len())?;
            Some(body.split_to(length))
        };
        let parts = self.lengths.iter().map(&mut part).collect::<Option<_>>()?;
        Some(Pane { parts, attempt: self.attempt, lacks: self.lacks })
    }
}

/// A request from one worker to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetch {
    /// A block's lines.
    Block(BlockName),
    /// Slices of one interval and stage.
    Slices {
        /// The interval.
        interval: u64,
        /// The stage that made them.
        stage: u32,
        /// Of these map partitions.
        from: Vec<u32>,
        /// For these reduce partitions.
        to: Vec<u32>,
    },
    /// The panes that the tasks of these intervals left.
    Panes {
        /// Their stage.
        stage: u32,
        /// Their partition.
        partition: u32,
        /// The intervals, each with the attempt whose panes count.
        intervals: Vec<(u64, u32)>,
    },
}

/// The answer. The body holds the bytes, one part after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetched {
    /// A block.
    Block {
        /// The block.
        block: BlockReport,
        /// Length of each segment's lines.
        lengths: Vec<u64>,
    },
    /// Slices: for each reduce partition asked for, in order, of each map partition asked for, in order; `lengths` may
    /// stop early (whole reduce partitions only) where the answer would be too long.
    Slices {
        /// Length of each slice.
        lengths: Vec<u32>,
    },
    /// Panes, in the order asked for; stops early where the answer would be too long.
    Panes {
        /// Their headers.
        panes: Vec<PaneHeader>,
    },
    /// Not here.
    Missing,
}
