//! Discretized streams: when and where each small batch computation runs.
//!
//! A stream is a series of small deterministic batch computations whose lost parts are computed again, in parallel (Zaharia
//! et al., SOSP 2013). Knows no baseline, no scenario and no simulator.

pub mod cores;
mod engine;
mod log;
pub mod master;
pub mod message;
pub mod options;
mod replay;
pub mod usual;
pub mod worker;

pub use engine::DStreams;
pub use options::AWAITS_WRITING;
