//! `top_k`: the pairs with the greatest values. Each map task ships its own best, a single reduce partition takes the best
//! of those.
//!
//! Invariant: the best of all pairs are among the best of each part, and pairs that compare equal have equal bytes, so
//! neither the split into parts nor the order of arrival changes the result.

use crate::order::Ordered;
use crate::program::{End, Finished, Fold, Folded, Gather, Reads};
use crate::query::{Counts, Produced, TaskError, Width};
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use bytes::Bytes;
use std::cmp::Ordering;
use std::marker::PhantomData;

/// Both sides of a `top_k`.
pub(crate) struct Top<K, V> {
    /// How many pairs a result has, at most.
    pub(crate) k: usize,
    pub(crate) types: PhantomData<fn() -> (K, V)>,
}

impl<K: Ordered, V: Ordered> End<(K, V)> for Top<K, V> {
    fn open(&self, _scratch: &mut Scratch) -> Box<dyn Gather<(K, V)>> {
        Box::new(Best::<K, V>::of(self.k))
    }
}

impl<K: Ordered, V: Ordered> Fold for Top<K, V> {
    fn width(&self) -> Width {
        Width::One
    }

    fn fold(&self, reads: Reads<'_>, scratch: &mut Scratch, counts: &mut Counts) -> Result<Folded, TaskError> {
        let mut best = Best::<K, V>::of(self.k);
        for slice in reads.slices {
            for pair in decode_rows::<(K, V)>(slice)? {
                best.add(pair?);
                counts.rows_in += 1;
            }
        }
        let mut rows = scratch.take_buffer();
        best.put_by_bytes(&mut rows);
        Ok(Folded { rows, kept: Vec::new() })
    }
}

/// The best pairs so far, the worst of them at the root of a heap.
struct Best<K, V> {
    k: usize,
    heap: std::collections::BinaryHeap<Ranked<K, V>>,
}

impl<K: Ordered, V: Ordered> Best<K, V> {
    fn of(k: usize) -> Best<K, V> {
        Best { k, heap: std::collections::BinaryHeap::new() }
    }

    #[inline]
    fn add(&mut self, pair: (K::Ref<'_>, V::Ref<'_>)) {
        let full = self.heap.len() >= self.k;
        let is_worse = |worst: &Ranked<K, V>| rank::<K, V>(pair, worst.lent()).is_ge();
        if full && self.heap.peek().is_none_or(is_worse) {
            return;
        }
        if full {
            self.heap.pop();
        }
        self.heap.push(Ranked(K::owned(pair.0), V::owned(pair.1)));
    }

    /// Appends the pairs, the best first.
    fn put(self, rows: &mut RowBuffer) {
        for pair in self.heap.into_sorted_vec() {
            rows.push::<(K, V)>(pair.lent());
        }
    }

    /// Appends the pairs by their bytes.
    fn put_by_bytes(self, rows: &mut RowBuffer) {
        let encode = |pair: &Ranked<K, V>| {
            let mut row = Vec::new();
            <(K, V)>::put(pair.lent(), &mut row);
            row
        };
        let mut encoded: Vec<Vec<u8>> = self.heap.iter().map(encode).collect();
        encoded.sort_unstable();
        encoded.iter().for_each(|row| rows.push_with(|rows| rows.extend_from_slice(row)));
    }
}

impl<K: Ordered, V: Ordered> Gather<(K, V)> for Best<K, V> {
    fn chunk<'a>(&mut self, records: &[(K::Ref<'a>, V::Ref<'a>)]) {
        records.iter().for_each(|record| self.add(*record));
    }

    fn finish(self: Box<Self>, partitions: u32, scratch: &mut Scratch) -> Finished {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        let mut rows = scratch.take_buffer();
        self.put(&mut rows);
        let count = rows.count();
        let mut slices = vec![Bytes::new(); partitions as usize];
        slices[0] = rows.seal();
        scratch.keep_buffer(rows);
        Finished { produced: Produced::Slices(slices), rows: count }
    }
}

/// A pair, ordered by rank: the best is the least.
struct Ranked<K, V>(K, V);

impl<K: Ordered, V: Ordered> Ranked<K, V> {
    fn lent(&self) -> (K::Ref<'_>, V::Ref<'_>) {
        (self.0.borrowed(), self.1.borrowed())
    }
}

/// The greater value first; of equal values the lesser key.
fn rank<K: Ordered, V: Ordered>(one: (K::Ref<'_>, V::Ref<'_>), other: (K::Ref<'_>, V::Ref<'_>)) -> Ordering {
    V::compare(other.1, one.1).then_with(|| K::compare(one.0, other.0))
}

impl<K: Ordered, V: Ordered> Ord for Ranked<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        rank::<K, V>(self.lent(), other.lent())
    }
}

impl<K: Ordered, V: Ordered> PartialOrd for Ranked<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ordered, V: Ordered> PartialEq for Ranked<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ordered, V: Ordered> Eq for Ranked<K, V> {}
