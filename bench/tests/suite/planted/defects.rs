//! Defects, each a wrapper around one protocol part that drops, adds or changes a single kind of event or action.
//!
//! The wrapped part is the product's own; nothing in the product knows that it can be wrapped for this.

use crate::planted::defect::Defect;
use crate::planted::state::{Taken, taken};
use crate::planted::wrap::wrap;
use dstream_cluster::client::{Client, ClientAction, ClientEvent, ClientLimits};
use dstream_cluster::core::{BoxCore, Core};
use dstream_cluster::detector::{Detector, DetectorAction, DetectorEvent};
use dstream_cluster::lease::{Verdict, Watch, WatchEvent};
use dstream_cluster::message::{FromSink, ResultName, ToClient};
use dstream_cluster::sink::{Sink, SinkAction, SinkEvent};
use dstream_engine::cores::CoreFactory;
use dstream_engine::master::journal::{Entry, Snapshot};
use dstream_engine::master::ledger::{Ledger, LedgerAction, LedgerEvent, LedgerLimits};
use dstream_engine::master::tracker::{Checkpointed, Tracker, TrackerAction, TrackerEvent, TrackerLimits};
use dstream_engine::master::{Master, MasterAction, MasterEvent, MasterLimits, first_epoch};
use dstream_engine::message::{Reads, TaskOrder, ToMaster, ToWorker};
use dstream_engine::worker::memory::{Memory, MemoryAction, MemoryEvent};
use dstream_engine::worker::receiver::{Receiver, ReceiverAction, ReceiverEvent, ReceiverLimits};
use dstream_kernel::Query;
use dstream_trace::{BlockName, Event, Moment, NodeName, RecordRange, Rows};
use std::collections::BTreeMap;
use std::time::Duration;

/// A factory whose parts have the defect.
#[derive(Clone, Copy, Debug)]
pub struct Planted(pub Defect);

/// Wraps with a function that changes the actions of each step only.
fn change<E: 'static, A: 'static>(
    inner: impl Core<Event = E, Action = A> + 'static,
    mut change: impl FnMut(A) -> Vec<A> + Send + 'static,
) -> BoxCore<E, A> {
    wrap(Box::new(inner), move |inner, now, event, actions| {
        let mut decided = Vec::new();
        inner.step(now, event, &mut decided);
        actions.extend(decided.into_iter().flat_map(&mut change));
    })
}

impl CoreFactory for Planted {
    fn query(&self, query: Query) -> Query {
        match self.0 {
            Defect::TableVersionIgnored => taken(query, Taken::Behind),
            Defect::UndoLeftOut => taken(query, Taken::Ahead),
            _ => query,
        }
    }

    fn client(&self, limits: ClientLimits) -> BoxCore<ClientEvent, ClientAction> {
        let client = Client::new(limits);
        match self.0 {
            Defect::BatchNotSentAgain => batch_not_sent_again(client),
            Defect::LetGoWhenAcknowledged => Box::new(Client::new(ClientLimits { keeps: false, ..limits })),
            _ => Box::new(client),
        }
    }

    fn sink(&self) -> BoxCore<SinkEvent, SinkAction> {
        match self.0 {
            Defect::FenceIgnored => fence_ignored(|_| true),
            Defect::EarlierTermNotFenced => fence_ignored(|epoch| epoch % first_epoch(2) == 0),
            Defect::ResultTwice => result_twice(),
            Defect::BothAttemptsCommitted => both_attempts_committed(),
            _ => Box::new(Sink::default()),
        }
    }

    fn receiver(&self, limits: ReceiverLimits) -> BoxCore<ReceiverEvent, ReceiverAction> {
        let receiver = Receiver::new(limits);
        match self.0 {
            Defect::EarlyAck => early_ack(receiver),
            Defect::AckBeforeCopy => ack_before_copy(receiver),
            Defect::AckBeforeLog => wrap(Box::new(receiver), |inner, now, event, actions| {
                inner.step(now, event, actions);
                let asked = |action: &ReceiverAction| match action {
                    ReceiverAction::Log(block) => Some(*block),
                    _ => None,
                };
                for block in actions.iter().filter_map(asked).collect::<Vec<_>>() {
                    inner.step(now, ReceiverEvent::Logged(block), actions);
                }
            }),
            Defect::AckBeforeMaster => ack_before_master(receiver),
            _ => Box::new(receiver),
        }
    }

    fn watch(&self, me: NodeName, time_to_live: Duration) -> BoxCore<WatchEvent, Verdict> {
        let watch = Watch::new(me, time_to_live);
        match self.0 {
            Defect::LeaseNotWaitedFor => wrap(Box::new(watch), |inner, now, event, verdicts| match event {
                WatchEvent::Looked { newest: Some((term, _)), .. } => verdicts.push(Verdict::Take(term + 1)),
                other => inner.step(now, other, verdicts),
            }),
            _ => Box::new(watch),
        }
    }

    fn memory(&self, limit: u64) -> BoxCore<MemoryEvent, MemoryAction> {
        let memory = Memory::new(limit);
        match self.0 {
            Defect::SpillNotWritten => spill_not_written(memory),
            _ => Box::new(memory),
        }
    }

    fn detector(&self, heartbeat: Duration, failure_timeout: Duration) -> BoxCore<DetectorEvent, DetectorAction> {
        let detector = Detector::new(heartbeat, failure_timeout);
        match self.0 {
            Defect::LossNotDetected => change(detector, |action| match action {
                DetectorAction::Lost { .. } => vec![],
                other => vec![other],
            }),
            _ => Box::new(detector),
        }
    }

    fn ledger(&self, limits: LedgerLimits) -> BoxCore<LedgerEvent, LedgerAction> {
        let ledger = Ledger::new(limits);
        match self.0 {
            Defect::DuplicateBlockAccepted => duplicate_block_accepted(ledger),
            Defect::LateBlockSlippedIn => change(ledger, late_block_slipped_in),
            Defect::CopiesNotMadeAgain => change(ledger, |action| match action {
                LedgerAction::OrderCopy { .. } => vec![],
                LedgerAction::Record(Event::CopiesBelow { .. }) => {
                    vec![LedgerAction::Record(Event::CopiesBelow { blocks: 0 })]
                }
                other => vec![other],
            }),
            _ => Box::new(ledger),
        }
    }

    fn tracker(&self, query: &Query, limits: TrackerLimits) -> BoxCore<TrackerEvent, TrackerAction> {
        let tracker = Tracker::new(query, limits);
        match self.0 {
            Defect::LostPartitionNotRecomputed => change(tracker, |action| match action {
                TrackerAction::Launch { launch, .. } if launch.tasks.iter().any(|task| task.attempt > 0) => vec![],
                other => vec![other],
            }),
            Defect::UnsealedInterval => wrap(Box::new(tracker), |inner, now, event, actions| {
                let early = match &event {
                    TrackerEvent::Sealed { interval, .. } => Some(TrackerEvent::Journalled { interval: *interval }),
                    _ => None,
                };
                inner.step(now, event, actions);
                if let Some(early) = early {
                    inner.step(now, early, actions);
                }
            }),
            Defect::OldestPaneForgotten => {
                change_orders(tracker, |order| drop(order.past.drain(..order.past.len().min(1))))
            }
            Defect::CheckpointNotRead => change_orders(tracker, |order| {
                order.past.retain(|pane| pane.checkpoint.is_none() || pane.worker.is_some())
            }),
            Defect::CheckpointNotWritten => wrap(Box::new(tracker), checkpoint_not_written),
            Defect::LineageForgottenEarly => change(tracker, |action| match action {
                TrackerAction::IntervalDone(interval) => {
                    let through = interval;
                    let early = Checkpointed {
                        through,
                        below: through + 1,
                        panes_below: 0,
                        checkpoints: vec![(through, vec![])],
                        over: vec![],
                    };
                    vec![TrackerAction::IntervalDone(interval), TrackerAction::Checkpointed(early)]
                }
                other => vec![other],
            }),
            Defect::SentAgainShort => change_orders(tracker, sent_again_short),
            Defect::SegmentNotSaved => change(tracker, |mut action| {
                if let TrackerAction::Save { save, .. } = &mut action {
                    save.panes.pop();
                }
                vec![action]
            }),
            Defect::CheckpointDroppedEarly => change(tracker, |action| match action {
                TrackerAction::Checkpointed(mut checkpointed) => {
                    checkpointed.over.push(checkpointed.through);
                    vec![TrackerAction::Checkpointed(checkpointed)]
                }
                other => vec![other],
            }),
            _ => Box::new(tracker),
        }
    }

    fn master(&self, limits: MasterLimits, query: &Query) -> BoxCore<MasterEvent, MasterAction> {
        let master = Master::new(limits, query, self);
        match self.0 {
            Defect::CommitWithoutFence => wrap(Box::new(master), |inner, now, event, actions| {
                let mut decided = Vec::new();
                inner.step(now, event, &mut decided);
                while let Some(place) = decided.iter().position(|action| matches!(action, MasterAction::Fence { .. })) {
                    let MasterAction::Fence { member, .. } = decided.remove(place) else { continue };
                    inner.step(now, MasterEvent::Fenced { member, visible: vec![] }, &mut decided);
                }
                actions.append(&mut decided);
            }),
            Defect::LogCutEarly => change(master, |action| match action {
                MasterAction::Journal(Entry::Sealed(sealed)) => {
                    let names = sealed.blocks.iter().map(|block| block.order.name).collect();
                    vec![MasterAction::Journal(Entry::Sealed(sealed)), MasterAction::DropLogged(names)]
                }
                other => vec![other],
            }),
            Defect::AckBeforeJournal => wrap(Box::new(master), ack_before_journal),
            Defect::QuotaNotSaid => change(master, |action| match action {
                MasterAction::TellClient(_, ToClient::Quota { .. })
                | MasterAction::TellClients(ToClient::Quota { .. }) => vec![],
                other => vec![other],
            }),
            Defect::JournalCutShort => change_journal(master, |found| drop(found.open.pop())),
            _ => Box::new(master),
        }
    }
}

fn sent_again_short(order: &mut TaskOrder) {
    let Reads::Blocks(blocks) = &mut order.reads else { return };
    for last in blocks.iter_mut().filter_map(|block| block.ranges.last_mut()) {
        last.last = last.last.saturating_sub(1).max(last.first);
    }
}

fn ack_before_journal(
    inner: &mut BoxCore<MasterEvent, MasterAction>,
    now: Moment,
    event: MasterEvent,
    actions: &mut Vec<MasterAction>,
) {
    let early = match &event {
        MasterEvent::Word { worker, word: ToMaster::Announce { epoch, blocks, .. }, .. } => {
            let word = ToWorker::Heard { epoch: *epoch, blocks: blocks.iter().map(|block| block.name).collect() };
            Some(MasterAction::Tell { worker: *worker, word })
        }
        _ => None,
    };
    inner.step(now, event, actions);
    actions.extend(early);
}

/// What a new master reads in the journal is not what is there.
fn change_journal(
    master: Master,
    change: impl Fn(&mut Snapshot) + Send + 'static,
) -> BoxCore<MasterEvent, MasterAction> {
    wrap(Box::new(master), move |inner, now, mut event, actions| {
        if let MasterEvent::Elected { found, .. } = &mut event {
            change(found);
        }
        inner.step(now, event, actions);
    })
}

fn early_ack(receiver: Receiver) -> BoxCore<ReceiverEvent, ReceiverAction> {
    wrap(Box::new(receiver), |inner, now, event, actions| {
        let early = match &event {
            ReceiverEvent::Batch { range, .. } => Some(*range),
            _ => None,
        };
        inner.step(now, event, actions);
        actions.extend(early.map(|range| ReceiverAction::Acknowledge { blocks: vec![], ranges: vec![range] }));
    })
}

fn ack_before_copy(receiver: Receiver) -> BoxCore<ReceiverEvent, ReceiverAction> {
    change(receiver, |action| match action {
        ReceiverAction::Seal { interval, block } => {
            let ranges = block.ranges.clone();
            vec![ReceiverAction::Seal { interval, block }, ReceiverAction::Acknowledge { blocks: vec![], ranges }]
        }
        other => vec![other],
    })
}

fn ack_before_master(receiver: Receiver) -> BoxCore<ReceiverEvent, ReceiverAction> {
    wrap(Box::new(receiver), |inner, now, event, actions| {
        let mut decided = Vec::new();
        inner.step(now, event, &mut decided);
        let announced = decided.iter().filter_map(|action| match action {
            ReceiverAction::Announce { blocks, .. } => Some(blocks.iter().map(|block| block.name).collect()),
            _ => None,
        });
        for heard in announced.collect::<Vec<_>>() {
            inner.step(now, ReceiverEvent::Heard(heard), &mut decided);
        }
        actions.append(&mut decided);
    })
}

/// Whatever should be written counts as written at once.
fn spill_not_written(memory: Memory) -> BoxCore<MemoryEvent, MemoryAction> {
    wrap(Box::new(memory), |inner, now, event, actions| {
        let mut decided = Vec::new();
        inner.step(now, event, &mut decided);
        while let Some(place) = decided.iter().position(|action| matches!(action, MemoryAction::Write(_))) {
            let MemoryAction::Write(thing) = decided.remove(place) else { continue };
            inner.step(now, MemoryEvent::Written { thing, done: true }, &mut decided);
        }
        actions.append(&mut decided);
    })
}

fn batch_not_sent_again(client: Client) -> BoxCore<ClientEvent, ClientAction> {
    let mut sent = std::collections::BTreeSet::new();
    change(client, move |action| match action {
        ClientAction::Send { first, .. } if !sent.insert(first) => vec![],
        other => vec![other],
    })
}

/// Fences of these epochs are answered and do not stand.
fn fence_ignored(is_ignored: fn(u64) -> bool) -> BoxCore<SinkEvent, SinkAction> {
    wrap(Box::new(Sink::default()), move |inner, now, event, actions| match event {
        SinkEvent::Fence { from, token, worker, epoch, .. } if is_ignored(epoch) => {
            actions.push(SinkAction::Record(Event::Fenced { worker, epoch }));
            actions.push(SinkAction::Answer { to: from, token, answer: FromSink::Fenced(vec![]) });
        }
        other => inner.step(now, other, actions),
    })
}

/// Every result is made visible twice.
fn result_twice() -> BoxCore<SinkEvent, SinkAction> {
    change(Sink::default(), |action| match action {
        SinkAction::Record(event @ Event::ResultVisible { .. }) => {
            vec![SinkAction::Record(event.clone()), SinkAction::Record(event)]
        }
        other => vec![other],
    })
}

/// A result that somebody else has handed in already is made visible as if it were the first.
fn both_attempts_committed() -> BoxCore<SinkEvent, SinkAction> {
    let mut sooner = BTreeMap::new();
    wrap(Box::new(Sink::default()), move |inner, now, event, actions| {
        let SinkEvent::Result { from, name, rows, .. } = event.clone() else { return inner.step(now, event, actions) };
        let mut decided = Vec::new();
        inner.step(now, event, &mut decided);
        let key = (name.output.clone(), name.interval, name.partition);
        for action in &mut decided {
            match action {
                SinkAction::Record(Event::ResultVisible { .. }) => drop(sooner.insert(key.clone(), from.clone())),
                SinkAction::Record(again @ Event::ResultRepeated { .. }) if sooner[&key] != from => {
                    let (name, rows) = (name.clone(), Rows(rows.as_ref().into()));
                    let ResultName { output, interval, partition, of, epoch, .. } = name;
                    let from = from.clone();
                    *again = Event::ResultVisible { output, interval, partition, of, from, epoch, rows };
                }
                _ => {}
            }
        }
        actions.append(&mut decided);
    })
}

fn duplicate_block_accepted(ledger: Ledger) -> BoxCore<LedgerEvent, LedgerAction> {
    let mut known: BTreeMap<BlockName, Vec<RecordRange>> = BTreeMap::new();
    wrap(Box::new(ledger), move |inner, now, event, actions| {
        if let LedgerEvent::Announced { blocks, .. } | LedgerEvent::Orphans { blocks, .. } = &event {
            known.extend(blocks.iter().map(|block| (block.name, block.ranges.clone())));
        }
        let mut decided = Vec::new();
        inner.step(now, event, &mut decided);
        for action in &mut decided {
            let LedgerAction::Seal { ranges, blocks, .. } = action else { continue };
            for block in blocks.iter_mut().filter(|block| !block.order.skip.is_empty()) {
                block.order.skip.clear();
                block.ranges = known.get(&block.order.name).cloned().unwrap_or_default();
                ranges.extend(block.ranges.iter().copied());
            }
        }
        actions.append(&mut decided);
    })
}

/// The last block of an interval is computed but not told.
fn late_block_slipped_in(action: LedgerAction) -> Vec<LedgerAction> {
    let LedgerAction::Seal { interval, mut ranges, blocks } = action else { return vec![action] };
    if let Some(last) = blocks.last().filter(|_| interval % 7 == 3) {
        let mut told: dstream_trace::RangeSet = ranges.into_iter().collect();
        for range in &last.ranges {
            told.remove(*range);
        }
        ranges = told.iter().collect();
    }
    vec![LedgerAction::Seal { interval, ranges, blocks }]
}

/// Changes the orders that the tracker gives.
fn change_orders(
    tracker: Tracker,
    mut change_order: impl FnMut(&mut TaskOrder) + Send + 'static,
) -> BoxCore<TrackerEvent, TrackerAction> {
    change(tracker, move |mut action| {
        if let TrackerAction::Launch { launch, .. } = &mut action {
            launch.tasks.iter_mut().for_each(&mut change_order);
        }
        vec![action]
    })
}

/// What should be saved counts as saved at once.
fn checkpoint_not_written(
    inner: &mut BoxCore<TrackerEvent, TrackerAction>,
    now: Moment,
    event: TrackerEvent,
    actions: &mut Vec<TrackerAction>,
) {
    let mut decided = Vec::new();
    inner.step(now, event, &mut decided);
    while let Some(place) = decided.iter().position(|action| matches!(action, TrackerAction::Save { .. })) {
        let TrackerAction::Save { worker, save } = decided.remove(place) else { continue };
        let (through, stage, partition, attempt) = (save.through, save.stage, save.partition, save.attempt);
        let saved = TrackerEvent::Saved { worker, through, stage, partition, attempt, failed: None };
        inner.step(now, saved, &mut decided);
    }
    actions.append(&mut decided);
}
