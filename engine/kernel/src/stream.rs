//! `DStream<T>`: the typed form in which streaming programs are written. Each method adds one operator.
//!
//! Knows no engine and never runs anything: it only builds what [`crate::cut`] makes a [`crate::Query`] of. Invariant: a
//! stream is a value; using it twice gives it two consumers.

mod count;
mod keyed;
mod top;
mod touched;

use crate::cut::{Origin, OutputPlan, Outputs, Pace, ShufflePlan, StagePlan, Trail};
use crate::operator::Source;
use crate::operator::emit::Emit;
use crate::operator::filter::Filter;
use crate::operator::flat_map::FlatMap;
use crate::operator::grep::GrepLines;
use crate::operator::map::{Map, MapFn};
use crate::operator::source::Rows;
use crate::operator::words::{WordsOfLines, for_each_word};
use crate::output::{Output, render};
use crate::program::{End, Fold, Program};
use crate::record::Record;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// A stream of records: in every interval, one dataset of `T`.
///
/// Closures see records in their borrowed form (`&str` for a `String`) and must be pure: the same task may run twice, and
/// both runs must make the same bytes.
#[must_use = "a stream that reaches no output is not computed"]
#[derive(Clone)]
pub struct DStream<T: Record> {
    source: Arc<dyn Source<T>>,
    trail: Trail,
    outputs: Outputs,
}

impl<T: Record> DStream<T> {
    pub(crate) fn new(source: Arc<dyn Source<T>>, trail: Trail, outputs: Outputs) -> DStream<T> {
        DStream { source, trail, outputs }
    }

    fn then<U: Record>(&self, operator: &str, source: impl Source<U> + 'static) -> DStream<U> {
        let trail = self.trail.then(operator, &U::type_name());
        DStream { source: Arc::new(source), trail, outputs: self.outputs.clone() }
    }

    /// One record for each record. What the closure returns may borrow from its argument; for computed strings use
    /// [`DStream::map_owned`].
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let pairs = builder.lines().map::<(String, u64)>(|line| (line.trim(), 1));
    /// # let _ = pairs;
    /// ```
    pub fn map<U: Record>(&self, function: impl for<'x> MapFn<'x, T, U> + Send + Sync + 'static) -> DStream<U> {
        self.then("map", Map { parent: Arc::clone(&self.source), function, made: PhantomData })
    }

    /// One computed record for each record. Costs an allocation for each string.
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let loud = builder.lines().map_owned::<String>(|line| line.to_uppercase());
    /// # let _ = loud;
    /// ```
    pub fn map_owned<U: Record>(
        &self,
        function: impl for<'x> Fn(T::Ref<'x>) -> U + Send + Sync + 'static,
    ) -> DStream<U> {
        self.emitting("map_owned", move |record, out| out.emit_owned(function(record)))
    }

    /// Any number of records for each record.
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let parts = builder.lines().flat_map::<String>(|line, out| out.extend(line.split(',')));
    /// # let _ = parts;
    /// ```
    pub fn flat_map<U: Record>(
        &self,
        function: impl for<'x, 'e> Fn(T::Ref<'x>, &mut Emit<'e, 'x, U>) + Send + Sync + 'static,
    ) -> DStream<U> {
        self.emitting("flat_map", function)
    }

    fn emitting<U: Record>(
        &self,
        operator: &str,
        function: impl for<'x, 'e> Fn(T::Ref<'x>, &mut Emit<'e, 'x, U>) + Send + Sync + 'static,
    ) -> DStream<U> {
        self.then(operator, FlatMap { parent: Arc::clone(&self.source), function, made: PhantomData })
    }

    /// The records for which `keeps` holds.
    pub fn filter(&self, keeps: impl for<'x> Fn(T::Ref<'x>) -> bool + Send + Sync + 'static) -> DStream<T> {
        self.then("filter", Filter { parent: Arc::clone(&self.source), keeps })
    }

    /// Makes the stream's datasets results of the query, under `name`. Rows are ordered by their encoded keys.
    pub fn output(&self, name: &str) {
        let stage = self.ending(None, Arc::new(Output));
        let (name, render) = (name.to_owned(), Arc::new(render::<T>));
        self.outputs.add(OutputPlan { name, stage, render, value_is_json: T::value_shows_json() });
    }

    /// The stream behind a shuffle: `map` is the stage that writes it, `fold` how its readers begin.
    fn behind<U: Record>(&self, map: StagePlan, fold: Arc<dyn Fold>, label: String, pace: Pace) -> DStream<U> {
        let trail = Trail::after(Origin::Shuffle(Rc::new(ShufflePlan { map, fold, label, pace })));
        DStream { source: Arc::new(Rows::<U>(PhantomData)), trail, outputs: self.outputs.clone() }
    }

    /// The stage that runs from the last shuffle to here and then into `end`.
    fn ending(&self, label: Option<&str>, end: Arc<dyn End<T>>) -> StagePlan {
        let trail = match label {
            Some(label) => self.trail.then(label, &T::type_name()),
            None => self.trail.clone(),
        };
        let (front, operators, is_output) = (self.trail.front(), Arc::clone(&self.source), label.is_none());
        let make = move |stage| {
            let (front, operators, end) = (front.clone(), Arc::clone(&operators), Arc::clone(&end));
            Arc::new(Program { stage, front, operators, end, is_output }) as Arc<_>
        };
        StagePlan { trail, make: Box::new(make) }
    }
}

impl DStream<String> {
    /// The words of each string: maximal runs of bytes other than 09-0D and 20 (hex).
    pub fn words(&self) -> DStream<String> {
        if self.source.is_input() {
            return self.then("words", WordsOfLines);
        }
        self.emitting("words", |text, out| for_each_word(text, |word| out.emit(word)))
    }

    /// The strings that contain `literal`.
    pub fn grep(&self, literal: &str) -> DStream<String> {
        let operator = format!("grep {literal:?}");
        if self.source.is_input() {
            return self.then(&operator, GrepLines::new(literal));
        }
        let finder = memchr::memmem::Finder::new(literal).into_owned();
        let keeps = move |text: &str| finder.find(text.as_bytes()).is_some();
        self.then(&operator, Filter { parent: Arc::clone(&self.source), keeps })
    }
}
