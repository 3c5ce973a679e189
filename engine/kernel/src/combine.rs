//! The keyed ends and beginnings of stages: combine into slices before a shuffle, fold slices after it.
//!
//! Knows no cluster. Invariants: the rows of a slice stand in the order in which their keys first came (short keys before
//! long ones), so a slice's bytes follow from the task's input alone; a fold takes slices in the order given and yields its
//! rows by the bytes of their keys.

use crate::partition::partition_of;
use crate::program::{End, Finished, Fold, Folded, Gather, Reads};
use crate::query::{Counts, Produced, TaskError};
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use crate::table::Table;
use bytes::Bytes;
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
    fn open(&self, scratch: &mut Scratch) -> Box<dyn Gather<(K, V)>> {
        Box::new(Combine::<K, V, F> {
            table: scratch.take_table(self.seed),
            function: Arc::clone(&self.function),
            key: PhantomData,
        })
    }
}

struct Combine<K, V, F> {
    table: Table<V>,
    function: Arc<F>,
    key: PhantomData<fn() -> K>,
}

impl<K: Record, V: Record, F> Gather<(K, V)> for Combine<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    fn chunk<'a>(&mut self, records: &[(K::Ref<'a>, V::Ref<'a>)]) {
        self.table.fold::<K, F>(records, &*self.function);
    }

    fn finish(self: Box<Self>, partitions: u32, scratch: &mut Scratch) -> Finished {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        let mut slices: Vec<RowBuffer> = (0..partitions).map(|_| scratch.take_buffer()).collect();
        self.table.visit::<K>(|key, value| {
            let slice = &mut slices[partition_of(key, partitions) as usize];
            slice.push_with(|rows| put_row::<V>(key, value.borrowed(), rows));
        });
        let rows = self.table.len() as u64;
        scratch.keep_table(self.table);
        let blocks = slices.iter_mut().map(RowBuffer::seal).collect();
        slices.into_iter().for_each(|slice| scratch.keep_buffer(slice));
        Finished { produced: Produced::Slices(blocks), rows }
    }
}

impl<K: Record, V: Record, F> Fold for Reduce<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
{
    fn fold(&self, reads: Reads<'_>, scratch: &mut Scratch, counts: &mut Counts) -> Result<Folded, TaskError> {
        let rows = self.fold_blocks(reads.slices, scratch, &mut counts.rows_in)?;
        Ok(Folded { rows, kept: Vec::new() })
    }
}

impl<K: Record, V: Record, F> Reduce<K, V, F>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    /// One row for each key of the blocks, by the bytes of the keys. Values are folded in the order of the blocks. Adds to
    /// `rows_read` what was read.
    pub(crate) fn fold_blocks<'b>(
        &self,
        blocks: impl IntoIterator<Item = &'b Bytes>,
        scratch: &mut Scratch,
        rows_read: &mut u64,
    ) -> Result<RowBuffer, TaskError> {
        let mut table = scratch.take_table::<V>(self.seed);
        for block in blocks {
            fold_block::<K, V, F>(block, &mut table, &self.function, rows_read)?;
        }
        let mut sorted = scratch.take_buffer();
        table.visit_sorted::<K>(|key, value| sorted.push_with(|rows| put_row::<V>(key, value.borrowed(), rows)));
        scratch.keep_table(table);
        Ok(sorted)
    }
}

fn fold_block<K: Record, V: Record, F>(
    block: &Bytes,
    table: &mut Table<V>,
    function: &F,
    rows_read: &mut u64,
) -> Result<(), TaskError>
where
    F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V,
{
    let mut rows = decode_rows::<(K, V)>(block)?;
    *rows_read += rows.left();
    let mut chunk = Vec::with_capacity(ROWS_AT_ONCE);
    loop {
        chunk.clear();
        for row in rows.by_ref().take(ROWS_AT_ONCE) {
            chunk.push(row?);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        table.fold::<K, F>(&chunk, function);
    }
}

/// Appends an encoded key and its value.
#[inline]
pub(crate) fn put_row<V: Record>(key: &[u8], value: V::Ref<'_>, rows: &mut Vec<u8>) {
    rows.extend_from_slice(key);
    V::put(value, rows);
}
