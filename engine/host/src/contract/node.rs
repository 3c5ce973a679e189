//! Promises about what a world does to a node.

use super::role::{PERIOD, PeerRole, Role};
use super::{Stage, marks, millis, ups_and_downs};
use crate::shape::{STORE, StoreTrouble};
use crate::world::{World, WorldError};
use dstream_trace::{Event, NodeName, TraceLine};
use std::time::Duration;

/// Long enough for every message that is on its way to arrive and for every event to be recorded.
const SETTLE: Duration = Duration::from_millis(60);

/// A pause below the silence of a connection, and many periods long.
const PAUSE: Duration = Duration::from_millis(200);

/// A slow core's factor: far above any noise of a busy machine.
const SLOW: f64 = 40.0;

fn events_of(lines: &[TraceLine], node: &str) -> usize {
    let own = |line: &&TraceLine| line.node.as_str() == node && line.event != Event::HeldByPause;
    lines.iter().filter(own).count()
}

/// A paused node does nothing; afterwards its overdue timers fire and what was sent to it meanwhile arrives.
pub fn a_pause_holds_timers_and_messages(world: &mut dyn World) {
    let mut stage = Stage { world };
    let (ticker, b) = (NodeName::new("ticker"), NodeName::new("b"));
    let nodes = ["a", "b"];
    stage.start("ticker", Role::Ticker);
    stage.start("a", Role::Peer(PeerRole { sends: Some((b.clone(), 8)), ..PeerRole::new(&nodes) }));
    stage.start("b", Role::Peer(PeerRole::new(&nodes)));
    stage.until("messages arrive", |lines| !marks(lines, "b", "message").is_empty());
    for node in [&ticker, &b] {
        stage.world.pause(node).expect("the world pauses a node");
    }
    // What was under way in the moment of the pause may still be recorded.
    stage.run(Duration::from_millis(5));
    let count = |lines: &[TraceLine]| events_of(lines, "ticker") + events_of(lines, "b");
    let before = stage.look(count);
    let sent = stage.look(|lines| marks(lines, "b", "message").len()) as u64;
    stage.run(PAUSE);
    stage.check("a paused node does nothing", |lines| count(lines) == before);
    let held = |lines: &[TraceLine], node: &NodeName| {
        lines.iter().any(|line| line.node == *node && line.event == Event::HeldByPause)
    };
    stage.check("the log says that they were held", |lines| held(lines, &ticker) && held(lines, &b));
    let resumed = millis(stage.world.now());
    for node in [&ticker, &b] {
        stage.world.resume(node).expect("the world resumes a node");
    }
    stage.until("overdue timers fire, on a clock that went on", |lines| {
        marks(lines, "ticker", "tick").last().is_some_and(|tick| *tick >= resumed)
    });
    let periods = u64::try_from(PAUSE.as_millis() / PERIOD.as_millis()).expect("a pause is short") / 2;
    stage.until("what was sent meanwhile arrives, in order", |lines| {
        let messages = marks(lines, "b", "message");
        messages.len() as u64 > sent + periods && messages.iter().copied().eq(0..messages.len() as u64)
    });
    stage.check("the pair stayed up", |lines| ups_and_downs(lines, "b", "a").len() == 1);
}

/// Work on slow cores takes a multiple of its time, and the log says so; at full speed it does not.
pub fn slow_cores_stretch_work(world: &mut dyn World) {
    let mut stage = Stage { world };
    let worker = NodeName::new("worker");
    let worked = |lines: &[TraceLine]| marks(lines, "worker", "worked");
    let stretched = |lines: &[TraceLine]| {
        lines.iter().filter(|line| matches!(line.event, Event::WorkStretched { factor } if factor == SLOW)).count()
    };
    stage.start("worker", Role::Worker);
    stage.until("work is done", |lines| worked(lines).len() >= 4);
    stage.check("nothing is stretched", |lines| stretched(lines) == 0);
    let normal = stage.look(|lines| worked(lines).into_iter().min()).expect("work was done");
    stage.world.slow_cpu(&worker, SLOW).expect("the world slows a core");
    stage.until("slow work is done", |lines| {
        stretched(lines) >= 1 && worked(lines).iter().any(|took| *took > 5 * normal)
    });
    stage.world.slow_cpu(&worker, 1.0).expect("the world ends it");
    stage.run(SETTLE);
    let count = stage.look(|lines| worked(lines).len());
    stage.until("work goes on", |lines| worked(lines).len() >= count + 3);
    let still = stage.look(stretched);
    stage.until("work goes on", |lines| worked(lines).len() >= count + 6);
    stage.check("nothing more is stretched", |lines| stretched(lines) == still);
}

/// A full store can be read, a failing one not even that; one in an outage answers when that ends, a late one late. It all
/// ends, and the log says what was met.
pub fn a_troubled_store_refuses_or_waits(world: &mut dyn World) {
    let mut stage = Stage { world };
    let keeper = NodeName::new("keeper");
    stage.start("keeper", Role::Keeper);
    let last = |lines: &[TraceLine], name: &str| marks(lines, "keeper", name).last().copied();
    let is = |lines: &[TraceLine], stored: u64, read: u64| {
        (last(lines, "stored"), last(lines, "read")) == (Some(stored), Some(read))
    };
    stage.until("the store is used", |lines| is(lines, 1, 1));
    let says = |lines: &[TraceLine], event: &Event| lines.iter().filter(|line| line.event == *event).count();
    let none = StoreTrouble::default();
    for (trouble, read, why) in [
        (StoreTrouble { is_full: true, ..none }, 1, "disk-full"),
        (StoreTrouble { is_failing: true, ..none }, 0, "disk-error"),
    ] {
        stage.world.trouble_store(&keeper, trouble).expect("the world troubles a store");
        stage.until("it is refused", |lines| is(lines, 0, read));
        stage.run(4 * PERIOD);
        let failed = Event::StoreFailed { why: why.into() };
        stage.check("the log says so once", |lines| says(lines, &failed) == 1);
        stage.world.trouble_store(&keeper, none).expect("the world ends it");
        stage.until("all is well", |lines| is(lines, 1, 1));
    }
    stage.world.trouble_store(&keeper, StoreTrouble { is_held: true, ..none }).expect("the world holds requests");
    let held = Event::MessageHeld { to: NodeName::new(STORE) };
    stage.until("the log says that a request waits", |lines| says(lines, &held) == 1);
    let before = stage.look(|lines| marks(lines, "keeper", "stored").len());
    stage.run(PAUSE);
    stage.check("nothing is answered", |lines| marks(lines, "keeper", "stored").len() <= before + 1);
    stage.world.trouble_store(&keeper, StoreTrouble { late: PERIOD, ..none }).expect("the world releases requests");
    stage.until("what waited is done", |lines| marks(lines, "keeper", "stored").len() > before + 2);
    let late = Event::MessageDelayed { to: NodeName::new(STORE) };
    stage.check("the log says that requests are late", |lines| says(lines, &late) == 1 && is(lines, 1, 1));
}

/// What a node keeps on its disk comes back until it is removed, and is gone with the node's process.
pub fn a_disk_goes_with_its_process(world: &mut dyn World) {
    let mut stage = Stage { world };
    let hoarder = NodeName::new("hoarder");
    stage.start("hoarder", Role::Hoarder);
    let lives = |lines: &[TraceLine]| marks(lines, "hoarder", "removed").len();
    stage.until("the disk is used", |lines| lives(lines) == 1);
    stage.world.crash(&hoarder).expect("the world crashes a node");
    stage.world.restart(&hoarder).expect("the world restarts a node");
    stage.until("its next life uses it, too", |lines| lives(lines) == 2);
    stage.check("what is put is kept", |lines| marks(lines, "hoarder", "kept") == [1, 1, 1, 1]);
    stage.check("what is removed is not", |lines| marks(lines, "hoarder", "removed") == [1, 1]);
    stage.check("a new life finds nothing", |lines| marks(lines, "hoarder", "found") == [0, 0]);
}

/// Faults on a node that is not there, or not in the right state, are errors and change nothing.
pub fn faults_on_unknown_nodes_are_refused(world: &mut dyn World) {
    let mut stage = Stage { world };
    let (ticker, nobody) = (NodeName::new("ticker"), NodeName::new("nobody"));
    stage.start("ticker", Role::Ticker);
    let refused = |result: Result<(), WorldError>| {
        assert!(matches!(result, Err(WorldError::BadNode(_))), "{result:?}");
    };
    refused(stage.world.crash(&nobody));
    refused(stage.world.restart(&nobody));
    refused(stage.world.pause(&nobody));
    refused(stage.world.cut(&ticker, &nobody));
    refused(stage.world.power_loss(&nobody));
    refused(stage.world.hold(&ticker, &nobody));
    refused(stage.world.release(&nobody, &ticker));
    refused(stage.world.delay(&ticker, &ticker, PAUSE));
    refused(stage.world.slow_nic(&nobody, 2.0));
    refused(stage.world.slow_cpu(&nobody, 2.0));
    refused(stage.world.trouble_store(&nobody, StoreTrouble::default()));
    refused(stage.world.restart(&ticker));
    stage.world.crash(&ticker).expect("the world crashes a node");
    refused(stage.world.crash(&ticker));
    stage.check("the log has the end of the process", |lines| {
        lines.iter().any(|line| line.node == ticker && line.event == Event::ProcessEnded)
    });
    stage.world.restart(&ticker).expect("the world restarts a node");
    let length = stage.length();
    stage.until("the node's next life goes on", |lines| !marks(&lines[length..], "ticker", "tick").is_empty());
    stage.check("lives are counted", |lines| {
        let started = |line: &TraceLine| match line.event {
            Event::NodeStarted { incarnation } => Some(incarnation),
            _ => None,
        };
        lines.iter().filter_map(started).eq([1, 2])
    });
}

/// A node that is only enrolled does not run before it is started; one that is asked to leave ends by itself, which is no
/// failure.
pub fn a_node_comes_late_and_leaves_when_asked(world: &mut dyn World) {
    let mut stage = Stage { world };
    let guest = NodeName::new("guest");
    stage.start("ticker", Role::Ticker);
    stage.enrol("guest", Role::Guest);
    stage.run(SETTLE);
    stage.check("it is not here yet", |lines| events_of(lines, "guest") == 0);
    assert!(!stage.world.runs(&guest));
    stage.world.restart(&guest).expect("the world starts a node that was enrolled");
    stage.until("it is here", |lines| !marks(lines, "guest", "here").is_empty());
    stage.check("this is its first life", |lines| {
        lines.iter().any(|line| line.node == guest && line.event == Event::NodeStarted { incarnation: 1 })
    });
    stage.run(SETTLE);
    assert!(stage.world.runs(&guest));
    stage.world.leave(&guest).expect("the world asks a node that runs");
    stage.until("it ends", |lines| lines.iter().any(|line| line.node == guest && line.event == Event::NodeEnded));
    stage.run(SETTLE);
    assert!(!stage.world.runs(&guest));
}

/// A node that returns an error ends the run, which says which node and why.
pub fn a_failed_node_ends_the_run(world: &mut dyn World) {
    let mut stage = Stage { world };
    stage.start("ticker", Role::Ticker);
    stage.start("failing", Role::Failing);
    let until = stage.world.now() + super::PATIENCE;
    let Err(WorldError::NodeFailed { node, why, .. }) = stage.world.run_until(until) else {
        panic!("the run went on\n{}", stage.tail());
    };
    assert_eq!((node.as_str(), why.as_str()), ("failing", "this node fails"));
}

/// A node that panics ends the run, which carries the panic's message.
pub fn a_panicking_node_ends_the_run(world: &mut dyn World) {
    let mut stage = Stage { world };
    stage.start("panicking", Role::Panicking);
    let until = stage.world.now() + super::PATIENCE;
    let Err(WorldError::NodeFailed { node, why, .. }) = stage.world.run_until(until) else {
        panic!("the run went on\n{}", stage.tail());
    };
    assert_eq!(node.as_str(), "panicking");
    assert!(why.contains("this node panics"), "{why}");
}
