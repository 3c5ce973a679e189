//! The master: who lives, and who of them is the runner.

mod core;
mod shell;

pub use core::{Limits, Master, MasterAction, MasterEvent};
pub use shell::{MasterConfig, run};
