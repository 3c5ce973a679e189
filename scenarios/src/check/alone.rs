//! Records that only their client has: it never counted them as safe, and whoever held them is lost.
//!
//! A promise is about what is acknowledged. Long-lived operators take records in, and sources seal intervals over them,
//! before they have their copies; if the only holder is lost then, the client sends them again. One that is gone cannot:
//! after a failure timeout its intervals are closed without its word, and nobody can know then whether it comes back.
//! Invariant: such a record may be gone only if nobody held it again, and its client had no time to send it.

use super::CheckInput;
use super::reach::LOSS_GRACE;
use super::senders::{absences, hits, joined};
use dstream_trace::measure::{Effect, FaultFacts};
use dstream_trace::{BlockName, Moment, NodeName, RangeSet, RecordRange};
use std::collections::BTreeMap;
use std::time::Duration;

/// From when until when.
type Span = (Moment, Moment);

/// What was in a block that nobody holds.
#[derive(Debug)]
pub(super) struct Left {
    pub block: BlockName,
    pub ranges: Vec<RecordRange>,
    /// Who held it, and the client.
    pub lost: Vec<NodeName>,
    client: u32,
    since: Moment,
}

/// A client's absences.
#[derive(Debug)]
struct Absences {
    /// So long that its intervals are closed without its word: it is not connected to the master.
    gone: Vec<Span>,
    /// It cannot be reached by some node.
    away: Vec<Span>,
}

/// What only clients have, as the log goes on.
#[derive(Debug)]
pub(super) struct Alone {
    patience: Duration,
    acknowledged: RangeSet,
    left: Vec<Left>,
    /// What came to nodes that live and were declared lost, and when: known to nobody else.
    unknown: BTreeMap<NodeName, Vec<(BlockName, Vec<RecordRange>, Moment)>>,
    clients: BTreeMap<u32, Absences>,
}

impl Alone {
    pub(super) fn new(input: &CheckInput<'_>) -> Alone {
        let patience = input.run.failure_timeout;
        let of = |client: u32| {
            let name = NodeName::client(client);
            let mut gone = joined(absences(input, &name, |fault| keeps_from_master(fault, &name)));
            gone.retain(|(from, until)| until.since(*from) >= patience);
            let away = joined(absences(input, &name, |fault| hits(fault, &name)));
            (client, Absences { gone, away })
        };
        let clients = input.facts.sent.keys().map(|client| of(*client)).collect();
        Alone { patience, acknowledged: RangeSet::new(), left: Vec::new(), unknown: BTreeMap::new(), clients }
    }

    /// The client may count the records as safe: from now on they are the engine's.
    pub(super) fn acknowledge(&mut self, range: RecordRange) {
        self.acknowledged.insert(range);
        self.hold(&[range]);
    }

    /// A node holds the records.
    pub(super) fn hold(&mut self, ranges: &[RecordRange]) {
        let here: RangeSet = ranges.iter().copied().collect();
        for left in &mut self.left {
            left.ranges = left.ranges.iter().flat_map(|range| here.gaps(*range)).collect();
        }
        self.left.retain(|left| !left.ranges.is_empty());
        for (_, ranges, _) in self.unknown.values_mut().flatten() {
            *ranges = ranges.iter().flat_map(|range| here.gaps(*range)).collect();
        }
    }

    /// A node that lives and was declared lost holds the records.
    pub(super) fn hold_unknown(&mut self, node: &NodeName, block: BlockName, ranges: &[RecordRange], at: Moment) {
        self.unknown.entry(node.clone()).or_default().push((block, ranges.to_vec(), at));
    }

    /// It has come back, with what it holds.
    pub(super) fn known(&mut self, node: &NodeName) {
        self.unknown.remove(node);
    }

    /// Its process ends: since they came to it nobody has held these records.
    pub(super) fn lose_unknown(&mut self, node: &NodeName, with: &[NodeName]) {
        for (block, ranges, since) in self.unknown.remove(node).unwrap_or_default() {
            self.lose(block, &ranges, with, since);
        }
    }

    /// The last holder of a block is lost.
    pub(super) fn lose(&mut self, block: BlockName, ranges: &[RecordRange], with: &[NodeName], since: Moment) {
        let ranges: Vec<_> = ranges.iter().flat_map(|range| self.acknowledged.gaps(*range)).collect();
        if let Some(client) = ranges.first().map(|range| range.client) {
            let lost = with.iter().cloned().chain([NodeName::client(client)]).collect();
            self.left.push(Left { block, ranges, lost, client, since });
        }
    }

    /// Goes on to this moment; what may be gone from now on.
    pub(super) fn go_on(&mut self, now: Moment) -> Vec<Left> {
        let (clients, patience) = (&self.clients, self.patience);
        let is_due = |left: &mut Left| clients[&left.client].due(left.since, patience).is_some_and(|due| due <= now);
        self.left.extract_if(.., is_due).collect()
    }
}

impl Absences {
    /// When what nobody holds since then may be gone with the client: not if it could have sent it again before it was gone.
    fn due(&self, since: Moment, patience: Duration) -> Option<Moment> {
        let due = |from: Moment| since.max(from + patience);
        let (from, _) = self.gone.iter().find(|(from, until)| due(*from) < *until)?;
        let away = self.away.iter().map(|(begin, end)| (*end.min(from)).since(since.max(*begin))).sum::<Duration>();
        let had_time = from.since(since).saturating_sub(away) >= patience + LOSS_GRACE;
        (!had_time).then(|| due(*from))
    }
}

/// Whether the fault keeps the client from being connected to the master.
fn keeps_from_master(fault: &FaultFacts, client: &NodeName) -> bool {
    let master = NodeName::new("master");
    let between = |one: &NodeName, other: &NodeName| fault.nodes.contains(one) && fault.others.contains(other);
    match fault.effect {
        Effect::HeldByPause => fault.nodes.contains(client),
        Effect::MessageCut | Effect::MessageCutOneWay | Effect::MessageHeld => {
            between(client, &master) || between(&master, client)
        }
        _ => false,
    }
}
