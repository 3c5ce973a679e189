//! What the nodes of a continuous engine say to each other.
//!
//! Invariant: whatever carries the word of a partition's host carries, too, under which version of the assignment it became
//! that, or the token of the reader's subscription; so a word of an earlier host is known as such.

use crate::continuous::assignment::Assignment;
use dstream_trace::RecordRange;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A node by its number: workers from 1, then the heirs.
pub type NodeNumber = u32;

/// From a node to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// I want to be a member.
    Join {
        /// Counts this node's starts.
        incarnation: u64,
        /// The epoch under which it believes to be a member.
        epoch: Option<u64>,
    },
    /// I live.
    Heartbeat {
        /// Its epoch.
        epoch: u64,
        /// When, on its own clock.
        sent_ns: u64,
    },
    /// How far my partitions are, those that moved.
    Progress {
        /// Its epoch.
        epoch: u64,
        /// By partition.
        of: Vec<Progress>,
    },
    /// The input of these sources is whole here: everything that is acknowledged and may be needed again.
    Whole {
        /// Its epoch.
        epoch: u64,
        /// (source, the version under which it became a holder)
        of: Vec<(u32, u64)>,
    },
    /// What I was to copy of these partitions has not all come, and who ran them runs them no more. I wait for no more
    /// of it.
    Lacks {
        /// Its epoch.
        epoch: u64,
        /// (partition, the version under which it became a host)
        of: Vec<(u32, u64)>,
    },
    /// So much do I hold that nobody may be told before you know; and where clients said that intervals end.
    Holds {
        /// Its epoch.
        epoch: u64,
        /// By source and client.
        of: Vec<Holding>,
        /// client -> interval -> the number of the next interval's first record
        punctuations: BTreeMap<u32, BTreeMap<u64, u64>>,
    },
    /// What I have of a client that you ask about.
    ClientHeld {
        /// Its epoch.
        epoch: u64,
        /// The client.
        client: u32,
        /// The question's number.
        round: u64,
        /// The client is connected to me.
        is_connected: bool,
        /// (source whose input I hold, its first record that I lack)
        upto: Vec<(u32, u64)>,
        /// (source, the first record behind those of its that my operators have taken in, though who held them may be lost)
        taken: Vec<(u32, u64)>,
        /// No interval from this one on is sealed anywhere, as far as I know.
        open_from: u64,
        /// Where the client said that intervals end: interval -> the number of the next one's first record.
        punctuations: BTreeMap<u64, u64>,
    },
    /// My buffers are half full, and nothing is let go before states are saved.
    Filling {
        /// Its epoch.
        epoch: u64,
        /// The border that I was told of and had passed already.
        missed: Option<u64>,
    },
    /// A client that I turn away is connected to me.
    ClientBack {
        /// Its epoch.
        epoch: u64,
        /// The client.
        client: u32,
    },
}

/// From the master to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromMaster {
    /// You are a member under this epoch.
    Welcome {
        /// The epoch.
        epoch: u64,
    },
    /// I heard you: you are a member, and no other takes your place before a failure timeout after that.
    Lease {
        /// The epoch.
        epoch: u64,
        /// When the node said so, on its own clock.
        sent_ns: u64,
    },
    /// I know that you hold these.
    Noted {
        /// The epoch.
        epoch: u64,
        /// Of what you said, that which you said as the holder that I know you as.
        of: Vec<Holding>,
    },
    /// You are no member any more under this epoch: forget everything and join anew.
    Fenced {
        /// The epoch that is over.
        epoch: u64,
    },
    /// Who runs and holds what from now on.
    Assign(Assignment),
    /// Nobody will ask for anything through `safe` again, and all results through `visible` are.
    Trim {
        /// An interval.
        safe: Option<u64>,
        /// An interval.
        visible: Option<u64>,
    },
    /// Save the states of your partitions behind this interval, too: somebody's buffers fill.
    SaveAt {
        /// The interval.
        border: u64,
    },
    /// A client may be gone, or was started again: say what you have of it, and close no interval without its word.
    AskClient {
        /// The client.
        client: u32,
        /// Counts the questions; later ones replace earlier ones.
        round: u64,
    },
    /// Take nothing more of the client, fetch what you lack of its records before these ends, then say so.
    CloseClient {
        /// The client.
        client: u32,
        /// The question's number.
        round: u64,
        /// By source: the first record that nobody has, and who has all before it.
        ends: Vec<(u64, NodeNumber)>,
    },
    /// What became of the client.
    ClientIs {
        /// The client.
        client: u32,
        /// Where it stands.
        gate: Gate,
        /// That is asked anew just now: nothing is closed without its word, and nothing taken.
        is_asked: bool,
    },
}

/// How much a holder of a source's input has of a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The source.
    pub source: u32,
    /// The version under which the node became its holder.
    pub since: u64,
    /// The client.
    pub client: u32,
    /// What it has ends before this record.
    pub end: u64,
}

/// Where the life of a client ended, and what of its later words counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The question that led to it; later ones are greater.
    pub round: u64,
    /// By source: the first record that nobody had, that is in no sealed interval, and that a client which is gone cannot
    /// have counted as safe; nor is it in an operator, unless a client that is here sends it again.
    pub ends: Vec<u64>,
    /// Where the client had said that intervals end, all those that anybody knew.
    pub punctuations: BTreeMap<u64, u64>,
    /// Where it had said before it was gone that further intervals end, and which sources have all its records before that.
    /// To others some never came; their shares end by what did.
    pub borders: BTreeMap<u64, (u64, BTreeSet<u32>)>,
    /// What comes of it behind its ends belongs to this interval or to a later one.
    pub from: u64,
    /// Nothing more will come: its records end where `ends` say.
    pub is_ended: bool,
}

impl Gate {
    /// Where the client's records of a source ended.
    pub fn end(&self, source: u32) -> u64 {
        self.ends.get(source as usize).copied().unwrap_or(0)
    }

    /// Every source had all of the client's records before this one.
    pub fn whole_below(&self) -> u64 {
        self.ends.iter().copied().min().unwrap_or(0)
    }

    /// Where an interval ended, as the client had said, if the source had all of its records before that.
    pub fn border(&self, source: u32, interval: u64) -> Option<u64> {
        self.borders.get(&interval).filter(|(_, whole)| whole.contains(&source)).map(|(end, _)| *end)
    }

    /// Whether the interval is closed without the client's word, when its records before the end are through; intervals
    /// below `over` lie in the past.
    pub fn closes(&self, interval: u64, over: u64) -> bool {
        interval < self.from || (self.is_ended && interval < over)
    }

    /// Whether a punctuation of an earlier life says where the interval ended: not if some of its records never came.
    pub fn believes(&self, interval: u64, end: u64) -> bool {
        end <= self.whole_below() || (interval >= self.from && !self.is_ended)
    }
}

/// How far a partition is at one of its hosts. Numbers of intervals; `None`: not even interval 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The partition.
    pub partition: u32,
    /// The version of the assignment under which this host runs it.
    pub since: u64,
    /// Its state is restored and it takes in what comes.
    pub is_running: bool,
    /// Its source has sealed this interval.
    pub sealed: Option<u64>,
    /// Its source and its operators have closed this interval.
    pub closed: Option<u64>,
    /// Its results through this interval are visible, or with the operators behind it.
    pub passed_on: Option<u64>,
    /// Its state behind this interval is in the store.
    pub saved: Option<u64>,
}

/// From a node to another. Rows are in the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Send me these channels from here on.
    Subscribe(Vec<Subscription>),
    /// What I can send of a channel begins too late for you.
    TooOld {
        /// The channel's reader.
        reader: Reader,
        /// The channel's writer.
        writer: Writer,
        /// Of the subscription.
        token: u64,
    },
    /// Output of my operators; the rows are the body, in the order of the elements and their readers.
    Elements(Vec<Element>),
    /// I have worked off so many bytes of your elements.
    Credit {
        /// The bytes, as they were counted when they were sent.
        bytes: u64,
    },
    /// Send me what you hold of this source's input, from behind this interval on.
    FetchInput {
        /// The source.
        source: u32,
        /// The assignment's version that makes me ask: you take no batch of it any more from a client that knows only
        /// earlier ones.
        version: u64,
        /// What came before it is not asked for.
        after: Option<u64>,
    },
    /// A part of a source's input; the lines are the body.
    Input {
        /// The source.
        source: u32,
        /// The version under which it was asked for, or under which the receiver became a holder.
        version: u64,
        /// Records, their interval, and bytes of lines.
        batches: Vec<(RecordRange, u64, u64)>,
        /// client -> interval -> the number of the next interval's first record
        punctuations: BTreeMap<u32, BTreeMap<u64, u64>>,
        /// client -> what comes before this record is among these, was trimmed, or is nowhere
        floors: BTreeMap<u32, u64>,
        /// Nothing follows.
        is_last: bool,
    },
    /// Send me what you hold of a closed client's records for a source.
    FetchClient {
        /// The client.
        client: u32,
        /// The master's question because of which I ask.
        round: u64,
        /// The source.
        source: u32,
        /// From this record on.
        from: u64,
    },
    /// A part of them; the lines are the body.
    ClientInput {
        /// The client.
        client: u32,
        /// As asked.
        round: u64,
        /// The source.
        source: u32,
        /// Records, their interval, and bytes of lines.
        batches: Vec<(RecordRange, u64, u64)>,
        /// Nothing follows.
        is_last: bool,
    },
    /// Send me the state of a partition as it is at an interval's border, and its source's input from there on.
    FetchState {
        /// The partition.
        partition: u32,
        /// The version under which I am its host.
        version: u64,
    },
    /// What a stage of a partition made and readers may ask for; the rows are the body.
    Made {
        /// The partition.
        partition: u32,
        /// As asked.
        version: u64,
        /// The stage.
        stage: u32,
        /// Nobody asks for what came before this interval's end.
        after: Option<u64>,
        /// What was made, in order.
        entries: Vec<Made>,
    },
    /// A part of a partition's state; the panes are the body. Its input and what was made of it come before it.
    State {
        /// The partition.
        partition: u32,
        /// As asked.
        version: u64,
        /// The border: behind this interval.
        through: Option<u64>,
        /// What was made of the source's input is among what came before as far as this interval.
        mapped_through: Option<u64>,
        /// Names the given-up input that the state lacks; 0: none.
        lacks: u64,
        /// Results through this interval lack what came before the giver's border.
        mute_through: Option<u64>,
        /// The panes; the first may go on where the part before ended.
        panes: Vec<PaneHeader>,
        /// Nothing follows.
        is_last: bool,
    },
}

/// One step of an operator's output, kept for its readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its interval.
    pub interval: u64,
    /// The records that it comes from; `None`: the interval is closed.
    pub records: Option<RecordRange>,
    /// Names the given-up input that a closed interval lacks; 0: none.
    pub lacks: u64,
    /// (reader's partition, bytes of its rows)
    pub parts: Vec<(u32, u64)>,
}

/// Which operator writes a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Writer {
    /// Its stage; one that reads lines is run by the source.
    pub stage: u32,
    /// Its partition.
    pub partition: u32,
}

/// Which operator reads a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader {
    /// Its stage.
    pub stage: u32,
    /// Its partition.
    pub partition: u32,
}

/// How much of a channel its reader has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Everything through this interval.
    pub closed: Option<u64>,
    /// client -> of the intervals after that, everything up to this record
    pub records: BTreeMap<u32, u64>,
}

/// A reader asks for a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Who writes it.
    pub writer: Writer,
    /// Who reads it.
    pub reader: Reader,
    /// Names the subscription; elements carry it.
    pub token: u64,
    /// The assignment that the reader knew.
    pub version: u64,
    /// What the reader has.
    pub position: Position,
}

/// One step of a channel: rows of some records, or the end of an interval with what was made at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Who made it.
    pub writer: Writer,
    /// The interval.
    pub interval: u64,
    /// The records that the rows come from; `None`: the interval is closed, these rows are its last.
    pub records: Option<RecordRange>,
    /// Names the given-up input that a closed interval lacks; 0: none.
    pub lacks: u64,
    /// Who gets it: part after part of the body.
    pub to: Vec<Part>,
}

/// A reader's part of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The reader.
    pub reader: Reader,
    /// The subscription.
    pub token: u64,
    /// Counts the elements of the subscription from 0.
    pub number: u64,
    /// Bytes of its rows.
    pub bytes: u64,
}

/// A pane on its way or in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneHeader {
    /// The stage.
    pub stage: u32,
    /// Which of the stage's kept panes.
    pub kept: u32,
    /// The interval whose task left it.
    pub interval: u64,
    /// Its bytes.
    pub bytes: u64,
}
