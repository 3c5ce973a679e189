//! How much of each client's records may be acknowledged, by what holders said of themselves.
//!
//! A client counts a record as safe when all have it who are holders as far as it knows. Invariant: what it may so count is
//! known here before, even if the client and all holders are lost at once.

use crate::continuous::assignment::Assignment;
use crate::continuous::message::{Holding, NodeNumber};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Holders of so many versions are remembered for each source: clients and nodes hear of a new one within milliseconds, and
/// losses that follow each other faster leave nothing to acknowledge.
const MOST_VERSIONS: usize = 8;

/// A holder: who, and since which version.
type Seated = (NodeNumber, u64);

/// All that holders said.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// By source: the holders of the last versions, the newest last.
    holders: BTreeMap<u32, VecDeque<BTreeSet<Seated>>>,
    /// source, holder -> client -> where what it has ends
    told: BTreeMap<(u32, Seated), BTreeMap<u32, u64>>,
}

impl Holdings {
    /// These are the holders from now on.
    pub fn assigned(&mut self, next: &Assignment) {
        for (source, place) in next.iter() {
            let now: BTreeSet<Seated> = place.holders.iter().map(|seat| (seat.node, seat.since)).collect();
            let versions = self.holders.entry(source).or_default();
            if versions.back() == Some(&now) {
                continue;
            }
            // Who sits anew without having been away keeps what it has.
            for (node, since) in versions.back().into_iter().flatten() {
                let anew = now.iter().find(|(other, anew)| other == node && anew != since);
                if let Some((anew, told)) = anew.zip(self.told.get(&(source, (*node, *since))).cloned()) {
                    self.told.insert((source, *anew), told);
                }
            }
            versions.push_back(now);
            while versions.len() > MOST_VERSIONS {
                versions.pop_front();
            }
            let versions = &*versions;
            self.told.retain(|(of, holder), _| *of != source || versions.iter().any(|set| set.contains(holder)));
        }
    }

    /// A node says what it holds. Returns what counts of it, and what clients may count as safe: (client, source, end).
    pub fn tell(&mut self, node: NodeNumber, of: &[Holding]) -> (Vec<Holding>, Vec<(u32, u32, u64)>) {
        let (mut noted, mut safe) = (Vec::new(), Vec::new());
        for holding in of {
            let Holding { source, since, client, end } = *holding;
            let versions = self.holders.get(&source).into_iter().flatten();
            let mut versions = versions.filter(|set| set.contains(&(node, since))).peekable();
            if versions.peek().is_none() {
                continue;
            }
            let known = self.told.entry((source, (node, since))).or_default().entry(client).or_default();
            *known = end.max(*known);
            noted.push(*holding);
            let told = |holder: &Seated| self.told.get(&(source, *holder)).and_then(|of| of.get(&client)).copied();
            let least = |set: &BTreeSet<Seated>| set.iter().map(told).min().flatten();
            safe.extend(versions.filter_map(least).max().map(|end| (client, source, end)));
        }
        (noted, safe)
    }

    /// What all have had of a client's records who are holders now ends before this one.
    pub fn held_by_all(&self, source: u32, client: u32) -> u64 {
        let told = |holder: &Seated| self.told.get(&(source, *holder)).and_then(|of| of.get(&client)).copied();
        let now = self.holders.get(&source).and_then(VecDeque::back);
        now.and_then(|set| set.iter().map(told).min().flatten()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continuous::assignment::{Place, Seat, Start};

    /// What happens: these are the holders, or a holder says where its part of the only client's records ends.
    enum Heard {
        Holders(&'static [Seated]),
        Says(Seated, u64),
    }
    use Heard::{Holders, Says};

    /// What the client may count as safe after all, of what was said last or before; how many words counted.
    fn check(heard: &[Heard], expected: Option<u64>, counted: usize) {
        let (_, safe, noted) = after(heard);
        assert_eq!((safe, noted), (expected, counted));
    }

    fn after(heard: &[Heard]) -> (Holdings, Option<u64>, usize) {
        let (mut holdings, mut safe, mut noted) = (Holdings::default(), None, 0);
        for (heard, version) in heard.iter().zip(1..) {
            match heard {
                Holders(seats) => {
                    let seat = |(node, since): &Seated| Seat { node: *node, since: *since, start: Start::Empty };
                    let holders = seats.iter().map(seat).collect();
                    let places = vec![Place { hosts: Vec::new(), holders }];
                    holdings.assigned(&Assignment { version, places });
                }
                Says((node, since), end) => {
                    let holding = Holding { source: 0, since: *since, client: 1, end: *end };
                    let (of, ends) = holdings.tell(*node, &[holding]);
                    noted += of.len();
                    safe = safe.max(ends.into_iter().map(|(_, _, end)| end).max());
                }
            }
        }
        (holdings, safe, noted)
    }

    #[test]
    fn what_all_holders_of_one_version_have_said_may_be_acknowledged() {
        check(&[Holders(&[(1, 1), (2, 1)]), Says((1, 1), 9)], None, 1);
        check(&[Holders(&[(1, 1), (2, 1)]), Says((1, 1), 9), Says((2, 1), 7)], Some(7), 2);
        check(&[Holders(&[(1, 1)]), Says((1, 1), 9), Says((1, 1), 8)], Some(9), 2);
        // A holder of another version does not count, nor one that the master never made one.
        check(&[Holders(&[(1, 1)]), Says((1, 2), 9), Says((2, 1), 9)], None, 0);
    }

    #[test]
    fn a_client_may_count_by_the_holders_of_a_version_that_is_over() {
        let lost = Holders(&[(1, 1), (3, 2)]);
        check(&[Holders(&[(1, 1), (2, 1)]), Says((2, 1), 7), lost, Says((1, 1), 9)], Some(7), 2);
    }

    #[test]
    fn who_sits_anew_has_what_it_had_unless_it_was_away() {
        let (before, anew) = (|| Holders(&[(1, 1), (2, 1)]), || Holders(&[(1, 2), (3, 2)]));
        check(&[before(), Says((1, 1), 9), anew(), Says((3, 2), 8)], Some(8), 2);
        let (away, back) = (Holders(&[(2, 1), (3, 2)]), Holders(&[(1, 3), (3, 2)]));
        check(&[before(), Says((1, 1), 9), away, back, Says((3, 2), 8)], None, 2);
    }

    #[test]
    fn all_who_hold_it_now_have_had_what_the_one_with_least_of_it_says() {
        let (both, next) = (|| Holders(&[(1, 1), (2, 1)]), || Holders(&[(1, 1), (3, 2)]));
        for (heard, end) in [
            (vec![both(), Says((1, 1), 9), Says((2, 1), 7)], 7),
            (vec![both(), Says((1, 1), 9)], 0),
            (vec![], 0),
            // Who holds it no more does not count, nor that it was enough for holders of the past.
            (vec![both(), Says((1, 1), 9), Says((2, 1), 7), next()], 0),
            (vec![both(), Says((1, 1), 9), next(), Says((3, 2), 8)], 8),
            (vec![Holders(&[(1, 1)]), Says((1, 1), 9), both()], 0),
            (vec![both(), Says((1, 1), 9), Holders(&[(1, 1)])], 9),
        ] {
            assert_eq!(after(&heard).0.held_by_all(0, 1), end);
        }
    }
}
