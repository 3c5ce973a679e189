//! The ledger takes steps, and what it decides is done.
//!
//! Part of the master's core. Invariant: all that one step decided is done before the next step, also where doing it makes
//! the tracker say something to the ledger: else what was decided first would be said last.

use crate::master::core::{Master, MasterAction};
use crate::master::flow::Content;
use crate::master::journal::{Entry, SealedInterval};
use crate::master::leaving::Consent;
use crate::master::ledger::{Allotment, LedgerAction, LedgerEvent};
use crate::master::members::if_alike;
use crate::master::scale::Came;
use crate::master::tracker::TrackerEvent;
use crate::message::ToWorker;
use dstream_trace::{Moment, RecordRange};
use std::collections::VecDeque;

impl Master {
    pub(super) fn account(&mut self, now: Moment, event: LedgerEvent, actions: &mut Vec<MasterAction>) {
        if let Some(waiting) = &mut self.unaccounted {
            waiting.push_back(event);
            return;
        }
        self.unaccounted = Some(VecDeque::from([event]));
        while let Some(event) = self.unaccounted.as_mut().and_then(VecDeque::pop_front) {
            let mut decided = Vec::new();
            self.ledger.step(now, event, &mut decided);
            decided.into_iter().for_each(|action| self.decided(now, action, actions));
        }
        self.unaccounted = None;
    }

    fn decided(&mut self, now: Moment, action: LedgerAction, actions: &mut Vec<MasterAction>) {
        match action {
            LedgerAction::Seal { interval, ranges, blocks } => {
                self.sealed_below = self.sealed_below.max(interval + 1);
                let records = ranges.iter().map(RecordRange::count).sum();
                let is_held = self.flow.as_mut().is_some_and(|(flow, clients)| {
                    let records_of = |block: &Allotment| block.ranges.iter().map(RecordRange::count).sum();
                    let blocks = blocks.iter().map(records_of).collect();
                    flow.sealed(now, interval, Content { records, if_alike: if_alike(&ranges, *clients), blocks })
                });
                if let Some(spares) = &mut self.spares {
                    let came = if records > 0 { Came::Some { is_held } } else { Came::None };
                    spares.scale.sealed(now, interval, came);
                }
                let sealed = SealedInterval { interval, ranges, blocks: blocks.clone() };
                self.book.sealed(sealed.clone());
                self.write(Some(interval), Entry::Sealed(sealed), actions);
                self.track(now, TrackerEvent::Sealed { interval, blocks }, actions);
            }
            LedgerAction::Gone(ranges) => {
                self.gone_for_good(ranges, actions);
            }
            LedgerAction::GiveUp(given_up) => self.give_up(given_up, actions),
            LedgerAction::Holders { block, holders } => {
                self.track(now, TrackerEvent::Holders { block, holders }, actions);
            }
            LedgerAction::AskOrphans { origin, of } => {
                for worker in of {
                    let word = ToWorker::ReportOrphans { origin: origin.worker, epoch: origin.epoch };
                    actions.push(MasterAction::Tell { worker, word });
                }
            }
            LedgerAction::OrphansKnown => self.track(now, TrackerEvent::OrphansKnown, actions),
            LedgerAction::AskLog { origin, mut known } => {
                known.extend(self.trimming.blocks());
                actions.push(MasterAction::ReadLog { origin, known });
            }
            LedgerAction::OrderCopy { block, from, to } => {
                actions.push(MasterAction::Tell { worker: from, word: ToWorker::Copy { block, to } });
            }
            LedgerAction::Heard { by, blocks } => self.heard(by, blocks, actions),
            LedgerAction::Forget { by, blocks } => {
                self.trimming.over(&blocks);
                self.say_when_written(LedgerAction::Forget { by, blocks }, actions);
            }
            LedgerAction::Answer { .. } => self.say_when_written(action, actions),
            LedgerAction::LetsGo(_) => _ = self.consents.insert(Consent::Ledger),
            LedgerAction::Record(event) => actions.push(MasterAction::Record(event)),
        }
    }
}
