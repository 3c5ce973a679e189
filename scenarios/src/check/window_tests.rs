//! The checks of results that cover several intervals, in runs that are right everywhere else.

use super::history::{History, block, closed, records};
use super::tests::{FINE, check, check_detail};
use dstream_trace::{Event, NodeName};

/// Replaces the result of one partition by one over other records, from worker 3.
fn replace(history: &mut History, interval: u64, partition: u32, first: u64, last: u64, without: Option<(u64, u64)>) {
    history.remove(|event| {
        matches!(event, Event::ResultVisible { interval: i, partition: p, .. } if *i == interval && *p == partition)
    });
    let ranges = match without {
        None => vec![records(first, last)],
        Some((from, to)) => vec![records(first, from - 1), records(to + 1, last)],
    };
    let mut result = history.result(interval, partition, &ranges);
    if let Event::ResultVisible { from, epoch, .. } = &mut result {
        (*from, *epoch) = (NodeName::worker(3), 3);
    }
    history.add(closed(interval) + 250, "sink", result);
}

#[test]
fn a_calm_run_with_windows_passes_and_so_does_one_whose_results_come_every_few_intervals() {
    check(&History::windowed(8, 3, 1), FINE);
    check(&History::windowed(8, 4, 2), FINE);
    let checked = History::windowed(8, 4, 2).checked();
    assert_eq!((checked.records.intervals_checked, checked.records.in_results), (8, 80));
    // Interval 8 is due with interval 9, which the run does not reach.
    let checked = History::windowed(9, 4, 2).checked();
    assert_eq!((checked.records.wrong_intervals, checked.records.in_results), (1, 80));
}

#[test]
fn a_window_that_lacks_or_doubles_an_interval_is_wrong() {
    let wrong = "lost 0 doubled 0 wrong 1, not exact, not declared";
    let mut history = History::windowed(8, 3, 1);
    replace(&mut history, 5, 0, 40, 59, None);
    check_detail(&history, wrong, "interval 5: output `counts`: key");
    let mut history = History::windowed(8, 3, 1);
    replace(&mut history, 5, 1, 20, 59, None);
    check_detail(&history, wrong, "interval 5: output `counts`: key");
}

#[test]
fn a_result_that_is_due_must_be_there_and_one_that_is_not_due_has_no_rows() {
    let wrong = "lost 0 doubled 0 wrong 1, not exact, not declared";
    let mut history = History::windowed(8, 4, 2);
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, partition: 0, .. }));
    check_detail(&history, wrong, "interval 3: 1 of 2 results of output `counts` are missing");
    let mut history = History::windowed(8, 4, 2);
    let result = history.result(4, 0, &[records(10, 49)]);
    history.add(closed(4) + 200, "sink", result);
    check_detail(&history, wrong, "interval 4: result 0 of output `counts` has rows and is not due");
    let mut history = History::windowed(8, 4, 2);
    let result = history.result(4, 0, &[]);
    history.add(closed(4) + 200, "sink", result);
    check(&history, FINE);
}

/// Workers 1 and 2 die after interval 3's results: what they held of it may be gone, and the master says that it is.
fn lost_interval_3() -> History {
    let mut history = History::windowed(8, 3, 1);
    history.crash(0, closed(3) + 300, 1).crash(1, closed(3) + 310, 2);
    let (block, ranges) = (block(3), vec![records(30, 39)]);
    history.add(closed(3) + 900, "master", Event::BlockLost { block, ranges, interval: Some(3) });
    history.change(|at, event| {
        if let Event::ResultVisible { interval, from, epoch, .. } = event
            && *interval > 3
        {
            (*at, *from, *epoch) = (*at + 2000, NodeName::worker(3), 3);
        }
    });
    history
}

#[test]
fn windows_over_lost_records_may_hold_them_in_one_partition_and_lack_them_in_another() {
    let mut history = lost_interval_3();
    replace(&mut history, 4, 0, 20, 49, Some((30, 39)));
    replace(&mut history, 5, 0, 30, 59, Some((30, 39)));
    check(&history, "lost 0 doubled 0 wrong 2, not exact, declared, given up 10 in [3]");
    // Half of them may be of one block and half of another.
    replace(&mut history, 5, 0, 30, 59, Some((30, 34)));
    check(&history, "lost 0 doubled 0 wrong 2, not exact, declared, given up 10 in [3]");
}

#[test]
fn windows_that_lack_more_than_what_was_lost_or_for_longer_are_wrong() {
    let mut history = lost_interval_3();
    replace(&mut history, 4, 0, 20, 49, Some((29, 40)));
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared, given up 10 in [3]");
    let mut history = lost_interval_3();
    replace(&mut history, 6, 0, 39, 69, None);
    check(&history, "lost 0 doubled 0 wrong 1, not exact, not declared, given up 10 in [3]");
}
