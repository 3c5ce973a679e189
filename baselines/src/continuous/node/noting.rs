//! What the master has to know of the input that is held here.
//!
//! Where all who held a record are lost, and the client with them, nobody else could name it as lost, or close its
//! interval as before. So nothing is acknowledged before the master has noted it. Invariant: one question at a time; what
//! was not noted is asked again, in a new connection too. What is said to be here is here without a gap.

use crate::continuous::message::{Holding, ToMaster};
use crate::continuous::node::core::{Held, Node, PROGRESS_PERIOD};
use crate::continuous::node::event::NodeAction;
use crate::continuous::source::Punctuations;
use dstream_trace::{Moment, RecordRange};
use std::collections::BTreeSet;

/// What is to be noted.
#[derive(Debug, Default)]
pub(super) struct Noting {
    /// (source, client) of which more is here: sources whose holder this node knows to be.
    more: BTreeSet<(u32, u32)>,
    punctuations: Punctuations,
    /// What the master was told and has not answered.
    asked: Vec<Holding>,
    next_at: Moment,
}

impl Noting {
    /// More may be here: a batch came, or it is known that one will not.
    pub fn holds(&mut self, source: u32, client: u32) {
        self.more.insert((source, client));
    }

    /// A client has said where an interval ends.
    pub fn punctuated(&mut self, client: u32, interval: u64, end: u64) {
        self.punctuations.entry(client).or_default().insert(interval, end);
    }

    fn ask_again(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.more.extend(asked.into_iter().map(|holding| (holding.source, holding.client)));
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

    /// Tells the master what it has to know.
    pub(super) fn say_holdings(&mut self, now: Moment, actions: &mut Vec<NodeAction>) {
        let Some(epoch) = self.epoch.filter(|_| self.noting_at() <= now) else { return };
        let more = std::mem::take(&mut self.noting.more).into_iter();
        let of: Vec<Holding> = more.filter_map(|(source, client)| self.holding(source, client)).collect();
        self.noting.next_at = now + PROGRESS_PERIOD;
        self.noting.asked.clone_from(&of);
        let punctuations = std::mem::take(&mut self.noting.punctuations);
        if of.is_empty() && punctuations.is_empty() {
            return; // it knows
        }
        actions.push(NodeAction::TellMaster(ToMaster::Holds { epoch, of, punctuations }));
    }

    /// What is here of a client, if that is more than the master knows.
    fn holding(&mut self, source: u32, client: u32) -> Option<Holding> {
        let held = self.held.get_mut(&source).filter(|held| held.since > 0)?;
        let ended = self.clients.gates().get(&client).map_or(0, |gate| gate.end(source));
        let end = held.log.reach(self.limits.cut, source, client).max(ended);
        let noted = held.noted.get(&client).copied().unwrap_or(0);
        (noted < end).then_some(Holding { source, since: held.since, client, end })
    }

    /// When the master is to be told something.
    pub(super) fn noting_at(&self) -> Moment {
        let Noting { more, punctuations, asked, next_at } = &self.noting;
        let has_more = !punctuations.is_empty() || !more.is_empty();
        if self.epoch.is_some() && asked.is_empty() && has_more { *next_at } else { Moment::NEVER }
    }
}

impl Held {
    /// Whether the master knows that these records were here.
    pub fn is_noted(&self, range: &RecordRange) -> bool {
        self.noted.get(&range.client).is_some_and(|noted| *noted > range.last)
    }
}
