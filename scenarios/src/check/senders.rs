//! Clients that keep what they sent: which of them stayed away for so long that nobody can be asked for it.
//!
//! Reads the log and the faults as applied. Invariant: a client is away while its process is none, and while a fault
//! between it and others lasts; until then what it sent and nobody holds is not lost.

use super::CheckInput;
use super::reach::LOSS_GRACE;
use dstream_trace::measure::{Effect, FaultFacts};
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use std::collections::BTreeSet;

/// A client, and from when until when it counts as gone.
#[derive(Debug)]
struct Gone {
    client: u32,
    from: Moment,
    until: Moment,
}

/// Who has stayed away, as the log goes on.
#[derive(Debug, Default)]
pub(super) struct Senders {
    spans: Vec<Gone>,
    gone: BTreeSet<u32>,
}

impl Senders {
    /// Where the promise is not that clients send again, nobody is asked.
    pub(super) fn new(input: &CheckInput<'_>) -> Senders {
        let Some(patience) = input.promise.replays else { return Senders::default() };
        let grace = input.run.failure_timeout + LOSS_GRACE;
        let clients = input.facts.sent.keys().copied();
        let gone = |client: u32| {
            let name = NodeName::client(client);
            let spans = joined(absences(input, &name, |fault| hits(fault, &name)));
            let long = spans.into_iter().filter(move |(from, until)| until.since(*from) + grace >= patience);
            long.map(move |(from, until)| Gone { client, from: from + patience - grace, until: until + grace })
        };
        Senders { spans: clients.flat_map(gone).collect(), gone: BTreeSet::new() }
    }

    /// Goes on to this moment; whether who is gone has changed.
    pub(super) fn go_on(&mut self, at: Moment) -> bool {
        let spans = self.spans.iter().filter(|span| span.from <= at && at < span.until);
        let now: BTreeSet<u32> = spans.map(|span| span.client).collect();
        std::mem::replace(&mut self.gone, now) != self.gone
    }

    /// Whether all who sent these records can be asked for them.
    pub(super) fn have(&self, ranges: &[RecordRange]) -> bool {
        !ranges.iter().any(|range| self.gone.contains(&range.client))
    }

    /// Who is gone.
    pub(super) fn gone(&self) -> impl Iterator<Item = NodeName> + '_ {
        self.gone.iter().map(|client| NodeName::client(*client))
    }
}

/// Whether the fault keeps somebody from reaching the client, beside its own events.
pub(super) fn hits(fault: &FaultFacts, name: &NodeName) -> bool {
    (fault.nodes.contains(name) || fault.others.contains(name)) && fault.effect != Effect::ProcessEnded
}

/// When the client could not be reached, by its own events and by the faults that keep others from it.
pub(super) fn absences(
    input: &CheckInput<'_>,
    name: &NodeName,
    keeps: impl Fn(&FaultFacts) -> bool,
) -> Vec<(Moment, Moment)> {
    let mut spans = Vec::new();
    let mut ended = None;
    for line in input.lines.iter().filter(|line| line.node == *name) {
        match line.event {
            Event::ProcessEnded => ended = ended.or(Some(line.at)),
            Event::NodeStarted { .. } => spans.extend(ended.take().map(|from| (from, line.at))),
            _ => {}
        }
    }
    spans.extend(ended.map(|from| (from, Moment::NEVER)));
    for fault in input.run.faults.iter().filter(|fault| keeps(fault)) {
        let times = input.facts.faults.get(&fault.number).copied().unwrap_or_default();
        spans.extend(times.applied.map(|from| (from, times.ended.unwrap_or(Moment::NEVER))));
    }
    spans
}

/// The spans in order, those that touch each other as one.
pub(super) fn joined(mut spans: Vec<(Moment, Moment)>) -> Vec<(Moment, Moment)> {
    spans.sort();
    let mut joined: Vec<(Moment, Moment)> = Vec::new();
    for (from, until) in spans {
        match joined.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => joined.push((from, until)),
        }
    }
    joined
}
