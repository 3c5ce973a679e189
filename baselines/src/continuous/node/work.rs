//! What a partition's operators do, in turns, and what becomes of it.
//!
//! One turn of a partition runs at a time; what comes meanwhile waits for the next. Neither what other operators
//! sent nor the source's own input starves. Invariant: an interval is closed after all its input; a result goes on once.

use crate::continuous::credit::Debt;
use crate::continuous::log::Batch;
use crate::continuous::message::{NodeNumber, PaneHeader, Progress, ToPeer};
use crate::continuous::node::channel::tell;
use crate::continuous::node::core::{Hosted, Node};
use crate::continuous::node::event::NodeAction;
use crate::continuous::node::input::mixed;
use crate::continuous::outbox::Entry;
use crate::continuous::source::Source;
use crate::continuous::topology::Target;
use bytes::Bytes;
use dstream_kernel::Produced;
use dstream_trace::{Event, Moment, RecordRange};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Pieces of input in one turn: enough that a turn's own cost does not count, few enough that others get theirs.
const MOST_WORKS: usize = 64;

/// Represented bytes of the source's own input in one turn, or else one batch: some milliseconds of a core, since what comes
/// of a turn is seen at its end.
const TURN_BYTES: u64 = 32 << 10;

/// Work that waits at a partition's operators before its source takes in more.
const MOST_QUEUED: usize = 4096;

/// One piece of work.
#[derive(Clone, Debug)]
pub enum Work {
    /// Map a batch of the source's input.
    Map(Batch),
    /// Take rows in.
    Absorb {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// The records that they come from, where they come from a map.
        records: Option<RecordRange>,
        /// The rows.
        rows: Bytes,
        /// Whether they were combined before.
        is_combined: bool,
        /// Whose they were.
        debt: Debt,
    },
    /// Close an interval.
    Close {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// Whether the state behind it is wanted.
        with_panes: bool,
    },
    /// Say what an open interval's result would be by now.
    SoFar {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// Rows that wait: of which interval, and what.
        more: Vec<(u64, Bytes)>,
    },
}

/// What came of one piece.
#[derive(Clone, Debug)]
pub enum Done {
    /// Rows by stage that reads lines and by reader's partition.
    Mapped {
        /// The batch's records.
        range: RecordRange,
        /// Their interval.
        interval: u64,
        /// stage -> partition -> rows
        parts: BTreeMap<u32, BTreeMap<u32, Bytes>>,
    },
    /// Rows are in the state.
    Absorbed {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// The records that they come from.
        records: Option<RecordRange>,
        /// Whose they were.
        debt: Debt,
        /// What changed, where it can be shown at once.
        running: Option<Bytes>,
    },
    /// The interval is closed.
    Closed {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// What came of it.
        produced: Produced,
        /// The state behind it, where it was wanted.
        panes: Option<Vec<(PaneHeader, Bytes)>>,
    },
    /// What an open interval's result would be.
    SoFar {
        /// The stage.
        stage: u32,
        /// The interval.
        interval: u64,
        /// Its rows; `None`: it was closed meanwhile.
        rows: Option<Bytes>,
    },
    /// A user's function failed, or rows are damaged.
    Failed {
        /// Why.
        why: String,
    },
}

/// What came of one piece of work, and what the cost model says that it took.
#[derive(Clone, Debug)]
pub struct WorkDone {
    /// What came of it.
    pub done: Done,
    /// By the model.
    pub cost_ns: u64,
}

impl WorkDone {
    fn interval(&self) -> u64 {
        match &self.done {
            Done::Mapped { interval, .. } | Done::Absorbed { interval, .. } | Done::Closed { interval, .. } => {
                *interval
            }
            Done::SoFar { .. } | Done::Failed { .. } => u64::MAX,
        }
    }
}

impl Node {
    /// Queues input; where order matters, until its interval is whole.
    pub(super) fn take_in(&mut self, partition: u32, stage: u32, interval: u64, writer: u32, work: Work) {
        let is_ordered = self.limits.rules.is_ordered;
        let Some(hosted) = self.hosted.get_mut(&partition) else { return };
        if is_ordered {
            hosted.buckets.entry((stage, interval)).or_default().push((writer, work));
        } else {
            hosted.queue.push_back(work);
        }
    }

    /// Queues the end of every interval of a stage that all writers have closed.
    pub(super) fn close_ready(&mut self, partition: u32, stage: u32) {
        let every = self.limits.rules.checkpoint_intervals.filter(|_| self.limits.topology.reach != Some(0));
        let Some(hosted) = self.hosted.get_mut(&partition) else { return };
        while let Some(interval) = hosted.inboxes.get_mut(&stage).and_then(|inbox| inbox.close()) {
            let mut bucket = hosted.buckets.remove(&(stage, interval)).unwrap_or_default();
            bucket.sort_by_key(|(writer, work)| (records_of(work).map(|range| (range.client, range.first)), *writer));
            hosted.queue.extend(bucket.into_iter().map(|(_, work)| work));
            let is_border = |every| (interval + 1) % every == 0 || self.save_at == Some(interval);
            let with_panes = every.is_some_and(is_border);
            hosted.queue.push_back(Work::Close { stage, interval, with_panes });
        }
    }

    /// Takes note of what an interval's input from a writer lacks; results of it and of later ones do, too. The writer is
    /// part of the name, or two that lack the same would look like none.
    pub(super) fn note_lacking(&mut self, partition: u32, stage: u32, interval: u64, (writer, lacks): (u32, u64)) {
        if let Some(hosted) = self.hosted.get_mut(&partition) {
            let all = hosted.lacking.entry((stage, interval)).or_default();
            *all = all.wrapping_add(mixed(lacks ^ mixed(u64::from(writer) + 1)));
        }
    }

    /// Starts a turn wherever there is work and none is under way. Where a replica waits for the state no operator goes on
    /// before all have come as far as the foremost: under a backlog they would hardly ever stand together by themselves.
    pub(super) fn start_turns(&mut self, actions: &mut Vec<NodeAction>) {
        // Else readers are behind, or cannot save their state.
        let has_room = self.output_bytes() < self.limits.most_kept_bytes;
        let wanted: BTreeSet<u32> = self.wanted_states.iter().map(|(_, partition, _)| *partition).collect();
        for (partition, hosted) in &mut self.hosted {
            if hosted.is_busy || hosted.source.is_none() {
                continue;
            }
            let stages = self.limits.topology.keyed_of(*partition).map(|keyed| keyed.stage);
            let last = wanted.contains(partition).then(|| hosted.closed_by_any(stages));
            let mut works = hosted.next_works(last);
            let waits = hosted.queue.len() > MOST_QUEUED;
            if has_room
                && !waits
                && let Some(held) = self.held.get(partition).filter(|held| held.is_whole)
            {
                let mut source = hosted.source.clone().expect("a running partition has a source");
                let mut bytes = 0;
                while bytes < TURN_BYTES {
                    // The oldest first: nothing closes before all clients' records are through.
                    let next = source.wanted().filter_map(|(client, next)| held.log.get(client, next));
                    let Some(batch) = next.min_by_key(|batch| (batch.interval, batch.range.first)) else { break };
                    source.took(batch.range);
                    bytes += batch.lines.len() as u64 * self.limits.scale;
                    works.push(Work::Map(batch.clone()));
                }
            }
            if !works.is_empty() {
                hosted.is_busy = true;
                actions.push(NodeAction::Run { partition: *partition, since: hosted.since, works });
            }
        }
    }

    /// A turn is over.
    pub(super) fn ran(
        &mut self,
        partition: u32,
        since: u64,
        done: Vec<WorkDone>,
        cpu: Duration,
        actions: &mut Vec<NodeAction>,
    ) {
        let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == since) else { return };
        hosted.is_busy = false;
        account(hosted, &done, cpu, actions);
        for work in done {
            match work.done {
                Done::Mapped { range, interval, parts } => self.mapped(partition, range, interval, parts),
                Done::Absorbed { stage, records, debt, running, .. } => {
                    self.credits.pay(debt);
                    if let (Some(range), Some(rows)) = (records, running) {
                        let (ranges, all) = self.shown.entry((stage, partition)).or_default();
                        ranges.push(range);
                        all.push(rows);
                    }
                }
                Done::Closed { stage, interval, produced, panes } => {
                    self.closed(partition, stage, interval, produced, actions);
                    if let Some(panes) = panes {
                        self.save(partition, stage, interval, panes, actions);
                    }
                }
                Done::SoFar { stage, interval, rows: Some(rows) } => {
                    let epoch = self.epoch;
                    let show = |epoch| NodeAction::ShowTentative { stage, partition, interval, rows, epoch };
                    actions.extend(epoch.map(show));
                }
                Done::SoFar { rows: None, .. } => {}
                Done::Failed { why } => actions.push(NodeAction::Fatal(why)),
            }
        }
        let said = self.credits.say();
        actions.extend(said.into_iter().map(|(node, bytes)| tell(node, ToPeer::Credit { bytes })));
        self.serve_states(partition, actions);
    }

    fn mapped(
        &mut self,
        partition: u32,
        range: RecordRange,
        interval: u64,
        parts: BTreeMap<u32, BTreeMap<u32, Bytes>>,
    ) {
        let hosted = self.hosted.get_mut(&partition).expect("its turn was just ended");
        hosted.source.as_mut().expect("it took turns").took(range);
        for (stage, parts) in parts {
            let outbox = hosted.outboxes.get_mut(&stage).expect("every map has an outbox");
            outbox.push(Entry { interval, records: Some(range), parts, lacks: 0 });
            self.dirty.insert((partition, stage));
        }
    }

    fn closed(&mut self, partition: u32, stage: u32, interval: u64, produced: Produced, actions: &mut Vec<NodeAction>) {
        let leads = self.leads(partition);
        let only_leader = self.limits.rules.only_leader_hands_in;
        let target =
            self.limits.topology.keyed_of(partition).find(|keyed| keyed.stage == stage).map(|keyed| keyed.target);
        let hosted = self.hosted.get_mut(&partition).expect("its turn was just ended");
        hosted.closed.insert(stage, interval);
        let lacks = hosted.lacks_at(stage, interval, (self.limits.topology.reach, self.limits.node));
        match (target, produced) {
            (Some(Target::Stage(_)), Produced::Slices(slices)) => {
                let parts = (0u32..).zip(slices).filter(|(_, rows)| !rows.is_empty()).collect();
                let outbox = hosted.outboxes.get_mut(&stage).expect("it writes a shuffle");
                outbox.push(Entry { interval, records: None, parts, lacks });
                self.dirty.insert((partition, stage));
                self.flush_at = Moment::ZERO;
            }
            (Some(Target::Output(_)), Produced::Rows(rows)) => {
                if hosted.mute_through >= Some(interval) {
                    return; // visible since before the loss
                }
                if only_leader && !leads {
                    // What has been visible since before this one closed it nobody hands in any more.
                    if self.visible < Some(interval) {
                        hosted.withheld.insert((stage, interval), (rows, lacks));
                    }
                } else {
                    self.hand_in(partition, (stage, interval), rows, lacks, actions);
                }
            }
            _ => actions.push(NodeAction::Fatal(format!("stage {stage} made what it does not end in"))),
        }
    }

    fn hand_in(
        &mut self,
        partition: u32,
        (stage, interval): (u32, u64),
        rows: Bytes,
        lacks: u64,
        actions: &mut Vec<NodeAction>,
    ) {
        let Some(epoch) = self.epoch else { return };
        let hosted = self.hosted.get_mut(&partition).expect("whoever has results runs");
        if self.limits.topology.is_due(stage, interval) {
            hosted.handed_in.insert((stage, interval));
            let since = hosted.since;
            actions.push(NodeAction::HandIn { partition, since, stage, interval, rows, lacks, epoch });
        }
    }

    /// Hands in what the leading host would have.
    pub(super) fn hand_in_withheld(&mut self, actions: &mut Vec<NodeAction>) {
        let leading: Vec<u32> = self.hosted.keys().copied().filter(|partition| self.leads(*partition)).collect();
        for partition in leading {
            let hosted = self.hosted.get_mut(&partition).expect("it was just there");
            for (of, (rows, lacks)) in std::mem::take(&mut hosted.withheld) {
                self.hand_in(partition, of, rows, lacks, actions);
            }
        }
    }

    pub(super) fn leads(&self, partition: u32) -> bool {
        let place = self.assignment.place(partition);
        place.and_then(|place| place.hosts.first()).is_some_and(|seat| seat.node == self.me())
    }

    /// Collects the state behind an interval; orders the save when all stages have given theirs.
    fn save(
        &mut self,
        partition: u32,
        stage: u32,
        through: u64,
        panes: Vec<(PaneHeader, Bytes)>,
        actions: &mut Vec<NodeAction>,
    ) {
        let stages = self.limits.topology.keyed_of(partition).count();
        let border = self
            .punctuations
            .iter()
            .filter_map(|(client, ends)| Some((*client, BTreeMap::from([(through, *ends.get(&through)?)]))));
        let hosted = self.hosted.get_mut(&partition).expect("its turn was just ended");
        let of_border = hosted.saving.entry(through).or_default();
        of_border.insert(stage, panes);
        if of_border.len() < stages {
            return;
        }
        let panes = hosted.saving.remove(&through).unwrap_or_default();
        let before = hosted.saves.order(through);
        let all: Vec<(PaneHeader, Bytes)> = panes.into_values().flatten().collect();
        let previous = before.filter(|before| all.iter().any(|(pane, _)| pane.interval <= *before));
        let new = all.into_iter().filter(|(pane, _)| Some(pane.interval) > before).collect();
        let (since, punctuations) = (hosted.since, border.collect());
        actions.push(NodeAction::Save { partition, since, through, previous, panes: new, punctuations });
    }

    pub(super) fn saved(&mut self, partition: u32, since: u64, through: u64) {
        if let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == since) {
            let sealed = hosted.source.as_ref().and_then(Source::sealed);
            hosted.saves.saved(through, sealed);
        }
    }

    /// How far a partition is.
    pub(super) fn progress(&self, partition: u32) -> Option<Progress> {
        let hosted = self.hosted.get(&partition)?;
        let Some(source) = &hosted.source else {
            let before = hosted.through;
            let since = hosted.since;
            let (sealed, closed, passed_on, saved) = (before, before, before, before);
            return Some(Progress { partition, since, is_running: false, sealed, closed, passed_on, saved });
        };
        let keyed = || self.limits.topology.keyed_of(partition);
        let stage_closed = |stage: u32| hosted.closed.get(&stage).copied().max(hosted.through);
        // The source may be behind: what a twin's source sent closes intervals, too.
        let closed = keyed().map(|keyed| stage_closed(keyed.stage)).chain([source.sealed()]).min().flatten();
        // What another host is to hand in is passed on when that has done so.
        let waits = hosted.withheld.keys().chain(&hosted.handed_in);
        let under_way = waits.map(|(_, interval)| *interval).min();
        let passed_on = under_way.map_or(closed, |first| closed.min(first.checked_sub(1)));
        let keeps_nothing = keyed().next().is_none() || self.limits.topology.reach == Some(0);
        let saved = if keeps_nothing { passed_on } else { hosted.saves.whole(source.sealed()) };
        let (since, sealed) = (hosted.since, source.sealed());
        Some(Progress { partition, since, is_running: true, sealed, closed, passed_on, saved })
    }
}

impl Hosted {
    /// The last interval that one of these stages has closed.
    fn closed_by_any(&self, stages: impl Iterator<Item = u32>) -> Option<u64> {
        let closed = |stage: u32| self.closed.get(&stage).copied();
        stages.map(closed).max().flatten().max(self.through)
    }

    /// What is done next. No interval behind `last`, if there is such a one, is closed: its end waits, and what comes after
    /// that in the queue does not, as the ends that are waited for may lie there.
    fn next_works(&mut self, last: Option<Option<u64>>) -> Vec<Work> {
        let Some(last) = last else { return self.queue.drain(..self.queue.len().min(MOST_WORKS)).collect() };
        let waits = |work: &Work| matches!(work, Work::Close { interval, .. } if Some(*interval) > last);
        let (mut works, mut waiting) = (Vec::new(), VecDeque::new());
        while works.len() < MOST_WORKS
            && let Some(work) = self.queue.pop_front()
        {
            if waits(&work) {
                waiting.push_back(work);
            } else {
                works.push(work);
            }
        }
        waiting.append(&mut self.queue);
        self.queue = waiting;
        works
    }

    /// Names everything given up that a result of this interval may lack, in it or through state; 0: nothing. What a
    /// host had taken in before it was given up is in its results and not in another's, so the host is part of the
    /// name.
    fn lacks_at(&self, stage: u32, interval: u64, (reach, node): (Option<u64>, NodeNumber)) -> u64 {
        let first = reach.map_or(0, |reach| interval.saturating_sub(reach));
        let own = self.lacking.range((stage, first)..=(stage, interval)).map(|(_, lacks)| *lacks);
        let begun = self.through.map_or(0, |through| through.saturating_add(1));
        let base = if first < begun { self.lacks } else { 0 };
        match own.fold(base, u64::wrapping_add) {
            0 => 0,
            all => mixed(all ^ mixed(self.since ^ (u64::from(node) << 48))),
        }
    }
}

fn records_of(work: &Work) -> Option<RecordRange> {
    match work {
        Work::Map(batch) => Some(batch.range),
        Work::Absorb { records, .. } => *records,
        Work::Close { .. } | Work::SoFar { .. } => None,
    }
}

/// Puts the turn's time into the log of the run, and how much of it went into work that had been done before.
fn account(hosted: &Hosted, done: &[WorkDone], cpu: Duration, actions: &mut Vec<NodeAction>) {
    let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
    actions.push(NodeAction::Record(Event::CpuUsed { cpu_ns }));
    let all: u64 = done.iter().map(|work| work.cost_ns).sum();
    let again: u64 = done.iter().filter(|work| work.interval() < hosted.repeat_below).map(|work| work.cost_ns).sum();
    if again > 0 {
        let share = (u128::from(cpu_ns) * u128::from(again) / u128::from(all.max(1))) as u64;
        actions.push(NodeAction::Record(Event::WorkRepeated { cpu_ns: share }));
    }
}
