//! What the parser's tests share: contexts of made-up engines and jobs, and a scenario to change.
//!
//! The engine `dstream` here has the options of the real one; the parser knows neither.
#![allow(dead_code, reason = "each test file uses its part")]

use dstream_cluster::option::Unbuilt;
use dstream_cluster::{Costs, OptionKind, OptionSpec, OptionValue, Options};
use dstream_scenarios::plan::Plan;
use dstream_scenarios::workload::{ParamKind, ParamSpec};
use dstream_scenarios::{Context, EngineDeclaration, JobDeclaration, load};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A scenario in which every field is written.
pub const FULL: &str = r#"# Every field that this build has.
title: "full: every field"
about: All of it.
seed: 7
duration: 90s
warmup: 1500ms
slo: 2s
compare: equal-workers
cluster:
  workers: 8
  cores: 4
  clients: 2
  partitions: 64
  link: { latency: 1ms, bandwidth: 1Gbit }
  store: { latency: 5ms, bandwidth: 1Gbit }
  heartbeat: 100ms
  failure_timeout: 500ms
  costs: paper
workload:
  job: word-count
  params: { window: off, slide: off }
  source: { generate: { rate: 50%, record: 100B, keys: 10000, skew: 1.5 } }
  scale: 100
engines:
  - dstream: { interval: 1s, checkpoint: off, copies: 2, slack: 0ms, block: 200ms, speculation: off, recovery: eager }
  - dstream: { copies: 3, as: three copies }
faults:
  - crash: { node: any-worker, at: 40s..41s, restart_after: 15s }
  - slow-cpu: { node: any-worker, factor: 8, at: 60s, for: 10s }
  - pause: { node: master, at: 10s, for: 250ms }
  - partition: { between: [worker-1, any-worker], and: [master, client-2], one_way: true, at: 70s..80s, for: 10s }
expect:
  - output: exact
  - catch_up: 5s
  - latency: { p50: 1500ms, p99: 2500ms }
"#;

/// A small scenario that is right.
pub const SMALL: &str = "\
title: small
duration: 60s
cluster: { workers: 4 }
workload:
  job: word-count
  source: { generate: { rate: 1000/s } }
engines:
  - dstream: { interval: 1s }
";

fn option(name: &'static str, kind: OptionKind, default: OptionValue, unbuilt: Unbuilt) -> OptionSpec {
    OptionSpec { name, about: "an option", kind, default, unbuilt }
}

fn duration(millis: u64) -> OptionValue {
    OptionValue::Duration(Duration::from_millis(millis))
}

fn word(word: &str) -> OptionValue {
    OptionValue::Choice(word.to_string())
}

const ANY_DURATION: OptionKind = OptionKind::Duration { at_least: Duration::ZERO };
const MEMORY: OptionKind = OptionKind::Size { at_least: 4096 };
const COPIES: OptionKind = OptionKind::Count { at_least: 1, at_most: 16 };

fn dstream_options() -> Vec<OptionSpec> {
    let at_least = |millis| OptionKind::Duration { at_least: Duration::from_millis(millis) };
    let recovery = OptionKind::Choice(&["eager", "lazy"]);
    let speculation = OptionKind::Factor { at_least: 1.0 };
    let masters = OptionKind::Count { at_least: 0, at_most: 8 };
    let spares = OptionKind::Count { at_least: 0, at_most: 1024 };
    vec![
        option("interval", at_least(10), duration(1000), Unbuilt::Nothing),
        option("checkpoint", at_least(1), OptionValue::Off, Unbuilt::Everything),
        option("copies", COPIES, OptionValue::Count(2), Unbuilt::Nothing),
        option("slack", ANY_DURATION, duration(0), Unbuilt::Nothing),
        option("block", at_least(10), duration(200), Unbuilt::Nothing),
        option("speculation", speculation, OptionValue::Off, Unbuilt::Everything),
        option("recovery", recovery, word("eager"), Unbuilt::AllBut(word("eager"))),
        option("input", OptionKind::Choice(&["memory", "log"]), word("memory"), Unbuilt::AllBut(word("memory"))),
        option("backpressure", OptionKind::Choice(&["off", "on"]), word("off"), Unbuilt::AllBut(word("off"))),
        option("placement", OptionKind::Choice(&["free", "fixed"]), word("free"), Unbuilt::AllBut(word("free"))),
        option("memory", OptionKind::OrOff(Box::new(MEMORY)), OptionValue::Off, Unbuilt::Nothing),
        option("spares", spares, OptionValue::Count(0), Unbuilt::Nothing),
        option("standby_masters", masters, OptionValue::Count(0), Unbuilt::AllBut(OptionValue::Count(0))),
    ]
}

/// An engine that has checkpoints and is ten times slower.
fn slow_options() -> Vec<OptionSpec> {
    vec![
        option("interval", ANY_DURATION, duration(1000), Unbuilt::Nothing),
        option("checkpoint", ANY_DURATION, duration(10_000), Unbuilt::Nothing),
        option("copies", COPIES, OptionValue::Count(1), Unbuilt::Nothing),
        option("chunk", OptionKind::Factor { at_least: 0.5 }, OptionValue::Factor(1.0), Unbuilt::Nothing),
    ]
}

fn engine(name: &str, options: Vec<OptionSpec>, times: f64) -> EngineDeclaration {
    let map_ns_per_byte = Arc::new(move |costs: &Costs, _: &Options| costs.map_ns_per_byte * times);
    EngineDeclaration::new(name, options, map_ns_per_byte)
}

fn param(name: &'static str, default: &'static str, unbuilt: bool) -> ParamSpec {
    let kind = match name {
        "window" => ParamKind::Window,
        "slide" => ParamKind::Slide,
        _ => ParamKind::Text,
    };
    ParamSpec { name, about: "a parameter", default, kind, unbuilt }
}

fn job(name: &str, params: Vec<ParamSpec>, map_cost: &str) -> JobDeclaration {
    JobDeclaration { name: name.to_string(), params, built: true, map_cost: map_cost.to_string() }
}

/// Engines and jobs, built and unbuilt.
pub fn context() -> Context {
    let windows = |unbuilt| vec![param("window", "off", unbuilt), param("slide", "off", unbuilt)];
    let mut search = windows(false);
    search.push(param("pattern", "ERROR", false));
    Context {
        engines: vec![
            EngineDeclaration { recovers_master: true, moves: true, ..engine("dstream", dstream_options(), 1.0) },
            engine("slow", slow_options(), 10.0),
            EngineDeclaration::unbuilt("upstream-backup"),
            EngineDeclaration::unbuilt("hot-replication"),
        ],
        jobs: vec![
            job("word-count", windows(true), "words"),
            job("search", search, "grep"),
            JobDeclaration::unbuilt("top-k"),
        ],
        worlds: vec!["sim".to_string()],
        ..Context::default()
    }
}

/// The same with all built that scenarios of the repository use.
pub fn repository_context() -> Context {
    let mut context = context();
    for option in context.engines.iter_mut().flat_map(|engine| &mut engine.options) {
        option.unbuilt = Unbuilt::Nothing;
    }
    let input = OptionKind::Choice(&["memory", "log", "replay"]);
    context.engines[0].options.retain(|option| option.name != "input");
    context.engines[0].options.push(option("input", input, word("memory"), Unbuilt::Nothing));
    let state = OptionKind::Choice(&["whole", "in-place"]);
    context.engines[0].options.push(option("state", state, word("whole"), Unbuilt::Nothing));
    let windows = || vec![param("window", "off", false), param("slide", "off", false)];
    let with = |name, default| [vec![param(name, default, false)], windows()].concat();
    context.jobs = vec![
        job("word-count", windows(), "words"),
        job("grep", with("pattern", "needle"), "grep"),
        job("sessions", vec![param("idle", "10", false)], "words"),
        job("top-k", with("k", "10"), "words"),
    ];
    context
}

/// Resolves a text that is right.
pub fn plan(text: &str, context: &Context) -> Plan {
    let said = |errors: Vec<_>| -> String {
        errors.iter().map(|error: &dstream_scenarios::ScenarioError| format!("{error}\n")).collect()
    };
    load(Path::new("s.yaml"), text, context).unwrap_or_else(|errors| panic!("{}\n{text}", said(errors)))
}

/// The errors of a text that is wrong, as people read them.
pub fn errors(text: &str, context: &Context) -> Vec<String> {
    match load(Path::new("s.yaml"), text, context) {
        Ok(plan) => panic!("this was accepted:\n{text}\n{plan:?}"),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}
