//! The feeder of a live source: a thread with a runtime of its own that reads streams and puts their lines into the
//! queue.
//!
//! Knows no engine. Invariants: it holds at most [`PARTIAL_BYTES_MAX`] of unfinished lines over all streams; one
//! stream's trouble ends that stream only; when the end is asked for, it stops reading, and what it has read goes into
//! the queue, a line without its end too.

use super::cutter::{Cutter, Lines, TooLong};
use super::live::Feed;
use crate::failure::Failure;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read from a stream at once: every open stream has room for so many.
const READ_BYTES: usize = 32 << 10;

/// Unfinished lines of all streams together: many streams with an ordinary line each, and some with a longest one.
const PARTIAL_BYTES_MAX: usize = 64 << 20;

/// Runs a feeder until it has nothing more to read; it drops its [`Feed`] then, which ends the source.
pub fn start<F: Future<Output = ()>>(feeder: impl FnOnce() -> F + Send + 'static) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::broken(format!("the system has no thread for the source: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let thread = std::thread::Builder::new().name("source".into());
    // Nobody waits for the thread: a read that never returns must not hold up the process.
    thread.spawn(move || runtime.block_on(async { feeder().await })).map(drop).map_err(broken)
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "a live source is part of the real world")]
pub async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}

/// How reading a stream ended.
#[derive(Debug)]
pub enum Ended {
    /// At its end.
    InOrder,
    /// It broke.
    Broken(io::Error),
    /// A line was too long.
    TooLong(TooLong),
    /// Its unfinished line found no room beside those of the others.
    NoRoom,
    /// Nothing more is wanted.
    Unwanted,
}

/// The room for unfinished lines, shared by the streams of a feeder.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicUsize>);

/// What one stream takes of the room; given back at its end.
struct Share<'a> {
    room: &'a Room,
    taken: usize,
}

impl Share<'_> {
    /// Takes as much as the stream keeps now. False if there is no room for it.
    fn resize(&mut self, bytes: usize) -> bool {
        let before = self.room.0.fetch_sub(self.taken, Ordering::Relaxed) - self.taken;
        self.taken = bytes;
        self.room.0.fetch_add(bytes, Ordering::Relaxed);
        bytes <= READ_BYTES || before + bytes <= PARTIAL_BYTES_MAX
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.resize(0);
    }
}

/// Puts a stream's lines into the queue until the stream ends, or is ended.
pub async fn read_lines(mut from: impl AsyncRead + Unpin, feed: &mut Feed, room: &Room) -> Ended {
    let (mut cutter, mut lines) = (Cutter::default(), Lines::default());
    let mut share = Share { room, taken: 0 };
    let mut buffer = vec![0; READ_BYTES];
    let ended = loop {
        let read = tokio::select! {
            biased;
            () = feed.ended() => break Ended::Unwanted,
            read = from.read(&mut buffer) => read,
        };
        let cut = match read {
            Ok(0) => break Ended::InOrder,
            Ok(count) => cutter.push(&buffer[..count], &mut lines),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Ended::Broken(error),
        };
        // What came before a line that is too long is as good as any other.
        if !feed.give(&mut lines).await {
            return Ended::Unwanted;
        }
        match cut {
            Err(long) => return Ended::TooLong(long),
            Ok(()) if !share.resize(cutter.kept_bytes()) => return Ended::NoRoom,
            Ok(()) => {}
        }
    };
    if let Err(long) = cutter.finish(&mut lines) {
        return Ended::TooLong(long);
    }
    feed.give(&mut lines).await;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use crate::job::source::live::queue;

    #[test]
    fn unfinished_lines_share_their_room_and_give_it_back() {
        let room = Room::default();
        let mut first = Share { room: &room, taken: 0 };
        assert!(first.resize(PARTIAL_BYTES_MAX));
        let mut second = Share { room: &room, taken: 0 };
        assert!(second.resize(READ_BYTES), "what a stream reads at once always has room");
        assert!(!second.resize(READ_BYTES + 1));
        drop(first);
        assert!(second.resize(READ_BYTES + 1));
        drop(second);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_stream_that_is_not_wanted_any_more_leaves_what_it_had() {
        let (mut feed, _source) = queue(Interrupt::new(), None);
        let (end, is_ended) = tokio::sync::watch::channel(false);
        feed.end = is_ended;
        let (mut writer, reader) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"a\nb").await.unwrap();
        let room = Room::default();
        let stop = async {
            tokio::task::yield_now().await;
            end.send_replace(true);
        };
        let (ended, ()) = tokio::join!(read_lines(reader, &mut feed, &room), stop);
        assert!(matches!(ended, Ended::Unwanted));
    }
}
