//! Which master a client follows: of those that say that they lead, the one of the latest term.
//!
//! Knows no connection. Invariant: nobody is followed after one of a later term was.

use crate::message::ToClient;
use dstream_trace::NodeName;

/// Whom a client follows; nobody where no master says that it leads.
#[derive(Debug, Default)]
pub(super) struct Leader(Option<(u64, NodeName)>);

/// What it means that a master says it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// Nothing: it has been superseded.
    Superseded,
    /// It is the first one, or the one that is followed already.
    AsBefore,
    /// It takes over from an earlier one.
    Later,
}

impl Leader {
    /// A master says that it leads in this term.
    pub(super) fn follow(&mut self, term: u64, master: NodeName) -> Following {
        let before = self.0.as_ref().map(|(before, _)| *before);
        if before.is_some_and(|before| before > term) {
            return Following::Superseded;
        }
        self.0 = Some((term, master));
        if before.is_some_and(|before| before < term) { Following::Later } else { Following::AsBefore }
    }

    /// Who is followed.
    pub(super) fn name(&self) -> Option<&NodeName> {
        self.0.as_ref().map(|(_, leader)| leader)
    }

    /// Whether this is who is followed.
    pub(super) fn is(&self, node: &NodeName) -> bool {
        self.0.as_ref().is_some_and(|(_, leader)| leader == node)
    }

    /// Whether a word counts: what only the leader knows is heard from nobody else, once there is one.
    pub(super) fn is_heard(&self, by: &NodeName, word: &ToClient) -> bool {
        self.0.is_none() || self.is(by) || !is_of_leader(word)
    }
}

fn is_of_leader(word: &ToClient) -> bool {
    match word {
        ToClient::Members(_) | ToClient::Done { .. } | ToClient::Known(_) | ToClient::Quota { .. } => true,
        ToClient::Released { .. } => true,
        ToClient::Held(_) | ToClient::Refused { .. } | ToClient::Lead { .. } | ToClient::Places { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_term_is_followed_whatever_comes_later() {
        let (first, second) = (NodeName::new("master"), NodeName::new("standby-master-1"));
        let mut leader = Leader::default();
        assert!(leader.is_heard(&second, &ToClient::Done { interval: 0 }));
        let said = [(1, &first, Following::AsBefore), (1, &first, Following::AsBefore), (2, &second, Following::Later)];
        for (term, master, expected) in said {
            assert_eq!(leader.follow(term, master.clone()), expected, "{term}");
        }
        assert_eq!(leader.follow(1, first.clone()), Following::Superseded);
        assert!(leader.is(&second) && !leader.is(&first));
        assert!(!leader.is_heard(&first, &ToClient::Done { interval: 0 }));
        assert!(leader.is_heard(&first, &ToClient::Held(Vec::new())));
    }
}
