//! The cluster of a test: cores with what their shells would do, a store, and a sink that compares.

mod faults;

use crate::Protocol;
use crate::network::{End, Network, Next, Word};
use bytes::Bytes;
use dstream_baselines::continuous::feeder::Feeder;
use dstream_baselines::continuous::master::{Master, MasterAction, MasterEvent, MasterLimits};
use dstream_baselines::continuous::message::{NodeNumber, PaneHeader};
use dstream_baselines::continuous::node::{Node, NodeAction, NodeEvent, NodeLimits};
use dstream_baselines::continuous::operators::{Operators, Program};
use dstream_baselines::continuous::source::Punctuations;
use dstream_baselines::continuous::topology::Topology;
use dstream_cluster::Costs;
use dstream_cluster::client::{ClientAction, ClientEvent, Cut};
use dstream_cluster::core::Core;
use dstream_cluster::detector::Detector;
use dstream_cluster::message::{Batch, FromClient, ToClient};
use dstream_kernel::rows::decode_rows;
use dstream_kernel::{QueryBuilder, Window};
use dstream_trace::{Event, Moment, NodeName, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 3;
const CLIENTS: u32 = 2;
const INTERVAL_MS: u64 = 200;
/// Intervals that clients send in.
const INTERVALS: u64 = 20;
/// Records of a client in an interval.
const RECORDS: u64 = 14;
/// Interval 0 begins when the cluster has had the time to meet.
const ORIGIN: Moment = Moment::from_millis(500);
const HEARTBEAT: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(250);
/// By then all must be visible.
const DEADLINE: Moment = Moment::from_millis(30_000);

fn cut() -> Cut {
    Cut::Runs { records: NonZeroU64::new(4).unwrap(), sources: PARTITIONS, period: Duration::from_millis(10) }
}

fn program() -> Program {
    let builder = QueryBuilder::new();
    let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    ones.reduce_by_key_and_window(|a, b| a + b, Window::of(3).unwrap()).output("o");
    let query = builder.build().unwrap();
    let topology = Topology::of(&query, PARTITIONS).unwrap();
    let costs = Costs {
        map_ns_per_byte: 1.0,
        single_record_factor: 1.0,
        merge_ns_per_row: 1.0,
        codec_ns_per_byte: 1.0,
        task_ns: 1.0,
        master_task_ns: 1.0,
        message_ns: 1.0,
        checkpoint_ns_per_byte: 1.0,
    };
    Program { query: Arc::new(query), topology: Arc::new(topology), costs, scale: 1, chunk: 1 }
}

/// The word that is a client's record.
fn word(client: u32, record: u64) -> String {
    format!("w{}", (record * 7 + u64::from(client)) % 11)
}

fn due(record: u64) -> Moment {
    ORIGIN + Duration::from_micros(record * INTERVAL_MS * 1000 / RECORDS)
}

/// A node in one of its lives.
struct Running {
    core: Node,
    incarnation: u64,
    operators: BTreeMap<u32, Operators>,
    is_up: bool,
}

struct Client {
    core: Feeder,
    sent: u64,
    acked: u64,
    ended: u64,
    batches: BTreeMap<u64, Batch>,
}

/// A saved state: the one before it, its panes, where clients were.
type Save = (Option<u64>, Vec<(PaneHeader, Bytes)>, Punctuations);

/// All of it.
pub struct World {
    protocol: Protocol,
    program: Program,
    seed: u64,
    now: Moment,
    network: Network,
    master: Master,
    nodes: Vec<Running>,
    clients: Vec<Client>,
    store: BTreeMap<(u32, u64), Save>,
    /// (interval, partition) -> rows
    results: BTreeMap<(u64, u32), Bytes>,
    fenced: BTreeMap<NodeNumber, u64>,
    /// What the master says that lacks its redundancy.
    lacking: u64,
    /// Nodes that crashed, until the master has missed them.
    crashed: BTreeSet<NodeNumber>,
    /// Losses that are not made up for.
    losses: u32,
    crashes: u64,
}

impl World {
    pub fn new(protocol: Protocol, seed: u64) -> World {
        let redundancy = protocol.redundancy;
        let nodes = redundancy.workers * redundancy.hosts + redundancy.standbys;
        let program = program();
        let limits = MasterLimits {
            names: (1..=nodes).map(NodeName::worker).collect(),
            partitions: PARTITIONS,
            redundancy,
            reach: program.topology.reach,
            clients: CLIENTS,
            cut: cut(),
            sends_alike: true,
            failure_timeout: TIMEOUT,
            most_behind: None,
            most_waiting: 1,
        };
        let client =
            |number| Client { core: Feeder::new(number, cut()), sent: 0, acked: 0, ended: 0, batches: BTreeMap::new() };
        let mut world = World {
            protocol,
            program,
            seed,
            now: Moment::ZERO,
            network: Network::new(seed),
            master: Master::new(limits, Box::new(Detector::new(HEARTBEAT, TIMEOUT))),
            nodes: Vec::new(),
            clients: (1..=CLIENTS).map(client).collect(),
            store: BTreeMap::new(),
            results: BTreeMap::new(),
            fenced: BTreeMap::new(),
            lacking: 0,
            crashed: BTreeSet::new(),
            losses: 0,
            crashes: 0,
        };
        for node in 1..=nodes {
            let (core, operators) = (world.core(node, nodes, 1), BTreeMap::new());
            world.nodes.push(Running { core, incarnation: 1, operators, is_up: true });
        }
        world
    }

    fn core(&self, node: NodeNumber, nodes: u32, incarnation: u64) -> Node {
        Node::new(NodeLimits {
            node,
            incarnation,
            names: (1..=nodes).map(NodeName::worker).collect(),
            clients: CLIENTS,
            cut: cut(),
            scale: 1,
            topology: (*self.program.topology).clone(),
            rules: self.protocol.rules,
            heartbeat: HEARTBEAT,
            lease: TIMEOUT - HEARTBEAT / 2,
            origin: ORIGIN,
            interval: Duration::from_millis(INTERVAL_MS),
            most_kept_bytes: self.protocol.most_kept_bytes,
        })
    }

    fn ends(&self) -> Vec<End> {
        let nodes = (1u32..).take(self.nodes.len()).map(End::Node);
        nodes.chain([End::Master]).chain((1..=CLIENTS).map(End::Client)).collect()
    }

    /// Runs until everything is visible, and compares.
    pub fn run(mut self) {
        let ends = self.ends();
        for (place, a) in ends.iter().enumerate() {
            for b in ends[place + 1..].iter().filter(|b| !matches!((a, b), (End::Client(_), End::Client(_)))) {
                self.network.soon(self.now, 50, Next::Connect(*a, *b));
            }
        }
        self.network.at(ORIGIN, Next::Fault);
        while !self.is_done() {
            self.now = self.now + Duration::from_millis(1);
            assert!(self.now < DEADLINE, "seed {}: only {} results", self.seed, self.results.len());
            self.clients();
            while let Some(next) = self.network.due(self.now) {
                self.happens(next);
            }
            self.ticks();
        }
        self.compare();
    }

    fn is_done(&self) -> bool {
        let all_acked = self.clients.iter().all(|client| client.acked == RECORDS * INTERVALS);
        all_acked && self.results.len() as u64 == INTERVALS * u64::from(PARTITIONS)
    }

    /// The results are a plain count over a window of three intervals.
    fn compare(&self) {
        assert!(self.crashes > 0, "seed {}: nothing happened", self.seed);
        for interval in 0..INTERVALS {
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for client in 1..=CLIENTS {
                for record in interval.saturating_sub(2) * RECORDS..(interval + 1) * RECORDS {
                    *expected.entry(word(client, record)).or_default() += 1;
                }
            }
            let mut seen: BTreeMap<String, u64> = BTreeMap::new();
            for (_, rows) in self.results.range((interval, 0)..=(interval, u32::MAX)) {
                for row in decode_rows::<(String, u64)>(rows).unwrap() {
                    let (key, count) = row.unwrap();
                    *seen.entry(key.to_owned()).or_default() += count;
                }
            }
            assert_eq!(seen, expected, "seed {}: interval {interval}", self.seed);
        }
    }

    /// Clients send what is due, and say where intervals end.
    fn clients(&mut self) {
        for number in 1..=CLIENTS {
            loop {
                let client = &self.clients[number as usize - 1];
                let (first, ended) = (client.sent, client.ended);
                let end = (ended + 1) * RECORDS;
                if ended < INTERVALS && first == end && due(end) <= self.now {
                    self.clients[number as usize - 1].ended += 1;
                    self.client(number, ClientEvent::Punctuation { interval: ended, end });
                    continue;
                }
                let last = cut().border(first).min(end) - 1;
                if ended == INTERVALS || first == end || due(last) > self.now {
                    break;
                }
                let range = RecordRange { client: number, first, last };
                let client = &mut self.clients[number as usize - 1];
                client.batches.insert(first, Batch { range, interval: first / RECORDS });
                client.sent = last + 1;
                self.client(number, ClientEvent::Batch { range, first_due: due(first), last_due: due(last) });
            }
        }
    }

    fn ticks(&mut self) {
        let now = self.now;
        if self.master.deadline().is_some_and(|deadline| deadline <= now) {
            self.master(MasterEvent::Tick);
        }
        for node in (1u32..).take(self.nodes.len()) {
            let running = &self.nodes[node as usize - 1];
            if running.is_up && running.core.deadline().is_some_and(|deadline| deadline <= now) {
                self.node(node, NodeEvent::Tick);
            }
        }
        for client in 1..=CLIENTS {
            if self.clients[client as usize - 1].core.deadline().is_some_and(|deadline| deadline <= now) {
                self.client(client, ClientEvent::Tick);
            }
        }
    }

    fn happens(&mut self, next: Next) {
        match next {
            Next::Word { from, to, word, .. } => self.word(from, to, word),
            Next::Own { node, incarnation, event } => {
                let running = &self.nodes[node as usize - 1];
                if running.is_up && running.incarnation == incarnation {
                    self.node(node, *event);
                }
            }
            Next::Connect(a, b) => self.connect(a, b),
            Next::Begin(node) => self.begin(node),
            Next::Fault => self.fault(),
        }
    }

    fn word(&mut self, from: End, to: End, word: Word) {
        match (from, to, word) {
            (End::Node(node), End::Master, Word::ToMaster(word)) => {
                let incarnation = self.nodes[node as usize - 1].incarnation;
                self.master(MasterEvent::Word { node, incarnation, word });
            }
            (_, End::Node(node), Word::FromMaster(word)) => self.node(node, NodeEvent::Master(word)),
            (End::Node(from), End::Node(node), Word::Peer(word, body)) => {
                self.node(node, NodeEvent::Peer { from, word, body });
            }
            (End::Client(client), End::Node(node), Word::FromClient(word, lines)) => {
                self.node(node, NodeEvent::Client { client, word, lines });
            }
            (from, End::Client(client), Word::ToClient(word)) => match (from, word) {
                (End::Node(node), ToClient::Held(ranges)) => {
                    self.client(client, ClientEvent::Held { by: NodeName::worker(node), ranges });
                }
                (End::Node(node), ToClient::Refused { ranges, least }) => {
                    self.client(client, ClientEvent::Refused { by: NodeName::worker(node), ranges, least });
                }
                (_, ToClient::Places { version, holders }) => {
                    self.client(client, ClientEvent::Places { version, holders });
                }
                (_, ToClient::Done { interval }) => self.client(client, ClientEvent::Done { interval }),
                (from, word) => panic!("{from:?} says {word:?} to a client in its first life"),
            },
            (from, to, word) => panic!("{from:?} says {word:?} to {to:?}"),
        }
    }

    fn client(&mut self, number: u32, event: ClientEvent) {
        let mut actions = Vec::new();
        let at = number as usize - 1;
        self.clients[at].core.step(self.now, event, &mut actions);
        let node = |name: &NodeName| End::Node((1..).find(|node| NodeName::worker(*node) == *name).unwrap());
        for action in actions {
            match action {
                ClientAction::Send { first, to, .. } => {
                    let batch = self.clients[at].batches[&first].clone();
                    let lines: String =
                        (batch.range.first..=batch.range.last).map(|record| word(number, record) + "\n").collect();
                    let word = Word::FromClient(FromClient::Records(batch), Bytes::from(lines));
                    self.network.send(self.now, End::Client(number), node(&to), word);
                }
                ClientAction::Tell { to, word } => {
                    let word = Word::FromClient(word, Bytes::new());
                    self.network.send(self.now, End::Client(number), node(&to), word);
                }
                ClientAction::Record(Event::RecordsAcked { range }) => self.clients[at].acked += range.count(),
                ClientAction::Forget { .. } | ClientAction::Record(_) => {}
            }
        }
    }

    fn master(&mut self, event: MasterEvent) {
        let mut actions = Vec::new();
        self.master.step(self.now, event, &mut actions);
        for action in actions {
            match action {
                MasterAction::Tell(node, word) => {
                    self.network.send(self.now, End::Master, End::Node(node), Word::FromMaster(word));
                }
                MasterAction::TellClients(word) => {
                    for client in 1..=CLIENTS {
                        self.network.send(self.now, End::Master, End::Client(client), Word::ToClient(word.clone()));
                    }
                }
                MasterAction::TellClient(name, word) => {
                    let client = (1..=CLIENTS).find(|client| NodeName::client(*client) == name).unwrap();
                    self.network.send(self.now, End::Master, End::Client(client), Word::ToClient(word));
                }
                MasterAction::Fence { node, epoch } => drop(self.fenced.insert(node, epoch)),
                MasterAction::Record(Event::CopiesBelow { blocks }) => self.lacking = blocks,
                MasterAction::Record(Event::WorkerLost { worker, .. }) => {
                    self.crashed.retain(|node| NodeName::worker(*node) != worker);
                }
                MasterAction::Record(_) => {}
            }
        }
    }

    fn node(&mut self, node: NodeNumber, event: NodeEvent) {
        let mut actions = Vec::new();
        self.nodes[node as usize - 1].core.step(self.now, event, &mut actions);
        actions.into_iter().for_each(|action| self.perform(node, action));
    }

    /// Something of the node's own ends after a while.
    fn own(&mut self, node: NodeNumber, most_ms: u64, event: NodeEvent) {
        let incarnation = self.nodes[node as usize - 1].incarnation;
        self.network.soon(self.now, most_ms, Next::Own { node, incarnation, event: Box::new(event) });
    }

    fn perform(&mut self, node: NodeNumber, action: NodeAction) {
        let operators = &mut self.nodes[node as usize - 1].operators;
        match action {
            NodeAction::TellMaster(word) => {
                self.network.send(self.now, End::Node(node), End::Master, Word::ToMaster(word));
            }
            NodeAction::TellClient(client, word) => {
                self.network.send(self.now, End::Node(node), End::Client(client), Word::ToClient(word));
            }
            NodeAction::Tell { node: to, word, body, .. } => {
                let word = Word::Peer(word, Bytes::from(body.concat()));
                self.network.send(self.now, End::Node(node), End::Node(to), word);
            }
            NodeAction::Redial(client) => {
                self.disconnect(End::Node(node), End::Client(client));
                self.network.soon(self.now, 20, Next::Connect(End::Node(node), End::Client(client)));
            }
            NodeAction::Open { partition, through, panes } => {
                let opened = Operators::open(self.program.clone(), partition, through, panes).unwrap();
                operators.insert(partition, opened);
            }
            NodeAction::Drop { partition } => drop(operators.remove(&partition)),
            NodeAction::Run { partition, since, works } => {
                let of = operators.get_mut(&partition).unwrap();
                let done = works.into_iter().map(|work| of.work(work)).collect();
                self.own(node, 4, NodeEvent::Ran { partition, since, done, cpu: Duration::ZERO });
            }
            NodeAction::CopyState { partition, node: to, version, through } => {
                let panes = operators[&partition].panes();
                self.node(node, NodeEvent::Copied { partition, to: (to, version), through, panes });
            }
            NodeAction::HandIn { partition, since, stage, interval, rows, lacks, epoch } => {
                if self.fenced.get(&node).is_none_or(|fenced| *fenced < epoch) {
                    assert_eq!(lacks, 0, "seed {}: interval {interval} lacks something", self.seed);
                    let before = self.results.insert((interval, partition), rows.clone());
                    let is_same = before.is_none_or(|before| before == rows);
                    assert!(is_same, "seed {}: {interval} of {partition} is another one", self.seed);
                    self.own(node, 6, NodeEvent::Visible { partition, since, stage, interval });
                }
            }
            NodeAction::Load { partition, since, through, oldest } => {
                let (panes, punctuations) = self.load(partition, through, oldest);
                self.own(node, 10, NodeEvent::Loaded { partition, since, panes, punctuations });
            }
            NodeAction::Save { partition, since, through, previous, panes, punctuations } => {
                self.store.insert((partition, through), (previous, panes, punctuations));
                self.own(node, 10, NodeEvent::Saved { partition, since, through });
            }
            NodeAction::DropSaves { partition, before } => {
                self.store.retain(|(of, through), _| *of != partition || *through >= before);
            }
            NodeAction::Record(Event::BlockLost { ranges, .. }) => {
                panic!("seed {}: {node} says that {ranges:?} are lost", self.seed);
            }
            NodeAction::Show { .. } | NodeAction::ShowTentative { .. } | NodeAction::Record(_) => {}
            NodeAction::Fatal(why) => panic!("seed {}: {why}", self.seed),
        }
    }

    /// A state with the panes of the saves before it.
    fn load(&self, partition: u32, through: u64, oldest: u64) -> (Vec<(PaneHeader, Bytes)>, Punctuations) {
        let (mut panes, mut next) = (Vec::new(), Some(through));
        while let Some(through) = next {
            let (previous, more, _) = &self.store[&(partition, through)];
            panes.extend(more.iter().cloned());
            next = previous.filter(|previous| *previous >= oldest);
        }
        (panes, self.store[&(partition, through)].2.clone())
    }
}
