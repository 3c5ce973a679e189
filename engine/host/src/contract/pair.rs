//! Promises about pairs of peers.

use super::role::{MAX_FRAME, PeerRole, Role};
use super::{Stage, marks, refusals, ups_and_downs};
use crate::world::World;
use dstream_trace::{NodeName, TraceLine};
use std::time::Duration;

/// The nodes of a cluster. The middle one is dialled by the last and dials the first.
const NODES: [&str; 3] = ["a", "b", "c"];

/// Every ordered pair.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    NODES
        .into_iter()
        .flat_map(|one| NODES.into_iter().filter(move |other| *other != one).map(move |other| (one, other)))
}

fn start_cluster(stage: &mut Stage<'_>) {
    for node in NODES {
        stage.start(node, Role::Peer(PeerRole::new(&NODES)));
    }
    stage.until("all pairs are up", |lines| pairs().all(|(one, other)| is_up(lines, one, other).is_some()));
}

/// The incarnation under which `node` sees `other` up now.
fn is_up(lines: &[TraceLine], node: &str, other: &str) -> Option<u64> {
    ups_and_downs(lines, node, other).last().filter(|(up, _)| *up).map(|(_, incarnation)| *incarnation)
}

/// What the log and the node itself saw of each pair: ups and downs alternate, the lives of the peer never go back,
/// and every change reached the node.
fn check_laws(stage: &mut Stage<'_>) {
    stage.run(Duration::from_millis(50));
    for (one, other) in pairs() {
        stage.check("Up and Down alternate and lives never go back", |lines| {
            let mut expect_up = true;
            let mut latest = 0;
            let restarts = own_starts(lines, one);
            // A new life of the node itself begins with nothing up, wherever the old one ended.
            let changes = ups_and_downs(lines, one, other);
            let mut breaks = 0;
            for (up, incarnation) in changes {
                if up && !expect_up {
                    breaks += 1;
                    expect_up = true;
                }
                if up != expect_up || incarnation < latest {
                    return false;
                }
                (expect_up, latest) = (!up, incarnation);
            }
            breaks < restarts.max(1)
        });
        stage.check("the node heard of every change of its own lives", |lines| {
            let changes = ups_and_downs(lines, one, other);
            let heard =
                marks(lines, one, &format!("up {other}")).len() + marks(lines, one, &format!("down {other}")).len();
            // The last change of a life may reach nobody any more.
            heard <= changes.len() && heard + own_starts(lines, one) > changes.len()
        });
    }
}

fn own_starts(lines: &[TraceLine], node: &str) -> usize {
    use dstream_trace::Event::NodeStarted;
    let started = |line: &&TraceLine| line.node.as_str() == node && matches!(line.event, NodeStarted { .. });
    lines.iter().filter(started).count()
}

/// A peer that says nothing for the silence is down; one that is heard again comes up again.
pub fn a_silent_peer_goes_down(world: &mut dyn World) {
    let mut stage = Stage { world };
    start_cluster(&mut stage);
    let b = NodeName::new("b");
    stage.world.pause(&b).expect("the world pauses a node");
    stage.until("the others find it silent", |lines| {
        is_up(lines, "a", "b").is_none() && is_up(lines, "c", "b").is_none()
    });
    stage.world.resume(&b).expect("the world resumes a node");
    let length = stage.length();
    stage.until("all are up again", |lines| {
        pairs().all(|(one, other)| is_up(lines, one, other) == Some(1))
            && is_up(&lines[length..], "b", "a").is_some()
            && is_up(&lines[length..], "b", "c").is_some()
    });
    check_laws(&mut stage);
}

/// A crash takes both pairs of a node down; its next life comes up with its next incarnation.
pub fn a_restarted_peer_comes_up_in_its_next_life(world: &mut dyn World) {
    let mut stage = Stage { world };
    start_cluster(&mut stage);
    let b = NodeName::new("b");
    for life in 2..=3 {
        stage.world.crash(&b).expect("the world crashes a node");
        stage.until("the others see it go down", |lines| {
            is_up(lines, "a", "b").is_none() && is_up(lines, "c", "b").is_none()
        });
        stage.world.restart(&b).expect("the world restarts a node");
        stage.until("the others see its next life", |lines| {
            is_up(lines, "a", "b") == Some(life) && is_up(lines, "c", "b") == Some(life)
        });
    }
    check_laws(&mut stage);
}

/// A node that died and came back unheard behind a cut is found: the survivors' old connections are silent, and the
/// new ones lead to its next life.
pub fn a_half_open_connection_is_found_and_replaced(world: &mut dyn World) {
    let mut stage = Stage { world };
    start_cluster(&mut stage);
    let b = NodeName::new("b");
    let others = [NodeName::new("a"), NodeName::new("c")];
    for other in &others {
        stage.world.cut(&b, other).expect("the world cuts");
        stage.world.cut(other, &b).expect("the world cuts");
    }
    stage.world.crash(&b).expect("the world crashes a node");
    stage.world.restart(&b).expect("the world restarts a node");
    stage.run(Duration::from_millis(50));
    for other in &others {
        stage.world.heal(&b, other).expect("the world heals");
        stage.world.heal(other, &b).expect("the world heals");
    }
    stage.until("the survivors find its next life", |lines| {
        is_up(lines, "a", "b") == Some(2) && is_up(lines, "c", "b") == Some(2)
    });
    check_laws(&mut stage);
}

/// A cut takes a pair down on both sides although both live; a heal brings it up again, in the same lives.
pub fn a_healed_cut_is_redialled(world: &mut dyn World) {
    let mut stage = Stage { world };
    start_cluster(&mut stage);
    let (a, b) = (NodeName::new("a"), NodeName::new("b"));
    stage.world.cut(&a, &b).expect("the world cuts");
    stage.world.cut(&b, &a).expect("the world cuts");
    stage.until("both see the other go down", |lines| {
        is_up(lines, "a", "b").is_none() && is_up(lines, "b", "a").is_none()
    });
    stage.run(Duration::from_millis(500));
    stage.check("it stays down", |lines| is_up(lines, "a", "b").is_none() && is_up(lines, "b", "a").is_none());
    stage.world.heal(&a, &b).expect("the world heals");
    stage.world.heal(&b, &a).expect("the world heals");
    stage.until("both see the other come up", |lines| {
        is_up(lines, "a", "b") == Some(1) && is_up(lines, "b", "a") == Some(1)
    });
    check_laws(&mut stage);
}

/// A frame above the receiver's limit is refused with its word and ends the pair, which comes up again.
pub fn an_oversized_frame_ends_the_connection(world: &mut dyn World) {
    let mut stage = Stage { world };
    let b = NodeName::new("b");
    stage.start("a", Role::Peer(PeerRole { sends: Some((b, 2000)), ..PeerRole::new(&["a", "b"]) }));
    stage.start("b", Role::Peer(PeerRole { max_frame: 1000, ..PeerRole::new(&["a", "b"]) }));
    stage.until("the frame is refused", |lines| refusals(lines, "b", "frame-too-long") >= 1);
    stage.until("the pair comes up again", |lines| {
        let changes = ups_and_downs(lines, "b", "a");
        changes.starts_with(&[(true, 1), (false, 1), (true, 1)])
    });
    stage.check("nothing of it arrived", |lines| marks(lines, "b", "message").is_empty());
}

/// A request is answered, or ends with the reason: no answer in time, or a broken pair.
pub fn requests_end_with_an_answer_or_a_reason(world: &mut dyn World) {
    let mut stage = Stage { world };
    let nodes = ["good", "slow", "asks-good", "asks-slow"];
    let asks = |whom: &str| PeerRole { asks: Some(NodeName::new(whom)), ..PeerRole::new(&nodes) };
    stage.start("good", Role::Peer(PeerRole::new(&nodes)));
    stage.start("slow", Role::Peer(PeerRole { answers: false, ..PeerRole::new(&nodes) }));
    stage.start("asks-good", Role::Peer(asks("good")));
    stage.start("asks-slow", Role::Peer(asks("slow")));
    stage.until("answers come", |lines| marks(lines, "asks-good", "answered").len() >= 3);
    stage.until("deadlines pass", |lines| marks(lines, "asks-slow", "late").len() >= 3);
    stage.world.crash(&NodeName::new("slow")).expect("the world crashes a node");
    stage.until("what waits is broken", |lines| !marks(lines, "asks-slow", "broken").is_empty());
    stage.check("no answer came from nowhere", |lines| {
        marks(lines, "asks-slow", "answered").is_empty()
            && marks(lines, "asks-good", "answered wrongly").is_empty()
            && marks(lines, "asks-good", "broken").is_empty()
    });
}

/// Long and short messages of one lane arrive once each, whole and in order.
pub fn messages_of_a_lane_keep_their_order(world: &mut dyn World) {
    let mut stage = Stage { world };
    let nodes = ["a", "b", "c"];
    let sends = |bytes| PeerRole { sends: Some((NodeName::new("a"), bytes)), ..PeerRole::new(&nodes) };
    stage.start("a", Role::Peer(PeerRole::new(&nodes)));
    stage.start("b", Role::Peer(PeerRole { sends: Some((NodeName::new("c"), MAX_FRAME)), ..PeerRole::new(&nodes) }));
    stage.start("c", Role::Peer(sends(8)));
    for node in ["a", "c"] {
        stage.until("messages arrive", |lines| marks(lines, node, "message").len() >= 5);
        stage.check("in order, each once", |lines| {
            let messages = marks(lines, node, "message");
            messages.iter().copied().eq(0..messages.len() as u64)
        });
    }
}
