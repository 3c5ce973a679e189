//! The contract of a world: what the facade and the peers promise, as plain functions that run against any world.
//!
//! Each starts its own nodes in an empty world, does something to them and reads the log; it panics with the end of
//! the log where the world breaks its promise. Knows no world, and promises only what a simulator without
//! retransmission and a real network keep alike. Invariant: nothing is judged by how fast it happened, only by what
//! and in which order.

mod link;
mod node;
mod pair;
mod role;
mod stream;

pub use role::node_start;

use crate::facade::Host;
use crate::world::{NodeSpec, World};
use dstream_trace::{Event, Moment, NodeName, TraceLine};
use role::Role;
use std::time::Duration;

/// How long something that must happen may take: an order of magnitude above every deadline here, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the world runs between two looks at its log.
const LOOK: Duration = Duration::from_millis(5);

/// How many lines of the log a broken promise shows.
const SHOWN_LINES: usize = 60;

/// Checks a promise in an empty world.
pub type Check = fn(&mut dyn World);

/// All promises, by name.
pub const ALL: &[(&str, Check)] = &[
    ("a_dead_host_never_answers", stream::a_dead_host_never_answers),
    ("a_crash_ends_streams_with_unread_data", stream::a_crash_ends_streams_with_unread_data),
    ("a_pause_holds_timers_and_messages", node::a_pause_holds_timers_and_messages),
    ("slow_cores_stretch_work", node::slow_cores_stretch_work),
    ("faults_on_unknown_nodes_are_refused", node::faults_on_unknown_nodes_are_refused),
    ("a_failed_node_ends_the_run", node::a_failed_node_ends_the_run),
    ("a_panicking_node_ends_the_run", node::a_panicking_node_ends_the_run),
    ("a_silent_peer_goes_down", pair::a_silent_peer_goes_down),
    ("a_restarted_peer_comes_up_in_its_next_life", pair::a_restarted_peer_comes_up_in_its_next_life),
    ("a_half_open_connection_is_found_and_replaced", pair::a_half_open_connection_is_found_and_replaced),
    ("a_healed_cut_is_redialled", pair::a_healed_cut_is_redialled),
    ("an_oversized_frame_ends_the_connection", pair::an_oversized_frame_ends_the_connection),
    ("strangers_are_refused_with_their_word", stream::strangers_are_refused_with_their_word),
    ("requests_end_with_an_answer_or_a_reason", pair::requests_end_with_an_answer_or_a_reason),
    ("messages_of_a_lane_keep_their_order", pair::messages_of_a_lane_keep_their_order),
    ("older_lives_are_refused_and_newer_ones_replace", stream::older_lives_are_refused_and_newer_ones_replace),
    ("an_outage_holds_messages_until_it_ends", link::an_outage_holds_messages_until_it_ends),
    ("a_long_outage_ends_with_a_new_connection", link::a_long_outage_ends_with_a_new_connection),
    ("a_delay_makes_messages_late", link::a_delay_makes_messages_late),
    ("a_slow_card_stretches_transfers", link::a_slow_card_stretches_transfers),
    ("a_power_loss_is_silent", link::a_power_loss_is_silent),
    ("a_troubled_store_refuses_or_waits", node::a_troubled_store_refuses_or_waits),
    ("a_node_comes_late_and_leaves_when_asked", node::a_node_comes_late_and_leaves_when_asked),
    ("a_disk_goes_with_its_process", node::a_disk_goes_with_its_process),
];

/// A world under test.
struct Stage<'a> {
    world: &'a mut dyn World,
}

impl Stage<'_> {
    /// Starts a node that plays `role`.
    fn start(&mut self, name: &str, role: Role) {
        self.world.start(spec(name, role)).expect("the world starts a node");
    }

    fn enrol(&mut self, name: &str, role: Role) {
        self.world.enrol(spec(name, role)).expect("the world takes note of a node");
    }

    /// Lets time pass.
    fn run(&mut self, length: Duration) {
        let until = self.world.now() + length;
        self.world.run_until(until).expect("no node fails");
    }

    /// Lets time pass until `holds` for the log.
    fn until(&mut self, what: &str, holds: impl Fn(&[TraceLine]) -> bool) {
        let limit = self.world.now() + PATIENCE;
        while !self.look(&holds) {
            assert!(self.world.now() < limit, "{what}: did not happen\n{}", self.tail());
            self.run(LOOK);
        }
    }

    /// Panics unless `holds` for the log now.
    fn check(&self, what: &str, holds: impl Fn(&[TraceLine]) -> bool) {
        assert!(self.look(&holds), "{what}: does not hold\n{}", self.tail());
    }

    fn look<T>(&self, read: impl Fn(&[TraceLine]) -> T) -> T {
        read(self.world.trace().lock().lines())
    }

    /// How long the log is.
    fn length(&self) -> usize {
        self.look(<[TraceLine]>::len)
    }

    fn tail(&self) -> String {
        self.look(|lines| {
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            shown.iter().map(|line| format!("{line}\n")).collect()
        })
    }
}

fn spec(name: &str, role: Role) -> NodeSpec {
    let config = postcard::to_stdvec(&role).expect("a role is always encoded");
    NodeSpec { name: NodeName::new(name), role: "contract".to_owned(), config, cores: 1, harness: false }
}

/// The values of the marks with this name that a node made, in order.
fn marks(lines: &[TraceLine], node: &str, mark: &str) -> Vec<u64> {
    let value = |line: &TraceLine| match &line.event {
        Event::Mark { name, value } if line.node.as_str() == node && name == mark => Some(*value),
        _ => None,
    };
    lines.iter().filter_map(value).collect()
}

/// The ups and downs of a pair as one side saw them: whether up, and the peer's incarnation.
fn ups_and_downs(lines: &[TraceLine], node: &str, other: &str) -> Vec<(bool, u64)> {
    let change = |line: &TraceLine| match &line.event {
        Event::PeerUp { peer, incarnation } if peer.as_str() == other => Some((true, *incarnation)),
        Event::PeerDown { peer, incarnation } if peer.as_str() == other => Some((false, *incarnation)),
        _ => None,
    };
    lines.iter().filter(|line| line.node.as_str() == node).filter_map(change).collect()
}

/// How often a node refused a connection with this word.
fn refusals(lines: &[TraceLine], node: &str, word: &str) -> usize {
    let refused = |line: &&TraceLine| matches!(&line.event, Event::ConnectionRefused { why } if why == word);
    lines.iter().filter(|line| line.node.as_str() == node).filter(refused).count()
}

/// Says something about itself, in a node of the contract.
fn mark(host: &Host, name: &str, value: u64) {
    host.trace.record(Event::Mark { name: name.to_owned(), value });
}

/// Whole milliseconds since the start of the world.
fn millis(at: Moment) -> u64 {
    at.0 / 1_000_000
}
