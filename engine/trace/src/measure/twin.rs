//! The twin of a run: the same seed without faults, and how much later the faulted run's records were in results.
//!
//! Both runs have the same records at the same scheduled times. The area between their latencies over time is therefore
//! the sum of the differences of all records that are in results of both, divided by how many are due in a second.
//! Invariant: a run compared with itself has no excess.

use super::{Facts, IntervalRow, MeasureInput, Measured, seconds_from};
use crate::moment::Moment;
use crate::range::RecordRange;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Records of one client that were all in results of every output from the same moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    first: u64,
    last: u64,
    visible: Moment,
}

/// What is kept of a run to compare another one with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// Core-seconds that it used from the end of the warm-up.
    cpu_s: f64,
    /// client -> its records, in order
    seen: BTreeMap<u32, Vec<Seen>>,
}

/// What a run has more than its twin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excess {
    /// Core-seconds; `None` where a result that was due under load never came: then the run did less, and what it saved by
    /// that is no measure of what faults cost.
    pub cpu_s: Option<f64>,
    /// The area between the latencies over time, for each planned fault: in seconds of latency times seconds of time. `None`
    /// also where it goes on to the end of a run some of whose results never came: of the latest records it knows nothing.
    pub latency_s2: Vec<Option<f64>>,
}

impl Twin {
    /// What is to be kept of this run.
    pub fn of(facts: &Facts, measured: &Measured) -> Twin {
        Twin { cpu_s: measured.cost.cpu_s, seen: seen(facts, &measured.intervals) }
    }

    /// What `measured` has more. Each fault answers for the records that were in no result yet at its t0, those included
    /// that were due before it; and for all until the next fault strikes after the run had settled again. `None` where it
    /// had no effect or there were none.
    pub fn excess(&self, facts: &Facts, measured: &Measured, input: &MeasureInput) -> Excess {
        let own = seen(facts, &measured.intervals);
        let applied = |number: u32| facts.faults.get(&number).and_then(|times| times.applied);
        let begins: Vec<Moment> = input.faults.iter().filter_map(|fault| applied(fault.number)).collect();
        let is_whole = is_whole(measured, input);
        let faults = input.faults.iter().zip(&measured.faults).zip(&measured.settled);
        let latency_s2 = faults.map(|((planned, fault), settled)| {
            let from = applied(planned.number).filter(|_| fault.fired)?;
            let settled = settled.unwrap_or(Moment::NEVER);
            let next = begins.iter().copied().filter(|begin| *begin > settled).min();
            let until = next.or(is_whole.then_some(Moment::NEVER))?;
            area((facts, input), &own, &self.seen, (from, until))
        });
        Excess { latency_s2: latency_s2.collect(), cpu_s: is_whole.then_some(measured.cost.cpu_s - self.cpu_s) }
    }
}

/// Whether every result that was due after the warm-up and under load came.
fn is_whole(measured: &Measured, input: &MeasureInput) -> bool {
    let under_load = measured.intervals.iter().filter(|row| row.is_due && row.closed <= input.load_end);
    under_load.filter(|row| row.closed > input.warmup_end).all(|row| row.done.is_some())
}

/// When records were in results, by client, in their order.
fn seen(facts: &Facts, rows: &[IntervalRow]) -> BTreeMap<u32, Vec<Seen>> {
    let mut seen: BTreeMap<u32, Vec<Seen>> = BTreeMap::new();
    for row in rows {
        let (Some(visible), Some(sealed)) = (row.covered, facts.sealed.get(&row.interval)) else { continue };
        for RecordRange { client, first, last } in sealed.ranges.iter().copied() {
            seen.entry(client).or_default().push(Seen { first, last, visible });
        }
    }
    for pieces in seen.values_mut() {
        pieces.sort_unstable_by_key(|piece| piece.first);
        pieces.dedup_by(|next, before| {
            let follows = next.first == before.last + 1 && next.visible == before.visible;
            before.last = if follows { next.last } else { before.last };
            follows
        });
    }
    seen
}

/// The pieces inside these records, clipped to them.
fn within(pieces: &[Seen], first: u64, last: u64) -> impl Iterator<Item = Seen> + '_ {
    let start = pieces.partition_point(|piece| piece.last < first);
    pieces[start..].iter().take_while(move |piece| piece.first <= last).map(move |piece| Seen {
        first: piece.first.max(first),
        last: piece.last.min(last),
        visible: piece.visible,
    })
}

/// The area between the two, of the records that were due between warm-up and the end of the load, and were in results after
/// `after` and by `until`.
fn area(
    (facts, input): (&Facts, &MeasureInput),
    own: &BTreeMap<u32, Vec<Seen>>,
    twin: &BTreeMap<u32, Vec<Seen>>,
    (after, until): (Moment, Moment),
) -> Option<f64> {
    let (mut sum_ns, mut records) = (0i128, 0u64);
    let before = |moment: Moment| Moment(moment.0.saturating_sub(1));
    for (client, pieces) in &facts.sent {
        let (Some(own), Some(twin)) = (own.get(client), twin.get(client)) else { continue };
        for sent in pieces {
            let first = sent.last_due(before(input.warmup_end)).map_or(sent.range.first, |last| last + 1);
            let Some(last) = sent.last_due(before(input.load_end)).filter(|last| *last >= first) else { continue };
            for mine in within(own, first, last).filter(|mine| mine.visible > after && mine.visible <= until) {
                for other in within(twin, mine.first, mine.last) {
                    let count = other.last - other.first + 1;
                    sum_ns += i128::from(count) * (i128::from(mine.visible.0) - i128::from(other.visible.0));
                    records += count;
                }
            }
        }
    }
    let rate = due_per_second(facts);
    (records > 0 && rate > 0.0).then(|| sum_ns as f64 / 1e9 / rate)
}

/// How many records were due in a second, all clients together, while they sent.
fn due_per_second(facts: &Facts) -> f64 {
    let rates = facts.sent.values().filter_map(|pieces| {
        let (first, last) = (pieces.first()?, pieces.last()?);
        let (begin, end) = (first.scheduled(first.range.first), last.scheduled(last.range.last));
        let steps = pieces.iter().map(|sent| sent.range.count()).sum::<u64>() - 1;
        (end > begin).then(|| steps as f64 / seconds_from(begin, end))
    });
    rates.sum()
}
