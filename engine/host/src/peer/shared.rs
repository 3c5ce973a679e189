//! What all parts of one [`Peers`](super::Peers) share: who is up, and which requests wait for an answer.
//!
//! Invariants: a peer is in `up` exactly while its session is open; a request waits only while its peer's session
//! lasts, and its number is never used again, not even by a later life of this node.

use super::session::Session;
use super::{PeerConfig, RequestId};
use crate::facade::Host;
use bytes::Bytes;
use dstream_trace::{Event, NodeName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Most requests that wait for answers at once: far above what bounded queues let be useful, and a few megabytes.
const MAX_WAITING_REQUESTS: usize = 65_536;

/// Bits of a request's number that count within one life of the node; the bits above say which life.
const COUNTER_BITS: u32 = 40;

struct Waiting {
    peer: NodeName,
    answer: oneshot::Sender<Bytes>,
}

#[derive(Default)]
struct State {
    up: BTreeMap<NodeName, Arc<Session>>,
    waiting: BTreeMap<u64, Waiting>,
    next_request: u64,
}

/// What all parts of one `Peers` share.
pub struct Shared {
    /// The node.
    pub host: Host,
    /// Its configuration.
    pub config: PeerConfig,
    state: Mutex<State>,
}

impl Shared {
    /// Nobody is up, nothing waits.
    pub fn new(host: Host, config: PeerConfig) -> Shared {
        let next_request = host.incarnation.wrapping_shl(COUNTER_BITS);
        Shared { host, config, state: Mutex::new(State { next_request, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event of this node.
    pub fn trace(&self, event: Event) {
        self.host.trace.record(event);
    }

    /// The session with `peer`, while it is up.
    pub fn session(&self, peer: &NodeName) -> Option<Arc<Session>> {
        self.state().up.get(peer).cloned()
    }

    /// The pair is up.
    pub fn open(&self, session: Arc<Session>) {
        self.state().up.insert(session.peer.clone(), session);
    }

    /// The pair is down: what waits for this peer fails.
    pub fn close(&self, peer: &NodeName) {
        let mut state = self.state();
        if let Some(session) = state.up.remove(peer) {
            session.close();
        }
        state.waiting.retain(|_, waiting| waiting.peer != *peer);
    }

    /// Everything is over.
    pub fn close_all(&self) {
        let mut state = self.state();
        for session in std::mem::take(&mut state.up).into_values() {
            session.close();
        }
        state.waiting.clear();
    }

    /// Opens a place for the answer of `peer`; `None` if too many requests wait.
    pub fn expect_answer(self: &Arc<Self>, peer: &NodeName) -> Option<Expected> {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WAITING_REQUESTS {
            return None;
        }
        let number = state.next_request;
        state.next_request = number.wrapping_add(1);
        let (answer, receiver) = oneshot::channel();
        state.waiting.insert(number, Waiting { peer: peer.clone(), answer });
        Some(Expected { id: RequestId(number), receiver, shared: Arc::clone(self) })
    }

    /// `peer` answered a request. An answer that nobody waits for any more is dropped.
    pub fn answer(&self, peer: &NodeName, id: RequestId, payload: Bytes) {
        let mut state = self.state();
        if state.waiting.get(&id.0).is_some_and(|waiting| waiting.peer == *peer)
            && let Some(waiting) = state.waiting.remove(&id.0)
        {
            // The receiver may have gone in this very moment; then nobody wants the answer.
            let _ = waiting.answer.send(payload);
        }
    }
}

/// A place for one answer; gives it up when dropped.
pub struct Expected {
    /// The request's number.
    pub id: RequestId,
    receiver: oneshot::Receiver<Bytes>,
    shared: Arc<Shared>,
}

impl Expected {
    /// The answer; `None` when the pair broke.
    pub async fn answer(&mut self) -> Option<Bytes> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id.0);
    }
}
