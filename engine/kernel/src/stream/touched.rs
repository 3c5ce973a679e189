//! What a stream of pairs can do with states of which only touched keys are visited.

use super::DStream;
use crate::cut::Pace;
use crate::keyed::map_with_state::{Emitted, MapWithState, Touched};
use crate::keyed::state::Spread;
use crate::keyed::touched::{Visit, VisitTouched};
use crate::keyed::track::Track;
use crate::record::Record;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

impl<K: Record, V: Record> DStream<(K, V)> {
    /// A state for each key, of which only what is touched is visited. `function` sees each key that has values in an
    /// interval, with them (in an order of their own) and with its state; it may emit any number of records, which are
    /// the stream, and what it returns is the key's next state: without one the key leaves.
    ///
    /// With a `timeout`, a key that had no values for so many intervals in a row is visited once more, at the end of the
    /// last of them, with [`Touched::TimingOut`], and leaves.
    ///
    /// ```
    /// use dstream_kernel::Touched;
    /// use std::num::NonZeroU64;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
    /// // How often a word came until it was silent for five intervals.
    /// let sessions = ones.map_with_state::<u64, (String, u64)>(NonZeroU64::new(5), |word, touched, before, out| {
    ///     if touched == Touched::TimingOut {
    ///         out.emit((word, before.unwrap_or(0)));
    ///     }
    ///     Some(before.unwrap_or(0) + touched.values().iter().sum::<u64>())
    /// });
    /// # let _ = sessions;
    /// ```
    pub fn map_with_state<S: Record, U: Record>(
        &self,
        timeout: Option<NonZeroU64>,
        function: impl for<'x, 'y, 'z> Fn(
            K::Ref<'x>,
            Touched<'z, V::Ref<'x>>,
            Option<S::Ref<'y>>,
            &mut Emitted<'_, U>,
        ) -> Option<S>
        + Send
        + Sync
        + 'static,
    ) -> DStream<U> {
        let label = format!("map with state of {}{}", S::type_name(), shown(timeout));
        self.visiting::<S, U, _>(MapWithState { function, made: PhantomData }, timeout, label)
    }

    /// Tracks what each key is about: its first event makes a state, each later one the next state, or none, and then the
    /// key's next event makes one anew. Events of one interval are taken in an order of their own. A key that had no
    /// events for `timeout` intervals in a row leaves. The stream has a pair for each key with a state.
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// // Viewers come and go; whoever says nothing for 30 intervals has gone.
    /// let events = builder.lines().map::<(String, bool)>(|line| match line.split_once(' ') {
    ///     Some((viewer, event)) => (viewer, event == "leaves"),
    ///     None => (line, false),
    /// });
    /// let viewers = events.track::<u64>(
    ///     |_viewer, _leaves| 1,
    ///     |_viewer, events, leaves| (!leaves).then_some(events + 1),
    ///     NonZeroU64::new(30),
    /// );
    /// # let _ = viewers;
    /// ```
    pub fn track<S: Record>(
        &self,
        initialise: impl for<'x> Fn(K::Ref<'x>, V::Ref<'x>) -> S + Send + Sync + 'static,
        update: impl for<'x, 'y> Fn(K::Ref<'x>, S::Ref<'y>, V::Ref<'x>) -> Option<S> + Send + Sync + 'static,
        timeout: Option<NonZeroU64>,
    ) -> DStream<(K, S)> {
        let label = format!("track {}{}", S::type_name(), shown(timeout));
        self.visiting::<S, (K, S), _>(Track { initialise, update }, timeout, label)
    }

    fn visiting<S: Record, U: Record, M: Visit<K, V, S>>(
        &self,
        visit: M,
        timeout: Option<NonZeroU64>,
        label: String,
    ) -> DStream<U> {
        let map = self.ending(Some("spread"), Arc::new(Spread::<K>(PhantomData)));
        let fold = VisitTouched::<K, V, S, M> {
            visit: Arc::new(visit),
            timeout,
            every: self.trail.every(),
            types: PhantomData,
        };
        self.behind(map, Arc::new(fold), label, Pace::Same)
    }
}

fn shown(timeout: Option<NonZeroU64>) -> String {
    timeout.map_or_else(String::new, |intervals| format!(" for {intervals}"))
}
