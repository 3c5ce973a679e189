//! An index over the log: what was sent, held, sealed, computed and seen, by name instead of by time.
//!
//! Built in one pass. Invariant: the pieces of `sent` and of `acked` of one client are disjoint and in order; where a
//! record was sent or acknowledged twice, the first time counts.

use super::owner::Owners;
use super::source::{Said, Shares};
use crate::event::{Event, Rows, TaskName, Word};
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::{BlockName, NodeName};
use crate::range::{RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// Records with evenly spaced scheduled times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which records.
    pub range: RecordRange,
    /// The record at which the spacing begins; at most `range.first`.
    anchor: u64,
    /// Steps between the anchor and the last record of the spacing.
    steps: u64,
    /// When the anchor was due.
    begin: Moment,
    /// From the anchor to the last record of the spacing, in nanoseconds.
    span_ns: u64,
}

impl Sent {
    /// When record `sequence` was due.
    pub fn scheduled(&self, sequence: u64) -> Moment {
        if self.steps == 0 {
            return self.begin;
        }
        let offset = u128::from(self.span_ns) * u128::from(sequence - self.anchor) / u128::from(self.steps);
        Moment(self.begin.0 + u64::try_from(offset).expect("an offset inside the span fits like the span"))
    }

    /// The last record of the range that was due at or before `moment`.
    pub fn last_due(&self, moment: Moment) -> Option<u64> {
        if moment < self.scheduled(self.range.first) {
            return None;
        }
        if self.span_ns == 0 || self.steps == 0 {
            return Some(self.range.last);
        }
        // floor(span * i / steps) <= d  holds for  i <= ((d + 1) * steps - 1) / span.
        let reach = u128::from(moment.0 - self.begin.0) + 1;
        let index = (reach * u128::from(self.steps) - 1) / u128::from(self.span_ns);
        let sequence = u128::from(self.anchor) + index;
        Some(u64::try_from(sequence).map_or(self.range.last, |sequence| sequence.min(self.range.last)))
    }

    /// The part of this piece from record `first` on.
    pub fn from(&self, first: u64) -> Option<Sent> {
        self.within(RecordRange { first, last: u64::MAX, ..self.range })
    }

    /// The part of this piece inside `range`.
    pub fn within(&self, range: RecordRange) -> Option<Sent> {
        let first = self.range.first.max(range.first);
        let last = self.range.last.min(range.last);
        let same_client = self.range.client == range.client;
        (same_client && first <= last)
            .then_some(Sent { range: RecordRange { client: range.client, first, last }, ..*self })
    }
}

/// Records that became known to be held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Which.
    pub range: RecordRange,
    /// When.
    pub at: Moment,
}

/// Records that show in a running result for the first time.
pub type Reflected = Acked;

/// A sealed interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// When, the first time; where sources seal shares of it, when the last one did.
    pub at: Moment,
    /// Its line in the log.
    pub sequence: u64,
    /// Its records.
    pub ranges: Vec<RecordRange>,
    /// Its blocks.
    pub blocks: Vec<BlockName>,
    /// How often it was sealed; more than once is a defect. What a later master, or replicas and
    /// heirs of a source, say again does not count.
    pub times: u32,
    /// The terms of the masters that said so; 0 where there are none.
    pub terms: BTreeSet<u64>,
}

impl Sealed {
    /// A later master says once what it takes over, and the same; an earlier one may say it after that.
    fn say_again(&mut self, said: &Sealed) {
        let is_same = (&self.ranges, &self.blocks) == (&said.ranges, &said.blocks);
        if !is_same || !self.terms.is_disjoint(&said.terms) {
            self.times += 1;
        }
        self.terms.extend(&said.terms);
    }
}

/// A visible result of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// Since when.
    pub at: Moment,
    /// How many partitions make the output whole.
    pub of: u32,
    /// Who sent it.
    pub from: NodeName,
    /// The rows.
    pub rows: Rows,
}

/// The life of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFacts {
    /// Where it was to run; `None` if it ran without having been launched.
    pub worker: Option<NodeName>,
    /// When and in which line it was launched.
    pub launched: Option<(Moment, u64)>,
    /// Whether its work had been done before.
    pub again: bool,
    /// When it got a core.
    pub started: Option<Moment>,
    /// When its result existed.
    pub finished: Option<Moment>,
    /// When it ended without one, and why.
    pub failed: Option<(Moment, Word)>,
    /// Time of a core it took.
    pub cpu_ns: u64,
    /// Records it read.
    pub records: u64,
}

/// When a fault was applied and over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// When it was applied.
    pub applied: Option<Moment>,
    /// When it was over.
    pub ended: Option<Moment>,
}

/// A worker that was declared lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When.
    pub at: Moment,
    /// The line.
    pub sequence: u64,
    /// Who.
    pub worker: NodeName,
    /// Under which epoch.
    pub epoch: u64,
}

/// A fence that reached the sink.
pub type Fence = Lost;

/// A worker that became a member.
pub type Joined = Lost;

/// What happened in a run, by name.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// client -> pieces
    pub sent: BTreeMap<u32, Vec<Sent>>,
    /// client -> pieces
    pub acked: BTreeMap<u32, Vec<Acked>>,
    /// Each master's last term.
    pub terms: BTreeMap<NodeName, u64>,
    /// Which node led, and from when on.
    pub elected: Vec<(Moment, NodeName)>,
    /// interval -> its seal
    pub sealed: BTreeMap<u64, Sealed>,
    /// What sources said of their shares of intervals.
    pub shares: Shares,
    /// Who ran which partition.
    pub owners: Owners,
    /// Records that show in running results, in the log's order.
    pub reflected: Vec<Reflected>,
    /// interval -> which blocks each map partition reads
    pub cuts: BTreeMap<u64, Vec<Vec<BlockName>>>,
    /// interval -> output -> partition -> its result
    pub results: BTreeMap<u64, BTreeMap<String, BTreeMap<u32, Visible>>>,
    /// Every attempt.
    pub tasks: BTreeMap<TaskName, TaskFacts>,
    /// fault number -> times
    pub faults: BTreeMap<u32, FaultTimes>,
    /// Workers declared lost, in the log's order.
    pub lost: Vec<Lost>,
    /// Workers that became members, in the log's order: each life of theirs, and anew under each master.
    pub joined: Vec<Joined>,
    /// Fences at the sink, in the log's order.
    pub fences: Vec<Fence>,
    /// (when, line, how many needed blocks have too few copies), in the log's order.
    pub copies_below: Vec<(Moment, u64, u64)>,
}

impl Facts {
    /// Reads the whole log.
    pub fn read(lines: &[TraceLine]) -> Facts {
        let mut facts = Facts::default();
        let mut sent = RangeSet::new();
        let mut acked = RangeSet::new();
        let mut reflected = RangeSet::new();
        for line in lines {
            match &line.event {
                Event::RecordsSent { range, first_scheduled, last_scheduled } => {
                    facts.send(&mut sent, *range, *first_scheduled, *last_scheduled);
                }
                Event::RecordsAcked { range } => facts.acknowledge(&mut acked, *range, line.at),
                Event::RecordsReflected { ranges, .. } => {
                    for range in ranges {
                        let fresh = reflected.gaps(*range).into_iter();
                        facts.reflected.extend(fresh.map(|range| Reflected { range, at: line.at }));
                        reflected.insert(*range);
                    }
                }
                Event::FaultApplied { fault, .. } => facts.faults.entry(*fault).or_default().applied = Some(line.at),
                Event::FaultEnded { fault, .. } => facts.faults.entry(*fault).or_default().ended = Some(line.at),
                _ => facts.read_engine(line),
            }
        }
        facts.sent.values_mut().for_each(|pieces| pieces.sort_by_key(|piece| piece.range));
        facts.acked.values_mut().for_each(|pieces| pieces.sort_by_key(|piece| piece.range));
        facts
    }

    fn send(&mut self, known: &mut RangeSet, range: RecordRange, first: Moment, last: Moment) {
        let pieces = self.sent.entry(range.client).or_default();
        for part in known.gaps(range) {
            pieces.push(Sent {
                range: part,
                anchor: range.first,
                steps: range.last - range.first,
                begin: first,
                span_ns: last.0.saturating_sub(first.0),
            });
        }
        known.insert(range);
    }

    fn acknowledge(&mut self, known: &mut RangeSet, range: RecordRange, at: Moment) {
        let pieces = self.acked.entry(range.client).or_default();
        pieces.extend(known.gaps(range).into_iter().map(|range| Acked { range, at }));
        known.insert(range);
    }

    fn read_engine(&mut self, line: &TraceLine) {
        let (at, sequence) = (line.at, line.sequence);
        match &line.event {
            Event::IntervalSealed { interval, ranges, blocks } => {
                let (ranges, blocks) = (ranges.clone(), blocks.clone());
                let terms = BTreeSet::from([self.terms.get(&line.node).copied().unwrap_or_default()]);
                let said = Sealed { at, sequence, ranges, blocks, times: 1, terms };
                match self.sealed.get_mut(interval) {
                    None => _ = self.sealed.insert(*interval, said),
                    Some(sealed) => sealed.say_again(&said),
                }
            }
            Event::MasterElected { term } => {
                self.terms.insert(line.node.clone(), *term);
                self.elected.push((at, line.node.clone()));
            }
            Event::SourceSealed { interval, partition, of, ranges, blocks } => {
                let whole = self.shares.add(line, (*interval, *partition, *of), Said { ranges, blocks });
                if let Some(whole) = whole {
                    self.sealed.entry(*interval).or_insert(whole);
                }
            }
            Event::PartitionTaken { partition, node, epoch } => self.owners.take(*partition, node, *epoch, at),
            Event::PartitionLeft { partition, node } => self.owners.hand_on(*partition, node, at),
            Event::ProcessEnded => self.owners.leave(&line.node, at),
            Event::MapsCut { interval, inputs } => {
                self.cuts.entry(*interval).or_insert_with(|| inputs.clone());
            }
            Event::WorkerLost { worker, epoch } => {
                self.owners.leave(worker, at);
                self.lost.push(Lost { at, sequence, worker: worker.clone(), epoch: *epoch });
            }
            Event::WorkerJoined { worker, epoch } => {
                self.joined.push(Joined { at, sequence, worker: worker.clone(), epoch: *epoch });
            }
            Event::Fenced { worker, epoch } => {
                self.fences.push(Fence { at, sequence, worker: worker.clone(), epoch: *epoch });
            }
            Event::BlockHeld { .. } | Event::BlockLost { .. } => self.shares.note(line),
            // Who does not know yet that another one leads knows nothing of what that one has had copied.
            Event::CopiesBelow { blocks } if self.elected.last().is_none_or(|(_, leader)| *leader == line.node) => {
                self.copies_below.push((at, sequence, *blocks));
            }
            Event::ResultVisible { output, interval, partition, of, from, rows, .. } => {
                let result = Visible { at, of: *of, from: from.clone(), rows: rows.clone() };
                let outputs = self.results.entry(*interval).or_default();
                outputs.entry(output.clone()).or_default().entry(*partition).or_insert(result);
            }
            _ => self.read_task(line),
        }
    }

    fn read_task(&mut self, line: &TraceLine) {
        match &line.event {
            Event::TaskLaunched { task, worker, again } => {
                let facts = self.tasks.entry(*task).or_default();
                facts.worker = Some(worker.clone());
                facts.launched = Some((line.at, line.sequence));
                facts.again = *again;
            }
            Event::TaskStarted { task } => self.tasks.entry(*task).or_default().started = Some(line.at),
            Event::TaskFinished { task, cpu_ns, records } => {
                let facts = self.tasks.entry(*task).or_default();
                facts.finished = Some(line.at);
                facts.cpu_ns = *cpu_ns;
                facts.records = *records;
            }
            Event::TaskFailed { task, why } => {
                self.tasks.entry(*task).or_default().failed = Some((line.at, why.clone()))
            }
            _ => {}
        }
    }

    /// The pieces of sent records inside `range`.
    pub fn sent_within(&self, range: RecordRange) -> impl Iterator<Item = Sent> + '_ {
        let pieces = self.sent.get(&range.client).map_or(&[][..], Vec::as_slice);
        let start = pieces.partition_point(|piece| piece.range.last < range.first);
        pieces[start..].iter().map_while(move |piece| piece.within(range))
    }

    /// The pieces of acknowledged records inside `range`, clipped to it.
    pub fn acked_within(&self, range: RecordRange) -> impl Iterator<Item = Acked> + '_ {
        let pieces = self.acked.get(&range.client).map_or(&[][..], Vec::as_slice);
        let start = pieces.partition_point(|piece| piece.range.last < range.first);
        pieces[start..].iter().take_while(move |piece| piece.range.first <= range.last).map(move |piece| {
            let first = piece.range.first.max(range.first);
            let last = piece.range.last.min(range.last);
            Acked { range: RecordRange { client: range.client, first, last }, at: piece.at }
        })
    }
}
