//! An overloaded run: its intervals are on time, its records waited at their clients. Table, sentence and page say so.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use dstream_reports::tables::Tables;
use dstream_reports::waiting::{HeldBack, held_back};
use dstream_reports::{read_run, run_page, summary, verdict_table};
use std::fs;
use std::path::PathBuf;

const RESULT: &str = r#"{"format":1,"scenario":"s","engine":"dstream","world":"sim","seed":7,"scale":1,
    "verdict":"valid",
    "trace_hash":null,"tick_ms":1,"virtual_s":1.0,"wall_s":1.0,"nodes":1,"rate_per_s":1,"own_capacity_fraction":0,
    "records":{"sent":10,"acked":10,"unacked":0,"in_results":10,"lost":0,"duplicated":0,"intervals_checked":1,
    "wrong_intervals":0},"latency_ms":{"p99":26000},"record_latency_ms":null,"latency_before_faults_ms":{},
    "faults":[FAULT],
    "waited_at_clients":{"most_records":5000,"most_bytes":1500000,"longest_s":27.0},
    "cost":{"node_s":0,"cpu_s":0,"recomputed_cpu_s":0,"network_bytes":0,"replicated_bytes":0,"checkpoint_bytes":0,
    "recovery_bytes":0,"excess_cpu_s":null},"load":{"cpu":0,"network":0},"broken_promises":[],"checks":[]}"#;

const FAULT: &str = r#"{"fault":"slow-cpu","node":"worker-1","at_s":0.5,"fired":true,"detect_s":null,"restore_s":0.9,
    "catch_up_s":1.5,"drain_s":DRAIN,"redundancy_s":0.0,"longest_gap_s":1.0,"excess_latency_s2":null}"#;

const ABOUT: &str = "quantity,value\ninterval_s,1.0\nslo_s,3.0\nload_end_s,30.0\nend_s,31.0\n";

/// Every interval's result comes half a second after its end; that of the second has records that are 28 s old.
const HELD: &str = "interval,closed_s,done_s,delay_s,processing_s,records,due,latency_s,oldest_delay_s\n\
    1,1.0,1.5,0.5,0.4,10,true,1.5,0.5\n2,28.0,28.5,0.5,0.4,10,true,28.0,26.0\n3,29.0,29.5,0.5,0.4,10,true,1.6,0.5\n";

fn folder(name: &str, intervals: &str, faults: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dstream-waiting-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let flow = "second,due,acked,in_results,waiting\n0,10,10,10,0\n1,10,0,0,4321\n";
    let result = RESULT.replace("FAULT", faults);
    for (file, text) in
        [("run.csv", ABOUT), ("intervals.csv", intervals), ("flow.csv", flow), ("result.json", result.as_str())]
    {
        fs::write(folder.join(file), text).unwrap();
    }
    folder
}

/// The page and the summary of such a run.
fn said(name: &str, intervals: &str, faults: &str) -> (String, String) {
    let folder = folder(name, intervals, faults);
    let run = read_run(&folder).unwrap();
    let page = run_page(&run).replace(['\u{a0}', '\u{2060}'], " ");
    let text = format!("{}\n{}", verdict_table(std::slice::from_ref(&run), Some(80)), summary(&[run]));
    fs::remove_dir_all(&folder).unwrap();
    (page, text)
}

#[test]
fn a_run_whose_records_waited_at_clients_is_nowhere_called_on_time_throughout() {
    let (page, text) = said("calm", HELD, "");
    let held = "One result in time had records that had waited at their clients: the oldest was 28 s old.";
    for part in [
        held,
        "By their intervals' ends, throughout.",
        "A record waited at its client for at most 27 s until it was acknowledged; at most 5 000 records waited there \
         at once (1.5 MB).",
        "Records waiting at clients",
        "4 321",
    ] {
        assert!(page.contains(part), "no `{part}` on the page");
    }
    assert!(!page.contains("on time throughout"));
    assert!(text.contains(held) && text.contains("27 s"), "{text}");
    // One whose oldest records are as old as their intervals says nothing of it.
    let (page, text) = said("prompt", &HELD.replace("28.0,26.0", "1.5,0.5"), "");
    assert!(page.contains("Results were on time throughout.") && !page.contains("Records waiting at clients"));
    assert!(!text.contains("in time had records"), "{text}");
}

#[test]
fn after_a_fault_it_is_on_time_again_when_the_last_record_that_waited_is_in_a_result() {
    for (drained, expected) in [
        ("19.9", "The last of them was in a result 19.9 s after the fault."),
        ("null", "Some still waited when the run ended."),
    ] {
        let (page, text) = said("fault", HELD, &FAULT.replace("DRAIN", drained));
        assert!(text.contains(expected), "{text}");
        let by_intervals = "By their intervals' ends, 1.5 s after the slow-cpu of worker- 1.";
        for part in [expected, by_intervals] {
            assert!(page.contains(part), "no `{part}` on the page");
        }
    }
}

#[test]
fn of_a_run_without_a_measured_record_nobody_says_how_long_it_waited() {
    let folder = folder("none", HELD, "");
    let mut run = read_run(&folder).unwrap();
    run.result.waited_at_clients = Some(Default::default());
    let (page, text) = (run_page(&run), verdict_table(&[run], None));
    fs::remove_dir_all(&folder).unwrap();
    assert!(!page.contains("waited at its client for at most"));
    let cost = text.lines().rfind(|line| line.starts_with("dstream")).unwrap();
    assert!(cost.trim_end().ends_with('\u{2013}'), "{text}");
}

#[test]
fn a_result_is_as_old_as_the_oldest_record_since_the_one_before() {
    let folder = folder("oldest", HELD, "");
    let tables = Tables::read(&folder);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(tables.oldest(), [(1.0, Some(1.5)), (28.0, Some(28.0)), (29.0, Some(1.6))]);
    assert_eq!(held_back(&tables), Some(HeldBack { results: 1, longest_s: 28.0 }));
    let mut slides = tables.clone();
    slides.intervals[1].is_due = false;
    assert_eq!(slides.oldest(), [(1.0, Some(1.5)), (29.0, Some(28.0))], "the next result has it");
    let mut earlier = tables;
    earlier.intervals.iter_mut().for_each(|row| (row.latency_s, row.oldest_delay_s) = (None, None));
    assert_eq!((earlier.oldest()[0], held_back(&earlier)), ((1.0, Some(1.5)), None), "delay and interval");
}
