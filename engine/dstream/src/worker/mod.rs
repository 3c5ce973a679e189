//! The worker: receives records, holds blocks, slices and panes, computes tasks.

mod blocks;
mod chain;
mod copies;
mod node;
pub mod receiver;
mod seats;
mod serve;
mod state;
mod store;
mod tables;
mod task;

pub use chain::Chains;
pub use node::{WorkerConfig, run};
pub use seats::Seats;
pub use store::{HeldBlock, Pane, SharedHoldings};
pub use task::TaskContext;
