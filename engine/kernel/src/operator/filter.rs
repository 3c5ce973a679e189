//! `filter`: the records for which a predicate holds.

use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;
use crate::record::Record;
use std::sync::Arc;

pub(crate) struct Filter<T, F> {
    pub(crate) parent: Arc<dyn Source<T>>,
    pub(crate) keeps: F,
}

impl<T: Record, F> Source<T> for Filter<T, F>
where
    F: for<'x> Fn(T::Ref<'x>) -> bool + Send + Sync,
{
    fn run<'a>(&self, batch: Batch<'a>, context: Context<'a>, sink: &mut dyn Sink<'a, T>) -> Result<(), TaskError> {
        self.parent.run(batch, context, &mut FilterSink { keeps: &self.keeps, chunk: Vec::new(), sink })
    }
}

struct FilterSink<'s, 'a, T: Record, F> {
    keeps: &'s F,
    chunk: Vec<T::Ref<'a>>,
    sink: &'s mut (dyn Sink<'a, T> + 's),
}

impl<'a, T: Record, F> Sink<'a, T> for FilterSink<'_, 'a, T, F>
where
    F: for<'x> Fn(T::Ref<'x>) -> bool,
{
    fn chunk(&mut self, records: &[T::Ref<'a>]) {
        if let [record] = records {
            if (self.keeps)(*record) {
                self.sink.chunk(records);
            }
            return;
        }
        self.chunk.clear();
        self.chunk.extend(records.iter().copied().filter(|record| (self.keeps)(*record)));
        if !self.chunk.is_empty() {
            self.sink.chunk(&self.chunk);
        }
    }
}
