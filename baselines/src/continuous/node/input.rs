//! What clients send: batches into the log, punctuations, and what they know of the assignment.

use crate::continuous::log::Batch;
use crate::continuous::message::{Gate, NodeNumber, ToPeer};
use crate::continuous::node::core::{Held, Node};
use crate::continuous::node::event::NodeAction;
use crate::continuous::outbox::Entry;
use crate::continuous::source::{Known, Punctuations, block_of};
use bytes::Bytes;
use dstream_cluster::message::{FromClient, ToClient};
use dstream_trace::{Event, Moment, Purpose, RecordRange};
use std::collections::BTreeMap;

/// Bytes in one message of what is handed on to another node.
pub(super) const INPUT_MESSAGE_BYTES: usize = 1 << 20;

impl Node {
    pub(super) fn client(
        &mut self,
        now: Moment,
        client: u32,
        word: FromClient,
        lines: Bytes,
        actions: &mut Vec<NodeAction>,
    ) {
        match word {
            FromClient::Records(_) | FromClient::Punctuations(_) if self.clients.turns_away(client) => {}
            FromClient::Records(batch) => {
                self.batch(now, client, Batch { range: batch.range, interval: batch.interval, lines }, actions);
            }
            FromClient::Punctuations(ends) => {
                // The border itself counts: a source that begins behind it asks where its clients were.
                let opens = self.clients.opens_below(client);
                let needed = ends.into_iter().filter(|(of, _)| self.safe <= Some(*of) && opens <= *of);
                let known = self.punctuations.entry(client).or_default();
                for (interval, end) in needed {
                    if known.insert(interval, end) != Some(end) {
                        self.noting.punctuated(client, interval, end);
                    }
                }
                self.run_what_is_ready(actions);
            }
            FromClient::View { version, acked_below } => {
                self.views.insert(client, version);
                for (source, acked) in acked_below {
                    self.held.entry(source).or_default().log.pass(client, acked);
                    self.noting.holds(source, client);
                    let known = self.acked_below.entry((source, client)).or_default();
                    *known = acked.max(*known);
                }
            }
            // Masters of these engines have no successors.
            FromClient::Acknowledged(_) | FromClient::Written { .. } => {}
        }
    }

    fn batch(&mut self, now: Moment, client: u32, mut batch: Batch, actions: &mut Vec<NodeAction>) {
        let range = batch.range;
        let source = self.limits.cut.source_of(client, range.first);
        batch.interval = self.clients.interval_of(client, source, range.first, batch.interval);
        let held = self.held.entry(source).or_default();
        let view = self.views.get(&client).copied().unwrap_or(0);
        // Who holds nothing of the source, as far as it knows, may do so only by what a client knows beyond that.
        let least = if held.since > 0 { held.closed_below } else { self.assignment.version + 1 };
        if range.client != client || view == 0 || view < least {
            if view < self.assignment.version {
                actions.push(NodeAction::TellClient(client, self.places()));
            }
            // It may have sent it before it heard of those places, and takes it for sent.
            actions.push(NodeAction::TellClient(client, ToClient::Refused { ranges: vec![range], least }));
            return;
        }
        admit(held, batch, actions);
        if held.since > 0 && !held.is_noted(&range) {
            self.noting.holds(source, client);
        }
        self.unsaid.push((client, range));
        self.say_held(now, actions);
    }

    /// Drops what came before this node knew of any assignment, from clients that know none since then: they count holders
    /// of the past. It is not acknowledged, and they say everything again.
    pub(super) fn drop_early(&mut self, source: u32, closed_below: u64, actions: &mut Vec<NodeAction>) {
        let Some(held) = self.held.get_mut(&source).filter(|held| held.since == 0) else { return };
        for client in 1..=self.limits.clients {
            if self.views.get(&client).is_some_and(|view| *view >= closed_below) {
                continue;
            }
            let gone = held.log.drop_from(client, 0);
            if gone.is_empty() {
                continue;
            }
            let cut = self.limits.cut;
            self.unsaid.retain(|(of, range)| *of != client || cut.source_of(client, range.first) != source);
            actions.extend(gone.into_iter().map(|block| NodeAction::Record(Event::BlockForgotten { block })));
            actions.push(NodeAction::Redial(client));
        }
    }

    /// Nothing is here of the source any more: what waits to be acknowledged must not be said if this node holds it again.
    /// A client that knows it as such a later holder already takes for sent what was forgotten.
    pub(super) fn leave_unsaid(&mut self, source: u32, actions: &mut Vec<NodeAction>) {
        let (cut, views, least) = (self.limits.cut, &self.views, self.assignment.version + 1);
        let mut forgotten: BTreeMap<u32, Vec<RecordRange>> = BTreeMap::new();
        self.unsaid.retain(|(client, range)| {
            let is_left = cut.source_of(*client, range.first) == source;
            if is_left && views.get(client).is_some_and(|view| *view >= least) {
                forgotten.entry(*client).or_default().push(*range);
            }
            !is_left
        });
        let refused = |(client, ranges)| NodeAction::TellClient(client, ToClient::Refused { ranges, least });
        actions.extend(forgotten.into_iter().map(refused));
    }

    /// Acknowledges what waits for it and the master knows of, if this node may, and holds no more than it should.
    pub(super) fn say_held(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        if now >= self.lease_until || self.input_bytes() > self.limits.most_kept_bytes {
            return;
        }
        let mut said: BTreeMap<u32, Vec<RecordRange>> = BTreeMap::new();
        let (cut, held) = (self.limits.cut, &self.held);
        self.unsaid.retain(|(client, range)| {
            let Some(held) = held.get(&cut.source_of(*client, range.first)) else { return false };
            let is_noted = held.is_noted(range);
            if is_noted {
                said.entry(*client).or_default().push(*range);
            }
            !is_noted
        });
        let said = said.into_iter().map(|(client, ranges)| NodeAction::TellClient(client, ToClient::Held(ranges)));
        actions.extend(said);
    }

    /// Who holds what, for clients.
    pub(super) fn places(&self) -> ToClient {
        places(&self.assignment, &self.limits.names)
    }

    /// Seals every interval of the running sources that is whole. Without a lease this node may have been replaced: what
    /// only it has of a client that died meanwhile its heir seals without, and what others acknowledged it takes for lost.
    pub(super) fn seal(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        if now >= self.lease_until {
            return;
        }
        let (of, over) = (self.limits.topology.partitions, self.interval_at(now));
        for (partition, hosted) in &mut self.hosted {
            let (Some(source), Some(held)) = (&mut hosted.source, self.held.get(partition)) else { continue };
            let known = held.known(&self.punctuations, self.clients.gates(), over);
            loop {
                if held.is_whole && !hosted.is_busy {
                    source.pass_over_lost(&known);
                }
                let Some(seal) = source.seal(&known) else { break };
                let interval = seal.interval;
                let lacks = digest(&(*partition, &seal.lost));
                actions.extend(seal.lost.iter().map(|range| {
                    let lost =
                        Event::BlockLost { block: block_of(range), ranges: vec![*range], interval: Some(interval) };
                    NodeAction::Record(lost)
                }));
                let (ranges, blocks) = (seal.ranges, seal.blocks);
                let sealed = Event::SourceSealed { interval, partition: *partition, of, ranges, blocks };
                actions.push(NodeAction::Record(sealed));
                for (map, _) in &self.limits.topology.maps {
                    let entry = Entry { interval, records: None, parts: BTreeMap::new(), lacks };
                    hosted.outboxes.get_mut(map).expect("every map has an outbox").push(entry);
                    self.dirty.insert((*partition, *map));
                    self.flush_at = Moment::ZERO;
                }
            }
        }
    }

    /// Hands on what is held of a source, from behind an interval.
    pub(super) fn hand_on_input(
        &mut self,
        to: NodeNumber,
        source: u32,
        version: u64,
        after: Option<u64>,
        actions: &mut Vec<NodeAction>,
    ) {
        let held = self.held.entry(source).or_default();
        // What a client sends that does not know of the asker must not be acknowledged here: the asker would lack it.
        held.closed_below = version.max(held.closed_below);
        let floors = (1..=self.limits.clients).map(|client| (client, held.log.floor(client))).collect();
        let batches = held.log.iter().filter(|batch| Some(batch.interval) > after);
        let (full, (names, lines)) = in_messages(batches);
        for (batches, lines) in full {
            let (punctuations, floors) = (Punctuations::new(), BTreeMap::new());
            let word = ToPeer::Input { source, version, batches, punctuations, floors, is_last: false };
            actions.push(hand_on(to, word, lines));
        }
        let punctuations = self.punctuations.clone();
        let word = ToPeer::Input { source, version, batches: names, punctuations, floors, is_last: true };
        actions.push(hand_on(to, word, lines));
    }

    /// Takes over what another node holds of a source.
    pub(super) fn take_input(&mut self, word: ToPeer, body: Bytes, actions: &mut Vec<NodeAction>) {
        let ToPeer::Input { source, version, batches, punctuations, floors, is_last } = word else { return };
        if self.cut_short.get(&source) == Some(&version) {
            return; // others count on there being no more than there was
        }
        let Some(held) = self.held.get_mut(&source).filter(|held| held.since == version) else { return };
        if !held.take(&batches, body, actions) {
            return;
        }
        floors.into_iter().for_each(|(client, floor)| held.log.pass(client, floor));
        held.is_whole |= is_last;
        (1..=self.limits.clients).for_each(|client| self.noting.holds(source, client));
        self.learn_punctuations(punctuations);
    }

    /// Takes in where clients were by another node's word or the store's.
    pub(super) fn learn_punctuations(&mut self, punctuations: Punctuations) {
        for (client, ends) in punctuations {
            let believed = ends.into_iter().filter(|(interval, end)| self.clients.believes(client, *interval, *end));
            self.punctuations.entry(client).or_default().extend(believed);
        }
    }

    /// Lets go of what nobody will ask for.
    pub(super) fn trim(&mut self, safe: Option<u64>, actions: &mut Vec<NodeAction>) {
        let Some(through) = safe.filter(|_| safe > self.safe) else { return };
        (self.safe, self.said_filling) = (safe, false);
        for held in self.held.values_mut() {
            let gone = held.log.trim(through).into_iter().map(|block| Event::BlockForgotten { block });
            actions.extend(gone.map(NodeAction::Record));
        }
        for hosted in self.hosted.values_mut() {
            hosted.outboxes.values_mut().for_each(|outbox| outbox.trim(through));
        }
        if self.limits.rules.checkpoint_intervals.is_some() {
            let before = self.limits.topology.oldest_pane(through);
            let saving = self.hosted.keys().copied().filter(|partition| self.saves(*partition));
            actions.extend(saving.map(|partition| NodeAction::DropSaves { partition, before }));
        }
        // The border itself stays: a source that begins behind it asks where its clients were.
        self.punctuations.values_mut().for_each(|ends| *ends = ends.split_off(&through));
    }
}

/// Who holds what, for clients.
pub fn places(assignment: &crate::continuous::assignment::Assignment, names: &[dstream_trace::NodeName]) -> ToClient {
    let name = |node: NodeNumber| names[node as usize - 1].clone();
    let holders = assignment.places.iter().map(|place| place.holders.iter().map(|seat| name(seat.node)).collect());
    ToClient::Places { version: assignment.version, holders: holders.collect() }
}

/// Names records that a source passed over; 0: none.
fn digest((source, lost): &(u32, &Vec<RecordRange>)) -> u64 {
    let numbers = lost.iter().flat_map(|range| [u64::from(range.client), range.first, range.last]);
    numbers.fold(0, |digest, number| mixed(digest ^ mixed(number ^ mixed(u64::from(*source) + 1))))
}

/// Spreads a number's bits (the finisher of splitmix64): a name for a set, not a defence against anyone.
pub(super) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

fn admit(held: &mut Held, batch: Batch, actions: &mut Vec<NodeAction>) {
    let (block, range, bytes) = (batch.name(), batch.range, batch.lines.len() as u64);
    if held.log.admit(batch) {
        actions.push(NodeAction::Record(Event::BlockHeld { block, ranges: vec![range], bytes }));
    }
}

/// Records, their interval, and bytes of lines; and the lines.
type InputPart = (Vec<(RecordRange, u64, u64)>, Vec<Bytes>);

/// Batches in messages of a bounded size: those that are full, and the last one.
pub(super) fn in_messages<'b>(batches: impl Iterator<Item = &'b Batch>) -> (Vec<InputPart>, InputPart) {
    let (mut full, mut part, mut bytes) = (Vec::new(), InputPart::default(), 0);
    for batch in batches {
        part.0.push((batch.range, batch.interval, batch.lines.len() as u64));
        part.1.push(batch.lines.clone());
        bytes += batch.lines.len();
        if bytes >= INPUT_MESSAGE_BYTES {
            full.push(std::mem::take(&mut part));
            bytes = 0;
        }
    }
    (full, part)
}

/// Input on its way to another holder.
pub(super) fn hand_on(node: NodeNumber, word: ToPeer, body: Vec<Bytes>) -> NodeAction {
    NodeAction::Tell { node, word, body, purpose: Purpose::Recovery, is_scaled: true }
}

impl Held {
    /// What a source beside this input knows of its clients.
    pub(super) fn known<'a>(
        &'a self,
        punctuations: &'a Punctuations,
        gates: &'a BTreeMap<u32, Gate>,
        over: u64,
    ) -> Known<'a> {
        Known { log: &self.log, punctuations, gates, over }
    }

    /// Takes batches in that another node handed on; false if this is no message of this build.
    pub(super) fn take(
        &mut self,
        batches: &[(RecordRange, u64, u64)],
        mut body: Bytes,
        actions: &mut Vec<NodeAction>,
    ) -> bool {
        for (range, interval, bytes) in batches {
            let Some(bytes) = usize::try_from(*bytes).ok().filter(|bytes| *bytes <= body.len()) else { return false };
            admit(self, Batch { range: *range, interval: *interval, lines: body.split_to(bytes) }, actions);
        }
        true
    }
}

#[cfg(test)]
mod tests;
