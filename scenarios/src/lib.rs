//! Scenario files, workloads, oracle and checks. Knows no engine and no world by name.

pub mod check;
pub mod oracle;
pub mod plan;
pub mod run_directory;
pub mod timeline;
pub mod workload;
