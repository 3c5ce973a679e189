//! The shape of every protocol part: a synchronous state machine, events in and actions out.
//!
//! A core has no clock, no socket and no task of its own; the shell around it tells it the time and does what its actions
//! say. Being a trait, a core can be wrapped: tests plant defects by wrapping one and changing a single action.

use dstream_trace::Moment;

/// A protocol part.
pub trait Core: Send {
    /// What can happen to it.
    type Event;
    /// What it asks to be done.
    type Action;

    /// Takes one event at `now` and appends what is to be done, in order.
    fn step(&mut self, now: Moment, event: Self::Event, actions: &mut Vec<Self::Action>);

    /// When it wants to be woken (with whatever its tick event is) if nothing else happens; `None`: never.
    fn deadline(&self) -> Option<Moment>;
}

/// A core whose type nobody needs to know.
pub type BoxCore<E, A> = Box<dyn Core<Event = E, Action = A>>;
