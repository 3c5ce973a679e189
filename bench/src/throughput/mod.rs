//! `dstream bench throughput`: what an engine sustains on real processes, and what a record costs there.
//!
//! The engine's nodes and its load generators are processes of their own; generators send on a schedule, whatever the
//! engine does, and every result is checked. Beside it stands the best single-threaded program on the same input.
//! Invariant: no rate is told that was not sustained in a probe of its own.

mod plan;
mod probe;
mod search;
mod tell;
mod usage;

use crate::command_line::{Format, ThroughputArgs};
use crate::console::{self, Progress};
use crate::failure::{Ending, Failure};
use crate::interrupt::Interrupt;
use crate::setup::Setup;
use crate::yardstick::{self, Yardstick};
use dstream_scenarios::unit;
use plan::Probed;
use probe::{Probe, probe};
use search::{Search, Told};

/// The first rate that is tried, as a share of what one thread counts: near what a cluster sustains on as many cores as
/// it has processes.
const FIRST: f64 = 0.25;

/// The same where there is no yardstick, in records a second.
const FIRST_WITHOUT: f64 = 100_000.0;

/// What was measured of an engine.
pub struct Measured {
    /// Its name.
    pub engine: String,
    /// The probes, in the order in which they ran.
    pub probes: Vec<Probe>,
}

impl Measured {
    /// The highest rate that was sustained; where none was, the lowest one that was tried.
    fn best(&self) -> Option<&Probe> {
        let sustained = self.probes.iter().filter(|probe| probe.sustained);
        let least = || self.probes.iter().min_by(|one, other| one.rate.total_cmp(&other.rate));
        sustained.max_by(|one, other| one.rate.total_cmp(&other.rate)).or_else(least)
    }
}

/// Measures all engines that were asked for.
pub fn throughput(args: &ThroughputArgs, setup: &Setup) -> Result<Ending, Failure> {
    if args.hosts.is_some() {
        return Err(Failure::unbuilt("--hosts"));
    }
    if !usage::is_known() {
        return Err(Failure::usage("this system does not tell what processes use (there is no /proc)"));
    }
    let probed = Probed::read(args)?;
    let asked = asked(&args.rate)?;
    // What is wrong with job, file or options is said before anything runs.
    probed.plan(&args.engine, asked.unwrap_or(FIRST_WITHOUT), setup)?;
    let interrupt = Interrupt::by_signal();
    let yardstick = match probed.has_yardstick() {
        true => yardstick::measure(&probed.task(), &interrupt)?,
        false => None,
    };
    let mut all = Vec::new();
    for engine in &args.engine {
        if !interrupt.is_raised() {
            all.push(measure(&probed, engine, asked, yardstick, setup, &interrupt)?);
        }
    }
    all.retain(|measured| !measured.probes.is_empty());
    let text = match args.output.format {
        Format::Json => tell::json(&probed, asked, &all, yardstick, &args.source),
        Format::Text => tell::text(&probed, &all, yardstick, &args.source),
    };
    console::result(&text)?;
    let is_sustained = |measured: &Measured| measured.probes.iter().any(|probe| probe.sustained);
    Ok(match () {
        () if interrupt.is_raised() => Ending::Undecided,
        () if all.iter().all(is_sustained) => Ending::Good,
        () => Ending::Failed,
    })
}

/// The rate that was asked for; nothing for the highest one.
fn asked(text: &str) -> Result<Option<f64>, Failure> {
    if text == "max" {
        return Ok(None);
    }
    let rate = unit::per_second(text).map_err(|error| Failure::usage(format!("`--rate {text}`: {error}; or `max`")))?;
    if rate >= 1.0 { Ok(Some(rate)) } else { Err(Failure::usage(format!("`--rate {text}`: at least 1/s"))) }
}

fn measure(
    probed: &Probed,
    engine: &str,
    asked: Option<f64>,
    yardstick: Option<Yardstick>,
    setup: &Setup,
    interrupt: &Interrupt,
) -> Result<Measured, Failure> {
    let mut measured = Measured { engine: engine.to_owned(), probes: Vec::new() };
    let mut search = Search::from(yardstick.map_or(FIRST_WITHOUT, |yardstick| yardstick.records_per_s * FIRST));
    while let Some(rate) =
        asked.filter(|_| measured.probes.is_empty()).or_else(|| search.next().filter(|_| asked.is_none()))
    {
        let bar = Progress::new(&format!("{engine} at {rate:.0} records a second"), probed.lasts);
        let found = probe(probed, engine, rate, setup, interrupt);
        bar.finish();
        if interrupt.is_raised() {
            break;
        }
        let found = found?;
        console::log(&tell::line(engine, &found));
        search.tell(Told { rate, is_sustained: found.sustained, through: found.records_per_s });
        measured.probes.push(found);
    }
    Ok(measured)
}
