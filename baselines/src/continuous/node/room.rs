//! What a node does before its buffers are full: it has states saved out of turn, since only that lets input and output go.
//!
//! Without it a cluster would stand still whose input between two checkpoints is more than its buffers take: nothing is
//! closed without that input, and nothing is let go before the next border is saved. All partitions save at one border, or
//! it is none; who hears of it too late says so, and the master names another.

use crate::continuous::message::ToMaster;
use crate::continuous::node::core::Node;
use crate::continuous::node::event::NodeAction;

impl Node {
    /// Bytes of input that are held.
    pub(super) fn input_bytes(&self) -> usize {
        self.held.values().map(|held| held.log.bytes()).sum()
    }

    /// Bytes of output that are kept.
    pub(super) fn output_bytes(&self) -> usize {
        self.hosted.values().flat_map(|hosted| hosted.outboxes.values()).map(|outbox| outbox.bytes()).sum()
    }

    /// Says that the buffers are half full: once, until something is let go.
    pub(super) fn say_filling(&mut self, actions: &mut Vec<NodeAction>) {
        let Some(epoch) = self.epoch.filter(|_| !self.said_filling) else { return };
        let saves = self.limits.rules.checkpoint_intervals.is_some() && self.limits.topology.reach != Some(0);
        if saves && self.input_bytes().max(self.output_bytes()) > self.limits.most_kept_bytes / 2 {
            self.said_filling = true;
            actions.push(NodeAction::TellMaster(ToMaster::Filling { epoch, missed: None }));
        }
    }

    /// States are to be saved behind this interval, too.
    pub(super) fn save_at(&mut self, border: u64, actions: &mut Vec<NodeAction>) {
        self.save_at = Some(border);
        let mut closing = self.hosted.values().flat_map(|hosted| hosted.inboxes.values()).map(|inbox| inbox.closing());
        if closing.any(|last| last >= self.save_at) {
            self.say_missed(actions);
        }
    }

    /// Says that a partition here is past the border that was named.
    pub(super) fn say_missed(&self, actions: &mut Vec<NodeAction>) {
        if let Some(epoch) = self.epoch {
            actions.push(NodeAction::TellMaster(ToMaster::Filling { epoch, missed: self.save_at }));
        }
    }
}
