//! Nodes that came back run their share again.
//!
//! A heir keeps what it took over, so after a loss some nodes run more than others, and one that returns runs
//! nothing. Here a partition moves while it runs: a second host copies it from the first, as replicas do, and when
//! that runs the first one is relieved. Pure: knows assignments, no events. Invariant: a step either relieves or
//! moves; nothing moves that would not even things out, and standbys stay idle.
//!
//! ```text
//! [a] --even_out--> [a, b copies from a] --b runs, a's results are out: relieve--> [b]
//! ```

use crate::continuous::assignment::{Assignment, Seat, Start};
use crate::continuous::master::plan::{Loads, Redundancy};
use crate::continuous::message::NodeNumber;
use std::cmp::Reverse;
use std::collections::BTreeSet;

impl Redundancy {
    /// The next assignment, where a partition has more hosts than it should and the newest `has_taken_over`.
    pub fn relieve(&self, now: &Assignment, has_taken_over: impl Fn(u32, &Seat) -> bool) -> Option<Assignment> {
        let mut next = Assignment { version: now.version + 1, places: now.places.clone() };
        for (partition, place) in (0u32..).zip(&mut next.places) {
            let newest = place.hosts.last().filter(|_| place.hosts.len() > self.hosts as usize);
            let Some(Seat { start: Start::Copied { from }, .. }) =
                newest.filter(|seat| has_taken_over(partition, seat))
            else {
                continue;
            };
            let from = *from;
            place.hosts.retain(|seat| seat.node != from);
            if place.holders.len() > self.copies.max(self.hosts) as usize {
                place.holders.retain(|seat| seat.node != from);
            }
        }
        (next.places != now.places).then_some(next)
    }

    /// The next assignment, where some members run less than others by two partitions or more: they begin to take over.
    /// Those to `avoid` are given nothing. All seats run when this is asked.
    pub fn even_out(
        &self,
        now: &Assignment,
        members: &BTreeSet<NodeNumber>,
        avoid: &BTreeSet<NodeNumber>,
    ) -> Option<Assignment> {
        let mut loads = Loads::of(now, members);
        let mut receivers: BTreeSet<NodeNumber> = members.difference(avoid).copied().collect();
        let idle: Vec<NodeNumber> = members.iter().copied().filter(|node| loads.hosting[node] == 0).collect();
        receivers.retain(|node| !idle.iter().rev().take(self.standbys as usize).any(|standby| standby == node));
        let mut next = None;
        while let Some(receiver) = receivers.iter().copied().min_by_key(|node| (loads.hosting[node], *node)) {
            let giver = members.iter().copied().max_by_key(|node| (loads.hosting[node], Reverse(*node)))?;
            if loads.hosting[&giver] < loads.hosting[&receiver] + 2 {
                break;
            }
            let moved = next.get_or_insert_with(|| Assignment { version: now.version + 1, places: now.places.clone() });
            if !moved.hand_over(giver, receiver, self.hosts) {
                break;
            }
            *loads.hosting.entry(giver).or_default() -= 1;
            *loads.hosting.entry(receiver).or_default() += 1;
        }
        next.filter(|next| next.places != now.places)
    }
}

impl Assignment {
    /// Has the receiver copy one of the giver's partitions that does not move yet; false if there is none.
    fn hand_over(&mut self, giver: NodeNumber, receiver: NodeNumber, hosts: u32) -> bool {
        let since = self.version;
        let may_move = self.places.iter_mut().find(|place| {
            place.hosts.len() == hosts as usize && place.host(giver).is_some() && place.host(receiver).is_none()
        });
        let Some(place) = may_move else { return false };
        let seat = Seat { node: receiver, since, start: Start::Copied { from: giver } };
        place.hosts.push(seat.clone());
        place.holders.retain(|seat| seat.node != receiver);
        place.holders.push(seat);
        true
    }
}
