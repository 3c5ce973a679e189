//! What a scenario may name: engines, jobs and worlds as declarations, and what the command line changes.
//!
//! The binary fills it in; nothing here knows an engine, a job or a world by name.

use crate::workload::ParamSpec;
use dstream_cluster::{Costs, JobSpec, OptionSpec, Options};
use dstream_trace::NodeName;
use std::fmt;
use std::sync::Arc;

/// Nanoseconds of one core that a byte of source record costs up to the first combine, fault tolerance off.
pub type MapCost = Arc<dyn Fn(&Costs, &Options) -> f64 + Send + Sync>;

/// The nodes that an engine adds to so many workers: standbys, replicas.
pub type Heirs = Arc<dyn Fn(u32, &Options) -> Vec<NodeName> + Send + Sync>;

/// Why an engine cannot run a job with these options; nothing if it can, or if there is no such job.
pub type Refuses = Arc<dyn Fn(&JobSpec, &Options) -> Option<String> + Send + Sync>;

/// An engine that a scenario may name.
#[derive(Clone)]
pub struct EngineDeclaration {
    /// Its name in scenario files.
    pub name: String,
    /// The options it takes.
    pub options: Vec<OptionSpec>,
    /// Whether this build has it. One that it lacks is refused by name.
    pub built: bool,
    /// Its cost of a byte, of which shares of the capacity (`rate: 50%`) are taken.
    pub map_ns_per_byte: MapCost,
    /// Its nodes beside master and workers.
    pub heirs: Heirs,
    /// Whether it recovers from the death of its master.
    pub recovers_master: bool,
    /// Whether workers may join a running job and leave it.
    pub moves: bool,
    /// What it cannot run.
    pub refuses: Refuses,
}

impl EngineDeclaration {
    /// An engine of this build that has no heirs and refuses nothing.
    pub fn new(name: impl Into<String>, options: Vec<OptionSpec>, map_ns_per_byte: MapCost) -> EngineDeclaration {
        let (heirs, refuses) = (Arc::new(|_: u32, _: &Options| Vec::new()), Arc::new(|_: &JobSpec, _: &Options| None));
        EngineDeclaration {
            name: name.into(),
            options,
            built: true,
            map_ns_per_byte,
            heirs,
            recovers_master: false,
            moves: false,
            refuses,
        }
    }

    /// An engine of the contract that this build does not have.
    pub fn unbuilt(name: impl Into<String>) -> EngineDeclaration {
        let map_ns_per_byte = Arc::new(|costs: &Costs, _: &Options| costs.map_ns_per_byte);
        EngineDeclaration { built: false, ..EngineDeclaration::new(name, Vec::new(), map_ns_per_byte) }
    }
}

impl fmt::Debug for EngineDeclaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {} (built: {}): {:?}", self.name, self.built, self.options)
    }
}

/// A job that a scenario may name.
#[derive(Clone, Debug)]
pub struct JobDeclaration {
    /// Its registered name.
    pub name: String,
    /// The parameters it takes.
    pub params: Vec<ParamSpec>,
    /// Whether this build has it. One that it lacks is refused by name.
    pub built: bool,
    /// Its entry under `map_ns_per_byte` of a cost file: `words` or `grep`.
    pub map_cost: String,
}

impl JobDeclaration {
    /// A job of the contract that this build does not have.
    pub fn unbuilt(name: impl Into<String>) -> JobDeclaration {
        JobDeclaration { name: name.into(), params: Vec::new(), built: false, map_cost: "words".to_string() }
    }
}

/// What a scenario may name, and what the command line changes.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The engines of the contract.
    pub engines: Vec<EngineDeclaration>,
    /// The registered jobs.
    pub jobs: Vec<JobDeclaration>,
    /// The worlds in which it is to run.
    pub worlds: Vec<String>,
    /// The seed, where it is not the file's (`--seed`).
    pub seed: Option<u64>,
    /// Values that replace the file's (`--set`), in order: path and value.
    pub sets: Vec<(String, String)>,
    /// The engines asked for (`--engine`), by label or name; empty: all that the scenario names.
    pub only: Vec<String>,
}
