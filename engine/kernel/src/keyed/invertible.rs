//! `reduce_by_key_and_window_invertible`: the window before, and this interval's values, without those that leave.
//!
//! A step costs a pass over the window, however many panes it has. Invariant: with an exact inverse its rows are, byte for
//! byte, those of the window without an inverse.

use crate::combine::{Reduce, put_row};
use crate::keyed::{kept_leaving, kept_once};
use crate::pane::{Pane, least};
use crate::program::{Fold, Folded, OpenInterval, Reads};
use crate::query::{Counts, Kept, TaskError};
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::scratch::Scratch;
use crate::window::{Window, is_due};
use std::sync::Arc;

/// Both sides of a window with an inverse; the side before the shuffle is that of a `reduce_by_key`.
pub(crate) struct Invertible<K, V, F, I, P> {
    pub(crate) reduce: Reduce<K, V, F>,
    pub(crate) inverse: Arc<I>,
    /// Whether anything remains of a value.
    pub(crate) keeps: Arc<P>,
    pub(crate) window: Window,
}

impl<K: Record, V: Record, F, I, P> Fold for Invertible<K, V, F, I, P>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
    I: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
    P: for<'x> Fn(V::Ref<'x>) -> bool + Send + Sync + 'static,
{
    fn kept(&self) -> Vec<Kept> {
        if self.window.is_one_interval() {
            return Vec::new();
        }
        vec![kept_leaving::<(K, V)>("values", self.window.length), kept_once::<(K, V)>("window")]
    }

    fn reach(&self) -> Option<u64> {
        Some(self.window.length.get() - 1)
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(self.reduce.open_table(scratch))
    }

    fn fold(
        &self,
        mut rows: RowBuffer,
        reads: Reads<'_>,
        _scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let mut kept = Vec::new();
        if let [leaving, before] = reads.past {
            let values = rows.block();
            rows.clear();
            let mut step = Step {
                before: Pane::open(&before[0])?,
                entering: Pane::open(&values)?,
                leaving: Pane::open(&leaving[0])?,
            };
            counts.rows_applied += step.entering.count() + step.leaving.count();
            while step.next(self, &mut rows)? {}
            kept = vec![values, rows.block()];
        }
        if !is_due(reads.interval, self.window.slide) {
            rows.clear();
        }
        Ok(Folded { rows, kept })
    }
}

/// A window on its way to the next interval.
struct Step<'a, K: Record, V: Record> {
    before: Pane<'a, K, V>,
    entering: Pane<'a, K, V>,
    leaving: Pane<'a, K, V>,
}

impl<K: Record, V: Record> Step<'_, K, V> {
    /// Appends the next key's row, if any remains; false at the end.
    fn next<F, I, P>(&mut self, fold: &Invertible<K, V, F, I, P>, rows: &mut RowBuffer) -> Result<bool, TaskError>
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
        I: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
        P: for<'x> Fn(V::Ref<'x>) -> bool,
    {
        let Some(key) = least([self.before.key(), self.entering.key(), self.leaving.key()]) else { return Ok(false) };
        let before = self.before.take(key)?.map(|pair| pair.value);
        let entering = self.entering.take(key)?.map(|pair| pair.value);
        let leaving = self.leaving.take(key)?.map(|pair| pair.value);
        let mut put = |value: V::Ref<'_>| {
            if (fold.keeps)(value) {
                rows.push_with(|rows| put_row::<V>(key, value, rows));
            }
        };
        match (before, entering, leaving) {
            (Some(before), None, None) => put(before),
            (Some(before), Some(entering), None) => put((fold.reduce.function)(before, entering).borrowed()),
            (Some(before), None, Some(leaving)) => put((fold.inverse)(before, leaving).borrowed()),
            (Some(before), Some(entering), Some(leaving)) => {
                let with = (fold.reduce.function)(before, entering);
                put((fold.inverse)(with.borrowed(), leaving).borrowed());
            }
            (None, _, Some(leaving)) if (fold.keeps)(leaving) => return Err(self.leaving.corrupt(NOT_HELD)),
            (None, Some(entering), _) => put(entering),
            (None, None, _) => {}
        }
        Ok(true)
    }
}

/// Either the panes do not belong together, or the user's predicate is wrong.
const NOT_HELD: &str =
    "a value leaves a window that does not hold its key (did `keeps` drop a value of which something remained?)";
