//! The input log: blocks in the durable store, where they outlive every worker.
//!
//! Knows keys and bytes, not when a block is written or let go. To master and workers the log is one more holder of a block,
//! with a number that no worker has. Invariants: a block is there when its lines and its report are, so that a new master
//! need not read lines; only a master removes one, when its journal says that nobody will read it again: a worker that let
//! go of a block never knows whether an interval has it.

use crate::message::{BlockReport, Member};
use crate::worker::HeldBlock;
use bytes::Bytes;
use dstream_cluster::message::{open, seal};
use dstream_host::{Host, StoreError};
use dstream_trace::{BlockName, Event};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// The log among the holders of a block. Workers are counted from 1.
pub const LOG: u32 = 0;

/// The log as a member: it is never lost, and never another.
pub const LOG_MEMBER: Member = Member { worker: LOG, epoch: 0 };

/// Reports that are read, and blocks that are removed, at once: enough to hide the way to a store that takes a tenth of a
/// second while workers cut hundreds of blocks in one, few enough that their bytes do not count.
const AT_ONCE: usize = 64;

/// What the keys of all blocks' lines begin with.
const LINES: &str = "input/lines/";

/// What the keys of all blocks' reports begin with.
const REPORTS: &str = "input/reports/";

/// Below `part`, what the keys of the blocks begin with that a worker received under this epoch; or those of all.
fn prefix_of(part: &str, origin: Option<Member>) -> String {
    let folder = |origin: Member| format!("{part}{:010}/{:020}/", origin.worker, origin.epoch);
    origin.map_or_else(|| part.to_owned(), folder)
}

fn key_of(part: &str, name: BlockName) -> String {
    let origin = Member { worker: name.origin, epoch: name.epoch };
    format!("{}{:020}", prefix_of(part, Some(origin)), name.number)
}

/// The block that a key below `part` names; nothing if it is no block's.
fn block_name(part: &str, key: &str) -> Option<BlockName> {
    let mut parts = key.strip_prefix(part)?.split('/');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (origin, epoch, number) = (number()?, number()?, number()?);
    Some(BlockName { origin: u32::try_from(origin).ok()?, epoch, number })
}

/// A block as its lines stand in the log.
fn object_of(held: &HeldBlock) -> Bytes {
    let (lines, lengths) = held.joined();
    let holders = vec![LOG_MEMBER];
    seal(lines, &(BlockReport { holders, ..held.report.clone() }, lengths))
}

/// The block in an object; nothing if it is none.
fn block_of(object: &Bytes) -> Option<HeldBlock> {
    let ((report, lengths), lines) = open::<(BlockReport, Vec<u64>)>(object).ok()?;
    HeldBlock::from_joined(report, &lines, &lengths)
}

/// Writes a block, each of whose lines stands for `scale`.
///
/// # Errors
/// Whatever the store says: the block may then be there or not.
pub async fn write(host: &Host, held: &HeldBlock, scale: u64) -> Result<(), StoreError> {
    let name = held.report.name;
    let (lines, report) = (key_of(LINES, name), key_of(REPORTS, name));
    let said = seal(Vec::new(), &BlockReport { holders: vec![LOG_MEMBER], ..held.report.clone() });
    let (lines, report) =
        tokio::join!(host.store.put(&lines, object_of(held), scale), host.store.put(&report, said, 1));
    lines.and(report)
}

/// Reads a block, each of whose lines stands for `scale`.
///
/// # Errors
/// [`StoreError::Missing`] if it is not there, or is no block; others if the store does not give it now.
pub async fn read(host: &Host, name: BlockName, scale: u64) -> Result<HeldBlock, StoreError> {
    let key = key_of(LINES, name);
    let object = host.store.get(&key, scale).await?;
    block_of(&object).ok_or(StoreError::Missing(key))
}

/// Removes blocks. What the store does not take stays, and is in nobody's way.
pub async fn remove(host: &Host, names: &[BlockName]) {
    for names in names.chunks(AT_ONCE) {
        let mut removed = JoinSet::new();
        for name in names.iter().copied() {
            let host = host.clone();
            host.trace.record(Event::BlockUnlogged { block: name });
            removed.spawn(async move {
                let (lines, report) = (key_of(LINES, name), key_of(REPORTS, name));
                let _ = tokio::join!(host.store.delete(&lines), host.store.delete(&report));
            });
        }
        while removed.join_next().await.is_some() {}
    }
}

/// What the log holds of one worker or of all, but for blocks that are known already.
///
/// # Errors
/// Whatever the store says while it cannot be read.
pub async fn reports(
    host: &Host,
    origin: Option<Member>,
    is_known: impl Fn(&BlockName) -> bool,
) -> Result<Vec<BlockReport>, StoreError> {
    let [lines, said] = [LINES, REPORTS].map(|part| prefix_of(part, origin));
    let (lines, said) = tokio::try_join!(host.store.list(&lines), host.store.list(&said))?;
    let lines: BTreeSet<BlockName> = lines.iter().filter_map(|key| block_name(LINES, key)).collect();
    let said = said.iter().filter_map(|key| block_name(REPORTS, key));
    let names: Vec<BlockName> = said.filter(|name| lines.contains(name) && !is_known(name)).collect();
    let mut reports = Vec::new();
    for names in names.chunks(AT_ONCE) {
        let mut reads = JoinSet::new();
        for name in names.iter().copied() {
            let host = host.clone();
            reads.spawn(async move { report(&host, name).await });
        }
        while let Some(Ok(read)) = reads.join_next().await {
            match read {
                Ok(report) => reports.push(report),
                Err(StoreError::Missing(_)) => {} // let go meanwhile
                Err(error) => return Err(error),
            }
        }
    }
    reports.sort_by_key(|report| report.name);
    Ok(reports)
}

async fn report(host: &Host, name: BlockName) -> Result<BlockReport, StoreError> {
    let key = key_of(REPORTS, name);
    let object = host.store.get(&key, 1).await?;
    open::<BlockReport>(&object).map(|(report, _)| report).map_err(|_| StoreError::Missing(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_trace::RecordRange;

    const NAME: BlockName = BlockName { origin: 3, epoch: (1 << 32) + 7, number: 12 };

    #[test]
    fn a_key_names_its_block_and_stands_behind_its_origins_prefix() {
        for part in [LINES, REPORTS] {
            let key = key_of(part, NAME);
            assert_eq!(block_name(part, &key), Some(NAME));
            assert!(key.starts_with(&prefix_of(part, Some(Member { worker: 3, epoch: NAME.epoch }))));
            assert!(key.starts_with(&prefix_of(part, None)));
            assert!(!key.starts_with(&prefix_of(part, Some(Member { worker: 3, epoch: 7 }))));
        }
        assert_eq!([block_name(LINES, "input/lines/3/x/1"), block_name(LINES, "journal/0")], [None, None]);
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
