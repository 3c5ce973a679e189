//! Cuts between nodes of a real world, made in the facade of the side that opened the stream.
//!
//! That side knows both names, so it drops what it would send and what it receives. Invariant: a stream that lost a
//! byte in one direction carries nothing in it ever after, as in a partition that lasts longer than TCP tries; not
//! even its end.

use super::monitor::Monitor;
use dstream_trace::{Event, NodeName};
use std::collections::{BTreeSet, VecDeque};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most ends of broken streams that are kept open, so that their peers do not see them close; the oldest closes
/// first.
const MAX_KEPT: usize = 512;

#[derive(Default)]
struct State {
    pairs: BTreeSet<(NodeName, NodeName)>,
    kept: VecDeque<TcpStream>,
}

/// Who is cut off from whom: (from, to).
pub struct Cuts {
    monitor: Arc<Monitor>,
    /// How many cuts there are: most of the time none, and then a stream looks no further.
    count: AtomicUsize,
    state: Mutex<State>,
}

impl Cuts {
    /// No cut.
    pub fn new(monitor: Arc<Monitor>) -> Cuts {
        Cuts { monitor, count: AtomicUsize::new(0), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts what `from` sends to `to`, or ends that.
    pub fn set(&self, from: &NodeName, to: &NodeName, cut: bool) {
        let mut state = self.state();
        let pair = (from.clone(), to.clone());
        if cut {
            state.pairs.insert(pair);
        } else {
            state.pairs.remove(&pair);
        }
        self.count.store(state.pairs.len(), Ordering::Release);
    }

    /// Whether nothing gets from `from` to `to`.
    pub fn cuts(&self, from: &NodeName, to: &NodeName) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.state().pairs.contains(&(from.clone(), to.clone()))
    }

    /// Whether the two cannot open a stream: that takes both directions. Says in the log whose message was lost.
    pub fn lose_connect(&self, from: &NodeName, to: &NodeName) -> bool {
        let Some((from, to)) = [(from, to), (to, from)].into_iter().find(|(from, to)| self.cuts(from, to)) else {
            return false;
        };
        self.monitor.record(from, Event::MessageCut { to: to.clone() });
        true
    }

    /// The view of a stream that `from` opened to `to`.
    pub fn watch(self: &Arc<Self>, from: NodeName, to: NodeName) -> StreamCut {
        StreamCut { cuts: Arc::clone(self), from, to, lost: [false; 2] }
    }
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the node that opened it.
    Out,
    /// To it.
    In,
}

/// What cuts did to one stream.
pub struct StreamCut {
    cuts: Arc<Cuts>,
    from: NodeName,
    to: NodeName,
    lost: [bool; 2],
}

impl StreamCut {
    /// Whether bytes in this direction are lost now.
    pub fn loses(&self, direction: Direction) -> bool {
        let (from, to) = self.ends(direction);
        self.lost[direction as usize] || self.cuts.cuts(from, to)
    }

    /// Something was lost in this direction: it is broken for ever.
    pub fn lose(&mut self, direction: Direction) {
        self.lost[direction as usize] = true;
        let (from, to) = self.ends(direction);
        self.cuts.monitor.record(from, Event::MessageCut { to: to.clone() });
    }

    /// Whether this direction is broken for ever.
    pub fn lost(&self, direction: Direction) -> bool {
        self.lost[direction as usize]
    }

    /// Keeps an end open that the other side must not see close.
    pub fn keep(&self, stream: TcpStream) {
        let mut state = self.cuts.state();
        state.kept.push_back(stream);
        if state.kept.len() > MAX_KEPT {
            state.kept.pop_front();
        }
    }

    fn ends(&self, direction: Direction) -> (&NodeName, &NodeName) {
        match direction {
            Direction::Out => (&self.from, &self.to),
            Direction::In => (&self.to, &self.from),
        }
    }
}
