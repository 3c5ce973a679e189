//! The network of a test: connections that keep their order and break, and numbers from a seed.

use bytes::Bytes;
use dstream_baselines::continuous::message::{FromMaster, NodeNumber, ToMaster, ToPeer};
use dstream_baselines::continuous::node::NodeEvent;
use dstream_cluster::message::{FromClient, ToClient};
use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is connected to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Master,
    Node(NodeNumber),
    Client(u32),
}

/// What goes through a connection.
#[derive(Clone, Debug)]
pub enum Word {
    ToMaster(ToMaster),
    FromMaster(FromMaster),
    Peer(ToPeer, Bytes),
    FromClient(FromClient, Bytes),
    ToClient(ToClient),
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Next {
    /// A word arrives, if its connection is still the one in which it was sent.
    Word { from: End, to: End, session: u64, word: Word },
    /// Something of a node's own is over, if it is still that life of it.
    Own { node: NodeNumber, incarnation: u64, event: Box<NodeEvent> },
    /// A connection is made.
    Connect(End, End),
    /// A node begins its next life.
    Begin(NodeNumber),
    /// A fault.
    Fault,
}

/// Numbers from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[derive(Default)]
struct Link {
    session: u64,
    is_up: bool,
    /// When the last word in this direction arrives: later ones come no earlier.
    busy_until: BTreeMap<End, Moment>,
}

/// Everything that is under way.
pub struct Network {
    pub dice: Dice,
    queue: BTreeMap<(Moment, u64), Next>,
    count: u64,
    links: BTreeMap<(End, End), Link>,
}

impl Network {
    pub fn new(seed: u64) -> Network {
        Network { dice: Dice::new(seed), queue: BTreeMap::new(), count: 0, links: BTreeMap::new() }
    }

    fn link(&mut self, a: End, b: End) -> &mut Link {
        self.links.entry((a.min(b), a.max(b))).or_default()
    }

    /// Whether there is a connection.
    pub fn is_up(&mut self, a: End, b: End) -> bool {
        self.link(a, b).is_up
    }

    /// Makes a connection.
    pub fn connect(&mut self, a: End, b: End) {
        let link = self.link(a, b);
        *link = Link { session: link.session + 1, is_up: true, busy_until: BTreeMap::new() };
    }

    /// Breaks it, with all that is under way in it.
    pub fn disconnect(&mut self, a: End, b: End) {
        self.link(a, b).is_up = false;
    }

    /// Something happens at a moment.
    pub fn at(&mut self, moment: Moment, next: Next) {
        self.count += 1;
        self.queue.insert((moment, self.count), next);
    }

    /// Something happens within so many milliseconds.
    pub fn soon(&mut self, now: Moment, most_ms: u64, next: Next) {
        let after = Duration::from_micros(self.dice.below(most_ms * 1000));
        self.at(now + after, next);
    }

    /// Sends a word, which is lost if there is no connection.
    pub fn send(&mut self, now: Moment, from: End, to: End, word: Word) {
        // Now and then a message takes long.
        let most_us = if self.dice.below(20) == 0 { 30_000 } else { 3_000 };
        let arrives = now + Duration::from_micros(500 + self.dice.below(most_us));
        let link = self.link(from, to);
        if link.is_up {
            let busy = link.busy_until.entry(to).or_insert(Moment::ZERO);
            *busy = arrives.max(*busy);
            let (moment, session) = (*busy, link.session);
            self.at(moment, Next::Word { from, to, session, word });
        }
    }

    /// What is due; words of connections that are no more are left out.
    pub fn due(&mut self, now: Moment) -> Option<Next> {
        loop {
            let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
            match first.remove() {
                Next::Word { from, to, session, word } => {
                    let link = self.link(from, to);
                    if link.is_up && link.session == session {
                        return Some(Next::Word { from, to, session, word });
                    }
                }
                next => return Some(next),
            }
        }
    }
}
