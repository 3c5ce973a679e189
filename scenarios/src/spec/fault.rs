//! `faults:`, as written.
//!
//! The table of kinds is the schema. Whether a target exists, and whether faults
//! collide, is known only when the scenario is resolved.

use super::scalar::{duration, duration_or_zero, number, quantity, truth, words};
use super::{At, Fields, Place, Reader};
use crate::unit::{self, UnitError};
use crate::yaml::{Spot, Value};
use std::time::Duration;

/// A kind of fault: its name and its fields.
pub(crate) struct Shape {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// Fields beside `at`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Field {
    Node,
    /// `node: store`, which is the only one.
    Store,
    Sides,
    /// `node`, for all that it has to do with others, or `between` and `and`.
    NodeOrSides,
    OneWay,
    By,
    SlowFactor,
    For,
    RestartAfter,
}

/// All kinds of faults.
pub(crate) const SHAPES: &[Shape] = &[
    Shape { name: "crash", fields: &[Field::Node, Field::RestartAfter] },
    Shape { name: "power-loss", fields: &[Field::Node, Field::RestartAfter] },
    Shape { name: "pause", fields: &[Field::Node, Field::For] },
    Shape { name: "partition", fields: &[Field::Sides, Field::OneWay, Field::For] },
    Shape { name: "outage", fields: &[Field::NodeOrSides, Field::For] },
    Shape { name: "delay", fields: &[Field::NodeOrSides, Field::By, Field::For] },
    Shape { name: "slow-cpu", fields: &[Field::Node, Field::SlowFactor, Field::For] },
    Shape { name: "slow-nic", fields: &[Field::Node, Field::SlowFactor, Field::For] },
    Shape { name: "disk-full", fields: &[Field::Store, Field::For] },
    Shape { name: "disk-error", fields: &[Field::Store, Field::For] },
    Shape { name: "join", fields: &[Field::Node] },
    Shape { name: "drain", fields: &[Field::Node] },
];

/// One fault, as written.
#[derive(Debug)]
pub(crate) struct FaultWritten {
    /// Its place in the file, from 0.
    pub place: usize,
    pub kind: At<String>,
    pub node: Option<At<String>>,
    pub between: Vec<At<String>>,
    pub and: Vec<At<String>>,
    pub one_way: bool,
    pub factor: Option<At<f64>>,
    /// How much later messages come.
    pub by: Option<At<Duration>>,
    pub at: At<TimeWritten>,
    pub lasts: Option<At<Duration>>,
}

impl FaultWritten {
    /// What a message about the whole fault points at.
    pub fn spot(&self) -> Spot {
        let first = self.node.as_ref().or(self.between.first());
        first.map_or(self.kind.at, |node| node.at)
    }
}

/// When, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimeWritten {
    Exact(Duration),
    /// Drawn by seed; the second is left out.
    Drawn(Duration, Duration),
}

/// Reads `faults:`.
pub(crate) fn read_faults(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Vec<FaultWritten>> {
    let items = place.items(reader, "[crash: { node: worker-1, at: 40s }]")?;
    let faults: Vec<_> = items.iter().enumerate().map(|(index, item)| read_fault(reader, item, index)).collect();
    Some(faults.into_iter().flatten().collect())
}

fn read_fault(reader: &mut Reader<'_>, item: &Place<'_>, place: usize) -> Option<FaultWritten> {
    let (kind, content) = item.single(reader, "a fault, such as `crash: { node: worker-1, at: 40s }`")?;
    let Some(shape) = SHAPES.iter().find(|shape| shape.name == kind.value) else {
        let valid: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        reader.wrong_name(kind.at, &format!("there is no fault `{}`", kind.value), &kind.value, &valid);
        return None;
    };
    let before = reader.problems.len();
    let mut fields = Fields::open(reader, &content, "{ node: worker-1, at: 40s }")?;
    let has = |field: Field| shape.fields.contains(&field);
    let (node, between, and) = read_targets(reader, &mut fields, &has);
    let mut one_way = false;
    if has(Field::OneWay) {
        one_way = fields.optional(reader, "one_way", truth).unwrap_or(false);
    }
    let (mut factor, mut by) = (None, None);
    if has(Field::SlowFactor) {
        factor = fields.required(reader, "factor", "factor: 8", number("a number above 1", |factor| factor > 1.0));
    }
    if has(Field::By) {
        by = fields.required(reader, "by", "by: 100ms", duration);
    }
    let at = fields.required(reader, "at", "at: 40s", read_time);
    let end = [(Field::RestartAfter, "restart_after"), (Field::For, "for")].into_iter().find(|(field, _)| has(*field));
    let lasts = end.and_then(|(_, name)| fields.optional(reader, name, duration));
    fields.close(reader);
    let fault = FaultWritten { place, kind, node, between, and, one_way, factor, by, at: at?, lasts };
    if reader.problems.len() == before { Some(fault) } else { None }
}

/// Nodes, as written.
type Names = Vec<At<String>>;

/// Whom the fault hits: a node, or the two sides between which it stands.
fn read_targets(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    has: &impl Fn(Field) -> bool,
) -> (Option<At<String>>, Names, Names) {
    let stands_between = fields.has("between") || fields.has("and");
    let mut node = None;
    if has(Field::Node) || (has(Field::NodeOrSides) && !stands_between) {
        node = fields.required(reader, "node", "node: worker-1", words);
    }
    if has(Field::Store) {
        node = fields.required(reader, "node", "node: store", words);
    }
    if !(has(Field::Sides) || has(Field::NodeOrSides)) || node.is_some() {
        return (node, Vec::new(), Vec::new());
    }
    let between = fields.required(reader, "between", "between: [worker-1]", read_side).unwrap_or_default();
    let and = fields.required(reader, "and", "and: [master]", read_side).unwrap_or_default();
    (node, between, and)
}

fn read_side(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Vec<At<String>>> {
    if place.node.value == Value::Null {
        return place.expected(reader, "a list of nodes, such as `[worker-1]`");
    }
    let items = place.items(reader, "[worker-1]")?;
    if items.is_empty() {
        return place.expected(reader, "a list of at least one node, such as `[worker-1]`");
    }
    let nodes: Vec<_> = items.iter().map(|item| words(reader, item)).collect();
    nodes.into_iter().collect()
}

/// `40s`, or `40s..41s` to be drawn.
fn read_time(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<TimeWritten>> {
    let Value::Text(text) = &place.node.value else {
        let exact = duration_or_zero(reader, place)?;
        return Some(At { value: TimeWritten::Exact(exact.value), at: exact.at });
    };
    let Some((from, to)) = text.split_once("..") else {
        let exact = duration_or_zero(reader, place)?;
        return Some(At { value: TimeWritten::Exact(exact.value), at: exact.at });
    };
    let read = |_: &str| -> Result<TimeWritten, UnitError> {
        let (from, to) = (unit::duration(from)?, unit::duration(to)?);
        Ok(TimeWritten::Drawn(from, to))
    };
    let drawn = quantity(reader, place, "a time, such as `40s` or `40s..41s`", read)?;
    match drawn.value {
        TimeWritten::Drawn(from, to) if to < from + SHORTEST_DRAW => {
            place.expected(reader, "from an earlier to a later time, at least `1ms` apart")
        }
        _ => Some(drawn),
    }
}

/// Times are drawn to the millisecond, the simulator's tick.
const SHORTEST_DRAW: Duration = Duration::from_millis(1);
