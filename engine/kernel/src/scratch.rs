//! Memory that a worker keeps from task to task: fresh multi-megabyte tables for every task would cost half as much again
//! as the counting itself.
//!
//! Invariant: nothing of a task is visible to the next. What a task takes out of here it owns; it comes back cleared or,
//! after a panic, not at all.

use crate::arena::Arena;
use crate::held::order::Place;
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::table::Table;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Records that an operator is handed in one call where nobody says otherwise: one dynamic call is then lost among the
/// work, and a chunk of strings fits the first-level cache.
const CHUNK: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
/// Bytes that a kept row buffer may hold at most.
const MOST_BUFFER_BYTES_KEPT: usize = 4 << 20;
/// Row buffers kept at most.
const MOST_BUFFERS_KEPT: usize = 1024;
/// Lists of places kept at most: a task sorts one with the help of another.
const MOST_PLACES_KEPT: usize = 2;

/// Tables of one type kept at most. A task uses one at a time; of continuous operators each has one for each of its open
/// intervals, so that no more are kept than were in use at the same time.
const MOST_TABLES_KEPT: usize = 32;

/// Tables and buffers that a worker keeps from task to task, and how many records it hands an operator at a time.
pub struct Scratch {
    chunk: NonZeroUsize,
    arena: Arena,
    /// By type, the last one given back first.
    tables: BTreeMap<TypeId, Vec<Box<dyn Any + Send>>>,
    buffers: Vec<RowBuffer>,
    places: Vec<Vec<Place>>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::with_chunk(CHUNK)
    }
}

impl Scratch {
    /// Scratch memory of a worker that hands operators at most `chunk` records at a time. Results do not depend on it;
    /// a chunk of 1 is what a record-at-a-time engine does.
    pub fn with_chunk(chunk: NonZeroUsize) -> Scratch {
        Scratch { chunk, arena: Arena::default(), tables: BTreeMap::new(), buffers: Vec::new(), places: Vec::new() }
    }

    pub(crate) fn chunk(&self) -> usize {
        self.chunk.get()
    }

    /// An empty arena.
    pub(crate) fn take_arena(&mut self) -> Arena {
        std::mem::take(&mut self.arena)
    }

    pub(crate) fn keep_arena(&mut self, mut arena: Arena) {
        arena.clear();
        self.arena = arena;
    }

    /// An empty table.
    pub(crate) fn take_table<V: Record>(&mut self, seed: u64) -> Table<V> {
        let kept = self.tables.get_mut(&TypeId::of::<Table<V>>()).and_then(Vec::pop);
        let mut table = match kept.and_then(|table| table.downcast::<Table<V>>().ok()) {
            Some(table) => *table,
            None => Table::new(),
        };
        table.seed(seed);
        table
    }

    pub(crate) fn keep_table<V: Record>(&mut self, mut table: Table<V>) {
        if table.clear() {
            let kept = self.tables.entry(TypeId::of::<Table<V>>()).or_default();
            if kept.len() < MOST_TABLES_KEPT {
                kept.push(Box::new(table));
            }
        }
    }

    /// An empty row buffer.
    pub(crate) fn take_buffer(&mut self) -> RowBuffer {
        self.buffers.pop().unwrap_or_default()
    }

    /// A list of places that no longer mean anything.
    pub(crate) fn take_places(&mut self) -> Vec<Place> {
        self.places.pop().unwrap_or_default()
    }

    pub(crate) fn keep_places(&mut self, places: Vec<Place>) {
        if size_of_val(&*places) <= MOST_BUFFER_BYTES_KEPT && self.places.len() < MOST_PLACES_KEPT {
            self.places.push(places);
        }
    }

    pub(crate) fn keep_buffer(&mut self, mut buffer: RowBuffer) {
        if buffer.capacity() <= MOST_BUFFER_BYTES_KEPT && self.buffers.len() < MOST_BUFFERS_KEPT {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
