//! Between memory and the node's disk: writes what is to leave, reads what is asked for, removes what is forgotten.
//!
//! Knows no policy and no protocol. Invariants: who waits for something does not wait behind what leaves; a disk that takes
//! nothing is asked again and again, and nothing is lost by it.

use crate::worker::shelf::{Move, Moved};
use crate::worker::store::SharedHoldings;
use dstream_host::{DiskError, Host};
use dstream_trace::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::task::JoinSet;

/// Reads, and writes, that are under way at one time: enough to keep a disk busy.
const AT_ONCE: usize = 4;

/// How long a disk that refused is left in peace.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is asked for what it does not give.
const READ_ATTEMPTS: u32 = 3;

/// Moves what is to be moved, as long as the worker lives.
pub async fn run(holdings: SharedHoldings, host: Host) {
    let Some(bell) = holdings.bell() else { return };
    let (mut reads, mut writes) = (JoinSet::new(), JoinSet::new());
    let refuses = Arc::new(AtomicBool::new(false));
    loop {
        while reads.len() < AT_ONCE
            && let Some(next) = holdings.next_read()
        {
            reads.spawn(perform(host.clone(), next, refuses.clone()));
        }
        while writes.len() < AT_ONCE
            && let Some(next) = holdings.next_write()
        {
            writes.spawn(perform(host.clone(), next, refuses.clone()));
        }
        tokio::select! {
            biased;
            Some(Ok(moved)) = reads.join_next() => finish(&holdings, &host, moved),
            Some(Ok(moved)) = writes.join_next() => finish(&holdings, &host, moved),
            () = bell.notified() => {}
        }
    }
}

fn finish(holdings: &SharedHoldings, host: &Host, moved: Moved) {
    if let Some(event) = holdings.moved(moved) {
        host.trace.record(event);
    }
}

async fn perform(host: Host, next: Move, refuses: Arc<AtomicBool>) -> Moved {
    match next {
        Move::Write(thing, parts, bytes) => match host.disk.put(thing, parts, bytes).await {
            Ok(()) => {
                refuses.store(false, Ordering::Relaxed);
                Moved::Written(thing, true)
            }
            Err(error) => {
                say(&host, &error, &refuses);
                host.sleep(RETRY).await;
                Moved::Written(thing, false)
            }
        },
        Move::Read(thing, bytes) => {
            for _ in 0..READ_ATTEMPTS {
                match host.disk.get(thing, bytes).await {
                    Ok(found) => return Moved::Read(thing, Some(found)),
                    Err(DiskError::Missing(_)) => break,
                    Err(error) => say(&host, &error, &refuses),
                }
                host.sleep(RETRY).await;
            }
            Moved::Read(thing, None)
        }
        Move::Remove(thing) => {
            host.disk.remove(thing).await;
            Moved::Removed
        }
    }
}

/// Does at once what can be done at once; what has to wait for the disk goes on beside the worker. As many wait as others
/// ask for things at one time.
pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    // Whatever it waits for wakes the task that polls it last.
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(work);
    }
}

/// Says that the disk refuses, the first time after it did not.
fn say(host: &Host, error: &DiskError, refuses: &AtomicBool) {
    if !refuses.swap(true, Ordering::Relaxed) {
        let why = match error {
            DiskError::Full => "full",
            DiskError::Missing(_) => "missing",
            DiskError::Failed(_) => "failed",
        };
        host.trace.record(Event::DiskRefused { why: why.into() });
    }
}
