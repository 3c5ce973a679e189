//! A source whose lines come when they come: from connections, or from a file that is none (a FIFO).
//!
//! A feeder on a thread of its own reads and puts lines into a bounded queue; this end hands them to the client, which
//! keeps them until they are acknowledged. Where the client does not take, the queue fills, the feeder stops reading and
//! the senders wait. Invariants: lines come out in the queue's order, each once; what was read before the end was asked
//! for comes out.

use super::cutter::Lines;
use crate::interrupt::Interrupt;
use crate::wall::Stopwatch;
use dstream_cluster::{JobError, LineSource};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Pieces of lines that wait for the client. Each is shorter than the longest line and what is read at once.
const QUEUE_PIECES: usize = 32;

/// What the feeder gives: lines, or why the source cannot go on.
pub type Piece = Result<Lines, JobError>;

/// The feeder's end of the queue.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Takes pieces; waits where the client is behind.
    pub pieces: mpsc::Sender<Piece>,
    /// Becomes true when nothing more should be read.
    pub end: watch::Receiver<bool>,
}

impl Feed {
    /// Completes when nothing more should be read.
    pub async fn ended(&mut self) {
        // An error means that the source is gone: that is an end too.
        let _ = self.end.wait_for(|end| *end).await;
    }

    /// Hands lines over. False if nobody takes them any more.
    pub async fn give(&self, lines: &mut Lines) -> bool {
        let lines = std::mem::take(lines);
        lines.count == 0 || self.pieces.send(Ok(lines)).await.is_ok()
    }
}

/// The client's end of the queue.
#[derive(Debug)]
pub struct LiveSource {
    pieces: mpsc::Receiver<Piece>,
    end: watch::Sender<bool>,
    stop: Interrupt,
    /// The end comes so long after the first look.
    lasts: Option<Duration>,
    first_look: Option<Stopwatch>,
    piece: Lines,
    /// Bytes of `piece` that were handed out.
    given: usize,
    waiting: bool,
    replaced: u64,
}

/// A queue. The source ends when the feeder does, and asks for that when `stop` is raised or after `lasts`.
pub fn queue(stop: Interrupt, lasts: Option<Duration>) -> (Feed, LiveSource) {
    let (sender, pieces) = mpsc::channel(QUEUE_PIECES);
    let (end, is_ended) = watch::channel(false);
    let (piece, first_look) = (Lines::default(), None);
    let source = LiveSource { pieces, end, stop, lasts, first_look, piece, given: 0, waiting: false, replaced: 0 };
    (Feed { pieces: sender, end: is_ended }, source)
}

impl LiveSource {
    fn ask_for_the_end(&mut self) {
        let begun = self.first_look.get_or_insert_with(Stopwatch::start).seconds();
        let is_over = self.lasts.is_some_and(|lasts| begun >= lasts.as_secs_f64());
        if (is_over || self.stop.is_raised()) && !*self.end.borrow() {
            self.end.send_replace(true);
        }
    }

    /// Makes sure that `piece` has something to give. False if nothing has come, or nothing will.
    fn refill(&mut self) -> Result<bool, JobError> {
        while self.given == self.piece.text.len() {
            match self.pieces.try_recv() {
                Ok(piece) => {
                    (self.piece, self.given) = (piece?, 0);
                    self.replaced += self.piece.replaced;
                }
                Err(nothing) => {
                    self.waiting = nothing == mpsc::error::TryRecvError::Empty;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Appends at most `records` lines of `piece`.
    fn give(&mut self, records: u64, lines: &mut Vec<u8>) -> u64 {
        let rest = &self.piece.text[self.given..];
        let (length, count) = if self.given == 0 && self.piece.count <= records {
            (rest.len(), self.piece.count)
        } else {
            (1 + memchr::memchr(b'\n', rest).unwrap_or(rest.len() - 1), 1)
        };
        lines.extend_from_slice(&rest[..length]);
        self.given += length;
        count
    }
}

impl LineSource for LiveSource {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        self.ask_for_the_end();
        let start = lines.len();
        let mut made = 0;
        while made < records && lines.len() - start < bytes && self.refill()? {
            made += self.give(records - made, lines);
        }
        Ok(made)
    }

    fn is_waiting(&self) -> bool {
        self.waiting
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Piece {
        Ok(Lines { text: text.as_bytes().to_vec(), count: text.matches('\n').count() as u64, replaced: 1 })
    }

    fn fill(source: &mut LiveSource, records: u64, bytes: usize) -> (String, u64, bool) {
        let mut lines = Vec::new();
        let made = source.fill(records, bytes, &mut lines).unwrap();
        (String::from_utf8(lines).unwrap(), made, made == 0 && source.is_waiting())
    }

    #[test]
    fn lines_come_out_as_asked_and_an_empty_queue_waits_until_its_feeder_ends() {
        let (feed, mut source) = queue(Interrupt::new(), None);
        assert_eq!(fill(&mut source, 9, 99), (String::new(), 0, true));
        feed.pieces.try_send(lines("a\nb\nc\n")).unwrap();
        feed.pieces.try_send(lines("d\ne\n")).unwrap();
        assert_eq!(fill(&mut source, 2, 99), ("a\nb\n".into(), 2, false));
        assert_eq!(fill(&mut source, 9, 3), ("c\nd\ne\n".into(), 3, false));
        assert_eq!(fill(&mut source, 9, 3), (String::new(), 0, true));
        feed.pieces.try_send(lines("f\n")).unwrap();
        drop(feed);
        assert_eq!(fill(&mut source, 9, 9), ("f\n".into(), 1, false));
        assert_eq!(fill(&mut source, 9, 9), (String::new(), 0, false));
        assert_eq!(source.replaced(), 3);
    }

    #[test]
    fn the_end_is_asked_for_by_signal_or_by_time_and_what_was_read_still_comes_out() {
        for (stop, lasts) in [(Interrupt::new(), Some(Duration::ZERO)), (Interrupt::new(), None)] {
            let (feed, mut source) = queue(stop.clone(), lasts);
            feed.pieces.try_send(lines("a\n")).unwrap();
            assert!(!*feed.end.borrow());
            if lasts.is_none() {
                stop.raise();
            }
            assert_eq!(fill(&mut source, 9, 9), ("a\n".into(), 1, false));
            assert!(*feed.end.borrow());
            assert_eq!(fill(&mut source, 9, 9), (String::new(), 0, true), "the feeder has not ended yet");
        }
    }

    #[test]
    fn a_source_that_cannot_go_on_says_so() {
        let (feed, mut source) = queue(Interrupt::new(), None);
        feed.pieces.try_send(Err(JobError("gone".into()))).unwrap();
        assert_eq!(source.fill(1, 1, &mut Vec::new()), Err(JobError("gone".into())));
    }
}
