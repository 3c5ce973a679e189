//! `dstream job`: a registered job on real input, in this process, by the same engine that the simulator runs.
//!
//! Everything that the user can mend is looked at before anything starts. Invariant: what is written is whole
//! intervals, in order; memory does not grow with the job's length.

mod drive;
mod input;
mod order;
mod table;
mod tap;
mod watch;
mod write;

use crate::command_line::JobArgs;
use crate::console;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::setup::Setup;
use crate::unbuilt;
use dstream_cluster::{JobError, Registry};
use dstream_kernel::OutputSpec;
use dstream_scenarios::plan::SourcePlan;
use order::Order;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tap::Tap;
use watch::Watch;
use write::Destination;

/// The engine that runs jobs.
const ENGINE: &str = "dstream";

/// The one client that reads the input.
const CLIENTS: u32 = 1;

/// Runs the job until its source ends.
pub fn job(args: &JobArgs, setup: &Setup) -> Result<Ending, Failure> {
    let order = Order::read(args)?;
    unbuilt::refuse_job(&args.name, setup.workloads.get(&args.name).is_ok())?;
    let job = setup.workloads.job(&args.name, &order.params).map_err(mendable)?;
    let paths = input::find(&order.pattern)?;
    input::check_lines(&paths)?;
    let outputs = setup.workloads.query(&job).map_err(mendable)?.outputs;
    let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
    let destination = Destination::open(&args.destination, args.output.format, &names)?;

    let plan = SourcePlan::File { paths, rate_per_s: order.rate_per_s };
    let source = setup.workloads.source_spec(&job, &plan, 0, CLIENTS).map_err(mendable)?.to_bytes();
    let cluster = order.cluster(job, source);
    let stop = Interrupt::by_signal();
    let replaced = Arc::new(AtomicU64::new(0));
    let tap = Tap { inner: setup.workloads.clone(), stop: stop.clone(), replaced: replaced.clone() };
    let mut results =
        Results { watch: Watch::new(names, CLIENTS as usize), outputs, destination, table: table::Table::default() };
    let engine = setup.engine(ENGINE).ok_or_else(|| Failure::broken("this binary has no engine that runs jobs"))?;
    drive::drive(&engine, &cluster, Arc::new(tap), &mut results)?;
    report(&results.watch, stop.is_raised(), replaced.load(Ordering::Relaxed));
    Ok(Ending::Good)
}

fn mendable(error: JobError) -> Failure {
    Failure::usage(error.to_string())
}

/// What the job has to show for itself, on stderr.
fn report(watch: &Watch, stopped: bool, replaced: u64) {
    let (records, intervals) = (watch.records(), watch.intervals());
    let how = if stopped { "stopped, and everything read is in a result" } else { "the source ended" };
    console::log(&format!(
        "{how}: {records} {} in {intervals} {}",
        plural(records, "line"),
        plural(intervals, "interval")
    ));
    if replaced > 0 {
        console::log(&format!("{replaced} {} held invalid UTF-8, replaced by U+FFFD", plural(replaced, "line")));
    }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_string() } else { format!("{word}s") }
}

/// Where results go, and what is known of them.
struct Results {
    watch: Watch,
    outputs: Vec<OutputSpec>,
    destination: Destination,
    table: table::Table,
}

impl Results {
    /// Writes every interval that is whole.
    fn write_whole(&mut self) -> Result<(), Failure> {
        while let Some(whole) = self.watch.next_whole() {
            for output in &self.outputs {
                self.table.clear();
                for rows in &whole.outputs[&output.name] {
                    let unreadable =
                        |error| Failure::broken(format!("output `{}` is unreadable: {error}", output.name));
                    for (key, value) in (output.render)(&rows.0).map_err(unreadable)? {
                        self.table.push(&key, &value);
                    }
                }
                self.table.sort();
                self.destination.write(&output.name, whole.number, &self.table)?;
            }
        }
        Ok(())
    }
}
