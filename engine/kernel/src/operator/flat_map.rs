//! `flat_map`: any number of records for each record.

use crate::operator::emit::Emit;
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;
use crate::record::Record;
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) struct FlatMap<T, U, F> {
    pub(crate) parent: Arc<dyn Source<T>>,
    pub(crate) function: F,
    pub(crate) made: PhantomData<fn() -> U>,
}

impl<T: Record, U: Record, F> Source<U> for FlatMap<T, U, F>
where
    F: for<'x, 'e> Fn(T::Ref<'x>, &mut Emit<'e, 'x, U>) + Send + Sync,
{
    fn run<'a>(&self, batch: Batch<'a>, context: Context<'a>, sink: &mut dyn Sink<'a, U>) -> Result<(), TaskError> {
        let out = Emit::new(context, sink);
        let mut gather = FlatMapSink { function: &self.function, out, read: PhantomData };
        self.parent.run(batch, context, &mut gather)?;
        gather.out.flush();
        Ok(())
    }
}

struct FlatMapSink<'s, 'a, T, U: Record, F> {
    function: &'s F,
    out: Emit<'s, 'a, U>,
    read: PhantomData<fn() -> T>,
}

impl<'s, 'a, T: Record, U: Record, F> Sink<'a, T> for FlatMapSink<'s, 'a, T, U, F>
where
    F: for<'x, 'e> Fn(T::Ref<'x>, &mut Emit<'e, 'x, U>),
{
    fn chunk(&mut self, records: &[T::Ref<'a>]) {
        for record in records {
            (self.function)(*record, &mut self.out);
        }
    }
}
