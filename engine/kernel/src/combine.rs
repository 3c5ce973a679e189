//! The keyed ends and beginnings of stages: combine into slices before a shuffle, fold slices after it.
//!
//! Knows no cluster. Invariants: the rows of a slice stand in the order in which their keys first came (short keys before
//! long ones), so a slice's bytes follow from the task's input alone; a fold takes slices in the order given and yields its
//! rows by the bytes of their keys.

use crate::line::Out;
use crate::partition::partition_of;
use crate::program::{End, Finished, Fold, Gather, OpenInterval};
use crate::query::{Produced, TaskError};
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use crate::table::Table;
use std::marker::PhantomData;
use std::sync::Arc;

/// Rows of a slice that are decoded before they are folded together.
const ROWS_AT_ONCE: usize = 256;

/// Both sides of a `reduce_by_key`.
pub(crate) struct Reduce<K, V, F> {
    pub(crate) function: Arc<F>,
    /// Of the hash of its tables.
    pub(crate) seed: u64,
    pub(crate) types: PhantomData<fn() -> (K, V)>,
}

impl<K, V, F> Clone for Reduce<K, V, F> {
    fn clone(&self) -> Self {
        Reduce { function: Arc::clone(&self.function), seed: self.seed, types: PhantomData }
    }
}

impl<K: Record, V: Record, F> End<(K, V)> for Reduce<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn open(&self, partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<(K, V)>> {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        Box::new(Combine::<K, V, F> {
            table: scratch.take_table(self.seed),
            slices: (0..partitions).map(|_| scratch.take_buffer()).collect(),
            function: Arc::clone(&self.function),
            key: PhantomData,
        })
    }
}

struct Combine<K, V, F> {
    /// The group that is under way.
    table: Table<V>,
    /// Of the groups before it, by reduce partition.
    slices: Vec<RowBuffer>,
    function: Arc<F>,
    key: PhantomData<fn() -> K>,
}

impl<K: Record, V: Record, F> Combine<K, V, F> {
    fn spread(&mut self) {
        let (partitions, slices) = (self.slices.len() as u32, &mut self.slices);
        self.table.visit::<K>(|key, value| {
            let slice = &mut slices[partition_of(key, partitions) as usize];
            slice.push_with(|rows| put_row::<V>(key, value.borrowed(), rows));
        });
    }
}

impl<K: Record, V: Record, F> Gather<(K, V)> for Combine<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    fn chunk<'a>(&mut self, records: &[(K::Ref<'a>, V::Ref<'a>)]) {
        self.table.fold::<K, F>(records, &*self.function);
    }

    fn end_group(&mut self) {
        self.spread();
        self.table.clear();
    }

    fn finish(mut self: Box<Self>, scratch: &mut Scratch) -> Finished {
        self.spread();
        scratch.keep_table(self.table);
        let rows = self.slices.iter().map(RowBuffer::count).sum();
        let blocks = self.slices.iter_mut().map(RowBuffer::seal).collect();
        self.slices.into_iter().for_each(|slice| scratch.keep_buffer(slice));
        Finished { produced: Produced::Slices(blocks), rows }
    }
}

impl<K: Record, V: Record, F> Fold for Reduce<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(self.open_table(scratch))
    }
}

impl<K: Record, V: Record, F> Reduce<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    pub(crate) fn open_table(&self, scratch: &mut Scratch) -> Folding<K, V, F> {
        Folding { table: scratch.take_table(self.seed), reduce: self.clone() }
    }
}

/// One value for each key of the blocks so far, folded in the order in which they came.
pub(crate) struct Folding<K, V, F> {
    table: Table<V>,
    reduce: Reduce<K, V, F>,
}

impl<K: Record, V: Record, F> Folding<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    /// Adds to `rows_read` what was read.
    pub(crate) fn add(&mut self, block: &[u8], rows_read: &mut u64) -> Result<(), TaskError> {
        let mut rows = decode_rows::<(K, V)>(block)?;
        *rows_read += rows.left();
        let mut chunk = Vec::with_capacity(rows.left().min(ROWS_AT_ONCE as u64) as usize);
        loop {
            chunk.clear();
            for row in rows.by_ref().take(ROWS_AT_ONCE) {
                chunk.push(row?);
            }
            if chunk.is_empty() {
                return Ok(());
            }
            self.table.fold::<K, F>(&chunk, &*self.reduce.function);
        }
    }

    /// One row for each key, by the bytes of the keys.
    pub(crate) fn finish(mut self, scratch: &mut Scratch) -> RowBuffer {
        let mut sorted = scratch.take_buffer();
        self.table.visit_sorted::<K>(|key, value| sorted.push_with(|rows| put_row::<V>(key, value.borrowed(), rows)));
        scratch.keep_table(self.table);
        sorted
    }

    /// Appends the rows of the block's keys with their values so far, by the bytes of the keys.
    fn put_keys_of(&self, block: &[u8], changed: &mut RowBuffer) -> Result<(), TaskError> {
        let (mut rows, mut keys) = (decode_rows::<(K, V)>(block)?, Vec::new());
        while let Some(row) = rows.next_keyed()? {
            keys.push(row.bytes);
        }
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let value = self.table.get(key).expect("a key of a block that was folded has a value");
            changed.push_with(|rows| put_row::<V>(key, value.borrowed(), rows));
        }
        Ok(())
    }
}

impl<K: Record, V: Record, F> OpenInterval for Folding<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, changed: Option<&mut RowBuffer>) -> Result<(), TaskError> {
        self.add(slice, rows_read)?;
        changed.map_or(Ok(()), |changed| self.put_keys_of(slice, changed))
    }

    fn has_running_values(&self) -> bool {
        true
    }

    fn close(self: Box<Self>, scratch: &mut Scratch) -> RowBuffer {
        self.finish(scratch)
    }
}

/// Appends an encoded key and its value.
#[inline]
pub(crate) fn put_row<V: Record>(key: &[u8], value: V::Ref<'_>, rows: &mut impl Out) {
    rows.bytes(key);
    V::put(value, rows);
}
