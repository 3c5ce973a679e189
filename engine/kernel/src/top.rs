//! `top_k`: the pairs with the greatest values. Each map task ships its own best, a single reduce partition takes the best
//! of those.
//!
//! Invariant: the best of all pairs are among the best of each part, and pairs that compare equal have equal bytes, so
//! neither the split into parts nor the order of arrival changes the result.

use crate::order::Ordered;
use crate::program::{End, Finished, Fold, Gather, OpenInterval};
use crate::query::{Produced, TaskError, Width};
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
    fn open(&self, partitions: u32, scratch: &mut Scratch) -> Box<dyn Gather<(K, V)>> {
        assert_ne!(partitions, 0, "a shuffle has at least one reduce partition");
        Box::new(Ranking { best: Best::<K, V>::of(self.k), groups: scratch.take_buffer(), partitions })
    }
}

impl<K: Ordered, V: Ordered> Fold for Top<K, V> {
    fn width(&self) -> Width {
        Width::One
    }

    fn open(&self, _scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(Best::<K, V>::of(self.k))
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

    /// Appends the pairs, the best first, and is empty afterwards.
    fn put(&mut self, rows: &mut RowBuffer) {
        for pair in std::mem::take(&mut self.heap).into_sorted_vec() {
            rows.push::<(K, V)>(pair.lent());
        }
    }

    /// Appends the pairs by their bytes.
    fn put_by_bytes(&self, rows: &mut RowBuffer) {
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

impl<K: Ordered, V: Ordered> OpenInterval for Best<K, V> {
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, _changed: Option<&mut RowBuffer>) -> Result<(), TaskError> {
        for pair in decode_rows::<(K, V)>(slice)? {
            self.add(pair?);
            *rows_read += 1;
        }
        Ok(())
    }

    fn close(self: Box<Self>, scratch: &mut Scratch) -> RowBuffer {
        let mut rows = scratch.take_buffer();
        self.put_by_bytes(&mut rows);
        rows
    }
}

/// The best pairs of each group of a task.
struct Ranking<K, V> {
    /// Of the group that is under way.
    best: Best<K, V>,
    /// Of the groups before it.
    groups: RowBuffer,
    partitions: u32,
}

impl<K: Ordered, V: Ordered> Gather<(K, V)> for Ranking<K, V> {
    fn chunk<'a>(&mut self, records: &[(K::Ref<'a>, V::Ref<'a>)]) {
        records.iter().for_each(|record| self.best.add(*record));
    }

    fn end_group(&mut self) {
        self.best.put(&mut self.groups);
    }

    fn finish(mut self: Box<Self>, scratch: &mut Scratch) -> Finished {
        self.best.put(&mut self.groups);
        let rows = self.groups.count();
        let mut slices = vec![Bytes::new(); self.partitions as usize];
        slices[0] = self.groups.seal();
        scratch.keep_buffer(self.groups);
        Finished { produced: Produced::Slices(slices), rows }
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
