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
use crate::message::ToWorker;
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

    /// Tells a receiver which of these blocks it may acknowledge.
    pub(super) fn heard(&self, worker: u32, mut blocks: Vec<BlockName>, actions: &mut Vec<MasterAction>) {
        let is_written = |name: &BlockName| {
            let sealed = self.book.interval_of(name);
            !self.replaying.is_on || sealed.is_some_and(|interval| interval < self.replaying.sealed_below)
        };
        blocks.retain(is_written);
        if let Some(epoch) = self.members.get(&worker).copied().filter(|_| !blocks.is_empty()) {
            actions.push(MasterAction::Tell { worker, word: ToWorker::Heard { epoch, blocks } });
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::{CoreFactory, PlainCores};
    use crate::master::core::{MasterEvent, MasterLimits};
    use crate::master::journal::{Entry, Snapshot};
    use crate::master::ledger::LedgerLimits;
    use crate::master::tracker::TrackerLimits;
    use crate::master::tracker::tests::LIMITS;
    use crate::message::{BlockReport, TaskId, ToMaster};
    use crate::options::{Input, Placement};
    use dstream_kernel::QueryBuilder;
    use dstream_trace::RecordRange;
    use std::time::Duration;

    fn limits() -> MasterLimits {
        let ledger = LedgerLimits {
            copies: 1,
            input: Input::Replay,
            interval: Duration::from_secs(1),
            slack: Duration::ZERO,
            origin: Moment::ZERO,
            patience: Duration::from_millis(500),
            placement: Placement::Free,
        };
        let tracker = TrackerLimits { partitions: 1, checkpoint_intervals: 1, ..LIMITS };
        let (heartbeat, failure_timeout) = (Duration::from_millis(100), Duration::from_millis(500));
        let (throttled_clients, awaits_writing) = (None, false);
        MasterLimits {
            ledger,
            heartbeat,
            failure_timeout,
            tracker,
            workers: 1,
            spares: 0,
            throttled_clients,
            awaits_writing,
        }
    }

    fn block(number: u64) -> BlockName {
        BlockName { origin: 1, epoch: 1, number }
    }

    /// Worker 1 says that it holds a block with ten records.
    fn announced(number: u64, first: u64, closed_below: u64) -> MasterEvent {
        let ranges = vec![RecordRange { client: 1, first, last: first + 9 }];
        let report = BlockReport { name: block(number), interval: 0, ranges, bytes: 9, holders: Vec::new() };
        word(ToMaster::Announce { epoch: 1, blocks: vec![report], closed_below })
    }

    fn word(word: ToMaster) -> MasterEvent {
        let word = match word {
            ToMaster::Announce { epoch, mut blocks, closed_below } => {
                let held = |block: &mut BlockReport| block.holders = vec![crate::message::Member { worker: 1, epoch }];
                blocks.iter_mut().for_each(held);
                ToMaster::Announce { epoch, blocks, closed_below }
            }
            word => word,
        };
        MasterEvent::Word { worker: 1, incarnation: 1, word }
    }

    fn done(stage: u32, partition: u32) -> MasterEvent {
        let task = TaskId { interval: 0, stage, partition, attempt: 0 };
        word(ToMaster::TaskDone { epoch: 1, task, core_ns: 1 })
    }

    /// Feeds events at milliseconds; compares what is journalled, and what is said of records. `None` stands for the
    /// journal's word that all it was given is written.
    fn check(events: Vec<(u64, Option<MasterEvent>)>, expected: &[&str]) {
        let builder = QueryBuilder::new();
        let ones = builder.lines().map::<(String, u64)>(|line| (line, 1));
        ones.reduce_by_key(|a, b| a + b).output("counts");
        let mut master = PlainCores.master(limits(), &builder.build().unwrap());
        let elected = MasterEvent::Elected { term: 1, found: Snapshot::default(), logged: vec![], visible: vec![] };
        let join = word(ToMaster::Join { incarnation: 1, epoch: None, blocks: vec![], made: vec![] });
        let first = [(0, Some(elected)), (0, Some(join))];
        let (mut said, mut journal) = (Vec::new(), Vec::new());
        for (at, event) in first.into_iter().chain(events) {
            let event = event.unwrap_or_else(|| MasterEvent::Written(std::mem::take(&mut journal)));
            let mut actions = Vec::new();
            master.step(Moment::from_millis(at), event, &mut actions);
            for action in actions {
                let word = match action {
                    MasterAction::Journal(entry) => {
                        let sealed = matches!(entry, Entry::Sealed(_)).then(|| "seal".to_owned());
                        journal.push(entry);
                        sealed
                    }
                    MasterAction::Tell { word: ToWorker::Heard { blocks, .. }, .. } => {
                        (!blocks.is_empty()).then(|| format!("heard {blocks:?}"))
                    }
                    MasterAction::Tell { word: ToWorker::Forget { blocks, .. }, .. } => {
                        (!blocks.is_empty()).then(|| format!("forget {blocks:?}"))
                    }
                    MasterAction::TellClient(_, ToClient::Known(ranges)) => Some(format!("known {ranges:?}")),
                    MasterAction::TellClient(_, ToClient::Released { below }) => Some(format!("released {below}")),
                    _ => None,
                };
                said.extend(word.map(|word| format!("{at} {word}")));
            }
        }
        assert_eq!(said, expected);
    }

    #[test]
    fn a_receiver_hears_of_a_block_when_its_seal_is_written() {
        check(
            vec![
                (500, Some(announced(0, 0, 0))),
                (1000, Some(announced(1, 10, 1))),
                (1010, None),
                // Its connection was new: it says again what is not acknowledged.
                (1020, Some(announced(0, 0, 1))),
            ],
            &["1000 seal", "1010 heard [b1.1.0, b1.1.1]", "1020 heard [b1.1.0]"],
        );
    }

    #[test]
    fn what_another_block_brought_is_forgotten_and_said_to_be_held_when_that_ones_seal_is_written() {
        let asks = || MasterEvent::ClientUp(NodeName::client(1));
        check(
            vec![
                (500, Some(announced(0, 0, 0))),
                (600, Some(announced(1, 0, 0))),
                (601, Some(asks())),
                (1000, Some(announced(2, 0, 1))),
                (1001, Some(asks())),
                (1010, None),
            ],
            &[
                "601 known []",
                "1000 seal",
                "1001 released 0",
                "1010 heard [b1.1.0]",
                "1010 forget [b1.1.1, b1.1.2]",
                "1010 known [1:0-9]",
                "1010 known [1:0-9]",
            ],
        );
    }

    #[test]
    fn a_client_may_let_go_what_is_in_results_and_hears_it_again_on_a_new_connection() {
        check(
            vec![
                (500, Some(announced(0, 0, 0))),
                (1000, Some(announced(1, 10, 1))),
                (1010, None),
                (1100, Some(done(0, 0))),
                (1100, Some(done(0, 1))),
                (1200, Some(done(1, 0))),
                (1300, Some(MasterEvent::ClientUp(NodeName::client(1)))),
            ],
            &[
                "1000 seal",
                "1010 heard [b1.1.0, b1.1.1]",
                "1200 forget [b1.1.0, b1.1.1]",
                "1200 released 20",
                "1300 released 20",
                "1300 known [1:0-19]",
            ],
        );
    }
}
