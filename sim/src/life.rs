//! One life of a node, from start to crash: its gate, its cores, its network card.
//!
//! Knows no software. Invariant: nothing here outlives the life, so a restarted node begins with idle cores and an open
//! gate; what has to outlive it (how slow cores and network card are) is the node's and is handed in.

use crate::cpu::Cores;
use crate::fabric::Fabric;
use dstream_host::Leave;
use dstream_host::shape::{Card, Direction, Gate};
use dstream_trace::{Event, Moment, NodeName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One life of a node.
#[derive(Debug)]
pub(crate) struct Life {
    pub node: NodeName,
    pub incarnation: u64,
    pub fabric: Arc<Fabric>,
    pub gate: Gate,
    pub cores: Cores,
    /// Whether it is to end by itself.
    pub leave: Leave,
    card: Card,
    listening: AtomicBool,
    alive: AtomicBool,
}

impl Life {
    pub fn new(node: NodeName, incarnation: u64, fabric: Arc<Fabric>, cores: Cores, card: Card) -> Life {
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
            leave: Leave::unasked(),
            card,
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

    /// Work on the cores takes `factor` times its cost, also what they had not done by `since`.
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
        let transfer = self.card.transfer(self.now(), direction, bytes, Duration::ZERO);
        if let Some(factor) = transfer.stretched {
            self.record(Event::TransferStretched { factor });
        }
        transfer.until
    }
}
