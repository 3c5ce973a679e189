//! Who has to say that records are gone, and when there is nobody left who could.

use super::history::{History, block, closed};
use super::tests::{check, lost};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName};

const SAID: &str = "lost 10 doubled 0 wrong 0, not exact, declared, given up 10 in [3]";
const NOT_SAID: &str = "lost 10 doubled 0 wrong 0, not exact, not declared, given up 10 in [3]";

/// When each of those ends who know of interval 3's records, in milliseconds before the interval's end; and a later master.
struct Ends {
    holders: [u64; 2],
    client: Option<u64>,
    master: Option<u64>,
    elected: u64,
}

/// Nothing of interval 3 is sealed, since its holders are gone before its end, and it is done without its records.
fn history(ends: &Ends) -> History {
    let mut history = History::calm(10);
    history.add(1, "master", Event::MasterElected { term: 1 });
    history.change(|_, event| match event {
        Event::IntervalSealed { interval: 3, ranges, blocks } => (ranges.clear(), blocks.clear()).0,
        Event::MapsCut { interval: 3, inputs } => *inputs = vec![Vec::new()],
        _ => {}
    });
    history.remove(|event| matches!(event, Event::ResultVisible { interval: 3, .. }));
    for partition in 0..2 {
        let mut result = history.result(3, partition, &[]);
        if let Event::ResultVisible { from, epoch, .. } = &mut result {
            (*from, *epoch) = (NodeName::worker(3), 3);
        }
        history.add(closed(3) + 900, "sink", result);
    }
    super::tests::move_results_to_worker_3(&mut history);
    for (worker, before) in (1u32..).zip(ends.holders) {
        history.crash(worker - 1, closed(3) - before, worker);
    }
    for (number, name, ended) in [(2, "client-1", ends.client), (3, "master", ends.master)] {
        if let Some(before) = ended {
            history.fault_of(number, closed(3) - before, "crash", NodeName::new(name), Effect::ProcessEnded);
            history.add(closed(3) - before, name, Event::ProcessEnded);
        }
    }
    history.add(closed(3) - ends.elected, "standby-1", Event::MasterElected { term: 2 });
    history
}

const ALL_GONE: Ends = Ends { holders: [18, 14], client: Some(16), master: Some(20), elected: 4 };

#[test]
fn what_everyone_knew_who_is_gone_nobody_has_to_say() {
    check(&history(&ALL_GONE), SAID);
    // The order in which they end does not matter, as long as nobody leads who could have asked them.
    check(&history(&Ends { holders: [22, 14], client: Some(26), master: Some(24), ..ALL_GONE }), SAID);
}

#[test]
fn what_anyone_knows_who_lives_has_to_be_said() {
    let cases = [
        ("the client lives", Ends { client: None, ..ALL_GONE }),
        ("the client lived when the next master began", Ends { client: Some(2), ..ALL_GONE }),
        ("the master lives", Ends { master: None, elected: 0, ..ALL_GONE }),
        ("the master outlived the holders", Ends { master: Some(10), client: Some(2), ..ALL_GONE }),
    ];
    for (why, ends) in cases {
        let mut history = history(&ends);
        if ends.elected == 0 {
            history.remove(|event| matches!(event, Event::MasterElected { term: 2 }));
        }
        assert!(!history.checked().declared.holds(), "{why}");
        history.add(closed(3) + 600, "standby-1", lost(block(3), 30, 39, None));
        assert!(history.checked().declared.holds(), "{why}: {:?}", history.checked().declared);
    }
}

#[test]
fn a_holder_that_joins_the_next_master_makes_it_say_so_and_one_that_does_not_cannot() {
    let joins = |joins: bool| {
        let mut history = history(&Ends { holders: [18, 1], ..ALL_GONE });
        if joins {
            history.add(closed(3) - 3, "standby-1", Event::WorkerJoined { worker: NodeName::worker(2), epoch: 9 });
        }
        history
    };
    check(&joins(true), NOT_SAID);
    check(&joins(false), SAID);
}

#[test]
fn whoever_let_go_of_a_block_knows_of_it_yet() {
    let mut history = history(&Ends { holders: [18, 1], elected: 10, ..ALL_GONE });
    history.add(closed(3) - 9, "standby-1", Event::WorkerJoined { worker: NodeName::worker(2), epoch: 9 });
    history.add(closed(3) - 15, "worker-2", Event::BlockForgotten { block: block(3) });
    assert!(!history.checked().declared.holds());
}
