//! The lobby, told in events and the words that follow from them.

use super::*;
use crate::cluster::word::Beginning;
use crate::job::lay_out_on_cluster;
use dstream_cluster::{JobSpec, Pace, Progress};
use dstream_host::NodeError;
use std::time::Duration;

const JOB: Peer = 9;

fn order() -> Box<JobOrder> {
    let job = JobSpec { name: "word-count".into(), params: BTreeMap::new(), interval: Duration::from_secs(1) };
    let pace = Pace::Max { bytes_per_interval: 1 };
    let interval = Duration::from_secs(1);
    Box::new(JobOrder { job, source: Vec::new(), pace, interval, lasts: None, fresh: false })
}

fn worker(peer: Peer) -> LobbyEvent {
    LobbyEvent::Worker { peer, cores: 2, place: format!("p{peer}") }
}

fn job(peer: Peer) -> LobbyEvent {
    LobbyEvent::Job { peer, order: order(), found: Ok(None) }
}

/// A job whose run sealed seven intervals in its first two lives.
fn resting(job: &str) -> Result<Option<Box<Found>>, String> {
    let mut order = *order();
    order.job.name = job.to_string();
    let progress = Progress { next: 7, below: 5, over: Vec::new() };
    Ok(Some(Box::new(Found { kept: Kept { run: 77, order, partitions: 12, lives: 1 }, progress: Some(progress) })))
}

/// The process listens for these nodes.
fn ready(peer: Peer, round: u64, nodes: &[&str]) -> LobbyEvent {
    let address = SocketAddr::from(([127, 0, 0, 1], 1000 + peer as u16));
    LobbyEvent::Ready { peer, round, listening: nodes.iter().map(|name| (NodeName::new(name), address)).collect() }
}

fn gone(peer: Peer) -> LobbyEvent {
    LobbyEvent::Gone { peer }
}

fn words(action: &LobbyAction) -> Option<String> {
    Some(match action {
        LobbyAction::Tell(to, FromMaster::Prepare { round, nodes }) => {
            let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
            format!("{to} prepare {round} {}", nodes.join("+"))
        }
        LobbyAction::Tell(to, FromMaster::Begin(beginning)) => {
            let Beginning { round, cluster, incarnation, addresses, elapsed, .. } = &**beginning;
            let (elapsed, life) = (elapsed.as_millis(), incarnation >> LIFE_BITS);
            let life = if life > 0 { format!(" in life {}", life + 1) } else { String::new() };
            let incarnation = incarnation % (1 << LIFE_BITS);
            format!("{to} begin {round}.{incarnation} of {} at {} +{elapsed}{life}", cluster.workers, addresses.len())
        }
        LobbyAction::Tell(to, FromMaster::Enter { node, .. }) => format!("{to} enter {node}"),
        LobbyAction::Tell(to, FromMaster::Stop { round, how }) => match how {
            Ended::WellDone => format!("{to} stop {round}"),
            Ended::Rests => format!("{to} rest {round}"),
            Ended::Failed(why) => format!("{to} stop {round}: {why}"),
        },
        LobbyAction::Tell(to, FromMaster::Note(note)) => format!("{to} note {note}"),
        LobbyAction::Tell(to, FromMaster::HandOn) => format!("{to} hand on"),
        LobbyAction::Tell(to, FromMaster::MayLeave) => format!("{to} may leave"),
        LobbyAction::Tell(to, FromMaster::Happened { .. }) => format!("{to} happened"),
        LobbyAction::Refuse(peer, why) => format!("{peer} refused: {why}"),
        LobbyAction::End => "end".into(),
        LobbyAction::Keep(kept) => format!("keep {} {} x{}", kept.order.job.name, kept.lives, kept.partitions),
        LobbyAction::Forget => "forget".into(),
        LobbyAction::Log(_) => return None,
    })
}

/// Feeds the events, ten milliseconds apart; compares what follows from those behind the first `skip`.
#[track_caller]
fn check(workers: usize, skip: usize, events: Vec<LobbyEvent>, expected: &[&str]) {
    let mut lobby = Lobby::new(LobbyConfig {
        workers,
        store: StorePlace::Folder("store".into()),
        seed: 1,
        lay_out: lay_out_on_cluster,
        given: Given::default(),
    });
    let mut seen = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let mut actions = Vec::new();
        lobby.step(Moment::from_millis(10 * number as u64), event, &mut actions);
        if number >= skip {
            seen.extend(actions.iter().filter_map(words));
        }
    }
    assert_eq!(seen, expected);
}

/// Two workers and a job that runs: six events.
fn running() -> Vec<LobbyEvent> {
    let own = ready(JOB, 1, &["sink", "client-1"]);
    vec![worker(1), worker(2), job(JOB), own, ready(HERE, 1, &["master"]), ready(1, 1, &["worker-1"])]
        .into_iter()
        .chain([ready(2, 1, &["worker-2"])])
        .collect()
}

fn after(more: impl IntoIterator<Item = LobbyEvent>) -> Vec<LobbyEvent> {
    running().into_iter().chain(more).collect()
}

#[test]
fn all_begin_together_when_the_last_one_listens() {
    check(
        2,
        2,
        running(),
        &[
            "keep word-count 0 x8",
            "0 prepare 1 master",
            "1 prepare 1 worker-1",
            "2 prepare 1 worker-2",
            "9 prepare 1 client-1+sink",
            "0 begin 1.1 of 2 at 5 +0",
            "1 begin 1.1 of 2 at 5 +0",
            "2 begin 1.1 of 2 at 5 +0",
            "9 begin 1.1 of 2 at 5 +0",
        ],
    );
}

#[test]
fn a_job_waits_for_workers_in_whatever_order_they_come() {
    let events = vec![job(JOB), worker(1), worker(2)];
    let first = ["9 note waiting for workers: 0 of 2", "9 note waiting for workers: 1 of 2"];
    let then = [
        "keep word-count 0 x8",
        "0 prepare 1 master",
        "1 prepare 1 worker-1",
        "2 prepare 1 worker-2",
        "9 prepare 1 client-1+sink",
    ];
    check(2, 0, events, &[&first[..], &then[..]].concat());
}

#[test]
fn one_job_runs_at_a_time() {
    let busy = "8 refused: the cluster runs the job `word-count`; it runs one job at a time";
    check(2, 7, after([job(8)]), &[busy]);
    check(2, 1, vec![job(JOB), job(8)], &[busy]);
}

#[test]
fn the_end_of_a_job_frees_all_for_the_next_one() {
    let stop = ["0 stop 1", "1 stop 1", "2 stop 1", "9 stop 1"];
    let end = [&["forget"][..], &stop].concat();
    check(2, 7, after([LobbyEvent::Finished { peer: JOB }]), &end);
    let next = after([LobbyEvent::Finished { peer: JOB }, gone(JOB), job(8)]);
    let prepare = ["0 prepare 2 master", "1 prepare 2 worker-1", "2 prepare 2 worker-2", "8 prepare 2 client-1+sink"];
    check(2, 9, next, &[&["keep word-count 0 x8"][..], &prepare].concat());
    let gone = after([gone(JOB)]);
    let why = ": the job's process is gone; asked for again, it goes on";
    let stop = stop.map(|word| format!("{word}{why}"));
    check(2, 7, gone, &stop.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_place_of_a_worker_that_is_gone_goes_to_the_next_one_in_its_next_incarnation() {
    let lost = "9 note worker-2 is gone; 1 worker is left: records have one copy beside the log in the store, until \
         another worker joins";
    let taken = "9 note worker-2 is taken up again by worker p3";
    let events = after([gone(2), worker(3), ready(3, 1, &["worker-2"])]);
    check(
        2,
        7,
        events,
        &[
            lost,
            taken,
            "3 prepare 1 worker-2",
            "0 enter worker-2",
            "1 enter worker-2",
            "9 enter worker-2",
            "3 begin 1.2 of 2 at 5 +30",
        ],
    );
}

#[test]
fn an_idle_worker_takes_a_free_place_at_once() {
    let lost = "9 note worker-1 is gone; 1 worker is left: records have one copy beside the log in the store, until \
         another worker joins";
    let taken = "9 note worker-1 is taken up again by worker p3";
    check(2, 8, after([worker(3), gone(1)]), &[lost, taken, "3 prepare 1 worker-1"]);
}

#[test]
fn a_worker_that_goes_before_all_began_makes_them_prepare_again() {
    let events = vec![worker(1), worker(2), worker(3), job(JOB), ready(1, 1, &["worker-1"]), gone(1)];
    let again = ["0 prepare 2 master", "2 prepare 2 worker-1", "3 prepare 2 worker-2", "9 prepare 2 client-1+sink"];
    let stop = ["0 stop 1", "2 stop 1", "3 stop 1"];
    check(2, 5, events, &[&stop[..], &["keep word-count 1 x12"], &again].concat());
    // What is said of the first run does not count for the second.
    let late = vec![worker(1), worker(2), worker(3), job(JOB), gone(1), ready(2, 1, &["worker-2"])];
    check(2, 5, late, &[]);
}

#[test]
fn a_worker_leaves_when_the_job_can_do_without_it() {
    let goodbye = |peer| LobbyEvent::Goodbye { peer };
    check(2, 1, vec![worker(1), goodbye(1)], &["1 may leave"]);
    let left = "9 note worker-2 is gone; 1 worker is left: records have one copy beside the log in the store, until \
         another worker joins";
    check(2, 7, after([goodbye(2)]), &["2 may leave", left]);
    // Where copies lack, and where it is the last one, it stays until that changes.
    check(2, 7, after([LobbyEvent::CopiesBelow(3), goodbye(2)]), &[]);
    let whole = after([LobbyEvent::CopiesBelow(3), goodbye(2), LobbyEvent::CopiesBelow(0)]);
    check(2, 7, whole, &["2 may leave", left]);
    let both = after([goodbye(2), goodbye(1), LobbyEvent::CopiesBelow(0), LobbyEvent::Finished { peer: JOB }]);
    check(2, 8, both, &["forget", "0 stop 1", "1 stop 1", "9 stop 1", "1 may leave"]);
}

#[test]
fn where_enough_others_stay_a_worker_hands_on_what_it_has_before_it_goes() {
    let goodbye = |peer| LobbyEvent::Goodbye { peer };
    let left = |peer| LobbyEvent::Left { peer, round: 1 };
    let after = |events: &[LobbyEvent]| {
        let begun = [worker(1), worker(2), worker(3), job(JOB)].into_iter();
        let nodes = [(0, "master"), (1, "worker-1"), (2, "worker-2"), (3, "worker-3")];
        let ready = nodes.map(|(peer, name)| ready(peer, 1, &[name]));
        let last = [self::ready(JOB, 1, &["client-1", "sink"])];
        begun.chain(ready).chain(last).chain(events.iter().cloned()).collect::<Vec<_>>()
    };
    let note = "9 note worker-2 is gone; 2 of 3 workers are left";
    check(3, 9, after(&[goodbye(2)]), &["2 hand on"]);
    check(3, 9, after(&[goodbye(2), left(2)]), &["2 hand on", "2 may leave", note]);
    // One after the other; the second is one too many, and copies lack until its place is taken.
    let both = after(&[goodbye(2), goodbye(1), left(2)]);
    let one = "9 note worker-1 is gone; 1 worker is left: records have one copy beside the log in the store, until \
         another worker joins";
    check(3, 9, both, &["2 hand on", "2 may leave", note, "1 may leave", one]);
    // Its place is free only when it has ended.
    let taken = "9 note worker-2 is taken up again by worker p4";
    let prepare = "4 prepare 1 worker-2";
    let replaced = after(&[goodbye(2), worker(4), left(2), gone(2)]);
    check(3, 9, replaced, &["2 hand on", "2 may leave", note, taken, prepare]);
    // One that dies over it is lost like any other, and another may go when the copies are made again.
    let lost = "9 note worker-2 is gone; 2 of 3 workers are left: copies are made again";
    let died = after(&[goodbye(2), gone(2), goodbye(1)]);
    check(3, 9, died, &["2 hand on", lost]);
    // What is said of another run says nothing of this one.
    check(3, 9, after(&[goodbye(2), LobbyEvent::Left { peer: 2, round: 7 }]), &["2 hand on"]);
    let over = after(&[goodbye(2), LobbyEvent::Finished { peer: JOB }]);
    check(3, 10, over, &["forget", "0 stop 1", "1 stop 1", "2 stop 1", "3 stop 1", "9 stop 1", "2 may leave"]);
}

#[test]
fn a_node_that_fails_ends_the_run_and_an_old_failure_does_not() {
    let failed = |round| LobbyEvent::Failed { peer: 1, round, why: "full".into() };
    let stop = |peer: Peer| format!("{peer} stop 1: worker p1 failed: full");
    let expected = [stop(0), stop(1), stop(2), stop(JOB)];
    check(2, 7, after([failed(1)]), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    check(2, 7, after([failed(0)]), &[]);
}

#[test]
fn what_a_process_has_to_say_reaches_the_job() {
    let note = |peer| LobbyEvent::Note { peer, note: "full".into() };
    check(2, 7, after([note(2), note(HERE)]), &["9 note worker p2: full", "9 note the master: full"]);
    check(2, 1, vec![worker(1), note(1)], &[]);
}

#[test]
fn a_master_that_is_to_end_lets_its_job_rest() {
    check(2, 1, vec![worker(1), LobbyEvent::Drain], &["end"]);
    check(2, 7, after([LobbyEvent::Drain]), &["0 rest 1", "1 rest 1", "2 rest 1", "9 rest 1", "end"]);
    check(2, 1, vec![job(JOB), LobbyEvent::Drain], &["9 refused: the master is about to end", "end"]);
    let late = vec![LobbyEvent::Drain, job(8)];
    check(2, 1, late, &["8 refused: the master is about to end"]);
}

#[test]
fn a_job_that_rests_goes_on_behind_what_it_sealed_and_with_the_partitions_it_began_with() {
    let mut events = running();
    events[2] = LobbyEvent::Job { peer: JOB, order: order(), found: resting("word-count") };
    let begin = |peer: Peer| format!("{peer} begin 1.1 of 2 at 5 +7000 in life 3");
    let expected = [begin(0), begin(1), begin(2), begin(JOB)];
    check(2, 6, events.clone(), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    let prepare = ["0 prepare 1 master", "1 prepare 1 worker-1", "2 prepare 1 worker-2", "9 prepare 1 client-1+sink"];
    let expected = [&["keep word-count 2 x12"][..], &prepare].concat();
    check(2, 2, events[..3].to_vec(), &expected);
    // Nobody has to have it: it is given up by who says so.
    let mut fresh = order();
    fresh.fresh = true;
    events[2] = LobbyEvent::Job { peer: JOB, order: fresh, found: resting("grep") };
    check(2, 2, events[..3].to_vec(), &[&["keep word-count 0 x8"][..], &prepare].concat());
}

#[test]
fn another_input_does_not_go_on_where_one_ended_and_what_an_engine_refuses_stays_as_it_was() {
    let mut other = order();
    other.source = vec![1];
    let ask = |order, found| vec![worker(1), LobbyEvent::Job { peer: JOB, order, found }];
    let why = "9 refused: the store store has the job `grep`, \
               which goes on from interval 7, and its source was another \
               one; ask for it in the same words, or give it up with `--fresh`";
    check(1, 1, ask(other, resting("grep")), &[why]);
    check(1, 1, ask(order(), Err("unreadable".into())), &["9 refused: unreadable"]);
    let refused = NodeError::refusal("another program").0;
    let failed = LobbyEvent::Failed { peer: HERE, round: 1, why: refused.clone() };
    let events = [ask(order(), resting("grep")), vec![failed]].concat();
    let stop = |peer: Peer| format!("{peer} stop 1: the master failed: {refused}");
    let expected = [stop(0), stop(1), stop(JOB), "keep grep 2 x12".to_string()];
    check(1, 2, events, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}
