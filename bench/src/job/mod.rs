//! `dstream job`: a registered job on real input, in this process or on a cluster, by the engine that the
//! simulator runs.
//!
//! Everything that the user can mend is looked at before anything starts. Invariant: what is written is whole
//! intervals, in order; memory does not grow with the job's length.

mod drive;
mod input;
mod order;
mod source;
mod table;
mod tap;
mod watch;
mod write;

use crate::cluster::{Asked, Board, Remote};
use crate::command_line::JobArgs;
use crate::console;
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::setup::Setup;
use crate::wall::Stopwatch;
use drive::{Elsewhere, Here, Reins};
use dstream_cluster::{JobError, JobSpec, Progress, Registry};
use dstream_kernel::OutputSpec;
use dstream_trace::Rows;
pub use order::{FAILURE_TIMEOUT, HEARTBEAT, lay_out_on_cluster};
use order::{Order, Place};
use source::{End, Source};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use table::Table;
use tap::{Tap, Valve};
use watch::{Watch, WholeInterval};
use write::{Destination, OutputName, Written};

/// The one client that reads the input.
const CLIENTS: u32 = 1;

/// Runs the job until its source ends.
pub fn job(args: &JobArgs, setup: &Setup) -> Result<Ending, Failure> {
    let order = Order::read(args)?;
    if matches!(order.place, Place::Cluster(_)) {
        console::begin_role("job");
    }
    let job = setup.workloads.job(&args.name, &order.params, order.interval).map_err(mendable)?;
    let outputs = setup.workloads.query(&job).map_err(mendable)?.outputs;
    let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
    let stop = Interrupt::new();
    // When this life began, and how many intervals earlier ones had sealed.
    let (began, interval) = (Arc::new(OnceLock::<(Stopwatch, u64)>::new()), order.interval);
    let (since, board) = (began.clone(), Arc::new(Board::default()));
    let (start_up, woken) = (order.place.start_up(), board.clone());
    // Before the source opens: whoever sees that it listens may press Ctrl-C.
    stop.raise_by_signal(move || {
        say_what_is_awaited(since.get(), start_up, interval);
        woken.wake();
    });
    let end = End { stop: stop.clone(), lasts: order.lasts };
    let source = Source::open(&order.source, order.rate_per_s, &end)?;
    Destination::check(&args.destination)?;
    let open = |run| Destination::open(&args.destination, args.output.format, &names, run);

    let plan = plan_of(&source, &job, setup)?;
    let brought = order.brought(job, &source, plan);
    let valve = Valve::default();
    let replaced = Arc::new(AtomicU64::new(0));
    let (written, written_below) = tokio::sync::watch::channel(0);
    let tap = Arc::new(Tap {
        inner: setup.workloads.clone(),
        source: Mutex::new(Some(source)),
        stop: stop.clone(),
        valve: valve.clone(),
        replaced: replaced.clone(),
        written_below: matches!(order.place, Place::Cluster(_)).then_some(written_below),
    });
    let due = outputs.iter().map(|output| (output.name.clone(), output.every));
    let watch = Watch::new(due, CLIENTS as usize);
    let table = Table::default();
    let results =
        |destination| Results { watch, outputs, destination, table, at_hand: None, written, copies_lack: false };
    let end_limit = matches!(order.place, Place::Cluster(_)).then(|| drive::end_limit(interval));
    let reins = Reins { stop: stop.clone(), valve, end_limit };
    let engine = setup.job_engine()?;
    let results = match order.place {
        Place::Here(cores) => {
            let mut results = results(open(None)?);
            let mut site = Here::start(&engine, &order::lay_out_here(&brought, cores), tap)?;
            began.get_or_init(|| (Stopwatch::start(), 0));
            drive::drive(&mut site, &mut results, &reins)?;
            results
        }
        Place::Cluster(master) => {
            let cluster = args.cluster.clone();
            let remote = Remote::ask(Asked { master, cluster, order: brought, engine, registry: tap }, board)?;
            let Some(begun) = remote.begun(&stop)? else { return Ok(Ending::Good) };
            let before = begun.progress.as_ref().map_or(0, |progress| progress.next);
            began.get_or_init(|| (Stopwatch::start(), before));
            let mut results = results(open(Some(begun.run))?);
            results.go_on(begun.progress.as_ref());
            let mut site = Elsewhere { remote, began: begun.began };
            drive::drive(&mut site, &mut results, &reins).inspect_err(|_| {
                console::log(&format!("results of intervals before {} are written", results.watch.intervals()));
            })?;
            site.remote.finish();
            results
        }
    };
    Ok(report(&results.watch, stop.is_raised(), replaced.load(Ordering::Relaxed)))
}

/// What other processes would need to know of the source.
fn plan_of(source: &Source, job: &JobSpec, setup: &Setup) -> Result<Vec<u8>, Failure> {
    match source {
        Source::Planned(plan, seed) => {
            Ok(setup.workloads.source_spec(job, plan, *seed, CLIENTS).map_err(mendable)?.to_bytes())
        }
        Source::Held(_) | Source::Live(_) => Ok(Vec::new()),
    }
}

/// After the first Ctrl-C: what the job still waits for.
fn say_what_is_awaited(since: Option<&(Stopwatch, u64)>, start_up: Duration, interval: Duration) {
    let (elapsed_s, before) = since.map_or((0.0, 0), |(watch, before)| (watch.seconds(), *before));
    let into = (elapsed_s - start_up.as_secs_f64()).max(0.0);
    let (number, length) = ((into / interval.as_secs_f64()).floor(), interval.as_secs_f64());
    let left = (number + 1.0) * length - into;
    let number = before + number as u64;
    console::log(&format!(
        "no more is read; the job ends with the results of interval {number}, which closes in {left:.1} s \
         (Ctrl-C again ends at once, without them)"
    ));
}

fn mendable(error: JobError) -> Failure {
    Failure::usage(error.to_string())
}

/// What the job has to show for itself, on stderr.
fn report(watch: &Watch, stopped: bool, replaced: u64) -> Ending {
    let (records, intervals) = (watch.records(), watch.intervals());
    let how = match (stopped, watch.lost()) {
        (true, 0) => "stopped, and everything read is in a result",
        (true, _) => "stopped",
        (false, _) => "the source ended",
    };
    console::log(&format!(
        "{how}: {records} {} in {intervals} {}",
        plural(records, "line"),
        plural(intervals, "interval")
    ));
    if replaced > 0 {
        console::log(&format!("{replaced} {} held invalid UTF-8, replaced by U+FFFD", plural(replaced, "line")));
    }
    match watch.lost() {
        0 => Ending::Good,
        lost => {
            console::log(&format!("{lost} {} missing from results: all copies were lost", plural(lost, "line")));
            Ending::Failed
        }
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
    table: Table,
    /// The interval that is being written, and how many of its outputs are.
    at_hand: Option<(WholeInterval, usize)>,
    /// Says below which interval all are written.
    written: tokio::sync::watch::Sender<u64>,
    /// Whether some records have fewer copies than promised.
    copies_lack: bool,
}

impl Results {
    /// Writes every interval that is whole, as far as there is room.
    fn write_whole(&mut self) -> Result<Written, Failure> {
        loop {
            if self.at_hand.is_none() {
                self.at_hand = self.watch.next_whole().map(|whole| (whole, 0));
            }
            let Some((whole, done)) = &mut self.at_hand else { return Ok(Written::Whole) };
            while let Some(output) = self.outputs.get(*done) {
                let Some(rows) = whole.outputs.get(&output.name) else {
                    *done += 1; // not due in this interval
                    continue;
                };
                render(output, rows, &mut self.table)?;
                let name = OutputName { name: output.name.clone(), value_is_json: output.value_is_json };
                match self.destination.write(&name, whole.number, &self.table)? {
                    Written::Whole => *done += 1,
                    no_room => return Ok(no_room),
                }
            }
            self.written.send_replace(whole.number + 1);
            self.at_hand = None;
        }
    }

    /// Earlier lives of the job had come as far as this.
    fn go_on(&mut self, progress: Option<&Progress>) {
        let Some(Progress { next, below, over }) = progress else { return };
        let again = match next - below {
            0 => String::new(),
            _ => format!("; results from interval {below} on are computed and written again"),
        };
        console::log(&format!("the job goes on from interval {next}{again}"));
        self.watch.goes_on(*below, over);
        self.written.send_replace(*below);
    }

    /// Whether everything that was read is in a result that is written.
    fn is_finished(&self) -> bool {
        self.at_hand.is_none() && self.watch.is_finished()
    }
}

/// One output of the interval, sorted.
fn render(output: &OutputSpec, parts: &[Rows], table: &mut Table) -> Result<(), Failure> {
    table.clear();
    for rows in parts {
        let unreadable = |error| Failure::broken(format!("output `{}` is unreadable: {error}", output.name));
        for (key, value) in (output.render)(&rows.0).map_err(unreadable)? {
            table.push(&key, &value);
        }
    }
    table.sort();
    Ok(())
}
