//! What every engine needs and none owns: the engine trait, jobs, costs, client, acknowledgements, failure detector, sink.

pub mod cost;
pub mod engine;
pub mod job;
pub mod option;
pub mod spec;

pub use cost::Costs;
pub use engine::{Engine, EngineError, Promise};
pub use job::{JobError, JobSpec, LineSource, Registry};
pub use option::{OptionKind, OptionSpec, OptionValue, Options};
pub use spec::{ClusterSpec, Pace};
