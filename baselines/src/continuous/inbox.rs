//! What one operator has received: duplicates dropped by position, gaps found by number, intervals closed when every writer
//! has closed them.
//!
//! Knows no rows. Invariant: of each writer an operator is given each element once, in order, and no element of an interval
//! after that interval's end; whatever of two feeds (of two replicas of a writer) comes first counts.
//!
//! ```text
//! element: other token ......... old      (a subscription that is over, or a host that is)
//!          number > expected ... gap      (something was not sent: subscribe again)
//!          position known ...... duplicate
//!          else ................ fresh -> applied, position moves on
//! ```

use crate::continuous::message::{NodeNumber, Position};
use dstream_trace::RecordRange;
use std::collections::BTreeMap;

/// What becomes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is applied.
    Fresh,
    /// It was applied before.
    Duplicate,
    /// Something before it is missing.
    Gap,
    /// It belongs to no present subscription.
    Old,
}

/// A subscription.
#[derive(Clone, Copy, Debug)]
struct Feed {
    token: u64,
    number: u64,
}

/// What was received of one writer.
#[derive(Clone, Debug, Default)]
struct Upstream {
    position: Position,
    feeds: BTreeMap<NodeNumber, Feed>,
}

/// What an operator has received, by writer's partition.
#[derive(Clone, Debug)]
pub struct Inbox {
    upstream: Vec<Upstream>,
    /// The interval that was given out to be closed last.
    closed: Option<u64>,
}

impl Inbox {
    /// An operator behind an interval, with so many writers.
    pub fn new(writers: u32, through: Option<u64>) -> Inbox {
        let position = Position { closed: through, records: BTreeMap::new() };
        let upstream = Upstream { position, feeds: BTreeMap::new() };
        Inbox { upstream: vec![upstream; writers as usize], closed: through }
    }

    /// Begins a subscription at a writer's host; returns what the writer must know.
    pub fn subscribe(&mut self, writer: u32, node: NodeNumber, token: u64) -> Position {
        let upstream = &mut self.upstream[writer as usize];
        upstream.feeds.insert(node, Feed { token, number: 0 });
        upstream.position.clone()
    }

    /// Ends the subscription at a node.
    pub fn unsubscribe(&mut self, writer: u32, node: NodeNumber) {
        if let Some(upstream) = self.upstream.get_mut(writer as usize) {
            upstream.feeds.remove(&node);
        }
    }

    /// Ends all subscriptions at a node.
    pub fn forget_node(&mut self, node: NodeNumber) {
        for upstream in &mut self.upstream {
            upstream.feeds.remove(&node);
        }
    }

    /// The token of the subscription at a node.
    pub fn token(&self, writer: u32, node: NodeNumber) -> Option<u64> {
        self.upstream[writer as usize].feeds.get(&node).map(|feed| feed.token)
    }

    /// Nodes at which there is a subscription for the writer.
    pub fn feeds(&self, writer: u32) -> impl Iterator<Item = NodeNumber> + '_ {
        self.upstream[writer as usize].feeds.keys().copied()
    }

    /// Judges an element and takes note of it.
    pub fn accept(
        &mut self,
        writer: u32,
        from: NodeNumber,
        (token, number): (u64, u64),
        interval: u64,
        records: Option<RecordRange>,
    ) -> Verdict {
        let Some(upstream) = self.upstream.get_mut(writer as usize) else { return Verdict::Old };
        let Some(feed) = upstream.feeds.get_mut(&from).filter(|feed| feed.token == token) else { return Verdict::Old };
        if feed.number != number {
            return Verdict::Gap;
        }
        feed.number += 1;
        let position = &mut upstream.position;
        if position.closed >= Some(interval) {
            return Verdict::Duplicate;
        }
        match records {
            None => position.closed = Some(interval),
            Some(range) if position.records.get(&range.client).is_some_and(|last| *last >= range.last) => {
                return Verdict::Duplicate;
            }
            Some(range) => drop(position.records.insert(range.client, range.last)),
        }
        Verdict::Fresh
    }

    /// (writer, the client's last record that was taken from it), where any was.
    pub fn taken(&self, client: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
        let last = move |upstream: &Upstream| upstream.position.records.get(&client).copied();
        (0u32..).zip(&self.upstream).filter_map(move |(writer, upstream)| Some((writer, last(upstream)?)))
    }

    /// (writer, the last interval that it has closed), where it has closed any.
    pub fn closed_by_writers(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (0u32..).zip(&self.upstream).filter_map(|(writer, upstream)| Some((writer, upstream.position.closed?)))
    }

    /// The next interval that every writer has closed, given out once.
    pub fn close(&mut self) -> Option<u64> {
        let next = self.closed.map_or(0, |closed| closed + 1);
        if self.received() >= Some(next) {
            self.closed = Some(next);
            return Some(next);
        }
        None
    }

    /// The interval that was given out to be closed last.
    pub fn closing(&self) -> Option<u64> {
        self.closed
    }

    /// The last interval that every writer has closed.
    pub fn received(&self) -> Option<u64> {
        self.upstream.iter().map(|upstream| upstream.position.closed).min().flatten()
    }
}
