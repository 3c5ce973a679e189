//! The engine keeps what every engine must keep.

use dstream::conformance::{Subject, run};
use stop_and_recompute::StopAndRecompute;

#[test]
fn the_suite_holds_and_nothing_is_refused() {
    let found = run(&Subject::new(StopAndRecompute));
    assert!(found.holds(), "{found}");
    assert!(found.refused().is_empty(), "{found}");
}

#[test]
fn entries_of_any_length_do() {
    let found = run(&Subject::new(StopAndRecompute).with_options("block: 20ms"));
    assert!(found.holds(), "{found}");
}
