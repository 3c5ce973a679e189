//! `dstream` with one engine more: every command knows `stop-and-recompute`, in both worlds.

use dstream::Setup;
use std::process::ExitCode;
use stop_and_recompute::StopAndRecompute;

fn main() -> ExitCode {
    dstream::run_main(std::env::args_os(), &Setup::built_in().with_engine(StopAndRecompute))
}
