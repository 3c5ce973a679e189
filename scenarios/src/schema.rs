//! The scenario file as a JSON Schema, for editors: what is declared to the parser, in their words.
//!
//! Engines, options, jobs, parameters and kinds of faults come from the parser's own declarations and units from its
//! tables; the other fields stand here, and a test holds their names against those that the parser asks for.
//! Invariant: what the parser accepts is valid here. The reverse is not promised: a schema knows no cluster's size.

use crate::compare::COMPARISONS;
use crate::context::{Context, EngineDeclaration, JobDeclaration};
use crate::spec::{FAULT_SHAPES, FaultField, FaultShape, show_option};
use crate::unit::{self, show_bytes, show_duration};
use crate::workload::ParamKind;
use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue};
use dstream_host::shape::STORE;
use serde_json::{Map, Value, json};

/// The schema's dialect.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// Names of nodes.
const NODES: &str = "`worker-3`, `any-worker`, `master`, `client-1`; `standby-1` and `replica-1` where an engine has \
     them; `store` for what hits the durable store.";

/// The schema of scenario files in this context.
pub fn schema(context: &Context) -> Value {
    let text = json!({ "type": ["string", "number", "boolean"] });
    let mut root = object(&[
        ("title", described(text.clone(), "Names the run directory.")),
        ("about", described(text, "What the scenario asks, in a sentence.")),
        (
            "seed",
            described(json!({ "type": "integer", "minimum": 0 }), "Everything random is drawn from it. Default 0."),
        ),
        ("duration", described(duration(), "Length of the load after the warm-up; every `at:` counts from its begin.")),
        ("warmup", described(duration(), "Nothing is measured in it. Default: the job's window plus two checkpoints.")),
        (
            "slo",
            described(
                duration(),
                "A result is on time within this after its interval's end. Default: taken from the run.",
            ),
        ),
        ("compare", described(words(&COMPARISONS), "What engines have in common. Default equal-workers.")),
        ("cluster", cluster()),
        ("workload", workload(context)),
        ("engines", engines(context)),
        ("faults", faults()),
        ("expect", expect()),
    ]);
    require(&mut root, &["title", "duration", "cluster", "workload", "engines"]);
    root["$schema"] = json!(DIALECT);
    root["title"] = json!("dstream scenario");
    root
}

fn cluster() -> Value {
    let whole = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most });
    let mut cluster = object(&[
        ("workers", described(whole(1_000), "Processing nodes.")),
        ("cores", described(whole(1_024), "Cores of each. Default 4.")),
        ("clients", described(whole(1_000), "Nodes that send records. Default 2.")),
        ("partitions", described(whole(100_000), "Reduce partitions. Default: twice all cores.")),
        ("link", described(link(), "Between nodes, one way; bandwidth per node and direction.")),
        ("store", described(store(), "The durable store.")),
        ("heartbeat", described(duration(), "How often a worker says that it lives. Default 100ms.")),
        ("failure_timeout", described(duration(), "Silence after which a worker is lost. Default 500ms.")),
        (
            "costs",
            described(json!({ "type": ["string", "object"] }), "`paper`, a file of costs, or the costs themselves."),
        ),
        (
            "compute",
            described(words(&["real", "modelled"]), "Of the world tcp: work, or sleep as long as it would take."),
        ),
    ]);
    require(&mut cluster, &["workers"]);
    described(cluster, "The machines.")
}

fn store() -> Value {
    let mut store = link();
    let address = json!({ "type": "string", "pattern": "^s3://" });
    let address = described(address, "`s3://bucket/prefix`, in the world tcp. Default: a folder of the run's own.");
    let server = json!({ "type": "string", "pattern": "^https?://" });
    store["properties"]["url"] = address;
    store["properties"]["endpoint"] = described(server, "The server of `url`. Default: what the environment names.");
    store
}

fn link() -> Value {
    object(&[("latency", duration()), ("bandwidth", quantity(unit::bandwidth_pattern(), "`100Mbit` or `1Gbit`"))])
}

fn workload(context: &Context) -> Value {
    let jobs: Vec<&JobDeclaration> = context.jobs.iter().filter(|job| job.built).collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let mut workload = object(&[
        ("job", described(words(&names), "What is computed.")),
        ("params", described(json!({ "type": ["object", "null"] }), "The job's parameters.")),
        (
            "source",
            one_of_keys(
                &[("generate", generate()), ("file", file()), ("pool", pool())],
                "Where the records come from.",
            ),
        ),
        (
            "scale",
            described(
                json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }),
                "How many records each one moved stands for. Default 1.",
            ),
        ),
    ]);
    require(&mut workload, &["job", "source"]);
    let cases = jobs.iter().map(|job| {
        json!({
            "if": { "required": ["job"], "properties": { "job": { "const": job.name } } },
            "then": { "properties": { "params": params(job) } },
        })
    });
    workload["allOf"] = cases.collect();
    described(workload, "What is computed, on what.")
}

fn params(job: &JobDeclaration) -> Value {
    let fields = job.params.iter().filter(|param| !param.unbuilt).map(|param| {
        (param.name, described(value(&param.kind), &format!("{} Default {}.", sentence(param.about), param.default)))
    });
    let unbuilt = job.params.iter().filter(|param| param.unbuilt);
    let only = unbuilt.map(|param| (param.name, described(json!({ "const": param.default }), param.about)));
    nullable(object(&fields.chain(only).collect::<Vec<_>>()))
}

/// A parameter's values. Numbers may also be written as texts.
fn value(kind: &ParamKind) -> Value {
    let time = unit::duration_pattern();
    match kind {
        ParamKind::Text => json!({ "type": ["string", "number", "boolean"] }),
        ParamKind::Count(range) => json!({
            "type": ["integer", "string"], "minimum": range.start(), "maximum": range.end(), "pattern": "^[0-9]+$",
        }),
        ParamKind::Window => json!({ "type": "string", "pattern": format!("^(off|all|{time})$") }),
        ParamKind::Slide => json!({ "type": "string", "pattern": format!("^(off|{time})$") }),
    }
}

fn generate() -> Value {
    let share = quantity(unit::percent_pattern(), "`1%`");
    let mut generate = object(&[
        ("rate", described(rate(), "Represented records a second, or a share of the capacity.")),
        ("record", described(size(), "Length of a record. Default 100B.")),
        (
            "keys",
            described(
                json!({ "type": "integer", "minimum": 1, "maximum": crate::workload::MOST_KEYS }),
                "Words in the vocabulary. Default 10000.",
            ),
        ),
        ("skew", described(json!({ "type": "number", "minimum": 0 }), "Exponent of Zipf's law. Default 1.")),
        (
            "needle",
            described(json!({ "anyOf": [share, { "const": 0 }] }), "Share of records with grep's pattern. Default 0."),
        ),
    ]);
    require(&mut generate, &["rate"]);
    described(generate, "Words drawn by Zipf's law.")
}

fn file() -> Value {
    let path = json!({ "type": ["string", "number"] });
    let paths = json!({ "anyOf": [path, { "type": "array", "items": path, "minItems": 1 }] });
    let mut file = object(&[("path", paths), ("rate", rate())]);
    require(&mut file, &["path"]);
    described(file, "Lines of files.")
}

fn pool() -> Value {
    let mut pool = object(&[("path", json!({ "type": ["string", "number"] })), ("rate", rate())]);
    require(&mut pool, &["path", "rate"]);
    described(pool, "The lines of a file (at most 1 GiB) again and again, from memory.")
}

fn engines(context: &Context) -> Value {
    let built: Vec<&EngineDeclaration> = context.engines.iter().filter(|engine| engine.built).collect();
    let names: Vec<&str> = built.iter().map(|engine| engine.name.as_str()).collect();
    let fields: Vec<(&str, Value)> = built.iter().map(|engine| (engine.name.as_str(), options(engine))).collect();
    let with_options = one_of_keys(&fields, "An engine with its options.");
    let engines = json!({ "type": "array", "minItems": 1, "items": { "anyOf": [words(&names), with_options] } });
    described(engines, "The engines that are compared.")
}

fn options(engine: &EngineDeclaration) -> Value {
    let mut fields: Vec<(&str, Value)> = engine.options.iter().map(|spec| (spec.name, option(spec))).collect();
    fields.push(("as", described(json!({ "type": ["string", "number"] }), "A name of its own for a variant.")));
    nullable(object(&fields))
}

fn option(spec: &OptionSpec) -> Value {
    let about = format!("{} Default {}.", sentence(spec.about), show_option(&spec.default));
    let value = values(&spec.kind);
    let value = match &spec.unbuilt {
        Unbuilt::Everything => words(&["off"]),
        Unbuilt::Nothing | Unbuilt::AllBut(_) if spec.may_be_off() => json!({ "anyOf": [value, { "const": "off" }] }),
        Unbuilt::Nothing => value,
        // The only value may be written in several ways: `0s` and `0ms`.
        Unbuilt::AllBut(OptionValue::Choice(only)) => words(&[only]),
        Unbuilt::AllBut(_) => value,
    };
    described(value, &about)
}

/// An option's values, `off` aside.
fn values(kind: &OptionKind) -> Value {
    match kind {
        OptionKind::Duration { at_least } => described(duration(), &format!("At least {}.", show_duration(*at_least))),
        OptionKind::Count { at_least, at_most } => {
            json!({ "type": "integer", "minimum": at_least, "maximum": at_most })
        }
        OptionKind::Size { at_least } => described(size(), &format!("At least {}.", show_bytes(*at_least))),
        OptionKind::Factor { at_least } => json!({ "type": "number", "minimum": at_least }),
        OptionKind::Choice(valid) => words(valid),
        OptionKind::OrOff(kind) => values(kind),
    }
}

fn faults() -> Value {
    let kinds: Vec<(&str, Value)> = FAULT_SHAPES.iter().map(|shape| (shape.name, fault(shape))).collect();
    let faults = json!({ "type": ["array", "null"], "items": one_of_keys(&kinds, "A fault.") });
    described(faults, "What strikes, where and when.")
}

fn fault(shape: &FaultShape) -> Value {
    let name = json!({ "type": "string" });
    let side = json!({ "type": "array", "items": name, "minItems": 1 });
    let time = format!("^({0})(\\.\\.({0}))?$", unit::duration_pattern());
    let at = json!({ "type": "string", "pattern": time });
    let mut fields = vec![("at", described(at, "When, after the warm-up; `40s..41s` is drawn from the seed."))];
    let mut required = vec!["at"];
    for field in shape.fields {
        match field {
            FaultField::Node => {
                fields.push(("node", described(name.clone(), NODES)));
                required.push("node");
            }
            FaultField::Store => {
                fields.push(("node", described(json!({ "const": STORE }), "The durable store.")));
                required.push("node");
            }
            FaultField::Sides | FaultField::NodeOrSides => {
                fields.push(("between", described(side.clone(), "Nodes on one side.")));
                fields.push(("and", described(side.clone(), "Nodes on the other.")));
                if *field == FaultField::Sides {
                    required.extend(["between", "and"]);
                } else {
                    fields.push(("node", described(name.clone(), "A node with all that it has to do with others.")));
                }
            }
            FaultField::OneWay => {
                let one_way = "Only messages from the first side to the other. Default false.";
                fields.push(("one_way", described(json!({ "type": "boolean" }), one_way)));
            }
            FaultField::By => {
                fields.push(("by", described(duration(), "So much later.")));
                required.push("by");
            }
            FaultField::SlowFactor => {
                let factor = json!({ "type": "number", "exclusiveMinimum": 1 });
                fields.push(("factor", described(factor, "So many times slower.")));
                required.push("factor");
            }
            FaultField::For => fields.push(("for", described(duration(), "How long. Default: to the end."))),
            FaultField::RestartAfter => {
                fields.push(("restart_after", described(duration(), "When it comes back. Default: never.")));
            }
        }
    }
    let mut fault = object(&fields);
    require(&mut fault, &required);
    fault
}

fn expect() -> Value {
    let bounds = ["p50", "p90", "p99", "p999", "max"].map(|name| (name, duration()));
    let mut latency = object(&bounds);
    latency["minProperties"] = json!(1);
    let kinds = [
        (
            "output",
            described(
                words(&["exact", "declared"]),
                "exact: every interval equals the oracle; declared: damage is what the faults explain.",
            ),
        ),
        ("catch_up", described(duration(), "On time again within this after every fault.")),
        (
            "calm",
            described(
                duration(),
                "So long after the last fault nothing waits, all has its copies, and results are on time.",
            ),
        ),
        (
            "memory",
            described(size(), "No node holds more in memory of what it may put on its disk, and some goes there."),
        ),
        ("latency", described(latency, "Bounds of percentiles.")),
    ];
    let expect = json!({ "type": ["array", "null"], "items": one_of_keys(&kinds, "A check.") });
    described(expect, "What must hold.")
}

fn rate() -> Value {
    let pattern = format!("({})|({})", unit::per_second_pattern(), unit::percent_pattern());
    quantity(pattern, "`20000/s` or `50%`")
}

fn duration() -> Value {
    quantity(unit::duration_pattern(), "`250ms`, `30s` or `5m`")
}

fn size() -> Value {
    quantity(unit::bytes_pattern(), "`100B` or `64KiB`")
}

fn quantity(pattern: String, examples: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^({pattern})$"), "description": format!("Such as {examples}.") })
}

fn words(valid: &[&str]) -> Value {
    json!({ "enum": valid })
}

/// A mapping with these fields and no others.
fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// A mapping with exactly one of these fields.
fn one_of_keys(fields: &[(&str, Value)], about: &str) -> Value {
    let mut one = object(fields);
    one["minProperties"] = json!(1);
    one["maxProperties"] = json!(1);
    described(one, about)
}

/// The same, and nothing at all is an empty mapping.
fn nullable(mut object: Value) -> Value {
    object["type"] = json!(["object", "null"]);
    object
}

fn require(object: &mut Value, fields: &[&str]) {
    object["required"] = json!(fields);
}

/// The value with its description; a more general one that it has already is said after it.
fn described(mut value: Value, about: &str) -> Value {
    let earlier = value["description"].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    value["description"] = json!(format!("{about}{earlier}"));
    value
}

/// The text with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with('.') { text } else { format!("{text}.") }
}
