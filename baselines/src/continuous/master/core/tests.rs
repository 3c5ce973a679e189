//! Behind which interval a heir would begin, by what hosts say.

use super::*;
use crate::continuous::master::plan::Heir;
use dstream_cluster::detector::Detector;
use std::num::NonZeroU64;

const NOW: Moment = Moment::from_millis(100);
const HEARTBEAT: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(500);

/// Of a node for each host; the only partition runs at all of them.
fn limits(hosts: u32, border: Border) -> MasterLimits {
    MasterLimits {
        names: (1..=hosts).map(NodeName::worker).collect(),
        partitions: 1,
        redundancy: Redundancy { workers: 1, hosts, copies: hosts, standbys: 0, heir: Heir::Many, border },
        reach: Some(1),
        clients: 1,
        cut: Cut::Runs { records: NonZeroU64::MIN, sources: 1, period: Duration::from_millis(10) },
        sends_alike: true,
        failure_timeout: TIMEOUT,
        most_behind: None,
        most_waiting: 2,
    }
}

/// Which intervals each host has closed, and passed on; what nodes are told to forget in the end.
#[track_caller]
fn check(border: Border, said: &[(u64, u64)], safe: Option<u64>) {
    let hosts: Vec<NodeNumber> = (1..).take(said.len()).collect();
    let limits = limits(hosts[hosts.len() - 1], border);
    let mut master = Master::new(limits, Box::new(Detector::new(HEARTBEAT, TIMEOUT)));
    let hears = |master: &mut Master, node, word| {
        let mut actions = Vec::new();
        master.step(NOW, MasterEvent::Word { node, incarnation: 1, word }, &mut actions);
        actions
    };
    hosts.iter().for_each(|node| drop(hears(&mut master, *node, ToMaster::Join { incarnation: 1, epoch: None })));
    let mut trimmed = None;
    for (node, (closed, passed_on)) in hosts.iter().zip(said) {
        let since = master.assignment.as_ref().expect("all have come").version;
        let (closed, passed_on) = (Some(*closed), Some(*passed_on));
        let of = Progress { partition: 0, since, is_running: true, sealed: closed, closed, passed_on, saved: Some(1) };
        let epoch = master.members[node];
        for action in hears(&mut master, *node, ToMaster::Progress { epoch, of: vec![of] }) {
            if let MasterAction::Tell(_, FromMaster::Trim { safe, .. }) = action {
                trimmed = trimmed.max(safe);
            }
        }
    }
    assert_eq!(trimmed, safe, "{border:?}, {said:?}");
}

#[test]
fn a_heir_begins_behind_what_every_host_has_closed_and_handed_in() {
    check(Border::Closed, &[(7, 7)], Some(7));
    check(Border::Closed, &[(7, 4)], Some(4));
    check(Border::Closed, &[(7, 4), (6, 6)], Some(4));
    check(Border::Closed, &[(7, 7), (6, 6)], Some(6));
}

#[test]
fn where_state_is_stored_or_made_again_its_border_counts() {
    check(Border::Saved { every: 2 }, &[(7, 4)], Some(1));
    check(Border::Replayed { reach: Some(3) }, &[(7, 5)], Some(2));
    check(Border::Replayed { reach: None }, &[(7, 5)], None);
}
