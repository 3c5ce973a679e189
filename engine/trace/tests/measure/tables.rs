//! The tables of a run, on the runs written by hand of the file above.

use super::*;
use dstream_trace::measure::tasks_csv;

#[test]
fn tables_count_seconds_from_the_warm_ups_end() {
    let mut run = Run::new(&[200, 200]);
    run.crash(3500, 2);
    run.add(4100, "worker-1", Event::TaskFailed { task: task(1, 0, 0, 0), why: "slices are gone, twice".into() });
    let measured = run.measured();
    assert_eq!(
        measured.intervals_csv(&run.input),
        "interval,closed_s,done_s,delay_s,processing_s,records,due,latency_s,oldest_delay_s\n\
         0,0.000000,0.200000,0.200000,0.190000,10,true,,\n\
         1,1.000000,1.200000,0.200000,0.190000,10,true,1.200000,0.200000\n"
    );
    assert!(measured.latency_csv().starts_with("second,records,p50_ms,p90_ms,p99_ms,p999_ms,max_ms\n1,10,"));
    let faults = measured.faults_csv(&run.input);
    assert!(
        faults.ends_with("crash,worker-2,1.500000,true,0.500000,,,0.000000,0.800000,5.800000,,,worker-2,,,0.033333\n"),
        "{faults}"
    );
    let facts = Facts::read(&run.lines());
    let tasks = tasks_csv(&facts, &run.input);
    assert!(tasks.contains("\n0,1,0,0,worker-1,0.010000,0.010000,0.180000,finished,0.050000,10,false\n"), "{tasks}");
    assert!(tasks.contains("\n1,0,0,0,,,,2.100000,\"slices are gone, twice\",0.000000,0,false\n"), "{tasks}");
}

#[test]
fn tables_for_the_page_say_when_nodes_were_down_and_what_the_master_said() {
    let mut run = Run::new(&[200, 200, 200]);
    run.crash(3500, 2).fault(4000, Some(4700), "pause", &["master"], Effect::HeldByPause);
    run.add(4600, "worker-2", Event::NodeStarted { incarnation: 2 }).add(
        4800,
        "master",
        Event::WorkerJoined { worker: node("worker-2"), epoch: 9 },
    );
    run.add(5000, "master", Event::CheckpointComplete { through: 1 });
    // Epochs of the second term begin where no epoch of the first gets.
    run.add(6000, "master", Event::WorkerJoined { worker: node("worker-2"), epoch: (1 << 32) + 1 });
    let measured = run.measured();
    assert_eq!(
        measured.nodes_csv(&run.input),
        "node,state,from_s,until_s\n\
         worker-2,down,1.500000,2.600000\n\
         master,pause,2.000000,2.700000\n\
         worker-2,lost,2.000000,2.800000\n"
    );
    let moments = measured.moments_csv(&run.input);
    let said = "2.000000,declared lost,worker-2,2,1\n2.000000,copies missing,master,4,\n\
                2.300000,copies whole,master,0,\n2.800000,joined,worker-2,9,1\n3.000000,checkpoint,master,1,\n\
                4.000000,joined,worker-2,1,2\n";
    assert!(moments.ends_with(said), "{moments}");
    assert!(measured.faults_csv(&run.input).ends_with(",2.700000,master,,,0.000000\n"));
    let flow = measured.flow_csv();
    assert_eq!(flow, "second,due,acked,in_results,waiting\n-1,10,10,0,0\n0,10,10,10,0\n1,10,10,10,0\n2,0,0,10,0\n");
    let more = [("set", "cluster.cores=4".to_owned())];
    let about = measured.run_csv(&run.input, &more);
    for part in [
        "interval_s,1.000000\n",
        "slide_s,1.000000\n",
        "end_s,8.000000\n",
        "workers,2\n",
        "slo_given,false\n",
        "set,cluster.cores=4\n",
    ] {
        assert!(about.contains(part), "{about}");
    }
}
