//! Input that is had again from its clients: they keep what they sent, the journal says which records are in which block.
//!
//! Where clients let go what is acknowledged, they still have what is not, and can be asked for that.
//!
//! Knows no journal and no master. To ledger, tracker and tasks the clients of a block are one more holder of it, as a log
//! is, with a number that no worker has. Invariant: a block that is read again has the records that its interval has from it
//! in their order, and no others: what came in another block is in nobody's way, and its client may have let it go.

use crate::log::LOG;
use crate::message::{BlockOrder, BlockReport};
use crate::worker::{HeldBlock, TaskContext};
use bytes::Bytes;
use dstream_cluster::layout::Role;
use dstream_cluster::message::{SendAgain, SentAgain, open, seal};
use dstream_trace::{Purpose, RecordRange};
use std::collections::BTreeMap;

/// An answer may take so many deadlines: all that two workers had is asked of few clients at once, and waits at their
/// network cards. Whether a client is there its connection tells much sooner.
const DEADLINES: u32 = 8;

/// The clients among the holders of a block, where they keep what they sent. Workers are counted from 1.
pub const CLIENTS: u32 = u32::MAX;

/// The clients of a block that was put into an interval while it lacked copies, before anybody told them that it is held:
/// they have its records until somebody does.
pub const UNTOLD_CLIENTS: u32 = CLIENTS - 1;

/// Whether the holder is none of the workers, and is not lost with them.
pub fn is_beyond_workers(holder: u32) -> bool {
    holder == LOG || is_clients(holder)
}

/// Whether the holder stands for the clients of a block.
pub fn is_clients(holder: u32) -> bool {
    holder == CLIENTS || holder == UNTOLD_CLIENTS
}

/// Why clients have not sent a block again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// One of them does not answer.
    Silent,
    /// One of them does not have the records.
    Missing,
}

/// Has the clients of a block send its records again.
pub async fn send_again(context: &TaskContext, order: &BlockOrder, interval: u64) -> Result<HeldBlock, NotSent> {
    let mut by_client: BTreeMap<u32, Vec<RecordRange>> = BTreeMap::new();
    for range in &order.ranges {
        by_client.entry(range.client).or_default().push(*range);
    }
    let ask = |(client, ranges): (u32, Vec<RecordRange>)| {
        let question = seal(Vec::new(), &SendAgain(ranges));
        let (declared, deadline) = (question.len() as u64, context.deadline * DEADLINES);
        let to = Role::Client(client).name();
        (client, context.peers.request(&to, Purpose::Recovery, question, declared, deadline))
    };
    // All are asked before the first has answered.
    let asked: Vec<_> = by_client.into_iter().map(ask).collect();
    let mut answers = BTreeMap::new();
    for (client, answer) in asked {
        let answer = answer.await.map_err(|_| NotSent::Silent)?;
        answers.insert(client, lines_of(&answer).ok_or(NotSent::Missing)?);
    }
    block_of(order, interval, answers).ok_or(NotSent::Missing)
}

/// The lines of each range that was asked for, the first one last.
fn lines_of(answer: &Bytes) -> Option<Vec<Bytes>> {
    let (SentAgain::Lines { lengths }, mut body) = open(answer).ok()? else { return None };
    let mut take = |length: &u64| {
        let length = usize::try_from(*length).ok().filter(|length| *length <= body.len())?;
        Some(body.split_to(length))
    };
    let lines: Option<Vec<Bytes>> = lengths.iter().map(&mut take).collect();
    lines.map(|lines| lines.into_iter().rev().collect())
}

/// The block of what clients have answered.
fn block_of(order: &BlockOrder, interval: u64, mut answers: BTreeMap<u32, Vec<Bytes>>) -> Option<HeldBlock> {
    let next = |range: &RecordRange| answers.get_mut(&range.client)?.pop();
    let segments: Vec<Bytes> = order.ranges.iter().map(next).collect::<Option<_>>()?;
    let bytes = segments.iter().map(|segment| segment.len() as u64).sum();
    let report = BlockReport { name: order.name, interval, ranges: order.ranges.clone(), bytes, holders: Vec::new() };
    Some(HeldBlock { report, segments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_trace::BlockName;

    fn order(ranges: &[(u32, u64, u64)]) -> BlockOrder {
        let range =
            |(client, first, last): &(u32, u64, u64)| RecordRange { client: *client, first: *first, last: *last };
        BlockOrder {
            name: BlockName { origin: 1, epoch: 2, number: 3 },
            holders: vec![CLIENTS],
            skip: Vec::new(),
            ranges: ranges.iter().map(range).collect(),
        }
    }

    fn answer(lines: &[&str]) -> Vec<Bytes> {
        let lengths = lines.iter().map(|lines| lines.len() as u64).collect();
        lines_of(&seal(lines.concat().into_bytes(), &SentAgain::Lines { lengths })).unwrap()
    }

    #[test]
    fn a_block_has_its_records_in_the_order_in_which_it_had_them() {
        let order = order(&[(1, 0, 1), (2, 7, 7), (1, 5, 5)]);
        let answers = [(1, answer(&["a\nb\n", "f\n"])), (2, answer(&["z\n"]))];
        let held = block_of(&order, 4, answers.into()).unwrap();
        assert_eq!(held.segments, ["a\nb\n", "z\n", "f\n"]);
        assert_eq!((held.report.name, held.report.interval, held.report.bytes), (order.name, 4, 8));
        assert_eq!(held.report.ranges, order.ranges);
    }

    #[test]
    fn what_is_no_answer_makes_no_block() {
        assert!(lines_of(&seal(Vec::new(), &SentAgain::Missing)).is_none());
        assert!(lines_of(&seal(b"a\n".to_vec(), &SentAgain::Lines { lengths: vec![3] })).is_none());
        assert!(lines_of(&Bytes::from_static(b"?")).is_none());
        assert!(block_of(&order(&[(1, 0, 0), (1, 2, 2)]), 0, [(1, answer(&["a\n"]))].into()).is_none());
    }
}
