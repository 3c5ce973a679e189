//! The sink: where results become visible. It belongs to the harness; no fault hits it.

mod ask;
mod core;
mod node;

pub use ask::fence;
pub use core::{Sink, SinkAction, SinkEvent};
pub use node::{SinkConfig, run};
