//! `expect:`, as written.

use super::scalar::{bytes, choice, duration};
use super::{Fields, Place, Reader};
use crate::plan::Expectation;

const EXPECTATIONS: &[&str] = &["output", "catch_up", "calm", "memory", "latency"];
const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p999", "max"];

/// Reads `expect:`.
pub(crate) fn read_expectations(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Vec<Expectation>> {
    let items = place.items(reader, "[output: exact]")?;
    let mut kinds: Vec<String> = Vec::new();
    let mut expectations = Vec::new();
    for item in &items {
        let Some((kind, content)) = item.single(reader, "a check, such as `output: exact`") else { continue };
        if kinds.contains(&kind.value) {
            reader.wrong(kind.at, format!("`{}` is expected twice", kind.value));
        }
        let expectation = match kind.value.as_str() {
            "output" => read_output(reader, &content),
            "catch_up" => duration(reader, &content).map(|limit| Expectation::CatchUp(limit.value)),
            "calm" => duration(reader, &content).map(|limit| Expectation::Calm(limit.value)),
            "memory" => bytes(reader, &content).map(|limit| Expectation::Memory(limit.value)),
            "latency" => read_latency(reader, &content),
            other => {
                reader.wrong_name(kind.at, &format!("there is no check `{other}`"), other, EXPECTATIONS);
                None
            }
        };
        kinds.push(kind.value);
        expectations.extend(expectation);
    }
    Some(expectations)
}

fn read_output(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Expectation> {
    let word = choice(&["exact", "declared"])(reader, place)?;
    Some(if word.value == "exact" { Expectation::OutputExact } else { Expectation::OutputDeclared })
}

fn read_latency(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Expectation> {
    let mut fields = Fields::open(reader, place, "{ p99: 2500ms }")?;
    let mut bounds = Vec::new();
    for name in PERCENTILES {
        let bound = fields.optional(reader, name, duration);
        bounds.extend(bound.map(|bound| (name.to_string(), bound.value)));
    }
    if fields.is_empty() {
        reader.wrong(place.key_at, format!("`{}` bounds nothing, such as `p99: 2500ms`", place.name));
    }
    fields.close(reader);
    Some(Expectation::Latency(bounds))
}
