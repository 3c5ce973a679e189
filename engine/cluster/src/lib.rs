//! What every engine needs and none owns: the engine trait, jobs, costs, client, acknowledgements, failure detector, sink.

pub mod client;
pub mod core;
pub mod cost;
pub mod detector;
pub mod engine;
pub mod job;
pub mod layout;
pub mod lease;
pub mod message;
pub mod option;
pub mod sink;
pub mod spec;

pub use cost::Costs;
pub use engine::{Engine, EngineError, Progress, Promise};
pub use job::{JobError, JobSpec, LineSource, Registry};
pub use option::{OptionKind, OptionSpec, OptionValue, Options};
pub use spec::{ClusterSpec, Pace};
