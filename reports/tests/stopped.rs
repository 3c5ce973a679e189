//! A run that stopped for good: every number that is missing has its reason, and none is made up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_reports::{fault_table, read_run, run_page, summary, write_index};
use std::fs;
use std::path::PathBuf;

const RESULT: &str = r#"{"format":1,"scenario":"s","engine":"dstream","world":"sim","seed":7,"scale":1,
    "verdict":"VERDICT",
    "trace_hash":null,"tick_ms":1,"virtual_s":1.0,"wall_s":1.0,"nodes":1,"rate_per_s":1,"own_capacity_fraction":0,
    "records":{"sent":10,"acked":10,"unacked":0,"in_results":10,"lost":0,"duplicated":0,"intervals_checked":1,
    "wrong_intervals":0},"latency_ms":{"p99":900},"record_latency_ms":null,"latency_before_faults_ms":{},
    "faults":[FAULTS],"cost":{"node_s":0,"cpu_s":0,"recomputed_cpu_s":0,"network_bytes":0,"replicated_bytes":0,
    "checkpoint_bytes":0,"recovery_bytes":0,"excess_cpu_s":null},"load":{"cpu":0,"network":0},"broken_promises":[],
    "checks":[{"check":"output: exact","holds":false,"detail":"800 records"},
    {"check":"drained","holds":false,"detail":""}]}"#;

const GONE: &str = r#"{"fault":"crash","node":"master","at_s":5.0,"fired":true,"detect_s":null,"restore_s":null,
    "catch_up_s":null,"drain_s":null,"redundancy_s":null,"longest_gap_s":45.5,"excess_latency_s2":null}"#;

const SLOW: &str = r#"{"fault":"slow-cpu","node":"worker-1","at_s":2.0,"fired":true,"detect_s":null,"restore_s":0.5,
    "catch_up_s":1.0,"drain_s":0.0,"redundancy_s":0.0,"longest_gap_s":1.0,"excess_latency_s2":0.5}"#;

const AHEAD: &str = r#"{"fault":"crash","node":"worker-2","at_s":90.0,"fired":false,"detect_s":null,"restore_s":null,
    "catch_up_s":null,"drain_s":null,"redundancy_s":null,"longest_gap_s":null,"excess_latency_s2":null}"#;

const ABOUT: &str = "quantity,value\ninterval_s,1.0\nslo_s,1.0\nload_end_s,20.0\nend_s,50.0\nfailure_timeout_s,0.5\n";

/// Intervals end each second until 20 s; results come half a second later up to this one.
fn intervals(done: u32) -> String {
    let row = |end: u32| match end <= done {
        true => format!("{end},{end}.0,{end}.5,0.5,0.4,10,true,1.5,0.5\n"),
        false => format!("{end},{end}.0,,,,10,true,,\n"),
    };
    let head = "interval,closed_s,done_s,delay_s,processing_s,records,due,latency_s,oldest_delay_s\n";
    (1..=20).map(row).fold(head.to_owned(), |text, row| text + &row)
}

fn folder(name: &str, done: u32, faults: &str, verdict: &str, about: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dstream-stopped-{name}-{}", std::process::id()));
    let run = folder.join("dstream-sim-7");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("run.csv"), format!("{ABOUT}{about}")).unwrap();
    fs::write(run.join("intervals.csv"), intervals(done)).unwrap();
    fs::write(run.join("result.json"), RESULT.replace("FAULTS", faults).replace("VERDICT", verdict)).unwrap();
    folder
}

/// The run's page, what the terminal shows at this width, and the index.
fn said(name: &str, done: u32, faults: &str, about: &str, width: u16) -> [String; 3] {
    let folder = folder(name, done, faults, "invalid", about);
    let run = read_run(&folder.join("dstream-sim-7")).unwrap();
    let page = run_page(&run).replace(['\u{a0}', '\u{2060}'], " ");
    let index = fs::read_to_string(write_index(&folder).unwrap()).unwrap().replace('\u{a0}', " ");
    let runs = [run];
    let text = format!("{}\n{}", fault_table(&runs, Some(width)), summary(&runs));
    fs::remove_dir_all(&folder).unwrap();
    [page, text, index]
}

fn check(text: &str, parts: &[&str], never: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    for part in never {
        assert!(!text.contains(part), "`{part}` in {text}");
    }
}

const NEVER: &str = "Results never came back: the last one came at 5.5 s; 15 intervals after it have none, and the run \
    ended 44.5 s later.";

#[test]
fn a_run_that_stopped_for_good_says_so_with_all_failed_checks_and_a_reason_for_each_dash() {
    let [page, text, index] = said("gone", 5, GONE, "", 80);
    let checks = "2 checks failed: output: exact (800 records); drained";
    let why = "– for detect: nobody was left who could say so; for restore, catch-up, redundancy: not within the run; \
               for drain: records still waited when the run ended; for excess latency: results never came back.";
    let made_up = ["No result came later", "on time throughout", "0 s after"];
    let named = "Invalid: 2 checks failed: output: exact; drained.";
    check(&page, &[NEVER, named, &format!("F1: {why}"), "\u{2265} 45.5 s", ">800 records<"], &made_up);
    check(&text, &[NEVER, checks, "crash master: – for detect: nobody was left", "\u{2265} 45.5 s"], &made_up);
    check(&index, &[NEVER], &made_up);
    // The same fault, and results come to the end.
    let [page, ..] = said("back", 20, GONE, "", 80);
    check(&page, &["for detect: no node was declared lost;"], &["never came back", "\u{2265}"]);
    // A run that was stopped from outside says nothing of what would have come.
    let [page, ..] = said("stopped", 5, GONE, "interrupted,true\n", 80);
    check(&page, &[], &["never came back"]);
}

#[test]
fn a_straggler_that_nobody_noticed_has_a_reason_and_a_fault_that_was_not_reached_none() {
    let [page, text, _] = said("slow", 20, &[SLOW, AHEAD].join(","), "", 80);
    let why = "– for detect: no node fell silent, and no second attempt at a task was launched.";
    check(&page, &[&format!("F1: {why}"), "crash worker-2 (not reached)"], &["F2: –", "(no effect)"]);
    check(&text, &["slow-cpu worker-1: – for detect: no node fell silent", "(not reached)"], &["(no effect)"]);
    let early = AHEAD.replace("90.0", "9.0");
    let [_, text, _] = said("early", 20, &early, "interrupted,true\n", 80);
    check(&text, &["(none before the stop)"], &["(no effect)"]);
    let [_, text, _] = said("none", 20, &early, "", 80);
    check(&text, &["(no effect)"], &[]);
}

#[test]
fn no_table_breaks_a_word_at_any_width() {
    for width in [30, 40, 60, 72, 80, 100, 200] {
        let [_, text, _] = said(&format!("width-{width}"), 20, &[SLOW, GONE].join(","), "", width);
        for word in ["catch-up", "redundancy", "longest", "slow-cpu worker-1", "crash master", "45.5 s", "detect"] {
            assert!(text.contains(word), "no `{word}` at {width} in\n{text}");
        }
        let table = text.lines().take_while(|line| !line.contains('–') || line.contains("  "));
        let widest = table.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} of {width} in\n{text}");
    }
}
