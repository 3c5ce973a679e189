//! What a run cost and what it assumed, as rows of a table.

use crate::format::{bytes, count, extra, percent, seconds};
use crate::read::RunReport;
use crate::tables::Tables;
use dstream_trace::result::RunResult;
use serde_yaml::Value;

/// Columns of the cost table, after the run's name.
pub const COST_COLUMNS: [&str; 11] = [
    "nodes",
    "node time",
    "CPU",
    "CPU recomputed",
    "CPU for the faults",
    "network",
    "input copies",
    "checkpoints",
    "recovery",
    "CPU load",
    "network load",
];

/// One run's cells of the cost table.
pub fn cost_row(result: &RunResult) -> Vec<String> {
    let (cost, load) = (&result.cost, &result.load);
    vec![
        count(u64::from(result.nodes)),
        seconds(Some(cost.node_s)),
        seconds(Some(cost.cpu_s)),
        seconds(Some(cost.recomputed_cpu_s)),
        extra(cost.excess_cpu_s),
        bytes(cost.network_bytes),
        bytes(cost.replicated_bytes),
        bytes(cost.checkpoint_bytes),
        bytes(cost.recovery_bytes),
        percent(load.cpu),
        percent(load.network),
    ]
}

/// What was assumed: name and value.
pub fn assumptions(run: &RunReport, tables: &Tables) -> Vec<(String, String)> {
    let result = &run.result;
    let scenario: Value = serde_yaml::from_str(&tables.scenario).unwrap_or(Value::Null);
    let world = match result.world.as_str() {
        "sim" => "sim: one process, a simulated network, virtual time".to_owned(),
        "tcp" => "tcp: processes on a real network, real time".to_owned(),
        other => other.to_owned(),
    };
    let mut rows = vec![("world".to_owned(), world)];
    let tick = result.tick_ms.map_or("none: the network is real".to_owned(), |tick| format!("{tick} ms"));
    rows.push(("tick of the network".to_owned(), tick));
    let stands = format!(
        "each record moved stands for {}; {} a second represented",
        count(result.scale),
        count(result.rate_per_s.round() as u64)
    );
    rows.push(("scale and rate".to_owned(), stands));
    rows.push(("rate as a share of this engine's capacity".to_owned(), percent(result.own_capacity_fraction)));
    let given = if tables.value("slo_given") == Some("true") {
        "given"
    } else {
        "1.5 x the largest delay before the first fault"
    };
    if let Some(slo) = tables.number("slo_s") {
        rows.push(("on time".to_owned(), format!("within {} of an interval's end ({given})", seconds(Some(slo)))));
    }
    // The simulator models all work, whatever the scenario says about the real world.
    let given_compute = scenario["cluster"]["compute"].as_str().unwrap_or("");
    let compute = if result.world == "sim" { "modelled" } else { given_compute };
    if !compute.is_empty() {
        rows.push(("compute".to_owned(), compute.to_owned()));
    }
    flatten("cluster", &scenario["cluster"], &mut rows);
    flatten("workload", &scenario["workload"], &mut rows);
    for engine in scenario["engines"].as_sequence().into_iter().flatten() {
        let Some((name, options)) = engine.as_mapping().and_then(|engine| engine.iter().next()) else { continue };
        let label = options["as"].as_str().or(name.as_str()).unwrap_or_default();
        if label == result.engine {
            flatten(&format!("engine {label}"), options, &mut rows);
        }
    }
    rows.extend(tables.value("build").map(|build| ("build".to_owned(), build.to_owned())));
    let lasted =
        format!("{} on its own clock, {} on the wall", seconds(Some(result.virtual_s)), seconds(Some(result.wall_s)));
    rows.push(("the run took".to_owned(), lasted));
    rows.extend(result.trace_hash.iter().map(|hash| ("digest of the trace".to_owned(), hash.clone())));
    rows
}

/// A mapping's values by path, one row each; what is no mapping is one row.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Mapping(fields) => {
            for (name, value) in fields {
                flatten(&format!("{path}: {}", plain(name)), value, rows);
            }
        }
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            rows.push((path.to_owned(), items.join(", ")));
        }
        other => rows.push((path.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}
