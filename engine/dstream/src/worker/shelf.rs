//! The shelf: the bytes of what a worker holds, in memory or on the node's disk.
//!
//! Does what the policy in [`super::memory`] decides; without one all stays in memory. Knows no protocol. Invariants: the
//! bytes of a thing never change; bytes that are lent stay in memory as long as whoever has them has them, and are counted
//! there until then.

use crate::worker::memory::{MemoryAction, MemoryEvent, Thing};
use bytes::Bytes;
use dstream_cluster::core::BoxCore;
use dstream_host::Clock;
use dstream_kernel::HeldState;
use dstream_trace::Event;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What decides what stays in memory.
pub type MemoryCore = BoxCore<MemoryEvent, MemoryAction>;

struct Entry {
    /// Its bytes, while they are in memory.
    parts: Option<Vec<Bytes>>,
    lengths: Vec<usize>,
    /// Whether it is a state that can be made again of panes, instead of bytes; and that, unless it was handed out.
    is_state: bool,
    state: Option<HeldState>,
    /// For how many bytes it counts.
    bytes: u64,
    forgotten: bool,
}

/// What there is to do at the disk.
#[derive(Debug)]
pub enum Move {
    /// Write these parts, which count for so many bytes.
    Write(Thing, Vec<Bytes>, u64),
    /// Read what counts for so many bytes.
    Read(Thing, u64),
    /// Remove.
    Remove(Thing),
}

/// What came of it.
#[derive(Debug)]
pub enum Moved {
    /// The disk has it, or does not take it.
    Written(Thing, bool),
    /// Its bytes; nothing if the disk does not give them.
    Read(Thing, Option<Bytes>),
    /// It is gone from the disk.
    Removed,
}

/// The things that are read no more, to be told to the policy; and the bell that wakes whoever does.
#[derive(Default)]
struct Releases {
    /// As many as are lent at one time, at most.
    things: Mutex<Vec<Thing>>,
    bell: Arc<Notify>,
}

/// Keeps a thing in memory. Clones are the same pin.
#[derive(Clone)]
pub struct Pin {
    thing: Thing,
    _hold: Option<Arc<Hold>>,
}

struct Hold {
    thing: Thing,
    releases: Arc<Releases>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.releases.things).push(self.thing);
        self.releases.bell.notify_one();
    }
}

/// Bytes that are lent.
struct Lent {
    bytes: Bytes,
    _pin: Pin,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under this lock is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a limit needs.
struct Limited {
    core: MemoryCore,
    clock: Arc<dyn Clock>,
    releases: Arc<Releases>,
    /// A thing is in these at most once, since the policy waits for the disk's answer.
    reads: VecDeque<Thing>,
    writes: VecDeque<Move>,
    in_memory: u64,
    most: u64,
}

/// The bytes of all things.
#[derive(Default)]
pub struct Shelf {
    things: BTreeMap<Thing, Entry>,
    next: Thing,
    limited: Option<Limited>,
}

impl Shelf {
    /// A shelf of which `core` decides what stays in memory.
    pub fn limited(core: MemoryCore, clock: Arc<dyn Clock>) -> Shelf {
        let (reads, writes) = (VecDeque::new(), VecDeque::new());
        let limited = Limited { core, clock, releases: Arc::default(), reads, writes, in_memory: 0, most: 0 };
        Shelf { limited: Some(limited), ..Shelf::default() }
    }

    /// Whether something decides what stays in memory.
    pub fn is_limited(&self) -> bool {
        self.limited.is_some()
    }

    /// Rings when there may be something to do at the disk; nothing where nothing ever is.
    pub fn bell(&self) -> Option<Arc<Notify>> {
        self.limited.as_ref().map(|limited| limited.releases.bell.clone())
    }

    /// Keeps a new thing, which counts for `bytes`.
    pub fn keep(&mut self, parts: Vec<Bytes>, bytes: u64) -> Thing {
        let thing = self.next;
        self.next += 1;
        let lengths = parts.iter().map(Bytes::len).collect();
        let entry = Entry { parts: Some(parts), lengths, is_state: false, state: None, bytes, forgotten: false };
        self.put(thing, entry, MemoryEvent::Kept { thing, bytes });
        thing
    }

    /// Keeps a state as long as there is room for it.
    pub fn keep_state(&mut self, state: HeldState) -> Thing {
        let (thing, bytes) = (self.next, state.bytes());
        self.next += 1;
        let (lengths, state) = (Vec::new(), Some(state));
        let entry = Entry { parts: None, lengths, is_state: true, state, bytes, forgotten: false };
        self.put(thing, entry, MemoryEvent::Cached { thing, bytes });
        thing
    }

    fn put(&mut self, thing: Thing, entry: Entry, event: MemoryEvent) {
        let bytes = entry.bytes;
        self.things.insert(thing, entry);
        if let Some(limited) = &mut self.limited {
            limited.in_memory += bytes;
        }
        self.step(event);
        if let Some(limited) = &mut self.limited {
            limited.most = limited.most.max(limited.in_memory);
        }
    }

    /// Hands a state out, if it is still there. It counts until the pin is dropped, and is forgotten then.
    pub fn take_state(&mut self, thing: Thing) -> Option<(HeldState, Pin)> {
        self.things.get(&thing)?;
        let pin = self.pin(thing);
        let state = self.things.get_mut(&thing)?.state.take();
        self.forget(thing);
        Some((state?, pin))
    }

    /// Nobody will ask for it again.
    pub fn forget(&mut self, thing: Thing) {
        match (&self.limited, self.things.get_mut(&thing)) {
            (None, _) => drop(self.things.remove(&thing)),
            (Some(_), Some(entry)) => {
                entry.forgotten = true;
                self.step(MemoryEvent::Forgotten(thing));
            }
            (Some(_), None) => {} // the disk had it, and lost it
        }
    }

    /// It stays in memory, or comes back, until the pin and all that is lent on it are dropped.
    pub fn pin(&mut self, thing: Thing) -> Pin {
        let releases = self.limited.as_ref().map(|limited| limited.releases.clone());
        self.step(MemoryEvent::Pinned(thing));
        Pin { thing, _hold: releases.map(|releases| Arc::new(Hold { thing, releases })) }
    }

    /// Whether it is on its way from the disk.
    pub fn is_coming(&self, pin: &Pin) -> bool {
        self.things.get(&pin.thing).is_some_and(|entry| entry.parts.is_none())
    }

    /// Its parts; nothing if nobody has them.
    pub fn lend(&self, pin: &Pin) -> Option<Vec<Bytes>> {
        let parts = self.things.get(&pin.thing)?.parts.as_ref()?;
        if self.limited.is_none() {
            return Some(parts.clone());
        }
        let lend = |bytes: &Bytes| Bytes::from_owner(Lent { bytes: bytes.clone(), _pin: pin.clone() });
        Some(parts.iter().map(lend).collect())
    }

    // -- the disk ------------------------------------------------------------------------------------------------

    /// The next thing to be read.
    pub fn next_read(&mut self) -> Option<Move> {
        self.drain_releases();
        let thing = self.limited.as_mut()?.reads.pop_front()?;
        Some(Move::Read(thing, self.things.get(&thing).map_or(0, |entry| entry.bytes)))
    }

    /// The next thing to be written or removed.
    pub fn next_write(&mut self) -> Option<Move> {
        self.drain_releases();
        loop {
            let next = self.limited.as_mut()?.writes.pop_front()?;
            match next {
                // Forgotten while it waited.
                Move::Write(thing, ..) if self.things.get(&thing).is_none_or(|entry| entry.forgotten) => {
                    self.step(MemoryEvent::Written { thing, done: false });
                }
                next => return Some(next),
            }
        }
    }

    /// The disk has done something. What the log is to say of it.
    pub fn moved(&mut self, moved: Moved) -> Option<Event> {
        let most_held = self.limited.as_ref()?.most;
        match moved {
            Moved::Written(thing, done) => {
                let bytes = self.things.get(&thing).map(|entry| entry.bytes);
                self.step(MemoryEvent::Written { thing, done });
                bytes.filter(|_| done).map(|bytes| Event::Spilled { bytes, most_held })
            }
            Moved::Read(thing, found) => {
                let bytes = found.and_then(|found| self.put_back(thing, &found));
                self.step(MemoryEvent::Read { thing, done: bytes.is_some() });
                let most_held = self.limited.as_ref()?.most;
                bytes.map(|bytes| Event::Loaded { bytes, most_held })
            }
            Moved::Removed => None,
        }
    }

    /// Cuts into its parts what came from the disk. For how many bytes it counts; nothing if it is not what was put there.
    fn put_back(&mut self, thing: Thing, found: &Bytes) -> Option<u64> {
        let entry = self.things.get_mut(&thing)?;
        if entry.lengths.iter().sum::<usize>() != found.len() {
            return None;
        }
        let mut at = 0;
        let part = |length: &usize| {
            at += length;
            found.slice(at - length..at)
        };
        entry.parts = Some(entry.lengths.iter().map(part).collect());
        let limited = self.limited.as_mut()?;
        limited.in_memory += entry.bytes;
        limited.most = limited.most.max(limited.in_memory);
        Some(entry.bytes)
    }

    // -- the policy ----------------------------------------------------------------------------------------------

    fn drain_releases(&mut self) {
        let Some(limited) = &self.limited else { return };
        let released = std::mem::take(&mut *lock(&limited.releases.things));
        for thing in released {
            self.decide(MemoryEvent::Released(thing));
        }
    }

    /// Tells the policy of those first who read no more: they may have what this needs.
    fn step(&mut self, event: MemoryEvent) {
        self.drain_releases();
        self.decide(event);
    }

    fn decide(&mut self, event: MemoryEvent) {
        let Some(limited) = &mut self.limited else { return };
        let mut actions = Vec::new();
        limited.core.step(limited.clock.now(), event, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: MemoryAction) {
        let Some(limited) = &mut self.limited else { return };
        match action {
            MemoryAction::Write(thing) => {
                let Some(entry) = self.things.get(&thing) else { return };
                let parts = entry.parts.clone().unwrap_or_default();
                limited.writes.push_back(Move::Write(thing, parts, entry.bytes));
                limited.releases.bell.notify_one();
            }
            MemoryAction::Read(thing) => {
                limited.reads.push_back(thing);
                limited.releases.bell.notify_one();
            }
            MemoryAction::Drop(thing) => {
                let Some(entry) = self.things.get_mut(&thing) else { return };
                if entry.parts.take().is_some() || entry.is_state {
                    limited.in_memory -= entry.bytes;
                }
                if entry.forgotten || entry.is_state {
                    self.things.remove(&thing);
                }
            }
            MemoryAction::Remove(thing) => {
                self.things.remove(&thing);
                limited.writes.push_front(Move::Remove(thing));
                limited.releases.bell.notify_one();
            }
            MemoryAction::Lost(thing) => drop(self.things.remove(&thing)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
