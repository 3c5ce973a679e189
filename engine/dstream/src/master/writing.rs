//! What the master writes down, and what follows when it is written.
//!
//! Knows no store. Invariants: tasks of an interval run when its seal is written, and again when what was given up of it is;
//! the log says that records are gone, and workers forget, not before a later master would know it too.

use crate::master::core::{Master, MasterAction};
use crate::master::journal::{Entry, GivenUp, SealedInterval, Snapshot};
use crate::master::ledger::LedgerEvent;
use crate::master::run::map_inputs;
use crate::master::tracker::{Checkpointed, TrackerEvent};
use dstream_trace::{BlockName, Event, Moment, RecordRange};

impl Master {
    /// Nothing of the interval will be computed again.
    pub(super) fn over(&mut self, now: Moment, interval: u64, actions: &mut Vec<MasterAction>) {
        self.account(now, LedgerEvent::Done { interval }, actions);
        self.book.over(interval);
    }

    /// Has an entry written. Tasks of the interval wait for it.
    pub(super) fn write(&mut self, interval: Option<u64>, entry: Entry, actions: &mut Vec<MasterAction>) {
        if matches!(entry, Entry::Snapshot(_)) {
            self.trimming.snapshot();
        }
        if let Some(interval) = interval {
            *self.unwritten.entry(interval).or_default() += 1;
        }
        self.replaying.begins();
        actions.push(MasterAction::Journal(entry));
    }

    /// Has it written how much is let in, when that is far from what was written.
    pub(super) fn write_let_in(&mut self, actions: &mut Vec<MasterAction>) {
        let let_in = self.flow.as_ref().and_then(|(flow, _)| flow.is_far_from(self.book.let_in));
        if let Some(let_in) = let_in {
            self.book.let_in = let_in;
            self.write(None, Entry::LetIn(let_in), actions);
        }
    }

    pub(super) fn give_up(&mut self, given_up: GivenUp, actions: &mut Vec<MasterAction>) {
        self.book.given_up(&given_up);
        self.write(given_up.interval, Entry::GivenUp(given_up), actions);
    }

    /// Records that were acknowledged are nowhere.
    pub(super) fn gone_for_good(&mut self, ranges: Vec<RecordRange>, actions: &mut Vec<MasterAction>) {
        self.times_gone += 1;
        // No worker has the number 0: nobody knows the block's name.
        let block = BlockName { origin: 0, epoch: self.term, number: self.times_gone };
        let gone = GivenUp { block, ranges, interval: None };
        self.book.gone(&gone);
        self.write(None, Entry::Gone(gone), actions);
    }

    /// A checkpoint is complete: when that is written down, no master will ask for what it stands for.
    pub(super) fn checkpointed(&mut self, checkpointed: Checkpointed, actions: &mut Vec<MasterAction>) {
        let Checkpointed { through, below, panes_below, checkpoints, .. } = &checkpointed;
        let snapshot = self.book.snapshot((*below, *panes_below), checkpoints.clone());
        self.unsaid.insert(*through, checkpointed);
        self.write(None, Entry::Snapshot(snapshot), actions);
    }

    pub(super) fn written(&mut self, now: Moment, entries: Vec<Entry>, actions: &mut Vec<MasterAction>) {
        let count = entries.len();
        for entry in entries {
            let interval = match entry {
                Entry::Sealed(sealed) => {
                    say_sealed(&sealed, actions);
                    self.seal_is_written(&sealed, actions);
                    Some(sealed.interval)
                }
                Entry::GivenUp(gone) | Entry::Gone(gone) => {
                    self.book.is_said();
                    let interval = gone.interval;
                    say_gone(gone, actions);
                    interval
                }
                Entry::Left(_) | Entry::Lost(_) | Entry::LetIn(_) => None,
                Entry::Back(worker) => {
                    self.is_back(now, worker, actions);
                    None
                }
                Entry::Snapshot(snapshot) => {
                    let over = self.trimming.written();
                    if !over.is_empty() {
                        actions.push(MasterAction::DropLogged(over));
                    }
                    self.checkpoint_written(now, &snapshot, actions);
                    None
                }
            };
            let Some(waiting) = interval.and_then(|interval| self.unwritten.get_mut(&interval)) else { continue };
            *waiting -= 1;
            if let Some(interval) = interval.filter(|_| *waiting == 0) {
                self.unwritten.remove(&interval);
                self.track(now, TrackerEvent::Journalled { interval }, actions);
            }
        }
        self.say_what_waited(count, actions);
    }

    /// What came before the snapshot is forgotten.
    pub(super) fn checkpoint_written(&mut self, now: Moment, snapshot: &Snapshot, actions: &mut Vec<MasterAction>) {
        let through = snapshot.checkpoints.last().map(|(through, _)| *through);
        let Some(checkpointed) = through.and_then(|through| self.unsaid.remove(&through)) else { return };
        let Checkpointed { through, below, panes_below, over, .. } = checkpointed;
        actions.push(MasterAction::Record(Event::CheckpointComplete { through }));
        let done = self.forgotten_below..below;
        (self.forgotten_below, self.panes_below) = (below, panes_below);
        self.tell_all(&self.forget(None, Vec::new()), actions);
        let blocks = self.book.blocks_of(done.clone());
        for interval in done {
            self.over(now, interval, actions);
        }
        self.release(actions);
        let settled = self.trimming.settled(&blocks);
        if !settled.is_empty() {
            actions.push(MasterAction::DropLogged(settled));
        }
        actions.extend(over.into_iter().map(MasterAction::DropCheckpoint));
    }
}

/// The log hears that records are gone when no master will look for them any more.
pub(super) fn say_gone(GivenUp { block, ranges, interval }: GivenUp, actions: &mut Vec<MasterAction>) {
    actions.push(MasterAction::Record(Event::BlockLost { block, ranges, interval }));
}

/// The log hears of an interval when nobody can seal it otherwise any more.
pub(super) fn say_sealed(sealed: &SealedInterval, actions: &mut Vec<MasterAction>) {
    let SealedInterval { interval, ranges, blocks } = sealed;
    let names: Vec<BlockName> = blocks.iter().map(|block| block.order.name).collect();
    let inputs = map_inputs(&names);
    let (interval, ranges) = (*interval, ranges.clone());
    actions.push(MasterAction::Record(Event::IntervalSealed { interval, ranges, blocks: names }));
    actions.push(MasterAction::Record(Event::MapsCut { interval, inputs }));
}
