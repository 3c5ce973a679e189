//! The `dstream` binary as a library, and the facade that users' crates depend on.
//!
//! A crate with jobs of its own has a `main` of three lines: it makes a [`Setup`], adds its jobs and calls
//! [`run_main`]; so every node of its cluster finds the same jobs by name. This is the roof: it knows every crate, and
//! none knows it.
//!
//! ```no_run
//! use dstream::{Expected, JobError, Oracle, ParamSpec, Params, Query, QueryBuilder, Setup, Window, Workload};
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! /// Counts lines by their first word, over the last ten seconds.
//! struct ByHost;
//!
//! /// Ten seconds as a number of intervals.
//! fn window(interval: Duration) -> Window {
//!     Window::of(10_000 / interval.as_millis().max(1) as u64).unwrap_or(Window::ONE)
//! }
//!
//! impl Workload for ByHost {
//!     fn name(&self) -> &'static str { "by-host" }
//!     fn about(&self) -> &'static str { "counts lines by their first word; output `hosts`: host, lines" }
//!     fn params(&self) -> Vec<ParamSpec> { Vec::new() }
//!
//!     fn query(&self, _params: &Params, interval: Duration) -> Result<Query, JobError> {
//!         let builder = QueryBuilder::new();
//!         let host = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
//!         let hosts = builder.lines().map_owned::<(String, u64)>(move |line| (host(line), 1));
//!         hosts.reduce_by_key_and_window(|a, b| a + b, window(interval)).output("hosts");
//!         builder.build().map_err(|error| JobError(error.to_string()))
//!     }
//!
//!     fn oracle(&self, _params: &Params, interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
//!         Ok(Box::new(Count { length: window(interval).length.get(), lines: BTreeMap::new() }))
//!     }
//! }
//!
//! /// The same in plain code, which scenarios check the engine against.
//! struct Count {
//!     length: u64,
//!     /// interval -> its hosts, one for each line
//!     lines: BTreeMap<u64, Vec<String>>,
//! }
//!
//! impl Oracle for Count {
//!     fn line(&mut self, interval: u64, line: &[u8]) {
//!         let line = String::from_utf8_lossy(line);
//!         let host = line.split(' ').next().unwrap_or("").to_owned();
//!         self.lines.entry(interval).or_default().push(host);
//!     }
//!
//!     fn finish(&mut self, interval: u64) -> Expected {
//!         let first = (interval + 1).saturating_sub(self.length);
//!         self.lines.retain(|open, _| *open >= first);
//!         let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
//!         for host in self.lines.range(first..=interval).flat_map(|(_, hosts)| hosts) {
//!             *counts.entry(host).or_default() += 1;
//!         }
//!         let rows = counts.into_iter().map(|(host, count)| (host.clone(), count.to_string()));
//!         Expected::from([("hosts".to_owned(), rows.collect())])
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     dstream::run_main(std::env::args_os(), &Setup::built_in().with_job(ByHost))
//! }
//! ```

mod check;
mod cluster;
mod command_line;
mod compare;
pub mod conformance;
mod console;
mod demo;
pub mod engine;
mod execution;
mod explain;
mod failure;
mod interrupt;
mod job;
mod jobs;
mod judge;
mod load;
mod memory;
mod meta;
mod paper;
mod replay;
mod report;
mod run;
mod schema;
mod scratch;
mod setup;
mod simulation;
mod store;
mod swarm;
mod tcp;
mod throughput;
mod twin;
mod unbuilt;
mod wall;
pub mod yardstick;

pub use compare::{Comparison, Difference, compare_traces};
pub use dstream_cluster::{Engine, JobError, JobSpec, LineSource, Registry};
pub use dstream_kernel::{DStream, Emitted, Ordered, Query, QueryBuilder, Record, Touched, Window};
pub use dstream_scenarios::check::Outcome;
pub use dstream_scenarios::oracle::{Expected, Oracle};
pub use dstream_scenarios::workload::{Covers, ParamKind, ParamSpec, Params, Workload, Workloads};
pub use execution::Execution;
pub use failure::{Ending, Failure};
pub use interrupt::Interrupt;
pub use judge::judge;
pub use load::{Overrides, draw_scenario, load_scenario};
pub use memory::Memory;
pub use schema::scenario_schema;
pub use setup::Setup;
pub use simulation::simulate;
pub use tcp::{begin_node, run_on_tcp};

use clap::Parser as _;
use clap::error::ErrorKind;
use command_line::{BenchCommand, Command, CommandLine};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;

/// Does what the command line `words` (the program's name first) says, and answers with the process's exit code.
pub fn run_main(words: impl IntoIterator<Item = OsString>, setup: &Setup) -> ExitCode {
    std::panic::set_hook(Box::new(say_where));
    let words: Vec<OsString> = words.into_iter().collect();
    let ended = catch_unwind(AssertUnwindSafe(|| execute(&words, setup)));
    let ending = match ended {
        Ok(Ok(ending)) => ending,
        Ok(Err(failure)) => {
            if !failure.message.is_empty() {
                console::log(&failure.message);
            }
            failure.ending
        }
        Err(_) => {
            console::log("dstream itself failed; the line above says where");
            Ending::Broken
        }
    };
    ending.into()
}

/// Replaces the standard message of a panic: one line, what and where, whichever thread it was.
fn say_where(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_string(), ToString::to_string);
    let what = panic.payload_as_str().unwrap_or("no message");
    console::log(&format!("panic at {place}: {what}"));
}

fn execute(words: &[OsString], setup: &Setup) -> Result<Ending, Failure> {
    let plain: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    unbuilt::refuse_command(&plain)?;
    let line = match CommandLine::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => return explain_usage(&error),
    };
    match line.command {
        Command::Demo(args) => demo::demo(&args, setup),
        Command::Run(args) => run::run(&args, setup),
        Command::Report(args) => report::report(&args),
        Command::Schema(_) => schema::schema(setup),
        Command::Check(args) => check::check(&args, setup),
        Command::Explain(args) => explain::explain(&args, setup),
        Command::Meta(args) => meta::meta(&args, setup),
        Command::Swarm(args) => swarm::swarm(&args, setup),
        Command::Paper(args) => paper::paper(&args, setup),
        Command::Replay(args) => replay::replay(&args, setup),
        Command::WriteTrace(args) => meta::write_trace(&args, setup),
        Command::Jobs(args) => jobs::jobs(&args, setup),
        Command::Job(args) => job::job(&args, setup),
        Command::Bench(BenchCommand::Throughput(args)) => throughput::throughput(&args, setup),
        Command::Node(_) => tcp::node(setup),
        Command::Master(args) => cluster::master(&args, setup),
        Command::Worker(args) => cluster::worker(&args, setup),
    }
}

/// Help and version are answers; everything else that cannot be parsed is the user's to mend.
fn explain_usage(error: &clap::Error) -> Result<Ending, Failure> {
    // A closed pipe is no reason to fail differently.
    error.print().ok();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Ending::Good),
        _ => Ok(Ending::Usage),
    }
}
