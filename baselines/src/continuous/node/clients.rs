//! Clients that die and return, as far as a node is concerned.
//!
//! Invariant: between the answer to `CloseClient` and the word of what became of the client, nothing more of the client is
//! taken in; so all holders of a source have the same of it when its life ends.
//!
//! ```text
//! open   --AskClient: says what is here--> open
//! open   --CloseClient: fetches what it lacks--> closed
//! closed --ClientIs--> ended, or open again
//! ended  --AskClient--> closed
//! ```

use crate::continuous::message::{Gate, NodeNumber, ToMaster, ToPeer};
use crate::continuous::node::channel::tell;
use crate::continuous::node::core::{Held, Node};
use crate::continuous::node::event::NodeAction;
use crate::continuous::node::input::{hand_on, in_messages};
use bytes::Bytes;
use dstream_trace::{Event, Moment, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// A question of the master's that is not answered yet.
#[derive(Debug)]
struct Question {
    round: u64,
    /// By source: the first record that nobody has, and who has all before it.
    ends: Vec<(u64, NodeNumber)>,
    /// Sources of which everything came that another holder has.
    fetched: BTreeSet<u32>,
}

/// What a node knows of its clients' lives.
#[derive(Debug, Default)]
pub(super) struct Clients {
    gates: BTreeMap<u32, Gate>,
    /// Clients whose life had ended when they were asked about anew.
    asked_after_end: BTreeSet<u32>,
    /// Clients of which nothing is taken.
    closed: BTreeSet<u32>,
    /// Closed clients that said something.
    turned_away: BTreeSet<u32>,
    connected: BTreeSet<u32>,
    questions: BTreeMap<u32, Question>,
}

impl Clients {
    /// Where clients' lives ended.
    pub fn gates(&self) -> &BTreeMap<u32, Gate> {
        &self.gates
    }

    /// The same, as they were when any interval was closed that is: a question opens none of those again. Who begins behind
    /// one must not wait for the answer, which waits for whoever copies from it.
    pub fn gates_behind_borders(&self) -> BTreeMap<u32, Gate> {
        let mut gates = self.gates.clone();
        for (client, gate) in &mut gates {
            gate.is_ended |= self.asked_after_end.contains(client);
        }
        gates
    }

    /// Whether what the client says is not taken; it is told so by a new connection when it is again.
    pub fn turns_away(&mut self, client: u32) -> bool {
        let is_closed = self.closed.contains(&client);
        if is_closed {
            self.turned_away.insert(client);
        }
        is_closed
    }

    /// The client's word on intervals below this one does not count.
    pub fn opens_below(&self, client: u32) -> u64 {
        self.gates.get(&client).map_or(0, |gate| gate.from)
    }

    /// The interval of a client's batch: the one it says, or the first that was open when it came back.
    pub fn interval_of(&self, client: u32, source: u32, first: u64, said: u64) -> u64 {
        match self.gates.get(&client) {
            Some(gate) if first >= gate.end(source) => said.max(gate.from),
            _ => said,
        }
    }

    /// Whether a punctuation that another node or the store has still holds.
    pub fn believes(&self, client: u32, interval: u64, end: u64) -> bool {
        self.gates.get(&client).is_none_or(|gate| gate.believes(interval, end))
    }

    /// Clients that are connected.
    pub fn connected(&self) -> impl Iterator<Item = u32> + '_ {
        self.connected.iter().copied()
    }

    /// The node was fenced: the master will say everything again.
    pub fn forget(&mut self) {
        let connected = std::mem::take(&mut self.connected);
        *self = Clients { connected, ..Clients::default() };
    }
}

impl Node {
    pub(super) fn client_up(&mut self, client: u32, actions: &mut Vec<NodeAction>) {
        self.views.remove(&client);
        self.clients.connected.insert(client);
        self.say_back(client, actions);
    }

    pub(super) fn client_down(&mut self, client: u32) {
        self.clients.connected.remove(&client);
    }

    /// Tells the master of closed clients that are connected here.
    pub(super) fn say_all_back(&self, actions: &mut Vec<NodeAction>) {
        self.clients.connected.iter().for_each(|client| self.say_back(*client, actions));
    }

    fn say_back(&self, client: u32, actions: &mut Vec<NodeAction>) {
        if let (Some(epoch), true) = (self.epoch, self.clients.closed.contains(&client)) {
            actions.push(NodeAction::TellMaster(ToMaster::ClientBack { epoch, client }));
        }
    }

    /// The master asks what is here. A client that had ended may be back: nothing is closed without its word meanwhile.
    pub(super) fn ask_client(&mut self, now: Moment, client: u32, round: u64, actions: &mut Vec<NodeAction>) {
        if let Some(gate) = self.clients.gates.get_mut(&client)
            && std::mem::take(&mut gate.is_ended)
        {
            self.clients.asked_after_end.insert(client);
        }
        self.clients.questions.remove(&client);
        self.say_client_held(now, client, round, actions);
    }

    fn say_client_held(&self, now: Moment, client: u32, round: u64, actions: &mut Vec<NodeAction>) {
        let Some(epoch) = self.epoch else { return };
        let held = self.held.iter().filter(|(_, held)| held.since > 0);
        let upto = held.map(|(source, held)| (*source, self.frontier(client, *source, held))).collect();
        let sealed = self.hosted.values().filter_map(|hosted| hosted.source.as_ref()?.sealed()).max();
        // Nobody seals an interval that is not over, so a node that is lost has not either.
        let open_from = self.interval_at(now).max(sealed.map_or(0, |sealed| sealed + 1));
        let is_connected = self.clients.connected.contains(&client);
        let punctuations = self.punctuations.get(&client).cloned().unwrap_or_default();
        let taken = self.taken_of(client);
        let word = ToMaster::ClientHeld { epoch, client, round, is_connected, upto, taken, open_from, punctuations };
        actions.push(NodeAction::TellMaster(word));
    }

    /// By source: the first record behind those of the client that operators here have taken from it, or know to be in an
    /// interval that it has closed: such records need not have had anything for them.
    fn taken_of(&self, client: u32) -> Vec<(u32, u64)> {
        let behind_maps: BTreeSet<u32> = self.limits.topology.maps.iter().map(|(_, reader)| *reader).collect();
        let mut taken: BTreeMap<u32, u64> = BTreeMap::new();
        let inboxes = self.hosted.values().flat_map(|hosted| &hosted.inboxes);
        for (_, inbox) in inboxes.filter(|(stage, _)| behind_maps.contains(stage)) {
            for (source, last) in inbox.taken(client) {
                let end = taken.entry(source).or_default();
                *end = self.limits.cut.next_of(source, client, last + 1).max(*end);
            }
            for (source, interval) in inbox.closed_by_writers() {
                let border = self.punctuations.get(&client).and_then(|ends| ends.get(&interval)).copied();
                let end = taken.entry(source).or_default();
                *end = border.map_or(0, |border| self.limits.cut.next_of(source, client, border)).max(*end);
            }
        }
        taken.into_iter().collect()
    }

    /// The client's life is to end at these records.
    pub(super) fn close_client(
        &mut self,
        now: Moment,
        (client, round): (u32, u64),
        ends: Vec<(u64, NodeNumber)>,
        actions: &mut Vec<NodeAction>,
    ) {
        self.clients.closed.insert(client);
        self.clients.questions.insert(client, Question { round, ends, fetched: BTreeSet::new() });
        self.fetch_clients(None, actions);
        self.complete_clients(now, actions);
    }

    /// Asks other holders for what is lacking of closed clients: one node, or all of them.
    pub(super) fn fetch_clients(&self, node: Option<NodeNumber>, actions: &mut Vec<NodeAction>) {
        for (client, question) in &self.clients.questions {
            for (source, from, at) in self.lacking(*client, question) {
                if at != self.me() && node.is_none_or(|node| node == at) && self.credits.is_up(at) {
                    let word = ToPeer::FetchClient { client: *client, round: question.round, source, from };
                    actions.push(tell(at, word));
                }
            }
        }
    }

    /// Sources whose input is here, but not all of the client's: the first record that is missing, and who has it.
    fn lacking(&self, client: u32, question: &Question) -> Vec<(u32, u64, NodeNumber)> {
        let held = self.held.iter().filter(|(source, held)| held.since > 0 && !question.fetched.contains(source));
        let of = |(source, held): (&u32, &Held)| {
            let (end, at) = question.ends.get(*source as usize).copied().unwrap_or_default();
            let frontier = self.frontier(client, *source, held);
            (frontier < end).then_some((*source, frontier, at))
        };
        held.filter_map(of).collect()
    }

    /// The client's first record of a source that is missing here; what was before the end of a life is settled, even where
    /// nobody has it any more.
    fn frontier(&self, client: u32, source: u32, held: &Held) -> u64 {
        let ended = self.clients.gates.get(&client).map_or(0, |gate| gate.end(source));
        held.log.frontier(self.limits.cut, source, client).max(ended)
    }

    /// Answers the master's questions to which nothing is missing any more.
    pub(super) fn complete_clients(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        if self.clients.questions.is_empty() || self.held.values().any(|held| held.since > 0 && !held.is_whole) {
            return; // what comes with the rest of a log may be of the client
        }
        let is_complete = |(client, question): &(&u32, &Question)| {
            self.lacking(**client, question).into_iter().all(|(_, _, at)| at == self.me())
        };
        let complete: Vec<(u32, u64)> = self
            .clients
            .questions
            .iter()
            .filter(is_complete)
            .map(|(client, question)| (*client, question.round))
            .collect();
        for (client, round) in complete {
            self.clients.questions.remove(&client);
            self.say_client_held(now, client, round, actions);
        }
    }

    /// Gives another holder what is here of a client's records. Who was relieved meanwhile has let go of them, and whoever
    /// believes it to have none believes that nobody has any: it says nothing, and the master asks all anew.
    pub(super) fn hand_on_client(
        &self,
        (to, round): (NodeNumber, u64),
        client: u32,
        source: u32,
        from: u64,
        actions: &mut Vec<NodeAction>,
    ) {
        let has_more = |held: &&Held| held.since > 0 && self.frontier(client, source, held) > from;
        let Some(held) = self.held.get(&source).filter(has_more) else { return };
        let (full, last) = in_messages(held.log.within(RecordRange { client, first: from, last: u64::MAX }));
        let messages = full.into_iter().map(|part| (part, false)).chain([(last, true)]);
        for ((batches, lines), is_last) in messages {
            let word = ToPeer::ClientInput { client, round, source, batches, is_last };
            actions.push(hand_on(to, word, lines));
        }
    }

    /// Takes what another holder has of a closed client.
    pub(super) fn take_client(
        &mut self,
        client: u32,
        round: u64,
        source: u32,
        (batches, body): (&[(RecordRange, u64, u64)], Bytes),
        is_last: bool,
        actions: &mut Vec<NodeAction>,
    ) {
        let question = self.clients.questions.get_mut(&client).filter(|question| question.round == round);
        let (Some(question), Some(held)) = (question, self.held.get_mut(&source)) else { return };
        if held.take(batches, body, actions) && is_last {
            let end = question.ends.get(source as usize).map_or(0, |(end, _)| *end);
            held.log.pass(client, end);
            question.fetched.insert(source);
            self.noting.holds(source, client);
        }
    }

    /// The master has decided; while it asks anew, that is only where an earlier life ended.
    pub(super) fn client_is(&mut self, client: u32, mut gate: Gate, is_asked: bool, actions: &mut Vec<NodeAction>) {
        self.clients.questions.remove(&client);
        let is_new = self.clients.gates.get(&client).is_none_or(|known| known.round < gate.round);
        let is_closed = is_asked || gate.is_ended;
        self.clients.asked_after_end.remove(&client);
        if is_asked && std::mem::take(&mut gate.is_ended) {
            self.clients.asked_after_end.insert(client);
        }
        self.clients.gates.insert(client, gate);
        if is_new {
            self.end_life(client, actions);
        }
        if is_closed {
            self.clients.closed.insert(client);
            if self.clients.connected.contains(&client) {
                self.say_back(client, actions);
            }
            return;
        }
        self.clients.closed.remove(&client);
        if self.clients.turned_away.remove(&client) && self.clients.connected.contains(&client) {
            // It says everything again to a new connection.
            actions.push(NodeAction::Redial(client));
        }
    }

    /// Makes what is here of a client's life end where the master says.
    fn end_life(&mut self, client: u32, actions: &mut Vec<NodeAction>) {
        let gate = &self.clients.gates[&client];
        let cut = self.limits.cut;
        let is_before = |range: &RecordRange| range.first < gate.end(cut.source_of(client, range.first));
        self.unsaid.retain(|(of, range)| *of != client || is_before(range));
        for (source, held) in &mut self.held {
            let end = gate.end(*source);
            held.log.pass(client, end);
            let gone = held.log.drop_from(client, end).into_iter();
            let mut said = gone.map(|block| NodeAction::Record(Event::BlockForgotten { block })).peekable();
            if said.peek().is_some() {
                self.clients.turned_away.insert(client);
            }
            actions.extend(said);
        }
        let ends = self.punctuations.entry(client).or_default();
        let before = ends.len();
        ends.retain(|_, end| *end <= gate.whole_below());
        if ends.len() < before {
            self.clients.turned_away.insert(client);
        }
        ends.extend(gate.punctuations.iter().filter(|(interval, _)| self.safe <= Some(**interval)));
    }
}

#[cfg(test)]
mod tests;
