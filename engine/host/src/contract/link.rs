//! Promises about what a world does between nodes without losing anything, and about a node without power.

use super::role::{PERIOD, PeerRole, Role, SILENCE};
use super::{Stage, marks, ups_and_downs};
use crate::world::{World, WorldError};
use dstream_trace::{Event, Moment, NodeName, Purpose, TraceLine};
use std::time::Duration;

/// An outage below the silence of a connection, and many periods long.
const OUTAGE: Duration = Duration::from_millis(200);

/// A delay below the silence of a connection, far above any latency.
const LATE: Duration = Duration::from_millis(100);

/// What timers and clocks of a real machine may be apart.
const NEAR: Duration = Duration::from_millis(2);

/// A slow card's factor: a message of [`LARGE`] bytes then takes a tenth of a second at a gigabit.
const SLOW: f64 = 100.0;

/// Bytes of a message that a card takes a millisecond for at a gigabit.
const LARGE: usize = 125_000;

/// `a` sends numbered messages of so many bytes to `b`.
fn start_pair<'w>(world: &'w mut dyn World, bytes: usize) -> (Stage<'w>, NodeName, NodeName) {
    let mut stage = Stage { world };
    let (a, b) = (NodeName::new("a"), NodeName::new("b"));
    let nodes = ["a", "b"];
    stage.start("a", Role::Peer(PeerRole { sends: Some((b.clone(), bytes)), ..PeerRole::new(&nodes) }));
    stage.start("b", Role::Peer(PeerRole::new(&nodes)));
    stage.until("messages arrive", |lines| !marks(lines, "b", "message").is_empty());
    (stage, a, b)
}

fn messages(lines: &[TraceLine]) -> u64 {
    marks(lines, "b", "message").len() as u64
}

fn in_order(lines: &[TraceLine]) -> bool {
    marks(lines, "b", "message").into_iter().eq(0..messages(lines))
}

/// When each message was sent, and when it arrived, for those that arrived.
fn trips(lines: &[TraceLine]) -> Vec<(Moment, Moment)> {
    let times = |node: &str, is: fn(&Event) -> bool| -> Vec<Moment> {
        lines.iter().filter(|line| line.node.as_str() == node && is(&line.event)).map(|line| line.at).collect()
    };
    let sent = times("a", |event| matches!(event, Event::FrameSent { purpose: Purpose::Input, .. }));
    let arrived = times("b", |event| matches!(event, Event::FrameDelivered { purpose: Purpose::Input, .. }));
    sent.into_iter().zip(arrived).collect()
}

/// During an outage nothing arrives and nothing breaks; at its end everything arrives, in order.
pub fn an_outage_holds_messages_until_it_ends(world: &mut dyn World) {
    let (mut stage, a, b) = start_pair(world, 8);
    stage.world.hold(&a, &b).expect("the world holds messages");
    // What was handed over in that moment may still be recorded.
    stage.run(Duration::from_millis(20));
    let before = stage.look(messages);
    stage.run(OUTAGE);
    stage.check("nothing arrives", |lines| messages(lines) == before);
    stage.check("the log says that messages wait", |lines| {
        lines.iter().any(|line| line.node == a && line.event == Event::MessageHeld { to: b.clone() })
    });
    stage.world.release(&a, &b).expect("the world ends it");
    let periods = u64::try_from(OUTAGE.as_millis() / PERIOD.as_millis()).expect("an outage is short") / 2;
    stage.until("what waited arrives", |lines| messages(lines) > before + periods);
    stage.check("in order, none missing", in_order);
    stage.check("the pair stayed up", |lines| ups_and_downs(lines, "b", "a").len() == 1);
}

/// An outage that is longer than the silence takes the pair down; afterwards it comes up again.
pub fn a_long_outage_ends_with_a_new_connection(world: &mut dyn World) {
    let (mut stage, a, b) = start_pair(world, 8);
    stage.world.hold(&a, &b).expect("the world holds messages");
    stage.run(SILENCE + OUTAGE);
    stage.until("both see the other go down", |lines| {
        [("a", "b"), ("b", "a")]
            .iter()
            .all(|(one, other)| ups_and_downs(lines, one, other).last().is_some_and(|(up, _)| !up))
    });
    stage.world.release(&a, &b).expect("the world ends it");
    let before = stage.look(messages);
    stage.until("messages arrive again", |lines| messages(lines) > before + 3);
}

/// Delayed messages are late by the delay, in order, and none is missing; afterwards they are not late any more.
pub fn a_delay_makes_messages_late(world: &mut dyn World) {
    let (mut stage, a, b) = start_pair(world, 8);
    stage.world.delay(&a, &b, LATE).expect("the world delays messages");
    let since = stage.world.now();
    let late = |lines: &[TraceLine]| trips(lines).into_iter().filter(|(sent, _)| *sent > since).collect::<Vec<_>>();
    stage.until("late messages arrive", |lines| late(lines).len() >= 5);
    stage.check("none comes early", |lines| {
        late(lines).iter().all(|(sent, arrived)| arrived.since(*sent) + NEAR >= LATE)
    });
    stage.check("the log says so", |lines| {
        lines.iter().any(|line| line.node == a && line.event == Event::MessageDelayed { to: b.clone() })
    });
    stage.world.delay(&a, &b, Duration::ZERO).expect("the world ends it");
    let (ended, before) = (stage.world.now(), stage.look(messages));
    stage.until("messages go on", |lines| messages(lines) > before + 10);
    stage.check("in order, none missing", in_order);
    stage.until("some is in time again", |lines| {
        trips(lines).iter().any(|(sent, arrived)| *sent > ended && arrived.since(*sent) < LATE / 2)
    });
    stage.check("the pair stayed up", |lines| ups_and_downs(lines, "b", "a").len() == 1);
}

/// Large messages through a slow card take a multiple of their time, and the log says so.
pub fn a_slow_card_stretches_transfers(world: &mut dyn World) {
    let (mut stage, a, _) = start_pair(world, LARGE);
    let stretched = |lines: &[TraceLine]| {
        lines.iter().filter(|line| line.node == a && line.event == Event::TransferStretched { factor: SLOW }).count()
    };
    stage.check("nothing is stretched", |lines| stretched(lines) == 0);
    stage.world.slow_nic(&a, SLOW).expect("the world slows a network card");
    let before = stage.look(messages);
    let since = stage.world.now();
    stage.until("slow messages arrive", |lines| stretched(lines) == 1 && messages(lines) >= before + 4);
    stage.world.slow_nic(&a, 1.0).expect("the world ends it");
    let least = Duration::from_millis(90) * 2;
    stage.check("they took their time", |lines| {
        let after: Vec<Moment> = trips(lines).iter().map(|(_, arrived)| *arrived).filter(|at| *at > since).collect();
        // The first may have been under way already; of the next three two gaps lie between them.
        after.get(3).is_some_and(|fourth| fourth.since(after[1]) >= least)
    });
    let count = stage.look(messages);
    stage.until("messages go on", |lines| messages(lines) > count + 5);
    stage.check("nothing more is stretched", |lines| stretched(lines) == 1);
    stage.check("in order, none missing", in_order);
}

/// A node that loses its power says nothing to anybody: its streams do not end, connects to it hang. Its peers find out
/// by its silence, and find its next life.
pub fn a_power_loss_is_silent(world: &mut dyn World) {
    let mut stage = Stage { world };
    let (b, nodes) = (NodeName::new("b"), ["a", "b"]);
    let mute = NodeName::new("mute");
    stage.start("mute", Role::Mute);
    stage.start("caller", Role::Caller(mute.clone()));
    stage.start("a", Role::Peer(PeerRole::new(&nodes)));
    stage.start("b", Role::Peer(PeerRole::new(&nodes)));
    stage.until("streams are open", |lines| {
        !marks(lines, "caller", "written").is_empty()
            && !marks(lines, "mute", "accepted").is_empty()
            && !ups_and_downs(lines, "a", "b").is_empty()
    });
    for node in [&mute, &b] {
        stage.world.power_loss(node).expect("the world takes a node's power");
    }
    let lost = stage.world.now();
    stage.start("late", Role::Caller(mute.clone()));
    stage.until("its peer finds it silent", |lines| ups_and_downs(lines, "a", "b").len() == 2);
    stage.until("connects hang", |lines| marks(lines, "late", "no answer").len() >= 2);
    stage.check("no stream ended, no connect was refused", |lines| {
        marks(lines, "caller", "ended").is_empty()
            && marks(lines, "late", "refused").is_empty()
            && marks(lines, "late", "connected").is_empty()
    });
    stage.check("it was silence that told", |lines| {
        let down = |line: &&TraceLine| {
            line.node.as_str() == "a" && line.at > lost && matches!(line.event, Event::PeerDown { .. })
        };
        // Half of the silence is more than any closed connection needs to show.
        lines.iter().find(down).is_some_and(|line| line.at.since(lost) >= SILENCE / 2)
    });
    stage.check("the log has the end of the process", |lines| {
        lines.iter().any(|line| line.node == b && line.event == Event::ProcessEnded)
    });
    assert!(matches!(stage.world.power_loss(&b), Err(WorldError::BadNode(_))), "it has no power already");
    stage.world.restart(&b).expect("the world restarts a node");
    stage.until("its peer finds its next life", |lines| ups_and_downs(lines, "a", "b").last() == Some(&(true, 2)));
}
