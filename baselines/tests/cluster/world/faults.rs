//! What goes wrong: nodes crash and begin again, connections break and are made anew.

use super::{INTERVAL_MS, INTERVALS, ORIGIN, Running, World};
use crate::network::{End, Next};
use dstream_baselines::continuous::master::MasterEvent;
use dstream_baselines::continuous::message::NodeNumber;
use dstream_baselines::continuous::node::NodeEvent;
use dstream_cluster::client::ClientEvent;
use dstream_trace::NodeName;
use std::collections::BTreeMap;
use std::time::Duration;

impl World {
    /// A crash, or a cut from the master, if the protocol promises to survive one more; or else a connection breaks.
    pub(super) fn fault(&mut self) {
        let after = Duration::from_millis(50 + self.network.dice.below(400));
        if self.now < ORIGIN + Duration::from_millis(INTERVAL_MS * INTERVALS) {
            self.network.at(self.now + after, Next::Fault);
        }
        let ends = self.ends();
        let node = u32::try_from(self.network.dice.below(self.nodes.len() as u64)).unwrap() + 1;
        if self.lacking == 0 && self.crashed.is_empty() && self.nodes.iter().all(|node| node.is_up) {
            self.losses = 0;
        }
        let may_crash = self.losses < self.protocol.losses_at_once && self.nodes[node as usize - 1].is_up;
        if may_crash && self.network.dice.below(2) == 0 {
            (self.crashes, self.losses) = (self.crashes + 1, self.losses + 1);
            self.crashed.insert(node);
            if self.network.dice.below(3) == 0 && self.network.is_up(End::Node(node), End::Master) {
                // It lives and is missed: when it is heard again it has to begin anew.
                self.disconnect(End::Node(node), End::Master);
                let again = Duration::from_millis(300 + self.network.dice.below(500));
                self.network.at(self.now + again, Next::Connect(End::Node(node), End::Master));
                return;
            }
            self.nodes[node as usize - 1].is_up = false;
            ends.iter().for_each(|end| self.disconnect(End::Node(node), *end));
            self.network.soon(self.now, 1200, Next::Begin(node));
            return;
        }
        let other = ends[self.network.dice.below(ends.len() as u64) as usize];
        if other != End::Node(node) && self.network.is_up(End::Node(node), other) {
            self.disconnect(End::Node(node), other);
            // Soon enough that nobody is missed: that would be a second loss.
            self.network.soon(self.now, 20, Next::Connect(End::Node(node), other));
        }
    }

    pub(super) fn begin(&mut self, node: NodeNumber) {
        let incarnation = self.nodes[node as usize - 1].incarnation + 1;
        let core = self.core(node, u32::try_from(self.nodes.len()).unwrap(), incarnation);
        self.nodes[node as usize - 1] = Running { core, incarnation, operators: BTreeMap::new(), is_up: true };
        for end in self.ends().into_iter().filter(|end| *end != End::Node(node)) {
            self.network.soon(self.now, 50, Next::Connect(End::Node(node), end));
        }
    }

    fn is_there(&self, end: End) -> bool {
        !matches!(end, End::Node(node) if !self.nodes[node as usize - 1].is_up)
    }

    pub(super) fn connect(&mut self, a: End, b: End) {
        if self.is_there(a) && self.is_there(b) && !self.network.is_up(a, b) {
            self.network.connect(a, b);
            self.changed(a, b, true);
            self.changed(b, a, true);
        }
    }

    pub(super) fn disconnect(&mut self, a: End, b: End) {
        if self.network.is_up(a, b) {
            self.network.disconnect(a, b);
            self.changed(a, b, false);
            self.changed(b, a, false);
        }
    }

    /// An end hears of its connection to another.
    fn changed(&mut self, at: End, to: End, is_up: bool) {
        if !self.is_there(at) {
            return;
        }
        match (at, to, is_up) {
            (End::Node(node), End::Master, true) => self.node(node, NodeEvent::MasterUp),
            (End::Node(node), End::Node(other), true) => self.node(node, NodeEvent::PeerUp(other)),
            (End::Node(node), End::Node(other), false) => self.node(node, NodeEvent::PeerDown(other)),
            (End::Node(node), End::Client(client), true) => self.node(node, NodeEvent::ClientUp(client)),
            (End::Node(node), End::Client(client), false) => self.node(node, NodeEvent::ClientDown(client)),
            (End::Master, End::Node(node), false) => self.master(MasterEvent::Broken(node)),
            (End::Master, End::Client(client), true) => self.master(MasterEvent::ClientUp { client, incarnation: 1 }),
            (End::Master, End::Client(client), false) => self.master(MasterEvent::ClientDown(client)),
            (End::Client(client), End::Node(node), true) => {
                self.client(client, ClientEvent::Up(NodeName::worker(node)));
            }
            (End::Client(client), End::Node(node), false) => {
                self.client(client, ClientEvent::Down(NodeName::worker(node)));
            }
            _ => {}
        }
    }
}
