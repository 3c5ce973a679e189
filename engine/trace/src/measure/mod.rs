//! Measuring a run: latency, what each fault did, cost and load, from nothing but the log.
//!
//! Knows no engine and no scenario file. Invariant: a pure function of the lines and of [`MeasureInput`]; definitions
//! are those of the contract's part 4, each in the file that is named after it.

mod cost;
mod effort;
mod facts;
mod fault;
mod fired;
mod flow;
mod interval;
mod latency;
mod members;
mod memory;
mod owner;
mod source;
mod story;
mod tables;
mod twin;
mod waiting;

pub use effort::Effort;
pub use facts::{Acked, Facts, FaultTimes, Fence, Joined, Lost, Reflected, Sealed, Sent, TaskFacts, Visible};
pub use fired::Effect;
pub use flow::FlowRow;
pub use interval::IntervalRow;
pub use latency::{Latencies, SecondRow};
pub use owner::{Owner, Owners};
pub use source::{Share, Shares};
pub use story::{Happening, NodeState};
pub use tables::{owners_csv, tasks_csv};
pub use twin::{Excess, Twin};

use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::NodeName;
use crate::result::{Cost, FaultResult, Load, MemoryUse, Percentiles, WaitedAtClients};
use std::time::Duration;

/// What the log does not say about the run.
#[derive(Clone, Debug)]
pub struct MeasureInput {
    /// Where interval 0 begins.
    pub origin: Moment,
    /// Latency, load, cost and faults count from here; so do all seconds in results and tables.
    pub warmup_end: Moment,
    /// Clients send nothing new after this.
    pub load_end: Moment,
    /// The end of the run.
    pub end: Moment,
    /// Length of an interval.
    pub interval: Duration,
    /// A result is on time if it is visible within this after its interval's end; `None`: taken from the run, see
    /// [`Measured::slo`].
    pub slo: Option<Duration>,
    /// What is added to the bound taken from the run: a tick in the simulator, 20 ms in the real world.
    pub slo_margin: Duration,
    /// How long a node may be silent before it counts as lost.
    pub failure_timeout: Duration,
    /// All outputs of the query.
    pub outputs: Vec<OutputFacts>,
    /// The planned faults, by number.
    pub faults: Vec<FaultFacts>,
    /// Worker nodes.
    pub workers: u32,
    /// Standbys and replicas beside them.
    pub heirs: u32,
    /// Cores of each of them.
    pub cores: u32,
    /// On how many workers an acknowledged record is promised to be.
    pub copies: u32,
    /// Nodes, without clients, store and sink.
    pub nodes: u32,
    /// What a network card carries, in each direction.
    pub bits_per_second: u64,
    /// Bytes that a record stands for: its own, times the scale.
    pub bytes_per_record: f64,
    /// Nodes that belong to the harness; they cost nothing.
    pub harness: Vec<NodeName>,
}

/// An output of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFacts {
    /// Its name.
    pub name: String,
    /// The stage whose tasks make it.
    pub stage: u32,
    /// It has a result at the end of every so many intervals: of interval `i` if `(i + 1) % every == 0`. From 1.
    pub every: u64,
}

/// A planned fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultFacts {
    /// Its place in the plan, from 0.
    pub number: u32,
    /// Its kind, as in the scenario.
    pub fault: String,
    /// The nodes it hits; of a fault between nodes, those of `between`.
    pub nodes: Vec<NodeName>,
    /// The other side of a fault between nodes; else empty.
    pub others: Vec<NodeName>,
    /// How it shows when it takes effect.
    pub effect: Effect,
    /// When it is due.
    pub due: Moment,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Of records that were due after the warm-up.
    pub latency: Percentiles,
    /// From a record's scheduled send to the first running result in which it shows; `None` where there are none.
    pub record_latency: Option<Percentiles>,
    /// The same as `latency`, of results visible before the first fault.
    pub latency_before_faults: Percentiles,
    /// What waited at the clients until it was acknowledged.
    pub waited_at_clients: WaitedAtClients,
    /// What each fault did, in the plan's order.
    pub faults: Vec<FaultResult>,
    /// When five intervals after each of them were on time, those of later faults included where they overlap.
    pub settled: Vec<Option<Moment>>,
    /// What the run cost.
    pub cost: Cost,
    /// Use of the resources while there was load.
    pub load: Load,
    /// What went between memory and disks; `None` where nothing did.
    pub memory: Option<MemoryUse>,
    /// The bound that was applied: the given one, or 1.5 times the largest delay between the warm-up's end and the
    /// first fault (where no interval lies between: before the first fault) plus the margin. `None` if nothing came
    /// before it.
    pub slo: Option<Duration>,
    /// One row an interval, from 0.
    pub intervals: Vec<IntervalRow>,
    /// One row a second with results, from the warm-up's end.
    pub seconds: Vec<SecondRow>,
    /// One row a second, warm-up included.
    pub flow: Vec<FlowRow>,
    /// When nodes were down, hit or declared lost.
    pub states: Vec<NodeState>,
    /// What the master said about members and copies.
    pub happenings: Vec<Happening>,
    /// What each recovery began with, in the plan's order.
    pub efforts: Vec<Effort>,
    /// When each planned fault was over, in the plan's order; `None` where it lasted, or was never applied.
    pub fault_ends: Vec<Option<Moment>>,
}

/// Measures a run.
pub fn measure(lines: &[TraceLine], facts: &Facts, input: &MeasureInput) -> Measured {
    let intervals = interval::rows(facts, input);
    let first_fault = facts.faults.values().filter_map(|times| times.applied).min();
    let latency = latency::latencies(facts, &intervals, input, first_fault);
    let slo = input.slo.or_else(|| interval::usual_delay(&intervals, input, first_fault));
    let (cost, load) = cost::cost_and_load(lines, facts, input);
    let (faults, settled) = fault::faults(lines, facts, &intervals, input, slo).into_iter().unzip();
    Measured {
        latency: latency.all.percentiles(),
        record_latency: (latency.records.count() > 0).then(|| latency.records.percentiles()),
        latency_before_faults: latency.before_faults.percentiles(),
        waited_at_clients: waiting::at_clients(facts, input),
        faults,
        settled,
        cost,
        load,
        memory: memory::memory_use(lines),
        slo,
        seconds: latency.seconds,
        flow: flow::flow(facts, &intervals, input),
        states: story::states(lines, input),
        happenings: story::happenings(lines),
        efforts: effort::efforts(lines, facts, input),
        fault_ends: input.faults.iter().map(|fault| facts.faults.get(&fault.number)?.ended).collect(),
        intervals,
    }
}

impl Measured {
    /// Fills in what the run has more than its twin.
    pub fn pair_with(&mut self, excess: &Excess) {
        self.cost.excess_cpu_s = excess.cpu_s;
        for (fault, area) in self.faults.iter_mut().zip(&excess.latency_s2) {
            fault.excess_latency_s2 = *area;
        }
    }
}

/// Seconds from `zero` to `at`, negative where `at` is earlier.
pub fn seconds_from(zero: Moment, at: Moment) -> f64 {
    (at.0 as f64 - zero.0 as f64) / 1e9
}
