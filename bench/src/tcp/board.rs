//! What the driver learns from its children, from threads that do nothing but listen to them.
//!
//! Invariant: whoever waits wakes for every child that listens, says that it failed, or falls silent unasked.

use super::wire::Word;
use dstream_trace::{NodeName, SharedTrace};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A child that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Which node.
    pub node: NodeName,
    /// What it said; nothing if it ended without a word.
    pub why: Option<String>,
}

#[derive(Default)]
struct State {
    addresses: BTreeMap<NodeName, SocketAddr>,
    /// Counts what came in.
    changes: u64,
    /// Those that were done and ended.
    done: BTreeSet<NodeName>,
    /// The first that failed; others may follow from it.
    fallen: Option<Fallen>,
}

/// Where children report.
pub struct Board {
    trace: SharedTrace,
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    /// Nothing yet; events go into `trace`.
    pub fn new(trace: SharedTrace) -> Board {
        Board { trace, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.changes += 1;
        self.changed.notify_all();
    }

    /// The child of `node` said something.
    pub fn hear(&self, node: &NodeName, word: Word) {
        match word {
            Word::Happened { at, node, event } => self.trace.push(at, node, event),
            Word::Listening(address) => self.change(|state| _ = state.addresses.insert(node.clone(), address)),
            Word::Done => self.change(|state| _ = state.done.insert(node.clone())),
            Word::Failed(why) => self.fall(Fallen { node: node.clone(), why: Some(why) }),
        }
    }

    /// A child failed.
    pub fn fall(&self, fallen: Fallen) {
        self.change(|state| _ = state.fallen.get_or_insert(fallen));
    }

    /// A child has ended, and nobody had asked it to: it failed, unless it was done.
    pub fn ended(&self, node: &NodeName, why: Option<String>) {
        if why.is_some() || !self.is_done(node) {
            self.fall(Fallen { node: node.clone(), why });
        }
    }

    /// Whether the node was done and has ended by itself.
    pub fn is_done(&self, node: &NodeName) -> bool {
        self.state().done.contains(node)
    }

    /// The first child that failed.
    pub fn fallen(&self) -> Option<Fallen> {
        self.state().fallen.clone()
    }

    /// Where each node listens, as far as it is known.
    pub fn addresses(&self) -> BTreeMap<NodeName, SocketAddr> {
        self.state().addresses.clone()
    }

    /// How much came in until now; wait with this number.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Blocks until there are more changes than `seen`, `limit` at most; `false` if that passed first.
    pub fn wait(&self, seen: u64, limit: Duration) -> bool {
        let state = self.state();
        let waited = self.changed.wait_timeout_while(state, limit, |state| state.changes <= seen);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}
