//! The run's tables as CSV: intervals, latency over time, tasks, faults.
//!
//! All seconds count from the end of the warm-up, like `at:` in a scenario, so intervals of the warm-up are negative.
//! An empty field was not reached.

use super::{Facts, MeasureInput, Measured, TaskFacts, seconds_from};
use crate::event::TaskName;
use crate::moment::Moment;
use std::fmt::Write as _;

impl Measured {
    /// `intervals.csv`.
    pub fn intervals_csv(&self, input: &MeasureInput) -> String {
        let mut text = String::from("interval,closed_s,done_s,delay_s,processing_s,records\n");
        for row in &self.intervals {
            let delay = row.delay().map(|delay| delay.as_secs_f64());
            let processing = row.started.zip(row.done).map(|(started, done)| done.since(started).as_secs_f64());
            let fields = [
                row.interval.to_string(),
                at(input, Some(row.closed)),
                at(input, row.done),
                number(delay),
                number(processing),
                row.records.to_string(),
            ];
            line(&mut text, &fields);
        }
        text
    }

    /// `latency.csv`.
    pub fn latency_csv(&self) -> String {
        let mut text = String::from("second,records,p50_ms,p90_ms,p99_ms,p999_ms,max_ms\n");
        for row in &self.seconds {
            let latency = &row.latency;
            let fields = [
                row.second.to_string(),
                row.records.to_string(),
                number(latency.p50),
                number(latency.p90),
                number(latency.p99),
                number(latency.p999),
                number(latency.max),
            ];
            line(&mut text, &fields);
        }
        text
    }

    /// `faults.csv`.
    pub fn faults_csv(&self) -> String {
        let mut text = String::from(
            "fault,node,at_s,fired,detect_s,restore_s,catch_up_s,drain_s,redundancy_s,longest_gap_s,\
             excess_latency_s2\n",
        );
        for fault in &self.faults {
            let fields = [
                fault.fault.clone(),
                fault.node.clone(),
                number(Some(fault.at_s)),
                fault.fired.to_string(),
                number(fault.detect_s),
                number(fault.restore_s),
                number(fault.catch_up_s),
                number(fault.drain_s),
                number(fault.redundancy_s),
                number(fault.longest_gap_s),
                number(fault.excess_latency_s2),
            ];
            line(&mut text, &fields);
        }
        text
    }
}

/// `tasks.csv`: one line an attempt.
pub fn tasks_csv(facts: &Facts, input: &MeasureInput) -> String {
    let header = "interval,stage,partition,attempt,worker,launched_s,started_s,ended_s,outcome,cpu_s,records,again\n";
    let mut text = String::from(header);
    for (name, task) in &facts.tasks {
        line(&mut text, &task_fields(*name, task, input));
    }
    text
}

fn task_fields(name: TaskName, task: &TaskFacts, input: &MeasureInput) -> [String; 12] {
    let (ended, outcome) = match (task.finished, &task.failed) {
        (Some(finished), _) => (Some(finished), "finished"),
        (None, Some((failed, why))) => (Some(*failed), &**why),
        (None, None) => (None, "abandoned"),
    };
    [
        name.interval.to_string(),
        name.stage.to_string(),
        name.partition.to_string(),
        name.attempt.to_string(),
        task.worker.as_ref().map(ToString::to_string).unwrap_or_default(),
        at(input, task.launched.map(|(launched, _)| launched)),
        at(input, task.started),
        at(input, ended),
        outcome.to_owned(),
        number(Some(seconds_from(Moment::ZERO, Moment(task.cpu_ns)))),
        task.records.to_string(),
        task.again.to_string(),
    ]
}

fn at(input: &MeasureInput, moment: Option<Moment>) -> String {
    number(moment.map(|moment| seconds_from(input.warmup_end, moment)))
}

fn number(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.6}")).unwrap_or_default()
}

fn line(text: &mut String, fields: &[String]) {
    let mut separator = "";
    for field in fields {
        // Names and fixed words may hold a comma; numbers never need quotes.
        let quoted = field.contains([',', '"', '\n']);
        let field = if quoted { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.clone() };
        write!(text, "{separator}{field}").expect("writing to a string does not fail");
        separator = ",";
    }
    text.push('\n');
}
