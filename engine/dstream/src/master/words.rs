//! What workers say, and which part of the master hears it.
//!
//! Part of the master's core. Invariant: a word of an epoch that is over changes nothing.

use crate::master::core::{Master, MasterAction};
use crate::master::flow::Work;
use crate::master::ledger::LedgerEvent;
use crate::master::tracker::TrackerEvent;
use crate::message::{BlockReport, Member, NotFetched, TaskFailure, TaskId, ToMaster};
use dstream_cluster::detector::DetectorEvent;
use dstream_trace::Moment;
use std::time::Duration;

impl Master {
    pub(super) fn word(
        &mut self,
        now: Moment,
        worker: u32,
        incarnation: u64,
        word: ToMaster,
        actions: &mut Vec<MasterAction>,
    ) {
        match word {
            ToMaster::Join { .. } if self.waits(now, worker, (incarnation, word.clone()), actions) => {}
            ToMaster::Join { .. } if self.returns(worker, (incarnation, word.clone()), actions) => {}
            ToMaster::Join { epoch, blocks, made, .. } => {
                self.keeps = epoch.is_some_and(|epoch| self.is_of_before(epoch));
                self.joining = Some(worker);
                self.detect(now, DetectorEvent::Join { worker, incarnation, epoch }, actions);
                self.joining = None;
                let keeps = std::mem::take(&mut self.keeps);
                // Under its new epoch: the worker holds these blocks whatever it was called when it got them.
                let Some(epoch) = self.members.get(&worker).copied() else { return };
                let holder = Member { worker, epoch };
                let blocks = blocks.into_iter().map(|report| held_by(report, holder)).collect();
                self.account(now, LedgerEvent::Announced { by: worker, blocks, closed_below: None }, actions);
                if keeps {
                    self.track(now, TrackerEvent::Held { worker, made }, actions);
                }
                self.awaited.remove(&worker);
                self.resume(now, actions);
            }
            // It has yet to hear who leads: to refuse it now would cost what it holds.
            ToMaster::Heartbeat { .. } if self.awaited.contains(&worker) => {}
            ToMaster::Heartbeat { epoch, sent_ns, unreachable } => {
                let unreachable = unreachable.into_iter().collect();
                self.beats(now, (Member { worker, epoch }, sent_ns), unreachable, actions);
            }
            ToMaster::Announce { epoch, blocks, closed_below } if self.is_member(worker, epoch) => {
                let closed_below = Some(closed_below);
                self.account(now, LedgerEvent::Announced { by: worker, blocks, closed_below }, actions);
            }
            ToMaster::Orphans { epoch, origin, origin_epoch, blocks } if self.is_member(worker, epoch) => {
                let origin = Member { worker: origin, epoch: origin_epoch };
                self.account(now, LedgerEvent::Orphans { by: worker, origin, blocks }, actions);
            }
            ToMaster::Leaving { epoch } if self.is_member(worker, epoch) => {
                self.asks_to_leave(now, Member { worker, epoch }, actions);
            }
            ToMaster::CopyHeld { epoch, block } if self.is_member(worker, epoch) => {
                let by = Member { worker, epoch };
                self.account(now, LedgerEvent::CopyHeld { by, block }, actions);
            }
            ToMaster::TaskDone { epoch, task, core_ns } if self.is_member(worker, epoch) => {
                self.worked(now, worker, (task, Duration::from_nanos(core_ns)), actions);
                self.track(now, TrackerEvent::Done { worker, task }, actions);
            }
            ToMaster::TaskFailed { epoch, task, why } if self.is_member(worker, epoch) => {
                if let TaskFailure::NotFetched(NotFetched { blocks_missing, .. }) = &why {
                    for (block, at) in blocks_missing {
                        self.account(now, LedgerEvent::NotHeld { at: *at, block: *block }, actions);
                    }
                }
                self.track(now, TrackerEvent::Failed { worker, task, why }, actions);
            }
            ToMaster::Saved { epoch, through, stage, partition, attempt, failed } if self.is_member(worker, epoch) => {
                let saved = TrackerEvent::Saved { worker, through, stage, partition, attempt, failed };
                self.track(now, saved, actions);
            }
            // Of an epoch that is over: the detector answers its next heartbeat with a refusal.
            _ => {}
        }
    }
}

impl Master {
    /// A task kept one of the worker's cores for so long.
    fn worked(
        &mut self,
        now: Moment,
        worker: u32,
        (task, core_time): (TaskId, Duration),
        actions: &mut Vec<MasterAction>,
    ) {
        self.track(now, TrackerEvent::Took { task, core_time }, actions);
        if let Some(spares) = &mut self.spares {
            spares.scale.worked(task.interval, worker, core_time);
        }
        let work = match task.stage {
            // Of several that read blocks the first one to do so would speak for all.
            stage if self.readers.contains(&stage) && self.readers.len() == 1 => Work::Reads(task.partition as usize),
            stage if self.steps.contains(&stage) => Work::Steps,
            _ => Work::Other,
        };
        if self.flow.as_mut().is_some_and(|(flow, _)| flow.worked(task.interval, core_time, work)) {
            actions.extend(self.quota().map(MasterAction::TellClients));
            self.write_let_in(actions);
        }
    }
}

fn held_by(report: BlockReport, holder: Member) -> BlockReport {
    let mut holders = report.holders;
    holders.retain(|other| other.worker != holder.worker);
    holders.push(holder);
    BlockReport { holders, ..report }
}
