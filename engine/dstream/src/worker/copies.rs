//! Copies of blocks between workers: sent, held, refused, and told of when their origin is lost.
//!
//! Invariants: no copy of a block is taken whose origin's epoch is over, unless the master asks for it; a copy that the
//! master orders is sent as soon as its taker is reached and a member, or the epoch ends: the master would wait for it as
//! long as for one that is lost.

use crate::message::{BlockReport, Member, ToMaster, ToPeer};
use crate::worker::disk::begin;
use crate::worker::node::{Worker, send};
use crate::worker::receiver::{ReceiverEvent, held_event};
use crate::worker::store::HeldBlock;
use bytes::Bytes;
use dstream_cluster::message::{open, seal};
use dstream_host::peer::Lane;
use dstream_trace::{BlockName, NodeName, Purpose};
use std::collections::{BTreeMap, BTreeSet};

/// What waits for other workers, or this one's membership.
#[derive(Debug, Default)]
pub(super) struct WaitingCopies {
    /// Whose copies it has refused, because it was no member.
    refused: BTreeSet<NodeName>,
    /// worker -> blocks of which it is to get copies when it takes them
    ordered: BTreeMap<u32, BTreeSet<BlockName>>,
}

impl WaitingCopies {
    /// Nothing that was ordered is to be sent any more.
    pub(super) fn end_epoch(&mut self) {
        self.ordered.clear();
    }
}

impl Worker {
    pub(super) fn report_orphans(&mut self, origin: u32, origin_epoch: u64) {
        let over = self.over.entry(origin).or_default();
        *over = origin_epoch.max(*over);
        let Some(epoch) = self.epoch else { return };
        let own = Member { worker: self.context.worker, epoch };
        let is_orphan = |name: &BlockName| name.origin == origin && name.epoch <= origin_epoch;
        let holdings = self.context.holdings.lock();
        let orphans = holdings.reports().filter(|report| is_orphan(&report.name));
        let report = |report: &BlockReport| BlockReport { holders: vec![own], ..report.clone() };
        let blocks: Vec<BlockReport> = orphans.map(report).collect();
        drop(holdings);
        self.tell_master(&ToMaster::Orphans { epoch, origin, origin_epoch, blocks });
    }

    pub(super) fn peer_word(&mut self, from: u32, peer: &NodeName, payload: &Bytes) {
        let Ok((word, body)) = open::<ToPeer>(payload) else { return };
        match word {
            ToPeer::Copy { block, lengths, ordered } => {
                let origin = block.name.origin;
                let is_over = self.over.get(&origin).is_some_and(|over| block.name.epoch <= *over);
                // What the master orders is known to it: a copy of a block whose origin is gone.
                if is_over && !ordered {
                    self.refuse_copy(peer, ToPeer::CopyRefused(block.name));
                } else if let Some(held) = HeldBlock::from_joined(block, &body, &lengths) {
                    self.hold_copy(peer, held, ordered);
                }
            }
            ToPeer::CopyHeld { block, epoch } => {
                let by = Member { worker: from, epoch };
                self.receive(ReceiverEvent::CopyHeld { block, by }, Bytes::new());
            }
            // Where this epoch is over, whoever refuses has it from the master, which will say so here, too.
            ToPeer::CopyRefused(block) => {
                self.receive(ReceiverEvent::CopyRefused { block, by: from }, Bytes::new());
            }
            ToPeer::OrderedCopyRefused(block) => {
                self.waiting_copies.ordered.entry(from).or_default().insert(block);
            }
            ToPeer::TakesCopies => {
                self.receive(ReceiverEvent::TakesCopies(from), Bytes::new());
                self.send_ordered(from);
            }
        }
    }

    pub(super) fn hold_copy(&mut self, peer: &NodeName, held: HeldBlock, ordered: bool) {
        let block = held.report.name;
        let Some(epoch) = self.epoch else {
            self.waiting_copies.refused.insert(peer.clone());
            let is_refused = if ordered { ToPeer::OrderedCopyRefused } else { ToPeer::CopyRefused };
            return self.refuse_copy(peer, is_refused(block));
        };
        let event = held_event(&held.report);
        if self.context.holdings.lock().keep_block(held) {
            self.context.host.trace.record(event);
        }
        if ordered {
            self.tell_master(&ToMaster::CopyHeld { epoch, block });
        } else {
            let word = ToPeer::CopyHeld { block, epoch };
            self.send(peer, Lane::Control, Purpose::Control, seal(Vec::new(), &word), 1);
        }
    }

    fn refuse_copy(&self, peer: &NodeName, word: ToPeer) {
        let word = seal(Vec::new(), &word);
        self.send(peer, Lane::Control, Purpose::Control, word, 1);
    }

    /// This worker is a member: it takes what it has refused so far.
    pub(super) fn take_copies(&mut self) {
        for peer in std::mem::take(&mut self.waiting_copies.refused) {
            let word = seal(Vec::new(), &ToPeer::TakesCopies);
            self.send(&peer, Lane::Control, Purpose::Control, word, 1);
        }
    }

    /// The master orders a copy, maybe before this worker has a connection with the one that is to get it.
    pub(super) fn order_copy(&mut self, block: BlockName, to: u32) {
        if self.reachable.contains(&to) {
            self.send_copy(block, to, true);
        } else {
            self.waiting_copies.ordered.entry(to).or_default().insert(block);
        }
    }

    /// The worker can be reached, or is a member: it gets what waited for that.
    pub(super) fn send_ordered(&mut self, to: u32) {
        let blocks = self.waiting_copies.ordered.remove(&to).unwrap_or_default();
        blocks.into_iter().for_each(|block| self.send_copy(block, to, true));
    }

    /// Sends a copy; of a block that is on the disk, when it is back.
    pub(super) fn send_copy(&self, block: BlockName, to: u32, ordered: bool) {
        let context = self.context.clone();
        begin(async move {
            let Some(held) = context.holdings.block(&block).await else { return };
            let (lines, lengths) = held.joined();
            let word = ToPeer::Copy { block: held.report, lengths, ordered };
            let purpose = if ordered { Purpose::Recovery } else { Purpose::Copy };
            send(&context, &NodeName::worker(to), (Lane::Data, purpose), seal(lines, &word), context.scale);
        });
    }
}
