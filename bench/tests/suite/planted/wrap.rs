//! A protocol part behind a function that sees each event first and each action last: how a defect is planted.
//!
//! Knows no part and no defect.

use dstream_cluster::core::{BoxCore, Core};
use dstream_trace::Moment;

struct Wrapped<E, A, F> {
    inner: BoxCore<E, A>,
    step: F,
}

impl<E, A, F> Core for Wrapped<E, A, F>
where
    F: FnMut(&mut BoxCore<E, A>, Moment, E, &mut Vec<A>) + Send,
{
    type Event = E;
    type Action = A;

    fn step(&mut self, now: Moment, event: E, actions: &mut Vec<A>) {
        (self.step)(&mut self.inner, now, event, actions);
    }

    fn deadline(&self) -> Option<Moment> {
        self.inner.deadline()
    }
}

/// The part behind the function.
pub fn wrap<E: 'static, A: 'static>(
    inner: BoxCore<E, A>,
    step: impl FnMut(&mut BoxCore<E, A>, Moment, E, &mut Vec<A>) + Send + 'static,
) -> BoxCore<E, A> {
    Box::new(Wrapped { inner, step })
}
