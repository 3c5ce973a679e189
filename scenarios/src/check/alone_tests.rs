//! What was never acknowledged and only one node held: gone with its client if that cannot send it again, not otherwise.

use super::history::{History, closed, share, share_block};
use super::operators_tests::late;
use super::tests::{check, lost};
use dstream_trace::measure::Effect;
use dstream_trace::{Event, NodeName, RecordRange};

const ALLOWED: &str = "lost 0 doubled 0 wrong 1, not exact, declared, given up 5 in [3]";
const NOT_ALLOWED: &str = "lost 0 doubled 0 wrong 1, not exact, not declared";

/// What happens to the client after interval 3's end, when its only holder dies 25 ms after that.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// Its process ends.
    Ends(u64),
    /// It is there again.
    Starts(u64),
    /// From then on until then it and this node hear nothing of each other.
    CutOff(&'static str, u64, u64),
    /// It counts records as safe.
    Counts(u64, RecordRange),
    /// Another node has its records.
    IsHeard(u64, RecordRange),
}

use Client::{Counts, CutOff, Ends, IsHeard, Starts};

/// Worker 1 alone has source 0's share of interval 3, and nobody has acknowledged it; then this happens.
fn run(what: &[Client]) -> History {
    let mut history = History::operators(10);
    let alone = share_block(3, 0);
    history.change(|_, event| {
        if let Event::RecordsAcked { range } = event
            && range.first == 30
        {
            *range = share(3, 1);
        }
    });
    history.remove(|event| matches!(event, Event::BlockHeld { block, .. } if *block == alone));
    let is_held = Event::BlockHeld { block: alone, ranges: vec![share(3, 0)], bytes: 40 };
    history.add(closed(3) - 40, "worker-1", is_held);
    history.crash(0, closed(3) + 25, 1);
    late(&mut history, &[share(3, 1)]);
    history.add(closed(3) + 2700, "master", lost(alone, 30, 34, Some(3)));
    for (fault, what) in (1..).zip(what) {
        match *what {
            Ends(at) => {
                let client = NodeName::client(1);
                history.fault_of(fault, closed(3) + at, "crash", client, Effect::ProcessEnded);
                history.add(closed(3) + at, "client-1", Event::ProcessEnded);
            }
            Starts(at) => _ = history.add(closed(3) + at, "client-1", Event::NodeStarted { incarnation: 2 }),
            CutOff(node, from, until) => {
                let client = NodeName::client(1);
                history.fault_of(fault, closed(3) + from, "partition", client.clone(), Effect::MessageCut);
                let planned = history.faults.last_mut().expect("it was just planned");
                planned.others = vec![NodeName::new(node)];
                history.add(closed(3) + until, "driver", Event::FaultEnded { fault, node: client });
            }
            Counts(at, range) => _ = history.add(closed(3) + at, "client-1", Event::RecordsAcked { range }),
            IsHeard(at, range) => {
                let is_held = Event::BlockHeld { block: alone, ranges: vec![range], bytes: 40 };
                history.add(closed(3) + at, "worker-3", is_held);
            }
        }
    }
    history
}

#[test]
fn what_was_never_acknowledged_may_be_gone_with_its_client_alone() {
    let all = share(3, 0);
    let half = RecordRange { last: 32, ..all };
    for (what, expected) in [
        // It is there, or not for long enough.
        (vec![], NOT_ALLOWED),
        (vec![Ends(10), Starts(509)], NOT_ALLOWED),
        (vec![Ends(10), Starts(300), CutOff("worker-2", 0, 2000)], NOT_ALLOWED),
        (vec![CutOff("worker-2", 0, 2000)], NOT_ALLOWED),
        // It is gone, before the holder or after it.
        (vec![Ends(10)], ALLOWED),
        (vec![Ends(200)], ALLOWED),
        (vec![Ends(10), Starts(300), Ends(600)], ALLOWED),
        // Nobody could know that it would come back.
        (vec![Ends(10), Starts(1000)], ALLOWED),
        (vec![CutOff("master", 0, 1000)], ALLOWED),
        (vec![CutOff("master", 0, 400)], NOT_ALLOWED),
        // It had time to send it again, but not where it reached nobody.
        (vec![Ends(1524)], ALLOWED),
        (vec![Ends(1526)], NOT_ALLOWED),
        (vec![CutOff("worker-2", 100, 900), Ends(2000)], ALLOWED),
        // It has counted some of it as safe, before the loss or after it, by whoever's word;
        (vec![Counts(10, all), Ends(200)], NOT_ALLOWED),
        (vec![Counts(10, half), Ends(200)], NOT_ALLOWED),
        (vec![Counts(100, half), Ends(200)], NOT_ALLOWED),
        // once its life is over it hears that it need not send it.
        (vec![Ends(10), Starts(1000), Counts(1100, all)], ALLOWED),
        // Somebody had it again.
        (vec![IsHeard(100, all), Ends(200)], NOT_ALLOWED),
        (vec![IsHeard(100, half), Ends(200)], NOT_ALLOWED),
    ] {
        let declared = run(&what).checked().declared;
        assert_eq!(declared.holds(), expected == ALLOWED, "{what:?}: {}", declared.detail());
    }
    check(&run(&[Ends(200)]), ALLOWED);
    check(&run(&[Ends(10), Starts(1000), Counts(1100, all)]), ALLOWED);
    let too_early = format!("{NOT_ALLOWED}, broken: acknowledged means held");
    check(&run(&[Counts(20, all), Ends(200)]), &too_early);
    // It might be gone, but somebody has it again, alone.
    let one_copy = ALLOWED.replace("declared", "declared, broken: acknowledged means held");
    check(&run(&[Ends(10), Starts(1000), IsHeard(1050, all), Counts(1100, all)]), &one_copy);
    assert_eq!(
        run(&[Ends(200)]).checked().broken_promises[0].why,
        "worker-1, client-1 were lost before redundancy was back"
    );
}

#[test]
fn so_may_what_came_to_a_node_that_was_taken_for_lost() {
    let alone = share_block(3, 0);
    let taken_for_lost = |what: &[Client]| {
        let mut history = run(what);
        let worker = NodeName::worker(1);
        history.fault_of(9, closed(3) - 700, "partition", worker.clone(), Effect::MessageCut);
        history.faults.last_mut().expect("it was just planned").others = vec![NodeName::new("master")];
        history.add(closed(3) - 200, "master", Event::WorkerLost { worker, epoch: 1 });
        history
    };
    let holds = |history: &History| history.checked().declared.holds();
    assert!(holds(&taken_for_lost(&[Ends(10)])));
    assert!(holds(&taken_for_lost(&[Ends(10), Starts(1000)])));
    assert!(!holds(&taken_for_lost(&[])));
    assert!(!holds(&taken_for_lost(&[Ends(10), Starts(450)])));
    // Its client had as long to send it to another as where the holder died when it came.
    assert!(holds(&taken_for_lost(&[Ends(1459)])));
    assert!(!holds(&taken_for_lost(&[Ends(1461)])));
    // Another had it as well, or it came back.
    assert!(!holds(&taken_for_lost(&[IsHeard(0, share(3, 0)), Ends(10)])));
    let mut back = taken_for_lost(&[Ends(1500)]);
    back.add(closed(3) + 5, "master", Event::WorkerJoined { worker: NodeName::worker(1), epoch: 7 });
    assert!(holds(&back), "it was lost when it died, and no sooner");
    let mut never_there = taken_for_lost(&[Ends(10)]);
    never_there.remove(|event| matches!(event, Event::BlockHeld { block, .. } if *block == alone));
    assert!(!holds(&never_there));
}

#[test]
fn what_is_gone_with_its_client_has_to_be_said() {
    let mut unsaid = run(&[Ends(200)]);
    unsaid.remove(|event| matches!(event, Event::BlockLost { .. }));
    assert!(!unsaid.checked().declared.holds());
}
