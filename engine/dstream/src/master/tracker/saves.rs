//! The tracker's checkpoints: when one begins, who saves which partition, and what is forgotten when it is complete.
//!
//! Knows no store. Invariant: lineage is forgotten only below a complete checkpoint.

use super::{Checkpointed, Tracker, TrackerAction};
use crate::master::checkpoint::Checkpoint;
use crate::master::schedule::number;
use crate::message::{NotFetched, Save, Stored};
use dstream_kernel::Width;

impl Tracker {
    /// Begins a checkpoint when one is due, hands out its parts, ends it when all are in the store.
    pub(super) fn checkpoint(&mut self, actions: &mut Vec<TrackerAction>) {
        if self.reach == 0 {
            return;
        }
        if let Some(complete) = self.checkpoint.take_if(|open| open.is_complete()) {
            self.checkpointed(complete, actions);
        }
        if self.checkpoint.is_none() {
            let places = self.kept_places();
            self.checkpoint =
                self.due_checkpoint().map(|through| Checkpoint::new(through, places.into_iter(), self.first_attempt));
            // Panes may have been lost that only this checkpoint wants.
            if self.checkpoint.is_some() {
                self.repair();
            }
        }
        self.order_saves(actions);
    }

    /// The newest interval that ends a checkpoint, or that workers which leave need one to end, if all up to it are done
    /// and it is not in the store.
    fn due_checkpoint(&self) -> Option<u64> {
        let done_below = self.runs.iter().find(|(_, run)| !run.is_over).map_or(self.next, |(interval, _)| *interval);
        let every = self.limits.checkpoint_intervals;
        let regular = (done_below / every * every).checked_sub(1);
        let through = regular.max(self.checkpoint_to_leave(done_below))?;
        (through >= self.panes.stored_below()).then_some(through)
    }

    /// Every partition of every stage that keeps panes.
    fn kept_places(&self) -> Vec<(u32, u32)> {
        let keeps = self.shape.stages.iter().enumerate().filter(|(_, stage)| !stage.kept.is_empty());
        keeps
            .flat_map(|(index, stage)| {
                let width = if stage.width == Width::One { 1 } else { self.limits.partitions };
                (0..width).map(move |partition| (number(index), partition))
            })
            .collect()
    }

    /// What a checkpoint saves of one partition: the panes that are in no earlier one and that a later interval reads.
    /// Nothing while some of them are nowhere.
    pub(super) fn save(&self, through: u64, stage: u32, partition: u32, attempt: u32) -> Option<Save> {
        let reach = self.shape.stages[stage as usize].reach();
        let from = self.panes.stored_below().max((through + 1).saturating_sub(reach));
        let panes = (from..=through).map(|interval| self.panes.source((stage, partition), interval));
        Some(Save { through, stage, partition, attempt, panes: panes.collect::<Option<_>>()? })
    }

    fn order_saves(&mut self, actions: &mut Vec<TrackerAction>) {
        let Some(checkpoint) = &self.checkpoint else { return };
        let through = checkpoint.through;
        let mut ordered = Vec::new();
        for place in checkpoint.waiting() {
            let attempt = checkpoint.next_attempt(place);
            let Some(save) = self.save(through, place.0, place.1, attempt) else { continue };
            let sources = save.panes.iter().filter_map(|pane| pane.worker).collect();
            if let Some(worker) = self.workers.for_save(&sources, self.panes.worker(place, through)) {
                actions.push(TrackerAction::Save { worker, save });
                ordered.push((place, worker));
            }
        }
        if let Some(checkpoint) = &mut self.checkpoint {
            ordered.into_iter().for_each(|(place, worker)| checkpoint.ordered(place, worker));
        }
    }

    pub(super) fn saved(&mut self, worker: u32, stored: Stored, place: (u32, u32), failed: Option<NotFetched>) {
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(|open| open.through == stored.through) {
            match failed {
                None => checkpoint.saved(place, stored.attempt),
                Some(lacking) => {
                    checkpoint.failed(place, worker);
                    self.workers.unreachable.entry(worker).or_default().extend(lacking.unreachable);
                    self.panes_missing(place.0, place.1, &lacking.panes_missing);
                }
            }
        }
    }

    /// All panes up to here are in the store: the lineage below is not needed any more.
    fn checkpointed(&mut self, complete: Checkpoint, actions: &mut Vec<TrackerAction>) {
        let through = complete.through;
        let over = self.panes.stored(through, complete.into_attempts(), self.reach);
        while let Some((interval, _)) = self.runs.first_key_value().filter(|(interval, _)| **interval <= through) {
            self.remove(*interval);
        }
        let (below, panes_below) = (self.panes.stored_below(), self.panes.needed_from(self.reach));
        let checkpoints = self.panes.checkpoints();
        actions.push(TrackerAction::Checkpointed(Checkpointed { through, below, panes_below, checkpoints, over }));
    }
}
