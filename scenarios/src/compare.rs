//! `compare:`: what engines have in common, and how many workers each of them gets for that.
//!
//! Knows no engine: only how many nodes an engine adds to so many workers. Invariants: an engine without heirs has all of
//! the cluster's workers, whatever it is compared with; how many another one has depends on itself alone, so a run
//! directory with one engine gives the same cluster again.

use dstream_cluster::layout::Role;
use dstream_trace::NodeName;

/// The ways of comparing, the default first.
pub(crate) const COMPARISONS: [&str; 3] = ["equal-workers", "equal-nodes", "equal-cost"];

/// What a way of comparing means, for `explain`; nothing where there is nothing to say.
pub(crate) fn meaning(compare: &str) -> Option<&'static str> {
    match compare {
        "equal-nodes" => Some("workers, standbys and replicas of each engine are together at most `cluster.workers`"),
        "equal-cost" => {
            Some("nodes whose cores work (workers and replicas, not standbys) are together at most `cluster.workers`")
        }
        _ => None,
    }
}

/// The most workers, of `most`, with which an engine is comparable, and the nodes that it adds to them; `None` where not
/// even one worker fits.
pub(crate) fn fit(compare: &str, most: u32, heirs: impl Fn(u32) -> Vec<NodeName>) -> Option<(u32, Vec<NodeName>)> {
    let counts = |heir: &NodeName| match compare {
        "equal-nodes" => true,
        // An idle core costs no CPU: that is what makes a standby cheap.
        "equal-cost" => matches!(Role::of(heir), Some(Role::Replica(_))),
        _ => false,
    };
    let fits = |(workers, heirs): &(u32, Vec<NodeName>)| {
        let counted = heirs.iter().filter(|heir| counts(heir)).count() as u64;
        u64::from(*workers) + counted <= u64::from(most)
    };
    (1..=most).rev().map(|workers| (workers, heirs(workers))).find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_shrink_to_make_room_for_what_is_counted() {
        let names = |kind: &str, count: u32| (1..=count).map(|n| NodeName::new(format!("{kind}-{n}"))).collect();
        let none = |_: u32| Vec::new();
        let standbys = |_: u32| names("standby", 2);
        let replicas = |workers: u32| names("replica", workers);
        let check = |compare: &str, most: u32, heirs: &dyn Fn(u32) -> Vec<NodeName>, expected: Option<(u32, usize)>| {
            let found = fit(compare, most, heirs).map(|(workers, heirs)| (workers, heirs.len()));
            assert_eq!(found, expected, "{compare} of {most}");
        };
        check("equal-workers", 8, &replicas, Some((8, 8)));
        check("equal-nodes", 8, &none, Some((8, 0)));
        check("equal-nodes", 8, &standbys, Some((6, 2)));
        check("equal-nodes", 8, &replicas, Some((4, 4)));
        // One node stays unused: three pairs are six.
        check("equal-nodes", 7, &replicas, Some((3, 3)));
        check("equal-nodes", 2, &standbys, None);
        check("equal-cost", 8, &standbys, Some((8, 2)));
        check("equal-cost", 8, &replicas, Some((4, 4)));
        check("equal-cost", 1, &replicas, None);
    }
}
