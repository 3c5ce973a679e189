//! The master of a continuous engine: who lives, who runs and holds what, and from where a heir begins.
//!
//! It is not on the way of the data: without it everything goes on until a node is lost or buffers are full. But nothing is
//! acknowledged of which it does not know.

mod balance;
mod border;
mod clients;
mod core;
mod holdings;
mod plan;
mod saved;
mod shell;
mod standing;

pub use self::core::{Master, MasterAction, MasterEvent, MasterLimits};
pub use self::plan::{Border, Heir, Redundancy};
pub use self::shell::{MasterConfig, run};
