//! The binary `dstream`: the built-in jobs and engines, and nothing of its own.
fn main() {}
