//! State in place: one flat table for each partition of a state, tagged with the interval whose state it is.
//!
//! Knows no operator. A table is a cache of what panes say: [`crate::keyed::in_place`] makes it again of them wherever it
//! is missing. Invariant: a table that is not dirty holds, bit for bit, what the panes of its version make.

pub(crate) mod key;
pub(crate) mod order;
pub(crate) mod shelf;
pub(crate) mod slots;
pub(crate) mod table;

use std::any::Any;

/// A partition's state in place, from one task of a stage to the next. Empty at first, and where it was thrown away.
#[derive(Default)]
pub struct HeldState(Option<Tagged>);

/// A table with the interval whose state it is; `None`: behind none.
struct Tagged {
    version: Option<u64>,
    bytes: u64,
    table: Box<dyn Any + Send>,
}

impl HeldState {
    /// The table, if it is one of this type.
    pub(crate) fn take<T: Any + Send>(&mut self) -> Option<Box<T>> {
        self.0.take().and_then(|held| held.table.downcast::<T>().ok())
    }

    /// A table which takes so much memory.
    pub(crate) fn put<T: Any + Send>(&mut self, version: Option<u64>, bytes: u64, table: Box<T>) {
        self.0 = Some(Tagged { version, bytes, table });
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |held| held.bytes)
    }

    /// Whether there is nothing in it: the next task makes its state of panes.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The interval whose state it is.
    pub fn version(&self) -> Option<u64> {
        self.0.as_ref().and_then(|held| held.version)
    }
}
