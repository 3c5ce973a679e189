//! The combine table's side entrance for keys too long for an image: bytes in one arena, hashes kept.
//!
//! Knows encodings, not types of keys. Invariant: as for [`crate::table`]: dense, in order of arrival.

use crate::record::Record;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use std::hash::{BuildHasher, Hasher};

#[derive(Debug)]
struct LongEntry<V> {
    hash: u64,
    /// Where its key ends in `keys`; it begins where the one before it ends.
    end: usize,
    value: V,
}

/// Values by long key.
#[derive(Debug)]
pub(crate) struct LongTable<V> {
    index: HashTable<u32>,
    entries: Vec<LongEntry<V>>,
    keys: Vec<u8>,
}

impl<V> Default for LongTable<V> {
    fn default() -> LongTable<V> {
        LongTable { index: HashTable::new(), entries: Vec::new(), keys: Vec::new() }
    }
}

impl<V: Record> LongTable<V> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn fold<F>(&mut self, key: &[u8], value: V::Ref<'_>, state: &FixedState, reduce: &F)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
    {
        let hash = hash_of(key, state);
        let (entries, keys) = (&mut self.entries, &mut self.keys);
        let equal =
            |number: &u32| entries[*number as usize].hash == hash && keys[span_of(entries, *number as usize)] == *key;
        match self.index.entry(hash, equal, |number| entries[*number as usize].hash) {
            Place::Occupied(place) => {
                let entry = &mut entries[*place.get() as usize];
                entry.value = reduce(entry.value.borrowed(), value);
            }
            Place::Vacant(place) => {
                place.insert(u32::try_from(entries.len()).expect("2^32 keys need more memory than a task has"));
                keys.extend_from_slice(key);
                entries.push(LongEntry { hash, end: keys.len(), value: V::owned(value) });
            }
        }
    }

    pub(crate) fn get(&self, key: &[u8], state: &FixedState) -> Option<&V> {
        let hash = hash_of(key, state);
        let equal = |number: &u32| {
            let number = *number as usize;
            self.entries[number].hash == hash && self.keys[span_of(&self.entries, number)] == *key
        };
        self.index.find(hash, equal).map(|number| &self.entries[*number as usize].value)
    }

    /// The encoded key and the value of entry `number`.
    pub(crate) fn entry(&self, number: usize) -> (&[u8], &V) {
        (&self.keys[span_of(&self.entries, number)], &self.entries[number].value)
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.entries.clear();
        self.keys.clear();
    }
}

fn hash_of(key: &[u8], state: &FixedState) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key);
    hasher.finish()
}

fn span_of<V>(entries: &[LongEntry<V>], number: usize) -> std::ops::Range<usize> {
    let start = number.checked_sub(1).map_or(0, |before| entries[before].end);
    start..entries[number].end
}
