//! The sink's core: idempotent commit with fencing.
//!
//! Invariant: of each (output, interval, partition) exactly one result becomes visible; no result of a fenced epoch does;
//! two attempts at one result that differ are reported, never hidden.
//!
//! ```text
//! result:  absent --Tentative--> shown, and still absent
//!          absent --Result--> visible --Result, same bytes--> visible (repeated)
//!                                     --Result, other bytes-> visible (differ: the engine is broken)
//! ```

use crate::core::Core;
use crate::message::{FromSink, ResultName, VisibleResult};
use bytes::Bytes;
use dstream_trace::{Event, Moment, NodeName, Rows};
use std::collections::{BTreeMap, BTreeSet};

/// Intervals whose digests are remembered. A result that comes later than that many intervals after its interval is
/// refused: at intervals of 100 ms this is a quarter of an hour, far beyond any retry.
const REMEMBERED_INTERVALS: u64 = 10_000;

/// What happens to the sink. `token` names the request and comes back in its answer.
#[derive(Clone, Debug)]
pub enum SinkEvent {
    /// A worker hands in a result.
    Result {
        /// The worker.
        from: NodeName,
        /// The request.
        token: u64,
        /// Which result.
        name: ResultName,
        /// Its rows.
        rows: Bytes,
    },
    /// A worker shows what a late result would be by now.
    Tentative {
        /// The worker.
        from: NodeName,
        /// Which result.
        name: ResultName,
        /// Its rows.
        rows: Bytes,
    },
    /// The master fences a worker.
    Fence {
        /// The master.
        from: NodeName,
        /// The request.
        token: u64,
        /// The fenced worker.
        worker: NodeName,
        /// Its last epoch.
        epoch: u64,
        /// The master wants to know which results of the worker are visible, from this interval on.
        since: u64,
    },
}

/// What the sink does.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkAction {
    /// Answer a request.
    Answer {
        /// Who asked.
        to: NodeName,
        /// The request.
        token: u64,
        /// The answer.
        answer: FromSink,
    },
    /// Record an event.
    Record(Event),
}

/// A visible result, as far as the sink remembers it.
struct Visible {
    from: NodeName,
    digest: u64,
    lacks: u64,
}

/// The sink's core.
#[derive(Default)]
pub struct Sink {
    /// interval -> (output, partition) -> what is visible
    visible: BTreeMap<u64, BTreeMap<(String, u32), Visible>>,
    /// interval -> (output, partition) that were shown before they were visible
    tentative: BTreeMap<u64, BTreeSet<(String, u32)>>,
    /// worker -> its highest fenced epoch
    fenced: BTreeMap<NodeName, u64>,
}

impl Sink {
    fn result(&mut self, from: NodeName, name: ResultName, rows: Bytes) -> (FromSink, Event) {
        let ResultName { output, interval, partition, of, epoch, lacks } = name;
        let is_fenced = self.fenced.get(&from).is_some_and(|fenced| epoch <= *fenced);
        if is_fenced || self.is_forgotten(interval) {
            return (FromSink::Refused, Event::ResultRefused { output, interval, partition, from, epoch });
        }
        let rows = Rows(rows.as_ref().into());
        let digest = rows.digest();
        let results = self.visible.entry(interval).or_default();
        match results.get(&(output.clone(), partition)) {
            None => {
                let visible = Visible { from: from.clone(), digest, lacks };
                results.insert((output.clone(), partition), visible);
                (FromSink::Done, Event::ResultVisible { output, interval, partition, of, from, epoch, rows })
            }
            Some(earlier) if earlier.digest != digest && earlier.lacks == lacks => {
                let earlier = earlier.digest;
                (FromSink::Done, Event::ResultsDiffer { output, interval, partition, from, digest, earlier })
            }
            Some(_) => (FromSink::Done, Event::ResultRepeated { output, interval, partition, from, epoch }),
        }
    }

    /// A late result is shown once, by whoever is first, unless it is there by now.
    fn tentative(&mut self, from: NodeName, name: ResultName, rows: &Bytes) -> Option<Event> {
        let ResultName { output, interval, partition, epoch, .. } = name;
        let is_fenced = self.fenced.get(&from).is_some_and(|fenced| epoch <= *fenced);
        let key = (output.clone(), partition);
        let is_visible = self.visible.get(&interval).is_some_and(|results| results.contains_key(&key));
        if is_fenced || is_visible || self.is_forgotten(interval) {
            return None;
        }
        let is_new = self.tentative.entry(interval).or_default().insert(key);
        let rows = Rows(rows.as_ref().into());
        is_new.then_some(Event::ResultTentative { output, interval, partition, from, rows })
    }

    fn fence(&mut self, worker: &NodeName, epoch: u64, since: u64) -> FromSink {
        let fenced = self.fenced.entry(worker.clone()).or_default();
        *fenced = epoch.max(*fenced);
        let of_worker = |(interval, results): (&u64, &BTreeMap<(String, u32), Visible>)| {
            let named = |(output, partition): &(String, u32)| VisibleResult {
                interval: *interval,
                output: output.clone(),
                partition: *partition,
            };
            let of_worker = results.iter().filter(|(_, visible)| visible.from == *worker);
            of_worker.map(|(name, _)| named(name)).collect::<Vec<_>>()
        };
        FromSink::Fenced(self.visible.range(since..).flat_map(of_worker).collect())
    }

    fn is_forgotten(&self, interval: u64) -> bool {
        self.visible.last_key_value().is_some_and(|(newest, _)| interval + REMEMBERED_INTERVALS < *newest)
    }

    fn forget(&mut self) {
        while self.visible.first_key_value().is_some_and(|(oldest, _)| self.is_forgotten(*oldest)) {
            self.visible.pop_first();
        }
        while self.tentative.first_key_value().is_some_and(|(oldest, _)| self.is_forgotten(*oldest)) {
            self.tentative.pop_first();
        }
    }
}

impl Core for Sink {
    type Event = SinkEvent;
    type Action = SinkAction;

    fn step(&mut self, _now: Moment, event: SinkEvent, actions: &mut Vec<SinkAction>) {
        match event {
            SinkEvent::Result { from, token, name, rows } => {
                let (answer, event) = self.result(from.clone(), name, rows);
                self.forget();
                actions.push(SinkAction::Record(event));
                actions.push(SinkAction::Answer { to: from, token, answer });
            }
            SinkEvent::Tentative { from, name, rows } => {
                actions.extend(self.tentative(from, name, &rows).map(SinkAction::Record));
            }
            SinkEvent::Fence { from, token, worker, epoch, since } => {
                let answer = self.fence(&worker, epoch, since);
                actions.push(SinkAction::Record(Event::Fenced { worker, epoch }));
                actions.push(SinkAction::Answer { to: from, token, answer });
            }
        }
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(worker: u32, epoch: u64, interval: u64, lacks: u64, rows: &str) -> SinkEvent {
        let name = ResultName { output: "counts".into(), interval, partition: 0, of: 1, epoch, lacks };
        let rows = Bytes::copy_from_slice(rows.as_bytes());
        SinkEvent::Result { from: NodeName::worker(worker), token: 1, name, rows }
    }

    fn fence(worker: u32, epoch: u64) -> SinkEvent {
        SinkEvent::Fence { from: NodeName::new("master"), token: 2, worker: NodeName::worker(worker), epoch, since: 1 }
    }

    /// Feeds the events and compares the names of the recorded ones.
    fn check(events: Vec<SinkEvent>, expected: &[&str]) {
        let mut sink = Sink::default();
        let mut actions = Vec::new();
        for event in events {
            sink.step(Moment::ZERO, event, &mut actions);
        }
        let seen: Vec<String> = actions
            .iter()
            .filter_map(|action| match action {
                SinkAction::Record(event) => Some(format!("{event:?}").split(' ').next().unwrap_or("").to_owned()),
                SinkAction::Answer { .. } => None,
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_result_becomes_visible_once() {
        check(vec![result(1, 1, 0, 0, "a"), result(2, 2, 0, 0, "a")], &["ResultVisible", "ResultRepeated"]);
    }

    fn tentative(worker: u32, interval: u64) -> SinkEvent {
        let SinkEvent::Result { from, name, rows, .. } = result(worker, 1, interval, 0, "a") else { unreachable!() };
        SinkEvent::Tentative { from, name, rows }
    }

    #[test]
    fn a_late_result_is_shown_once_and_only_before_it_is_visible() {
        let shown = ["ResultTentative", "ResultVisible"];
        check(vec![tentative(1, 0), tentative(2, 0), result(1, 1, 0, 0, "b"), tentative(1, 0)], &shown);
        check(vec![fence(1, 1), tentative(1, 0)], &["Fenced"]);
    }

    #[test]
    fn attempts_that_differ_are_reported() {
        check(vec![result(1, 1, 0, 0, "a"), result(2, 2, 0, 0, "b")], &["ResultVisible", "ResultsDiffer"]);
    }

    #[test]
    fn attempts_before_and_after_a_block_was_given_up_are_not_compared() {
        check(vec![result(1, 1, 0, 0, "a"), result(2, 2, 0, 1, "b")], &["ResultVisible", "ResultRepeated"]);
    }

    #[test]
    fn a_fenced_epoch_is_refused_and_the_next_one_is_not() {
        check(
            vec![fence(1, 3), result(1, 3, 0, 0, "a"), result(1, 4, 0, 0, "a")],
            &["Fenced", "ResultRefused", "ResultVisible"],
        );
    }

    #[test]
    fn a_fence_tells_what_the_worker_has_handed_in() {
        let mut sink = Sink::default();
        let mut actions = Vec::new();
        for event in [result(1, 1, 0, 0, "old"), result(1, 1, 1, 0, "a"), result(2, 2, 2, 0, "b"), fence(1, 1)] {
            sink.step(Moment::ZERO, event, &mut actions);
        }
        let visible = vec![VisibleResult { interval: 1, output: "counts".into(), partition: 0 }];
        let answer = SinkAction::Answer { to: NodeName::new("master"), token: 2, answer: FromSink::Fenced(visible) };
        assert_eq!(actions.last(), Some(&answer));
    }

    #[test]
    fn results_of_forgotten_intervals_are_refused() {
        let late = REMEMBERED_INTERVALS + 1;
        check(vec![result(1, 1, late, 0, "a"), result(1, 1, 0, 0, "a")], &["ResultVisible", "ResultRefused"]);
    }
}
