//! The client's core where records go to fixed sources: each batch to every node that holds its source's input.
//!
//! Knows neither the records' bytes nor who runs what. Invariant: a batch is either acknowledged by all of its source's
//! present holders or outstanding; to a connected holder, outstanding batches of one source go in their records' order, but
//! for those that were not taken. In one connection a holder is sent a batch once, unless it refused it or may have
//! forgotten it.
//!
//! ```text
//! batch:  queued --holder connected--> sent --Held by all present holders--> acknowledged
//!            ^                           |
//!            +--- the connection broke, the holder refused it, or another one holds it now
//! ```

use dstream_cluster::client::{ClientAction, ClientEvent, Cut};
use dstream_cluster::core::Core;
use dstream_cluster::layout::Role;
use dstream_cluster::message::FromClient;
use dstream_trace::{Event, Moment, NodeName, RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After a connection had no room, what it did not take is offered again this much later.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Ends of intervals are remembered for so many intervals after these are done: a node that begins anew may inherit a
/// partition behind a border that lies as far back as checkpoints are apart.
const REMEMBERED_INTERVALS: u64 = 10_000;

struct Outstanding {
    range: RecordRange,
    source: u32,
    was_sent: bool,
    sent_to: BTreeSet<NodeName>,
    held_by: BTreeSet<NodeName>,
}

/// A client's core for continuous engines.
pub struct Feeder {
    client: u32,
    cut: Cut,
    outstanding: BTreeMap<u64, Outstanding>,
    connected: BTreeSet<NodeName>,
    version: u64,
    /// By source.
    holders: Vec<Vec<NodeName>>,
    /// interval -> the number of the next one's first record
    punctuations: BTreeMap<u64, u64>,
    next_sequence: u64,
    /// What an earlier life sent from `next_sequence` on, and is held.
    known: RangeSet,
    records: u64,
    source_ended: bool,
    done: bool,
    retry_at: Moment,
}

impl Feeder {
    /// A client that has sent nothing.
    pub fn new(client: u32, cut: Cut) -> Feeder {
        Feeder {
            client,
            cut,
            outstanding: BTreeMap::new(),
            connected: BTreeSet::new(),
            version: 0,
            holders: Vec::new(),
            punctuations: BTreeMap::new(),
            next_sequence: 0,
            known: RangeSet::new(),
            records: 0,
            source_ended: false,
            done: false,
            retry_at: Moment::NEVER,
        }
    }

    fn holders_of(&self, source: u32) -> &[NodeName] {
        self.holders.get(source as usize).map_or(&[], Vec::as_slice)
    }

    /// Sends every outstanding batch to those of its holders that are connected and have not got it.
    fn send_all(&mut self, actions: &mut Vec<ClientAction>) {
        let firsts: Vec<u64> = self.outstanding.keys().copied().collect();
        firsts.into_iter().for_each(|first| self.send(first, actions));
    }

    fn send(&mut self, first: u64, actions: &mut Vec<ClientAction>) {
        let Some(batch) = self.outstanding.get_mut(&first) else { return };
        let holders = self.holders.get(batch.source as usize).map_or(&[][..], Vec::as_slice);
        for holder in holders {
            if !self.connected.contains(holder) || batch.held_by.contains(holder) || batch.sent_to.contains(holder) {
                continue;
            }
            if batch.was_sent && batch.held_by.is_empty() && batch.sent_to.is_empty() {
                actions.push(ClientAction::Record(Event::RecordsResent { range: batch.range, to: holder.clone() }));
            }
            batch.sent_to.insert(holder.clone());
            let is_copy = holders.first() != Some(holder);
            actions.push(ClientAction::Send { first, to: holder.clone(), is_copy });
        }
        batch.was_sent |= !batch.sent_to.is_empty();
    }

    /// Tells a node what this client knows, then what of it concerns the node.
    fn introduce(&self, node: &NodeName, actions: &mut Vec<ClientAction>) {
        if self.version == 0 || !runs_sources(node) {
            return;
        }
        let held = (0u32..).zip(&self.holders).filter(|(_, holders)| holders.contains(node));
        let acked_below = held.map(|(source, _)| (source, self.acked_below(source))).collect();
        let view = FromClient::View { version: self.version, acked_below };
        actions.push(ClientAction::Tell { to: node.clone(), word: view });
    }

    /// Of the records that go to this source, all before this one are acknowledged.
    fn acked_below(&self, source: u32) -> u64 {
        let oldest = self.outstanding.values().find(|batch| batch.source == source);
        oldest.map_or_else(|| self.next_unknown(source), |batch| batch.range.first)
    }

    /// The first record of a source that was not sent, by this life or an earlier one.
    fn next_unknown(&self, source: u32) -> u64 {
        let mut next = self.cut.next_of(source, self.client, self.next_sequence);
        while self.known.contains(self.client, next) {
            let rest = RecordRange { client: self.client, first: next, last: self.cut.border(next) - 1 };
            let unknown = self.known.gaps(rest).first().map(|gap| gap.first);
            next = unknown.unwrap_or_else(|| self.cut.next_of(source, self.client, rest.last + 1));
        }
        next
    }

    /// An earlier life sent these, and they are held.
    fn resume(&mut self, ranges: Vec<RecordRange>, actions: &mut Vec<ClientAction>) {
        self.records += ranges.iter().map(RecordRange::count).sum::<u64>();
        self.known = ranges.iter().copied().collect();
        let from_start = self.known.iter().next().filter(|range| range.first == 0);
        self.next_sequence = from_start.map_or(0, |range| range.last + 1);
        actions.extend(ranges.into_iter().map(|range| ClientAction::Record(Event::RecordsAcked { range })));
    }

    fn up(&mut self, node: NodeName, actions: &mut Vec<ClientAction>) {
        self.introduce(&node, actions);
        if runs_sources(&node) {
            let all = self.punctuations.iter().map(|(interval, end)| (*interval, *end)).collect();
            actions.push(ClientAction::Tell { to: node.clone(), word: FromClient::Punctuations(all) });
        }
        self.connected.insert(node);
        self.send_all(actions);
    }

    fn down(&mut self, node: &NodeName) {
        self.connected.remove(node);
        for batch in self.outstanding.values_mut() {
            batch.sent_to.remove(node);
            // It may come back without what it had.
            batch.held_by.remove(node);
        }
    }

    fn places(&mut self, version: u64, holders: Vec<Vec<NodeName>>, actions: &mut Vec<ClientAction>) {
        if version <= self.version {
            return;
        }
        let has_seen_all = version == self.version + 1;
        let before = std::mem::replace(&mut self.holders, holders);
        self.version = version;
        for batch in self.outstanding.values_mut() {
            // One that was no holder in between may have forgotten what it had. Who has been one all along has what it was
            // sent, or gets it yet, or says that it refused it: were it sent again at each change, a stream of changes would
            // fill the link with the same records, and what is new would wait behind them.
            let was_holder = |node: &NodeName| before.get(batch.source as usize).is_some_and(|of| of.contains(node));
            batch.sent_to.retain(|node| has_seen_all && was_holder(node));
            batch.held_by.retain(|node| has_seen_all && was_holder(node));
        }
        let connected: Vec<NodeName> = self.connected.iter().cloned().collect();
        connected.iter().for_each(|node| self.introduce(node, actions));
        self.acknowledge(actions);
        self.send_all(actions);
    }

    fn held(&mut self, by: &NodeName, ranges: &[RecordRange], actions: &mut Vec<ClientAction>) {
        for range in ranges {
            if let Some(batch) = self.outstanding.get_mut(&range.first).filter(|batch| batch.range == *range) {
                batch.held_by.insert(by.clone());
            }
        }
        self.acknowledge(actions);
    }

    /// A node did not take what was sent before this client had heard of the places that it goes by. It is sent again when
    /// that is so.
    fn refused(&mut self, by: &NodeName, ranges: &[RecordRange], least: u64, actions: &mut Vec<ClientAction>) {
        for range in ranges {
            let batch = self.outstanding.get_mut(&range.first).filter(|batch| batch.range == *range);
            if batch.is_some_and(|batch| batch.sent_to.remove(by)) && least <= self.version {
                self.send(range.first, actions);
            }
        }
    }

    /// Lets go of what all present holders have, of each source in the order of its records: what is acknowledged is then
    /// all before some record.
    fn acknowledge(&mut self, actions: &mut Vec<ClientAction>) {
        let mut waits = BTreeSet::new();
        let is_held = |batch: &Outstanding| {
            let holders = self.holders_of(batch.source);
            !holders.is_empty() && holders.iter().all(|holder| batch.held_by.contains(holder))
        };
        let mut held = Vec::new();
        for (first, batch) in &self.outstanding {
            match is_held(batch) && !waits.contains(&batch.source) {
                true => held.push(*first),
                false => drop(waits.insert(batch.source)),
            }
        }
        for first in held {
            let batch = self.outstanding.remove(&first).expect("its key was just read");
            actions.push(ClientAction::Record(Event::RecordsAcked { range: batch.range }));
            actions.push(ClientAction::Forget { first });
        }
    }

    fn finish(&mut self, actions: &mut Vec<ClientAction>) {
        if self.source_ended && self.outstanding.is_empty() && !self.done {
            self.done = true;
            actions.push(ClientAction::Record(Event::ClientDone { records: self.records }));
        }
    }
}

/// Whether a node may run sources: all but the master.
fn runs_sources(node: &NodeName) -> bool {
    matches!(Role::of(node), Some(Role::Worker(_) | Role::Standby(_) | Role::Replica(_)))
}

impl Core for Feeder {
    type Event = ClientEvent;
    type Action = ClientAction;

    fn step(&mut self, now: Moment, event: ClientEvent, actions: &mut Vec<ClientAction>) {
        match event {
            ClientEvent::Batch { range, first_due, last_due } => {
                self.records += range.count();
                self.next_sequence = range.last + 1;
                let source = self.cut.source_of(self.client, range.first);
                let (sent_to, held_by) = (BTreeSet::new(), BTreeSet::new());
                let batch = Outstanding { range, source, was_sent: false, sent_to, held_by };
                self.outstanding.insert(range.first, batch);
                let (first_scheduled, last_scheduled) = (first_due, last_due);
                actions.push(ClientAction::Record(Event::RecordsSent { range, first_scheduled, last_scheduled }));
                self.send(range.first, actions);
            }
            ClientEvent::SourceEnded => self.source_ended = true,
            ClientEvent::Up(node) => self.up(node, actions),
            ClientEvent::Down(node) => self.down(&node),
            ClientEvent::Places { version, holders } => self.places(version, holders, actions),
            // Sources keep what heirs may ask for.
            ClientEvent::ReadAgain(range) => actions.push(ClientAction::Forget { first: range.first }),
            ClientEvent::LeaderGone | ClientEvent::Members(_) | ClientEvent::Released { .. } => {}
            ClientEvent::Queued { .. } => {}
            ClientEvent::Known(ranges) => self.resume(ranges, actions),
            ClientEvent::Held { by, ranges } => self.held(&by, &ranges, actions),
            ClientEvent::Refused { by, ranges, least } => self.refused(&by, &ranges, least, actions),
            ClientEvent::Punctuation { interval, end } => {
                self.punctuations.insert(interval, end);
                let nodes = self.connected.iter().filter(|node| runs_sources(node));
                let word = FromClient::Punctuations(vec![(interval, end)]);
                actions.extend(nodes.map(|node| ClientAction::Tell { to: node.clone(), word: word.clone() }));
            }
            ClientEvent::Done { interval } => {
                let oldest = interval.saturating_sub(REMEMBERED_INTERVALS);
                self.punctuations = self.punctuations.split_off(&oldest);
            }
            ClientEvent::NotSent { first, to } => {
                if let Some(batch) = self.outstanding.get_mut(&first) {
                    // The other holders have it, or will: sent to all again, it would keep busy what one of them waits for.
                    batch.sent_to.remove(&to);
                    self.retry_at = now + RETRY_AFTER;
                }
            }
            ClientEvent::Tick => {
                if self.retry_at <= now {
                    self.retry_at = Moment::NEVER;
                    self.send_all(actions);
                }
            }
        }
        self.finish(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        Some(self.retry_at)
    }
}
