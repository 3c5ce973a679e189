//! The whole file, as written.

use super::cluster::{ClusterWritten, read_cluster};
use super::engine::{EngineWritten, read_engines};
use super::expect::read_expectations;
use super::fault::{FaultWritten, read_faults};
use super::scalar::{choice, count, duration, duration_or_zero, text, words};
use super::workload::{WorkloadWritten, read_workload};
use super::{At, Fields, Place, Reader};
use crate::compare::COMPARISONS;
use crate::context::Context;
use crate::plan::Expectation;
use crate::yaml::{Node, Spot, Value};
use std::time::Duration;

/// A scenario, as written. Required parts are options too: where one is absent or wrong, a problem was reported.
#[derive(Debug)]
pub(crate) struct ScenarioWritten<'n, 'c> {
    pub title: Option<At<String>>,
    pub about: Option<At<String>>,
    pub seed: Option<At<u64>>,
    pub duration: Option<At<Duration>>,
    pub warmup: Option<At<Duration>>,
    pub slo: Option<At<Duration>>,
    pub compare: Option<At<String>>,
    pub cluster: Option<ClusterWritten<'n>>,
    pub workload: Option<WorkloadWritten<'c>>,
    pub engines: Option<Vec<EngineWritten<'c>>>,
    pub faults: Vec<FaultWritten>,
    pub expect: Vec<Expectation>,
}

const EXAMPLE: &str = "title: worker crash";

/// Reads the whole file.
pub(crate) fn read_scenario<'n, 'c>(
    reader: &mut Reader<'_>,
    root: &'n Node,
    context: &'c Context,
) -> Option<ScenarioWritten<'n, 'c>> {
    let place = Place { node: root, name: String::new(), key_at: root.at };
    match &root.value {
        Value::Map(_) => {}
        Value::Null => {
            let at = Spot::Span { source: 0, start: 0, length: 1 };
            reader.wrong(at, "the file holds no scenario; it begins with a title, such as `title: worker crash`");
            return None;
        }
        _ => {
            let found = place.found(reader);
            reader.wrong(root.at, format!("a scenario is a mapping of fields, such as `{EXAMPLE}`, not {found}"));
            return None;
        }
    }
    let mut fields = Fields::open(reader, &place, EXAMPLE)?;
    let scenario = ScenarioWritten {
        title: fields.required(reader, "title", EXAMPLE, words),
        about: fields.optional(reader, "about", text),
        seed: fields.optional(reader, "seed", count(0..=u64::MAX)),
        duration: fields.required(reader, "duration", "duration: 90s", duration),
        warmup: fields.optional(reader, "warmup", duration_or_zero),
        slo: fields.optional(reader, "slo", duration),
        compare: fields.optional(reader, "compare", choice(&COMPARISONS)),
        cluster: fields.required(reader, "cluster", "cluster: { workers: 8 }", read_cluster),
        workload: fields.required(
            reader,
            "workload",
            "workload: { job: word-count, source: { generate: { rate: 10000/s } } }",
            |reader, place| read_workload(reader, place, context),
        ),
        engines: fields.required(reader, "engines", "engines: [dstream: {}]", |reader, place| {
            read_engines(reader, place, context)
        }),
        faults: fields.optional(reader, "faults", read_faults).unwrap_or_default(),
        expect: fields.optional(reader, "expect", read_expectations).unwrap_or_default(),
    };
    fields.close(reader);
    Some(scenario)
}
