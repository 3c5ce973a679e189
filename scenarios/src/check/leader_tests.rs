//! Who leads, and when another may.

use super::history::History;
use super::tests::{FINE, check};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName};

#[test]
fn whoever_leads_is_overtaken_only_where_it_or_the_store_was_hit() {
    for (hit, fault_ms, fine) in [
        (NodeName::new("master"), 2500, true),
        (NodeName::store(), 2500, true),
        (NodeName::worker(1), 2500, false),
        (NodeName::new("master"), 3500, false),
    ] {
        let mut history = History::calm(8);
        history.add(0, "master", Event::MasterElected { term: 1 });
        history.add(3000, "standby-1", Event::MasterElected { term: 2 });
        history.fault_of(0, fault_ms, "pause", hit, Effect::HeldByPause);
        let broken = if fine { "" } else { ", broken: who leads is not overtaken without a fault" };
        check(&history, &format!("{FINE}{broken}"));
    }
}

#[test]
fn a_leader_whose_process_ended_is_followed_however_late() {
    for (ended_ms, fine) in [(3500, true), (2500, false)] {
        let mut history = History::calm(20);
        history.add(ended_ms, "master", Event::ProcessEnded);
        history.fault_of(0, ended_ms, "crash", NodeName::new("master"), Effect::ProcessEnded);
        history.add(ended_ms + 200, "driver", Event::FaultEnded { fault: 0, node: NodeName::new("master") });
        history.add(3000, "master", Event::MasterElected { term: 1 });
        history.add(20_000, "standby-1", Event::MasterElected { term: 2 });
        let broken = if fine { "" } else { ", broken: who leads is not overtaken without a fault" };
        check(&history, &format!("{FINE}{broken}"));
    }
}
