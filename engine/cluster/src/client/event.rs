//! What happens to a client, and what it does.
//!
//! Knows neither how it decides nor how bytes travel.

use crate::message::FromClient;
use dstream_trace::{Event, Moment, NodeName, RecordRange};

/// What happens to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The source gave these records.
    Batch {
        /// Which.
        range: RecordRange,
        /// When the first was due.
        first_due: Moment,
        /// When the last was due.
        last_due: Moment,
    },
    /// The source is at its end.
    SourceEnded,
    /// A connection to the worker is open.
    Up(NodeName),
    /// The connection to the worker broke.
    Down(NodeName),
    /// The connection to the master that leads broke. Until one says who takes records, nobody acknowledges any.
    LeaderGone,
    /// The master says which workers take records.
    Members(Vec<NodeName>),
    /// An earlier life of this client sent these records, and they are held.
    Known(Vec<RecordRange>),
    /// The source gave records that are known as one batch: they may be asked for again.
    ReadAgain(RecordRange),
    /// Nobody asks again for records before this number.
    Released {
        /// The number.
        below: u64,
    },
    /// A node says that the records are held.
    Held {
        /// The node.
        by: NodeName,
        /// The records.
        ranges: Vec<RecordRange>,
    },
    /// A node did not take the records: it takes such from clients that have heard of these places or of later ones.
    Refused {
        /// The node.
        by: NodeName,
        /// The records.
        ranges: Vec<RecordRange>,
        /// The version of the places.
        least: u64,
    },
    /// No further record of this interval or an earlier one will come; the next record's number is `end`.
    Punctuation {
        /// The interval.
        interval: u64,
        /// The number of the first record of the next interval.
        end: u64,
    },
    /// Who holds the records of each source now.
    Places {
        /// Later ones are greater.
        version: u64,
        /// By source.
        holders: Vec<Vec<NodeName>>,
    },
    /// All results up to and including this interval are visible.
    Done {
        /// The interval.
        interval: u64,
    },
    /// A send was not taken; the batch is still here.
    NotSent {
        /// The batch, by its first record.
        first: u64,
        /// To whom it was to go.
        to: NodeName,
    },
    /// What was sent to the node at this time or later has not left yet. Comes before a tick, and holds for that one alone.
    Queued {
        /// The node.
        to: NodeName,
        /// Since when the oldest batch waits.
        since: Moment,
        /// When the one before it left.
        moved: Moment,
    },
    /// Time passed.
    Tick,
}

/// What a client does.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAction {
    /// Send the batch that begins with record `first`.
    Send {
        /// The batch.
        first: u64,
        /// To whom.
        to: NodeName,
        /// It is a further copy, beside one for another node.
        is_copy: bool,
    },
    /// The batch is acknowledged and released: its bytes may go.
    Forget {
        /// The batch.
        first: u64,
    },
    /// Say this to a node.
    Tell {
        /// To whom.
        to: NodeName,
        /// What.
        word: FromClient,
    },
    /// Record an event.
    Record(Event),
}
