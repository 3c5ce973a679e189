//! What waits at the clients, and what still waits when the run ends: records that were due and never acknowledged, never
//! sealed, or never even sent.
//!
//! Invariant: records of a client that a fault still holds at the end, and records that the engine gave up, do not wait.

use super::{Facts, MeasureInput, Sent};
use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::range::{RangeSet, RecordRange};
use crate::result::WaitedAtClients;
use std::collections::BTreeSet;
use std::time::Duration;

/// What waited at the clients: due after the warm-up, and not acknowledged yet.
pub(super) fn at_clients(facts: &Facts, input: &MeasureInput) -> WaitedAtClients {
    let is_free = |client: &u32| !is_held(&NodeName::client(*client), facts, input);
    let free = || facts.sent.iter().filter(|(client, _)| is_free(client));
    let mut due: Vec<Due<'_>> = free().map(|(_, pieces)| Due::after_warm_up(pieces, input)).collect();
    let mut acked: Vec<(Moment, RecordRange)> = Vec::new();
    for (client, due) in free().map(|(client, _)| client).zip(&due) {
        let measured = RecordRange { client: *client, first: due.first, last: u64::MAX };
        acked.extend(facts.acked_within(measured).map(|acked| (acked.at, acked.range)));
    }
    acked.sort_unstable();
    let waited = |(at, range): &(Moment, RecordRange)| Some(at.since(oldest(facts, *range)?));
    let mut longest = acked.iter().filter_map(waited).max().unwrap_or_default();
    // Between two acknowledgements their number only grows: the most is just before one, or at the end.
    let (mut most_records, mut gone) = (0u64, 0u64);
    for (at, range) in acked.iter().copied().map(|(at, range)| (at, Some(range))).chain([(input.end, None)]) {
        let by_then: u64 = due.iter_mut().map(|due| due.by(at)).sum();
        most_records = most_records.max(by_then.saturating_sub(gone));
        gone += range.map_or(0, |range: RecordRange| range.count());
    }
    let known: RangeSet = acked.iter().map(|(_, range)| *range).collect();
    for piece in free().zip(&due).flat_map(|((_, pieces), due)| pieces.iter().filter_map(|sent| sent.from(due.first))) {
        let never = known.gaps(piece.range).into_iter().filter_map(|range| oldest(facts, range)).min();
        longest = longest.max(never.map_or(Duration::ZERO, |due| input.end.since(due)));
    }
    let most_bytes = (most_records as f64 * input.bytes_per_record).round() as u64;
    WaitedAtClients { most_records, most_bytes, longest_s: longest.as_secs_f64() }
}

/// When the first of the records was due.
fn oldest(facts: &Facts, range: RecordRange) -> Option<Moment> {
    facts.sent_within(range).next().map(|sent| sent.scheduled(sent.range.first))
}

/// How many of a client's records were due by a moment; asked in the order of time.
struct Due<'f> {
    pieces: &'f [Sent],
    /// The first record that was due after the warm-up.
    first: u64,
    /// Records of the pieces that are past.
    past: u64,
}

impl<'f> Due<'f> {
    fn after_warm_up(pieces: &'f [Sent], input: &MeasureInput) -> Due<'f> {
        let before = Moment(input.warmup_end.0.saturating_sub(1));
        let last = pieces.iter().filter_map(|sent| sent.last_due(before)).next_back();
        Due { pieces, first: last.map_or(0, |last| last + 1), past: 0 }
    }

    fn by(&mut self, at: Moment) -> u64 {
        while let Some((sent, rest)) = self.pieces.split_first() {
            let Some(measured) = sent.from(self.first) else {
                self.pieces = rest;
                continue;
            };
            match measured.last_due(at) {
                Some(last) if last == measured.range.last => {
                    self.past += measured.range.count();
                    self.pieces = rest;
                }
                Some(last) => return self.past + last + 1 - measured.range.first,
                None => break,
            }
        }
        self.past
    }
}

/// When the oldest record that still waits at the end of the run was due; `None` if none waits.
pub(super) fn oldest_due(lines: &[TraceLine], facts: &Facts, input: &MeasureInput) -> Option<Moment> {
    let done: BTreeSet<&NodeName> =
        lines.iter().filter(|line| matches!(line.event, Event::ClientDone { .. })).map(|line| &line.node).collect();
    let acked: RangeSet = facts.acked.values().flatten().map(|acked| acked.range).collect();
    let settled = settled(lines, facts);
    let mut oldest: Option<Moment> = None;
    for (client, pieces) in &facts.sent {
        let name = NodeName::client(*client);
        if is_held(&name, facts, input) {
            continue;
        }
        let open = |sent: &super::Sent| [acked.gaps(sent.range), settled.gaps(sent.range)].concat();
        let parts = pieces.iter().flat_map(|sent| open(sent).into_iter().filter_map(|part| sent.within(part)));
        let waiting = parts.map(|part| part.scheduled(part.range.first)).min();
        // What a client that did not finish never sent was due after the last that it sent.
        let last = pieces.last().filter(|_| !done.contains(&name));
        let unsent = last.map(|last| last.scheduled(last.range.last));
        oldest = [oldest, waiting, unsent].into_iter().flatten().min();
    }
    oldest
}

/// The records that are in an interval or were given up.
fn settled(lines: &[TraceLine], facts: &Facts) -> RangeSet {
    let given_up = lines.iter().filter_map(|line| match &line.event {
        Event::BlockLost { ranges, interval: None, .. } => Some(ranges),
        _ => None,
    });
    facts.sealed.values().map(|seal| &seal.ranges).chain(given_up).flatten().copied().collect()
}

/// Whether a fault that hit the client was never over.
fn is_held(client: &NodeName, facts: &Facts, input: &MeasureInput) -> bool {
    input.faults.iter().filter(|fault| fault.nodes.contains(client) || fault.others.contains(client)).any(|fault| {
        let times = facts.faults.get(&fault.number).copied().unwrap_or_default();
        times.applied.is_some() && times.ended.is_none()
    })
}
