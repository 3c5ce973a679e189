//! What a run directory holds beside `result.json`: its tables and its scenario, as far as they are there.
//!
//! Invariant: reading never fails for what is missing or strange; the page then shows less. Times are seconds from the
//! end of the warm-up.

use crate::csv::{Row, Table};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All tables of a run.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `run.csv`: a name may have several values.
    pub about: BTreeMap<String, Vec<String>>,
    /// `intervals.csv`.
    pub intervals: Vec<Interval>,
    /// `latency.csv`.
    pub latency: Vec<Latency>,
    /// `flow.csv`.
    pub flow: Vec<Flow>,
    /// `faults.csv`, in the order of `result.json`.
    pub faults: Vec<FaultLine>,
    /// `nodes.csv`.
    pub states: Vec<State>,
    /// `moments.csv`.
    pub moments: Vec<Moment>,
    /// `tasks.csv`.
    pub tasks: Vec<Task>,
    /// `owners.csv`: who ran partitions, where operators are long-lived.
    pub owners: Vec<Owner>,
    /// `scenario.yaml`, as text.
    pub scenario: String,
}

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Interval {
    pub number: u64,
    pub closed_s: f64,
    pub done_s: Option<f64>,
    pub delay_s: Option<f64>,
    pub processing_s: Option<f64>,
    pub records: u64,
    /// Whether any output has a result at its end.
    pub is_due: bool,
    /// From the scheduled send of its oldest record to a result that has it.
    pub latency_s: Option<f64>,
    /// The delay that its oldest record saw; more than the interval's where that record waited at its client.
    pub oldest_delay_s: Option<f64>,
}

/// Latency of what became visible in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Latency {
    pub second: f64,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub record_p99_ms: Option<f64>,
}

/// Records of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Flow {
    pub second: f64,
    pub due: u64,
    pub acked: u64,
    pub in_results: u64,
    /// Due and not acknowledged at its end; tables of earlier runs do not say.
    pub waiting: Option<f64>,
}

/// What `faults.csv` says beyond `result.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultLine {
    /// When it was over; `None` if it lasted.
    pub ended_s: Option<f64>,
    /// The nodes that it hit.
    pub nodes: Vec<String>,
    /// The other side of a fault between nodes.
    pub others: Vec<String>,
    /// When lost work began to be done again.
    pub begins_s: Option<f64>,
    /// Share of the cores' time that its nodes had used before.
    pub load_before: Option<f64>,
}

/// A stretch in which a node was not as it should be.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct State {
    pub node: String,
    pub state: String,
    pub from_s: f64,
    pub until_s: Option<f64>,
}

/// Something worth a mark.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Moment {
    pub at_s: f64,
    pub what: String,
    pub node: String,
    pub amount: u64,
}

/// One attempt at a task.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Task {
    pub interval: u64,
    pub stage: u64,
    pub partition: u64,
    pub attempt: u64,
    pub worker: String,
    pub started_s: Option<f64>,
    pub ended_s: Option<f64>,
    pub finished: bool,
    pub again: bool,
    /// It began while another attempt at the same task ran. No column: [`beside`] says so.
    pub is_beside: bool,
}

/// The tasks, each with whether it began beside another attempt at the same task.
pub fn beside(mut tasks: Vec<Task>) -> Vec<Task> {
    let name = |task: &Task| (task.interval, task.stage, task.partition);
    let mut attempts: BTreeMap<_, Vec<(u64, f64, f64)>> = BTreeMap::new();
    for task in &tasks {
        if let (Some(started_s), Some(ended_s)) = (task.started_s, task.ended_s) {
            attempts.entry(name(task)).or_default().push((task.attempt, started_s, ended_s));
        }
    }
    for task in &mut tasks {
        let others = attempts.get(&name(task)).into_iter().flatten();
        let runs_at = |at_s: f64| {
            others
                .clone()
                .any(|(attempt, from_s, until_s)| *attempt < task.attempt && *from_s <= at_s && at_s < *until_s)
        };
        task.is_beside = task.started_s.is_some_and(runs_at);
    }
    tasks
}

/// A stretch in which a node ran a partition.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Owner {
    pub node: String,
    pub from_s: f64,
    pub until_s: Option<f64>,
    pub heir: bool,
}

impl Tables {
    /// Reads everything but tasks and owners, which are many.
    pub fn read(directory: &Path) -> Tables {
        let table = |name: &str| Table::read(&text(directory, name));
        let mut about: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in table("run.csv").rows() {
            about.entry(row.text("quantity").to_owned()).or_default().push(row.text("value").to_owned());
        }
        Tables {
            about,
            intervals: table("intervals.csv").rows().filter_map(interval).collect(),
            latency: table("latency.csv").rows().filter_map(latency).collect(),
            flow: table("flow.csv").rows().filter_map(flow).collect(),
            faults: table("faults.csv").rows().map(fault).collect(),
            states: table("nodes.csv").rows().filter_map(state).collect(),
            moments: table("moments.csv").rows().filter_map(moment).collect(),
            tasks: Vec::new(),
            owners: Vec::new(),
            scenario: text(directory, "scenario.yaml"),
        }
    }

    /// Reads tasks and owners too.
    pub fn with_tasks(mut self, directory: &Path) -> Tables {
        self.tasks = Table::read(&text(directory, "tasks.csv")).rows().map(task).collect();
        self.owners = Table::read(&text(directory, "owners.csv")).rows().filter_map(owner).collect();
        self
    }

    /// A value of `run.csv`; where a name stands more than once, its first.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.about.get(name).and_then(|values| values.first()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value of `run.csv` as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// What was set on the command line, as `path=value`.
    pub fn set(&self) -> &[String] {
        self.about.get("set").map_or(&[], Vec::as_slice)
    }

    /// The measured intervals at whose end a result is due.
    pub fn due(&self) -> impl Iterator<Item = &Interval> {
        self.intervals.iter().filter(|row| row.is_due && row.closed_s > 0.0)
    }

    /// For each measured interval with a result, in order: its end, and how long the oldest record waited that the result
    /// has and the one before it had not. Tables of earlier runs do not say; there it is as old as its interval.
    pub fn oldest(&self) -> Vec<(f64, Option<f64>)> {
        let mut waited: Option<f64> = None;
        let mut found = Vec::new();
        for row in self.intervals.iter().filter(|row| row.closed_s > 0.0) {
            waited = [waited, row.latency_s].into_iter().flatten().reduce(f64::max);
            if row.is_due {
                let since = row.delay_s.map(|delay| waited.unwrap_or(delay + self.slide_s()));
                found.push((row.closed_s, since));
                waited = None;
            }
        }
        found
    }

    /// Whether results come every few intervals only.
    pub fn slides(&self) -> bool {
        self.number("interval_s").is_some_and(|interval| self.slide_s() > interval * 1.5)
    }

    /// The longest a record waits for a result that contains it, were the engine infinitely fast: the interval between
    /// results, in seconds.
    pub fn slide_s(&self) -> f64 {
        self.number("slide_s").or_else(|| self.number("interval_s")).unwrap_or(0.0)
    }

    /// The end of the time axis: where the run ended, or the last thing that was measured.
    pub fn end_s(&self) -> f64 {
        let intervals = self.intervals.iter().map(|row| row.done_s.unwrap_or(row.closed_s));
        let last = intervals.chain(self.flow.iter().map(|row| row.second + 1.0)).fold(1.0, f64::max);
        self.number("end_s").unwrap_or(last).max(1.0)
    }
}

/// A file's text; empty where there is none.
fn text(directory: &Path, name: &str) -> String {
    fs::read(directory.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn interval(row: Row<'_>) -> Option<Interval> {
    Some(Interval {
        number: row.count("interval"),
        closed_s: row.number("closed_s")?,
        done_s: row.number("done_s"),
        delay_s: row.number("delay_s"),
        processing_s: row.number("processing_s"),
        records: row.count("records"),
        // Tables without the column are of runs that had a result at the end of each interval.
        is_due: row.text("due") != "false",
        latency_s: row.number("latency_s"),
        oldest_delay_s: row.number("oldest_delay_s"),
    })
}

fn latency(row: Row<'_>) -> Option<Latency> {
    Some(Latency {
        second: row.number("second")?,
        p50_ms: row.number("p50_ms"),
        p90_ms: row.number("p90_ms"),
        p99_ms: row.number("p99_ms"),
        max_ms: row.number("max_ms"),
        record_p99_ms: row.number("record_p99_ms"),
    })
}

fn flow(row: Row<'_>) -> Option<Flow> {
    Some(Flow {
        second: row.number("second")?,
        due: row.count("due"),
        acked: row.count("acked"),
        in_results: row.count("in_results"),
        waiting: row.number("waiting"),
    })
}

fn fault(row: Row<'_>) -> FaultLine {
    let names = |column| row.text(column).split_whitespace().map(str::to_owned).collect();
    FaultLine {
        ended_s: row.number("ended_s"),
        nodes: names("nodes"),
        others: names("others"),
        begins_s: row.number("begins_s"),
        load_before: row.number("load_before"),
    }
}

fn state(row: Row<'_>) -> Option<State> {
    Some(State {
        node: row.text("node").to_owned(),
        state: row.text("state").to_owned(),
        from_s: row.number("from_s")?,
        until_s: row.number("until_s"),
    })
}

fn moment(row: Row<'_>) -> Option<Moment> {
    Some(Moment {
        at_s: row.number("at_s")?,
        what: row.text("what").to_owned(),
        node: row.text("node").to_owned(),
        amount: row.count("amount"),
    })
}

fn owner(row: Row<'_>) -> Option<Owner> {
    Some(Owner {
        node: row.text("node").to_owned(),
        from_s: row.number("from_s")?,
        until_s: row.number("until_s"),
        heir: row.text("heir") == "true",
    })
}

fn task(row: Row<'_>) -> Task {
    Task {
        interval: row.count("interval"),
        stage: row.count("stage"),
        partition: row.count("partition"),
        attempt: row.count("attempt"),
        worker: row.text("worker").to_owned(),
        started_s: row.number("started_s"),
        ended_s: row.number("ended_s"),
        finished: row.text("outcome") == "finished",
        again: row.text("again") == "true",
        is_beside: false,
    }
}
