//! What a worker says of itself: that it wants to be a member, that it lives, whom it does not reach, and that it is to
//! leave.
//!
//! Part of the worker's shell. Invariant: who is no member says nothing; who is to leave says so with every beat, so that no
//! master misses it.

use crate::master::first_epoch;
use crate::message::{BlockReport, ToMaster};
use crate::worker::node::Worker;
use crate::worker::receiver::ReceiverEvent;
use bytes::Bytes;
use dstream_trace::Event;

impl Worker {
    /// It is to leave. The master hears it with every beat, until it lets this worker go. Who waits to be called may go.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.is_released |= self.waits;
        self.beat();
    }

    /// Others have all that it had, and it is to wait until it is called: as one that has just come.
    pub(super) fn begins_anew(&mut self) {
        self.end_epoch(false);
        self.receive(ReceiverEvent::Fenced, Bytes::new());
        for block in self.context.holdings.lock().forget_blocks() {
            self.context.host.trace.record(Event::BlockForgotten { block });
        }
        self.unacknowledged.clear();
        self.join();
    }

    /// It wants to be a member, and has what it says.
    pub(super) fn join(&mut self) {
        let of_before =
            self.epoch.zip(self.leader.as_ref()).is_some_and(|(epoch, (term, _))| epoch <= first_epoch(*term));
        let holdings = self.context.holdings.lock();
        // An earlier master may have put into an interval what is not acknowledged yet.
        let told = holdings.reports().filter(|report| of_before || !self.unacknowledged.contains(&report.name));
        let blocks: Vec<BlockReport> = told.cloned().collect();
        let made = if of_before { holdings.made() } else { Vec::new() };
        drop(holdings);
        let incarnation = self.context.host.incarnation;
        self.tell_master(&ToMaster::Join { incarnation, epoch: self.epoch, blocks, made });
    }

    pub(super) fn beat(&mut self) {
        let Some(epoch) = self.epoch else { return };
        let sent_ns = self.context.host.clock.now().0;
        let lacks = |worker: &&u32| **worker != self.context.worker && !self.reachable.contains(worker);
        let unreachable = self.config.workers.iter().filter(lacks).copied().collect();
        self.tell_master(&ToMaster::Heartbeat { epoch, sent_ns, unreachable });
        if self.is_leaving {
            self.tell_master(&ToMaster::Leaving { epoch });
        }
        let cpu_ns = u64::try_from(std::mem::take(&mut self.handled).as_nanos()).unwrap_or(u64::MAX);
        if cpu_ns > 0 {
            self.context.host.trace.record(Event::CpuUsed { cpu_ns });
        }
    }
}
