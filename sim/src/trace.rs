//! The log as one node sees it.
//!
//! Knows only who writes. Invariant: a life that is over writes nothing more.

use crate::life::Life;
use dstream_host::Trace;
use dstream_trace::Event;
use std::sync::Arc;

/// Stamps events with the node's name and the world's time.
#[derive(Debug)]
pub(crate) struct SimTrace(pub Arc<Life>);

impl Trace for SimTrace {
    fn record(&self, event: Event) {
        self.0.record(event);
    }
}
