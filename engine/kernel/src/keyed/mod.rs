//! What a keyed stream can keep from interval to interval, one operator per file: windows with and without an inverse,
//! everything from the start, states by a user's function.
//!
//! Knows no engine: a fold is a pure function of this interval's slices and of the panes of earlier intervals. Invariant:
//! panes are row blocks by the bytes of their keys (of a state in place, by the hashes), so equal sets of rows are equal
//! bytes.

pub(crate) mod in_place;
pub(crate) mod invertible;
pub(crate) mod loose;
pub(crate) mod map_with_state;
pub(crate) mod maybe;
pub(crate) mod running;
pub(crate) mod state;
pub(crate) mod touched;
pub(crate) mod track;
pub(crate) mod window;

use crate::query::Kept;
use crate::record::Record;
use std::num::NonZeroU64;

/// A pane of the interval before.
pub(crate) fn kept_once<R: Record>(label: &str) -> Kept {
    Kept { label: label.to_owned(), rows: R::type_name(), back: 1..=1 }
}

/// The pane of `length` intervals ago.
pub(crate) fn kept_leaving<R: Record>(label: &str, length: NonZeroU64) -> Kept {
    Kept { label: label.to_owned(), rows: R::type_name(), back: length.get()..=length.get() }
}
