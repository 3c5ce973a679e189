//! The worker: receives records, holds blocks, slices and panes, computes tasks.

mod arrived;
mod beat;
mod blocks;
mod chain;
mod copies;
mod disk;
pub mod memory;
mod node;
pub mod receiver;
mod seats;
mod serve;
mod shelf;
mod state;
mod store;
mod tables;
mod task;

pub use chain::Chains;
pub use node::{MOST_WAITING_ENDS, SAVES_AT_ONCE, WorkerConfig, run};
pub use seats::Seats;
pub use store::{HeldBlock, Pane, SharedHoldings};
pub use task::TaskContext;
