//! The committed schema of scenario files: it is what the binary prints, it accepts what the parser accepts, and it
//! knows the same names.
//!
//! `dstream schema > scenarios/schema.json` renews it.

use crate::common::{Folder, paper_scenario_files, root, scenario_files};
use dstream::{Overrides, Setup, load_scenario, scenario_schema};
use regex_lite::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What is wrong with `value`, as far as the keywords go that our schema uses.
fn wrong(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let list = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    if !schema["type"].is_null() {
        let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        if !kinds.iter().any(|kind| is_a(value, kind.as_str().unwrap())) {
            return vec![format!("{at}: {value} is not {}", schema["type"])];
        }
    }
    if !schema["enum"].is_null() && !list("enum").contains(value) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    let any = list("anyOf");
    if !any.is_empty() && any.iter().all(|schema| !wrong(schema, value, at).is_empty()) {
        found.push(format!("{at}: {value} fits nothing of {}", schema["anyOf"]));
    }
    for schema in list("allOf") {
        if wrong(&schema["if"], value, at).is_empty() {
            found.extend(wrong(&schema["then"], value, at));
        }
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        found.push(format!("{at}: `{text}` does not match {pattern}"));
    }
    if let Some(number) = value.as_f64() {
        let below = schema["minimum"].as_f64().is_some_and(|least| number < least);
        let above = schema["maximum"].as_f64().is_some_and(|most| number > most);
        if below || above || schema["exclusiveMinimum"].as_f64().is_some_and(|least| number <= least) {
            found.push(format!("{at}: {number} is out of bounds"));
        }
    }
    found.extend(wrong_inside(schema, value, at));
    found
}

fn wrong_inside(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let number = |key: &str| schema[key].as_u64();
    if let Some(items) = value.as_array() {
        let too_few = number("minItems").is_some_and(|least| (items.len() as u64) < least);
        found.extend(too_few.then(|| format!("{at}: too few items")));
        if !schema["items"].is_null() {
            let place = |(place, item)| wrong(&schema["items"], item, &format!("{at}[{place}]"));
            found.extend(items.iter().enumerate().flat_map(place));
        }
    }
    let Some(fields) = value.as_object() else { return found };
    for required in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            found.push(format!("{at}: lacks {required}"));
        }
    }
    for (name, value) in fields {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(wrong(schema, value, &format!("{at}.{name}"))),
            None if schema["additionalProperties"] == json!(false) => found.push(format!("{at}: no field `{name}`")),
            None => {}
        }
    }
    let count = fields.len() as u64;
    if number("minProperties").is_some_and(|least| count < least)
        || number("maxProperties").is_some_and(|most| count > most)
    {
        found.push(format!("{at}: {count} fields"));
    }
    found
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema uses the type `{other}`, which this test does not know"),
    }
}

fn committed() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("scenarios/schema.json")).unwrap()).unwrap()
}

fn judge(yaml: &str) -> Vec<String> {
    wrong(&committed(), &serde_yaml::from_str(yaml).unwrap(), "scenario")
}

#[test]
fn the_committed_schema_is_what_the_binary_prints() {
    let committed = std::fs::read_to_string(root().join("scenarios/schema.json")).unwrap();
    let printed = scenario_schema(&Setup::built_in()).unwrap_or_else(|failure| panic!("{}", failure.message));
    assert!(committed == printed, "options or jobs changed: run `dstream schema > scenarios/schema.json`");
}

#[test]
fn every_scenario_is_valid_and_names_the_schema() {
    for path in scenario_files().into_iter().chain(paper_scenario_files()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(judge(&text), Vec::<String>::new(), "{}", path.display());
        let first = text.lines().next().unwrap();
        assert_eq!(first, "# yaml-language-server: $schema=../schema.json", "{}", path.display());
    }
}

const SMALL: &str = "\
title: small
duration: 60s
cluster: { workers: 4 }
workload:
  job: word-count
  params: {}
  source: { generate: { rate: 1000/s } }
engines:
  - dstream: { interval: 1s }
faults:
  - crash: { node: worker-1, at: 10s..20s }
expect:
  - output: exact
";

#[test]
fn what_the_parser_refuses_for_its_form_the_schema_refuses_too() {
    assert_eq!(judge(SMALL), Vec::<String>::new());
    for (right, mistake) in [
        ("title: small", "titel: small"),
        ("duration: 60s", "duration: 60"),
        ("duration: 60s", "duration: 60sec"),
        ("duration: 60s\n", ""),
        ("workers: 4", "workers: 0"),
        ("workers: 4", "workers: four"),
        ("workers: 4", "wrokers: 4"),
        ("job: word-count", "job: word-cuont"),
        ("params: {}", "params: { windwo: 30s }"),
        ("rate: 1000/s", "rate: 1000"),
        ("rate: 1000/s", "record: 100B"),
        ("generate: {", "genrate: {"),
        ("interval: 1s", "intervall: 1s"),
        ("interval: 1s", "copies: 0"),
        ("- dstream: { interval: 1s }", "- spark: {}"),
        ("- dstream: { interval: 1s }", "- spark"),
        ("crash: {", "crsah: {"),
        ("at: 10s..20s", "at: soon"),
        (", at: 10s..20s", ""),
        ("at: 10s..20s", "at: 10s, for: 3s"),
        ("output: exact", "output: roughly"),
        ("output: exact", "latency: { p98: 1s }"),
    ] {
        let text = SMALL.replace(right, mistake);
        assert!(!judge(&text).is_empty(), "`{mistake}` passes");
        let folder = Folder::new();
        folder.write("wrong.yaml", &text);
        let read = load_scenario(&folder.0.join("wrong.yaml"), &Overrides::default(), &Setup::built_in());
        assert!(read.is_err(), "the parser takes `{mistake}`");
    }
}

/// The names that the parser says are valid where it finds a name that is near to none.
fn parser_names(right: &str, with_odd: &str) -> BTreeSet<String> {
    let folder = Folder::new();
    folder.write("odd.yaml", SMALL.replace(right, with_odd));
    let read = load_scenario(&folder.0.join("odd.yaml"), &Overrides::default(), &Setup::built_in());
    let Err(failure) = read else { panic!("`{with_odd}` passes") };
    let mut lines = failure.message.lines().filter(|line| line.contains("`qqqqqqqqqqqq`"));
    let names = lines.find_map(|line| line.split("valid: ").nth(1));
    let names = names.unwrap_or_else(|| panic!("no names in {}", failure.message));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn schema_and_parser_know_the_same_fields() {
    let schema = committed();
    let names = |pointer: &str| -> BTreeSet<String> {
        schema.pointer(pointer).unwrap()["properties"].as_object().unwrap().keys().cloned().collect()
    };
    // Named so that they can be refused as not built; an editor need not offer them.
    let unbuilt = BTreeSet::from(["sources".to_owned()]);
    let odd = "qqqqqqqqqqqq: 1";
    for (pointer, right, with_odd) in [
        ("", "title: small", &format!("title: small\n{odd}")),
        ("/properties/cluster", "workers: 4", &format!("workers: 4, {odd}")),
        ("/properties/cluster/properties/link", "workers: 4", &format!("workers: 4, link: {{ {odd} }}")),
        ("/properties/workload", "  params: {}", &format!("  {odd}")),
        ("/properties/workload/properties/source/properties/generate", "rate: 1000/s", &format!("rate: 1000/s, {odd}")),
        (
            "/properties/workload/properties/source/properties/file",
            "generate: { rate: 1000/s }",
            &format!("file: {{ path: x, {odd} }}"),
        ),
        ("/properties/expect/items/properties/latency", "output: exact", &format!("latency: {{ {odd} }}")),
        ("/properties/expect/items", "output: exact", &odd.to_owned()),
        ("/properties/workload/properties/source", "generate: { rate: 1000/s }", &odd.to_owned()),
        ("/properties/faults/items/properties/crash", "node: worker-1", &format!("node: worker-1, {odd}")),
        ("/properties/engines/items/anyOf/1/properties/dstream", "interval: 1s", &format!("interval: 1s, {odd}")),
    ] {
        let parser: BTreeSet<String> = parser_names(right, with_odd).difference(&unbuilt).cloned().collect();
        assert_eq!(names(pointer), parser, "at {pointer}");
    }
}
