//! Scenario files, workloads, oracle and checks. Knows no engine and no world by name.

pub mod address;
pub mod check;
mod compare;
pub mod context;
pub mod demo;
pub mod error;
pub mod hint;
pub mod nearest;
pub mod oracle;
pub mod paper;
pub mod plan;
mod resolve;
pub mod run_directory;
mod schema;
mod show;
mod spec;
pub mod swarm;
pub mod timeline;
pub mod unit;
mod witnesses;
pub mod workload;
mod yaml;

pub use context::{Context, EngineDeclaration, JobDeclaration};
pub use error::{ErrorKind, ScenarioError};
pub use resolve::load;
pub use schema::schema;
pub use show::to_yaml;
