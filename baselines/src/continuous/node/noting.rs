//! What the master has to know of the input that is held here.
//!
//! Where all who held a record are lost, and the client with them, nobody else could name it as lost, or close its
//! interval as before. So nothing is acknowledged before the master has noted it. Invariant: one question at a time; what
//! was not noted is asked again, in a new connection too.

use crate::continuous::message::{Holding, ToMaster};
use crate::continuous::node::core::{Held, Node, PROGRESS_PERIOD};
use crate::continuous::node::event::NodeAction;
use crate::continuous::source::Punctuations;
use dstream_trace::{Moment, RecordRange};
use std::collections::BTreeMap;

/// What is to be noted.
#[derive(Debug, Default)]
pub(super) struct Noting {
    /// (source, client) -> what is here of it ends before this record
    ends: BTreeMap<(u32, u32), u64>,
    punctuations: Punctuations,
    /// What the master was told and has not answered.
    asked: Vec<Holding>,
    next_at: Moment,
}

impl Noting {
    /// A batch is here.
    pub fn holds(&mut self, source: u32, client: u32, end: u64) {
        let known = self.ends.entry((source, client)).or_default();
        *known = end.max(*known);
    }

    /// A client has said where an interval ends.
    pub fn punctuated(&mut self, client: u32, interval: u64, end: u64) {
        self.punctuations.entry(client).or_default().insert(interval, end);
    }

    /// What was here of the client is not here any more.
    pub fn forget(&mut self, source: u32, client: u32) {
        self.ends.remove(&(source, client));
    }

    /// Nothing is here of the source any more.
    pub fn forget_all(&mut self, source: u32) {
        self.ends.retain(|(of, _), _| *of != source);
        self.asked.retain(|asked| asked.source != source);
    }

    fn ask_again(&mut self) {
        for Holding { source, client, end, .. } in std::mem::take(&mut self.asked) {
            self.holds(source, client, end);
        }
    }
}

impl Node {
    /// The master may not have heard what was said last.
    pub(super) fn note_again(&mut self) {
        self.noting.ask_again();
        self.noting.punctuations.clone_from(&self.punctuations);
    }

    /// The master has noted these.
    pub(super) fn noted(&mut self, of: &[Holding]) {
        for holding in of {
            let held = self.held.get_mut(&holding.source).filter(|held| held.since == holding.since);
            if let Some(held) = held {
                let noted = held.noted.entry(holding.client).or_default();
                *noted = holding.end.max(*noted);
                self.noting.asked.retain(|asked| asked != holding);
            }
        }
        // The rest was said as the holder that one of both did not know any more, or not yet.
        self.noting.ask_again();
    }

    /// What may be said to the master: of sources whose holder this node knows to be.
    fn is_to_note(&self, source: u32) -> bool {
        self.held.get(&source).is_some_and(|held| held.since > 0)
    }

    /// Tells the master what it has to know.
    pub(super) fn say_holdings(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        let Some(epoch) = self.epoch.filter(|_| self.noting_at() <= now) else { return };
        let held = &self.held;
        let since = |source: u32| held.get(&source).map(|held| held.since);
        let mut of = Vec::new();
        self.noting.ends.retain(|(source, client), end| {
            let (source, client, end) = (*source, *client, *end);
            let Some(since) = since(source) else { return false };
            if since > 0 {
                of.push(Holding { source, since, client, end });
            }
            since == 0
        });
        self.noting.next_at = now + PROGRESS_PERIOD;
        self.noting.asked.clone_from(&of);
        let punctuations = std::mem::take(&mut self.noting.punctuations);
        actions.push(NodeAction::TellMaster(ToMaster::Holds { epoch, of, punctuations }));
    }

    /// When the master is to be told something.
    pub(super) fn noting_at(&self) -> Moment {
        let Noting { ends, punctuations, asked, next_at } = &self.noting;
        let has_more = !punctuations.is_empty() || ends.keys().any(|(source, _)| self.is_to_note(*source));
        if self.epoch.is_some() && asked.is_empty() && has_more { *next_at } else { Moment::NEVER }
    }
}

impl Held {
    /// Whether the master knows that these records were here.
    pub fn is_noted(&self, range: &RecordRange) -> bool {
        self.noted.get(&range.client).is_some_and(|noted| *noted > range.last)
    }
}
