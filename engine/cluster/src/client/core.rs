//! The client's core: which batch goes to which worker, and when it goes again.
//!
//! Knows neither the records' bytes nor the source. Invariants: a batch is either acknowledged or outstanding; an
//! outstanding batch that is not on its way to a connected worker is sent as soon as there is one; where a client keeps
//! what it sent, no batch is forgotten before all of it is released.
//!
//! ```text
//! batch:  queued --a worker is there--> sent --Held--> acknowledged --Released, where it is kept--> forgotten
//!            ^                            |
//!            +--- worker gone, or no word for a while and another worker is there ---+
//! ```
//! While no master leads, no worker acknowledges: what is sent then is given all the patience there is. So is what two
//! workers have while nobody acknowledges anything: that is no worker's fault, and what nobody can acknowledge now, such as
//! while a log takes nothing, stands in the way of the rest later, once for each copy. And so is what a worker has got
//! behind others that it acknowledges one by one: it stands in a line, and a second copy would make all lines longer.

use crate::client::event::{ClientAction, ClientEvent};
use crate::client::line::{Lines, Queue, Sent};
use crate::core::Core;
use dstream_trace::{Event, Moment, NodeName, RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A batch waits at most this many times longer for each further attempt: a cluster that is slow to acknowledge must not be
/// drowned in copies of what it already has. Both reasons to wait together make [`USUAL_WAITS`] times that, no more.
const MOST_PATIENCE: u32 = 8;

/// A batch waits so many times as long as acknowledgements lately took: a longer wait is trouble, not load.
const USUAL_WAITS: u32 = 2;

/// A client that had no connection keeps what piled up for those still being made, for this part of its patience: a dial
/// and an answer take far less, and whoever is first would get all of it.
const GATHERING: u32 = 8;

/// With each acknowledgement, the longest wait remembered shrinks by one part in so many.
const FORGETTING: u32 = 8;

/// How patient a client is.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// A batch without a word for this long goes to another worker; later where acknowledgements usually take longer.
    pub patience: Duration,
    /// The client's number, from 1.
    pub number: u32,
    /// How many clients there are: clients in step spread over the workers, so that no two send to the same one at once.
    pub clients: u32,
    /// What is acknowledged is kept until it is released: it may be asked for again.
    pub keeps: bool,
}

impl ClientLimits {
    /// How long a batch waits at most until it goes to another worker.
    fn most_patience(&self) -> Duration {
        self.patience * MOST_PATIENCE * USUAL_WAITS
    }
}

struct Outstanding {
    range: RecordRange,
    first_due: Moment,
    last_due: Moment,
    /// The worker it is with.
    with: Option<Sent>,
    attempts: u32,
    /// When it was sent first.
    sent: Moment,
    /// When it was sent last, if that was beside a worker that has it as well.
    doubled: Option<Moment>,
    /// It waits for the first word of anybody, longer than its patience.
    is_with_all: bool,
    held: RangeSet,
}

/// The client's core.
pub struct Client {
    limits: ClientLimits,
    outstanding: BTreeMap<u64, Outstanding>,
    /// Batches that are acknowledged and not released: their last records, by the first.
    retained: BTreeMap<u64, u64>,
    /// Nobody asks again for records before this number.
    released_below: u64,
    connected: BTreeSet<NodeName>,
    /// Workers that take records; `None` until the master said so.
    members: Option<BTreeSet<NodeName>>,
    /// A master leads, as far as is known.
    is_led: bool,
    /// Turns through the workers.
    turn: usize,
    lines: Lines,
    /// How long acknowledgements lately took at most.
    waits: Duration,
    /// When anything was acknowledged last.
    heard: Moment,
    /// Some batches wait for the first word of anybody.
    is_silent: bool,
    records: u64,
    source_ended: bool,
    done: bool,
    /// When batches that a connection did not take are tried again.
    retry_at: Moment,
    /// Until then each member that comes gets its share of what piled up.
    gathers_until: Option<Moment>,
}

impl Client {
    /// A client that has sent nothing.
    pub fn new(limits: ClientLimits) -> Client {
        Client {
            limits,
            outstanding: BTreeMap::new(),
            retained: BTreeMap::new(),
            released_below: 0,
            connected: BTreeSet::new(),
            members: None,
            is_led: true,
            turn: 0,
            lines: Lines::default(),
            waits: Duration::ZERO,
            heard: Moment::ZERO,
            is_silent: false,
            records: 0,
            source_ended: false,
            done: false,
            retry_at: Moment::NEVER,
            gathers_until: None,
        }
    }

    /// How long a batch may take at its first attempt.
    fn patience(&self) -> Duration {
        if !self.is_led {
            return self.limits.patience * MOST_PATIENCE;
        }
        let usual = (self.waits * USUAL_WAITS).min(self.limits.patience * MOST_PATIENCE);
        self.limits.patience.max(usual)
    }

    fn is_usable(&self, worker: &NodeName) -> bool {
        self.connected.contains(worker) && self.members.as_ref().is_none_or(|members| members.contains(worker))
    }

    /// The next worker in turn, another one than `not` if there is one.
    fn next_worker(&mut self, not: Option<&NodeName>) -> Option<NodeName> {
        let usable: Vec<&NodeName> =
            self.connected.iter().filter(|worker| self.is_usable(worker) && Some(*worker) != not).collect();
        let (before, clients) = (self.limits.number.saturating_sub(1) as usize, self.limits.clients.max(1) as usize);
        let start = usable.len() * before / clients;
        let worker = (*usable.get((start + self.turn) % usable.len().max(1))?).clone();
        self.turn = self.turn.wrapping_add(1);
        Some(worker)
    }

    /// Sends one batch to the next worker, if there is one.
    fn send(&mut self, now: Moment, first: u64, not: Option<&NodeName>, actions: &mut Vec<ClientAction>) {
        let Some(to) = self.next_worker(not) else { return };
        self.send_to(now, first, (to, not.is_some()), actions);
    }

    fn send_to(
        &mut self,
        now: Moment,
        first: u64,
        (to, is_doubled): (NodeName, bool),
        actions: &mut Vec<ClientAction>,
    ) {
        let patience = self.patience();
        let Some(batch) = self.outstanding.get_mut(&first) else { return };
        if batch.attempts == 0 {
            batch.sent = now;
        }
        (batch.doubled, batch.is_with_all) = (is_doubled.then_some(now), false);
        // Slow acknowledgements and many attempts have one cause, such as a long fault: they must not multiply each other.
        let grown = patience * (1 << batch.attempts.min(MOST_PATIENCE.ilog2()));
        let patience = grown.min(self.limits.most_patience());
        batch.with = Some(self.lines.join(now, to.clone(), patience));
        actions.push(ClientAction::Record(match batch.attempts {
            0 => Event::RecordsSent {
                range: batch.range,
                first_scheduled: batch.first_due,
                last_scheduled: batch.last_due,
            },
            _ => Event::RecordsResent { range: batch.range, to: to.clone() },
        }));
        batch.attempts += 1;
        actions.push(ClientAction::Send { first, to, is_copy: false });
    }

    /// Whether a master leads has changed: what is with a worker is waited for from now on.
    fn led(&mut self, now: Moment, is_led: bool) {
        self.is_led = is_led;
        let ends = now + self.patience();
        self.outstanding.values_mut().filter_map(|batch| batch.with.as_mut()).for_each(|sent| sent.ends = ends);
    }

    /// What is with no worker, or with one that is gone.
    fn queued(&self) -> Vec<u64> {
        let is_queued = |batch: &Outstanding| batch.with.as_ref().is_none_or(|sent| !self.is_usable(&sent.to));
        self.outstanding.iter().filter(|(_, batch)| is_queued(batch)).map(|(first, _)| *first).collect()
    }

    /// Sends whatever is queued, unless it waits for members to come.
    fn send_queued(&mut self, now: Moment, actions: &mut Vec<ClientAction>) {
        if self.gathers_until.is_some_and(|until| now < until) {
            return;
        }
        self.gathers_until = None;
        for first in self.queued() {
            self.send(now, first, None, actions);
        }
    }

    /// A connection is there. The first one after none begins a time in which each member gets as much as another.
    fn up(&mut self, now: Moment, worker: NodeName, actions: &mut Vec<ClientAction>) {
        let had_any = self.connected.iter().any(|worker| self.is_usable(worker));
        self.connected.insert(worker.clone());
        let members = self.members.as_ref().map_or(0, BTreeSet::len);
        let usable = self.connected.iter().filter(|worker| self.is_usable(worker)).count();
        if !had_any && usable < members {
            self.gathers_until = Some(now + self.limits.patience / GATHERING);
        }
        if self.gathers_until.is_none() {
            return self.send_queued(now, actions);
        }
        let missing = members.saturating_sub(usable);
        let queued = if self.is_usable(&worker) { self.queued() } else { Vec::new() };
        for first in queued.iter().take(queued.len().div_ceil(missing + 1)) {
            self.send_to(now, *first, (worker.clone(), false), actions);
        }
        self.gathers_until.take_if(|_| missing == 0);
    }

    /// Until when a batch waits, whatever its patience: two workers have it, and nobody has acknowledged anything since.
    fn waits_with_all(&self, batch: &Outstanding) -> Option<Moment> {
        batch.doubled.filter(|at| self.heard < *at).map(|at| at + self.limits.most_patience())
    }

    /// Sends whatever waited too long to another worker, if there is another one.
    fn send_overdue(&mut self, now: Moment, actions: &mut Vec<ClientAction>) {
        let is_overdue = |sent: &&Sent| sent.ends <= now;
        let overdue: Vec<(u64, Sent)> = self
            .outstanding
            .iter()
            .filter_map(|(first, batch)| Some((*first, batch.with.as_ref().filter(is_overdue)?.clone())))
            .collect();
        for (first, sent) in overdue {
            let in_line = self.lines.since(&sent).map(|since| since + self.patience());
            let in_line = in_line.map(|ends| ends.min(sent.at + self.limits.most_patience()));
            let in_line = in_line.filter(|ends| *ends > now);
            let with_all = self.outstanding.get(&first).and_then(|batch| self.waits_with_all(batch));
            let with_all = with_all.filter(|ends| *ends > now);
            // Asking the same connected worker again would not help: its connection loses nothing.
            if let Some(batch) = self.outstanding.get_mut(&first) {
                let ends = in_line.or(with_all).unwrap_or(now + self.limits.patience * MOST_PATIENCE);
                batch.with.iter_mut().for_each(|sent| sent.ends = ends);
                batch.is_with_all = in_line.is_none() && with_all.is_some();
                self.is_silent |= batch.is_with_all;
            }
            if in_line.or(with_all).is_none() {
                self.send(now, first, Some(&sent.to), actions);
            }
        }
    }

    fn held(&mut self, now: Moment, by: NodeName, ranges: Vec<RecordRange>, actions: &mut Vec<ClientAction>) {
        self.lines.moved(now, &by);
        for range in ranges {
            let touched: Vec<u64> = self
                .outstanding
                .range(..=range.last)
                .rev()
                .take_while(|(_, batch)| batch.range.last >= range.first)
                .map(|(first, _)| *first)
                .collect();
            for first in touched {
                let batch = self.outstanding.get_mut(&first).expect("its key was just read");
                batch.with.iter().filter(|sent| sent.to == by).for_each(|sent| self.lines.came_to(sent));
                let (from, to) = (range.first.max(first), range.last.min(batch.range.last));
                batch.held.insert(RecordRange { client: batch.range.client, first: from, last: to });
                if batch.held.count() == batch.range.count() {
                    let range = batch.range;
                    self.heard = now;
                    self.waits = now.since(batch.sent).max(self.waits - self.waits / FORGETTING);
                    self.outstanding.remove(&first);
                    actions.push(ClientAction::Record(Event::RecordsAcked { range }));
                    self.retain(range, actions);
                }
            }
        }
        if self.is_silent && self.heard == now {
            self.silence_ends(now);
        }
    }

    /// Somebody acknowledges again: what waited for that has the usual patience left, and no more than it had.
    fn silence_ends(&mut self, now: Moment) {
        self.is_silent = false;
        let usual = now + self.patience();
        for batch in self.outstanding.values_mut().filter(|batch| batch.is_with_all) {
            batch.is_with_all = false;
            batch.with.iter_mut().for_each(|sent| sent.ends = usual.min(sent.ends));
        }
    }

    /// Keeps a batch that is acknowledged until it is released, if that is to be waited for.
    fn retain(&mut self, range: RecordRange, actions: &mut Vec<ClientAction>) {
        match self.limits.keeps && range.last >= self.released_below {
            true => _ = self.retained.insert(range.first, range.last),
            false => actions.push(ClientAction::Forget { first: range.first }),
        }
    }

    fn released(&mut self, below: u64, actions: &mut Vec<ClientAction>) {
        self.released_below = self.released_below.max(below);
        while let Some(oldest) = self.retained.first_entry().filter(|oldest| *oldest.get() < self.released_below) {
            actions.push(ClientAction::Forget { first: oldest.remove_entry().0 });
        }
    }

    fn finish(&mut self, actions: &mut Vec<ClientAction>) {
        if self.source_ended && self.outstanding.is_empty() && !self.done {
            self.done = true;
            actions.push(ClientAction::Record(Event::ClientDone { records: self.records }));
        }
    }
}

impl Core for Client {
    type Event = ClientEvent;
    type Action = ClientAction;

    fn step(&mut self, now: Moment, event: ClientEvent, actions: &mut Vec<ClientAction>) {
        match event {
            ClientEvent::Batch { range, first_due, last_due } => {
                self.records += range.count();
                let batch = Outstanding {
                    range,
                    first_due,
                    last_due,
                    with: None,
                    attempts: 0,
                    sent: now,
                    doubled: None,
                    is_with_all: false,
                    held: RangeSet::new(),
                };
                self.outstanding.insert(range.first, batch);
                self.send(now, range.first, None, actions);
            }
            ClientEvent::SourceEnded => self.source_ended = true,
            ClientEvent::Up(worker) => self.up(now, worker, actions),
            ClientEvent::Down(worker) => {
                self.connected.remove(&worker);
                for batch in self.outstanding.values_mut() {
                    if batch.with.as_ref().is_some_and(|sent| sent.to == worker) {
                        batch.with = None;
                    }
                }
                self.send_queued(now, actions);
            }
            ClientEvent::LeaderGone => self.led(now, false),
            ClientEvent::Members(members) => {
                if !self.is_led {
                    self.led(now, true);
                }
                self.members = Some(members.into_iter().collect());
                self.send_queued(now, actions);
            }
            ClientEvent::Known(ranges) => {
                self.records += ranges.iter().map(RecordRange::count).sum::<u64>();
                let acked = ranges.into_iter().map(|range| ClientAction::Record(Event::RecordsAcked { range }));
                actions.extend(acked);
            }
            ClientEvent::ReadAgain(range) => self.retain(range, actions),
            ClientEvent::Released { below } => self.released(below, actions),
            ClientEvent::Held { by, ranges } => self.held(now, by, ranges, actions),
            // Whoever assigns records by their arrival needs none of these.
            ClientEvent::Punctuation { .. } | ClientEvent::Places { .. } => {}
            ClientEvent::Refused { .. } | ClientEvent::Done { .. } => {}
            ClientEvent::NotSent { first, .. } => {
                if let Some(batch) = self.outstanding.get_mut(&first) {
                    batch.with = None;
                    self.retry_at = now + self.limits.patience;
                }
            }
            ClientEvent::Queued { to, since, moved } => self.lines.queued(to, Queue { since, moved }),
            ClientEvent::Tick => {
                self.retry_at = Moment::NEVER;
                self.send_queued(now, actions);
                self.send_overdue(now, actions);
                self.lines.forget_queues();
            }
        }
        self.finish(actions);
    }

    fn deadline(&self) -> Option<Moment> {
        let waiting = self.outstanding.values().filter_map(|batch| batch.with.as_ref());
        let next = waiting.map(|sent| sent.ends).min().unwrap_or(Moment::NEVER);
        Some(next.min(self.retry_at).min(self.gathers_until.unwrap_or(Moment::NEVER)))
    }
}

#[cfg(test)]
mod tests;
