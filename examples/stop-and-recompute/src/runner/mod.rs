//! A worker: idle, or the runner, which keeps the log and computes everything.

mod core;
mod event;
mod shell;

pub use core::Runner;
pub use event::{Limits, RunnerAction, RunnerEvent};
pub use shell::{WorkerConfig, run};
