//! Hello: what the two sides of a new connection tell each other, and the fixed words with which one is refused.
//!
//! Knows no socket. Invariant: a hello of another protocol version is recognised as such, whatever else it carries.

use super::{Lane, PeerConfig};
use crate::frame::{Frame, Kind};
use bytes::Bytes;
use dstream_trace::NodeName;
use serde::{Deserialize, Serialize};

/// Changes with the frames, the hello, and what they mean.
pub const PROTOCOL_VERSION: u16 = 1;

/// Longest payload of a hello or a refusal, in bytes: a stranger may make this node allocate no more.
pub const HELLO_LIMIT: usize = 1024;

/// What a side says when a connection opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who speaks.
    pub name: NodeName,
    /// Which life of it.
    pub incarnation: u64,
    /// The dialer's count of its dials to this peer; both connections of a pair carry the same. Answered as it came.
    pub session: u64,
    /// Which of the two connections.
    pub lane: Lane,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    cluster: u64,
    fingerprint: u64,
    name: NodeName,
    incarnation: u64,
    session: u64,
    data: bool,
}

impl Hello {
    /// The frame that says it.
    pub fn to_frame(&self, config: &PeerConfig) -> Frame {
        let wire = Wire {
            cluster: config.cluster,
            fingerprint: config.fingerprint,
            name: self.name.clone(),
            incarnation: self.incarnation,
            session: self.session,
            data: self.lane == Lane::Data,
        };
        let bytes = postcard::to_extend(&wire, PROTOCOL_VERSION.to_le_bytes().to_vec())
            .expect("numbers and a name are always encoded");
        Frame::control(Kind::Hello, Bytes::from(bytes))
    }

    /// What the other side says; the fixed word if this node must not talk with it.
    pub fn from_frame(frame: &Frame, config: &PeerConfig) -> Result<Hello, &'static str> {
        if frame.kind == Kind::Refusal {
            return Err("hello-refused-by-peer");
        }
        if frame.kind != Kind::Hello {
            return Err("hello-expected");
        }
        let Some((version, rest)) = frame.payload.split_first_chunk::<2>() else { return Err("hello-malformed") };
        if u16::from_le_bytes(*version) != PROTOCOL_VERSION {
            return Err("hello-version-differs");
        }
        let wire: Wire = postcard::from_bytes(rest).map_err(|_| "hello-malformed")?;
        if wire.cluster != config.cluster {
            return Err("hello-cluster-differs");
        }
        if wire.fingerprint != config.fingerprint {
            return Err("hello-fingerprint-differs");
        }
        if !config.talks_to.contains(&wire.name) {
            return Err("hello-node-unknown");
        }
        let lane = if wire.data { Lane::Data } else { Lane::Control };
        Ok(Hello { name: wire.name, incarnation: wire.incarnation, session: wire.session, lane })
    }
}

/// The frame that refuses a connection.
pub fn refusal(why: &'static str) -> Frame {
    Frame::control(Kind::Refusal, Bytes::from_static(why.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config() -> PeerConfig {
        let nodes = vec![NodeName::new("a"), NodeName::new("b")];
        PeerConfig {
            talks_to: nodes.clone(),
            nodes,
            cluster: 1,
            fingerprint: 2,
            silence: Duration::from_secs(1),
            connect_deadline: Duration::from_secs(1),
            max_frame: 1000,
            max_queued: 1000,
        }
    }

    fn hello(name: &str) -> Hello {
        Hello { name: NodeName::new(name), incarnation: 3, session: 4, lane: Lane::Data }
    }

    #[test]
    fn a_hello_comes_back_as_it_was() {
        let frame = hello("b").to_frame(&config());
        assert_eq!(Hello::from_frame(&frame, &config()), Ok(hello("b")));
        assert!(frame.payload.len() < HELLO_LIMIT);
    }

    #[test]
    fn strangers_are_refused_with_their_word() {
        let changed = |change: fn(&mut PeerConfig)| {
            let mut config = config();
            change(&mut config);
            hello("b").to_frame(&config)
        };
        let mut version = hello("b").to_frame(&config()).payload.to_vec();
        version[0] += 1;
        let cases = [
            (Frame::control(Kind::Message, Bytes::new()), "hello-expected"),
            (Frame::control(Kind::Hello, Bytes::from_static(&[1])), "hello-malformed"),
            (Frame::control(Kind::Hello, Bytes::from_static(&[1, 0, 255])), "hello-malformed"),
            (Frame::control(Kind::Hello, version.into()), "hello-version-differs"),
            (changed(|config| config.cluster = 9), "hello-cluster-differs"),
            (changed(|config| config.fingerprint = 9), "hello-fingerprint-differs"),
            (hello("stranger").to_frame(&config()), "hello-node-unknown"),
            (refusal("hello-session-old"), "hello-refused-by-peer"),
        ];
        for (frame, word) in cases {
            assert_eq!(Hello::from_frame(&frame, &config()), Err(word));
        }
    }
}
