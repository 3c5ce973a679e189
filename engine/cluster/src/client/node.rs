//! The client's shell: reads the source at its due times, sends what the core says, keeps bytes until they are held.
//!
//! A client that was started again reads its source from the start, as every life does: it waits until the master has
//! said which records are held, passes over those, and goes on with what is due.

mod known;
mod telling;

use crate::client::cut::Cut;
use crate::client::kept::Keeping;
use crate::client::leader::{Following, Leader};
use crate::client::schedule::{Schedule, interval_of};
use crate::client::throttle::Throttle;
use crate::client::{ClientAction, ClientEvent};
use crate::core::BoxCore;
use crate::job::LineSource;
use crate::message::{Batch, FromClient, ToClient, open, seal};
use crate::spec::Pace;
use bytes::Bytes;
use dstream_host::peer::{Lane, PeerConfig, PeerEvent, Peers, SendError, Waiting};
use dstream_host::{CoreTime, Host, NodeError};
use dstream_trace::{Event, Moment, NodeName, Purpose, RangeSet, RecordRange};
use std::time::Duration;
use telling::changed;
use tokio::sync::watch;

/// The most bytes in one batch: small enough that a block is a whole number of batches, large enough for full speed.
const BATCH_BYTES: usize = 1 << 20;

/// A client without a rate reads this many batches, then lets its connections write, then reads on.
const BATCHES_AT_ONCE: usize = 4;

/// What a batch is given room for at first, a record; a guess that costs a copy where it is too small.
const USUAL_RECORD_BYTES: usize = 128;

/// Room for the header behind the lines, so that it is appended without moving them.
const HEADER_BYTES: usize = 64;

/// An acknowledgement comes within this, unless there is trouble: a block gathers for a part of it, then it is copied and
/// announced.
const MOST_WAIT: Duration = Duration::from_millis(600);

/// How many intervals a client without a rate may be ahead of the last one that is done: one that is being filled, one
/// that is being computed.
const INTERVALS_AHEAD: u64 = 2;

/// The client's configuration.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its number, from 1.
    pub client: u32,
    /// Its connections.
    pub peers: PeerConfig,
    /// How fast it sends.
    pub pace: Pace,
    /// How it cuts what it sends into batches.
    pub cut: Cut,
    /// Interval 0 and the load begin here.
    pub origin: Moment,
    /// The load ends here.
    pub load_end: Moment,
    /// Length of an interval.
    pub interval: Duration,
    /// How many records each record stands for: the network is charged for all of them.
    pub scale: u64,
    /// What it costs to handle a message.
    pub message: CoreTime,
    /// Below which interval results are where they outlive the sink, where masters wait for that: this client tells them.
    pub written_below: Option<watch::Receiver<u64>>,
}

/// The client's life.
pub async fn run(
    host: Host,
    config: ClientConfig,
    source: Box<dyn LineSource>,
    core: BoxCore<ClientEvent, ClientAction>,
) -> Result<(), NodeError> {
    let start = Peers::start(&host, config.peers.clone()).await;
    let (peers, mut events) = start.map_err(|error| NodeError(format!("the client cannot listen: {error}")))?;
    let mut written = config.written_below.clone();
    let mut shell = Shell::new(host, config, peers, source, core);
    loop {
        let wake = shell.next_wake();
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => shell.peer(event).await,
                None => return Ok(()),
            },
            () = changed(&mut written) => shell.say_what_is_written(),
            () = shell.host.clock.sleep_until(wake) => {
                shell.tick()?;
                // Reading a source does not wait; the connections must get their turn to write.
                tokio::task::yield_now().await;
            }
        }
    }
}

struct Shell {
    host: Host,
    config: ClientConfig,
    peers: Peers,
    source: Box<dyn LineSource>,
    core: BoxCore<ClientEvent, ClientAction>,
    keeping: Keeping,
    next_sequence: u64,
    source_ended: bool,
    next_batch: Moment,
    /// Bytes sent in `paced_interval`, for a pace without a rate.
    paced_bytes: u64,
    paced_interval: u64,
    /// Intervals below this one are done.
    done_below: u64,
    /// What an earlier life sent and is held; `None` while the master has not said so yet.
    known: Option<RangeSet>,
    /// Intervals below this one are punctuated.
    punctuated_below: u64,
    leader: Leader,
    /// What was acknowledged: few ranges, as all is in the end.
    acknowledged: RangeSet,
    /// A new master has not said yet who takes records.
    awaits_members: bool,
    /// What a master permits; none where none says so.
    throttle: Option<Throttle>,
}

impl Shell {
    fn new(
        host: Host,
        config: ClientConfig,
        peers: Peers,
        source: Box<dyn LineSource>,
        core: BoxCore<ClientEvent, ClientAction>,
    ) -> Shell {
        let is_first_life = host.incarnation == 1;
        let (next_batch, known) =
            if is_first_life { (config.origin, Some(RangeSet::new())) } else { (Moment::NEVER, None) };
        Shell {
            host,
            config,
            peers,
            source,
            core,
            keeping: Keeping::default(),
            next_sequence: 0,
            source_ended: false,
            next_batch,
            paced_bytes: 0,
            paced_interval: 0,
            done_below: 0,
            known,
            punctuated_below: 0,
            leader: Leader::default(),
            acknowledged: RangeSet::new(),
            awaits_members: false,
            throttle: None,
        }
    }

    fn next_wake(&self) -> Moment {
        let batch = if self.source_ended { Moment::NEVER } else { self.next_batch };
        let punctuation = if self.source_ended && self.config.cut.punctuates() {
            self.config.origin + self.config.interval * u32::try_from(self.punctuated_below + 1).unwrap_or(u32::MAX)
        } else {
            Moment::NEVER
        };
        let wake = batch.min(punctuation);
        self.core.deadline().map_or(wake, |deadline| deadline.min(wake))
    }

    async fn peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Up { peer, .. } => self.step(ClientEvent::Up(peer)),
            PeerEvent::Down { peer, .. } => {
                if self.leader.is(&peer) {
                    self.step(ClientEvent::LeaderGone);
                }
                self.step(ClientEvent::Down(peer));
            }
            PeerEvent::Message { peer, payload, .. } => {
                self.host.cpu.handle(self.config.message).await;
                self.message(peer, &payload);
            }
            PeerEvent::Request { peer, id, payload, .. } => {
                self.host.cpu.handle(self.config.message).await;
                self.send_again(&peer, id, &payload);
            }
        }
    }

    fn message(&mut self, by: NodeName, payload: &Bytes) {
        match open::<ToClient>(payload) {
            Ok((ToClient::Lead { term }, _)) => self.follow(term, by),
            // On its way since before: the new master may find that nobody has these records. They are sent again.
            Ok((ToClient::Held(_), _)) if self.awaits_members => {}
            // An earlier master, which does not know yet that it is one.
            Ok((word, _)) if !self.leader.is_heard(&by, &word) => {}
            Ok((ToClient::Quota { in_1000_s }, _)) => self.throttle_to(in_1000_s),
            Ok((ToClient::Held(ranges), _)) => self.step(ClientEvent::Held { by, ranges }),
            Ok((ToClient::Members(members), _)) => {
                self.awaits_members = false;
                self.step(ClientEvent::Members(members));
            }
            Ok((ToClient::Refused { ranges, least }, _)) => self.step(ClientEvent::Refused { by, ranges, least }),
            Ok((ToClient::Places { version, holders }, _)) => self.step(ClientEvent::Places { version, holders }),
            Ok((ToClient::Done { interval }, _)) => {
                self.done_below = self.done_below.max(interval + 1);
                self.step(ClientEvent::Done { interval });
            }
            Ok((ToClient::Released { below }, _)) => self.step(ClientEvent::Released { below }),
            Ok((ToClient::Known(ranges), _)) if self.known.is_none() => self.resume(ranges),
            Ok((ToClient::Known(ranges), _)) => self.learns(by, ranges),
            Err(_) => {} // no client message; whoever sent it gets no answer
        }
    }

    /// A master says that it leads. One of a later term is told what an earlier one's word was good for; what waits for
    /// a word comes to it at once, so nothing more is read until as much would have been permitted.
    fn follow(&mut self, term: u64, master: NodeName) {
        let following = self.leader.follow(term, master.clone());
        if following != Following::Superseded {
            self.say_what_is_written(); // at every new connection
        }
        if following != Following::Later {
            return;
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.owe(self.host.clock.now(), self.keeping.outstanding_records());
        }
        if !self.acknowledged.is_empty() {
            self.awaits_members = true;
            let word = seal(Vec::new(), &FromClient::Acknowledged(self.acknowledged.iter().collect()));
            let length = word.len() as u64;
            if self.peers.send(&master, Lane::Control, Purpose::Control, word, length) == Err(SendError::QueueFull) {
                self.peers.redial(&master);
            }
        }
    }

    /// How many of these records may be read now. What is held since an earlier life costs the cluster nothing. What nobody
    /// acknowledges comes all at once when somebody is there again, so no more is read than an interval takes, or what comes
    /// in a usual wait, where intervals are shorter.
    fn permitted(&mut self, now: Moment, records: u64) -> u64 {
        let (is_known, outstanding) = (self.next_known(records).1, self.keeping.outstanding_records());
        // What clients keep although it is held was acknowledged because it is in an interval.
        let sealed_after = if self.keeping.keeps_held() { Duration::ZERO } else { self.config.interval };
        match &mut self.throttle {
            Some(throttle) if !is_known => {
                if outstanding == 0 {
                    throttle.settled(now, sealed_after);
                }
                let most = throttle.of(self.config.interval.max(MOST_WAIT));
                let unheard = most.saturating_sub(outstanding);
                records.min(throttle.permits(now)).min(unheard)
            }
            _ => records,
        }
    }

    fn throttle_to(&mut self, in_1000_s: u64) {
        let (now, per_second) = (self.host.clock.now(), in_1000_s as f64 / 1000.0);
        self.host.trace.record(Event::SendingLimited { in_1000_s });
        match &mut self.throttle {
            Some(throttle) => throttle.set(now, per_second),
            None => self.throttle = Some(Throttle::new(now, per_second)),
        }
    }

    fn tick(&mut self) -> Result<(), NodeError> {
        let now = self.host.clock.now();
        if matches!(self.config.pace, Pace::Max { .. }) {
            self.punctuate(now); // what is read from here on belongs to the interval that is open now
        }
        if !self.source_ended && now >= self.next_batch {
            self.next_batch = now + self.config.cut.period();
            match self.source.is_stopped() {
                true => self.end_source(),
                false => self.read_due(now)?,
            }
        }
        self.punctuate(now);
        let queue = |to: &NodeName| Some((to.clone(), self.peers.waiting(to, Lane::Data)?));
        let queues: Vec<(NodeName, Waiting)> = self.config.peers.talks_to.iter().filter_map(queue).collect();
        for (to, Waiting { since, moved }) in queues {
            self.step(ClientEvent::Queued { to, since, moved });
        }
        self.step(ClientEvent::Tick);
        Ok(())
    }

    /// Says which intervals are over and have been read whole.
    fn punctuate(&mut self, now: Moment) {
        if !self.config.cut.punctuates() || self.known.is_none() {
            return;
        }
        let ClientConfig { origin, load_end, interval, pace, .. } = self.config;
        let over = interval_of(now, origin, interval);
        while self.punctuated_below < over {
            let end = origin + interval * u32::try_from(self.punctuated_below + 1).unwrap_or(u32::MAX);
            let due = match pace {
                Pace::Rate { per_second } | Pace::AtMost { per_second, .. } => {
                    Schedule { origin, end: load_end, per_second }.count_due(Moment(end.0 - 1))
                }
                Pace::Max { .. } => self.next_sequence,
            };
            if self.next_sequence < due && !self.source_ended {
                return; // what keeps more from being read keeps the interval open
            }
            let interval = self.punctuated_below;
            self.punctuated_below += 1;
            self.step(ClientEvent::Punctuation { interval, end: due.min(self.next_sequence) });
        }
    }

    /// Reads what is due by now, in batches that do not cross the border of two intervals.
    fn read_due(&mut self, now: Moment) -> Result<(), NodeError> {
        match self.config.pace {
            Pace::Rate { per_second } => self.read_scheduled(now, per_second, None),
            Pace::AtMost { per_second, bytes_per_interval } => {
                self.read_scheduled(now, per_second, Some(bytes_per_interval))
            }
            Pace::Max { bytes_per_interval } => self.read_unpaced(now, bytes_per_interval),
        }
    }

    /// Reads what is due; where there is a bound, no more than it allows, and nothing after the end.
    fn read_scheduled(&mut self, now: Moment, per_second: f64, bound: Option<u64>) -> Result<(), NodeError> {
        let ClientConfig { origin, load_end: end, interval, .. } = self.config;
        let schedule = Schedule { origin, end, per_second };
        let due = schedule.count_due(now);
        while self.next_sequence < due && !self.keeping.is_full() && !self.source_ended {
            let room = bound.map_or(BATCH_BYTES, |bound| self.room(now, bound));
            if room == 0 {
                break; // the next period looks again
            }
            let first_due = schedule.due(self.next_sequence);
            let number = interval_of(first_due, origin, interval);
            let next_interval = origin + interval * u32::try_from(number + 1).unwrap_or(u32::MAX);
            let interval_due = schedule.count_due(Moment(next_interval.0 - 1));
            let border = self.config.cut.border(self.next_sequence).min(interval_due);
            if border > due && self.config.cut.punctuates() {
                break; // not all of it is due
            }
            let records = self.permitted(now, (border.min(due) - self.next_sequence).max(1));
            if records == 0 {
                break; // the next period looks again
            }
            let Some(read) = self.read(records, room, number, |sequence| schedule.due(sequence))? else {
                break; // ended, or nothing has come yet: the next period looks again
            };
            self.paced_bytes += read as u64;
        }
        if now >= end && (bound.is_some() || self.next_sequence >= due) {
            self.end_source();
        }
        Ok(())
    }

    fn read_unpaced(&mut self, now: Moment, bytes_per_interval: u64) -> Result<(), NodeError> {
        if now >= self.config.load_end && !self.next_known(1).1 {
            self.end_source();
            return Ok(());
        }
        let number = interval_of(now, self.config.origin, self.config.interval);
        for _ in 0..BATCHES_AT_ONCE {
            let room = self.room(now, bytes_per_interval);
            if self.source_ended || room == 0 || self.keeping.is_full() {
                return Ok(()); // the next period looks again
            }
            let records = self.config.cut.border(self.next_sequence) - self.next_sequence;
            let Some(read) = self.read(records, room, number, |_| now)? else {
                return Ok(()); // ended, or nothing has come yet: the next period looks again
            };
            self.paced_bytes += read as u64;
        }
        self.next_batch = now; // there is more
        Ok(())
    }

    /// The most bytes that the next batch may have, so that no more than the bound is sent in one interval; none while the
    /// cluster is too far behind. What is held since an earlier life is not sent: the cluster may wait to ask for it.
    fn room(&mut self, now: Moment, bytes_per_interval: u64) -> usize {
        if self.next_known(1).1 {
            return BATCH_BYTES;
        }
        let number = interval_of(now, self.config.origin, self.config.interval);
        if number != self.paced_interval {
            (self.paced_interval, self.paced_bytes) = (number, 0);
        }
        if number > self.done_below + INTERVALS_AHEAD {
            return 0;
        }
        let rest = bytes_per_interval.saturating_sub(self.paced_bytes);
        BATCH_BYTES.min(usize::try_from(rest).unwrap_or(BATCH_BYTES))
    }

    /// Reads one batch and gives it to the core, unless it is known; returns the bytes that are to be sent, and nothing
    /// where the source ended or waits.
    fn read(
        &mut self,
        records: u64,
        bytes: usize,
        interval: u64,
        due: impl Fn(u64) -> Moment,
    ) -> Result<Option<usize>, NodeError> {
        let room = usize::try_from(records).unwrap_or(usize::MAX).saturating_mul(USUAL_RECORD_BYTES);
        let mut lines = Vec::with_capacity(room.min(bytes) + HEADER_BYTES);
        let (records, is_known) = self.next_known(records);
        let read = self.source.fill(records, bytes, &mut lines).map_err(|error| NodeError(error.to_string()))?;
        if read == 0 {
            if !self.source.is_waiting() {
                if is_known && !self.source.is_stopped() {
                    return Err(NodeError(self.why_too_short()));
                }
                self.end_source();
            }
            return Ok(None);
        }
        let first = self.next_sequence;
        let range = RecordRange { client: self.config.client, first, last: first + read - 1 };
        self.next_sequence += read;
        let length = lines.len();
        let payload = seal(lines, &FromClient::Records(Batch { range, interval }));
        self.keeping.keep(first, read, payload, length);
        if is_known {
            self.keeping.held(first);
            self.step(ClientEvent::ReadAgain(range));
            return Ok(Some(0));
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.spend(read);
        }
        self.step(ClientEvent::Batch { range, first_due: due(first), last_due: due(range.last) });
        Ok(Some(length))
    }

    /// What an earlier life has read the source does not have any more.
    fn why_too_short(&self) -> String {
        format!(
            "the source ends behind {} lines, and more than those were taken from it before: it is not what it was; \
             put it back as it was, or longer, to go on",
            self.next_sequence
        )
    }

    fn end_source(&mut self) {
        if !self.source_ended {
            self.source_ended = true;
            self.step(ClientEvent::SourceEnded);
        }
    }

    fn step(&mut self, event: ClientEvent) {
        let mut actions = Vec::new();
        self.core.step(self.host.clock.now(), event, &mut actions);
        let mut not_sent = Vec::new();
        for action in actions {
            match action {
                ClientAction::Record(event) => {
                    if let Event::RecordsAcked { range } = &event {
                        self.acknowledged.insert(*range);
                        self.keeping.held(range.first);
                    }
                    self.host.trace.record(event);
                }
                ClientAction::Forget { first } => self.keeping.forget(first),
                ClientAction::Tell { to, word } => self.tell(&to, &word),
                ClientAction::Send { first, to, is_copy } => {
                    let purpose = if is_copy { Purpose::Copy } else { Purpose::Input };
                    if !self.send(first, &to, purpose) {
                        not_sent.push(ClientEvent::NotSent { first, to });
                    }
                }
            }
        }
        for event in not_sent {
            self.core.step(self.host.clock.now(), event, &mut Vec::new());
        }
    }
}
