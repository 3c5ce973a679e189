//! Clients that die and return, as far as the master is concerned.
//!
//! A dead client's intervals must be closed without its word, and one that returns must hear what is held. Both need one
//! answer to one question: where does what it sent end? Invariant: a client's life ends where every holder of its records
//! has the same, said by all members after they stopped taking more; a member that is lost meanwhile makes the question new.
//!
//! ```text
//! live    --silent for a failure timeout, or a new life--> asking
//! asking  --all said--> closing;  --somebody is connected to it--> live
//! closing --all have the same--> ended, or live;  --one has more, or a member was lost--> asking
//! ended   --back--> asking
//! ```

use crate::continuous::message::{FromMaster, Gate, NodeNumber, ToMaster};
use crate::continuous::source::Punctuations;
use dstream_cluster::client::Cut;
use dstream_cluster::message::ToClient;
use dstream_trace::{Moment, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A client that has never been there is waited for so many failure timeouts.
const FIRST_TIMEOUTS: u32 = 4;

/// What is to be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// To a node.
    Node(NodeNumber, FromMaster),
    /// To a client.
    Client(u32, ToClient),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    Asking,
    Closing,
    Ended,
}

#[derive(Debug)]
struct Client {
    /// A later life sends the same records in the same batches and intervals as the one before.
    sends_alike: bool,
    phase: Phase,
    is_up: bool,
    incarnation: u64,
    /// The life that goes on: the first, or the last that was told what is held.
    known: u64,
    /// Since when it is not connected.
    down_since: Moment,
    /// It is not asked about before.
    ask_at: Moment,
    /// Counts the questions, of which one to all is to say what they have and the next one to have what others have.
    round: u64,
    /// Who has not answered.
    waits: BTreeSet<NodeNumber>,
    /// By source: how much somebody has, and who.
    ends: Vec<(u64, NodeNumber)>,
    open_from: u64,
    /// By source: what operators have taken in.
    taken: BTreeMap<u32, u64>,
    /// By source: what it may have counted as safe ends before this record.
    acknowledged: BTreeMap<u32, u64>,
    /// interval -> the number of the next one's first record, as the client told anybody
    punctuations: BTreeMap<u64, u64>,
    /// The same for intervals that it is to say anew, since it sends records again that come before their ends. Should it go
    /// for good first, what it had said stands.
    to_be_said: BTreeMap<u64, u64>,
    /// Nobody asks for records of this interval or of one before.
    let_go: Option<u64>,
    /// [`Gate::borders`]
    borders: BTreeMap<u64, (u64, BTreeSet<u32>)>,
    /// A node is connected to it.
    is_seen: bool,
    /// Nodes take nothing of it.
    is_closed: bool,
    /// Intervals may have been closed without its word since it was last open.
    was_ended: bool,
    /// What came of the last question.
    gate: Gate,
}

/// Whether all holders have what a client sent in an interval and before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whole {
    No,
    /// Nobody has said yet where the interval ends.
    Unknown,
    Yes,
}

/// All clients.
#[derive(Debug)]
pub struct Clients {
    cut: Cut,
    timeout: Duration,
    members: BTreeSet<NodeNumber>,
    clients: BTreeMap<u32, Client>,
}

impl Clients {
    /// So many clients, none of which is there yet. `sends_alike`: a later life of one sends the same records in the same
    /// batches and intervals as the one before.
    pub fn new(clients: u32, sources: u32, (cut, sends_alike): (Cut, bool), timeout: Duration) -> Clients {
        let client = |number| (number, Client::new(sources, sends_alike));
        Clients { cut, timeout, members: BTreeSet::new(), clients: (1..=clients).map(client).collect() }
    }

    /// Work has begun: clients must come.
    pub fn begin(&mut self, now: Moment) {
        for client in self.clients.values_mut() {
            client.down_since = now;
            client.ask_at = now + self.timeout * FIRST_TIMEOUTS;
        }
    }

    /// These are the members now: what was asked is asked again.
    pub fn members(&mut self, members: impl Iterator<Item = NodeNumber>, said: &mut Vec<Said>) {
        self.members = members.collect();
        for (number, client) in &mut self.clients {
            if matches!(client.phase, Phase::Asking | Phase::Closing) {
                client.ask(*number, &self.members, said);
            }
        }
    }

    /// What a member must know before it is told who runs what.
    pub fn welcome(&self, node: NodeNumber, said: &mut Vec<Said>) {
        for (number, client) in &self.clients {
            let is_asked = client.is_closed && client.phase != Phase::Ended;
            if client.gate.round > 0 {
                let word = FromMaster::ClientIs { client: *number, gate: client.gate.clone(), is_asked };
                said.push(Said::Node(node, word));
            }
        }
    }

    /// A member's connection is new: what it has not answered it is asked again.
    pub fn welcome_back(&self, node: NodeNumber, said: &mut Vec<Said>) {
        for (number, client) in self.clients.iter().filter(|(_, client)| client.waits.contains(&node)) {
            client.question(*number).into_iter().for_each(|word| said.push(Said::Node(node, word)));
        }
    }

    /// A client is connected.
    pub fn up(&mut self, number: u32, incarnation: u64, said: &mut Vec<Said>) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        (client.is_up, client.incarnation) = (true, incarnation);
        let is_new = incarnation > client.known;
        match client.phase {
            Phase::Live if is_new => client.ask(number, &self.members, said),
            Phase::Live => client.say_known(number, self.cut, said),
            Phase::Ended => client.ask(number, &self.members, said),
            Phase::Asking if !client.is_closed && !is_new => client.go_on(),
            Phase::Asking | Phase::Closing => {}
        }
    }

    /// A client's connection broke.
    pub fn down(&mut self, now: Moment, number: u32) {
        if let Some(client) = self.clients.get_mut(&number) {
            (client.is_up, client.down_since) = (false, now);
        }
    }

    /// A member's word. `sealed`: by source, the last interval that was sealed.
    pub fn word(
        &mut self,
        now: Moment,
        node: NodeNumber,
        word: ToMaster,
        sealed: &BTreeMap<u32, u64>,
        said: &mut Vec<Said>,
    ) {
        match word {
            ToMaster::ClientHeld {
                client: number, round, is_connected, upto, taken, open_from, punctuations, ..
            } => {
                let Some(client) = self.clients.get_mut(&number).filter(|client| client.round == round) else { return };
                client.open_from = client.open_from.max(open_from);
                client.punctuations.extend(punctuations);
                for (source, end) in taken {
                    let known = client.taken.entry(source).or_default();
                    *known = end.max(*known);
                }
                client.is_seen |= is_connected;
                client.waits.remove(&node);
                let has_more = client.take_ends(node, &upto);
                match client.phase {
                    Phase::Closing if has_more => client.ask(number, &self.members, said),
                    Phase::Asking | Phase::Closing => self.advance(now, number, sealed, said),
                    Phase::Live | Phase::Ended => {}
                }
            }
            ToMaster::ClientBack { client: number, .. } => {
                let Some(client) = self.clients.get_mut(&number) else { return };
                if client.phase == Phase::Ended {
                    client.ask(number, &self.members, said);
                }
                client.is_seen = true;
            }
            _ => {}
        }
    }

    /// Nodes say what clients may count as safe, as (client, source, end), and where their intervals end.
    pub fn take_note(&mut self, safe: &[(u32, u32, u64)], punctuations: Punctuations) {
        for (client, source, end) in safe {
            if let Some(client) = self.clients.get_mut(client) {
                let known = client.acknowledged.entry(*source).or_default();
                *known = (*end).max(*known);
            }
        }
        for (client, ends) in punctuations {
            let Some(client) = self.clients.get_mut(&client) else { continue };
            let gate = &client.gate;
            client.punctuations.extend(ends.into_iter().filter(|(interval, end)| gate.believes(*interval, *end)));
        }
    }

    /// The last of these intervals before whose end nothing is missing of what clients sent. `held`: by source and client,
    /// the first record that some holder lacks.
    pub fn held_through(&self, intervals: RangeInclusive<u64>, held: impl Fn(u32, u32) -> u64) -> Option<u64> {
        let mut last = None;
        for interval in intervals {
            let of = |(number, client): (&u32, &Client)| client.is_held(interval, *number, self.cut, &held);
            match self.clients.iter().map(of).min() {
                Some(Whole::No) => break,
                Some(Whole::Unknown) => {}
                Some(Whole::Yes) | None => last = Some(interval),
            }
        }
        last
    }

    /// No interval through this one is closed again; the border itself stays, since sources ask where clients were there.
    pub fn trim(&mut self, through: u64) {
        for client in self.clients.values_mut() {
            client.punctuations = client.punctuations.split_off(&through);
            client.to_be_said = client.to_be_said.split_off(&through);
            client.borders = client.borders.split_off(&through);
            client.let_go = Some(through);
        }
    }

    fn advance(&mut self, now: Moment, number: u32, sealed: &BTreeMap<u32, u64>, said: &mut Vec<Said>) {
        let timeout = self.timeout;
        let client = self.clients.get_mut(&number).expect("it was just there");
        if !client.waits.is_empty() {
            return;
        }
        let is_here = client.is_up || client.is_seen;
        if client.phase == Phase::Closing {
            let is_gone = !is_here && now >= client.down_since + timeout;
            client.raise_ends(number, sealed, is_gone, self.cut);
            return client.decide(now + timeout, number, is_gone, self.cut, &self.members, said);
        }
        if client.is_seen && !client.is_closed && client.incarnation <= client.known {
            client.ask_at = now + timeout;
            return client.go_on();
        }
        // A number of its own: whoever was asked twice, as its connection was new, may answer the first question only now.
        client.round += 1;
        (client.phase, client.is_closed) = (Phase::Closing, true);
        client.waits = self.members.clone();
        let word = client.question(number);
        said.extend(self.members.iter().flat_map(|node| word.clone().map(|word| Said::Node(*node, word))));
    }

    /// Time passed.
    pub fn tick(&mut self, now: Moment, said: &mut Vec<Said>) {
        for (number, client) in &mut self.clients {
            if client.due(self.timeout).is_some_and(|due| due <= now) {
                client.ask(*number, &self.members, said);
            }
        }
    }

    /// When it wants a tick.
    pub fn deadline(&self) -> Option<Moment> {
        self.clients.values().filter_map(|client| client.due(self.timeout)).min()
    }
}

impl Client {
    fn new(sources: u32, sends_alike: bool) -> Client {
        Client {
            sends_alike,
            phase: Phase::Live,
            is_up: false,
            incarnation: 0,
            known: 1,
            down_since: Moment::NEVER,
            ask_at: Moment::NEVER,
            round: 0,
            waits: BTreeSet::new(),
            ends: vec![(0, 0); sources as usize],
            open_from: 0,
            taken: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            punctuations: BTreeMap::new(),
            to_be_said: BTreeMap::new(),
            let_go: None,
            borders: BTreeMap::new(),
            is_seen: false,
            is_closed: false,
            was_ended: false,
            gate: Gate::default(),
        }
    }

    /// When it must be asked about: a failure timeout after it was last connected.
    fn due(&self, timeout: Duration) -> Option<Moment> {
        let is_absent = self.phase == Phase::Live && !self.is_up && self.down_since < Moment::NEVER;
        is_absent.then(|| self.ask_at.max(self.down_since + timeout))
    }

    /// Whether all holders have its records up to the end of an interval, or they are settled.
    fn is_held(&self, interval: u64, number: u32, cut: Cut, held: &impl Fn(u32, u32) -> u64) -> Whole {
        // What was closed without its word all had when its life ended.
        if self.gate.closes(interval, u64::MAX) {
            return Whole::Yes;
        }
        let Some(end) = self.punctuations.get(&interval) else { return Whole::Unknown };
        let is_here = |source: u32| {
            let settled = self.gate.end(source);
            held(source, number).max(settled) >= cut.next_of(source, number, *end)
        };
        if (0u32..).zip(&self.ends).all(|(source, _)| is_here(source)) { Whole::Yes } else { Whole::No }
    }

    fn ask(&mut self, number: u32, members: &BTreeSet<NodeNumber>, said: &mut Vec<Said>) {
        self.round += 1;
        (self.phase, self.is_seen) = (Phase::Asking, false);
        self.waits.clone_from(members);
        // Who had more and is lost has it no more; what was an end of life before stays one.
        let before = |source: usize| self.gate.ends.get(source).copied().unwrap_or(0);
        self.ends = (0..self.ends.len()).map(|source| (before(source), 0)).collect();
        let word = self.question(number);
        said.extend(members.iter().flat_map(|node| word.clone().map(|word| Said::Node(*node, word))));
    }

    /// What is asked just now.
    fn question(&self, client: u32) -> Option<FromMaster> {
        let round = self.round;
        match self.phase {
            Phase::Asking => Some(FromMaster::AskClient { client, round }),
            Phase::Closing => Some(FromMaster::CloseClient { client, round, ends: self.ends.clone() }),
            Phase::Live | Phase::Ended => None,
        }
    }

    /// Takes note of what a node has; whether it is more than was known.
    fn take_ends(&mut self, node: NodeNumber, upto: &[(u32, u64)]) -> bool {
        let mut has_more = false;
        for (source, end) in upto {
            let Some(known) = self.ends.get_mut(*source as usize) else { continue };
            if *end > known.0 {
                has_more = true;
            }
            if *end > known.0 || (*end == known.0 && known.1 == 0) {
                *known = (*end, node);
            }
        }
        has_more
    }

    /// What is in a sealed interval was there, even if all who held it are lost; so was what a client that is gone may have
    /// counted as safe, and what operators have. One that is here and sends alike sends all this again, but what nobody asks
    /// for any more, unless it had been ended: intervals may have been closed behind that without its word.
    fn raise_ends(&mut self, number: u32, sealed: &BTreeMap<u32, u64>, is_gone: bool, cut: Cut) {
        let is_sent_again = self.sends_alike && !is_gone && !self.was_ended;
        for (source, (end, _)) in (0u32..).zip(&mut self.ends) {
            let settled = if is_sent_again { self.let_go.as_ref() } else { sealed.get(&source) };
            let border = |interval| self.punctuations.get(interval).or_else(|| self.to_be_said.get(interval));
            let settled = settled.and_then(border).map_or(0, |border| cut.next_of(source, number, *border));
            let acknowledged = self.acknowledged.get(&source).filter(|_| is_gone);
            let acknowledged = acknowledged.map_or(0, |end| cut.next_of(source, number, *end));
            let taken = self.taken.get(&source).copied().filter(|_| !is_sent_again).unwrap_or(0);
            *end = settled.max(taken).max(acknowledged).max(*end);
        }
    }

    fn go_on(&mut self) {
        self.phase = Phase::Live;
        self.waits.clear();
    }

    fn decide(
        &mut self,
        ask_at: Moment,
        number: u32,
        is_gone: bool,
        cut: Cut,
        members: &BTreeSet<NodeNumber>,
        said: &mut Vec<Said>,
    ) {
        let from = if self.was_ended && !is_gone { self.open_from.max(self.gate.from) } else { self.gate.from };
        let ends: Vec<u64> = self.ends.iter().map(|(end, _)| *end).collect();
        self.split_punctuations(&ends, is_gone);
        let (punctuations, borders) = (self.punctuations.clone(), self.borders.clone());
        self.gate = Gate { round: self.round, ends, punctuations, borders, from, is_ended: is_gone };
        let word = FromMaster::ClientIs { client: number, gate: self.gate.clone(), is_asked: false };
        said.extend(members.iter().map(|node| Said::Node(*node, word.clone())));
        if is_gone {
            (self.phase, self.was_ended) = (Phase::Ended, true);
            return;
        }
        (self.is_closed, self.was_ended, self.ask_at) = (false, false, ask_at);
        self.go_on();
        if self.is_up {
            self.known = self.known.max(self.incarnation);
            self.say_known(number, cut, said);
        }
    }

    /// Keeps where intervals end before which all records came. Of a client that is gone the others hold for the sources to
    /// which all came; one that is here says them again.
    fn split_punctuations(&mut self, ends: &[u64], is_gone: bool) {
        let whole_below = ends.iter().copied().min().unwrap_or(0);
        let before = if is_gone { std::mem::take(&mut self.to_be_said) } else { BTreeMap::new() };
        for (interval, border) in before {
            self.punctuations.entry(interval).or_insert(border);
        }
        let others = self.punctuations.extract_if(.., |_, end| *end > whole_below);
        if !is_gone {
            let sends_alike = self.sends_alike;
            return self.to_be_said.extend(others.filter(|_| sends_alike));
        }
        for (interval, border) in others {
            let whole = (0u32..).zip(ends).filter(|(_, end)| **end >= border).map(|(source, _)| source).collect();
            self.borders.entry(interval).or_insert((border, whole));
        }
    }

    /// Tells a later life what is held.
    fn say_known(&self, number: u32, cut: Cut, said: &mut Vec<Said>) {
        if self.is_up && self.incarnation > 1 && self.incarnation == self.known {
            let held = held_before(cut, number, &self.gate.ends);
            said.push(Said::Client(number, ToClient::Known(held)));
        }
    }
}

#[cfg(test)]
mod tests;

/// A client's records before the sources' ends: those that all have, as one range, and the runs behind.
fn held_before(cut: Cut, client: u32, ends: &[u64]) -> Vec<RecordRange> {
    let all = ends.iter().copied().min().unwrap_or(0);
    let mut held: Vec<RecordRange> =
        all.checked_sub(1).map(|last| RecordRange { client, first: 0, last }).into_iter().collect();
    for (source, end) in (0u32..).zip(ends) {
        let mut first = cut.next_of(source, client, all);
        while first < *end {
            let last = cut.border(first).min(*end) - 1;
            held.push(RecordRange { client, first, last });
            first = cut.next_of(source, client, last + 1);
        }
    }
    held.sort_by_key(|range| range.first);
    held
}
