//! `Emit`: where a flat map puts what it makes. It gathers records into chunks for the next operator.
//!
//! Invariant: it holds fewer than a chunk of records, however many one record is turned into.

use crate::arena::Arena;
use crate::operator::{Context, Sink};
use crate::record::Record;

/// Takes the records that a flat map makes. `'a` is the life of the batch, `'e` that of the call.
pub struct Emit<'e, 'a, U: Record> {
    chunk: Vec<U::Ref<'a>>,
    /// One less than a chunk: what is gathered at most.
    room: usize,
    sink: &'e mut (dyn Sink<'a, U> + 'e),
    /// Holds strings that the closure computes: `out.emit(out.arena.str(&line.to_uppercase()))`.
    pub arena: &'a Arena,
}

impl<'e, 'a, U: Record> Emit<'e, 'a, U> {
    pub(crate) fn new(context: Context<'a>, sink: &'e mut (dyn Sink<'a, U> + 'e)) -> Emit<'e, 'a, U> {
        // Chunks of one are never gathered and need no memory.
        let room = context.chunk - 1;
        Emit { chunk: Vec::with_capacity(if room > 0 { context.chunk } else { 0 }), room, sink, arena: context.arena }
    }

    /// Passes a record on.
    #[inline]
    pub fn emit(&mut self, record: U::Ref<'a>) {
        if self.chunk.len() < self.room {
            self.chunk.push(record);
        } else {
            self.complete(record);
        }
    }

    /// Hands over a chunk whose last record is here.
    fn complete(&mut self, record: U::Ref<'a>) {
        if self.room == 0 {
            return self.sink.chunk(std::slice::from_ref(&record));
        }
        self.chunk.push(record);
        self.flush();
    }

    /// Passes a computed record on.
    pub fn emit_owned(&mut self, record: U) {
        self.emit(record.lend(self.arena));
    }

    /// Passes all records of `records` on.
    pub fn extend(&mut self, records: impl IntoIterator<Item = U::Ref<'a>>) {
        records.into_iter().for_each(|record| self.emit(record));
    }

    /// Hands over what has gathered.
    pub(crate) fn flush(&mut self) {
        if !self.chunk.is_empty() {
            self.sink.chunk(&self.chunk);
            self.chunk.clear();
        }
    }
}
