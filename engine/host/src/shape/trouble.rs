//! What is wrong with the durable store, as one node meets it: it has no room, its disk fails, it does not answer, it
//! is late.
//!
//! Knows no store. Invariants: a request that is refused changed nothing; one that waits takes effect or answers when
//! the outage ends, whichever was left; the log says of each kind of trouble once that a request met it, and again
//! after each change.

use crate::facade::StoreError;
use dstream_trace::{Event, NodeName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The store's name among nodes: in scenarios, and in the log as the other end of what waits or is late.
pub const STORE: &str = "store";

/// All that is wrong at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreTrouble {
    /// Nothing can be written; what is there can be read and removed.
    pub is_full: bool,
    /// Every request fails.
    pub is_failing: bool,
    /// Requests and answers wait.
    pub is_held: bool,
    /// Requests and answers are each under way for so much longer.
    pub late: Duration,
}

/// What a request wants of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read, or to remove.
    Read,
    /// To write.
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Full,
    Failing,
    Held,
    Late,
}

#[derive(Debug, Default)]
struct State {
    trouble: StoreTrouble,
    /// What the log says already.
    told: BTreeSet<Told>,
}

/// One node's trouble with the store; set from outside, and outlives the node's lives. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct StoreFault(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl StoreFault {
    /// Nothing is wrong.
    pub fn none() -> StoreFault {
        StoreFault::default()
    }

    /// From now on this is wrong, and nothing else.
    pub fn set(&self, trouble: StoreTrouble) {
        *self.lock() = State { trouble, told: BTreeSet::new() };
        self.0.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that touch it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong; whether the log has to say so.
    fn look(&self, kind: Told, is_on: impl Fn(&StoreTrouble) -> bool) -> (StoreTrouble, bool) {
        let mut state = self.lock();
        let is_new = is_on(&state.trouble) && state.told.insert(kind);
        (state.trouble, is_new)
    }
}

/// The way of one life of a node to the store.
pub struct StoreWay {
    fault: StoreFault,
    record: Box<dyn Fn(Event) + Send + Sync>,
}

impl fmt::Debug for StoreWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreWay").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl StoreWay {
    /// A way on which `fault` may be met; `record` puts into the log that it was.
    pub fn new(fault: StoreFault, record: impl Fn(Event) + Send + Sync + 'static) -> StoreWay {
        StoreWay { fault, record: Box::new(record) }
    }

    /// How much longer something that sets out now is under way.
    pub fn late(&self) -> Duration {
        let (trouble, is_new) = self.fault.look(Told::Late, |trouble| !trouble.late.is_zero());
        if is_new {
            (self.record)(Event::MessageDelayed { to: NodeName::new(STORE) });
        }
        trouble.late
    }

    /// Completes when nothing waits.
    pub async fn released(&self) {
        loop {
            // Made before the look, so that no change after it is missed.
            let changed = self.fault.0.changed.notified();
            let (trouble, is_new) = self.fault.look(Told::Held, |trouble| trouble.is_held);
            if !trouble.is_held {
                return;
            }
            if is_new {
                (self.record)(Event::MessageHeld { to: NodeName::new(STORE) });
            }
            changed.await;
        }
    }

    /// Why the store refuses what it is asked for under this key, if it does.
    pub fn refusal(&self, access: Access, key: &str) -> Option<StoreError> {
        let (trouble, is_new) = self.fault.look(Told::Failing, |trouble| trouble.is_failing);
        if trouble.is_failing {
            return Some(self.refuse(is_new, "disk-error", format!("`{key}`: the disk fails")));
        }
        let is_full = |trouble: &StoreTrouble| trouble.is_full && access == Access::Write;
        let (trouble, is_new) = self.fault.look(Told::Full, is_full);
        is_full(&trouble).then(|| self.refuse(is_new, "disk-full", format!("`{key}`: no room is left on the disk")))
    }

    fn refuse(&self, is_new: bool, why: &'static str, message: String) -> StoreError {
        if is_new {
            (self.record)(Event::StoreFailed { why: why.into() });
        }
        StoreError::Failed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks twice for each access under the trouble: which of them are refused, and what the log says.
    fn check(trouble: StoreTrouble, refused: &[Access], said: &[&str]) {
        let (fault, log) = (StoreFault::none(), Arc::new(Mutex::new(Vec::new())));
        fault.set(trouble);
        let way = StoreWay::new(fault, {
            let log = Arc::clone(&log);
            move |event| log.lock().unwrap().push(format!("{event:?}"))
        });
        for _ in 0..2 {
            let mut asked = [Access::Read, Access::Write].to_vec();
            asked.retain(|access| matches!(way.refusal(*access, "k"), Some(StoreError::Failed(_))));
            assert_eq!(asked, refused);
            assert_eq!(way.late(), trouble.late);
        }
        let log = log.lock().unwrap();
        assert_eq!(log.len(), said.len(), "{log:?}");
        assert!(log.iter().zip(said).all(|(line, word)| line.contains(word)), "{log:?}");
    }

    #[test]
    fn a_full_store_refuses_writes_a_failing_one_everything_and_the_log_says_so_once() {
        let late = Duration::from_millis(40);
        check(StoreTrouble::default(), &[], &[]);
        check(StoreTrouble { is_full: true, ..StoreTrouble::default() }, &[Access::Write], &["disk-full"]);
        let failing = StoreTrouble { is_failing: true, is_full: true, ..StoreTrouble::default() };
        check(failing, &[Access::Read, Access::Write], &["disk-error"]);
        check(StoreTrouble { late, ..StoreTrouble::default() }, &[], &["MessageDelayed"]);
    }

    #[tokio::test]
    async fn what_waits_goes_on_when_the_outage_ends_and_not_when_another_trouble_does() {
        let fault = StoreFault::none();
        let held = StoreTrouble { is_held: true, ..StoreTrouble::default() };
        fault.set(StoreTrouble { is_full: true, ..held });
        let way = StoreWay::new(fault.clone(), |_| ());
        let mut waits = std::pin::pin!(way.released());
        let mut is_ready = async || {
            tokio::select! {
                biased;
                () = &mut waits => true,
                () = std::future::ready(()) => false,
            }
        };
        assert!(!is_ready().await);
        fault.set(held);
        assert!(!is_ready().await);
        fault.set(StoreTrouble::default());
        assert!(is_ready().await);
    }
}
