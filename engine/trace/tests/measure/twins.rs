//! A run beside its twin: the area between their latencies, and the difference of their costs.

use super::*;
use dstream_trace::measure::{Excess, Twin};

fn twin(run: &Run) -> Twin {
    let lines = run.lines();
    let facts = Facts::read(&lines);
    Twin::of(&facts, &measure(&lines, &facts, &run.input))
}

fn excess(run: &Run, twin: &Twin) -> Excess {
    let lines = run.lines();
    let facts = Facts::read(&lines);
    twin.excess(&facts, &measure(&lines, &facts, &run.input), &run.input)
}

fn excess_of(run: &Run, twin: &Twin) -> Option<f64> {
    excess(run, twin).cpu_s
}

/// What each fault's area is, in thousandths.
fn areas(run: &Run, twin: &Twin) -> Vec<Option<i64>> {
    excess(run, twin).latency_s2.into_iter().map(|area| area.map(|area| (area * 1e3).round() as i64)).collect()
}

#[test]
fn the_area_is_what_records_that_were_in_no_result_at_the_fault_waited_longer() {
    let mut run = Run::new(&[200, 200, 200, 200, 1500, 900, 200, 200, 200, 200, 200, 200]);
    let calm = twin(&Run::new(&[200; 12]));
    run.crash(5500, 2);
    // 10 records of interval 4 waited 1.3 s longer, 5 of them due before the fault; 10 of interval 5 0.7 s. A record is due
    // every 100 ms.
    assert_eq!(areas(&run, &calm), [Some(1300 + 700)]);
    assert_eq!(areas(&run, &twin(&run)), [Some(0)], "a run beside itself");
    // Struck when all of the interval's records had been due, or when it was over and its result was not out.
    for at in [5950, 6100] {
        let mut run = Run::new(&[200, 200, 200, 200, 1500, 200, 200, 200, 200, 200, 200, 200]);
        run.crash(at, 2);
        assert_eq!(areas(&run, &calm), [Some(1300)], "struck at {at} ms");
    }
}

#[test]
fn each_fault_answers_for_its_own_time_unless_it_is_struck_before_it_settled() {
    let delays = [200, 200, 200, 200, 900, 200, 200, 200, 200, 200, 400, 200, 200, 200, 200, 200, 200];
    let calm = twin(&Run::new(&[200; 17]));
    // Interval 10 is from 11 s to 12 s; the five on-time intervals of the first fault are complete at 11.2 s.
    let between = |first: u64, second: u64| {
        let mut run = Run::new(&delays);
        run.crash(first, 2).crash(second, 1);
        areas(&run, &calm)
    };
    assert_eq!(between(5000, 11_201), [Some(700), Some(200)]);
    assert_eq!(between(5000, 11_000), [Some(900), Some(200)]);
}

#[test]
fn a_fault_without_effect_or_without_records_after_it_has_no_area() {
    let calm = twin(&Run::new(&[200; 12]));
    let mut run = Run::new(&[200; 12]);
    run.fault_without_effect(5500, Some(6000), "pause", &["worker-2"], Effect::HeldByPause);
    run.crash(14_500, 2);
    assert_eq!(areas(&run, &calm), [None, None]);
}

#[test]
fn records_that_are_in_results_of_one_run_only_are_left_out() {
    let calm = twin(&Run::new(&[200; 12]));
    let mut run = Run::new(&[200, 200, 200, 200, 1200, 200, 200, 200, 200, 200, 200, 200]);
    run.crash(5000, 2);
    for (_, _, event) in &mut run.events {
        if let Event::IntervalSealed { interval: 4, ranges, .. } = event {
            ranges[0].last -= 5;
        }
    }
    // Of ten records that waited a second longer, five are in no result.
    assert_eq!(areas(&run, &calm), [Some(500)]);
}

#[test]
fn costs_are_the_difference_and_both_numbers_reach_the_result() {
    let mut run = Run::new(&[200; 12]);
    run.crash(5500, 2).add(6000, "worker-1", Event::CpuUsed { cpu_ns: 250_000_000 });
    let (lines, calm) = (run.lines(), twin(&Run::new(&[200; 12])));
    let facts = Facts::read(&lines);
    let mut measured = measure(&lines, &facts, &run.input);
    assert_eq!((measured.cost.excess_cpu_s, measured.faults[0].excess_latency_s2), (None, None));
    let excess = calm.excess(&facts, &measured, &run.input);
    measured.pair_with(&excess);
    assert!((measured.cost.excess_cpu_s.unwrap() - 0.25).abs() < 1e-9);
    assert_eq!(measured.faults[0].excess_latency_s2, Some(0.0));
    assert!(measured.faults_csv(&run.input).contains(",0.000000,,worker-2,"));
    // What a run did not do it did not save.
    run.events.retain(|(_, _, event)| !matches!(event, Event::ResultVisible { interval: 9, partition: 0, .. }));
    assert_eq!(excess_of(&run, &calm), None);
    assert_eq!(areas(&run, &calm), [None]);
}
