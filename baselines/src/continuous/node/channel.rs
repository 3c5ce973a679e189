//! Channels: who subscribes to whom, what goes out, what comes in.
//!
//! A reader asks its writer's host and says where it is; it asks again whenever the connection is new, the host is another
//! one, or something is missing. Invariant: elements of a subscription that was replaced are not looked at.

use crate::continuous::assignment::{Seat, Start};
use crate::continuous::inbox::Verdict;
use crate::continuous::message::{Element, NodeNumber, Part, Reader, Subscription, ToPeer, Writer};
use crate::continuous::node::core::Node;
use crate::continuous::node::event::NodeAction;
use crate::continuous::node::work::Work;
use crate::continuous::outbox::{ELEMENT_BYTES, Outgoing};
use crate::continuous::topology::Keyed;
use bytes::Bytes;
use dstream_trace::{Moment, Purpose};
use std::collections::BTreeMap;

/// Bytes of rows in one message of elements.
const MESSAGE_BYTES: usize = 1 << 20;

impl Node {
    pub(super) fn peer_up(&mut self, node: NodeNumber, actions: &mut Vec<NodeAction>) {
        self.credits.up(node);
        self.fetch_from(Some(node), actions);
        self.fetch_clients(Some(node), actions);
        let partitions: Vec<u32> = self.hosted.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.subscribe_all(partition, Some(node), actions));
    }

    pub(super) fn peer_down(&mut self, node: NodeNumber, actions: &mut Vec<NodeAction>) {
        self.credits.down(node);
        self.waiting.retain(|(reader, _)| *reader != node);
        self.wanted_states.retain(|(replica, _, _)| *replica != node);
        self.wanted_inputs.retain(|((holder, _, _), _)| *holder != node);
        for hosted in self.hosted.values_mut() {
            hosted.outboxes.values_mut().for_each(|outbox| outbox.forget_node(node));
            for inbox in hosted.inboxes.values_mut() {
                inbox.forget_node(node);
            }
        }
        // Where a writer has another host, the reader turns to it at once.
        let partitions: Vec<u32> = self.hosted.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.subscribe_all(partition, None, actions));
    }

    /// Makes the subscriptions of a partition what the assignment and the connections ask for. Those at `anew` begin again.
    pub(super) fn subscribe_all(&mut self, partition: u32, anew: Option<NodeNumber>, actions: &mut Vec<NodeAction>) {
        if self.hosted.get(&partition).is_none_or(|hosted| hosted.source.is_none()) {
            return;
        }
        let keyed: Vec<Keyed> = self.limits.topology.keyed_of(partition).copied().collect();
        let version = self.assignment.version;
        let mut asked: BTreeMap<NodeNumber, Vec<Subscription>> = BTreeMap::new();
        for Keyed { stage, writer, writers, .. } in keyed {
            for from in 0..writers {
                let wanted = self.writers_hosts(partition, from);
                let hosted = self.hosted.get_mut(&partition).expect("it was just there");
                let inbox = hosted.inboxes.get_mut(&stage).expect("a running partition has its inboxes");
                let feeds: Vec<NodeNumber> = inbox.feeds(from).collect();
                feeds.iter().filter(|node| !wanted.contains(node)).for_each(|node| inbox.unsubscribe(from, *node));
                for node in wanted.into_iter().filter(|node| anew == Some(*node) || !feeds.contains(node)) {
                    self.token += 1;
                    let position = inbox.subscribe(from, node, self.token);
                    let writer = Writer { stage: writer, partition: from };
                    let reader = Reader { stage, partition };
                    let subscription = Subscription { writer, reader, token: self.token, version, position };
                    asked.entry(node).or_default().push(subscription);
                }
            }
        }
        for (node, subscriptions) in asked {
            if node == self.me() {
                self.subscribed(node, subscriptions, actions);
            } else {
                actions.push(tell(node, ToPeer::Subscribe(subscriptions)));
            }
        }
    }

    /// The hosts of a writer that a reader beside partition `reader` wants to hear: connected ones, all or one. Of one that
    /// copies what another host runs nothing may come before that one has gone on, which may wait for this very reader.
    fn writers_hosts(&self, reader: u32, writer: u32) -> Vec<NodeNumber> {
        let Some(place) = self.assignment.place(writer) else { return Vec::new() };
        let is_up = |node: &NodeNumber| *node == self.me() || self.credits.is_up(*node);
        let hosts = || place.hosts.iter().filter(|seat| is_up(&seat.node));
        if self.limits.rules.reads_all {
            return hosts().map(|seat| seat.node).collect();
        }
        let copies = |seat: &Seat| matches!(seat.start, Start::Copied { from } if place.host(from).is_some());
        let least = hosts().map(copies).min();
        let hosts: Vec<NodeNumber> = hosts().filter(|seat| Some(copies(seat)) == least).map(|seat| seat.node).collect();
        // Whom it hears already it goes on hearing.
        let topology = &self.limits.topology;
        let heard = self.hosted.get(&reader).and_then(|hosted| {
            let inboxes = topology.keyed_of(reader).filter(|keyed| writer < keyed.writers);
            inboxes.filter_map(|keyed| hosted.inboxes.get(&keyed.stage)?.feeds(writer).next()).next()
        });
        let kept = heard.filter(|node| hosts.contains(node));
        kept.or(hosts.first().copied()).into_iter().collect()
    }

    /// Readers ask for channels of partitions that run here, or will.
    pub(super) fn subscribed(
        &mut self,
        by: NodeNumber,
        subscriptions: Vec<Subscription>,
        actions: &mut Vec<NodeAction>,
    ) {
        for subscription in subscriptions {
            let Writer { stage, partition } = subscription.writer;
            let hosted = self.hosted.get_mut(&partition);
            let Some(outbox) = hosted.and_then(|hosted| hosted.outboxes.get_mut(&stage)) else {
                self.waiting.retain(|(node, old)| {
                    (*node, old.writer, old.reader) != (by, subscription.writer, subscription.reader)
                });
                self.waiting.push((by, subscription));
                continue;
            };
            let Subscription { writer, reader, token, version, position } = subscription;
            match outbox.subscribe(reader, by, (token, version), &position) {
                Ok(()) => drop(self.dirty.insert((partition, stage))),
                // A new replica lacks what an older one has: the reader asks again when it is further on.
                Err(_) if by == self.me() => self.too_old(by, reader, writer, token),
                Err(_) => actions.push(tell(by, ToPeer::TooOld { reader, writer, token })),
            }
        }
    }

    /// A writer's host lacks what the reader needs next.
    fn too_old(&mut self, host: NodeNumber, reader: Reader, writer: Writer, token: u64) {
        let hosted = self.hosted.get_mut(&reader.partition);
        if let Some(inbox) = hosted.and_then(|hosted| hosted.inboxes.get_mut(&reader.stage))
            && inbox.token(writer.partition, host) == Some(token)
        {
            inbox.unsubscribe(writer.partition, host);
            self.to_ask_again.insert(reader.partition);
        }
    }

    /// Asks those again who could not serve before.
    pub(super) fn ask_again(&mut self, actions: &mut Vec<NodeAction>) {
        for partition in std::mem::take(&mut self.to_ask_again) {
            self.subscribe_all(partition, None, actions);
        }
    }

    /// Serves those who asked before the partition ran here.
    pub(super) fn serve_waiting(&mut self, partition: u32, actions: &mut Vec<NodeAction>) {
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, asked)| asked.writer.partition == partition);
        self.waiting = later;
        now.into_iter().for_each(|(node, subscription)| self.subscribed(node, vec![subscription], actions));
    }

    pub(super) fn peer(
        &mut self,
        now: Moment,
        from: NodeNumber,
        word: ToPeer,
        body: Bytes,
        actions: &mut Vec<NodeAction>,
    ) {
        match word {
            ToPeer::Subscribe(subscriptions) => self.subscribed(from, subscriptions, actions),
            ToPeer::TooOld { reader, writer, token } => self.too_old(from, reader, writer, token),
            ToPeer::Elements(elements) => self.elements(from, elements, body, actions),
            ToPeer::Credit { bytes } => {
                self.credits.paid(from, bytes);
                self.all_dirty();
            }
            ToPeer::FetchInput { source, version, after } => {
                self.wanted_inputs.push(((from, source, version), after));
                self.serve_inputs(actions);
            }
            ToPeer::Input { .. } => {
                self.take_input(word, body, actions);
                self.run_what_is_ready(actions);
                self.complete_clients(now, actions);
            }
            ToPeer::FetchClient { client, round, source, from: first } => {
                self.hand_on_client((from, round), client, source, first, actions);
            }
            ToPeer::ClientInput { client, round, source, batches, is_last } => {
                self.take_client(client, round, source, (&batches, body), is_last, actions);
                self.complete_clients(now, actions);
            }
            ToPeer::FetchState { partition, version } => {
                self.wanted_states.push((from, partition, version));
                // Without input no turn will end.
                self.serve_all_states(actions);
            }
            ToPeer::Made { .. } => self.take_made(word, body),
            ToPeer::State { .. } => self.take_state(word, body, actions),
        }
    }

    fn elements(&mut self, from: NodeNumber, elements: Vec<Element>, mut body: Bytes, actions: &mut Vec<NodeAction>) {
        for element in elements {
            for part in element.to {
                let Ok(bytes) = usize::try_from(part.bytes) else { return };
                if bytes > body.len() {
                    return; // no message of this build
                }
                let rows = body.split_to(bytes);
                let Element { writer, interval, records, lacks, .. } = element;
                let element = Element { writer, interval, records, lacks, to: Vec::new() };
                self.element(from, element, part, rows, actions);
            }
        }
        let said = self.credits.say();
        actions.extend(said.into_iter().map(|(node, bytes)| tell(node, ToPeer::Credit { bytes })));
    }

    fn element(&mut self, from: NodeNumber, element: Element, part: Part, rows: Bytes, actions: &mut Vec<NodeAction>) {
        let Element { writer, interval, records, lacks, .. } = element;
        let Reader { stage, partition } = part.reader;
        let debt = self.credits.debt(from, (rows.len() + ELEMENT_BYTES) as u64);
        let inbox = self.hosted.get_mut(&partition).and_then(|hosted| hosted.inboxes.get_mut(&stage));
        let verdict = inbox.map_or(Verdict::Old, |inbox| {
            inbox.accept(writer.partition, from, (part.token, part.number), interval, records)
        });
        if verdict != Verdict::Fresh || rows.is_empty() {
            self.credits.pay(debt);
        } else {
            let is_combined = !self.writes_single_records(writer.stage);
            let work = Work::Absorb { stage, interval, records, rows, is_combined, debt };
            self.take_in(partition, stage, interval, writer.partition, work);
        }
        if verdict == Verdict::Fresh && lacks != 0 {
            self.note_lacking(partition, stage, interval, (writer.partition, lacks));
        }
        match verdict {
            Verdict::Fresh if records.is_none() => self.close_ready(partition, stage),
            Verdict::Gap => {
                if let Some(hosted) = self.hosted.get_mut(&partition)
                    && let Some(inbox) = hosted.inboxes.get_mut(&stage)
                {
                    inbox.unsubscribe(writer.partition, from);
                }
                self.subscribe_all(partition, None, actions);
            }
            _ => {}
        }
    }

    /// Whether the rows of a stage's output were not combined over several records.
    pub(super) fn writes_single_records(&self, stage: u32) -> bool {
        self.limits.rules.is_single && self.limits.topology.maps.iter().any(|(map, _)| *map == stage)
    }

    fn all_dirty(&mut self) {
        for (partition, hosted) in &self.hosted {
            let more = hosted.outboxes.iter().filter(|(_, outbox)| outbox.has_more());
            self.dirty.extend(more.map(|(stage, _)| (*partition, *stage)));
        }
    }

    /// Sends what readers have not got, as far as their credit goes.
    pub(super) fn send_elements(&mut self, actions: &mut Vec<NodeAction>) {
        let mut outgoing: Vec<(Writer, Outgoing)> = Vec::new();
        for (partition, stage) in std::mem::take(&mut self.dirty) {
            let mut taken = Vec::new();
            if let Some(outbox) = self.hosted.get_mut(&partition).and_then(|hosted| hosted.outboxes.get_mut(&stage)) {
                outbox.take(&mut self.credits, &mut taken);
            }
            let writer = Writer { stage, partition };
            outgoing.extend(taken.into_iter().map(|taken| (writer, taken)));
        }
        // What is sent once more comes first: within a subscription it lies before what is new, and a reader that gets the
        // new first takes it for a gap and asks anew, as often as anything new comes meanwhile.
        outgoing.sort_by_key(|(writer, out)| (out.node, !out.is_again, *writer, out.place));
        let same_message = |(one, a): &(Writer, Outgoing), (other, b): &(Writer, Outgoing)| {
            let scaled = |writer: &Writer| self.writes_single_records(writer.stage);
            (a.node, a.is_again, scaled(one)) == (b.node, b.is_again, scaled(other))
        };
        let mut own = Vec::new();
        for message in outgoing.chunk_by(same_message) {
            let (writer, first) = &message[0];
            let is_scaled = self.writes_single_records(writer.stage);
            let (node, purpose) = (first.node, if first.is_again { Purpose::Recovery } else { Purpose::Shuffle });
            for (elements, body) in packed(message) {
                if node == self.limits.node {
                    own.push((elements, body));
                } else {
                    actions.push(NodeAction::Tell { node, word: ToPeer::Elements(elements), body, purpose, is_scaled });
                }
            }
        }
        for (elements, body) in own {
            let mut body = body.into_iter();
            for element in elements {
                for part in element.to {
                    let rows = body.next().expect("a body has a part for each reader");
                    let Element { writer, interval, records, lacks, .. } = element;
                    let element = Element { writer, interval, records, lacks, to: Vec::new() };
                    self.element(self.limits.node, element, part, rows, actions);
                }
            }
        }
    }
}

/// Entries as elements, in messages of a bounded size; a body has one part for each reader.
fn packed(entries: &[(Writer, Outgoing)]) -> Vec<(Vec<Element>, Vec<Bytes>)> {
    let (mut messages, mut elements, mut body, mut bytes) = (Vec::new(), Vec::<Element>::new(), Vec::new(), 0);
    for parts in entries.chunk_by(|(one, a), (other, b)| (one, a.place) == (other, b.place)) {
        let (writer, first) = &parts[0];
        let part = |out: &Outgoing| Part {
            reader: out.reader,
            token: out.token,
            number: out.number,
            bytes: out.rows.len() as u64,
        };
        let to = parts.iter().map(|(_, out)| part(out)).collect();
        let Outgoing { interval, records, lacks, .. } = *first;
        elements.push(Element { writer: *writer, interval, records, lacks, to });
        bytes += parts.iter().map(|(_, out)| out.rows.len()).sum::<usize>();
        body.extend(parts.iter().map(|(_, out)| out.rows.clone()));
        if bytes >= MESSAGE_BYTES {
            messages.push((std::mem::take(&mut elements), std::mem::take(&mut body)));
            bytes = 0;
        }
    }
    if !elements.is_empty() {
        messages.push((elements, body));
    }
    messages
}

/// A word without a body.
pub(super) fn tell(node: NodeNumber, word: ToPeer) -> NodeAction {
    NodeAction::Tell { node, word, body: Vec::new(), purpose: Purpose::Control, is_scaled: false }
}

#[cfg(test)]
mod tests;
