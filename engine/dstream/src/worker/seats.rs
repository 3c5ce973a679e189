//! Seats: which of the tasks that wait on a worker gets the next free core.
//!
//! Knows nothing of tasks but their rank. Invariants: no more tasks are seated than there are cores; a freed seat goes to
//! the lowest rank that waits, so that an interval's last stage is not kept waiting by the next interval's first.
//!
//! ```text
//! enter --a seat is free--> seated --dropped--> the lowest waiting rank is seated, else the seat is free
//!   |                          ^
//!   +--none is--> waiting -----+
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A task's place among those that wait: earlier intervals first, of one interval later stages first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    interval: u64,
    stage: Reverse<u32>,
}

impl Rank {
    /// The rank of a task of this stage of this interval.
    pub fn of(interval: u64, stage: u32) -> Rank {
        Rank { interval, stage: Reverse(stage) }
    }
}

#[derive(Debug)]
struct Waiting {
    free: usize,
    /// Equal ranks in the order in which they came. As many as the master launches, which is a few a core.
    queue: BTreeMap<(Rank, u64), oneshot::Sender<Seat>>,
    next: u64,
}

/// The seats of one worker.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Mutex<Waiting>>);

/// A right to use a core; given back when dropped.
#[derive(Debug)]
pub struct Seat(Seats);

impl Seats {
    /// As many as there are `cores`, at least one.
    pub fn new(cores: usize) -> Seats {
        Seats(Arc::new(Mutex::new(Waiting { free: cores.max(1), queue: BTreeMap::new(), next: 0 })))
    }

    /// Waits for a seat.
    pub async fn enter(&self, rank: Rank) -> Seat {
        let answer = {
            let mut waiting = self.lock();
            if waiting.free > 0 {
                waiting.free -= 1;
                return Seat(self.clone());
            }
            let (sender, answer) = oneshot::channel();
            let number = waiting.next;
            waiting.next += 1;
            waiting.queue.insert((rank, number), sender);
            answer
        };
        answer.await.expect("a sender leaves the queue only with a seat for it, and whoever waits keeps the queue")
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change under this lock is complete before anything that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let next = {
            let mut waiting = self.0.lock();
            let next = waiting.queue.pop_first();
            if next.is_none() {
                waiting.free += 1;
            }
            next
        };
        if let Some((_, sender)) = next {
            // Whoever gave up waiting drops the seat that comes back, and so passes it on.
            let _ = sender.send(Seat(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    type Entry = std::pin::Pin<Box<dyn Future<Output = Seat>>>;

    fn enter(seats: &Seats, interval: u64, stage: u32) -> Entry {
        let seats = seats.clone();
        let mut entry: Entry = Box::pin(async move { seats.enter(Rank::of(interval, stage)).await });
        assert!(poll(&mut entry).is_none(), "the seats are taken");
        entry
    }

    fn poll(entry: &mut Entry) -> Option<Seat> {
        match entry.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(seat) => Some(seat),
            Poll::Pending => None,
        }
    }

    fn taken(seats: &Seats) -> Seat {
        let seats = seats.clone();
        let mut entry: Entry = Box::pin(async move { seats.enter(Rank::of(9, 9)).await });
        poll(&mut entry).expect("a seat is free")
    }

    #[test]
    fn earlier_intervals_go_first_and_of_one_interval_later_stages() {
        let seats = Seats::new(1);
        let mut seat = Some(taken(&seats));
        let mut waiting: BTreeMap<&str, Entry> = [
            ("the next interval", enter(&seats, 5, 0)),
            ("first stage", enter(&seats, 4, 0)),
            ("last stage", enter(&seats, 4, 1)),
            ("last stage, later", enter(&seats, 4, 1)),
        ]
        .into();
        for expected in ["last stage", "last stage, later", "first stage", "the next interval"] {
            drop(seat.take());
            let seated = waiting.iter_mut().filter_map(|(name, entry)| Some((*name, poll(entry)?)));
            let (name, next) = seated.collect::<Vec<_>>().pop().expect("the seat is free");
            assert_eq!(name, expected);
            waiting.remove(name);
            seat = Some(next);
        }
    }

    #[test]
    fn a_seat_for_one_who_no_longer_waits_goes_on() {
        let seats = Seats::new(2);
        let (first, _second) = (taken(&seats), taken(&seats));
        let gone = enter(&seats, 1, 0);
        let mut waits = enter(&seats, 2, 0);
        drop(gone);
        drop(first);
        assert!(poll(&mut waits).is_some());
    }

    #[test]
    fn a_seat_that_nobody_waits_for_is_free_again() {
        let seats = Seats::new(1);
        drop(taken(&seats));
        drop(taken(&seats));
    }
}
