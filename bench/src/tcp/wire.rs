//! What the driver and a node's process say to each other over the node's standard input and output.
//!
//! A frame is a length of four bytes, little-endian, and so many bytes of the message. Knows no process. Invariant: a
//! frame that was cut short, as by SIGKILL, is the end of what was said and no error; a frame that makes no sense is one.
//!
//! ```text
//! driver --orders--> standard input  of `dstream node`
//! driver <--words--- standard output of `dstream node`
//! ```

use crate::store::StorePlace;
use dstream_host::NodeSpec;
use dstream_host::real::Compute;
use dstream_host::shape::StoreTrouble;
use dstream_trace::{Event, Moment, NodeName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest frame, in bytes: the event of the longest result that peers can hand over, and room for its names.
const MAX_FRAME_BYTES: usize = 80 << 20;

/// What the driver tells a node's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Listen, and say where. The first order.
    Prepare(Preparation),
    /// Be this node. The second order.
    Begin(Box<Beginning>),
    /// From now on another node is found here.
    Enter {
        /// Which.
        node: NodeName,
        /// Where.
        address: SocketAddr,
    },
    /// Cut what one node sends to the other, or end that.
    SetCut {
        /// The sender.
        from: NodeName,
        /// The receiver.
        to: NodeName,
        /// Whether it is cut from now on.
        cut: bool,
    },
    /// Messages between the two wait, or no longer.
    SetHeld {
        /// One.
        one: NodeName,
        /// The other.
        other: NodeName,
        /// Whether they wait from now on.
        held: bool,
    },
    /// Messages between the two are under way for longer.
    SetDelay {
        /// One.
        one: NodeName,
        /// The other.
        other: NodeName,
        /// By how much; zero ends it.
        by: Duration,
    },
    /// Work takes so many times as long.
    SlowCpu {
        /// How many times.
        factor: f64,
    },
    /// Transfers of the network card take so many times as long.
    SlowNic {
        /// How many times.
        factor: f64,
    },
    /// This and nothing else is wrong with the durable store.
    TroubleStore {
        /// What.
        trouble: StoreTrouble,
    },
    /// Hand on what others need of the node, then end by itself.
    Leave,
    /// Say what is left to say and end.
    Stop,
}

/// What a process needs to know before it knows its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    /// The driver's process: whoever has another parent has been left alone.
    pub driver: u32,
    /// When the world's time began, on the machine's monotonic clock, in nanoseconds.
    pub began_ns: u64,
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
}

/// A node, in its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The node.
    pub spec: NodeSpec,
    /// Counts its processes from 1.
    pub incarnation: u64,
    /// The run's seed.
    pub seed: u64,
    /// What its cores do.
    pub compute: Compute,
    /// Where all nodes listen.
    pub addresses: Vec<(NodeName, SocketAddr)>,
    /// Modelled bandwidth of the node's network card in each direction; none: the machine's own.
    pub bits_per_second: Option<u64>,
    /// What is wrong with the node and its links just now.
    pub standing: Vec<Order>,
    /// The durable store.
    pub store: StoreOrder,
}

/// The durable store: its place, and how far away it is to seem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOrder {
    /// Where it is.
    pub place: StorePlace,
    /// One way.
    pub latency: Duration,
    /// Of each node's connection to it, in each direction.
    pub bits_per_second: u64,
}

/// What a node's process tells the driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// It listens here.
    Listening(SocketAddr),
    /// Something happened, at this node or between it and another.
    Happened {
        /// When.
        at: Moment,
        /// Where.
        node: NodeName,
        /// What.
        event: Event,
    },
    /// The node failed, or cannot begin.
    Failed(String),
    /// The node was done: this is its last word.
    Done,
}

/// Appends the message to `bytes` as a frame.
pub fn append(message: &impl Serialize, bytes: &mut impl Extend<u8>) {
    let body = postcard::to_stdvec(message).expect("orders and words are plain data");
    let length = u32::try_from(body.len()).expect("whatever peers can send fits the length field");
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
}

/// Reads the next message. `None` at the end, also where the last frame was cut short. Fails with `InvalidData` when
/// the bytes make no sense.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if !fill(from, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
    }
    let mut body = Vec::new();
    // Memory grows with what arrives, not with what was announced.
    from.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Ok(None);
    }
    let message = postcard::from_bytes(&body);
    message.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("a frame is garbled: {error}")))
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_trace::{BlockName, Purpose, RecordRange, Rows, TaskName};

    fn orders() -> Vec<Order> {
        let node = NodeName::worker(1);
        let spec =
            NodeSpec { name: node.clone(), role: "dstream".into(), config: vec![1, 2], cores: 2, harness: false };
        let address: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let store =
            StoreOrder { place: StorePlace::Folder("a".into()), latency: Duration::from_millis(5), bits_per_second: 7 };
        vec![
            Order::Prepare(Preparation { driver: 1, began_ns: 2, listen: address }),
            Order::Begin(Box::new(Beginning {
                spec,
                incarnation: 2,
                seed: 3,
                compute: Compute::Modelled,
                addresses: vec![(node.clone(), address)],
                bits_per_second: Some(1_000_000_000),
                standing: vec![Order::SlowNic { factor: 2.0 }],
                store,
            })),
            Order::Enter { node: node.clone(), address },
            Order::SetCut { from: node.clone(), to: NodeName::new("sink"), cut: true },
            Order::SetHeld { one: node.clone(), other: NodeName::new("sink"), held: false },
            Order::SetDelay { one: node.clone(), other: NodeName::new("sink"), by: Duration::from_millis(3) },
            Order::SlowCpu { factor: 8.0 },
            Order::TroubleStore { trouble: StoreTrouble { is_full: true, ..StoreTrouble::default() } },
            Order::Leave,
            Order::Stop,
        ]
    }

    fn words() -> Vec<Word> {
        let range = RecordRange { client: 1, first: 0, last: 9 };
        let task = TaskName { interval: 1, stage: 0, partition: 3, attempt: 0 };
        let block = BlockName { origin: 1, epoch: 2, number: 3 };
        let node = NodeName::worker(3);
        let events = vec![
            Event::TaskFailed { task, why: "fenced".into() },
            Event::ConnectionRefused { why: "hello-late".into() },
            Event::FrameSent { to: node.clone(), purpose: Purpose::Copy, bytes: 1 << 40 },
            Event::BlockLost { block, ranges: vec![range], interval: None },
            Event::WorkStretched { factor: 1.5 },
            Event::ResultVisible {
                output: "counts".into(),
                interval: 1,
                partition: 0,
                of: 4,
                from: node.clone(),
                epoch: 1,
                rows: Rows(vec![1, 2, 3].into()),
            },
        ];
        let happened = |event| Word::Happened { at: Moment(7), node: node.clone(), event };
        let listening = Word::Listening("127.0.0.1:4000".parse().unwrap());
        [listening, Word::Failed("why".into()), Word::Done]
            .into_iter()
            .chain(events.into_iter().map(happened))
            .collect()
    }

    fn bytes<T: Serialize>(messages: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| append(message, &mut bytes));
        bytes
    }

    fn all<T: DeserializeOwned>(mut bytes: &[u8]) -> Vec<T> {
        std::iter::from_fn(|| read(&mut bytes).unwrap()).collect()
    }

    #[test]
    fn what_is_said_is_heard() {
        assert_eq!(all::<Order>(&bytes(&orders())), orders());
        assert_eq!(all::<Word>(&bytes(&words())), words());
    }

    #[test]
    fn what_is_cut_short_anywhere_is_heard_up_to_the_last_whole_frame() {
        let (all_bytes, words) = (bytes(&words()), words());
        for end in 0..all_bytes.len() {
            let heard = all::<Word>(&all_bytes[..end]);
            assert_eq!(heard, words[..heard.len()]);
            assert!(heard.len() < words.len());
        }
    }

    #[test]
    fn nonsense_is_an_error_and_costs_no_memory() {
        let check = |bytes: &[u8]| {
            let mut from = bytes;
            assert_eq!(read::<Word>(&mut from).unwrap_err().kind(), ErrorKind::InvalidData, "{bytes:?}");
        };
        check(&[255, 255, 255, 255, 0]);
        check(&[1, 0, 0, 0, 99]);
        check(&[0, 0, 0, 0]);
        // Announced, but not sent.
        assert_eq!(read::<Word>(&mut &[0, 0, 0, 4, 1][..]).unwrap(), None);
    }
}
