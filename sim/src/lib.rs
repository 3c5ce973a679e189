//! The deterministic world: nodes on a simulated network, in virtual time. turmoil lives here and nowhere else.
//!
//! Knows hosts and events; no engine, no scenario, no kernel. Everything that turmoil does not model (bandwidth, time
//! of cores, pause, the durable store) is modelled here. Invariant: the same seed and the same calls give the same log,
//! byte for byte, in any process and any build.

mod clock;
mod config;
mod cpu;
mod disk;
mod fabric;
mod life;
mod link;
mod net;
mod node;
mod shared;
mod store;
mod stream;
mod trace;
mod window;
mod world;

pub use config::SimConfig;
pub use world::SimWorld;
