//! Messages: a small header and a large body in one payload, and the messages that all engines share.
//!
//! Layout of a payload: `body | header (postcard) | length of the header (u32, little endian)`. The header stands last so
//! that a sender that has filled a buffer with records appends it without moving them, and a receiver slices the body out
//! without a copy. Invariant: `open(seal(body, header)) == (header, body)`, and `open` never panics on any bytes.

use bytes::Bytes;
use dstream_trace::{NodeName, RecordRange};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The payload is not a message of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the payload is not a message of the expected kind")]
pub struct MessageError;

const LENGTH_BYTES: usize = 4;

/// Appends `header` to `body`.
pub fn seal(mut body: Vec<u8>, header: &impl Serialize) -> Bytes {
    let header = postcard::to_stdvec(header).expect("messages are plain data, which postcard always encodes");
    let length = u32::try_from(header.len()).expect("a header is far below 4 GiB");
    body.reserve_exact(header.len() + LENGTH_BYTES);
    body.extend_from_slice(&header);
    body.extend_from_slice(&length.to_le_bytes());
    Bytes::from(body)
}

/// Splits a payload into header and body.
pub fn open<H: DeserializeOwned>(payload: &Bytes) -> Result<(H, Bytes), MessageError> {
    let without_length = payload.len().checked_sub(LENGTH_BYTES).ok_or(MessageError)?;
    let length: [u8; LENGTH_BYTES] = payload[without_length..].try_into().map_err(|_| MessageError)?;
    let body = without_length.checked_sub(u32::from_le_bytes(length) as usize).ok_or(MessageError)?;
    let header = postcard::from_bytes(&payload[body..without_length]).map_err(|_| MessageError)?;
    Ok((header, payload.slice(..body)))
}

/// From a client to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromClient {
    /// Records; the body holds the lines.
    Records(Batch),
    /// (interval, end): no record from number `end` on belongs to this interval or to one before it, and all before `end`
    /// do. Only engines that close their intervals by punctuation are told.
    Punctuations(Vec<(u64, u64)>),
    /// To a new master: these records were acknowledged. It names those of them that nobody has any more.
    Acknowledged(Vec<RecordRange>),
    /// What this client knows of the cluster, and what of it is acknowledged. Said before anything that follows from it.
    View {
        /// The newest [`ToClient::Places`] that it has heard.
        version: u64,
        /// source -> of the records that go there, all before this number are acknowledged
        acked_below: Vec<(u32, u64)>,
    },
    /// To a master: results of intervals below this number are where they outlive the sink. Said where that is waited for.
    Written {
        /// The number.
        below: u64,
    },
}

/// Records of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Which records; never across the border of two intervals.
    pub range: RecordRange,
    /// The interval in which the last of them was due.
    pub interval: u64,
}

/// To a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// From a receiver: as many nodes as promised hold these records.
    Held(Vec<RecordRange>),
    /// From a master, where there may be several: it leads from now on; words of one of an earlier term are not to be heard.
    Lead {
        /// Counts the masters.
        term: u64,
    },
    /// From the master: the workers that take records now.
    Members(Vec<NodeName>),
    /// From the master, when the client's connection opens and when there are more: these records of its are held or in
    /// results.
    Known(Vec<RecordRange>),
    /// From the master or a node: who holds the records that go to each source, in the order of the sources.
    Places {
        /// Later ones are greater.
        version: u64,
        /// A record is held when all of them have it.
        holders: Vec<Vec<NodeName>>,
    },
    /// From a node: these records were not taken. It takes such from clients that have heard of this version or a later one.
    Refused {
        /// The records.
        ranges: Vec<RecordRange>,
        /// Of [`ToClient::Places`].
        least: u64,
    },
    /// From the master: the client may read so many records, and no more.
    Quota {
        /// Records moved in 1000 s, of this client.
        in_1000_s: u64,
    },
    /// From the master: whoever keeps what is acknowledged is asked for none of its records before this number again.
    Released {
        /// The number.
        below: u64,
    },
    /// From the master: all results up to and including this interval are committed.
    Done {
        /// The interval.
        interval: u64,
    },
}

/// A request to a client that keeps what it sent: these records of its, once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendAgain(pub Vec<RecordRange>);

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentAgain {
    /// Here they are: the body holds the lines.
    Lines {
        /// Length of each range's.
        lengths: Vec<u64>,
    },
    /// Some of them are not here: a client that was started again has not read them yet.
    Missing,
}

/// To the sink: requests, and running results as messages. Rows are the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSink {
    /// Commit the result of one partition.
    Result(ResultName),
    /// Rows that show these records, before their interval's result; nothing is kept of them.
    Running {
        /// The output's name.
        output: String,
        /// The partition.
        partition: u32,
        /// The records.
        ranges: Vec<RecordRange>,
    },
    /// Rows that a result would have if no more input came: it is late. The result itself follows.
    Tentative(ResultName),
    /// Refuse results of this worker under this and older epochs from now on.
    Fence {
        /// The worker.
        worker: NodeName,
        /// Its last epoch.
        epoch: u64,
        /// Say which results of it are visible, from this interval on.
        since: u64,
    },
}

/// Which result, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultName {
    /// The output's name.
    pub output: String,
    /// The interval.
    pub interval: u64,
    /// The partition, from 0.
    pub partition: u32,
    /// How many partitions make the output of the interval whole.
    pub of: u32,
    /// The sender's membership epoch.
    pub epoch: u64,
    /// A digest of which given-up input the result lacks, in its interval or through its state; 0: nothing. Results are
    /// comparable byte for byte only where this is equal.
    pub lacks: u64,
}

/// A result that is visible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VisibleResult {
    /// The interval.
    pub interval: u64,
    /// The output's name.
    pub output: String,
    /// The partition.
    pub partition: u32,
}

/// The sink's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSink {
    /// The result is visible, now or since an earlier attempt.
    Done,
    /// The fence stands. These results of the fenced worker are visible and need not be computed again.
    Fenced(Vec<VisibleResult>),
    /// The sender is fenced.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_and_its_body_is_not_copied() {
        let batch = Batch { range: RecordRange { client: 1, first: 5, last: 9 }, interval: 3 };
        let payload = seal(b"a\nb\n".to_vec(), &batch);
        let (header, body): (Batch, Bytes) = open(&payload).unwrap();
        assert_eq!((header, &body[..]), (batch, &b"a\nb\n"[..]));
        assert_eq!(body.as_ptr(), payload.as_ptr());
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        for bytes in [&b""[..], b"abc", b"\xff\xff\xff\xff", b"\x00\x01\x00\x00\x00", b"xx\x02\x00\x00\x00\x09"] {
            assert_eq!(open::<Batch>(&Bytes::copy_from_slice(bytes)).map(|_| ()), Err(MessageError), "{bytes:?}");
        }
    }
}
