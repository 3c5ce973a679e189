//! A registry between the engine and the real one: it can end a source early, and it counts what was repaired.
//!
//! Invariant: a line that was read reaches the engine; the end comes between two lines.

use crate::interrupt::Interrupt;
use dstream_cluster::{JobError, JobSpec, LineSource, Registry};
use dstream_kernel::Query;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out sources that end when `stop` is raised.
pub struct Tap {
    /// Where queries and sources come from.
    pub inner: Arc<dyn Registry>,
    /// Ends every source.
    pub stop: Interrupt,
    /// Lines in which invalid UTF-8 was replaced.
    pub replaced: Arc<AtomicU64>,
}

impl Registry for Tap {
    fn query(&self, job: &JobSpec) -> Result<Query, JobError> {
        self.inner.query(job)
    }

    fn source(&self, source: &[u8], client: u32) -> Result<Box<dyn LineSource>, JobError> {
        let inner = self.inner.source(source, client)?;
        Ok(Box::new(TappedSource { inner, stop: self.stop.clone(), replaced: self.replaced.clone(), counted: 0 }))
    }
}

struct TappedSource {
    inner: Box<dyn LineSource>,
    stop: Interrupt,
    replaced: Arc<AtomicU64>,
    /// What this source added to `replaced`.
    counted: u64,
}

impl LineSource for TappedSource {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        if self.stop.is_raised() {
            return Ok(0);
        }
        let read = self.inner.fill(records, bytes, lines)?;
        let replaced = self.inner.replaced();
        self.replaced.fetch_add(replaced - self.counted, Ordering::Relaxed);
        self.counted = replaced;
        Ok(read)
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_raised()
    }

    fn replaced(&self) -> u64 {
        self.inner.replaced()
    }
}
