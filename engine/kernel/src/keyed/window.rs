//! `reduce_by_key_and_window`: the panes of a window, folded together again for every result.
//!
//! Folding through a table beats merging the sorted panes: with 30 panes of 100,000 keys a merge compares keys five times a
//! row, the table hashes them once. Invariant: what one interval adds to its window is in its pane and nowhere else.

use crate::combine::Reduce;
use crate::program::{Fold, Folded, Reads};
use crate::query::{Counts, Kept, TaskError};
use crate::record::Record;
use crate::scratch::Scratch;
use crate::window::{Window, is_due};
use bytes::Bytes;

/// Both sides of a window without an inverse; the side before the shuffle is that of a `reduce_by_key`.
pub(crate) struct Windowed<K, V, F> {
    pub(crate) reduce: Reduce<K, V, F>,
    pub(crate) window: Window,
}

impl<K: Record, V: Record, F> Fold for Windowed<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn kept(&self) -> Vec<Kept> {
        if self.window.is_one_interval() {
            return Vec::new();
        }
        vec![Kept { label: "values".to_owned(), back: 1..=self.window.length.get() - 1 }]
    }

    fn fold(&self, reads: Reads<'_>, scratch: &mut Scratch, counts: &mut Counts) -> Result<Folded, TaskError> {
        let mut rows = self.reduce.fold_blocks(reads.slices, scratch, &mut counts.rows_in)?;
        let kept: Vec<Bytes> = reads.past.iter().map(|_| rows.block()).collect();
        if !is_due(reads.interval, self.window.slide) {
            rows.clear();
        } else if let ([past], [values]) = (reads.past, &*kept) {
            let (own, mut rows_read) = (rows.count(), 0);
            scratch.keep_buffer(rows);
            rows = self.reduce.fold_blocks(past.iter().chain([values]), scratch, &mut rows_read)?;
            counts.rows_applied += rows_read - own;
        }
        Ok(Folded { rows, kept })
    }
}
