//! The binary `dstream`: the built-in jobs and engines, and nothing of its own.

use std::process::ExitCode;

/// Combine tables and blocks are large and short-lived: the system's allocator would map and unmap them each time.
#[global_allocator]
static MEMORY: dstream::Memory = dstream::Memory;

fn main() -> ExitCode {
    dstream::run_main(std::env::args_os(), &dstream::Setup::built_in())
}
