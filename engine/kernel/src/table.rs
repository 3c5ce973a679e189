//! The combine table: one value for each key, folded as records come. Map-side combine and reduce both end here.
//!
//! Knows encodings, not types of keys. Invariant: entries are dense and in the order in which their keys first came, so
//! what a table yields depends on what went in since it was cleared and never on what it held or how big it was before.
//!
//! Why it is built like this (a word count spends two thirds of its time here): the key's image lies in its entry, so a hit
//! costs one probe and one compare; hashing and probing run over a batch, so that the misses of the processor's cache
//! overlap instead of queueing; dense entries make it cheap to read out.

use crate::image::{IMAGE_BYTES, Image};
use crate::long::LongTable;
use crate::reader::Reader;
use crate::record::Record;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Keys hashed together before any is looked up. Enough to overlap all misses a core can have under way; more only
/// outgrows the first-level cache.
const BATCH: usize = 64;
/// Slots of a new index.
const FIRST_SLOTS: usize = 1024;
/// Slots for each entry, at least: longer probes cost more than the memory.
const SLOTS_PER_ENTRY: usize = 2;
/// A table of more entries is not kept for the next task: memory stays bounded by what tasks normally need.
const MOST_ENTRIES_KEPT: usize = 1 << 20;

/// A short key and its value.
#[derive(Debug)]
struct Entry<V> {
    image: Image,
    value: V,
}

/// A short key of the batch on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Lookup {
    image: Image,
    hash: u64,
    /// What the index held at the key's home when the batch began.
    slot: u32,
    /// Its place in the batch.
    at: u32,
}

/// Values by key.
#[derive(Debug)]
pub(crate) struct Table<V> {
    /// 0, or the entry's number + 1. A power of two long. Small slots: the index is what misses the cache most.
    index: Vec<u32>,
    entries: Vec<Entry<V>>,
    long: LongTable<V>,
    /// Where a sorted table lists its entries; empty otherwise.
    order: Vec<(u64, u32)>,
    hash: FixedState,
    lookups: Box<[Lookup; BATCH]>,
    spare: Vec<u8>,
}

impl<V: Record> Table<V> {
    pub(crate) fn new() -> Table<V> {
        Table {
            index: vec![0; FIRST_SLOTS],
            entries: Vec::new(),
            long: LongTable::default(),
            order: Vec::new(),
            hash: FixedState::with_seed(0),
            lookups: Box::new([Lookup::default(); BATCH]),
            spare: Vec::new(),
        }
    }

    /// How many keys it holds.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.long.len()
    }

    /// The job's hash seed; the table must be empty.
    pub(crate) fn seed(&mut self, seed: u64) {
        assert_eq!(self.len(), 0, "a table's hash changes only while it is empty");
        self.hash = FixedState::with_seed(seed);
    }

    /// Folds pairs into the values of their keys, in order. A panic in `reduce` leaves a table that must be thrown away.
    pub(crate) fn fold<K: Record, F>(&mut self, pairs: &[(K::Ref<'_>, V::Ref<'_>)], reduce: &F)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
    {
        if let [(key, value)] = pairs {
            return self.fold_single::<K, F>(*key, *value, reduce);
        }
        for batch in pairs.chunks(BATCH) {
            self.fold_batch::<K, F>(batch, reduce);
        }
    }

    /// The way of an engine that handles record by record: there are no cache misses to overlap.
    #[inline(never)]
    fn fold_single<K: Record, F>(&mut self, key: K::Ref<'_>, value: V::Ref<'_>, reduce: &F)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
    {
        match K::image(key, &mut self.spare) {
            Some(image) => self.fold_one(image, hash_of(&self.hash, image), value, reduce),
            None => self.long.fold(&self.spare, value, &self.hash, reduce),
        }
    }

    fn fold_batch<K: Record, F>(&mut self, batch: &[(K::Ref<'_>, V::Ref<'_>)], reduce: &F)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
    {
        let mut count = 0;
        for ((key, value), at) in batch.iter().zip(0..) {
            match K::image(*key, &mut self.spare) {
                Some(image) => {
                    self.lookups[count] = Lookup { image, hash: hash_of(&self.hash, image), slot: 0, at };
                    count += 1;
                }
                None => self.long.fold(&self.spare, *value, &self.hash, reduce),
            }
        }
        // A loop of its own: the shorter it is, the more cache misses are under way at the same time.
        let lookups = &mut self.lookups[..count];
        for lookup in lookups.iter_mut() {
            lookup.slot = self.index[lookup.hash as usize & (self.index.len() - 1)];
        }
        // Of one key, either all records of the batch find it at home or none does, so its values are folded in order.
        let mut missed = 0;
        for number in 0..count {
            let Lookup { image, slot, at, .. } = lookups[number];
            match self.entries.get_mut(slot.wrapping_sub(1) as usize) {
                Some(entry) if entry.image == image => {
                    entry.value = reduce(entry.value.borrowed(), batch[at as usize].1);
                }
                _ => {
                    lookups[missed] = lookups[number];
                    missed += 1;
                }
            }
        }
        for number in 0..missed {
            let Lookup { image, hash, at, .. } = self.lookups[number];
            self.fold_one(image, hash, batch[at as usize].1, reduce);
        }
    }

    /// The way of a key that is new, or not in its first slot.
    #[inline(always)]
    fn fold_one<F>(&mut self, image: Image, hash: u64, value: V::Ref<'_>, reduce: &F)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
    {
        let mask = self.index.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.index[place];
            if slot == 0 {
                break;
            }
            let entry = &mut self.entries[slot as usize - 1];
            if entry.image == image {
                entry.value = reduce(entry.value.borrowed(), value);
                return;
            }
            place = (place + 1) & mask;
        }
        self.entries.push(Entry { image, value: V::owned(value) });
        self.index[place] = slot_of(self.entries.len());
        if self.entries.len() * SLOTS_PER_ENTRY > self.index.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let slots = self.index.len() * 2;
        self.index.clear();
        self.index.resize(slots, 0);
        for (number, entry) in self.entries.iter().enumerate() {
            let hash = hash_of(&self.hash, entry.image);
            let mut place = hash as usize & (slots - 1);
            while self.index[place] != 0 {
                place = (place + 1) & (slots - 1);
            }
            self.index[place] = slot_of(number + 1);
        }
    }

    /// The value of an encoded key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let Some(image) = Image::of(key) else { return self.long.get(key, &self.hash) };
        let mask = self.index.len() - 1;
        let mut place = hash_of(&self.hash, image) as usize & mask;
        loop {
            let entry = self.entries.get(self.index[place].wrapping_sub(1) as usize)?;
            if entry.image == image {
                return Some(&entry.value);
            }
            place = (place + 1) & mask;
        }
    }

    /// Shows encoded keys and values in the order of their arrival, short keys before long ones.
    pub(crate) fn visit<K: Record>(&self, mut visit: impl FnMut(&[u8], &V)) {
        for entry in &self.entries {
            let bytes = entry.image.bytes();
            visit(&bytes[..length_of::<K>(&bytes)], &entry.value);
        }
        (0..self.long.len()).for_each(|number| {
            let (key, value) = self.long.entry(number);
            visit(key, value);
        });
    }

    /// Shows encoded keys and values in the order of the keys' bytes.
    pub(crate) fn visit_sorted<K: Record>(&mut self, mut visit: impl FnMut(&[u8], &V)) {
        let mut order = std::mem::take(&mut self.order);
        let prefixes = self.entries.iter().map(|entry| entry.image.prefix());
        let long_prefixes = (0..self.long.len()).map(|number| prefix_of(self.long.entry(number).0));
        order.extend(prefixes.chain(long_prefixes).zip(0..));
        order.sort_unstable_by(|(prefix, number), (other_prefix, other)| {
            prefix.cmp(other_prefix).then_with(|| self.padded_key(*number).cmp(&self.padded_key(*other)))
        });
        for (_, number) in &order {
            match self.entries.get(*number as usize) {
                Some(entry) => {
                    let bytes = entry.image.bytes();
                    visit(&bytes[..length_of::<K>(&bytes)], &entry.value);
                }
                None => {
                    let (key, value) = self.long.entry(*number as usize - self.entries.len());
                    visit(key, value);
                }
            }
        }
        order.clear();
        self.order = order;
    }

    /// The first bytes of a key, padded with zeros, and the rest of it. Keys order as these do, since none is a prefix of
    /// another.
    fn padded_key(&self, number: u32) -> ([u8; IMAGE_BYTES], &[u8]) {
        match self.entries.get(number as usize) {
            Some(entry) => (entry.image.bytes(), &[]),
            None => {
                let (key, _) = self.long.entry(number as usize - self.entries.len());
                let (first, rest) = key.split_first_chunk().expect("a long key has more bytes than an image");
                (*first, rest)
            }
        }
    }

    /// Forgets all keys and values; memory stays. Returns whether the table is worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        if self.len() > MOST_ENTRIES_KEPT {
            return false;
        }
        // A small task after a big one must not pay for the big one's index.
        if self.entries.len() * 16 < self.index.len() {
            self.clear_slots();
        } else {
            self.index.fill(0);
        }
        self.entries.clear();
        self.long.clear();
        true
    }

    /// Empties the slots of the entries, one by one. Every slot in use is on the way from its entry's home, and the run of
    /// full slots there ends at an empty one.
    fn clear_slots(&mut self) {
        let mask = self.index.len() - 1;
        for entry in &self.entries {
            let mut place = hash_of(&self.hash, entry.image) as usize & mask;
            while self.index[place] != 0 {
                self.index[place] = 0;
                place = (place + 1) & mask;
            }
        }
    }
}

#[inline]
fn hash_of(state: &FixedState, image: Image) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u128(image.into());
    hasher.finish()
}

#[inline]
fn slot_of(number: usize) -> u32 {
    u32::try_from(number).expect("2^32 keys need more memory than a task has")
}

/// How many bytes of an image are the key's encoding.
#[inline]
fn length_of<K: Record>(bytes: &[u8; IMAGE_BYTES]) -> usize {
    let mut reader = Reader::new(bytes);
    K::skip(&mut reader).expect("an image holds a whole encoding");
    reader.position()
}

fn prefix_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(*key.first_chunk().expect("a long key has more bytes than an image"))
}
