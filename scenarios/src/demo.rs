//! The scenario of `dstream demo`, which is part of the program, so that it works wherever it is started.

/// Where it lies in the repository.
pub const PATH: &str = "scenarios/demo.yaml";

/// Its text.
pub const TEXT: &str = include_str!("../demo.yaml");
