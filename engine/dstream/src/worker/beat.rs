//! What a worker says regularly: that it lives, whom it does not reach, and whether it is to leave.
//!
//! Part of the worker's shell. Invariant: who is no member says nothing; who is to leave says so with every beat, so that no
//! master misses it.

use crate::message::ToMaster;
use crate::worker::node::Worker;
use dstream_trace::Event;

impl Worker {
    /// It is to leave. The master hears it with every beat, until it lets this worker go.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.beat();
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
