//! `tcp:HOST:PORT`: lines from any number of connections.
//!
//! A connection that closes, breaks or sends a line that is too long ends by itself; the source goes on until it is
//! told to end. Invariant: at most [`CONNECTIONS_MAX`] connections are open.

#![expect(clippy::disallowed_types, reason = "a live source is part of the real world")]

use super::feed::{Ended, Room, pause, read_lines};
use super::live::Feed;
use crate::console;
use crate::failure::Failure;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections at a time: each has a buffer and a file descriptor, of which a process usually has 1024.
const CONNECTIONS_MAX: usize = 512;

/// How long nothing is accepted after the system had no place for a connection.
const REST: Duration = Duration::from_millis(200);

/// Takes the address, before anything else starts. Says where it listens: a port 0 is the system's choice.
pub fn bind(address: &str) -> Result<std::net::TcpListener, Failure> {
    let failed = |error| Failure::usage(format!("`--source tcp:{address}`: cannot listen there: {error}"));
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    console::log(&format!("listening on {bound} for lines; Ctrl-C ends the input"));
    Ok(listener)
}

/// Accepts connections and reads their lines, until the end is asked for.
pub async fn listen(listener: std::net::TcpListener, feed: Feed) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let room = Room::default();
    let mut streams = JoinSet::new();
    let mut refused = 0u64;
    let mut end = feed.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = end.ended() => break,
            Some(_) = streams.join_next() => {
                say_refused(&mut refused);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) if streams.len() < CONNECTIONS_MAX => {
                streams.spawn(read_stream(stream, from, feed.clone(), room.clone()));
            }
            Ok((_, from)) => {
                if refused == 0 {
                    console::log(&format!("{CONNECTIONS_MAX} connections are open: closed the one from {from}"));
                }
                refused += 1;
            }
            Err(error) => {
                console::log(&format!("a connection could not be accepted: {error}"));
                tokio::select! {
                    biased;
                    () = end.ended() => break,
                    () = pause(REST) => {}
                }
            }
        }
    }
    drop(listener);
    while streams.join_next().await.is_some() {}
}

fn say_refused(refused: &mut u64) {
    if *refused > 1 {
        console::log(&format!("{refused} connections were closed because {CONNECTIONS_MAX} were open"));
    }
    *refused = 0;
}

async fn read_stream(stream: TcpStream, from: SocketAddr, mut feed: Feed, room: Room) {
    match read_lines(stream, &mut feed, &room).await {
        Ended::InOrder | Ended::Unwanted => {}
        Ended::Broken(error) => console::log(&format!("{from}: the connection broke: {error}; its lines so far count")),
        Ended::TooLong(long) => {
            let line = long.line;
            console::log(&format!(
                "{from}, line {line}: longer than 1 MiB; closed the connection, lines before it count"
            ));
        }
        Ended::NoRoom => {
            console::log(&format!("{from}: too many unfinished lines at once; closed the connection"));
        }
    }
}
