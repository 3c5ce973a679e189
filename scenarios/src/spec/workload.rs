//! `workload:`, as written.

use super::scalar::{bytes, count, number, quantity, text, words};
use super::{At, Fields, Place, Reader};
use crate::context::{Context, JobDeclaration};
use crate::unit::{self, UnitError};
use crate::workload::MOST_KEYS;
use crate::yaml::Value;

/// The smallest record: one character and its line end.
const LEAST_RECORD_BYTES: u64 = 2;
/// The largest record: the longest line that is read.
const MOST_RECORD_BYTES: u64 = 1 << 20;
/// The most records that one may stand for.
const MOST_SCALE: u64 = 1_000_000;

/// What is computed, on what, as written.
#[derive(Debug)]
pub(crate) struct WorkloadWritten<'c> {
    pub job: Option<(At<String>, &'c JobDeclaration)>,
    pub params: Vec<(String, At<String>)>,
    pub source: Option<SourceWritten>,
    pub scale: Option<At<u64>>,
}

/// Where records come from, as written.
#[derive(Debug)]
pub(crate) enum SourceWritten {
    Generate {
        rate: Option<At<RateWritten>>,
        record: Option<At<u64>>,
        keys: Option<At<u64>>,
        skew: Option<At<f64>>,
        needle: Option<At<f64>>,
    },
    File {
        paths: Vec<At<String>>,
        rate: Option<At<RateWritten>>,
    },
    Pool {
        path: At<String>,
        rate: Option<At<RateWritten>>,
    },
}

/// A rate, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RateWritten {
    /// Records a second.
    PerSecond(f64),
    /// A share of the capacity, as a fraction.
    OfCapacity(f64),
}

/// Reads `workload:`.
pub(crate) fn read_workload<'c>(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    context: &'c Context,
) -> Option<WorkloadWritten<'c>> {
    let mut fields = Fields::open(reader, place, "{ job: word-count, source: { generate: { rate: 10000/s } } }")?;
    let job = fields.required(reader, "job", "job: word-count", |reader, place| read_job(reader, place, context));
    let params = fields.optional(reader, "params", |reader, place| read_params(reader, place, job.as_ref()));
    let sources = fields.take("sources");
    let source = match (&sources, fields.take("source")) {
        (Some(sources), _) => {
            reader.unbuilt(sources.key_at, "`sources`", "; a job has one input, its `source`");
            None
        }
        (None, Some(place)) => read_source(reader, &place),
        (None, None) => fields.required(reader, "source", "source: { generate: { rate: 10000/s } }", read_source),
    };
    let scale = fields.optional(reader, "scale", count(1..=MOST_SCALE));
    fields.close(reader);
    Some(WorkloadWritten { job, params: params.unwrap_or_default(), source, scale })
}

fn read_job<'c>(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    context: &'c Context,
) -> Option<(At<String>, &'c JobDeclaration)> {
    let name = words(reader, place)?;
    let Some(job) = context.jobs.iter().find(|job| job.name == name.value) else {
        let valid: Vec<&str> = context.jobs.iter().map(|job| job.name.as_str()).collect();
        reader.wrong_name(name.at, &format!("there is no job `{}`", name.value.escape_debug()), &name.value, &valid);
        return None;
    };
    if !job.built {
        reader.unbuilt(name.at, &format!("the job `{}`", job.name), &available(context));
        return None;
    }
    Some((name, job))
}

fn available(context: &Context) -> String {
    let built: Vec<String> = context.jobs.iter().filter(|job| job.built).map(|job| format!("`{}`", job.name)).collect();
    format!("; built are: {}", built.join(", "))
}

fn read_params(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    job: Option<&(At<String>, &JobDeclaration)>,
) -> Option<Vec<(String, At<String>)>> {
    let fields = Fields::open(reader, place, "{ k: 10 }")?;
    let (_, job) = job?;
    let valid: Vec<&str> = job.params.iter().map(|param| param.name).collect();
    let mut params = Vec::new();
    for (name, place) in fields.others() {
        let Some(param) = job.params.iter().find(|param| param.name == name) else {
            let message = format!("the job `{}` has no parameter `{name}`", job.name);
            reader.wrong_name(place.key_at, &message, name, &valid);
            continue;
        };
        let Some(value) = text(reader, &place) else { continue };
        if param.unbuilt && value.value != param.default {
            let instead = format!("; its only value is `{}`", param.default);
            reader.unbuilt(place.key_at, &format!("the parameter `{name}` of `{}`", job.name), &instead);
            continue;
        }
        params.push((name.to_string(), value));
    }
    Some(params)
}

const SOURCES: &[&str] = &["generate", "file", "pool"];

fn read_source(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<SourceWritten> {
    let (kind, content) = place.single(reader, "`generate: { rate: 10000/s }` or `file: { path: ... }`")?;
    match kind.value.as_str() {
        "generate" => read_generate(reader, &content),
        "file" => read_file(reader, &content),
        "pool" => read_pool(reader, &content),
        other => {
            reader.wrong_name(kind.at, &format!("there is no source `{other}`"), other, SOURCES);
            None
        }
    }
}

fn read_generate(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<SourceWritten> {
    let mut fields = Fields::open(reader, place, "{ rate: 10000/s, record: 100B }")?;
    let source = SourceWritten::Generate {
        rate: fields.required(reader, "rate", "rate: 10000/s", read_rate),
        record: fields.optional(reader, "record", read_record),
        keys: fields.optional(reader, "keys", count(1..=MOST_KEYS)),
        skew: fields.optional(reader, "skew", number("a number of at least 0", |skew| skew >= 0.0)),
        needle: fields.optional(reader, "needle", read_needle),
    };
    fields.close(reader);
    Some(source)
}

fn read_record(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<u64>> {
    let record = bytes(reader, place)?;
    if (LEAST_RECORD_BYTES..=MOST_RECORD_BYTES).contains(&record.value) {
        return Some(record);
    }
    place.expected(reader, "from `2B` (a character and its line end) to `1MiB`")
}

fn read_needle(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<f64>> {
    if place.node.value == Value::Whole(0) {
        return Some(At { value: 0.0, at: place.node.at });
    }
    let share = quantity(reader, place, "a share, such as `1%`", unit::percent)?;
    if share.value <= 1.0 { Some(share) } else { place.expected(reader, "from `0%` to `100%`") }
}

fn read_file(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<SourceWritten> {
    let mut fields = Fields::open(reader, place, "{ path: input.txt }")?;
    let paths = fields.required(reader, "path", "path: input.txt", read_paths);
    let rate = fields.optional(reader, "rate", read_rate);
    fields.close(reader);
    Some(SourceWritten::File { paths: paths?, rate })
}

fn read_pool(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<SourceWritten> {
    let mut fields = Fields::open(reader, place, "{ path: input.txt, rate: 10000/s }")?;
    let path = fields.required(reader, "path", "path: input.txt", words);
    let rate = fields.required(reader, "rate", "rate: 10000/s", read_rate);
    fields.close(reader);
    Some(SourceWritten::Pool { path: path?, rate })
}

/// One path, or a list of them.
fn read_paths(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Vec<At<String>>> {
    match &place.node.value {
        Value::List(items) if items.is_empty() => place.expected(reader, "at least one path"),
        Value::List(_) => {
            let items = place.items(reader, "[a.txt, b.txt]")?;
            items.iter().map(|item| words(reader, item)).collect()
        }
        _ => words(reader, place).map(|path| vec![path]),
    }
}

fn read_rate(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<RateWritten>> {
    let read = |text: &str| -> Result<RateWritten, UnitError> {
        if text.ends_with('%') {
            unit::percent(text).map(RateWritten::OfCapacity)
        } else {
            unit::per_second(text).map(RateWritten::PerSecond)
        }
    };
    let rate = quantity(reader, place, "a rate, such as `20000/s` or `50%`", read)?;
    let (RateWritten::PerSecond(amount) | RateWritten::OfCapacity(amount)) = rate.value;
    if amount > 0.0 { Some(rate) } else { place.expected(reader, "above zero") }
}
