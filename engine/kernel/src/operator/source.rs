//! The beginnings of stages: lines of text, rows of a shuffle.

use crate::operator::emit::Emit;
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;
use crate::reader::Reader;
use crate::record::Record;
use std::marker::PhantomData;

/// The lines of a batch, without their LF.
pub(crate) struct Lines;

impl Source<String> for Lines {
    fn run<'a>(
        &self,
        batch: Batch<'a>,
        context: Context<'a>,
        sink: &mut dyn Sink<'a, String>,
    ) -> Result<(), TaskError> {
        let mut out = Emit::<String>::new(context, sink);
        let text = batch.text();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
            out.emit(&text[start..end]);
            start = end + 1;
        }
        out.flush();
        Ok(())
    }

    fn is_input(&self) -> bool {
        true
    }
}

/// The rows of a batch.
pub(crate) struct Rows<T>(pub(crate) PhantomData<fn() -> T>);

impl<T: Record> Source<T> for Rows<T> {
    fn run<'a>(&self, batch: Batch<'a>, context: Context<'a>, sink: &mut dyn Sink<'a, T>) -> Result<(), TaskError> {
        let mut out = Emit::<T>::new(context, sink);
        let mut reader = Reader::new(batch.rows());
        while reader.remaining() > 0 {
            out.emit(T::get(&mut reader)?);
        }
        out.flush();
        Ok(())
    }

    fn is_input(&self) -> bool {
        true
    }
}
