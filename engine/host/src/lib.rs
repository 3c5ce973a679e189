//! What a node may ask of the world it runs in: seven values, handed over in one [`Host`].
//!
//! The same node runs on a simulated host and on a real one and cannot tell which. This crate knows no query and no
//! engine. Invariant: nothing here is global; two hosts in one process share nothing but what their world gives them.

pub mod contract;
pub mod facade;
pub mod frame;
pub mod leave;
pub mod peer;
pub mod random;
pub mod real;
pub mod shape;
pub mod world;

pub use facade::{
    BoxFuture, BoxIo, Clock, CoreTime, Cpu, Disk, DiskError, Host, Io, Listener, Net, Store, StoreError, Trace,
};
pub use leave::Leave;
pub use random::Random;
pub use world::{NodeError, NodeSpec, NodeStart, World, WorldError};
