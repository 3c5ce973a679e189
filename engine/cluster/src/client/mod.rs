//! Clients: they send records at their due times and send them again until as many nodes as promised hold them.

mod core;
mod cut;
mod event;
mod kept;
mod leader;
mod line;
mod node;
mod schedule;
mod throttle;

pub use core::{Client, ClientLimits};
pub use cut::Cut;
pub use event::{ClientAction, ClientEvent};
pub use node::{ClientConfig, run};
pub use schedule::{Schedule, interval_of};
