//! Credits: how much of what a node was sent it may not have worked off yet.
//!
//! A reader that falls behind so slows its writers' sources down, and through them the clients; nothing is dropped. Results
//! of closed intervals are few and pass in any case, so that a circle of full channels always empties. Invariant: a debt is
//! paid in the connection in which it was made, or ends with it.

use crate::continuous::message::NodeNumber;
use crate::continuous::outbox::Budget;
use std::collections::BTreeMap;

/// Bytes that may be under way to a node and in its queues: some milliseconds of a fast network card.
const WINDOW_BYTES: usize = 4 << 20;

/// What was worked off is said when it is this much: often enough that a window never runs dry.
const SAID_AT_BYTES: u64 = (WINDOW_BYTES / 8) as u64;

/// What one node and another owe each other.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Counts the connections.
    session: u64,
    is_up: bool,
    /// Sent there and not worked off.
    under_way: usize,
    /// Worked off here and not said.
    unsaid: u64,
}

/// All accounts of a node.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    accounts: BTreeMap<NodeNumber, Account>,
    own: NodeNumber,
}

/// Whose bytes, and in which connection they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The sender.
    pub node: NodeNumber,
    session: u64,
    bytes: u64,
}

impl Credits {
    /// Of this node, which may send itself whatever it likes: its own queues are bounded by its sources.
    pub fn of(own: NodeNumber) -> Credits {
        let account = Account { is_up: true, ..Account::default() };
        Credits { accounts: BTreeMap::from([(own, account)]), own }
    }

    /// A connection is open.
    pub fn up(&mut self, node: NodeNumber) {
        let session = self.accounts.get(&node).map_or(0, |account| account.session) + 1;
        self.accounts.insert(node, Account { session, is_up: true, ..Account::default() });
    }

    /// The connection broke.
    pub fn down(&mut self, node: NodeNumber) {
        if let Some(account) = self.accounts.get_mut(&node) {
            *account = Account { session: account.session, ..Account::default() };
        }
    }

    /// Whether a connection is open.
    pub fn is_up(&self, node: NodeNumber) -> bool {
        self.accounts.get(&node).is_some_and(|account| account.is_up)
    }

    /// Bytes came from a node.
    pub fn debt(&self, node: NodeNumber, bytes: u64) -> Debt {
        Debt { node, session: self.accounts.get(&node).map_or(0, |account| account.session), bytes }
    }

    /// They are worked off.
    pub fn pay(&mut self, debt: Debt) {
        if let Some(account) = self.accounts.get_mut(&debt.node).filter(|account| account.session == debt.session) {
            account.unsaid += debt.bytes;
        }
    }

    /// The other side has worked off so many bytes.
    pub fn paid(&mut self, node: NodeNumber, bytes: u64) {
        if let Some(account) = self.accounts.get_mut(&node) {
            account.under_way = account.under_way.saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// What is to be said to whom.
    pub fn say(&mut self) -> Vec<(NodeNumber, u64)> {
        let due = self.accounts.iter_mut().filter(|(_, account)| account.unsaid >= SAID_AT_BYTES && account.is_up);
        due.map(|(node, account)| (*node, std::mem::take(&mut account.unsaid))).collect()
    }
}

impl Budget for Credits {
    fn has_room(&self, node: NodeNumber) -> bool {
        node == self.own
            || self.accounts.get(&node).is_some_and(|account| account.is_up && account.under_way < WINDOW_BYTES)
    }

    fn spend(&mut self, node: NodeNumber, bytes: usize) {
        if let Some(account) = self.accounts.get_mut(&node).filter(|_| node != self.own) {
            account.under_way += bytes;
        }
    }
}

#[cfg(test)]
mod tests;
