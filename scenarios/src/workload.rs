//! Workloads: what can be run, one small file each. A workload is a query and its oracle over a source of lines.
//!
//! The registry rebuilds both from names and parameters on every node. It knows no engine and no world. Invariant: the
//! same (name, parameters, source, client) gives the same query and the same lines, on every machine.

mod file;
mod generate;
mod grep;
mod param;
mod pool;
mod sessions;
mod sliding;
mod top_k;
mod vocabulary;
mod word_count;
mod zipf;

pub use file::{FileLines, LONGEST_LINE_BYTES};
pub use generate::{GeneratedLines, MOST_KEYS};
pub use grep::Grep;
pub use param::{Covers, OFF, ParamKind, ParamSpec};
pub use pool::{POOL_BYTES_MAX, PoolLines};
pub use sessions::Sessions;
pub use top_k::TopK;
pub use word_count::WordCount;

use crate::oracle::Oracle;
use crate::plan::SourcePlan;
use dstream_cluster::{JobError, JobSpec, LineSource, Registry};
use dstream_kernel::Query;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Parameters of a job by name, as text.
pub type Params = BTreeMap<String, String>;

/// A registered job with what is needed to test it.
pub trait Workload: Send + Sync {
    /// Its name in scenario files and on the command line.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn about(&self) -> &'static str;

    /// The parameters it takes.
    fn params(&self) -> Vec<ParamSpec>;

    /// The program, for intervals of this length.
    fn query(&self, params: &Params, interval: Duration) -> Result<Query, JobError>;

    /// The same answer, computed in plain code that shares nothing with the kernel.
    fn oracle(&self, params: &Params, interval: Duration) -> Result<Box<dyn Oracle>, JobError>;

    /// The text that the generator's needle records contain.
    fn needle(&self, _params: &Params) -> String {
        "needle".to_owned()
    }

    /// The entry under `map_ns_per_byte` of a cost file that says what its first stage costs: `words` or `grep`.
    fn map_cost(&self) -> &'static str {
        "words"
    }
}

/// What a node needs to open its share of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Where the records come from.
    pub plan: SourcePlan,
    /// Draws generated records.
    pub seed: u64,
    /// How many clients share the source.
    pub clients: u32,
    /// What generated needle records contain.
    pub needle: String,
}

impl SourceSpec {
    /// The form that travels in a cluster's description.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a source is plain data with text keys, which JSON always encodes")
    }

    /// Opens the share of client `client`, from its beginning. Clients count from 1.
    pub fn open(&self, client: u32) -> Result<Box<dyn LineSource>, JobError> {
        if client == 0 || client > self.clients {
            return Err(JobError(format!("there is no client {client}: clients count from 1 to {}", self.clients)));
        }
        match &self.plan {
            SourcePlan::Generate { .. } => Ok(Box::new(GeneratedLines::new(self, client)?)),
            SourcePlan::File { paths, .. } => Ok(Box::new(FileLines::new(paths.clone(), client, self.clients))),
            SourcePlan::Pool { path, .. } => Ok(Box::new(PoolLines::read(path, client, self.clients)?)),
        }
    }
}

/// The jobs that a binary knows.
pub struct Workloads {
    jobs: BTreeMap<&'static str, Box<dyn Workload>>,
    build: u64,
}

impl Workloads {
    /// The jobs that come with the software.
    pub fn built_in() -> Workloads {
        let mut workloads = Workloads { jobs: BTreeMap::new(), build: 0 };
        workloads.register(Box::new(WordCount));
        workloads.register(Box::new(Grep));
        workloads.register(Box::new(Sessions));
        workloads.register(Box::new(TopK));
        workloads
    }

    /// The same, with a number that tells this build of the jobs' functions from others.
    pub fn of_build(self, build: u64) -> Workloads {
        Workloads { build, ..self }
    }

    /// Adds a job; one of the same name is replaced.
    pub fn register(&mut self, workload: Box<dyn Workload>) {
        self.jobs.insert(workload.name(), workload);
    }

    /// All jobs, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Workload> {
        self.jobs.values().map(AsRef::as_ref)
    }

    /// The job of that name.
    pub fn get(&self, name: &str) -> Result<&dyn Workload, JobError> {
        let unknown = || {
            let names: Vec<&str> = self.jobs.keys().copied().collect();
            JobError(format!("there is no job `{name}`; registered jobs: {}", names.join(", ")))
        };
        self.jobs.get(name).map(AsRef::as_ref).ok_or_else(unknown)
    }

    /// A job with all its parameters, defaults filled in and values checked, for intervals of this length.
    pub fn job(&self, name: &str, given: &Params, interval: Duration) -> Result<JobSpec, JobError> {
        let specs = self.get(name)?.params();
        for (param, value) in given {
            let Some(spec) = specs.iter().find(|spec| spec.name == param) else {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
                return Err(JobError(format!(
                    "job `{name}` takes no parameter `{param}`; it takes: {}",
                    names.join(", ")
                )));
            };
            if spec.unbuilt && value != spec.default {
                let default = spec.default;
                return Err(JobError(format!(
                    "`{param}={value}` of job `{name}` is not built yet; only `{param}={default}` is"
                )));
            }
        }
        let value = |spec: &ParamSpec| given.get(spec.name).cloned().unwrap_or_else(|| spec.default.to_owned());
        let params: Params = specs.iter().map(|spec| (spec.name.to_owned(), value(spec))).collect();
        for spec in &specs {
            let checked = spec.check(&params[spec.name], &params, interval);
            checked.map_err(|error| JobError(format!("job `{name}`: {}", error.message)))?;
        }
        Ok(JobSpec { name: name.to_owned(), params, interval })
    }

    /// The source of a job, ready to travel.
    pub fn source_spec(
        &self,
        job: &JobSpec,
        plan: &SourcePlan,
        seed: u64,
        clients: u32,
    ) -> Result<SourceSpec, JobError> {
        let kind = self.get(&job.name)?;
        // What is read is the same whatever the job looks for in it.
        let needle = match plan {
            SourcePlan::Generate { .. } => kind.needle(&job.params),
            _ => String::new(),
        };
        Ok(SourceSpec { plan: plan.clone(), seed, clients, needle })
    }

    /// The oracle of a job.
    pub fn oracle(&self, job: &JobSpec) -> Result<Box<dyn Oracle>, JobError> {
        self.get(&job.name)?.oracle(&job.params, job.interval)
    }
}

impl Registry for Workloads {
    fn build(&self) -> u64 {
        self.build
    }

    fn query(&self, job: &JobSpec) -> Result<Query, JobError> {
        self.get(&job.name)?.query(&job.params, job.interval)
    }

    fn source(&self, source: &[u8], client: u32) -> Result<Box<dyn LineSource>, JobError> {
        let unreadable = |error| JobError(format!("the source's description is damaged: {error}"));
        let spec: SourceSpec = serde_json::from_slice(source).map_err(unreadable)?;
        spec.open(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn params(given: &[(&str, &str)]) -> Params {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What a job's oracle and its query make of lines such as `2 words of interval 2`, by interval: the output's name and
    /// its rows by key.
    pub(super) fn check(job: &dyn Workload, given: &[(&str, &str)], lines: &[&str], expected: &[&str]) {
        let mut oracle = job.oracle(&params(given), SECOND).unwrap();
        for line in lines {
            let (interval, line) = line.split_once(' ').unwrap();
            oracle.line(interval.parse().unwrap(), line.as_bytes());
        }
        for (expected, interval) in expected.iter().zip(0..) {
            let show = |(output, rows): (String, BTreeMap<String, String>)| {
                let rows: Vec<String> = rows.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
                format!("{output} {}", rows.join(", "))
            };
            let seen: Vec<String> = oracle.finish(interval).into_iter().map(show).collect();
            assert_eq!(seen.concat(), *expected, "{} in interval {interval}", job.name());
        }
    }

    fn check_params(name: &str, given: &[(&str, &str)], expected: Result<&[(&str, &str)], &str>) {
        let seen = Workloads::built_in().job(name, &params(given), SECOND);
        match expected {
            Ok(expected) => assert_eq!(seen.unwrap().params, params(expected)),
            Err(part) => {
                let error = seen.unwrap_err().0;
                assert!(error.contains(part), "`{error}` does not say `{part}`");
            }
        }
    }

    #[test]
    fn parameters_are_filled_in_and_strangers_are_refused() {
        check_params("word-count", &[], Ok(&[("window", "off"), ("slide", "off")]));
        check_params("word-count", &[("window", "30s")], Ok(&[("window", "30s"), ("slide", "off")]));
        check_params("word-count", &[("window", "300ms")], Err("job `word-count`: `window` must be a whole multiple"));
        check_params("word-count", &[("pattern", "x")], Err("it takes: window, slide"));
        check_params("grep", &[], Ok(&[("pattern", "needle"), ("window", "off"), ("slide", "off")]));
        check_params("top-k", &[("k", "x")], Err("job `top-k`: `k` must be a whole number from 1 to 100000, not `x`"));
        check_params("sessions", &[("idle", "0")], Err("`idle` must be a whole number from 1 to 1000000, not `0`"));
        check_params("word-cuont", &[], Err("registered jobs: grep, sessions, top-k, word-count"));
    }

    #[test]
    fn a_source_survives_its_travel_and_clients_outside_it_are_refused() {
        let plan = SourcePlan::Generate { rate_per_s: 10.0, record_bytes: 20, keys: 10, skew: 1.25, needle: 0.0 };
        let workloads = Workloads::built_in();
        let job = workloads.job("word-count", &Params::new(), SECOND).unwrap();
        let bytes = workloads.source_spec(&job, &plan, 3, 2).unwrap().to_bytes();
        let mut lines = Vec::new();
        assert_eq!(workloads.source(&bytes, 2).unwrap().fill(5, usize::MAX, &mut lines), Ok(5));
        assert_eq!(lines.len(), 100);
        for client in [0, 3] {
            assert!(workloads.source(&bytes, client).is_err_and(|error| error.0.contains("from 1 to 2")));
        }
        assert!(workloads.source(b"{", 1).is_err());
    }
}
