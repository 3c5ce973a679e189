//! States of which an interval visits those keys alone that have values, or have had none for too long: what
//! `map_with_state` and `track` share.
//!
//! Knows no user's function, only [`Visit`]. Invariants: values of a key come in the order of their encodings, so neither
//! arrival nor partitioning changes what a visit makes; when a key times out follows from numbers of intervals alone.
//!
//! ```text
//! no state --values--> STATE touched at i --values at j--> STATE touched at j, or dropped
//!                        '--none up to and including i + timeout--> visited once more, dropped
//! ```

use crate::combine::put_row;
use crate::held::order::Placed;
use crate::held::table::{Stored, Timeless, Touch};
use crate::keyed::in_place::InPlace;
use crate::keyed::kept_once;
use crate::keyed::loose::Loose;
use crate::keyed::state::Pairs;
use crate::pane::Pane;
use crate::program::{Fold, Folded, OpenInterval, Reads};
use crate::query::{Counts, Kept, TaskError};
use crate::reader::Reader;
use crate::record::Record;
use crate::rows::{Keyed, RowBuffer};
use crate::scratch::Scratch;
use crate::window::is_due;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

/// What becomes of a key that is visited.
pub(crate) trait Visit<K: Record, V: Record, S: Record>: Send + Sync + 'static {
    /// Whether the stream has a pair for each state; else it has what visits emit.
    const SHOWS_STATES: bool;

    /// The key's next state, if it has one.
    fn values<'x>(
        &self,
        key: K::Ref<'x>,
        values: &[V::Ref<'x>],
        before: Option<S::Ref<'_>>,
        emitted: &mut Loose,
    ) -> Option<S>;

    /// The key had no values for too long; its state goes.
    fn timing_out(&self, key: K::Ref<'_>, before: S::Ref<'_>, emitted: &mut Loose);
}

/// The side after the shuffle.
pub(crate) struct VisitTouched<K, V, S, M> {
    pub(crate) visit: Arc<M>,
    /// How many intervals without values a state outlives, less one.
    pub(crate) timeout: Option<NonZeroU64>,
    /// Of the stream that it reads: between two results nothing is visited.
    pub(crate) every: NonZeroU64,
    pub(crate) types: PhantomData<(K, V, S)>,
}

impl<K: Record, V: Record, S: Record, M: Visit<K, V, S>> Fold for VisitTouched<K, V, S, M> {
    fn kept(&self) -> Vec<Kept> {
        vec![kept_once::<(K, Held<S>)>("state")]
    }

    fn reach(&self) -> Option<u64> {
        None
    }

    fn open(&self, scratch: &mut Scratch) -> Box<dyn OpenInterval> {
        Box::new(Pairs::<K, V>::open(scratch))
    }

    fn in_place(&self, segments: NonZeroU64) -> Option<Arc<dyn Fold>> {
        Some(match self.timeout {
            Some(_) => self.table::<Touch<S>>(segments),
            None => self.table::<Timeless<S>>(segments),
        })
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
        let (kept, emitted) = (scratch.take_buffer(), Loose::new(scratch));
        let mut step = Step { fold: self, interval: reads.interval, kept, shown: &mut rows, emitted, visited: 0 };
        step.run(Pane::open(before)?, &values)?;
        counts.rows_applied += step.visited;
        let (mut kept, emitted) = (step.kept, step.emitted.sorted(scratch));
        let unused = if M::SHOWS_STATES { emitted } else { std::mem::replace(&mut rows, emitted) };
        let pane = kept.seal();
        [values, kept, unused].into_iter().for_each(|buffer| scratch.keep_buffer(buffer));
        Ok(Folded { rows, kept: vec![pane] })
    }
}

impl<K: Record, V: Record, S: Record, M: Visit<K, V, S>> VisitTouched<K, V, S, M> {
    /// The same with states of this form in place.
    fn table<T: Stored<S>>(&self, segments: NonZeroU64) -> Arc<dyn Fold> {
        Arc::new(InPlace::<K, V, S, T, M> {
            visit: Arc::clone(&self.visit),
            opens: Arc::new(|scratch: &mut Scratch| Box::new(Placed::<K, V>::open(scratch)) as Box<dyn OpenInterval>),
            timeout: self.timeout,
            visits_every: self.every,
            shows_every: self.every,
            segments,
            types: PhantomData,
        })
    }
}

/// The interval in which a key was touched last, and its state.
type Held<S> = (u64, S);

/// One interval of one partition.
struct Step<'s, K, V, S, M> {
    fold: &'s VisitTouched<K, V, S, M>,
    interval: u64,
    kept: RowBuffer,
    shown: &'s mut RowBuffer,
    emitted: Loose,
    visited: u64,
}

impl<K: Record, V: Record, S: Record, M: Visit<K, V, S>> Step<'_, K, V, S, M> {
    /// Goes through all keys. `pairs` stand in order.
    fn run(&mut self, mut before: Pane<'_, K, Held<S>>, pairs: &RowBuffer) -> Result<(), TaskError> {
        let mut pairs = pairs.rows::<(K, V)>();
        let (mut next, mut values) = (pairs.next_keyed()?, Vec::new());
        while let Some(first) = next.take() {
            while let Some(key) = before.key().filter(|key| *key < first.bytes) {
                let held = before.take(key)?;
                self.untouched(key, held)?;
            }
            values.clear();
            values.push(first.value);
            next = pairs.next_keyed()?;
            while let Some(pair) = next.take_if(|pair| pair.bytes == first.bytes) {
                values.push(pair.value);
                next = pairs.next_keyed()?;
            }
            let held = before.take(first.bytes)?;
            let key = K::get(&mut Reader::new(first.bytes))?;
            self.visited += 1;
            let state = held.map(|held| held.value.1);
            if let Some(state) = self.fold.visit.values(key, &values, state, &mut self.emitted) {
                self.keep(first.bytes, self.interval, state.borrowed());
            }
        }
        while let Some(key) = before.key() {
            let held = before.take(key)?;
            self.untouched(key, held)?;
        }
        Ok(())
    }

    fn untouched(&mut self, key: &[u8], held: Option<Keyed<'_, Held<S>>>) -> Result<(), TaskError> {
        let Some(held) = held else { return Ok(()) };
        let (touched, state) = held.value;
        let is_over = |timeout: NonZeroU64| self.interval.saturating_sub(touched) >= timeout.get();
        if self.fold.timeout.is_some_and(is_over) {
            self.visited += 1;
            self.fold.visit.timing_out(K::get(&mut Reader::new(key))?, state, &mut self.emitted);
        } else {
            self.keep(key, touched, state);
        }
        Ok(())
    }

    fn keep(&mut self, key: &[u8], touched: u64, state: S::Ref<'_>) {
        self.kept.push_with(|rows| put_row::<Held<S>>(key, (touched, state), rows));
        if M::SHOWS_STATES {
            self.shown.push_with(|rows| put_row::<S>(key, state, rows));
        }
    }
}
