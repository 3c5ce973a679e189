//! What a stream of pairs can do: reduce by key within an interval, over a window, from the start; carry a state.

use super::DStream;
use crate::combine::Reduce;
use crate::cut::{Pace, StagePlan};
use crate::keyed::invertible::Invertible;
use crate::keyed::running::Running;
use crate::keyed::state::{Spread, UpdateState};
use crate::keyed::window::Windowed;
use crate::record::Record;
use crate::window::Window;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

impl<K: Record, V: Record> DStream<(K, V)> {
    /// One pair for each key: its values, folded by `function`, which must be associative and commutative (values are
    /// folded where they arose first, then across partitions). The border between two stages.
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let counts = builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b);
    /// # let _ = counts;
    /// ```
    pub fn reduce_by_key(
        &self,
        function: impl for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
    ) -> DStream<(K, V)> {
        let (reduce, map) = self.combining(function);
        self.behind(map, Arc::new(reduce), "reduce".to_owned(), Pace::Same)
    }

    /// Like [`DStream::reduce_by_key`], over the last intervals instead of one. Each result folds all values of the window
    /// again; where `function` has an inverse, [`DStream::reduce_by_key_and_window_invertible`] does less.
    ///
    /// ```
    /// use dstream_kernel::Window;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let window = Window::of(30).expect("30 is not zero");
    /// let lengths = builder.lines().words().map::<(bool, u64)>(|word| (word.is_ascii(), word.len() as u64));
    /// let longest = lengths.reduce_by_key_and_window(u64::max, window);
    /// # let _ = longest;
    /// ```
    pub fn reduce_by_key_and_window(
        &self,
        function: impl for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
        window: Window,
    ) -> DStream<(K, V)> {
        let (reduce, map) = self.combining(function);
        self.behind(map, Arc::new(Windowed { reduce, window }), format!("window {window}"), pace(window))
    }

    /// The same results with less work: the values that enter are folded into the window before, those that leave are
    /// taken out by `inverse`. Must hold: `inverse(function(a, b), b) = a`, to the bit (so no floating point).
    ///
    /// `keeps` says whether anything remains of a value; where it says no, the key leaves. It must be false for the value
    /// that is left when all values of a key have left, and true for every other. A sum of numbers of both signs does not
    /// show that; then carry a count beside it: `(sum, count)`, and keep while the count is above 0.
    ///
    /// ```
    /// use dstream_kernel::Window;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let window = Window::of(30).expect("30 is not zero");
    /// let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    /// let counts = ones.reduce_by_key_and_window_invertible(|a, b| a + b, |a, b| a - b, |count| count > 0, window);
    /// # let _ = counts;
    /// ```
    pub fn reduce_by_key_and_window_invertible(
        &self,
        function: impl for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
        inverse: impl for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
        keeps: impl for<'x> Fn(V::Ref<'x>) -> bool + Send + Sync + 'static,
        window: Window,
    ) -> DStream<(K, V)> {
        let (reduce, map) = self.combining(function);
        let fold = Invertible { reduce, inverse: Arc::new(inverse), keeps: Arc::new(keeps), window };
        self.behind(map, Arc::new(fold), format!("invertible window {window}"), pace(window))
    }

    /// Like [`DStream::reduce_by_key`], over everything from the start, with a result every `slide` intervals. Keys never
    /// leave.
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    /// let totals = ones.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN);
    /// # let _ = totals;
    /// ```
    pub fn running_reduce_by_key(
        &self,
        function: impl for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
        slide: NonZeroU64,
    ) -> DStream<(K, V)> {
        let (reduce, map) = self.combining(function);
        let pace = Pace::Slides { length: None, slide };
        self.behind(map, Arc::new(Running { reduce, slide }), format!("running by {slide}"), pace)
    }

    /// A state for each key. In every interval `function` sees each key that has a state or new values, with its new
    /// values (in an order of their own, none if there are none) and its state; what it returns is the key's next state,
    /// and without one the key leaves. The stream has a pair for each key with a state.
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    /// // Counts halve from interval to interval.
    /// let recent = ones.update_state_by_key::<u64>(|_word, counts, before| {
    ///     let count = counts.iter().sum::<u64>() + before.unwrap_or(0) / 2;
    ///     (count > 0).then_some(count)
    /// });
    /// # let _ = recent;
    /// ```
    pub fn update_state_by_key<S: Record>(
        &self,
        function: impl for<'x> Fn(K::Ref<'x>, &[V::Ref<'x>], Option<S::Ref<'x>>) -> Option<S> + Send + Sync + 'static,
    ) -> DStream<(K, S)> {
        let map = self.ending(Some("spread"), Arc::new(Spread::<K>(PhantomData)));
        let fold = UpdateState::<K, V, S, _> { function, every: self.trail.every(), types: PhantomData };
        self.behind(map, Arc::new(fold), format!("state of {}", S::type_name()), Pace::Same)
    }

    /// A reduction with the stage that combines before its shuffle.
    fn combining<F>(&self, function: F) -> (Reduce<K, V, F>, StagePlan)
    where
        F: for<'x, 'y> Fn(V::Ref<'x>, V::Ref<'y>) -> V + Send + Sync + 'static,
    {
        let seed = self.trail.fingerprint();
        let reduce = Reduce::<K, V, F> { function: Arc::new(function), seed, types: PhantomData };
        let map = self.ending(Some("combine"), Arc::new(reduce.clone()));
        (reduce, map)
    }
}

fn pace(window: Window) -> Pace {
    Pace::Slides { length: Some(window.length), slide: window.slide }
}
