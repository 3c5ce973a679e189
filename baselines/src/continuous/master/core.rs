//! The master's core.
//!
//! Invariant: what it lets nodes forget no heir that it seats later asks for: both follow from one border, and a heir that
//! has not begun holds the border back.
//!
//! ```text
//! waiting for the first members --all, or time is up--> assigned --a member lost, or back--> assigned anew
//! ```

use crate::continuous::assignment::{Assignment, Seat, Start};
use crate::continuous::master::clients::{Clients, Said};
use crate::continuous::master::holdings::Holdings;
use crate::continuous::master::plan::{Border, Redundancy, Scene};
use crate::continuous::master::saved::OutOfTurn;
use crate::continuous::message::{FromMaster, NodeNumber, Progress, ToMaster};
use crate::continuous::node::places;
use dstream_cluster::client::Cut;
use dstream_cluster::core::{BoxCore, Core};
use dstream_cluster::detector::{DetectorAction, DetectorEvent};
use dstream_cluster::message::ToClient;
use dstream_trace::{Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes that have not come by then are taken for lost: so many failure timeouts after the first one came.
const START_TIMEOUTS: u32 = 4;

/// What the master must know.
#[derive(Clone, Debug)]
pub struct MasterLimits {
    /// All nodes, by number from 1.
    pub names: Vec<NodeName>,
    /// How many partitions there are.
    pub partitions: u32,
    /// The protocol's part.
    pub redundancy: Redundancy,
    /// How many intervals a result looks back; `None`: all.
    pub reach: Option<u64>,
    /// How many clients there are.
    pub clients: u32,
    /// How they cut their streams.
    pub cut: Cut,
    /// A later life of a client sends the same records in the same batches and intervals.
    pub sends_alike: bool,
    /// How long a node may be silent.
    pub failure_timeout: Duration,
    /// A node whose sources are more than so many intervals behind the foremost, for so long, counts as lost; `None`: it is
    /// waited for.
    pub most_behind: Option<(u64, Duration)>,
    /// Partitions move while no more sealed intervals than these wait for their results.
    pub most_waiting: u64,
}

/// What happens to the master.
#[derive(Clone, Debug)]
pub enum MasterEvent {
    /// A node says.
    Word {
        /// The node.
        node: NodeNumber,
        /// Its incarnation.
        incarnation: u64,
        /// What.
        word: ToMaster,
    },
    /// The connection to a node broke.
    Broken(NodeNumber),
    /// A connection to a client is open.
    ClientUp {
        /// The client.
        client: u32,
        /// Counts its starts.
        incarnation: u64,
    },
    /// The connection to the client broke.
    ClientDown(u32),
    /// Time passed.
    Tick,
}

/// What the master does.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterAction {
    /// Say this to a node.
    Tell(NodeNumber, FromMaster),
    /// Say this to all clients.
    TellClients(ToClient),
    /// Say this to one.
    TellClient(NodeName, ToClient),
    /// Have the sink refuse what the node hands in under this and older epochs.
    Fence {
        /// The node.
        node: NodeNumber,
        /// Its last epoch.
        epoch: u64,
    },
    /// Record an event.
    Record(Event),
}

/// The master's core.
pub struct Master {
    pub(super) limits: MasterLimits,
    detector: BoxCore<DetectorEvent, DetectorAction>,
    pub(super) members: BTreeMap<NodeNumber, u64>,
    incarnations: BTreeMap<NodeNumber, u64>,
    pub(super) assignment: Option<Assignment>,
    start_at: Moment,
    pub(super) progress: BTreeMap<(u32, NodeNumber), Progress>,
    /// (source, node, since): all of the source's input is there
    pub(super) whole: BTreeSet<(u32, NodeNumber, u64)>,
    /// (partition, node, since): said that it lacks what it was to copy, of which the model is gone
    lacks: BTreeSet<(u32, NodeNumber, u64)>,
    /// (partition, node, since): was the foremost once, or level with it
    pub(super) kept_up: BTreeSet<(u32, NodeNumber, u64)>,
    /// Nodes that were given up for being slow: they are heirs where need be, and otherwise run nothing.
    pub(super) given_up: BTreeSet<NodeNumber>,
    /// (partition, node, since): the last interval that was closed when it began to run
    pub(super) began_behind: BTreeMap<(u32, NodeNumber, u64), Option<u64>>,
    /// (partition, node, since): the last interval that its first host had closed when it was as far as what was visible
    pub(super) level_at: BTreeMap<(u32, NodeNumber, u64), Option<u64>>,
    /// Who is too far behind, and since when.
    pub(super) slow_since: Option<(NodeNumber, Moment)>,
    /// Since when everything has its copies and as many hosts as it should.
    pub(super) whole_since: Option<Moment>,
    /// By source: the last interval that was sealed.
    pub(super) sealed: BTreeMap<u32, u64>,
    pub(super) safe: Option<u64>,
    /// Hosts need no more of what some holder has not got yet.
    pub(super) waits_for_holders: bool,
    pub(super) out_of_turn: Option<OutOfTurn>,
    pub(super) visible: Option<u64>,
    pub(super) said_lacking: u64,
    pub(super) clients: Clients,
    pub(super) holdings: Holdings,
}

impl Master {
    /// A master that knows nobody yet.
    pub fn new(limits: MasterLimits, detector: BoxCore<DetectorEvent, DetectorAction>) -> Master {
        let clients =
            Clients::new(limits.clients, limits.partitions, (limits.cut, limits.sends_alike), limits.failure_timeout);
        Master {
            limits,
            clients,
            detector,
            members: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            assignment: None,
            start_at: Moment::NEVER,
            progress: BTreeMap::new(),
            whole: BTreeSet::new(),
            lacks: BTreeSet::new(),
            kept_up: BTreeSet::new(),
            level_at: BTreeMap::new(),
            given_up: BTreeSet::new(),
            began_behind: BTreeMap::new(),
            slow_since: None,
            whole_since: None,
            sealed: BTreeMap::new(),
            safe: None,
            waits_for_holders: false,
            out_of_turn: None,
            visible: None,
            said_lacking: 0,
            holdings: Holdings::default(),
        }
    }

    fn name(&self, node: NodeNumber) -> NodeName {
        self.limits.names[node as usize - 1].clone()
    }

    fn detect(&mut self, now: Moment, event: DetectorEvent, actions: &mut Vec<MasterAction>) {
        let mut decided = Vec::new();
        self.detector.step(now, event, &mut decided);
        for decision in decided {
            match decision {
                DetectorAction::Joined { worker: node, epoch } => self.joined(now, node, epoch, actions),
                DetectorAction::Rejoined { worker: node, epoch } => {
                    self.welcome(node, epoch, actions);
                    self.with_clients(actions, |clients, said| clients.welcome_back(node, said));
                }
                DetectorAction::Lost { worker: node, epoch } => {
                    self.members.remove(&node);
                    self.progress.retain(|(_, host), _| *host != node);
                    actions.push(MasterAction::Record(Event::WorkerLost { worker: self.name(node), epoch }));
                    actions.push(MasterAction::Fence { node, epoch });
                    self.mend(actions);
                    self.ask_members_of_clients(actions);
                }
                DetectorAction::Renew { .. } => {}
                DetectorAction::Refuse { worker: node, epoch } => {
                    actions.push(MasterAction::Tell(node, FromMaster::Fenced { epoch }));
                }
            }
        }
    }

    fn joined(&mut self, now: Moment, node: NodeNumber, epoch: u64, actions: &mut Vec<MasterAction>) {
        self.members.insert(node, epoch);
        actions.push(MasterAction::Record(Event::WorkerJoined { worker: self.name(node), epoch }));
        self.welcome(node, epoch, actions);
        if self.assignment.is_some() {
            self.mend(actions);
        } else if self.start_at == Moment::NEVER {
            self.start_at = now + self.limits.failure_timeout * START_TIMEOUTS;
        }
        self.ask_members_of_clients(actions);
    }

    fn ask_members_of_clients(&mut self, actions: &mut Vec<MasterAction>) {
        let members: Vec<NodeNumber> = self.members.keys().copied().collect();
        self.with_clients(actions, |clients, said| clients.members(members.into_iter(), said));
    }

    /// Has the clients' part do something, and says what it wants said.
    fn with_clients(&mut self, actions: &mut Vec<MasterAction>, act: impl FnOnce(&mut Clients, &mut Vec<Said>)) {
        let mut said = Vec::new();
        act(&mut self.clients, &mut said);
        actions.extend(said.into_iter().map(|said| match said {
            Said::Node(node, word) => MasterAction::Tell(node, word),
            Said::Client(client, word) => MasterAction::TellClient(NodeName::client(client), word),
        }));
    }

    /// Tells a member everything that it must know.
    fn welcome(&mut self, node: NodeNumber, epoch: u64, actions: &mut Vec<MasterAction>) {
        actions.push(MasterAction::Tell(node, FromMaster::Welcome { epoch }));
        // Before it takes anything in it knows whose words count.
        self.with_clients(actions, |clients, said| clients.welcome(node, said));
        if let Some(assignment) = &self.assignment {
            actions.push(MasterAction::Tell(node, FromMaster::Assign(assignment.clone())));
            let trim = FromMaster::Trim { safe: self.safe, visible: self.visible };
            actions.push(MasterAction::Tell(node, trim));
            let border = self.out_of_turn.as_ref().map(|extra| extra.border);
            actions.extend(border.map(|border| MasterAction::Tell(node, FromMaster::SaveAt { border })));
        }
    }

    /// Makes the first assignment when all nodes are here, or have had the time to come.
    fn start(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        if self.assignment.is_some() || (self.members.len() < self.limits.names.len() && now < self.start_at) {
            return;
        }
        let Redundancy { copies, hosts, .. } = self.limits.redundancy;
        if self.members.len() < copies.max(hosts).min(self.limits.redundancy.workers) as usize {
            return;
        }
        let first = self.limits.redundancy.initial(self.limits.partitions);
        let members = self.members.keys().copied().collect();
        let scene = Scene { members: &members, safe: None, whole: &self.whole, lacks: &self.lacks };
        // Seats of nodes that are not here are given to others before anybody hears of them: all of them start empty.
        let mut mended = self.limits.redundancy.mend(&first, &scene).unwrap_or(first);
        for place in &mut mended.places {
            place.hosts.iter_mut().chain(&mut place.holders).for_each(|seat| seat.start = Start::Empty);
        }
        self.assign(Assignment::default(), mended, actions);
        self.clients.begin(now);
    }

    fn mend(&mut self, actions: &mut Vec<MasterAction>) {
        let Some(now) = self.assignment.clone() else { return };
        let members: BTreeSet<NodeNumber> = self.members.keys().copied().collect();
        let scene = Scene { members: &members, safe: self.safe, whole: &self.whole, lacks: &self.lacks };
        let before = self.limits.redundancy.with_reachable_givers(&now, &scene);
        self.say_lost_states(&now, &scene, actions);
        let next = self.limits.redundancy.mend(&before, &scene);
        if let Some(next) = next.or((before != now).then_some(before)) {
            self.assign(now, next, actions);
        }
    }

    /// Where replicas are the only copies of a state and all that had it are gone, its results will lack what was in it.
    fn say_lost_states(&self, now: &Assignment, scene: &Scene<'_>, actions: &mut Vec<MasterAction>) {
        // Where a result looks back at nothing there is no state.
        let keeps_state = self.limits.redundancy.border == Border::Closed && self.limits.reach != Some(0);
        let Some(through) = self.safe.filter(|_| keeps_state) else { return };
        for (partition, place) in now.iter() {
            let has_state = |seat: &&Seat| {
                let progress = self.progress.get(&(partition, seat.node));
                scene.members.contains(&seat.node) && progress.is_some_and(|of| of.since == seat.since && of.is_running)
            };
            let may_have_state = |seat: &Seat| has_state(&seat) || scene.is_in_doubt(partition, place, seat);
            // Of one that begins without it that was said before.
            let begins_bare =
                |seat: &Seat| scene.members.contains(&seat.node) && matches!(seat.start, Start::Restored { .. });
            if place.hosts.iter().any(|seat| may_have_state(seat) || begins_bare(seat)) {
                continue;
            }
            let after = self.limits.reach.and_then(|reach| through.checked_sub(reach));
            actions.push(MasterAction::Record(Event::StateLost { partition, after, through }));
        }
    }

    pub(super) fn assign(&mut self, before: Assignment, next: Assignment, actions: &mut Vec<MasterAction>) {
        for (partition, place) in next.iter() {
            for Seat { node, since, .. } in &place.hosts {
                let had = before.place(partition).and_then(|place| place.host(*node));
                if had.is_none_or(|seat| seat.since != *since) {
                    let (node, epoch) = (self.name(*node), *since);
                    actions.push(MasterAction::Record(Event::PartitionTaken { partition, node, epoch }));
                }
            }
        }
        for (partition, place) in before.iter() {
            let runs = |node: NodeNumber| next.place(partition).is_some_and(|place| place.host(node).is_some());
            for Seat { node, .. } in place.hosts.iter().filter(|seat| !runs(seat.node)) {
                if self.members.contains_key(node) {
                    actions.push(MasterAction::Record(Event::PartitionLeft { partition, node: self.name(*node) }));
                }
            }
        }
        let word = FromMaster::Assign(next.clone());
        actions.extend(self.members.keys().map(|node| MasterAction::Tell(*node, word.clone())));
        actions.push(MasterAction::TellClients(places(&next, &self.limits.names)));
        let place = |partition: u32| next.place(partition);
        // Who sits anew where its input already is has it, before it can say so: it may be asked for it at once.
        self.whole.extend(next.iter().flat_map(|(source, place)| {
            let is_here = |seat: &&Seat| {
                matches!(seat.start, Start::Restored { input_from, .. } if input_from == Some(seat.node))
            };
            place.holders.iter().filter(is_here).map(move |seat| (source, seat.node, seat.since))
        }));
        self.whole.retain(|(source, node, since)| {
            place(*source).and_then(|place| place.holder(*node)).is_some_and(|seat| seat.since == *since)
        });
        let sits = |(partition, node, since): &(u32, NodeNumber, u64)| {
            place(*partition).and_then(|place| place.host(*node)).is_some_and(|seat| seat.since == *since)
        };
        self.lacks.retain(sits);
        self.kept_up.retain(sits);
        self.began_behind.retain(|seat, _| sits(seat));
        self.progress.retain(|(partition, node), progress| sits(&(*partition, *node, progress.since)));
        self.holdings.assigned(&next);
        let stays = |source: u32, node| place(source).is_some_and(|place| place.holder(node).is_some());
        let is_relieved = before.iter().any(|(source, place)| {
            place.holders.iter().any(|seat| self.members.contains_key(&seat.node) && !stays(source, seat.node))
        });
        self.assignment = Some(next);
        // Others may have been told to ask it for what it lets go of now.
        if is_relieved {
            self.ask_members_of_clients(actions);
        }
    }

    fn word(
        &mut self,
        now: Moment,
        node: NodeNumber,
        incarnation: u64,
        word: ToMaster,
        actions: &mut Vec<MasterAction>,
    ) {
        match word {
            ToMaster::Join { epoch, .. } => {
                // Started again, it may be as quick as any.
                if self.incarnations.insert(node, incarnation).is_some_and(|before| before < incarnation) {
                    self.given_up.remove(&node);
                }
                self.detect(now, DetectorEvent::Join { worker: node, incarnation, epoch }, actions);
            }
            ToMaster::Heartbeat { epoch, sent_ns } => {
                self.detect(now, DetectorEvent::Heartbeat { worker: node, epoch }, actions);
                if self.members.get(&node) == Some(&epoch) {
                    actions.push(MasterAction::Tell(node, FromMaster::Lease { epoch, sent_ns }));
                }
            }
            ToMaster::Progress { epoch, of } if self.members.get(&node) == Some(&epoch) => {
                of.into_iter().for_each(|progress| self.note_progress(node, progress));
                self.balance(now, actions);
                self.advance(actions);
            }
            ToMaster::Whole { epoch, of } if self.members.get(&node) == Some(&epoch) => {
                self.whole.extend(of.into_iter().map(|(source, since)| (source, node, since)));
                if !self.lacks.is_empty() {
                    self.mend(actions); // there may be one to copy from now
                }
            }
            ToMaster::Lacks { epoch, of } if self.members.get(&node) == Some(&epoch) => {
                self.lacks.extend(of.into_iter().map(|(partition, since)| (partition, node, since)));
                self.mend(actions);
            }
            ToMaster::Holds { epoch, of, punctuations } if self.members.get(&node) == Some(&epoch) => {
                let (noted, safe) = self.holdings.tell(node, &of);
                self.clients.take_note(&safe, punctuations);
                if !of.is_empty() {
                    actions.push(MasterAction::Tell(node, FromMaster::Noted { epoch, of: noted }));
                }
                if self.waits_for_holders {
                    self.advance(actions);
                }
            }
            ToMaster::Filling { epoch, missed } if self.members.get(&node) == Some(&epoch) => {
                self.filling(missed, actions);
            }
            ToMaster::ClientHeld { epoch, .. } | ToMaster::ClientBack { epoch, .. }
                if self.members.get(&node) == Some(&epoch) =>
            {
                let sealed = std::mem::take(&mut self.sealed);
                self.with_clients(actions, |clients, said| clients.word(now, node, word, &sealed, said));
                self.sealed = sealed;
            }
            ToMaster::Progress { .. }
            | ToMaster::Whole { .. }
            | ToMaster::Lacks { .. }
            | ToMaster::Holds { .. }
            | ToMaster::Filling { .. }
            | ToMaster::ClientHeld { .. }
            | ToMaster::ClientBack { .. } => {}
        }
    }

    /// How far the node is with one of its partitions.
    fn note_progress(&mut self, node: NodeNumber, progress: Progress) {
        if let Some(sealed) = progress.sealed {
            let last = self.sealed.entry(progress.partition).or_default();
            *last = sealed.max(*last);
        }
        let place = self.assignment.as_ref().and_then(|assignment| assignment.place(progress.partition));
        let seat = place.and_then(|place| place.host(node));
        // Said before it heard that it is relieved: kept, that would stay for ever and look like a node that stands still.
        if seat.is_none_or(|seat| seat.since != progress.since) {
            return;
        }
        if progress.is_running {
            let seat = (progress.partition, node, progress.since);
            self.began_behind.entry(seat).or_insert(progress.closed);
        }
        self.note_saved(node, &progress);
        self.progress.insert((progress.partition, node), progress);
    }
}

impl Core for Master {
    type Event = MasterEvent;
    type Action = MasterAction;

    fn step(&mut self, now: Moment, event: MasterEvent, actions: &mut Vec<MasterAction>) {
        match event {
            MasterEvent::Word { node, incarnation, word } => self.word(now, node, incarnation, word, actions),
            MasterEvent::Broken(node) => self.detect(now, DetectorEvent::Broken { worker: node }, actions),
            MasterEvent::ClientUp { client, incarnation } => {
                if let Some(assignment) = &self.assignment {
                    let places = places(assignment, &self.limits.names);
                    actions.push(MasterAction::TellClient(NodeName::client(client), places));
                }
                self.with_clients(actions, |clients, said| clients.up(client, incarnation, said));
            }
            MasterEvent::ClientDown(client) => self.clients.down(now, client),
            MasterEvent::Tick => {
                self.detect(now, DetectorEvent::Tick, actions);
                self.with_clients(actions, |clients, said| clients.tick(now, said));
            }
        }
        if let Some(worker) = self.straggler(now) {
            self.given_up.insert(worker);
            self.detect(now, DetectorEvent::Evict { worker }, actions);
        }
        self.start(now, actions);
        self.say_lacking(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        self.detector.deadline().into_iter().chain(self.clients.deadline()).min()
    }
}

#[cfg(test)]
mod tests;
