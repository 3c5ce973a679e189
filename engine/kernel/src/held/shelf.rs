//! A shelf of a state table: open addressing in the order of hashes.
//!
//! Knows encoded keys, not their types. Invariant: entries stand in the order of (hash, key), each at its home or behind
//! it with no gap between. So what a shelf yields follows from what is in it and not from how it came there; a removal
//! leaves nothing behind, since what follows moves back; and growing is one pass from left to right.

use crate::image::{IMAGE_BYTES, Image};
use crate::record::Record;
use std::collections::BTreeMap;
use std::num::NonZeroU8;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Of the hash that orders keys. Part of what a checkpoint holds, so it never changes; another one than that of
/// partitions, whose keys would else all be neighbours.
const SEED: u64 = 0x6473_7472_6561_6d21;
/// Homes of a new shelf.
const FIRST_HOMES: usize = 8;
/// A full shelf has so many times as many homes afterwards.
const GROWTH: usize = 2;

/// The hash of an encoded key.
#[inline]
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, SEED)
}

/// A key that is not borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// One that has an image, and how long its encoding is.
    Short(Image, NonZeroU8),
    /// Another one.
    Long(Box<[u8]>),
}

impl Key {
    pub(crate) fn of(key: &[u8]) -> Key {
        match (Image::of(key), u8::try_from(key.len()).ok().and_then(NonZeroU8::new)) {
            (Some(image), Some(length)) => Key::Short(image, length),
            _ => Key::Long(key.into()),
        }
    }

    /// Shows its encoding.
    pub(crate) fn with<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Key::Short(image, length) => show(&image.bytes()[..usize::from(length.get()).min(IMAGE_BYTES)]),
            Key::Long(bytes) => show(bytes),
        }
    }
}

/// A short key and its value. That a length is never 0 lets an empty slot cost no more than a full one.
#[derive(Debug)]
struct Entry<T> {
    image: Image,
    length: NonZeroU8,
    value: T,
}

impl<T> Entry<T> {
    #[inline]
    fn with_key<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        show(&self.image.bytes()[..usize::from(self.length.get()).min(IMAGE_BYTES)])
    }

    #[inline]
    fn hash(&self) -> u64 {
        self.with_key(hash_of)
    }
}

/// Where a short key is, or would stand.
enum Found {
    At(usize),
    Before(usize),
}

/// One part of a table.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    /// At least `homes`; what is behind them holds what found no room at the end.
    slots: Vec<Option<Entry<T>>>,
    homes: usize,
    short: usize,
    /// Entries at which it grows, in 256ths of its homes. Shelves of a table differ, so that they do not grow at once.
    fill: usize,
    /// By hash and encoding. A tree never grows in one long step.
    long: BTreeMap<(u64, Box<[u8]>), T>,
}

impl<T: Record> Shelf<T> {
    /// A shelf that grows when `fill` 256ths of its homes are taken, with room for `room` short keys.
    pub(crate) fn new(room: usize, fill: usize) -> Shelf<T> {
        let homes = (room * 256 / fill + 1).max(FIRST_HOMES);
        Shelf { slots: empty(homes), homes, short: 0, fill, long: BTreeMap::new() }
    }

    /// The first byte of a hash chooses the shelf, the others the home.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash << 8) * self.homes as u128) >> 64) as usize
    }

    /// Reads a key's home and says whether the key is there: called for many keys in turn, so that the processor waits
    /// for all of them at once.
    #[inline]
    pub(crate) fn is_at_home(&self, hash: u64, image: Image) -> bool {
        self.slots[self.home(hash)].as_ref().is_some_and(|entry| entry.image == image)
    }

    #[inline]
    fn find(&self, hash: u64, image: Image) -> Found {
        let mut at = self.home(hash);
        while let Some(Some(entry)) = self.slots.get(at) {
            if entry.image == image {
                return Found::At(at);
            }
            let other = entry.hash();
            if other > hash || (other == hash && entry.image.bytes() > image.bytes()) {
                break;
            }
            at += 1;
        }
        Found::Before(at)
    }

    /// Gives a key the value that `next` makes of the one it had; `None`: it has none. The one it had, and the new one.
    #[inline]
    pub(crate) fn update(
        &mut self,
        hash: u64,
        key: &[u8],
        next: impl FnOnce(Option<T::Ref<'_>>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        let Key::Short(image, length) = Key::of(key) else { return self.update_long(hash, key, next) };
        let (at, before) = match self.find(hash, image) {
            Found::At(at) => (at, self.slots[at].take().map(|entry| entry.value)),
            Found::Before(at) => (at, None),
        };
        let value = match (next(before.as_ref().map(T::borrowed)), &before) {
            (Some(value), _) => value,
            (None, Some(_)) => {
                self.close_gap(at);
                return (before, None);
            }
            (None, None) => return (None, None),
        };
        let at = if before.is_some() { at } else { self.make_room(hash, at, image) };
        let entry = self.slots[at].insert(Entry { image, length, value });
        (before, Some(&entry.value))
    }

    fn update_long(
        &mut self,
        hash: u64,
        key: &[u8],
        next: impl FnOnce(Option<T::Ref<'_>>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        let place = (hash, Box::from(key));
        let before = self.long.remove(&place);
        match next(before.as_ref().map(T::borrowed)) {
            Some(value) => (before, Some(self.long.entry(place).or_insert(value))),
            None => (before, None),
        }
    }

    /// An empty slot for a key that would stand at `at`; what stands there moves on, and the shelf may grow.
    fn make_room(&mut self, hash: u64, at: usize, image: Image) -> usize {
        let mut at = at;
        if (self.short + 1) * 256 > self.homes * self.fill {
            self.grow();
            at = match self.find(hash, image) {
                Found::At(place) | Found::Before(place) => place,
            };
        }
        let free = self.slots[at.min(self.slots.len())..].iter().position(Option::is_none).map(|ahead| at + ahead);
        let free = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[at..=free].rotate_right(1);
        self.short += 1;
        at
    }

    /// The slot is empty now: what stands behind it because of it moves back.
    fn close_gap(&mut self, at: usize) {
        let mut at = at;
        while let Some(Some(next)) = self.slots.get(at + 1) {
            if self.home(next.hash()) > at {
                break;
            }
            self.slots.swap(at, at + 1);
            at += 1;
        }
        self.short -= 1;
    }

    /// One pass: the order stays, the homes are further apart.
    #[cold]
    fn grow(&mut self) {
        self.homes *= GROWTH;
        let slots = std::mem::replace(&mut self.slots, empty(self.homes));
        let mut free = 0;
        for entry in slots.into_iter().flatten() {
            let at = self.home(entry.hash()).max(free);
            free = at + 1;
            match self.slots.get_mut(at) {
                Some(slot) => *slot = Some(entry),
                None => self.slots.push(Some(entry)),
            }
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&T> {
        match Key::of(key) {
            Key::Short(image, _) => match self.find(hash, image) {
                Found::At(at) => self.slots[at].as_ref().map(|entry| &entry.value),
                Found::Before(_) => None,
            },
            Key::Long(bytes) => self.long.get(&(hash, bytes)),
        }
    }

    /// Shows all entries, short keys by (hash, key), then long ones by the same.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(&[u8], &T)) {
        self.slots.iter().flatten().for_each(|entry| entry.with_key(|key| visit(key, &entry.value)));
        self.long.iter().for_each(|((_, key), value)| visit(key, value));
    }

    /// How many slots there are, in use or not.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.truncate(self.homes);
        self.slots.fill_with(|| None);
        self.short = 0;
        self.long.clear();
    }
}

fn empty<T>(slots: usize) -> Vec<Option<Entry<T>>> {
    std::iter::repeat_with(|| None).take(slots).collect()
}
