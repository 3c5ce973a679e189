//! Slots of a shelf: open addressing in the order of hashes.
//!
//! Knows the order of keys, not their bytes, and nothing of values. Invariant: entries stand in the order of (rank, bytes),
//! each at its home or behind it with no gap between. So what slots yield follows from what is in them and not from how it
//! came there; a removal leaves nothing behind, since what follows moves back; and growing is one pass from left to right.

use crate::fetch::fetch;
use crate::held::key::SlotKey;
use std::num::NonZeroU64;

/// A line of the processor's cache. To fetch one is most of what an update costs, so keys of neighbouring hashes share a
/// home of one, and homes begin where lines do.
const LINE_BYTES: usize = 64;
/// More slots to a home are no line of any entry.
const MOST_HOME_SLOTS: usize = 4;
/// Full slots have half as many homes more afterwards: with twice as many, most of the memory would be gaps.
const GROWTH_DIVISOR: usize = 2;
/// For so many homes there is memory for a slot more behind the last from the beginning, and for [`LEAST_SPARE`] at least:
/// to move all for one more would be dear.
const HOMES_A_SPARE: usize = 128;
const LEAST_SPARE: usize = 2;
/// Slots of which a visit finds the full ones before it shows any.
const SLOTS_AT_ONCE: usize = u64::BITS as usize;

/// A key and its value. Four of a word and a number, or two of a short key and one, are a line, and none lies across two.
#[derive(Debug)]
struct Entry<K: SlotKey, T> {
    _aligned: [K::Aligned; 0],
    key: K,
    value: T,
}

/// Where a key is, or would stand.
enum Found {
    At(usize),
    Before(usize),
}

/// Entries in the order of their hashes.
#[derive(Debug)]
pub(crate) struct Slots<K: SlotKey, T> {
    /// `shift` slots that stay empty, at least `homes`, and behind them what found no room at the end.
    slots: Vec<Option<Entry<K, T>>>,
    /// Where the first home begins. Depends on where the memory is; nothing that is shown does.
    shift: usize,
    /// Slots at home, some to a home; none before the first key comes.
    homes: usize,
    used: usize,
    /// Entries at which they grow, in 256ths of the homes.
    fill: usize,
}

impl<K: SlotKey, T> Slots<K, T> {
    const HOME_SLOTS: usize = match LINE_BYTES / size_of::<Option<Entry<K, T>>>() {
        0 => 1,
        fit if fit < MOST_HOME_SLOTS => fit,
        _ => MOST_HOME_SLOTS,
    };

    /// They grow when `fill` 256ths of the homes are taken, and have room for `room` keys.
    pub(crate) fn new(room: usize, fill: usize) -> Slots<K, T> {
        let homes = if room == 0 { 0 } else { (room * 256 / fill + 1).next_multiple_of(Self::HOME_SLOTS) };
        let (slots, shift) = Self::empty(homes);
        Slots { slots, shift, homes, used: 0, fill }
    }

    /// Where the home of a key begins. The first byte of a hash chooses the shelf, the others the home. Reads no slot.
    #[inline]
    pub(crate) fn home(&self, key: &K) -> usize {
        let number = (u128::from(key.spread()) * (self.homes / Self::HOME_SLOTS) as u128) >> 64;
        self.shift + number as usize * Self::HOME_SLOTS
    }

    /// The slot will be read soon: called for many keys in turn, so that the processor waits for all of them at once.
    #[inline]
    pub(crate) fn fetch(&self, at: usize) {
        if let Some(slot) = self.slots.get(at) {
            fetch(slot);
        }
    }

    /// The rank of a slot, or 0.
    #[inline]
    fn rank(&self, at: usize) -> u64 {
        self.slots.get(at).and_then(Option::as_ref).map_or(0, |entry| entry.key.rank().get())
    }

    /// The first slot from the begin of a key's home that may hold it, as far as the home tells. Most keys are at home, and
    /// in which slot nobody foresees: that is counted, not asked. What stands behind a gap is at home behind it, so it is
    /// not counted.
    #[inline]
    pub(crate) fn near_home(&self, key: &K, home: usize) -> usize {
        let rank = key.rank();
        let behind = (home..home + Self::HOME_SLOTS).map(|at| usize::from(is_behind(rank, self.rank(at))));
        home + behind.sum::<usize>()
    }

    fn find(&self, key: &K) -> Found {
        let mut at = self.near_home(key, self.home(key));
        while is_behind(key.rank(), self.rank(at)) {
            at += 1;
        }
        // Nearly always the first, if any: short keys of one hash and length are as good as never met.
        while let Some(Some(entry)) = self.slots.get(at)
            && entry.key.rank() == key.rank()
        {
            if entry.key == *key {
                return Found::At(at);
            }
            if key.precedes(&entry.key) {
                break;
            }
            at += 1;
        }
        Found::Before(at)
    }

    /// Gives a key, which may be in slot `guess`, the value that `next` makes of the one it had; `None`: it has none. The
    /// one it had, and the new one.
    #[inline]
    pub(crate) fn change(
        &mut self,
        key: K,
        guess: usize,
        next: impl FnOnce(Option<&T>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        if matches!(self.slots.get(guess), Some(Some(entry)) if entry.key == key) {
            return self.replace(guess, next);
        }
        match self.find(&key) {
            Found::At(at) => self.replace(at, next),
            Found::Before(at) => match next(None) {
                Some(value) => (None, Some(self.insert(at, Entry { _aligned: [], key, value }))),
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

    /// Puts a new entry where it stands; what stands there moves on, and the slots may grow.
    fn insert(&mut self, at: usize, entry: Entry<K, T>) -> &T {
        let at = self.make_room(at, &entry.key);
        &self.slots[at].insert(entry).value
    }

    /// An empty slot for a key that would stand at `at`; what stands there moves on, and the slots may grow.
    fn make_room(&mut self, at: usize, key: &K) -> usize {
        let mut at = at;
        if (self.used + 1) * 256 > self.homes * self.fill {
            self.grow();
            at = match self.find(key) {
                Found::At(place) | Found::Before(place) => place,
            };
        }
        let free = self.slots[at.min(self.slots.len())..].iter().position(Option::is_none).map(|ahead| at + ahead);
        let free = free.unwrap_or_else(|| {
            self.push(None);
            self.slots.len() - 1
        });
        self.slots[at..=free].rotate_right(1);
        self.used += 1;
        at
    }

    /// One slot more behind the last. They never double for that.
    fn push(&mut self, slot: Option<Entry<K, T>>) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(spare(self.homes));
        }
        self.slots.push(slot);
    }

    /// The slot is empty now: what stands behind it because of it moves back.
    fn close_gap(&mut self, at: usize) {
        let mut at = at;
        while let Some(Some(next)) = self.slots.get(at + 1) {
            if self.home(&next.key) > at {
                break;
            }
            self.slots.swap(at, at + 1);
            at += 1;
        }
        self.used -= 1;
    }

    /// One pass: the order stays, the homes are further apart.
    #[cold]
    fn grow(&mut self) {
        let homes = self.homes + self.homes / GROWTH_DIVISOR;
        // At least so many that one entry more does not make them grow again.
        self.homes = homes.max(2 * 256 / self.fill + 1).next_multiple_of(Self::HOME_SLOTS);
        let (empty, shift) = Self::empty(self.homes);
        let slots = std::mem::replace(&mut self.slots, empty);
        self.shift = shift;
        let mut free = 0;
        for entry in slots.into_iter().flatten() {
            let at = self.home(&entry.key).max(free);
            free = at + 1;
            match self.slots.get_mut(at) {
                Some(slot) => *slot = Some(entry),
                None => self.push(Some(entry)),
            }
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        match self.find(key) {
            Found::At(at) => self.slots[at].as_ref().map(|entry| &entry.value),
            Found::Before(_) => None,
        }
    }

    /// Shows all entries in their order.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(K, &T)) {
        let (slots, last) = self.slots.as_chunks::<SLOTS_AT_ONCE>();
        for slots in slots {
            // Which slots are full nobody foresees: a bit says so of each, and only bits that are set are gone through.
            let mut full = full_of(slots);
            while full > 0 {
                if let Some(entry) = &slots[full.trailing_zeros() as usize % SLOTS_AT_ONCE] {
                    visit(entry.key, &entry.value);
                }
                full &= full - 1;
            }
        }
        last.iter().flatten().for_each(|entry| visit(entry.key, &entry.value));
    }

    /// How much memory they take, without what values have elsewhere. Nodes let go of tables by it, so nothing of where
    /// the memory is may be in it: neither `shift` nor whether there was room for what found none at the end.
    pub(crate) fn bytes(&self) -> usize {
        if self.homes == 0 {
            return 0;
        }
        let slots = (self.slots.len() - self.shift).max(self.homes + Self::HOME_SLOTS - 1);
        (slots + spare(self.homes)) * size_of::<Option<Entry<K, T>>>()
    }

    /// How many slots there are, in use or not.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.truncate(self.homes + Self::HOME_SLOTS - 1);
        self.slots.fill_with(|| None);
        self.used = 0;
    }

    /// Slots for so many at home, and where the first home begins.
    fn empty(homes: usize) -> (Vec<Option<Entry<K, T>>>, usize) {
        if homes == 0 {
            return (Vec::new(), 0);
        }
        let most_shift = Self::HOME_SLOTS - 1;
        let mut empty = Vec::with_capacity(homes + most_shift + spare(homes));
        empty.resize_with(homes + most_shift, || None);
        let shift = empty.as_ptr().cast::<u8>().align_offset(LINE_BYTES) / size_of::<Option<Entry<K, T>>>();
        (empty, shift.min(most_shift))
    }
}

/// Whether a key stands behind a slot of rank `other`, 0 if that is empty. One comparison, for no branch is cheaper.
#[inline]
fn is_behind(rank: NonZeroU64, other: u64) -> bool {
    other.wrapping_sub(1) < rank.get() - 1
}

/// A bit for each slot that is full. By eights, which the compiler writes out.
#[inline]
fn full_of<K: SlotKey, T>(slots: &[Option<Entry<K, T>>; SLOTS_AT_ONCE]) -> u64 {
    let (eights, _) = slots.as_chunks::<8>();
    let bits = |eight: &[Option<Entry<K, T>>; 8]| {
        (0..8).fold(0, |bits, number| bits | u64::from(eight[number].is_some()) << number)
    };
    eights.iter().rev().fold(0, |full, eight| full << 8 | bits(eight))
}

fn spare(homes: usize) -> usize {
    homes / HOMES_A_SPARE + LEAST_SPARE
}
