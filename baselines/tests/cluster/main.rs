//! Whole clusters of cores in memory: a master, nodes and clients on a small network that a seed shuffles.
//!
//! Nodes crash and come back, as many at once as the protocol promises to survive, and connections break; what is visible in
//! the end must be a plain count of what clients sent, interval by interval.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod network;
mod world;

use dstream_baselines::continuous::master::{Border, Heir, Redundancy};
use dstream_baselines::continuous::node::Rules;
use std::time::Duration;
use world::World;

/// Seeds of each protocol.
const SEEDS: u64 = 30;

/// A protocol as an engine makes it of its options.
#[derive(Clone, Copy)]
struct Protocol {
    rules: Rules,
    redundancy: Redundancy,
    /// So many nodes may be lost before redundancy is back.
    losses_at_once: u32,
    /// A node's bound for input and for output.
    most_kept_bytes: usize,
}

/// A result is late so long after its interval.
const LATE: Duration = Duration::from_millis(20);

/// More than a run's input and output.
const AMPLE: usize = 1 << 20;

const PLAIN: Rules = Rules {
    checkpoint_intervals: None,
    reads_all: false,
    is_ordered: false,
    only_leader_hands_in: false,
    is_single: true,
    buffer: Duration::from_millis(5),
    replays: false,
    tentative: None,
};

fn backup(checkpoint_intervals: Option<u64>, heir: Heir, copies: u32) -> Protocol {
    let replays = checkpoint_intervals.is_none();
    let border = checkpoint_intervals.map_or(Border::Replayed { reach: Some(2) }, |every| Border::Saved { every });
    Protocol {
        rules: Rules { checkpoint_intervals, replays, ..PLAIN },
        redundancy: Redundancy { workers: copies, hosts: 1, copies, standbys: 1, heir, border },
        losses_at_once: copies - 1,
        most_kept_bytes: AMPLE,
    }
}

fn hot(is_synchronous: bool) -> Protocol {
    let (reads_all, is_ordered, only_leader_hands_in) = (!is_synchronous, is_synchronous, is_synchronous);
    let (heir, border) = (Heir::IdleElseMany, Border::Closed);
    Protocol {
        // Late results are shown on the way and must change nothing.
        rules: Rules { reads_all, is_ordered, only_leader_hands_in, tentative: Some(LATE), ..PLAIN },
        redundancy: Redundancy { workers: 1, hosts: 2, copies: 2, standbys: 1, heir, border },
        losses_at_once: 1,
        most_kept_bytes: AMPLE,
    }
}

/// Every seed's results are exact.
fn check(protocol: Protocol) {
    for seed in 1..=SEEDS {
        World::new(protocol, seed).run();
    }
}

#[test]
fn upstream_backup_with_one_heir_is_exact() {
    check(backup(Some(3), Heir::One, 2));
}

#[test]
fn upstream_backup_with_many_heirs_is_exact() {
    check(backup(Some(3), Heir::Many, 2));
}

#[test]
fn upstream_backup_that_replays_is_exact() {
    check(backup(None, Heir::One, 2));
}

#[test]
fn upstream_backup_with_three_copies_is_exact_where_two_nodes_are_lost() {
    check(backup(Some(3), Heir::One, 3));
    check(backup(Some(3), Heir::Many, 3));
    check(backup(None, Heir::Many, 3));
}

#[test]
fn a_cluster_whose_checkpoints_are_too_far_apart_for_its_buffers_saves_in_between() {
    check(Protocol { most_kept_bytes: 1200, ..backup(Some(1000), Heir::One, 2) });
}

#[test]
fn replicas_in_one_order_are_exact() {
    check(hot(true));
}

#[test]
fn replicas_of_which_the_first_wins_are_exact() {
    check(hot(false));
}
