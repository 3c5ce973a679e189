//! Clients: they send records at their due times and send them again until as many nodes as promised hold them.

mod core;
mod cut;
mod kept;
mod leader;
mod node;
mod schedule;
mod throttle;

pub use core::{Client, ClientAction, ClientEvent, ClientLimits};
pub use cut::Cut;
pub use node::{ClientConfig, run};
pub use schedule::{Schedule, interval_of};
