//! `costs:`: the built-in table, a file, or numbers in place.
//!
//! All three have the same fields; in a table by job, `map_ns_per_byte` holds one number for each kind of map, and a
//! number may carry its origin. Invariant: no cost is negative.

use crate::spec::{At, Fields, Place, Reader, number, text};
use crate::yaml::{Node, Problem, Sources, Value};
use dstream_cluster::Costs;
use std::path::{Path, PathBuf};

/// The name of the built-in table.
const PAPER: &str = "paper";

/// The built-in table: published and assumed costs, each with its origin.
const PAPER_TABLE: &str = include_str!("../../costs/paper.yaml");

/// The table that a scenario names.
pub(super) struct Opened(Result<Node, Problem>);

/// Opens the table that `cluster.costs` of the tree names, before anything is read from either.
pub(super) fn open(sources: &mut Sources, root: &Node, scenario: &Path) -> Opened {
    let named = field(root, "cluster").and_then(|cluster| field(cluster, "costs"));
    let file = match named {
        Some(Node { value: Value::Text(name), at }) if name != PAPER => Some((name, *at)),
        _ => None,
    };
    let Some((name, at)) = file else {
        let paper = sources.add("costs: paper", PAPER_TABLE, 0);
        return Opened(sources.parse(paper));
    };
    let path = beside(scenario, name);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let file = sources.add(path.display().to_string(), text, 0);
            Opened(sources.parse(file))
        }
        Err(error) => {
            let message = format!(
                "`cluster.costs`: cannot read `{}` ({}); valid are `{PAPER}` and a file of costs",
                path.display(),
                error.kind()
            );
            Opened(Err(Problem::wrong(at, message)))
        }
    }
}

/// A path in a scenario counts from the scenario's folder; where nothing is there, from the working folder.
pub(super) fn beside(scenario: &Path, name: &str) -> PathBuf {
    let near = scenario.parent().unwrap_or(Path::new("")).join(name);
    if near.exists() || !Path::new(name).exists() { near } else { PathBuf::from(name) }
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key.as_deref() == Some(name)).map(|entry| &entry.node)
}

/// The costs of a job whose maps cost `map_cost` (`None` where the job is not known).
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    written: Option<&Place<'_>>,
    opened: &Opened,
    map_cost: Option<&str>,
) -> Option<Costs> {
    if let Some(place) = written.filter(|place| matches!(place.node.value, Value::Map(_))) {
        return read_costs(reader, place, map_cost);
    }
    if let Some(place) = written {
        text(reader, place)?;
    }
    match &opened.0 {
        Ok(table) => read_costs(reader, &Place { node: table, name: String::new(), key_at: table.at }, map_cost),
        Err(problem) => {
            reader.wrong(problem.at, problem.message.clone());
            None
        }
    }
}

fn read_costs(reader: &mut Reader<'_>, place: &Place<'_>, map_cost: Option<&str>) -> Option<Costs> {
    let mut fields = Fields::open(reader, place, "{ task_ns: 3000000 }")?;
    let map = fields.required(reader, "map_ns_per_byte", "map_ns_per_byte: { words: 110 }", |reader, place| {
        read_map_cost(reader, place, map_cost)
    });
    let factor = fields.required(reader, "single_record_factor", "single_record_factor: 1.67", |reader, place| {
        let read = number("a number of at least 1", |factor| factor >= 1.0);
        with_origin(reader, place, read)
    });
    let mut cost = |field, example| fields.required(reader, field, example, read_cost);
    let merge = cost("merge_ns_per_row", "merge_ns_per_row: 1000");
    let codec = cost("codec_ns_per_byte", "codec_ns_per_byte: 1");
    let task = cost("task_ns", "task_ns: 3000000");
    let master = cost("master_task_ns", "master_task_ns: 100000");
    let message = cost("message_ns", "message_ns: 20000");
    let checkpoint = cost("checkpoint_ns_per_byte", "checkpoint_ns_per_byte: 1");
    fields.close(reader);
    Some(Costs {
        map_ns_per_byte: map?,
        single_record_factor: factor?,
        merge_ns_per_row: merge?,
        codec_ns_per_byte: codec?,
        task_ns: task?,
        master_task_ns: master?,
        message_ns: message?,
        checkpoint_ns_per_byte: checkpoint?,
    })
}

/// One number, or one for each kind of map.
fn read_map_cost(reader: &mut Reader<'_>, place: &Place<'_>, kind: Option<&str>) -> Option<f64> {
    let Value::Map(entries) = &place.node.value else { return read_map_number(reader, place) };
    if entries.iter().any(|entry| entry.key.as_deref() == Some("value")) {
        return read_map_number(reader, place);
    }
    let fields = Fields::open(reader, place, "{ words: 110 }")?;
    let kinds = fields.others();
    let read: Vec<(&str, Option<f64>)> =
        kinds.iter().map(|(name, place)| (*name, read_map_number(reader, place))).collect();
    let kind = kind?;
    let Some((_, cost)) = read.iter().find(|(name, _)| *name == kind) else {
        let valid: Vec<&str> = read.iter().map(|(name, _)| *name).collect();
        reader.wrong_name(place.key_at, &format!("`{}` lacks `{kind}`, which the job needs", place.name), kind, &valid);
        return None;
    };
    *cost
}

/// The cost of a map: shares of the capacity are divided by it, so it cannot be nothing.
fn read_map_number(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<f64> {
    with_origin(reader, place, number("a number above 0", |cost| cost > 0.0))
}

fn read_cost(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<f64> {
    with_origin(reader, place, number("a number of at least 0", |cost| cost >= 0.0))
}

/// A number, or `{ value: 110, origin: ... }`.
fn with_origin(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    read: impl FnOnce(&mut Reader<'_>, &Place<'_>) -> Option<At<f64>>,
) -> Option<f64> {
    if !matches!(place.node.value, Value::Map(_)) {
        return read(reader, place).map(|number| number.value);
    }
    let mut fields = Fields::open(reader, place, "{ value: 1, origin: assumed }")?;
    let value = fields.required(reader, "value", "value: 1", read);
    fields.optional(reader, "origin", text);
    fields.close(reader);
    value.map(|value| value.value)
}
