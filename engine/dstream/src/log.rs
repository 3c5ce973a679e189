//! The input log: blocks in the durable store, where they outlive every worker.
//!
//! Knows keys and bytes, not when a block is written or let go. To master and workers the log is one more holder of a block,
//! with a number that no worker has. Invariants: an object is a whole block; only a master removes one, when its journal
//! says that nobody will read it again: a worker that let go of a block never knows whether an interval has it.

use crate::message::{BlockReport, Member};
use crate::worker::HeldBlock;
use bytes::Bytes;
use dstream_cluster::message::{open, seal};
use dstream_host::{Host, StoreError};
use dstream_trace::BlockName;
use tokio::task::JoinSet;

/// The log among the holders of a block. Workers are counted from 1.
pub const LOG: u32 = 0;

/// The log as a member: it is never lost, and never another.
pub const LOG_MEMBER: Member = Member { worker: LOG, epoch: 0 };

/// Blocks that are read at once where only what is in them is asked: enough to hide the way to a store, few enough that
/// their bytes do not count.
const READS_AT_ONCE: usize = 16;

/// What the keys of all blocks begin with.
pub const PREFIX: &str = "input/";

/// What the keys of the blocks begin with that a worker received under this epoch.
pub fn prefix_of(origin: Member) -> String {
    format!("{PREFIX}{:010}/{:020}/", origin.worker, origin.epoch)
}

/// The key of a block.
pub fn block_key(name: BlockName) -> String {
    format!("{}{:020}", prefix_of(Member { worker: name.origin, epoch: name.epoch }), name.number)
}

/// The block that a key names; nothing if it is no block's.
pub fn block_name(key: &str) -> Option<BlockName> {
    let mut parts = key.strip_prefix(PREFIX)?.split('/');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (origin, epoch, number) = (number()?, number()?, number()?);
    Some(BlockName { origin: u32::try_from(origin).ok()?, epoch, number })
}

/// A block as it stands in the log.
pub fn object_of(held: &HeldBlock) -> Bytes {
    let (lines, lengths) = held.joined();
    let holders = vec![LOG_MEMBER];
    seal(lines, &(BlockReport { holders, ..held.report.clone() }, lengths))
}

/// The block in an object; nothing if it is none.
fn block_of(object: &Bytes) -> Option<HeldBlock> {
    let ((report, lengths), lines) = open::<(BlockReport, Vec<u64>)>(object).ok()?;
    HeldBlock::from_joined(report, &lines, &lengths)
}

/// Reads a block.
///
/// # Errors
/// [`StoreError::Missing`] if it is not there, or is no block; others if the store does not give it now.
pub async fn read(host: &Host, name: BlockName) -> Result<HeldBlock, StoreError> {
    let key = block_key(name);
    let object = host.store.get(&key).await?;
    block_of(&object).ok_or(StoreError::Missing(key))
}

/// What the log holds under a prefix, but for blocks that are known already.
///
/// # Errors
/// Whatever the store says while it cannot be read.
pub async fn reports(
    host: &Host,
    prefix: &str,
    is_known: impl Fn(&BlockName) -> bool,
) -> Result<Vec<BlockReport>, StoreError> {
    let keys = host.store.list(prefix).await?;
    let names: Vec<BlockName> = keys.iter().filter_map(|key| block_name(key)).filter(|name| !is_known(name)).collect();
    let mut reports = Vec::new();
    for names in names.chunks(READS_AT_ONCE) {
        let mut reads = JoinSet::new();
        for name in names.iter().copied() {
            let host = host.clone();
            reads.spawn(async move { read(&host, name).await });
        }
        while let Some(Ok(read)) = reads.join_next().await {
            match read {
                Ok(held) => reports.push(held.report),
                Err(StoreError::Missing(_)) => {} // let go meanwhile
                Err(error) => return Err(error),
            }
        }
    }
    reports.sort_by_key(|report| report.name);
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_trace::RecordRange;

    const NAME: BlockName = BlockName { origin: 3, epoch: (1 << 32) + 7, number: 12 };

    #[test]
    fn a_key_names_its_block_and_stands_behind_its_origins_prefix() {
        assert_eq!(block_name(&block_key(NAME)), Some(NAME));
        assert!(block_key(NAME).starts_with(&prefix_of(Member { worker: 3, epoch: NAME.epoch })));
        assert!(!block_key(NAME).starts_with(&prefix_of(Member { worker: 3, epoch: 7 })));
        assert_eq!([block_name("input/3/x/1"), block_name("journal/0")], [None, None]);
    }

    #[test]
    fn a_block_comes_back_as_it_was_held_by_the_log_alone() {
        let ranges = vec![RecordRange { client: 1, first: 0, last: 1 }, RecordRange { client: 2, first: 5, last: 5 }];
        let holders = vec![Member { worker: 3, epoch: NAME.epoch }];
        let report = BlockReport { name: NAME, interval: 4, ranges, bytes: 9, holders };
        let segments = vec![Bytes::from_static(b"ab\ncd\n"), Bytes::from_static(b"ef\n")];
        let object = object_of(&HeldBlock { report: report.clone(), segments: segments.clone() });
        let found = block_of(&object).unwrap();
        assert_eq!((found.segments, found.report.holders), (segments, vec![LOG_MEMBER]));
        assert_eq!(found.report.ranges, report.ranges);
        assert!(block_of(&object.slice(..object.len() - 1)).is_none());
    }
}
