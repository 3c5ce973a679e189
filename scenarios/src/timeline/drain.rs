//! When a run may end: everything acknowledged and out, all copies there, five intervals on time after the last fault.
//!
//! Reads each line of the log once. Invariant: once the clients are done, nothing but results and copies can change.

use super::Times;
use crate::plan::Plan;
use crate::witnesses::Witnesses;
use dstream_trace::{Event, Moment, RangeSet, RecordRange, TraceLine};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Catching up takes five on-time intervals, which have to be seen.
const INTERVALS_AFTER_FAULT: u64 = 5;

/// Where partitions have owners, what is missing may be a node that no cluster can make: a standby whose place stays empty.
/// It is not waited for once nothing has come back for so long; copying a state takes less.
const COPIES_PATIENCE: Duration = Duration::from_secs(10);

/// What is still open.
pub(super) struct DrainWatch {
    next_line: usize,
    origin: Moment,
    interval: Duration,
    /// name -> how many intervals lie between two results
    outputs: BTreeMap<String, u64>,
    /// Clients that have not said that they are done, those that died for good aside.
    clients: BTreeSet<String>,
    acked: RangeSet,
    sealed: RangeSet,
    /// interval -> the sources that have sealed their share of it
    shares: BTreeMap<u64, BTreeSet<u32>>,
    /// Sealed intervals without all the results that are due at their end.
    open: BTreeMap<u64, Open>,
    /// Sealed intervals with all of them, and how long after their ends.
    done: BTreeMap<u64, Duration>,
    warmup_end: Moment,
    /// An interval whose results are out within this is on time.
    slo: Option<Duration>,
    /// The longest delay of an interval that was done before the first fault; those after the warm-up count first.
    usual: Option<(bool, Duration)>,
    /// Intervals whose results cover records, as long as they are not done.
    awaited: BTreeSet<u64>,
    /// What nobody can give up who lives is awaited no longer.
    witnesses: Witnesses,
    copies_below: u64,
    /// When that changed last.
    copies_changed: Moment,
    has_owners: bool,
    last_fault: Option<Moment>,
}

#[derive(Default)]
struct Open {
    is_sealed: bool,
    /// (output, partition)
    visible: BTreeSet<(String, u32)>,
    /// output -> its partitions
    of: BTreeMap<String, u32>,
}

impl DrainWatch {
    pub(super) fn new(plan: &Plan, times: &Times) -> DrainWatch {
        let dead = |client: &String| {
            plan.faults
                .iter()
                .any(|fault| fault.lasts.is_none() && fault.kind.ends().is_some_and(|node| node.as_str() == client))
        };
        let clients = (1..=plan.cluster.clients).map(|client| format!("client-{client}"));
        DrainWatch {
            next_line: 0,
            origin: times.origin,
            interval: plan.interval,
            outputs: times.outputs.iter().cloned().collect(),
            clients: clients.filter(|client| !dead(client)).collect(),
            acked: RangeSet::new(),
            sealed: RangeSet::new(),
            shares: BTreeMap::new(),
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            warmup_end: times.warmup_end,
            slo: plan.slo,
            usual: None,
            awaited: BTreeSet::new(),
            witnesses: Witnesses::new(),
            copies_below: 0,
            copies_changed: Moment::ZERO,
            has_owners: false,
            last_fault: None,
        }
    }

    /// Reads what the log has more than at the last time.
    pub(super) fn read_on(&mut self, lines: &[TraceLine]) {
        for line in &lines[self.next_line..] {
            self.witnesses.step(line);
            self.read(line);
        }
        self.next_line = lines.len();
    }

    /// Whether everything is acknowledged and out.
    pub(super) fn is_drained(&self) -> bool {
        self.clients.is_empty() && self.is_out()
    }

    /// Whether nothing more is to be seen: drained, all copies there, five intervals on time after the last fault.
    pub(super) fn is_settled(&self, now: Moment) -> bool {
        self.is_drained() && self.has_copies(now) && self.has_caught_up(now)
    }

    /// Whether all copies are there, or all that will ever be.
    fn has_copies(&self, now: Moment) -> bool {
        self.copies_below == 0 || (self.has_owners && now >= self.copies_changed + COPIES_PATIENCE)
    }

    fn read(&mut self, line: &TraceLine) {
        match &line.event {
            Event::ClientDone { .. } => {
                self.clients.remove(line.node.as_str());
            }
            Event::RecordsAcked { range } => drop(self.acked.insert(*range)),
            Event::CopiesBelow { blocks } => (self.copies_below, self.copies_changed) = (*blocks, line.at),
            Event::PartitionTaken { .. } => self.has_owners = true,
            Event::FaultApplied { .. } => self.last_fault = Some(line.at),
            // What was given up is awaited no longer.
            Event::BlockLost { ranges, interval: None, .. } => self.seal(ranges),
            Event::IntervalSealed { interval, ranges, .. } => self.take_share(line.at, *interval, (ranges, true)),
            Event::SourceSealed { interval, partition, of, ranges, .. } => {
                let shares = self.shares.entry(*interval).or_default();
                // Replicas and heirs say the same again.
                if shares.insert(*partition) {
                    let is_whole = shares.len() == *of as usize;
                    self.take_share(line.at, *interval, (ranges, is_whole));
                }
            }
            Event::ResultVisible { output, interval, partition, of, .. } if !self.done.contains_key(interval) => {
                let open = self.open.entry(*interval).or_default();
                open.of.insert(output.clone(), *of);
                open.visible.insert((output.clone(), *partition));
                self.close(line.at, *interval);
            }
            _ => {}
        }
    }

    /// Some records of an interval are fixed; with the last of them it is sealed.
    fn take_share(&mut self, at: Moment, interval: u64, (ranges, is_whole): (&[RecordRange], bool)) {
        self.seal(ranges);
        self.open.entry(interval).or_default().is_sealed |= is_whole;
        if !ranges.is_empty() {
            let covering = self.outputs.values().map(|every| due_after(interval, *every));
            self.awaited.extend(covering.filter(|due| !self.done.contains_key(due)));
        }
        self.close(at, interval);
    }

    fn seal(&mut self, ranges: &[RecordRange]) {
        ranges.iter().for_each(|range| drop(self.sealed.insert(*range)));
    }

    fn close(&mut self, at: Moment, interval: u64) {
        let Some(open) = self.open.get(&interval) else { return };
        let has_all = |output: &String| {
            let seen = open.visible.range((output.clone(), 0)..=(output.clone(), u32::MAX)).count();
            open.of.get(output).is_some_and(|of| seen >= *of as usize)
        };
        let mut due = self.outputs.iter().filter(|(_, every)| due_after(interval, **every) == interval);
        if open.is_sealed && due.all(|(output, _)| has_all(output)) {
            self.open.remove(&interval);
            self.awaited.remove(&interval);
            let delay = at.since(self.end_of(interval));
            self.done.insert(interval, delay);
            if self.last_fault.is_none() {
                let is_measured = self.end_of(interval) > self.warmup_end;
                self.usual = self.usual.max(Some((is_measured, delay)));
            }
        }
    }

    fn is_out(&self) -> bool {
        let forgotten = self.witnesses.forgotten();
        let mut unsealed = self.acked.iter().flat_map(|range| self.sealed.gaps(range));
        let all_sealed = unsealed.all(|range| forgotten.gaps(range).is_empty());
        all_sealed && self.awaited.is_empty()
    }

    /// Whether the interval open at the last fault and the five after it that are due are complete, and five in a row that
    /// are due were on time since.
    fn has_caught_up(&self, now: Moment) -> bool {
        let Some(fault) = self.last_fault else { return true };
        let length = self.interval.as_nanos().max(1);
        let index = |at: Moment| at.since(self.origin).as_nanos() / length;
        let first = u64::try_from(index(fault)).expect("an index of 64-bit nanoseconds fits 64 bits");
        let slowest = self.outputs.values().copied().max().unwrap_or(1);
        let last = first + INTERVALS_AFTER_FAULT * slowest;
        let are_complete = (first..=last).all(|interval| self.done.contains_key(&interval));
        index(now) > u128::from(last) && are_complete && self.was_on_time_since(first)
    }

    /// As a fault's `catch_up_s` is measured. What an interval that is on time takes is not known where none was done before
    /// the first fault and the scenario does not say it.
    fn was_on_time_since(&self, first: u64) -> bool {
        let Some(slo) = self.slo.or(self.usual.map(|(_, largest)| largest + largest / 2)) else { return true };
        let newest = self.done.keys().next_back().copied().unwrap_or(first);
        let is_due = |interval: &u64| self.outputs.values().any(|every| due_after(*interval, *every) == *interval);
        let mut in_a_row = 0;
        (first..=newest).filter(is_due).any(|interval| {
            let is_on_time = self.done.get(&interval).is_some_and(|delay| *delay <= slo);
            in_a_row = if is_on_time { in_a_row + 1 } else { 0 };
            in_a_row >= INTERVALS_AFTER_FAULT
        })
    }

    fn end_of(&self, interval: u64) -> Moment {
        self.origin + self.interval * u32::try_from(interval + 1).unwrap_or(u32::MAX)
    }
}

/// The first interval, from `interval` on, at whose end an output has a result that has one every `every` intervals.
fn due_after(interval: u64, every: u64) -> u64 {
    let every = every.max(1);
    interval.saturating_add(every - 1 - interval % every)
}
