//! A shelf of a state table: words, short keys and long ones, each in the order of its hashes.
//!
//! Knows encoded keys, not their types, and nothing of values. Invariant: what a shelf yields follows from what is in it
//! and not from how it came there.

use crate::held::key::{Short, Shown, Sought, Word};
use crate::held::slots::Slots;
use std::collections::BTreeMap;

/// Bytes that an entry of a tree takes beside its key and value, as good as it is known.
const BYTES_A_BRANCH: usize = 48;

/// Keys that a table is to have room for from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) words: usize,
    pub(crate) short: usize,
}

/// One part of a table.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    words: Slots<Word, T>,
    short: Slots<Short, T>,
    /// By hash and encoding. A tree never grows in one long step.
    long: BTreeMap<(u64, Box<[u8]>), T>,
    /// Of long keys.
    key_bytes: usize,
}

impl<T> Shelf<T> {
    /// A shelf whose slots grow when `fill` 256ths of their homes are taken. Those of a table's shelves differ, so that they
    /// do not grow at once.
    pub(crate) fn new(room: Room, fill: usize) -> Shelf<T> {
        Shelf {
            words: Slots::new(room.words, fill),
            short: Slots::new(room.short, fill),
            long: BTreeMap::new(),
            key_bytes: 0,
        }
    }

    /// Where the search for a key begins, which is fetched and not read.
    #[inline]
    pub(crate) fn aim(&self, sought: &mut Sought<'_>) {
        sought.at = match &sought.shown {
            Shown::Word(word) => self.words.home(word),
            Shown::Short(short) => self.short.home(short),
            Shown::Long(_) => 0,
        };
        self.fetch(sought);
    }

    /// Where it goes on when its home has been read; that is fetched as well, for it may be in the next line.
    #[inline]
    pub(crate) fn look(&self, sought: &mut Sought<'_>) {
        match &sought.shown {
            Shown::Word(word) => sought.at = self.words.near_home(word, sought.at),
            Shown::Short(short) => sought.at = self.short.near_home(short, sought.at),
            Shown::Long(_) => {}
        }
        self.fetch(sought);
    }

    #[inline]
    fn fetch(&self, sought: &Sought<'_>) {
        match &sought.shown {
            Shown::Word(_) => self.words.fetch(sought.at),
            Shown::Short(_) => self.short.fetch(sought.at),
            Shown::Long(_) => {}
        }
    }

    /// Gives a key the value that `next` makes of the one it had; `None`: it has none. The one it had, and the new one.
    #[inline]
    pub(crate) fn change(
        &mut self,
        sought: &Sought<'_>,
        next: impl FnOnce(Option<&T>) -> Option<T>,
    ) -> (Option<T>, Option<&T>) {
        match sought.shown {
            Shown::Word(word) => self.words.change(word, sought.at, next),
            Shown::Short(short) => self.short.change(short, sought.at, next),
            Shown::Long(key) => self.change_long(sought.hash, key, next),
        }
    }

    /// The same of a long key.
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

    /// The value of a key.
    pub(crate) fn get(&self, sought: &Sought<'_>) -> Option<&T> {
        match &sought.shown {
            Shown::Word(word) => self.words.get(word),
            Shown::Short(short) => self.short.get(short),
            Shown::Long(key) => self.long.get(&(sought.hash, Box::from(*key))),
        }
    }

    /// Shows all entries: words, then short keys, then long ones, each by hash and bytes.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(Shown<'_>, &T)) {
        self.words.visit(&mut |word, value| visit(Shown::Word(word), value));
        self.short.visit(&mut |short, value| visit(Shown::Short(short), value));
        self.long.iter().for_each(|((_, key), value)| visit(Shown::Long(key), value));
    }

    /// How much memory it takes, without what values have elsewhere.
    pub(crate) fn bytes(&self) -> usize {
        let long = self.long.len() * (size_of::<((u64, Box<[u8]>), T)>() + BYTES_A_BRANCH);
        self.words.bytes() + self.short.bytes() + long + self.key_bytes
    }

    /// How many slots there are, in use or not.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.words.count() + self.short.count()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.short.clear();
        self.long.clear();
        self.key_bytes = 0;
    }
}
