//! Pairs on their way into a state table, in the order of its entries: by the hash of their keys, then by their bytes.
//!
//! Why not by their bytes alone: who visits a table from one end to the other meets each part of it once, while it is in the
//! processor's cache; and hashes are spread evenly, so that they are sorted by distributing them twice or so instead of by
//! comparing them. The pairs stay where they arrived: what is sorted is where they are.
//!
//! Knows no operator. Invariant: equal sets of pairs come in the same order however they arrived, those of a key one after
//! the other in the order of their encodings.

use crate::fetch::fetch;
use crate::held::key::hash_of;
use crate::program::{OpenInterval, Values};
use crate::query::TaskError;
use crate::reader::Reader;
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use std::marker::PhantomData;

/// Bits by which pairs are distributed at once: so many places that are written in turn stay in the first-level cache.
const BITS: u32 = 10;
/// Fewer pairs are compared at once: distributing them costs more.
const FEW: usize = 64;

/// Where in some rows a pair is. Two words and no more: to sort them is to copy them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Of its key.
    pub(crate) hash: u64,
    start: u32,
    length: u32,
}

impl Place {
    /// Nothing if it lies too far behind.
    #[inline]
    fn new(hash: u64, start: usize, end: usize) -> Option<Place> {
        let length = u32::try_from(end - start).ok()?;
        Some(Place { hash, start: u32::try_from(start).ok()?, length })
    }

    /// Its bytes.
    #[inline]
    fn of<'r>(&self, rows: &'r [u8]) -> &'r [u8] {
        &rows[self.start as usize..][..self.length as usize]
    }

    /// Reads it. More follows, which lets a number be read at once.
    #[inline]
    pub(crate) fn reader<'r>(&self, rows: &'r [u8]) -> Reader<'r> {
        Reader::new(&rows[self.start as usize..])
    }

    /// It will be read soon.
    #[inline]
    pub(crate) fn fetch(&self, rows: &[u8]) {
        if let Some(first) = rows.get(self.start as usize) {
            fetch(first);
        }
    }
}

/// The pairs that came, in any order.
pub(crate) struct Placed<K, V> {
    values: Values,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Record, V: Record> Placed<K, V> {
    pub(crate) fn open(scratch: &mut Scratch) -> Placed<K, V> {
        let mut values = Values { rows: scratch.take_buffer(), places: scratch.take_places() };
        values.places.clear();
        Placed { values, types: PhantomData }
    }
}

impl<K: Record, V: Record> OpenInterval for Placed<K, V> {
    fn absorb(&mut self, slice: &[u8], rows_read: &mut u64, _changed: Option<&mut RowBuffer>) -> Result<(), TaskError> {
        *rows_read += self.values.place::<K, V>(slice)?;
        Ok(())
    }

    fn close(self: Box<Self>, _scratch: &mut Scratch) -> RowBuffer {
        self.values.rows
    }

    fn close_placed(self: Box<Self>, _scratch: &mut Scratch) -> Values {
        self.values
    }
}

impl Values {
    /// Appends the pairs of a slice with their places. How many.
    fn place<K: Record, V: Record>(&mut self, slice: &[u8]) -> Result<u64, TaskError> {
        let mut pairs = decode_rows::<(K, V)>(slice)?;
        let (count, first) = (pairs.left(), pairs.position());
        let shift = self.rows.encoded().len();
        let mut start = shift;
        while let Some(pair) = pairs.next_keyed()? {
            let end = shift + pairs.position() - first;
            let place = Place::new(hash_of(pair.bytes), start, end).ok_or(TaskError::TooMuch)?;
            self.places.push(place);
            start = end;
        }
        self.rows.push_rows(&slice[first..], count);
        Ok(count)
    }

    /// The pairs in their order.
    pub(crate) fn sorted<K: Record, V: Record>(mut self, scratch: &mut Scratch) -> Result<Values, TaskError> {
        if self.places.len() as u64 != self.rows.count() {
            let mut placed = Placed::<K, V>::open(scratch).values;
            placed.place::<K, V>(&self.rows.seal())?;
            scratch.keep_buffer(self.rows);
            self = placed;
        }
        let mut spare = scratch.take_places();
        sort(&mut self.places, &mut spare, self.rows.encoded());
        scratch.keep_places(spare);
        Ok(self)
    }
}

/// By hash, then by bytes: by the first bits of the hash by distributing, the few that share those by comparing.
fn sort(places: &mut Vec<Place>, spare: &mut Vec<Place>, rows: &[u8]) {
    // A round takes all the bits it can: the more, the fewer pairs share them.
    let rounds = if places.len() < FEW { 0 } else { (places.len().ilog2() + 1).div_ceil(BITS) };
    distribute(places, spare, rounds);
    let is_of_run =
        |one: &Place, other: &Place| rounds == 0 || (one.hash ^ other.hash) >> (u64::BITS - rounds * BITS) == 0;
    for run in places.chunk_by_mut(is_of_run).filter(|run| run.len() > 1) {
        run.sort_unstable_by(|one, other| one.hash.cmp(&other.hash).then_with(|| one.of(rows).cmp(other.of(rows))));
    }
}

/// Sorts by the first bits of the hash in so many rounds, from the last of them to the first.
fn distribute(places: &mut Vec<Place>, spare: &mut Vec<Place>, rounds: u32) {
    spare.resize(places.len(), Place::default());
    for round in (1..=rounds).rev() {
        let bucket = |place: &Place| (place.hash >> (u64::BITS - round * BITS)) as usize & ((1 << BITS) - 1);
        let mut next = [0; 1 << BITS];
        places.iter().for_each(|place| next[bucket(place)] += 1);
        let mut start = 0;
        next.iter_mut().for_each(|next| start += std::mem::replace(next, start));
        for place in &*places {
            let next = &mut next[bucket(place)];
            spare[*next] = *place;
            *next += 1;
        }
        std::mem::swap(places, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::encode_rows;

    #[test]
    fn a_pair_behind_4_gib_has_no_place() {
        let behind = u32::MAX as usize;
        assert!(Place::new(1, behind, behind + 9).is_some_and(|place| place.length == 9));
        assert!(Place::new(1, behind + 1, behind + 9).is_none());
        assert!(Place::new(1, 0, behind + 1).is_none());
    }

    /// Pairs in no order, some keys more than once and one of them often.
    fn pairs(count: u64) -> Vec<(u64, u64)> {
        let mixed = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        (0..count).map(|number| (mixed(number) % (count / 2 + 1) % 3000, number % 7)).collect()
    }

    #[test]
    fn any_number_of_pairs_come_by_hash_and_bytes_whatever_their_order_was() {
        let mut scratch = Scratch::default();
        for count in [0, 1, 2, FEW as u64 - 1, FEW as u64, 3000, 70_000] {
            let mut pairs = pairs(count);
            let row = |pair: &(u64, u64)| encode_rows::<(u64, u64)>([*pair])[1..].to_vec();
            let key = |pair: &(u64, u64)| encode_rows::<u64>([pair.0])[1..].to_vec();
            let mut expected = pairs.clone();
            expected.sort_by_cached_key(|pair| (hash_of(&key(pair)), row(pair)));
            for _ in 0..2 {
                pairs.reverse();
                let mut open = Placed::<u64, u64>::open(&mut scratch);
                for slice in pairs.chunks(1000) {
                    open.absorb(&encode_rows::<(u64, u64)>(slice.iter().copied()), &mut 0, None).unwrap();
                }
                let sorted = Box::new(open).close_placed(&mut scratch).sorted::<u64, u64>(&mut scratch).unwrap();
                let rows = sorted.rows.encoded();
                let came = sorted.places.iter().map(|place| <(u64, u64)>::get(&mut place.reader(rows)).unwrap());
                assert!(came.eq(expected.iter().copied()), "{count} pairs");
                scratch.keep_buffer(sorted.rows);
                scratch.keep_places(sorted.places);
            }
        }
    }
}
