//! `connect:HOST:PORT`: lines from whoever listens there.
//!
//! The source ends when the other side closes in order, as one who pipes netcat expects. A connection that breaks is
//! dialled again; what was sent in between is the sender's to know.
//!
//! ```text
//! dialling --open--> reading --closed in order--> the source ends
//!    ^  |               |
//!    |  +-- too often --|--> the source fails
//!    +---- broken ------+
//! ```

#![expect(clippy::disallowed_types, reason = "a live source is part of the real world")]

use super::feed::{Ended, Room, pause, read_lines};
use super::live::Feed;
use crate::console;
use dstream_cluster::JobError;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long one dial may take: the system's own limit is minutes.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// Waits between dials: doubled from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// See [`FIRST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Dials in a row without success: with these waits about 30 seconds, long enough for a restart at the other side.
const DIALS_MAX: u32 = 18;

/// Dials and reads, until the other side closes or the end is asked for.
pub async fn connect(address: String, mut feed: Feed) {
    let room = Room::default();
    let mut end = feed.clone();
    loop {
        let dialled = tokio::select! {
            biased;
            () = end.ended() => return,
            dialled = dial(&address) => dialled,
        };
        let failure = match dialled {
            Err(error) => format!("`--source connect:{address}`: nobody answers ({error}), {DIALS_MAX} dials in a row"),
            Ok(stream) => match read_lines(stream, &mut feed, &room).await {
                Ended::InOrder | Ended::Unwanted => return,
                Ended::Broken(error) => {
                    console::log(&format!("{address}: the connection broke: {error}; dialling again"));
                    continue;
                }
                Ended::TooLong(long) => format!("{address}, line {}: the line is longer than 1 MiB", long.line),
                Ended::NoRoom => format!("{address}: no room for an unfinished line"),
            },
        };
        // Where nobody takes it, the job has ended for another reason.
        let _ = feed.pieces.send(Err(JobError(failure))).await;
        return;
    }
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let mut wait = FIRST_WAIT;
    let mut number = 1;
    loop {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let dialled = tokio::select! {
            biased;
            dialled = TcpStream::connect(address) => dialled,
            () = pause(DIAL_LIMIT) => Err(late()),
        };
        match dialled {
            Ok(stream) => return Ok(stream),
            Err(error) if number >= DIALS_MAX => return Err(error),
            Err(error) if number == 1 => console::log(&format!("{address}: {error}; trying again for a while")),
            Err(_) => {}
        }
        number += 1;
        pause(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
