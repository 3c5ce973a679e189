//! The lobby's run: which process is which node of it, and what each is told when it begins.
//!
//! Plain data of the lobby's. Invariant: the run's clock stands still while none of its processes lives.

use super::{LobbyAction, Peer};
use crate::cluster::keep::{Kept, place_of};
use crate::cluster::word::{Beginning, Ended, FromMaster, JobOrder};
use crate::store::StorePlace;
use dstream_cluster::layout::Role;
use dstream_cluster::{ClusterSpec, Options, Progress};
use dstream_trace::{Moment, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// A node of the run.
pub(super) struct Seat {
    pub(super) peer: Option<Peer>,
    pub(super) incarnation: u64,
    pub(super) address: Option<SocketAddr>,
    /// Whether its process was told to begin.
    pub(super) begun: bool,
}

/// A job that runs.
pub(super) struct Run {
    pub(super) round: u64,
    pub(super) job: Peer,
    pub(super) cluster: ClusterSpec,
    pub(super) kept: Kept,
    /// How far earlier lives had come.
    pub(super) progress: Option<Progress>,
    /// What was noted down before, where it was another order.
    pub(super) before: Option<JobOrder>,
    pub(super) options: Options,
    pub(super) seats: BTreeMap<NodeName, Seat>,
    pub(super) began: Option<Moment>,
    /// No worker may leave: some copies are missing, or may be.
    pub(super) copies_lack: bool,
}

impl Run {
    /// All processes that take part, each once.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.seats.values().filter_map(|seat| seat.peer).collect::<BTreeSet<_>>().into_iter()
    }

    pub(super) fn seated_workers(&self) -> usize {
        let is_worker = |name: &NodeName| matches!(Role::of(name), Some(Role::Worker(_)));
        self.seats.iter().filter(|(name, seat)| is_worker(name) && seat.peer.is_some()).count()
    }

    /// Whether all its nodes listen and it was not told to begin.
    pub(super) fn is_ready(&self, peer: Peer) -> bool {
        self.seats.values().filter(|seat| seat.peer == Some(peer)).all(|seat| seat.address.is_some() && !seat.begun)
    }

    pub(super) fn beginning(&mut self, peer: Peer, elapsed: Duration, store: &StorePlace) -> Beginning {
        let mut incarnation = 1;
        for seat in self.seats.values_mut().filter(|seat| seat.peer == Some(peer)) {
            (seat.begun, incarnation) = (true, seat.incarnation);
        }
        let address = |(name, seat): (&NodeName, &Seat)| seat.address.map(|address| (name.clone(), address));
        Beginning {
            round: self.round,
            cluster: self.cluster.clone(),
            options: self.options.clone(),
            incarnation,
            elapsed: elapsed + self.lived(),
            progress: self.progress.clone(),
            addresses: self.seats.iter().filter_map(address).collect(),
            store: place_of(store, self.kept.run),
        }
    }

    /// How long the run's clock went in earlier lives: their intervals. The next one begins as the first one did, when all
    /// have met.
    pub(super) fn lived(&self) -> Duration {
        let intervals = self.progress.as_ref().map_or(0, |progress| progress.next);
        self.cluster.interval * u32::try_from(intervals).unwrap_or(u32::MAX)
    }

    pub(super) fn stop(&self, peer: Peer, how: Ended) -> LobbyAction {
        LobbyAction::Tell(peer, FromMaster::Stop { round: self.round, how })
    }
}
