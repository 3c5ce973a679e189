//! The conformance suite: what every engine must do, or refuse in words of its own.
//!
//! Cases are scenarios, run in the simulator and judged like any other: by the oracle, by the laws of the log, and by what
//! the faults allow. What an engine promises decides what is asked of it: where more workers are lost than it promises to
//! bear, its damage must be what the harness computes, and be said; else every result must be exact. A few cases look at the
//! engine as a value. Knows no engine. Invariant: a case is refused only where the engine's own `refuses` says why.
//!
//! ```no_run
//! # use dstream::engine::Engine;
//! # fn check(my_engine: impl Engine + 'static) {
//! use dstream::conformance::{Subject, run};
//! let found = run(&Subject::new(my_engine).with_options("block: 100ms"));
//! println!("{found}");
//! assert!(found.holds());
//! # }
//! ```

mod cases;
mod declared;
mod jobs;
mod played;

pub use cases::{Asked, Case, cases};

use crate::setup::Setup;
use dstream_cluster::Engine;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The interval of every scenario of the suite: short, so that five of them after a fault do not take long.
const INTERVAL: &str = "interval: 500ms";

/// An engine with its options, as it is to be examined.
#[derive(Clone)]
pub struct Subject {
    engine: Arc<dyn Engine>,
    options: String,
}

impl Subject {
    /// The engine with the options that it declares.
    pub fn new(engine: impl Engine + 'static) -> Subject {
        Subject { engine: Arc::new(engine), options: String::new() }
    }

    /// The same with these options, written as in a scenario: `checkpoint: 5s, restore: parallel`. The interval is the
    /// suite's.
    pub fn with_options(self, options: &str) -> Subject {
        Subject { options: options.to_owned(), ..self }
    }

    /// What a scenario of the suite can name.
    fn setup(&self) -> Setup {
        let setup = Setup::built_in().with_job(jobs::LongLines).with_job(jobs::WordsAndInitials);
        setup.with_shared_engine(self.engine.clone())
    }

    /// The engine as a line of a scenario.
    fn line(&self, more: &str) -> String {
        let parts = [INTERVAL, self.options.as_str(), more];
        let options = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        format!("  - {}: {{ {} }}", self.engine.name(), options.join(", "))
    }
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The engine does what is asked of every engine.
    Held,
    /// The engine says that it cannot, and may.
    Refused(String),
    /// It does not.
    Failed(String),
}

/// What came of all cases.
#[derive(Clone, Debug)]
pub struct Conformance {
    /// The engine, with the options that were given to it.
    pub engine: String,
    /// Case and outcome, in the order of [`cases`].
    pub outcomes: Vec<(Case, CaseOutcome)>,
}

impl Conformance {
    /// Whether no case failed.
    pub fn holds(&self) -> bool {
        !self.outcomes.iter().any(|(_, outcome)| matches!(outcome, CaseOutcome::Failed(_)))
    }

    /// The names of the cases that the engine refuses.
    pub fn refused(&self) -> Vec<&'static str> {
        let refused = |outcome: &CaseOutcome| matches!(outcome, CaseOutcome::Refused(_));
        self.outcomes.iter().filter(|(_, outcome)| refused(outcome)).map(|(case, _)| case.name).collect()
    }
}

impl fmt::Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.engine)?;
        let width = self.outcomes.iter().map(|(case, _)| case.name.len()).max().unwrap_or(0);
        for (case, outcome) in &self.outcomes {
            let (word, why) = match outcome {
                CaseOutcome::Held => ("held", ""),
                CaseOutcome::Refused(why) => ("refused", why.as_str()),
                CaseOutcome::Failed(why) => ("FAILED", why.as_str()),
            };
            writeln!(f, "  {:width$}  {word:7}  {}", case.name, case.sentence())?;
            for line in why.lines() {
                writeln!(f, "  {:width$}           -> {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Examines one case.
pub fn run_case(subject: &Subject, case: &Case) -> CaseOutcome {
    let outcome = match case.asked {
        Asked::Declares => declared::declares_itself(subject),
        Asked::RefusesOptions => declared::refuses_unknown_options(subject),
        Asked::Repeats { text } => played::repeats(subject, text),
        Asked::Runs { text, losses_at_once } => played::runs(subject, text, losses_at_once),
        Asked::RunsOrRefuses { text, job } => played::runs_or_refuses(subject, text, job),
    };
    outcome.unwrap_or_else(CaseOutcome::Failed)
}

/// Examines all cases, as many at a time as there are cores: each is deterministic by itself.
pub fn run(subject: &Subject) -> Conformance {
    let all = cases();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(all.len());
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = run_case(subject, case);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((*case, outcome));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut outcomes: Vec<(Case, CaseOutcome)> = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(case, _)| all.iter().position(|other| other.name == case.name));
    Conformance { engine: subject.line("").trim_start_matches([' ', '-']).to_owned(), outcomes }
}
