//! One connection at the master's door, from either side: words in, words out, each within its time.
//!
//! Knows no word's meaning. Invariants: a side that is silent is given up after [`SILENCE_MAX`]; what waits to be
//! written is bounded by [`WORDS_MAX`].

use super::word::{Ear, Heard, ping_frame};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

/// How often a side that has nothing to say shows that it lives.
const PING_EVERY: Duration = Duration::from_secs(1);

/// A side that says nothing for so long is gone: ten pings.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long the first word may take.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Words that wait to be written: a job of short intervals hears about a hundred a second.
pub const WORDS_MAX: usize = 4096;

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Waits.
#[expect(clippy::disallowed_methods, reason = "processes of a real cluster live in real time")]
pub async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}

/// The next word; or why there is none, in words for people.
pub async fn hear<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    ear: &mut Ear,
    limit: Duration,
) -> Result<Heard<T>, String> {
    loop {
        if let Some(heard) = ear.hear().map_err(|word| format!("what it says makes no sense ({word})"))? {
            return Ok(heard);
        }
        ear.buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            biased;
            read = from.read_buf(&mut ear.buffer) => read,
            () = pause(limit) => return Err(format!("it said nothing for {limit:?}")),
        };
        match read {
            Ok(0) => return Err("it closed the connection".to_string()),
            Ok(_) => {}
            Err(error) => return Err(format!("the connection broke: {error}")),
        }
    }
}

/// Writes what comes out of the queue, and pings between; ends when the queue does, or the connection.
pub async fn say(mut to: OwnedWriteHalf, mut words: mpsc::Receiver<Bytes>) {
    loop {
        let word = tokio::select! {
            biased;
            word = words.recv() => match word {
                Some(word) => word,
                None => break,
            },
            () = pause(PING_EVERY) => ping_frame(),
        };
        // A side that takes nothing for so long is gone, even if its socket is not.
        let written = tokio::select! {
            biased;
            written = to.write_all(&word) => written.is_ok(),
            () = pause(SILENCE_MAX) => false,
        };
        if !written {
            return;
        }
    }
    // The other side is gone already where this fails.
    to.shutdown().await.ok();
}
