//! The lobby's part of leaving: which workers may go, and in which manner.
//!
//! A worker of a run hands on first what only it has, one worker at a time. Where too few would stay to hold a second copy
//! of it, it just goes: what it held is computed again, as of one that died. Invariant: nobody goes while copies lack.
//!
//! ```text
//! staying --Goodbye--> leaving --no node of a run---------------------> gone
//!                         |------enough others--> handing on --Left---> gone, its seat is free
//!                         '------too few others-----------------------> gone, its seat is free, copies lack
//! ```

use super::{Lobby, LobbyAction, Peer, Run};
use crate::cluster::word::FromMaster;
use dstream_cluster::OptionValue;

/// How long a worker is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// As long as it is wanted.
    Staying,
    /// Until it may go.
    Leaving,
    /// Until its node has handed on what others need of it.
    HandingOn,
}

impl Lobby {
    /// Lets workers go that want to leave, one at a time, where the run does without.
    pub(super) fn let_go(&mut self, actions: &mut Vec<LobbyAction>) {
        let leaving: Vec<Peer> =
            self.workers.iter().filter(|(_, worker)| worker.stay != Stay::Staying).map(|(peer, _)| *peer).collect();
        for peer in leaving {
            let seated = self.run.as_mut().filter(|run| run.seats.values().any(|seat| seat.peer == Some(peer)));
            let Some(run) = seated else {
                self.workers.remove(&peer);
                actions.push(LobbyAction::Tell(peer, FromMaster::MayLeave));
                continue;
            };
            let others = run.seated_workers().saturating_sub(1);
            let somebody_hands_on = self.workers.values().any(|worker| worker.stay == Stay::HandingOn);
            if run.copies_lack || others == 0 || run.began.is_none() || somebody_hands_on {
                continue;
            }
            if others >= run.copies() {
                self.workers.entry(peer).and_modify(|worker| worker.stay = Stay::HandingOn);
                actions.push(LobbyAction::Tell(peer, FromMaster::HandOn));
            } else {
                // Nobody could hold the second copy of what it would hand on.
                run.copies_lack = true;
                self.workers.remove(&peer);
                actions.push(LobbyAction::Tell(peer, FromMaster::MayLeave));
                self.vacate(peer, actions);
            }
        }
    }

    /// A worker's node has handed on what others need of it.
    pub(super) fn left(&mut self, peer: Peer, round: u64, actions: &mut Vec<LobbyAction>) {
        let is_of_run = self.run.as_ref().is_some_and(|run| run.round == round);
        if is_of_run && self.workers.remove(&peer).is_some() {
            actions.push(LobbyAction::Tell(peer, FromMaster::MayLeave));
            self.vacate(peer, actions);
            self.let_go(actions);
        }
    }

    /// A worker of the run is gone, or was let go.
    pub(super) fn vacate(&mut self, peer: Peer, actions: &mut Vec<LobbyAction>) {
        let Some(run) = &mut self.run else { return };
        let Some((name, seat)) = run.seats.iter_mut().find(|(_, seat)| seat.peer == Some(peer)) else { return };
        (seat.peer, seat.address) = (None, None);
        if run.began.is_none() {
            // Nothing has begun: the job waits for as many workers as it needs again.
            return self.prepare_again(actions);
        }
        let name = name.clone();
        let (left, of) = (run.seated_workers(), run.cluster.workers);
        let what = match left {
            0 => "no worker is left: the job waits for one".to_string(),
            1 => format!("1 worker is left: records have one copy {}, until another worker joins", run.other_copies()),
            _ if run.copies_lack => format!("{left} of {of} workers are left: copies are made again"),
            _ => format!("{left} of {of} workers are left"),
        };
        let job = run.job;
        actions.push(LobbyAction::Tell(job, FromMaster::Note(format!("{name} is gone; {what}"))));
        self.fill_seats(actions);
    }
}

impl Run {
    /// What a record has beside its copy at a worker.
    fn other_copies(&self) -> &'static str {
        match self.options.get("input") {
            Some(OptionValue::Choice(word)) if word == "log" => "beside the log in the store",
            Some(OptionValue::Choice(word)) if word == "replay" => "beside its client's",
            _ => "only",
        }
    }

    /// How many nodes hold a record.
    fn copies(&self) -> usize {
        match self.options.get("copies") {
            Some(OptionValue::Count(copies)) => usize::try_from(*copies).unwrap_or(usize::MAX),
            _ => 1,
        }
    }
}
