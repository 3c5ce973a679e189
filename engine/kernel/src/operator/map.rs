//! `map`: one record for each record.

use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;
use crate::record::Record;
use std::marker::PhantomData;
use std::sync::Arc;

/// A function from a borrowed record to a borrowed record of the same batch. Every closure of that shape is one; the
/// trait is there because Rust infers such closures only through it.
pub trait MapFn<'x, T: Record, U: Record>: Fn(T::Ref<'x>) -> U::Ref<'x> {}

impl<'x, T: Record, U: Record, F: Fn(T::Ref<'x>) -> U::Ref<'x>> MapFn<'x, T, U> for F {}

pub(crate) struct Map<T, U, F> {
    pub(crate) parent: Arc<dyn Source<T>>,
    pub(crate) function: F,
    pub(crate) made: PhantomData<fn() -> U>,
}

impl<T: Record, U: Record, F> Source<U> for Map<T, U, F>
where
    F: for<'x> MapFn<'x, T, U> + Send + Sync,
{
    fn run<'a>(&self, batch: Batch<'a>, context: Context<'a>, sink: &mut dyn Sink<'a, U>) -> Result<(), TaskError> {
        let mut sink = MapSink { function: &self.function, chunk: Vec::new(), sink, read: PhantomData };
        self.parent.run(batch, context, &mut sink)
    }
}

struct MapSink<'s, 'a, T, U: Record, F> {
    function: &'s F,
    chunk: Vec<U::Ref<'a>>,
    sink: &'s mut (dyn Sink<'a, U> + 's),
    read: PhantomData<fn() -> T>,
}

impl<'a, T: Record, U: Record, F> Sink<'a, T> for MapSink<'_, 'a, T, U, F>
where
    F: for<'x> MapFn<'x, T, U>,
{
    fn chunk(&mut self, records: &[T::Ref<'a>]) {
        if let [record] = records {
            return self.sink.chunk(std::slice::from_ref(&(self.function)(*record)));
        }
        self.chunk.clear();
        self.chunk.extend(records.iter().map(|record| (self.function)(*record)));
        self.sink.chunk(&self.chunk);
    }
}
