//! The continuous-operator engines that D-Streams is compared with: upstream backup and hot replication.
//!
//! Both are the same long-lived operators on the same kernel with another answer to one question: who has what, when a node
//! is lost? [`continuous`] is what they share. The crate knows neither the D-Streams engine, nor
//! scenarios, nor the simulator.

pub mod continuous;
mod hot;
mod options;
mod upstream;

pub use hot::HotReplication;
pub use upstream::UpstreamBackup;
