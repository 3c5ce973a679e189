//! Files that are none: FIFOs, terminals, `/dev/stdin`. They are read as they come, by a thread that may wait for ever.
//!
//! Invariant: nobody waits for that thread, so opening a FIFO that nobody writes to holds up nothing.

use super::feed::{Ended, Room, read_lines};
use super::live::Feed;
use dstream_cluster::JobError;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Reads the files one after the other.
pub async fn read_files(paths: Vec<PathBuf>, mut feed: Feed) {
    let room = Room::default();
    for path in paths {
        let failure = match read_file(&path, &mut feed, &room).await {
            Ok(Ended::InOrder) => continue,
            Ok(Ended::Unwanted) => return,
            Ok(Ended::TooLong(long)) => format!("{}:{}: the line is longer than 1 MiB", path.display(), long.line),
            Ok(Ended::NoRoom) => format!("{}: no room for an unfinished line", path.display()),
            Ok(Ended::Broken(error)) | Err(error) => format!("cannot read {}: {error}", path.display()),
        };
        // Where nobody takes it, the job has ended for another reason.
        let _ = feed.pieces.send(Err(JobError(failure))).await;
        return;
    }
}

/// A thread copies the file into a pair of sockets, whose other end can be read without waiting in the system.
async fn read_file(path: &Path, feed: &mut Feed, room: &Room) -> io::Result<Ended> {
    let (into, from) = Socket::pair()?;
    from.set_nonblocking(true)?;
    let (done, is_done) = oneshot::channel();
    let path = path.to_path_buf();
    let copy = move || {
        let copied = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut &into));
        // Said before the socket closes; whoever does not listen any more does not want to know.
        let _ = done.send(copied);
    };
    std::thread::Builder::new().name("source-file".into()).spawn(copy)?;
    let ended = read_lines(UnixStream::from_std(from)?, feed, room).await;
    match ended {
        Ended::InOrder => match is_done.await {
            Ok(Err(error)) => Err(error),
            _ => Ok(Ended::InOrder),
        },
        other => Ok(other),
    }
}
