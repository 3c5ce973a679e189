//! `update_state_by_key`: a state for each key, which a user's function carries from interval to interval.
//!
//! Nothing is combined before the shuffle: the function sees every value. Invariant: it sees the values of a key in the
//! order of their encodings, so that neither arrival nor partitioning changes what it makes.

use crate::combine::put_row;
use crate::keyed::kept_once;
use crate::keyed::loose::Loose;
use crate::pane::{Pane, least};
use crate::partition::partition_of;
use crate::program::{End, Finished, Fold, Folded, Gather, OpenInterval, Reads};
use crate::query::{Counts, Kept, Produced, TaskError};
use crate::reader::Reader;
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use crate::window::is_due;
use std::marker::PhantomData;
use std::num::NonZeroU64;

/// The side before the shuffle: every pair goes where its key belongs, in order of arrival.
pub(crate) struct Spread<K>(pub(crate) PhantomData<fn() -> K>);

impl<K: Record, V: Record> End<(K, V)> for Spread<K> {
    fn open(&self, partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<(K, V)>> {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        let rows = scratch.take_buffer();
        Box::new(Arrived::<K, V> { rows, spans: Vec::new(), partitions, types: PhantomData })
    }
}

/// A pair in the rows that arrived: where its key ends, where its value does. It begins where the one before it ends.
struct Span {
    key_end: usize,
    end: usize,
}

struct Arrived<K, V> {
    rows: RowBuffer,
    spans: Vec<Span>,
    partitions: u32,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Record, V: Record> Gather<(K, V)> for Arrived<K, V> {
    fn chunk<'a>(&mut self, records: &[(K::Ref<'a>, V::Ref<'a>)]) {
        for (key, value) in records {
            let mut key_end = 0;
            self.rows.push_with(|rows| {
                K::put(*key, rows);
                key_end = rows.len();
                V::put(*value, rows);
            });
            self.spans.push(Span { key_end, end: self.rows.encoded().len() });
        }
    }

    fn finish(self: Box<Self>, scratch: &mut Scratch) -> Finished {
        let partitions = self.partitions;
        let mut slices: Vec<RowBuffer> = (0..partitions).map(|_| scratch.take_buffer()).collect();
        let (arrived, mut start) = (self.rows.encoded(), 0);
        for Span { key_end, end } in &self.spans {
            let slice = &mut slices[partition_of(&arrived[start..*key_end], partitions) as usize];
            slice.push_with(|rows| rows.extend_from_slice(&arrived[start..*end]));
            start = *end;
        }
        let rows = self.rows.count();
        scratch.keep_buffer(self.rows);
        let blocks = slices.iter_mut().map(RowBuffer::seal).collect();
        slices.into_iter().for_each(|slice| scratch.keep_buffer(slice));
        Finished { produced: Produced::Slices(blocks), rows }
    }
}

/// The side after the shuffle.
pub(crate) struct UpdateState<K, V, S, F> {
    pub(crate) function: F,
    /// Of the stream that it reads: between two results there is nothing to update by.
    pub(crate) every: NonZeroU64,
    pub(crate) types: PhantomData<(K, V, S)>,
}

impl<K: Record, V: Record, S: Record, F> Fold for UpdateState<K, V, S, F>
where
    F: for<'x> Fn(K::Ref<'x>, &[V::Ref<'x>], Option<S::Ref<'x>>) -> Option<S> + Send + Sync + 'static,
{
    fn kept(&self) -> Vec<Kept> {
        vec![kept_once::<(K, S)>("state")]
    }

    fn reach(&self) -> Option<u64> {
        None
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(Pairs::<K, V>::open(scratch))
    }

    fn fold(
        &self,
        values: RowBuffer,
        reads: Reads<'_>,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let before = &reads.past[0][0];
        let mut rows = scratch.take_buffer();
        if !is_due(reads.interval, self.every) {
            scratch.keep_buffer(values);
            return Ok(Folded { rows, kept: vec![before.clone()] });
        }
        self.update(before, &values, &mut rows)?;
        scratch.keep_buffer(values);
        counts.rows_applied += rows.count();
        let kept = vec![rows.block()];
        Ok(Folded { rows, kept })
    }
}

impl<K: Record, V: Record, S: Record, F> UpdateState<K, V, S, F>
where
    F: for<'x> Fn(K::Ref<'x>, &[V::Ref<'x>], Option<S::Ref<'x>>) -> Option<S>,
{
    /// Visits every key that has a state or new values. `pairs` stand in order.
    fn update<'a>(&self, before: &'a [u8], pairs: &'a RowBuffer, rows: &mut RowBuffer) -> Result<(), TaskError> {
        let (mut before, mut pairs) = (Pane::<K, S>::open(before)?, pairs.rows::<(K, V)>());
        let (mut next, mut values) = (pairs.next_keyed()?, Vec::new());
        while let Some(key) = least([before.key(), next.as_ref().map(|pair| pair.bytes)]) {
            values.clear();
            while let Some(pair) = next.take_if(|pair| pair.bytes == key) {
                values.push(pair.value);
                next = pairs.next_keyed()?;
            }
            let state = before.take(key)?.map(|pair| pair.value);
            if let Some(state) = (self.function)(K::get(&mut Reader::new(key))?, &values, state) {
                rows.push_with(|rows| put_row::<S>(key, state.borrowed(), rows));
            }
        }
        Ok(())
    }
}

/// The pairs that came, in any order.
pub(crate) struct Pairs<K, V> {
    rows: Loose,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Record, V: Record> Pairs<K, V> {
    pub(crate) fn open(scratch: &mut Scratch) -> Pairs<K, V> {
        Pairs { rows: Loose::new(scratch), types: PhantomData }
    }
}

impl<K: Record, V: Record> OpenInterval for Pairs<K, V> {
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, _changed: Option<&mut RowBuffer>) -> Result<(), TaskError> {
        let mut pairs = decode_rows::<(K, V)>(slice)?;
        *rows_read += pairs.left();
        while let Some(pair) = pairs.next_keyed()? {
            self.rows.push_with(|rows| rows.extend_from_slice(pair.row));
        }
        Ok(())
    }

    /// By key, then by value, since no encoding is a prefix of another.
    fn close(self: Box<Self>, scratch: &mut Scratch) -> RowBuffer {
        self.rows.sorted(scratch)
    }
}
