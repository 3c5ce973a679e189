//! Where the protocol parts come from. The product uses [`PlainCores`]; tests wrap a part to plant a defect.

use crate::master::ledger::{Ledger, LedgerAction, LedgerEvent, LedgerLimits};
use crate::master::tracker::{Tracker, TrackerAction, TrackerEvent, TrackerLimits};
use crate::master::{Master, MasterAction, MasterEvent, MasterLimits};
use crate::worker::memory::{Memory, MemoryAction, MemoryEvent};
use crate::worker::receiver::{Receiver, ReceiverAction, ReceiverEvent, ReceiverLimits};
use dstream_cluster::client::{Client, ClientAction, ClientEvent, ClientLimits};
use dstream_cluster::core::BoxCore;
use dstream_cluster::detector::{Detector, DetectorAction, DetectorEvent};
use dstream_cluster::lease::{Verdict, Watch, WatchEvent};
use dstream_cluster::sink::{Sink, SinkAction, SinkEvent};
use dstream_kernel::Query;
use dstream_trace::NodeName;
use std::time::Duration;

/// Makes the protocol parts of a node.
pub trait CoreFactory: Send + Sync {
    /// The program that all nodes run.
    fn query(&self, query: Query) -> Query {
        query
    }

    /// The client's core.
    fn client(&self, limits: ClientLimits) -> BoxCore<ClientEvent, ClientAction> {
        Box::new(Client::new(limits))
    }

    /// The sink's core.
    fn sink(&self) -> BoxCore<SinkEvent, SinkAction> {
        Box::new(Sink::default())
    }

    /// The receiver's core.
    fn receiver(&self, limits: ReceiverLimits) -> BoxCore<ReceiverEvent, ReceiverAction> {
        Box::new(Receiver::new(limits))
    }

    /// What watches the lease of whoever leads.
    fn watch(&self, me: NodeName, time_to_live: Duration) -> BoxCore<WatchEvent, Verdict> {
        Box::new(Watch::new(me, time_to_live))
    }

    /// What decides which of a worker's things stay in memory, `limit` bytes of them.
    fn memory(&self, limit: u64) -> BoxCore<MemoryEvent, MemoryAction> {
        Box::new(Memory::new(limit))
    }

    /// The failure detector.
    fn detector(&self, heartbeat: Duration, failure_timeout: Duration) -> BoxCore<DetectorEvent, DetectorAction> {
        Box::new(Detector::new(heartbeat, failure_timeout))
    }

    /// The block ledger.
    fn ledger(&self, limits: LedgerLimits) -> BoxCore<LedgerEvent, LedgerAction> {
        Box::new(Ledger::new(limits))
    }

    /// The stage tracker.
    fn tracker(&self, query: &Query, limits: TrackerLimits) -> BoxCore<TrackerEvent, TrackerAction> {
        Box::new(Tracker::new(query, limits))
    }

    /// The master, made of the three parts before it.
    fn master(&self, limits: MasterLimits, query: &Query) -> BoxCore<MasterEvent, MasterAction>;
}

/// The parts as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainCores;

impl CoreFactory for PlainCores {
    fn master(&self, limits: MasterLimits, query: &Query) -> BoxCore<MasterEvent, MasterAction> {
        Box::new(Master::new(limits, query, self))
    }
}
