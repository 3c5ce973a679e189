//! Late results, shown before all their input is there.
//!
//! The availability bound of delay, process and correct (Balazinska et al., SIGMOD'05): a result that is later than
//! the bound is shown as it would be if nothing more came, and marked; the result itself follows when its input has
//! come, so nothing of the state is touched and nothing has to be undone. Invariant: only what is not visible is
//! shown, each interval once.

use crate::continuous::node::core::{Hosted, Node};
use crate::continuous::node::work::Work;
use crate::continuous::topology::{Keyed, Target};
use bytes::Bytes;
use dstream_trace::Moment;
use std::time::Duration;

/// So many intervals behind the one that closes next have tentative results; the work for each grows with their number.
const MOST_OPEN_INTERVALS: u64 = 16;

impl Node {
    /// When the next late result is to be shown.
    pub(super) fn tentative_at(&self) -> Moment {
        let Some(bound) = self.limits.rules.tentative else { return Moment::NEVER };
        let due = self.late_results(bound).map(|(_, _, _, due)| due);
        due.min().unwrap_or(Moment::NEVER)
    }

    /// Queues the work for every result that is too late by now.
    pub(super) fn show_late_results(&mut self, now: Moment) {
        let Some(bound) = self.limits.rules.tentative else { return };
        let late: Vec<_> = self.late_results(bound).filter(|(_, _, _, due)| *due <= now).collect();
        for (partition, stage, interval, _) in late {
            let hosted = self.hosted.get_mut(&partition).expect("it was just found");
            hosted.tentative.insert(stage, interval);
            let more = waiting_rows(hosted, stage, interval);
            // Before what waits: the bound is on time, not on how much was taken in.
            hosted.queue.push_front(Work::SoFar { stage, interval, more });
        }
    }

    /// Results that this node would show next: partition, stage, interval, and from when on they are late.
    fn late_results(&self, bound: Duration) -> impl Iterator<Item = (u32, u32, u64, Moment)> {
        let of_partition = move |(partition, hosted): (&u32, &Hosted)| {
            let shows = hosted.source.is_some() && (self.leads(*partition) || !self.limits.rules.only_leader_hands_in);
            let outputs = self.limits.topology.keyed_of(*partition);
            let outputs = outputs.filter(|keyed| shows && matches!(keyed.target, Target::Output(_)));
            let late = outputs.filter_map(|keyed| Some((keyed.stage, self.next_late(hosted, keyed)?)));
            let end = |interval: u64| {
                let intervals = u32::try_from(interval + 1).unwrap_or(u32::MAX);
                self.limits.origin + self.limits.interval * intervals + bound
            };
            late.map(|(stage, interval)| (*partition, stage, interval, end(interval))).collect::<Vec<_>>()
        };
        self.hosted.iter().flat_map(of_partition)
    }

    /// The first due interval of the stage that is open, not visible and not shown.
    fn next_late(&self, hosted: &Hosted, keyed: &Keyed) -> Option<u64> {
        let behind = |interval: Option<u64>| interval.map_or(0, |interval| interval + 1);
        let open = behind(hosted.closed.get(&keyed.stage).copied().max(hosted.through));
        let first = open.max(behind(self.visible)).max(behind(hosted.tentative.get(&keyed.stage).copied()));
        let due = (first + 1).next_multiple_of(keyed.every) - 1;
        (due - open < MOST_OPEN_INTERVALS).then_some(due)
    }
}

/// Rows that wait until their interval is whole, as far as an interval.
fn waiting_rows(hosted: &Hosted, stage: u32, through: u64) -> Vec<(u64, Bytes)> {
    let waiting = hosted.buckets.range((stage, 0)..=(stage, through));
    let rows = waiting.flat_map(|((_, interval), bucket)| bucket.iter().map(move |(_, work)| (*interval, work)));
    rows.filter_map(|(interval, work)| match work {
        Work::Absorb { rows, .. } => Some((interval, rows.clone())),
        Work::Map(_) | Work::Close { .. } | Work::SoFar { .. } => None,
    })
    .collect()
}
