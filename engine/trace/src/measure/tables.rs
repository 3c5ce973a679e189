//! The run's tables as CSV: intervals, latency and records over time, tasks, faults, what became of nodes.
//!
//! All seconds count from the end of the warm-up, like `at:` in a scenario, so intervals of the warm-up are negative.
//! An empty field was not reached; an interval at whose end no output is due has no result of its own.

use super::{Facts, MeasureInput, Measured, TaskFacts, seconds_from};
use crate::event::TaskName;
use crate::moment::Moment;
use crate::name::NodeName;
use std::fmt::Write as _;
use std::time::Duration;

impl Measured {
    /// `intervals.csv`.
    pub fn intervals_csv(&self, input: &MeasureInput) -> String {
        let mut text =
            String::from("interval,closed_s,done_s,delay_s,processing_s,records,due,latency_s,oldest_delay_s\n");
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
                row.is_due.to_string(),
                number(row.latency().map(|latency| latency.as_secs_f64())),
                number(row.oldest_delay().map(|delay| delay.as_secs_f64())),
            ];
            line(&mut text, &fields);
        }
        text
    }

    /// `latency.csv`. Its last columns are there where records show in running results.
    pub fn latency_csv(&self) -> String {
        let runs = self.record_latency.is_some();
        let mut text = String::from("second,records,p50_ms,p90_ms,p99_ms,p999_ms,max_ms");
        text.push_str(if runs { ",reflected,record_p50_ms,record_p99_ms,record_max_ms\n" } else { "\n" });
        for row in &self.seconds {
            let (latency, record) = (&row.latency, &row.record_latency);
            let mut fields = vec![
                row.second.to_string(),
                row.records.to_string(),
                number(latency.p50),
                number(latency.p90),
                number(latency.p99),
                number(latency.p999),
                number(latency.max),
            ];
            if runs {
                fields.push(row.reflected.to_string());
                fields.extend([record.p50, record.p99, record.max].map(number));
            }
            line(&mut text, &fields);
        }
        text
    }

    /// `faults.csv`: one line a planned fault. Beside what `result.json` says, when it was over and the other side.
    pub fn faults_csv(&self, input: &MeasureInput) -> String {
        let mut text = String::from(
            "fault,node,at_s,fired,detect_s,restore_s,catch_up_s,drain_s,redundancy_s,longest_gap_s,\
             excess_latency_s2,ended_s,nodes,others,\
             begins_s,load_before\n",
        );
        let names = |nodes: &[NodeName]| nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
        let planned = input.faults.iter().zip(&self.fault_ends).zip(&self.efforts);
        for (fault, ((planned, ended), effort)) in self.faults.iter().zip(planned) {
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
                at(input, *ended),
                names(&planned.nodes),
                names(&planned.others),
                at(input, effort.begins),
                number(effort.load_before),
            ];
            line(&mut text, &fields);
        }
        text
    }

    /// `flow.csv`: records due, acknowledged and in results, by second, and how many waited at clients at its end.
    pub fn flow_csv(&self) -> String {
        let mut text = String::from("second,due,acked,in_results,waiting\n");
        for row in &self.flow {
            let counts = [row.due, row.acked, row.in_results, row.waiting].map(|count| count.to_string());
            line(&mut text, &[&[row.second.to_string()], &counts[..]].concat());
        }
        text
    }

    /// `nodes.csv`: when nodes were down, hit by a fault or declared lost.
    pub fn nodes_csv(&self, input: &MeasureInput) -> String {
        let mut text = String::from("node,state,from_s,until_s\n");
        for state in &self.states {
            let fields =
                [state.node.to_string(), state.state.clone(), at(input, Some(state.from)), at(input, state.until)];
            line(&mut text, &fields);
        }
        text
    }

    /// `moments.csv`: what the master said about members and copies. Of a membership, `amount` is its number among those
    /// that were given in the master's `term`.
    pub fn moments_csv(&self, input: &MeasureInput) -> String {
        let mut text = String::from("at_s,what,node,amount,term\n");
        for moment in &self.happenings {
            let fields = [
                at(input, Some(moment.at)),
                moment.what.to_owned(),
                moment.node.to_string(),
                moment.amount.to_string(),
                moment.term.map_or(String::new(), |term| term.to_string()),
            ];
            line(&mut text, &fields);
        }
        text
    }

    /// `run.csv`: what the other tables count from, and what the harness adds in `more`. Times in seconds.
    pub fn run_csv(&self, input: &MeasureInput, more: &[(&str, String)]) -> String {
        let seconds = |length: Duration| number(Some(length.as_secs_f64()));
        let mut text = String::from("quantity,value\n");
        let rows = [
            ("interval_s", seconds(input.interval)),
            ("slide_s", seconds(input.slide())),
            ("slo_s", self.slo.map(seconds).unwrap_or_default()),
            ("slo_given", input.slo.is_some().to_string()),
            ("origin_s", at(input, Some(input.origin))),
            ("load_end_s", at(input, Some(input.load_end))),
            ("end_s", at(input, Some(input.end))),
            ("failure_timeout_s", seconds(input.failure_timeout)),
            ("workers", input.workers.to_string()),
            ("heirs", input.heirs.to_string()),
            ("cores", input.cores.to_string()),
            ("copies", input.copies.to_string()),
        ];
        for (name, value) in rows.iter().chain(more) {
            line(&mut text, &[(*name).to_owned(), value.clone()]);
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

/// `owners.csv`: who ran which partition; `None` where partitions are given to nothing but tasks.
pub fn owners_csv(facts: &Facts, input: &MeasureInput) -> Option<String> {
    let mut text = String::from("partition,node,epoch,from_s,until_s,heir\n");
    for (partition, owner, is_heir) in facts.owners.iter() {
        let fields = [
            partition.to_string(),
            owner.node.to_string(),
            owner.epoch.to_string(),
            at(input, Some(owner.from)),
            at(input, owner.until),
            is_heir.to_string(),
        ];
        line(&mut text, &fields);
    }
    (!facts.owners.is_empty()).then_some(text)
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
