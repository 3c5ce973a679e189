//! A session: one time that a pair is up. What waits to be written, and what was seen on the two connections.
//!
//! Shared by the senders, the writers, the readers and the pair's task. Invariants: the bytes that wait are at most
//! the limit, or one frame; after [`Session::close`] nothing is taken any more.

use super::pulse::Signs;
use super::{Lane, SendError, Waiting};
use crate::frame::{Frame, Kind};
use bytes::Bytes;
use dstream_trace::{Moment, NodeName};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What waits to be written on one connection. Requests and replies take turns with messages: who waits for an answer does
/// not wait for all that was to be sent before, and what is sent does not wait for all that was asked.
#[derive(Debug, Default)]
struct Queue {
    /// With the time since when each waits.
    messages: VecDeque<(Moment, Frame)>,
    asked: VecDeque<Frame>,
    /// The last one that was taken was a message.
    is_turn_of_asked: bool,
    /// When a message was taken last.
    moved: Moment,
}

impl Queue {
    fn push(&mut self, now: Moment, frame: Frame) {
        match frame.kind {
            Kind::Request | Kind::Reply => self.asked.push_back(frame),
            _ => self.messages.push_back((now, frame)),
        }
    }

    fn is_asked_next(&self) -> bool {
        self.messages.is_empty() || (self.is_turn_of_asked && !self.asked.is_empty())
    }

    fn next(&self) -> Option<&Frame> {
        if self.is_asked_next() { self.asked.front() } else { self.messages.front().map(|(_, frame)| frame) }
    }

    fn take(&mut self, now: Moment) -> Option<Frame> {
        let is_asked = self.is_asked_next();
        self.is_turn_of_asked = !is_asked;
        if is_asked {
            return self.asked.pop_front();
        }
        self.moved = now;
        self.messages.pop_front().map(|(_, frame)| frame)
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Queues {
    lanes: [Queue; 2],
    /// A sign of life to show before anything else; a second one replaces the first.
    signs: [Option<Kind>; 2],
    /// Bytes in `lanes` and in the writers' hands.
    bytes: usize,
    closed: bool,
}

/// What was seen on one connection; written by its reader and writer, read by the pair's task.
#[derive(Debug)]
struct Seen {
    heard_ns: AtomicU64,
    sent_ns: AtomicU64,
    listening: AtomicBool,
}

/// One time that a pair is up.
#[derive(Debug)]
pub struct Session {
    /// The other side.
    pub peer: NodeName,
    /// Which life of it.
    pub incarnation: u64,
    max_queued: usize,
    queues: Mutex<Queues>,
    wake: [Notify; 2],
    ended: Notify,
    seen: [Seen; 2],
}

impl Session {
    /// A session that begins at `now`.
    pub fn new(now: Moment, peer: NodeName, incarnation: u64, max_queued: usize) -> Session {
        let seen = || Seen {
            heard_ns: AtomicU64::new(now.0),
            sent_ns: AtomicU64::new(now.0),
            listening: AtomicBool::new(true),
        };
        Session {
            peer,
            incarnation,
            max_queued,
            queues: Mutex::default(),
            wake: [Notify::new(), Notify::new()],
            ended: Notify::new(),
            seen: [seen(), seen()],
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Every change under this lock is complete before anything that could panic.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame to be written.
    pub fn push(&self, now: Moment, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let mut queues = self.queues();
        if queues.closed {
            return Err(SendError::NotConnected);
        }
        let bytes = frame.wire_bytes();
        // A frame longer than the limit may still go when nothing else waits.
        if queues.bytes > 0 && queues.bytes.saturating_add(bytes) > self.max_queued {
            return Err(SendError::QueueFull);
        }
        queues.bytes += bytes;
        queues.lanes[lane as usize].push(now, frame);
        drop(queues);
        self.wake[lane as usize].notify_one();
        Ok(())
    }

    /// What waits on `lane`, if any message does.
    pub fn waiting(&self, lane: Lane) -> Option<Waiting> {
        let queues = self.queues();
        let Queue { messages, moved, .. } = &queues.lanes[lane as usize];
        messages.front().map(|(since, _)| Waiting { since: *since, moved: *moved })
    }

    /// Lets the writer show a sign of life before the frames that wait.
    pub fn show(&self, lane: Lane, kind: Kind) {
        let mut queues = self.queues();
        let sign = &mut queues.signs[lane as usize];
        // A question also shows life; an answer must not take its place.
        if *sign != Some(Kind::Ping) {
            *sign = Some(kind);
        }
        drop(queues);
        self.wake[lane as usize].notify_one();
    }

    /// The next frames to write on `lane`: at least one, and more while they are together at most `budget` bytes by
    /// what the network model is charged. Waits for one; `false` when the session is closed.
    pub async fn take(&self, now: impl Fn() -> Moment, lane: Lane, budget: u64, batch: &mut Vec<Frame>) -> bool {
        loop {
            {
                let mut queues = self.queues();
                if queues.closed {
                    return false;
                }
                take_now(&mut queues, (now(), lane), budget, batch);
            }
            if !batch.is_empty() {
                return true;
            }
            self.wake[lane as usize].notified().await;
        }
    }

    /// Says that frames of so many bytes, taken before, are written.
    pub fn written(&self, lane: Lane, now: Moment, bytes: usize) {
        self.seen[lane as usize].sent_ns.store(now.0, Ordering::Relaxed);
        self.queues().bytes -= bytes;
    }

    /// Says that bytes went out on `lane`.
    pub fn sent(&self, lane: Lane, now: Moment) {
        self.seen[lane as usize].sent_ns.store(now.0, Ordering::Relaxed);
    }

    /// Says that bytes came in on `lane`.
    pub fn heard(&self, lane: Lane, now: Moment) {
        self.seen[lane as usize].heard_ns.store(now.0, Ordering::Relaxed);
    }

    /// Says whether the reader of `lane` waits for bytes.
    pub fn listening(&self, lane: Lane, listening: bool) {
        self.seen[lane as usize].listening.store(listening, Ordering::Relaxed);
    }

    /// What was seen on both connections.
    pub fn signs(&self) -> [Signs; 2] {
        [0, 1].map(|lane| Signs {
            heard: Moment(self.seen[lane].heard_ns.load(Ordering::Relaxed)),
            sent: Moment(self.seen[lane].sent_ns.load(Ordering::Relaxed)),
            listening: self.seen[lane].listening.load(Ordering::Relaxed),
        })
    }

    /// Ends the session: the writers stop, nothing is taken any more, what waits is dropped. A writer may be stuck in
    /// a stream that takes nothing: [`Session::closed`] tells whoever can end it.
    pub fn close(&self) {
        let mut queues = self.queues();
        queues.closed = true;
        queues.lanes = Default::default();
        drop(queues);
        self.wake[0].notify_one();
        self.wake[1].notify_one();
        self.ended.notify_one();
    }

    /// Completes when the session was closed; for one caller.
    pub async fn closed(&self) {
        self.ended.notified().await;
    }
}

fn take_now(queues: &mut Queues, (now, lane): (Moment, Lane), budget: u64, batch: &mut Vec<Frame>) {
    if let Some(kind) = queues.signs[lane as usize].take() {
        let sign = Frame::control(kind, Bytes::new());
        queues.bytes += sign.wire_bytes();
        batch.push(sign);
    }
    let mut charged: u64 = 0;
    while let Some(frame) = queues.lanes[lane as usize].next() {
        charged = charged.saturating_add(frame.charged_bytes());
        if !batch.is_empty() && charged > budget {
            break;
        }
        batch.extend(queues.lanes[lane as usize].take(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Moment::ZERO, NodeName::new("b"), 1, 200)
    }

    fn frame(length: usize) -> Frame {
        Frame::control(Kind::Message, Bytes::from(vec![0; length]))
    }

    async fn taken(session: &Session, lane: Lane, budget: u64) -> Vec<(Kind, usize)> {
        let mut batch = Vec::new();
        assert!(session.take(|| Moment(9), lane, budget, &mut batch).await);
        batch.iter().map(|frame| (frame.kind, frame.payload.len())).collect()
    }

    #[test]
    fn bytes_that_wait_are_bounded_over_both_lanes_until_they_are_written() {
        let session = session();
        assert_eq!(session.push(Moment::ZERO, Lane::Data, frame(100)), Ok(()));
        assert_eq!(session.push(Moment::ZERO, Lane::Control, frame(100)), Err(SendError::QueueFull));
        assert_eq!(session.push(Moment::ZERO, Lane::Control, frame(20)), Ok(()));
        session.written(Lane::Data, Moment::ZERO, frame(100).wire_bytes());
        assert_eq!(session.push(Moment::ZERO, Lane::Control, frame(100)), Ok(()));
    }

    #[test]
    fn a_frame_above_the_bound_goes_alone() {
        let session = session();
        assert_eq!(session.push(Moment::ZERO, Lane::Data, frame(1000)), Ok(()));
        assert_eq!(session.push(Moment::ZERO, Lane::Data, frame(0)), Err(SendError::QueueFull));
    }

    #[tokio::test]
    async fn a_batch_keeps_the_order_and_the_budget_and_signs_go_first() {
        let session = session();
        for length in [10, 20, 30] {
            session.push(Moment::ZERO, Lane::Data, frame(length)).unwrap();
        }
        session.show(Lane::Data, Kind::Ping);
        session.show(Lane::Data, Kind::Pong);
        assert_eq!(taken(&session, Lane::Data, 90).await, [(Kind::Ping, 0), (Kind::Message, 10), (Kind::Message, 20)]);
        assert_eq!(taken(&session, Lane::Data, 1).await, [(Kind::Message, 30)]);
    }

    #[tokio::test]
    async fn a_message_waits_until_a_writer_takes_it() {
        let session = session();
        for at in [1, 2, 3] {
            session.push(Moment(at), Lane::Data, frame(1)).unwrap();
        }
        assert_eq!(session.waiting(Lane::Data), Some(Waiting { since: Moment(1), moved: Moment::ZERO }));
        taken(&session, Lane::Data, 1).await;
        assert_eq!(session.waiting(Lane::Data), Some(Waiting { since: Moment(2), moved: Moment(9) }));
        taken(&session, Lane::Data, u64::MAX).await;
        assert_eq!(session.waiting(Lane::Data), None);
        assert_eq!(session.waiting(Lane::Control), None);
    }

    #[tokio::test]
    async fn requests_and_replies_take_turns_with_messages() {
        let session = Session::new(Moment::ZERO, NodeName::new("b"), 1, usize::MAX);
        let queued = [
            (Kind::Message, 1),
            (Kind::Message, 2),
            (Kind::Message, 3),
            (Kind::Reply, 4),
            (Kind::Request, 5),
            (Kind::Reply, 6),
            (Kind::Reply, 7),
        ];
        for (kind, length) in queued {
            session.push(Moment::ZERO, Lane::Data, Frame::control(kind, Bytes::from(vec![0; length]))).unwrap();
        }
        let lengths: Vec<usize> =
            taken(&session, Lane::Data, u64::MAX).await.iter().map(|(_, length)| *length).collect();
        assert_eq!(lengths, [1, 4, 2, 5, 3, 6, 7]);
    }

    #[tokio::test]
    async fn a_closed_session_takes_and_gives_nothing() {
        let session = session();
        session.push(Moment::ZERO, Lane::Data, frame(1)).unwrap();
        session.close();
        assert_eq!(session.push(Moment::ZERO, Lane::Data, frame(1)), Err(SendError::NotConnected));
        assert!(!session.take(|| Moment(9), Lane::Data, 100, &mut Vec::new()).await);
    }
}
