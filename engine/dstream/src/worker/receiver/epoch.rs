//! What other members and another epoch mean for blocks that are not acknowledged.
//!
//! Part of the receiver. Invariants: how many nodes must hold a block is asked again until the master has heard of it; none
//! is dropped that an interval may have, unless the log has it: a client that could send it again may be gone for good.

use super::{Copying, Receiver, ReceiverAction};
use crate::log::LOG_MEMBER;
use crate::message::{BlockReport, Member};
use crate::options::Input;
use dstream_trace::BlockName;

impl Receiver {
    pub(super) fn follow_members(&mut self, members: Vec<Member>) {
        self.members = members.into_iter().map(|member| (member.worker, member.epoch)).collect();
        let members = &self.members;
        let is_member = |holder: &Member| members.get(&holder.worker) == Some(&holder.epoch);
        let copying = self.copying.values_mut().map(|copying| &mut copying.report);
        for report in copying.chain(&mut self.withheld) {
            report.holders.retain(|holder| *holder == LOG_MEMBER || is_member(holder));
        }
        self.copy_more();
    }

    /// With more members more copies are promised: what was enough a moment ago, and the master has not heard of, gets
    /// them before it is acknowledged. One that was alone for a moment must not acknowledge all that it has then.
    fn copy_more(&mut self) {
        if self.limits.input == Input::Log {
            return;
        }
        let (needed, heard) = (self.copies_needed(), &self.heard);
        let is_short = |report: &mut BlockReport| report.holders.len() < needed && !heard.contains(&report.name);
        let short = self.withheld.extract_if(.., is_short);
        self.copying.extend(short.map(|report| (report.name, Copying::new(report))));
    }

    pub(super) fn welcome(
        &mut self,
        (epoch, keeps): (u64, bool),
        sealed_below: u64,
        actions: &mut Vec<ReceiverAction>,
    ) {
        if self.epoch.is_some_and(|old| old != epoch) {
            if keeps { self.begin_again(epoch) } else { self.fenced(actions) }
        }
        if self.epoch.is_none() {
            (self.epoch, self.next_number) = (Some(epoch), 0);
        }
        self.sealed_below = self.sealed_below.max(sealed_below);
        // The connection is new, and what was said on the old one may be lost.
        self.told_closed_below = 0;
        if !self.withheld.is_empty() {
            let blocks = self.withheld.clone();
            actions.push(ReceiverAction::Announce { blocks, closed_below: 0 });
        }
    }

    /// Under a new master. An earlier one may have heard of blocks and have put them into an interval before it
    /// could say so: they are copied and announced as if for the first time, under the new epochs.
    fn begin_again(&mut self, epoch: u64) {
        self.epoch = None;
        self.members.clear();
        self.heard.clear();
        let own = Member { worker: self.limits.worker, epoch };
        let copying = std::mem::take(&mut self.copying).into_values().map(|copying| copying.report);
        let unannounced = std::mem::take(&mut self.withheld).into_iter().chain(copying);
        let again = unannounced.map(|report| {
            let logged = report.holders.contains(&LOG_MEMBER).then_some(LOG_MEMBER);
            BlockReport { holders: [own].into_iter().chain(logged).collect(), ..report }
        });
        self.copying = again.map(|report| (report.name, Copying::new(report))).collect();
    }

    pub(super) fn fenced(&mut self, actions: &mut Vec<ReceiverAction>) {
        self.epoch = None;
        self.members.clear();
        self.told_closed_below = 0;
        actions.push(ReceiverAction::DropOpen);
        self.open.clear();
        self.heard.clear();
        let unacknowledged = self.withheld.drain(..).map(|block| block.name);
        let copying = std::mem::take(&mut self.copying).into_keys();
        let blocks: Vec<BlockName> = unacknowledged.chain(copying).collect();
        match self.limits.input {
            Input::Memory | Input::Replay if blocks.is_empty() => {}
            Input::Memory | Input::Replay => actions.push(ReceiverAction::HandOn(blocks)),
            Input::Log => actions.extend(blocks.into_iter().map(ReceiverAction::DropBlock)),
        }
    }
}
