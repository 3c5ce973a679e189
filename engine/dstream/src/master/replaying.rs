//! What is said only when it is written, where clients keep what they sent: that records are held, and that they may go.
//!
//! Part of the master's core. Invariants: no record is acknowledged before the journal says in which block of which interval
//! it is; a client is told to let go only what is in intervals of which nothing is computed again.
//!
//! ```text
//! announced --seal is written--> heard: acknowledged --interval over, and a snapshot says so--> released
//!     '-- all its records came in other blocks --those are written--> forgotten: acknowledged
//! ```

use crate::master::core::{Master, MasterAction};
use crate::master::journal::SealedInterval;
use crate::master::ledger::{LedgerAction, LedgerEvent};
use crate::message::{BlockReport, ToWorker};
use dstream_cluster::layout::Role;
use dstream_cluster::message::ToClient;
use dstream_trace::{BlockName, Moment, NodeName};
use std::collections::{BTreeMap, VecDeque};

/// What waits for the journal, and what was said.
#[derive(Debug, Default)]
pub(super) struct Replaying {
    /// Whether clients keep what they sent.
    is_on: bool,
    /// Entries that were given to the journal, and those that are written.
    begun: u64,
    written: u64,
    /// Said when so many entries are written.
    waiting: VecDeque<(u64, LedgerAction)>,
    /// Seals of intervals below this one are written.
    pub(super) sealed_below: u64,
    /// client -> what it was last told to be released
    released: BTreeMap<u32, u64>,
}

impl Replaying {
    pub(super) fn new(is_on: bool) -> Replaying {
        Replaying { is_on, ..Replaying::default() }
    }

    pub(super) fn begins(&mut self) {
        self.begun += 1;
    }
}

impl Master {
    /// Says what workers may forget, or what a client has; where either means that records are acknowledged, when all that
    /// was decided before is written.
    pub(super) fn say_when_written(&mut self, action: LedgerAction, actions: &mut Vec<MasterAction>) {
        let Replaying { is_on, begun, written, waiting, .. } = &mut self.replaying;
        match *is_on && begun != written {
            true => waiting.push_back((*begun, action)),
            false => self.say(action, actions),
        }
    }

    fn say(&self, action: LedgerAction, actions: &mut Vec<MasterAction>) {
        match action {
            LedgerAction::Forget { by, blocks } => {
                let word = self.forget(None, blocks);
                let all = self.members.keys().copied().filter(|worker| by.is_none_or(|by| by == *worker));
                actions.extend(all.map(|worker| MasterAction::Tell { worker, word: word.clone() }));
            }
            LedgerAction::Answer { client, ranges } => {
                actions.push(MasterAction::TellClient(Role::Client(client).name(), ToClient::Known(ranges)));
            }
            other => unreachable!("{other:?} waits for nothing"),
        }
    }

    /// So many more entries are written.
    pub(super) fn say_what_waited(&mut self, entries: usize, actions: &mut Vec<MasterAction>) {
        self.replaying.written += entries as u64;
        let written = self.replaying.written;
        while let Some((_, action)) = self.replaying.waiting.pop_front_if(|(entries, _)| *entries <= written) {
            self.say(action, actions);
        }
    }

    /// Which of these blocks their receiver may acknowledge.
    pub(super) fn heard(&self, blocks: &[BlockReport]) -> Vec<BlockName> {
        let is_written = |name: &BlockName| {
            let sealed = self.book.interval_of(name);
            !self.replaying.is_on || sealed.is_some_and(|interval| interval < self.replaying.sealed_below)
        };
        blocks.iter().map(|block| block.name).filter(is_written).collect()
    }

    /// The seal is written: receivers hear of their blocks in it.
    pub(super) fn seal_is_written(&mut self, sealed: &SealedInterval, actions: &mut Vec<MasterAction>) {
        self.replaying.sealed_below = self.replaying.sealed_below.max(sealed.interval + 1);
        if !self.replaying.is_on {
            return;
        }
        let mut by_receiver: BTreeMap<u32, Vec<BlockName>> = BTreeMap::new();
        for block in &sealed.blocks {
            by_receiver.entry(block.order.name.origin).or_default().push(block.order.name);
        }
        for (worker, blocks) in by_receiver {
            // Whoever is lost acknowledges nothing: clients send to others what these have acknowledged.
            if let Some(epoch) = self.members.get(&worker).copied() {
                actions.push(MasterAction::Tell { worker, word: ToWorker::Heard { epoch, blocks } });
            }
        }
    }

    /// Tells clients what they may let go, if that is more than they were told.
    pub(super) fn release(&mut self, actions: &mut Vec<MasterAction>) {
        if !self.replaying.is_on {
            return;
        }
        for (client, below) in self.book.released_below() {
            if self.replaying.released.insert(client, below) != Some(below) {
                actions.push(MasterAction::TellClient(Role::Client(client).name(), ToClient::Released { below }));
            }
        }
    }

    /// A client's connection is open, or broke.
    pub(super) fn client_seen(
        &mut self,
        now: Moment,
        name: &NodeName,
        is_there: bool,
        actions: &mut Vec<MasterAction>,
    ) {
        let Some(Role::Client(client)) = Role::of(name) else { return };
        self.account(now, LedgerEvent::Client { client, is_there }, actions);
        if let Some(below) = self.book.released_below().remove(&client).filter(|_| is_there && self.replaying.is_on) {
            actions.push(MasterAction::TellClient(name.clone(), ToClient::Released { below }));
        }
    }
}
