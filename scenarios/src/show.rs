//! A plan as scenario YAML: the resolved scenario, as `explain` prints it and the run directory keeps it.
//!
//! Invariant: read again in the same context, it gives the same plan.

use crate::compare::meaning;
use crate::plan::{ClusterPlan, EnginePlan, Expectation, FaultKind, FaultPlan, Link, Plan, SourcePlan};
use crate::spec::show_option;
use crate::unit::{show_bits_per_second, show_bytes, show_duration, show_per_second};
use dstream_cluster::Costs;
use dstream_host::real::Compute;
use dstream_trace::NodeName;
use std::fmt::Write;

/// The plan as the scenario that resolves to it.
pub fn to_yaml(plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!("title: {}", scalar(&plan.title)));
    line(format!("about: {}", scalar(&plan.about)));
    line(format!("seed: {}", plan.seed));
    line(format!("duration: {}", show_duration(plan.duration)));
    line(format!("warmup: {}", show_duration(plan.warmup)));
    if let Some(slo) = plan.slo {
        line(format!("slo: {}", show_duration(slo)));
    }
    line(format!("compare: {}{}", scalar(&plan.compare), remark(meaning(&plan.compare))));
    cluster(plan).into_iter().for_each(&mut line);
    workload(plan).into_iter().for_each(&mut line);
    line("engines:".to_string());
    for engine in &plan.engines {
        let label = (engine.label != engine.engine).then(|| format!("as: {}", scalar(&engine.label)));
        let options = engine.options.iter().map(|(name, value)| format!("{name}: {}", show_option(value)));
        let options: Vec<String> = label.into_iter().chain(options).collect();
        let nodes = nodes(plan, engine);
        line(format!("  - {}: {{ {} }}{}", scalar(&engine.engine), options.join(", "), remark(nodes.as_deref())));
    }
    list("faults", plan.faults.iter().map(|planned| fault(&plan.cluster, planned))).into_iter().for_each(&mut line);
    list("expect", plan.expect.iter().map(expectation)).into_iter().for_each(&mut line);
    text
}

/// A comment at the end of a line.
fn remark(words: Option<&str>) -> String {
    words.map(|words| format!(" # {words}")).unwrap_or_default()
}

/// The engine's nodes, where they are not just the cluster's workers.
fn nodes(plan: &Plan, engine: &EnginePlan) -> Option<String> {
    let is_plain = engine.heirs.is_empty() && engine.workers == plan.cluster.workers;
    let mut nodes = vec![format!("{} worker{}", engine.workers, if engine.workers == 1 { "" } else { "s" })];
    match engine.heirs.as_slice() {
        [] => {}
        [only] => nodes.push(only.to_string()),
        [first, .., last] => nodes.push(format!("{first} to {last}")),
    }
    (!is_plain).then(|| nodes.join(", "))
}

fn cluster(plan: &Plan) -> Vec<String> {
    let cluster = &plan.cluster;
    vec![
        "cluster:".to_string(),
        format!("  workers: {}", cluster.workers),
        format!("  cores: {}", cluster.cores),
        format!("  clients: {}", cluster.clients),
        format!("  partitions: {}", cluster.partitions),
        format!("  link: {}", link(&cluster.link)),
        format!("  store: {}", store(cluster)),
        format!("  heartbeat: {}", show_duration(cluster.heartbeat)),
        format!("  failure_timeout: {}", show_duration(cluster.failure_timeout)),
        format!("  compute: {}", if cluster.compute == Compute::Real { "real" } else { "modelled" }),
        "  costs:".to_string(),
    ]
    .into_iter()
    .chain(costs(&cluster.costs))
    .collect()
}

fn store(cluster: &ClusterPlan) -> String {
    let link = link(&cluster.store);
    let Some(address) = &cluster.store_address else { return link };
    let endpoint = address.endpoint.as_ref().map(|endpoint| format!(", endpoint: \"{endpoint}\"")).unwrap_or_default();
    format!("{}, url: \"{address}\"{endpoint} }}", link.trim_end_matches(" }"))
}

fn link(link: &Link) -> String {
    let (latency, bandwidth) = (show_duration(link.latency), show_bits_per_second(link.bits_per_second));
    format!("{{ latency: {latency}, bandwidth: {bandwidth} }}")
}

fn costs(costs: &Costs) -> Vec<String> {
    let Costs {
        map_ns_per_byte,
        single_record_factor,
        merge_ns_per_row,
        codec_ns_per_byte,
        task_ns,
        master_task_ns,
        message_ns,
        checkpoint_ns_per_byte,
    } = costs;
    vec![
        format!("    map_ns_per_byte: {map_ns_per_byte}"),
        format!("    single_record_factor: {single_record_factor}"),
        format!("    merge_ns_per_row: {merge_ns_per_row}"),
        format!("    codec_ns_per_byte: {codec_ns_per_byte}"),
        format!("    task_ns: {task_ns}"),
        format!("    master_task_ns: {master_task_ns}"),
        format!("    message_ns: {message_ns}"),
        format!("    checkpoint_ns_per_byte: {checkpoint_ns_per_byte}"),
    ]
}

fn workload(plan: &Plan) -> Vec<String> {
    let params: Vec<String> =
        plan.job.params.iter().map(|(name, value)| format!("{}: {}", scalar(name), scalar(value))).collect();
    vec![
        "workload:".to_string(),
        format!("  job: {}", scalar(&plan.job.name)),
        format!("  params: {{ {} }}", params.join(", ")),
        format!("  source: {{ {} }}", source(&plan.source)),
        format!("  scale: {}", plan.scale),
    ]
}

fn source(source: &SourcePlan) -> String {
    match source {
        SourcePlan::Generate { rate_per_s, record_bytes, keys, skew, needle } => {
            let (rate, record) = (show_per_second(*rate_per_s), show_bytes(*record_bytes));
            // A share is read as a percentage and divided by 100; only 0 needs no unit.
            let needle = if *needle == 0.0 { "0".to_string() } else { percent(*needle) };
            format!("generate: {{ rate: {rate}, record: {record}, keys: {keys}, skew: {skew}, needle: {needle} }}")
        }
        SourcePlan::File { paths, rate_per_s } => {
            let paths: Vec<String> = paths.iter().map(|path| scalar(&path.to_string_lossy())).collect();
            let rate = rate_per_s.map(|rate| format!(", rate: {}", show_per_second(rate))).unwrap_or_default();
            format!("file: {{ path: [{}]{rate} }}", paths.join(", "))
        }
        SourcePlan::Pool { path, rate_per_s } => {
            let (path, rate) = (scalar(&path.to_string_lossy()), show_per_second(*rate_per_s));
            format!("pool: {{ path: {path}, rate: {rate} }}")
        }
    }
}

/// The percentage that is read as this share: the product by 100, or a neighbour of it where rounding went astray.
fn percent(share: f64) -> String {
    let product = share * 100.0;
    let near = [product, product.next_up(), product.next_down()];
    let exact = near.into_iter().find(|percent| percent / 100.0 == share);
    format!("{}%", exact.unwrap_or(product))
}

fn list(name: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let items: Vec<String> = items.map(|item| format!("  - {item}")).collect();
    let head = if items.is_empty() { format!("{name}: []") } else { format!("{name}:") };
    std::iter::once(head).chain(items).collect()
}

/// The sides of a fault between nodes; short where it stands between one node and all others.
fn sides(cluster: &ClusterPlan, between: &[NodeName], and: &[NodeName]) -> String {
    match cluster.alone(between, and) {
        Some(node) => format!("node: {node}"),
        None => both_sides(between, and),
    }
}

fn both_sides(between: &[NodeName], and: &[NodeName]) -> String {
    let names = |nodes: &[NodeName]| nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    format!("between: [{}], and: [{}]", names(between), names(and))
}

fn fault(cluster: &ClusterPlan, fault: &FaultPlan) -> String {
    let at = show_duration(fault.at);
    let lasts = fault.lasts.map(show_duration);
    let until = lasts.as_ref().map(|lasts| format!(", for: {lasts}")).unwrap_or_default();
    let name = fault.kind.name();
    match &fault.kind {
        FaultKind::Crash { node } | FaultKind::PowerLoss { node } => {
            let restart = lasts.map(|lasts| format!(", restart_after: {lasts}")).unwrap_or_default();
            format!("{name}: {{ node: {node}, at: {at}{restart} }}")
        }
        FaultKind::Outage { between, and } => {
            format!("outage: {{ {}, at: {at}{until} }}", sides(cluster, between, and))
        }
        FaultKind::Delay { between, and, by } => {
            let (sides, by) = (sides(cluster, between, and), show_duration(*by));
            format!("delay: {{ {sides}, by: {by}, at: {at}{until} }}")
        }
        FaultKind::Join { node } | FaultKind::Drain { node } => format!("{name}: {{ node: {node}, at: {at} }}"),
        FaultKind::Pause { node } | FaultKind::DiskFull { node } | FaultKind::DiskError { node } => {
            format!("{name}: {{ node: {node}, at: {at}{until} }}")
        }
        FaultKind::SlowCpu { node, factor } | FaultKind::SlowNic { node, factor } => {
            format!("{name}: {{ node: {node}, factor: {factor}, at: {at}{until} }}")
        }
        FaultKind::Partition { between, and, one_way } => {
            let sides = both_sides(between, and);
            format!("partition: {{ {sides}, one_way: {one_way}, at: {at}{until} }}")
        }
    }
}

fn expectation(expectation: &Expectation) -> String {
    match expectation {
        Expectation::OutputExact => "output: exact".to_string(),
        Expectation::OutputDeclared => "output: declared".to_string(),
        Expectation::CatchUp(limit) => format!("catch_up: {}", show_duration(*limit)),
        Expectation::Calm(limit) => format!("calm: {}", show_duration(*limit)),
        Expectation::Memory(limit) => format!("memory: {}", show_bytes(*limit)),
        Expectation::Latency(bounds) => {
            let bounds: Vec<String> =
                bounds.iter().map(|(name, bound)| format!("{name}: {}", show_duration(*bound))).collect();
            format!("latency: {{ {} }}", bounds.join(", "))
        }
    }
}

/// Words that YAML reads as something else than text.
const NOT_TEXT: [&str; 3] = ["null", "true", "false"];

/// Text as a YAML scalar: plain where nothing in it means anything, else in double quotes.
fn scalar(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ');
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(harmless)
        && !text.ends_with(' ')
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_string() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            // Line separators fold, and controls are forbidden, even in quotes.
            _ if c.is_alphanumeric() => quoted.push(c),
            _ => write!(quoted, "\\U{:08X}", u32::from(c)).expect("writing into a string cannot fail"),
        }
    }
    quoted.push('"');
    quoted
}
