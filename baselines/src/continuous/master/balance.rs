//! Nodes that came back run their share again.
//!
//! A heir keeps what it took over, so after a loss some nodes run more than others, and one that returns runs
//! nothing. Here a partition moves while it runs: a second host copies it from the first, as replicas do, and when
//! that runs the first one is relieved. Where many heirs took over, the least of them is freed, so that as many nodes are
//! idle again as there should be. Pure: knows assignments, no events. Invariant: a step either relieves or
//! moves; nothing moves that would not even things out, and standbys stay idle.
//!
//! ```text
//! [a] --even_out, vacate--> [a, b copies from a] --b runs, a's results are out: relieve--> [b]
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

    /// How many run something.
    fn active(&self) -> u32 {
        (self.workers * self.hosts).max(1)
    }

    /// How many of so many members stay idle: where some are away the others wait for no loss that they could not take.
    pub fn spare(&self, members: usize) -> usize {
        members.saturating_sub(self.active() as usize).min(self.standbys as usize)
    }

    /// The next assignment, where fewer are idle than should be, or than the members allow: one that runs least hands
    /// everything to others that run something, none more than its share. All seats run when this is
    /// asked.
    pub fn vacate(
        &self,
        now: &Assignment,
        members: &BTreeSet<NodeNumber>,
        avoid: &BTreeSet<NodeNumber>,
    ) -> Option<Assignment> {
        let loads = Loads::of(now, members).hosting;
        let idle = members.iter().filter(|node| loads[node] == 0).count();
        if idle >= self.spare(members.len()) {
            return None;
        }
        let share = loads.values().sum::<u32>().div_ceil(self.active());
        let giver = loads.iter().filter(|(_, load)| **load > 0).min_by_key(|(node, load)| (**load, Reverse(**node)));
        let (giver, load) = giver.map(|(node, load)| (*node, *load))?;
        let mut takers = loads;
        takers.retain(|node, load| *load > 0 && *node != giver && !avoid.contains(node));
        let mut next = Assignment { version: now.version + 1, places: now.places.clone() };
        for _ in 0..load {
            let with_room = takers.iter().filter(|(_, load)| **load < share).map(|(node, load)| (*load, *node));
            let (_, taker) = with_room.min().filter(|(_, taker)| next.hand_over(giver, *taker, self.hosts))?;
            *takers.entry(taker).or_default() += 1;
        }
        Some(next)
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
        let spare = self.spare(members.len());
        receivers.retain(|node| !idle.iter().rev().take(spare).any(|standby| standby == node));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continuous::assignment::Place;
    use crate::continuous::master::plan::{Border, Heir};

    /// A cluster of four workers and two standbys.
    fn redundancy() -> Redundancy {
        Redundancy {
            workers: 4,
            hosts: 1,
            copies: 2,
            standbys: 2,
            heir: Heir::Many,
            border: Border::Saved { every: 3 },
        }
    }

    /// Partitions that run at these hosts, in that cluster.
    fn hosted(hosts: &[u32]) -> Assignment {
        let seat = |node| Seat { node, since: 1, start: Start::Empty };
        let place = |node: &u32| Place { hosts: vec![seat(*node)], holders: vec![seat(*node)] };
        Assignment { version: 1, places: hosts.iter().map(place).collect() }
    }

    /// What hosts are like when the least of them is freed, where these are members; nothing if none is.
    fn check(hosts: &[u32], members: u32, expected: Option<&[&str]>) {
        let next = redundancy().vacate(&hosted(hosts), &(1..=members).collect(), &BTreeSet::new());
        check_next(hosts, next, expected);
    }

    /// The same when members have their share again.
    fn check_even(hosts: &[u32], members: &[u32], expected: Option<&[&str]>) {
        let next = redundancy().even_out(&hosted(hosts), &members.iter().copied().collect(), &BTreeSet::new());
        check_next(hosts, next, expected);
    }

    fn check_next(hosts: &[u32], next: Option<Assignment>, expected: Option<&[&str]>) {
        let nodes = |place: &Place| place.hosts.iter().map(|seat| seat.node.to_string()).collect::<Vec<_>>().join(" ");
        let seen: Option<Vec<String>> = next.map(|next| next.places.iter().map(nodes).collect());
        let expected = expected.map(|places| places.iter().map(|place| (*place).to_owned()).collect());
        assert_eq!(seen, expected, "{hosts:?}");
    }

    #[test]
    fn the_node_that_runs_least_is_freed_where_idle_ones_are_lacking_and_the_others_have_room() {
        check(&[1, 2, 3, 4, 1, 2, 3, 4], 6, None);
        check(&[6, 2, 3, 4, 4, 2, 3, 5], 6, Some(&["6 5", "2", "3", "4", "4", "2", "3", "5"]));
        check(&[1, 2, 3, 4, 5], 6, Some(&["1", "2", "3", "4", "5 1"]));
        // A node is not there: its place is taken by an idle one until it is.
        check(&[5, 2, 3, 4, 4, 2, 3, 5], 5, None);
        // Who has more than its share is given no more.
        let freed = ["1", "1", "1", "1", "2", "3", "4", "5 2"];
        check(&[1, 1, 1, 1, 2, 3, 4, 5], 6, Some(&freed));
    }

    #[test]
    fn a_node_that_is_back_runs_its_share_and_so_does_a_standby_while_another_node_is_gone() {
        check_even(&[1, 2, 3, 2], &[1, 2, 3, 4, 5, 6], Some(&["1", "2 4", "3", "2"]));
        check_even(&[1, 2, 3, 2], &[1, 2, 3, 5, 6], Some(&["1", "2 5", "3", "2"]));
        // One of the two that idle is enough for what is left.
        check_even(&[5, 2, 3, 2], &[1, 2, 3, 5, 6], Some(&["5", "2 1", "3", "2"]));
        check_even(&[5, 2, 3, 6], &[1, 2, 3, 4, 5, 6], None);
    }

    #[test]
    fn what_all_standbys_took_over_part_by_part_leaves_one_of_them_idle_though_a_node_is_gone() {
        check(&[1, 2, 3, 4, 1, 2, 3, 5], 5, Some(&["1", "2", "3", "4", "1", "2", "3", "5 4"]));
        check(&[1, 2, 3, 4, 1, 2, 3, 4], 5, None);
        // As many are left as have to run.
        check(&[1, 2, 3, 4, 1, 2, 3, 3], 4, None);
        check(&[1, 2, 3, 1, 2, 3], 3, None);
    }
}
