//! What of a node's events leaves the process: those that say which intervals are whole and what is missing.
//!
//! Everything else is dropped at once: a job is no experiment. Invariant: an event that was let through comes out, in
//! order, or the tap says that it was overrun.

use crate::console;
use dstream_host::real::Journal;
use dstream_trace::{Event, Moment, NodeName, TraceLine};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Events that wait: a hundred intervals a second make two hundred.
const EVENTS_MAX: usize = 4096;

/// Lets events through that a job needs.
pub struct EventTap {
    to: mpsc::Sender<TraceLine>,
    overrun: AtomicBool,
    refusals: Refusals,
}

/// Says that strangers were refused, ever more rarely: a flood of them must not become one of lines.
#[derive(Default)]
pub struct Refusals(AtomicU64);

impl Refusals {
    /// Takes note of the event, if it is a refusal.
    pub fn note(&self, node: &NodeName, event: &Event) {
        if let Event::ConnectionRefused { why } = event {
            let number = 1 + self.0.fetch_add(1, Ordering::Relaxed);
            if number.is_power_of_two() {
                console::log(&format!("{node} refused a connection ({why}), {number} so far"));
            }
        }
    }
}

/// What is said when a node's own disk refuses what it is asked.
fn disk_refused(node: &NodeName, event: &Event) -> Option<String> {
    let Event::DiskRefused { why } = event else { return None };
    let folder = std::env::temp_dir();
    Some(format!(
        "{node} cannot put anything into {} (`TMPDIR`): {why}; \
         what is more than `memory` allows stays in memory until it can",
        folder.display()
    ))
}

impl EventTap {
    /// A tap and its outlet.
    pub fn new() -> (Arc<EventTap>, mpsc::Receiver<TraceLine>) {
        let (to, events) = mpsc::channel(EVENTS_MAX);
        (Arc::new(EventTap { to, overrun: AtomicBool::new(false), refusals: Refusals::default() }), events)
    }

    /// Whether an event found no room.
    pub fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }
}

/// Whether a job needs to know.
pub fn is_wanted(event: &Event) -> bool {
    matches!(
        event,
        Event::RecordsSent { .. }
            | Event::RecordsAcked { .. }
            | Event::ClientDone { .. }
            | Event::IntervalSealed { .. }
            | Event::ResultVisible { .. }
            | Event::ResultsDiffer { .. }
            | Event::WorkerLost { .. }
            | Event::CopiesBelow { .. }
            | Event::BlockLost { .. }
    )
}

impl Journal for EventTap {
    fn write(&self, at: Moment, node: &NodeName, event: Event) {
        self.refusals.note(node, &event);
        disk_refused(node, &event).iter().for_each(|refused| console::log(refused));
        if !is_wanted(&event) {
            return;
        }
        if self.to.try_send(TraceLine { at, sequence: 0, node: node.clone(), event }).is_err() {
            self.overrun.store(true, Ordering::Relaxed);
        }
    }

    fn poll_kept(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
