//! How much may be under way on a stream: as much as the far side has room for, as TCP's receive window is.
//!
//! turmoil counts segments, too, but with the bound that it sets on connects that wait, which has to be far above what any
//! socket holds; what a node sends would lie in the network for seconds and pass by no queue in which others take turns.
//! Knows no stream. Invariant: at most [`MOST_SEGMENTS`] are under way in each direction, unless an end is gone.
//!
//! ```text
//! writer --push--> segments under way --take--> reader, who wakes a writer that found no room
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Nodes write pieces of 64 KiB, by what the network is charged: together 6 MiB, the largest buffer of a receiver under
/// Linux' usual settings.
const MOST_SEGMENTS: usize = 96;

/// Which two ends a stream connects.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// Both directions of a stream.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// From the end that connected, and from the one that accepted.
    ways: [Mutex<Way>; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// The lengths of what is under way.
    segments: VecDeque<usize>,
    /// An end is gone: nothing is waited for any more.
    is_over: bool,
    waits: Option<Waker>,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct End {
    wire: Arc<Wire>,
    /// The way on which it writes.
    way: usize,
}

impl End {
    /// The end that connected, or the one that accepted.
    pub fn new(wire: Arc<Wire>, connected: bool) -> End {
        End { wire, way: usize::from(!connected) }
    }

    fn way(&self, way: usize) -> MutexGuard<'_, Way> {
        // Nothing between a lock and its end can panic.
        self.wire.ways[way].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for a segment, or nobody to wait for.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut way = self.way(self.way);
        if way.is_over || way.segments.len() < MOST_SEGMENTS {
            return Poll::Ready(());
        }
        way.waits = Some(context.waker().clone());
        Poll::Pending
    }

    /// A segment of so many bytes was written.
    pub fn push(&self, bytes: usize) {
        self.way(self.way).segments.push_back(bytes);
    }

    /// So many bytes were read.
    pub fn take(&self, mut bytes: usize) {
        let mut way = self.way(1 - self.way);
        while let Some(first) = way.segments.front_mut().filter(|_| bytes > 0) {
            let part = bytes.min(*first);
            *first -= part;
            bytes -= part;
            if *first == 0 {
                way.segments.pop_front();
            }
        }
        way.wake_if_room();
    }
}

impl Way {
    fn wake_if_room(&mut self) {
        if (self.is_over || self.segments.len() < MOST_SEGMENTS)
            && let Some(waits) = self.waits.take()
        {
            waits.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for way in [0, 1] {
            let mut way = self.way(way);
            way.is_over = true;
            way.wake_if_room();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_room(end: &End) -> bool {
        end.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    fn ends() -> (End, End) {
        let wire = Arc::new(Wire::default());
        (End::new(wire.clone(), true), End::new(wire, false))
    }

    #[test]
    fn each_way_has_room_for_so_many_segments_and_for_another_when_one_is_read_whole() {
        let (one, other) = ends();
        (0..MOST_SEGMENTS).for_each(|_| one.push(10));
        assert!(!has_room(&one));
        assert!(has_room(&other));
        other.take(9);
        assert!(!has_room(&one));
        other.take(1);
        assert!(has_room(&one));
    }

    #[test]
    fn several_segments_are_read_at_once() {
        let (one, other) = ends();
        (0..MOST_SEGMENTS).for_each(|_| one.push(10));
        other.take(25);
        (0..2).for_each(|_| one.push(10));
        assert!(!has_room(&one));
    }

    #[test]
    fn nobody_waits_for_an_end_that_is_gone() {
        let (one, other) = ends();
        (0..MOST_SEGMENTS).for_each(|_| one.push(10));
        assert!(!has_room(&one));
        drop(other);
        assert!(has_room(&one));
    }
}
