//! Who runs and holds what, as members come and go: laws of the master's assignments.
//!
//! The master is driven by words and losses; beside it a model keeps who really has the input of each source. Members are
//! lost while what an earlier loss made necessary is still being copied, or one by one, each after all is copied.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod model;

use dstream_baselines::continuous::assignment::{Assignment, Seat, Start};
use dstream_baselines::continuous::master::{Border, Heir, Redundancy};
use model::Cluster;
use proptest::prelude::*;

/// What happens to a cluster; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A member is lost.
    Lose(u32),
    /// A node comes that is no member.
    Come(u32),
    /// A member's next life begins before its last one was missed.
    Restart(u32),
    /// One holder gets the input that it waits for, if who gives it has it.
    Copy(u32),
    /// One holder says that it has everything.
    Say(u32),
    /// All of that, until nothing moves.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u32>().prop_map(Step::Lose),
        4 => any::<u32>().prop_map(Step::Come),
        1 => any::<u32>().prop_map(Step::Restart),
        4 => any::<u32>().prop_map(Step::Copy),
        4 => any::<u32>().prop_map(Step::Say),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Protocols as the engines make them from their options.
fn redundancies() -> impl Strategy<Value = Redundancy> {
    let backup = (1..5u32, 1..4u32, 0..3u32, any::<bool>()).prop_map(|(workers, copies, standbys, is_parallel)| {
        let heir = if is_parallel { Heir::Many } else { Heir::One };
        Redundancy { workers, hosts: 1, copies, standbys, heir, border: Border::Saved { every: 3 } }
    });
    let hot = (1..4u32, 1..3u32, 0..2u32).prop_map(|(workers, copies, standbys)| Redundancy {
        workers,
        hosts: 2,
        copies,
        standbys,
        heir: Heir::IdleElseMany,
        border: Border::Closed,
    });
    prop_oneof![backup, hot]
}

fn backup(workers: u32, copies: u32, standbys: u32, heir: Heir) -> Redundancy {
    Redundancy { workers, hosts: 1, copies, standbys, heir, border: Border::Saved { every: 3 } }
}

fn hot(workers: u32, standbys: u32) -> Redundancy {
    Redundancy { workers, hosts: 2, copies: 2, standbys, heir: Heir::IdleElseMany, border: Border::Closed }
}

fn play(cluster: &mut Cluster, step: Step) {
    match step {
        Step::Lose(which) => cluster.lose(which),
        Step::Come(which) => cluster.come(which),
        Step::Restart(which) => cluster.restart(which),
        Step::Copy(which) => _ = cluster.copy(which),
        Step::Say(which) => _ = cluster.say(which),
        Step::Settle => cluster.settle(),
    }
}

/// A place in words: hosts, a bar, holders; behind a node where its input comes from: `<2` another node, `<0` nowhere.
fn places(assignment: &Assignment) -> Vec<String> {
    let seats = |seats: &[Seat]| {
        let seat = |seat: &Seat| match seat.start {
            Start::Empty => seat.node.to_string(),
            Start::Restored { input_from, .. } => format!("{}<{}", seat.node, input_from.unwrap_or(0)),
            Start::Copied { from } => format!("{}={from}", seat.node),
        };
        seats.iter().map(seat).collect::<Vec<_>>().join(" ")
    };
    assignment.places.iter().map(|place| format!("{} | {}", seats(&place.hosts), seats(&place.holders))).collect()
}

/// Loses nodes one by one, with everything copied before each loss; compares where partitions are in the end.
fn check(redundancy: Redundancy, partitions: u32, lost: &[u32], expected: &[&str]) {
    let mut cluster = Cluster::start(redundancy, partitions);
    for node in lost {
        cluster.settle();
        cluster.lose_node(*node);
    }
    assert_eq!(places(cluster.assignment()), expected);
}

#[test]
fn at_first_every_worker_runs_its_share_and_the_next_ones_hold_copies_of_its_input() {
    check(backup(3, 2, 1, Heir::One), 4, &[], &["1 | 1 2", "2 | 2 3", "3 | 3 1", "1 | 1 2"]);
    check(backup(2, 3, 1, Heir::One), 2, &[], &["1 | 1 2 3", "2 | 2 1 3"]);
    check(hot(2, 1), 3, &[], &["1 3 | 1 3", "2 4 | 2 4", "1 3 | 1 3"]);
}

#[test]
fn one_heir_takes_all_or_many_take_parts() {
    let one = ["4<2 | 2 4<2", "2 | 2 3", "3 | 3 4<3", "4<2 | 2 4<2"];
    check(backup(3, 2, 1, Heir::One), 4, &[1], &one);
    let many = ["4<2 | 2 4<2", "2 | 2 3", "3 | 3 4<3", "2<2 | 2<2 4<2"];
    check(backup(3, 2, 1, Heir::Many), 4, &[1], &many);
}

#[test]
fn a_twin_goes_on_and_an_idle_node_copies_its_state() {
    check(hot(2, 1), 2, &[1], &["3 5=3 | 3 5=3", "2 4 | 2 4"]);
    check(hot(2, 1), 2, &[1, 3], &["5=3 2=5 | 5=3 2=5", "2 4 | 2 4"]);
}

/// Node 2 copies the partition from node 3, which is lost before anybody knows how far it came; how all are placed then.
fn check_in_doubt(is_whole: bool, expected: &str) {
    let mut cluster = Cluster::start(hot(2, 1), 1);
    cluster.settle();
    cluster.lose_node(1);
    if is_whole {
        cluster.copy(0);
    }
    cluster.lose_node(3);
    cluster.settle();
    assert_eq!(places(cluster.assignment()), [expected]);
    if is_whole {
        cluster.check_everybody_has_everything();
    }
}

#[test]
fn a_copy_goes_on_with_what_it_has_though_its_model_is_lost_before_anybody_knows_that_it_has_it() {
    check_in_doubt(true, "2=3 4=2 | 2=3 4=2");
    check_in_doubt(false, "2<0 4=2 | 2<0 4=2");
}

#[test]
fn whoever_runs_a_partition_next_to_its_input_need_not_ask_for_it() {
    check(backup(2, 2, 0, Heir::One), 2, &[1], &["2<2 | 2<2", "2 | 2"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn seats_are_as_many_as_asked_and_nobody_begins_with_nothing_while_somebody_has_it(
        redundancy in redundancies(), partitions in 1..6u32, steps in steps(),
    ) {
        let mut cluster = Cluster::start(redundancy, partitions);
        for step in steps {
            play(&mut cluster, step);
        }
        cluster.settle();
    }

    #[test]
    fn with_two_copies_no_sequence_of_single_losses_loses_any_input(
        redundancy in redundancies(), partitions in 1..6u32, steps in steps(),
    ) {
        let redundancy = Redundancy { copies: redundancy.copies.max(2), ..redundancy };
        let mut cluster = Cluster::start(redundancy, partitions);
        cluster.settle();
        for step in steps {
            if matches!(step, Step::Lose(_) | Step::Restart(_)) && cluster.members() < 2 {
                continue; // the last one has everything
            }
            play(&mut cluster, step);
            cluster.settle();
            cluster.check_everybody_has_everything();
        }
    }
}
