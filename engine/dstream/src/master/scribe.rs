//! The journal's way into the store, and out of it.
//!
//! Knows slots, not what is in them. Invariants: one slot is being written at a time, so none is there without those before
//! it; a slot that cannot be written because another stands there ends this master's term, unless it is its own.

use crate::master::journal::{Entry, PREFIX, Slot, Snapshot, replay, slot_key, slot_number};
use dstream_cluster::message::{open, seal};
use dstream_host::{Host, NodeError, StoreError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Slots that are read at once when a master begins: enough to hide the way to a store, few enough for its patience.
const READS_AT_ONCE: usize = 16;

/// Another master has begun a later term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposed;

/// Begins the term with a slot of its own. What the journal says, and the number of the slot that is next.
pub async fn begin(host: &Host, term: u64, pause: Duration) -> Result<Result<(Snapshot, u64), Deposed>, NodeError> {
    loop {
        let Ok(slots) = read_all(host).await? else {
            host.sleep(pause).await;
            continue;
        };
        if slots.iter().any(|(_, slot)| slot.term > term) {
            return Ok(Err(Deposed));
        }
        let next = slots.last().map_or(0, |(number, _)| number + 1);
        match host.store.create(&slot_key(next), seal(Vec::new(), &Slot { term, entries: Vec::new() })).await {
            Ok(()) => return Ok(Ok((replay(slots.into_iter().map(|(_, slot)| slot)), next + 1))),
            // The older master wrote once more; or this very slot is there, though the store said that it failed.
            Err(StoreError::Exists(_)) => {}
            Err(_) => host.sleep(pause).await,
        }
    }
}

/// All slots in order; nothing while the store does not answer.
async fn read_all(host: &Host) -> Result<Result<Vec<(u64, Slot)>, StoreError>, NodeError> {
    let keys = match host.store.list(PREFIX).await {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error)),
    };
    let mut slots = Vec::new();
    for keys in keys.chunks(READS_AT_ONCE) {
        let mut reads = JoinSet::new();
        for key in keys.iter().cloned() {
            let host = host.clone();
            reads.spawn(async move { (host.store.get(&key).await, key) });
        }
        while let Some(Ok((read, key))) = reads.join_next().await {
            match read {
                Ok(bytes) => {
                    let slot = open::<Slot>(&bytes).ok().zip(slot_number(&key));
                    let ((slot, _), number) = slot.ok_or_else(|| {
                        NodeError(format!("`{key}` in the store is no slot of this build's journal; move it away"))
                    })?;
                    slots.push((number, slot));
                }
                Err(StoreError::Missing(_)) => {} // a snapshot has been written since
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    slots.sort_by_key(|(number, _)| *number);
    Ok(Ok(slots))
}

/// Writes a slot, again and again until the store takes it.
pub async fn write(host: &Host, number: u64, slot: &Slot, pause: Duration) -> Result<(), Deposed> {
    let (key, bytes) = (slot_key(number), seal(Vec::new(), slot));
    loop {
        match host.store.create(&key, bytes.clone()).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Exists(_)) => match host.store.get(&key).await {
                // An earlier try that the store said had failed.
                Ok(there) if there == bytes => return Ok(()),
                Ok(_) | Err(StoreError::Missing(_)) => return Err(Deposed),
                Err(_) => host.sleep(pause).await,
            },
            Err(_) => host.sleep(pause).await,
        }
    }
}

/// Deletes what the snapshot in this slot stands for. What cannot be deleted now costs room and nothing else.
pub async fn trim(host: Host, number: u64) {
    let Ok(keys) = host.store.list(PREFIX).await else { return };
    for key in keys.into_iter().filter(|key| slot_number(key).is_some_and(|other| other < number)) {
        let _ = host.store.delete(&key).await;
    }
}

/// Whether one of the entries is a snapshot.
pub fn has_snapshot(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(entry, Entry::Snapshot(_)))
}
