//! Reading panes side by side: cursors over row blocks whose rows stand in the order of their keys.
//!
//! Knows encodings, not what panes are for. Invariant: a cursor that meets a key out of order reports the block as
//! damaged, so a merge never makes a pane that is out of order.

use crate::query::TaskError;
use crate::record::Record;
use crate::rows::{Keyed, Rows, decode_rows};

/// A cursor over the pairs of a pane.
pub(crate) struct Pane<'a, K: Record, V: Record> {
    rows: Rows<'a, (K, V)>,
    next: Option<Keyed<'a, V>>,
    count: u64,
}

impl<'a, K: Record, V: Record> Pane<'a, K, V> {
    /// A cursor at the first pair.
    pub(crate) fn open(block: &'a [u8]) -> Result<Pane<'a, K, V>, TaskError> {
        let mut rows = decode_rows::<(K, V)>(block)?;
        let count = rows.left();
        let next = rows.next_keyed()?;
        Ok(Pane { rows, next, count })
    }

    /// How many pairs the pane has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The encoded key of the next pair.
    #[inline]
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        self.next.as_ref().map(|next| next.bytes)
    }

    /// The error that says `what` is wrong here.
    #[cold]
    pub(crate) fn corrupt(&self, what: &'static str) -> TaskError {
        self.rows.corrupt(what)
    }

    /// The next pair if it has this key.
    #[inline]
    pub(crate) fn take(&mut self, key: &[u8]) -> Result<Option<Keyed<'a, V>>, TaskError> {
        if self.key() != Some(key) {
            return Ok(None);
        }
        let taken = std::mem::replace(&mut self.next, self.rows.next_keyed()?);
        if self.key().is_some_and(|next| next <= key) {
            return Err(self.corrupt("the keys of a pane are not in order"));
        }
        Ok(taken)
    }
}

/// The least of the keys.
#[inline]
pub(crate) fn least<const PANES: usize>(keys: [Option<&[u8]>; PANES]) -> Option<&[u8]> {
    keys.into_iter().flatten().min()
}
