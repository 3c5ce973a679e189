//! The master: seals intervals, hands out tasks, finds what a loss took and has it made again.

mod copies;
mod core;
pub mod ledger;
mod node;
mod placement;
mod run;
pub mod tracker;

pub use core::{Master, MasterAction, MasterEvent, MasterLimits};
pub use node::{MasterConfig, run};
