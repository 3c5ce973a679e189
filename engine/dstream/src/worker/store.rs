//! What a worker holds: blocks of input, slices between stages, panes between intervals. Plain data behind one lock.
//!
//! What a thing is called and what it is are always in memory; its bytes are on the [`Shelf`], which may have them on the
//! disk. Knows no protocol. Invariant: what is in never changes; it only goes.

use crate::message::{BlockReport, Made, TaskId};
use crate::worker::memory::Thing;
use crate::worker::shelf::{MemoryCore, Move, Moved, Pin, Shelf};
use crate::worker::tables::{Table, Tables, Tags};
use bytes::Bytes;
use dstream_host::Clock;
use dstream_kernel::Scratch;
use dstream_trace::{BlockName, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A block with its bytes.
#[derive(Clone, Debug)]
pub struct HeldBlock {
    /// Its description.
    pub report: BlockReport,
    /// The lines of each segment.
    pub segments: Vec<Bytes>,
}

impl HeldBlock {
    /// The lines of all segments in one piece, and the length of each.
    pub fn joined(&self) -> (Vec<u8>, Vec<u64>) {
        let mut lines = Vec::with_capacity(self.segments.iter().map(Bytes::len).sum());
        for segment in &self.segments {
            lines.extend_from_slice(segment);
        }
        (lines, self.segments.iter().map(|segment| segment.len() as u64).collect())
    }

    /// The block whose lines came in one piece; nothing if the lengths do not fit.
    pub fn from_joined(report: BlockReport, lines: &Bytes, lengths: &[u64]) -> Option<HeldBlock> {
        let total = lengths.iter().try_fold(0u64, |sum, length| sum.checked_add(*length))?;
        if total != lines.len() as u64 || lengths.len() != report.ranges.len() {
            return None;
        }
        let mut from = 0;
        let segments = lengths.iter().map(|length| {
            let to = from + *length as usize; // below `lines.len()`, as was just checked
            let segment = lines.slice(from..to);
            from = to;
            segment
        });
        let segments = segments.collect();
        Some(HeldBlock { report, segments })
    }
}

/// Slices of one interval and stage: map partition -> the thing whose parts are one slice for each reduce partition.
type StageSlices = BTreeMap<u32, Thing>;

/// (reduce partition, map partition) -> slice.
pub type Slices = BTreeMap<(u32, u32), Bytes>;

/// The panes that one task left: one row block for each of the stage's [`dstream_kernel::Kept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// The row blocks.
    pub parts: Vec<Bytes>,
    /// The attempt that made them.
    pub attempt: u32,
    /// A digest of which given-up input they lack; 0: nothing. Attempts are comparable only where it is equal.
    pub lacks: u64,
}

impl Pane {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// A pane without its bytes.
#[derive(Clone, Copy)]
struct HeldPane {
    attempt: u32,
    lacks: u64,
    bytes: u64,
    thing: Thing,
}

/// Everything that the worker holds.
#[derive(Default)]
pub struct Holdings {
    /// The worker's epoch: what a task of an older one made is not kept.
    pub epoch: Option<u64>,
    /// How many bytes each byte of a block stands for.
    scale: u64,
    shelf: Shelf,
    /// Blocks, own and copies.
    blocks: BTreeMap<BlockName, (BlockReport, Thing)>,
    slices: BTreeMap<(u64, u32), StageSlices>,
    /// (stage, partition) -> interval -> its panes, made here or read once
    panes: BTreeMap<(u32, u32), BTreeMap<u64, HeldPane>>,
    /// States in place: what panes make, and nothing else.
    tables: Tables,
    /// Attempts that wait for a core and need not begin.
    cancelled: BTreeSet<TaskId>,
    /// Tables that tasks reuse; as many as tasks ever ran at once.
    scratches: Vec<Scratch>,
}

impl Holdings {
    /// Keeps a block; `false` if it is here already.
    pub fn keep_block(&mut self, held: HeldBlock) -> bool {
        if let Some((report, _)) = self.blocks.get_mut(&held.report.name) {
            // Of what clients sent again there is less: what the lines are stays with them.
            if report.ranges == held.report.ranges {
                *report = held.report;
            }
            return false;
        }
        let bytes: u64 = held.segments.iter().map(|segment| segment.len() as u64).sum();
        let thing = self.shelf.keep(held.segments, bytes * self.scale.max(1));
        self.blocks.insert(held.report.name, (held.report, thing));
        true
    }

    /// Lets go of a block; `false` if it is not here.
    pub fn forget_block(&mut self, name: &BlockName) -> bool {
        let Some((_, thing)) = self.blocks.remove(name) else { return false };
        self.shelf.forget(thing);
        true
    }

    /// Lets go of all blocks; which they were.
    pub fn forget_blocks(&mut self) -> Vec<BlockName> {
        let names: Vec<BlockName> = self.blocks.keys().copied().collect();
        names.iter().for_each(|name| _ = self.forget_block(name));
        names
    }

    /// What the blocks are.
    pub fn reports(&self) -> impl Iterator<Item = &BlockReport> {
        self.blocks.values().map(|(report, _)| report)
    }

    /// What the block is, to be changed.
    pub fn report_mut(&mut self, name: &BlockName) -> Option<&mut BlockReport> {
        self.blocks.get_mut(name).map(|(report, _)| report)
    }

    /// Keeps the slices that a map task of this epoch made.
    pub fn keep_slices(&mut self, epoch: u64, (interval, stage, partition): (u64, u32, u32), slices: Vec<Bytes>) {
        if self.epoch != Some(epoch) {
            return;
        }
        let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        let thing = self.shelf.keep(slices, bytes);
        let before = self.slices.entry((interval, stage)).or_default().insert(partition, thing);
        before.into_iter().for_each(|before| self.shelf.forget(before));
    }

    /// Keeps panes that a task of this epoch made or read, unless those of a later attempt are here.
    pub fn keep_pane(&mut self, epoch: u64, place: (u32, u32), interval: u64, pane: Pane) {
        let held = self.panes.get(&place).and_then(|panes| panes.get(&interval));
        if self.epoch != Some(epoch) || held.is_some_and(|held| held.attempt > pane.attempt) {
            return;
        }
        let (bytes, attempt, lacks) = (pane.bytes(), pane.attempt, pane.lacks);
        let thing = self.shelf.keep(pane.parts, bytes);
        let kept = HeldPane { attempt, lacks, bytes, thing };
        let before = self.panes.entry(place).or_default().insert(interval, kept);
        before.into_iter().for_each(|before| self.shelf.forget(before.thing));
    }

    /// Keeps panes that a task of this epoch has read, see [`Holdings::keep_pane`]. The same, to be read.
    pub fn keep_read_pane(&mut self, epoch: u64, place: (u32, u32), interval: u64, pane: Pane) -> Pane {
        // They came with others in one piece, which would stay in memory until the last of them goes.
        let apart = |part: &Bytes| if self.shelf.is_limited() { Bytes::copy_from_slice(part) } else { part.clone() };
        let pane = Pane { parts: pane.parts.iter().map(apart).collect(), ..pane };
        self.keep_pane(epoch, place, interval, pane.clone());
        let Some(thing) = self.held_pane(place, interval, pane.attempt).map(|held| held.thing) else { return pane };
        let pin = self.shelf.pin(thing);
        let parts = self.shelf.lend(&pin).unwrap_or_else(|| pane.parts.clone());
        Pane { parts, ..pane }
    }

    /// The state in place for a task of this epoch that reads these panes.
    pub fn take_table(&mut self, epoch: u64, place: (u32, u32), past: &Tags) -> Table {
        if self.epoch != Some(epoch) {
            return Table::default();
        }
        self.tables.take(place, past, &mut self.shelf)
    }

    /// Keeps the state with which a task of this epoch has gone on.
    pub fn keep_table(&mut self, epoch: u64, place: (u32, u32), table: Table) {
        if self.epoch == Some(epoch) {
            self.tables.put(place, table, &mut self.shelf);
        }
    }

    fn held_pane(&self, place: (u32, u32), interval: u64, attempt: u32) -> Option<&HeldPane> {
        self.panes.get(&place)?.get(&interval).filter(|pane| pane.attempt == attempt)
    }

    /// How large the panes are that this attempt at the task of this stage, partition and interval left.
    pub fn pane_bytes(&self, place: (u32, u32), interval: u64, attempt: u32) -> Option<u64> {
        self.held_pane(place, interval, attempt).map(|pane| pane.bytes)
    }

    /// Forgets panes of intervals below `below`.
    pub fn forget_panes(&mut self, below: u64) {
        for panes in self.panes.values_mut() {
            let later = panes.split_off(&below);
            let over = std::mem::replace(panes, later);
            over.values().for_each(|pane| self.shelf.forget(pane.thing));
        }
        self.tables.forget(below, &mut self.shelf);
    }

    /// Forgets slices of intervals below `below`, and of `interval`.
    pub fn forget_slices(&mut self, below: u64, interval: Option<u64>) {
        let is_over = |of: &u64| *of < below || Some(*of) == interval;
        for (_, slices) in self.slices.extract_if(.., |(of, _), _| is_over(of)) {
            slices.values().for_each(|thing| self.shelf.forget(*thing));
        }
    }

    /// Another epoch begins, or none: all slices and panes go, unless the master `keeps` them.
    pub fn begin_epoch(&mut self, epoch: Option<u64>, keeps: bool) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.cancelled.clear();
            if !keeps {
                self.forget_slices(u64::MAX, Some(u64::MAX));
                let panes = std::mem::take(&mut self.panes);
                panes.values().flat_map(BTreeMap::values).for_each(|pane| self.shelf.forget(pane.thing));
                self.tables.clear(&mut self.shelf);
            }
        }
    }

    /// What tasks have left here.
    pub fn made(&self) -> Vec<Made> {
        let slices = self.slices.iter().flat_map(|((interval, stage), of)| {
            of.keys().map(|partition| Made { interval: *interval, stage: *stage, partition: *partition, pane: None })
        });
        let panes = self.panes.iter().flat_map(|((stage, partition), of)| {
            let made = |(interval, pane): (&u64, &HeldPane)| Made {
                interval: *interval,
                stage: *stage,
                partition: *partition,
                pane: Some(pane.attempt),
            };
            of.iter().map(made).collect::<Vec<_>>()
        });
        slices.chain(panes).collect()
    }

    /// The attempt need not begin. Its end is to be told with [`Holdings::ended`].
    pub fn cancel(&mut self, task: TaskId) {
        self.cancelled.insert(task);
    }

    /// Whether it need not begin.
    pub fn is_cancelled(&self, task: TaskId) -> bool {
        self.cancelled.contains(&task)
    }

    /// The attempt has ended.
    pub fn ended(&mut self, task: TaskId) {
        self.cancelled.remove(&task);
    }

    /// A table for a task; a new one if all are in use.
    pub fn take_scratch(&mut self) -> Scratch {
        self.scratches.pop().unwrap_or_default()
    }

    /// Gives a table back. One that a panicking task used is dropped instead.
    pub fn give_scratch(&mut self, scratch: Scratch) {
        self.scratches.push(scratch);
    }
}

/// The holdings, shared by the tasks of one worker.
#[derive(Clone, Default)]
pub struct SharedHoldings {
    holdings: Arc<Mutex<Holdings>>,
    /// Rings when something came back from the disk, or will not.
    arrivals: Arc<Notify>,
}

impl SharedHoldings {
    /// Nothing yet; each byte of a block stands for `scale`. All stays in memory where nothing decides what does.
    pub fn new(memory: Option<MemoryCore>, clock: Arc<dyn Clock>, scale: u64) -> SharedHoldings {
        let shelf = memory.map_or_else(Shelf::default, |core| Shelf::limited(core, clock));
        let holdings = Holdings { scale, shelf, ..Holdings::default() };
        SharedHoldings { holdings: Arc::new(Mutex::new(holdings)), arrivals: Arc::default() }
    }

    /// Whether something decides what stays in memory.
    pub fn is_limited(&self) -> bool {
        self.lock().shelf.is_limited()
    }

    /// The holdings, locked. Nothing that can panic runs under the lock, so poison is ignored.
    pub fn lock(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block, with its bytes.
    pub async fn block(&self, name: &BlockName) -> Option<HeldBlock> {
        let (report, pin) = {
            let mut holdings = self.lock();
            let (report, thing) = holdings.blocks.get(name).cloned()?;
            (report, holdings.shelf.pin(thing))
        };
        let segments = self.bytes(&[pin]).await.pop()??;
        Some(HeldBlock { report, segments })
    }

    /// The slices that these map partitions made for these reduce partitions: all, or nothing.
    pub async fn slices(&self, place: (u64, u32), from: &[u32], to: &[u32]) -> Option<Slices> {
        let pins: Vec<Pin> = {
            let mut holdings = self.lock();
            let made = holdings.slices.get(&place)?;
            let things: Vec<Thing> = from.iter().map(|from| made.get(from).copied()).collect::<Option<_>>()?;
            things.into_iter().map(|thing| holdings.shelf.pin(thing)).collect()
        };
        let mut slices = Slices::new();
        for (from, parts) in from.iter().zip(self.bytes(&pins).await) {
            let parts = parts?;
            for to in to {
                slices.insert((*to, *from), parts.get(*to as usize)?.clone());
            }
        }
        Some(slices)
    }

    /// Those of these panes that are here, each of an interval and of the attempt that left it.
    pub async fn panes(&self, place: (u32, u32), wanted: &[(u64, u32)]) -> BTreeMap<u64, Pane> {
        let (found, pins): (Vec<(u64, HeldPane)>, Vec<Pin>) = {
            let mut holdings = self.lock();
            let pane = |(interval, attempt): &(u64, u32)| {
                holdings.held_pane(place, *interval, *attempt).map(|pane| (*interval, *pane))
            };
            let found: Vec<(u64, HeldPane)> = wanted.iter().filter_map(pane).collect();
            let pins = found.iter().map(|(_, pane)| holdings.shelf.pin(pane.thing)).collect();
            (found, pins)
        };
        let parts = self.bytes(&pins).await;
        let pane = |((interval, pane), parts): ((u64, HeldPane), Option<Vec<Bytes>>)| {
            Some((interval, Pane { parts: parts?, attempt: pane.attempt, lacks: pane.lacks }))
        };
        found.into_iter().zip(parts).filter_map(pane).collect()
    }

    /// What is pinned, as soon as all of it is in memory; nothing for what nobody has any more.
    async fn bytes(&self, pins: &[Pin]) -> Vec<Option<Vec<Bytes>>> {
        loop {
            // Made before the look, so that no arrival after it is missed.
            let arrival = self.arrivals.notified();
            {
                let holdings = self.lock();
                if !pins.iter().any(|pin| holdings.shelf.is_coming(pin)) {
                    return pins.iter().map(|pin| holdings.shelf.lend(pin)).collect();
                }
            }
            arrival.await;
        }
    }

    // -- for whoever moves things to the disk and back ------------------------------------------------------------

    /// Rings when there may be something to do; nothing where nothing ever is.
    pub fn bell(&self) -> Option<Arc<Notify>> {
        self.lock().shelf.bell()
    }

    /// The next thing to be read.
    pub fn next_read(&self) -> Option<Move> {
        self.lock().shelf.next_read()
    }

    /// The next thing to be written or removed.
    pub fn next_write(&self) -> Option<Move> {
        self.lock().shelf.next_write()
    }

    /// It is done. What the log is to say of it.
    pub fn moved(&self, moved: Moved) -> Option<Event> {
        let event = self.lock().shelf.moved(moved);
        self.arrivals.notify_waiters();
        event
    }
}
