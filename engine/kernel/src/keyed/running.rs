//! `running_reduce_by_key`: everything from the start, one value for each key that ever came.
//!
//! Invariant: the state after interval `i` is the reduction of all values up to and including it.

use crate::combine::{Reduce, put_row};
use crate::held::table::Timeless;
use crate::keyed::in_place::InPlace;
use crate::keyed::kept_once;
use crate::keyed::loose::Loose;
use crate::keyed::touched::Visit;
use crate::pane::{Pane, least};
use crate::program::{Fold, Folded, OpenInterval, Reads};
use crate::query::{Counts, Kept, TaskError};
use crate::record::Record;
use crate::rows::RowBuffer;
use crate::scratch::Scratch;
use crate::window::is_due;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Both sides of a running reduction; the side before the shuffle is that of a `reduce_by_key`.
pub(crate) struct Running<K, V, F> {
    pub(crate) reduce: Reduce<K, V, F>,
    pub(crate) slide: NonZeroU64,
}

impl<K: Record, V: Record, F> Fold for Running<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn kept(&self) -> Vec<Kept> {
        vec![kept_once::<(K, V)>("state")]
    }

    fn reach(&self) -> Option<u64> {
        None
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(self.reduce.open_table(scratch))
    }

    fn in_place(&self, segments: NonZeroU64) -> Option<Arc<dyn Fold>> {
        let reduce = self.reduce.clone();
        Some(Arc::new(InPlace::<K, V, V, Timeless<V>, AddUp<K, V, F>> {
            visit: Arc::new(AddUp(self.reduce.clone())),
            opens: Arc::new(move |scratch: &mut Scratch| Box::new(reduce.open_table(scratch)) as Box<dyn OpenInterval>),
            timeout: None,
            visits_every: NonZeroU64::MIN,
            shows_every: self.slide,
            segments,
            types: PhantomData,
        }))
    }

    fn fold(
        &self,
        mut rows: RowBuffer,
        reads: Reads<'_>,
        _scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        counts.rows_applied += rows.count();
        let values = rows.block();
        rows.clear();
        self.merge(&reads.past[0][0], &values, &mut rows)?;
        let kept = vec![rows.block()];
        if !is_due(reads.interval, self.slide) {
            rows.clear();
        }
        Ok(Folded { rows, kept })
    }
}

impl<K: Record, V: Record, F> Running<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    fn merge(&self, before: &[u8], values: &[u8], rows: &mut RowBuffer) -> Result<(), TaskError> {
        let (mut before, mut entering) = (Pane::<K, V>::open(before)?, Pane::<K, V>::open(values)?);
        while let Some(key) = least([before.key(), entering.key()]) {
            let mut put = |value: V::Ref<'_>| rows.push_with(|rows| put_row::<V>(key, value, rows));
            match (before.take(key)?, entering.take(key)?) {
                (Some(before), Some(entering)) => put((self.reduce.function)(before.value, entering.value).borrowed()),
                (Some(only), None) | (None, Some(only)) => put(only.value),
                (None, None) => {}
            }
        }
        Ok(())
    }
}

/// What becomes of a key where the state is in place.
struct AddUp<K, V, F>(Reduce<K, V, F>);

impl<K: Record, V: Record, F> Visit<K, V, V> for AddUp<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    const SHOWS_STATES: bool = true;

    fn values<'x>(
        &self,
        _key: K::Ref<'x>,
        values: &[V::Ref<'x>],
        before: Option<V::Ref<'_>>,
        _emitted: &mut Loose,
    ) -> Option<V> {
        let mut sum = before.map(V::owned);
        for value in values {
            sum = Some(match &sum {
                Some(sum) => (self.0.function)(sum.borrowed(), *value),
                None => V::owned(*value),
            });
        }
        sum
    }

    fn timing_out(&self, _key: K::Ref<'_>, _before: V::Ref<'_>, _emitted: &mut Loose) {}
}
