//! State in place: what visits do to one table for each partition, and the panes from which it can be made again.
//!
//! Each interval leaves two panes: its *changes* (every key it visited, with its state or none), and one *segment*, a part
//! of the shelves of the table as they are after it. In `segments` intervals each part has been written once, so the
//! panes of the last `segments` intervals are the whole state: each part as it was written last, and the changes since.
//! They are immutable and follow from input alone, as all panes do; the table is only what makes a step cheap.
//!
//! Knows no engine. Invariant: results and panes are the same whether the table was there, behind a later interval,
//! behind an earlier one, or not at all; and results are those of the fold that writes its state anew in every interval.
//!
//! ```text
//! table behind t - 1 -------------------.
//! table behind t, t + 1  --undo---------+--> visits of t --> table behind t, changes(t), segment(t)
//! table behind t - 3     --changes------|
//! none, or one that broke off --panes---'
//! ```

use crate::held::HeldState;
use crate::held::key::{Key, Shown, Sought};
use crate::held::order::Place;
use crate::held::shelf::Room;
use crate::held::table::{SHELVES, StateTable, Stored, Touch, segment_of, shelf_of_key};
use crate::keyed::loose::Loose;
use crate::keyed::maybe::Maybe;
use crate::keyed::touched::Visit;
use crate::program::{Fold, Folded, OpenInterval, Reads, Values};
use crate::query::{Counts, Kept, TaskError};
use crate::reader::Reader;
use crate::record::Record;
use crate::rows::{RowBuffer, decode_rows};
use crate::scratch::Scratch;
use crate::window::is_due;
use bytes::Bytes;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

/// Keys that are sought together: as many as a core waits for at once, and some.
const BATCH: usize = 64;

/// Makes ready for an interval's values.
pub(crate) type Opens = Arc<dyn Fn(&mut Scratch) -> Box<dyn OpenInterval> + Send + Sync>;

/// The side after the shuffle.
pub(crate) struct InPlace<K, V, S, T, M> {
    pub(crate) visit: Arc<M>,
    pub(crate) opens: Opens,
    /// Intervals without values after which a key leaves.
    pub(crate) timeout: Option<NonZeroU64>,
    /// Of the stream that it reads.
    pub(crate) visits_every: NonZeroU64,
    /// Of the stream that it makes, where that shows states.
    pub(crate) shows_every: NonZeroU64,
    /// In how many intervals all is written once.
    pub(crate) segments: NonZeroU64,
    pub(crate) types: PhantomData<(K, V, S, T)>,
}

impl<K: Record, V: Record, S: Record, T: Stored<S>, M: Visit<K, V, S>> Fold for InPlace<K, V, S, T, M> {
    fn kept(&self) -> Vec<Kept> {
        let kept = |label: &str, rows| Kept { label: label.to_owned(), rows, back: 1..=self.segments.get() };
        vec![kept("changes", <(K, Maybe<Touch<S>>)>::type_name()), kept("segment", <(K, Touch<S>)>::type_name())]
    }

    fn reach(&self) -> Option<u64> {
        None
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        (self.opens)(scratch)
    }

    fn fold(
        &self,
        values: RowBuffer,
        reads: Reads<'_>,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let values = Values { rows: values, places: Vec::new() };
        self.step(values, reads, &mut HeldState::default(), scratch, counts)
    }

    fn fold_held(
        &self,
        open: Box<dyn OpenInterval>,
        reads: Reads<'_>,
        held: &mut HeldState,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        self.step(open.close_placed(scratch), reads, held, scratch, counts)
    }
}

impl<K: Record, V: Record, S: Record, T: Stored<S>, M: Visit<K, V, S>> InPlace<K, V, S, T, M> {
    fn step(
        &self,
        values: Values,
        reads: Reads<'_>,
        held: &mut HeldState,
        scratch: &mut Scratch,
        counts: &mut Counts,
    ) -> Result<Folded, TaskError> {
        let values = values.sorted::<K, V>(scratch)?;
        let mut table = self.stand_before(reads, held, counts)?;
        let (changes, emitted) = (scratch.take_buffer(), Loose::new(scratch));
        table.begin(reads.interval);
        let mut step = Step { fold: self, interval: reads.interval, table: &mut table, changes, emitted, visited: 0 };
        if is_due(reads.interval, self.visits_every) {
            step.run(&values)?;
        }
        counts.rows_applied += step.visited;
        let (mut changes, emitted) = (step.changes, step.emitted);
        table.end();
        let rows = self.rows(&table, reads.interval, emitted, scratch);
        let kept = vec![changes.seal(), self.segment(&table, reads.interval, scratch)];
        counts.bytes_kept += kept.iter().map(|pane| pane.len() as u64).sum::<u64>();
        [values.rows, changes].into_iter().for_each(|buffer| scratch.keep_buffer(buffer));
        scratch.keep_places(values.places);
        held.put(table.version(), table.bytes(), table);
        Ok(Folded { rows, kept })
    }

    /// What the stream has of the interval.
    fn rows(&self, table: &StateTable<S, T>, interval: u64, emitted: Loose, scratch: &mut Scratch) -> RowBuffer {
        let mut rows = emitted;
        if M::SHOWS_STATES && is_due(interval, self.shows_every) {
            table.visit(0..SHELVES, |key, (_, state)| {
                rows.push_with(|rows| {
                    key.put(rows);
                    S::put(state, rows);
                });
            });
        }
        rows.sorted(scratch)
    }

    fn segment(&self, table: &StateTable<S, T>, interval: u64, scratch: &mut Scratch) -> Bytes {
        let mut rows = scratch.take_buffer();
        table.visit_segment(interval, self.segments, |key, touch| rows.push_keyed::<Touch<S>>(key, touch));
        let segment = rows.seal();
        scratch.keep_buffer(rows);
        segment
    }

    /// The table as it was before the interval: the one that is held, some versions on or back, or one made of panes.
    fn stand_before(
        &self,
        reads: Reads<'_>,
        held: &mut HeldState,
        counts: &mut Counts,
    ) -> Result<Box<StateTable<S, T>>, TaskError> {
        let before = reads.interval.checked_sub(1);
        if let Some(mut table) = held.take::<StateTable<S, T>>().filter(|table| !table.is_dirty()) {
            while table.version() > before && table.undo() {}
            let first = table.version().map_or(0, |version| version + 1);
            let panes = Panes::new(reads, self.segments);
            if table.version() <= before && first >= panes.first {
                for interval in first..reads.interval {
                    panes.change::<K, S, T>(interval, &mut table, &[true; SHELVES], counts)?;
                }
                if first < reads.interval {
                    table.stands_behind(before);
                }
                return Ok(table);
            }
        }
        self.rebuild(reads, counts)
    }

    /// The table as the panes say.
    fn rebuild(&self, reads: Reads<'_>, counts: &mut Counts) -> Result<Box<StateTable<S, T>>, TaskError> {
        let panes = Panes::new(reads, self.segments);
        let mut table = StateTable::with_room(panes.room::<K, S>()?);
        // Of a part that is still to come, changes are already in it.
        let mut is_there = [panes.first == 0; SHELVES];
        for interval in panes.first..reads.interval {
            panes.change::<K, S, T>(interval, &mut table, &is_there, counts)?;
            let shelves = segment_of(interval, self.segments.get());
            table.clear(shelves.clone());
            let segment = panes.segment(interval);
            counts.bytes_rebuilt += segment.len() as u64;
            let mut rows = decode_rows::<(K, Touch<S>)>(segment)?;
            while let Some(row) = rows.next_keyed()? {
                if !shelves.contains(&shelf_of_key(row.bytes)) {
                    return Err(rows.corrupt("a segment of a state holds a key of another one"));
                }
                counts.rows_applied += 1;
                table.set(row.bytes, Some(<Touch<S>>::owned(row.value)));
            }
            is_there[shelves].fill(true);
        }
        table.stands_behind(reads.interval.checked_sub(1));
        Ok(Box::new(table))
    }
}

/// The panes of the intervals before one.
struct Panes<'p> {
    /// The first interval of which there are some.
    first: u64,
    interval: u64,
    changes: &'p [Bytes],
    segments: &'p [Bytes],
}

impl<'p> Panes<'p> {
    fn new(reads: Reads<'p>, segments: NonZeroU64) -> Panes<'p> {
        let [changes, segment] = reads.past else { unreachable!("a fold is given what its `kept` asks for") };
        let first = reads.interval.saturating_sub(segments.get());
        Panes { first, interval: reads.interval, changes, segments: segment }
    }

    /// The newest is the last.
    fn of<'b>(&self, panes: &'b [Bytes], interval: u64) -> &'b [u8] {
        let back = usize::try_from(self.interval - interval).unwrap_or(usize::MAX);
        panes.len().checked_sub(back).map_or(&[], |at| &panes[at])
    }

    fn segment(&self, interval: u64) -> &'p [u8] {
        self.of(self.segments, interval)
    }

    /// How many keys the segments hold, words and others, as one of them says of all.
    fn room<K: Record, S: Record>(&self) -> Result<Room, TaskError> {
        let rows = |segment: &Bytes| decode_rows::<(K, Touch<S>)>(segment).map(|rows| rows.left());
        let all = self.segments.iter().map(rows).sum::<Result<u64, TaskError>>()?;
        let (mut words, mut sampled) = (0, 0);
        let sample = self.segments.iter().find(|segment| !segment.is_empty()).map_or(&[][..], |segment| segment);
        let mut rows = decode_rows::<(K, Touch<S>)>(sample)?;
        while let Some(row) = rows.next_keyed()? {
            words += u64::from(matches!(Sought::of(row.bytes).shown, Shown::Word(_)));
            sampled += 1;
        }
        let words = (u128::from(all) * u128::from(words)).checked_div(sampled).unwrap_or(0);
        let words = u64::try_from(words).unwrap_or(0);
        let room = |keys: u64| usize::try_from(keys).unwrap_or(0);
        Ok(Room { words: room(words), short: room(all - words) })
    }

    /// Makes the changes of an interval in the shelves that are there.
    fn change<K: Record, S: Record, T: Stored<S>>(
        &self,
        interval: u64,
        table: &mut StateTable<S, T>,
        is_there: &[bool; SHELVES],
        counts: &mut Counts,
    ) -> Result<(), TaskError> {
        let changes = self.of(self.changes, interval);
        let mut rows = decode_rows::<(K, Maybe<Touch<S>>)>(changes)?;
        counts.bytes_rebuilt += changes.len() as u64;
        while let Some(row) = rows.next_keyed()? {
            if is_there[shelf_of_key(row.bytes)] {
                counts.rows_applied += 1;
                table.set(row.bytes, row.value.map(<Touch<S>>::owned));
            }
        }
        Ok(())
    }
}

/// One interval of one partition.
struct Step<'s, K, V, S, T, M> {
    fold: &'s InPlace<K, V, S, T, M>,
    interval: u64,
    table: &'s mut StateTable<S, T>,
    changes: RowBuffer,
    emitted: Loose,
    visited: u64,
}

/// Keys whose turn it is.
struct Batch<'v, K: Record, V: Record> {
    /// Each with which of the values are its own.
    keys: Vec<(K::Ref<'v>, Range<usize>)>,
    sought: Vec<Sought<'v>>,
    values: Vec<V::Ref<'v>>,
}

impl<K: Record, V: Record> Batch<'_, K, V> {
    fn clear(&mut self) {
        self.keys.clear();
        self.sought.clear();
        self.values.clear();
    }
}

impl<K: Record, V: Record, S: Record, T: Stored<S>, M: Visit<K, V, S>> Step<'_, K, V, S, T, M> {
    /// Visits the keys that have values, in their order, then those that time out.
    fn run(&mut self, values: &Values) -> Result<(), TaskError> {
        let rows = values.rows.encoded();
        let mut batch =
            Batch { keys: Vec::with_capacity(BATCH), sought: Vec::with_capacity(BATCH), values: Vec::new() };
        let ahead = values.places.iter().skip(BATCH).map(Some).chain(std::iter::repeat(None));
        values.places.iter().take(BATCH).for_each(|place| place.fetch(rows));
        for (place, ahead) in values.places.iter().zip(ahead) {
            ahead.inspect(|place| place.fetch(rows));
            self.take(place, rows, &mut batch)?;
        }
        self.touch_all(&mut batch);
        self.late().iter().try_for_each(|key| self.time_out(key))
    }

    /// Adds a pair to the batch; before that visits those in it, if there is no room for another key.
    #[inline]
    fn take<'v>(&mut self, place: &Place, rows: &'v [u8], batch: &mut Batch<'v, K, V>) -> Result<(), TaskError> {
        let mut reader = place.reader(rows);
        let key = K::get(&mut reader)?;
        let bytes = reader.since(0);
        if !batch.sought.last().is_some_and(|last| last.is(place.hash, bytes)) {
            if batch.sought.len() == BATCH {
                self.touch_all(batch);
            }
            batch.keys.push((key, batch.values.len()..batch.values.len()));
            batch.sought.push(Sought::hashed(place.hash, bytes));
        }
        batch.values.push(V::get(&mut reader)?);
        batch.keys.last_mut().expect("one was pushed").1.end += 1;
        Ok(())
    }

    /// The keys that had no values for too long. Those that have just been touched are not among them.
    fn late(&mut self) -> Vec<Key> {
        let until = self.fold.timeout.and_then(|timeout| self.interval.checked_sub(timeout.get()));
        until.map_or_else(Vec::new, |until| self.table.touched_until(until))
    }

    fn touch_all(&mut self, batch: &mut Batch<'_, K, V>) {
        self.table.look(&mut batch.sought);
        for (sought, (key, span)) in batch.sought.iter().zip(&batch.keys) {
            self.touch(sought, *key, &batch.values[span.clone()]);
        }
        self.visited += batch.keys.len() as u64;
        batch.clear();
    }

    #[inline]
    fn touch<'v>(&mut self, sought: &Sought<'v>, key: K::Ref<'v>, values: &[V::Ref<'v>]) {
        let at = if T::TIMES_OUT { self.interval } else { 0 };
        let (visit, emitted) = (&*self.fold.visit, &mut self.emitted);
        let after = self.table.update(sought, |before| {
            visit.values(key, values, before.map(|(_, state)| state), emitted).map(|state| (at, state))
        });
        self.changes.push_keyed::<Maybe<Touch<S>>>(sought.shown, after);
    }

    fn time_out(&mut self, key: &Key) -> Result<(), TaskError> {
        key.with(|bytes| {
            let key = K::get(&mut Reader::new(bytes))?;
            let (visit, emitted) = (&*self.fold.visit, &mut self.emitted);
            self.table.update(&Sought::of(bytes), |before| {
                before.into_iter().for_each(|(_, state)| visit.timing_out(key, state, emitted));
                None
            });
            Ok::<(), TaskError>(())
        })?;
        self.changes.push_keyed::<Maybe<Touch<S>>>(key.shown(), None);
        self.visited += 1;
        Ok(())
    }
}
