//! What is wrong between which nodes: cuts, holds, delays, and nodes without power.
//!
//! Knows names only; who keeps turmoil in step with it is the world. Invariant: a cut is stronger than a hold, and a
//! hold than a delay: what is dropped neither waits nor is late.

use dstream_trace::{Event, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From whom to whom.
type Way = (NodeName, NodeName);

/// The state of all ways between the nodes of a world.
#[derive(Debug, Default)]
pub(crate) struct LinkFaults {
    /// Who sends to whom in vain.
    cuts: BTreeSet<Way>,
    /// Whose messages to whom wait; both ways are in it.
    held: BTreeSet<Way>,
    /// How much longer messages are under way; both ways are in it.
    delays: BTreeMap<Way, Duration>,
    /// Nodes that lost their power and have not been started again.
    dark: BTreeSet<NodeName>,
    /// Ways of which the log already says that messages wait, or are late, since that last changed.
    told: BTreeSet<(Way, Told)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Held,
    Delayed,
}

fn way(from: &NodeName, to: &NodeName) -> Way {
    (from.clone(), to.clone())
}

impl LinkFaults {
    /// From now on `from` sends to `to` in vain, or not any more; false if that was so already.
    pub fn set_cut(&mut self, from: &NodeName, to: &NodeName, cut: bool) -> bool {
        let way = way(from, to);
        if cut { self.cuts.insert(way) } else { self.cuts.remove(&way) }
    }

    /// From now on messages between the two wait, or not any more; false if that was so already.
    pub fn set_held(&mut self, one: &NodeName, other: &NodeName, held: bool) -> bool {
        let mut changed = false;
        for way in [way(one, other), way(other, one)] {
            self.told.remove(&(way.clone(), Told::Held));
            changed |= if held { self.held.insert(way) } else { self.held.remove(&way) };
        }
        changed
    }

    /// From now on messages between the two are late by so much; zero: no more.
    pub fn set_delay(&mut self, one: &NodeName, other: &NodeName, by: Duration) {
        for way in [way(one, other), way(other, one)] {
            self.told.remove(&(way.clone(), Told::Delayed));
            if by.is_zero() {
                self.delays.remove(&way);
            } else {
                self.delays.insert(way, by);
            }
        }
    }

    /// The node has no power from now on, or has it again; false if that was so already.
    pub fn set_dark(&mut self, node: &NodeName, dark: bool) -> bool {
        if dark { self.dark.insert(node.clone()) } else { self.dark.remove(node) }
    }

    /// Whether a cut drops what `from` sends to `to`.
    pub fn is_cut(&self, from: &NodeName, to: &NodeName) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&way(from, to))
    }

    /// Whether one of the two has no power.
    pub fn is_dark(&self, one: &NodeName, other: &NodeName) -> bool {
        !self.dark.is_empty() && (self.dark.contains(one) || self.dark.contains(other))
    }

    /// Whether messages between the two wait.
    pub fn is_held(&self, from: &NodeName, to: &NodeName) -> bool {
        !self.held.is_empty() && self.held.contains(&way(from, to))
    }

    /// How much longer messages between the two are under way.
    pub fn delay(&self, from: &NodeName, to: &NodeName) -> Duration {
        if self.delays.is_empty() {
            return Duration::ZERO;
        }
        self.delays.get(&way(from, to)).copied().unwrap_or_default()
    }

    /// What the log says of a message that `from` sends to `to` now, if it does not say so yet.
    pub fn fate(&mut self, from: &NodeName, to: &NodeName) -> Option<Event> {
        let to = to.clone();
        if self.is_dark(from, &to) {
            return None;
        }
        if self.is_cut(from, &to) {
            return Some(Event::MessageCut { to });
        }
        let (told, event) = match self.is_held(from, &to) {
            true => (Told::Held, Event::MessageHeld { to: to.clone() }),
            false if !self.delay(from, &to).is_zero() => (Told::Delayed, Event::MessageDelayed { to: to.clone() }),
            false => return None,
        };
        self.told.insert((way(from, &to), told)).then_some(event)
    }
}
