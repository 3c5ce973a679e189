//! The state table: values by key, in shelves, at a version; what its last versions changed, so that they can be undone.
//!
//! Knows no operator and no engine. Invariants: between `begin` and `end` it is dirty, and a table that stays dirty
//! (a function panicked between them) must be thrown away; undoing a version gives back exactly what was there before it;
//! what a segment yields follows from the state alone.
//!
//! ```text
//! behind i --begin(i + 1)--> DIRTY --end--> behind i + 1 --undo--> behind i, as far as the log goes
//! ```

use crate::held::key::{Key, Shown, Sought, Word, hash_of};
use crate::held::shelf::{Room, Shelf};
use crate::record::Record;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ops::Range;

/// Parts of a table, each of which grows by itself: a 256th of the entries is moved at once, and a checkpoint writes as
/// few of them an interval as it likes.
pub(crate) const SHELVES: usize = 256;
/// The fullest shelf is as full as this when it grows, and the emptiest, in 256ths of its homes: of shelves that fill
/// alike, few grow at the same time.
const FULLEST: usize = 192;
const EMPTIEST: usize = 128;
/// Versions that can be undone: a task that is run again for the interval that closed last, or for the one before it.
const MOST_VERSIONS_KEPT: usize = 2;

/// A state with the interval in which it was touched last; 0 where keys never time out.
pub type Touch<S> = (u64, S);

/// What a table has of a key.
pub trait Stored<S: Record>: Send + Sync + 'static {
    /// Whether it says when the key was touched last.
    const TIMES_OUT: bool;

    /// Of this.
    fn of(touch: Touch<S>) -> Self;

    /// The same again.
    fn touch(&self) -> <Touch<S> as Record>::Ref<'_>;
}

impl<S: Record> Stored<S> for Touch<S> {
    const TIMES_OUT: bool = true;

    #[inline]
    fn of(touch: Touch<S>) -> Touch<S> {
        touch
    }

    #[inline]
    fn touch(&self) -> <Touch<S> as Record>::Ref<'_> {
        self.borrowed()
    }
}

/// The state of a key that never times out.
#[derive(Debug)]
pub struct Timeless<S>(S);

impl<S: Record> Stored<S> for Timeless<S> {
    const TIMES_OUT: bool = false;

    #[inline]
    fn of((_, state): Touch<S>) -> Timeless<S> {
        Timeless(state)
    }

    #[inline]
    fn touch(&self) -> <Touch<S> as Record>::Ref<'_> {
        (0, self.0.borrowed())
    }
}

/// What one version changed: its keys, each once, with what they had before. Words by themselves: beside others each would
/// take twice the memory.
#[derive(Debug)]
struct Change<T> {
    version: u64,
    words: Vec<(Word, Option<T>)>,
    others: Vec<(Key, Option<T>)>,
}

impl<T> Change<T> {
    fn new() -> Change<T> {
        Change { version: 0, words: Vec::new(), others: Vec::new() }
    }

    /// Empty, of another version.
    fn again(mut self, version: u64) -> Change<T> {
        self.words.clear();
        self.others.clear();
        Change { version, ..self }
    }

    #[inline]
    fn push(&mut self, sought: &Sought<'_>, before: Option<T>) {
        match sought.shown {
            Shown::Word(word) => self.words.push((word, before)),
            _ => self.others.push((sought.key(), before)),
        }
    }

    /// The keys, each with what it had.
    fn into_before(self) -> impl Iterator<Item = (Key, Option<T>)> {
        self.words.into_iter().map(|(word, before)| (Key::Word(word), before)).chain(self.others)
    }

    fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<(Word, Option<T>)>() + self.others.capacity() * size_of::<(Key, Option<T>)>()
    }
}

/// States by key, in place: what a stage whose state is in place has for each of its partitions. Here for those who measure
/// it; programs are written with [`crate::DStream`].
#[derive(Debug)]
pub struct StateTable<S, T = Touch<S>> {
    shelves: Box<[Shelf<T>; SHELVES]>,
    /// It holds the state behind this interval; `None`: behind none.
    version: Option<u64>,
    is_dirty: bool,
    /// Of the last versions, the newest last.
    changes: VecDeque<Change<T>>,
    /// Keys by an interval in which they were touched, each at least once, where keys time out. An entry may be stale.
    touched: BTreeMap<u64, Vec<Key>>,
    state: PhantomData<fn() -> S>,
}

impl<S: Record, T: Stored<S>> StateTable<S, T> {
    /// A table without states, with room for so many keys of up to seven bytes.
    pub fn new(room: usize) -> StateTable<S, T> {
        StateTable::with_room(Room { words: room, short: 0 })
    }

    /// A table without states.
    pub(crate) fn with_room(room: Room) -> StateTable<S, T> {
        // Of keys that are spread evenly a shelf has rarely more than this.
        let share = |keys: usize| keys.div_ceil(SHELVES) + keys / SHELVES / 16;
        let room = Room { words: share(room.words), short: share(room.short) };
        let shelf = |number: usize| Shelf::new(room, EMPTIEST + number * (FULLEST - EMPTIEST) / SHELVES);
        StateTable {
            shelves: Box::new(std::array::from_fn(shelf)),
            version: None,
            is_dirty: false,
            changes: VecDeque::new(),
            touched: BTreeMap::new(),
            state: PhantomData,
        }
    }

    /// The interval whose state it holds.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// How much memory it takes, without what states and long keys have elsewhere.
    pub(crate) fn bytes(&self) -> u64 {
        let changes = self.changes.iter().map(Change::bytes);
        let touched = self.touched.values().map(|keys| keys.capacity() * size_of::<Key>());
        let shelves = self.shelves.iter().map(Shelf::bytes);
        (size_of_val(&*self.shelves) + shelves.chain(changes).chain(touched).sum::<usize>()) as u64
    }

    /// Whether something broke off between a version and the next.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// It holds what was there behind this interval, wherever that came from; nothing can be undone.
    pub(crate) fn stands_behind(&mut self, version: Option<u64>) {
        self.version = version;
        self.changes.clear();
    }

    /// The changes of interval `version` begin. The table must not be dirty.
    pub fn begin(&mut self, version: u64) {
        assert!(!self.is_dirty, "a table that broke off between two versions is thrown away");
        self.is_dirty = true;
        let spare = if self.changes.len() < MOST_VERSIONS_KEPT { None } else { self.changes.pop_front() };
        self.changes.push_back(spare.unwrap_or_else(Change::new).again(version));
    }

    /// They are whole.
    pub fn end(&mut self) {
        self.version = self.changes.back().map(|change| change.version);
        self.is_dirty = false;
    }

    /// Takes the newest version back. Whether it could.
    pub fn undo(&mut self) -> bool {
        let Some(change) = self.changes.pop_back() else { return false };
        self.is_dirty = true;
        let version = change.version;
        self.touched.remove(&version);
        for (key, before) in change.into_before() {
            if let Some(before) = before.as_ref().filter(|_| T::TIMES_OUT) {
                self.list(before.touch().0, key.clone());
            }
            key.with(|key| self.change(&Sought::of(key), |_| before));
        }
        self.version = version.checked_sub(1);
        self.is_dirty = false;
        true
    }

    /// Looks at the homes of many keys: what follows finds them in the processor's cache.
    pub fn seek<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, sought: &mut Vec<Sought<'k>>) {
        sought.clear();
        sought.extend(keys.map(Sought::of));
        self.look(sought);
    }

    /// The same of keys whose hashes are known. In rounds: the homes of all are on their way before the first is read.
    #[inline]
    pub(crate) fn look(&self, sought: &mut [Sought<'_>]) {
        let shelf = |sought: &Sought<'_>| &self.shelves[shelf_of(sought.hash)];
        sought.iter_mut().for_each(|sought| shelf(sought).aim(sought));
        sought.iter_mut().for_each(|sought| shelf(sought).look(sought));
    }

    /// Gives a key the state that `next` makes of the one it had; `None`: it leaves. Between `begin` and `end`, once a key.
    /// The new one.
    #[inline]
    pub fn update(
        &mut self,
        sought: &Sought<'_>,
        next: impl FnOnce(Option<<Touch<S> as Record>::Ref<'_>>) -> Option<Touch<S>>,
    ) -> Option<<Touch<S> as Record>::Ref<'_>> {
        let (before, after) =
            self.shelves[shelf_of(sought.hash)].change(sought, |before| next(before.map(T::touch)).map(T::of));
        let after = after.map(T::touch);
        if before.is_some() || after.is_some() {
            if let (None, Some((at, _)), true) = (&before, after, T::TIMES_OUT) {
                self.touched.entry(at).or_default().push(sought.key());
            }
            let change = self.changes.back_mut().expect("states change between `begin` and `end`");
            change.push(sought, before);
        }
        after
    }

    /// The same outside of any version: part of what the table is made of.
    pub(crate) fn set(&mut self, key: &[u8], state: Option<Touch<S>>) {
        let sought = Sought::of(key);
        if let Some((at, _)) = state.as_ref().filter(|_| T::TIMES_OUT) {
            self.list(*at, sought.key());
        }
        self.change(&sought, |_| state.map(T::of));
    }

    fn change(&mut self, sought: &Sought<'_>, next: impl FnOnce(Option<&T>) -> Option<T>) {
        self.shelves[shelf_of(sought.hash)].change(sought, next);
    }

    /// The keys that were touched last in `until` or before, by their bytes. They are listed no more.
    pub(crate) fn touched_until(&mut self, until: u64) -> Vec<Key> {
        let later = until.checked_add(1).map(|first| self.touched.split_off(&first)).unwrap_or_default();
        let listed: Vec<Key> = std::mem::replace(&mut self.touched, later).into_values().flatten().collect();
        let mut due = Vec::new();
        for key in listed {
            match key.with(|key| self.get(key).map(|(at, _)| at)) {
                Some(at) if at <= until => due.push(key),
                Some(at) => self.list(at, key),
                None => {}
            }
        }
        due.sort_unstable_by(|one, other| one.with(|one| other.with(|other| one.cmp(other))));
        due.dedup();
        due
    }

    /// The key was touched in this interval.
    fn list(&mut self, at: u64, key: Key) {
        self.touched.entry(at).or_default().push(key);
    }

    /// The state of a key.
    pub fn get(&self, key: &[u8]) -> Option<<Touch<S> as Record>::Ref<'_>> {
        let sought = Sought::of(key);
        self.shelves[shelf_of(sought.hash)].get(&sought).map(T::touch)
    }

    /// Shows the states of the segment that interval `interval` writes where all are written in `segments` intervals, in
    /// an order that follows from them.
    pub fn visit_segment(
        &self,
        interval: u64,
        segments: NonZeroU64,
        visit: impl FnMut(Shown<'_>, <Touch<S> as Record>::Ref<'_>),
    ) {
        self.visit(segment_of(interval, segments.get()), visit);
    }

    /// Shows the states of some shelves in an order that follows from them.
    pub(crate) fn visit(&self, shelves: Range<usize>, mut visit: impl FnMut(Shown<'_>, <Touch<S> as Record>::Ref<'_>)) {
        let mut visit = |key: Shown<'_>, stored: &T| visit(key, stored.touch());
        self.shelves[shelves].iter().for_each(|shelf| shelf.visit(&mut visit));
    }

    /// Forgets the states of some shelves.
    pub(crate) fn clear(&mut self, shelves: Range<usize>) {
        self.shelves[shelves].iter_mut().for_each(Shelf::clear);
    }
}

/// The shelf of a hash.
#[inline]
pub(crate) fn shelf_of(hash: u64) -> usize {
    (hash >> 56) as usize
}

/// The shelf of a key.
#[inline]
pub(crate) fn shelf_of_key(key: &[u8]) -> usize {
    shelf_of(hash_of(key))
}

/// The shelves of the segment that interval `interval` writes, where all are written in `segments` intervals.
pub(crate) fn segment_of(interval: u64, segments: u64) -> Range<usize> {
    let number = u128::from(interval % segments);
    let first = |number: u128| (number * SHELVES as u128 / u128::from(segments)) as usize;
    first(number)..first(number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Some states, by the number of their key.
    type Model = BTreeMap<u16, u64>;

    /// Keys short and long.
    fn key(number: u16) -> Vec<u8> {
        let text = if number.is_multiple_of(5) { format!("a long key, number {number}") } else { number.to_string() };
        let mut key = Vec::new();
        String::put(&text, &mut key);
        key
    }

    /// All that the table shows, in its order.
    fn shown(table: &StateTable<u64>) -> Vec<(Vec<u8>, Touch<u64>)> {
        let mut shown = Vec::new();
        table.visit(0..SHELVES, |key, state| shown.push((key.with(<[u8]>::to_vec), state)));
        shown
    }

    /// A table that was made of these states alone, in one go.
    fn fresh(model: &Model) -> StateTable<u64> {
        let mut table = StateTable::new(model.len());
        model.iter().for_each(|(number, state)| table.set(&key(*number), Some((0, *state))));
        table
    }

    /// Each key gets a state, or loses it where the state is 0.
    fn apply(table: &mut StateTable<u64>, model: &mut Model, version: u64, updates: &BTreeMap<u16, u64>) {
        table.begin(version);
        for (number, state) in updates {
            let before = model.get(number).copied();
            let bytes = key(*number);
            let after = table.update(&Sought::of(&bytes), |held| {
                assert_eq!(held.map(|(_, state)| state), before);
                (*state > 0).then_some((0, *state))
            });
            assert_eq!(after.map(|(_, state)| state), Some(*state).filter(|state| *state > 0));
            if *state > 0 {
                model.insert(*number, *state)
            } else {
                model.remove(number)
            };
        }
        table.end();
    }

    fn updates() -> impl Strategy<Value = Vec<BTreeMap<u16, u64>>> {
        // Few keys with many changes and many keys with few: removals move entries back, growth moves them apart.
        let keys = prop_oneof![0..40u16, 0..6000u16];
        proptest::collection::vec(proptest::collection::btree_map(keys, 0..3u64, 0..300), 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_a_table_shows_follows_from_its_states_and_not_from_how_they_came(history in updates()) {
            let (mut table, mut model) = (StateTable::new(0), Model::new());
            for (updates, version) in history.iter().zip(0..) {
                apply(&mut table, &mut model, version, updates);
                prop_assert_eq!(shown(&table), shown(&fresh(&model)));
            }
            for number in 0..50u16 {
                prop_assert_eq!(table.get(&key(number)).map(|(_, state)| state), model.get(&number).copied());
            }
        }

        #[test]
        fn undoing_a_version_gives_back_what_was_before_it(history in updates()) {
            let (mut table, mut model) = (StateTable::new(0), Model::new());
            let mut behind = Vec::new();
            for (updates, version) in history.iter().zip(0..) {
                behind.push(shown(&table));
                apply(&mut table, &mut model, version, updates);
            }
            for (version, before) in behind.iter().enumerate().rev().take(MOST_VERSIONS_KEPT) {
                prop_assert_eq!(table.version(), Some(version as u64));
                prop_assert!(table.undo());
                prop_assert_eq!(&shown(&table), before);
            }
            prop_assert!(!table.undo());
        }
    }

    #[test]
    fn what_a_table_says_that_it_takes_follows_from_what_came_and_not_from_where_its_memory_is() {
        let mut others = Vec::new();
        let mut bytes = |round: usize| {
            let mut table: StateTable<u64, Timeless<u64>> = StateTable::new(0);
            for number in 0..20_000u64 {
                let mut key = Vec::new();
                u64::put(number, &mut key);
                table.set(&key, Some((0, number)));
                // Other memory that comes and goes between moves what is asked for next.
                others.push(vec![0u8; 16 + (number as usize * 7 + round * 16) % 160]);
                if others.len() > 500 {
                    others.swap_remove(number as usize % 500);
                }
            }
            table.bytes()
        };
        let first = bytes(0);
        for round in 1..8 {
            assert_eq!(bytes(round), first, "{round}");
        }
    }

    #[test]
    fn removals_leave_nothing_behind() {
        let (mut table, mut model) = (StateTable::new(0), Model::new());
        for version in 0..400 {
            // Every version brings 50 keys and takes those of two versions before.
            let first = version as u16 * 50;
            let mut updates: BTreeMap<u16, u64> = (first..first + 50).map(|number| (number, 1)).collect();
            updates.extend((first.saturating_sub(100)..first.saturating_sub(50)).map(|number| (number, 0)));
            apply(&mut table, &mut model, version, &updates);
        }
        let slots: usize = table.shelves.iter().map(Shelf::slots).sum();
        assert!(slots < SHELVES * 12, "{slots} slots for {} keys", model.len());
    }

    #[test]
    fn a_table_that_broke_off_is_dirty_and_takes_no_more() {
        let mut table: StateTable<u64> = StateTable::new(0);
        table.begin(0);
        table.update(&Sought::of(&key(1)), |_| Some((0, 1)));
        let again = std::panic::AssertUnwindSafe(|| table.begin(1));
        assert!(std::panic::catch_unwind(again).is_err());
        assert!(table.is_dirty());
    }

    #[test]
    fn segments_are_all_shelves_once() {
        for segments in [1, 3, 32, 256, 300] {
            let all: Vec<usize> = (7..7 + segments).flat_map(|interval| segment_of(interval, segments)).collect();
            let mut once = all.clone();
            once.sort_unstable();
            assert_eq!(once, (0..SHELVES).collect::<Vec<_>>(), "{segments}");
        }
    }
}
