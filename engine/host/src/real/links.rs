//! What is wrong between the nodes of a real world: cuts, holds, delays, and nodes without power. Made in the facade
//! of the side that opened a stream.
//!
//! That side knows both names, so it drops, holds or delays what it would send and what it receives. Invariant: a way
//! of a stream that lost a byte carries nothing ever after, as in a partition that lasts longer than TCP tries; not
//! even its end.

#![expect(clippy::disallowed_methods, reason = "this is the real host's network")]

use super::monitor::Monitor;
use dstream_trace::{Event, Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Most ends of broken streams that are kept open, so that their peers do not see them close; the oldest closes
/// first.
const MAX_KEPT: usize = 512;

/// From whom to whom.
type Way = (NodeName, NodeName);

#[derive(Default)]
struct State {
    cuts: BTreeSet<Way>,
    /// Both ways are in it, as in `delays`.
    held: BTreeSet<Way>,
    delays: BTreeMap<Way, Duration>,
    dark: BTreeSet<NodeName>,
    /// Ways of which the log already says that messages wait (true) or are late (false).
    told: BTreeSet<(Way, bool)>,
    kept: VecDeque<OwnedFd>,
}

impl State {
    fn faults(&self) -> usize {
        self.cuts.len() + self.held.len() + self.delays.len() + self.dark.len()
    }

    fn is_dark(&self, from: &NodeName, to: &NodeName) -> bool {
        self.dark.contains(from) || self.dark.contains(to)
    }
}

/// The state of all ways between the nodes.
pub struct Links {
    monitor: Arc<Monitor>,
    /// How much is wrong: most of the time nothing, and then a stream looks no further.
    count: AtomicUsize,
    state: Mutex<State>,
    /// Counts the changes, for those who wait for one.
    changes: watch::Sender<u64>,
}

fn way(from: &NodeName, to: &NodeName) -> Way {
    (from.clone(), to.clone())
}

impl Links {
    /// Nothing is wrong.
    pub fn new(monitor: Arc<Monitor>) -> Links {
        Links { monitor, count: AtomicUsize::new(0), state: Mutex::default(), changes: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.count.store(state.faults(), Ordering::Release);
        drop(state);
        self.changes.send_modify(|count| *count += 1);
    }

    fn ask<T: Default>(&self, ask: impl FnOnce(&State) -> T) -> T {
        if self.count.load(Ordering::Acquire) == 0 { T::default() } else { ask(&self.state()) }
    }

    /// Cuts what `from` sends to `to`, or ends that.
    pub fn set_cut(&self, from: &NodeName, to: &NodeName, cut: bool) {
        let way = way(from, to);
        self.change(|state| _ = if cut { state.cuts.insert(way) } else { state.cuts.remove(&way) });
    }

    /// Messages between the two wait, or no longer.
    pub fn set_held(&self, one: &NodeName, other: &NodeName, held: bool) {
        self.change(|state| {
            for way in [way(one, other), way(other, one)] {
                state.told.remove(&(way.clone(), true));
                _ = if held { state.held.insert(way) } else { state.held.remove(&way) };
            }
        });
    }

    /// Messages between the two are under way for `by` longer; zero ends it.
    pub fn set_delay(&self, one: &NodeName, other: &NodeName, by: Duration) {
        self.change(|state| {
            for way in [way(one, other), way(other, one)] {
                state.told.remove(&(way.clone(), false));
                state.delays.remove(&way);
                if !by.is_zero() {
                    state.delays.insert(way, by);
                }
            }
        });
    }

    /// The node has no power, or has it again.
    pub fn set_dark(&self, node: &NodeName, dark: bool) {
        self.change(|state| _ = if dark { state.dark.insert(node.clone()) } else { state.dark.remove(node) });
    }

    /// Whether nothing gets from `from` to `to`.
    fn loses(&self, from: &NodeName, to: &NodeName) -> bool {
        self.ask(|state| state.is_dark(from, to) || state.cuts.contains(&way(from, to)))
    }

    fn record_loss(&self, from: &NodeName, to: &NodeName) {
        if self.ask(|state| !state.is_dark(from, to)) {
            self.monitor.record(from, Event::MessageCut { to: to.clone() });
        }
    }

    /// Whether the two cannot open a stream: that takes both directions. Says in the log whose message was lost.
    pub fn lose_connect(&self, from: &NodeName, to: &NodeName) -> bool {
        let Some((from, to)) = [(from, to), (to, from)].into_iter().find(|(from, to)| self.loses(from, to)) else {
            return false;
        };
        self.record_loss(from, to);
        true
    }

    /// The way of a stream's bytes.
    pub fn path(self: &Arc<Self>, from: &NodeName, to: &NodeName) -> Path {
        Path { links: Arc::clone(self), from: from.clone(), to: to.clone(), lost: Arc::default() }
    }

    fn keep(&self, stream: OwnedFd) {
        let mut state = self.state();
        state.kept.push_back(stream);
        if state.kept.len() > MAX_KEPT {
            state.kept.pop_front();
        }
    }
}

/// One direction of one stream. Clones are the same direction.
#[derive(Clone)]
pub struct Path {
    links: Arc<Links>,
    from: NodeName,
    to: NodeName,
    lost: Arc<AtomicBool>,
}

impl Path {
    /// Whether bytes are lost now.
    pub fn loses(&self) -> bool {
        self.is_lost() || self.links.loses(&self.from, &self.to)
    }

    /// Something was lost: the direction is broken for ever.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.links.record_loss(&self.from, &self.to);
    }

    /// Whether the direction is broken for ever.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether messages wait or are late now.
    pub fn slows(&self) -> bool {
        self.links.ask(|state| {
            let way = way(&self.from, &self.to);
            state.held.contains(&way) || state.delays.contains_key(&way)
        })
    }

    /// A message sets out now; returns when it arrives, holds aside.
    pub fn enter(&self) -> Moment {
        let by = self.links.ask(|state| state.delays.get(&way(&self.from, &self.to)).copied()).unwrap_or_default();
        if !by.is_zero() {
            self.tell(false, Event::MessageDelayed { to: self.to.clone() });
        }
        self.links.monitor.began.elapsed() + by
    }

    /// Waits until a message that arrives at `due` has arrived: until then, and while messages are held.
    pub async fn leave(&self, due: Moment) {
        let mut changes = self.links.changes.subscribe();
        tokio::time::sleep(self.links.monitor.began.until(due)).await;
        while self.links.ask(|state| state.held.contains(&way(&self.from, &self.to))) {
            self.tell(true, Event::MessageHeld { to: self.to.clone() });
            if changes.changed().await.is_err() {
                return; // the world is over
            }
        }
    }

    /// Keeps an end open that the other side must not see close.
    pub fn keep(&self, stream: &impl AsFd) {
        // Without a descriptor left for it, it closes: nothing more can be done.
        if let Ok(stream) = stream.as_fd().try_clone_to_owned() {
            self.links.keep(stream);
        }
    }

    fn tell(&self, held: bool, event: Event) {
        if self.links.state().told.insert((way(&self.from, &self.to), held)) {
            self.links.monitor.record(&self.from, event);
        }
    }
}
