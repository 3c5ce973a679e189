//! The worker: receives records, holds blocks and slices, computes tasks.

mod node;
pub mod receiver;
mod serve;
mod store;
mod task;

pub use node::{WorkerConfig, run};
pub use store::SharedHoldings;
pub use task::TaskContext;
