//! The contract of a world, kept by the real one.

use dstream_host::real::{MemoryStore, RealWorld};
use dstream_trace::SharedTrace;
use std::sync::Arc;

fn world() -> RealWorld {
    RealWorld::new(dstream_host::contract::node_start(), 1, SharedTrace::new(), Arc::new(MemoryStore::new()))
        .with_bandwidth(1_000_000_000)
}

fn keep(promise: &str) {
    let (_, check) = dstream_host::contract::ALL.iter().find(|(name, _)| *name == promise).expect("listed");
    check(&mut world());
}

/// One test a promise, and one that no promise is forgotten.
macro_rules! promises {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                keep(stringify!($name));
            }
        )*

        #[test]
        fn every_promise_has_its_test() {
            let listed: Vec<&str> = dstream_host::contract::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(listed, [$(stringify!($name)),*]);
        }
    };
}

promises! {
    a_dead_host_never_answers
    a_crash_ends_streams_with_unread_data
    a_pause_holds_timers_and_messages
    slow_cores_stretch_work
    faults_on_unknown_nodes_are_refused
    a_failed_node_ends_the_run
    a_panicking_node_ends_the_run
    a_silent_peer_goes_down
    a_restarted_peer_comes_up_in_its_next_life
    a_half_open_connection_is_found_and_replaced
    a_healed_cut_is_redialled
    an_oversized_frame_ends_the_connection
    strangers_are_refused_with_their_word
    requests_end_with_an_answer_or_a_reason
    messages_of_a_lane_keep_their_order
    older_lives_are_refused_and_newer_ones_replace
    an_outage_holds_messages_until_it_ends
    a_long_outage_ends_with_a_new_connection
    a_delay_makes_messages_late
    a_slow_card_stretches_transfers
    a_power_loss_is_silent
    a_troubled_store_refuses_or_waits
    a_node_comes_late_and_leaves_when_asked
    a_disk_goes_with_its_process
}
