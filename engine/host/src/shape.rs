//! What worlds share to shape a node: the gate that a pause closes, the ledgers of cores and network cards, and what is
//! wrong with its durable store.
//!
//! Knows no world: nothing here sleeps or asks what time it is; whoever does is handed the moment to wait for.
//! Invariant: a gate lets nothing complete while it is closed, and a ledger never gives one lane to two works at a
//! time.

mod card;
mod gate;
mod ledger;
mod trouble;

pub use card::{Card, Direction, PIECE_BYTES, Slowness, Transfer};
pub use gate::{Gate, Held, Opened};
pub use ledger::{CoreLedger, Lane, transfer_time};
pub use trouble::{Access, STORE, StoreFault, StoreTrouble, StoreWay};
