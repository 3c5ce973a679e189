//! What waits for results to be where they outlive the sink, in clusters whose sink may be killed and started again.
//!
//! Part of the master's core. A sink that dies forgets what it had and has not handed on; so the journal goes on saying how
//! it is computed. Invariant: nothing of an interval is forgotten, here, by workers or in the store, before its results are
//! written, where that is awaited.
//!
//! ```text
//! interval done --------------.                       .--> it is over, its blocks go, a snapshot does without it
//!                             +-- results are written-+
//! checkpoint complete --------'                       '--> a snapshot does without what it stands for
//! ```

use crate::master::core::{Master, MasterAction};
use crate::master::journal::Entry;
use crate::master::tracker::Checkpointed;
use dstream_trace::Moment;
use std::collections::{BTreeSet, VecDeque};

/// What waits.
#[derive(Debug)]
pub(super) struct Results {
    /// Results of intervals below this number are written: of all, where nobody waits for that.
    written_below: u64,
    /// Intervals that are done, where no state is kept.
    pub(super) done: BTreeSet<u64>,
    /// Checkpoints that are complete, in their order.
    pub(super) checkpoints: VecDeque<Checkpointed>,
}

impl Results {
    pub(super) fn new(awaits_writing: bool) -> Results {
        let written_below = if awaits_writing { 0 } else { u64::MAX };
        Results { written_below, done: BTreeSet::new(), checkpoints: VecDeque::new() }
    }
}

impl Master {
    /// The sink's process says what it has written.
    pub(super) fn results_written(&mut self, now: Moment, below: u64, actions: &mut Vec<MasterAction>) {
        self.results.written_below = self.results.written_below.max(below);
        self.let_go_of_written(now, actions);
        self.let_go_of_checkpointed(actions);
    }

    /// Where no state is kept, an interval that is done and written is over.
    pub(super) fn let_go_of_written(&mut self, now: Moment, actions: &mut Vec<MasterAction>) {
        let written_below = self.results.written_below;
        while let Some(interval) = self.results.done.first().copied().filter(|interval| *interval < written_below) {
            self.results.done.pop_first();
            self.forgotten_below = self.forgotten_below.max(self.done_below.min(written_below));
            self.tell_all(&self.forget(Some(interval), Vec::new()), actions);
            self.over(now, interval, actions);
            self.release(actions);
            if let Some(snapshot) = self.book.due_snapshot(self.forgotten_below) {
                self.write(None, Entry::Snapshot(snapshot), actions);
            }
        }
    }

    /// Checkpoints stand for intervals whose results are written.
    pub(super) fn let_go_of_checkpointed(&mut self, actions: &mut Vec<MasterAction>) {
        let written_below = self.results.written_below;
        while let Some(checkpointed) = self.results.checkpoints.pop_front_if(|next| next.below <= written_below) {
            self.checkpointed(checkpointed, actions);
        }
    }
}
