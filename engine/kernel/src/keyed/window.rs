//! `reduce_by_key_and_window`: the panes of a window, folded together again for every result.
//!
//! Folding through a table beats merging the sorted panes: with 30 panes of 100,000 keys a merge compares keys five times a
//! row, the table hashes them once. Invariant: what one interval adds to its window is in its pane and nowhere else.

use crate::combine::Reduce;
use crate::program::{Fold, Folded, OpenInterval, Reads};
use crate::query::{Counts, Kept, TaskError};
use crate::record::Record;
use crate::rows::RowBuffer;
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
        let (label, rows) = ("values".to_owned(), <(K, V)>::type_name());
        vec![Kept { label, rows, back: 1..=self.window.length.get() - 1 }]
    }

    fn reach(&self) -> Option<u64> {
        Some(self.window.length.get() - 1)
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(self.reduce.open_table(scratch))
    }

    fn fold(
        &self,
        values: RowBuffer,
        reads: Reads<'_>,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let kept: Vec<Bytes> = reads.past.iter().map(|_| values.block()).collect();
        let mut rows = values;
        if !is_due(reads.interval, self.window.slide) {
            rows.clear();
        } else if let ([past], [values]) = (reads.past, &*kept) {
            scratch.keep_buffer(rows);
            let mut all = self.reduce.open_table(scratch);
            past.iter().try_for_each(|pane| all.add(pane, &mut counts.rows_applied))?;
            all.add(values, &mut 0)?;
            rows = all.finish(scratch);
        }
        Ok(Folded { rows, kept })
    }
}
