//! The master: seals intervals, hands out tasks, finds what a loss took and has it made again.

mod accounting;
mod book;
mod checkpoint;
mod copies;
mod core;
#[cfg(test)]
mod core_tests;
mod flow;
pub mod journal;
mod leaving;
pub mod ledger;
mod lineage;
mod members;
mod node;
mod pace;
mod panes;
mod placement;
mod program;
mod replaying;
mod results;
mod run;
mod scale;
mod schedule;
mod scribe;
mod spares;
mod takeover;
mod term;
pub mod tracker;
mod trimming;
mod words;
mod writing;

pub use copies::in_turn;
pub use core::{Master, MasterAction, MasterEvent, MasterLimits};
pub use node::{MasterConfig, run};
pub use program::{KeptSchema, Program};
pub use scribe::progress;
pub use takeover::first_epoch;
