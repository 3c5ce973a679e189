//! A registry between the engine and the real one: it hands out the source that this process opened, can end it early,
//! and counts what was repaired.
//!
//! Invariant: a line that was read reaches the engine; the end comes between two lines.

use super::source::Source;
use crate::interrupt::Interrupt;
use dstream_cluster::{JobError, JobSpec, LineSource, Registry};
use dstream_kernel::Query;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Hands out a source that ends when `stop` is raised.
pub struct Tap {
    /// Where queries come from, and a source that was planned only.
    pub inner: Arc<dyn Registry>,
    /// The source, if this process opened it. Taken by the one client, which lives as long as the job.
    pub source: Mutex<Option<Source>>,
    /// Ends every source.
    pub stop: Interrupt,
    /// While it is closed, nothing is read.
    pub valve: Valve,
    /// Lines in which invalid UTF-8 was replaced.
    pub replaced: Arc<AtomicU64>,
    /// Below which interval results are written; nothing where this process is all that there is of the job.
    pub written_below: Option<watch::Receiver<u64>>,
}

/// Holds a source up while what was read cannot be written. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Valve(Arc<AtomicBool>);

impl Valve {
    /// Nothing is read from now on, or is read again.
    pub fn set_closed(&self, closed: bool) {
        self.0.store(closed, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Registry for Tap {
    fn query(&self, job: &JobSpec) -> Result<Query, JobError> {
        self.inner.query(job)
    }

    fn build(&self) -> u64 {
        self.inner.build()
    }

    fn written_below(&self) -> Option<watch::Receiver<u64>> {
        self.written_below.clone()
    }

    fn source(&self, source: &[u8], client: u32) -> Result<Box<dyn LineSource>, JobError> {
        let opened = self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_live = matches!(opened, Some(Source::Live(_)));
        let inner = match opened {
            Some(Source::Live(opened) | Source::Held(opened)) => opened,
            Some(Source::Planned(..)) | None => self.inner.source(source, client)?,
        };
        let (stop, valve, replaced) = (self.stop.clone(), self.valve.clone(), self.replaced.clone());
        Ok(Box::new(TappedSource { inner, is_live, stop, valve, is_held: false, replaced, counted: 0 }))
    }
}

struct TappedSource {
    inner: Box<dyn LineSource>,
    /// It ends itself, after what it has read.
    is_live: bool,
    stop: Interrupt,
    valve: Valve,
    is_held: bool,
    replaced: Arc<AtomicU64>,
    /// What this source added to `replaced`.
    counted: u64,
}

impl LineSource for TappedSource {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        self.is_held = self.valve.is_closed();
        if self.is_held || self.is_stopped() {
            return Ok(0);
        }
        let read = self.inner.fill(records, bytes, lines)?;
        let replaced = self.inner.replaced();
        self.replaced.fetch_add(replaced - self.counted, Ordering::Relaxed);
        self.counted = replaced;
        Ok(read)
    }

    fn is_waiting(&self) -> bool {
        self.is_held || self.inner.is_waiting()
    }

    fn is_live(&self) -> bool {
        self.is_live
    }

    fn is_stopped(&self) -> bool {
        !self.is_live && self.stop.is_raised()
    }

    fn replaced(&self) -> u64 {
        self.inner.replaced()
    }
}
