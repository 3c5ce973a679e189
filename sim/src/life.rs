//! One life of a node, from start to crash: its gate, its cores, its network card.
//!
//! Knows no software. Invariant: nothing here outlives the life, so a restarted node begins with idle cores and an open
//! gate; what has to outlive it (the straggler factor) is the node's and is handed in.

use crate::cpu::Cores;
use crate::fabric::Fabric;
use dstream_host::shape::{Gate, Lane, transfer_time};
use dstream_trace::{Event, Moment, NodeName};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One life of a node.
#[derive(Debug)]
pub(crate) struct Life {
    pub node: NodeName,
    pub incarnation: u64,
    pub fabric: Arc<Fabric>,
    pub gate: Gate,
    pub cores: Cores,
    /// Of the network card in each direction; none is unlimited.
    bits_per_second: Option<u64>,
    egress: Mutex<Lane>,
    ingress: Mutex<Lane>,
    listening: AtomicBool,
    alive: AtomicBool,
}

/// A direction of the network card, as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Egress,
    Ingress,
}

impl Life {
    pub fn new(
        node: NodeName,
        incarnation: u64,
        fabric: Arc<Fabric>,
        cores: Cores,
        bits_per_second: Option<u64>,
    ) -> Life {
        let gate = Gate::new({
            let (fabric, node) = (fabric.clone(), node.clone());
            move || fabric.record(&node, Event::HeldByPause)
        });
        Life {
            node,
            incarnation,
            fabric,
            gate,
            cores,
            bits_per_second,
            egress: Mutex::default(),
            ingress: Mutex::default(),
            listening: AtomicBool::new(false),
            alive: AtomicBool::new(true),
        }
    }

    /// Time since the world started.
    pub fn now(&self) -> Moment {
        self.fabric.now()
    }

    /// Records an event of this life; nothing once it is over, although its tasks are still being dropped.
    pub fn record(&self, event: Event) {
        if self.alive.load(Ordering::Relaxed) {
            self.fabric.record(&self.node, event);
        }
    }

    /// Work on the task cores takes `factor` times its cost, also what they had not done by `since`.
    pub fn slow(&self, since: Moment, factor: f64) {
        for factor in self.cores.slow(since, factor) {
            self.record(Event::WorkStretched { factor });
        }
    }

    /// The life is over.
    pub fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
        self.listening.store(false, Ordering::Relaxed);
    }

    /// Whether connects reach it.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Connects reach it from now on, or no longer.
    pub fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Relaxed);
    }

    /// Gives the network card `bytes` more to move; returns when it has moved them.
    pub fn transfer(&self, direction: Direction, bytes: u64) -> Moment {
        let now = self.now();
        let Some(bits_per_second) = self.bits_per_second else { return now };
        let lane = match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        };
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.charge(now, transfer_time(bytes, bits_per_second), Duration::ZERO)
    }
}
