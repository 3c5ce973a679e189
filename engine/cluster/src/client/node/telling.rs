//! What the client's shell says to others: batches, words, what is asked of it once more, and how far results are written.
//!
//! Part of the shell. Invariant: what a connection does not take is said again, by whoever asked or at the next connection.

use super::Shell;
use crate::message::{FromClient, SendAgain, SentAgain, open, seal};
use bytes::Bytes;
use dstream_host::peer::{Lane, RequestId, SendError};
use dstream_trace::{NodeName, Purpose};
use tokio::sync::watch;

/// Completes when more is written; never where nobody waits for that.
pub(super) async fn changed(written: &mut Option<watch::Receiver<u64>>) {
    let Some(written) = written else { return std::future::pending().await };
    if written.changed().await.is_err() {
        std::future::pending().await // whoever wrote has ended, and says no more
    }
}

impl Shell {
    /// Tells the master that leads below which interval results are written.
    pub(super) fn say_what_is_written(&self) {
        let Some(master) = self.leader.name() else { return };
        let Some(below) = self.config.written_below.as_ref().map(|written| *written.borrow()) else { return };
        let word = seal(Vec::new(), &FromClient::Written { below });
        let length = word.len() as u64;
        if self.peers.send(master, Lane::Control, Purpose::Control, word, length) == Err(SendError::QueueFull) {
            self.peers.redial(master);
        }
    }

    /// Says a word; one that is not taken is said again when the connection is new.
    pub(super) fn tell(&self, to: &NodeName, word: &FromClient) {
        let payload = seal(Vec::new(), word);
        let declared = payload.len() as u64;
        if self.peers.send(to, Lane::Data, Purpose::Control, payload, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }

    pub(super) fn send(&self, first: u64, to: &NodeName, purpose: Purpose) -> bool {
        let Some(payload) = self.keeping.payload(first) else { return true };
        let declared = payload.len() as u64 * self.config.scale;
        self.peers.send(to, Lane::Data, purpose, payload.clone(), declared).is_ok()
    }

    /// Answers who asks for records once more. Whoever is gone by now asks again.
    pub(super) fn send_again(&self, to: &NodeName, id: RequestId, payload: &Bytes) {
        let Ok((SendAgain(ranges), _)) = open(payload) else { return };
        let (answer, scale) = match self.keeping.lines_of(&ranges) {
            Some((lines, lengths)) => (seal(lines, &SentAgain::Lines { lengths }), self.config.scale),
            None => (seal(Vec::new(), &SentAgain::Missing), 1),
        };
        let declared = answer.len() as u64 * scale;
        if self.peers.reply(to, id, Purpose::Recovery, answer, declared) == Err(SendError::QueueFull) {
            self.peers.redial(to);
        }
    }
}
