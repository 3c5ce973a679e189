//! What stays in memory: which of the things that a worker holds leave it for the disk, and which come back.
//!
//! Knows numbers and sizes, neither bytes nor a disk. Invariants: whatever is in memory beyond the limit is read by somebody
//! or on its way to the disk; what is read stays; what leaves memory is on the disk.
//!
//! ```text
//! kept -> FRESH --too much is fresh--> WRITING --written--> CLEAN --too much is held--> AWAY
//!           ^---------- the disk refused --'                  ^-- READING <-- somebody reads it
//! cached -> CACHED --too much is held--> gone: whoever wants it makes it again
//! ```
//!
//! The least recently used goes first. Most of the limit may be fresh; what is more is written before room is needed, so
//! that room can be made at once.

use dstream_cluster::core::Core;
use dstream_trace::Moment;
use std::collections::{BTreeMap, BTreeSet};

/// A thing that a worker holds; a number is never used again.
pub type Thing = u64;

/// Of four parts of the limit so many may be fresh. Fewer, and things are written that would have been forgotten before
/// anybody needed their room; with all four, whoever needs room waits for the disk.
const FRESH_QUARTERS: u64 = 3;

/// What happens to things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryEvent {
    /// Bytes that are nowhere else came into memory.
    Kept {
        /// The new thing.
        thing: Thing,
        /// Its size.
        bytes: u64,
    },
    /// What can be made again of other things came into memory: it is never written, it is dropped.
    Cached {
        /// The new thing.
        thing: Thing,
        /// Its size.
        bytes: u64,
    },
    /// Somebody reads it from now on.
    Pinned(Thing),
    /// One of those who read it does so no more.
    Released(Thing),
    /// Nobody will ask for it again; who reads it goes on.
    Forgotten(Thing),
    /// The disk took it, or did not.
    Written {
        /// The thing.
        thing: Thing,
        /// Whether it is there.
        done: bool,
    },
    /// The disk gave it, or does not.
    Read {
        /// The thing.
        thing: Thing,
        /// Whether its bytes are in memory.
        done: bool,
    },
}

/// What is to be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAction {
    /// Write it to the disk, then report [`MemoryEvent::Written`]. It stays in memory until it is dropped.
    Write(Thing),
    /// Read it from the disk, then report [`MemoryEvent::Read`].
    Read(Thing),
    /// Its bytes leave memory.
    Drop(Thing),
    /// It goes from the disk.
    Remove(Thing),
    /// The disk does not give it: nobody has it.
    Lost(Thing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In memory alone.
    Fresh,
    /// In memory, and on its way to the disk.
    Writing,
    /// In memory and on the disk.
    Clean,
    /// On the disk alone.
    Away,
    /// On its way from the disk; its room in memory is taken.
    Reading,
    /// In memory alone, and no loss.
    Cached,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    place: Place,
    readers: u32,
    /// When it was used last, counted in uses.
    used: u64,
    forgotten: bool,
}

/// The policy.
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    uses: u64,
    things: BTreeMap<Thing, Held>,
    /// Things that nobody reads, by their last use: fresh ones, and those of which memory has nothing that is nowhere else.
    idle_fresh: BTreeSet<(u64, Thing)>,
    idle_clean: BTreeSet<(u64, Thing)>,
    in_memory: u64,
    fresh: u64,
    writing: u64,
}

impl Memory {
    /// Things of `limit` bytes together stay in memory.
    pub fn new(limit: u64) -> Memory {
        let (things, idle_fresh, idle_clean) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Memory { limit, uses: 0, things, idle_fresh, idle_clean, in_memory: 0, fresh: 0, writing: 0 }
    }

    /// Takes a thing out of all sums and sets.
    fn take(&mut self, thing: Thing) -> Option<Held> {
        let held = self.things.remove(&thing)?;
        self.idle_fresh.remove(&(held.used, thing));
        self.idle_clean.remove(&(held.used, thing));
        self.in_memory -= if held.place == Place::Away { 0 } else { held.bytes };
        self.fresh -= if held.place == Place::Fresh { held.bytes } else { 0 };
        self.writing -= if held.place == Place::Writing { held.bytes } else { 0 };
        Some(held)
    }

    /// Puts it back, changed.
    fn put(&mut self, thing: Thing, held: Held) {
        self.in_memory += if held.place == Place::Away { 0 } else { held.bytes };
        self.fresh += if held.place == Place::Fresh { held.bytes } else { 0 };
        self.writing += if held.place == Place::Writing { held.bytes } else { 0 };
        if held.readers == 0 {
            match held.place {
                Place::Fresh => _ = self.idle_fresh.insert((held.used, thing)),
                Place::Clean | Place::Cached => _ = self.idle_clean.insert((held.used, thing)),
                Place::Writing | Place::Away | Place::Reading => {}
            }
        }
        self.things.insert(thing, held);
    }

    fn change(&mut self, thing: Thing, change: impl FnOnce(&mut Held)) {
        if let Some(mut held) = self.take(thing) {
            change(&mut held);
            self.put(thing, held);
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn keep(&mut self, thing: Thing, bytes: u64, place: Place) {
        let used = self.next_use();
        self.put(thing, Held { bytes, place, readers: 0, used, forgotten: false });
    }

    fn pin(&mut self, thing: Thing, actions: &mut Vec<MemoryAction>) {
        let used = self.next_use();
        self.change(thing, |held| {
            held.readers += 1;
            held.used = used;
            if held.place == Place::Away {
                held.place = Place::Reading;
                actions.push(MemoryAction::Read(thing));
            }
        });
    }

    fn read(&mut self, thing: Thing, done: bool, actions: &mut Vec<MemoryAction>) {
        if done {
            return self.change(thing, |held| held.place = Place::Clean);
        }
        if self.take(thing).is_some() {
            actions.extend([MemoryAction::Lost(thing), MemoryAction::Remove(thing)]);
        }
    }

    /// A forgotten thing goes when nobody reads it and nothing of it is under way.
    fn let_go(&mut self, thing: Thing, actions: &mut Vec<MemoryAction>) {
        let Some(held) = self.things.get(&thing).copied() else { return };
        if !held.forgotten || held.readers > 0 || matches!(held.place, Place::Writing | Place::Reading) {
            return;
        }
        self.take(thing);
        if held.place != Place::Away {
            actions.push(MemoryAction::Drop(thing));
        }
        if !matches!(held.place, Place::Fresh | Place::Cached) {
            actions.push(MemoryAction::Remove(thing));
        }
    }

    fn make_room(&mut self, actions: &mut Vec<MemoryAction>) {
        while self.in_memory > self.limit
            && let Some((_, thing)) = self.idle_clean.first().copied()
        {
            if self.things.get(&thing).is_some_and(|held| held.place == Place::Cached) {
                self.take(thing);
            } else {
                self.change(thing, |held| held.place = Place::Away);
            }
            actions.push(MemoryAction::Drop(thing));
        }
        let most_fresh = self.limit / 4 * FRESH_QUARTERS;
        while (self.fresh > most_fresh || self.in_memory - self.writing > self.limit)
            && let Some((_, thing)) = self.idle_fresh.first().copied()
        {
            self.change(thing, |held| held.place = Place::Writing);
            actions.push(MemoryAction::Write(thing));
        }
    }
}

impl Core for Memory {
    type Event = MemoryEvent;
    type Action = MemoryAction;

    fn step(&mut self, _now: Moment, event: MemoryEvent, actions: &mut Vec<MemoryAction>) {
        match event {
            MemoryEvent::Kept { thing, bytes } => self.keep(thing, bytes, Place::Fresh),
            MemoryEvent::Cached { thing, bytes } => self.keep(thing, bytes, Place::Cached),
            MemoryEvent::Pinned(thing) => self.pin(thing, actions),
            MemoryEvent::Released(thing) => {
                self.change(thing, |held| held.readers = held.readers.saturating_sub(1));
                self.let_go(thing, actions);
            }
            MemoryEvent::Forgotten(thing) => {
                self.change(thing, |held| held.forgotten = true);
                self.let_go(thing, actions);
            }
            MemoryEvent::Written { thing, done } => {
                self.change(thing, |held| held.place = if done { Place::Clean } else { Place::Fresh });
                self.let_go(thing, actions);
            }
            MemoryEvent::Read { thing, done } => {
                self.read(thing, done, actions);
                self.let_go(thing, actions);
            }
        }
        self.make_room(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }
}

#[cfg(test)]
mod tests;
