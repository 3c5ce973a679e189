//! The `dstream` binary as a library, and the facade that users' crates depend on.
//!
//! A crate with jobs of its own has a `main` of three lines: it makes a `Setup`, adds its jobs and calls [`run_main`]; so
//! every node of its cluster finds the same jobs by name. This is the roof: it knows every crate, and none knows it.

mod command_line;
mod compare;
mod console;
mod failure;
mod interrupt;
mod job;
mod unbuilt;

pub use compare::{Comparison, Difference, compare_traces};
pub use failure::{Ending, Failure};
