//! Engines of one scenario beside each other: what fault tolerance costs while nothing fails, and what faults do to each.
//!
//! Reads the figures' files and the runs' records; runs nothing. Invariant: a ratio is of two runs of the same scenario, and
//! what one of them lacks has none.

use crate::read::RunReport;
use crate::tables::{Interval, Tables};
use serde::Deserialize;
use std::fmt::Write as _;

/// What a quick stand-in changes.
pub use crate::paper::Quick;

/// A figure of overheads, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverheadFigure {
    /// What the command line names.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What the quantities are.
    pub about: String,
    /// Its scenario's file.
    pub scenario: String,
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// The smaller stand-in.
    pub quick: Quick,
}

/// An engine with and without something, by the labels of the scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// The engine as it is.
    pub with: String,
    /// The same without.
    pub without: String,
}

/// A figure of faults, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsFigure {
    /// What the command line names.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What is compared.
    pub about: String,
    /// Its scenario's file.
    pub scenario: String,
    /// The engines, in the order of the table.
    pub engines: Vec<Named>,
    /// The smaller stand-in.
    pub quick: Quick,
}

/// An engine by its label, and what it is called.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The label in the scenario.
    pub label: String,
    /// Its name.
    pub name: String,
}

/// Reads the text of a figure's file. The error says what is wrong, with its line.
pub fn read<F: for<'de> Deserialize<'de>>(text: &str) -> Result<F, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

/// One quantity of a pair: with and without.
pub type Both = [Option<f64>; 2];

/// A pair and its runs.
#[derive(Clone, Debug)]
pub struct Overhead<'a> {
    /// The pair.
    pub pair: &'a Pair,
    /// With, and without.
    pub runs: [&'a RunReport; 2],
}

/// The quantities that are compared.
pub const QUANTITIES: [&str; 5] = ["CPU", "network", "nodes", "p50", "p99"];

impl<'a> Overhead<'a> {
    /// The pairs of which both runs are there, in the figure's order.
    pub fn of(figure: &'a OverheadFigure, runs: &'a [RunReport]) -> Vec<Overhead<'a>> {
        let find = |label: &String| runs.iter().find(|run| run.result.engine == *label);
        let pairs = figure.pairs.iter();
        pairs.filter_map(|pair| Some(Overhead { pair, runs: [find(&pair.with)?, find(&pair.without)?] })).collect()
    }

    /// CPU seconds, bytes, nodes, p50 and p99 in milliseconds.
    pub fn quantities(&self) -> [Both; 5] {
        let values: [fn(&RunReport) -> Option<f64>; 5] = [
            |run| Some(run.result.cost.cpu_s),
            |run| Some(run.result.cost.network_bytes as f64),
            |run| Some(f64::from(run.result.nodes)),
            |run| run.result.latency_ms.p50,
            |run| run.result.latency_ms.p99,
        ];
        values.map(|value| self.runs.map(value))
    }

    /// With over without.
    pub fn ratios(&self) -> [Option<f64>; 5] {
        self.quantities().map(|[with, without]| crate::paper::ratio(with, without))
    }
}

/// The pairs as a file.
pub fn overhead_csv(pairs: &[Overhead<'_>]) -> String {
    let mut csv = "engine,quantity,with,without,ratio\n".to_owned();
    for pair in pairs {
        let units = ["cpu_s", "network_bytes", "nodes", "p50_ms", "p99_ms"];
        for (unit, (both, ratio)) in units.iter().zip(pair.quantities().into_iter().zip(pair.ratios())) {
            let [with, without, ratio] = [both[0], both[1], ratio].map(number);
            writeln!(csv, "\"{}\",{unit},{with},{without},{ratio}", pair.pair.name)
                .expect("writing into a string cannot fail");
        }
    }
    csv
}

/// What the faults did to one engine.
#[derive(Clone, Debug)]
pub struct Struck<'a> {
    /// Which.
    pub named: &'a Named,
    /// Its run.
    pub run: &'a RunReport,
    /// The run's tables.
    pub tables: Tables,
}

/// One fault's effect, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Until the node was declared lost; `None`: it was not.
    pub declared_s: Option<f64>,
    /// The largest delay of a result that came after the fault and before the next one, or the end.
    pub worst_s: Option<f64>,
    /// Until results were on time again.
    pub on_time_s: Option<f64>,
}

impl<'a> Struck<'a> {
    /// The engines whose runs are there, in the figure's order.
    pub fn of(figure: &'a FaultsFigure, runs: &'a [RunReport]) -> Vec<Struck<'a>> {
        let with_run = figure.engines.iter().filter_map(|named| {
            let run = runs.iter().find(|run| run.result.engine == named.label)?;
            Some(Struck { named, run, tables: Tables::read(&run.directory) })
        });
        with_run.collect()
    }

    /// The largest delay of what was out before the first fault.
    pub fn before_s(&self) -> Option<f64> {
        self.worst_s(0.0, self.run.result.faults.first()?.at_s)
    }

    /// Each fault's effect.
    pub fn effects(&self) -> Vec<Effect> {
        let faults = &self.run.result.faults;
        let effect = |(place, fault): (usize, &dstream_trace::result::FaultResult)| {
            let until_s = faults.get(place + 1).map_or(f64::INFINITY, |next| next.at_s);
            Effect {
                declared_s: fault.detect_s,
                worst_s: self.worst_s(fault.at_s, until_s),
                on_time_s: fault.catch_up_s,
            }
        };
        faults.iter().enumerate().map(effect).collect()
    }

    /// The largest delay of the results that came in this time; nothing where one is missing that ended in it.
    fn worst_s(&self, from_s: f64, until_s: f64) -> Option<f64> {
        let load_end_s = self.tables.number("load_end_s").unwrap_or(f64::INFINITY);
        let ended = self.tables.due().filter(|row| row.closed_s <= load_end_s);
        let came_s = |row: &Interval| row.closed_s + row.delay_s.unwrap_or(0.0);
        let came = ended.filter(|row| came_s(row) > from_s && came_s(row) <= until_s);
        came.map(|row| row.delay_s).collect::<Option<Vec<f64>>>()?.into_iter().max_by(f64::total_cmp)
    }
}

/// The effects as a file.
pub fn faults_csv(engines: &[Struck<'_>]) -> String {
    let mut csv = "engine,nodes,cpu_s,before_s,fault,at_s,declared_s,worst_s,on_time_s\n".to_owned();
    for engine in engines {
        let result = &engine.run.result;
        for (fault, effect) in result.faults.iter().zip(engine.effects()) {
            let [before, declared, worst, on_time] =
                [engine.before_s(), effect.declared_s, effect.worst_s, effect.on_time_s].map(number);
            let cost = format!("{},{:.6}", result.nodes, result.cost.cpu_s);
            let name = &engine.named.name;
            let at = format!("{},{:.6}", fault.fault, fault.at_s);
            writeln!(csv, "\"{name}\",{cost},{before},{at},{declared},{worst},{on_time}")
                .expect("writing into a string cannot fail");
        }
    }
    csv
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.6}"))
}
