//! The node's core: every event of a node, and what follows from it.
//!
//! Invariant: what it says of a partition it says as the host or holder that the newest assignment it knows makes it; after
//! it was fenced it is as if it had just started.
//!
//! ```text
//! node:      outside --Welcome--> member --Fenced--> outside
//! partition: absent --Assign--> restoring --whole--> running --Assign--> absent
//! ```

use crate::continuous::assignment::Assignment;
use crate::continuous::credit::Credits;
use crate::continuous::inbox::Inbox;
use crate::continuous::log::InputLog;
use crate::continuous::message::{FromMaster, NodeNumber, PaneHeader, Progress, Subscription, ToMaster};
use crate::continuous::node::clients::Clients;
use crate::continuous::node::event::{NodeAction, NodeEvent};
use crate::continuous::node::noting::Noting;
use crate::continuous::node::work::Work;
use crate::continuous::outbox::Outbox;
use crate::continuous::saves::Borders;
use crate::continuous::source::{Punctuations, Source};
use crate::continuous::topology::Topology;
use bytes::Bytes;
use dstream_cluster::client::{Cut, interval_of};
use dstream_cluster::core::Core;
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Progress is said this often at most: short against an interval, long against a message's cost.
pub(super) const PROGRESS_PERIOD: Duration = Duration::from_millis(10);

/// What makes one recovery protocol another, as far as a node is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// State is saved behind every so many intervals; `None`: never.
    pub checkpoint_intervals: Option<u64>,
    /// Readers take a writer's output from all of its hosts, whatever comes first; else from one.
    pub reads_all: bool,
    /// An interval's input waits until all of it is there, and is taken in one order.
    pub is_ordered: bool,
    /// Only the leading host hands its results in.
    pub only_leader_hands_in: bool,
    /// Each record goes through alone: nothing is combined before the keyed operators.
    pub is_single: bool,
    /// Output is gathered for so long before it is sent; the end of an interval goes at once.
    pub buffer: Duration,
    /// A heir begins without state and works through as much input as its results can depend on.
    pub replays: bool,
    /// A result that is so late is shown before all its input is there; `None`: it waits.
    pub tentative: Option<Duration>,
}

/// What a node must know.
#[derive(Clone, Debug)]
pub struct NodeLimits {
    /// Its number.
    pub node: NodeNumber,
    /// Counts this node's starts.
    pub incarnation: u64,
    /// All nodes, by number from 1.
    pub names: Vec<NodeName>,
    /// How many clients there are.
    pub clients: u32,
    /// How they cut their streams.
    pub cut: Cut,
    /// How many records each record stands for.
    pub scale: u64,
    /// The query.
    pub topology: Topology,
    /// The protocol.
    pub rules: Rules,
    /// How often to beat.
    pub heartbeat: Duration,
    /// How long after a beat that the master heard this node may acknowledge and seal: shorter than what the master waits.
    pub lease: Duration,
    /// Interval 0 begins here.
    pub origin: Moment,
    /// Length of an interval.
    pub interval: Duration,
    /// A node that holds more bytes of input acknowledges nothing until less is held: clients then keep their records and,
    /// at their own bound, stop reading. Sources take nothing in while so many bytes of output are kept.
    pub most_kept_bytes: usize,
}

/// What a node holds of a source's input.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Under which version; 0: not assigned yet.
    pub since: u64,
    pub log: InputLog,
    /// Everything is here that is acknowledged and may be needed.
    pub is_whole: bool,
    /// Batches of clients that know only earlier versions are refused.
    pub closed_below: u64,
    /// Whom it was asked of.
    pub asked: Option<NodeNumber>,
    /// client -> the master knows that what is here of it ends before this record
    pub noted: BTreeMap<u32, u64>,
}

/// A partition that this node runs.
#[derive(Debug)]
pub(super) struct Hosted {
    pub since: u64,
    /// The border behind which it began.
    pub through: Option<u64>,
    /// The border behind which its source began: of a copy, what its model's source had sealed, if that is less.
    pub mapped_through: Option<u64>,
    /// Its state is here, or none is needed.
    pub is_loaded: bool,
    /// Its state is that of another host, which the store may not have.
    pub is_copy: bool,
    pub panes: Vec<(PaneHeader, Bytes)>,
    /// There once it runs.
    pub source: Option<Source>,
    pub inboxes: BTreeMap<u32, Inbox>,
    pub outboxes: BTreeMap<u32, Outbox>,
    /// What another replica kept for readers, until the partition runs.
    pub made: BTreeMap<u32, Outbox>,
    pub queue: VecDeque<Work>,
    /// Input of intervals that are not whole, where the order matters: interval -> (stage, work)
    pub buckets: BTreeMap<(u32, u64), Vec<(u32, Work)>>,
    pub is_busy: bool,
    /// stage -> the last interval that is closed
    pub closed: BTreeMap<u32, u64>,
    /// Results handed in that are not visible: (stage, interval)
    pub handed_in: BTreeSet<(u32, u64)>,
    /// stage -> the last interval whose late result was shown
    pub tentative: BTreeMap<u32, u64>,
    /// Results that the leading host hands in.
    pub withheld: BTreeMap<(u32, u64), (Bytes, u64)>,
    /// Names what the state lacked from the beginning.
    pub lacks: u64,
    /// (stage, interval) -> names what its input lacks
    pub lacking: BTreeMap<(u32, u64), u64>,
    /// Results through this interval lack what came before the border; they were visible before.
    pub mute_through: Option<u64>,
    /// Work on intervals before this one repeats what had been done.
    pub repeat_below: u64,
    /// Border -> stage -> panes of a save that is not whole yet.
    pub saving: BTreeMap<u64, BTreeMap<u32, Vec<(PaneHeader, Bytes)>>>,
    pub saves: Borders,
}

/// A node's core.
pub struct Node {
    pub(super) limits: NodeLimits,
    pub(super) epoch: Option<u64>,
    pub(super) assignment: Assignment,
    pub(super) held: BTreeMap<u32, Held>,
    pub(super) hosted: BTreeMap<u32, Hosted>,
    pub(super) punctuations: Punctuations,
    /// client -> the newest version it said it knows
    pub(super) views: BTreeMap<u32, u64>,
    /// (source, client) -> its records before this are acknowledged, as it said
    pub(super) acked_below: BTreeMap<(u32, u32), u64>,
    pub(super) clients: Clients,
    pub(super) credits: Credits,
    pub(super) token: u64,
    /// Subscriptions to partitions that do not run here yet, and by whom: the last of each reader at each node. They are
    /// kept whatever this node knows, as the asker may know more.
    pub(super) waiting: Vec<(NodeNumber, Subscription)>,
    /// Replicas that want a partition's state, and the version under which they do.
    pub(super) wanted_states: Vec<(NodeNumber, u32, u64)>,
    /// (holder, source, version) that wait for input behind an interval, until this node knows that version.
    pub(super) wanted_inputs: Vec<((NodeNumber, u32, u64), Option<u64>)>,
    /// Until then nobody else is given what this node holds: it may acknowledge and seal.
    pub(super) lease_until: Moment,
    /// Acknowledgements that wait for a lease, for the master's knowing, or until less is held.
    pub(super) unsaid: Vec<(u32, RecordRange)>,
    pub(super) noting: Noting,
    /// (partition, stage) with something to send
    pub(super) dirty: BTreeSet<(u32, u32)>,
    /// Partitions that a writer could not serve.
    pub(super) to_ask_again: BTreeSet<u32>,
    pub(super) safe: Option<u64>,
    /// The master knows that buffers fill, and nothing was let go since.
    pub(super) said_filling: bool,
    /// States are saved behind this interval, too.
    pub(super) save_at: Option<u64>,
    pub(super) visible: Option<u64>,
    /// When what was gathered is sent.
    pub(super) flush_at: Moment,
    /// (stage, partition) -> running results that were gathered
    pub(super) shown: BTreeMap<(u32, u32), (Vec<RecordRange>, Vec<Bytes>)>,
    said: BTreeMap<u32, Progress>,
    pub(super) said_whole: BTreeMap<u32, u64>,
    /// Copies whose model is gone, and that wait for no more of it: partition -> since when it is to run here
    pub(super) cut_short: BTreeMap<u32, u64>,
    said_cut_short: BTreeMap<u32, u64>,
    /// partition -> since when it is to run here, and what is wrong with its saved state
    pub(super) broken: BTreeMap<u32, (u64, String)>,
    next_beat: Moment,
    next_progress: Moment,
}

impl Node {
    /// A node that knows nothing yet.
    pub fn new(limits: NodeLimits) -> Node {
        Node {
            epoch: None,
            assignment: Assignment::default(),
            held: BTreeMap::new(),
            hosted: BTreeMap::new(),
            punctuations: Punctuations::new(),
            views: BTreeMap::new(),
            acked_below: BTreeMap::new(),
            clients: Clients::default(),
            credits: Credits::of(limits.node),
            token: 0,
            waiting: Vec::new(),
            wanted_states: Vec::new(),
            wanted_inputs: Vec::new(),
            lease_until: Moment::ZERO,
            unsaid: Vec::new(),
            noting: Noting::default(),
            dirty: BTreeSet::new(),
            to_ask_again: BTreeSet::new(),
            safe: None,
            said_filling: false,
            save_at: None,
            visible: None,
            flush_at: Moment::NEVER,
            shown: BTreeMap::new(),
            said: BTreeMap::new(),
            said_whole: BTreeMap::new(),
            cut_short: BTreeMap::new(),
            said_cut_short: BTreeMap::new(),
            broken: BTreeMap::new(),
            next_beat: Moment::ZERO,
            next_progress: Moment::ZERO,
            limits,
        }
    }

    pub(super) fn me(&self) -> NodeNumber {
        self.limits.node
    }

    /// The interval that is open at a moment.
    pub(super) fn interval_at(&self, now: Moment) -> u64 {
        interval_of(now, self.limits.origin, self.limits.interval)
    }

    fn master(&mut self, now: Moment, word: FromMaster, actions: &mut Vec<NodeAction>) {
        match word {
            FromMaster::Welcome { epoch } => {
                if self.epoch.is_some_and(|old| old != epoch) {
                    self.begin_anew(actions);
                }
                self.epoch = Some(epoch);
                self.next_beat = now; // the first beat brings the first lease
                self.said.clear();
                self.said_whole.clear();
                self.said_cut_short.clear();
                self.say_all_back(actions);
                self.note_again();
            }
            FromMaster::Lease { epoch, sent_ns } if self.epoch == Some(epoch) => {
                self.lease_until = self.lease_until.max(Moment(sent_ns) + self.limits.lease);
                self.say_held(now, actions);
                self.say_broken(now, actions);
            }
            FromMaster::Lease { .. } => {}
            FromMaster::Noted { epoch, of } if self.epoch == Some(epoch) => {
                self.noted(&of);
                self.say_held(now, actions);
            }
            FromMaster::Noted { .. } => {}
            FromMaster::Fenced { epoch } if self.epoch == Some(epoch) => {
                self.begin_anew(actions);
                actions.push(NodeAction::TellMaster(self.join()));
            }
            FromMaster::Fenced { .. } => {}
            FromMaster::Assign(assignment) => self.assign(now, assignment, actions),
            FromMaster::Trim { safe, visible } => {
                self.visible = self.visible.max(visible);
                for hosted in self.hosted.values_mut() {
                    hosted.withheld.retain(|(_, interval), _| Some(*interval) > self.visible);
                }
                self.trim(safe, actions);
                self.serve_all_states(actions);
                self.say_held(now, actions);
            }
            FromMaster::SaveAt { border } => self.save_at(border, actions),
            FromMaster::AskClient { client, round } => self.ask_client(now, client, round, actions),
            FromMaster::CloseClient { client, round, ends } => {
                self.close_client(now, (client, round), ends, actions);
            }
            FromMaster::ClientIs { client, gate, is_asked } => {
                self.client_is(client, gate, is_asked, actions);
                self.run_what_is_ready(actions);
            }
        }
    }

    fn join(&self) -> ToMaster {
        ToMaster::Join { incarnation: self.limits.incarnation, epoch: self.epoch }
    }

    /// Forgets everything: others have taken over.
    fn begin_anew(&mut self, actions: &mut Vec<NodeAction>) {
        for partition in std::mem::take(&mut self.hosted).into_keys() {
            actions.push(NodeAction::Drop { partition });
        }
        for held in std::mem::take(&mut self.held).into_values() {
            let names = held.log.iter().map(|batch| Event::BlockForgotten { block: batch.name() });
            actions.extend(names.map(NodeAction::Record));
        }
        // Clients must not count what they were told is held here.
        actions.extend(self.clients.connected().map(NodeAction::Redial));
        self.epoch = None;
        self.lease_until = Moment::ZERO;
        self.clients.forget();
        self.assignment = Assignment::default();
        // Others may know a newer assignment than this node and ask once: what they said holds as long as the connection.
        let me = self.me();
        self.waiting.retain(|(node, _)| *node != me);
        self.wanted_states.clear();
        self.wanted_inputs.clear();
        self.unsaid.clear();
        // What clients said is said anew; of a life that has ended since it would not count.
        self.punctuations.clear();
        self.noting = Noting::default();
        self.acked_below.clear();
        self.broken.clear();
        self.dirty.clear();
        self.shown.clear();
        self.said.clear();
        self.said_whole.clear();
        self.said_cut_short.clear();
        self.cut_short.clear();
        (self.safe, self.visible) = (None, None);
        (self.said_filling, self.save_at) = (false, None);
    }

    /// Says how far partitions are that moved.
    fn say_progress(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        let Some(epoch) = self.epoch else { return };
        if now < self.next_progress {
            return;
        }
        // What runs is whole: who hears that it runs may relieve the one it was copied from.
        self.say_whole(epoch, actions);
        let moved: Vec<Progress> = self.hosted.keys().filter_map(|partition| self.progress(*partition)).collect();
        let moved: Vec<Progress> =
            moved.into_iter().filter(|progress| self.said.get(&progress.partition) != Some(progress)).collect();
        if !moved.is_empty() {
            self.next_progress = now + PROGRESS_PERIOD;
            self.said.extend(moved.iter().map(|progress| (progress.partition, *progress)));
            actions.push(NodeAction::TellMaster(ToMaster::Progress { epoch, of: moved }));
        }
    }

    /// Says what is here of the partitions that it is to hold, and what will not come.
    fn say_whole(&mut self, epoch: u64, actions: &mut Vec<NodeAction>) {
        let whole: Vec<(u32, u64)> = self
            .held
            .iter()
            .filter(|(source, held)| {
                // The state of a copy comes behind its input; without it the giver is still needed.
                let is_whole = held.is_whole && !self.lacks_copy(**source) && held.since > 0;
                is_whole && self.said_whole.get(source) != Some(&held.since)
            })
            .map(|(source, held)| (*source, held.since))
            .collect();
        if !whole.is_empty() {
            self.said_whole.extend(whole.iter().copied());
            actions.push(NodeAction::TellMaster(ToMaster::Whole { epoch, of: whole }));
        }
        let said = &mut self.said_cut_short;
        let is_new = |(partition, since): &(&u32, &u64)| said.insert(**partition, **since) != Some(**since);
        let cut_short = self.cut_short.iter();
        let lacks: Vec<(u32, u64)> = cut_short.filter(is_new).map(|(partition, since)| (*partition, *since)).collect();
        if !lacks.is_empty() {
            actions.push(NodeAction::TellMaster(ToMaster::Lacks { epoch, of: lacks }));
        }
    }

    /// Sends what was gathered, when its time has come.
    fn flush(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        if self.dirty.is_empty() && self.shown.is_empty() {
            self.flush_at = Moment::NEVER;
            return;
        }
        if self.flush_at == Moment::NEVER {
            self.flush_at = now + self.limits.rules.buffer;
        }
        if now < self.flush_at {
            return;
        }
        self.flush_at = Moment::NEVER;
        self.send_elements(actions);
        for ((stage, partition), (ranges, rows)) in std::mem::take(&mut self.shown) {
            actions.push(NodeAction::Show { stage, partition, ranges, rows });
        }
    }

    fn tick(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        if now >= self.next_beat {
            self.next_beat = now + self.limits.heartbeat;
            self.ask_again(actions);
            self.fetch_clients(None, actions);
            self.complete_clients(now, actions);
            if let Some(epoch) = self.epoch {
                actions.push(NodeAction::TellMaster(ToMaster::Heartbeat { epoch, sent_ns: now.0 }));
            }
        }
    }
}

impl Core for Node {
    type Event = NodeEvent;
    type Action = NodeAction;

    fn step(&mut self, now: Moment, event: NodeEvent, actions: &mut Vec<NodeAction>) {
        match event {
            NodeEvent::MasterUp => {
                self.said_filling = false;
                self.said.clear();
                self.said_whole.clear();
                self.said_cut_short.clear();
                actions.push(NodeAction::TellMaster(self.join()));
            }
            NodeEvent::PeerUp(node) => self.peer_up(node, actions),
            NodeEvent::PeerDown(node) => self.peer_down(node, actions),
            NodeEvent::ClientUp(client) => self.client_up(client, actions),
            NodeEvent::ClientDown(client) => self.client_down(client),
            NodeEvent::Master(word) => self.master(now, word, actions),
            NodeEvent::Client { client, word, lines } => self.client(now, client, word, lines, actions),
            NodeEvent::Peer { from, word, body } => self.peer(now, from, word, body, actions),
            NodeEvent::Ran { partition, since, done, cpu } => self.ran(partition, since, done, cpu, actions),
            NodeEvent::Loaded { partition, since, panes, punctuations } => {
                self.loaded(partition, since, panes, punctuations, actions);
            }
            NodeEvent::Saved { partition, since, through } => self.saved(partition, since, through),
            NodeEvent::Visible { partition, since, stage, interval } => {
                if let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == since) {
                    hosted.handed_in.remove(&(stage, interval));
                }
                self.serve_all_states(actions);
            }
            NodeEvent::Copied { partition, to, through, panes } => {
                self.copied(partition, to, through, panes, actions);
            }
            NodeEvent::Broken { partition, since, why } => {
                self.broken.insert(partition, (since, why));
                self.say_broken(now, actions);
            }
            NodeEvent::Tick => self.tick(now, actions),
        }
        self.seal(now, actions);
        self.flush(now, actions);
        self.show_late_results(now);
        self.start_turns(actions);
        self.say_filling(actions);
        self.say_progress(now, actions);
        self.say_holdings(now, actions);
    }

    fn deadline(&self) -> Option<Moment> {
        Some(self.next_beat.min(self.flush_at).min(self.tentative_at()).min(self.noting_at()))
    }
}
