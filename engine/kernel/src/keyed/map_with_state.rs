//! `map_with_state`: a user's function turns the values and the state of a key into records and the next state.
//!
//! Knows not which keys are visited, [`super::touched`] does. Invariant: what is emitted becomes rows by their bytes,
//! whatever order the function chose.

use crate::keyed::loose::Loose;
use crate::keyed::touched::Visit;
use crate::record::Record;
use std::marker::PhantomData;

/// Why a function over states sees a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'v, R> {
    /// The interval's values of the key, at least one, in an order of their own.
    Values(&'v [R]),
    /// It had no values for as long as its state may live without. Whatever state is returned is dropped.
    TimingOut,
}

impl<'v, R> Touched<'v, R> {
    /// The values; none where the key times out.
    pub fn values(self) -> &'v [R] {
        match self {
            Touched::Values(values) => values,
            Touched::TimingOut => &[],
        }
    }
}

/// Takes the records that a function over states makes.
pub struct Emitted<'e, U> {
    rows: &'e mut Loose,
    record: PhantomData<fn() -> U>,
}

impl<U: Record> Emitted<'_, U> {
    /// Adds a record to the stream.
    pub fn emit(&mut self, record: U::Ref<'_>) {
        self.rows.push_with(|rows| U::put(record, rows));
    }

    /// Adds a computed record to the stream.
    pub fn emit_owned(&mut self, record: U) {
        self.emit(record.borrowed());
    }
}

pub(crate) struct MapWithState<U, F> {
    pub(crate) function: F,
    pub(crate) made: PhantomData<fn() -> U>,
}

impl<K: Record, V: Record, S: Record, U: Record, F> Visit<K, V, S> for MapWithState<U, F>
where
    F: for<'x, 'y, 'z> Fn(K::Ref<'x>, Touched<'z, V::Ref<'x>>, Option<S::Ref<'y>>, &mut Emitted<'_, U>) -> Option<S>
        + Send
        + Sync
        + 'static,
{
    const SHOWS_STATES: bool = false;

    fn values<'x>(
        &self,
        key: K::Ref<'x>,
        values: &[V::Ref<'x>],
        before: Option<S::Ref<'_>>,
        emitted: &mut Loose,
    ) -> Option<S> {
        (self.function)(key, Touched::Values(values), before, &mut Emitted { rows: emitted, record: PhantomData })
    }

    fn timing_out(&self, key: K::Ref<'_>, before: S::Ref<'_>, emitted: &mut Loose) {
        let mut emitted = Emitted { rows: emitted, record: PhantomData };
        let _dropped = (self.function)(key, Touched::TimingOut, Some(before), &mut emitted);
    }
}
