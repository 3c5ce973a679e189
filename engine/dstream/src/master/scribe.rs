//! The journal's way into the store, and out of it.
//!
//! Knows slots, not what is in them. Invariants: one slot is being written at a time, so none is there without those before
//! it; a slot that cannot be written because another stands there ends this master's term, unless it is its own. The slot
//! for which an older master may still be on its way is the one in which the term after its own began: those are never
//! deleted, or its last word would be taken when all have forgotten it.

use crate::master::journal::{self, Entry, PREFIX, Slot, Snapshot, replay, slot_key, slot_number};
use crate::master::program::Program;
use dstream_cluster::Progress;
use dstream_host::{Host, NodeError, Store, StoreError};
use dstream_trace::RangeSet;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Slots that are read at once when a master begins: enough to hide the way to a store, few enough for its patience.
const READS_AT_ONCE: usize = 16;

/// Another master has begun a later term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposed;

/// The journal as it was read.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub found: Snapshot,
    /// The program under which it was written last.
    pub program: Option<Program>,
    /// The newest term of a master that wrote.
    pub newest: u64,
    /// The slot that is next.
    pub next: u64,
    /// The slots in which terms began.
    pub begins: BTreeSet<u64>,
}

/// Reads the journal, again and again until the store answers.
pub async fn read(host: &Host, pause: Duration) -> Result<Read, NodeError> {
    loop {
        match read_all(&host.store).await? {
            Ok(slots) => return Ok(Read::of(slots)),
            Err(_) => host.sleep(pause).await,
        }
    }
}

/// How far the run has come that left this store; nothing if it has no journal.
pub async fn progress(store: Arc<dyn Store>) -> Result<Option<Progress>, String> {
    let slots = read_all(&store).await.map_err(|error| error.0)?.map_err(|error| error.to_string())?;
    if slots.is_empty() {
        return Ok(None);
    }
    let Snapshot { next, below, allotted, open, .. } = Read::of(slots).found;
    let mut over: RangeSet = allotted.into_iter().collect();
    open.iter().flat_map(|sealed| &sealed.ranges).for_each(|range| over.remove(*range));
    Ok(Some(Progress { next, below, over: over.iter().collect() }))
}

impl Read {
    fn of(slots: Vec<(u64, Slot)>) -> Read {
        let next = slots.last().map_or(0, |(number, _)| number + 1);
        let begins = slots.iter().filter(|(_, slot)| slot.begins.is_some()).map(|(number, _)| *number).collect();
        let slots: Vec<Slot> = slots.into_iter().map(|(_, slot)| slot).collect();
        let newest = slots.iter().map(|slot| slot.term).max().unwrap_or(0);
        let program = journal::program(&slots).cloned();
        Read { found: replay(slots), program, newest, next, begins }
    }
}

/// Begins the term with a slot of its own, behind what was read; `None` if another slot stands there by now: an older master
/// wrote once more, or this very slot is there, though the store said that it failed.
pub async fn begin(host: &Host, (term, number): (u64, u64), program: &Program, pause: Duration) -> Option<()> {
    let slot = Slot { term, begins: Some(Box::new(program.clone())), entries: Vec::new() };
    let bytes = journal::written(&slot);
    loop {
        match host.store.create(&slot_key(number), bytes.clone()).await {
            Ok(()) => return Some(()),
            Err(StoreError::Exists(_)) => return None,
            Err(_) => host.sleep(pause).await,
        }
    }
}

/// All slots in order; nothing while the store does not answer.
async fn read_all(store: &Arc<dyn Store>) -> Result<Result<Vec<(u64, Slot)>, StoreError>, NodeError> {
    let keys = match store.list(PREFIX).await {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error)),
    };
    let mut slots = Vec::new();
    for keys in keys.chunks(READS_AT_ONCE) {
        let mut reads = JoinSet::new();
        for key in keys.iter().cloned() {
            let store = store.clone();
            reads.spawn(async move { (store.get(&key, 1).await, key) });
        }
        while let Some(Ok((read, key))) = reads.join_next().await {
            match read {
                Ok(bytes) => {
                    let slot = journal::as_read(&bytes).zip(slot_number(&key));
                    let (slot, number) = slot.ok_or_else(|| {
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
    let (key, bytes) = (slot_key(number), journal::written(slot));
    loop {
        match host.store.create(&key, bytes.clone()).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Exists(_)) => match host.store.get(&key, 1).await {
                // An earlier try that the store said had failed.
                Ok(there) if there == bytes => return Ok(()),
                Ok(_) | Err(StoreError::Missing(_)) => return Err(Deposed),
                Err(_) => host.sleep(pause).await,
            },
            Err(_) => host.sleep(pause).await,
        }
    }
}

/// Deletes what the snapshot in this slot stands for, but not where terms began. What cannot be deleted now costs room and
/// nothing else.
pub async fn trim(host: Host, number: u64, begins: BTreeSet<u64>) {
    let Ok(keys) = host.store.list(PREFIX).await else { return };
    for key in keys.iter().filter(|key| is_over(key, number, &begins)) {
        let _ = host.store.delete(key).await;
    }
}

fn is_over(key: &str, snapshot: u64, begins: &BTreeSet<u64>) -> bool {
    slot_number(key).is_some_and(|number| number < snapshot && !begins.contains(&number))
}

/// Whether one of the entries is a snapshot.
pub fn has_snapshot(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| matches!(entry, Entry::Snapshot(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_in_which_terms_began_stay_in_an_older_masters_way() {
        let over = |begins: [u64; 2]| -> Vec<u64> {
            (0..6).filter(|number| is_over(&slot_key(*number), 5, &begins.into())).collect()
        };
        assert_eq!(over([0, 3]), [1, 2, 4]);
        assert_eq!(over([4, 9]), [0, 1, 2, 3]);
        assert!(!is_over("journal/none", 5, &BTreeSet::new()));
    }
}
