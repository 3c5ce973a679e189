//! Scenario files, workloads, oracle and checks. Knows no engine and no world by name.

pub mod plan;
