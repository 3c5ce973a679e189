//! A shelf of a state table: open addressing in the order of hashes.
//!
//! Knows encoded keys, not their types, and nothing of values. Invariant: entries stand in the order of (hash, length, key),
//! each at its home or behind it with no gap between. So what a shelf yields follows from what is in it and not from how it
//! came there; a removal leaves nothing behind, since what follows moves back; and growing is one pass from left to right.

use crate::image::{IMAGE_BYTES, Image};
use crate::line::Out;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Of the hash that orders keys. Part of what a checkpoint holds, so it never changes; another one than that of
/// partitions, whose keys would else all be neighbours.
const SEED: u64 = 0x6473_7472_6561_6d21;
/// Keys of neighbouring hashes share a home of so many slots: of small values a line of the processor's cache.
const HOME_SLOTS: usize = 2;
/// Slots at home of a new shelf.
const FIRST_HOMES: usize = HOME_SLOTS;
/// Homes begin where a line of the processor's cache does.
const LINE_ALIGNMENT: usize = 64;
/// A full shelf has half as many homes more afterwards: with twice as many, most of the memory would be gaps.
const GROWTH_DIVISOR: usize = 2;

/// For so many homes there is memory for a slot more behind the last from the beginning, and for [`LEAST_SPARE`] at least:
/// to move all for one more would be dear.
const HOMES_A_SPARE: usize = 128;
const LEAST_SPARE: usize = 2;
/// Bytes that an entry of a tree takes beside its key and value, as good as it is known.
const BYTES_A_BRANCH: usize = 48;
/// Slots of which a visit finds the full ones before it shows any.
const SLOTS_AT_ONCE: usize = u64::BITS as usize;

/// The hash of an encoded key.
#[inline]
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, SEED)
}

/// A key that is not borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// One that has an image.
    Short(Short),
    /// Another one.
    Long(Box<[u8]>),
}

impl Key {
    /// The same, borrowed.
    pub(crate) fn shown(&self) -> Shown<'_> {
        match self {
            Key::Short(short) => Shown::Short(*short),
            Key::Long(bytes) => Shown::Long(bytes),
        }
    }

    /// Shows its encoding.
    pub(crate) fn with<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        self.shown().with(show)
    }
}

/// A short key on its way to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    image: Image,
    tag: Tag,
}

impl Short {
    /// Nothing if the key is not short.
    #[inline]
    pub(crate) fn of(hash: u64, key: &[u8]) -> Option<Short> {
        Some(Short { image: Image::of(key)?, tag: Tag::of(hash, key.len())? })
    }

    #[inline]
    fn with_key<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        show(&self.image.bytes()[..self.tag.length()])
    }
}

/// A key on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'k> {
    pub(crate) key: &'k [u8],
    pub(crate) hash: u64,
    short: Option<Short>,
    /// The slot where its entry is or would stand, as far as anybody has looked: no more than a guess.
    at: usize,
}

impl<'k> Sought<'k> {
    /// A key by its encoding.
    #[inline]
    pub fn of(key: &'k [u8]) -> Sought<'k> {
        Sought::hashed(hash_of(key), key)
    }

    /// The same, of a known hash.
    #[inline]
    pub(crate) fn hashed(hash: u64, key: &'k [u8]) -> Sought<'k> {
        Sought { key, hash, short: Short::of(hash, key), at: 0 }
    }

    /// A copy.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        self.short.map_or_else(|| Key::Long(self.key.into()), Key::Short)
    }

    /// As an entry has it.
    #[inline]
    pub(crate) fn shown(&self) -> Shown<'k> {
        self.short.map_or(Shown::Long(self.key), Shown::Short)
    }
}

/// A key as an entry has it.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'k> {
    /// One that has an image.
    Short(Short),
    /// Another one.
    Long(&'k [u8]),
}

impl Shown<'_> {
    /// Appends its encoding.
    #[inline]
    pub(crate) fn put(&self, out: &mut impl Out) {
        match self {
            Shown::Short(short) => out.short(&short.image.bytes(), short.tag.length()),
            Shown::Long(bytes) => out.bytes(bytes),
        }
    }

    /// Shows its encoding.
    #[inline]
    pub fn with<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Shown::Short(short) => short.with_key(show),
            Shown::Long(bytes) => show(bytes),
        }
    }
}

/// A hash without its first byte, which is the number of the shelf, and the length of the key in its place. Kept with an
/// entry: hashing what stands in the way of a key would cost more than all else. That a length is never 0 lets an empty
/// slot cost no more than a full one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(NonZeroU64);

impl Tag {
    #[inline]
    fn of(hash: u64, length: usize) -> Option<Tag> {
        let length = Some(length).filter(|length| (1..=IMAGE_BYTES).contains(length))?;
        NonZeroU64::new(hash << 8 | length as u64).map(Tag)
    }

    /// The hash without its first byte.
    #[inline]
    fn hash(self) -> u64 {
        self.0.get() >> 8
    }

    #[inline]
    fn length(self) -> usize {
        (self.0.get() as usize & 0xff).min(IMAGE_BYTES)
    }

    /// Whether another one, 0 if there is none, stands before it. One comparison, for no branch is cheaper.
    #[inline]
    fn is_behind(self, other: u64) -> bool {
        other.wrapping_sub(1) < self.0.get() - 1
    }
}

/// A short key and its value. Two of numbers are a line of the processor's cache, and none lies across two lines: to fetch
/// it is most of what an update costs.
#[derive(Debug)]
#[repr(align(32))]
struct Entry<T> {
    key: Short,
    value: T,
}

/// Where a short key is, or would stand.
enum Found {
    At(usize),
    Before(usize),
}

/// One part of a table.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    /// `shift` slots that stay empty, at least `homes`, and behind them what found no room at the end.
    slots: Vec<Option<Entry<T>>>,
    /// Where the first home begins. Depends on where the memory is; nothing that is shown does.
    shift: usize,
    /// Slots at home, some to a home.
    homes: usize,
    short: usize,
    /// Entries at which it grows, in 256ths of its homes. Shelves of a table differ, so that they do not grow at once.
    fill: usize,
    /// By hash and encoding. A tree never grows in one long step.
    long: BTreeMap<(u64, Box<[u8]>), T>,
    /// Of long keys.
    key_bytes: usize,
}

impl<T> Shelf<T> {
    /// A shelf that grows when `fill` 256ths of its homes are taken, with room for `room` short keys.
    pub(crate) fn new(room: usize, fill: usize) -> Shelf<T> {
        let homes = (room * 256 / fill + 1).max(FIRST_HOMES).next_multiple_of(HOME_SLOTS);
        let (slots, shift) = empty(homes);
        Shelf { slots, shift, homes, short: 0, fill, long: BTreeMap::new(), key_bytes: 0 }
    }

    /// The first byte of a hash chooses the shelf, the others the home.
    #[inline]
    fn home(&self, tag: Tag) -> usize {
        let number = (u128::from(tag.hash() << 8) * (self.homes / HOME_SLOTS) as u128) >> 64;
        self.shift + number as usize * HOME_SLOTS
    }

    /// Where the search for a key begins. Reads no slot.
    #[inline]
    pub(crate) fn aim(&self, sought: &mut Sought<'_>) {
        sought.at = sought.short.as_ref().map_or(0, |key| self.home(key.tag));
    }

    /// Reads the slot that the key is sought in, and says whether it is in use: called for many keys in turn, so that the
    /// processor waits for all of them at once. Nothing depends on what is there, or it would wait for each.
    #[inline]
    pub(crate) fn is_used(&self, sought: &Sought<'_>) -> usize {
        usize::from(self.tag(sought.at) > 0)
    }

    /// The same of the slot where the search for the key goes on when both have been read.
    #[inline]
    pub(crate) fn look_ahead(&self, sought: &mut Sought<'_>) -> usize {
        let Some(key) = &sought.short else { return 0 };
        sought.at = self.near_home(key, sought.at);
        usize::from(self.tag(sought.at) > 0)
    }

    /// The tag of a slot, or 0.
    #[inline]
    fn tag(&self, at: usize) -> u64 {
        self.slots.get(at).and_then(Option::as_ref).map_or(0, |entry| entry.key.tag.0.get())
    }

    /// The first of three slots from the begin of a key's home that may hold it. Most keys are in one of the first two, and
    /// in which nobody foresees: that is counted, not asked. What stands behind a gap is at home behind it, so it is not
    /// counted.
    #[inline]
    fn near_home(&self, key: &Short, home: usize) -> usize {
        let is_behind = |at: usize| usize::from(key.tag.is_behind(self.tag(at)));
        home + is_behind(home) + is_behind(home + 1)
    }

    fn find(&self, key: &Short) -> Found {
        let mut at = self.near_home(key, self.home(key.tag));
        while key.tag.is_behind(self.tag(at)) {
            at += 1;
        }
        // Nearly always the first, if any: keys of one hash and length are as good as never met.
        while let Some(Some(entry)) = self.slots.get(at)
            && entry.key.tag == key.tag
        {
            if entry.key.image == key.image {
                return Found::At(at);
            }
            if entry.key.image.bytes() > key.image.bytes() {
                break;
            }
            at += 1;
        }
        Found::Before(at)
    }

    /// Gives a key the value that `next` makes of the one it had; `None`: it has none. The one it had, and the new one.
    #[inline]
    pub(crate) fn change(
        &mut self,
        sought: &Sought<'_>,
        next: impl FnOnce(Option<&T>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        let Some(key) = sought.short else { return self.change_long(sought.hash, sought.key, next) };
        if matches!(self.slots.get(sought.at), Some(Some(entry)) if entry.key == key) {
            return self.replace(sought.at, next);
        }
        match self.find(&key) {
            Found::At(at) => self.replace(at, next),
            Found::Before(at) => match next(None) {
                Some(value) => (None, Some(self.insert(at, Entry { key, value }))),
                None => (None, None),
            },
        }
    }

    /// The same of a key that is there. It keeps what it had until `next` has returned.
    #[inline]
    fn replace(&mut self, at: usize, next: impl FnOnce(Option<&T>) -> Option<T>) -> (Option<T>, Option<&T>) {
        let entry = self.slots[at].as_ref().expect("an entry that was found is there");
        let Some(value) = next(Some(&entry.value)) else {
            let before = self.slots[at].take().map(|entry| entry.value);
            self.close_gap(at);
            return (before, None);
        };
        let entry = self.slots[at].as_mut().expect("an entry that was found is there");
        (Some(std::mem::replace(&mut entry.value, value)), Some(&entry.value))
    }

    /// Puts a new entry where it stands; what stands there moves on, and the shelf may grow.
    fn insert(&mut self, at: usize, entry: Entry<T>) -> &T {
        let at = self.make_room(at, &entry.key);
        &self.slots[at].insert(entry).value
    }

    /// The same of a key without an image.
    fn change_long(
        &mut self,
        hash: u64,
        key: &[u8],
        next: impl FnOnce(Option<&T>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        let place = (hash, Box::from(key));
        let before = self.long.remove(&place);
        self.key_bytes -= if before.is_some() { key.len() } else { 0 };
        match next(before.as_ref()) {
            Some(value) => {
                self.key_bytes += key.len();
                (before, Some(self.long.entry(place).or_insert(value)))
            }
            None => (before, None),
        }
    }

    /// An empty slot for a key that would stand at `at`; what stands there moves on, and the shelf may grow.
    fn make_room(&mut self, at: usize, key: &Short) -> usize {
        let mut at = at;
        if (self.short + 1) * 256 > self.homes * self.fill {
            self.grow();
            at = match self.find(key) {
                Found::At(place) | Found::Before(place) => place,
            };
        }
        let free = self.slots[at.min(self.slots.len())..].iter().position(Option::is_none).map(|ahead| at + ahead);
        let free = free.unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(spare(self.homes));
            }
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
            if self.home(next.key.tag) > at {
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
        self.homes = (self.homes + self.homes / GROWTH_DIVISOR).next_multiple_of(HOME_SLOTS);
        let (empty, shift) = empty(self.homes);
        let slots = std::mem::replace(&mut self.slots, empty);
        self.shift = shift;
        let mut free = 0;
        for entry in slots.into_iter().flatten() {
            let at = self.home(entry.key.tag).max(free);
            free = at + 1;
            match self.slots.get_mut(at) {
                Some(slot) => *slot = Some(entry),
                None => self.slots.push(Some(entry)),
            }
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, sought: &Sought<'_>) -> Option<&T> {
        match &sought.short {
            Some(key) => match self.find(key) {
                Found::At(at) => self.slots[at].as_ref().map(|entry| &entry.value),
                Found::Before(_) => None,
            },
            None => self.long.get(&(sought.hash, sought.key.into())),
        }
    }

    /// Shows all entries, short keys by (hash, length, key), then long ones by (hash, key).
    pub(crate) fn visit(&self, visit: &mut impl FnMut(Shown<'_>, &T)) {
        let (slots, last) = self.slots.as_chunks::<SLOTS_AT_ONCE>();
        for slots in slots {
            // Which slots are full nobody foresees: a bit says so of each, and only bits that are set are gone through.
            let mut full = full_of(slots);
            while full > 0 {
                if let Some(entry) = &slots[full.trailing_zeros() as usize % SLOTS_AT_ONCE] {
                    visit(Shown::Short(entry.key), &entry.value);
                }
                full &= full - 1;
            }
        }
        last.iter().flatten().for_each(|entry| visit(Shown::Short(entry.key), &entry.value));
        self.long.iter().for_each(|((_, key), value)| visit(Shown::Long(key), value));
    }

    /// How much memory it takes, without what values have elsewhere.
    pub(crate) fn bytes(&self) -> usize {
        let long = self.long.len() * (size_of::<((u64, Box<[u8]>), T)>() + BYTES_A_BRANCH);
        self.slots.capacity() * size_of::<Option<Entry<T>>>() + long + self.key_bytes
    }

    /// How many slots there are, in use or not.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.truncate(self.homes + HOME_SLOTS - 1);
        self.slots.fill_with(|| None);
        self.short = 0;
        self.long.clear();
        self.key_bytes = 0;
    }
}

/// A bit for each slot that is full. By eights, which the compiler writes out.
#[inline]
fn full_of<T>(slots: &[Option<Entry<T>>; SLOTS_AT_ONCE]) -> u64 {
    let (eights, _) = slots.as_chunks::<8>();
    let bits = |eight: &[Option<Entry<T>>; 8]| {
        (0..8).fold(0, |bits, number| bits | u64::from(eight[number].is_some()) << number)
    };
    eights.iter().rev().fold(0, |full, eight| full << 8 | bits(eight))
}

/// So many slots and those before the first home, which begins with a line.
fn empty<T>(homes: usize) -> (Vec<Option<Entry<T>>>, usize) {
    let most_shift = HOME_SLOTS - 1;
    let mut empty = Vec::with_capacity(homes + most_shift + spare(homes));
    empty.resize_with(homes + most_shift, || None);
    let shift = empty.as_ptr().cast::<u8>().align_offset(LINE_ALIGNMENT) / size_of::<Option<Entry<T>>>();
    (empty, shift.min(most_shift))
}

fn spare(homes: usize) -> usize {
    homes / HOMES_A_SPARE + LEAST_SPARE
}
