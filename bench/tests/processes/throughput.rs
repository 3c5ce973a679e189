//! `dstream bench throughput` as a user types it: what it tells, and what it refuses.

use crate::common::{Folder, dstream_in};
use serde_json::Value;

#[test]
fn what_an_engine_sustains_is_told_with_what_it_costs_and_a_single_thread_beside_it() {
    let folder = Folder::new();
    let words = "bench throughput --job word-count --source tcp:README.md --rate 2000/s --interval 500ms --seconds 3 \
                 --latency-bound 20s --format json window=1s";
    let said = dstream_in(&folder.0, &words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:#?}"));
    let sustained = told["sustained"].as_bool().unwrap();
    assert_eq!(said.code, i32::from(!sustained), "{said:#?}");
    for (field, expected) in
        [("job", "word-count"), ("engine", "dstream"), ("source", "tcp:README.md")].map(|(f, e)| (f, Value::from(e)))
    {
        assert_eq!(told[field], expected, "{field}");
    }
    for (field, expected) in [("workers", 2), ("cores", 1), ("generators", 1), ("interval_ms", 500)] {
        assert_eq!(told[field].as_u64(), Some(expected), "{field}");
    }
    let counted = [
        "records_per_s",
        "cpu_s_per_million",
        "single_thread_cpu_s_per_million",
        "single_thread_records_per_s",
        "generator_cpu_s_per_million",
        "network_bytes_per_record",
    ];
    for field in counted {
        assert!(told[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {}", told[field]);
    }
    for percentile in ["p50", "p90", "p99", "max"] {
        assert!(told["latency_ms"][percentile].as_f64().is_some_and(|ms| ms > 0.0), "{percentile}");
    }
    let roles: Vec<&str> = told["roles"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(roles, ["client", "master", "sink", "worker"]);
    assert_eq!(told["probes"].as_array().map(Vec::len), Some(1), "one rate was asked for");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_runs() {
    let folder = Folder::new();
    let check = |more: &[&str], words: &[&str]| {
        let said = dstream_in(&folder.0, &[&["bench", "throughput", "--job"], more].concat());
        said.expect(64, words);
    };
    check(&["word-count", "--source", "tcp:none.txt"], &["none.txt"]);
    check(&["word-count", "--source", "none.txt"], &["tcp:FILE"]);
    check(&["word-cuont", "--source", "tcp:README.md"], &["word-cuont", "word-count"]);
    check(&["word-count", "--source", "tcp:README.md", "--rate", "0/s"], &["--rate 0/s", "at least 1/s"]);
    check(&["word-count", "--source", "tcp:README.md", "--rate", "fast"], &["--rate fast", "max"]);
    let with = |more: &[&'static str], words: &[&str]| {
        check(&[&["word-count", "--source", "tcp:README.md"], more].concat(), words);
    };
    with(&["--seconds", "2"], &["--seconds 2", "5 to 86400"]);
    with(&["--seconds=-1"], &["--seconds -1"]);
    with(&["--seconds", "nan"], &["--seconds NaN"]);
    with(&["--seconds", "6", "slide=5s", "window=5s"], &["--seconds 6", "25 to"]);
    with(&["--interval", "1500us"], &["--interval 1500us", "whole milliseconds"]);
    with(&["--set", "workload.source.pool.rate=1/s"], &["--set workload.source.pool.rate=1/s", "see its options"]);
    check(&["word-count", "--source", "tcp:README.md", "--engine", "flink"], &["flink", "dstream"]);
    check(&["word-count", "--source", "tcp:README.md", "windw=3s"], &["windw", "window"]);
}
