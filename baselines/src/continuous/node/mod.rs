//! A node of a continuous engine: the partitions it runs, the input it holds, its channels.
//!
//! `core` decides, `shell` does. The core's parts: `input` (what clients send), `channel` (what operators send each other),
//! `work` (what operators do and what becomes of it), `restore` (how a partition comes here and goes), `copy`
//! (how it comes to another replica), `clients` (clients that die and return), `tentative` (late
//! results shown before all their input is there).

mod channel;
mod clients;
mod copy;
mod core;
mod event;
mod input;
mod noting;
mod restore;
mod room;
mod shell;
mod tentative;
#[cfg(test)]
mod testing;
mod work;

pub use self::core::{Node, NodeLimits, Rules};
pub use self::event::{NodeAction, NodeEvent};
pub use self::input::places;
pub use self::shell::{NodeConfig, run};
pub use self::work::{Done, Work, WorkDone};
