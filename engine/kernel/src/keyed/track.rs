//! `track`: a state for each key, made from its first event and carried on by each later one.
//!
//! Knows not which keys are visited, [`super::touched`] does. Invariant: events of one interval are taken one after the
//! other, as if each had an interval of its own.

use crate::keyed::loose::Loose;
use crate::keyed::touched::Visit;
use crate::record::Record;

pub(crate) struct Track<I, F> {
    pub(crate) initialise: I,
    pub(crate) update: F,
}

impl<K: Record, V: Record, S: Record, I, F> Visit<K, V, S> for Track<I, F>
where
    I: for<'x> Fn(K::Ref<'x>, V::Ref<'x>) -> S + Send + Sync + 'static,
    F: for<'x, 'y> Fn(K::Ref<'x>, S::Ref<'y>, V::Ref<'x>) -> Option<S> + Send + Sync + 'static,
{
    const SHOWS_STATES: bool = true;

    fn values<'x>(
        &self,
        key: K::Ref<'x>,
        values: &[V::Ref<'x>],
        before: Option<S::Ref<'_>>,
        _emitted: &mut Loose,
    ) -> Option<S> {
        let mut state = before.map(S::owned);
        for event in values {
            state = match &state {
                None => Some((self.initialise)(key, *event)),
                Some(state) => (self.update)(key, state.borrowed(), *event),
            };
        }
        state
    }

    fn timing_out(&self, _key: K::Ref<'_>, _before: S::Ref<'_>, _emitted: &mut Loose) {}
}
