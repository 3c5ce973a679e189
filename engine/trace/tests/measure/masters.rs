//! What is measured where the master died: for good, or together with all others.

use super::*;

#[test]
fn a_run_whose_only_master_died_for_good_has_no_moments_and_misses_every_later_interval() {
    // Struck at 5.5 s; what a master would have said or let happen after that is not there.
    let mut run = Run::new(&[200; 12]);
    run.add(400, "master", Event::MasterElected { term: 1 });
    let is_of_clients = |event: &Event| matches!(event, Event::RecordsSent { .. });
    run.events.retain(|(at, _, event)| *at < 5500 || is_of_clients(event));
    run.fault(5500, None, "crash", &["master"], Effect::ProcessEnded);
    // The last result before it came at 5.2 s; the run ends at 19 s.
    check_faults(&run, &["- - - - - 13800"]);
    let measured = run.measured();
    let done: Vec<bool> = measured.intervals.iter().map(|row| row.done.is_some()).collect();
    assert_eq!((done.len(), done.iter().filter(|done| !**done).count()), (12, 8), "clients go on, intervals end");
    // With a standby it would have been another's.
    run.add(6500, "standby-1", Event::MasterElected { term: 2 });
    check_faults(&run, &["1000 - - - 0 13800"]);
}

#[test]
fn where_all_died_at_once_it_is_known_of_a_worker_when_it_is_a_member_again() {
    let mut run = Run::new(&[200, 200, 200, 200, 1500, 900, 200, 200, 200, 200, 200, 200]);
    run.add(400, "master", Event::MasterElected { term: 1 });
    let all = ["master", "worker-1", "worker-2"];
    all.iter().for_each(|name| _ = run.fault(5500, Some(6000), "crash", &[name], Effect::ProcessEnded));
    // Another life of the master leads at 6.2 s; the first worker is a member at 6.3 s, the second at 6.6 s. Two copies are
    // promised, so nothing is whole before both are there.
    run.add(6200, "master", Event::MasterElected { term: 2 });
    run.join(6300, 1).add(6300, "master", Event::CopiesBelow { blocks: 0 });
    run.join(6600, 2).add(6700, "master", Event::CopiesBelow { blocks: 0 });
    // All struck at once, so all end with the last of them.
    let rest = "2000 2500 2400 1200 2300";
    check_faults(&run, &[&format!("700 {rest}"), &format!("800 {rest}"), &format!("1100 {rest}")]);
    // One that does not come back is declared lost by the next master; where that says nothing, nobody knows.
    run.events.retain(|(at, _, event)| *at < 6600 || !matches!(event, Event::WorkerJoined { .. }));
    assert_eq!(run.measured().faults[2].detect_s, None);
    assert!(run.measured().faults.iter().all(|fault| fault.redundancy_s.is_none()));
    run.add(7400, "master", Event::WorkerLost { worker: NodeName::worker(2), epoch: 2 });
    assert_eq!(run.measured().faults[2].detect_s, Some(1.9));
}
