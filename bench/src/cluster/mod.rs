//! A cluster started by hand: `dstream master`, `dstream worker`, and a job that finds them.
//!
//! Processes meet at the master's door in any order. The job brings what is to be computed; the master decides which
//! process is which node, each listens for its nodes at a fresh port, and all begin together. When the job is over the
//! processes are idle again. A process that is gone leaves its place to the next one that comes.

mod ask;
mod door;
mod keep;
mod lobby;
mod master;
mod nodes;
mod options;
mod store;
mod tap;
mod word;
mod worker;

pub use ask::{Asked, Board, Remote};
pub use master::master;
pub use options::options_here;
pub use word::JobOrder;
pub use worker::worker;

use crate::console;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use std::time::Duration;
use tokio::sync::watch;

/// How long nothing is tried after the network had no place for a connection.
const REST: Duration = Duration::from_millis(200);

/// Equal for equal binaries: what has to be the same on all sides is the whole program, users' functions included.
pub fn build() -> Result<u64, Failure> {
    let unreadable = |error| Failure::broken(format!("this program cannot read its own file: {error}"));
    let bytes = std::env::current_exe().and_then(std::fs::read).map_err(unreadable)?;
    Ok(xxhash_rust::xxh3::xxh3_64(&bytes))
}

/// True after the first SIGINT or SIGTERM, which also says `what`; the second ends the process.
fn signalled(what: &'static str) -> watch::Receiver<bool> {
    let (raise, raised) = watch::channel(false);
    Interrupt::new().raise_by_signal(move || {
        console::log(&format!("{what} (a second signal ends it at once)"));
        raise.send_replace(true);
    });
    raised
}
