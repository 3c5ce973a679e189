//! Promises about streams and about who may open them.

use super::role::{PeerRole, Role};
use super::{Stage, marks, refusals, ups_and_downs};
use crate::frame::{Frame, Kind};
use crate::peer::hello::HELLO_LIMIT;
use crate::world::World;
use bytes::Bytes;
use dstream_trace::NodeName;
use std::time::Duration;

/// A connect to a crashed node never succeeds: it is refused, or its caller's deadline passes.
pub fn a_dead_host_never_answers(world: &mut dyn World) {
    let mut stage = Stage { world };
    let dead = NodeName::new("dead");
    stage.start("dead", Role::Mute);
    stage.run(Duration::from_millis(50));
    stage.world.crash(&dead).expect("the world crashes a node");
    stage.start("caller", Role::Caller(dead));
    stage.until("two connects fail", |lines| {
        marks(lines, "caller", "refused").len() + marks(lines, "caller", "no answer").len() >= 2
    });
    stage.check("no connect succeeds", |lines| marks(lines, "caller", "connected").is_empty());
}

/// A peer learns that a process ended, although that process had not read all that was sent to it.
pub fn a_crash_ends_streams_with_unread_data(world: &mut dyn World) {
    let mut stage = Stage { world };
    let mute = NodeName::new("mute");
    stage.start("mute", Role::Mute);
    stage.start("caller", Role::Caller(mute.clone()));
    stage.until("the stream is open and written", |lines| {
        !marks(lines, "caller", "written").is_empty() && !marks(lines, "mute", "accepted").is_empty()
    });
    stage.run(Duration::from_millis(50));
    stage.check("the stream goes on", |lines| marks(lines, "caller", "ended").is_empty());
    stage.world.crash(&mute).expect("the world crashes a node");
    stage.until("the stream ends", |lines| !marks(lines, "caller", "ended").is_empty());
}

/// Bytes that are no hello are refused with their fixed word, and harm no pair that is up.
pub fn strangers_are_refused_with_their_word(world: &mut dyn World) {
    let mut stage = Stage { world };
    let nodes = ["a", "b"];
    stage.start("a", Role::Peer(PeerRole::new(&nodes)));
    stage.start("b", Role::Peer(PeerRole { asks: Some(NodeName::new("a")), ..PeerRole::new(&nodes) }));
    stage.until("the pair is up", |lines| !ups_and_downs(lines, "a", "b").is_empty());
    let message = Frame::control(Kind::Message, Bytes::from_static(b"some payload")).to_bytes().to_vec();
    let mut corrupt = message.clone();
    *corrupt.last_mut().expect("a frame has bytes") ^= 1;
    let mut oversized = message.clone();
    oversized[0..4].copy_from_slice(&(HELLO_LIMIT as u32 + 1).to_le_bytes());
    let cases = [
        ("hello-expected", message),
        ("frame-checksum-differs", corrupt),
        ("frame-too-long", oversized),
        ("frame-not-marked", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("hello-late", b"short".to_vec()),
    ];
    for (word, bytes) in cases {
        stage.start(word, Role::Stranger(NodeName::new("a"), bytes));
        stage.until(word, |lines| refusals(lines, "a", word) >= 1 && !marks(lines, word, "ended").is_empty());
    }
    let answered = stage.look(|lines| marks(lines, "b", "answered").len());
    stage.until("the pair still works", |lines| marks(lines, "b", "answered").len() > answered);
}

/// Of the hellos of one node, those of an older life or an older dial are refused; those of a newer one end the pair
/// and make a new one.
pub fn older_lives_are_refused_and_newer_ones_replace(world: &mut dyn World) {
    let mut stage = Stage { world };
    stage.start("a", Role::Peer(PeerRole::new(&["a", "b"])));
    // (incarnation, session): new; older life; older dial of the same life; newer dial; newer life.
    let hellos = vec![(5, 3), (4, 9), (5, 2), (5, 4), (6, 1)];
    stage.start("b", Role::Forger(NodeName::new("a"), hellos));
    stage.until("all hellos are answered", |lines| !marks(lines, "b", "done").is_empty());
    stage.check("new ones are accepted", |lines| marks(lines, "b", "accepted") == [5, 5, 5, 5, 6, 6]);
    stage.check("old ones are refused", |lines| marks(lines, "b", "turned away") == [4, 4, 5, 5]);
    stage.check("an older life has its word", |lines| refusals(lines, "a", "hello-incarnation-old") == 2);
    stage.check("an older dial has its word", |lines| refusals(lines, "a", "hello-session-old") >= 1);
    stage.until("ups and downs alternate", |lines| {
        let seen: Vec<u64> = marks(lines, "a", "up b");
        seen == [5, 5, 6]
    });
    stage.check("each newer one ends the pair first", |lines| {
        let changes = ups_and_downs(lines, "a", "b");
        changes.starts_with(&[(true, 5), (false, 5), (true, 5), (false, 5), (true, 6)])
    });
}
