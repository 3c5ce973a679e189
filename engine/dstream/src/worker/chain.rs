//! Chains: lost state is made again step by step, and each step reads what the one before it leaves.
//!
//! The master orders a few steps ahead. A step waits here for the one before it and takes over its core, so that a chain
//! waits neither for messages nor behind other tasks. Knows nothing of what is computed. Invariant: whoever waits hears
//! that the state is there, with a core, or that it will not come.
//!
//! ```text
//! begun --state is kept--> the core goes to whoever follows, else it is free
//!   '----ended without---> whoever follows hears that nothing comes
//! ```

use crate::worker::seats::Seat;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// An attempt at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The epoch under which it was ordered.
    pub epoch: u64,
    /// The stage.
    pub stage: u32,
    /// The partition.
    pub partition: u32,
    /// The interval.
    pub interval: u64,
    /// The attempt.
    pub attempt: u32,
}

/// Who follows a step, if somebody does.
type Follower = Option<oneshot::Sender<Seat>>;

/// The steps that were ordered here and have not ended.
#[derive(Clone, Debug, Default)]
pub struct Chains(Arc<Mutex<BTreeMap<Step, Follower>>>);

/// A step that is under way.
#[derive(Debug)]
pub struct Link {
    chains: Chains,
    step: Step,
}

impl Chains {
    /// The step is under way until the link is dropped.
    pub fn begin(&self, step: Step) -> Link {
        self.lock().insert(step, None);
        Link { chains: self.clone(), step }
    }

    /// Whether it is under way.
    pub fn is_under_way(&self, step: Step) -> bool {
        self.lock().contains_key(&step)
    }

    /// Waits for the step's state. The core that made it; nothing if the state does not come, or did before.
    pub async fn follow(&self, step: Step) -> Option<Seat> {
        let (sender, seat) = oneshot::channel();
        *self.lock().get_mut(&step)? = Some(sender);
        seat.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Step, Follower>> {
        // Every change under this lock is complete before anything that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// The step's state is kept: its core goes on to whoever follows, or is free.
    pub fn hand_on(self, seat: Seat) {
        let follower = self.chains.lock().remove(&self.step).flatten();
        if let Some(follower) = follower {
            // Whoever gave up waiting drops the seat that comes back, and so frees it.
            let _ = follower.send(seat);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let follower = self.chains.lock().remove(&self.step);
        drop(follower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::seats::{Rank, Seats};
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    const STEP: Step = Step { epoch: 1, stage: 1, partition: 0, interval: 7, attempt: 1 };

    fn poll<T>(future: &mut std::pin::Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    type Following = std::pin::Pin<Box<dyn Future<Output = Option<Seat>>>>;

    fn following(chains: &Chains) -> Following {
        let chains = chains.clone();
        let mut following: Following = Box::pin(async move { chains.follow(STEP).await });
        assert!(poll(&mut following).is_none(), "the step has not ended");
        following
    }

    fn entering(seats: &Seats) -> Following {
        let seats = seats.clone();
        Box::pin(async move { Some(seats.enter(Rank::of(0, 0)).await) })
    }

    #[test]
    fn a_core_goes_from_step_to_step_past_all_who_wait_for_one() {
        let (seats, chains) = (Seats::new(1), Chains::default());
        let link = chains.begin(STEP);
        let seat = poll(&mut entering(&seats)).flatten().unwrap();
        let (mut follower, mut other) = (following(&chains), entering(&seats));
        assert!(poll(&mut other).is_none(), "the only core is taken");
        link.hand_on(seat);
        let seat = poll(&mut follower).flatten().unwrap();
        assert!(poll(&mut other).is_none(), "the core went to the next step");
        drop(seat);
        assert!(poll(&mut other).flatten().is_some());
        assert!(!chains.is_under_way(STEP));
    }

    #[test]
    fn a_core_that_nobody_follows_to_is_free() {
        let (seats, chains) = (Seats::new(1), Chains::default());
        let link = chains.begin(STEP);
        let seat = poll(&mut entering(&seats)).flatten().unwrap();
        drop(following(&chains));
        link.hand_on(seat);
        assert!(poll(&mut entering(&seats)).flatten().is_some());
    }

    #[test]
    fn whoever_follows_a_step_that_fails_hears_of_it() {
        let chains = Chains::default();
        let link = chains.begin(STEP);
        let mut follower = following(&chains);
        drop(link);
        assert!(matches!(poll(&mut follower), Some(None)));
        let mut late: Following = Box::pin(async move { chains.follow(STEP).await });
        assert!(matches!(poll(&mut late), Some(None)), "what has ended is not waited for");
    }
}
